//===- LaunchTest.cpp - programs that start ranks themselves --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CommTestUtils.h"
#include "RankProgramRun.h"

#include "dsv2rt/comm/Launch.h"

#include <cstdlib>

using namespace dsv2rt;
using namespace dsv2test;

static ProgramRun launch(int ranks, const std::string &mode,
                         const std::string &before = "") {
  return runCommand(before + " " DSV2_RANK_PROGRAM " " + std::to_string(ranks) +
                    " " + mode);
}

TEST(Launch, RunsTheProgramOnAllRanksAndShowsTheFirst) {
  for (int ranks : {1, 2, 3}) {
    ProgramRun run = launch(ranks, "suite");
    EXPECT_EQ(run.exitCode, 0);
    EXPECT_EQ(run.output,
              "rank 0 of " + std::to_string(ranks) + " is content\n");
  }
}

TEST(Launch, NamesTheRankWhoseErrorsItShows) {
  ProgramRun run = launch(2, "words", "echo A |");
  EXPECT_EQ(run.exitCode, 0);
  expectOutput(run, "rank 1: two\nrank 1: lines\n");
  expectOutput(run, "rank 0 reads 65\n");
  EXPECT_EQ(countOf(run, "rank 1 reads"), 0) << run.output;
}

/// Expects one line, which is this error.
static void expectError(const ProgramRun &run, int exitCode,
                        const std::string &text) {
  EXPECT_EQ(run.exitCode, exitCode);
  expectOutput(run, "rank-program: error: ");
  expectOutput(run, text);
  EXPECT_EQ(countOf(run, "\n"), 1) << run.output;
}

TEST(Launch, F086_SaysOnceWhyTheJobEnded) {
  expectError(launch(3, "abort"), 1,
              "rank 1 ended the job: there is no file 'x'");
  expectError(launch(3, "code"), 7, "rank 1 failed with exit code 7");
  expectError(launch(3, "throw"), 1,
              "rank 1 ended the job: unexpected exception: out of luck");
  expectError(launch(3, "kill"), 1,
              "rank 1 was killed by signal 9 (SIGKILL); its last operation was "
              "all_reduce 'before' of layer 4 (4 bytes)");
  expectError(launch(3, "leave"), 1, "rank 1 ended while rank ");
  expectError(launch(3, "order"), 1, "the ranks disagree");
  expectError(launch(3, "sizes"), 1,
              "rank 1 sends 12 bytes to rank 0, which expects 16");
}

TEST(Launch, F086_EndsWhenARankIsLate) {
  Stopwatch watch;
  expectError(launch(2, "late"), 1,
              "rank 1 showed no progress for 1.0 s while rank 0 waited for it "
              "in all_reduce 'here' of layer 4");
  // A second, and three until the late one is killed.
  EXPECT_LT(watch.seconds(), 6);
  EXPECT_EQ(launch(2, "alive").exitCode, 0);
}

TEST(Launch, TellsOneRankWhatItTellsSeveral) {
  // A single rank is never wrong in the ways of rank 1.
  EXPECT_EQ(launch(1, "abort").exitCode, 0);
  expectError(launch(0, "suite"), 1, "expected 1 to 256 ranks, found 0");
}

TEST(OuterLauncher, IsFoundByTheEnvironment) {
  EXPECT_EQ(findOuterLauncher().name, "");
  setenv("PMI_RANK", "3", 1);
  EXPECT_EQ(findOuterLauncher().name, "");
  setenv("PMI_SIZE", "4", 1);
  OuterLauncher found = findOuterLauncher();
  EXPECT_EQ(found.name, "MPICH");
  EXPECT_EQ(found.ranks, 4);
  EXPECT_EQ(found.rank, 3);
  setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  setenv("OMPI_COMM_WORLD_RANK", "1", 1);
  found = findOuterLauncher();
  EXPECT_EQ(found.name, "Open MPI");
  EXPECT_EQ(found.ranks, 2);
  EXPECT_EQ(found.rank, 1);
  for (const char *name :
       {"PMI_RANK", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"})
    unsetenv(name);
  setenv("PMIX_RANK", "0", 1);
  EXPECT_EQ(findOuterLauncher().name, "Open MPI");
  unsetenv("PMIX_RANK");
}

// Without a library for the launcher, the error names what is missing.
TEST(OuterLauncher, NeedsALibrary) {
  expectError(launch(2, "suite",
                     "OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0 "
                     "DSV2_MPI_LIBRARY=/nowhere/libdsv2-mpi-openmpi.so"),
              1, "libopenmpi-dev");
  expectError(launch(2, "suite",
                     "PMI_SIZE=2 PMI_RANK=0 "
                     "DSV2_MPI_LIBRARY=/nowhere/libdsv2-mpi-mpich.so"),
              1, "libmpich-dev");
  expectError(
      launch(2, "suite", "PMI_SIZE=2 PMI_RANK=0 DSV2_MPI_LIBRARY=libm.so.6"), 1,
      "has no function 'dsv2rt_open_mpi'");
  // One rank speaks for all.
  EXPECT_EQ(
      launch(2, "suite", "PMI_SIZE=2 PMI_RANK=1 DSV2_MPI_LIBRARY=/nowhere/x.so")
          .output,
      "");
}

TEST(OuterLauncher, HasToStartAsManyRanksAsThereAre) {
  expectError(
      launch(4, "suite", "OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0"), 2,
      "expected 4 ranks, but the launcher of Open MPI has started 2");
}
