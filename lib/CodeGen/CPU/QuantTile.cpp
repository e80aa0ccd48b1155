//===- QuantTile.cpp - Register tiles of integer products -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "QuantTile.h"

#include "PanelReader.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

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

namespace {

/// Dot products of a block: for each lane the sum over the block's groups of
/// four products of a weight's bytes and a row's, as the processor can do it.
///
///  - VPDPBUSD (AVX512-VNNI, AVX-VNNI) does all of it.
///  - VPMADDUBSW multiplies unsigned by signed bytes and adds pairs in 16 bits,
///    saturating. Halves of bytes are small enough for a whole block to be
///    summed like that: 16 products of 15 * 127. For whole bytes the sign moves
///    from the weight to the row, and 2 * 127 * 127 fits.
///  - VPMADDWD multiplies and adds words: bytes are widened, even and odd ones
///    apart.
///
/// The first and the last take weights as the unsigned bytes they are stored
/// as, and start from the correction that the row brings for the offset.
class ByteDot {
public:
  ByteDot(KernelBuilder &b, PanelFormat format) : b(b), format(format) {
    const CPUTargetInfo &target = b.getTarget();
    if (target.hasVNNI && target.vectorBits >= 256)
      kind = Kind::DotOfBytes;
    else if (target.hasFeature("ssse3") || target.vectorBits >= 256)
      kind = Kind::PairsOfBytes;
    else
      kind = Kind::PairsOfWords;
  }

  /// A group of a weight's bytes, made ready once for all rows.
  struct Weight {
    Value first, second;
  };

  Weight prepare(Value bytes) const {
    if (kind == Kind::PairsOfWords)
      return toWords(bytes, /*isSigned=*/false);
    if (!movesSign())
      return {bytes, {}};
    Value top = constant(bytes.getType(), -128);
    Value value = arith::XOrIOp::create(b, bytes, top);
    Value zero = constant(bytes.getType(), 0);
    Value magnitude =
        arith::MaxSIOp::create(b, value, arith::SubIOp::create(b, zero, value));
    return {magnitude, value};
  }

  /// The sum of no products. `correction` loads minus the offset of the weights
  /// times the sum of the row's bytes.
  Value start(llvm::function_ref<Value()> correction) const {
    if (sumsWords())
      return constant(wordsType(), 0);
    return movesSign() ? b.splatI32(0) : correction();
  }

  Value accumulate(Value sum, const Weight &w, Value x) const {
    switch (kind) {
    case Kind::DotOfBytes:
      return callIntrinsic(b,
                           ("llvm.x86.avx512.vpdpbusd." + Twine(bits())).str(),
                           sum.getType(), {sum, w.first, x});
    case Kind::PairsOfBytes:
      if (sumsWords())
        return arith::AddIOp::create(b, sum, multiplyBytes(w.first, x));
      return arith::AddIOp::create(
          b, sum, addPairs(multiplyBytes(w.first, moveSign(w.second, x))));
    case Kind::PairsOfWords: {
      auto [even, odd] = toWords(x, /*isSigned=*/true);
      Value both = arith::AddIOp::create(b, multiplyWords(w.first, even),
                                         multiplyWords(w.second, odd));
      return arith::AddIOp::create(b, sum, both);
    }
    }
    llvm_unreachable("unknown kind");
  }

  /// The sum as i32.
  Value finish(Value sum, llvm::function_ref<Value()> correction) const {
    if (!sumsWords())
      return sum;
    return arith::AddIOp::create(b, addPairs(sum), correction());
  }

private:
  enum class Kind { DotOfBytes, PairsOfBytes, PairsOfWords };

  int64_t bits() const { return b.getTarget().vectorBits; }
  bool sumsWords() const {
    return kind == Kind::PairsOfBytes && format == PanelFormat::Q4;
  }
  bool movesSign() const {
    return kind == Kind::PairsOfBytes && format == PanelFormat::Q8;
  }
  VectorType wordsType() const {
    return VectorType::get({2 * b.lanes()}, b.getI16Type());
  }
  Value constant(Type type, int64_t value) const {
    auto vector = cast<VectorType>(type);
    return arith::ConstantOp::create(
        b, DenseElementsAttr::get(
               vector, b.getIntegerAttr(vector.getElementType(), value)));
  }
  /// An instruction of 128 bits (in `sse`), 256 or 512.
  Value call(StringRef sse, StringRef avx2, StringRef avx512, Type type,
             ValueRange operands) const {
    return callIntrinsic(b,
                         bits() == 512   ? avx512
                         : bits() == 256 ? avx2
                                         : sse,
                         type, operands);
  }
  Value multiplyBytes(Value w, Value x) const {
    return call("llvm.x86.ssse3.pmadd.ub.sw.128", "llvm.x86.avx2.pmadd.ub.sw",
                "llvm.x86.avx512.pmaddubs.w.512", wordsType(), {w, x});
  }
  Value multiplyWords(Value w, Value x) const {
    return call("llvm.x86.sse2.pmadd.wd", "llvm.x86.avx2.pmadd.wd",
                "llvm.x86.avx512.pmaddw.d.512", b.vecType(b.getI32Type()),
                {w, x});
  }
  Value addPairs(Value words) const {
    return multiplyWords(words, constant(wordsType(), 1));
  }
  /// x, negated where w is negative.
  Value moveSign(Value w, Value x) const {
    if (bits() != 512)
      return call("llvm.x86.ssse3.psign.b.128", "llvm.x86.avx2.psign.b", "",
                  x.getType(), {x, w});
    Value zero = constant(x.getType(), 0);
    Value negative = b.lt(w, zero);
    return b.select(negative, arith::SubIOp::create(b, zero, x), x);
  }
  /// The even and the odd bytes as words.
  Weight toWords(Value bytes, bool isSigned) const {
    Value pairs = vector::BitCastOp::create(b, wordsType(), bytes);
    Value eight = constant(wordsType(), 8);
    auto down = [&](Value value) -> Value {
      if (isSigned)
        return arith::ShRSIOp::create(b, value, eight);
      return arith::ShRUIOp::create(b, value, eight);
    };
    return {down(arith::ShLIOp::create(b, pairs, eight)), down(pairs)};
  }

  KernelBuilder &b;
  PanelFormat format;
  Kind kind;
};

} // namespace

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

/// With 16 registers the integer sums of a tall tile and what a group needs
/// take all of them. The float sums, used once a block, are on the stack
/// meanwhile.
static bool hasFewRegisters(const CPUTargetInfo &target) {
  return target.vectorRegisters < 32;
}

TileSums dsv2::cpu::emitQuantTile(KernelBuilder &b, ArrayRef<Slice> rows,
                                  const Slice &panel, Value blocks,
                                  PanelFormat format, const TilePass &pass,
                                  int64_t panelStride) {
  using Activation = QuantizedActivation;
  constexpr int64_t kGroup = PanelReader::kGroup;
  // How far ahead of its use one stream of weights is read. Measured on a
  // Zen 5: from 2 to 4 KiB the same, half as much or twice as much is slower.
  constexpr int64_t kDistance = 4096;
  int64_t numRows = rows.size();
  auto bytes = VectorType::get({kGroup * b.lanes()}, b.getI8Type());
  PanelReader reader(b, format);
  ByteDot dot(b, format);
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

  const Value zero = b.index(0), one = b.index(1), halves[] = {zero, one};

  // The sums of block k, [half][row], added to `state`. Group by group, so that
  // every row and half is a chain of its own.
  auto sumBlock = [&](Value k, ValueRange state) {
    Value xAt = b.mul(k, Activation::kBlockBytes);
    auto broadcast = [&](const Slice &row, Value byte, Type type) {
      return broadcastBytes(b, row, b.add(xAt, byte), type);
    };
    auto getCorrection = [&](const Slice &row) {
      return reader.getCorrection(
          broadcast(row, b.index(Activation::kCorrectionByte), b.getI32Type()));
    };
    SmallVector<Value> ints;
    for (size_t i = 0; i < std::size(halves); ++i)
      for (const Slice &row : rows)
        ints.push_back(dot.start([&] { return getCorrection(row); }));
    auto addLoad = [&](Value load, ValueRange state) {
      SmallVector<Value> sums(state);
      // All weights of the groups, then row after row: there are fewer of the
      // former, and an element of a row is needed only here.
      SmallVector<SmallVector<ByteDot::Weight>> weights;
      for (Value half : halves)
        weights.push_back(
            llvm::map_to_vector(reader.getGroups(panel, k, load, half),
                                [&](Value w) { return dot.prepare(w); }));
      Value first = b.mul(load, reader.groupsAtOnce() * kGroup);
      for (int64_t r = 0; r < numRows; ++r)
        for (int64_t i = 0; i < reader.groupsAtOnce(); ++i) {
          Value x = vector::BitCastOp::create(
              b, bytes,
              broadcast(rows[r], b.add(first, i * kGroup), b.getI32Type()));
          for (auto [half, own] : llvm::enumerate(weights)) {
            Value &sum = sums[half * numRows + r];
            sum = dot.accumulate(sum, own[i], x);
          }
        }
      return sums;
    };
    // Unrolled, LLVM moves the loads of all groups to the front, and with 16
    // registers that means to the stack.
    if (hasFewRegisters(b.getTarget())) {
      ints = b.forCarry(zero, b.index(reader.numLoads()), one, ints, addLoad);
      keepRolled(ints.front().getDefiningOp());
    } else {
      for (int64_t load = 0; load < reader.numLoads(); ++load)
        ints = addLoad(b.index(load), ints);
    }

    SmallVector<Value> next, xScales;
    for (const Slice &row : rows)
      xScales.push_back(
          broadcast(row, b.index(Activation::kScaleByte), b.getF32Type()));
    for (Value half : halves) {
      Value wScale = reader.getScales(panel, k, half);
      for (int64_t r = 0; r < numRows; ++r) {
        int64_t at = next.size();
        Value sum = arith::SIToFPOp::create(
            b, b.f32VecType(),
            dot.finish(ints[at], [&] { return getCorrection(rows[r]); }));
        next.push_back(b.fma(sum, b.fmul(wScale, xScales[r]), state[at]));
      }
    }
    return next;
  };

  SmallVector<Value> sums(numRows * 2, b.splat(0.0f)), result;
  sums = b.forCarry(zero, blocks, one, sums, [&](Value k, ValueRange state) {
    if (pass.passes)
      emitReadAhead(b, panel, k, ahead, /*keepClose=*/!mayShare);
    return sumBlock(k, state);
  });
  for (int64_t r = 0; r < numRows; ++r)
    result.append({sums[r], sums[numRows + r]});
  return TileSums(std::move(result), /*panels=*/1);
}

int64_t dsv2::cpu::getQuantTileRows(const CPUTargetInfo &target) {
  return hasFewRegisters(target) ? 4 : 6;
}
