//===- GemmKernels.cpp - Products with weights on GPUs --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/GPU/GemmKernels.h"

#include "GemmParts.h"
#include "dsv2/CodeGen/GPU/KernelCosts.h"
#include "dsv2/CodeGen/GPU/KernelParameters.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

//===----------------------------------------------------------------------===//
// Configuration
//===----------------------------------------------------------------------===//

int64_t GemmConfig::threads(const GemmShape &shape) const {
  // Rows of the left operand: those of A, or of a weight in blocks.
  int64_t rows = shape.blocks() ? tileN / shape.parts() : tileM;
  // sm_90a: a warpgroup for each 64 rows and one for the producer. sm_80: a
  // warp for each 16 rows, each with all of the columns.
  return chip == "sm_90a" ? 128 * (rows / 64 + 1) : 2 * rows;
}

std::optional<std::string> gpu::explainUnsupported(const GemmShape &shape,
                                                   StringRef chip) {
  int64_t rows = shape.epilogue == GemmEpilogue::SwiGLU ? 16 : 8;
  // Pieces of 16 bytes; without the copy engine whole steps of a product, but
  // for weights in blocks, whose rows are filled up.
  int64_t depth = chip == "sm_90a" || shape.blocks() ? 8 : 16;
  if (shape.n < rows || shape.n % rows != 0)
    return "a product with weights of " + std::to_string(shape.n) +
           " rows: expected a multiple of " + std::to_string(rows);
  if (shape.heads && (shape.experts || shape.epilogue != GemmEpilogue::Store))
    return std::string("a product of heads: expected no experts and no "
                       "epilogue");
  if (shape.k < depth || shape.k % depth != 0)
    return "a product with weights of " + std::to_string(shape.k) +
           " columns: expected a multiple of " + std::to_string(depth) +
           " on " + chip.str();
  return std::nullopt;
}

GemmConfig gpu::chooseGemmConfig(StringRef chip, int64_t multiprocessors,
                                 const GemmShape &shape, int64_t rows) {
  if (shape.blocks())
    return chooseBlockGemmConfig(chip, multiprocessors, shape, rows);
  GemmConfig config;
  config.chip = chip.str();
  bool hopper = chip == "sm_90a";
  config.tileM = rows <= 64 ? 64 : 128;
  // The widest tile with work for every multiprocessor: rows are read again for
  // each tile of columns, so that wide is good once all have some.
  int64_t step = shape.epilogue == GemmEpilogue::SwiGLU ? 16 : 8;
  int64_t tilesM = llvm::divideCeil(rows, config.tileM) *
                   std::max<int64_t>(std::max(shape.experts, shape.heads), 1);
  config.tileN = hopper ? 16 : 32;
  for (int64_t width : {256, 192, 128, 96, 64, 32}) {
    // What a warp keeps of a row beside its addresses.
    if (!hopper && width > 128)
      continue;
    int64_t tilesN = llvm::divideCeil(shape.n, width);
    int64_t whole = llvm::alignTo(shape.n, 2 * step);
    if (width <= whole && tilesM * tilesN >= multiprocessors) {
      config.tileN = width;
      break;
    }
  }
  // A stage of small tiles is made deeper, for longer copies.
  config.tileK = hopper && shape.k % 128 == 0 && config.tileN <= 64 ? 128 : 64;
  if (!hopper) {
    while (shape.k % config.tileK != 0)
      config.tileK /= 2;
    // A piece of 16 bytes for each thread, at least.
    config.tileN =
        std::max(config.tileN, 8 * config.threads(shape) / config.tileK);
  }
  int64_t stageBytes = (config.tileM + config.tileN) * config.tileK * 2;
  int64_t budget = tile::getSharedLimit(chip) - 1024;
  config.stages = std::clamp<int64_t>(budget / stageBytes, 2, 8);
  if (!hopper)
    config.stages = std::min<int64_t>(config.stages, 4);
  return config;
}

std::string gpu::getGemmName(const GemmShape &shape, const GemmConfig &config) {
  std::string name = shape.experts ? "grouped_gemm" : "gemm";
  if (shape.experts)
    name += "_e" + std::to_string(shape.experts);
  if (shape.heads)
    name += "_h" + std::to_string(shape.heads);
  name += "_n" + std::to_string(shape.n) + "_k" + std::to_string(shape.k);
  if (shape.epilogue == GemmEpilogue::AddResidual)
    name += "_residual";
  if (shape.epilogue == GemmEpilogue::SwiGLU)
    name += "_swiglu";
  if (shape.blocks())
    name += ("_" + stringifyPackFormat(shape.format)).str();
  name += shape.f32Output ? "_f32" : "_bf16";
  name += "_" + config.chip + "_m" + std::to_string(config.tileM) + "n" +
          std::to_string(config.tileN) + "k" + std::to_string(config.tileK) +
          "s" + std::to_string(config.stages);
  return name;
}

GemmConfig gpu::chooseBlockGemmConfig(StringRef chip, int64_t multiprocessors,
                                      const GemmShape &shape, int64_t rows) {
  GemmConfig config;
  config.chip = chip.str();
  bool hopper = chip == "sm_90a";
  config.tileK = shape.blocks()->groupElements();
  // Sums of 64 rows of weights, or 16 in a warp, and as many rows of A take
  // tileM / 2 registers; gate and up have some each. The more rows, the less
  // often weights are unpacked.
  int64_t most = 128 / shape.parts();
  config.tileM = 16;
  while (config.tileM < std::min(rows, most))
    config.tileM *= 2;
  // Two groups of weights, if all multiprocessors have some then.
  int64_t tilesM = llvm::divideCeil(rows, config.tileM) *
                   std::max<int64_t>(std::max(shape.experts, shape.heads), 1);
  int64_t group = 64 * shape.parts();
  config.tileN = 2 * group;
  int64_t tilesN = llvm::divideCeil(shape.n, config.tileN);
  if (shape.n <= group || tilesM * tilesN < multiprocessors)
    config.tileN = group;
  int64_t stageBytes = 2 * config.tileM * config.tileK +
                       config.tileN * (BlockFormat::kGroupBytes + kScaleBytes);
  int64_t budget = tile::getSharedLimit(chip) - 1024;
  config.stages = std::clamp<int64_t>(budget / stageBytes, 2, hopper ? 8 : 4);
  // No more than there are steps, but two.
  config.stages =
      std::clamp<int64_t>(shape.blocks()->groups(shape.k), 2, config.stages);
  return config;
}

//===----------------------------------------------------------------------===//
// Tiles of the output
//===----------------------------------------------------------------------===//

SmallVector<Value>
gpu::forEachGemmTile(TileBuilder &b, const GemmShape &shape,
                     const GemmConfig &config, Value rowsOrOffsets,
                     ValueRange init,
                     llvm::function_ref<SmallVector<Value>(const GemmTile &tile,
                                                           ValueRange state)>
                         body) {
  int64_t tilesN = llvm::divideCeil(shape.n, config.tileN);
  Value zero = b.i32(0), one = b.i32(1);
  if (!shape.experts) {
    Value tilesM = b.ceilDiv(rowsOrOffsets, config.tileM);
    Value tiles = b.mul(tilesM, tilesN);
    Value all = shape.heads ? b.mul(tiles, shape.heads) : tiles;
    return b.forLoop(b.blockId(), all, b.gridSize(), init,
                     [&](Value number, ValueRange state) {
                       GemmTile tile;
                       tile.matrix = zero;
                       if (shape.heads) {
                         tile.matrix = b.div(number, tiles);
                         number = b.rem(number, tiles);
                       }
                       // Blocks that run at the same time share weights and
                       // rows: bands of eight tiles of rows, walked column by
                       // column.
                       const int64_t band = 8;
                       Value inBand = b.i32(band * tilesN);
                       Value first = b.mul(b.div(number, inBand), band);
                       Value height = b.min(b.sub(tilesM, first), b.i32(band));
                       Value place = b.rem(number, inBand);
                       tile.row = b.mul(b.add(first, b.rem(place, height)),
                                        config.tileM);
                       tile.column = b.mul(b.div(place, height), config.tileN);
                       tile.rows = b.sub(rowsOrOffsets, tile.row);
                       return body(tile, state);
                     });
  }
  // Tiles are numbered expert by expert; every role of every block walks the
  // experts and takes the numbers that are its own.
  SmallVector<Value> state{b.blockId(), zero,
                           b.loadScalar(rowsOrOffsets, zero)};
  llvm::append_range(state, init);
  SmallVector<Value> result = b.forLoop(
      zero, b.i32(shape.experts), one, state,
      [&](Value expert, ValueRange carried) {
        Value next = carried[0], base = carried[1], start = carried[2];
        Value end = b.loadScalar(rowsOrOffsets, b.add(expert, one));
        Value tilesM = b.ceilDiv(b.sub(end, start), config.tileM);
        Value last = b.add(base, b.mul(tilesM, tilesN));
        SmallVector<Value> inner{next};
        llvm::append_range(inner, carried.drop_front(3));
        SmallVector<Value> after = b.forLoop(
            next, last, b.gridSize(), inner,
            [&](Value number, ValueRange innerState) {
              // Rows first: blocks that run at the same time share weights.
              Value place = b.sub(number, base);
              GemmTile tile;
              tile.matrix = expert;
              tile.row =
                  b.add(start, b.mul(b.rem(place, tilesM), config.tileM));
              tile.column = b.mul(b.div(place, tilesM), config.tileN);
              tile.rows = b.sub(end, tile.row);
              SmallVector<Value> yielded{b.add(number, b.gridSize())};
              llvm::append_range(yielded, body(tile, innerState.drop_front(1)));
              return yielded;
            });
        SmallVector<Value> yielded{after[0], last, end};
        llvm::append_range(yielded, ArrayRef(after).drop_front());
        return yielded;
      });
  return SmallVector<Value>(ArrayRef(result).drop_front(3));
}

//===----------------------------------------------------------------------===//
// Arguments and epilogue
//===----------------------------------------------------------------------===//

SmallVector<Type> gpu::getGemmArgumentTypes(MLIRContext *context,
                                            const GemmShape &shape,
                                            Type matrixA, Type weight,
                                            Type scales) {
  Builder types(context);
  Type i32 = types.getI32Type();
  Type element =
      shape.f32Output ? Type(types.getF32Type()) : Type(types.getBF16Type());
  Type output = tile::GlobalType::get(context, element);
  SmallVector<Type> arguments{matrixA, weight};
  if (scales)
    arguments.push_back(scales);
  arguments.push_back(output);
  if (shape.epilogue == GemmEpilogue::AddResidual)
    arguments.push_back(output);
  arguments.push_back(shape.experts ? tile::GlobalType::get(context, i32)
                                    : i32);
  if (shape.heads)
    arguments.append(isa<tile::TensorMapType>(matrixA) ? 2 : 4, i32);
  return arguments;
}

GemmArguments gpu::getGemmArguments(TileBuilder &b, const GemmShape &shape) {
  GemmArguments result;
  unsigned next = 0;
  result.matrixA = b.argument(next++);
  result.weight = b.argument(next++);
  if (shape.blocks() && isa<tile::TensorMapType>(result.weight.getType()))
    result.scales = b.argument(next++);
  result.output = b.argument(next++);
  if (shape.epilogue == GemmEpilogue::AddResidual)
    result.residual = b.argument(next++);
  result.rowsOrOffsets = b.argument(next++);
  if (!shape.heads) {
    result.outputStride = b.i32(shape.outputColumns());
    result.strideA = b.i32(shape.k);
    return result;
  }
  result.outputStride = b.argument(next++);
  result.outputHeadStride = b.argument(next++);
  if (!isa<tile::TensorMapType>(result.matrixA.getType())) {
    result.strideA = b.argument(next++);
    result.headStrideA = b.argument(next++);
  }
  return result;
}

Value gpu::emitGate(TileBuilder &b, Value gate, Value up) {
  const double log2e = 1.4426950408889634;
  Value power = b.exp2(b.fmul(gate, b.f32(-log2e)));
  return b.fmul(b.fdiv(gate, b.fadd(power, b.f32(1))), up);
}

void gpu::emitGemmEpilogue(TileBuilder &b, const GemmShape &shape,
                           const GemmArguments &arguments, const GemmTile &tile,
                           Value sums, Value row) {
  auto type = cast<tile::FragmentType>(sums.getType());
  // Few columns at a time: what is computed needs registers beside the sums.
  const int64_t step = type.getWarps() == 1 ? 16 : 32;
  bool swiGLU = shape.epilogue == GemmEpilogue::SwiGLU;
  Value column = swiGLU ? b.div(tile.column, 2) : tile.column;
  Value firstColumn;
  if (shape.heads)
    firstColumn = b.mul(tile.matrix, arguments.outputHeadStride);
  Value rows = b.sub(tile.rows, row);
  Value firstRow = b.add(tile.row, row);
  for (int64_t from = 0; from < type.getColumns();) {
    int64_t width = std::min(step, type.getColumns() - from);
    Value part = b.columns(sums, from, width);
    int64_t offset = from;
    from += width;
    if (swiGLU) {
      offset /= 2;
      auto half = b.fragment(type.getRows(), width / 2, type.getWarps());
      auto split = tile::SplitOp::create(b, half, half, part);
      part = b.map({split.getEven(), split.getOdd()}, half,
                   [&](ValueRange x) { return emitGate(b, x[0], x[1]); });
    }
    Value partColumn = b.add(column, offset);
    Value columns = b.sub(b.i32(shape.outputColumns()), partColumn);
    if (shape.heads)
      partColumn = b.add(partColumn, firstColumn);
    if (arguments.residual) {
      Value before = tile::LoadOp::create(
          b, part.getType(), arguments.residual, firstRow, partColumn,
          arguments.outputStride, rows, columns, /*transposed=*/false);
      part = b.map({part, before}, part.getType(),
                   [&](ValueRange x) { return b.fadd(x[0], x[1]); });
    }
    tile::StoreOp::create(b, part, arguments.output, firstRow, partColumn,
                          arguments.outputStride, rows, columns);
  }
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

tile::KernelOp gpu::getOrCreateGemm(ModuleOp module, const GemmShape &shape,
                                    const GemmConfig &config) {
  std::string name = getGemmName(shape, config);
  if (auto kernel = module.lookupSymbol<tile::KernelOp>(name))
    return kernel;
  bool hopper = config.chip == "sm_90a";
  auto create = shape.blocks()
                    ? hopper ? createBlockGemmSm90 : createBlockGemmSm80
                : hopper ? createGemmSm90
                         : createGemmSm80;
  tile::KernelOp kernel = create(module, name, shape, config);
  MLIRContext *c = module.getContext();
  SmallVector<KernelParameter> parameters;
  if (hopper) {
    SmallVector<int64_t> boxA = {config.tileM, 64}, boxW = {config.tileN, 64};
    if (shape.heads)
      boxA.insert(boxA.begin() + 1, 1);
    SmallVector<int64_t> boxScales = {config.tileN, kScaleBytes};
    if (shape.heads || shape.experts) {
      boxW.insert(boxW.begin(), 1);
      boxScales.insert(boxScales.begin(), 1);
    }
    parameters = {tensorMapOf(c, 0, boxA)};
    if (shape.blocks())
      parameters.append({tensorMapOf(c, 1, boxW, BlockFormat::kGroupBytes),
                         tensorMapOf(c, 1, boxScales, 0)});
    else
      parameters.push_back(tensorMapOf(c, 1, boxW));
  } else {
    parameters = {pointerOf(c, 0), pointerOf(c, 1)};
  }
  bool residual = shape.epilogue == GemmEpilogue::AddResidual;
  int64_t output = 2 + residual + (shape.experts != 0);
  parameters.push_back(pointerOf(c, output));
  if (residual)
    parameters.push_back(pointerOf(c, 2));
  parameters.push_back(shape.experts ? pointerOf(c, output - 1)
                                     : sizeOf(c, 0, 0));
  if (shape.heads)
    parameters.append({strideOf(c, output, 0), strideOf(c, output, 1)});
  if (shape.heads && !hopper)
    parameters.append({strideOf(c, 0, 0), strideOf(c, 0, 1)});
  setParameters(kernel, parameters);
  setCostFacts(kernel, GemmFacts{shape, config});
  return kernel;
}
