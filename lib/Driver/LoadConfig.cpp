//===- LoadConfig.cpp - configuration and tensor names of a checkpoint ----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Driver/Driver.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

using namespace mlir::dsv2;

/// Headers above this size are refused, as in the runtime.
static constexpr uint64_t kMaxHeaderBytes = 100'000'000;

/// Names in the header of a safetensors file.
static llvm::Expected<llvm::StringSet<>> readHeaderNames(llvm::StringRef path) {
  auto fail = [&](const llvm::Twine &what) {
    return llvm::createStringError("'" + path + "': " + what);
  };
  uint64_t fileSize;
  if (std::error_code code = llvm::sys::fs::file_size(path, fileSize))
    return fail(code.message());
  if (fileSize < 8)
    return fail("expected at least 8 bytes, found " + llvm::Twine(fileSize));
  auto length = llvm::MemoryBuffer::getFileSlice(path, 8, 0);
  if (!length)
    return fail(length.getError().message());
  uint64_t headerBytes =
      llvm::support::endian::read64le((*length)->getBufferStart());
  if (headerBytes > fileSize - 8)
    return fail("header of " + llvm::Twine(headerBytes) +
                " bytes is longer than the file");
  if (headerBytes > kMaxHeaderBytes)
    return fail("header of " + llvm::Twine(headerBytes) +
                " bytes, expected at most " + llvm::Twine(kMaxHeaderBytes));
  auto header = llvm::MemoryBuffer::getFileSlice(path, headerBytes, 8);
  if (!header)
    return fail(header.getError().message());
  auto json = llvm::json::parse((*header)->getBuffer());
  if (!json)
    return fail("header: " + llvm::toString(json.takeError()));
  const llvm::json::Object *object = json->getAsObject();
  if (!object)
    return fail("header: expected a JSON object");
  llvm::StringSet<> names;
  for (const auto &entry : *object)
    if (entry.first != "__metadata__")
      names.insert(entry.first.str());
  return names;
}

/// Names in the weight map of an index.
static llvm::Expected<llvm::StringSet<>> readIndexNames(llvm::StringRef path) {
  auto fail = [&](const llvm::Twine &what) {
    return llvm::createStringError("'" + path + "': " + what);
  };
  auto buffer = llvm::MemoryBuffer::getFile(path);
  if (!buffer)
    return fail(buffer.getError().message());
  auto json = llvm::json::parse((*buffer)->getBuffer());
  if (!json)
    return fail(llvm::toString(json.takeError()));
  const llvm::json::Object *object = json->getAsObject();
  const llvm::json::Object *map =
      object ? object->getObject("weight_map") : nullptr;
  if (!map)
    return fail("expected an object 'weight_map'");
  llvm::StringSet<> names;
  for (const auto &entry : *map)
    names.insert(entry.first.str());
  return names;
}

llvm::Expected<::dsv2::ModelConfig>
mlir::dsv2::loadConfig(llvm::StringRef input,
                       const std::function<void(llvm::StringRef)> &warn) {
  llvm::SmallVector<std::string> warnings;
  auto config = ::dsv2::ModelConfig::fromPath(input, &warnings);
  if (warn)
    for (const std::string &warning : warnings)
      warn(warning);
  if (!config || !llvm::sys::fs::is_directory(input))
    return config;

  llvm::SmallString<128> index(input), single(input);
  llvm::sys::path::append(index, "model.safetensors.index.json");
  llvm::sys::path::append(single, "model.safetensors");
  std::optional<llvm::Expected<llvm::StringSet<>>> names;
  if (llvm::sys::fs::exists(index))
    names.emplace(readIndexNames(index));
  else if (llvm::sys::fs::exists(single))
    names.emplace(readHeaderNames(single));
  // Compiling needs no weights; with none there is nothing to compare.
  if (!names)
    return config;
  if (!*names)
    return names->takeError();
  if (llvm::Error error = config->checkTensorNames(
          [&](llvm::StringRef name) { return (*names)->contains(name); }))
    return std::move(error);
  return config;
}
