//===- GemmBlocks.cpp - Products with weights in blocks -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A tile of the output is computed transposed, rows of weights times rows of A:
// the left operand of tensor cores may be in registers, where integers become
// bf16. A step of the depth is a group of blocks.
//
//===----------------------------------------------------------------------===//

#include "GemmParts.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

//===----------------------------------------------------------------------===//
// What both chips share
//===----------------------------------------------------------------------===//

static tile::BlockKind getBlockKind(PackFormat format) {
  switch (format) {
  case PackFormat::Q8:
    return tile::BlockKind::q8;
  case PackFormat::Q4:
    return tile::BlockKind::q4;
  case PackFormat::FP8:
    return tile::BlockKind::fp8;
  case PackFormat::Plain:
    break;
  }
  llvm_unreachable("a format without blocks");
}

Value gpu::unpackGemmBlocks(TileBuilder &b, const GemmShape &shape, Value data,
                            Value scales, Value firstRow, int64_t rows,
                            int64_t warps, Value step, int64_t part) {
  auto view = [&](Value tile) {
    int64_t columns = cast<tile::SharedType>(tile.getType()).getColumns();
    return b.sharedView(tile, firstRow, rows, b.i32(0), columns);
  };
  Value ownData = view(data), ownScales = view(scales);
  auto type = tile::OperandType::get(
      b.getContext(), {rows / shape.parts(), shape.blocks()->groupElements()},
      b.getBF16Type(), warps);
  // A copy of scales has those of four steps.
  Value word = b.rem(step, kScaleBytes / 4);
  return tile::UnpackBlocksOp::create(
      b, type, getBlockKind(shape.format), ownData, ownScales, word,
      shape.parts() == 1 ? IntegerAttr() : b.getI32IntegerAttr(part));
}

void gpu::emitBlockGemmEpilogue(TileBuilder &b, const GemmShape &shape,
                                const GemmArguments &arguments,
                                const GemmTile &tile, ValueRange sums,
                                Value output) {
  auto type = cast<tile::FragmentType>(sums.front().getType());
  constexpr int64_t step = 16;
  Value column = b.add(b.div(tile.column, shape.parts()), output);
  Value columns = b.sub(b.i32(shape.outputColumns()), column);
  if (shape.heads)
    column = b.add(column, b.mul(tile.matrix, arguments.outputHeadStride));
  for (int64_t from = 0; from < type.getColumns(); from += step) {
    int64_t width = std::min(step, type.getColumns() - from);
    SmallVector<Value> parts;
    for (Value sum : sums)
      parts.push_back(b.columns(sum, from, width));
    Value part = parts.front();
    if (shape.epilogue == GemmEpilogue::SwiGLU)
      part = b.map(parts, part.getType(),
                   [&](ValueRange x) { return emitGate(b, x[0], x[1]); });
    Value row = b.add(tile.row, from), rows = b.sub(tile.rows, b.i32(from));
    if (arguments.residual) {
      Value before = tile::LoadOp::create(b, part.getType(), arguments.residual,
                                          row, column, arguments.outputStride,
                                          rows, columns, /*transposed=*/true);
      part = b.map({part, before}, part.getType(),
                   [&](ValueRange x) { return b.fadd(x[0], x[1]); });
    }
    tile::StoreOp::create(b, part, arguments.output, row, column,
                          arguments.outputStride, rows, columns,
                          /*first=*/Value(), /*transposed=*/true);
  }
}

//===----------------------------------------------------------------------===//
// wgmma
//===----------------------------------------------------------------------===//

tile::KernelOp gpu::createBlockGemmSm90(ModuleOp module, StringRef name,
                                        const GemmShape &shape,
                                        const GemmConfig &config) {
  MLIRContext *context = module.getContext();
  context->getOrLoadDialect<tile::TileDialect>();
  Builder types(context);
  const int64_t panel = 64;
  bool grouped = shape.heads || shape.experts;
  auto map = [&](SmallVector<int64_t> box, Type element, int64_t swizzle,
                 bool hasMatrices, int64_t at) -> Type {
    if (hasMatrices)
      box.insert(box.begin() + at, 1);
    return tile::TensorMapType::get(context, box, element, swizzle);
  };
  constexpr int64_t dataBytes = BlockFormat::kGroupBytes;
  Type i8 = types.getI8Type();
  Type mapA =
      map({config.tileM, panel}, types.getBF16Type(), 128, shape.heads != 0, 1);
  Type mapW = map({config.tileN, dataBytes}, i8, dataBytes, grouped, 0);
  Type mapScales = map({config.tileN, kScaleBytes}, i8, 0, grouped, 0);
  TileBuilder b(module, name,
                getGemmArgumentTypes(context, shape, mapA, mapW, mapScales),
                config.chip, config.threads(shape));
  GemmArguments arguments = getGemmArguments(b, shape);

  int64_t parts = shape.parts();
  int64_t groupRows = 64 * parts;
  int64_t warpgroups = config.tileN / groupRows;
  Value ring = b.makeRing(config.stages,
                          {b.sharedTile({config.tileM, config.tileK}),
                           b.byteTile({config.tileN, dataBytes}, dataBytes),
                           b.byteTile({config.tileN, kScaleBytes}, 0)},
                          /*releases=*/4 * warpgroups);
  Value start = b.ringStart();
  Value zero = b.i32(0), one = b.i32(1);
  // Behind column K, A is zero, and so are the blocks that fill up a group.
  Value depth = b.i32(shape.blocks()->groups(shape.k));
  int64_t firstScale = shape.blocks()->scaleOffset(shape.k);

  bool share = warpgroups == 2;
  b.role("producer", 0, 4, 4, share ? 40 : 0, /*single=*/true, [&](Value) {
    forEachGemmTile(
        b, shape, config, arguments.rowsOrOffsets, start,
        [&](const GemmTile &tile, ValueRange outer) {
          return b.forLoop(
              zero, depth, one, outer, [&](Value k, ValueRange state) {
                b.ringAcquire(ring, state[0]);
                SmallVector<Value> atA{tile.row, b.mul(k, config.tileK)},
                    atW{tile.column, b.mul(k, dataBytes)},
                    atScales{tile.column, b.add(b.mul(b.div(k, kScaleBytes / 4),
                                                      kScaleBytes),
                                                firstScale)};
                if (shape.heads)
                  atA.insert(atA.begin() + 1, tile.matrix);
                if (grouped) {
                  atW.insert(atW.begin(), tile.matrix);
                  atScales.insert(atScales.begin(), tile.matrix);
                }
                b.tmaLoad(arguments.matrixA, atA, ring, state[0], 0);
                b.tmaLoad(arguments.weight, atW, ring, state[0], 1);
                b.tmaLoad(arguments.scales, atScales, ring, state[0], 2);
                return SmallVector<Value>{b.ringNext(ring, state[0])};
              });
        });
  });

  b.role(
      "consumer", 4, 4 + 4 * warpgroups, 4, share ? 232 : 0,
      /*single=*/false, [&](Value warpgroup) {
        Value firstRow = b.mul(warpgroup, groupRows);
        // Adds one step to `sums`, which are empty before the first. While
        // weights become bf16 the product before theirs is under way and
        // reads registers. These must be others: so a rolled loop has two
        // products, and none is older when the next weights are made.
        auto multiply = [&](Value state, Value before, Value step,
                            SmallVector<Value> sums) {
          b.ringWait(ring, state);
          for (int64_t part = 0; part < parts; ++part) {
            Value weights =
                unpackGemmBlocks(b, shape, b.ringTile(ring, state, 1),
                                 b.ringTile(ring, state, 2), firstRow,
                                 groupRows, /*warps=*/4, step, part);
            auto fence = tile::WgmmaFenceOp::create(b, weights);
            bool isFirst = static_cast<int64_t>(sums.size()) == part;
            Value sum = b.wgmma(fence.getResult(0), b.ringTile(ring, state, 0),
                                isFirst ? Value() : sums[part]);
            if (isFirst)
              sums.push_back(sum);
            else
              sums[part] = sum;
            sums = b.wgmmaKeep(1, ValueRange(sums));
            if (before && part == 0)
              b.ringRelease(ring, before);
          }
          return sums;
        };
        const int64_t steps = shape.blocks()->groups(shape.k);
        const int64_t turns = 2 / parts;
        const int64_t firstRolled = 1 + (steps - 1) % turns;
        forEachGemmTile(
            b, shape, config, arguments.rowsOrOffsets, start,
            [&](const GemmTile &tile, ValueRange outer) {
              // The next stage, the one of the last step, sums.
              auto advance = [&](ValueRange state, bool release, Value step) {
                Value now = state[0];
                SmallVector<Value> next = {b.ringNext(ring, now), now};
                llvm::append_range(
                    next, multiply(now, release ? state[1] : Value(), step,
                                   llvm::to_vector(state.drop_front(2))));
                return next;
              };
              SmallVector<Value> state =
                  advance({outer[0], outer[0]}, /*release=*/false, zero);
              for (int64_t k = 1; k < firstRolled; ++k) {
                // Outside of the loop ptxas would have every product wait.
                auto done = tile::WgmmaWaitOp::create(
                    b, 0, ArrayRef(state).drop_front(2), ValueRange());
                b.ringRelease(ring, state[1]);
                auto fence = tile::WgmmaFenceOp::create(b, done.getResults());
                state.truncate(2);
                llvm::append_range(state, fence.getResults());
                state = advance(state, /*release=*/false, b.i32(k));
              }
              state = b.forLoop(b.i32(firstRolled), depth, b.i32(turns), state,
                                [&](Value k, ValueRange inner) {
                                  SmallVector<Value> next(inner);
                                  for (int64_t turn = 0; turn < turns; ++turn)
                                    next = advance(next, /*release=*/true,
                                                   b.add(k, turn));
                                  return next;
                                });
              auto done = tile::WgmmaWaitOp::create(
                  b, 0, ArrayRef(state).drop_front(2), ValueRange());
              b.ringRelease(ring, state[1]);
              emitBlockGemmEpilogue(b, shape, arguments, tile,
                                    done.getResults(), b.mul(warpgroup, 64));
              return SmallVector<Value>{state[0]};
            });
      });
  return b.getKernel();
}

//===----------------------------------------------------------------------===//
// mma.sync
//===----------------------------------------------------------------------===//

tile::KernelOp gpu::createBlockGemmSm80(ModuleOp module, StringRef name,
                                        const GemmShape &shape,
                                        const GemmConfig &config) {
  MLIRContext *context = module.getContext();
  context->getOrLoadDialect<tile::TileDialect>();
  Builder types(context);
  auto address = [&](Type element) -> Type {
    return tile::GlobalType::get(context, element);
  };
  int64_t threads = config.threads(shape);
  TileBuilder b(module, name,
                getGemmArgumentTypes(context, shape,
                                     address(types.getBF16Type()),
                                     address(types.getI8Type())),
                config.chip, threads);
  GemmArguments arguments = getGemmArguments(b, shape);

  constexpr int64_t dataBytes = BlockFormat::kGroupBytes;
  Value bufferA =
      b.sharedBuffer(b.sharedTile({config.stages, config.tileM, config.tileK}));
  Value bufferW = b.sharedBuffer(
      b.byteTile({config.stages, config.tileN, dataBytes}, dataBytes));
  Value bufferScales =
      b.sharedBuffer(b.byteTile({config.stages, config.tileN, kScaleBytes}, 0));
  Value zero = b.i32(0), one = b.i32(1);
  Value stride = b.i32(shape.weightRowBytes());
  Value depth = b.i32(shape.blocks()->groups(shape.k));
  Value stages = b.i32(config.stages);
  int64_t firstScale = shape.blocks()->scaleOffset(shape.k);
  int64_t parts = shape.parts(), warpRows = 16 * parts;

  b.role(
      "all", 0, threads / 32, 1, /*registers=*/0, /*single=*/false,
      [&](Value warp) {
        Value firstRow = b.mul(warp, warpRows);
        forEachGemmTile(
            b, shape, config, arguments.rowsOrOffsets, {},
            [&](const GemmTile &tile, ValueRange) {
              Value weightRow = b.add(b.mul(tile.matrix, shape.n), tile.column);
              Value weightRows = b.sub(b.i32(shape.n), tile.column);
              // Groups of copies as in GemmSm80.cpp.
              auto copy = [&](Value k, Value stage) {
                b.ifThen(b.less(k, depth), [&] {
                  Value column = b.mul(k, config.tileK);
                  Value columnA = column;
                  if (shape.heads)
                    columnA = b.add(column,
                                    b.mul(tile.matrix, arguments.headStrideA));
                  b.cpAsync(arguments.matrixA, tile.row, columnA,
                            arguments.strideA, tile.rows,
                            b.sharedStage(bufferA, stage),
                            b.sub(b.i32(shape.k), column));
                  b.cpAsync(arguments.weight, weightRow, b.mul(k, dataBytes),
                            stride, weightRows, b.sharedStage(bufferW, stage));
                  b.cpAsync(arguments.weight, weightRow,
                            b.add(b.mul(b.div(k, kScaleBytes / 4), kScaleBytes),
                                  firstScale),
                            stride, weightRows,
                            b.sharedStage(bufferScales, stage));
                });
                b.cpAsyncCommit();
              };
              for (int64_t k = 0; k + 1 < config.stages; ++k)
                copy(b.i32(k), b.i32(k));
              SmallVector<Value> init = {zero};
              init.append(
                  parts, b.splat(0, b.fragment(16, config.tileM, /*warps=*/1)));
              SmallVector<Value> state = b.forLoop(
                  zero, depth, one, init, [&](Value k, ValueRange inner) {
                    Value stage = inner[0];
                    b.cpAsyncWait(config.stages - 2);
                    // Everybody sees the stage, and is done with the one
                    // before, which is filled next.
                    b.barrier(1, threads);
                    Value ahead = b.add(k, config.stages - 1);
                    copy(ahead, b.rem(b.add(stage, config.stages - 1), stages));
                    Value rows = b.sharedStage(bufferA, stage);
                    SmallVector<Value> next = {
                        b.rem(b.add(stage, one), stages)};
                    for (auto [part, sum] : llvm::enumerate(inner.drop_front()))
                      next.push_back(
                          b.mma(unpackGemmBlocks(
                                    b, shape, b.sharedStage(bufferW, stage),
                                    b.sharedStage(bufferScales, stage),
                                    firstRow, warpRows, /*warps=*/1, k, part),
                                rows, sum));
                    return next;
                  });
              emitBlockGemmEpilogue(b, shape, arguments, tile,
                                    ArrayRef(state).drop_front(),
                                    b.mul(warp, 16));
              // The next tile's copies overwrite what slower warps still read.
              b.barrier(1, threads);
              return SmallVector<Value>{};
            });
      });
  return b.getKernel();
}
