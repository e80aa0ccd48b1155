//===- DeviceSessionTest.cpp - sessions on the stub driver ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceTestUtils.h"

#include "dsv2rt/Checkpoint.h"
#include "dsv2rt/Trace.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <limits>

using namespace dsv2rt;
using namespace dsv2test;

namespace {

using DeviceSessionTest = DeviceTest;

constexpr int64_t vocabulary = 64;

/// One step of single tokens; returns all logits.
std::vector<float> decode(Session &session,
                          const std::vector<SequenceId> &sequences,
                          const std::vector<int32_t> &tokens) {
  std::vector<StepInput> inputs;
  for (size_t i = 0; i < sequences.size(); ++i)
    inputs.push_back({sequences[i], &tokens[i], 1, LogitRows::Last});
  std::vector<StepOutput> outputs(inputs.size());
  Status status = session.step(inputs.data(), inputs.size(), outputs.data());
  EXPECT_TRUE(status.ok()) << status.message();
  std::vector<float> logits;
  for (const StepOutput &output : outputs) {
    EXPECT_TRUE(output.status.ok()) << output.status.message();
    if (output.logits)
      logits.insert(logits.end(), output.logits, output.logits + vocabulary);
  }
  return logits;
}

} // namespace

TEST_F(DeviceSessionTest, ComputesWhatTheCpuComputes) {
  auto tokens = someTokens(40);
  auto cpu = fakeSession();
  auto session = take(openDeviceSession());
  for (int64_t chunk : {1, 3, 4, 7, 40})
    EXPECT_EQ(logitsOf(*session, tokens, chunk), logitsOf(*cpu, tokens, chunk))
        << "chunk " << chunk;
  EXPECT_EQ(session->availablePages(), session->pages());
}

// Rows of keys of earlier positions are worth making for prefill_min_tokens = 4
// tokens that attend to them. The artifact checks that it gets the workspace
// for as many as it is told of.
TEST_F(DeviceSessionTest, PrefillIsForTokensThatPayForTheirKeys) {
  auto session = take(openDeviceSession());
  EXPECT_EQ(session->plan().keyRows, 64);
  auto tokens = someTokens(64);
  struct Piece {
    SequenceId sequence;
    int64_t count;
  };
  auto entryOf = [&](std::vector<Piece> pieces) {
    std::vector<StepInput> inputs;
    for (const Piece &piece : pieces)
      inputs.push_back(
          {piece.sequence, tokens.data(), piece.count, LogitRows::Last});
    std::vector<StepOutput> outputs(inputs.size());
    Status status = session->step(inputs.data(), inputs.size(), outputs.data());
    EXPECT_TRUE(status.ok()) << status.message();
    return session->lastStep().entry;
  };
  SequenceId first = take(session->addSequence());
  EXPECT_EQ(entryOf({{first, 5}}), "prefill");
  // 40 pairs for 10 rows, 62 for 17, 123 for 23.
  EXPECT_EQ(entryOf({{first, 5}}), "prefill");
  EXPECT_EQ(entryOf({{first, 3}}), "decode");
  EXPECT_EQ(entryOf({{first, 4}}), "decode");
  EXPECT_EQ(entryOf({{first, 6}}), "prefill");
  // What pays for one sequence may not for all.
  SequenceId second = take(session->addSequence());
  EXPECT_EQ(entryOf({{second, 5}, {first, 1}}), "decode");
  SequenceId third = take(session->addSequence());
  EXPECT_EQ(entryOf({{third, 3}}), "decode");
  EXPECT_EQ(entryOf({{second, 30}}), "prefill");
  EXPECT_EQ(entryOf({{second, 12}, {third, 12}}), "prefill");
  // More rows than are planned for.
  EXPECT_EQ(entryOf({{second, 12}, {third, 12}}), "decode");
}

// Their launches depend on how many rows of keys there are, which the sizes of
// a step do not tell.
TEST_F(DeviceSessionTest, StepsWithRowsOfKeysAreNotRepeated) {
  TempDir folder;
  std::string path = folder.file("a");
  patchDeviceArtifact(path, "\"prefill_min_tokens\": 4",
                      "\"prefill_min_tokens\": 1");
  auto session = take(openDeviceSession({}, take(Artifact::load(path))));
  auto cpu = fakeSession();
  std::vector<SequenceId> ids = {take(session->addSequence())};
  ASSERT_EQ(take(cpu->addSequence()), ids.front());
  for (int32_t token = 0; token < 8; ++token) {
    EXPECT_EQ(decode(*session, ids, {token}), decode(*cpu, ids, {token}));
    EXPECT_EQ(session->lastStep().entry, "prefill");
    EXPECT_FALSE(session->lastStep().replayed);
  }
  EXPECT_EQ(stub::calls("cuGraphLaunch"), 0);
}

TEST_F(DeviceSessionTest, RowsOfKeysTakeAnEighthOfWhatIsLeft) {
  stub::Config config;
  config.memory = 24832;
  stub::reset(config);
  SessionOptions options;
  options.stepTokens = 8;
  auto session = take(openDeviceSession(options));
  // Of 24832 bytes the driver has 1552, the input of a step 788 and choosing
  // tokens 3584, weights, logits and the workspace of a chunk 16384, 1024 and
  // 640; a page is 256. An eighth of the rest are 4 rows of 16 bytes.
  EXPECT_EQ(session->plan().keyRows, 8 + 4);
  EXPECT_EQ(session->plan().workspace, 640 + 4 * 16);
  EXPECT_EQ(session->plan().cachePositions, 12);
  auto tokens = someTokens(12);
  EXPECT_EQ(logitsOf(*session, tokens, 6), logitsOf(*fakeSession(), tokens, 6));
  EXPECT_EQ(session->lastStep().entry, "prefill");
}

TEST_F(DeviceSessionTest, RaggedBatchesAndForksComputeTheSame) {
  auto device = take(openDeviceSession());
  auto cpu = fakeSession();
  for (Session *session : {device.get(), cpu.get()}) {
    SequenceId parent = take(session->addSequence());
    auto prefix = someTokens(6);
    StepInput input{parent, prefix.data(), 6, LogitRows::None};
    StepOutput output;
    ASSERT_TRUE(session->step(&input, 1, &output).ok());
    EXPECT_EQ(output.logits, nullptr);
    SequenceId child = take(session->fork(parent, 6));
    ASSERT_EQ(child, parent + 1);
  }
  auto more = someTokens(12, 2);
  for (int step = 0; step < 3; ++step) {
    // The first step writes to a page that both share.
    StepInput inputs[] = {{1, &more[step], 1, LogitRows::Last},
                          {2, &more[step + 1], 2 + step, LogitRows::All}};
    StepOutput expected[2], found[2];
    ASSERT_TRUE(cpu->step(inputs, 2, expected).ok());
    ASSERT_TRUE(device->step(inputs, 2, found).ok());
    EXPECT_EQ(device->lastStep().copiedPages, step == 0);
    for (int i = 0; i < 2; ++i) {
      ASSERT_EQ(found[i].rows, expected[i].rows);
      EXPECT_EQ(std::vector<float>(found[i].logits,
                                   found[i].logits + found[i].rows * 64),
                std::vector<float>(expected[i].logits,
                                   expected[i].logits + found[i].rows * 64));
    }
  }
}

TEST_F(DeviceSessionTest, GraphsAreCapturedOnceAndComputeTheSame) {
  auto device = take(openDeviceSession());
  auto cpu = fakeSession();
  std::vector<SequenceId> ids;
  for (int i = 0; i < 3; ++i) {
    ids.push_back(take(device->addSequence()));
    ASSERT_EQ(take(cpu->addSequence()), ids.back());
  }
  auto tokens = someTokens(90, 3);
  std::string replayed;
  for (int step = 0; step < 30; ++step) {
    std::vector<int32_t> now(tokens.begin() + 3 * step,
                             tokens.begin() + 3 * step + 3);
    EXPECT_EQ(decode(*device, ids, now), decode(*cpu, ids, now))
        << "step " << step;
    replayed += device->lastStep().replayed ? 'r' : '.';
    EXPECT_GT(device->lastStep().deviceSeconds, 0);
  }
  // Tables of 1, 2, 4 and 8 pages of 4 positions; each is new once, captured
  // once, and replayed from then on.
  EXPECT_EQ(replayed, "..rr"
                      "..rr"
                      "..rrrrrr"
                      "..rrrrrrrrrrrr");
  EXPECT_EQ(stub::calls("cuStreamBeginCapture_v2"), 4);
  EXPECT_EQ(stub::calls("cuGraphInstantiateWithFlags"), 4);
  EXPECT_EQ(stub::calls("cuGraphLaunch"), 4 + 2 + 2 + 6 + 12);
  // Eight kernels a step, launched one by one or captured twice for a shape.
  EXPECT_EQ(stub::calls("cuLaunchKernelEx"), 4 * 2 * 8);
  // The map was encoded once: of the head, whatever the step.
  EXPECT_EQ(stub::calls("cuTensorMapEncodeTiled"), 1);
}

TEST_F(DeviceSessionTest, GrowingMemoryForgetsGraphs) {
  SessionOptions options;
  options.stepTokens = 4;
  options.maxSequences = 1;
  auto device = take(openDeviceSession(options));
  auto cpu = fakeSession();
  std::vector<SequenceId> ids = {take(device->addSequence())};
  ASSERT_EQ(take(cpu->addSequence()), ids[0]);
  auto both = [&](int32_t token) {
    EXPECT_EQ(decode(*device, ids, {token}), decode(*cpu, ids, {token}));
    return device->lastStep().replayed;
  };
  EXPECT_FALSE(both(1));
  EXPECT_FALSE(both(2));
  EXPECT_TRUE(both(3));
  // A chunk that nobody planned for: workspace and input move.
  auto tokens = someTokens(40, 4);
  EXPECT_EQ(logitsOf(*device, tokens, 40), logitsOf(*cpu, tokens, 40));
  EXPECT_FALSE(both(4));
  EXPECT_FALSE(both(5)) << "a page more";
  EXPECT_FALSE(both(6));
  EXPECT_TRUE(both(7));
}

TEST_F(DeviceSessionTest, NoGraphsOnRequest) {
  SessionOptions options;
  options.graphs = false;
  auto device = take(openDeviceSession(options));
  std::vector<SequenceId> ids = {take(device->addSequence())};
  for (int32_t token = 0; token < 4; ++token)
    decode(*device, ids, {token});
  EXPECT_EQ(stub::calls("cuStreamBeginCapture_v2"), 0);
  EXPECT_EQ(stub::calls("cuLaunchKernelEx"), 4 * 8);
}

TEST_F(DeviceSessionTest, LaunchesSayWhatTheManifestSays) {
  auto device = take(openDeviceSession());
  std::vector<SequenceId> ids = {take(device->addSequence()),
                                 take(device->addSequence()),
                                 take(device->addSequence())};
  decode(*device, ids, {1, 2, 3});
  std::vector<stub::Launch> launches = stub::launches();
  std::string names;
  for (const stub::Launch &launch : launches)
    names += launch.kernel + " ";
  ASSERT_EQ(names, "embed append attend update append attend update logits ");
  const stub::Launch &append = launches[1], &attend = launches[2],
                     &update = launches[3];
  EXPECT_EQ(append.block[0], 32u);
  EXPECT_EQ(append.block[1], 2u);
  EXPECT_EQ(append.grid[0], 3u);
  EXPECT_EQ(append.sharedBytes, 65536u);
  EXPECT_FALSE(append.programmatic);
  EXPECT_TRUE(attend.programmatic);
  EXPECT_EQ(update.grid[0], 4u);
  EXPECT_EQ(update.cluster[0], 2u);
  // Values, one after the other: sizes of the step, and the layer.
  EXPECT_EQ(append.parameters[8], std::string(4, 0));
  EXPECT_EQ(launches[4].parameters[8], std::string("\1\0\0\0", 4));
  EXPECT_EQ(append.parameters[5], std::string("\3\0\0\0\0\0\0\0", 8));
}

TEST_F(DeviceSessionTest, OlderDevicesGetNoProgrammaticLaunches) {
  stub::Config config;
  config.major = 8, config.minor = 6;
  stub::reset(config);
  auto device = take(openDeviceSession());
  std::vector<SequenceId> ids = {take(device->addSequence())};
  decode(*device, ids, {1});
  for (const stub::Launch &launch : stub::launches())
    EXPECT_FALSE(launch.programmatic) << launch.kernel;
}

TEST_F(DeviceSessionTest, CodeOfOlderDevicesGetsNoneOnNewerOnes) {
  // Of the images, text for sm_80 is what this one can take.
  stub::Config config;
  config.major = 10, config.minor = 0;
  stub::reset(config);
  auto device = take(openDeviceSession());
  std::vector<SequenceId> ids = {take(device->addSequence())};
  decode(*device, ids, {1});
  EXPECT_FALSE(stub::launches().empty());
  for (const stub::Launch &launch : stub::launches())
    EXPECT_FALSE(launch.programmatic) << launch.kernel;
}

TEST_F(DeviceSessionTest, OneCopyBringsTheInput) {
  auto device = take(openDeviceSession());
  std::vector<SequenceId> ids = {take(device->addSequence())};
  decode(*device, ids, {1});
  int copies = stub::calls("cuMemcpyHtoDAsync_v2");
  int waits = stub::calls("cuStreamSynchronize");
  for (int32_t token = 0; token < 3; ++token)
    decode(*device, ids, {token});
  EXPECT_EQ(stub::calls("cuMemcpyHtoDAsync_v2"), copies + 3);
  EXPECT_EQ(stub::calls("cuStreamSynchronize"), waits + 3);
}

namespace {

/// Greedy tokens after the sequences' prompts of one token each, chosen on the
/// host from what `session` computes.
std::vector<std::vector<int32_t>>
greedyTokens(Session &session, const std::vector<SequenceId> &sequences,
             std::vector<int32_t> tokens, int64_t steps) {
  std::vector<std::vector<int32_t>> result;
  for (int64_t step = 0; step < steps; ++step) {
    std::vector<float> logits = decode(session, sequences, tokens);
    for (size_t i = 0; i < tokens.size(); ++i) {
      auto row = logits.begin() + int64_t(i) * vocabulary;
      tokens[i] = int32_t(std::max_element(row, row + vocabulary) - row);
    }
    result.push_back(tokens);
  }
  return result;
}

/// The same, chosen by the session.
std::vector<std::vector<int32_t>>
decodedTokens(Session &session, const std::vector<SequenceId> &sequences,
              const std::vector<int32_t> &tokens, int64_t steps,
              int64_t stopAfter = std::numeric_limits<int64_t>::max()) {
  std::vector<DecodeInput> inputs;
  for (size_t i = 0; i < sequences.size(); ++i)
    inputs.push_back({sequences[i], tokens[i]});
  std::vector<std::vector<int32_t>> result;
  Status status = session.decode(
      inputs.data(), inputs.size(), steps, [&](const DecodeOutput *outputs) {
        std::vector<int32_t> &now = result.emplace_back();
        for (size_t i = 0; i < inputs.size(); ++i) {
          EXPECT_TRUE(outputs[i].status.ok()) << outputs[i].status.message();
          now.push_back(outputs[i].token);
        }
        EXPECT_EQ(session.lastStep().tokens, int64_t(inputs.size()));
        EXPECT_GT(session.lastStep().deviceSeconds, 0);
        return int64_t(result.size()) < stopAfter;
      });
  EXPECT_TRUE(status.ok()) << status.message();
  return result;
}

/// Weights with which a layer's output is not finite for tokens of expert 3.
std::shared_ptr<const PackedWeights> weightsWithNaN() {
  TempDir folder;
  TensorMap tensors = fakeTensors();
  float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(
      tensors["model.layers.1.mlp.experts.3.up_proj.weight"].bytes.data(), &nan,
      4);
  writeCheckpoint(folder.path(), tensors);
  auto source = take(openWeightSource(folder.path()));
  PackOptions packing;
  packing.inMemory = true;
  return take(PackedWeights::open(deviceArtifact(), *source, packing));
}

} // namespace

TEST_F(DeviceSessionTest, ChainsChooseWhatTheHostChooses) {
  auto device = take(openDeviceSession());
  auto cpu = fakeSession();
  EXPECT_TRUE(device->decodesAlone());
  EXPECT_FALSE(cpu->decodesAlone());
  std::vector<SequenceId> ids;
  for (int i = 0; i < 3; ++i) {
    ids.push_back(take(device->addSequence()));
    ASSERT_EQ(take(cpu->addSequence()), ids.back());
  }
  std::vector<int32_t> tokens = {5, 9, 33};
  auto expected = greedyTokens(*cpu, ids, tokens, 40);
  int copies = stub::calls("cuMemcpyHtoDAsync_v2");
  int waits = stub::calls("cuStreamSynchronize");
  EXPECT_EQ(decodedTokens(*device, ids, tokens, 40), expected);
  // The host brings the first step's input and how to choose, and waits for
  // nothing but tokens, which the device writes to its memory.
  EXPECT_EQ(stub::calls("cuMemcpyHtoDAsync_v2"), copies + 2);
  EXPECT_EQ(stub::calls("cuStreamSynchronize"), waits + 1);
  EXPECT_EQ(stub::calls("cuMemcpyDtoHAsync_v2"), 0);
  // One graph, for the step and the choice: tables are as wide as the chain
  // will need them.
  EXPECT_EQ(stub::calls("cuGraphInstantiateWithFlags"), 1);
  EXPECT_EQ(stub::calls("cuGraphLaunch"), 39);
  EXPECT_EQ(stub::calls("cuLaunchKernelEx"), 2 * 9);
  EXPECT_EQ(device->length(ids[0]), 40);
}

TEST_F(DeviceSessionTest, WhatAChainTookTooEarlyIsUndone) {
  auto device = take(openDeviceSession());
  auto cpu = fakeSession();
  std::vector<SequenceId> ids = {take(device->addSequence()),
                                 take(device->addSequence())};
  for (size_t i = 0; i < ids.size(); ++i)
    ASSERT_EQ(take(cpu->addSequence()), ids[i]);
  std::vector<int32_t> tokens = {1, 2};
  for (int64_t stop : {3, 1, 4, 8}) {
    auto expected = greedyTokens(*cpu, ids, tokens, stop);
    EXPECT_EQ(decodedTokens(*device, ids, tokens, 100, stop), expected);
    for (SequenceId id : ids)
      EXPECT_EQ(device->length(id), cpu->length(id));
    EXPECT_EQ(device->availablePages(), cpu->availablePages());
    tokens = expected.back();
    // And a step of the usual kind.
    EXPECT_EQ(decode(*device, ids, tokens), decode(*cpu, ids, tokens));
  }
}

TEST_F(DeviceSessionTest, ChainsOfForksHavePagesOfTheirOwn) {
  auto device = take(openDeviceSession());
  auto cpu = fakeSession();
  auto prefix = someTokens(6, 2);
  std::vector<SequenceId> ids;
  for (Session *session : {device.get(), cpu.get()}) {
    SequenceId parent = take(session->addSequence());
    StepInput input{parent, prefix.data(), 6, LogitRows::None};
    StepOutput output;
    ASSERT_TRUE(session->step(&input, 1, &output).ok());
    ids = {parent, take(session->fork(parent, 6))};
  }
  EXPECT_EQ(decodedTokens(*device, ids, {3, 4}, 9),
            greedyTokens(*cpu, ids, {3, 4}, 9));
}

TEST_F(DeviceSessionTest, ChainsEndWherePagesEnd) {
  SessionOptions options;
  options.maxContext = 16;
  options.cachePositions = 16;
  auto device = take(openDeviceSession(options));
  auto cpu = fakeSession(options);
  std::vector<SequenceId> ids = {take(device->addSequence())};
  ASSERT_EQ(take(cpu->addSequence()), ids[0]);
  EXPECT_EQ(decodedTokens(*device, ids, {7}, 1000),
            greedyTokens(*cpu, ids, {7}, 16));
  EXPECT_EQ(device->availablePages(), 0);
  DecodeInput input{ids[0], 7};
  auto never = [](const DecodeOutput *) {
    ADD_FAILURE();
    return true;
  };
  expectFailure(device->decode(&input, 1, 1, never),
                StatusCode::ContextLengthExceeded, {"16 positions"});
}

TEST_F(DeviceSessionTest, ChainsTellWhatIsNotFinite) {
  SessionOptions options;
  options.device = take(Device::open("cuda"));
  auto session =
      take(Session::create(deviceArtifact(), weightsWithNaN(), options));
  std::vector<SequenceId> ids = {take(session->addSequence()),
                                 take(session->addSequence())};
  DecodeInput inputs[] = {{ids[0], 7}, {ids[1], 2}};
  int calls = 0;
  ASSERT_TRUE(session
                  ->decode(inputs, 2, 10,
                           [&](const DecodeOutput *outputs) {
                             ++calls;
                             expectFailure(outputs[0].status,
                                           StatusCode::NonFinite,
                                           {"step 0", "position 0"});
                             EXPECT_TRUE(outputs[1].status.ok());
                             return true;
                           })
                  .ok());
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(session->length(ids[1]), 1);
  expectFailure(session->decode(inputs, 1, 1, nullptr),
                StatusCode::InvalidArgument, {"can only be removed"});
  EXPECT_TRUE(session->removeSequence(ids[0]).ok());
}

TEST_F(DeviceSessionTest, ChainsThatCannotBegin) {
  auto device = take(openDeviceSession());
  SequenceId id = take(device->addSequence());
  auto refuse = [&](DecodeInput input, int64_t steps, StatusCode code,
                    std::vector<std::string> parts) {
    expectFailure(device->decode(&input, 1, steps,
                                 [](const DecodeOutput *) { return true; }),
                  code, parts);
    EXPECT_EQ(device->length(id), 0);
  };
  StatusCode invalid = StatusCode::InvalidArgument;
  refuse({id, 1}, 0, invalid, {"at least one step, found 0"});
  refuse({id, 64}, 1, invalid, {"0 to 63, found 64"});
  refuse({id + 1, 1}, 1, invalid, {"no sequence"});
  DecodeInput input{id, 1};
  input.vocabularySize = 65;
  refuse(input, 1, invalid, {"vocabulary of 0 to 64 tokens, found 65"});
  input = {id, 1};
  input.sampling.topP = 2;
  refuse(input, 1, invalid, {"top-p"});
  input = {id, 1};
  input.sampling.repetitionPenalty = 2;
  int32_t history[] = {3, -1};
  input.history = history, input.historySize = 2;
  refuse(input, 1, invalid, {"token id -1 of the history"});
  // Where the host has to be in between.
  SessionOptions options;
  options.hostSampling = true;
  EXPECT_FALSE(take(openDeviceSession(options))->decodesAlone());
  options = {};
  options.checkLevel = 1;
  auto checking = take(openDeviceSession(options));
  EXPECT_FALSE(checking->decodesAlone());
  DecodeInput first{take(checking->addSequence()), 1};
  expectFailure(checking->decode(&first, 1, 1, nullptr),
                StatusCode::Unsupported, {"chooses no tokens"});
}

TEST_F(DeviceSessionTest, TapsAreCheckedOnTheHost) {
  auto weights = weightsWithNaN();
  for (int level : {-1, 0, 1, 2}) {
    SCOPED_TRACE(level);
    SessionOptions options;
    options.device = take(Device::open("cuda"));
    options.checkLevel = level;
    auto session = take(Session::create(deviceArtifact(), weights, options));
    int32_t bad = 7, good = 2;
    for (int step = 0; step < 3; ++step) {
      SequenceId a = take(session->addSequence());
      SequenceId b = take(session->addSequence());
      StepInput inputs[] = {{a, &bad, 1, LogitRows::Last},
                            {b, &good, 1, LogitRows::Last}};
      StepOutput outputs[2];
      ASSERT_TRUE(session->step(inputs, 2, outputs).ok());
      expectFailure(outputs[0].status, StatusCode::NonFinite,
                    level > 0
                        ? std::vector<std::string>{"'layer_output'", "layer 1"}
                        : std::vector<std::string>{"the logits"});
      EXPECT_TRUE(outputs[1].status.ok()) << outputs[1].status.message();
      EXPECT_EQ(session->lastStep().replayed, level <= 0 && step == 2);
      ASSERT_TRUE(session->removeSequence(a).ok());
      ASSERT_TRUE(session->removeSequence(b).ok());
    }
  }
}

TEST_F(DeviceSessionTest, ComparesWithTheReferenceOnTheHost) {
  auto reference = Artifact::referenceOf(deviceArtifact());
  ASSERT_NE(reference, nullptr);
  SessionOptions options;
  options.referenceWeights = deviceWeights(reference);
  auto session = take(openDeviceSession(options));
  logitsOf(*session, someTokens(12), 5);
  ReferenceReport report = session->referenceReport();
  EXPECT_EQ(report.steps, 3);
  EXPECT_EQ(report.sites, 5);
  EXPECT_EQ(report.largestError, 0);
}

TEST_F(DeviceSessionTest, WeightsAreCopiedOnceForAllSessions) {
  SessionOptions options;
  options.device = take(Device::open("cuda"));
  int64_t last = 0, total = 0;
  options.uploadProgress = [&](int64_t done, int64_t all) {
    EXPECT_GT(done, last);
    last = done, total = all;
  };
  auto first = take(openDeviceSession(options));
  EXPECT_EQ(total, 2048 + 64 + 384 + 2048);
  EXPECT_EQ(last, total);
  int copies = stub::calls("cuMemcpyHtoDAsync_v2");
  options.uploadProgress = nullptr;
  auto second = take(openDeviceSession(options));
  first.reset();
  auto third = take(openDeviceSession(options));
  EXPECT_EQ(stub::calls("cuMemcpyHtoDAsync_v2"), copies);
  auto tokens = someTokens(9);
  EXPECT_EQ(logitsOf(*third, tokens, 9), logitsOf(*fakeSession(), tokens, 9));
  EXPECT_EQ(options.device, take(Device::open("cuda:0")));
}

TEST_F(DeviceSessionTest, TheEmulatorRunsTheSameArtifact) {
  SessionOptions options;
  options.device = take(Device::open("emulator"));
  EXPECT_TRUE(options.device->info().emulated);
  auto session = take(openDeviceSession(options));
  auto tokens = someTokens(9);
  EXPECT_EQ(logitsOf(*session, tokens, 4), logitsOf(*fakeSession(), tokens, 4));
}

TEST_F(DeviceSessionTest, F083_TooLittleMemory) {
  stub::Config config;
  config.memory = 40000;
  stub::reset(config);
  SessionOptions options;
  options.maxContext = 64, options.maxSequences = 4;
  options.cachePositions = 256;
  options.stepTokens = 64;
  // A sixteenth is the driver's, a step's input takes
  // 4 * (4 * 64 + 5 + 4 * 16) bytes and 6 times 64, and choosing tokens 768
  // bytes for each of four sequences and twice 256.
  expectFailure(
      openDeviceSession(options).status(), StatusCode::OutOfMemory,
      {"256 positions", "required 38912 bytes",
       "available " + std::to_string(37500 - 1300 - 384 - 3584) + " bytes",
       "on cuda:0 'Stub GPU'", "weights 16384 bytes", "cache 16384 bytes",
       "workspace 5120 bytes", "logits 1024 bytes",
       "the largest context that fits is 64 positions"});
  EXPECT_EQ(stub::calls("cuMemAlloc_v2"), 0);
  // Weights alone are too much.
  config.memory = 16000;
  stub::reset(config);
  expectFailure(openDeviceSession(options).status(), StatusCode::OutOfMemory,
                {"the weights alone need 16384 bytes"});
  // Enough for some of it.
  config.memory = 40000;
  stub::reset(config);
  options.cachePositions = 0, options.maxContext = 0;
  auto session = take(openDeviceSession(options));
  EXPECT_EQ(session->plan().cachePositions, 148);
  EXPECT_EQ(session->plan().maxContext, 64);
  session.reset();
  // A budget holds on a device too, and for weights that are there already.
  stub::reset();
  options.memoryBudget = 30000;
  options.device = take(Device::open("cuda"));
  session = take(openDeviceSession(options));
  EXPECT_LE(session->plan().total(), 30000);
  EXPECT_GT(session->plan().total(), 24000);
  auto second = take(openDeviceSession(options));
  EXPECT_EQ(second->plan().total(), session->plan().total());
}

TEST_F(DeviceSessionTest, ATraceShowsEveryKernel) {
  Trace trace;
  SessionOptions options;
  options.trace = &trace;
  auto session = take(openDeviceSession(options));
  std::vector<SequenceId> ids = {take(session->addSequence())};
  for (int32_t token = 0; token < 3; ++token)
    decode(*session, ids, {token});
  EXPECT_EQ(stub::calls("cuGraphLaunch"), 0);
  TempDir folder;
  ASSERT_TRUE(trace.write(folder.file("t")).ok());
  nlohmann::json root = nlohmann::json::parse(readFile(folder.file("t")));
  std::string names;
  for (const nlohmann::json &event : root["traceEvents"])
    if (event["cat"] == "kernel") {
      names += event["name"].get<std::string>() + " ";
      // The stub's clock goes a millisecond an event.
      EXPECT_NEAR(event["dur"].get<double>(), 1000, 0.01);
    }
  std::string step = "embed append attend update append attend update logits ";
  EXPECT_EQ(names, step + step + step);
}
