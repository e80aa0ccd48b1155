//===- SessionStep.cpp - steps of a session -------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SessionImpl.h"
#include "dsv2rt/Trace.h"

#include <algorithm>
#include <chrono>
#include <numeric>

using namespace dsv2rt;

/// Rows of logits that an input asks for.
static int64_t rowsOf(const StepInput &input) {
  return input.logits == LogitRows::All    ? input.count
         : input.logits == LogitRows::Last ? 1
                                           : 0;
}

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
  pagesNeeded.assign(mesh->owners(), 0);
  for (size_t i = 0; i < count; ++i) {
    const Sequence &sequence = *stepSequences[i];
    int64_t &needed = pagesNeeded[sequence.owner];
    needed += blocks(sequence.length + inputs[i].count) -
              int64_t(sequence.pages.size());
    if (sequence.length % page() &&
        pagesOf(sequence).users(sequence.pages[sequence.length / page()]) > 1)
      ++needed;
  }
  for (int64_t owner = 0; owner < mesh->owners(); ++owner) {
    const PageAllocator &own = allocators[owner];
    int64_t needed = pagesNeeded[owner];
    if (needed <= own.available())
      continue;
    int64_t pageBytes = manifest().cache.bytesPerPage();
    return makeError(
        StatusCode::OutOfMemory, "the latent cache",
        mesh->owners() > 1 ? strCat(" of index ", owner, " of the ep axis")
                           : "",
        " is full: required ", needed, " pages of ", page(), " positions (",
        bytesText(needed * pageBytes), "), available ", own.available(), " of ",
        own.pages(), " (", bytesText(own.available() * pageBytes), ")");
  }
  return Status();
}

/// Lays tokens, positions, sequence numbers and wanted rows of this rank's
/// sequences out as the step functions take them.
void Session::Impl::layOut(const StepInput *inputs, size_t count) {
  StepLayout &l = layout;
  l.tokens.clear(), l.positions.clear(), l.seqIds.clear(), l.seqStarts.clear();
  l.rows.clear();
  l.arrivals = 0;
  l.keyRows = 0;
  ownInputs.clear();
  ownerRows.assign(mesh->owners(), 0);
  ownerTokens.assign(mesh->owners(), 0);
  for (size_t i = 0; i < count; ++i) {
    const StepInput &input = inputs[i];
    const Sequence &sequence = *stepSequences[i];
    l.arrivals += input.count;
    ownerRows[sequence.owner] += rowsOf(input);
    ownerTokens[sequence.owner] += input.count;
    if (!isOwn(sequence))
      continue;
    l.seqStarts.push_back(int32_t(l.tokens.size()));
    l.keyRows += sequence.length + input.count;
    for (int64_t j = 0; j < input.count; ++j) {
      bool wanted = input.logits == LogitRows::All ||
                    (input.logits == LogitRows::Last && j == input.count - 1);
      if (wanted)
        l.rows.push_back(int32_t(l.tokens.size()));
      l.tokens.push_back(input.tokens[j]);
      l.positions.push_back(int32_t(sequence.length + j));
      l.seqIds.push_back(int32_t(ownInputs.size()));
    }
    ownInputs.push_back(i);
  }
  l.seqStarts.push_back(int32_t(l.tokens.size()));
}

/// What chooses the entry of a step (Artifact::entryFor): the most tokens that
/// a sequence gives, or 0 if the expanded form would cost more for all of them
/// together, or take more memory than there is for it. All ranks decide alike.
int64_t Session::Impl::longestFor(const StepInput *inputs, size_t count) const {
  int64_t longest = 0;
  // Pairs of a token and a position that it attends to, and rows of keys.
  double pairs = 0;
  bool hasEarlier = false;
  std::vector<int64_t> rows(mesh->owners());
  for (size_t i = 0; i < count; ++i) {
    const Sequence &sequence = *stepSequences[i];
    int64_t tokens = inputs[i].count, before = sequence.length;
    longest = std::max(longest, tokens);
    hasEarlier |= before > 0;
    pairs += double(tokens) * (double(before) + double(tokens + 1) / 2);
    rows[sequence.owner] += before + tokens;
  }
  if (!manifest().prefillKeyRows || !hasEarlier)
    return longest;
  // prefillMinTokens is where a long context's rows of keys are worth making:
  // each saves something for every token that attends to it.
  double all = std::accumulate(rows.begin(), rows.end(), 0.0);
  if (artifact->entryFor(longest).form != "expanded" ||
      pairs < double(manifest().prefillMinTokens) * all ||
      *std::max_element(rows.begin(), rows.end()) > plan.keyRows)
    return 0;
  return longest;
}

/// A hash of everything about a step that all ranks have to have the same.
static uint64_t agreementOn(const StepInput *inputs, size_t count) {
  Agreement agreement;
  for (size_t i = 0; i < count; ++i) {
    agreement.add(inputs[i].sequence);
    agreement.add(inputs[i].count);
    agreement.add(int64_t(inputs[i].logits));
    agreement.add(inputs[i].tokens, size_t(inputs[i].count) * 4);
  }
  return agreement.value();
}

Status Session::Impl::reserveStep(const Artifact &code, Engine &engine,
                                  int64_t longest) {
  Expected<int64_t> bytes = workspaceBytes(
      code,
      {int64_t(layout.tokens.size()), layout.sequences(),
       int64_t(layout.rows.size()), layout.arrivals, layout.keyRows},
      longest);
  if (!bytes.ok())
    return bytes.status();
  return engine.reserveStep(bytes.value(), int64_t(layout.rows.size()));
}

/// Replaces every page that a sequence of the step will write to and others use
/// too by a copy.
Status Session::Impl::ownPages() {
  copyFrom.clear(), copyTo.clear();
  struct Replaced {
    PageAllocator *pages;
    int32_t *place;
    int32_t before;
  };
  std::vector<Replaced> replaced;
  for (Sequence *sequence : stepSequences) {
    if (sequence->length % page() == 0)
      continue;
    PageAllocator &pages = pagesOf(*sequence);
    int32_t &shared = sequence->pages[sequence->length / page()];
    if (pages.users(shared) < 2)
      continue;
    int32_t own = pages.allocate();
    if (isOwn(*sequence)) {
      copyFrom.push_back(shared);
      copyTo.push_back(own);
    }
    replaced.push_back({&pages, &shared, shared});
    pages.release(shared);
    shared = own;
  }
  stats.copiedPages = int64_t(replaced.size());
  if (copyFrom.empty())
    return Status();
  Status status = engine->copyPages(copyFrom, copyTo);
  if (status.ok() && check)
    status = referenceEngine->copyPages(copyFrom, copyTo);
  if (!status.ok())
    for (const Replaced &r : replaced) {
      r.pages->release(*r.place);
      r.pages->retain(r.before);
      *r.place = r.before;
    }
  return status;
}

/// Gives every sequence pages for its new positions and fills in the block
/// tables of this rank's.
void Session::Impl::assignPages(const StepInput *inputs, size_t count) {
  int64_t width = 1;
  for (size_t i = 0; i < count; ++i) {
    Sequence &sequence = *stepSequences[i];
    int64_t needed = blocks(sequence.length + inputs[i].count);
    while (int64_t(sequence.pages.size()) < needed)
      sequence.pages.push_back(pagesOf(sequence).allocate());
    if (isOwn(sequence))
      width = std::max(width, needed);
  }
  width = engine->tableWidth(width);
  layout.tableWidth = width;
  // Entries past a sequence's last block stay 0, a valid page.
  layout.tables.assign(ownInputs.size() * width, 0);
  for (size_t i = 0; i < ownInputs.size(); ++i) {
    const std::vector<int32_t> &pages = stepSequences[ownInputs[i]]->pages;
    std::copy(pages.begin(), pages.end(), layout.tables.begin() + i * width);
  }
}

void Session::Impl::clearFindings() {
  findings.assign(findings.size(), Finding());
  largest.clear();
  unattributed = Finding();
  checkedTaps = 0;
}

/// The entry for the step that is laid out. Exchanges of fixed size pay while
/// they are likely to do: a token has experts on some of the ranks alone, so a
/// rank may well have twice as many tokens as rows for any other.
const Artifact::Entry &Session::Impl::chooseEntry(int64_t longest) const {
  const Artifact::Entry *fixed = artifact->fixedEntryFor(longest);
  if (!fixed)
    return artifact->entryFor(longest);
  int64_t most = 0;
  for (int64_t tokens : ownerTokens)
    most = std::max(most, tokens);
  return most <= 2 * fixed->capacity ? *fixed : artifact->entryFor(longest);
}

/// Runs the step that is laid out.
Status Session::Impl::run(int64_t longest) {
  const Artifact::Entry &entry = chooseEntry(longest);
  stats.repeated = false;
  int64_t traceBegin = 0;
  if (options.trace)
    lastMark = traceBegin = options.trace->now();
  // A device times its kernels without taps.
  int level =
      check || (options.trace && !options.device) ? 2 : options.checkLevel;
  auto begin = std::chrono::steady_clock::now();
  Status status = engine->run(entry, layout, *this, level);
  const Artifact::Entry *last = &entry;
  if (status.ok() && entry.capacity) {
    Expected<bool> tooSmall = mesh->anyOverflow();
    status = tooSmall.status();
    stats.repeated = tooSmall.ok() && tooSmall.value();
    if (stats.repeated) {
      last = &artifact->entryFor(longest);
      clearFindings();
      status = engine->run(*last, layout, *this, level);
    }
  }
  if (status.ok())
    status = exchange();
  std::chrono::duration<double> spent =
      std::chrono::steady_clock::now() - begin;
  if (!status.ok())
    return status;
  stats.seconds = spent.count();
  stats.deviceSeconds = engine->deviceSeconds();
  stats.replayed = engine->replayed();
  stats.tokens = layout.arrivals;
  stats.entry = last->name;
  if (options.trace)
    options.trace->add(last->name, "step", traceBegin, options.trace->now(),
                       {{"step", stats.step},
                        {"tokens", stats.tokens},
                        {"sequences", int64_t(stepSequences.size())},
                        {"copied_pages", stats.copiedPages}});
  return Status();
}

/// Brings together what the ranks have found and computed.
Status Session::Impl::exchange() {
  stepLogits = engine->logits();
  Status status =
      mesh->mergeFindings(agreement, stats.step, findings, unattributed);
  if (!status.ok())
    return status;
  Expected<const float *> gathered =
      mesh->gatherLogits(stepLogits, ownerRows, manifest().model.vocabSize * 4);
  if (gathered.ok())
    stepLogits = gathered.value();
  return gathered.status();
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
  if (known && sites[site].largest)
    return largest.keep(sites[site].largest, data, rowCount, columns,
                        rowStride);
  if (check && known)
    check->record(sites[site].name, layer, data, rowCount, columns, rowStride,
                  dtype);
  if (options.trace) {
    int64_t now = options.trace->now();
    options.trace->add(known ? sites[site].name : strCat("site ", site),
                       "kernel", lastMark, now,
                       {{"layer", layer}, {"rows", rowCount}});
  }
  mesh->alive();
  int64_t level = known ? sites[site].level : 2;
  if (level <= options.checkLevel) {
    int64_t order = checkedTaps++;
    bool ownRows = !known || !sites[site].exchanged;
    int64_t elementBytes = dtype == DSV2RT_F32 || dtype == DSV2RT_I32 ? 4 : 2;
    bool described = known && sites[site].level == 1 &&
                     columns == manifest().model.vocabSize &&
                     largest.describes(rowCount, columns);
    for (int64_t row = 0; row < rowCount; ++row) {
      auto *values =
          static_cast<const char *>(data) + row * rowStride * elementBytes;
      if (described ? largest.allFinite(row, 1)
                    : allFinite(values, columns, dtype))
        continue;
      // Rows are tokens, or the tokens whose logits are wanted; of anything
      // else the owner is not known.
      Finding *finding = &unattributed;
      if (ownRows && rowCount == int64_t(layout.tokens.size()))
        finding = &findings[ownInputs[layout.seqIds[row]]];
      else if (ownRows && rowCount == int64_t(layout.rows.size()))
        finding = &findings[ownInputs[layout.seqIds[layout.rows[row]]]];
      finding->merge({known ? site : std::numeric_limits<int32_t>::max(), 0,
                      layer, order});
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
  // Of the rows of other ranks nothing but the logits arrives.
  bool described = mesh->alone() &&
                   largest.describes(int64_t(layout.rows.size()), vocabulary);
  // One owner's rows follow the other's.
  std::vector<const float *> nextOf(mesh->owners(), stepLogits);
  for (int64_t owner = 1; owner < mesh->owners(); ++owner)
    nextOf[owner] = nextOf[owner - 1] + ownerRows[owner - 1] * vocabulary;
  for (size_t i = 0; i < count; ++i) {
    Sequence &sequence = *stepSequences[i];
    const float *&next = nextOf[sequence.owner];
    StepOutput &output = outputs[i];
    output.rows = rowsOf(inputs[i]);
    output.logits = output.rows ? next : nullptr;
    output.status = Status();
    output.largest = LargestOf();
    int64_t firstRow = (next - stepLogits) / vocabulary;
    if (described && output.rows)
      output.largest = {largest.row(firstRow), largest.each()};
    next += output.rows * vocabulary;
    sequence.length += inputs[i].count;
    std::string where;
    if (findings[i].found())
      where = siteText(findings[i]);
    else if (output.rows &&
             !(described ? largest.allFinite(firstRow, output.rows)
                         : allFinite(output.logits, output.rows * vocabulary,
                                     DSV2RT_F32)))
      where = "the logits";
    if (where.empty())
      continue;
    std::string origin;
    if (unattributed.found())
      origin = "; the first such value of the step came from " +
               siteText(unattributed);
    output.status =
        makeError(StatusCode::NonFinite, "step ", stats.step, ", sequence ",
                  inputs[i].sequence, ": a value that is not finite in ", where,
                  ", positions ", sequence.length - inputs[i].count, " to ",
                  sequence.length - 1, origin);
    output.logits = nullptr;
    output.rows = 0;
    output.largest = LargestOf();
    releasePages(sequence, 0, /*clear=*/true);
    sequence.length = 0;
    sequence.failed = true;
  }
}

Status Session::Impl::step(const StepInput *inputs, size_t count,
                           StepOutput *outputs) {
  // What all ranks know makes all of them refuse the step.
  Status status;
  if (!broken.ok())
    status = makeError(
        broken.code(),
        "the session cannot go on after a failure: ", broken.message());
  if (status.ok())
    status = checkInputs(inputs, count);
  if (status.ok())
    status = checkPages(inputs, count);
  refused = !status.ok();
  if (refused)
    return status;
  int64_t longest = longestFor(inputs, count);
  agreement = mesh->alone() ? 0 : agreementOn(inputs, count);
  layOut(inputs, count);
  status = reserveStep(*artifact, *engine, longest);
  if (status.ok())
    status = ownPages();
  if (!status.ok())
    return status;
  assignPages(inputs, count);
  findings.resize(count);
  clearFindings();
  if (check)
    check->begin();
  status = run(longest);
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

/// Takes up a failure that may be this rank's alone: the others must not wait
/// for it. A rank alone can go on.
Status Session::Impl::failStep(const Status &reason) {
  if (mesh->alone())
    return reason;
  Status why = mesh->fail(reason);
  if (broken.ok())
    broken = why;
  return why;
}

Status Session::step(const StepInput *inputs, size_t count,
                     StepOutput *outputs) {
  impl->refused = false;
  Status status = guarded([&] { return impl->step(inputs, count, outputs); });
  return status.ok() || impl->refused ? status : impl->failStep(status);
}
