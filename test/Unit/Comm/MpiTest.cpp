//===- MpiTest.cpp - ranks that mpirun has started ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CommTestUtils.h"
#include "RankProgramRun.h"

#include <cstdlib>
#include <string>

using namespace dsv2test;

namespace {

/// One implementation, as configuration found it.
struct Mpi {
  const char *name;
  const char *mpirun;
  const char *options;
  const char *library;
};

/// How GoogleTest shows one.
[[maybe_unused]] void PrintTo(const Mpi &mpi, std::ostream *out) {
  *out << mpi.name;
}

const Mpi found[] = {
#ifdef DSV2_MPIRUN_OPENMPI
    // As root, on fewer processors than ranks, and without a remote shell.
    {"OpenMPI", DSV2_MPIRUN_OPENMPI,
     "--allow-run-as-root --oversubscribe --mca plm isolated",
     DSV2_MPI_LIBRARY_OPENMPI},
#endif
#ifdef DSV2_MPIRUN_MPICH
    {"MPICH", DSV2_MPIRUN_MPICH, "", DSV2_MPI_LIBRARY_MPICH},
#endif
    // So that the list is never empty.
    {"None", "", "", ""},
};

class MpiRanks : public testing::TestWithParam<Mpi> {
protected:
  void SetUp() override {
    if (!*GetParam().mpirun)
      GTEST_SKIP() << (std::size(found) > 1 ? "not needed"
                                            : "no MPI with mpirun was found");
  }

  ProgramRun launch(int ranks, const std::string &mode, int expected = 0) {
    // For sanitizers: implementations leave memory behind, and UCX, which MPICH
    // uses, would replace functions that the sanitizer has replaced.
    return runCommand(std::string("ASAN_OPTIONS=detect_leaks=0 "
                                  "UCX_MEM_EVENTS=n DSV2_MPI_LIBRARY=") +
                      GetParam().library + " timeout 60 " + GetParam().mpirun +
                      " " + GetParam().options + " -n " +
                      std::to_string(ranks) + " " DSV2_RANK_PROGRAM " " +
                      std::to_string(expected ? expected : ranks) + " " + mode);
  }

  /// Expects that the job fails and says so at least once.
  void expectError(int ranks, const std::string &mode,
                   const std::string &text) {
    Stopwatch watch;
    ProgramRun run = launch(ranks, mode);
    EXPECT_NE(run.exitCode, 0);
    expectOutput(run, text);
    EXPECT_LT(watch.seconds(), 20);
  }
};

} // namespace

TEST_P(MpiRanks, GiveWhatPlainLoopsGive) {
  for (int ranks : {1, 2, 4}) {
    ProgramRun run = launch(ranks, "suite");
    EXPECT_EQ(run.exitCode, 0) << run.output;
    EXPECT_EQ(run.output,
              "rank 0 of " + std::to_string(ranks) + " is content\n");
  }
}

TEST_P(MpiRanks, F086_SayWhyTheJobEnded) {
  expectError(3, "abort",
              "rank-program: error: rank 1 ended the job: there is no file "
              "'x'");
  expectError(3, "code", "rank 1 ended the job: it failed with exit code 7");
  expectError(3, "throw",
              "rank 1 ended the job: unexpected exception: out of luck");
}

// The launcher sees this before any rank does, and says so in its own words.
TEST_P(MpiRanks, F086_EndWhenOneIsKilled) {
  Stopwatch watch;
  EXPECT_NE(launch(3, "kill").exitCode, 0);
  EXPECT_LT(watch.seconds(), 20);
}

TEST_P(MpiRanks, F086_EndWhenOneIsLate) {
  for (const char *mode : {"stop", "late"})
    expectError(2, mode,
                "rank 1 showed no progress for 1.0 s while rank 0 waited for "
                "it in all_reduce 'here' of layer 4");
}

TEST_P(MpiRanks, MayBeLateWhileTheySayThatTheyWork) {
  ProgramRun run = launch(2, "alive");
  EXPECT_EQ(run.exitCode, 0) << run.output;
}

TEST_P(MpiRanks, F091_CompareWhatTheyCall) {
  expectError(3, "order", "the ranks disagree");
  expectError(3, "leave", "barrier 'end of the job'");
}

TEST_P(MpiRanks, CompareSizesOfMessages) {
  expectError(3, "sizes", "rank 1 sends 12 bytes to rank 0, which expects 16");
}

TEST_P(MpiRanks, AreAsManyAsTheProgramNeeds) {
  ProgramRun run = launch(2, "suite", /*expected=*/4);
  EXPECT_NE(run.exitCode, 0);
  expectOutput(run, "expected 4 ranks, but the launcher of ");
  EXPECT_EQ(countOf(run, "expected 4 ranks"), 1) << run.output;
}

INSTANTIATE_TEST_SUITE_P(
    Found, MpiRanks,
    testing::ValuesIn(found, found + std::max<size_t>(std::size(found) - 1, 1)),
    [](const auto &info) { return std::string(info.param.name); });
