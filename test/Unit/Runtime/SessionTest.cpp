//===- SessionTest.cpp - pages, sequences and steps -----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "dsv2rt/PageAllocator.h"
#include "dsv2rt/Trace.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

using namespace dsv2rt;
using namespace dsv2test;

namespace {

constexpr int64_t vocabulary = fakeVocabulary;

std::vector<int32_t> joined(std::vector<int32_t> a,
                            const std::vector<int32_t> &b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

} // namespace

TEST(PageAllocatorTest, CountsUsers) {
  PageAllocator pages(3);
  EXPECT_EQ(pages.allocate(), 0);
  EXPECT_EQ(pages.allocate(), 1);
  EXPECT_EQ(pages.available(), 1);
  pages.retain(0);
  EXPECT_EQ(pages.users(0), 2);
  EXPECT_FALSE(pages.release(0));
  EXPECT_TRUE(pages.release(0));
  EXPECT_EQ(pages.users(0), 0);
  EXPECT_EQ(pages.allocate(), 0) << "the page freed last comes first";
  EXPECT_EQ(pages.allocate(), 2);
  EXPECT_EQ(pages.allocate(), -1);
  EXPECT_EQ(PageAllocator(0).allocate(), -1);
}

TEST(SessionTest, ChunksChangeNothing) {
  auto tokens = someTokens(50);
  auto session = fakeSession();
  std::vector<float> whole = logitsOf(*session, tokens, 50);
  ASSERT_EQ(whole.size(), 50u * vocabulary);
  for (int64_t chunk : {1, 2, 3, 4, 5, 7, 16, 49})
    EXPECT_EQ(logitsOf(*session, tokens, chunk), whole) << "chunk " << chunk;
  EXPECT_EQ(session->availablePages(), session->pages());
}

TEST(SessionTest, RaggedBatchesChangeNothing) {
  std::vector<std::vector<int32_t>> prompts = {
      someTokens(1, 1), someTokens(9, 2), someTokens(23, 3), someTokens(40, 4)};
  auto session = fakeSession();
  std::vector<SequenceId> ids;
  for (size_t i = 0; i < prompts.size(); ++i)
    ids.push_back(take(session->addSequence()));
  // Sequences advance by different amounts until all are through.
  std::mt19937 generator(5);
  std::vector<size_t> done(4, 0);
  std::vector<std::vector<float>> last(4);
  for (bool more = true; more;) {
    std::vector<StepInput> inputs;
    std::vector<size_t> owners;
    more = false;
    for (size_t i = 0; i < prompts.size(); ++i) {
      size_t left = prompts[i].size() - done[i];
      size_t now = std::min<size_t>(left, generator() % 6);
      more |= left > 0;
      if (!now)
        continue;
      inputs.push_back({ids[i], prompts[i].data() + done[i], int64_t(now),
                        done[i] + now == prompts[i].size() ? LogitRows::Last
                                                           : LogitRows::None});
      owners.push_back(i);
      done[i] += now;
    }
    if (inputs.empty())
      continue;
    std::vector<StepOutput> outputs(inputs.size());
    ASSERT_TRUE(
        session->step(inputs.data(), inputs.size(), outputs.data()).ok());
    for (size_t k = 0; k < inputs.size(); ++k) {
      ASSERT_TRUE(outputs[k].status.ok());
      EXPECT_EQ(outputs[k].rows, inputs[k].logits == LogitRows::Last ? 1 : 0);
      if (outputs[k].rows)
        last[owners[k]].assign(outputs[k].logits,
                               outputs[k].logits + vocabulary);
    }
  }
  for (size_t i = 0; i < prompts.size(); ++i)
    EXPECT_EQ(last[i], expectedLogits(prompts[i])) << "prompt " << i;
}

TEST(SessionTest, EntryFollowsTheLongestChunk) {
  auto session = fakeSession();
  SequenceId a = take(session->addSequence());
  SequenceId b = take(session->addSequence());
  (void)feed(*session, a, {1, 2, 3});
  EXPECT_EQ(session->lastStep().entry, "decode");
  (void)feed(*session, a, {1, 2, 3, 4});
  EXPECT_EQ(session->lastStep().entry, "prefill");
  std::vector<int32_t> four = {1, 2, 3, 4};
  StepInput inputs[2] = {{a, four.data(), 1, LogitRows::Last},
                         {b, four.data(), 4, LogitRows::Last}};
  StepOutput outputs[2];
  ASSERT_TRUE(session->step(inputs, 2, outputs).ok());
  EXPECT_EQ(session->lastStep().entry, "prefill");
  EXPECT_EQ(session->lastStep().tokens, 5);
}

TEST(SessionTest, ForkSharesAndCopiesOnWrite) {
  auto prefix = someTokens(10), left = someTokens(5, 8),
       right = someTokens(6, 9);
  auto session = fakeSession();
  SequenceId parent = take(session->addSequence());
  (void)feed(*session, parent, prefix);
  int64_t used = session->pages() - session->availablePages();
  EXPECT_EQ(used, 3);
  SequenceId child = take(session->fork(parent, 10));
  EXPECT_EQ(session->length(child), 10);
  EXPECT_EQ(session->pages() - session->availablePages(), used);

  // Both write into the last, shared page.
  EXPECT_EQ(feed(*session, child, left), expectedLogits(joined(prefix, left)));
  EXPECT_EQ(session->lastStep().copiedPages, 1);
  EXPECT_EQ(feed(*session, parent, right),
            expectedLogits(joined(prefix, right)));
  EXPECT_EQ(session->lastStep().copiedPages, 0) << "nobody shares it any more";
  // A shorter prefix, of which the parent has gone on long ago.
  SequenceId early = take(session->fork(parent, 3));
  std::vector<int32_t> three(prefix.begin(), prefix.begin() + 3);
  EXPECT_EQ(feed(*session, early, left), expectedLogits(joined(three, left)));
  EXPECT_EQ(session->lastStep().copiedPages, 1);
  // Whole pages are never copied.
  SequenceId even = take(session->fork(parent, 8));
  std::vector<int32_t> eight(prefix.begin(), prefix.begin() + 8);
  EXPECT_EQ(feed(*session, even, left), expectedLogits(joined(eight, left)));
  EXPECT_EQ(session->lastStep().copiedPages, 0);

  ASSERT_TRUE(session->removeSequence(parent).ok());
  EXPECT_EQ(feed(*session, child, {7}),
            expectedLogits(joined(joined(prefix, left), {7})));
  for (SequenceId id : {child, early, even})
    ASSERT_TRUE(session->removeSequence(id).ok());
  EXPECT_EQ(session->availablePages(), session->pages());

  expectFailure(session->fork(child, 1).status(), StatusCode::InvalidArgument,
                {"there is no sequence"});
  SequenceId fresh = take(session->addSequence());
  expectFailure(session->fork(fresh, 1).status(), StatusCode::InvalidArgument,
                {"0 positions"});
  EXPECT_EQ(session->length(take(session->fork(fresh, 0))), 0);
}

TEST(SessionTest, SeveralForksInOneStep) {
  auto prefix = someTokens(6);
  auto session = fakeSession();
  SequenceId parent = take(session->addSequence());
  (void)feed(*session, parent, prefix);
  SequenceId ids[3];
  std::vector<int32_t> tokens[3];
  StepInput inputs[3];
  StepOutput outputs[3];
  for (int i = 0; i < 3; ++i) {
    ids[i] = take(session->fork(parent, 6));
    tokens[i] = someTokens(i + 1, 20 + i);
    inputs[i] = {ids[i], tokens[i].data(), i + 1, LogitRows::Last};
  }
  ASSERT_TRUE(session->step(inputs, 3, outputs).ok());
  EXPECT_EQ(session->lastStep().copiedPages, 3);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(
        std::vector<float>(outputs[i].logits, outputs[i].logits + vocabulary),
        expectedLogits(joined(prefix, tokens[i])));
}

TEST(SessionTest, Truncate) {
  auto tokens = someTokens(20);
  auto session = fakeSession();
  SequenceId id = take(session->addSequence());
  (void)feed(*session, id, tokens);
  ASSERT_TRUE(session->truncate(id, 9).ok());
  EXPECT_EQ(session->length(id), 9);
  EXPECT_EQ(session->pages() - session->availablePages(), 3);
  std::vector<int32_t> nine(tokens.begin(), tokens.begin() + 9);
  EXPECT_EQ(feed(*session, id, {5, 6}), expectedLogits(joined(nine, {5, 6})));
  expectFailure(session->truncate(id, 12), StatusCode::InvalidArgument,
                {"11 positions", "12"});
  expectFailure(session->truncate(99, 0), StatusCode::InvalidArgument,
                {"sequence 99"});
}

TEST(SessionTest, F074_SequencesComeAndGoInAnyOrder) {
  auto session = fakeSession();
  std::mt19937 generator(3);
  struct Live {
    SequenceId id;
    std::vector<int32_t> tokens;
  };
  std::vector<Live> live;
  for (int round = 0; round < 200; ++round) {
    if (live.size() < 4)
      live.push_back({take(session->addSequence()), {}});
    Live &chosen = live[generator() % live.size()];
    auto more = someTokens(generator() % 9, round);
    if (chosen.tokens.size() + more.size() <= 64 && !more.empty()) {
      chosen.tokens = joined(chosen.tokens, more);
      ASSERT_EQ(feed(*session, chosen.id, more), expectedLogits(chosen.tokens));
    }
    // Ends finished, running and never-used sequences alike.
    if (generator() % 3 == 0) {
      size_t victim = generator() % live.size();
      ASSERT_TRUE(session->removeSequence(live[victim].id).ok());
      EXPECT_EQ(session->length(live[victim].id), -1);
      live.erase(live.begin() + victim);
    }
  }
  for (const Live &sequence : live)
    ASSERT_TRUE(session->removeSequence(sequence.id).ok());
  EXPECT_EQ(session->availablePages(), session->pages());
  expectFailure(session->removeSequence(live.empty() ? 1 : live[0].id),
                StatusCode::InvalidArgument, {"there is no sequence"});
}

TEST(SessionTest, RefusedStepsChangeNothing) {
  auto session = fakeSession();
  SequenceId id = take(session->addSequence());
  auto tokens = someTokens(10);
  (void)feed(*session, id, tokens);
  int64_t free = session->availablePages();
  int32_t good = 1, negative = -1, large = 64;
  auto refuse = [&](std::vector<StepInput> inputs, StatusCode code,
                    const std::vector<std::string> &parts) {
    std::vector<StepOutput> outputs(inputs.size() + 1);
    expectFailure(session->step(inputs.data(), inputs.size(), outputs.data()),
                  code, parts);
    EXPECT_EQ(session->length(id), 10);
    EXPECT_EQ(session->availablePages(), free);
  };
  refuse({}, StatusCode::InvalidArgument, {"at least one sequence"});
  refuse({{77, &good, 1}}, StatusCode::InvalidArgument, {"no sequence 77"});
  refuse({{id, &negative, 1}}, StatusCode::InvalidArgument,
         {"token 0", "0 to 63", "found -1"});
  refuse({{id, &large, 1}}, StatusCode::InvalidArgument, {"found 64"});
  refuse({{id, &good, 0}}, StatusCode::InvalidArgument, {"at least one token"});
  refuse({{id, nullptr, 1}}, StatusCode::InvalidArgument, {"at least one"});
  refuse({{id, &good, 1}, {id, &good, 1}}, StatusCode::InvalidArgument,
         {"twice in one step"});
  refuse(std::vector<StepInput>(5, {id, &good, 1}), StatusCode::InvalidArgument,
         {"5 sequences", "at most 4"});
  auto many = someTokens(55);
  refuse({{id, many.data(), 55}}, StatusCode::ContextLengthExceeded,
         {"context_length_exceeded", "10 positions and 55", "n_ctx is 64"});
  EXPECT_EQ(feed(*session, id, {9}), expectedLogits(joined(tokens, {9})));
}

TEST(SessionTest, F072_ContextFills) {
  auto session = fakeSession();
  SequenceId id = take(session->addSequence());
  auto tokens = someTokens(64);
  (void)feed(*session, id, tokens);
  EXPECT_EQ(session->length(id), 64);
  int32_t one = 1;
  StepInput input{id, &one, 1};
  StepOutput output;
  expectFailure(session->step(&input, 1, &output),
                StatusCode::ContextLengthExceeded, {"64", "n_ctx"});
  // The session goes on.
  SequenceId other = take(session->addSequence());
  EXPECT_EQ(feed(*session, other, {3}), expectedLogits({3}));
}

TEST(SessionTest, FullCacheIsAnErrorBeforeTheStep) {
  SessionOptions options;
  options.cachePositions = 16;
  auto session = fakeSession(options);
  EXPECT_EQ(session->pages(), 4);
  EXPECT_EQ(session->plan().maxContext, 16);
  SequenceId a = take(session->addSequence());
  SequenceId b = take(session->addSequence());
  (void)feed(*session, a, someTokens(9));
  auto tokens = someTokens(5);
  StepInput input{b, tokens.data(), 5};
  StepOutput output;
  expectFailure(session->step(&input, 1, &output), StatusCode::OutOfMemory,
                {"latent cache is full", "required 2 pages", "available 1 of 4",
                 "512 bytes", "256 bytes"});
  EXPECT_EQ(session->availablePages(), 1);
  ASSERT_TRUE(session->removeSequence(a).ok());
  EXPECT_EQ(feed(*session, b, tokens), expectedLogits(tokens));
}

TEST(SessionTest, F045_NonFiniteValuesFailTheirSequenceOnly) {
  TempDir folder;
  TensorMap tensors = fakeTensors();
  // Tokens 3, 7, 11, ... go to expert 3 of layer 1.
  float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(
      tensors["model.layers.1.mlp.experts.3.up_proj.weight"].bytes.data(), &nan,
      4);
  writeCheckpoint(folder.path(), tensors);
  auto session = fakeSession({}, folder.path());
  SequenceId bad = take(session->addSequence());
  SequenceId good = take(session->addSequence());
  std::vector<int32_t> badTokens = {1, 2, 4, 7, 8},
                       goodTokens = {1, 2, 4, 5, 6, 8};
  (void)feed(*session, bad, {5});
  StepInput inputs[2] = {{bad, badTokens.data(), 5, LogitRows::None},
                         {good, goodTokens.data(), 6, LogitRows::Last}};
  StepOutput outputs[2];
  ASSERT_TRUE(session->step(inputs, 2, outputs).ok());
  expectFailure(outputs[0].status, StatusCode::NonFinite,
                {"step 1", "sequence " + std::to_string(bad), "'layer_output'",
                 "dsv2.layer", "layer 1", "positions 1 to 5"});
  EXPECT_EQ(outputs[0].logits, nullptr);
  ASSERT_TRUE(outputs[1].status.ok());
  std::vector<float> logits(outputs[1].logits, outputs[1].logits + vocabulary);
  EXPECT_EQ(logits, expectedLogits(goodTokens, folder.path()));

  // Its cache is gone, and it can only be removed.
  EXPECT_EQ(session->length(bad), 0);
  EXPECT_EQ(session->pages() - session->availablePages(), 2);
  int32_t one = 1;
  StepInput again{bad, &one, 1};
  expectFailure(session->step(&again, 1, outputs), StatusCode::InvalidArgument,
                {"failed in an earlier step"});
  ASSERT_TRUE(session->removeSequence(bad).ok());
  // Pages that held a NaN are used again without a trace of it.
  SequenceId next = take(session->addSequence());
  auto clean = std::vector<int32_t>(40, 1);
  EXPECT_EQ(feed(*session, next, clean), expectedLogits(clean, folder.path()));
  EXPECT_EQ(feed(*session, good, {9}),
            expectedLogits(joined(goodTokens, {9}), folder.path()));
}

TEST(SessionTest, F045_LogitsAreCheckedAtEveryLevel) {
  TempDir folder;
  TensorMap tensors = fakeTensors();
  float infinity = std::numeric_limits<float>::infinity();
  std::memcpy(tensors["lm_head.weight"].bytes.data(), &infinity, 4);
  writeCheckpoint(folder.path(), tensors);
  for (int level : {0, 1, 2}) {
    SessionOptions options;
    options.checkLevel = level;
    auto session = fakeSession(options, folder.path());
    SequenceId id = take(session->addSequence());
    int32_t one = 1;
    StepInput input{id, &one, 1};
    StepOutput output;
    ASSERT_TRUE(session->step(&input, 1, &output).ok());
    expectFailure(output.status, StatusCode::NonFinite, {"step 0", "logits"});
  }
}

TEST(SessionTest, F046_CheckLevel2NamesTheFirstOp) {
  TempDir folder;
  TensorMap tensors = fakeTensors();
  // The largest float: its average over two positions overflows.
  float large = std::numeric_limits<float>::max();
  std::memcpy(tensors["model.embed_tokens.weight"].bytes.data(), &large, 4);
  writeCheckpoint(folder.path(), tensors);
  auto failure = [&](int level) {
    SessionOptions options;
    options.checkLevel = level;
    auto session = fakeSession(options, folder.path());
    SequenceId id = take(session->addSequence());
    std::vector<int32_t> tokens = {0, 0};
    StepInput input{id, tokens.data(), 2};
    StepOutput output;
    EXPECT_TRUE(session->step(&input, 1, &output).ok());
    return output.status;
  };
  expectFailure(failure(2), StatusCode::NonFinite,
                {"'attention' (dsv2.latent_attention) of layer 0"});
  expectFailure(failure(1), StatusCode::NonFinite,
                {"'layer_output' (dsv2.layer) of layer 0"});
}

TEST(SessionTest, F076_PlanAndBudget) {
  auto artifact = fakeArtifact();
  auto weights = fakeWeights();
  auto create = [&](int64_t context, int64_t budget) {
    SessionOptions options;
    options.maxContext = context;
    options.memoryBudget = budget;
    options.maxSequences = 1;
    options.stepTokens = 16;
    return Session::create(artifact, weights, options);
  };
  // 64 bytes a position, 256 a page.
  MemoryPlan plan = take(create(64, 1 << 20))->plan();
  EXPECT_EQ(plan.weights, 4544);
  EXPECT_EQ(plan.cache, 64 * 64);
  EXPECT_EQ(plan.workspace, 16 * 8 * 4 * 2);
  EXPECT_EQ(plan.logits, 64 * 4);
  EXPECT_EQ(plan.total(), 4544 + 4096 + 1024 + 256);
  EXPECT_TRUE(create(64, plan.total()).ok());

  // Too little for what was asked: both numbers, and what would fit.
  expectFailure(create(64, plan.total() - 1).status(), StatusCode::OutOfMemory,
                {"64 positions (64 bytes each)", "required 9920 bytes",
                 "available 9919 bytes",
                 "the largest context that fits is 60"});
  EXPECT_TRUE(create(60, plan.total() - 1).ok());
  // Nothing was asked: as much as fits.
  EXPECT_EQ(take(create(0, plan.total() - 1))->plan().maxContext, 60);
  EXPECT_EQ(take(create(0, 0))->plan().maxContext, 64);
  // The weights are the problem.
  expectFailure(create(0, 4543).status(), StatusCode::OutOfMemory,
                {"required", "available 4543 bytes",
                 "the weights alone need 4544 bytes"});
  expectFailure(create(65, 0).status(), StatusCode::InvalidArgument,
                {"context", "0 to 64", "found 65"});
}

TEST(SessionTest, OptionsOutOfRange) {
  auto refuse = [](SessionOptions options, const std::string &part) {
    expectFailure(
        Session::create(fakeArtifact(), fakeWeights(), options).status(),
        StatusCode::InvalidArgument, {part});
  };
  SessionOptions options;
  options.maxSequences = 5;
  refuse(options, "sequences");
  options = {};
  options.checkLevel = 3;
  refuse(options, "check level");
  options = {};
  options.stepTokens = 0;
  refuse(options, "tokens of a step");
  options = {};
  options.maxContext = -1;
  refuse(options, "context");
}

TEST(SessionTest, LargeStepsMakeTheWorkspaceGrow) {
  SessionOptions options;
  options.stepTokens = 1;
  options.maxSequences = 1;
  auto session = fakeSession(options);
  auto tokens = someTokens(64);
  EXPECT_EQ(logitsOf(*session, tokens, 64), logitsOf(*session, tokens, 1));
}

TEST(SessionTest, TraceIsATimeline) {
  TempDir folder;
  Trace trace;
  SessionOptions options;
  options.trace = &trace;
  auto session = fakeSession(options);
  SequenceId id = take(session->addSequence());
  (void)feed(*session, id, {1, 2, 3, 4, 5});
  (void)feed(*session, id, {6});
  ASSERT_TRUE(trace.write(folder.file("t.json")).ok());
  auto events =
      nlohmann::json::parse(readFile(folder.file("t.json")))["traceEvents"];
  std::vector<std::string> names;
  for (const auto &event : events) {
    names.push_back(event["name"]);
    EXPECT_EQ(event["ph"], "X");
    EXPECT_GE(event["dur"].get<double>(), 0);
  }
  std::vector<std::string> kernels = {"attention", "layer_output", "attention",
                                      "layer_output", "logits"};
  std::vector<std::string> expected = kernels;
  expected.push_back("prefill");
  expected.insert(expected.end(), kernels.begin(), kernels.end());
  expected.push_back("decode");
  EXPECT_EQ(names, expected);
  EXPECT_EQ(events[5]["args"]["tokens"], 5);
  EXPECT_EQ(folder.names(), std::vector<std::string>{"t.json"});
  expectFailure(trace.write(folder.file("none/t.json")), StatusCode::IoError,
                {"none/t.json"});
}
