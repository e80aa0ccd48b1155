//===- DeviceFailureTest.cpp - every call of the driver fails in turn -----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One scenario uses all that sessions do with a device. It runs once for every
// call of every function of DriverApi.def, and that call fails: somebody has to
// be told, by the function's name, and nothing may be left behind.
//
//===----------------------------------------------------------------------===//

#include "DeviceTestUtils.h"

#include <algorithm>

using namespace dsv2rt;
using namespace dsv2test;

namespace {

using DeviceFailureTest = DeviceTest;

/// The scenario, and what it was told.
class Scenario {
public:
  void run();

  std::vector<std::string> messages;
  /// Whether something was refused as a whole.
  bool failed = false;

private:
  /// Notes a failure; true when there was none.
  bool check(const Status &status) {
    if (!status.ok()) {
      messages.push_back(status.message());
      EXPECT_NE(int(status.code()), int(StatusCode::Internal));
      failed = true;
    }
    return status.ok();
  }
  bool step(Session &session, std::vector<StepInput> inputs);
  void use(Session &session);
};

/// One step. A step that fails has changed nothing, and is the last.
bool Scenario::step(Session &session, std::vector<StepInput> inputs) {
  std::vector<int64_t> lengths;
  for (const StepInput &input : inputs)
    lengths.push_back(session.length(input.sequence));
  int64_t pages = session.availablePages();
  std::vector<StepOutput> outputs(inputs.size());
  if (check(session.step(inputs.data(), inputs.size(), outputs.data()))) {
    for (const StepOutput &output : outputs)
      EXPECT_TRUE(output.status.ok()) << output.status.message();
    return true;
  }
  for (size_t i = 0; i < inputs.size(); ++i)
    EXPECT_EQ(session.length(inputs[i].sequence), lengths[i]);
  // Pages that were copied may have become a sequence's own.
  EXPECT_GE(session.availablePages(), pages - 1);
  return false;
}

void Scenario::use(Session &session) {
  std::vector<int32_t> tokens = someTokens(40);
  SequenceId parent = take(session.addSequence());
  // A chunk, a page that is shared and written to, and steps of the same sizes.
  if (!step(session, {{parent, tokens.data(), 5, LogitRows::All}}))
    return;
  SequenceId child = take(session.fork(parent, 5));
  for (int i = 0; i < 4; ++i)
    if (!step(session, {{parent, &tokens[i], 1, LogitRows::Last},
                        {child, &tokens[i + 1], 1, LogitRows::Last}}))
      return;
  // Steps that follow each other: what was taken stays.
  if (session.decodesAlone()) {
    DecodeInput inputs[] = {{parent, tokens[5]}, {child, tokens[6]}};
    int64_t length = session.length(parent), taken = 0;
    bool ok = check(session.decode(
        inputs, 2, 6, [&](const DecodeOutput *) { return ++taken < 5; }));
    EXPECT_EQ(session.length(parent), length + taken);
    EXPECT_EQ(session.length(child), length + taken);
    if (!ok)
      return;
  }
  // More than was planned for.
  if (!step(session, {{child, tokens.data(), 30, LogitRows::All}}))
    return;
  EXPECT_TRUE(session.removeSequence(child).ok());
  EXPECT_TRUE(session.removeSequence(parent).ok());
}

void Scenario::run() {
  {
    Expected<std::shared_ptr<Device>> device = Device::open("cuda");
    if (!check(device.status()))
      return;
    check(device.value()->measureCopyRate(4096).status());
    for (int level : {0, 2}) {
      SessionOptions options;
      options.device = device.value();
      options.stepTokens = 8;
      options.maxSequences = 2;
      options.checkLevel = level;
      Expected<std::unique_ptr<Session>> session = openDeviceSession(options);
      if (check(session.status()))
        use(*session.value());
    }
    check(device.value()->availableMemory().status());
    device.value()->forgetWeights();
    Status released = device.value()->releaseFailure();
    if (!released.ok())
      messages.push_back(released.message());
  }
  EXPECT_EQ(stub::leaks(), "");
  EXPECT_EQ(stub::misuse(), std::vector<std::string>());
}

/// Every function of the driver.
const char *const functions[] = {
#define DSV2_CUDA_FUNCTION(NAME, PARAMETERS) #NAME,
#include "dsv2rt/cuda/DriverApi.def"
};

/// What exchanges of ranks alone need; DeviceMeshTest.cpp has them.
bool isForRanks(const std::string &function) {
  return function == "cuStreamQuery" || function == "cuEventQuery" ||
         function == "cuMemcpy2DAsync_v2" || function == "cuStreamWaitEvent";
}

bool holds(const std::vector<std::string> &messages, const std::string &part) {
  return std::any_of(messages.begin(), messages.end(),
                     [&](const std::string &message) {
                       return message.find(part) != std::string::npos;
                     });
}

std::string joined(const std::vector<std::string> &messages) {
  std::string text;
  for (const std::string &message : messages)
    text += "\n" + message;
  return text;
}

} // namespace

TEST_F(DeviceFailureTest, TheScenarioUsesEveryFunction) {
  Scenario scenario;
  scenario.run();
  EXPECT_FALSE(scenario.failed) << joined(scenario.messages);
  for (const char *function : functions)
    if (std::string(function).find("cuGetError") == std::string::npos &&
        !isForRanks(function))
      EXPECT_GT(stub::calls(function), 0) << function;
}

TEST_F(DeviceFailureTest, F109_EveryCallThatFailsIsNamed) {
  for (const char *function : functions) {
    std::string name = function;
    // These are called for the failures of others alone.
    if (name.find("cuGetError") != std::string::npos)
      continue;
    stub::reset();
    Scenario complete;
    complete.run();
    int calls = stub::calls(name);
    for (int call = 1; call <= calls; ++call) {
      SCOPED_TRACE(name + ", call " + std::to_string(call));
      stub::reset();
      stub::fail(name, call, CUDA_ERROR_LAUNCH_FAILED);
      Scenario scenario;
      scenario.run();
      // The context goes last, when there is nobody left to tell.
      if (name == "cuDevicePrimaryCtxRelease_v2")
        continue;
      EXPECT_TRUE(holds(scenario.messages, name + " failed"))
          << joined(scenario.messages);
      EXPECT_TRUE(holds(scenario.messages, "CUDA_ERROR_LAUNCH_FAILED (719)"))
          << joined(scenario.messages);
      EXPECT_TRUE(holds(scenario.messages, " while "))
          << joined(scenario.messages);
      if (HasFailure())
        return;
    }
  }
}

TEST_F(DeviceFailureTest, FailuresWithoutNamesAreNumbers) {
  for (const char *name : {"cuGetErrorName", "cuGetErrorString"}) {
    stub::reset();
    stub::fail("cuInit", 1, CUDA_ERROR_LAUNCH_FAILED);
    stub::fail(name, 1, CUDA_ERROR_INVALID_VALUE);
    expectFailure(Device::open("cuda").status(), StatusCode::DeviceError,
                  {"cuInit failed", "(719)", std::string(name) + " failed"});
  }
}

TEST_F(DeviceFailureTest, F109_ASessionWhoseDeviceFailedTakesNoFurtherStep) {
  auto session = take(openDeviceSession());
  SequenceId id = take(session->addSequence());
  int32_t token = 1;
  StepInput input{id, &token, 1, LogitRows::Last};
  StepOutput output;
  ASSERT_TRUE(session->step(&input, 1, &output).ok());
  stub::fail("cuStreamSynchronize", 1, CUDA_ERROR_ILLEGAL_ADDRESS);
  expectFailure(session->step(&input, 1, &output), StatusCode::DeviceError,
                {"cuStreamSynchronize failed on cuda:0 while waiting for a "
                 "step of 1 tokens of entry 'decode'",
                 "(700)", "a checked step names it"});
  EXPECT_EQ(session->length(id), 1);
  expectFailure(session->step(&input, 1, &output), StatusCode::DeviceError,
                {"the session cannot go on", "cuStreamSynchronize failed"});
  EXPECT_TRUE(session->removeSequence(id).ok());
}

TEST_F(DeviceFailureTest, F109_AtLevelTwoAFailureNamesTheKernel) {
  SessionOptions options;
  options.checkLevel = 2;
  auto session = take(openDeviceSession(options));
  SequenceId id = take(session->addSequence());
  int32_t token = 1;
  StepInput input{id, &token, 1, LogitRows::Last};
  StepOutput output;
  stub::fail("cuStreamSynchronize", 2, CUDA_ERROR_ILLEGAL_ADDRESS);
  expectFailure(session->step(&input, 1, &output), StatusCode::DeviceError,
                {"while waiting for kernel 'append' with a grid of 1 x 1 x 1 "
                 "blocks, for 'self_attn' of layer 0 in entry 'decode'"});
}

TEST_F(DeviceFailureTest, F109_ALaunchThatFailsNamesTheLayer) {
  auto session = take(openDeviceSession());
  SequenceId id = take(session->addSequence());
  auto tokens = someTokens(5);
  StepInput input{id, tokens.data(), 5, LogitRows::Last};
  StepOutput output;
  // "embed", then three kernels a layer.
  stub::fail("cuLaunchKernelEx", 7, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
  expectFailure(session->step(&input, 1, &output), StatusCode::DeviceError,
                {"cuLaunchKernelEx failed on cuda:0 while launching kernel "
                 "'update' with a grid of 6 x 1 x 1 blocks, for 'mlp' of layer "
                 "1 in entry 'prefill'",
                 "(701)"});
}

TEST_F(DeviceFailureTest, ReservationsThatFailChangeNothing) {
  SessionOptions options;
  options.stepTokens = 4;
  auto session = take(openDeviceSession(options));
  SequenceId id = take(session->addSequence());
  auto tokens = someTokens(40);
  StepInput input{id, tokens.data(), 30, LogitRows::All};
  StepOutput output;
  stub::fail("cuMemAlloc_v2", 1, CUDA_ERROR_OUT_OF_MEMORY);
  expectFailure(
      session->step(&input, 1, &output), StatusCode::OutOfMemory,
      {"the workspace of a step", "required 2400 bytes", "available"});
  EXPECT_EQ(session->length(id), 0);
  // It may work later.
  EXPECT_TRUE(session->step(&input, 1, &output).ok());
  EXPECT_EQ(output.rows, 30);
}

TEST_F(DeviceFailureTest, PagesThatCannotBeCopiedStayShared) {
  auto session = take(openDeviceSession());
  SequenceId parent = take(session->addSequence());
  auto tokens = someTokens(6);
  StepInput input{parent, tokens.data(), 6, LogitRows::Last};
  StepOutput output;
  ASSERT_TRUE(session->step(&input, 1, &output).ok());
  int64_t pages = session->availablePages();
  SequenceId child = take(session->fork(parent, 6));
  stub::fail("cuMemcpyDtoDAsync_v2", 2, CUDA_ERROR_LAUNCH_FAILED);
  input = {child, tokens.data(), 1, LogitRows::Last};
  expectFailure(session->step(&input, 1, &output), StatusCode::DeviceError,
                {"copying page 1 of layer 1 to page"});
  EXPECT_EQ(session->availablePages(), pages);
  EXPECT_TRUE(session->removeSequence(parent).ok());
  EXPECT_TRUE(session->removeSequence(child).ok());
  EXPECT_EQ(session->availablePages(), session->pages());
}
