//===- EmulatorTest.cpp - what tests of the emulator share ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "EmulatorTest.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/AsmParser/Parser.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"

#include <dlfcn.h>
#include <fstream>
#include <random>
#include <sstream>

using namespace dsv2::test;

const Emulator &Emulator::get() {
  static const Emulator emulator = [] {
    void *library = dlopen(DSV2_EMULATOR_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
      llvm::errs() << dlerror() << "\n";
      std::abort();
    }
    Emulator result;
    auto find = [&](const char *name, auto &pointer) {
      pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(
          dlsym(library, name));
      if (!pointer) {
        llvm::errs() << "the library lacks " << name << "\n";
        std::abort();
      }
    };
#define DSV2_CUDA_FUNCTION(symbol, parameters) find(#symbol, result.symbol);
#include "dsv2rt/cuda/DriverApi.def"
    find("dsv2_emulator_set_options", result.dsv2_emulator_set_options);
    find("dsv2_emulator_report", result.dsv2_emulator_report);
    find("dsv2_emulator_clear_error", result.dsv2_emulator_clear_error);
    find("dsv2_emulator_get_counters", result.dsv2_emulator_get_counters);
    find("dsv2_emulator_reset_counters", result.dsv2_emulator_reset_counters);
    return result;
  }();
  return emulator;
}

std::string dsv2::test::readInput(const std::string &name) {
  std::ifstream file(std::string(DSV2_TEST_SOURCE_DIR) +
                     "/test/Emulator/Inputs/" + name);
  EXPECT_TRUE(file.good()) << name;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string dsv2::test::edited(std::string text, const std::string &from,
                               const std::string &to, int times) {
  size_t position = 0;
  int found = 0;
  while ((position = text.find(from, position)) != std::string::npos) {
    text.replace(position, from.size(), to);
    position += to.size();
    ++found;
  }
  EXPECT_EQ(found, times) << "occurrences of: " << from;
  return text;
}

std::string dsv2::test::assemble(const std::string &text) {
  llvm::LLVMContext context;
  llvm::SMDiagnostic diagnostic;
  std::unique_ptr<llvm::Module> module =
      llvm::parseAssemblyString(text, diagnostic, context);
  std::string bitcode;
  if (!module) {
    llvm::raw_string_ostream os(bitcode);
    diagnostic.print("input", os);
    ADD_FAILURE() << bitcode;
    return {};
  }
  llvm::raw_string_ostream os(bitcode);
  llvm::WriteBitcodeToFile(*module, os);
  return bitcode;
}

void EmulatorTest::SetUp() {
  ASSERT_EQ(emulator.cuInit(0), CUDA_SUCCESS);
  CUcontext context;
  ASSERT_EQ(emulator.cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
  ASSERT_EQ(emulator.cuCtxSetCurrent(context), CUDA_SUCCESS);
  setOptions("seed=1,schedules=1,checks=1,sms=4,cc=90,banks=0,pdl=0");
  clear();
}

void EmulatorTest::TearDown() {
  EXPECT_EQ(emulator.cuDevicePrimaryCtxRelease_v2(0), CUDA_SUCCESS);
}

CUmodule EmulatorTest::load(const std::string &text) {
  std::string bitcode = assemble(text);
  CUmodule module = nullptr;
  EXPECT_EQ(
      emulator.cuModuleLoadDataEx(&module, bitcode.data(), 0, nullptr, nullptr),
      CUDA_SUCCESS)
      << report();
  return module;
}

CUfunction EmulatorTest::function(CUmodule module, const std::string &name) {
  CUfunction function = nullptr;
  EXPECT_EQ(emulator.cuModuleGetFunction(&function, module, name.c_str()),
            CUDA_SUCCESS);
  return function;
}

CUdeviceptr EmulatorTest::allocate(size_t bytes) {
  CUdeviceptr address = 0;
  EXPECT_EQ(emulator.cuMemAlloc_v2(&address, bytes), CUDA_SUCCESS);
  return address;
}

CUresult EmulatorTest::launchWith(CUfunction function, const Shape &shape,
                                  void **parameters) {
  CUlaunchConfig config = {};
  config.gridDimX = shape.grid[0];
  config.gridDimY = shape.grid[1];
  config.gridDimZ = shape.grid[2];
  config.blockDimX = shape.block[0];
  config.blockDimY = shape.block[1];
  config.blockDimZ = shape.block[2];
  config.sharedMemBytes = shape.shared;
  config.hStream = shape.stream;
  CUlaunchAttribute attribute = {};
  if (shape.cluster[0] * shape.cluster[1] * shape.cluster[2] > 1) {
    attribute.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attribute.value.clusterDim.x = shape.cluster[0];
    attribute.value.clusterDim.y = shape.cluster[1];
    attribute.value.clusterDim.z = shape.cluster[2];
    config.attrs = &attribute;
    config.numAttrs = 1;
  }
  if (shape.shared > (48 << 10))
    EXPECT_EQ(emulator.cuFuncSetAttribute(
                  function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                  int(shape.shared)),
              CUDA_SUCCESS);
  return emulator.cuLaunchKernelEx(&config, function, parameters, nullptr);
}

std::string EmulatorTest::judge(CUresult error,
                                const std::function<bool()> &isRight) {
  if (error == CUDA_SUCCESS)
    return isRight() ? "" : "wrong";
  EXPECT_EQ(error, CUDA_ERROR_LAUNCH_FAILED);
  lastReport = report();
  std::string result = kind();
  clear();
  return result;
}

void EmulatorTest::expectOnSeeds(
    const std::string &text, const std::function<std::string(CUmodule)> &run,
    const std::vector<std::string> &outcomes) {
  CUmodule module = load(text);
  for (int seed = 1; seed <= 10; ++seed) {
    setOptions("seed=" + std::to_string(seed));
    std::string found = run(module);
    EXPECT_TRUE(llvm::is_contained(outcomes, found))
        << "seed " << seed << ": '" << found << "' " << lastReport;
  }
  EXPECT_EQ(emulator.cuModuleUnload(module), CUDA_SUCCESS);
}

CUtensorMap EmulatorTest::encode(CUdeviceptr address, uint64_t rows,
                                 uint64_t columns, uint32_t boxRows) {
  CUtensorMap map;
  uint64_t dims[] = {columns, rows}, strides[] = {columns * 2};
  uint32_t box[] = {64, boxRows}, ones[] = {1, 1};
  EXPECT_EQ(emulator.cuTensorMapEncodeTiled(
                &map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2,
                reinterpret_cast<void *>(address), dims, strides, box, ones,
                CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                CU_TENSOR_MAP_L2_PROMOTION_NONE,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
            CUDA_SUCCESS)
      << report();
  return map;
}

std::vector<uint16_t> dsv2::test::halves(const std::vector<float> &values) {
  std::vector<uint16_t> result;
  for (float value : values)
    result.push_back(bf16(value));
  return result;
}

uint16_t dsv2::test::bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return uint16_t((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

float dsv2::test::fromBf16(uint16_t half) {
  uint32_t bits = uint32_t(half) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

std::vector<float> dsv2::test::smallIntegers(size_t count, uint32_t seed,
                                             int most) {
  std::mt19937 generator(seed);
  std::vector<float> values(count);
  for (float &value : values)
    value = float(int(generator() % (2 * most + 1)) - most);
  return values;
}
