//===- CaseWriter.cpp - writes files of cases -----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AtomicFile.h"
#include "CaseFormat.h"
#include "Json.h"

using namespace dsv2rt;
using nlohmann::json;

namespace {

/// Collects the data behind the header.
class Data {
public:
  /// Where these bytes are.
  json add(const void *bytes, size_t size) {
    contents.resize((contents.size() + kCaseDataAlignment - 1) /
                    kCaseDataAlignment * kCaseDataAlignment);
    json place = {{"at", contents.size()}, {"size", size}};
    contents.append(static_cast<const char *>(bytes), size);
    return place;
  }
  template <class T> json add(const std::vector<T> &values) {
    return add(values.data(), values.size() * sizeof(T));
  }

  std::string contents;
};

json parameterJson(const DeviceManifest::Parameter &parameter) {
  using Kind = DeviceManifest::ParameterKind;
  switch (parameter.kind) {
  case Kind::Pointer:
    return {{"kind", "pointer"}};
  case Kind::I32:
    return {{"kind", "i32"}};
  case Kind::I64:
    return {{"kind", "i64"}};
  case Kind::F32:
    return {{"kind", "f32"}};
  case Kind::TensorMap:
    break;
  }
  const DeviceManifest::TensorMap &map = parameter.map;
  return {{"kind", "tensor_map"},
          {"dtype", elementName(map.element)},
          {"rank", map.rank},
          {"box", map.box},
          {"swizzle", map.swizzle}};
}

json argumentJson(const CaseArgument &argument) {
  switch (argument.kind) {
  case CaseArgument::Kind::Pointer:
    return {{"buffer", argument.buffer}, {"offset", argument.offset}};
  case CaseArgument::Kind::I32:
  case CaseArgument::Kind::I64:
    return {{"integer", argument.integer}};
  case CaseArgument::Kind::F32:
    return {{"number", argument.number}};
  case CaseArgument::Kind::Tensor:
    break;
  }
  return {{"buffer", argument.buffer},
          {"offset", argument.offset},
          {"dims", argument.dims},
          {"strides", argument.strides}};
}

json bufferJson(const CaseBuffer &buffer, Data &data) {
  json fills = json::array();
  for (const CaseFill &fill : buffer.fills) {
    json item = {{"offset", fill.offset}};
    if (!fill.data.empty()) {
      item["data"] = data.add(fill.data);
      if (fill.repeats != 1)
        item["repeats"] = fill.repeats;
    } else {
      item["normal"] = {{"element", caseElementName(fill.element)},
                        {"count", fill.count},
                        {"seed", fill.seed},
                        {"scale", fill.scale}};
    }
    fills.push_back(std::move(item));
  }
  return {{"name", buffer.name},
          {"bytes", buffer.bytes},
          {"background", buffer.background},
          {"fills", std::move(fills)}};
}

json caseJson(const KernelCase &item, Data &data) {
  json buffers = json::array(), launches = json::array(),
       checks = json::array();
  for (const CaseBuffer &buffer : item.buffers)
    buffers.push_back(bufferJson(buffer, data));
  for (const CaseLaunch &launch : item.launches) {
    json arguments = json::array();
    for (const CaseArgument &argument : launch.arguments)
      arguments.push_back(argumentJson(argument));
    launches.push_back({{"kernel", launch.kernel},
                        {"grid", launch.grid},
                        {"arguments", std::move(arguments)}});
  }
  for (const CaseCheck &check : item.checks) {
    json spans = json::array();
    for (auto [first, count] : check.spans) {
      spans.push_back(first);
      spans.push_back(count);
    }
    checks.push_back({{"what", check.what},
                      {"buffer", check.buffer},
                      {"element", caseElementName(check.element)},
                      {"spans", std::move(spans)},
                      {"expected", data.add(check.expected)},
                      {"absolute", check.absolute},
                      {"relative", check.relative},
                      {"finite", check.finite}});
  }
  json result = {{"name", item.name},
                 {"buffers", std::move(buffers)},
                 {"launches", std::move(launches)},
                 {"checks", std::move(checks)}};
  if (item.timed())
    result["work"] = {{"bytes", item.bytes}, {"operations", item.operations}};
  return result;
}

} // namespace

std::string dsv2rt::printKernelCases(const KernelCases &cases) {
  Data data;
  json kernels = json::array(), images = json::array(), list = json::array();
  for (const DeviceManifest::Kernel &kernel : cases.code.kernels) {
    json parameters = json::array();
    for (const DeviceManifest::Parameter &parameter : kernel.parameters)
      parameters.push_back(parameterJson(parameter));
    kernels.push_back({{"name", kernel.name},
                       {"chip", kernel.chip},
                       {"block", kernel.block},
                       {"cluster", kernel.cluster},
                       {"shared_bytes", kernel.sharedBytes},
                       {"pdl", kernel.programmaticLaunch},
                       {"parameters", std::move(parameters)}});
  }
  for (size_t i = 0; i < cases.images.size(); ++i) {
    const DeviceManifest::Image &image = cases.code.images[i];
    json place = data.add(cases.images[i]);
    images.push_back({{"chip", image.chip},
                      {"kind", imageKindName(image.kind)},
                      {"symbol", image.symbol},
                      {"at", place["at"]},
                      {"size", place["size"]}});
  }
  for (const KernelCase &item : cases.cases)
    list.push_back(caseJson(item, data));
  std::string header = json{
      {"device",
       {{"kind", cases.code.kind},
        {"kernels", std::move(kernels)},
        {"images", std::move(images)}}},
      {"cases",
       std::move(list)}}.dump();
  std::string result(kCaseMagic, kCaseMagicBytes);
  for (uint32_t number : {kCaseVersion, uint32_t(header.size())})
    for (int shift = 0; shift < 32; shift += 8)
      result += char(number >> shift & 0xFF);
  result += header;
  result.resize((result.size() + kCaseDataAlignment - 1) / kCaseDataAlignment *
                kCaseDataAlignment);
  return result + data.contents;
}

Status dsv2rt::writeKernelCases(const KernelCases &cases,
                                const std::string &path) {
  std::string contents = printKernelCases(cases);
  return writeFileAtomically(path, contents.data(), contents.size());
}
