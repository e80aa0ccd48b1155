//===- RankOutput.cpp - what ranks other than 0 may write -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RankOutput.h"

#include <cstdio>

#include <fcntl.h>
#include <unistd.h>

using namespace dsv2rt::comm;

/// A line without an end is written in pieces of this size.
static constexpr size_t longestLine = 64 << 10;

void dsv2rt::comm::closeStandardStreams() {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0)
    return;
  dup2(null, STDIN_FILENO);
  dup2(null, STDOUT_FILENO);
  close(null);
}

static void closeIfOpen(int &descriptor) {
  if (descriptor >= 0)
    close(descriptor);
  descriptor = -1;
}

RankOutput::~RankOutput() {
  for (Pipe &pipe : pipes) {
    closeIfOpen(pipe.read);
    closeIfOpen(pipe.write);
  }
}

bool RankOutput::prepare(int rank) {
  int ends[2];
  if (rank == 0)
    return true;
  if (pipe2(ends, O_CLOEXEC) != 0)
    return false;
  pipes[rank].read = ends[0];
  pipes[rank].write = ends[1];
  // The launcher never waits for a rank's words.
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return true;
}

void RankOutput::becomeRank(int rank) {
  if (rank != 0) {
    dup2(pipes[rank].write, STDERR_FILENO);
    closeStandardStreams();
  }
  // Others' pipes too.
  for (Pipe &pipe : pipes) {
    closeIfOpen(pipe.read);
    closeIfOpen(pipe.write);
  }
}

void RankOutput::started(int rank) { closeIfOpen(pipes[rank].write); }

static void writeLine(int rank, const std::string &line) {
  std::string text = "rank " + std::to_string(rank) + ": " + line + "\n";
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void RankOutput::readFrom(int rank) {
  Pipe &pipe = pipes[rank];
  char buffer[4096];
  for (ssize_t count; pipe.read >= 0 &&
                      (count = read(pipe.read, buffer, sizeof(buffer))) > 0;) {
    pipe.pending.append(buffer, size_t(count));
    for (size_t end; (end = pipe.pending.find('\n')) != std::string::npos ||
                     pipe.pending.size() >= longestLine;) {
      size_t length = std::min(end, longestLine);
      writeLine(rank, pipe.pending.substr(0, length));
      pipe.pending.erase(0, length + (length == end));
    }
  }
}

void RankOutput::forward() {
  for (size_t rank = 0; rank < pipes.size(); ++rank)
    readFrom(int(rank));
}

void RankOutput::finish(int rank) {
  readFrom(rank);
  if (!pipes[rank].pending.empty())
    writeLine(rank, pipes[rank].pending);
  pipes[rank].pending.clear();
  closeIfOpen(pipes[rank].read);
}
