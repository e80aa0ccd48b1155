//===- GPUTargetInfo.h - Facts about the GPU compiled for -------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Kernel builders choose tiles and instructions from here, the static gate
// takes its limits from here, and what LLVM and ptxas are told comes from the
// same value, so that none of them can disagree about a chip.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_SUPPORT_GPUTARGETINFO_H
#define DSV2_SUPPORT_GPUTARGETINFO_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>
#include <vector>

namespace mlir::dsv2 {

/// Nominal limits of the best known card with a chip, for rooflines. A card at
/// hand is slower; benchmarks measure their own ceilings.
struct GPUPeak {
  /// The card: "H100 SXM".
  llvm::StringRef card;
  /// Bytes per second to and from the card's memory.
  double bytesPerSecond = 0;
  /// Operations per second of the tensor cores on dense bf16 with sums in f32,
  /// two for every product that is summed.
  double bf16OpsPerSecond = 0;
  /// Streaming multiprocessors.
  unsigned multiprocessors = 0;
  /// Of one multiprocessor in a cycle: operations of its tensor cores on bf16,
  /// as above; bytes of its shared memory; results of arithmetic on f32, and of
  /// approximate functions ("Arithmetic Instructions" in the CUDA C++
  /// Programming Guide).
  unsigned bf16OpsPerCycle = 0, sharedBytesPerCycle = 128;
  unsigned lanesPerCycle = 0, specialPerCycle = 16;
  /// Bytes per second that all multiprocessors together get from the L2 cache.
  double l2BytesPerSecond = 0;
  /// Where the numbers are from.
  llvm::StringRef source;

  /// The clock that the rate of the tensor cores is of.
  double cyclesPerSecond() const {
    return bf16OpsPerSecond / (double(multiprocessors) * bf16OpsPerCycle);
  }
  /// What one multiprocessor gets of the L2 cache in a cycle.
  double l2BytesPerCycle() const {
    return l2BytesPerSecond / (cyclesPerSecond() * multiprocessors);
  }
};

/// A GPU, as code generation sees it. Limits are those of "Technical
/// Specifications per Compute Capability" in the CUDA C++ Programming Guide.
struct GPUTargetInfo {
  /// LLVM's and ptxas' name of the chip: `sm_90a`.
  llvm::StringRef chip;
  /// Its number: 90.
  unsigned number = 0;
  /// Version of the PTX ISA that is written, times 10: 80 for 8.0. The lowest
  /// that has the chip's instructions, so that old drivers can load the text.
  unsigned ptxVersion = 0;

  /// Bytes of shared memory one block may have, static and dynamic together,
  /// after the kernel has opted in to more than `staticSharedBytes`.
  int64_t sharedBytesPerBlock = 0;
  /// Bytes that all blocks on a multiprocessor have together. Each block takes
  /// `reservedSharedBytes` beside its own.
  int64_t sharedBytesPerMultiprocessor = 0;
  int64_t reservedSharedBytes = 1024;
  /// Bytes of shared memory a kernel may have without opting in, and the most
  /// that statically sized variables may take.
  int64_t staticSharedBytes = 48 * 1024;

  /// 32-bit registers of a block, and as many of a multiprocessor.
  unsigned registersPerBlock = 64 * 1024;
  /// Registers of one thread.
  unsigned registersPerThread = 255;
  unsigned threadsPerBlock = 1024;
  unsigned threadsPerMultiprocessor = 2048;
  unsigned blocksPerMultiprocessor = 32;
  /// Named barriers of a block.
  unsigned namedBarriers = 16;
  /// Blocks of a cluster that every card of this chip can run; 1: no clusters.
  unsigned blocksPerCluster = 1;

  /// `cp.async` and `mma.sync` of bf16 (PTX ISA: sm_80).
  bool hasCpAsync = false;
  /// `cp.async.bulk.tensor` and `mbarrier` transactions (sm_90).
  bool hasTMA = false;
  /// `wgmma.mma_async` and `setmaxnreg` (sm_90a).
  bool hasWgmma = false;

  GPUPeak peak;

  /// All chips that code can be made for, the newest first.
  static llvm::ArrayRef<GPUTargetInfo> getAll();

  /// Parses a chip: its name, then optionally `+ptxNN` for another version of
  /// the PTX ISA than the chip's own, `sm_90a+ptx83`. An unknown chip is an
  /// error that lists the known ones, and so is a version that is too low for
  /// the chip or unknown to LLVM.
  static llvm::Expected<GPUTargetInfo> parse(llvm::StringRef spec);

  /// Parses a list of chips, separated by commas. An error if it is empty or
  /// names a chip twice.
  static llvm::Expected<std::vector<GPUTargetInfo>>
  parseList(llvm::StringRef specs);

  /// The feature string for LLVM's target machine: "+ptx80".
  std::string getFeatures() const;
  /// The version as PTX spells it: "8.0".
  std::string getPTXVersion() const;
};

} // namespace mlir::dsv2

#endif // DSV2_SUPPORT_GPUTARGETINFO_H
