//===- CaseReader.cpp - reads files of cases ------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CaseFormat.h"
#include "DeviceManifestReader.h"
#include "Json.h"
#include "Support.h"

#include <cstring>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>

using namespace dsv2rt;
using nlohmann::json;

/// More than any device has; what is larger is damaged.
static constexpr int64_t maxBytes = int64_t(1) << 40;
static constexpr int64_t maxInt = std::numeric_limits<int64_t>::max();

namespace {

/// Reads the members of a file; the first failure stays in `status`.
class Reader {
public:
  Reader(std::string_view data, Status &status) : data(data), status(status) {}

  KernelCases read(const json &root);

private:
  std::string_view part(ObjectReader &reader);
  CaseElement readElement(ObjectReader &reader);
  CaseFill readFill(const json &object, const std::string &path);
  CaseBuffer readBuffer(const json &object, const std::string &path);
  CaseArgument readArgument(const json &object, const std::string &path,
                            DeviceManifest::ParameterKind kind);
  CaseLaunch readLaunch(const json &object, const std::string &path,
                        const DeviceManifest &code);
  CaseCheck readCheck(const json &object, const std::string &path);
  KernelCase readCase(const json &object, const std::string &path,
                      const DeviceManifest &code);
  template <class F> void each(ObjectReader &reader, const char *key, F read);

  std::string_view data;
  Status &status;
};

/// The stretch of the data that the members `at` and `size` say.
std::string_view Reader::part(ObjectReader &reader) {
  int64_t at = reader.integer("at", 0, int64_t(data.size()));
  int64_t size = reader.integer("size", 0, int64_t(data.size()) - at);
  return data.substr(size_t(at), size_t(size));
}

CaseElement Reader::readElement(ObjectReader &reader) {
  std::string name = reader.string("element");
  for (const CaseName<CaseElement> &candidate : kCaseElements)
    if (name == candidate.name)
      return candidate.value;
  reader.fail("element", "'bf16', 'f32' or 'i32'", quote(name));
  return CaseElement::F32;
}

/// Calls `read` with each item of an array and what messages call it.
template <class F>
void Reader::each(ObjectReader &reader, const char *key, F read) {
  const json &list = reader.array(key);
  for (size_t i = 0; status.ok() && i < list.size(); ++i)
    read(list[i], strCat(reader.pathOf(key), "[", i, "]"));
}

CaseFill Reader::readFill(const json &object, const std::string &path) {
  ObjectReader reader(object, path, status);
  CaseFill fill;
  fill.offset = reader.integer("offset", 0, maxBytes);
  if (reader.find("data")) {
    ObjectReader place(reader.object("data"), path + ".data", status);
    std::string_view bytes = part(place);
    if (bytes.empty())
      reader.fail("data", "at least one byte", "none");
    fill.data.assign(bytes.begin(), bytes.end());
    fill.repeats = reader.integerOr("repeats", 1, maxBytes, 1);
    return fill;
  }
  ObjectReader normal(reader.object("normal"), path + ".normal", status);
  fill.element = readElement(normal);
  if (fill.element == CaseElement::I32)
    normal.fail("element", "'bf16' or 'f32'", "'i32'");
  fill.count = normal.integer("count", 1, maxBytes);
  fill.seed = uint64_t(normal.integer("seed", 0, maxInt));
  fill.scale = float(normal.number("scale", 0, 1e6));
  return fill;
}

CaseBuffer Reader::readBuffer(const json &object, const std::string &path) {
  ObjectReader reader(object, path, status);
  CaseBuffer buffer;
  buffer.name = reader.string("name");
  buffer.bytes = reader.integer("bytes", 1, maxBytes);
  buffer.background = uint8_t(reader.integer("background", 0, 255));
  each(reader, "fills", [&](const json &item, const std::string &itemPath) {
    buffer.fills.push_back(readFill(item, itemPath));
  });
  return buffer;
}

CaseArgument Reader::readArgument(const json &object, const std::string &path,
                                  DeviceManifest::ParameterKind kind) {
  ObjectReader reader(object, path, status);
  CaseArgument argument;
  using Kind = DeviceManifest::ParameterKind;
  switch (kind) {
  case Kind::I32:
    argument.kind = CaseArgument::Kind::I32;
    argument.integer =
        reader.integer("integer", std::numeric_limits<int32_t>::min(),
                       std::numeric_limits<int32_t>::max());
    return argument;
  case Kind::I64:
    argument.kind = CaseArgument::Kind::I64;
    argument.integer =
        reader.integer("integer", std::numeric_limits<int64_t>::min(), maxInt);
    return argument;
  case Kind::F32:
    argument.kind = CaseArgument::Kind::F32;
    argument.number = float(reader.number("number", -3e38, 3e38));
    return argument;
  case Kind::Pointer:
    argument.kind = CaseArgument::Kind::Pointer;
    break;
  case Kind::TensorMap:
    argument.kind = CaseArgument::Kind::Tensor;
    argument.dims = reader.integers("dims", 1, int64_t(1) << 32);
    argument.strides = reader.integers("strides", 1, maxBytes);
    break;
  }
  argument.buffer = reader.integer("buffer", 0, maxInt);
  argument.offset = reader.integer("offset", 0, maxBytes);
  return argument;
}

CaseLaunch Reader::readLaunch(const json &object, const std::string &path,
                              const DeviceManifest &code) {
  ObjectReader reader(object, path, status);
  CaseLaunch launch;
  launch.kernel = reader.integer("kernel", 0, int64_t(code.kernels.size()) - 1);
  std::vector<int64_t> grid =
      reader.integers("grid", 0, std::numeric_limits<int32_t>::max());
  if (grid.size() == 3)
    std::copy(grid.begin(), grid.end(), launch.grid.begin());
  else
    reader.fail("grid", "three sizes", shapeText(grid));
  if (!status.ok())
    return launch;
  const auto &parameters = code.kernels[size_t(launch.kernel)].parameters;
  const json &list = reader.array("arguments");
  // Whether there are as many as the kernel has is checked with the rest.
  for (size_t i = 0; status.ok() && i < list.size() && i < parameters.size();
       ++i)
    launch.arguments.push_back(readArgument(
        list[i], strCat(path, ".arguments[", i, "]"), parameters[i].kind));
  if (list.size() > parameters.size())
    reader.fail("arguments",
                strCat(parameters.size(), ", as many as the kernel has"),
                std::to_string(list.size()));
  return launch;
}

CaseCheck Reader::readCheck(const json &object, const std::string &path) {
  ObjectReader reader(object, path, status);
  CaseCheck check;
  check.what = reader.string("what");
  check.buffer = reader.integer("buffer", 0, maxInt);
  check.element = readElement(reader);
  std::vector<int64_t> spans = reader.integers("spans", 0, maxBytes);
  if (spans.size() % 2)
    reader.fail("spans", "pairs", strCat(spans.size(), " numbers"));
  for (size_t i = 0; i + 1 < spans.size(); i += 2)
    check.spans.emplace_back(spans[i], spans[i + 1]);
  ObjectReader place(reader.object("expected"), path + ".expected", status);
  std::string_view bytes = part(place);
  if (bytes.size() % sizeof(float))
    reader.fail("expected", "numbers of four bytes",
                strCat(bytes.size(), " bytes"));
  check.expected.resize(bytes.size() / sizeof(float));
  // Nothing may be copied to where a vector without elements is.
  if (!check.expected.empty())
    std::memcpy(check.expected.data(), bytes.data(),
                check.expected.size() * sizeof(float));
  check.absolute = reader.number("absolute", 0, 1e30);
  check.relative = reader.number("relative", 0, 1e30);
  check.finite = reader.boolean("finite");
  return check;
}

KernelCase Reader::readCase(const json &object, const std::string &path,
                            const DeviceManifest &code) {
  ObjectReader reader(object, path, status);
  KernelCase item;
  item.name = reader.string("name");
  each(reader, "buffers", [&](const json &value, const std::string &p) {
    item.buffers.push_back(readBuffer(value, p));
  });
  each(reader, "launches", [&](const json &value, const std::string &p) {
    item.launches.push_back(readLaunch(value, p, code));
  });
  each(reader, "checks", [&](const json &value, const std::string &p) {
    item.checks.push_back(readCheck(value, p));
  });
  if (reader.find("work")) {
    ObjectReader work(reader.object("work"), path + ".work", status);
    item.bytes = work.number("bytes", 0, 1e18);
    item.operations = work.number("operations", 0, 1e21);
  }
  return item;
}

KernelCases Reader::read(const json &root) {
  ObjectReader reader(root, "cases file", status);
  KernelCases result;
  const json &device = reader.object("device");
  if (!status.ok())
    return result;
  result.code = readDeviceManifest(device, "device", status);
  if (!status.ok())
    return result;
  const json &images = device.at("images");
  for (size_t i = 0; i < images.size(); ++i) {
    ObjectReader image(images[i], strCat("device.images[", i, "]"), status);
    std::string_view bytes = part(image);
    result.images.emplace_back(bytes.begin(), bytes.end());
  }
  each(reader, "cases", [&](const json &value, const std::string &path) {
    result.cases.push_back(readCase(value, path, result.code));
  });
  return result;
}

//===----------------------------------------------------------------------===//
// What has to fit together
//===----------------------------------------------------------------------===//

/// Checks one case; `path` is how messages call it.
class Checker {
public:
  Checker(const KernelCase &item, const DeviceManifest &code, std::string path)
      : item(item), code(code), path(std::move(path)) {}

  Status run() {
    Status status;
    auto check = [&](auto &list, const char *name, auto function) {
      for (size_t i = 0; status.ok() && i < list.size(); ++i)
        status =
            (this->*function)(list[i], strCat(path, ".", name, "[", i, "]"));
    };
    check(item.buffers, "buffers", &Checker::buffer);
    int64_t sum = 0;
    for (const CaseBuffer &buffer : item.buffers)
      if (status.ok() && (sum += buffer.bytes) > maxBytes)
        status = wrong(path, ".buffers: expected at most 2^40 bytes together");
    check(item.launches, "launches", &Checker::launch);
    check(item.checks, "checks", &Checker::expectation);
    return status;
  }

private:
  template <class... Ts> static Status wrong(const Ts &...parts) {
    return makeError(StatusCode::CorruptData, parts...);
  }
  /// Bytes of a buffer, or an error.
  Status sizeOf(int64_t index, const std::string &where, int64_t &bytes) {
    if (index < 0 || size_t(index) >= item.buffers.size())
      return wrong(where, ".buffer: expected one of ", item.buffers.size(),
                   " buffers, found number ", index);
    bytes = item.buffers[size_t(index)].bytes;
    return Status();
  }

  Status buffer(const CaseBuffer &buffer, const std::string &where) {
    if (buffer.bytes < 1 || buffer.bytes > maxBytes)
      return wrong(where, ".bytes: expected 1 to 2^40, found ", buffer.bytes);
    for (size_t i = 0; i < buffer.fills.size(); ++i) {
      const CaseFill &fill = buffer.fills[i];
      int64_t alignment = fill.data.empty() ? elementBytes(fill.element) : 1;
      bool hasSize =
          fill.data.empty()
              ? fill.count >= 0 && fill.count <= maxBytes
              : fill.repeats >= 1 &&
                    fill.repeats <= maxBytes / int64_t(fill.data.size());
      if (!hasSize)
        return wrong(where, ".fills[", i, "]: expected at most 2^40 bytes");
      if (fill.offset < 0 || fill.offset > buffer.bytes ||
          fill.offset % alignment || fill.bytes() > buffer.bytes - fill.offset)
        return wrong(where, ".fills[", i, "]: ", fill.bytes(), " bytes at ",
                     fill.offset, " do not fit in the buffer's ", buffer.bytes);
    }
    return Status();
  }

  Status argument(const CaseArgument &argument,
                  const DeviceManifest::Parameter &parameter,
                  const std::string &where) {
    using Kind = CaseArgument::Kind;
    if (argument.kind != Kind::Pointer && argument.kind != Kind::Tensor)
      return Status();
    int64_t bytes = 0;
    Status status = sizeOf(argument.buffer, where, bytes);
    if (!status.ok())
      return status;
    if (argument.offset < 0 || argument.offset >= bytes)
      return wrong(where, ".offset: expected less than the buffer's ", bytes,
                   ", found ", argument.offset);
    if (argument.kind == Kind::Pointer)
      return status;
    const DeviceManifest::TensorMap &map = parameter.map;
    if (int64_t(argument.dims.size()) != map.rank ||
        int64_t(argument.strides.size()) != map.rank)
      return wrong(where, ": expected ", map.rank, " dims and strides, found ",
                   argument.dims.size(), " and ", argument.strides.size());
    // Behind the last element.
    int64_t end = elementBytes(map.element);
    for (int64_t i = 0; i < map.rank; ++i) {
      int64_t extent = 0;
      if (!mulFits(argument.dims[i] - 1, argument.strides[i], extent) ||
          !addFits(end, extent, end))
        end = maxInt;
    }
    if (end > bytes - argument.offset)
      return wrong(where, ": the tensor ", shapeText(argument.dims),
                   " with strides ", shapeText(argument.strides), " at ",
                   argument.offset, " does not fit in the buffer's ", bytes,
                   " bytes");
    return status;
  }

  Status launch(const CaseLaunch &launch, const std::string &where) {
    if (launch.kernel < 0 || size_t(launch.kernel) >= code.kernels.size())
      return wrong(where, ".kernel: expected one of ", code.kernels.size(),
                   " kernels, found number ", launch.kernel);
    const DeviceManifest::Kernel &kernel = code.kernels[size_t(launch.kernel)];
    if (launch.arguments.size() != kernel.parameters.size())
      return wrong(where, ".arguments: expected ", kernel.parameters.size(),
                   ", as many as the kernel has, found ",
                   launch.arguments.size());
    Status status;
    for (size_t i = 0; status.ok() && i < launch.arguments.size(); ++i)
      status = argument(launch.arguments[i], kernel.parameters[i],
                        strCat(where, ".arguments[", i, "]"));
    return status;
  }

  Status expectation(const CaseCheck &check, const std::string &where) {
    int64_t bytes = 0;
    Status status = sizeOf(check.buffer, where, bytes);
    if (!status.ok())
      return status;
    int64_t elements = bytes / elementBytes(check.element), sum = 0;
    for (auto [first, count] : check.spans) {
      if (first < 0 || count < 0 || first > elements ||
          count > elements - first || !addFits(sum, count, sum))
        return wrong(where, ".spans: ", count, " elements from ", first,
                     " do not fit in the buffer's ", elements);
    }
    if (sum != int64_t(check.expected.size()))
      return wrong(where, ".expected: expected ", sum,
                   " numbers, as many as the spans have, found ",
                   check.expected.size());
    return status;
  }

  const KernelCase &item;
  const DeviceManifest &code;
  std::string path;
};

} // namespace

Status dsv2rt::checkKernelCases(const KernelCases &cases,
                                const std::string &name) {
  Status status;
  std::set<std::string> names;
  for (size_t i = 0; status.ok() && i < cases.cases.size(); ++i) {
    const KernelCase &item = cases.cases[i];
    std::string path = strCat("cases[", i, "]");
    if (item.name.empty() || !names.insert(item.name).second)
      status = makeError(StatusCode::CorruptData, path,
                         ".name: expected a name of its own, found ",
                         quote(item.name));
    else
      status = Checker(item, cases.code, path).run();
  }
  if (status.ok())
    return status;
  return makeError(status.code(), name, ": ", status.message());
}

Expected<KernelCases> dsv2rt::parseKernelCases(const std::string &contents,
                                               const std::string &name) {
  return guarded([&]() -> Expected<KernelCases> {
    auto damaged = [&](const auto &...what) {
      return makeError(StatusCode::CorruptData, name, ": ", what...);
    };
    constexpr size_t fixed = kCaseMagicBytes + 8;
    if (contents.compare(0, kCaseMagicBytes, kCaseMagic, kCaseMagicBytes) ||
        contents.size() < fixed)
      return damaged("this is no file of kernel cases");
    auto number = [&](size_t at) {
      uint32_t value = 0;
      for (int i = 0; i < 4; ++i)
        value |= uint32_t(uint8_t(contents[at + i])) << 8 * i;
      return value;
    };
    uint32_t version = number(kCaseMagicBytes),
             headerBytes = number(kCaseMagicBytes + 4);
    if (version != kCaseVersion)
      return damaged("expected version ", kCaseVersion, ", found ", version);
    if (headerBytes > contents.size() - fixed)
      return damaged("the header has ", headerBytes, " bytes, the file only ",
                     contents.size() - fixed);
    size_t data = size_t(
        roundUp(int64_t(fixed + headerBytes), int64_t(kCaseDataAlignment)));
    Expected<json> root =
        parseStrictJson(std::string_view(contents).substr(fixed, headerBytes),
                        name + ": the header");
    if (!root.ok())
      return root.status();
    Status status;
    KernelCases result = Reader(std::string_view(contents).substr(
                                    std::min(data, contents.size())),
                                status)
                             .read(root.value());
    if (!status.ok())
      return makeError(status.code(), name, ": ", status.message());
    status = checkKernelCases(result, name);
    if (!status.ok())
      return status;
    return result;
  });
}

Expected<KernelCases> dsv2rt::readKernelCases(const std::string &path) {
  return guarded([&]() -> Expected<KernelCases> {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream contents;
    contents << file.rdbuf();
    if (!file)
      return makeError(StatusCode::IoError, "cannot read ", quote(path));
    return parseKernelCases(contents.str(), quote(path));
  });
}
