//===- MeshToolTest.cpp - the programs on several ranks -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <limits>

using namespace dsv2rt;
using namespace dsv2test;
using nlohmann::json;

namespace {

const std::string common =
    " --packed memory --token-ids --weights random:1 --threads 1 ";

std::string command(const std::string &artifact, const std::string &flags) {
  return DSV2_RUN " " + artifact + common + flags;
}

/// Runs dsv2-run on the ranks of a mesh, or on one.
ProgramResult run(int tp, int ep, const std::string &flags) {
  return runShell(command(fakeMeshPath(tp, ep), flags));
}
ProgramResult runAlone(const std::string &flags) {
  return runShell(command(fakeArtifactPath(), flags));
}

const std::pair<int, int> meshes[] = {{1, 3}, {2, 1}, {2, 2}};

void expectError(const ProgramResult &result, int code,
                 const std::vector<std::string> &parts) {
  EXPECT_EQ(result.code, code) << result.err;
  EXPECT_EQ(result.out, "");
  for (const std::string &part : parts)
    expectHolds(result.err, part);
  size_t first = result.err.find("error: ");
  EXPECT_NE(first, std::string::npos);
  EXPECT_EQ(result.err.find("error: ", first + 1), std::string::npos)
      << "said more than once: " << result.err;
}

} // namespace

TEST(MeshToolTest, SaysWhatOneRankDoes) {
  TempDir folder;
  writeFile(folder.file("p"), "1\n2\n3\n");
  for (const std::string &flags :
       {std::string("--prompt '1 2,3' --max-tokens 5"),
        "--prompt-file " + folder.file("p") + " --max-tokens 5",
        "--prompt-file - --max-tokens 5 <" + folder.file("p"),
        std::string("--prompt 1 --prompt '4 5 6 7 8 9' --prompt 6 --prompt 7 "
                    "--prompt '8 9' --max-tokens 9 --chunk 4"),
        std::string("--prompt '1 2' --temperature 1 --seed 3 --max-tokens 20"),
        std::string("--prompt 1 --max-tokens 0")}) {
    ProgramResult expected = runAlone(flags);
    ASSERT_EQ(expected.code, 0) << expected.err;
    for (auto [tp, ep] : meshes) {
      SCOPED_TRACE(flags + " on " + std::to_string(tp * ep));
      ProgramResult result = run(tp, ep, flags);
      EXPECT_EQ(result.code, 0) << result.err;
      EXPECT_EQ(result.out, expected.out);
      EXPECT_EQ(
          run(tp, ep, "--ranks " + std::to_string(tp * ep) + " " + flags).out,
          expected.out);
    }
  }
}

TEST(MeshToolTest, DrawsTheSameOnAllRanks) {
  // Ranks that drew otherwise would give the model other tokens.
  ProgramResult result =
      run(2, 2, "--prompt 1 --prompt 2 --temperature 2 --max-tokens 30");
  EXPECT_EQ(result.code, 0) << result.err;
  expectHolds(result.err, "seed: ");
}

TEST(MeshToolTest, WritesFilesOnce) {
  TempDir folder;
  auto flags = [&](const std::string &stem) {
    return "--prompt '1 2 3' --prompt 4 --max-tokens 3 --logits " +
           folder.file(stem + ".npy") + " --trace " + folder.file(stem);
  };
  ASSERT_EQ(runAlone(flags("one")).code, 0);
  ProgramResult result = run(2, 2, flags("many"));
  ASSERT_EQ(result.code, 0) << result.err;
  for (const char *number : {".1.npy", ".2.npy"})
    EXPECT_EQ(readFile(folder.file(std::string("many") + number)),
              readFile(folder.file(std::string("one") + number)));
  json trace = json::parse(readFile(folder.file("many")));
  int64_t steps = 0, collectives = 0;
  for (const json &event : trace["traceEvents"]) {
    steps += event["cat"] == "step";
    collectives += event["cat"] == "collective";
    if (event["name"] == "logits.gather")
      EXPECT_EQ(event["args"]["layer"], -1);
  }
  EXPECT_EQ(steps, 3);
  EXPECT_EQ(collectives, 3 * 6);
  EXPECT_EQ(folder.names().size(), 6u);
}

TEST(MeshToolTest, Perplexity) {
  TempDir folder;
  std::string text;
  for (int i = 0; i < 40; ++i)
    text += std::to_string(i * 7 % 60) + " ";
  writeFile(folder.file("t"), text);
  std::string flags = "--context 8 --perplexity ";
  ProgramResult expected = runAlone(flags + folder.file("t"));
  ASSERT_EQ(expected.code, 0) << expected.err;
  EXPECT_EQ(run(2, 2, flags + folder.file("t")).out, expected.out);
  EXPECT_EQ(run(1, 3, flags + "- <" + folder.file("t")).out, expected.out);
}

TEST(MeshToolTest, JsonHasWhatWasSent) {
  ProgramResult result = run(2, 2, "--prompt '0 1 2 4' --max-tokens 0 --json");
  ASSERT_EQ(result.code, 0) << result.err;
  json root = json::parse(result.out);
  EXPECT_EQ(root["ranks"], 4);
  EXPECT_EQ(root["mesh"], json({{"tp", 2}, {"ep", 2}}));
  EXPECT_EQ(root["memory"]["weights"], 2048 + 32 + 2 * 48 + 1024);
  const json &comm = root["comm"];
  EXPECT_EQ(comm["rank"], 0);
  ASSERT_EQ(comm["sites"].size(), 7u);
  EXPECT_EQ(comm["sites"][3], json({{"name", "mlp.dispatch"},
                                    {"kind", "all_to_all_v"},
                                    {"calls", 1},
                                    {"bytes_sent", 4}}));
  int64_t calls = 0, bytes = 0;
  for (const json &site : comm["sites"]) {
    calls += site["calls"].get<int64_t>();
    bytes += site["bytes_sent"].get<int64_t>();
  }
  EXPECT_EQ(comm["calls"], calls);
  EXPECT_EQ(comm["bytes_sent"], bytes);
  EXPECT_FALSE(json::parse(runAlone("--prompt 1 --json").out).contains("comm"));
}

TEST(MeshToolTest, InfoHasTheMesh) {
  ProgramResult result = runShell(DSV2_RUN " --info " + fakeMeshPath(2, 2));
  expectHolds(result.out, "runs on: 4 ranks (tp=2, ep=2)\n");
  json root = json::parse(
      runShell(DSV2_RUN " --info --json " + fakeMeshPath(1, 3)).out);
  EXPECT_EQ(root["mesh"], json({{"tp", 1}, {"ep", 3}}));
  expectHolds(runShell(DSV2_RUN " --info " + fakeArtifactPath()).out,
              "runs on: 1 rank\n");
}

TEST(MeshToolTest, RanksKeepPackedWeightsApart) {
  TempDir folder;
  std::string artifact = folder.file("m.dsv2");
  std::filesystem::copy_file(fakeMeshPath(2, 1), artifact);
  std::string line = DSV2_RUN " " + artifact +
                     " --token-ids --weights random:1 --prompt 1 --packed ";
  EXPECT_EQ(runShell(line + folder.file("w")).code, 0);
  EXPECT_EQ(runShell(line + "''").code, 0);
  EXPECT_EQ(folder.names(),
            (std::vector<std::string>{"m.dsv2", "m.dsv2.rank0of2.weights",
                                      "m.dsv2.rank1of2.weights", "w.rank0of2",
                                      "w.rank1of2"}));
}

TEST(MeshToolTest, WrongNumbersOfRanks) {
  expectError(run(2, 2, "--prompt 1 --ranks 3"), 2,
              {"--ranks", "4 ranks (tp=2, ep=2)", "found 3"});
  expectError(run(2, 1, "--prompt 1 --ranks 1"), 2,
              {"2 ranks (tp=2, ep=1)", "found 1"});
  expectError(runAlone("--prompt 1 --ranks 4"), 2,
              {"compiled for 1 rank", "found 4"});
  for (const char *flag :
       {"--ranks 0", "--ranks -1", "--comm-timeout 0", "--comm-timeout x"})
    expectError(run(2, 1, std::string("--prompt 1 ") + flag), 2,
                {std::string(flag).substr(0, 7)});
  expectError(run(2, 1, "--prompt 1 --device cuda"), 2,
              {"compiled for the CPU", "'cuda'"});
  expectError(run(2, 1, "--prompt 1 --compare-reference"), 2,
              {"--compare-reference", "2 ranks", "runs on one"});
}

TEST(MeshToolTest, ErrorsAreSaidOnce) {
  expectError(run(2, 2, ""), 2, {"no prompt"});
  expectError(run(2, 2, "--prompt '1 x'"), 2, {"rank 0", "'x'"});
  expectError(run(2, 2, "--prompt 64"), 2, {"rank 0", "0 to 63"});
  expectError(run(2, 2, "--prompt-file /nonexistent"), 2, {"/nonexistent"});
  TempDir folder;
  writeFile(folder.file("a"), "x");
  expectError(runShell(DSV2_RUN " " + fakeMeshPath(2, 2) +
                       " --token-ids --prompt 1 --weights " + folder.file("a")),
              1, {"rank 0", folder.file("a")});
  // One rank alone: experts that only the second half of the ranks needs.
  TensorMap tensors = fakeTensors();
  tensors.erase("model.layers.1.mlp.experts.2.up_proj.weight");
  std::string checkpoint = folder.subfolder("model");
  writeCheckpoint(checkpoint, tensors);
  expectError(runShell(DSV2_RUN " " + fakeMeshPath(2, 2) +
                       " --packed memory --token-ids --prompt 1 --weights " +
                       checkpoint),
              1, {"rank 2", "experts.2"});
  // What rank 0 alone cannot write.
  expectError(run(2, 2, "--prompt 1 --logits " + folder.file("no/l.npy")), 1,
              {"rank 0", "no/l.npy"});
  expectError(run(2, 2, "--prompt 1 --max-tokens 60 >/dev/full"), 1,
              {"rank 0", "cannot write to standard output"});
}

TEST(MeshToolTest, APromptMayFail) {
  TempDir folder;
  TensorMap tensors = fakeTensors();
  float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(
      tensors["model.layers.1.mlp.experts.3.up_proj.weight"].bytes.data(), &nan,
      4);
  writeCheckpoint(folder.path(), tensors);
  ProgramResult result = runShell(
      DSV2_RUN " " + fakeMeshPath(2, 2) +
      " --packed memory --token-ids --prompt 3 --prompt '1 2' --max-tokens 1 "
      "--weights " +
      folder.path());
  EXPECT_EQ(result.code, 1);
  expectHolds(result.err, "prompt 1: step 0, sequence 1: a value that is not");
  expectHolds(result.err, "rank 0 ended the job: not all prompts");
  expectHolds(result.out, "==> prompt 2 <==\n");
}

TEST(MeshToolTest, SlowStandardInputIsWaitedFor) {
  ProgramResult result =
      runShell("(echo 1; sleep 1; echo '2 3') | " +
               command(fakeMeshPath(2, 2), "--comm-timeout 0.3 --prompt-file - "
                                           "--max-tokens 5"));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "48 8 61 48 8\n");
}

TEST(MeshToolTest, F086_AKilledRankEndsTheJob) {
  // While rank 0 waits for its input, which never comes.
  auto begin = std::chrono::steady_clock::now();
  for (int rank : {0, 2}) {
    TempDir folder;
    std::string pipe = folder.file("pipe");
    ProgramResult result = runShell(
        "mkfifo " + pipe + "; sleep 30 >" + pipe + " & holder=$!; " +
        command(fakeMeshPath(2, 2), "--prompt-file - <" + pipe) +
        " & job=$!; sleep 0.5; set -- $(cat /proc/$job/task/$job/children); "
        "kill -9 $" +
        std::to_string(rank + 1) +
        "; wait $job; code=$?; kill $holder; exit $code");
    expectError(result, 1,
                {"rank " + std::to_string(rank) + " was killed", "SIGKILL"});
  }
  std::chrono::duration<double> spent =
      std::chrono::steady_clock::now() - begin;
  EXPECT_LT(spent.count(), 2 * 20);
}

TEST(MeshToolTest, Bench) {
  for (auto [tp, ep] : meshes) {
    ProgramResult result = runShell(
        DSV2_BENCH " " + fakeMeshPath(tp, ep) +
        " --packed memory --weights random:1 -p 8 -n 4 -b 1,3 -d 0,10 -r 2 "
        "-t 1 -o json");
    ASSERT_EQ(result.code, 0) << result.err;
    json root = json::parse(result.out);
    EXPECT_EQ(root["ranks"], tp * ep);
    ASSERT_EQ(root["rows"].size(), 8u);
    for (const json &row : root["rows"])
      EXPECT_EQ(row["n_ranks"], tp * ep);
    // The token's row on every rank of tp, two of four experts in as many
    // parts, and norms and head where the token is.
    EXPECT_EQ(root["active_weight_bytes"], tp * 32 + 64 + 2 * 96 + 2048);
    EXPECT_EQ(root["memory"]["weights"],
              ep * (tp * 2048 + 64 + 2048) + (ep == 3 ? 6 : 4) * 96);
  }
  std::string line = DSV2_BENCH " " + fakeMeshPath(2, 2) +
                     " --packed memory --weights random:1 ";
  expectHolds(runShell(line + "-p 4 -n 0 -r 1 -t 1").out,
              "4 ranks with 1 threads each");
  expectError(runShell(line + "--ranks 2"), 2, {"4 ranks", "found 2"});
  expectError(runShell(line + "-d 60 -t 1"), 2, {"rank 0", "limit is 64"});
}

namespace {

/// One implementation of MPI, as configuration found it.
struct Mpi {
  const char *name;
  const char *command;
  const char *library;
};

[[maybe_unused]] void PrintTo(const Mpi &mpi, std::ostream *out) {
  *out << mpi.name;
}

const Mpi found[] = {
#ifdef DSV2_MPIRUN_OPENMPI
    {"OpenMPI",
     DSV2_MPIRUN_OPENMPI
     " --allow-run-as-root --oversubscribe --mca plm isolated",
     DSV2_MPI_LIBRARY_OPENMPI},
#endif
#ifdef DSV2_MPIRUN_MPICH
    {"MPICH", DSV2_MPIRUN_MPICH, DSV2_MPI_LIBRARY_MPICH},
#endif
#if !defined(DSV2_MPIRUN_OPENMPI) && !defined(DSV2_MPIRUN_MPICH)
    {"None", "", ""},
#endif
};

class MeshToolMpiTest : public testing::TestWithParam<Mpi> {};

} // namespace

TEST_P(MeshToolMpiTest, RunsUnderMpirun) {
  if (!*GetParam().command)
    GTEST_SKIP() << "no MPI with mpirun was found";
  // For sanitizers: the library for an MPI has a copy of the base class of
  // communicators, implementations leave memory behind, and UCX, which MPICH
  // uses, would replace functions that the sanitizer has replaced.
  const std::string environment =
      "ASAN_OPTIONS=detect_leaks=0:detect_odr_violation=0 UCX_MEM_EVENTS=n "
      "DSV2_MPI_LIBRARY=";
  auto launch = [&](int ranks, const std::string &flags,
                    const std::string &others = "") {
    return runShell(environment + GetParam().library + " timeout 60 " +
                    GetParam().command + " -n " + std::to_string(ranks) + " " +
                    command(fakeMeshPath(2, 2), flags) + others);
  };
  ProgramResult result = launch(4, "--prompt '1 2 3' --max-tokens 5");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "48 8 61 48 8\n");
  // Rank 0 broadcasts what it reads, the others wait for nothing of the kind:
  // only a comparison before the exchange knows both places.
  result = launch(1, "--prompt-file - --comm-check < /dev/null",
                  " : -n 3 " +
                      command(fakeMeshPath(2, 2), "--prompt 1 --comm-check"));
  EXPECT_NE(result.code, 0);
  expectHolds(result.err, "'program.broadcast'");
  expectHolds(result.err, "both as operation");
  // Every process has drawn a seed of its own.
  result = launch(4, "--prompt 1 --temperature 2 --max-tokens 20");
  EXPECT_EQ(result.code, 0) << result.err;
  result = launch(2, "--prompt 1");
  EXPECT_NE(result.code, 0);
  expectHolds(result.err, "expected 4 ranks");
}

INSTANTIATE_TEST_SUITE_P(, MeshToolMpiTest, testing::ValuesIn(found),
                         [](const auto &info) {
                           return std::string(info.param.name);
                         });
