//===- Session.cpp - sequences, their cache, and steps --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Session.h"
#include "ReferenceCheck.h"
#include "Support.h"
#include "dsv2rt/Buffer.h"
#include "dsv2rt/PageAllocator.h"
#include "dsv2rt/Threads.h"
#include "dsv2rt/Trace.h"

#include <chrono>
#include <cstring>
#include <unordered_map>

using namespace dsv2rt;

namespace {

/// Positions of one sequence and the pages that hold them.
struct Sequence {
  int64_t length = 0;
  std::vector<int32_t> pages;
  bool failed = false;
};

/// The first value of a sequence that was not finite.
struct Finding {
  int32_t site = -1;
  int64_t layer = 0;
};

} // namespace

struct Session::Impl : public TapSink {
  std::shared_ptr<const Artifact> artifact;
  std::shared_ptr<const PackedWeights> weights;
  SessionOptions options;
  MemoryPlan plan;
  StepStats stats;

  /// What compiled code computes in.
  struct Memory {
    Buffer cache, workspace, logits;
  };
  Memory memory;
  /// The same for the reference, and what its values are compared by; null
  /// without a comparison.
  Memory referenceMemory;
  std::unique_ptr<ReferenceCheck> check;
  std::shared_ptr<const Artifact> reference;
  PageAllocator allocator;
  std::unordered_map<SequenceId, Sequence> sequences;
  SequenceId nextId = 1;

  // The arguments of the current step; kept to keep their memory.
  std::vector<int32_t> tokens, positions, seqIds, seqStarts, tables, rows;
  std::vector<int32_t> copyFrom, copyTo;
  std::vector<Sequence *> stepSequences;
  std::vector<Finding> findings;
  /// The first value that belongs to no single sequence.
  Finding unattributed;
  int64_t lastMark = 0;

  const Manifest &manifest() const { return artifact->manifest(); }
  int64_t page() const { return manifest().cache.page; }
  int64_t blocks(int64_t positions) const {
    return (positions + page() - 1) / page();
  }

  Status makePlan();
  static Expected<int64_t> workspaceBytes(const Artifact &code, int64_t tokens,
                                          int64_t sequences, int64_t rows,
                                          int64_t longest);
  Status reserve();
  void releasePages(Sequence &sequence, size_t keep, bool clear);
  Status reserveReference();
  dsv2rt_memref4d cacheRef(const Memory &memory) const;

  Status checkInputs(const StepInput *inputs, size_t count);
  Status checkPages(const StepInput *inputs, size_t count);
  Status reserveStep(const Artifact &code, Memory &memory, int64_t longest);
  void layOut(const StepInput *inputs, size_t count);
  int64_t assignPages(const StepInput *inputs, size_t count);
  Status step(const StepInput *inputs, size_t count, StepOutput *outputs);
  void run(const Artifact::Entry &entry, const PackedWeights &weights,
           Memory &memory, TapSink &taps, int level);
  Status compare(int64_t longest);
  void report(const StepInput *inputs, size_t count, StepOutput *outputs);
  std::string siteText(const Finding &finding) const;

  void tap(int32_t site, int64_t layer, void *data, int64_t rows,
           int64_t columns, int64_t rowStride, int32_t dtype) override;
};

//===----------------------------------------------------------------------===//
// Planning
//===----------------------------------------------------------------------===//

Expected<int64_t> Session::Impl::workspaceBytes(const Artifact &code,
                                                int64_t tokens,
                                                int64_t sequences, int64_t rows,
                                                int64_t longest) {
  const Artifact::Entry &entry = code.entryFor(longest);
  int64_t bytes = entry.workspace(tokens, sequences, rows);
  if (bytes < 0)
    return makeError(StatusCode::Internal, "entry '", entry.name, "' asks for ",
                     bytes, " bytes of workspace for ", tokens, " tokens of ",
                     sequences, " sequences");
  return bytes;
}

Status Session::Impl::makePlan() {
  const Manifest &m = manifest();
  auto inRange = [](const char *name, int64_t value, int64_t low,
                    int64_t high) {
    if (value >= low && value <= high)
      return Status();
    return makeError(StatusCode::InvalidArgument, name, ": expected ", low,
                     " to ", high, ", found ", value);
  };
  Status status =
      inRange("context", options.maxContext, 0, m.limits.maxContext);
  if (status.ok())
    status = inRange("sequences", options.maxSequences, 0, m.limits.maxBatch);
  if (status.ok())
    status =
        inRange("cache positions", options.cachePositions, 0, int64_t(1) << 40);
  if (status.ok())
    status = inRange("tokens of a step", options.stepTokens, 1, 1 << 24);
  if (status.ok())
    status = inRange("check level", options.checkLevel, 0, 2);
  if (!status.ok())
    return status;
  if (!options.maxSequences)
    options.maxSequences = m.limits.maxBatch;

  int64_t context =
      options.maxContext ? options.maxContext : m.limits.maxContext;
  int64_t chunk = std::min(options.stepTokens, context);
  int64_t batch = options.maxSequences;
  // The two extremes: one sequence gives a whole chunk, or each gives one.
  struct {
    int64_t tokens, sequences, rows, longest;
  } shapes[] = {{chunk, 1, 1, chunk},
                {std::max(chunk, batch), batch, batch,
                 std::max<int64_t>(chunk - batch + 1, 1)},
                {batch, batch, batch, 1}};
  for (const auto &shape : shapes) {
    Expected<int64_t> bytes = workspaceBytes(
        *artifact, shape.tokens, shape.sequences, shape.rows, shape.longest);
    if (!bytes.ok())
      return bytes.status();
    plan.workspace = std::max(plan.workspace, bytes.value());
  }
  plan.logits = batch * m.model.vocabSize * 4;
  plan.weights = weights->bytes();

  // Weights that are mapped are there already or can be paged in; they count
  // only against a budget that the caller gave for everything.
  int64_t fixed =
      plan.workspace + plan.logits + (options.memoryBudget ? plan.weights : 0);
  int64_t budget = options.memoryBudget ? options.memoryBudget
                                        : int64_t(availableMemory() / 8 * 7);
  int64_t pageBytes = m.cache.bytesPerPage();
  int64_t fitting = budget > fixed ? (budget - fixed) / pageBytes : 0;
  int64_t wanted = 0;
  if (options.cachePositions)
    wanted = blocks(options.cachePositions);
  else if (!mulFits(blocks(context), batch, wanted))
    wanted = std::numeric_limits<int32_t>::max();
  wanted = std::min<int64_t>(wanted, std::numeric_limits<int32_t>::max());
  int64_t least = options.cachePositions ? wanted
                  : options.maxContext   ? blocks(context)
                                         : 1;
  if (fitting < least) {
    int64_t required = fixed + least * pageBytes;
    std::string advice;
    if (options.memoryBudget && budget < plan.weights)
      advice = strCat("; the weights alone need ", bytesText(plan.weights));
    else if (fitting)
      advice =
          strCat("; the largest context that fits is ",
                 std::min(fitting * page(), m.limits.maxContext), " positions");
    return makeError(
        StatusCode::OutOfMemory, "a cache of ", least * page(), " positions (",
        m.cache.bytesPerToken(), " bytes each) does not fit: required ",
        bytesText(required), ", available ", bytesText(budget), " (weights ",
        bytesText(plan.weights), ", workspace ", bytesText(plan.workspace),
        ", logits ", bytesText(plan.logits), ")", advice);
  }
  int64_t pages = std::min(wanted, fitting);
  plan.cachePositions = pages * page();
  plan.maxContext = std::min(context, plan.cachePositions);
  plan.cache = pages * pageBytes;
  return Status();
}

Status Session::Impl::reserve() {
  Status status = memory.cache.reserve(plan.cache, "the latent cache");
  if (status.ok())
    status = memory.workspace.reserve(std::max<int64_t>(plan.workspace, 64),
                                      "the workspace");
  if (status.ok())
    status = memory.logits.reserve(plan.logits, "the logits");
  if (status.ok())
    allocator = PageAllocator(int32_t(plan.cachePositions / page()));
  if (status.ok() && options.referenceWeights)
    status = reserveReference();
  return status;
}

/// The reference gets a cache of its own, with the same pages.
Status Session::Impl::reserveReference() {
  reference = Artifact::referenceOf(artifact);
  if (!reference)
    return makeError(StatusCode::Unsupported, "artifact ",
                     quote(artifact->path()),
                     " carries no reference lowering to compare with");
  const Manifest &own = manifest(), &other = reference->manifest();
  if (other.cache.bytesPerPage() != own.cache.bytesPerPage() ||
      other.cache.page != own.cache.page ||
      other.cache.layers != own.cache.layers ||
      other.model.vocabSize != own.model.vocabSize)
    return makeError(StatusCode::CorruptData, "artifact ",
                     quote(artifact->path()),
                     ": expected a reference of the same model, found another "
                     "cache or vocabulary");
  check = std::make_unique<ReferenceCheck>(other, own);
  return referenceMemory.cache.reserve(plan.cache,
                                       "the latent cache of the reference");
}

Session::Session(std::unique_ptr<Impl> impl) : impl(std::move(impl)) {}
Session::~Session() = default;

Expected<std::unique_ptr<Session>>
Session::create(std::shared_ptr<const Artifact> artifact,
                std::shared_ptr<const PackedWeights> weights,
                const SessionOptions &options) {
  return guarded([&]() -> Expected<std::unique_ptr<Session>> {
    auto impl = std::make_unique<Impl>();
    impl->artifact = std::move(artifact);
    impl->weights = std::move(weights);
    impl->options = options;
    Status status = impl->makePlan();
    if (status.ok())
      status = impl->reserve();
    if (!status.ok())
      return status;
    return std::unique_ptr<Session>(new Session(std::move(impl)));
  });
}

const Artifact &Session::artifact() const { return *impl->artifact; }
const MemoryPlan &Session::plan() const { return impl->plan; }
const Session::StepStats &Session::lastStep() const { return impl->stats; }
ReferenceReport Session::referenceReport() const {
  return impl->check ? impl->check->report() : ReferenceReport();
}
int64_t Session::availablePages() const { return impl->allocator.available(); }
int64_t Session::pages() const { return impl->allocator.pages(); }

//===----------------------------------------------------------------------===//
// Sequences
//===----------------------------------------------------------------------===//

static Status unknownSequence(SequenceId id) {
  return makeError(StatusCode::InvalidArgument, "there is no sequence ", id);
}

Expected<SequenceId> Session::addSequence() {
  return guarded([&]() -> Expected<SequenceId> {
    SequenceId id = impl->nextId++;
    impl->sequences[id];
    return id;
  });
}

Expected<SequenceId> Session::fork(SequenceId parent, int64_t length) {
  return guarded([&]() -> Expected<SequenceId> {
    auto it = impl->sequences.find(parent);
    if (it == impl->sequences.end())
      return unknownSequence(parent);
    if (length < 0 || length > it->second.length)
      return makeError(StatusCode::InvalidArgument, "sequence ", parent,
                       " has ", it->second.length,
                       " positions, cannot share the first ", length);
    Sequence child;
    child.length = length;
    child.pages.assign(it->second.pages.begin(),
                       it->second.pages.begin() + impl->blocks(length));
    SequenceId id = impl->nextId++;
    Sequence &added = impl->sequences[id];
    for (int32_t page : child.pages)
      impl->allocator.retain(page);
    added = std::move(child);
    return id;
  });
}

/// Gives back all pages but the first `keep`. With `clear`, pages that nobody
/// else uses are zeroed: what follows a sequence's end in its last page is
/// whatever was there before, and must not be a NaN.
void Session::Impl::releasePages(Sequence &sequence, size_t keep, bool clear) {
  while (sequence.pages.size() > keep) {
    int32_t page = sequence.pages.back();
    sequence.pages.pop_back();
    if (!allocator.release(page) || !clear)
      continue;
    const Manifest::Cache &shape = manifest().cache;
    int64_t bytes = shape.bytesPerPage() / shape.layers;
    for (int64_t layer = 0; layer < shape.layers; ++layer)
      std::memset(static_cast<char *>(memory.cache.data()) +
                      (layer * allocator.pages() + page) * bytes,
                  0, bytes);
  }
}

Status Session::truncate(SequenceId id, int64_t length) {
  auto it = impl->sequences.find(id);
  if (it == impl->sequences.end())
    return unknownSequence(id);
  if (length < 0 || length > it->second.length)
    return makeError(StatusCode::InvalidArgument, "sequence ", id, " has ",
                     it->second.length, " positions, cannot keep ", length);
  it->second.length = length;
  impl->releasePages(it->second, impl->blocks(length), /*clear=*/false);
  return Status();
}

Status Session::removeSequence(SequenceId id) {
  auto it = impl->sequences.find(id);
  if (it == impl->sequences.end())
    return unknownSequence(id);
  impl->releasePages(it->second, 0, /*clear=*/false);
  impl->sequences.erase(it);
  return Status();
}

int64_t Session::length(SequenceId id) const {
  auto it = impl->sequences.find(id);
  return it == impl->sequences.end() ? -1 : it->second.length;
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

Status Session::Impl::checkInputs(const StepInput *inputs, size_t count) {
  if (count == 0)
    return makeError(StatusCode::InvalidArgument,
                     "a step needs at least one sequence");
  if (int64_t(count) > manifest().limits.maxBatch)
    return makeError(StatusCode::InvalidArgument, "a step of ", count,
                     " sequences, the artifact takes at most ",
                     manifest().limits.maxBatch);
  stepSequences.clear();
  int64_t total = 0;
  for (size_t i = 0; i < count; ++i) {
    const StepInput &input = inputs[i];
    auto it = sequences.find(input.sequence);
    if (it == sequences.end())
      return unknownSequence(input.sequence);
    Sequence &sequence = it->second;
    if (sequence.failed)
      return makeError(StatusCode::InvalidArgument, "sequence ", input.sequence,
                       " failed in an earlier step and can only be removed");
    for (const Sequence *other : stepSequences)
      if (other == &sequence)
        return makeError(StatusCode::InvalidArgument, "sequence ",
                         input.sequence, " occurs twice in one step");
    if (input.count < 1 || !input.tokens)
      return makeError(StatusCode::InvalidArgument, "sequence ", input.sequence,
                       ": expected at least one token, found ", input.count);
    if (input.count > plan.maxContext - sequence.length)
      return makeError(
          StatusCode::ContextLengthExceeded, "sequence ", input.sequence,
          ": context_length_exceeded: ", sequence.length, " positions and ",
          input.count, " more tokens, n_ctx is ", plan.maxContext);
    for (int64_t j = 0; j < input.count; ++j)
      if (input.tokens[j] < 0 || input.tokens[j] >= manifest().model.vocabSize)
        return makeError(
            StatusCode::InvalidArgument, "token ", j, " for sequence ",
            input.sequence, ": expected an id from 0 to ",
            manifest().model.vocabSize - 1, ", found ", input.tokens[j]);
    total += input.count;
    stepSequences.push_back(&sequence);
  }
  if (total > std::numeric_limits<int32_t>::max())
    return makeError(StatusCode::InvalidArgument, "a step of ", total,
                     " tokens, expected at most ",
                     std::numeric_limits<int32_t>::max());
  return Status();
}

/// Checks that the pages a step will take are there, so that taking them
/// cannot fail half-way.
Status Session::Impl::checkPages(const StepInput *inputs, size_t count) {
  int64_t needed = 0;
  for (size_t i = 0; i < count; ++i) {
    const Sequence &sequence = *stepSequences[i];
    needed += blocks(sequence.length + inputs[i].count) -
              int64_t(sequence.pages.size());
    if (sequence.length % page() &&
        allocator.users(sequence.pages[sequence.length / page()]) > 1)
      ++needed;
  }
  if (needed <= allocator.available())
    return Status();
  int64_t pageBytes = manifest().cache.bytesPerPage();
  return makeError(
      StatusCode::OutOfMemory, "the latent cache is full: required ", needed,
      " pages of ", page(), " positions (", bytesText(needed * pageBytes),
      "), available ", allocator.available(), " of ", allocator.pages(), " (",
      bytesText(allocator.available() * pageBytes), ")");
}

/// Lays tokens, positions, sequence numbers and wanted rows out as the step
/// functions take them.
void Session::Impl::layOut(const StepInput *inputs, size_t count) {
  tokens.clear(), positions.clear(), seqIds.clear(), seqStarts.clear();
  rows.clear();
  for (size_t i = 0; i < count; ++i) {
    const StepInput &input = inputs[i];
    seqStarts.push_back(int32_t(tokens.size()));
    for (int64_t j = 0; j < input.count; ++j) {
      bool wanted = input.logits == LogitRows::All ||
                    (input.logits == LogitRows::Last && j == input.count - 1);
      if (wanted)
        rows.push_back(int32_t(tokens.size()));
      tokens.push_back(input.tokens[j]);
      positions.push_back(int32_t(stepSequences[i]->length + j));
      seqIds.push_back(int32_t(i));
    }
  }
  seqStarts.push_back(int32_t(tokens.size()));
}

Status Session::Impl::reserveStep(const Artifact &code, Memory &memory,
                                  int64_t longest) {
  Expected<int64_t> bytes = workspaceBytes(
      code, tokens.size(), stepSequences.size(), rows.size(), longest);
  if (!bytes.ok())
    return bytes.status();
  Status status =
      memory.workspace.reserve(bytes.value(), "the workspace of a step");
  if (status.ok())
    status = memory.logits.reserve(uint64_t(rows.size()) *
                                       uint64_t(manifest().model.vocabSize) * 4,
                                   "the logits of a step");
  return status;
}

dsv2rt_memref4d Session::Impl::cacheRef(const Memory &memory) const {
  const Manifest::Cache &shape = manifest().cache;
  int64_t width = shape.latent + shape.rope;
  int64_t pages = allocator.pages();
  return {memory.cache.data(),
          memory.cache.data(),
          0,
          {shape.layers, pages, shape.page, width},
          {pages * shape.page * width, shape.page * width, width, 1}};
}

/// Gives every sequence pages of its own for its new positions and fills in
/// the block tables. Returns how many pages were copied.
int64_t Session::Impl::assignPages(const StepInput *inputs, size_t count) {
  copyFrom.clear(), copyTo.clear();
  int64_t width = 1;
  for (size_t i = 0; i < count; ++i) {
    Sequence &sequence = *stepSequences[i];
    int64_t firstBlock = sequence.length / page();
    if (sequence.length % page()) {
      int32_t &shared = sequence.pages[firstBlock];
      if (allocator.users(shared) > 1) {
        int32_t own = allocator.allocate();
        copyFrom.push_back(shared);
        copyTo.push_back(own);
        allocator.release(shared);
        shared = own;
      }
    }
    int64_t needed = blocks(sequence.length + inputs[i].count);
    while (int64_t(sequence.pages.size()) < needed)
      sequence.pages.push_back(allocator.allocate());
    width = std::max(width, needed);
  }
  if (!copyFrom.empty()) {
    int64_t copies = int64_t(copyFrom.size());
    dsv2rt_memref1d from = {copyFrom.data(), copyFrom.data(), 0, {copies}, {1}};
    dsv2rt_memref1d to = {copyTo.data(), copyTo.data(), 0, {copies}, {1}};
    dsv2rt_memref4d pages = cacheRef(memory);
    artifact->copyPages()(&pages, &from, &to);
    if (check) {
      pages = cacheRef(referenceMemory);
      reference->copyPages()(&pages, &from, &to);
    }
  }
  // Entries past a sequence's last block stay 0, a valid page.
  tables.assign(count * width, 0);
  for (size_t i = 0; i < count; ++i)
    std::copy(stepSequences[i]->pages.begin(), stepSequences[i]->pages.end(),
              tables.begin() + i * width);
  return int64_t(copyFrom.size());
}

/// Calls `entry` on the step that is laid out.
void Session::Impl::run(const Artifact::Entry &entry,
                        const PackedWeights &weights, Memory &memory,
                        TapSink &taps, int level) {
  Buffer &workspace = memory.workspace, &logits = memory.logits;
  auto vector = [](std::vector<int32_t> &values) {
    return dsv2rt_memref1d{
        values.data(), values.data(), 0, {int64_t(values.size())}, {1}};
  };
  int64_t count = int64_t(stepSequences.size());
  int64_t width = int64_t(tables.size()) / count;
  int64_t vocabulary = manifest().model.vocabSize;
  dsv2rt_memref1d tokenRef = vector(tokens), positionRef = vector(positions);
  dsv2rt_memref1d seqIdRef = vector(seqIds), seqStartRef = vector(seqStarts);
  dsv2rt_memref1d rowRef = vector(rows);
  dsv2rt_memref2d tableRef = {
      tables.data(), tables.data(), 0, {count, width}, {width, 1}};
  dsv2rt_memref4d cacheMemory = cacheRef(memory);
  auto *slots = const_cast<void **>(weights.slots().data());
  dsv2rt_memref1d weightRef = {
      slots, slots, 0, {int64_t(weights.slots().size())}, {1}};
  dsv2rt_memref1d workRef = {
      workspace.data(), workspace.data(), 0, {int64_t(workspace.size())}, {1}};
  dsv2rt_memref2d logitRef = {logits.data(),
                              logits.data(),
                              0,
                              {int64_t(rows.size()), vocabulary},
                              {vocabulary, 1}};
  if (options.threads)
    setThreadCount(options.threads);
  entry.step(&tokenRef, &positionRef, &seqIdRef, &seqStartRef, &tableRef,
             &rowRef, &cacheMemory, &weightRef, &workRef, &logitRef, &taps,
             level);
}

/// Repeats the step with the reference lowering.
Status Session::Impl::compare(int64_t longest) {
  Status status = reserveStep(*reference, referenceMemory, longest);
  if (!status.ok())
    return status;
  run(reference->entryFor(longest), *options.referenceWeights, referenceMemory,
      *check, /*level=*/2);
  return check->finish(stats.step);
}

void Session::Impl::tap(int32_t site, int64_t layer, void *data,
                        int64_t rowCount, int64_t columns, int64_t rowStride,
                        int32_t dtype) {
  const std::vector<Manifest::Site> &sites = manifest().sites;
  bool known = site >= 0 && size_t(site) < sites.size();
  if (check && known)
    check->record(sites[site].name, layer, data, rowCount, columns, rowStride,
                  dtype);
  if (options.trace) {
    int64_t now = options.trace->now();
    options.trace->add(known ? sites[site].name : strCat("site ", site),
                       "kernel", lastMark, now,
                       {{"layer", layer}, {"rows", rowCount}});
  }
  int64_t level = known ? sites[site].level : 2;
  if (level <= options.checkLevel) {
    int64_t elementBytes = dtype == DSV2RT_F32 || dtype == DSV2RT_I32 ? 4 : 2;
    for (int64_t row = 0; row < rowCount; ++row) {
      auto *values =
          static_cast<const char *>(data) + row * rowStride * elementBytes;
      if (allFinite(values, columns, dtype))
        continue;
      // Rows are tokens, or the tokens whose logits are wanted; of anything
      // else the owner is not known.
      Finding *finding = &unattributed;
      if (rowCount == int64_t(tokens.size()))
        finding = &findings[seqIds[row]];
      else if (rowCount == int64_t(rows.size()))
        finding = &findings[seqIds[rows[row]]];
      if (finding->site < 0)
        *finding = {known ? site : std::numeric_limits<int32_t>::max(), layer};
    }
  }
  if (options.trace)
    lastMark = options.trace->now();
}

std::string Session::Impl::siteText(const Finding &finding) const {
  const std::vector<Manifest::Site> &sites = manifest().sites;
  std::string where = "an unknown site";
  if (size_t(finding.site) < sites.size()) {
    const Manifest::Site &site = sites[finding.site];
    where = "'" + site.name + "'";
    if (!site.op.empty() && site.op != site.name)
      where += " (" + site.op + ")";
  }
  if (finding.layer >= 0)
    where += strCat(" of layer ", finding.layer);
  return where;
}

/// Fills in the outputs and takes failed sequences out of service.
void Session::Impl::report(const StepInput *inputs, size_t count,
                           StepOutput *outputs) {
  int64_t vocabulary = manifest().model.vocabSize;
  auto *next = static_cast<const float *>(memory.logits.data());
  for (size_t i = 0; i < count; ++i) {
    Sequence &sequence = *stepSequences[i];
    StepOutput &output = outputs[i];
    output.rows = inputs[i].logits == LogitRows::All    ? inputs[i].count
                  : inputs[i].logits == LogitRows::Last ? 1
                                                        : 0;
    output.logits = output.rows ? next : nullptr;
    output.status = Status();
    next += output.rows * vocabulary;
    sequence.length += inputs[i].count;
    std::string where;
    if (findings[i].site >= 0)
      where = siteText(findings[i]);
    else if (output.rows &&
             !allFinite(output.logits, output.rows * vocabulary, DSV2RT_F32))
      where = "the logits";
    if (where.empty())
      continue;
    std::string origin;
    if (unattributed.site >= 0)
      origin = "; the first such value of the step came from " +
               siteText(unattributed);
    output.status =
        makeError(StatusCode::NonFinite, "step ", stats.step, ", sequence ",
                  inputs[i].sequence, ": a value that is not finite in ", where,
                  ", positions ", sequence.length - inputs[i].count, " to ",
                  sequence.length - 1, origin);
    output.logits = nullptr;
    output.rows = 0;
    releasePages(sequence, 0, /*clear=*/true);
    sequence.length = 0;
    sequence.failed = true;
  }
}

Status Session::Impl::step(const StepInput *inputs, size_t count,
                           StepOutput *outputs) {
  Status status = checkInputs(inputs, count);
  if (status.ok())
    status = checkPages(inputs, count);
  if (!status.ok())
    return status;
  int64_t longest = 0;
  for (size_t i = 0; i < count; ++i)
    longest = std::max(longest, inputs[i].count);
  layOut(inputs, count);
  status = reserveStep(*artifact, memory, longest);
  if (!status.ok())
    return status;

  const Artifact::Entry &entry = artifact->entryFor(longest);
  stats.copiedPages = assignPages(inputs, count);
  findings.assign(count, Finding());
  unattributed = Finding();
  int64_t traceBegin = 0;
  if (options.trace)
    lastMark = traceBegin = options.trace->now();
  auto begin = std::chrono::steady_clock::now();
  if (check)
    check->begin();
  run(entry, *weights, memory, *this,
      options.trace || check ? 2 : options.checkLevel);
  std::chrono::duration<double> spent =
      std::chrono::steady_clock::now() - begin;
  stats.seconds = spent.count();
  stats.tokens = int64_t(tokens.size());
  stats.entry = entry.name;
  if (options.trace)
    options.trace->add(entry.name, "step", traceBegin, options.trace->now(),
                       {{"step", stats.step},
                        {"tokens", stats.tokens},
                        {"sequences", int64_t(count)},
                        {"copied_pages", stats.copiedPages}});
  Status comparison = check ? compare(longest) : Status();
  report(inputs, count, outputs);
  for (size_t i = 0; !comparison.ok() && i < count; ++i)
    outputs[i] = {comparison, nullptr, 0};
  ++stats.step;
  return Status();
}

Status Session::step(const StepInput *inputs, size_t count,
                     StepOutput *outputs) {
  return guarded([&] { return impl->step(inputs, count, outputs); });
}
