//===- QuantKernels.cpp - Quantisation of rows and of weights -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/QuantKernels.h"

#include "ByteDot.h"
#include "QuantTile.h"
#include "dsv2/CodeGen/CPU/VectorMath.h"
#include "dsv2/Support/BlockFormat.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

MemRefType dsv2::cpu::getQuantizedActivationType(MLIRContext *context,
                                                 int64_t rank) {
  return getStridedType(IntegerType::get(context, 8), rank);
}

//===----------------------------------------------------------------------===//
// One block
//===----------------------------------------------------------------------===//

namespace {
/// 32 adjacent elements of a row, zero where the row has ended.
struct BlockOfRow {
  SmallVector<Value> vectors;
  /// Largest magnitude and largest value; NaN if there is one.
  Value largest, highest;
};
} // namespace

static BlockOfRow loadBlock(KernelBuilder &b, const Slice &row, Value first,
                            Value columns) {
  int64_t lanes = b.lanes(), count = kQ8Format.elements / lanes;
  auto load = [&](bool whole) {
    SmallVector<Value> vectors;
    for (int64_t i = 0; i < count; ++i) {
      Value at = b.add(first, i * lanes);
      Value left = whole ? Value() : b.max(b.sub(columns, at), 0);
      // What is not read must not be addressed beyond the row either.
      vectors.push_back(b.load(row.memref, row.at({at}), left));
    }
    return vectors;
  };
  BlockOfRow block;
  block.vectors = b.ifYield(
      b.le(b.add(first, kQ8Format.elements), columns),
      [&] { return load(true); }, [&] { return load(false); });
  for (Value v : block.vectors) {
    Value magnitude = math::AbsFOp::create(b, v);
    block.largest =
        block.largest ? b.fmax(block.largest, magnitude) : magnitude;
    block.highest = block.highest ? b.fmax(block.highest, v) : v;
  }
  block.largest = b.reduceMax(block.largest);
  block.highest = b.reduceMax(block.highest);
  return block;
}

/// round(v * inverse) to the nearest integer, ties to even, as i32. Values that
/// are not finite come out as anything in range: the scale tells of them.
static Value emitRound(KernelBuilder &b, Value v, Value inverse) {
  Value limit = b.splat(127.0f);
  Value scaled = b.fmul(v, inverse);
  // emitMax and its mirror return a number even for a NaN.
  scaled = emitMax(b, scaled, b.fneg(limit));
  scaled =
      b.select(b.fcmp(arith::CmpFPredicate::OLT, scaled, limit), scaled, limit);
  Value rounded = math::RoundEvenOp::create(b, scaled);
  return arith::FPToSIOp::create(b, b.vecType(b.getI32Type()), rounded);
}

Value dsv2::cpu::emitInverse(KernelBuilder &b, Value scale) {
  Value zero = b.f32(0.0f);
  return b.select(b.fcmp(arith::CmpFPredicate::OEQ, scale, zero), zero,
                  b.fdiv(b.f32(1.0f), scale));
}

static Value toBytes(KernelBuilder &b, Value ints) {
  return arith::TruncIOp::create(b, b.vecType(b.getI8Type()), ints);
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

void dsv2::cpu::emitQuantizedBlock(KernelBuilder &b, const Slice &row,
                                   Value first, const Slice &to, Value k,
                                   Value columns) {
  using Activation = QuantizedActivation;
  BlockOfRow block = loadBlock(b, row, first, columns);
  Value scale = b.fmul(block.largest, b.f32(1.0f / 127));
  Value inverse = b.broadcast(emitInverse(b, scale));
  Value at = b.mul(k, Activation::kBlockBytes);
  Value sum;
  for (auto [i, v] : llvm::enumerate(block.vectors)) {
    Value ints = emitRound(b, v, inverse);
    sum = sum ? Value(arith::AddIOp::create(b, sum, ints)) : ints;
    vector::StoreOp::create(
        b, toBytes(b, ints), to.memref,
        to.at({b.add(at, static_cast<int64_t>(i) * b.lanes())}));
  }
  Value correction = ByteDot::emitCorrection(b, sum);
  auto store = [&](Value value, int64_t byte) {
    Value one = vector::BroadcastOp::create(
        b, VectorType::get({1}, value.getType()), value);
    Value bytes =
        vector::BitCastOp::create(b, VectorType::get({4}, b.getI8Type()), one);
    vector::StoreOp::create(b, bytes, to.memref, to.at({b.add(at, byte)}));
  };
  store(scale, Activation::kScaleByte);
  store(correction, Activation::kCorrectionByte);
}

func::FuncOp dsv2::cpu::getOrCreateQuantizeRowsKernel(
    ModuleOp module, const CPUTargetInfo &target, int64_t rank) {
  assert((rank == 2 || rank == 3) && "rows of tokens, or of heads of tokens");
  MLIRContext *context = module.getContext();
  return getOrCreateRowKernel(
      module, rank == 2 ? "dsv2_quantize_rows" : "dsv2_quantize_heads", target,
      {getActivationType(context, rank),
       getQuantizedActivationType(context, rank)},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value columns = b.dim(args[0], rank - 1), zero = b.index(0);
        Value blocks = b.ceilDiv(columns, kQ8Format.elements);
        auto quantize = [&](ArrayRef<Value> prefix) {
          Slice row{args[0], SmallVector<Value, 4>(prefix)};
          Slice to{args[1], row.prefix};
          b.forEach(zero, blocks, [&](Value k) {
            emitQuantizedBlock(b, row, b.mul(k, kQ8Format.elements), to, k,
                               columns);
          });
        };
        auto [first, last] = b.share(b.dim(args[0], 0), part, parts);
        b.forEach(first, last, [&](Value t) {
          if (rank == 2)
            return quantize(t);
          b.forEach(zero, b.dim(args[0], 1),
                    [&](Value head) { quantize({t, head}); });
        });
      });
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

std::pair<Value, Value> dsv2::cpu::roundToBF16(KernelBuilder &b, Value value) {
  // By way of integers: a scalar of type bf16 makes LLVM call a library.
  Value bits = vector::BitCastOp::create(b, b.vecType(b.getI16Type()),
                                         b.narrowToBF16(b.broadcast(value)));
  bits = vector::ExtractOp::create(b, bits, ArrayRef<int64_t>{0});
  Value wide = arith::ExtUIOp::create(b, b.getI32Type(), bits);
  wide = arith::ShLIOp::create(b, wide, b.i32(16));
  Value rounded = arith::BitcastOp::create(b, b.getF32Type(), wide);
  return {rounded, bits};
}

/// Calls `pack` for each of `blocks` blocks of each of `rows` rows: with the
/// block's number, the row's, and the block. Rows past the end of the weight
/// are zeros, and so are blocks past the end of a row.
static void
forEachBlock(KernelBuilder &b, const PanelSource &src, int64_t rows,
             Value blocks,
             llvm::function_ref<void(Value, Value, const BlockOfRow &)> pack) {
  constexpr int64_t kElements = kQ8Format.elements;
  Value zero = b.index(0), numRows = b.index(rows);
  Value square;
  if (src.transposed)
    square = b.scratch({rows, kElements}, b.getF32Type());
  b.forEach(zero, blocks, [&](Value k) {
    if (src.transposed) {
      // Blocks run down the columns of the source: turn the panel's over.
      b.forEach(zero, b.index(kElements), [&](Value j) {
        Value row = b.add(b.mul(k, kElements), j);
        b.forEach(zero, numRows, [&](Value n) {
          Value column = b.add(src.first, n);
          Value valid =
              b.logicalAnd(b.lt(row, src.depth), b.lt(column, src.width));
          Value value = b.loadF32(
              src.slice.memref, src.slice.at({b.select(valid, row, zero),
                                              b.select(valid, column, zero)}));
          b.storeScalar(b.select(valid, value, b.f32(0.0f)), square, {n, j});
        });
      });
      b.forEach(zero, numRows, [&](Value n) {
        pack(k, n, loadBlock(b, {square, {n}}, zero, b.index(kElements)));
      });
      return;
    }
    b.forEach(zero, numRows, [&](Value n) {
      // In place of padding a row is read that exists; its values are dropped.
      Value at = b.add(src.first, n);
      Value valid = b.lt(at, src.width);
      Slice row{src.slice.memref, src.slice.at({b.select(valid, at, zero)})};
      BlockOfRow block = loadBlock(b, row, b.mul(k, kElements), src.depth);
      for (Value &v : block.vectors)
        v = b.select(valid, v, b.splat(0.0f));
      block.largest = b.select(valid, block.largest, b.f32(0.0f));
      block.highest = b.select(valid, block.highest, b.f32(0.0f));
      pack(k, n, block);
    });
  });
}

namespace {
/// A block as multiples of a scale: vectors of q as i32, and the scale as its
/// format stores it, an integer.
struct QuantizedBlock {
  SmallVector<Value> ints;
  Value scale;
};
} // namespace

/// Blocks of all rows of a panel.
static void forEachPanelBlock(
    KernelBuilder &b, const PanelSource &src,
    llvm::function_ref<void(Value, Value, const BlockOfRow &)> pack) {
  forEachBlock(b, src, b.getTarget().panelWidth(),
               b.ceilDiv(src.depth, kQ8Format.elements), pack);
}

static QuantizedBlock quantizeQ8(KernelBuilder &b, const BlockOfRow &block) {
  // The scale is rounded first, and the elements to multiples of what it was
  // rounded to.
  auto [scale, stored] =
      roundToBF16(b, b.fmul(block.largest, b.f32(1.0f / 127)));
  Value inverse = b.broadcast(emitInverse(b, scale));
  QuantizedBlock result;
  for (Value v : block.vectors)
    result.ints.push_back(emitRound(b, v, inverse));
  result.scale = stored;
  return result;
}

/// The bytes of `scale`, an integer, as a vector.
static Value toScaleBytes(KernelBuilder &b, Value scale) {
  int64_t bytes = scale.getType().getIntOrFloatBitWidth() / 8;
  Value one = vector::BroadcastOp::create(
      b, VectorType::get({1}, scale.getType()), scale);
  if (bytes == 1)
    return one;
  return vector::BitCastOp::create(b, VectorType::get({bytes}, b.getI8Type()),
                                   one);
}

void dsv2::cpu::packQ8Panel(KernelBuilder &b, const PanelSource &src,
                            const Slice &dst) {
  constexpr int64_t kGroup = 4;
  int64_t lanes = b.lanes(), panelWidth = b.getTarget().panelWidth();
  auto pair = VectorType::get({kGroup}, b.getI8Type());
  auto packBlock = [&](Value k, Value n, const BlockOfRow &block) {
    QuantizedBlock quantized = quantizeQ8(b, block);
    Value offset = b.splatI32(128);
    auto at = [&](Value byte) {
      SmallVector<Value> indices = dst.at({k});
      indices.push_back(byte);
      return indices;
    };
    for (auto [i, ints] : llvm::enumerate(quantized.ints)) {
      Value bytes = toBytes(b, arith::AddIOp::create(b, ints, offset));
      for (int64_t j = 0; j < lanes; j += kGroup) {
        Value four = vector::ExtractStridedSliceOp::create(
            b, pair, bytes, b.getI64ArrayAttr({j}), b.getI64ArrayAttr({kGroup}),
            b.getI64ArrayAttr({1}));
        int64_t group = (static_cast<int64_t>(i) * lanes + j) / kGroup;
        Value byte = b.add(b.mul(n, kGroup), group * kGroup * panelWidth);
        vector::StoreOp::create(b, four, dst.memref, at(byte));
      }
    }
    vector::StoreOp::create(b, toScaleBytes(b, quantized.scale), dst.memref,
                            at(b.add(b.mul(n, kQ8Format.scaleBytes),
                                     kQ8Format.elements * panelWidth)));
  };
  forEachPanelBlock(b, src, packBlock);
}

/// The scale that `code` (i32), a byte of q4 without its sign, stands for.
static Value decodeQ4Scale(KernelBuilder &b, Value code) {
  Value bits = arith::AddIOp::create(
      b, arith::ShLIOp::create(b, code, b.i32(20)), b.i32((127 - 13) << 23));
  return arith::BitcastOp::create(b, b.getF32Type(), bits);
}

static QuantizedBlock quantizeQ4(KernelBuilder &b, const BlockOfRow &block) {
  // q for a scale: rounded to nearest even, from -8 to 7, as floats.
  auto quantize = [&](Value v, Value inverse) {
    Value q = math::RoundEvenOp::create(b, b.fmul(v, inverse));
    q = emitMax(b, q, b.splat(-8.0f));
    return b.select(b.fcmp(arith::CmpFPredicate::OLT, q, b.splat(7.0f)), q,
                    b.splat(7.0f));
  };
  // The bits of a float above the 20th are its exponent and 3 of mantissa.
  Value bits = arith::BitcastOp::create(
      b, b.getI32Type(), b.fmul(block.largest, b.f32(1.0f / kQ4Divisor)));
  Value first = arith::SubIOp::create(
      b, arith::ShRUIOp::create(b, bits, b.i32(20)), b.i32((127 - 13) << 3));
  constexpr int last = kQ4LastCode - (kQ4Candidates - 1);
  Value base = b.min(b.max(first, b.i32(0)), b.i32(last));
  // The largest element gets the one q more that is below zero.
  Value isNegative =
      b.fcmp(arith::CmpFPredicate::OEQ, block.highest, block.largest);
  auto signedScale = [&](Value code) {
    Value scale = decodeQ4Scale(b, code);
    return b.select(isNegative, b.fneg(scale), scale);
  };
  Value bestCode, bestError;
  for (int candidate = 0; candidate < kQ4Candidates; ++candidate) {
    Value code = arith::AddIOp::create(b, base, b.i32(candidate));
    Value scale = signedScale(code);
    Value scales = b.broadcast(scale);
    Value inverse = b.broadcast(b.fdiv(b.f32(1.0f), scale));
    Value error;
    for (Value v : block.vectors) {
      Value d = b.fsub(v, b.fmul(quantize(v, inverse), scales));
      Value square = b.fmul(d, d);
      error = error ? b.fadd(error, square) : square;
    }
    error = b.reduceAdd(error);
    if (!bestCode) {
      bestCode = code, bestError = error;
      continue;
    }
    Value better = b.fcmp(arith::CmpFPredicate::OLT, error, bestError);
    bestCode = b.select(better, code, bestCode);
    bestError = b.select(better, error, bestError);
  }
  Value inverse = b.broadcast(b.fdiv(b.f32(1.0f), signedScale(bestCode)));
  // Too large, infinite or NaN: all of these have larger bits.
  Value isReached = b.le(first, b.i32(last));
  Value sign = b.select(isNegative, b.i32(0x80), b.i32(0));
  bestCode = b.select(isReached, arith::OrIOp::create(b, bestCode, sign),
                      b.i32(kQ4NaN));

  QuantizedBlock result;
  for (Value v : block.vectors)
    result.ints.push_back(arith::FPToSIOp::create(b, b.vecType(b.getI32Type()),
                                                  quantize(v, inverse)));
  result.scale = arith::TruncIOp::create(b, b.getI8Type(), bestCode);
  return result;
}

void dsv2::cpu::packQ4Panel(KernelBuilder &b, const PanelSource &src,
                            const Slice &dst) {
  constexpr int64_t kGroup = 4;
  int64_t lanes = b.lanes(), panelWidth = b.getTarget().panelWidth();
  auto four = VectorType::get({kGroup}, b.getI8Type());
  auto packBlock = [&](Value k, Value n, const BlockOfRow &block) {
    QuantizedBlock quantized = quantizeQ4(b, block);
    SmallVector<Value> bytes;
    for (Value ints : quantized.ints)
      bytes.push_back(
          toBytes(b, arith::AddIOp::create(b, ints, b.splatI32(8))));
    auto group = [&](int64_t g) -> Value {
      return vector::ExtractStridedSliceOp::create(
          b, four, bytes[g * kGroup / lanes],
          b.getI64ArrayAttr({g * kGroup % lanes}), b.getI64ArrayAttr({kGroup}),
          b.getI64ArrayAttr({1}));
    };
    auto at = [&](Value byte) {
      SmallVector<Value> indices = dst.at({k});
      indices.push_back(byte);
      return indices;
    };
    Value shift = arith::ConstantOp::create(
        b, DenseElementsAttr::get(four, b.getI8IntegerAttr(4)));
    int64_t pairs = kQ4Format.elements / (2 * kGroup);
    for (int64_t pair = 0; pair < pairs; ++pair) {
      Value high = arith::ShLIOp::create(b, group(2 * pair + 1), shift);
      Value both = arith::OrIOp::create(b, group(2 * pair), high);
      vector::StoreOp::create(
          b, both, dst.memref,
          at(b.add(b.mul(n, kGroup), pair * kGroup * panelWidth)));
    }
    vector::StoreOp::create(b, toScaleBytes(b, quantized.scale), dst.memref,
                            at(b.add(n, pairs * kGroup * panelWidth)));
  };
  forEachPanelBlock(b, src, packBlock);
}

/// Magnitudes of at most kFP8Largest and their signs as e4m3, to nearest, ties
/// to even.
static Value toE4M3(KernelBuilder &b, Value v) {
  auto i32 = b.vecType(b.getI32Type());
  auto bitsOf = [&](Value x) -> Value {
    return arith::BitcastOp::create(b, i32, x);
  };
  auto shifted = [&](Value x, int32_t bits) -> Value {
    return arith::ShRUIOp::create(b, x, b.splatI32(bits));
  };
  auto both = [&](Value x, int32_t bits) -> Value {
    return arith::AndIOp::create(b, x, b.splatI32(bits));
  };
  auto sum = [&](Value x, Value y) -> Value {
    return arith::AddIOp::create(b, x, y);
  };
  Value size = math::AbsFOp::create(b, v), bits = bitsOf(size);
  // Of f32's 23 bits of mantissa 3 stay, of its exponent 4 bits.
  Value rounding = sum(both(shifted(bits, 20), 1), b.splatI32(0x7FFFF));
  Value normal =
      sum(shifted(sum(bits, rounding), 20), b.splatI32(-((127 - 7) << 3)));
  // Below 2^-6 multiples of 2^-9: the unit in the last place of 2^14.
  Value magic = b.splat(0x1p14f);
  Value subnormal = arith::SubIOp::create(
      b, bitsOf(arith::AddFOp::create(b, size, magic)), bitsOf(magic));
  Value isSubnormal = b.fcmp(arith::CmpFPredicate::OLT, size, b.splat(0x1p-6f));
  Value sign = both(shifted(bitsOf(v), 24), 0x80);
  return arith::OrIOp::create(b, b.select(isSubnormal, subnormal, normal),
                              sign);
}

static QuantizedBlock quantizeFP8(KernelBuilder &b, const BlockOfRow &block) {
  auto constant = [&](int32_t value) { return b.i32(value); };
  Value bits = arith::BitcastOp::create(b, b.getI32Type(), block.largest);
  // The next power of two if the mantissa is above that of kFP8Largest, 1.75.
  Value up = arith::AddIOp::create(b, bits, constant(0x7FFFFF - 0x600000));
  Value power = arith::SubIOp::create(
      b, arith::AndIOp::create(b, up, constant(0x7F800000)), constant(8 << 23));
  Value scale = arith::MaxSIOp::create(b, power, constant(1 << 23));
  Value inverse = arith::BitcastOp::create(
      b, b.getF32Type(), arith::SubIOp::create(b, constant(254 << 23), scale));
  Value factor = b.broadcast(inverse);
  QuantizedBlock result;
  for (Value v : block.vectors)
    result.ints.push_back(toE4M3(b, b.fmul(v, factor)));
  Value isFinite = b.fcmp(arith::CmpFPredicate::OLT, block.largest,
                          b.f32(std::numeric_limits<float>::infinity()));
  Value stored = b.select(isFinite, scale, constant(0x7FC00000));
  result.scale = arith::TruncIOp::create(
      b, b.getIntegerType(16), arith::ShRUIOp::create(b, stored, constant(16)));
  return result;
}

static QuantizedBlock quantize(KernelBuilder &b, PanelFormat format,
                               const BlockOfRow &block) {
  switch (format) {
  case PanelFormat::Q8:
    return quantizeQ8(b, block);
  case PanelFormat::Q4:
    return quantizeQ4(b, block);
  case PanelFormat::FP8:
    return quantizeFP8(b, block);
  case PanelFormat::F32:
  case PanelFormat::BF16:
    break;
  }
  llvm_unreachable("a format without blocks");
}

/// Writes the elements of block number `block` of a group that starts at
/// `group` (BlockFormat.h).
static void storeBlock(KernelBuilder &b, PanelFormat format,
                       ArrayRef<Value> ints, Value block, const Slice &dst,
                       Value group) {
  constexpr int64_t kWord = 4, kPieceWords = 2;
  int64_t lanes = b.lanes();
  auto word = VectorType::get({kWord}, b.getI8Type());
  SmallVector<Value> words;
  for (Value values : ints) {
    if (format == PanelFormat::Q4)
      values = arith::AddIOp::create(b, values, b.splatI32(8));
    Value bytes = toBytes(b, values);
    for (int64_t lane = 0; lane < lanes; lane += kWord)
      words.push_back(vector::ExtractStridedSliceOp::create(
          b, word, bytes, b.getI64ArrayAttr({lane}), b.getI64ArrayAttr({kWord}),
          b.getI64ArrayAttr({1})));
  }
  auto store = [&](Value bytes, Value at) {
    vector::StoreOp::create(b, bytes, dst.memref, dst.at({at}));
  };
  for (size_t i = 0; i < words.size(); i += kPieceWords) {
    Value low = words[i], high = words[i + 1];
    auto order = [&](ArrayRef<int64_t> elements) -> Value {
      return vector::ShuffleOp::create(b, low, high, elements);
    };
    Value piece = b.add(group, 16 * static_cast<int64_t>(i) / kPieceWords);
    if (format != PanelFormat::Q4) {
      Value at = b.add(piece, b.mul(block, 2 * kWord));
      store(order({0, 2, 1, 3}), at);
      store(order({4, 6, 5, 7}), b.add(at, kWord));
      continue;
    }
    Value shift = arith::ConstantOp::create(
        b, DenseElementsAttr::get(word, b.getI8IntegerAttr(4)));
    Value upper = arith::ShLIOp::create(b, order({2, 6, 3, 7}), shift);
    store(arith::OrIOp::create(b, order({0, 4, 1, 5}), upper),
          b.add(piece, b.mul(block, kWord)));
  }
}

void dsv2::cpu::packBlockRow(KernelBuilder &b, PanelFormat format,
                             const PanelSource &src, const Slice &dst) {
  const BlockFormat &blocks = *getBlockFormat(format);
  Value groups = b.ceilDiv(src.depth, blocks.groupElements());
  Value scales = b.mul(groups, BlockFormat::kGroupBytes);
  Value count = b.mul(groups, blocks.groupBlocks());
  forEachBlock(
      b, src, /*rows=*/1, count, [&](Value k, Value, const BlockOfRow &block) {
        QuantizedBlock quantized = quantize(b, format, block);
        storeBlock(
            b, format, quantized.ints, b.rem(k, blocks.groupBlocks()), dst,
            b.mul(b.div(k, blocks.groupBlocks()), BlockFormat::kGroupBytes));
        vector::StoreOp::create(
            b, toScaleBytes(b, quantized.scale), dst.memref,
            dst.at({b.add(scales, b.mul(k, blocks.scaleBytes))}));
      });
  int64_t last = cast<MemRefType>(dst.memref.getType()).getRank() - 1;
  Value zero = arith::ConstantOp::create(b, b.getI8IntegerAttr(0));
  b.forEach(b.add(scales, b.mul(count, blocks.scaleBytes)),
            b.dim(dst.memref, last),
            [&](Value at) { b.storeScalar(zero, dst.memref, dst.at({at})); });
}
