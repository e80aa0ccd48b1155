//===- Json.h - checked access to JSON members ------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every accessor throws StatusError with CorruptData, and names the member, the
// type it expected and the type it found.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_TEXT_JSON_H
#define DSV2RT_LIB_TEXT_JSON_H

#include "Internal.h"

#include <nlohmann/json.hpp>
#include <string_view>

namespace dsv2rt::text {

/// Parses `text`; `what` names it in the message of the failure, which has
/// the code `code`.
inline nlohmann::json parseJson(std::string_view text, const std::string &what,
                                StatusCode code = StatusCode::CorruptData) {
  // The library's own messages quote the input, which need not be printable.
  try {
    return nlohmann::json::parse(text.begin(), text.end());
  } catch (const nlohmann::json::parse_error &error) {
    fail(code,
         what + " not valid JSON: error at byte " + std::to_string(error.byte));
  } catch (const nlohmann::json::out_of_range &) {
    fail(code, what + " not valid JSON: a number is out of range");
  }
}

[[noreturn]] inline void failType(const std::string &name, const char *expected,
                                  const nlohmann::json &found) {
  fail(StatusCode::CorruptData,
       "'" + name + "': expected " + expected + ", found " + found.type_name());
}

inline void expectObject(const nlohmann::json &value, const std::string &name) {
  if (!value.is_object())
    failType(name, "an object", value);
}

/// Returns the member, or null if it is absent.
inline const nlohmann::json *findMember(const nlohmann::json &object,
                                        const char *key) {
  auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}

/// As findMember, with an explicit JSON null counted as absent.
inline const nlohmann::json *findNonNull(const nlohmann::json &object,
                                         const char *key) {
  const nlohmann::json *member = findMember(object, key);
  return member && member->is_null() ? nullptr : member;
}

inline const std::string &asString(const nlohmann::json &value,
                                   const std::string &name) {
  if (!value.is_string())
    failType(name, "a string", value);
  return value.get_ref<const std::string &>();
}

inline const std::string &getString(const nlohmann::json &object,
                                    const char *key) {
  const nlohmann::json *member = findMember(object, key);
  if (!member)
    fail(StatusCode::CorruptData,
         "'" + std::string(key) + "': expected a string, found nothing");
  return asString(*member, key);
}

inline bool getBool(const nlohmann::json &object, const char *key,
                    bool missing) {
  const nlohmann::json *member = findNonNull(object, key);
  if (!member)
    return missing;
  if (!member->is_boolean())
    failType(key, "true or false", *member);
  return member->get<bool>();
}

} // namespace dsv2rt::text

#endif // DSV2RT_LIB_TEXT_JSON_H
