//===- ByteDot.h - Dot products of bytes ------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_CPU_BYTEDOT_H
#define DSV2_LIB_CODEGEN_CPU_BYTEDOT_H

#include "dsv2/CodeGen/CPU/KernelBuilder.h"
#include "dsv2/CodeGen/CPU/MatmulKernels.h"

namespace mlir::dsv2::cpu {

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
/// Where the sign does not move, weights are the unsigned bytes they are stored
/// as, and sums start from a correction for their offset that the row brings
/// (QuantizedActivation).
class ByteDot {
public:
  ByteDot(KernelBuilder &b, PanelFormat format);

  /// A group of a weight's bytes, made ready once for all rows.
  struct Weight {
    Value first, second;
  };

  /// From the unsigned bytes of a group.
  Weight prepare(Value bytes) const;

  /// The sum of no products. `correction` loads that of a row's block, in every
  /// lane.
  Value start(llvm::function_ref<Value()> correction) const;
  /// `sum` and the products of a group of weights and one of a row's bytes.
  Value accumulate(Value sum, const Weight &w, Value x) const;
  /// A sum as i32.
  Value finish(Value sum) const;

  /// The correction of a block, i32, from its sums of the elements j, j +
  /// lanes, j + 2 lanes, ... in lane j.
  static Value emitCorrection(KernelBuilder &b, Value sums);
  /// Whether the processor multiplies pairs of bytes, VPMADDUBSW, and has
  /// nothing that does more.
  static bool multipliesPairs(const CPUTargetInfo &target);

private:
  enum class Kind { DotOfBytes, PairsOfBytes, PairsOfWords };

  static Kind getKind(const CPUTargetInfo &target);
  int64_t bits() const { return b.getTarget().vectorBits; }
  bool sumsWords() const {
    return kind == Kind::PairsOfBytes && format == PanelFormat::Q4;
  }
  bool movesSign() const {
    return kind == Kind::PairsOfBytes && format == PanelFormat::Q8;
  }
  VectorType wordsType() const;
  Value constant(Type type, int64_t value) const;
  /// An instruction of 128 bits (in `sse`), 256 or 512.
  Value call(StringRef sse, StringRef avx2, StringRef avx512, Type type,
             ValueRange operands) const;
  Value multiplyBytes(Value w, Value x) const;
  Value multiplyWords(Value w, Value x) const;
  Value addPairs(Value words) const;
  /// x, negated where w is negative.
  Value moveSign(Value w, Value x) const;
  /// The even and the odd bytes as words.
  Weight toWords(Value bytes, bool isSigned) const;

  KernelBuilder &b;
  PanelFormat format;
  Kind kind;
};

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_BYTEDOT_H
