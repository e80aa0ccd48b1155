//===- MBarriers.h - mbarrier objects ---------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// PTX ISA, "Parallel Synchronization and Communication Instructions: mbarrier":
// a phase ends when no arrival and no byte is missing. The state that an
// arrival returns is the number of the phase here.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_MBARRIERS_H
#define DSV2_LIB_EMULATOR_MBARRIERS_H

#include "Machine.h"

namespace dsv2::emulator {

/// The live mbarrier at `address`; fails when there is none or when the current
/// thread cannot know of its initialisation. `cluster`: of any block.
MBarrier &findMBarrier(uint64_t address, bool cluster, const char *what);

void initMBarrier(uint64_t address, uint32_t count);
void invalidateMBarrier(uint64_t address);

/// The current thread arrives `count` times after expecting `bytes` more bytes.
/// `releases` is false for .relaxed; `drops` lowers the count of later phases;
/// `completes` is false for .noComplete. Returns the state before.
uint64_t arriveAtMBarrier(MBarrier &barrier, uint32_t count, uint64_t bytes,
                          bool releases, bool drops = false,
                          bool completes = true);

/// mbarrier.expect_tx by the current thread.
void expectBytes(MBarrier &barrier, uint64_t bytes);

/// `bytes` bytes have come; `agent` up to `epoch` becomes visible to waiters.
void completeBytes(MBarrier &barrier, uint64_t bytes, uint32_t agent,
                   Epoch epoch, const AsyncOp &op);

/// An arrival on behalf of copies (cp.async.mbarrier.arrive).
void arriveForCopies(MBarrier &barrier, uint32_t agent, Epoch epoch,
                     const AsyncOp &op);

/// Fails unless the async proxy can see the initialisation of `barrier`.
void requireVisibleToAsync(const Thread &thread, const MBarrier &barrier);

/// mbarrier.test_wait (`tries` false) and try_wait, by parity or by state.
bool waitForMBarrier(MBarrier &barrier, bool byParity, uint64_t value,
                     bool tries, bool acquires);

/// fence.mbarrier_init: what the current thread initialised is visible to all.
void fenceMBarrierInit();

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_MBARRIERS_H
