//===- GemmSm90.cpp - Products with weights by wgmma ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One thread copies tiles into a ring, one or two warpgroups multiply them, 64
// rows each, and keep one group of products in flight. Blocks are persistent:
// while a warpgroup stores its sums, the next tile's copies are under way.
//
//===----------------------------------------------------------------------===//

#include "GemmParts.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

tile::KernelOp gpu::createGemmSm90(ModuleOp module, StringRef name,
                                   const GemmShape &shape,
                                   const GemmConfig &config) {
  MLIRContext *context = module.getContext();
  context->getOrLoadDialect<tile::TileDialect>();
  Builder types(context);
  const int64_t panel = 64;
  auto map = [&](ArrayRef<int64_t> box) -> Type {
    return tile::TensorMapType::get(context, box, types.getBF16Type(), 128);
  };
  SmallVector<int64_t> boxA{config.tileM, panel}, boxW{config.tileN, panel};
  if (shape.heads)
    boxA.insert(boxA.begin() + 1, 1);
  if (shape.heads || shape.experts)
    boxW.insert(boxW.begin(), 1);

  int64_t warpgroups = config.tileM / 64;
  TileBuilder b(module, name,
                getGemmArgumentTypes(context, shape, map(boxA), map(boxW)),
                config.chip, config.threads(shape));
  GemmArguments arguments = getGemmArguments(b, shape);

  Value ring = b.makeRing(config.stages,
                          {b.sharedTile({config.tileM, config.tileK}),
                           b.sharedTile({config.tileN, config.tileK})},
                          /*releases=*/4 * warpgroups);
  Value start = b.ringStart();
  Value zero = b.i32(0), one = b.i32(1);
  // What is behind column K is zero on both sides.
  Value depth = b.i32(llvm::divideCeil(shape.k, config.tileK));

  // Two consumers and a producer have 168 registers a thread: the producer
  // gives most of its own away. One consumer has enough.
  bool share = warpgroups == 2;
  b.role("producer", 0, 4, 4, share ? 40 : 0, /*single=*/true, [&](Value) {
    forEachGemmTile(
        b, shape, config, arguments.rowsOrOffsets, start,
        [&](const GemmTile &tile, ValueRange outer) {
          return b.forLoop(
              zero, depth, one, outer, [&](Value k, ValueRange state) {
                Value column = b.mul(k, config.tileK);
                b.ringAcquire(ring, state[0]);
                SmallVector<Value> atA{tile.row, column},
                    atW{tile.column, column};
                if (shape.heads)
                  atA.insert(atA.begin() + 1, tile.matrix);
                if (shape.heads || shape.experts)
                  atW.insert(atW.begin(), tile.matrix);
                b.tmaLoad(arguments.matrixA, atA, ring, state[0], 0);
                b.tmaLoad(arguments.weight, atW, ring, state[0], 1);
                return SmallVector<Value>{b.ringNext(ring, state[0])};
              });
        });
  });

  b.role("consumer", 4, 4 + 4 * warpgroups, 4, share ? 232 : 0,
         /*single=*/false, [&](Value warpgroup) {
           Value firstRow = b.mul(warpgroup, 64);
           auto multiply = [&](Value state, Value sums) {
             b.ringWait(ring, state);
             Value a = b.sharedView(b.ringTile(ring, state, 0), firstRow, 64,
                                    zero, config.tileK);
             return b.wgmma(a, b.ringTile(ring, state, 1), sums);
           };
           forEachGemmTile(
               b, shape, config, arguments.rowsOrOffsets, start,
               [&](const GemmTile &tile, ValueRange outer) {
                 Value first = outer[0];
                 Value sums = multiply(first, Value());
                 SmallVector<Value> state = b.forLoop(
                     one, depth, one, {b.ringNext(ring, first), first, sums},
                     [&](Value, ValueRange inner) {
                       Value now = inner[0], before = inner[1];
                       Value next = multiply(now, inner[2]);
                       next = b.wgmmaKeep(1, next);
                       b.ringRelease(ring, before);
                       return SmallVector<Value>{b.ringNext(ring, now), now,
                                                 next};
                     });
                 Value done = b.wgmmaDone(state[2]);
                 b.ringRelease(ring, state[1]);
                 emitGemmEpilogue(b, shape, arguments, tile, done, firstRow);
                 return SmallVector<Value>{state[0]};
               });
         });
  return b.getKernel();
}
