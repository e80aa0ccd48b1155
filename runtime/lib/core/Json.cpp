//===- Json.cpp - strict JSON reading -------------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Json.h"
#include "Support.h"

#include <cmath>

using namespace dsv2rt;
using nlohmann::json;

std::string dsv2rt::jsonErrorText(const std::string &what) {
  // "[json.exception.parse_error.101] parse error at line 1, ...".
  size_t start = what.find("] ");
  std::string text = start == std::string::npos ? what : what.substr(start + 2);
  std::string shown = quote(text);
  return shown.substr(1, shown.size() - 2);
}

namespace {

/// Builds a JSON value from parser events and refuses what parseStrictJson
/// promises to refuse.
class StrictBuilder : public nlohmann::json_sax<json> {
public:
  explicit StrictBuilder(json &root) : root(root) {}

  bool null() override { return add(json()); }
  bool boolean(bool value) override { return add(json(value)); }
  bool number_integer(number_integer_t value) override {
    return add(json(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    return add(json(value));
  }
  bool number_float(number_float_t value, const string_t &) override {
    return add(json(value));
  }
  bool string(string_t &value) override { return add(json(std::move(value))); }
  bool binary(binary_t &) override { return false; }

  bool start_object(size_t) override { return open(json::object()); }
  bool start_array(size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t &name) override {
    auto [place, fresh] = stack.back()->emplace(name, json());
    if (!fresh) {
      error = "duplicate key " + quote(name);
      return false;
    }
    member = &*place;
    return true;
  }

  bool parse_error(size_t, const std::string &,
                   const nlohmann::detail::exception &exception) override {
    error = jsonErrorText(exception.what());
    return false;
  }

  std::string error;

private:
  json *place(json value) {
    if (stack.empty()) {
      root = std::move(value);
      return &root;
    }
    if (stack.back()->is_array()) {
      stack.back()->push_back(std::move(value));
      return &stack.back()->back();
    }
    *member = std::move(value);
    return member;
  }
  bool add(json value) {
    place(std::move(value));
    return true;
  }
  bool open(json value) {
    if (stack.size() >= size_t(maxJsonDepth)) {
      error = strCat("nesting deeper than ", maxJsonDepth, " levels");
      return false;
    }
    stack.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    stack.pop_back();
    return true;
  }

  json &root;
  json *member = nullptr;
  std::vector<json *> stack;
};

} // namespace

Expected<json> dsv2rt::parseStrictJson(std::string_view text,
                                       const std::string &what) {
  return guarded([&]() -> Expected<json> {
    // The parser would take a zero byte for the end of its input.
    if (text.find('\0') != std::string_view::npos)
      return makeError(StatusCode::CorruptData, what,
                       " is not valid JSON: it holds a zero byte");
    json root;
    StrictBuilder builder(root);
    if (!json::sax_parse(text.begin(), text.end(), &builder))
      return makeError(StatusCode::CorruptData, what,
                       " is not valid JSON: ", builder.error);
    return root;
  });
}

std::string dsv2rt::jsonKind(const json &value) {
  switch (value.type()) {
  case json::value_t::string:
    return "the string " + quote(value.get_ref<const std::string &>());
  case json::value_t::number_integer:
  case json::value_t::number_unsigned:
  case json::value_t::number_float:
    return "the number " + value.dump();
  case json::value_t::boolean:
    return value.get<bool>() ? "true" : "false";
  case json::value_t::null:
    return "null";
  case json::value_t::array:
    return strCat("an array of ", value.size());
  default:
    return "an object";
  }
}

static const json emptyObject = json::object();
static const json emptyArray = json::array();

ObjectReader::ObjectReader(const json &value, std::string path, Status &status)
    : value(&value), path(std::move(path)), status(status) {
  if (value.is_object())
    return;
  if (status.ok())
    status = makeError(StatusCode::CorruptData, this->path,
                       ": expected an object, found ", jsonKind(value));
  this->value = &emptyObject;
}

std::string ObjectReader::pathOf(const std::string &key) const {
  return path + "." + key;
}

void ObjectReader::fail(const std::string &key, const std::string &expected,
                        const std::string &found) {
  if (status.ok())
    status = makeError(StatusCode::CorruptData, pathOf(key), ": expected ",
                       expected, ", found ", found);
}

const json *ObjectReader::find(const char *key) const {
  auto it = value->find(key);
  return it == value->end() ? nullptr : &*it;
}

const json *ObjectReader::required(const char *key, const char *expected) {
  const json *found = find(key);
  if (!found)
    fail(key, expected, "no such key");
  return found;
}

/// True when `value` is an integer of [low, high], stored in `result`.
static bool readInteger(const json &value, int64_t low, int64_t high,
                        int64_t &result) {
  if (value.is_number_unsigned()) {
    uint64_t number = value.get<uint64_t>();
    if (number > uint64_t(std::numeric_limits<int64_t>::max()))
      return false;
    result = int64_t(number);
  } else if (value.is_number_integer()) {
    result = value.get<int64_t>();
  } else {
    return false;
  }
  return result >= low && result <= high;
}

static std::string rangeText(int64_t low, int64_t high) {
  if (high == std::numeric_limits<int64_t>::max())
    return strCat("an integer of at least ", low);
  return strCat("an integer from ", low, " to ", high);
}

int64_t ObjectReader::integer(const char *key, int64_t low, int64_t high) {
  std::string expected = rangeText(low, high);
  const json *found = required(key, expected.c_str());
  int64_t result = low;
  if (found && !readInteger(*found, low, high, result)) {
    fail(key, expected, jsonKind(*found));
    return low;
  }
  return result;
}

int64_t ObjectReader::integerOr(const char *key, int64_t low, int64_t high,
                                int64_t fallback) {
  return find(key) ? integer(key, low, high) : fallback;
}

double ObjectReader::number(const char *key, double low, double high) {
  std::string expected = strCat("a number from ", low, " to ", high);
  const json *found = required(key, expected.c_str());
  double result = found && found->is_number() ? found->get<double>() : NAN;
  if (found && !(result >= low && result <= high))
    fail(key, expected, jsonKind(*found));
  return result >= low && result <= high ? result : low;
}

std::string ObjectReader::string(const char *key) {
  const json *found = required(key, "a string");
  if (!found)
    return {};
  if (!found->is_string()) {
    fail(key, "a string", jsonKind(*found));
    return {};
  }
  return found->get<std::string>();
}

std::string ObjectReader::stringOr(const char *key, const char *fallback) {
  return find(key) ? string(key) : fallback;
}

bool ObjectReader::boolean(const char *key) {
  const json *found = required(key, "true or false");
  if (!found)
    return false;
  if (!found->is_boolean()) {
    fail(key, "true or false", jsonKind(*found));
    return false;
  }
  return found->get<bool>();
}

std::vector<int64_t> ObjectReader::integers(const char *key, int64_t low,
                                            int64_t high) {
  std::vector<int64_t> result;
  const json &list = array(key);
  for (size_t i = 0; i < list.size(); ++i) {
    int64_t number = 0;
    if (!readInteger(list[i], low, high, number)) {
      fail(strCat(key, "[", i, "]"), rangeText(low, high), jsonKind(list[i]));
      return {};
    }
    result.push_back(number);
  }
  return result;
}

std::vector<std::string> ObjectReader::strings(const char *key) {
  std::vector<std::string> result;
  const json &list = array(key);
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_string()) {
      fail(strCat(key, "[", i, "]"), "a string", jsonKind(list[i]));
      return {};
    }
    result.push_back(list[i].get<std::string>());
  }
  return result;
}

const json &ObjectReader::object(const char *key) {
  const json *found = required(key, "an object");
  if (!found)
    return emptyObject;
  if (!found->is_object()) {
    fail(key, "an object", jsonKind(*found));
    return emptyObject;
  }
  return *found;
}

const json &ObjectReader::array(const char *key) {
  const json *found = required(key, "an array");
  if (!found)
    return emptyArray;
  if (!found->is_array()) {
    fail(key, "an array", jsonKind(*found));
    return emptyArray;
  }
  return *found;
}
