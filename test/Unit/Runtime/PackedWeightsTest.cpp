//===- PackedWeightsTest.cpp - the packed file ----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "dsv2rt/Checkpoint.h"

#include <cstring>
#include <filesystem>
#include <thread>

#include <csignal>

#include <sys/wait.h>
#include <unistd.h>

using namespace dsv2rt;
using namespace dsv2test;
namespace fs = std::filesystem;

namespace {

using Packed = std::shared_ptr<const PackedWeights>;

Expected<Packed> open(const std::string &source, const PackOptions &options,
                      std::shared_ptr<const Artifact> artifact = nullptr) {
  auto opened = take(openWeightSource(source));
  return PackedWeights::open(artifact ? artifact : fakeArtifact(), *opened,
                             options);
}

PackOptions toFile(const std::string &path) {
  PackOptions options;
  options.path = path;
  return options;
}

const float *slot(const Packed &weights, int index) {
  return static_cast<const float *>(weights->slots()[index]);
}

} // namespace

TEST(PackedWeightsTest, HoldsWhatPreparationMade) {
  TempDir folder;
  TensorMap tensors = fakeTensors();
  std::string checkpoint = folder.subfolder("model");
  writeCheckpoint(checkpoint, tensors);
  Packed weights = take(open(checkpoint, toFile(folder.file("w"))));
  EXPECT_FALSE(weights->reused());
  EXPECT_EQ(weights->bytes(), 2048 + 64 + 384 + 2048);
  auto equal = [&](const std::string &name, const float *data) {
    const std::string &bytes = tensors.at(name).bytes;
    return std::memcmp(bytes.data(), data, bytes.size()) == 0;
  };
  EXPECT_TRUE(equal("model.embed_tokens.weight", slot(weights, 0)));
  EXPECT_TRUE(equal("model.layers.0.input_layernorm.weight", slot(weights, 1)));
  EXPECT_TRUE(
      equal("model.layers.1.input_layernorm.weight", slot(weights, 1) + 8));
  for (int e = 0; e < 4; ++e)
    EXPECT_TRUE(equal("model.layers.1.mlp.experts." + std::to_string(e) +
                          ".up_proj.weight",
                      slot(weights, 2) + e * 24));
  float head[64 * 8];
  std::memcpy(head, tensors["lm_head.weight"].bytes.data(), sizeof(head));
  for (int row = 0; row < 64; ++row)
    for (int column = 0; column < 8; ++column)
      EXPECT_EQ(slot(weights, 3)[column * 64 + row], head[row * 8 + column]);
  for (void *base : weights->slots())
    EXPECT_EQ(uintptr_t(base) % 4096, 0u);
}

TEST(PackedWeightsTest, IsMadeOnce) {
  TempDir folder;
  Packed first = take(open("random:1", toFile(folder.file("w"))));
  EXPECT_FALSE(first->reused());
  EXPECT_EQ(folder.names(), std::vector<std::string>{"w"});
  std::string bytes = readFile(folder.file("w"));
  EXPECT_EQ(bytes.size(), 4096u + 16384u);
  Packed second = take(open("random:1", toFile(folder.file("w"))));
  EXPECT_TRUE(second->reused());
  EXPECT_EQ(second->path(), folder.file("w"));
  EXPECT_EQ(first->key(), second->key());
  EXPECT_EQ(std::memcmp(second->slots()[0], first->slots()[0], 16384), 0);
  EXPECT_EQ(readFile(folder.file("w")), bytes);

  // Other weights replace it; who has it mapped keeps the old one.
  float before = slot(second, 0)[0];
  Packed third = take(open("random:2", toFile(folder.file("w"))));
  EXPECT_FALSE(third->reused());
  EXPECT_NE(first->key(), third->key());
  EXPECT_NE(slot(third, 0)[0], before);
  EXPECT_EQ(slot(second, 0)[0], before);
  EXPECT_EQ(folder.names(), std::vector<std::string>{"w"});
}

TEST(PackedWeightsTest, MemoryEqualsFile) {
  TempDir folder;
  Packed file = take(open("random:3", toFile(folder.file("w"))));
  PackOptions options;
  options.inMemory = true;
  Packed memory = take(open("random:3", options));
  EXPECT_TRUE(memory->path().empty());
  EXPECT_EQ(std::memcmp(memory->slots()[0], file->slots()[0], 16384), 0);
}

TEST(PackedWeightsTest, DamagedFilesAreMadeAgain) {
  TempDir folder;
  std::string path = folder.file("w");
  (void)take(open("random:1", toFile(path)));
  std::string good = readFile(path);
  std::string otherVersion = good, otherKey = good;
  otherVersion[8] ^= 1;
  otherKey[30] ^= 1;
  for (const std::string &bytes :
       {good.substr(0, good.size() - 1), good.substr(0, 4096), good + "x",
        good.substr(0, 100), otherVersion, otherKey}) {
    writeFile(path, bytes);
    EXPECT_FALSE(take(open("random:1", toFile(path)))->reused());
    EXPECT_EQ(readFile(path), good);
  }
}

TEST(PackedWeightsTest, OtherFilesAreLeftAlone) {
  TempDir folder;
  for (const std::string &bytes :
       {std::string("my thesis"), std::string(5000, 'x'), std::string()}) {
    writeFile(folder.file("w"), bytes);
    expectFailure(open("random:1", toFile(folder.file("w"))).status(),
                  StatusCode::InvalidArgument,
                  {"'" + folder.file("w") + "'", "not a packed weights file"});
    EXPECT_EQ(readFile(folder.file("w")), bytes);
  }
  expectFailure(open("random:1", toFile(folder.path())).status(),
                StatusCode::IoError, {"not a regular file"});
  expectFailure(open("random:1", toFile(folder.file("none/w"))).status(),
                StatusCode::IoError, {"none/w"});
}

TEST(PackedWeightsTest, DefaultPlaces) {
  TempDir folder;
  std::string path = folder.subfolder("model") + "/fake.dsv2";
  fs::copy_file(fakeArtifactPath(), path);
  auto artifact = take(Artifact::load(path));
  ScopedEnv cache("XDG_CACHE_HOME", folder.subfolder("cache").c_str());
  Packed beside = take(open("random:1", {}, artifact));
  EXPECT_EQ(beside->path(), path + ".weights");
  EXPECT_TRUE(take(open("random:1", {}, artifact))->reused());

  // A foreign file there, or no file to be beside of: the cache.
  writeFile(path + ".weights", "mine");
  Packed cached = take(open("random:1", {}, artifact));
  EXPECT_EQ(cached->path(),
            folder.file("cache/dsv2/") + cached->key() + ".weights");
  EXPECT_EQ(readFile(path + ".weights"), "mine");
  EXPECT_TRUE(take(open("random:1", {}, artifact))->reused());
}

TEST(PackedWeightsTest, FailureLeavesNothing) {
  TempDir folder;
  std::string checkpoint = folder.subfolder("model");
  std::string out = folder.subfolder("out");
  // F16 passes every check of the checkpoint; the fake artifact cannot convert
  // it, and finds out at the last tensor.
  TensorMap tensors = fakeTensors();
  tensors["lm_head.weight"].dtype = "F16";
  tensors["lm_head.weight"].bytes.resize(64 * 8 * 2);
  writeCheckpoint(checkpoint, tensors);
  expectFailure(open(checkpoint, toFile(out + "/w")).status(),
                StatusCode::Unsupported,
                {"'lm_head.weight'", "F16", "no conversion"});
  EXPECT_TRUE(fs::is_empty(out));
}

TEST(PackedWeightsTest, CancelLeavesNothing) {
  TempDir folder;
  std::atomic<bool> cancel{false};
  PackOptions options = toFile(folder.file("w"));
  options.cancel = &cancel;
  int64_t last = 0;
  options.progress = [&](int64_t done, int64_t total) {
    EXPECT_GT(done, last);
    EXPECT_LE(done, total);
    last = done;
    cancel = true;
  };
  expectFailure(open("random:1", options).status(), StatusCode::Internal,
                {"interrupted"});
  EXPECT_GT(last, 0);
  EXPECT_TRUE(folder.names().empty());
}

TEST(PackedWeightsTest, FullDiskNamesBothNumbers) {
  // A limit on file sizes stands in for a full disk.
  TempDir folder;
  ProgramResult result =
      runShell("ulimit -f 8; trap '' XFSZ; " DSV2_RUN " " + fakeArtifactPath() +
               " --weights random:1 --token-ids --prompt 1 --packed " +
               folder.file("w"));
  EXPECT_EQ(result.code, 1) << result.err;
  expectHolds(result.err, "no space for");
  expectHolds(result.err, "required 20480 bytes, available ");
  EXPECT_TRUE(folder.names().empty());
}

TEST(PackedWeightsTest, KilledWhileWritingLeavesNothing) {
  TempDir folder;
  PackOptions options = toFile(folder.file("w"));
  pid_t child = fork();
  if (child == 0) {
    // Dies in the middle, without running any clean-up.
    options.progress = [](int64_t, int64_t) { kill(getpid(), SIGKILL); };
    (void)open("random:1", options).ok();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(folder.names().empty());
}

TEST(PackedWeightsTest, ConcurrentStarts) {
  TempDir folder;
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      // Two sets of weights fight over one place.
      std::string source = "random:" + std::to_string(i % 2);
      for (int round = 0; round < 5; ++round) {
        Packed weights = take(open(source, toFile(folder.file("w"))));
        PackOptions memory;
        memory.inMemory = true;
        Packed expected = take(open(source, memory));
        good +=
            std::memcmp(weights->slots()[0], expected->slots()[0], 16384) == 0;
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(good, 40);
  EXPECT_EQ(folder.names(), std::vector<std::string>{"w"});
}
