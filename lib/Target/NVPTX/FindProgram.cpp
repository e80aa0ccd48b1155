//===- FindProgram.cpp - programs of the CUDA toolkit ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/Assembler.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/VersionTuple.h"

using namespace mlir::dsv2;

/// Toolkits where NVIDIA's packages put them, the preferred one first.
static std::vector<std::string> getInstalledToolkits() {
  std::vector<std::pair<llvm::VersionTuple, std::string>> versions;
  std::error_code code;
  for (llvm::sys::fs::directory_iterator it("/usr/local", code), end;
       !code && it != end; it.increment(code)) {
    llvm::StringRef name = llvm::sys::path::filename(it->path());
    llvm::VersionTuple version;
    if (name.consume_front("cuda-") && !version.tryParse(name))
      versions.emplace_back(version, it->path());
  }
  llvm::sort(versions, std::greater<>());
  std::vector<std::string> toolkits = {"/usr/local/cuda"};
  for (auto &[version, path] : versions)
    toolkits.push_back(path);
  return toolkits;
}

llvm::Expected<std::string>
mlir::dsv2::findCUDAProgram(llvm::StringRef name, llvm::StringRef path,
                            llvm::StringRef option) {
  if (!path.empty()) {
    if (llvm::sys::fs::can_execute(path) && !llvm::sys::fs::is_directory(path))
      return path.str();
    return llvm::createStringError(option + ": there is no program at '" +
                                   path + "'");
  }
  if (auto found = llvm::sys::findProgramByName(name))
    return *found;
  std::vector<std::string> toolkits;
  for (const char *variable : {"CUDA_ROOT", "CUDA_HOME", "CUDA_PATH"})
    if (auto value = llvm::sys::Process::GetEnv(variable);
        value && !value->empty())
      toolkits.push_back(*value);
  llvm::append_range(toolkits, getInstalledToolkits());
  for (llvm::StringRef toolkit : toolkits) {
    llvm::SmallString<128> candidate(toolkit);
    llvm::sys::path::append(candidate, "bin", name);
    if (llvm::sys::fs::can_execute(candidate))
      return candidate.str().str();
  }
  return llvm::createStringError(
      "no " + name +
      " found in $PATH, in bin of $CUDA_ROOT, $CUDA_HOME or $CUDA_PATH, or in "
      "/usr/local/cuda*/bin; install the CUDA toolkit or give " +
      option + "=FILE");
}
