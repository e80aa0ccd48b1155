//===- RunProgram.cpp - programs in processes of their own ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RunProgram.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::dsv2;

llvm::Expected<TemporaryFile> TemporaryFile::create(llvm::StringRef suffix,
                                                    llvm::StringRef contents) {
  int descriptor = -1;
  llvm::SmallString<128> path;
  if (std::error_code code =
          llvm::sys::fs::createTemporaryFile("dsv2", suffix, descriptor, path))
    return llvm::createStringError(code, "cannot make a temporary file");
  TemporaryFile file;
  file.path = path.str().str();
  file.remover = std::make_unique<llvm::FileRemover>(path);
  llvm::raw_fd_ostream stream(descriptor, /*shouldClose=*/true);
  stream << contents;
  stream.close();
  if (stream.has_error()) {
    std::error_code code = stream.error();
    stream.clear_error();
    return llvm::createStringError(code, "cannot write '" + path + "'");
  }
  return file;
}

llvm::Expected<ProgramResult>
mlir::dsv2::runProgram(llvm::StringRef program,
                       llvm::ArrayRef<llvm::StringRef> arguments) {
  auto log = TemporaryFile::create("log", "");
  if (!log)
    return log.takeError();
  llvm::SmallVector<llvm::StringRef> all = {program};
  all.append(arguments.begin(), arguments.end());
  std::optional<llvm::StringRef> redirects[] = {llvm::StringRef(""),
                                                log->getPath(), log->getPath()};
  std::string error;
  ProgramResult result;
  result.status = llvm::sys::ExecuteAndWait(program, all, std::nullopt,
                                            redirects, 0, 0, &error);
  if (auto buffer = llvm::MemoryBuffer::getFile(log->getPath()))
    result.output = (*buffer)->getBuffer().str();
  if (result.status < 0)
    return llvm::createStringError("'" + program +
                                   "' did not run to its end: " + error + " " +
                                   result.output);
  return result;
}
