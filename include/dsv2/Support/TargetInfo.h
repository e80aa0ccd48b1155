//===- TargetInfo.h - Facts about the processor compiled for ----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Everything code generation decides per processor is decided from here: vector
// width, register count and instruction set extensions. What LLVM is told (CPU
// name and features) and what the artifact demands of its host come from the
// same parsed value, so they cannot disagree.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_SUPPORT_TARGETINFO_H
#define DSV2_SUPPORT_TARGETINFO_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>
#include <vector>

namespace mlir::dsv2 {

/// An x86-64 processor, as code generation sees it.
struct CPUTargetInfo {
  /// LLVM's name of the processor: `x86-64-v3`, `znver5`, ...
  std::string cpu;
  /// Instruction set features the generated code may use, sorted, without a
  /// leading '+'. A host that lacks one of them must refuse the code, so what
  /// no code uses is not listed.
  std::vector<std::string> features;
  /// Features LLVM must be told to leave out although `cpu` has them, sorted.
  /// The processor's name alone would switch them on again.
  std::vector<std::string> disabledFeatures;

  /// Width of the vectors that kernels use: 128, 256 or 512.
  unsigned vectorBits = 128;
  /// Architectural vector registers of that width: 16, or 32 with AVX-512.
  unsigned vectorRegisters = 16;

  bool hasFMA = false;
  bool hasF16C = false;
  bool hasAVX512BF16 = false;
  /// Dot products of unsigned and signed bytes, at 512 bits (AVX512-VNNI) or
  /// 256 bits (AVX-VNNI) as `vectorBits` says.
  bool hasVNNI = false;
  bool hasAMXBF16 = false;
  bool hasAMXInt8 = false;

  /// Parses `native`, `x86-64`, `x86-64-v2`, `x86-64-v3`, `x86-64-v4` or any
  /// other 64-bit processor name of LLVM's, then any number of `,+feature` or
  /// `,-feature`. Features imply what they need and take along what needs them.
  /// AMX is used where a feature asks for it, not where the processor has it.
  /// An unknown name is an error that lists the valid ones.
  static llvm::Expected<CPUTargetInfo> parse(llvm::StringRef spec);

  /// The processor this program runs on, same as parse("native").
  static llvm::Expected<CPUTargetInfo> host();

  /// f32 values in one vector.
  int64_t lanes() const { return vectorBits / 32; }
  /// Width NR of a weight panel: two vectors of f32.
  int64_t panelWidth() const { return 2 * lanes(); }
  /// Whether `feature` is one of `features`.
  bool hasFeature(llvm::StringRef feature) const;
  /// The feature string for LLVM's target machine: "+avx2,+fma,-avx512f".
  std::string featureString() const;
  /// Names of `features` that the processor this program runs on lacks.
  std::vector<std::string> missingOnHost() const;
};

} // namespace mlir::dsv2

#endif // DSV2_SUPPORT_TARGETINFO_H
