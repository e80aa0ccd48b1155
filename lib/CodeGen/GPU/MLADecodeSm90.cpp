//===- MLADecodeSm90.cpp - Absorbed attention by wgmma --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One thread copies pages into a ring of two. Two warpgroups each compute all
// of the scores and half of the columns of the output, whose sums would not fit
// the registers of one: 1.5 times the products, and no exchange. Up to 64 heads
// the cache's bytes still take longer.
//
//===----------------------------------------------------------------------===//

#include "MLAParts.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

tile::KernelOp gpu::createMLADecodeSm90(ModuleOp module, StringRef name,
                                        const MLADecodeShape &shape) {
  MLIRContext *context = module.getContext();
  context->getOrLoadDialect<tile::TileDialect>();
  Builder types(context);
  auto address = [&](Type element) -> Type {
    return tile::GlobalType::get(context, element);
  };
  Type f32 = types.getF32Type(), i32 = types.getI32Type();
  Type element = shape.f32Output ? f32 : Type(types.getBF16Type());
  Type map =
      tile::TensorMapType::get(context, {1, 64, 64}, types.getBF16Type(), 128);
  int64_t warpgroups = shape.latent > 256 ? 2 : 1;
  int64_t width = shape.latent / warpgroups;
  // Whole panels; what is behind a row of the cache arrives as zeros.
  int64_t padded = llvm::alignTo(shape.row(), 64);

  TileBuilder b(module, name,
                {map, map, address(element), address(f32), address(f32),
                 address(i32), address(i32), address(i32), i32, i32},
                "sm_90a", 128 * (warpgroups + 1));
  Value queries = b.argument(0), cache = b.argument(1), output = b.argument(2),
        partSums = b.argument(3), partLogs = b.argument(4);
  MLAWork work;
  work.positions = b.argument(5);
  work.seqIds = b.argument(6);
  work.blockTables = b.argument(7);
  work.tokens = b.argument(8);
  work.tableWidth = b.argument(9);
  work.total = countMLABlocks(b, work.positions, work.tokens,
                              llvm::divideCeil(shape.heads, kMLAHeads));

  int64_t warps = 4 * warpgroups;
  Value queryRing =
      b.makeRing(1, b.sharedTile({kMLAHeads, padded}), /*releases=*/warps);
  Value pageRing =
      b.makeRing(2, b.sharedTile({kMLABlock, padded}), /*releases=*/warps);
  Value start = b.ringStart();
  Value zero = b.i32(0), one = b.i32(1);

  bool share = warpgroups == 2;
  b.role("producer", 0, 4, 4, share ? 40 : 0, /*single=*/true, [&](Value) {
    forEachMLAItem(
        b, shape, work, {start, start},
        [&](const MLAItem &item, ValueRange outer) {
          Value sequence = b.loadScalar(work.seqIds, item.token);
          b.ringAcquire(queryRing, outer[0]);
          b.tmaLoad(queries,
                    {item.token, b.mul(item.headTile, kMLAHeads), zero},
                    queryRing, outer[0], 0);
          SmallVector<Value> pages = b.forLoop(
              item.first, item.last, one, outer[1],
              [&](Value block, ValueRange state) {
                Value page = loadMLAPage(b, work, sequence, block);
                b.ringAcquire(pageRing, state[0]);
                b.tmaLoad(cache, {page, zero, zero}, pageRing, state[0], 0);
                return SmallVector<Value>{b.ringNext(pageRing, state[0])};
              });
          return SmallVector<Value>{b.ringNext(queryRing, outer[0]), pages[0]};
        });
  });

  b.role("consumer", 4, 4 + warps, 4, share ? 232 : 0, /*single=*/false,
         [&](Value warpgroup) {
           Value column = b.mul(warpgroup, width);
           auto fragment = b.fragment(64, width);
           forEachMLAItem(
               b, shape, work, {start, start},
               [&](const MLAItem &item, ValueRange outer) {
                 b.ringWait(queryRing, outer[0]);
                 Value query = b.ringTile(queryRing, outer[0], 0);
                 SoftmaxState initial = softmaxStart(b, 64, 4);
                 SmallVector<Value> state = b.forLoop(
                     item.first, item.last, one,
                     {outer[1], b.splat(0, fragment), initial.largest,
                      initial.sum},
                     [&](Value block, ValueRange inner) {
                       Value stage = inner[0];
                       b.ringWait(pageRing, stage);
                       Value page = b.ringTile(pageRing, stage, 0);
                       Value valid =
                           b.sub(item.length, b.mul(block, kMLABlock));
                       Value isLast = b.less(valid, b.i32(kMLABlock));
                       // Rows behind the last position may hold anything; as
                       // values even their product with 0 would count.
                       b.ifThen(isLast, [&] {
                         tile::ClearRowsOp::create(b, page, valid);
                         tile::FenceAsyncOp::create(b);
                         b.barrier(1, 32 * warps);
                       });
                       Value products =
                           b.wgmmaDone(b.wgmma(query, page, Value()));
                       SoftmaxStep step = softmaxStep(
                           b, products, shape.scale * 1.4426950408889634,
                           {inner[2], inner[3]}, [&](Value, Value position) {
                             return b.less(position, valid);
                           });
                       Value sums = scaleRows(b, inner[1], step.correction);
                       auto fence = tile::WgmmaFenceOp::create(
                           b, ValueRange{sums, b.pack(step.weights)});
                       Value values =
                           b.sharedView(page, zero, kMLABlock, column, width);
                       sums = b.wgmmaDone(b.wgmma(fence.getResult(1), values,
                                                  fence.getResult(0),
                                                  /*transposed=*/true));
                       b.ringRelease(pageRing, stage);
                       return SmallVector<Value>{b.ringNext(pageRing, stage),
                                                 sums, step.state.largest,
                                                 step.state.sum};
                     });
                 b.ringRelease(queryRing, outer[0]);
                 storeMLAItem(b, shape, item, state[1], {state[2], state[3]},
                              zero, column, b.equal(warpgroup, zero), output,
                              partSums, partLogs);
                 return SmallVector<Value>{b.ringNext(queryRing, outer[0]),
                                           state[0]};
               });
         });
  return b.getKernel();
}
