//===- GemmSm80.cpp - Products with weights by mma.sync -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// All warps copy by cp.async, several stages ahead, and multiply.
//
//===----------------------------------------------------------------------===//

#include "GemmParts.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

tile::KernelOp gpu::createGemmSm80(ModuleOp module, StringRef name,
                                   const GemmShape &shape,
                                   const GemmConfig &config) {
  MLIRContext *context = module.getContext();
  context->getOrLoadDialect<tile::TileDialect>();
  Builder types(context);
  Type address = tile::GlobalType::get(context, types.getBF16Type());
  int64_t threads = config.threads(shape);
  TileBuilder b(module, name,
                getGemmArgumentTypes(context, shape, address, address),
                config.chip, threads);
  GemmArguments arguments = getGemmArguments(b, shape);

  int64_t swizzle = 2 * config.tileK;
  Value bufferA = b.sharedBuffer(
      b.sharedTile({config.stages, config.tileM, config.tileK}, swizzle));
  Value bufferW = b.sharedBuffer(
      b.sharedTile({config.stages, config.tileN, config.tileK}, swizzle));
  Value zero = b.i32(0), one = b.i32(1);
  Value stride = b.i32(shape.k), depth = b.i32(shape.k / config.tileK);
  Value stages = b.i32(config.stages);

  b.role(
      "all", 0, threads / 32, 1, /*registers=*/0, /*single=*/false,
      [&](Value warp) {
        forEachGemmTile(
            b, shape, config, arguments.rowsOrOffsets, {},
            [&](const GemmTile &tile, ValueRange) {
              Value weightRow = b.add(b.mul(tile.matrix, shape.n), tile.column);
              Value weightRows = b.sub(b.i32(shape.n), tile.column);
              // A group of copies is closed for every step, behind the last one
              // empty ones, so that waiting for all but the newest means the
              // same at each.
              auto copy = [&](Value k, Value stage) {
                b.ifThen(b.less(k, depth), [&] {
                  Value column = b.mul(k, config.tileK);
                  Value columnA = column;
                  if (shape.heads)
                    columnA = b.add(column,
                                    b.mul(tile.matrix, arguments.headStrideA));
                  b.cpAsync(arguments.matrixA, tile.row, columnA,
                            arguments.strideA, tile.rows,
                            b.sharedStage(bufferA, stage));
                  b.cpAsync(arguments.weight, weightRow, column, stride,
                            weightRows, b.sharedStage(bufferW, stage));
                });
                b.cpAsyncCommit();
              };
              for (int64_t k = 0; k + 1 < config.stages; ++k)
                copy(b.i32(k), b.i32(k));
              Value sums =
                  b.splat(0, b.fragment(16, config.tileN, /*warps=*/1));
              SmallVector<Value> state = b.forLoop(
                  zero, depth, one, {zero, sums},
                  [&](Value k, ValueRange inner) {
                    Value stage = inner[0];
                    b.cpAsyncWait(config.stages - 2);
                    // Everybody sees the stage, and is done with the one
                    // before, which is filled next.
                    b.barrier(1, threads);
                    Value ahead = b.add(k, config.stages - 1);
                    copy(ahead, b.rem(b.add(stage, config.stages - 1), stages));
                    Value a =
                        b.sharedView(b.sharedStage(bufferA, stage),
                                     b.mul(warp, 16), 16, zero, config.tileK);
                    Value next =
                        b.mma(a, b.sharedStage(bufferW, stage), inner[1]);
                    return SmallVector<Value>{b.rem(b.add(stage, one), stages),
                                              next};
                  });
              Value firstRow = b.mul(warp, 16);
              emitGemmEpilogue(b, shape, arguments, tile, state[1], firstRow);
              // The next tile's copies overwrite what slower warps still read.
              b.barrier(1, threads);
              return SmallVector<Value>{};
            });
      });
  return b.getKernel();
}
