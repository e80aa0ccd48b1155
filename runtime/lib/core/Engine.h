//===- Engine.h - where a session computes ----------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A session knows sequences, pages and what a step consists of; an engine owns
// the memory that compiled code works in and calls the code. There is one for
// the host and one for devices (runtime/lib/cuda).
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_ENGINE_H
#define DSV2RT_LIB_CORE_ENGINE_H

#include "Support.h"
#include "TapSink.h"
#include "dsv2rt/Artifact.h"
#include "dsv2rt/PackedWeights.h"
#include "dsv2rt/Session.h"
#include "dsv2rt/Status.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace dsv2rt {

class StepCollectives;

/// How the tokens of one sequence are chosen in a chain of steps.
struct ChainRow {
  dsv2rt_sampling_row sampling = {};
  /// The tokens that have occurred, where there is a penalty.
  std::vector<int32_t> history;
};

/// The tokens of one step as step functions take them (abi.h), in host memory.
struct StepLayout {
  std::vector<int32_t> tokens, positions, seqIds, seqStarts, tables, rows;
  /// Entries of one sequence in `tables`, at least 1.
  int64_t tableWidth = 1;
  /// Tokens of the step over all ranks of the ep axis.
  int64_t arrivals = 0;
  /// As of dsv2rt_key_rows.
  int64_t keyRows = 0;

  int64_t sequences() const { return int64_t(seqStarts.size()) - 1; }
};

/// Runs the steps of one session. A failed call of reserve(), reserveStep() or
/// copyPages() has changed nothing that a session can see.
class Engine {
public:
  virtual ~Engine() = default;

  /// Reserves what `plan` says; the cache is zero.
  virtual Status reserve(const MemoryPlan &plan) = 0;

  /// Makes sure that there is room for a step with this many bytes of workspace
  /// and this many rows of logits.
  virtual Status reserveStep(int64_t workspace, int64_t rows) = 0;

  /// Copies page from[i] to page to[i] in all layers; no page is in both.
  virtual Status copyPages(const std::vector<int32_t> &from,
                           const std::vector<int32_t> &to) = 0;

  /// Zeroes a page in all layers.
  virtual Status clearPage(int32_t page) = 0;

  /// How wide block tables of at least `needed` entries should be.
  virtual int64_t tableWidth(int64_t needed) const { return needed; }

  /// Calls `entry` on a step and waits for its logits. `taps` gets host memory;
  /// it is called for sites of up to `level`.
  virtual Status run(const Artifact::Entry &entry, const StepLayout &step,
                     TapSink &taps, int level) = 0;

  /// f32 [rows, vocabulary] of the last step, in host memory.
  virtual const float *logits() const = 0;

  /// Seconds that the device spent on the kernels of the last step; 0 where
  /// that is not measured.
  virtual double deviceSeconds() const { return 0; }

  /// Whether the last step repeated the launches of an earlier one.
  virtual bool replayed() const { return false; }

  // A chain of steps, each of which gives every sequence the token that the
  // step before has chosen for it. They follow each other without the host,
  // which learns of the tokens later.

  /// Steps of a chain that can be under way; 0: this engine has no chains.
  virtual int64_t chainDepth() const { return 0; }

  /// Begins a chain with `step`, which has one token and one row of logits of
  /// every sequence, and pages for all the positions that the chain will come
  /// to. Nothing else is run before endChain().
  virtual Status beginChain(const Artifact::Entry & /*entry*/,
                            const StepLayout & /*step*/,
                            const std::vector<ChainRow> & /*rows*/) {
    return makeError(StatusCode::Internal, "this engine has no chains");
  }

  /// Puts one more step on its way, of at most chainDepth().
  virtual Status pushStep() { return Status(); }

  /// Waits for the first step that is under way. `chosen` gets what abi.h says
  /// of dsv2rt_sample_fn's result.
  virtual Status takeStep(std::vector<int32_t> & /*chosen*/) {
    return Status();
  }

  /// Waits for what is still under way, whatever it gives.
  virtual Status endChain() { return Status(); }
};

/// An engine that calls `artifact`, which is for the CPU, on `threads` threads
/// (0: as many as are set). `purpose` is added to the names of memory in
/// messages. `collectives`, which has to outlive the engine, is what steps
/// reach other ranks by; null for a rank alone.
std::unique_ptr<Engine>
makeHostEngine(std::shared_ptr<const Artifact> artifact,
               std::shared_ptr<const PackedWeights> weights, int threads,
               const std::string &purpose = "",
               StepCollectives *collectives = nullptr);

/// Pages of the cache that `plan` has room for.
inline int64_t plannedPages(const MemoryPlan &plan, const Manifest &manifest) {
  return plan.cachePositions / manifest.cache.page;
}

/// The cache at `base` as step functions take it.
dsv2rt_memref4d cacheReference(const Manifest &manifest, void *base,
                               int64_t pages);

/// The arrays of `step` as step functions take them, where `place` gives the
/// address that compiled code has for a vector of the step.
struct StepArguments {
  dsv2rt_memref1d tokens, positions, seqIds, seqStarts, rows;
  dsv2rt_memref2d tables;

  template <class Place>
  StepArguments(const StepLayout &step, Place &&place)
      : tokens(vector(step.tokens, place)),
        positions(vector(step.positions, place)),
        seqIds(vector(step.seqIds, place)),
        seqStarts(vector(step.seqStarts, place)),
        rows(vector(step.rows, place)) {
    int32_t *base = place(step.tables);
    int64_t width = step.tableWidth;
    tables = {base, base, 0, {step.sequences(), width}, {width, 1}};
  }

private:
  template <class Place>
  static dsv2rt_memref1d vector(const std::vector<int32_t> &values,
                                Place &&place) {
    int32_t *base = place(values);
    return {base, base, 0, {int64_t(values.size())}, {1}};
  }
};

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_ENGINE_H
