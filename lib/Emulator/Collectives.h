//===- Collectives.h - instructions that a warp executes together -*- C++
//-*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_COLLECTIVES_H
#define DSV2_LIB_EMULATOR_COLLECTIVES_H

#include "Machine.h"

namespace dsv2::emulator {

/// What a warp- or warpgroup-wide instruction does once everybody is there.
struct CollectiveOp {
  /// For reports, as PTX writes it.
  const char *name;
  /// Computes the results of all threads of `meeting` from their arguments.
  void (*compute)(Rendezvous &meeting);
  /// Arguments that have to be the same in all threads, as bits.
  uint64_t uniform = 0;
};

/// The current thread executes `op` together with the lanes of its warp in
/// `mask` and waits for them; the last to come computes.
void gatherWarp(const CollectiveOp &op, uint32_t mask,
                const uint64_t *arguments, uint64_t *results);

/// The same with all 128 threads of the warpgroup.
void gatherWarpgroup(const CollectiveOp &op, const uint64_t *arguments,
                     uint64_t *results);

/// Reports warp-wide instructions of `block` that wait for `ended`.
void checkGathering(Block &block, const Thread &ended);

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_COLLECTIVES_H
