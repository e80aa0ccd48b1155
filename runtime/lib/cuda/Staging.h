//===- Staging.h - collectives by way of the host's memory ------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CUDA_STAGING_H
#define DSV2RT_LIB_CUDA_STAGING_H

#include "StepMemory.h"
#include "StepStream.h"

namespace dsv2rt::cuda {

/// Copies what collectives exchange to the host and back, on the stream of the
/// step. Memory for it grows to the most that was asked for.
class Staging : public StepMemory {
public:
  /// `stream` has to outlive this.
  explicit Staging(StepStream &stream) : stream(stream) {}

  void begin(const CollectiveSite &atSite) override { site = atSite; }
  Expected<void *> fetch(Place place, const void *data, int64_t bytes) override;
  Status wait() override;
  Expected<void *> prepare(Place place, void *data, int64_t bytes) override;
  Status store(Place place, void *data, int64_t bytes) override;
  void clear(void *data, int64_t bytes) override;

protected:
  /// Where the collective stands, for messages.
  std::string at() const;

  StepStream &stream;

private:
  PinnedMemory &memoryOf(Place place) { return memory[int(place)]; }
  Status reserve(Place place, int64_t bytes);
  const Driver &driver() const { return stream.context()->driver(); }

  CollectiveSite site;
  PinnedMemory memory[places];
};

} // namespace dsv2rt::cuda

#endif // DSV2RT_LIB_CUDA_STAGING_H
