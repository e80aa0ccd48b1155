//===- Json.h - strict JSON reading -----------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Files are input from outside, so JSON is read more strictly than the JSON
// library does by itself: a key may occur once in an object, nesting is
// limited, and every failure is a Status.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_JSON_H
#define DSV2RT_LIB_CORE_JSON_H

#include "dsv2rt/Status.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dsv2rt {

/// Nesting beyond this is refused.
constexpr int maxJsonDepth = 32;

/// The text of a JSON library's error without its internal prefix, with bytes
/// of the input escaped.
std::string jsonErrorText(const std::string &what);

/// Parses one JSON value that fills `text`. `what` names the text in errors,
/// which have the code CorruptData.
Expected<nlohmann::json> parseStrictJson(std::string_view text,
                                         const std::string &what);

/// Reads the members of one JSON object and remembers the first failure, so
/// that a sequence of reads needs one check at its end. Messages name the
/// object's path, the key, the expected kind and what was found.
class ObjectReader {
public:
  /// `path` is how messages name `value`, for example "manifest.cache".
  ObjectReader(const nlohmann::json &value, std::string path, Status &status);

  /// Reads a required integer of [low, high].
  int64_t integer(const char *key, int64_t low, int64_t high);
  /// Reads an optional integer of [low, high].
  int64_t integerOr(const char *key, int64_t low, int64_t high,
                    int64_t fallback);
  /// Reads a required finite number of [low, high].
  double number(const char *key, double low, double high);
  /// Reads a required string.
  std::string string(const char *key);
  /// Reads an optional string.
  std::string stringOr(const char *key, const char *fallback);
  /// Reads a required boolean.
  bool boolean(const char *key);
  /// Reads a required array of integers of [low, high].
  std::vector<int64_t> integers(const char *key, int64_t low, int64_t high);
  /// Reads a required array of strings.
  std::vector<std::string> strings(const char *key);
  /// The member `key`, which has to be an object (array); an empty one and a
  /// remembered failure otherwise.
  const nlohmann::json &object(const char *key);
  const nlohmann::json &array(const char *key);
  /// The member `key`, or null when it is absent.
  const nlohmann::json *find(const char *key) const;
  /// How messages name the member `key`.
  std::string pathOf(const std::string &key) const;
  /// Remembers a failure of the member `key`.
  void fail(const std::string &key, const std::string &expected,
            const std::string &found);

private:
  const nlohmann::json *required(const char *key, const char *expected);

  const nlohmann::json *value;
  std::string path;
  Status &status;
};

/// What kind of JSON value this is, with its text when short.
std::string jsonKind(const nlohmann::json &value);

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_JSON_H
