//===- GroupMath.h - what engines compute on their own ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_COMM_GROUPMATH_H
#define DSV2RT_LIB_COMM_GROUPMATH_H

#include "dsv2rt/Status.h"

#include <cstdint>
#include <vector>

namespace dsv2rt::comm {

/// How many groups a rank can be in at once, the whole among them.
inline constexpr int maxGroups = 32;

/// Up to this many bytes, of all ranks together, every rank adds up everything,
/// in one round; beyond, each adds up a share and shows it the others.
inline constexpr int64_t directReduceBytes = 256 << 10;

/// Writes the sums of `count` floats at each of `terms`, taken in the order of
/// the terms, to `result`, which may be one of them.
void sumInOrder(const std::vector<const float *> &terms, int64_t count,
                float *result);

/// What a rank tells the others of its group when they split it.
struct SplitWish {
  int64_t color, key;
  /// Bit g: the rank can be in another group of the number g.
  int64_t freeGroups;
};

/// The group that a rank comes to be in.
struct SplitPart {
  /// The lowest number that is free for all members.
  int group;
  /// Places in the group that was split, in the order of the new one.
  std::vector<int> places;
  /// Which of them is this rank's.
  int index;
};

/// The part of the rank at `index` of a group whose ranks have these wishes.
/// Every member of a part gets the same. Unsupported when no number is free;
/// `rank` is for the message.
Expected<SplitPart> arrangeSplit(const std::vector<SplitWish> &wishes,
                                 int index, int rank);

} // namespace dsv2rt::comm

#endif // DSV2RT_LIB_COMM_GROUPMATH_H
