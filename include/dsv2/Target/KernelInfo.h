//===- KernelInfo.h - what a kernel says of itself --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel is an `llvm.func` with `nvvm.kernel` in a `gpu.module`. What has to
// be known of it beside its code are attributes of that function: those of the
// NVVM dialect, kSharedBytesAttr of the dsv2 dialect, and those of
// KernelAttributes.h.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TARGET_KERNELINFO_H
#define DSV2_TARGET_KERNELINFO_H

#include "dsv2/Target/KernelAttributes.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace mlir {
namespace gpu {
class GPUModuleOp;
} // namespace gpu

namespace dsv2 {

/// One kernel, as its function's attributes describe it.
struct KernelInfo {
  std::string name;
  /// Threads of a block in x, y and z: `nvvm.maxntid`.
  std::array<int64_t, 3> block = {1, 1, 1};
  /// Blocks of a cluster: `nvvm.cluster_dim`, all 1 if absent.
  std::array<int64_t, 3> cluster = {1, 1, 1};
  /// Blocks that are to fit on a multiprocessor at once: `nvvm.minctasm`.
  int64_t blocksPerMultiprocessor = 1;
  /// `dsv2.shared_bytes`, 0 if absent.
  int64_t dynamicSharedBytes = 0;
  /// `dsv2.relaxed_atomics`.
  bool relaxedAtomics = false;
  /// `dsv2.early_start`.
  bool earlyStart = false;
  /// `dsv2.expect`.
  std::map<std::string, int64_t> expect;

  int64_t getThreads() const { return block[0] * block[1] * block[2]; }
  int64_t getClusterSize() const {
    return cluster[0] * cluster[1] * cluster[2];
  }
};

/// The kernels of a module in their order. An error, which names the kernel and
/// the attribute, if one has no block size or an attribute of another kind than
/// expected.
llvm::Expected<std::vector<KernelInfo>>
getKernels(::mlir::gpu::GPUModuleOp module);

} // namespace dsv2
} // namespace mlir

#endif // DSV2_TARGET_KERNELINFO_H
