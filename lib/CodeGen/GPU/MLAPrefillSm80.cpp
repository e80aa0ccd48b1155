//===- MLAPrefillSm80.cpp - Expanded attention by mma.sync ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Eight warps have 16 queries each; all copy by cp.async, 64 positions at a
// time, one tile ahead.
//
//===----------------------------------------------------------------------===//

#include "MLAPrefill.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

tile::KernelOp gpu::createMLAPrefillSm80(ModuleOp module, StringRef name,
                                         const MLAPrefillShape &shape) {
  MLIRContext *context = module.getContext();
  context->getOrLoadDialect<tile::TileDialect>();
  Builder types(context);
  auto address = [&](Type element) -> Type {
    return tile::GlobalType::get(context, element);
  };
  const int64_t threads = 256;
  int64_t keys = getPrefillKeys(shape, "sm_80");
  int64_t swizzle = shape.swizzle();
  Type i32 = types.getI32Type(), bf16 = types.getBF16Type();
  Type element = shape.f32Output ? Type(types.getF32Type()) : bf16;
  TileBuilder b(module, name,
                {address(bf16), address(bf16), address(bf16), address(bf16),
                 address(element), address(i32), address(i32), i32},
                "sm_80", threads);
  Value queries = b.argument(0), ownKeys = b.argument(1),
        ownValues = b.argument(2), rotated = b.argument(3),
        output = b.argument(4);
  Value query =
      b.sharedBuffer(b.sharedTile({kPrefillRows, shape.query()}, swizzle));
  Value keyBuffer =
      b.sharedBuffer(b.sharedTile({2, keys, shape.nope}, swizzle));
  Value ropeBuffer =
      b.sharedBuffer(b.sharedTile({2, keys, shape.rope}, swizzle));
  Value valueBuffer =
      b.sharedBuffer(b.sharedTile({2, keys, shape.value}, swizzle));
  Value zero = b.i32(0), one = b.i32(1);
  Value head = b.blockId(1);
  PrefillTile tile =
      findPrefillTile(b, b.argument(5), b.argument(6), b.argument(7));
  Value tiles = b.ceilDiv(tile.length, keys);

  b.role(
      "all", 0, threads / 32, 1, /*registers=*/0, /*single=*/false,
      [&](Value warp) {
        Value firstRow = b.mul(warp, 16);
        Value queryStride = b.i32(shape.heads * shape.query());
        Value keyStride = b.i32(shape.heads * shape.nope);
        Value valueStride = b.i32(shape.heads * shape.value);
        auto copy = [&](Value number, Value stage) {
          Value first = b.mul(number, keys);
          Value row = b.add(tile.keyRow, first);
          // Positions that do not count arrive as zeros.
          Value valid = b.sub(tile.length, first);
          b.cpAsync(ownKeys, row, b.mul(head, shape.nope), keyStride, valid,
                    b.sharedStage(keyBuffer, stage));
          b.cpAsync(rotated, row, zero, b.i32(shape.rope), valid,
                    b.sharedStage(ropeBuffer, stage));
          b.cpAsync(ownValues, row, b.mul(head, shape.value), valueStride,
                    valid, b.sharedStage(valueBuffer, stage));
        };
        b.ifThen(b.less(zero, tiles), [&] {
          b.cpAsync(queries, tile.query, b.mul(head, shape.query()),
                    queryStride, tile.rows, query);
          copy(zero, zero);
        });
        b.cpAsyncCommit();
        SoftmaxState initial = softmaxStart(b, 16, 1);
        Value queryNope = b.sharedView(query, firstRow, 16, zero, shape.nope);
        Value queryRope =
            b.sharedView(query, firstRow, 16, b.i32(shape.nope), shape.rope);
        Value own = b.add(tile.position, firstRow);
        SmallVector<Value> state = b.forLoop(
            zero, tiles, one,
            {zero, b.splat(0, b.fragment(16, shape.value, 1)), initial.largest,
             initial.sum},
            [&](Value number, ValueRange inner) {
              Value stage = inner[0];
              Value other = b.sub(one, stage);
              b.cpAsyncWait(0);
              // The tile is there, and everybody is done with the other.
              b.barrier(1, threads);
              Value next = b.add(number, one);
              b.ifThen(b.less(next, tiles), [&] { copy(next, other); });
              b.cpAsyncCommit();
              Value products = b.mma(queryNope, b.sharedStage(keyBuffer, stage),
                                     b.splat(0, b.fragment(16, keys, 1)));
              products =
                  b.mma(queryRope, b.sharedStage(ropeBuffer, stage), products);
              Value limit = b.sub(own, b.mul(number, keys));
              SoftmaxStep step = softmaxStep(
                  b, products, shape.scale * 1.4426950408889634,
                  {inner[2], inner[3]}, [&](Value row, Value column) {
                    return b.less(column, b.add(b.add(limit, row), one));
                  });
              Value sums = scaleRows(b, inner[1], step.correction);
              sums =
                  b.mma(b.pack(step.weights), b.sharedStage(valueBuffer, stage),
                        sums, /*transposed=*/true);
              return SmallVector<Value>{other, sums, step.state.largest,
                                        step.state.sum};
            });
        Value result = softmaxFinish(b, state[1], {state[2], state[3]});
        tile::StoreOp::create(b, result, output, b.add(tile.query, firstRow),
                              b.mul(head, shape.value),
                              b.i32(shape.heads * shape.value),
                              b.sub(tile.rows, firstRow), b.i32(shape.value));
      });
  return b.getKernel();
}
