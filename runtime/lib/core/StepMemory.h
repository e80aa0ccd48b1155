//===- StepMemory.h - the memory that collectives exchange ------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Communicators of the host exchange memory of the host, those of devices
// memory of the device. What compiled code hands to a collective may be in the
// memory of a device, and may still be being computed.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_STEPMEMORY_H
#define DSV2RT_LIB_CORE_STEPMEMORY_H

#include "dsv2rt/Status.h"
#include "dsv2rt/comm/Communicator.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace dsv2rt {

/// Gives communicators what a step's collectives work on, and the host numbers
/// of rows. This one is for memory of the host, which is used where it is.
/// Sizes are in bytes, not negative.
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

  /// Where the communicator, or the host for SendRows and ReceiveRows, will
  /// have the `bytes` bytes at `data` after wait().
  virtual Expected<void *> fetch(Place place, const void *data, int64_t bytes) {
    (void)place, (void)bytes;
    return const_cast<void *>(data);
  }

  /// Returns when what fetch() promised is there.
  virtual Status wait() { return Status(); }

  /// Where the communicator can put the `bytes` bytes that are to get to
  /// `data`. Called after a wait().
  virtual Expected<void *> prepare(Place place, void *data, int64_t bytes) {
    (void)place, (void)bytes;
    return data;
  }

  /// Brings the `bytes` bytes that were put there for `place` to `data`, before
  /// whatever the step starts next.
  virtual Status store(Place place, void *data, int64_t bytes) {
    (void)place, (void)data, (void)bytes;
    return Status();
  }

  /// Memory of at least `bytes` bytes that ranks' rows can be gathered in,
  /// where prepare() has it too. What was there before is lost.
  virtual Expected<void *> scratch(int64_t bytes) {
    gathered.resize(std::max(gathered.size(), size_t(bytes)));
    return gathered.data();
  }

  /// Copies `rows` rows of `rowBytes` bytes that follow each other at `from` to
  /// `to`, where one begins `toStride` bytes behind the other. Both are where
  /// prepare(), fetch() or scratch() said.
  virtual Status copyRows(void *to, int64_t toStride, const void *from,
                          int64_t rows, int64_t rowBytes) {
    for (int64_t row = 0; rowBytes && row < rows; ++row)
      std::memcpy(static_cast<char *>(to) + row * toStride,
                  static_cast<const char *>(from) + row * rowBytes,
                  size_t(rowBytes));
    return Status();
  }

  /// What `group` is called for next goes on while the step does, and may use
  /// what the step has computed so far; until rejoin().
  virtual Status fork(const Communicator &group) {
    (void)group;
    return Status();
  }

  /// What the step starts next comes after what went on since fork().
  virtual Status rejoin(const Communicator &group) {
    (void)group;
    return Status();
  }

  /// A call of `group` has exchanged, or begun to, what was fetched.
  virtual Status exchanged(const Communicator &group) {
    (void)group;
    return Status();
  }

  /// Zeroes `bytes` bytes at `data`, if that is possible: a failure came
  /// before.
  virtual void clear(void *data, int64_t bytes) {
    std::memset(data, 0, size_t(bytes));
  }

private:
  std::vector<char> gathered;
};

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_STEPMEMORY_H
