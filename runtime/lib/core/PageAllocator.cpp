//===- PageAllocator.cpp - pages of the latent cache ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/PageAllocator.h"

#include <cassert>

using namespace dsv2rt;

PageAllocator::PageAllocator(int32_t pages) : counts(pages, 0) {
  freeList.reserve(pages);
  for (int32_t page = pages; page-- > 0;)
    freeList.push_back(page);
}

int32_t PageAllocator::allocate() {
  if (freeList.empty())
    return -1;
  int32_t page = freeList.back();
  freeList.pop_back();
  counts[page] = 1;
  return page;
}

void PageAllocator::retain(int32_t page) {
  assert(counts[page] > 0 && "only a page in use can get another user");
  ++counts[page];
}

bool PageAllocator::release(int32_t page) {
  assert(counts[page] > 0 && "page released more often than retained");
  if (--counts[page])
    return false;
  freeList.push_back(page);
  return true;
}
