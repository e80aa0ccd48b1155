//===- Nccl.h - ranks whose data is on GPUs ---------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_COMM_NCCL_H
#define DSV2RT_COMM_NCCL_H

#include "dsv2rt/comm/Communicator.h"

#include <functional>
#include <string>

namespace dsv2rt {

/// A group of ranks with a GPU each, by NCCL. What differs from a group of the
/// host:
///
/// - Buffers are in the memory of the device. Tables of sizes are the host's
/// and
///   are read during the call.
/// - An operation is done when the stream gets to it; the call puts it there.
/// So
///   what goes wrong with it shows in wait() or in a later call.
/// - The order in which allReduce() adds up is NCCL's.
/// - barrier() is one of the hosts. It waits for no stream.
/// - Where NCCL does not know which rank is late, neither does the message.
/// - counters() count calls and bytes when they are put into the stream.
class NcclCommunicator : public Communicator {
public:
  /// A communicator of the ranks of `host`, which every one of them calls. By
  /// `host`, which has to outlive it, the ranks find each other, end the job,
  /// hear that it was ended and, with CommOptions::checkOrder, compare what
  /// they call and how much they send. `stream` is a CUstream of the context
  /// that is current. Errors: those of libraryVersion(); RankFailed when not
  /// all ranks come together within CommOptions::startTimeout.
  static Expected<std::unique_ptr<NcclCommunicator>>
  create(Communicator &host, void *stream, const CommOptions &options,
         const std::string &library = "");

  /// The version, as 22809 for 2.28.9, of the library that create() takes:
  /// `library`, or else what the environment variable DSV2_NCCL_LIBRARY names,
  /// or else libnccl.so.2. Errors: NotFound or Unsupported when NCCL 2.18 or
  /// later cannot be loaded.
  static Expected<int> libraryVersion(const std::string &library = "");

  /// Puts what is called from now on into `stream`. Operations of a
  /// communicator have to be done in the order of their calls, so what makes
  /// those streams wait for each other is up to the caller.
  virtual void useStream(void *stream) = 0;

  /// What was called last: "all_reduce 'mlp' of layer 3 (40960 bytes)".
  virtual std::string lastOperation() const = 0;

  /// Waits until `finished`, which asks how far the stream is, returns true;
  /// `what` is for messages. Fails when that fails, when NCCL reports an error,
  /// when the job is ended, and when `finished` has returned false for
  /// CommOptions::timeout. After a failure no operation of this communicator
  /// holds the stream up.
  virtual Status wait(const std::function<Expected<bool>()> &finished,
                      const std::string &what) = 0;
  Status wait(const std::function<Expected<bool>()> &finished) {
    return wait(finished, lastOperation());
  }

  /// Ok, or why the job has ended or has to: what NCCL reports without waiting.
  /// A failure is one of wait().
  virtual Status check() = 0;
};

} // namespace dsv2rt

#endif // DSV2RT_COMM_NCCL_H
