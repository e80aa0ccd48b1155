//===- Barriers.h - barriers of blocks and clusters -------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_BARRIERS_H
#define DSV2_LIB_EMULATOR_BARRIERS_H

#include "Machine.h"

namespace dsv2::emulator {

/// Operation of barrier.red; None is barrier.sync and barrier.arrive.
enum class BarrierReduction : uint32_t { None, Popc, And, Or };

/// The current thread arrives at barrier `number` of its block (PTX ISA,
/// "barrier{.cta}"). `count` is how many threads complete it, 0 for all of the
/// block that have not ended; `waits` is false for barrier.arrive. Returns the
/// reduction's result.
uint64_t arriveAtBarrier(uint32_t number, uint32_t count, bool waits,
                         BarrierReduction reduction = BarrierReduction::None,
                         bool predicate = false);

/// barrier.cluster.arrive and .wait (PTX ISA, "barrier.cluster"). `releases` is
/// false for .relaxed.
void arriveAtCluster(bool releases);
void waitForCluster();

/// `thread` has ended: completes what waited for nobody else, and reports a
/// warp-wide instruction that can no longer gather.
void threadEnded(Thread &thread);

/// Takes `thread`, which polls, out of what it waits for.
void stopPolling(Thread &thread);

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_BARRIERS_H
