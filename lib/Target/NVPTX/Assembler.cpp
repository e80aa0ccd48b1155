//===- Assembler.cpp - PTX to a cubin with ptxas --------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/Assembler.h"

#include "RunProgram.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Regex.h"
#include "llvm/Support/raw_ostream.h"

#include <mutex>

using namespace mlir::dsv2;

/// The number in front of `unit` in a line such as "0 bytes stack frame, 8
/// bytes spill stores"; 0 if the line does not have it.
static int64_t getNumber(llvm::StringRef line, llvm::StringRef unit) {
  llvm::Regex regex(("([0-9]+) " + unit).str());
  llvm::SmallVector<llvm::StringRef> matches;
  int64_t number = 0;
  if (regex.match(line, &matches) && matches[1].getAsInteger(10, number))
    return 0;
  return number;
}

Cubin mlir::dsv2::parseAssemblerLog(llvm::StringRef log) {
  Cubin result;
  auto getKernel = [&](llvm::StringRef name) -> KernelResources & {
    auto found = llvm::find_if(
        result.kernels, [&](auto &kernel) { return kernel.name == name; });
    if (found != result.kernels.end())
      return *found;
    result.kernels.emplace_back().name = name.str();
    return result.kernels.back();
  };
  llvm::Regex entry("Compiling entry function '([^']*)'");
  llvm::Regex inFunction("[Ff]unction[s:]* '([^']*)'");
  llvm::Regex note("^(ptxas info *: )?(\\(C[0-9]+\\).*)$");
  llvm::SmallVector<llvm::StringRef> matches;
  // The kernel that a line without a name belongs to.
  std::string compiled;
  for (llvm::StringRef line : llvm::split(log, '\n')) {
    line = line.trim();
    if (entry.match(line, &matches)) {
      compiled = matches[1].str();
      getKernel(compiled);
    } else if (line.contains("bytes stack frame") && !compiled.empty()) {
      // What a called function has on the stack and spills, its kernel has.
      KernelResources &kernel = getKernel(compiled);
      kernel.stackBytes =
          std::max(kernel.stackBytes, getNumber(line, "bytes stack frame"));
      kernel.spillStoreBytes += getNumber(line, "bytes spill stores");
      kernel.spillLoadBytes += getNumber(line, "bytes spill loads");
    } else if (line.contains("Used ") && !compiled.empty()) {
      KernelResources &kernel = getKernel(compiled);
      kernel.registers = getNumber(line, "registers");
      kernel.barriers = getNumber(line, "barriers");
      kernel.sharedBytes = getNumber(line, "bytes smem");
    } else if (note.match(line, &matches) ||
               line.starts_with("ptxas warning")) {
      std::string text =
          line.starts_with("ptxas warning") ? line.str() : matches[2].str();
      if (inFunction.match(line, &matches))
        getKernel(matches[1]).notes.push_back(text);
      else
        result.notes.push_back(text);
    }
  }
  return result;
}

/// The name of the kernel or function that has line `number` (from 1) of `ptx`,
/// empty if there is none.
static llvm::StringRef getFunctionAround(llvm::StringRef ptx, unsigned number) {
  // NVPTX puts what a function returns between `.func` and its name.
  llvm::Regex definition("\\.(entry|func) +(\\([^)]*\\) +)?([A-Za-z_$][^ (]*)");
  llvm::StringRef name;
  llvm::SmallVector<llvm::StringRef> matches;
  for (llvm::StringRef line : llvm::split(ptx, '\n')) {
    if (definition.match(line, &matches))
      name = matches[3];
    if (--number == 0)
      break;
  }
  return name;
}

/// What ptxas said, its errors first put in terms of kernels.
static std::string explainFailure(llvm::StringRef log, llvm::StringRef ptx,
                                  llvm::StringRef path) {
  std::string text;
  llvm::Regex position("line ([0-9]+); *((error|fatal)[^\n]*)");
  llvm::SmallVector<llvm::StringRef> matches;
  for (llvm::StringRef line : llvm::split(log.trim(), '\n')) {
    unsigned number = 0;
    if (position.match(line, &matches) &&
        !matches[1].getAsInteger(10, number)) {
      llvm::StringRef function = getFunctionAround(ptx, number);
      text += "\n  line " + matches[1].str();
      if (!function.empty())
        text += " in '" + function.str() + "'";
      text += ": " + matches[2].str();
    } else {
      text += "\n  " + line.str();
    }
  }
  // The temporary file means nothing to the reader.
  size_t at;
  while ((at = text.find(path.str())) != std::string::npos)
    text.replace(at, path.size(), "PTX");
  return text;
}

/// The line of `ptxas --version` that has the release.
static std::string getVersion(llvm::StringRef ptxas) {
  auto result = runProgram(ptxas, {"--version"});
  if (!result) {
    llvm::consumeError(result.takeError());
    return "unknown version";
  }
  for (llvm::StringRef line : llvm::split(result->output, '\n'))
    if (line.contains("release"))
      return line.trim().str();
  return "unknown version";
}

/// Whether this ptxas can compile kernels side by side.
static bool canSplit(llvm::StringRef ptxas) {
  static std::mutex mutex;
  static llvm::StringMap<bool> known;
  std::lock_guard lock(mutex);
  auto [entry, isNew] = known.try_emplace(ptxas, false);
  if (!isNew)
    return entry->second;
  auto help = runProgram(ptxas, {"--help"});
  if (help)
    entry->second = llvm::StringRef(help->output).contains("--split-compile");
  else
    llvm::consumeError(help.takeError());
  return entry->second;
}

llvm::Expected<Cubin> mlir::dsv2::assemblePTX(llvm::StringRef ptx,
                                              const GPUTargetInfo &target,
                                              llvm::StringRef ptxas,
                                              bool withLines) {
  auto input = TemporaryFile::create("ptx", ptx);
  if (!input)
    return input.takeError();
  auto output = TemporaryFile::create("cubin", "");
  if (!output)
    return output.takeError();
  std::string arch = ("-arch=" + target.chip).str();
  llvm::SmallVector<llvm::StringRef> arguments = {
      "-v", "-O3", arch, input->getPath(), "-o", output->getPath()};
  if (withLines)
    arguments.push_back("-lineinfo");
  // The number is noted in the cubin, which is not to depend on the machine.
  if (canSplit(ptxas))
    arguments.append({"-split-compile", "4"});
  auto run = runProgram(ptxas, arguments);
  if (!run)
    return run.takeError();
  if (run->status != 0)
    return llvm::createStringError(
        "'" + ptxas + "' (" + getVersion(ptxas) + ") refused PTX " +
        target.getPTXVersion() + " for " + target.chip + " with status " +
        llvm::Twine(run->status) + ":" +
        explainFailure(run->output, ptx, input->getPath()));
  auto image = llvm::MemoryBuffer::getFile(output->getPath());
  if (!image)
    return llvm::createStringError(image.getError(),
                                   "cannot read what '" + ptxas + "' wrote");
  Cubin cubin = parseAssemblerLog(run->output);
  llvm::append_range(cubin.image, (*image)->getBuffer());
  return cubin;
}
