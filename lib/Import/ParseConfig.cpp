//===- ParseConfig.cpp - text and files to ModelConfig --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ConfigMessages.h"
#include "ConfigReader.h"

#include "llvm/ADT/Twine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

using namespace dsv2;
using namespace llvm;

/// Finds what the JSON parser accepts but this reader refuses: nesting that
/// would exhaust its stack, and repeated keys, of which it keeps one silently.
/// Also gives the constants NaN and Infinity, which some writers emit, a
/// message of their own. Anything else malformed is left to the parser.
static Error scanJsonText(StringRef text, StringRef fileName) {
  struct Frame {
    bool isObject;
    bool expectsKey;
    StringSet<> keys;
  };
  std::vector<Frame> frames;

  for (size_t i = 0, size = text.size(); i < size; ++i) {
    switch (text[i]) {
    case '{':
    case '[':
      if (frames.size() == ModelLimits::maxJsonDepth)
        return makeError(fileName, "expected at most " +
                                       Twine(ModelLimits::maxJsonDepth) +
                                       " levels of nesting, found more");
      frames.push_back({text[i] == '{', text[i] == '{', {}});
      break;
    case '}':
    case ']':
      if (!frames.empty())
        frames.pop_back();
      break;
    case ',':
      if (!frames.empty())
        frames.back().expectsKey = frames.back().isObject;
      break;
    case 'N':
    case 'I':
      for (StringRef word : {"NaN", "Infinity"})
        if (text.substr(i).starts_with(word))
          return makeError(fileName, "expected finite numbers, found " + word);
      break;
    case '"': {
      size_t begin = i++;
      bool isEscaped = false;
      while (i < size && text[i] != '"') {
        isEscaped |= text[i] == '\\';
        i += text[i] == '\\' ? 2 : 1;
      }
      if (i >= size || frames.empty() || !frames.back().expectsKey)
        break;
      frames.back().expectsKey = false;
      StringRef literal = text.slice(begin, i + 1);
      std::string key = literal.drop_front().drop_back().str();
      if (isEscaped) {
        Expected<json::Value> decoded = json::parse(literal);
        if (!decoded) {
          consumeError(decoded.takeError());
          break;
        }
        key = decoded->getAsString()->str();
      }
      if (!frames.back().keys.insert(key).second)
        return makeError(fileName, "expected every key once, found " +
                                       quote(key) + " twice in one object");
      break;
    }
    default:
      break;
    }
  }
  return Error::success();
}

Expected<ModelConfig>
dsv2::parseModelConfig(StringRef json, StringRef fileName,
                       SmallVectorImpl<std::string> *warnings) {
  if (json.size() > static_cast<size_t>(ModelLimits::maxFileSize))
    return makeError(fileName, "expected at most " +
                                   Twine(ModelLimits::maxFileSize) +
                                   " bytes of JSON, got " + Twine(json.size()));
  if (json.trim().empty())
    return makeError(fileName, "expected a JSON object, got an empty file");
  // First of all, since offsets in the scan rely on whole characters.
  size_t badByte = 0;
  if (!json::isUTF8(json, &badByte))
    return makeError(fileName, "expected UTF-8, found an invalid byte at " +
                                   Twine(badByte));
  if (Error error = scanJsonText(json, fileName))
    return std::move(error);
  Expected<json::Value> value = json::parse(json);
  if (!value)
    return makeError(fileName, "expected a JSON object, got malformed JSON: " +
                                   llvm::toString(value.takeError()));
  const json::Object *object = value->getAsObject();
  if (!object)
    return makeError(fileName,
                     "expected a JSON object, got " + describe(*value));
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
  // A pipe or a device could deliver without end.
  if (!sys::fs::is_regular_file(status))
    return makeError(file, "expected a regular file");
  if (status.getSize() > static_cast<uint64_t>(ModelLimits::maxFileSize))
    return makeError(file, "expected a config.json of at most " +
                               Twine(ModelLimits::maxFileSize) +
                               " bytes, got " + Twine(status.getSize()));
  ErrorOr<std::unique_ptr<MemoryBuffer>> buffer = MemoryBuffer::getFile(file);
  if (!buffer)
    return makeError(file, "cannot be read: " + buffer.getError().message());
  return parseModelConfig((*buffer)->getBuffer(), file, warnings);
}
