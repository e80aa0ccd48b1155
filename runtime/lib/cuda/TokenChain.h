//===- TokenChain.h - steps that choose their own tokens --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CUDA_TOKENCHAIN_H
#define DSV2RT_LIB_CUDA_TOKENCHAIN_H

#include "Engine.h"
#include "Handles.h"
#include "StepContext.h"

#include <array>
#include <functional>
#include <optional>
#include <vector>

namespace dsv2rt::cuda {

/// The memory of a chain of steps (Engine::beginChain) beside that of a step,
/// and how far the chain has come. Addresses depend on the number of rows
/// alone, so that a graph can have them. What was chosen the device writes into
/// the host's memory: nothing is copied between two steps.
class TokenChain {
public:
  /// One step is computed while the host looks at the tokens of the one before.
  static constexpr int64_t depth = DSV2RT_SAMPLE_STEPS;

  /// Bytes of the device that chains of up to `rows` rows take.
  static int64_t bytes(int64_t rows, int64_t vocabulary);

  /// Reserves that; does nothing if it has been done.
  Status reserve(const std::shared_ptr<Context> &context, int64_t rows,
                 int64_t vocabulary);

  /// Begins a chain, whose steps get `arguments` in device memory: sends what
  /// `rows` say.
  Status begin(const Artifact::Entry &entry, const StepLayout &step,
               const StepArguments &arguments,
               const std::vector<ChainRow> &rows, CUstream stream);

  /// Chooses from `logits`, by launches that `receiver` gets.
  void choose(dsv2rt_sample_fn sample, dsv2rt_memref2d logits,
              StepContext *receiver);

  /// Runs the next step, which `launch` puts on the stream.
  Status push(const std::function<Status()> &launch);
  /// Waits for the first step under way.
  Status take(std::vector<int32_t> &chosen);
  int64_t underWay() const { return pushed - taken; }

  const Artifact::Entry &entry() const { return *stepEntry; }
  StepArguments &arguments() { return *stepArguments; }
  /// Seconds that the device spent on the step taken last.
  double seconds() const { return lastSeconds; }

private:
  /// Where the parts of the memory begin; `end` is how much there is.
  struct Parts {
    Parts(int64_t rows, int64_t vocabulary);
    int64_t sampling = 0, seen, parts, end;
    int64_t seenWords;
  };
  /// A step under way.
  struct Slot {
    EventHandle begin, end;
  };

  CUdeviceptr at(int64_t offset) const {
    return memory.address() + CUdeviceptr(offset);
  }

  std::shared_ptr<Context> context;
  CUstream stream = nullptr;
  DeviceMemory memory;
  PinnedMemory staging, tokens;
  /// Where each row's first token will be.
  std::vector<int32_t> firstPositions;
  std::array<Slot, depth> slots;
  int64_t vocabulary = 0;
  int64_t rows = 0;
  int64_t pushed = 0, taken = 0;
  double lastSeconds = 0;
  const Artifact::Entry *stepEntry = nullptr;
  std::optional<StepArguments> stepArguments;
};

} // namespace dsv2rt::cuda

#endif // DSV2RT_LIB_CUDA_TOKENCHAIN_H
