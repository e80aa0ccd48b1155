//===- EmulatorTest.h - what tests of the emulator share --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_EMULATOR_EMULATORTEST_H
#define DSV2_TEST_UNIT_EMULATOR_EMULATORTEST_H

#include "dsv2/Emulator/Emulator.h"
#include "dsv2rt/cuda/DriverApi.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace dsv2::test {

/// The library's functions, found by name as the runtime finds them.
struct Emulator {
#define DSV2_CUDA_FUNCTION(symbol, parameters) CUresult(*symbol) parameters;
#include "dsv2rt/cuda/DriverApi.def"
  int (*dsv2_emulator_set_options)(const char *);
  const char *(*dsv2_emulator_report)();
  void (*dsv2_emulator_clear_error)();
  void (*dsv2_emulator_get_counters)(dsv2_emulator_counters *);
  void (*dsv2_emulator_reset_counters)();

  /// The library, opened once.
  static const Emulator &get();
};

/// The text of test/Emulator/Inputs/NAME.
std::string readInput(const std::string &name);

/// `text` with `from`, which must occur exactly `times`, replaced by `to`.
std::string edited(std::string text, const std::string &from,
                   const std::string &to, int times = 1);

/// Bitcode of LLVM IR `text`; fails the test when it does not parse.
std::string assemble(const std::string &text);

/// A context, released at the end of the test with all that it owns.
class EmulatorTest : public ::testing::Test {
protected:
  void SetUp() override;
  void TearDown() override;

  /// Loads LLVM IR.
  CUmodule load(const std::string &text);
  CUfunction function(CUmodule module, const std::string &name);

  /// Device memory with a copy of `values`.
  template <typename Type> CUdeviceptr upload(const std::vector<Type> &values) {
    CUdeviceptr address = allocate(values.size() * sizeof(Type));
    EXPECT_EQ(emulator.cuMemcpyHtoDAsync_v2(address, values.data(),
                                            values.size() * sizeof(Type),
                                            nullptr),
              CUDA_SUCCESS);
    return address;
  }
  template <typename Type>
  std::vector<Type> download(CUdeviceptr address, size_t count) {
    std::vector<Type> values(count);
    EXPECT_EQ(emulator.cuMemcpyDtoHAsync_v2(values.data(), address,
                                            count * sizeof(Type), nullptr),
              CUDA_SUCCESS);
    return values;
  }
  CUdeviceptr allocate(size_t bytes);

  struct Shape {
    unsigned grid[3] = {1, 1, 1};
    unsigned block[3] = {32, 1, 1};
    unsigned cluster[3] = {1, 1, 1};
    unsigned shared = 0;
    CUstream stream = nullptr;
  };
  template <typename... Values>
  CUresult launch(CUfunction function, const Shape &shape, Values... values) {
    void *parameters[] = {&values..., nullptr};
    return launchWith(function, shape, parameters);
  }
  CUresult launchWith(CUfunction function, const Shape &shape,
                      void **parameters);

  void setOptions(const std::string &options) {
    ASSERT_EQ(emulator.dsv2_emulator_set_options(options.c_str()), 0)
        << report();
  }
  std::string report() const { return emulator.dsv2_emulator_report(); }
  /// The report's kind, up to the colon.
  std::string kind() const { return report().substr(0, report().find(':')); }
  /// Forgets a failed launch.
  void clear() { emulator.dsv2_emulator_clear_error(); }

  /// What became of a launch: the kind of its report, which is then forgotten,
  /// "wrong" when `isRight` says so, or "".
  std::string judge(CUresult error, const std::function<bool()> &isRight);
  /// Runs the module of `text` with each of 10 seeds; `run` has to return one
  /// of `outcomes` every time.
  void expectOnSeeds(const std::string &text,
                     const std::function<std::string(CUmodule)> &run,
                     const std::vector<std::string> &outcomes);

  /// A row-major matrix of bf16 as boxes of `boxRows` x 64 with 128 byte
  /// swizzle.
  CUtensorMap encode(CUdeviceptr address, uint64_t rows, uint64_t columns,
                     uint32_t boxRows);

  std::string lastReport;

  const Emulator &emulator = Emulator::get();
};

/// bf16 of a value that it holds exactly, or rounded to nearest even.
uint16_t bf16(float value);
float fromBf16(uint16_t bits);
std::vector<uint16_t> halves(const std::vector<float> &values);

/// Values whose bf16 is exact and whose products sum exactly in f32: small
/// integers, by a fixed generator.
std::vector<float> smallIntegers(size_t count, uint32_t seed, int most = 4);

} // namespace dsv2::test

#endif // DSV2_TEST_UNIT_EMULATOR_EMULATORTEST_H
