//===- Operation.h - what a rank calls --------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_COMM_OPERATION_H
#define DSV2RT_LIB_COMM_OPERATION_H

#include "dsv2rt/comm/Communicator.h"

namespace dsv2rt::comm {

/// One call of a collective.
struct Operation {
  int64_t kind = 0;
  int64_t layer = -1;
  /// Of one rank's data; what all_to_all_v sends to other ranks.
  int64_t bytes = 0;
  /// Counts the calls in the group, from 1. 0: there was none yet.
  int64_t sequence = 0;
  /// FNV-1a of the whole name, of which `name` may be the beginning.
  uint64_t nameHash = 0;
  char name[88] = {};

  Operation() = default;
  Operation(CollectiveKind kind, const CollectiveSite &site, int64_t bytes,
            int64_t sequence);

  /// Whether two ranks may call these together.
  bool matches(const Operation &other) const;

  /// "all_reduce 'mlp.down_proj' of layer 3 (40960 bytes)".
  std::string text() const;
};

/// The reason to end a job whose ranks call what does not match.
std::string disagreement(int rank, const Operation &operation, int otherRank,
                         const Operation &other);

/// Why `operation` of `rank`, whose bytes are -1 where they have no sum, cannot
/// be; "" if it can.
std::string sizeError(int rank, const Operation &operation);

/// The reason to end a job in which rank `from` sends `sends` bytes to rank
/// `to`, which expects another number.
std::string sizeDisagreement(const Operation &operation, int from,
                             int64_t sends, int to, int64_t expects);

/// The reason to end a job whose rank `rank` sends itself something other than
/// what it expects.
std::string keptSizeError(int rank, const Operation &operation, int64_t kept,
                          int64_t expected);

/// The sum of `count` sizes; -1 when one is negative or they have no sum.
int64_t sumOfSizes(const int64_t *sizes, int count);

} // namespace dsv2rt::comm

#endif // DSV2RT_LIB_COMM_OPERATION_H
