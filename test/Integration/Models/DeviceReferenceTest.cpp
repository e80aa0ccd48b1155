//===- DeviceReferenceTest.cpp - device code against its reference --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every op of what `--target=cuda` compiles, on the emulator, against the
// reference lowering that the artifact carries for the host.
//
//===----------------------------------------------------------------------===//

#include "CompiledModel.h"
#include "EditedWeights.h"
#include "gtest/gtest.h"

#include <algorithm>
#include <cstdlib>

using namespace dsv2rt;
using namespace dsv2test;

namespace {

/// Of ReferenceCheck.h, which also fails the step.
constexpr float kTolerance = 2e-2f;

struct ReferenceCase {
  const char *name;
  const char *fixture;
  const char *flags;
};

class DeviceReference : public testing::TestWithParam<ReferenceCase> {
protected:
  void SetUp() override {
    setenv("DSV2_EMULATOR_LIBRARY", DSV2_EMULATOR_LIBRARY, /*overwrite=*/1);
  }
};

std::shared_ptr<const CompiledModel> compileFor(const ReferenceCase &item) {
  return CompiledModel::getWithReference(
      loadFixture(item.fixture),
      std::string("--target=cuda --gpu-code=bitcode ") + item.flags);
}

std::vector<int32_t> someIds(int32_t count) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < count; ++i)
    ids.push_back((i * 37 + 11) % 256);
  return ids;
}

// A chunk for kernels that take many rows, and what is left for those of few.
TEST_P(DeviceReference, EveryOpEqualsItsReference) {
  auto model = compileFor(GetParam());
  auto session = model->createComparedSession(/*emulated=*/true);
  // A step that differs has a status that says where, and throws here.
  evaluate(*session, someIds(23), /*chunk=*/20);
  ReferenceReport report = session->referenceReport();
  RecordProperty("largest_error", std::to_string(report.largestError) + " at " +
                                      report.largestErrorAt);
  EXPECT_EQ(report.steps, 2);
  EXPECT_LE(report.largestError, kTolerance);
  // Fewer than on a processor, as more is fused, but in every layer.
  EXPECT_GE(report.sites, 3 + 5 * model->artifact->manifest().cache.layers);
}

class EditedDeviceReference : public DeviceReference {};

// F113: one matrix of one layer differs from what the reference has.
TEST_P(EditedDeviceReference, F113_NamesWhatDiffers) {
  auto model = compileFor(GetParam());
  CompiledModel edited;
  edited.artifact = model->artifact;
  PackOptions options;
  options.inMemory = true;
  for (bool isEdited : {true, false}) {
    EditedWeights source(
        7, [&](const std::string &name, std::vector<float> &values) {
          if (isEdited && name == "model.layers.1.self_attn.o_proj.weight")
            std::reverse(values.begin(), values.end());
        });
    auto packed = PackedWeights::open(
        isEdited ? model->artifact : Artifact::referenceOf(model->artifact),
        source, options);
    ASSERT_TRUE(packed.ok()) << packed.status().message();
    (isEdited ? edited.weights : edited.referenceWeights) = packed.value();
  }
  auto session = edited.createComparedSession(/*emulated=*/true);
  std::vector<int32_t> ids = someIds(9);
  StepInput input;
  auto sequence = session->addSequence();
  ASSERT_TRUE(sequence.ok()) << sequence.status().message();
  input.sequence = sequence.value();
  input.tokens = ids.data();
  input.count = ids.size();
  StepOutput output;
  Status status = session->step(&input, 1, &output);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(int(output.status.code()), int(StatusCode::Mismatch));
  // The product is one kernel with the sum behind it.
  EXPECT_NE(output.status.message().find("'self_attn.residual' of layer 1"),
            std::string::npos)
      << output.status.message();
}

INSTANTIATE_TEST_SUITE_P(
    Models, DeviceReference,
    testing::Values(ReferenceCase{"T0_sm_90a", "T0", "--gpu-chip=sm_90a"},
                    ReferenceCase{"T0_sm_80_f32", "T0",
                                  "--gpu-chip=sm_80 --weight-format=f32"},
                    ReferenceCase{"T1_sm_80", "T1", "--gpu-chip=sm_80"},
                    ReferenceCase{"T1_sm_90a_q8", "T1",
                                  "--gpu-chip=sm_90a --weight-format=q8"},
                    ReferenceCase{"T1_sm_80_q4", "T1",
                                  "--gpu-chip=sm_80 --weight-format=q4"},
                    ReferenceCase{"T1_sm_80_q8", "T1",
                                  "--gpu-chip=sm_80 --weight-format=q8"},
                    ReferenceCase{"T1_sm_90a_q4", "T1",
                                  "--gpu-chip=sm_90a --weight-format=q4"},
                    ReferenceCase{"T0_sm_90a_fp8", "T0",
                                  "--gpu-chip=sm_90a --weight-format=fp8"},
                    ReferenceCase{"tiny_sm_90a_expanded", "tiny",
                                  "--gpu-chip=sm_90a --prefill-min-tokens=2"}),
    [](const testing::TestParamInfo<ReferenceCase> &info) {
      return info.param.name;
    });

INSTANTIATE_TEST_SUITE_P(Models, EditedDeviceReference,
                         testing::Values(ReferenceCase{"T0_sm_90a", "T0",
                                                       "--gpu-chip=sm_90a"}),
                         [](const testing::TestParamInfo<ReferenceCase> &info) {
                           return info.param.name;
                         });

} // namespace
