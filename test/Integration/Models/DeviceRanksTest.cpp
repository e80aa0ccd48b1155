//===- DeviceRanksTest.cpp - whole models on several emulated GPUs --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What `--target=cuda --mesh=...` compiles, on the emulator, against one rank
// on the CPU.
//
//===----------------------------------------------------------------------===//

#include "EditedWeights.h"
#include "RankProgram.h"
#include "gtest/gtest.h"

#include <cstdlib>
#include <tuple>

using namespace dsv2test;
using namespace dsv2rt;

namespace {

/// What bf16 activations may cost, as for one GPU (DeviceModelTest.cpp).
constexpr double kTolerance = 2e-2;

using Parameters = std::tuple<MeshCase, const char *>;

class DeviceRanks : public testing::TestWithParam<Parameters> {
protected:
  void SetUp() override {
    setenv("DSV2_EMULATOR_LIBRARY", DSV2_EMULATOR_LIBRARY, /*overwrite=*/1);
    Expected<std::shared_ptr<Device>> opened = Device::open("emulator");
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    device = opened.value();
  }

  const MeshCase &mesh() const { return std::get<0>(GetParam()); }

  /// Compares the ranks with one on the CPU.
  void expectWhatTheCPUComputes(WeightSource &source, const Fixture &fixture,
                                const RankProgram &program,
                                const std::string &weights,
                                const std::string &more = "") {
    Outcome host = runOnMesh({mesh().fixture, 1, 1},
                             "--attention-form=absorbed " + weights, source,
                             fixture, program);
    Outcome found =
        runOnMesh(mesh(),
                  std::string("--target=cuda --gpu-code=bitcode --gpu-chip=") +
                      std::get<1>(GetParam()) + " " + weights + more,
                  source, fixture, program, device);
    expectSame(found, host, kTolerance);
  }

  std::shared_ptr<Device> device;
};

// Among them a rank without tokens, more of them than kernels for few rows
// take, and single ones.
TEST_P(DeviceRanks, ComputeWhatTheCPUComputes) {
  Fixture fixture = loadFixture(mesh().fixture);
  auto source = openWeightSource(fixture.weights);
  ASSERT_TRUE(source.ok()) << source.status().message();
  RankProgram program;
  program.maxPrompt = 20;
  program.maxGreedy = 6;
  program.batches = {1, 5};
  expectWhatTheCPUComputes(*source.value(), fixture, program,
                           "--weight-format=bf16");
}

class EditedDeviceRanks : public DeviceRanks {};

// All tokens go to the experts of rank 0 (see RanksTest.cpp), with f32 weights.
TEST_P(EditedDeviceRanks, F085_AllTokensOnOneRank) {
  Fixture fixture = loadFixture(mesh().fixture);
  fixture.prompts.clear();
  EditedWeights source(7, [](const std::string &name, std::vector<float> &v) {
    if (name.find("mlp.gate.weight") != std::string::npos)
      std::fill(v.begin(), v.end(), 0.0f);
  });
  RankProgram program;
  program.batches = {3};
  expectWhatTheCPUComputes(source, fixture, program, "--weight-format=f32");
}

// F089: batches that fit into exchanges of fixed size, and one that does not.
TEST_P(EditedDeviceRanks, F089_FixedExchanges) {
  Fixture fixture = loadFixture(mesh().fixture);
  fixture.prompts.clear();
  auto source = openWeightSource(fixture.weights);
  ASSERT_TRUE(source.ok()) << source.status().message();
  RankProgram program;
  program.batches = {2, 7};
  expectWhatTheCPUComputes(*source.value(), fixture, program,
                           "--weight-format=bf16", " --dispatch-capacity=2");
}

std::string nameCase(const testing::TestParamInfo<Parameters> &info) {
  return std::get<0>(info.param).name() + "_" + std::get<1>(info.param);
}

INSTANTIATE_TEST_SUITE_P(
    Meshes, DeviceRanks,
    testing::Combine(testing::Values(MeshCase{"T0", 2, 1}, MeshCase{"T0", 1, 2},
                                     MeshCase{"T0", 2, 2}, MeshCase{"T0", 1, 4},
                                     MeshCase{"T0", 1, 3}),
                     testing::Values("sm_90a", "sm_80")),
    nameCase);

// Products of experts on tensor cores, and groups of experts.
INSTANTIATE_TEST_SUITE_P(
    Shapes, DeviceRanks,
    testing::Combine(testing::Values(MeshCase{"T1", 2, 2},
                                     MeshCase{"tiny", 1, 2},
                                     MeshCase{"tiny", 2, 1}),
                     testing::Values("sm_90a")),
    nameCase);

INSTANTIATE_TEST_SUITE_P(Meshes, EditedDeviceRanks,
                         testing::Combine(testing::Values(MeshCase{"T0", 1, 2},
                                                          MeshCase{"T0", 2, 2}),
                                          testing::Values("sm_90a")),
                         nameCase);

} // namespace
