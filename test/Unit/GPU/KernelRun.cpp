//===- KernelRun.cpp - Kernels on the emulator ----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelRun.h"

#include "dsv2/Target/Assembler.h"

#include <cmath>
#include <cstdlib>
#include <map>

using namespace mlir::dsv2;
using namespace dsv2rt;

/// Where cases are to be written, or null.
static const char *dumpFolder() { return std::getenv("DSV2_DUMP_CASES"); }
/// Whether they are to be for the emulator.
static bool dumpsBitcode() {
  const char *code = std::getenv("DSV2_DUMP_CASES_CODE");
  return code && llvm::StringRef(code) == "bitcode";
}

void test::KernelRun::SetUp() {
  EmulatorTest::SetUp();
  // The library that EmulatorTest has opened: options count for it.
  setenv("DSV2_EMULATOR_LIBRARY", DSV2_EMULATOR_LIBRARY, /*overwrite=*/1);
  Expected<std::shared_ptr<Device>> opened = Device::open("emulator");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  device = std::move(opened.value());
}

std::shared_ptr<KernelCases>
test::KernelRun::compileCases(const std::string &chip,
                              const std::function<void(ModuleOp)> &build) {
  std::optional<DeviceCode> code = compileKernel(chip, build);
  if (!code)
    return nullptr;
  cases::ImageKinds kinds;
  kinds.bitcode = true;
  kinds.cubin = dumpFolder() && !dumpsBitcode();
  if (kinds.cubin) {
    llvm::Expected<std::string> ptxas = findCUDAProgram("ptxas", "", "--ptxas");
    if (!ptxas) {
      ADD_FAILURE() << llvm::toString(ptxas.takeError());
      return nullptr;
    }
    kinds.ptxas = *ptxas;
  }
  auto result = std::make_shared<KernelCases>();
  if (llvm::Error error = cases::addCode(*result, *code, kinds)) {
    ADD_FAILURE() << llvm::toString(std::move(error));
    return nullptr;
  }
  return result;
}

/// Adds cases to the file of their kernels, which tests share.
static void record(const KernelCases &added) {
  if (!dumpFolder())
    return;
  std::string path =
      std::string(dumpFolder()) + "/" + added.code.kernels.front().name;
  // Not every kernel is named after its chip.
  if (llvm::StringRef chip = added.code.images.front().chip;
      !llvm::StringRef(path).contains(chip))
    path += ("_" + chip).str();
  path += ".cases";
  static std::map<std::string, KernelCases> files;
  auto [place, isFirst] = files.try_emplace(path, added);
  // Bitcode has been run, and is larger than what it becomes.
  auto &images = place->second.code.images;
  if (isFirst && !dumpsBitcode()) {
    ASSERT_EQ(images.front().kind, DeviceManifest::ImageKind::Bitcode);
    images.erase(images.begin());
    place->second.images.erase(place->second.images.begin());
  }
  if (!isFirst)
    for (const KernelCase &item : added.cases)
      if (llvm::none_of(place->second.cases, [&](const KernelCase &other) {
            return other.name == item.name;
          }))
        place->second.cases.push_back(item);
  Status status = writeKernelCases(place->second, path);
  EXPECT_TRUE(status.ok()) << status.message();
}

void test::KernelRun::runCases(const std::shared_ptr<KernelCases> &cases,
                               int seeds, bool sameBits) {
  // As after a file: what is written can be read.
  Status valid = checkKernelCases(*cases, "the cases");
  ASSERT_TRUE(valid.ok()) << valid.message();
  Expected<std::unique_ptr<CaseRunner>> runner =
      CaseRunner::create(device, cases, "the test");
  ASSERT_TRUE(runner.ok()) << runner.status().message();
  for (const KernelCase &item : cases->cases) {
    std::optional<uint64_t> digest;
    for (int seed = 1; seed <= seeds; ++seed) {
      SCOPED_TRACE(item.name + ", seed " + std::to_string(seed));
      setOptions("seed=" + std::to_string(seed));
      Expected<CaseDeviation> result = runner.value()->check(item);
      EXPECT_TRUE(result.ok()) << result.status().message();
      if (!result.ok()) {
        clear();
        continue;
      }
      EXPECT_EQ(result.value().wrong, 0)
          << "of " << result.value().elements << " elements; the worst, "
          << result.value().worst
          << " times what is allowed: " << result.value().worstText;
      if (sameBits)
        EXPECT_EQ(result.value().digest,
                  digest.value_or(result.value().digest));
      digest = result.value().digest;
    }
  }
  record(*cases);
}

std::vector<std::string>
test::KernelRun::getFailures(const std::shared_ptr<KernelCases> &cases,
                             int seeds) {
  Expected<std::unique_ptr<CaseRunner>> runner =
      CaseRunner::create(device, cases, "the test");
  EXPECT_TRUE(runner.ok()) << runner.status().message();
  std::vector<std::string> failures;
  for (int seed = 1; runner.ok() && seed <= seeds; ++seed) {
    setOptions("seed=" + std::to_string(seed));
    Expected<CaseDeviation> result =
        runner.value()->check(cases->cases.front());
    failures.push_back(result.ok() ? "" : result.status().message());
    if (!result.ok())
      clear();
  }
  return failures;
}

test::KernelRun::Loaded test::KernelRun::loadKernel(const DeviceCode &code) {
  Loaded result;
  llvm::SmallVector<char, 0> bitcode = code.getBitcode();
  CUmodule module = nullptr;
  CUresult error =
      emulator.cuModuleLoadDataEx(&module, bitcode.data(), 0, nullptr, nullptr);
  EXPECT_EQ(error, CUDA_SUCCESS) << report();
  if (error != CUDA_SUCCESS)
    return result;
  const KernelInfo &info = code.getKernels().front();
  result.function = function(module, info.name);
  result.threads = info.getThreads();
  result.sharedBytes = info.dynamicSharedBytes;
  if (result.sharedBytes > 48 * 1024)
    EXPECT_EQ(emulator.cuFuncSetAttribute(
                  result.function,
                  CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                  result.sharedBytes),
              CUDA_SUCCESS)
        << report();
  return result;
}

std::vector<float> test::randomBF16(size_t count, uint32_t seed, float scale) {
  return cases::caseNumbers(seed, scale, count);
}

std::vector<uint16_t> test::toBF16(const std::vector<float> &values) {
  std::vector<uint16_t> bits;
  for (float value : values)
    bits.push_back(toBFloat16(value));
  return bits;
}

std::vector<float> test::fromBF16(const std::vector<uint16_t> &bits) {
  std::vector<float> values;
  for (uint16_t value : bits)
    values.push_back(fromBFloat16(value));
  return values;
}

void test::expectClose(const std::vector<float> &actual,
                       const std::vector<float> &expected, float absolute,
                       float relative, const std::string &what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  size_t worst = 0, wrong = 0;
  double worstExcess = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    double difference = std::fabs(double(actual[i]) - expected[i]);
    double allowed = absolute + relative * std::fabs(expected[i]);
    if (difference <= allowed)
      continue;
    ++wrong;
    if (!(difference / allowed <= worstExcess)) {
      worstExcess = difference / allowed;
      worst = i;
    }
  }
  EXPECT_EQ(wrong, 0u) << what << ": of " << actual.size()
                       << " elements; the worst is number " << worst << ": "
                       << actual[worst] << " instead of " << expected[worst];
}
