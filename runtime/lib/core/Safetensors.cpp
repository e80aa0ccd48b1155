//===- Safetensors.cpp - the safetensors file format ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Safetensors.h"
#include "Json.h"
#include "Support.h"

#include <cstring>

using namespace dsv2rt;
using nlohmann::json;

/// Bits of one element of each dtype of the format; 0 for other text.
static int dtypeBits(const std::string &dtype) {
  static const struct {
    const char *name;
    int bits;
  } table[] = {{"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"BOOL", 8},
               {"U8", 8},      {"I8", 8},      {"F8_E4M3", 8}, {"F8_E5M2", 8},
               {"F8_E8M0", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},
               {"BF16", 16},   {"I32", 32},    {"U32", 32},    {"F32", 32},
               {"F64", 64},    {"I64", 64},    {"U64", 64},    {"C64", 64}};
  for (const auto &row : table)
    if (dtype == row.name)
      return row.bits;
  return 0;
}

namespace {

/// Turns the events of the JSON parser into entries without building a
/// document first, so that memory stays in proportion to the header.
class HeaderReader : public nlohmann::json_sax<json> {
public:
  std::vector<SafetensorsEntry> entries;
  std::string error;

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool number_float(number_float_t, const string_t &text) override {
    return unexpected("the number " + text);
  }
  bool number_integer(number_integer_t value) override {
    return unexpected(strCat("the number ", value));
  }
  bool binary(binary_t &) override { return unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (value > uint64_t(std::numeric_limits<int64_t>::max()))
      return unexpected(strCat("the number ", value));
    if (state == State::Shape) {
      if (entries.back().shape.size() == maxRank)
        return refuse(strCat("has more than ", maxRank, " dimensions"));
      entries.back().shape.push_back(int64_t(value));
      return true;
    }
    if (state == State::Offsets) {
      if (offsets == 2)
        return refuse("has more than two data_offsets");
      (offsets++ ? entries.back().end : entries.back().begin) = value;
      return true;
    }
    return unexpected(strCat("the number ", value));
  }

  bool string(string_t &value) override {
    if (state == State::Metadata)
      return true;
    if (state == State::Entry && member == "dtype") {
      entries.back().dtype = std::move(value);
      return true;
    }
    return unexpected("the string " + quote(value));
  }

  bool start_object(size_t) override {
    if (state == State::Start) {
      state = State::Root;
      return true;
    }
    if (state == State::Root) {
      state = metadata ? State::Metadata : State::Entry;
      hasDtype = hasShape = hasOffsets = false;
      return true;
    }
    return unexpected("an object");
  }

  bool end_object() override {
    if (state == State::Entry) {
      if (!hasDtype || !hasShape || !hasOffsets)
        return refuse(strCat("has no ", !hasDtype   ? "dtype"
                                        : !hasShape ? "shape"
                                                    : "data_offsets"));
      state = State::Root;
    } else if (state == State::Metadata) {
      state = State::Root;
    }
    return true;
  }

  bool start_array(size_t) override {
    if (state == State::Entry && member == "shape") {
      state = State::Shape;
      return true;
    }
    if (state == State::Entry && member == "data_offsets") {
      state = State::Offsets;
      offsets = 0;
      return true;
    }
    return unexpected("an array");
  }

  bool end_array() override {
    if (state == State::Offsets && offsets != 2)
      return refuse(strCat("has ", offsets, " data_offsets instead of two"));
    state = State::Entry;
    return true;
  }

  bool key(string_t &name) override {
    if (state == State::Root) {
      metadata = name == "__metadata__";
      if (metadata) {
        if (hasMetadata) {
          error = "duplicate key '__metadata__'";
          return false;
        }
        hasMetadata = true;
        return true;
      }
      entries.emplace_back();
      entries.back().name = std::move(name);
      return true;
    }
    if (state == State::Metadata)
      return true;
    bool *seen = name == "dtype"          ? &hasDtype
                 : name == "shape"        ? &hasShape
                 : name == "data_offsets" ? &hasOffsets
                                          : nullptr;
    if (!seen)
      return refuse("has the unknown key " + quote(name));
    if (*seen)
      return refuse("has the duplicate key " + quote(name));
    *seen = true;
    member = std::move(name);
    return true;
  }

  bool parse_error(size_t, const std::string &,
                   const nlohmann::detail::exception &exception) override {
    error = jsonErrorText(exception.what());
    return false;
  }

private:
  enum class State { Start, Root, Metadata, Entry, Shape, Offsets };
  static constexpr size_t maxRank = 8;

  bool refuse(const std::string &text) {
    error = "tensor " + quote(entries.back().name) + " " + text;
    return false;
  }

  /// Refuses a value that may not stand where it was found.
  bool unexpected(const std::string &found) {
    switch (state) {
    case State::Start:
      error = "expected an object, found " + found;
      return false;
    case State::Root:
      error = strCat(metadata ? "'__metadata__'"
                              : "tensor " + quote(entries.back().name),
                     ": expected an object, found ", found);
      return false;
    case State::Metadata:
      error = "'__metadata__': expected strings, found " + found;
      return false;
    case State::Entry:
      return refuse(strCat("has ", found, " as its ", member, ", expected ",
                           member == "dtype" ? "a string" : "an array"));
    case State::Shape:
    case State::Offsets:
      return refuse(strCat("has ", found, " in its ", member,
                           ", expected a non-negative integer"));
    }
    return false;
  }

  State state = State::Start;
  bool metadata = false, hasMetadata = false;
  bool hasDtype = false, hasShape = false, hasOffsets = false;
  std::string member;
  int offsets = 0;
};

} // namespace

/// Checks one entry's byte range against its dtype and shape.
static std::string checkEntry(const SafetensorsEntry &entry) {
  int bits = dtypeBits(entry.dtype);
  if (!bits)
    return strCat("tensor ", quote(entry.name), " has the unknown dtype ",
                  quote(entry.dtype));
  int64_t elements = elementCount(entry.shape), totalBits = 0;
  if (elements < 0 || !mulFits(elements, bits, totalBits))
    return strCat("tensor ", quote(entry.name), " of shape ",
                  shapeText(entry.shape), " is too large to address");
  std::string declared = strCat("tensor ", quote(entry.name), " (", entry.dtype,
                                " ", shapeText(entry.shape), ")");
  if (totalBits % 8)
    return declared + " does not fill whole bytes";
  if (entry.begin > entry.end)
    return strCat(declared, " has data_offsets [", entry.begin, ", ", entry.end,
                  "] that run backwards");
  uint64_t found = entry.end - entry.begin;
  if (found != uint64_t(totalBits) / 8)
    return strCat(declared, " needs ", totalBits / 8,
                  " bytes, its data_offsets [", entry.begin, ", ", entry.end,
                  "] give ", found);
  return {};
}

static Expected<std::vector<SafetensorsEntry>>
parseFile(const uint8_t *file, uint64_t size, const std::string &what,
          uint64_t maxHeaderBytes) {
  auto corrupt = [&](const std::string &text) {
    return makeError(StatusCode::CorruptData, what, ": ", text);
  };
  if (size < 8)
    return corrupt(strCat("expected a safetensors file, which starts with an "
                          "8-byte header length; the file has ",
                          size, " bytes"));
  uint64_t headerBytes = 0;
  for (int i = 0; i < 8; ++i)
    headerBytes |= uint64_t(file[i]) << 8 * i;
  if (headerBytes > size - 8)
    return corrupt(strCat("header length ", headerBytes, " exceeds the ",
                          size - 8,
                          " bytes after it; the file is truncated (incomplete "
                          "download?) or not safetensors"));
  if (headerBytes > maxHeaderBytes)
    return corrupt(strCat("header length ", headerBytes, " exceeds the cap of ",
                          maxHeaderBytes, " bytes (raise it with ",
                          maxHeaderBytesVariable, ")"));

  HeaderReader reader;
  const char *text = reinterpret_cast<const char *>(file) + 8;
  // The parser would take a zero byte for the end of its input.
  if (std::memchr(text, 0, headerBytes))
    return corrupt("malformed header: it holds a zero byte");
  if (!json::sax_parse(text, text + headerBytes, &reader))
    return corrupt("malformed header: " + reader.error);
  std::vector<SafetensorsEntry> entries = std::move(reader.entries);

  uint64_t dataBytes = size - 8 - headerBytes;
  for (const SafetensorsEntry &entry : entries) {
    std::string problem = checkEntry(entry);
    if (!problem.empty())
      return corrupt(problem);
  }

  // The data has to be covered exactly: in order of offset each tensor begins
  // where the one before ended.
  std::sort(entries.begin(), entries.end(), [](const auto &a, const auto &b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t covered = 0;
  const SafetensorsEntry *previous = nullptr;
  for (const SafetensorsEntry &entry : entries) {
    if (entry.begin < covered)
      return corrupt(strCat("tensors ", quote(previous->name), " (bytes ",
                            previous->begin, " to ", previous->end, ") and ",
                            quote(entry.name), " (bytes ", entry.begin, " to ",
                            entry.end, ") overlap"));
    if (entry.begin > covered)
      return corrupt(strCat("bytes ", covered, " to ", entry.begin,
                            " of the data belong to no tensor, the next one "
                            "is ",
                            quote(entry.name)));
    covered = entry.end;
    previous = &entry;
  }
  if (covered > dataBytes)
    return corrupt(strCat(
        "the file is truncated (incomplete download?): ", covered - dataBytes,
        " of ", 8 + headerBytes + covered, " bytes are missing"));
  if (covered < dataBytes)
    return corrupt(strCat(dataBytes - covered,
                          " bytes after the last tensor belong to no tensor"));

  std::sort(entries.begin(), entries.end(),
            [](const auto &a, const auto &b) { return a.name < b.name; });
  for (size_t i = 1; i < entries.size(); ++i)
    if (entries[i].name == entries[i - 1].name)
      return corrupt("malformed header: duplicate key " +
                     quote(entries[i].name));
  for (SafetensorsEntry &entry : entries) {
    entry.begin += 8 + headerBytes;
    entry.end += 8 + headerBytes;
  }
  return entries;
}

Expected<std::vector<SafetensorsEntry>>
dsv2rt::parseSafetensors(const uint8_t *file, uint64_t size,
                         const std::string &what, uint64_t maxHeaderBytes) {
  return guarded([&]() -> Expected<std::vector<SafetensorsEntry>> {
    return parseFile(file, size, what, maxHeaderBytes);
  });
}

/// Why `name` cannot be a shard of an index, or nothing.
static const char *shardNameProblem(const std::string &name) {
  const std::string suffix = ".safetensors";
  if (name.find('/') != std::string::npos ||
      name.find('\\') != std::string::npos ||
      name.find('\0') != std::string::npos || name == "." || name == "..")
    return "a plain file name without folders";
  if (name.size() <= suffix.size() ||
      name.compare(name.size() - suffix.size(), suffix.size(), suffix) != 0)
    return "a file name that ends in '.safetensors'";
  return nullptr;
}

Expected<std::vector<std::pair<std::string, std::string>>>
dsv2rt::parseSafetensorsIndex(const std::string &text,
                              const std::string &what) {
  using Map = std::vector<std::pair<std::string, std::string>>;
  return guarded([&]() -> Expected<Map> {
    Expected<json> parsed = parseStrictJson(text, what);
    if (!parsed.ok())
      return parsed.status();
    Status status;
    ObjectReader reader(parsed.value(), what, status);
    const json &weightMap = reader.object("weight_map");
    if (!status.ok())
      return status;
    Map map;
    for (const auto &[name, file] : weightMap.items()) {
      std::string member = "weight_map[" + quote(name) + "]";
      if (!file.is_string())
        return makeError(StatusCode::CorruptData, what, ": ", member,
                         ": expected a file name, found ", jsonKind(file));
      std::string shard = file.get<std::string>();
      if (const char *expected = shardNameProblem(shard))
        return makeError(StatusCode::CorruptData, what, ": ", member,
                         ": expected ", expected, ", found ", quote(shard));
      map.emplace_back(name, std::move(shard));
    }
    if (map.empty())
      return makeError(StatusCode::CorruptData, what,
                       ": weight_map names no tensors");
    return map;
  });
}
