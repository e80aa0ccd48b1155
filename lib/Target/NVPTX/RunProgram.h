//===- RunProgram.h - programs in processes of their own --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_TARGET_NVPTX_RUNPROGRAM_H
#define DSV2_LIB_TARGET_NVPTX_RUNPROGRAM_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/FileUtilities.h"

#include <memory>
#include <string>

namespace mlir::dsv2 {

/// A file that is gone when this is.
class TemporaryFile {
public:
  /// Makes a file with the given contents and a name that ends in `.suffix`.
  static llvm::Expected<TemporaryFile> create(llvm::StringRef suffix,
                                              llvm::StringRef contents);
  llvm::StringRef getPath() const { return path; }

private:
  std::string path;
  std::unique_ptr<llvm::FileRemover> remover;
};

/// How a program ended, and what it wrote on both of its outputs.
struct ProgramResult {
  int status = 0;
  std::string output;
};

/// Runs `program` without a shell and waits for it. An error if it cannot be
/// started or is ended by a signal; any status of its own is a result.
llvm::Expected<ProgramResult>
runProgram(llvm::StringRef program, llvm::ArrayRef<llvm::StringRef> arguments);

} // namespace mlir::dsv2

#endif // DSV2_LIB_TARGET_NVPTX_RUNPROGRAM_H
