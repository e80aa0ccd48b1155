//===- StaticGate.h - what a kernel must be before it runs ------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Most of what makes a kernel slow, and some of what makes it wrong, can be
// seen without a GPU: in what ptxas reports, in the PTX and in the cubin. The
// gate collects it for every kernel of an image and says what is not as it
// should be.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TARGET_STATICGATE_H
#define DSV2_TARGET_STATICGATE_H

#include "dsv2/Support/GPUTargetInfo.h"
#include "dsv2/Target/Assembler.h"
#include "dsv2/Target/KernelInfo.h"
#include "dsv2/Target/PTX.h"
#include "dsv2/Target/SassCensus.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace llvm {
class Module;
} // namespace llvm

namespace mlir::dsv2 {

/// Everything that is known of one kernel.
struct KernelReport {
  KernelInfo info;
  PTXKernel ptx;
  /// Read-modify-writes as the LLVM IR has them; absent without IR.
  std::optional<std::vector<AtomicAccess>> intended;
  /// What getRegisterHazards says of it.
  std::string registerHazard;
  /// What ptxas said, and what it made; absent without ptxas.
  std::optional<KernelResources> resources;
  std::optional<SassCensus> sass;

  /// Shared memory of a block, static and dynamic.
  int64_t getSharedBytes() const {
    return info.dynamicSharedBytes + (resources ? resources->sharedBytes : 0);
  }
};

/// The kernels of one image for one chip.
struct ImageReport {
  GPUTargetInfo target;
  std::vector<KernelReport> kernels;
  /// Notes of ptxas that name no kernel.
  std::vector<std::string> notes;
  /// Whether a disassembler counted the instructions.
  bool isDisassembled = false;
};

/// What reportImage has to go by. All but the first two may be absent.
struct ImageSources {
  llvm::StringRef ptx;
  /// The kernels' attributes; empty: what the PTX says of block and cluster.
  std::vector<KernelInfo> kernels;
  const llvm::Module *module = nullptr;
  const Cubin *cubin = nullptr;
  /// The program nvdisasm; empty: the table of SassForms.def counts.
  llvm::StringRef nvdisasm;
};

/// Puts together what the sources say. An error if one of them cannot be read
/// or lacks a kernel.
llvm::Expected<ImageReport> reportImage(const GPUTargetInfo &target,
                                        const ImageSources &sources);

/// The read-modify-writes of each kernel in `module`, by the kernel's name, in
/// the words of PTX.
std::map<std::string, std::vector<AtomicAccess>>
getIntendedAtomics(const llvm::Module &module);

/// How many blocks of a kernel fit on a multiprocessor at once: by registers,
/// shared memory and threads. 0 if not even one does. Needs `resources`.
int64_t getBlocksPerMultiprocessor(const KernelReport &kernel,
                                   const GPUTargetInfo &target);

/// Checks one kernel. Every finding is a sentence with the kernel, the chip,
/// what was expected and what was found; none: the kernel may pass. Checked is
/// only what is there: without `resources` neither spills nor registers are.
std::vector<std::string> checkKernel(const KernelReport &kernel,
                                     const GPUTargetInfo &target);

/// Checks all kernels of an image, and the notes that name none.
std::vector<std::string> checkImage(const ImageReport &report);

} // namespace mlir::dsv2

#endif // DSV2_TARGET_STATICGATE_H
