//===- PageAllocator.h - pages of the latent cache --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_PAGEALLOCATOR_H
#define DSV2RT_PAGEALLOCATOR_H

#include <cstdint>
#include <vector>

namespace dsv2rt {

/// Hands out page numbers 0 .. pages - 1, each with a count of its users. The
/// page freed last is handed out first, so memory in use stays small.
class PageAllocator {
public:
  explicit PageAllocator(int32_t pages = 0);

  /// A page with one user, or -1 when there is none left.
  int32_t allocate();

  /// Adds a user to `page`, which must be in use.
  void retain(int32_t page);

  /// Takes a user from `page`; true when it was the last one.
  bool release(int32_t page);

  /// The number of users of `page`.
  int32_t users(int32_t page) const { return counts[page]; }

  int32_t pages() const { return int32_t(counts.size()); }
  int32_t available() const { return int32_t(freeList.size()); }

private:
  std::vector<int32_t> counts;
  std::vector<int32_t> freeList;
};

} // namespace dsv2rt

#endif // DSV2RT_PAGEALLOCATOR_H
