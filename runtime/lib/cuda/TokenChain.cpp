//===- TokenChain.cpp - steps that choose their own tokens ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TokenChain.h"

#include <cstring>

using namespace dsv2rt;
using namespace dsv2rt::cuda;

TokenChain::Parts::Parts(int64_t rows, int64_t vocabulary)
    : seenWords((vocabulary + 31) / 32) {
  constexpr int64_t alignment = 256;
  int64_t next = 0;
  auto take = [&](int64_t bytes) {
    int64_t at = next;
    next = roundUp(next + bytes, alignment);
    return at;
  };
  sampling = take(rows * int64_t(sizeof(dsv2rt_sampling_row)));
  seen = take(rows * seenWords * 4);
  parts = take(rows * DSV2RT_SAMPLE_PARTS * DSV2RT_SAMPLE_PART_WORDS * 4);
  end = next;
}

int64_t TokenChain::bytes(int64_t rows, int64_t vocabulary) {
  return Parts(rows, vocabulary).end;
}

Status TokenChain::reserve(const std::shared_ptr<Context> &of, int64_t most,
                           int64_t ids) {
  context = of;
  vocabulary = ids;
  Parts parts(most, vocabulary);
  const char *purpose = "choosing tokens";
  Status status = memory.reserve(context, uint64_t(parts.end), purpose);
  if (status.ok())
    status = staging.reserve(context, uint64_t(parts.parts), purpose);
  if (status.ok())
    status = tokens.reserve(context, uint64_t(most) * depth * 4, purpose);
  for (Slot &slot : slots) {
    for (EventHandle *event : {&slot.begin, &slot.end}) {
      if (!status.ok() || *event)
        continue;
      Expected<EventHandle> made = makeEvent(context, /*timing=*/true);
      status = made.status();
      if (made.ok())
        *event = std::move(made.value());
    }
  }
  return status;
}

Status TokenChain::begin(const Artifact::Entry &entry, const StepLayout &step,
                         const StepArguments &arguments,
                         const std::vector<ChainRow> &chainRows,
                         CUstream onStream) {
  stepEntry = &entry;
  stepArguments = arguments;
  stream = onStream;
  rows = int64_t(chainRows.size());
  pushed = taken = 0;
  firstPositions.clear();
  for (int32_t token : step.rows)
    firstPositions.push_back(step.positions[size_t(token)] + 1);
  Parts parts(rows, vocabulary);
  // What is staged has been sent: every chain is waited for.
  auto *bytes = static_cast<char *>(staging.data());
  bool anyPenalty = false;
  for (int64_t row = 0; row < rows; ++row) {
    const ChainRow &from = chainRows[size_t(row)];
    std::memcpy(bytes + parts.sampling + row * int64_t(sizeof(from.sampling)),
                &from.sampling, sizeof(from.sampling));
    anyPenalty |= from.sampling.penalty != 1;
  }
  // The words are sent if anybody reads them.
  int64_t size = parts.seen;
  if (anyPenalty) {
    size = parts.parts;
    auto *words = reinterpret_cast<uint32_t *>(bytes + parts.seen);
    std::memset(words, 0, size_t(rows * parts.seenWords) * 4);
    for (int64_t row = 0; row < rows; ++row)
      for (int32_t token : chainRows[size_t(row)].history)
        words[row * parts.seenWords + token / 32] |= 1u << (token % 32);
  }
  return context->call(
      context->driver().cuMemcpyHtoDAsync_v2,
      [&] {
        return strCat("sending how to choose tokens of ", step.sequences(),
                      " sequences");
      },
      at(0), staging.data(), size_t(size), stream);
}

void TokenChain::choose(dsv2rt_sample_fn sample, dsv2rt_memref2d logits,
                        StepContext *receiver) {
  Parts parts(rows, vocabulary);
  auto vector = [&](int64_t offset, int64_t count) {
    void *base = reinterpret_cast<void *>(at(offset));
    return dsv2rt_memref1d{base, base, 0, {count}, {1}};
  };
  dsv2rt_memref1d sampling =
      vector(parts.sampling, rows * int64_t(sizeof(dsv2rt_sampling_row)));
  void *words = reinterpret_cast<void *>(at(parts.seen));
  dsv2rt_memref2d seen = {
      words, words, 0, {rows, parts.seenWords}, {parts.seenWords, 1}};
  dsv2rt_memref1d scratch = vector(parts.parts, rows * DSV2RT_SAMPLE_PARTS *
                                                    DSV2RT_SAMPLE_PART_WORDS);
  // Memory of the host has the same address on the device (CUDA driver API,
  // "Unified Addressing").
  dsv2rt_memref1d chosen = {
      tokens.data(), tokens.data(), 0, {depth * rows}, {1}};
  sample(&logits, &stepArguments->rows, &sampling, &stepArguments->tokens,
         &stepArguments->positions, &seen, &scratch, &chosen, receiver, 0);
}

Status TokenChain::push(const std::function<Status()> &launch) {
  Slot &slot = slots[size_t(pushed % depth)];
  const Driver &driver = context->driver();
  Status status = context->call(driver.cuEventRecord, "timing a step",
                                slot.begin.get(), stream);
  if (status.ok())
    status = launch();
  if (status.ok())
    status = context->call(driver.cuEventRecord, "timing a step",
                           slot.end.get(), stream);
  if (status.ok())
    ++pushed;
  return status;
}

Status TokenChain::take(std::vector<int32_t> &chosen) {
  Slot &slot = slots[size_t(taken % depth)];
  const Driver &driver = context->driver();
  Status status = context->call(
      driver.cuEventSynchronize,
      [&] {
        return strCat("waiting for step ", taken, " of a chain of entry ",
                      quote(stepEntry->name));
      },
      slot.end.get());
  float milliseconds = 0;
  if (status.ok())
    status = context->call(driver.cuEventElapsedTime, "timing a step",
                           &milliseconds, slot.begin.get(), slot.end.get());
  if (!status.ok())
    return status;
  lastSeconds = double(milliseconds) * 1e-3;
  auto *numbers = static_cast<const int32_t *>(tokens.data());
  chosen.clear();
  for (int64_t row = 0; row < rows; ++row) {
    int64_t position = firstPositions[size_t(row)] + taken;
    chosen.push_back(numbers[position % depth * rows + row]);
  }
  ++taken;
  return Status();
}
