//===- StepCollectives.h - what a step needs of other ranks -----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Compiled code calls collectives by the numbers of an axis and of a site. This
// is where the numbers meet the communicators, where what compiled code asks
// for is checked, and where the bytes that a rank sends are counted. Without
// other ranks the same calls copy on the spot.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_STEPCOLLECTIVES_H
#define DSV2RT_LIB_CORE_STEPCOLLECTIVES_H

#include "StepMemory.h"
#include "dsv2rt/Manifest.h"
#include "dsv2rt/Status.h"
#include "dsv2rt/Trace.h"
#include "dsv2rt/abi.h"
#include "dsv2rt/comm/Communicator.h"

#include <cstdint>
#include <vector>

namespace dsv2rt {

/// One axis of the mesh, as one rank sees it.
struct MeshAxis {
  /// The group of the ranks along the axis; null when this is the only one.
  Communicator *group = nullptr;
  int64_t index = 0;
  int64_t size = 1;
};

/// The collectives of one session's steps. The arguments are those of the
/// functions of abi.def. A call that fails ends the job; it and all later calls
/// of the step zero what they would have filled.
class StepCollectives {
public:
  /// For one rank alone, whose sites are those of `manifest`.
  explicit StepCollectives(const Manifest &manifest);

  /// For a rank of a mesh. `world` is the whole job, which a failure ends.
  StepCollectives(const Manifest &manifest, Communicator &world, MeshAxis tp,
                  MeshAxis ep);

  /// Shows every call in a timeline; null: in none.
  void setTrace(Trace *timeline) { trace = timeline; }

  /// Says that what compiled code exchanges is in `where`, which fits the
  /// communicators and has to live as long as steps are run; null: in the
  /// host's memory.
  void useMemory(StepMemory *where) { memory = where ? where : &hostMemory; }

  /// Exchanges by other communicators of the same ranks; null: there are no
  /// other ranks along the axis.
  void useGroups(Communicator *tp, Communicator *ep) {
    axes[DSV2RT_AXIS_TP].group = tp;
    axes[DSV2RT_AXIS_EP].group = ep;
  }

  /// Starts a step of `tokens` tokens over all ranks of the ep axis.
  void begin(int64_t tokens) {
    stepTokens = tokens;
    status = Status();
    overflow = started[0] = started[1] = false;
  }

  /// The first failure since begin().
  const Status &failure() const { return status; }

  /// Remembers a failure of this rank and ends the job.
  void fail(const Status &reason);

  /// Shows the other ranks that this one works.
  void alive() {
    if (world)
      world->alive();
  }

  /// Whether an exchange of fixed size was too small since begin().
  bool overflowed() const { return overflow; }

  int64_t meshIndex(int32_t axis);
  int64_t arrivals() const { return stepTokens; }
  void checkCapacity(int64_t layer, const int32_t *counts, int64_t count,
                     int64_t capacity);
  void allReduce(int32_t axis, int32_t site, int64_t layer, float *data,
                 int64_t count);
  void allGather(int32_t axis, int32_t site, int64_t layer, const void *send,
                 void *receive, int64_t rows, int64_t rowBytes,
                 int64_t receiveRowBytes);
  void allToAll(int32_t axis, int32_t site, int64_t layer, const void *send,
                void *receive, int64_t bytes);
  int64_t allToAllV(int32_t axis, int32_t site, int64_t layer, const void *send,
                    void *receive, int64_t rowBytes, const int32_t *sendRows,
                    const int32_t *receiveRows, int64_t capacityRows,
                    bool startOnly = false);
  /// Finishes what allToAllV() with `startOnly` has started on this axis.
  void wait(int32_t axis, int32_t site, int64_t layer, void *receive,
            int64_t rowBytes, int64_t capacityRows);

  /// Calls and bytes sent by this rank, for each of the manifest's commSites.
  const std::vector<CommCounters> &counters() const { return counts; }

private:
  /// What a call is about, or null after a failure of this or an earlier call.
  struct Call;
  bool open(Call &call, int32_t axis, int32_t site, int64_t layer,
            const char *kind);
  void close(const Call &call, const Status &result);
  void finish(const Call &call, const Status &result);
  template <class... Parts> void refuse(const Call &call, Parts &&...parts);
  Status reduce(const Call &call, float *data, int64_t count);
  Status gather(const Call &call, const void *send, void *receive, int64_t rows,
                int64_t rowBytes, int64_t receiveRowBytes);
  /// Exchanges `sendBytes` and `receiveBytes`, which are as long as the axis.
  Status exchange(const Call &call, const void *send, void *receive,
                  bool startOnly = false);
  Status finishExchange(const Call &call, int32_t axis, void *receive);
  void clear(void *data, int64_t bytes);

  const Manifest &manifest;
  Communicator *world = nullptr;
  StepMemory hostMemory;
  StepMemory *memory = &hostMemory;
  MeshAxis axes[2];
  Trace *trace = nullptr;
  int64_t stepTokens = 0;
  bool overflow = false;
  /// Whether an exchange has been started on an axis and not finished.
  bool started[2] = {};
  /// Bytes that the exchange receives which was started on an axis.
  int64_t startedBytes[2] = {};
  Status status;
  std::vector<CommCounters> counts;
  /// Bytes to and from every rank; kept to keep their memory.
  std::vector<int64_t> sendBytes, receiveBytes;
};

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_STEPCOLLECTIVES_H
