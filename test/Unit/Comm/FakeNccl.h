//===- FakeNccl.h - NCCL without GPUs, broken at will -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A library with NCCL's functions whose buffers are the host's, or the stub
// driver's where the process has that (StubDriver.h); its streams are used
// then, and other memory is refused. Its ranks are threads, or processes forked
// after it was loaded. A stream is any address; what was put into it is done,
// in order, while somebody asks for it. It checks what NCCL leaves to its
// users: that both sides of a message agree on its size and kind, and that a
// group has one message at most each way for every peer, and that what a
// communicator was called for is done in that order; what does not is the
// asynchronous error ncclInvalidUsage.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_COMM_FAKENCCL_H
#define DSV2_TEST_UNIT_COMM_FAKENCCL_H

#include <cstdint>

extern "C" {

/// What goes wrong.
enum FakeNcclFault {
  /// Every call is in progress for so many questions.
  FakeNcclInProgress,
  /// After so many calls a rank finds ncclRemoteError.
  FakeNcclRemoteErrorAfter,
  /// A rank does nothing until a call has been first in its stream for so many
  /// milliseconds.
  FakeNcclSlowMilliseconds,
  /// ncclCommAbort of a rank does not return.
  FakeNcclAbortHangs,
  /// ncclCommInitRankConfig of a rank fails at once.
  FakeNcclInitFails,
  /// A rank's calls of ncclSend fail at once.
  FakeNcclSendFails,
  /// The version that the library says it has.
  FakeNcclVersion,
  FakeNcclFaults
};

/// Makes `fault` happen to `rank` of every communicator, -1: to all.
void fakeNcclSet(FakeNcclFault fault, int rank, int64_t value);
/// Takes all faults back and forgets communicators. No rank may be at work.
void fakeNcclReset(void);

/// Works on a stream: 1 when all that was put into it is done, 0 when not yet,
/// -1 when it never will be.
int fakeNcclStreamDone(void *stream);

/// How many communicators were aborted, and how many ended in order.
int fakeNcclAborted(void);
int fakeNcclDestroyed(void);
/// How many messages ncclSend was called for.
int64_t fakeNcclSends(void);
}

#endif // DSV2_TEST_UNIT_COMM_FAKENCCL_H
