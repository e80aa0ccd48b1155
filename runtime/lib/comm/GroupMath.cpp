//===- GroupMath.cpp - what engines compute on their own ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GroupMath.h"

#include "Support.h"

#include <cstring>

using namespace dsv2rt;
using namespace dsv2rt::comm;

void comm::sumInOrder(const std::vector<const float *> &terms, int64_t count,
                      float *result) {
  constexpr int64_t block = 512;
  alignas(64) float sums[block];
  for (int64_t start = 0; start < count; start += block) {
    const int64_t now = std::min(block, count - start);
    std::memcpy(sums, terms[0] + start, now * sizeof(float));
    for (size_t t = 1; t < terms.size(); ++t) {
      const float *term = terms[t] + start;
      for (int64_t i = 0; i < now; ++i)
        sums[i] += term[i];
    }
    std::memcpy(result + start, sums, now * sizeof(float));
  }
}

Expected<SplitPart> comm::arrangeSplit(const std::vector<SplitWish> &wishes,
                                       int index, int rank) {
  SplitPart part = {};
  int64_t free = (int64_t(1) << maxGroups) - 1;
  for (size_t place = 0; place < wishes.size(); ++place)
    if (wishes[place].color == wishes[index].color) {
      part.places.push_back(int(place));
      free &= wishes[place].freeGroups;
    }
  if (free == 0)
    return makeError(StatusCode::Unsupported, "rank ", rank,
                     " cannot join another group: a rank can be in at most ",
                     maxGroups, " at once");
  part.group = __builtin_ctzll(free);
  std::sort(part.places.begin(), part.places.end(), [&](int a, int b) {
    return std::pair(wishes[a].key, a) < std::pair(wishes[b].key, b);
  });
  part.index = int(std::find(part.places.begin(), part.places.end(), index) -
                   part.places.begin());
  return part;
}
