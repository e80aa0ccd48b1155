//===- MeshSessionTest.cpp - sessions of several ranks --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The ranks are threads. The artifact for several ranks computes what the one
// for a rank alone does, to the bit.
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"
#include "dsv2rt/comm/ThreadGroup.h"

#include <atomic>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <thread>

using namespace dsv2rt;
using namespace dsv2test;

namespace {

constexpr int64_t vocabulary = fakeVocabulary;

/// A mesh and where its ranks' weights come from.
struct Job {
  Job(int tp, int ep, std::string source = "random:1")
      : tp(tp), ep(ep), source(std::move(source)) {}

  int tp, ep;
  std::string source;
  SessionOptions options;

  int ranks() const { return tp * ep; }
};

/// The group that a session holds on to without owning it.
std::shared_ptr<Communicator> share(Communicator &world) {
  return {std::shared_ptr<void>(), &world};
}

Expected<std::unique_ptr<Session>> createSession(const Job &job,
                                                 Communicator &world) {
  auto artifact = fakeMeshArtifact(job.tp, job.ep);
  SessionOptions options = job.options;
  options.world = share(world);
  options.threads = 1;
  return Session::create(
      artifact, fakeWeights(artifact, world.rank(), job.source), options);
}

/// Runs `body` on every rank of `job`.
Status onRanks(const Job &job,
               const std::function<Status(int rank, Session &)> &body) {
  return runThreadRanks(job.ranks(), CommOptions(),
                        [&](Communicator &world) -> Status {
                          auto session = createSession(job, world);
                          if (!session.ok())
                            return session.status();
                          Status status = body(world.rank(), *session.value());
                          // Before the session gives up its groups.
                          if (!status.ok())
                            world.abort(status);
                          return status;
                        });
}

void expectOnRanks(const Job &job,
                   const std::function<void(int rank, Session &)> &body) {
  Status status = onRanks(job, [&](int rank, Session &session) {
    body(rank, session);
    return Status();
  });
  EXPECT_TRUE(status.ok()) << status.message();
}

const std::pair<int, int> meshes[] = {{1, 3}, {2, 1}, {2, 2}};

} // namespace

TEST(MeshSessionTest, ComputesWhatOneRankDoes) {
  // What every rank is to do, drawn beforehand, and what one rank alone gets.
  struct Step {
    std::vector<StepInput> inputs;
  };
  std::vector<std::vector<int32_t>> prompts = {
      someTokens(1, 1), someTokens(9, 2), someTokens(23, 3), someTokens(40, 4)};
  std::mt19937 generator(5);
  std::vector<Step> steps;
  std::vector<size_t> done(4, 0);
  while (done[0] + done[1] + done[2] + done[3] < 73) {
    Step step;
    for (size_t i = 0; i < prompts.size(); ++i) {
      int64_t left = int64_t(prompts[i].size() - done[i]);
      // Often few sequences, so that ranks have nothing to do.
      int64_t now = std::min<int64_t>(left, int64_t(generator() % 9) - 3);
      if (now <= 0)
        continue;
      auto rows = LogitRows(generator() % 3);
      step.inputs.push_back(
          {SequenceId(i + 1), prompts[i].data() + done[i], now, rows});
      done[i] += now;
    }
    if (!step.inputs.empty())
      steps.push_back(std::move(step));
  }
  auto logitsOfAll = [&](Session &session) {
    std::vector<float> all;
    for (size_t i = 0; i < prompts.size(); ++i)
      EXPECT_EQ(take(session.addSequence()), SequenceId(i + 1));
    for (const Step &step : steps) {
      std::vector<StepOutput> outputs(step.inputs.size());
      Status status =
          session.step(step.inputs.data(), step.inputs.size(), outputs.data());
      EXPECT_TRUE(status.ok()) << status.message();
      int64_t tokens = 0;
      for (size_t i = 0; i < outputs.size(); ++i) {
        tokens += step.inputs[i].count;
        EXPECT_TRUE(outputs[i].status.ok());
        all.insert(all.end(), outputs[i].logits,
                   outputs[i].logits + outputs[i].rows * vocabulary);
      }
      EXPECT_EQ(session.lastStep().tokens, tokens);
    }
    return all;
  };
  auto alone = fakeSession();
  std::vector<float> expected = logitsOfAll(*alone);
  ASSERT_GT(expected.size(), 20u * vocabulary);
  for (auto [tp, ep] : meshes) {
    SCOPED_TRACE(std::to_string(tp) + "x" + std::to_string(ep));
    expectOnRanks({tp, ep}, [&](int, Session &session) {
      EXPECT_EQ(logitsOfAll(session), expected);
      EXPECT_EQ(session.lastStep().step, int64_t(steps.size()));
    });
  }
}

TEST(MeshSessionTest, F085_IdleRanksEnterEveryCollective) {
  // One sequence, whose tokens all go to the first rank's experts, or to the
  // last one's.
  for (auto [tp, ep] : meshes)
    for (int32_t token : {4, 3}) {
      std::vector<int32_t> tokens(9, token);
      std::vector<float> expected = expectedLogits(tokens);
      expectOnRanks({tp, ep}, [&](int, Session &session) {
        SequenceId id = take(session.addSequence());
        (void)feed(session, id, {tokens.begin(), tokens.end() - 1});
        EXPECT_EQ(feed(session, id, {token}), expected);
      });
    }
}

TEST(MeshSessionTest, SequencesAreShared) {
  expectOnRanks({1, 3}, [&](int, Session &session) {
    EXPECT_EQ(session.owners(), 3);
    SequenceId ids[5];
    for (int i = 0; i < 5; ++i) {
      EXPECT_EQ(session.nextOwner(), i % 3);
      ids[i] = take(session.addSequence());
      EXPECT_EQ(session.ownerOf(ids[i]), i % 3);
    }
    ASSERT_TRUE(session.removeSequence(ids[0]).ok());
    ASSERT_TRUE(session.removeSequence(ids[3]).ok());
    EXPECT_EQ(session.ownerOf(ids[3]), -1);
    for (int64_t owner : {0, 0, 2})
      EXPECT_EQ(session.ownerOf(take(session.addSequence())), owner);
    (void)feed(session, ids[1], someTokens(6, 1));
    SequenceId child = take(session.fork(ids[1], 5));
    EXPECT_EQ(session.ownerOf(child), 1);
    EXPECT_EQ(session.nextOwner(), 0);
  });
}

TEST(MeshSessionTest, ForksAndTruncation) {
  auto prefix = someTokens(10, 1), more = someTokens(3, 2);
  auto joined = [](std::vector<int32_t> a, const std::vector<int32_t> &b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  };
  auto expected = expectedLogits(joined(prefix, more));
  auto shorter =
      expectedLogits(joined({prefix.begin(), prefix.begin() + 6}, more));
  for (auto [tp, ep] : meshes)
    expectOnRanks({tp, ep}, [&](int, Session &session) {
      // One on each index of the ep axis.
      std::vector<SequenceId> ids;
      for (int64_t i = 0; i < session.owners(); ++i) {
        ids.push_back(take(session.addSequence()));
        (void)feed(session, ids.back(), prefix);
      }
      int64_t used = session.pages() - session.availablePages();
      EXPECT_EQ(used, 3 * session.owners());
      for (SequenceId parent : ids) {
        SequenceId child = take(session.fork(parent, 10));
        EXPECT_EQ(feed(session, child, more), expected);
        EXPECT_EQ(session.lastStep().copiedPages, 1);
        EXPECT_EQ(feed(session, parent, more), expected);
        EXPECT_EQ(session.lastStep().copiedPages, 0);
        ASSERT_TRUE(session.truncate(child, 6).ok());
        EXPECT_EQ(feed(session, child, more), shorter);
        ASSERT_TRUE(session.removeSequence(child).ok());
        ASSERT_TRUE(session.removeSequence(parent).ok());
      }
      EXPECT_EQ(session.availablePages(), session.pages());
    });
}

TEST(MeshSessionTest, EveryIndexHasItsPages) {
  Job job{1, 3};
  job.options.cachePositions = 48;
  job.options.maxSequences = 3;
  expectOnRanks(job, [&](int, Session &session) {
    EXPECT_EQ(session.pages(), 12);
    EXPECT_EQ(session.plan().cachePositions, 16);
    EXPECT_EQ(session.plan().maxContext, 16);
    SequenceId a = take(session.addSequence());
    SequenceId b = take(session.addSequence());
    (void)feed(session, a, someTokens(9, 1));
    // Two sequences of index 0 do not fit, though the others have room.
    SequenceId c = take(session.fork(a, 0));
    auto tokens = someTokens(9, 2);
    StepInput inputs[2] = {{b, tokens.data(), 9}, {c, tokens.data(), 9}};
    StepOutput outputs[2];
    int64_t free = session.availablePages();
    expectFailure(session.step(inputs, 2, outputs), StatusCode::OutOfMemory,
                  {"index 0 of the ep axis", "required 3", "available 1 of 4"});
    EXPECT_EQ(session.availablePages(), free);
    EXPECT_EQ(session.length(b), 0);
    // A refusal is everybody's, and the job goes on.
    EXPECT_EQ(feed(session, b, tokens), expectedLogits(tokens));
  });
}

TEST(MeshSessionTest, PlansAreOneRanks) {
  Job job{2, 2};
  job.options.maxSequences = 4;
  job.options.stepTokens = 16;
  job.options.memoryBudget = 1 << 20;
  expectOnRanks(job, [&](int, Session &session) {
    const MemoryPlan &plan = session.plan();
    EXPECT_EQ(plan.weights, 2048 + 32 + 2 * 48 + 1024);
    EXPECT_EQ(plan.maxContext, 64);
    EXPECT_EQ(plan.cachePositions, 2 * 64);
    EXPECT_EQ(plan.cache, 2 * 64 * 64);
    EXPECT_EQ(plan.logits, (2 + 4) * 64 * 4);
    // 16 own tokens, or 2 of 4 sequences, while 16 may arrive.
    int64_t bytes = 16 * (4 * 8 + 4 + 2) * 4 + 16 * 5 * 4;
    EXPECT_EQ(plan.workspace, bytes + 2 * 32 * 4);
  });
}

TEST(MeshSessionTest, NonFiniteValuesFailTheirSequenceOnly) {
  TempDir folder;
  TensorMap tensors = fakeTensors();
  float nan = std::numeric_limits<float>::quiet_NaN();
  // Tokens 3, 7, 11, ... go to expert 3 of layer 1, of which the second rank of
  // the tp axis, if there is one, has this column.
  std::memcpy(
      tensors["model.layers.1.mlp.experts.3.up_proj.weight"].bytes.data() +
          7 * 4,
      &nan, 4);
  writeCheckpoint(folder.path(), tensors);
  std::vector<int32_t> bad = {1, 2, 4, 7, 8}, good = {1, 2, 4, 5, 6};
  auto goodLogits = expectedLogits(good, folder.path());
  for (int level : {1, 2})
    for (auto [tp, ep] : meshes) {
      Job job{tp, ep, folder.path()};
      job.options.checkLevel = level;
      expectOnRanks(job, [&](int, Session &session) {
        SequenceId ids[3];
        StepInput inputs[3];
        StepOutput outputs[3];
        for (int i = 0; i < 3; ++i) {
          ids[i] = take(session.addSequence());
          inputs[i] = {ids[i], (i == 1 ? bad : good).data(), 5};
        }
        ASSERT_TRUE(session.step(inputs, 3, outputs).ok());
        expectFailure(outputs[1].status, StatusCode::NonFinite,
                      {"step 0", "sequence 2", "'layer_output'", "layer 1"});
        EXPECT_EQ(session.length(ids[1]), 0);
        for (int i : {0, 2}) {
          ASSERT_TRUE(outputs[i].status.ok()) << outputs[i].status.message();
          EXPECT_EQ(std::vector<float>(outputs[i].logits,
                                       outputs[i].logits + vocabulary),
                    goodLogits);
        }
        // Rows that came from others name no sequence, but where it began.
        if (level == 2)
          expectHolds(outputs[1].status.message(), "'mlp.received'");
        ASSERT_TRUE(session.removeSequence(ids[1]).ok());
        EXPECT_EQ(feed(session, take(session.addSequence()), good), goodLogits);
      });
    }
}

TEST(MeshSessionTest, WrongNumberOfRanks) {
  for (int ranks : {1, 2, 3}) {
    Status status = runThreadRanks(
        ranks, CommOptions(), [&](Communicator &world) -> Status {
          auto artifact = fakeMeshArtifact(2, 2);
          SessionOptions options;
          options.world = share(world);
          return Session::create(artifact, fakeWeights(artifact, world.rank()),
                                 options)
              .status();
        });
    EXPECT_FALSE(status.ok());
    for (const char *part :
         {"4 ranks (tp=2, ep=2)", "--ranks 4", "mpirun -n 4"})
      expectHolds(status.message(), part);
    expectHolds(status.message(), "found " + std::to_string(ranks));
  }
  // Without a group, or with one for an artifact for one rank.
  auto artifact = fakeMeshArtifact(2, 2);
  expectFailure(Session::create(artifact, fakeWeights(artifact, 0)).status(),
                StatusCode::InvalidArgument, {"4 ranks", "found 1"});
  Status status =
      runThreadRanks(2, CommOptions(), [&](Communicator &world) -> Status {
        SessionOptions options;
        options.world = share(world);
        return Session::create(fakeArtifact(), fakeWeights(), options).status();
      });
  expectHolds(status.message(), "compiled for 1 rank, found 2");
}

TEST(MeshSessionTest, WeightsOfAnotherRank) {
  Status status =
      runThreadRanks(2, CommOptions(), [&](Communicator &world) -> Status {
        auto artifact = fakeMeshArtifact(2, 1);
        SessionOptions options;
        options.world = share(world);
        return Session::create(artifact, fakeWeights(artifact, 0), options)
            .status();
      });
  expectHolds(status.message(), "weights of rank 1, found those of rank 0");
}

TEST(MeshSessionTest, OptionsAndStepsThatDiffer) {
  Status status =
      runThreadRanks(4, CommOptions(), [&](Communicator &world) -> Status {
        Job job(2, 2);
        job.options.stepTokens = world.rank() == 2 ? 16 : 32;
        return createSession(job, world).status();
      });
  EXPECT_FALSE(status.ok());
  expectHolds(status.message(), "rank 2 was given another artifact or other");

  status = onRanks({2, 2}, [&](int rank, Session &session) {
    SequenceId id = take(session.addSequence());
    int32_t token = rank == 3 ? 5 : 4;
    StepInput input{id, &token, 1};
    StepOutput output;
    Status status = session.step(&input, 1, &output);
    EXPECT_FALSE(status.ok());
    // The session is of no use any more.
    expectHolds(session.step(&input, 1, &output).message(), "cannot go on");
    return status;
  });
  expectHolds(status.message(), "rank 3 was given other sequences or tokens");
}

TEST(MeshSessionTest, F086_AFailureOfOneRankEndsTheStepsOfAll) {
  for (auto [tp, ep] : meshes) {
    int last = tp * ep - 1;
    std::atomic<int> through{0};
    Status status =
        onRanks({tp, ep}, [&](int rank, Session &session) -> Status {
          SequenceId id = take(session.addSequence());
          (void)feed(session, id, {1, 2, 3});
          // The end of the job cuts off whatever ranks are at.
          ++through;
          while (through < last + 1)
            std::this_thread::yield();
          if (rank == last)
            return Status::error(StatusCode::IoError, "the disk has gone");
          int32_t token = 4;
          StepInput input{id, &token, 1};
          StepOutput output;
          Status status = session.step(&input, 1, &output);
          expectFailure(status, StatusCode::RankFailed,
                        {"rank " + std::to_string(last), "the disk has gone"});
          return status;
        });
    expectHolds(status.message(), "the disk has gone");
  }
}

TEST(MeshSessionTest, CountsWhatIsSent) {
  constexpr int64_t tokens = 6;
  expectOnRanks({2, 2}, [&](int rank, Session &session) {
    SequenceId ids[2] = {take(session.addSequence()),
                         take(session.addSequence())};
    // Experts 0 and 1 are the first index's, 2 and 3 the second one's.
    std::vector<int32_t> first = {0, 1, 2, 4}, second = {3, 1};
    StepInput inputs[2] = {{ids[0], first.data(), 4},
                           {ids[1], second.data(), 2}};
    StepOutput outputs[2];
    ASSERT_TRUE(session.step(inputs, 2, outputs).ok());
    int64_t own = rank / 2 ? 2 : 4, away = 1, arriving = 1;
    std::vector<CommSiteCounters> counts = session.commCounters();
    ASSERT_EQ(counts.size(), 7u);
    EXPECT_EQ(counts[0].name, "layer.sum");
    EXPECT_EQ(counts[0].kind, "all_reduce");
    EXPECT_EQ(counts[0].calls, 2);
    EXPECT_EQ(counts[0].bytesSent, 2 * allReduceBytesSent(2 * own * 8 * 4, 2));
    EXPECT_EQ(counts[1].bytesSent, 32 * 4);
    EXPECT_EQ(counts[2].bytesSent, 4);
    EXPECT_EQ(counts[3].bytesSent, away * 4);
    EXPECT_EQ(counts[4].bytesSent, arriving * 4 * 4);
    EXPECT_EQ(counts[5].name, "session.findings");
    EXPECT_EQ(counts[5].bytesSent, 3 * (8 + 3 * 24));
    EXPECT_EQ(counts[6].name, "session.logits");
    EXPECT_EQ(counts[6].bytesSent, 64 * 4);
    EXPECT_EQ(session.lastStep().tokens, tokens);
  });
  EXPECT_TRUE(fakeSession()->commCounters().empty());
}
