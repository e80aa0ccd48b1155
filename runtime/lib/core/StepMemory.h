//===- StepMemory.h - the memory that collectives exchange ------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Communicators of the host exchange memory of the host. What compiled code
// hands to a collective may be in the memory of a device, and may still be
// being computed.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_STEPMEMORY_H
#define DSV2RT_LIB_CORE_STEPMEMORY_H

#include "dsv2rt/Status.h"
#include "dsv2rt/comm/Communicator.h"

#include <cstdint>
#include <cstring>

namespace dsv2rt {

/// Gives the host what a step's collectives work on. This one is for memory of
/// the host, which is used where it is. Sizes are in bytes, not negative.
class StepMemory {
public:
  virtual ~StepMemory() = default;

  /// What a collective may have at once; the last four are those of exchanges
  /// that were started along an axis and not finished.
  enum class Place {
    Send,
    Receive,
    SendRows,
    ReceiveRows,
    EpSend,
    EpReceive,
    TpSend,
    TpReceive
  };
  static constexpr int places = 8;

  /// A collective begins; `site` is for messages and lives as long as it.
  virtual void begin(const CollectiveSite &site) { (void)site; }

  /// Where the host will have the `bytes` bytes at `data` after wait().
  virtual Expected<void *> fetch(Place place, const void *data, int64_t bytes) {
    (void)place, (void)bytes;
    return const_cast<void *>(data);
  }

  /// Returns when all that the step has started before is done, fetch() too.
  virtual Status wait() { return Status(); }

  /// Where the host can put the `bytes` bytes that are to get to `data`. Called
  /// after a wait().
  virtual Expected<void *> prepare(Place place, void *data, int64_t bytes) {
    (void)place, (void)bytes;
    return data;
  }

  /// Brings the `bytes` bytes that the host has for `place` to `data`, before
  /// whatever the step starts next.
  virtual Status store(Place place, void *data, int64_t bytes) {
    (void)place, (void)data, (void)bytes;
    return Status();
  }

  /// Zeroes `bytes` bytes at `data`, if that is possible: a failure came
  /// before.
  virtual void clear(void *data, int64_t bytes) {
    std::memset(data, 0, size_t(bytes));
  }
};

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_STEPMEMORY_H
