//===- MLADecodeSm80.cpp - Absorbed attention by mma.sync -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// All warps copy by cp.async, one tile of positions ahead. Four warps have 16
// heads each; for long latents other four have the same heads' second half of
// the columns.
//
//===----------------------------------------------------------------------===//

#include "MLAParts.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

tile::KernelOp gpu::createMLADecodeSm80(ModuleOp module, StringRef name,
                                        const MLADecodeShape &shape) {
  MLIRContext *context = module.getContext();
  context->getOrLoadDialect<tile::TileDialect>();
  Builder types(context);
  auto address = [&](Type element) -> Type {
    return tile::GlobalType::get(context, element);
  };
  Type f32 = types.getF32Type(), i32 = types.getI32Type(),
       bf16 = types.getBF16Type();
  Type element = shape.f32Output ? f32 : bf16;
  int64_t halves = shape.latent > 256 ? 2 : 1;
  int64_t width = shape.latent / halves;
  int64_t threads = 128 * halves;
  // Two tiles of positions and the queries have to fit.
  int64_t keys = halves == 2 ? 32 : 64;
  int64_t swizzle = 128;
  while (2 * shape.row() % swizzle != 0 || 2 * width % swizzle != 0)
    swizzle /= 2;

  TileBuilder b(module, name,
                {address(bf16), address(bf16), address(element), address(f32),
                 address(f32), address(i32), address(i32), address(i32), i32,
                 i32},
                "sm_80", threads);
  Value queries = b.argument(0), cache = b.argument(1), output = b.argument(2),
        partSums = b.argument(3), partLogs = b.argument(4);
  MLAWork work;
  work.positions = b.argument(5);
  work.seqIds = b.argument(6);
  work.blockTables = b.argument(7);
  work.tokens = b.argument(8);
  work.tableWidth = b.argument(9);
  work.find(b, shape);

  Value query = b.sharedBuffer(b.sharedTile({kMLAHeads, shape.row()}, swizzle));
  Value buffer = b.sharedBuffer(b.sharedTile({2, keys, shape.row()}, swizzle));
  Value zero = b.i32(0), one = b.i32(1), stride = b.i32(shape.row());
  int64_t tilesInBlock = kMLABlock / keys;

  b.role(
      "all", 0, threads / 32, 1, /*registers=*/0, /*single=*/false,
      [&](Value warp) {
        Value head = b.mul(b.rem(warp, 4), 16);
        Value half = b.div(warp, 4);
        Value column = b.mul(half, width);
        auto fragment = b.fragment(16, width, 1);
        forEachMLAItem(
            b, shape, work, {}, [&](const MLAItem &item, ValueRange) {
              Value sequence = b.loadScalar(work.seqIds, item.token);
              Value first = b.mul(item.first, tilesInBlock);
              Value last = b.min(b.mul(item.last, tilesInBlock),
                                 b.ceilDiv(item.run.longest, keys));
              MLALimits limits(b, shape, work, item, head);
              auto copy = [&](Value number, Value stage) {
                Value page =
                    loadMLAPage(b, work, sequence, b.div(number, tilesInBlock));
                Value row = b.add(b.mul(page, kMLABlock),
                                  b.mul(b.rem(number, tilesInBlock), keys));
                // Positions that do not count arrive as zeros.
                b.cpAsync(cache, row, zero, stride,
                          b.sub(item.run.longest, b.mul(number, keys)),
                          b.sharedStage(buffer, stage));
              };
              // Slower warps may still read the item before.
              b.barrier(1, threads);
              Value firstHead = b.mul(item.headTile, kMLAHeads);
              Value queryRow =
                  b.add(b.mul(item.tileToken, shape.heads), firstHead);
              // Rows of the tile behind the last token's, or behind its heads.
              Value queryEnd = shape.getTileTokens() > 1
                                   ? b.mul(work.tokens, shape.heads)
                                   : b.add(b.mul(item.token, shape.heads),
                                           b.i32(shape.heads));
              b.cpAsync(queries, queryRow, zero, stride,
                        b.sub(queryEnd, queryRow), query);
              copy(first, zero);
              b.cpAsyncCommit();
              SoftmaxState initial = softmaxStart(b, 16, 1);
              SmallVector<Value> state = b.forLoop(
                  first, last, one,
                  {zero, b.splat(0, fragment), initial.largest, initial.sum},
                  [&](Value number, ValueRange inner) {
                    Value stage = inner[0];
                    Value other = b.sub(one, stage);
                    b.cpAsyncWait(0);
                    // The tile is there, and everybody is done with the other.
                    b.barrier(1, threads);
                    Value next = b.add(number, one);
                    b.ifThen(b.less(next, last), [&] { copy(next, other); });
                    b.cpAsyncCommit();
                    Value tile = b.sharedStage(buffer, stage);
                    Value products =
                        b.mma(b.sharedView(query, head, 16, zero, shape.row()),
                              tile, b.splat(0, b.fragment(16, keys, 1)));
                    Value position = b.mul(number, keys);
                    SoftmaxStep step = softmaxStep(
                        b, products, shape.scale * 1.4426950408889634,
                        {inner[2], inner[3]},
                        [&](Value row, Value column) {
                          return limits.keeps(b, row, b.add(position, column));
                        },
                        b.less(item.run.shortest, b.add(position, keys)));
                    Value sums = scaleRows(b, inner[1], step.correction);
                    sums = b.mma(b.pack(step.weights),
                                 b.sharedView(tile, zero, keys, column, width),
                                 sums, /*transposed=*/true);
                    return SmallVector<Value>{other, sums, step.state.largest,
                                              step.state.sum};
                  });
              SoftmaxState end{state[2], state[3]};
              storeMLAItem(
                  b, shape, item, softmaxFinish(b, state[1], end), head, column,
                  output, partSums, [&](Value row, Value rows) {
                    b.ifThen(b.equal(half, zero), [&] {
                      tile::StoreRowsOp::create(b, softmaxLogarithm(b, end),
                                                partLogs, row, one, rows);
                    });
                  });
              return SmallVector<Value>{};
            });
      });
  return b.getKernel();
}
