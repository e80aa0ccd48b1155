//===- QuantTile.cpp - Register tiles of integer products -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "QuantTile.h"

#include "dsv2/Support/BlockFormat.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

//===----------------------------------------------------------------------===//
// Bytes in memory
//===----------------------------------------------------------------------===//

/// `type`, read at byte `at` of `slice`.
static Value loadBytes(KernelBuilder &b, const Slice &slice, Value at,
                       VectorType type) {
  int64_t bytes = type.getNumElements() * type.getElementTypeBitWidth() / 8;
  Value loaded = vector::LoadOp::create(
      b, VectorType::get({bytes}, b.getI8Type()), slice.memref, slice.at({at}));
  if (type.getElementType().isInteger(8))
    return loaded;
  return vector::BitCastOp::create(b, type, loaded);
}

/// A scalar of 4 bytes at byte `at`, in every lane.
static Value broadcastBytes(KernelBuilder &b, const Slice &slice, Value at,
                            Type type) {
  Value one = loadBytes(b, slice, at, VectorType::get({1}, type));
  return b.broadcast(vector::ExtractOp::create(b, one, ArrayRef<int64_t>{0}));
}

//===----------------------------------------------------------------------===//
// Dot products of bytes
//===----------------------------------------------------------------------===//

static Value callIntrinsic(KernelBuilder &b, StringRef name, Type result,
                           ValueRange operands) {
  return LLVM::CallIntrinsicOp::create(b, result, b.getStringAttr(name),
                                       operands)
      .getResult(0);
}

/// sum[i] + the four products of bytes 4 i to 4 i + 3 of `w`, unsigned, and
/// `x`, signed. `x` holds no -128.
static Value emitByteDot(KernelBuilder &b, Value sum, Value w, Value x) {
  const CPUTargetInfo &target = b.getTarget();
  int64_t bits = target.vectorBits;
  Type sums = sum.getType();
  if (target.hasVNNI && bits >= 256)
    return callIntrinsic(b, ("llvm.x86.avx512.vpdpbusd." + Twine(bits)).str(),
                         sums, {sum, w, x});

  // Without the instruction pairs are summed in 16 bits, where 2 * 255 * 127
  // does not fit. Sum the even and the odd bytes apart, each widened: what is
  // left of a pair is one product.
  int64_t lanes = b.lanes();
  auto words = VectorType::get({2 * lanes}, b.getI16Type());
  auto split = [&](Value bytes, bool isSigned) {
    Value pairs = vector::BitCastOp::create(b, words, bytes);
    Value eight = arith::ConstantOp::create(
        b, DenseElementsAttr::get(words, b.getI16IntegerAttr(8)));
    Value high = pairs, low = arith::ShLIOp::create(b, pairs, eight);
    auto down = [&](Value value) -> Value {
      if (isSigned)
        return arith::ShRSIOp::create(b, value, eight);
      return arith::ShRUIOp::create(b, value, eight);
    };
    return std::make_pair(down(low), down(high));
  };
  auto [wEven, wOdd] = split(w, /*isSigned=*/false);
  auto [xEven, xOdd] = split(x, /*isSigned=*/true);
  StringRef name = bits == 512   ? "llvm.x86.avx512.pmaddw.d.512"
                   : bits == 256 ? "llvm.x86.avx2.pmadd.wd"
                                 : "llvm.x86.sse2.pmadd.wd";
  Value even = callIntrinsic(b, name, sums, {wEven, xEven});
  Value odd = callIntrinsic(b, name, sums, {wOdd, xOdd});
  return arith::AddIOp::create(b, sum, arith::AddIOp::create(b, even, odd));
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

namespace {

/// Reads the panels of one format.
class PanelReader {
public:
  PanelReader(KernelBuilder &b, PanelFormat format)
      : b(b), format(format), blocks(*getBlockFormat(format)),
        width(b.getTarget().panelWidth()), lanes(b.lanes()) {}

  /// Groups of 4 bytes a lane that come from one load.
  int64_t groupsAtOnce() const { return format == PanelFormat::Q8 ? 1 : 2; }

  /// The unsigned bytes of groups `group`, ... for one half of the columns of
  /// block `k`.
  SmallVector<Value> getGroups(const Slice &panel, Value k, int64_t group,
                               int64_t half) const {
    auto bytes = VectorType::get({4 * lanes}, b.getI8Type());
    int64_t index = group / groupsAtOnce();
    Value loaded = load(panel, k, (index * width + half * lanes) * 4, bytes);
    if (format == PanelFormat::Q8)
      return {loaded};
    // There is no shift of bytes; what words shift across is masked.
    Value mask = arith::ConstantOp::create(
        b, DenseElementsAttr::get(bytes, b.getI8IntegerAttr(15)));
    auto words = VectorType::get({2 * lanes}, b.getI16Type());
    Value four = arith::ConstantOp::create(
        b, DenseElementsAttr::get(words, b.getI16IntegerAttr(4)));
    Value high = arith::ShRUIOp::create(
        b, vector::BitCastOp::create(b, words, loaded), four);
    high = vector::BitCastOp::create(b, bytes, high);
    return {arith::AndIOp::create(b, loaded, mask),
            arith::AndIOp::create(b, high, mask)};
  }

  /// The scales of one half of the columns of block `k`, as f32.
  Value getScales(const Slice &panel, Value k, int64_t half) const {
    int64_t first = blocks.elements * blocks.elementBits / 8 * width +
                    half * lanes * blocks.scaleBytes;
    if (format == PanelFormat::Q8)
      return b.widen(
          load(panel, k, first, VectorType::get({lanes}, b.getBF16Type())));
    Value codes =
        load(panel, k, first, VectorType::get({lanes}, b.getI8Type()));
    // Sign-extended and shifted, the sign stands at its place and at that of
    // the exponent's highest bit, which is always set.
    VectorType words = b.vecType(b.getI16Type());
    auto constant = [&](int64_t value) {
      return arith::ConstantOp::create(
          b, DenseElementsAttr::get(words, b.getI16IntegerAttr(value)));
    };
    Value bits = arith::ShLIOp::create(
        b, arith::ExtSIOp::create(b, words, codes), constant(7));
    bits = arith::OrIOp::create(b, bits, constant(0x4000));
    Value halves =
        vector::BitCastOp::create(b, b.vecType(b.getF16Type()), bits);
    return b.fmul(b.widen(halves), b.splat(0x1p-14f));
  }

  /// Where the integer sums of a row start: minus the sum of its bytes times
  /// the offset of the format, from -128 times that sum.
  Value getStart(Value correction) const {
    if (format == PanelFormat::Q8)
      return correction;
    return arith::ShRSIOp::create(b, correction, b.splatI32(4));
  }

private:
  Value load(const Slice &panel, Value k, int64_t byte, VectorType type) const {
    Slice block = panel;
    block.prefix.push_back(k);
    return loadBytes(b, block, b.index(byte), type);
  }

  KernelBuilder &b;
  PanelFormat format;
  const BlockFormat &blocks;
  int64_t width, lanes;
};

} // namespace

/// What a tile fetches while it works on block k of its panel: `lines` cache
/// lines (of 64 bytes) from byte `first` + k * `stride` on, counted from the
/// start of the panel.
namespace {
struct ReadAhead {
  Value first, stride, lines;
};
} // namespace

static constexpr int64_t kCacheLine = 64;

static void emitReadAhead(KernelBuilder &b, const Slice &panel, Value k,
                          const ReadAhead &ahead, bool keepClose) {
  Value from = b.add(ahead.first, b.mul(k, ahead.stride));
  // All of it lies within the panel and what follows it in memory, counted
  // from the panel's block 0.
  Slice start = panel;
  start.prefix.push_back(b.index(0));
  b.forEach(b.index(0), ahead.lines, [&](Value line) {
    memref::PrefetchOp::create(
        b, start.memref, start.at({b.add(from, b.mul(line, kCacheLine))}),
        /*isWrite=*/false, /*localityHint=*/keepClose ? 3 : 2,
        /*isDataCache=*/true);
  });
}

TileSums dsv2::cpu::emitQuantTile(KernelBuilder &b, ArrayRef<Slice> rows,
                                  const Slice &panel, Value blocks,
                                  PanelFormat format, const TilePass &pass,
                                  int64_t panelStride) {
  using Activation = QuantizedActivation;
  constexpr int64_t kGroup = 4; // bytes of a lane that one instruction takes
  // How far ahead of its use one stream of weights is read. Measured on a
  // Zen 5: from 2 to 4 KiB the same, half as much or twice as much is slower.
  constexpr int64_t kDistance = 4096;
  int64_t numRows = rows.size();
  auto bytes = VectorType::get({kGroup * b.lanes()}, b.getI8Type());
  PanelReader reader(b, format);
  int64_t numGroups = getBlockFormat(format)->elements / kGroup;
  int64_t blockBytes =
      getBlockFormat(format)->panelBytes(b.getTarget().panelWidth());
  int64_t blockLines = llvm::divideCeil(blockBytes, kCacheLine);

  ReadAhead near = {b.index(llvm::alignTo(kDistance, blockBytes)),
                    b.index(blockBytes), b.index(blockLines)};
  ReadAhead ahead = near;
  // walkEvenTiles makes no tiles of less than half the height where there are
  // several.
  bool mayShare = pass.passes && 2 * numRows >= getQuantTileRows(b.getTarget());
  if (mayShare) {
    Value lines = b.ceilDiv(b.index(blockLines), pass.passes);
    Value stride = b.mul(lines, kCacheLine);
    ReadAhead far = {b.add(b.mul(blocks, blockBytes * panelStride),
                           b.mul(b.mul(pass.pass, blocks), stride)),
                     stride, lines};
    Value alone = b.eq(pass.passes, b.index(1));
    ahead = {b.select(alone, near.first, far.first),
             b.select(alone, near.stride, far.stride),
             b.select(alone, near.lines, far.lines)};
  }

  auto block = [&](Value k, ValueRange state) {
    if (pass.passes)
      emitReadAhead(b, panel, k, ahead, /*keepClose=*/!mayShare);
    Value xAt = b.mul(k, Activation::kBlockBytes);
    SmallVector<Value> ints;
    for (const Slice &row : rows) {
      Value correction = broadcastBytes(
          b, row, b.add(xAt, Activation::kCorrectionByte), b.getI32Type());
      ints.append(2, reader.getStart(correction));
    }
    for (int64_t group = 0; group < numGroups; group += reader.groupsAtOnce()) {
      SmallVector<SmallVector<Value>> xs(reader.groupsAtOnce());
      for (auto [i, x] : llvm::enumerate(xs))
        for (const Slice &row : rows)
          x.push_back(vector::BitCastOp::create(
              b, bytes,
              broadcastBytes(
                  b, row,
                  b.add(xAt, (group + static_cast<int64_t>(i)) * kGroup),
                  b.getI32Type())));
      for (int64_t half : {0, 1})
        for (auto [i, w] :
             llvm::enumerate(reader.getGroups(panel, k, group, half)))
          for (int64_t r = 0; r < numRows; ++r) {
            Value &sum = ints[2 * r + half];
            sum = emitByteDot(b, sum, w, xs[i][r]);
          }
    }

    SmallVector<Value> next(state.begin(), state.end());
    SmallVector<Value> xScales;
    for (const Slice &row : rows)
      xScales.push_back(broadcastBytes(
          b, row, b.add(xAt, Activation::kScaleByte), b.getF32Type()));
    for (int64_t half : {0, 1}) {
      Value wScale = reader.getScales(panel, k, half);
      for (int64_t r = 0; r < numRows; ++r) {
        int64_t at = 2 * r + half;
        Value sum = arith::SIToFPOp::create(b, b.f32VecType(), ints[at]);
        next[at] = b.fma(sum, b.fmul(wScale, xScales[r]), next[at]);
      }
    }
    return next;
  };

  SmallVector<Value> sums(numRows * 2, b.splat(0.0f));
  sums = b.forCarry(b.index(0), blocks, b.index(1), sums, block);
  return TileSums(std::move(sums), /*panels=*/1);
}

int64_t dsv2::cpu::getQuantTileRows(const CPUTargetInfo &target) {
  return target.vectorRegisters >= 32 ? 6 : 3;
}
