//===- SessionImpl.h - what a session consists of ---------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_SESSIONIMPL_H
#define DSV2RT_LIB_CORE_SESSIONIMPL_H

#include "CommChoice.h"
#include "Engine.h"
#include "LargestLogits.h"
#include "Planning.h"
#include "ReferenceCheck.h"
#include "SessionMesh.h"
#include "StepStream.h"
#include "Support.h"
#include "dsv2rt/PageAllocator.h"
#include "dsv2rt/Session.h"

#include <unordered_map>

namespace dsv2rt {

/// Positions of one sequence and the pages that hold them.
struct Sequence {
  int64_t length = 0;
  /// The index of the ep axis whose ranks compute it, and whose pages it has.
  int64_t owner = 0;
  std::vector<int32_t> pages;
  bool failed = false;
};

/// What a session consists of. It is the receiver of its engine's taps.
struct Session::Impl : public TapSink {
  std::shared_ptr<const Artifact> artifact;
  std::shared_ptr<const PackedWeights> weights;
  SessionOptions options;
  MemoryPlan plan;
  StepStats stats;

  /// Outlives the engine, whose steps use its collectives.
  std::unique_ptr<SessionMesh> mesh;
  CommChoice comm;
  /// Of a device; it too is used until the engine is gone.
  std::unique_ptr<cuda::StepStream> stream;
  std::unique_ptr<Engine> engine;
  /// The same for the reference, and what its values are compared by; null
  /// without a comparison.
  std::unique_ptr<Engine> referenceEngine;
  std::unique_ptr<ReferenceCheck> check;
  std::shared_ptr<const Artifact> reference;
  /// Why no step can be taken any more.
  Status broken;
  /// The pages of every owner; this rank has the memory of its own alone.
  std::vector<PageAllocator> allocators;
  std::unordered_map<SequenceId, Sequence> sequences;
  SequenceId nextId = 1;

  // The current step; kept to keep its memory.
  StepLayout layout;
  std::vector<int32_t> copyFrom, copyTo;
  std::vector<Sequence *> stepSequences;
  /// Which of them are this rank's, and the rows of logits of every owner.
  std::vector<size_t> ownInputs;
  std::vector<int64_t> ownerRows, ownerTokens;
  /// By input, whoever the sequence belongs to.
  std::vector<Finding> findings;
  int64_t checkedTaps = 0;
  /// What the ranks have to agree on in this step.
  uint64_t agreement = 0;
  /// Set when a step is refused for what all ranks know.
  bool refused = false;
  std::vector<int64_t> pagesNeeded;
  const float *stepLogits = nullptr;
  /// Of this rank's rows of logits.
  LargestLogits largest;
  /// The first value that belongs to no single sequence.
  Finding unattributed;
  int64_t lastMark = 0;

  const Manifest &manifest() const { return artifact->manifest(); }
  int64_t page() const { return manifest().cache.page; }
  int64_t blocks(int64_t positions) const {
    return (positions + page() - 1) / page();
  }

  bool isOwn(const Sequence &sequence) const {
    return sequence.owner == mesh->self();
  }
  PageAllocator &pagesOf(const Sequence &sequence) {
    return allocators[sequence.owner];
  }
  int64_t nextOwner() const;

  Expected<MemoryLimits> findLimits();
  Expected<MemoryLimits> findDeviceLimits();
  Status create();
  Status openStream();
  Status createReference();
  void releasePages(Sequence &sequence, size_t keep, bool clear);

  Status checkInputs(const StepInput *inputs, size_t count);
  Status checkPages(const StepInput *inputs, size_t count);
  Status reserveStep(const Artifact &code, Engine &engine, int64_t longest);
  void layOut(const StepInput *inputs, size_t count);
  int64_t longestFor(const StepInput *inputs, size_t count) const;
  Status ownPages();
  void assignPages(const StepInput *inputs, size_t count);
  Status step(const StepInput *inputs, size_t count, StepOutput *outputs);
  Status failStep(const Status &reason);
  const Artifact::Entry &chooseEntry(int64_t longest) const;
  void clearFindings();
  Status run(int64_t longest);
  Status exchange();
  Status compare(int64_t longest);
  void report(const StepInput *inputs, size_t count, StepOutput *outputs);

  bool decodesAlone() const;
  Expected<std::vector<ChainRow>> chainRows(const DecodeInput *inputs,
                                            size_t count) const;
  Status runChain(const std::vector<ChainRow> &rows,
                  const Artifact::Entry &entry, int64_t numSteps,
                  std::vector<DecodeOutput> &outputs, const OnDecode &onStep);
  Status decode(const DecodeInput *inputs, size_t count, int64_t steps,
                const OnDecode &onStep);

  std::string siteText(const Finding &finding) const;

  void tap(int32_t site, int64_t layer, void *data, int64_t rows,
           int64_t columns, int64_t rowStride, int32_t dtype) override;
};

/// The failure to find a sequence.
inline Status unknownSequence(SequenceId id) {
  return makeError(StatusCode::InvalidArgument, "there is no sequence ", id);
}

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_SESSIONIMPL_H
