//===- Session.cpp - sequences, their cache, and steps --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Session.h"
#include "DeviceEngine.h"
#include "Engine.h"
#include "Planning.h"
#include "ReferenceCheck.h"
#include "Support.h"
#include "dsv2rt/Buffer.h"
#include "dsv2rt/Device.h"
#include "dsv2rt/PageAllocator.h"
#include "dsv2rt/Trace.h"

#include <chrono>
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

  std::unique_ptr<Engine> engine;
  /// The same for the reference, and what its values are compared by; null
  /// without a comparison.
  std::unique_ptr<Engine> referenceEngine;
  std::unique_ptr<ReferenceCheck> check;
  std::shared_ptr<const Artifact> reference;
  /// Why no step can be taken any more.
  Status broken;
  PageAllocator allocator;
  std::unordered_map<SequenceId, Sequence> sequences;
  SequenceId nextId = 1;

  // The current step; kept to keep its memory.
  StepLayout layout;
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

  MemoryLimits hostLimits() const;
  Status create();
  Status createReference();
  void releasePages(Sequence &sequence, size_t keep, bool clear);

  Status checkInputs(const StepInput *inputs, size_t count);
  Status checkPages(const StepInput *inputs, size_t count);
  Status reserveStep(const Artifact &code, Engine &engine, int64_t longest);
  void layOut(const StepInput *inputs, size_t count);
  Status ownPages();
  void assignPages(const StepInput *inputs, size_t count);
  Status step(const StepInput *inputs, size_t count, StepOutput *outputs);
  Status run(const Artifact::Entry &entry);
  Status compare(int64_t longest);
  void report(const StepInput *inputs, size_t count, StepOutput *outputs);
  std::string siteText(const Finding &finding) const;

  void tap(int32_t site, int64_t layer, void *data, int64_t rows,
           int64_t columns, int64_t rowStride, int32_t dtype) override;
};

//===----------------------------------------------------------------------===//
// Creation
//===----------------------------------------------------------------------===//

/// Weights that are mapped are there already or can be paged in; they count
/// only against a budget that the caller gave for everything.
MemoryLimits Session::Impl::hostLimits() const {
  MemoryLimits limits;
  limits.weights = weights->bytes();
  limits.chargedWeights = options.memoryBudget ? limits.weights : 0;
  limits.budget = options.memoryBudget ? options.memoryBudget
                                       : int64_t(availableMemory() / 8 * 7);
  return limits;
}

Status Session::Impl::create() {
  Status status = checkTarget(*artifact, options.device.get());
  if (status.ok())
    status = completeOptions(*artifact, options);
  if (!status.ok())
    return status;
  MemoryLimits limits;
  if (options.device) {
    Expected<MemoryLimits> found = deviceLimits(*artifact, *weights, options);
    if (!found.ok())
      return found.status();
    limits = std::move(found.value());
  } else {
    limits = hostLimits();
  }
  Expected<MemoryPlan> planned = planMemory(*artifact, options, limits);
  if (!planned.ok())
    return planned.status();
  plan = planned.value();
  if (options.device) {
    Expected<std::unique_ptr<Engine>> made =
        makeDeviceEngine(artifact, weights, options);
    if (!made.ok())
      return made.status();
    engine = std::move(made.value());
  } else {
    engine = makeHostEngine(artifact, weights, options.threads);
  }
  status = engine->reserve(plan);
  if (status.ok())
    allocator = PageAllocator(int32_t(plannedPages(plan, manifest())));
  if (status.ok() && options.referenceWeights)
    status = createReference();
  return status;
}

/// The reference gets a cache of its own, with the same pages. It runs on the
/// host wherever the artifact does.
Status Session::Impl::createReference() {
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
  referenceEngine = makeHostEngine(reference, options.referenceWeights,
                                   options.threads, " of the reference");
  // It asks for workspace when it knows how much.
  MemoryPlan cacheAlone = plan;
  cacheAlone.workspace = cacheAlone.logits = 0;
  return referenceEngine->reserve(cacheAlone);
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
    Status status = impl->create();
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
    Status status = engine->clearPage(page);
    if (broken.ok())
      broken = status;
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
  StepLayout &l = layout;
  l.tokens.clear(), l.positions.clear(), l.seqIds.clear(), l.seqStarts.clear();
  l.rows.clear();
  for (size_t i = 0; i < count; ++i) {
    const StepInput &input = inputs[i];
    l.seqStarts.push_back(int32_t(l.tokens.size()));
    for (int64_t j = 0; j < input.count; ++j) {
      bool wanted = input.logits == LogitRows::All ||
                    (input.logits == LogitRows::Last && j == input.count - 1);
      if (wanted)
        l.rows.push_back(int32_t(l.tokens.size()));
      l.tokens.push_back(input.tokens[j]);
      l.positions.push_back(int32_t(stepSequences[i]->length + j));
      l.seqIds.push_back(int32_t(i));
    }
  }
  l.seqStarts.push_back(int32_t(l.tokens.size()));
}

Status Session::Impl::reserveStep(const Artifact &code, Engine &engine,
                                  int64_t longest) {
  Expected<int64_t> bytes =
      workspaceBytes(code, int64_t(layout.tokens.size()), layout.sequences(),
                     int64_t(layout.rows.size()), longest);
  if (!bytes.ok())
    return bytes.status();
  return engine.reserveStep(bytes.value(), int64_t(layout.rows.size()));
}

/// Replaces every page that a sequence of the step will write to and others use
/// too by a copy.
Status Session::Impl::ownPages() {
  copyFrom.clear(), copyTo.clear();
  std::vector<int32_t *> replaced;
  for (Sequence *sequence : stepSequences) {
    if (sequence->length % page() == 0)
      continue;
    int32_t &shared = sequence->pages[sequence->length / page()];
    if (allocator.users(shared) < 2)
      continue;
    int32_t own = allocator.allocate();
    copyFrom.push_back(shared);
    copyTo.push_back(own);
    replaced.push_back(&shared);
    allocator.release(shared);
    shared = own;
  }
  if (copyFrom.empty())
    return Status();
  Status status = engine->copyPages(copyFrom, copyTo);
  if (status.ok() && check)
    status = referenceEngine->copyPages(copyFrom, copyTo);
  for (size_t i = 0; !status.ok() && i < replaced.size(); ++i) {
    allocator.release(*replaced[i]);
    allocator.retain(copyFrom[i]);
    *replaced[i] = copyFrom[i];
  }
  return status;
}

/// Gives every sequence pages for its new positions and fills in the block
/// tables.
void Session::Impl::assignPages(const StepInput *inputs, size_t count) {
  int64_t width = 1;
  for (size_t i = 0; i < count; ++i) {
    Sequence &sequence = *stepSequences[i];
    int64_t needed = blocks(sequence.length + inputs[i].count);
    while (int64_t(sequence.pages.size()) < needed)
      sequence.pages.push_back(allocator.allocate());
    width = std::max(width, needed);
  }
  width = engine->tableWidth(width);
  // Entries past a sequence's last block stay 0, a valid page.
  layout.tables.assign(count * width, 0);
  for (size_t i = 0; i < count; ++i)
    std::copy(stepSequences[i]->pages.begin(), stepSequences[i]->pages.end(),
              layout.tables.begin() + i * width);
}

/// Runs the step that is laid out.
Status Session::Impl::run(const Artifact::Entry &entry) {
  int64_t traceBegin = 0;
  if (options.trace)
    lastMark = traceBegin = options.trace->now();
  // A device times its kernels without taps.
  int level =
      check || (options.trace && !options.device) ? 2 : options.checkLevel;
  auto begin = std::chrono::steady_clock::now();
  Status status = engine->run(entry, layout, *this, level);
  std::chrono::duration<double> spent =
      std::chrono::steady_clock::now() - begin;
  if (!status.ok())
    return status;
  stats.seconds = spent.count();
  stats.deviceSeconds = engine->deviceSeconds();
  stats.replayed = engine->replayed();
  stats.tokens = int64_t(layout.tokens.size());
  stats.entry = entry.name;
  if (options.trace)
    options.trace->add(entry.name, "step", traceBegin, options.trace->now(),
                       {{"step", stats.step},
                        {"tokens", stats.tokens},
                        {"sequences", layout.sequences()},
                        {"copied_pages", stats.copiedPages}});
  return Status();
}

/// Repeats the step with the reference lowering.
Status Session::Impl::compare(int64_t longest) {
  Status status = reserveStep(*reference, *referenceEngine, longest);
  if (status.ok())
    status = referenceEngine->run(reference->entryFor(longest), layout, *check,
                                  /*level=*/2);
  return status.ok() ? check->finish(stats.step) : status;
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
      if (rowCount == int64_t(layout.tokens.size()))
        finding = &findings[layout.seqIds[row]];
      else if (rowCount == int64_t(layout.rows.size()))
        finding = &findings[layout.seqIds[layout.rows[row]]];
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
  const float *next = engine->logits();
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
  if (!broken.ok())
    return makeError(
        broken.code(),
        "the session cannot go on after a failure: ", broken.message());
  Status status = checkInputs(inputs, count);
  if (status.ok())
    status = checkPages(inputs, count);
  if (!status.ok())
    return status;
  int64_t longest = 0;
  for (size_t i = 0; i < count; ++i)
    longest = std::max(longest, inputs[i].count);
  layOut(inputs, count);
  status = reserveStep(*artifact, *engine, longest);
  if (status.ok())
    status = ownPages();
  if (!status.ok())
    return status;
  stats.copiedPages = int64_t(copyFrom.size());
  assignPages(inputs, count);
  findings.assign(count, Finding());
  unattributed = Finding();
  if (check)
    check->begin();
  status = run(artifact->entryFor(longest));
  if (!status.ok()) {
    broken = status;
    for (Sequence *sequence : stepSequences)
      releasePages(*sequence, blocks(sequence->length), /*clear=*/false);
    return status;
  }
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
