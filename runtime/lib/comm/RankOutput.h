//===- RankOutput.h - what ranks other than 0 may write ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_COMM_RANKOUTPUT_H
#define DSV2RT_LIB_COMM_RANKOUTPUT_H

#include <string>
#include <vector>

namespace dsv2rt::comm {

/// Makes standard input and output of this process /dev/null.
void closeStandardStreams();

/// Carries the lines that processes write to standard error to that of the
/// launcher, with the number of their rank in front.
class RankOutput {
public:
  explicit RankOutput(int ranks) : pipes(ranks) {}
  ~RankOutput();
  RankOutput(const RankOutput &) = delete;
  RankOutput &operator=(const RankOutput &) = delete;

  /// In the launcher, before rank `rank` is forked: false with errno when the
  /// system has no pipe. Nothing to do for rank 0, whose streams are the
  /// launcher's.
  bool prepare(int rank);
  /// In the new process.
  void becomeRank(int rank);
  /// In the launcher, after the fork.
  void started(int rank);

  /// In the launcher, now and then: writes the complete lines.
  void forward();
  /// After rank `rank` has ended: the rest, too.
  void finish(int rank);

private:
  struct Pipe {
    int read = -1, write = -1;
    std::string pending;
  };
  void readFrom(int rank);
  std::vector<Pipe> pipes;
};

} // namespace dsv2rt::comm

#endif // DSV2RT_LIB_COMM_RANKOUTPUT_H
