//===- RankProgramRun.h - running the program for ranks ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_COMM_RANKPROGRAMRUN_H
#define DSV2_TEST_UNIT_COMM_RANKPROGRAMRUN_H

#include <cstdio>
#include <string>

#include <gtest/gtest.h>
#include <sys/wait.h>

namespace dsv2test {

struct ProgramRun {
  int exitCode;
  /// Standard output and error as they came.
  std::string output;
};

/// Runs a command of the shell.
inline ProgramRun runCommand(const std::string &command) {
  ProgramRun run = {-1, ""};
  FILE *pipe = popen(("exec 2>&1; " + command).c_str(), "r");
  if (!pipe)
    return run;
  char buffer[4096];
  while (size_t count = std::fread(buffer, 1, sizeof(buffer), pipe))
    run.output.append(buffer, count);
  int status = pclose(pipe);
  run.exitCode = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return run;
}

inline void expectOutput(const ProgramRun &run, const std::string &text) {
  EXPECT_NE(run.output.find(text), std::string::npos)
      << "expected '" << text << "' in:\n"
      << run.output;
}

/// How often `text` is in the output.
inline int countOf(const ProgramRun &run, const std::string &text) {
  int count = 0;
  for (size_t at = 0; (at = run.output.find(text, at)) != std::string::npos;
       ++at)
    ++count;
  return count;
}

} // namespace dsv2test

#endif // DSV2_TEST_UNIT_COMM_RANKPROGRAMRUN_H
