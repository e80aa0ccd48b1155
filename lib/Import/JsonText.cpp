//===- JsonText.cpp - JSON objects of files nobody vouches for ------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "JsonText.h"

#include "ConfigMessages.h"
#include "dsv2/Import/ModelConfig.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/FileSystem.h"

#include <vector>

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

Expected<json::Object> dsv2::parseJsonObject(StringRef text, StringRef fileName,
                                             int64_t maxSize) {
  if (text.size() > static_cast<size_t>(maxSize))
    return makeError(fileName, "expected at most " + Twine(maxSize) +
                                   " bytes of JSON, got " + Twine(text.size()));
  if (text.trim().empty())
    return makeError(fileName, "expected a JSON object, got an empty file");
  // First of all, since offsets in the scan rely on whole characters.
  size_t badByte = 0;
  if (!json::isUTF8(text, &badByte))
    return makeError(fileName, "expected UTF-8, found an invalid byte at " +
                                   Twine(badByte));
  if (Error error = scanJsonText(text, fileName))
    return std::move(error);
  Expected<json::Value> value = json::parse(text);
  if (!value)
    return makeError(fileName, "expected a JSON object, got malformed JSON: " +
                                   llvm::toString(value.takeError()));
  json::Object *object = value->getAsObject();
  if (!object)
    return makeError(fileName,
                     "expected a JSON object, got " + describe(*value));
  return std::move(*object);
}

Expected<std::unique_ptr<MemoryBuffer>>
dsv2::readRegularFile(StringRef file, StringRef what, int64_t maxSize) {
  sys::fs::file_status status;
  if (std::error_code code = sys::fs::status(file, status))
    return makeError(file, "cannot be opened: " + code.message());
  // A pipe or a device could deliver without end.
  if (!sys::fs::is_regular_file(status))
    return makeError(file, "expected a regular file");
  if (status.getSize() > static_cast<uint64_t>(maxSize))
    return makeError(file, "expected a " + what + " of at most " +
                               Twine(maxSize) + " bytes, got " +
                               Twine(status.getSize()));
  ErrorOr<std::unique_ptr<MemoryBuffer>> buffer = MemoryBuffer::getFile(file);
  if (!buffer)
    return makeError(file, "cannot be read: " + buffer.getError().message());
  return std::move(*buffer);
}
