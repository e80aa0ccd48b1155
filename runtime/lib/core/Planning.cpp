//===- Planning.cpp - how much memory a session takes ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Planning.h"
#include "Support.h"

using namespace dsv2rt;

Expected<int64_t> dsv2rt::workspaceBytes(const Artifact &code,
                                         const StepSize &size,
                                         int64_t longest) {
  // The step may be run through either, or through one after the other.
  int64_t most = 0;
  for (const Artifact::Entry *entry :
       {&code.entryFor(longest), code.fixedEntryFor(longest)}) {
    if (!entry)
      continue;
    int64_t bytes = entry->workspace(size.tokens, size.sequences, size.rows,
                                     size.arrivals, size.keyRows);
    if (bytes < 0)
      return makeError(StatusCode::Internal, "entry '", entry->name,
                       "' asks for ", bytes, " bytes of workspace for ",
                       size.tokens, " tokens of ", size.sequences,
                       " sequences");
    most = std::max(most, bytes);
  }
  return most;
}

Status dsv2rt::completeOptions(const Artifact &artifact,
                               SessionOptions &options) {
  const Manifest::Limits &limits = artifact.manifest().limits;
  const struct {
    const char *name;
    int64_t value, low, high;
  } ranges[] = {
      {"context", options.maxContext, 0, limits.maxContext},
      {"sequences", options.maxSequences, 0, limits.maxBatch},
      {"cache positions", options.cachePositions, 0, int64_t(1) << 40},
      {"tokens of a step", options.stepTokens, 1, 1 << 24},
      {"check level", options.checkLevel, -1, 2},
  };
  for (const auto &range : ranges)
    if (range.value < range.low || range.value > range.high)
      return makeError(StatusCode::InvalidArgument, range.name, ": expected ",
                       range.low, " to ", range.high, ", found ", range.value);
  if (!options.maxSequences)
    options.maxSequences = limits.maxBatch;
  if (options.checkLevel < 0)
    options.checkLevel = options.device ? 0 : 1;
  return Status();
}

/// Makes the workspace of `plan` larger for rows of keys, those of `context`
/// positions at most, by no more than `room` bytes; `chunk` is the step that
/// has them.
static Status planKeyRows(const Artifact &artifact, StepSize chunk,
                          int64_t context, int64_t room, MemoryPlan &plan) {
  constexpr int64_t many = 1 << 20;
  int64_t bytes[2];
  for (int64_t &each : bytes) {
    Expected<int64_t> found = workspaceBytes(artifact, chunk, chunk.tokens);
    if (!found.ok())
      return found.status();
    each = found.value();
    chunk.keyRows += many;
  }
  int64_t own = chunk.tokens, more = std::max<int64_t>(context - own, 0);
  int64_t bytesPerRow = (bytes[1] - bytes[0]) / many;
  if (bytesPerRow > 0) {
    more = std::min(more, (plan.workspace - bytes[0] + room) / bytesPerRow);
    plan.workspace = std::max(plan.workspace, bytes[0] + more * bytesPerRow);
  }
  plan.keyRows = own + more;
  return Status();
}

Expected<MemoryPlan> dsv2rt::planMemory(const Artifact &artifact,
                                        const SessionOptions &options,
                                        const MemoryLimits &limits) {
  const Manifest &m = artifact.manifest();
  MemoryPlan plan;
  int64_t context =
      options.maxContext ? options.maxContext : m.limits.maxContext;
  int64_t chunk = std::min(options.stepTokens, context);
  int64_t batch = options.maxSequences;
  // The ranks of the ep axis share sequences and cache, but a chunk of one
  // sequence is one rank's alone.
  int64_t ranks = m.mesh.ep, own = (batch + ranks - 1) / ranks;
  // The two extremes: one sequence gives a whole chunk, or each gives one.
  const StepSize wholeChunk = {chunk, 1, 1, chunk, /*keyRows=*/chunk};
  struct {
    StepSize size;
    int64_t longest;
  } shapes[] = {{wholeChunk, chunk},
                {{std::max(chunk, own), own, own, std::max(chunk, batch),
                  std::max(chunk, own)},
                 std::max<int64_t>(chunk - batch + 1, 1)},
                {{own, own, own, batch, own}, 1}};
  for (const auto &shape : shapes) {
    Expected<int64_t> bytes =
        workspaceBytes(artifact, shape.size, shape.longest);
    if (!bytes.ok())
      return bytes.status();
    plan.workspace = std::max(plan.workspace, bytes.value());
  }
  // Its own, and behind them those of all ranks.
  plan.logits = (ranks > 1 ? own + batch : batch) * m.model.vocabSize * 4;
  plan.weights = limits.weights;

  int64_t page = m.cache.page, pageBytes = m.cache.bytesPerPage();
  auto blocks = [&](int64_t positions) {
    return (positions + page - 1) / page;
  };
  int64_t fixed = plan.workspace + plan.logits + limits.chargedWeights;
  int64_t budget = limits.budget;
  int64_t fitting = budget > fixed ? (budget - fixed) / pageBytes : 0;
  int64_t wanted = 0;
  if (options.cachePositions)
    wanted = (blocks(options.cachePositions) + ranks - 1) / ranks;
  else if (!mulFits(blocks(context), own, wanted))
    wanted = std::numeric_limits<int32_t>::max();
  wanted = std::min<int64_t>(wanted, std::numeric_limits<int32_t>::max());
  int64_t least = options.cachePositions ? wanted
                  : options.maxContext   ? blocks(context)
                                         : 1;
  if (fitting < least) {
    int64_t required = fixed + least * pageBytes;
    std::string advice;
    if (budget < limits.chargedWeights)
      advice =
          strCat("; the weights alone need ", bytesText(limits.chargedWeights));
    else if (fitting)
      advice =
          strCat("; the largest context that fits is ",
                 std::min(fitting * page, m.limits.maxContext), " positions");
    return makeError(
        StatusCode::OutOfMemory, "a cache of ", least * page, " positions (",
        m.cache.bytesPerToken(), " bytes each) does not fit: required ",
        bytesText(required), ", available ", bytesText(budget), limits.where,
        " (weights ", bytesText(plan.weights), ", cache ",
        bytesText(least * pageBytes), ", workspace ", bytesText(plan.workspace),
        ", logits ", bytesText(plan.logits), ")", advice);
  }
  if (m.prefillKeyRows) {
    // What a cache of the least size leaves is the cache's for the most part.
    int64_t room = (budget - fixed - least * pageBytes) / 8;
    fixed -= plan.workspace;
    Status status = planKeyRows(artifact, wholeChunk, context, room, plan);
    if (!status.ok())
      return status;
    fixed += plan.workspace;
    fitting = (budget - fixed) / pageBytes;
  }
  int64_t pages = std::min(wanted, fitting);
  plan.cachePositions = pages * page;
  plan.maxContext = std::min(context, plan.cachePositions);
  plan.cache = pages * pageBytes;
  return plan;
}
