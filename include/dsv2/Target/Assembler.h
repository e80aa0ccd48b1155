//===- Assembler.h - from PTX to a cubin ------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// ptxas is a program of the CUDA toolkit, which need not be there: without it
// an artifact carries PTX, which the driver assembles when it is loaded.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TARGET_ASSEMBLER_H
#define DSV2_TARGET_ASSEMBLER_H

#include "dsv2/Support/GPUTargetInfo.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace mlir::dsv2 {

/// Finds a program of the CUDA toolkit: `path` itself if it is not empty, else
/// the first `name` in $PATH, in bin of $CUDA_ROOT, $CUDA_HOME and $CUDA_PATH,
/// and in bin of /usr/local/cuda and /usr/local/cuda-* (the highest version
/// first). The error says where it looked; `option` is the command line's name
/// for `path`.
llvm::Expected<std::string> findCUDAProgram(llvm::StringRef name,
                                            llvm::StringRef path,
                                            llvm::StringRef option);

/// What ptxas -v says of one kernel. Sizes are bytes of one thread, except for
/// shared memory, which is of one block.
struct KernelResources {
  std::string name;
  int64_t registers = 0;
  int64_t stackBytes = 0;
  int64_t spillStoreBytes = 0;
  int64_t spillLoadBytes = 0;
  /// Statically sized shared memory.
  int64_t sharedBytes = 0;
  /// Named barriers.
  int64_t barriers = 0;
  /// Warnings and numbered notes, such as C7510 "wgmma ... serialized".
  std::vector<std::string> notes;
};

/// Machine code for one chip.
struct Cubin {
  /// The ELF file.
  llvm::SmallVector<char, 0> image;
  std::vector<KernelResources> kernels;
  /// Notes that belong to no kernel.
  std::vector<std::string> notes;
};

/// Parses what `ptxas -v` prints.
Cubin parseAssemblerLog(llvm::StringRef log);

/// Assembles `ptx` for `target` with the program `ptxas`, in a process of its
/// own, at -O3. The error carries what ptxas said, with the name of the kernel
/// around a line that it complains of, the version of the PTX, and its own.
llvm::Expected<Cubin> assemblePTX(llvm::StringRef ptx,
                                  const GPUTargetInfo &target,
                                  llvm::StringRef ptxas,
                                  bool withLines = false);

} // namespace mlir::dsv2

#endif // DSV2_TARGET_ASSEMBLER_H
