//===- SessionMesh.h - a session's place among the ranks --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_SESSIONMESH_H
#define DSV2RT_LIB_CORE_SESSIONMESH_H

#include "StepCollectives.h"
#include "dsv2rt/Artifact.h"
#include "dsv2rt/Buffer.h"
#include "dsv2rt/PackedWeights.h"
#include "dsv2rt/Session.h"
#include "dsv2rt/Status.h"
#include "dsv2rt/comm/Communicator.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace dsv2rt {

namespace cuda {
class StepStream;
} // namespace cuda

/// The first value of a sequence that was not finite. Ranks exchange it as it
/// lies in memory.
struct Finding {
  int32_t site = -1;
  int32_t unused = 0;
  int64_t layer = 0;
  /// How many checked taps the step had before.
  int64_t order = 0;

  bool found() const { return site >= 0; }
  /// Takes `other` if this has found nothing or something later in the step.
  void merge(const Finding &other) {
    if (other.found() && (!found() || other.order < order))
      *this = other;
  }
};

/// A running hash of what ranks have to agree on (FNV-1a, 64 bits).
class Agreement {
public:
  void add(const void *data, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i)
      hash = (hash ^ static_cast<const uint8_t *>(data)[i]) * 0x100000001b3;
  }
  void add(int64_t number) { add(&number, sizeof(number)); }
  uint64_t value() const { return hash; }

private:
  uint64_t hash = 0xcbf29ce484222325;
};

/// The ranks that a session works with, from the point of view of one of them.
class SessionMesh {
public:
  /// Checks that `world` is as large as the artifact's mesh and forms the
  /// groups of its axes. Errors: InvalidArgument naming both numbers;
  /// Unsupported for what works on a rank alone; those of Communicator.
  static Expected<std::unique_ptr<SessionMesh>>
  create(const Artifact &artifact, const PackedWeights &weights,
         const SessionOptions &options);

  /// Whether there are no other ranks.
  bool alone() const { return !world; }
  /// Indices of the ep axis, and this rank's.
  int64_t owners() const { return ep.size; }
  int64_t self() const { return ep.index; }

  StepCollectives &collectives() { return *exchange; }

  /// Makes communicators of NCCL for the axes, on `stream`, and lets steps use
  /// them. `stream` has to outlive all steps. Errors: those of
  /// NcclCommunicator.
  Status useNccl(cuda::StepStream &stream, const std::string &library);

  /// The least of what ranks have for a session, in bytes, each having
  /// `available` for all ranks on its host or device, or for itself alone if
  /// `own`.
  /// Errors: InvalidArgument when the ranks' `options` differ.
  Expected<int64_t> agreeOnBudget(const Artifact &artifact,
                                  const SessionOptions &options,
                                  int64_t available, bool own);

  /// Whether any rank's exchanges of fixed size were too small in the last
  /// step.
  Expected<bool> anyOverflow();

  /// Brings the findings of all ranks together. Errors: InvalidArgument when
  /// the ranks' steps differ in what `agreement` has seen.
  Status mergeFindings(uint64_t agreement, int64_t step,
                       std::vector<Finding> &findings, Finding &unattributed);

  /// Makes room for so many bytes of logits of all owners.
  Status reserveLogits(int64_t bytes);

  /// The logits of all owners, one owner's after the other's; `rows[e]` rows of
  /// `rowBytes` bytes are those of owner e, and this rank's are at `own`. Valid
  /// until the next call.
  Expected<const float *> gatherLogits(const float *own,
                                       const std::vector<int64_t> &rows,
                                       int64_t rowBytes);

  /// Ends the job for a failure of this rank, and returns why the job ended.
  Status fail(const Status &reason);

  /// Shows the others that this rank works.
  void alive() {
    if (world)
      world->alive();
  }

  /// What this rank has sent in steps.
  std::vector<CommSiteCounters> counters() const;

private:
  SessionMesh() = default;
  Status connect(const Manifest &manifest);

  const Manifest *manifest = nullptr;
  std::shared_ptr<Communicator> world;
  /// Null where the world itself is the group, or the axis has one rank.
  std::unique_ptr<Communicator> tpGroup, epGroup;
  MeshAxis tp, ep;
  std::unique_ptr<StepCollectives> exchange;
  CommCounters findingCounts, logitCounts;
  std::vector<char> sent, received;
  Buffer logits;
};

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_SESSIONMESH_H
