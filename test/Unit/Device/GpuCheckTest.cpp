//===- GpuCheckTest.cpp - dsv2-gpu-check on the emulator ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "dsv2rt/KernelCases.h"

#include <nlohmann/json.hpp>

#include <sstream>

using namespace dsv2rt;
using namespace dsv2test;
using nlohmann::json;

namespace {

class GpuCheckTest : public ::testing::Test {
protected:
  GpuCheckTest() : emulator("DSV2_EMULATOR_LIBRARY", DSV2_EMULATOR) {
    cases.code.kind = "cuda";
    addKernel("scale", 2, /*number=*/true);
    addKernel("endless", 1, false);
    addKernel("trapped", 1, false);
    addKernel("wild", 1, false);
    std::string bitcode = readFile(DSV2_CHECK_KERNELS);
    DeviceManifest::Image &image = cases.code.images.emplace_back();
    image.chip = "sm_90a";
    image.kind = DeviceManifest::ImageKind::Bitcode;
    image.symbol = "bitcode";
    image.bytes = int64_t(bitcode.size());
    cases.images.emplace_back(bitcode.begin(), bitcode.end());
  }

  void addKernel(const char *name, int pointers, bool number) {
    DeviceManifest::Kernel &kernel = cases.code.kernels.emplace_back();
    kernel.name = name;
    kernel.block = {32, 1, 1};
    kernel.parameters.resize(pointers);
    if (number)
      kernel.parameters.emplace_back().kind =
          DeviceManifest::ParameterKind::F32;
  }

  /// A case of one kernel, whose result is twice its input plus the index.
  KernelCase &add(const std::string &name, int64_t kernel = 0) {
    KernelCase &item = cases.cases.emplace_back();
    item.name = name;
    item.buffers.resize(2);
    item.buffers[0].name = "out";
    item.buffers[0].bytes = item.buffers[1].bytes = 32 * 4;
    CaseFill &fill = item.buffers[1].fills.emplace_back();
    fill.element = CaseElement::F32;
    fill.count = 32;
    fill.seed = 1;
    CaseLaunch &launch = item.launches.emplace_back();
    launch.kernel = kernel;
    launch.arguments.resize(
        cases.code.kernels[size_t(kernel)].parameters.size());
    if (kernel == 0) {
      launch.arguments[1].buffer = 1;
      launch.arguments[2].kind = CaseArgument::Kind::F32;
      launch.arguments[2].number = 2;
    }
    CaseCheck &check = item.checks.emplace_back();
    check.what = "result";
    check.spans = {{0, 32}};
    check.absolute = 1e-6;
    for (int i = 0; i < 32; ++i)
      check.expected.push_back(2 * caseNumber(1, 1, i) + float(i));
    item.bytes = 256;
    return item;
  }

  ProgramResult run(const std::string &flags,
                    const std::string &environment = "") {
    EXPECT_TRUE(writeKernelCases(cases, folder.file("a.cases")).ok());
    return runShell(environment + " " DSV2_GPU_CHECK " --device=emulator " +
                    folder.file("a.cases") + " " + flags);
  }

  ScopedEnv emulator;
  TempDir folder;
  KernelCases cases;
};

} // namespace

TEST_F(GpuCheckTest, RightAndWrong) {
  add("right");
  add("wrong").checks[0].expected[17] += 1;
  add("right again");
  ProgramResult result = run("");
  EXPECT_EQ(result.code, 1);
  expectHolds(result.out, "FAILED  wrong: 1 of 32 elements are wrong; the "
                          "worst: result, element 17: ");
  expectHolds(result.out, "2 passed, 1 failed; 64 elements compared");
  expectHolds(result.out, "right again");
  result = run("--quiet");
  EXPECT_EQ(result.code, 1);
  expectHolds(result.out, "FAILED  wrong");
  EXPECT_EQ(result.out.find("right again"), std::string::npos) << result.out;
  result = run("--filter right");
  EXPECT_EQ(result.code, 0) << result.err;
  expectHolds(result.out, "2 passed, 0 failed");
}

TEST_F(GpuCheckTest, OneRankExchangesWithItself) {
  const std::string program = DSV2_GPU_CHECK " --device=emulator --nccl";
  ProgramResult result = runShell(program + " --nccl-library=" DSV2_FAKE_NCCL);
  EXPECT_EQ(result.code, 0) << result.err;
  expectHolds(result.out, "25 exchanges of one rank with itself by NCCL");
  expectHolds(result.out, "all right");
  result = runShell(program + " --nccl-library=/nowhere/libnccl.so.2");
  EXPECT_EQ(result.code, 1);
  expectHolds(result.err, "/nowhere/libnccl.so.2");
  // Without it cases are needed.
  result = runShell(DSV2_GPU_CHECK " --device=emulator");
  EXPECT_EQ(result.code, 2);
  expectHolds(result.err, "expected files of cases");
}

TEST_F(GpuCheckTest, WhatWasNotWrittenIsFound) {
  // The tail of the buffer stays NaN.
  KernelCase &item = add("short");
  item.buffers[0].bytes += 4;
  ProgramResult result = run("");
  EXPECT_EQ(result.code, 1);
  expectHolds(result.out, "nan instead of a finite number");
  item.checks[0].finite = false;
  EXPECT_EQ(run("").code, 0);
}

TEST_F(GpuCheckTest, OneFailureDoesNotEndTheOthers) {
  add("before");
  add("trapped", 2);
  add("between");
  add("endless", 1);
  add("after");
  ProgramResult result = run("--limit 2");
  EXPECT_EQ(result.code, 1);
  expectHolds(result.out, "FAILED  trapped: cuLaunchKernelEx failed");
  expectHolds(result.out, "kernel 'trapped'");
  expectHolds(result.out, "FAILED  endless: it took more than 2 s");
  expectHolds(result.out, "3 passed, 2 failed;");
}

TEST_F(GpuCheckTest, ACrashIsNamed) {
  add("before");
  add("wild", 3);
  add("after");
  ProgramResult result = run("", "DSV2_EMULATOR=checks=0");
  EXPECT_EQ(result.code, 1);
  expectHolds(result.out, "FAILED  wild: its process ended by signal 11");
  expectHolds(result.out, "2 passed, 1 failed;");
}

TEST_F(GpuCheckTest, TheBudgetEnds) {
  add("before");
  add("endless", 1);
  add("after");
  ProgramResult result = run("--budget 2");
  EXPECT_EQ(result.code, 1);
  expectHolds(result.out, "not run  endless: no time left");
  expectHolds(result.out, "1 passed, 0 failed, 2 not run;");
}

TEST_F(GpuCheckTest, TimesAndLines) {
  add("timed");
  add("not timed").bytes = 0;
  ProgramResult result = run("--bench --json " + folder.file("out.jsonl"));
  EXPECT_EQ(result.code, 0) << result.err;
  expectHolds(result.out, "ceilings: copy ");
  expectHolds(result.out, " GB/s");
  std::istringstream lines(readFile(folder.file("out.jsonl")));
  std::vector<json> objects;
  for (std::string line; std::getline(lines, line);)
    objects.push_back(json::parse(line));
  ASSERT_EQ(objects.size(), 4u);
  EXPECT_EQ(objects[0].at("device"), "emulator");
  EXPECT_GT(objects[1].at("copy_GBps").get<double>(), 0);
  EXPECT_EQ(objects[2].at("case"), "timed");
  EXPECT_EQ(objects[2].at("result"), "ok");
  EXPECT_GT(objects[2].at("median_us").get<double>(), 0);
  EXPECT_FALSE(objects[3].contains("median_us"));
  result = run("--bench --no-check --in-process");
  EXPECT_EQ(result.code, 0) << result.err;
  expectHolds(result.out, "1 passed, 0 failed\n");
}

TEST_F(GpuCheckTest, CodeForOtherDevices) {
  add("other");
  cases.code.images[0].kind = DeviceManifest::ImageKind::Cubin;
  ProgramResult result = run("");
  // Nothing was checked: that is no success.
  EXPECT_EQ(result.code, 1);
  expectHolds(result.out, "unsupported  other: ");
  expectHolds(result.out, "0 passed, 0 failed, 1 without code for this device");
}

TEST_F(GpuCheckTest, WrongCommandLines) {
  add("one");
  EXPECT_EQ(run("--list").out, "one\n");
  auto expectError = [&](const std::string &flags, int code,
                         const std::string &part) {
    ProgramResult result = run(flags);
    EXPECT_EQ(result.code, code) << flags;
    expectHolds(result.err, part);
  };
  expectError("--filter none", 2, "there is no such case");
  expectError("--no-check", 2, "--no-check leaves nothing to do");
  expectError(folder.file("none.cases"), 1, "cannot read");
  expectError("--limit 0", 2, "--limit");
  writeFile(folder.file("bad.cases"), "bad");
  expectError(folder.file("bad.cases"), 1, "no file of kernel cases");
  ProgramResult result = runShell("DSV2_EMULATOR_LIBRARY=/none " DSV2_GPU_CHECK
                                  " --device=emulator " +
                                  folder.file("a.cases"));
  EXPECT_EQ(result.code, 1);
  expectHolds(result.err, "cannot load the emulator, '/none'");
}
