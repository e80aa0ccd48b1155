//===- IntrinsicTable.h - functions that stand for NVVM's intrinsics -*- C++
//-*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_INTRINSICTABLE_H
#define DSV2_LIB_EMULATOR_INTRINSICTABLE_H

#include "Scheduler.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/bit.h"

#include <cstdint>

namespace dsv2::emulator {

/// Stands for an instruction in compiled code. Every operand is widened to 64
/// bits (integers without sign, floats and vectors by their bits, pointers by
/// their address), every result is narrowed again, so that one signature does
/// for all. `site` is the number of the instruction in its module.
using Handler = void (*)(const uint64_t *arguments, uint64_t *results,
                         uint32_t site);

struct IntrinsicEntry {
  /// The whole name, or without the types of its overload.
  const char *name;
  Handler handler;
};

/// The handler of `name`, or null.
Handler findIntrinsic(llvm::StringRef name);

/// The tables that findIntrinsic searches.
llvm::ArrayRef<IntrinsicEntry> registerIntrinsics();
llvm::ArrayRef<IntrinsicEntry> syncIntrinsics();
llvm::ArrayRef<IntrinsicEntry> warpIntrinsics();
llvm::ArrayRef<IntrinsicEntry> mathIntrinsics();
llvm::ArrayRef<IntrinsicEntry> clusterIntrinsics();
llvm::ArrayRef<IntrinsicEntry> mbarrierIntrinsics();
llvm::ArrayRef<IntrinsicEntry> copyIntrinsics();
llvm::ArrayRef<IntrinsicEntry> bulkIntrinsics();
llvm::ArrayRef<IntrinsicEntry> matrixIntrinsics();
llvm::ArrayRef<IntrinsicEntry> wgmmaIntrinsics();

/// A handler out of a function that may switch threads or fail: notes where the
/// thread is.
template <void (*Function)(const uint64_t *, uint64_t *)>
void located(const uint64_t *arguments, uint64_t *results, uint32_t site) {
  machine().current().site = site;
  Function(arguments, results);
}

/// A handler out of a function of bits alone.
template <void (*Function)(const uint64_t *, uint64_t *)>
void pure(const uint64_t *arguments, uint64_t *results, uint32_t) {
  Function(arguments, results);
}

/// A handler that does nothing: hints and what the emulator does not time.
inline void ignored(const uint64_t *, uint64_t *, uint32_t) {}

inline float asFloat(uint64_t bits) {
  return llvm::bit_cast<float>(uint32_t(bits));
}
inline uint64_t asBits(float value) { return llvm::bit_cast<uint32_t>(value); }

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_INTRINSICTABLE_H
