//===- SessionDecode.cpp - steps that follow each other on a device -------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SessionImpl.h"

#include <algorithm>
#include <chrono>

using namespace dsv2rt;

/// The rows of a chain, or what is wrong with the inputs beside their tokens.
Expected<std::vector<ChainRow>>
Session::Impl::chainRows(const DecodeInput *inputs, size_t count) const {
  int64_t ids = manifest().model.vocabSize;
  std::vector<ChainRow> rows;
  for (size_t i = 0; i < count; ++i) {
    const DecodeInput &input = inputs[i];
    Status status = input.sampling.validate();
    if (!status.ok())
      return status;
    if (input.vocabularySize < 0 || input.vocabularySize > ids)
      return makeError(StatusCode::InvalidArgument, "sequence ", input.sequence,
                       ": expected a vocabulary of 0 to ", ids,
                       " tokens, found ", input.vocabularySize);
    ChainRow row;
    row.sampling = input.sampling.toRow(
        int32_t(input.vocabularySize ? input.vocabularySize : ids));
    if (row.sampling.penalty != 1)
      row.history.assign(input.history, input.history + input.historySize);
    for (int32_t token : row.history)
      if (token < 0 || token >= ids)
        return makeError(StatusCode::InvalidArgument, "token id ", token,
                         " of the history of sequence ", input.sequence,
                         " is out of range, expected 0 to ", ids - 1);
    rows.push_back(std::move(row));
  }
  return rows;
}

bool Session::Impl::decodesAlone() const {
  // Taps, traces and the reference need the host between two steps, and so do
  // other ranks.
  return manifest().model.vocabSize <= DSV2RT_SAMPLE_VOCABULARY &&
         !options.hostSampling && engine->chainDepth() > 0 && mesh->alone() &&
         !check && !options.trace && options.checkLevel == 0;
}

/// Takes the steps of a chain that is laid out. `numSteps` is how many; the
/// lengths of the sequences grow by what `onStep` was told of.
Status Session::Impl::runChain(const std::vector<ChainRow> &rows,
                               const Artifact::Entry &entry, int64_t numSteps,
                               std::vector<DecodeOutput> &outputs,
                               const OnDecode &onStep) {
  Status status = engine->beginChain(entry, layout, rows);
  std::vector<int32_t> chosen;
  auto begin = std::chrono::steady_clock::now();
  int64_t pushed = 0, taken = 0;
  bool goesOn = true;
  while (status.ok() && goesOn && taken < numSteps) {
    for (; status.ok() && pushed < numSteps &&
           pushed - taken < engine->chainDepth();
         ++pushed)
      status = engine->pushStep();
    if (status.ok())
      status = engine->takeStep(chosen);
    if (!status.ok())
      break;
    ++taken;
    auto now = std::chrono::steady_clock::now();
    stats.seconds = std::chrono::duration<double>(now - begin).count();
    begin = now;
    stats.deviceSeconds = engine->deviceSeconds();
    stats.replayed = engine->replayed();
    stats.tokens = int64_t(rows.size());
    stats.entry = entry.name;
    for (size_t i = 0; i < rows.size(); ++i) {
      Sequence &sequence = *stepSequences[i];
      ++sequence.length;
      outputs[i] = {Status(), chosen[i]};
      if (chosen[i] >= 0)
        continue;
      outputs[i].status =
          makeError(StatusCode::NonFinite, "step ", stats.step, ", position ",
                    sequence.length - 1,
                    ": the logits have a NaN or +inf, or are all "
                    "-inf");
      sequence.failed = true;
      goesOn = false;
    }
    status = guarded([&] {
      goesOn &= onStep(outputs.data());
      return Status();
    });
    ++stats.step;
    stats.copiedPages = 0;
  }
  // Steps that were begun too early write to pages of the sequences.
  Status ended = engine->endChain();
  return status.ok() ? ended : status;
}

Status Session::Impl::decode(const DecodeInput *inputs, size_t count,
                             int64_t steps, const OnDecode &onStep) {
  if (!broken.ok())
    return makeError(
        broken.code(),
        "the session cannot go on after a failure: ", broken.message());
  if (!decodesAlone())
    return makeError(StatusCode::Unsupported,
                     "this session chooses no tokens itself");
  if (steps < 1)
    return makeError(StatusCode::InvalidArgument,
                     "expected at least one step, found ", steps);
  std::vector<StepInput> first;
  for (size_t i = 0; i < count; ++i)
    first.push_back({inputs[i].sequence, &inputs[i].token, 1, LogitRows::Last});
  Status status = checkInputs(first.data(), count);
  if (!status.ok())
    return status;
  Expected<std::vector<ChainRow>> rows = chainRows(inputs, count);
  if (!rows.ok())
    return rows.status();
  // As many steps as there are positions and pages for.
  for (const Sequence *sequence : stepSequences)
    steps = std::min(steps, plan.maxContext - sequence->length);
  std::vector<StepInput> all = first;
  for (;;) {
    for (StepInput &input : all)
      input.count = steps;
    status = checkPages(all.data(), count);
    if (status.ok())
      break;
    if (steps == 1)
      return status;
    steps /= 2;
  }
  layOut(first.data(), count);
  // The steps of a chain have the same sizes, as those of an entry with rows of
  // keys do not.
  int64_t longest = manifest().prefillKeyRows ? 0 : 1;
  status = reserveStep(*artifact, *engine, longest);
  if (status.ok())
    status = ownPages();
  if (!status.ok())
    return status;
  assignPages(all.data(), count);
  std::vector<DecodeOutput> outputs(count);
  status = runChain(rows.value(), artifact->entryFor(longest), steps, outputs,
                    onStep);
  if (!status.ok())
    broken = status;
  for (Sequence *sequence : stepSequences) {
    if (sequence->failed)
      sequence->length = 0;
    releasePages(*sequence, blocks(sequence->length),
                 /*clear=*/sequence->failed);
  }
  return status;
}

bool Session::decodesAlone() const { return impl->decodesAlone(); }

Status Session::decode(const DecodeInput *inputs, size_t count, int64_t steps,
                       const OnDecode &onStep) {
  return guarded([&] { return impl->decode(inputs, count, steps, onStep); });
}
