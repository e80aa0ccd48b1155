//===- Visibility.h - order between threads, and what lacks it --*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_VISIBILITY_H
#define DSV2_LIB_EMULATOR_VISIBILITY_H

#include "Machine.h"

namespace dsv2::emulator {

/// `thread` makes what it has seen and done known to whoever acquires `object`.
void release(Thread &thread, Clock &object);
/// `thread` sees what was released to `object`.
void acquire(Thread &thread, const Clock &object);
/// fence.proxy.async (PTX ISA, "membar / fence").
void fenceAsync(Thread &thread);
/// All threads of `meeting` see each other's accesses: bar.warp.sync.
void synchroniseLanes(Rendezvous &meeting);

/// The block of `thread`'s cluster in whose shared memory `address` lies, even
/// beyond what the kernel asked for; null when it lies in none.
Block *sharedOwner(const Thread &thread, uint64_t address);

/// A touch by `thread` itself.
Touch touchOf(const Thread &thread, bool writes);

/// Checks and notes a touch of the shared memory of `block`, which `thread`
/// issued; fails with a report about it. `what` names it.
void touchShared(Thread &thread, Block &block, uint32_t offset, uint32_t bytes,
                 const Touch &touch, const char *what);

/// Fails when some of the bytes were never written.
void requireWritten(Thread &thread, Block &block, uint32_t offset,
                    uint32_t bytes, const char *what);

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_VISIBILITY_H
