//===- KernelCasesTest.cpp - files of kernels and their results -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "dsv2rt/KernelCases.h"

#include <nlohmann/json.hpp>

#include <cmath>

using namespace dsv2rt;
using namespace dsv2test;
using nlohmann::json;

namespace {

/// One kernel with a parameter of every kind, and a case of it.
KernelCases someCases() {
  using Parameter = DeviceManifest::ParameterKind;
  KernelCases cases;
  cases.code.kind = "cuda";
  DeviceManifest::Kernel &kernel = cases.code.kernels.emplace_back();
  kernel.name = "work";
  kernel.block = {128, 1, 1};
  kernel.sharedBytes = 1024;
  for (Parameter kind : {Parameter::Pointer, Parameter::I32, Parameter::I64,
                         Parameter::F32, Parameter::TensorMap})
    kernel.parameters.emplace_back().kind = kind;
  DeviceManifest::TensorMap &map = kernel.parameters.back().map;
  map.rank = 2;
  map.box = {64, 8};
  map.swizzle = 128;
  DeviceManifest::Image &image = cases.code.images.emplace_back();
  image.chip = "sm_90a";
  image.symbol = "image_0";
  image.bytes = 5;
  cases.images = {{1, 2, 3, 4, 5}};

  KernelCase &item = cases.cases.emplace_back();
  item.name = "first";
  item.bytes = 1e9;
  item.operations = 2e12;
  CaseBuffer &in = item.buffers.emplace_back();
  in.name = "in";
  in.bytes = 64 * 10 * 2;
  in.fills.emplace_back();
  in.fills[0].count = 64;
  in.fills[0].offset = 128;
  in.fills[0].seed = 7;
  in.fills[0].scale = 0.25f;
  in.fills.emplace_back();
  in.fills[1].data = {9, 8, 7};
  in.fills[1].offset = 1000;
  in.fills[1].repeats = 4;
  CaseBuffer &out = item.buffers.emplace_back();
  out.name = "out";
  out.bytes = 40;
  out.background = 0;
  CaseLaunch &launch = item.launches.emplace_back();
  launch.grid = {3, 2, 1};
  for (auto kind : {CaseArgument::Kind::Pointer, CaseArgument::Kind::I32,
                    CaseArgument::Kind::I64, CaseArgument::Kind::F32,
                    CaseArgument::Kind::Tensor})
    launch.arguments.emplace_back().kind = kind;
  launch.arguments[0].buffer = 1;
  launch.arguments[0].offset = 8;
  launch.arguments[1].integer = -5;
  launch.arguments[2].integer = int64_t(1) << 40;
  launch.arguments[3].number = 0.5f;
  launch.arguments[4].dims = {64, 10};
  launch.arguments[4].strides = {2, 128};
  CaseCheck &check = item.checks.emplace_back();
  check.what = "result";
  check.buffer = 1;
  check.spans = {{0, 1}, {8, 2}};
  check.expected = {1, 2, 3};
  check.absolute = 1e-3;
  check.relative = 1e-2;
  check.finite = false;
  return cases;
}

std::string fileOf(const std::string &header, const std::string &data) {
  std::string bytes = "DSV2CASE";
  for (size_t number : {size_t(1), header.size()})
    for (int shift = 0; shift < 32; shift += 8)
      bytes += char(number >> shift & 0xFF);
  bytes += header;
  bytes.resize((bytes.size() + 15) / 16 * 16);
  return bytes + data;
}

/// Header and data of a file.
std::pair<json, std::string> split(const std::string &file) {
  size_t size = uint8_t(file[12]) | uint8_t(file[13]) << 8;
  return {json::parse(file.substr(16, size)),
          file.substr((16 + size + 15) / 16 * 16)};
}

/// The file of someCases() with one member replaced.
void expectRefused(const std::string &pointer, const json &value,
                   std::vector<std::string> parts) {
  SCOPED_TRACE(pointer + " = " + value.dump());
  auto [header, data] = split(printKernelCases(someCases()));
  header[json::json_pointer(pointer)] = value;
  parts.push_back("the file: ");
  expectFailure(
      parseKernelCases(fileOf(header.dump(), data), "the file").status(),
      StatusCode::CorruptData, parts);
}

} // namespace

TEST(KernelCasesTest, WhatIsWrittenIsRead) {
  std::string bytes = printKernelCases(someCases());
  KernelCases read = take(parseKernelCases(bytes, "the file"));
  EXPECT_EQ(printKernelCases(read), bytes);
  ASSERT_EQ(read.images.size(), 1u);
  EXPECT_EQ(read.images[0], (std::vector<uint8_t>{1, 2, 3, 4, 5}));
  const KernelCase &item = read.cases.at(0);
  EXPECT_TRUE(item.timed());
  EXPECT_EQ(item.memory(), 1280 + 40);
  EXPECT_EQ(item.buffers[0].fills[0].seed, 7u);
  EXPECT_EQ(item.buffers[0].fills[1].data, (std::vector<uint8_t>{9, 8, 7}));
  EXPECT_EQ(item.buffers[0].fills[1].repeats, 4);
  EXPECT_EQ(item.launches[0].arguments[1].integer, -5);
  EXPECT_EQ(item.launches[0].arguments[2].integer, int64_t(1) << 40);
  EXPECT_EQ(item.launches[0].arguments[3].number, 0.5f);
  EXPECT_EQ(item.launches[0].arguments[4].strides[1], 128);
  EXPECT_EQ(item.checks[0].expected, (std::vector<float>{1, 2, 3}));
  EXPECT_FALSE(item.checks[0].finite);

  TempDir folder;
  ASSERT_TRUE(writeKernelCases(someCases(), folder.file("a.cases")).ok());
  EXPECT_EQ(readFile(folder.file("a.cases")), bytes);
  EXPECT_TRUE(readKernelCases(folder.file("a.cases")).ok());
  expectFailure(readKernelCases(folder.file("b.cases")).status(),
                StatusCode::IoError, {"b.cases"});
}

TEST(KernelCasesTest, DamagedFiles) {
  std::string bytes = printKernelCases(someCases());
  auto expectBad = [](const std::string &file, const std::string &part) {
    expectFailure(parseKernelCases(file, "the file").status(),
                  StatusCode::CorruptData, {"the file", part});
  };
  expectBad("", "no file of kernel cases");
  expectBad("DSV2CASE", "no file of kernel cases");
  expectBad("ELF" + bytes, "no file of kernel cases");
  std::string other = bytes;
  other[8] = 2;
  expectBad(other, "expected version 1, found 2");
  other = bytes;
  other[15] = 1;
  expectBad(other, "the file only ");
  expectBad(fileOf("{", ""), "is not valid JSON");
  expectBad(fileOf("[]", ""), "expected an object");
  expectBad(fileOf("{}", ""), ".device: expected an object");
  // However short it becomes, nothing is read that is not there.
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(parseKernelCases(bytes.substr(0, size), "the file").ok())
        << size;
}

TEST(KernelCasesTest, MembersThatDoNotFit) {
  expectRefused("/device/images/0/at", 1 << 20, {"device.images[0].at"});
  expectRefused("/device/images/0/size", 1 << 20, {"device.images[0].size"});
  expectRefused("/device/kernels/0/block", {2048, 1, 1}, {"kernels[0].block"});
  const std::string item = "/cases/0";
  expectRefused(item + "/name", "", {"cases[0].name"});
  expectRefused(item + "/buffers/0/bytes", 0, {"cases[0].buffers[0].bytes"});
  expectRefused(item + "/buffers/0/bytes", 1002, {"12 bytes at 1000"});
  expectRefused(item + "/buffers/0/fills/0/offset", 1, {"fills[0]"});
  expectRefused(item + "/buffers/0/fills/0/offset", -2, {"fills[0].offset"});
  expectRefused(item + "/buffers/0/fills/0/normal/count", 10000,
                {"20000 bytes at 128"});
  expectRefused(item + "/buffers/0/fills/0/normal/element", "i32",
                {"'bf16' or 'f32'"});
  expectRefused(item + "/buffers/0/fills/1/data/size", 0, {"at least one"});
  expectRefused(item + "/buffers/0/fills/1/repeats", 0, {"fills[1].repeats"});
  expectRefused(item + "/buffers/0/fills/1/repeats", 1000, {"fills[1]"});
  expectRefused(item + "/launches/0/kernel", 1, {"launches[0].kernel"});
  expectRefused(item + "/launches/0/grid", {1, 1}, {"three sizes"});
  expectRefused(item + "/launches/0/grid", {1, -1, 1}, {"grid[1]"});
  expectRefused(item + "/launches/0/arguments", json::array(),
                {"arguments: expected 5"});
  expectRefused(item + "/launches/0/arguments/0/buffer", 2,
                {"expected one of 2 buffers, found number 2"});
  expectRefused(item + "/launches/0/arguments/0/offset", 40,
                {"less than the buffer's 40"});
  expectRefused(item + "/launches/0/arguments/1/integer", int64_t(1) << 31,
                {"arguments[1].integer"});
  expectRefused(item + "/launches/0/arguments/3/number", "1",
                {"arguments[3].number"});
  expectRefused(item + "/launches/0/arguments/4/dims", {64, 11},
                {"the tensor [64, 11]", "does not fit"});
  expectRefused(item + "/launches/0/arguments/4/dims", {64},
                {"expected 2 dims and strides, found 1 and 2"});
  expectRefused(item + "/launches/0/arguments/4/strides",
                {int64_t(1) << 40, int64_t(1) << 40}, {"does not fit"});
  expectRefused(item + "/checks/0/buffer", 7, {"checks[0].buffer"});
  expectRefused(item + "/checks/0/element", "f64", {"'bf16', 'f32' or 'i32'"});
  expectRefused(item + "/checks/0/spans", {0, 1, 9, 2}, {"checks[0].spans"});
  expectRefused(item + "/checks/0/spans", {0, 1, 2}, {"pairs"});
  expectRefused(item + "/checks/0/spans", {0, 2, 8, 2},
                {"expected 4 numbers, as many as the spans have, found 3"});
  expectRefused(item + "/checks/0/expected/size", 11,
                {"numbers of four bytes"});
  expectRefused(item + "/checks/0/absolute", -1, {"checks[0].absolute"});
  expectRefused(item + "/checks/0/relative", nullptr, {"checks[0].relative"});
  expectRefused(item + "/work/bytes", "many", {"work.bytes"});
  expectRefused(item + "/buffers/1/bytes", int64_t(1) << 40,
                {"at most 2^40 bytes together"});
  KernelCases twice = someCases();
  twice.cases.push_back(twice.cases[0]);
  expectFailure(checkKernelCases(twice, "these"), StatusCode::CorruptData,
                {"these: cases[1].name: expected a name of its own"});
}

TEST(KernelCasesTest, Numbers) {
  // About normal, the same every time, different for every seed, and periodic.
  double sum = 0, squares = 0;
  constexpr int count = 100000;
  for (int i = 0; i < count; ++i) {
    double value = caseNumber(1, 2, i);
    EXPECT_LE(std::fabs(value), 7.01);
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum / count, 0, 0.03);
  EXPECT_NEAR(std::sqrt(squares / count), 2, 0.03);
  EXPECT_EQ(caseNumber(1, 1, 5), caseNumber(1, 1, 5 + 3 * kCasePeriod));
  EXPECT_NE(caseNumber(1, 1, 5), caseNumber(1, 1, 6));
  EXPECT_NE(caseNumber(1, 1, 5), caseNumber(2, 1, 5));
  EXPECT_EQ(toBFloat16(1.0f), 0x3F80);
  EXPECT_EQ(toBFloat16(1.00390625f), 0x3F80) << "ties to even";
  EXPECT_EQ(toBFloat16(1.01171875f), 0x3F82) << "ties to even";
  EXPECT_TRUE(std::isnan(fromBFloat16(toBFloat16(std::nanf("")))));
}
