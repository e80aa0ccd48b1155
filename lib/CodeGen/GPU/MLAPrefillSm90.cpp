//===- MLAPrefillSm90.cpp - Expanded attention by wgmma -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Two warpgroups have 64 queries each, a thread copies 128 positions at a time.
// The softmax of a tile is computed while the products with the values of the
// one before are under way.
//
//===----------------------------------------------------------------------===//

#include "MLAPrefill.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

tile::KernelOp gpu::createMLAPrefillSm90(ModuleOp module, StringRef name,
                                         const MLAPrefillShape &shape) {
  MLIRContext *context = module.getContext();
  context->getOrLoadDialect<tile::TileDialect>();
  Builder types(context);
  auto address = [&](Type element) -> Type {
    return tile::GlobalType::get(context, element);
  };
  int64_t keys = getPrefillKeys(shape, "sm_90a");
  int64_t swizzle = shape.swizzle(), panel = swizzle / 2;
  auto map = [&](ArrayRef<int64_t> box) -> Type {
    return tile::TensorMapType::get(context, box, types.getBF16Type(), swizzle);
  };
  Type i32 = types.getI32Type();
  Type element =
      shape.f32Output ? Type(types.getF32Type()) : Type(types.getBF16Type());
  TileBuilder b(module, name,
                {map({kPrefillRows, 1, panel}), map({keys, 1, panel}),
                 map({keys, 1, panel}), map({keys, panel}), address(element),
                 address(i32), address(i32), i32},
                "sm_90a", 384);
  Value queries = b.argument(0), ownKeys = b.argument(1),
        ownValues = b.argument(2), rotated = b.argument(3),
        output = b.argument(4);

  Value queryRing = b.makeRing(
      1, b.sharedTile({kPrefillRows, shape.query()}, swizzle), /*releases=*/8);
  Value keyRing = b.makeRing(2,
                             {b.sharedTile({keys, shape.nope}, swizzle),
                              b.sharedTile({keys, shape.rope}, swizzle)},
                             /*releases=*/8);
  Value valueRing =
      b.makeRing(2, b.sharedTile({keys, shape.value}, swizzle), /*releases=*/8);
  Value start = b.ringStart();
  Value zero = b.i32(0), one = b.i32(1);
  Value head = b.blockId(1);
  PrefillTile tile =
      findPrefillTile(b, b.argument(5), b.argument(6), b.argument(7));
  Value tiles = b.ceilDiv(tile.length, keys);
  Value hasWork = b.less(zero, tiles);

  b.role("producer", 0, 4, 4, /*registers=*/40, /*single=*/true, [&](Value) {
    b.ifThen(hasWork, [&] {
      b.ringAcquire(queryRing, start);
      b.tmaLoad(queries, {tile.query, head, zero}, queryRing, start, 0);
    });
    b.forLoop(zero, tiles, one, start, [&](Value number, ValueRange state) {
      Value row = b.add(tile.keyRow, b.mul(number, keys));
      b.ringAcquire(keyRing, state[0]);
      b.tmaLoad(ownKeys, {row, head, zero}, keyRing, state[0], 0);
      b.tmaLoad(rotated, {row, zero}, keyRing, state[0], 1);
      // The states of both rings agree: they have as many stages.
      b.ringAcquire(valueRing, state[0]);
      b.tmaLoad(ownValues, {row, head, zero}, valueRing, state[0], 0);
      return SmallVector<Value>{b.ringNext(keyRing, state[0])};
    });
  });

  b.role(
      "consumer", 4, 12, 4, /*registers=*/232, /*single=*/false,
      [&](Value warpgroup) {
        Value firstRow = b.mul(warpgroup, 64);
        b.ifThen(hasWork, [&] {
          b.ringWait(queryRing, start);
          Value query = b.ringTile(queryRing, start, 0);
          Value queryNope = b.sharedView(query, firstRow, 64, zero, shape.nope);
          Value queryRope =
              b.sharedView(query, firstRow, 64, b.i32(shape.nope), shape.rope);
          auto startScores = [&](Value state) {
            b.ringWait(keyRing, state);
            Value sums =
                b.wgmma(queryNope, b.ringTile(keyRing, state, 0), Value());
            return b.wgmma(queryRope, b.ringTile(keyRing, state, 1), sums);
          };
          // Positions from `number` tiles on: those behind a query's own do not
          // count. Most tiles have none.
          auto mask = [&](Value products, Value number) {
            Value first = b.mul(number, keys);
            Value own = b.add(tile.position, firstRow);
            return b
                .ifYield(
                    b.less(own, b.add(first, keys - 1)),
                    [&] {
                      Value limit = b.sub(own, first);
                      return SmallVector<Value>{b.mapIndexed(
                          products, products.getType(),
                          [&](ValueRange x, Value row, Value column) {
                            return b.select(b.less(b.add(limit, row), column),
                                            b.f32(kLowestScore), x[0]);
                          })};
                    },
                    [&] { return SmallVector<Value>{products}; })
                .front();
          };
          // Values behind the last position are another sequence's.
          auto waitForValues = [&](Value state, Value number) {
            b.ringWait(valueRing, state);
            Value values = b.ringTile(valueRing, state, 0);
            Value valid = b.sub(tile.length, b.mul(number, keys));
            b.ifThen(b.less(valid, b.i32(keys)), [&] {
              tile::ClearRowsOp::create(b, values, valid);
              tile::FenceAsyncOp::create(b);
              b.barrier(1, 256);
            });
            return values;
          };
          double factor = shape.scale * 1.4426950408889634;

          Value scores = b.wgmmaDone(startScores(start));
          b.ringRelease(keyRing, start);
          SoftmaxStep step = softmaxStep(b, mask(scores, zero), factor,
                                         softmaxStart(b, 64, 4), nullptr);
          auto fragment = b.fragment(64, shape.value);
          SmallVector<Value> state = b.forLoop(
              one, tiles, one,
              {b.ringNext(keyRing, start), start, b.splat(0, fragment),
               b.pack(step.weights), step.state.largest, step.state.sum},
              [&](Value number, ValueRange inner) {
                Value now = inner[0], before = inner[1];
                Value nextScores = startScores(now);
                Value values = waitForValues(before, b.sub(number, one));
                auto fence = tile::WgmmaFenceOp::create(
                    b, ValueRange{inner[2], inner[3]});
                Value sums =
                    b.wgmma(fence.getResult(1), values, fence.getResult(0),
                            /*transposed=*/true);
                auto waited = tile::WgmmaWaitOp::create(b, 1, nextScores, sums);
                b.ringRelease(keyRing, now);
                SoftmaxStep next =
                    softmaxStep(b, mask(waited.getResult(0), number), factor,
                                {inner[4], inner[5]}, nullptr);
                Value done = b.wgmmaDone(waited.getResult(1));
                b.ringRelease(valueRing, before);
                return SmallVector<Value>{b.ringNext(keyRing, now),
                                          now,
                                          scaleRows(b, done, next.correction),
                                          b.pack(next.weights),
                                          next.state.largest,
                                          next.state.sum};
              });
          Value values = waitForValues(state[1], b.sub(tiles, one));
          auto fence =
              tile::WgmmaFenceOp::create(b, ValueRange{state[2], state[3]});
          Value sums = b.wgmmaDone(b.wgmma(fence.getResult(1), values,
                                           fence.getResult(0),
                                           /*transposed=*/true));
          b.ringRelease(valueRing, state[1]);
          b.ringRelease(queryRing, start);
          Value result = softmaxFinish(b, sums, {state[4], state[5]});
          Value stride = b.i32(shape.heads * shape.value);
          tile::StoreOp::create(b, result, output, b.add(tile.query, firstRow),
                                b.mul(head, shape.value), stride,
                                b.sub(tile.rows, firstRow), b.i32(shape.value));
        });
      });
  return b.getKernel();
}
