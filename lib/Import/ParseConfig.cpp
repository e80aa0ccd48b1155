//===- ParseConfig.cpp - text and files to ModelConfig --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ConfigMessages.h"
#include "ConfigReader.h"
#include "JsonText.h"

#include "llvm/ADT/Twine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

using namespace dsv2;
using namespace llvm;

Expected<ModelConfig>
dsv2::parseModelConfig(StringRef json, StringRef fileName,
                       SmallVectorImpl<std::string> *warnings) {
  Expected<json::Object> object =
      parseJsonObject(json, fileName, ModelLimits::maxFileSize);
  if (!object)
    return object.takeError();
  return ConfigReader(*object, fileName, warnings).read();
}

Expected<ModelConfig>
ModelConfig::fromPath(StringRef path, SmallVectorImpl<std::string> *warnings) {
  SmallString<128> file(path);
  sys::fs::file_status status;
  if (std::error_code code = sys::fs::status(path, status))
    return makeError(path, "cannot be opened: " + code.message());
  if (sys::fs::is_directory(status)) {
    sys::path::append(file, "config.json");
    if (std::error_code code = sys::fs::status(file, status))
      return makeError(path, "expected a folder with a config.json: " +
                                 code.message());
  }
  Expected<std::unique_ptr<MemoryBuffer>> buffer =
      readRegularFile(file, "config.json", ModelLimits::maxFileSize);
  if (!buffer)
    return buffer.takeError();
  return parseModelConfig((*buffer)->getBuffer(), file, warnings);
}
