//===- LinkArtifact.cpp - objects to artifacts and programs ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/Artifact.h"

#include "llvm/ADT/Twine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::dsv2;

/// Whether `path` is there and is a device, a pipe or the like. Such a thing is
/// written to, never replaced.
static bool isSpecialFile(llvm::StringRef path) {
  llvm::sys::fs::file_status status;
  return !llvm::sys::fs::status(path, status) &&
         llvm::sys::fs::exists(status) &&
         !llvm::sys::fs::is_regular_file(status) &&
         !llvm::sys::fs::is_directory(status);
}

llvm::Error mlir::dsv2::writeFileAtomically(llvm::StringRef output,
                                            llvm::ArrayRef<char> data) {
  if (output == "-") {
    llvm::outs().write(data.data(), data.size());
    llvm::outs().flush();
    return llvm::Error::success();
  }
  if (isSpecialFile(output)) {
    std::error_code code;
    llvm::raw_fd_ostream stream(output, code, llvm::sys::fs::CD_OpenExisting);
    if (!code) {
      stream.write(data.data(), data.size());
      stream.close();
      code = stream.error();
      stream.clear_error();
    }
    if (code)
      return llvm::createStringError(code, "cannot write '" + output + "'");
    return llvm::Error::success();
  }
  auto temporary = llvm::sys::fs::TempFile::create(output + ".tmp-%%%%%%");
  if (!temporary)
    return llvm::createStringError("cannot write '" + output + "': " +
                                   llvm::toString(temporary.takeError()));
  bool failed;
  {
    llvm::raw_fd_ostream stream(temporary->FD, /*shouldClose=*/false);
    stream.write(data.data(), data.size());
    stream.flush();
    failed = stream.has_error();
    stream.clear_error();
  }
  if (failed) {
    llvm::consumeError(temporary->discard());
    return llvm::createStringError("cannot write '" + output +
                                   "': no space left or write error");
  }
  if (llvm::Error error = temporary->keep(output)) {
    std::string text = llvm::toString(std::move(error));
    llvm::consumeError(temporary->discard());
    return llvm::createStringError("cannot write '" + output + "': " + text);
  }
  return llvm::Error::success();
}

/// Runs `program`, with its output in the error if it fails.
static llvm::Error runTool(llvm::StringRef program,
                           llvm::ArrayRef<llvm::StringRef> arguments) {
  llvm::SmallString<128> log;
  if (std::error_code code =
          llvm::sys::fs::createTemporaryFile("dsv2-link", "log", log))
    return llvm::createStringError(code, "cannot create a temporary file");
  llvm::FileRemover removeLog(log);
  llvm::SmallVector<llvm::StringRef> all = {program};
  all.append(arguments.begin(), arguments.end());
  std::optional<llvm::StringRef> redirects[] = {
      llvm::StringRef(""), llvm::StringRef(log), llvm::StringRef(log)};
  std::string error;
  int status = llvm::sys::ExecuteAndWait(program, all, std::nullopt, redirects,
                                         0, 0, &error);
  if (status == 0)
    return llvm::Error::success();
  std::string text = error;
  if (auto buffer = llvm::MemoryBuffer::getFile(log))
    text += (*buffer)->getBuffer().str();
  return llvm::createStringError("'" + program + "' failed with status " +
                                 llvm::Twine(status) + ": " + text);
}

llvm::Error mlir::dsv2::linkArtifact(llvm::ArrayRef<CodeBuffer> objects,
                                     EmitKind kind, const LinkerPaths &paths,
                                     llvm::StringRef output) {
  if (isSpecialFile(output))
    return llvm::createStringError("cannot link into '" + output +
                                   "': expected a regular file");
  std::vector<std::string> objectPaths;
  std::vector<std::unique_ptr<llvm::FileRemover>> removeObjects;
  for (const CodeBuffer &object : objects) {
    llvm::SmallString<128> path;
    if (std::error_code code =
            llvm::sys::fs::createTemporaryFile("dsv2", "o", path))
      return llvm::createStringError(code, "cannot create a temporary object");
    objectPaths.push_back(path.str().str());
    removeObjects.push_back(std::make_unique<llvm::FileRemover>(path));
    if (llvm::Error error = writeFileAtomically(path, object))
      return error;
  }

  // Linked beside its final place, then renamed: the file is whole or absent.
  llvm::SmallString<128> partial;
  llvm::sys::fs::createUniquePath(output + ".tmp-%%%%%%", partial, false);
  llvm::FileRemover removePartial(partial);
  if (kind == EmitKind::Artifact) {
    // Undefined symbols are abi.def's and the OpenMP runtime's, which the
    // loading program provides.
    llvm::SmallVector<llvm::StringRef> arguments = {
        "-shared", "-o", partial, "--hash-style=gnu", "-z", "noexecstack"};
    arguments.append(objectPaths.begin(), objectPaths.end());
    if (llvm::Error error = runTool(paths.linker, arguments))
      return error;
  } else {
    llvm::SmallString<128> runtime(paths.runtimeDirectory);
    llvm::sys::path::append(runtime, "libdsv2rt_main.a");
    if (!llvm::sys::fs::exists(runtime))
      return llvm::createStringError(
          "a stand-alone program needs the runtime's libraries: expected '" +
          runtime + "'");
    std::string search = "-L" + paths.runtimeDirectory;
    std::string rpath =
        ("-Wl,-rpath," + llvm::sys::path::parent_path(paths.openmp)).str();
    std::string linker = "--ld-path=" + paths.linker;
    // The runtime finds the code by name, so its symbols are exported.
    llvm::SmallVector<llvm::StringRef> arguments(paths.sanitizerFlags.begin(),
                                                 paths.sanitizerFlags.end());
    arguments.append({"-o", partial});
    arguments.append(objectPaths.begin(), objectPaths.end());
    arguments.append({search, "-ldsv2rt_main", "-ldsv2rt_run", "-ldsv2rt_core",
                      "-ldsv2rt_comm", "-ldsv2rt_text", "-ldsv2rt_sampling",
                      "-lpcre2-8", paths.openmp, rpath, "-lstdc++", "-lm",
                      "-lpthread", "-ldl", "-rdynamic", linker});
    if (llvm::Error error = runTool(paths.driver, arguments))
      return error;
  }
  if (std::error_code code = llvm::sys::fs::rename(partial, output))
    return llvm::createStringError(code, "cannot write '" + output + "'");
  removePartial.releaseFile();
  return llvm::Error::success();
}
