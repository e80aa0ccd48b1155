//===- SliceBlocks.h - where a slice lies in its tensor ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_SLICEBLOCKS_H
#define DSV2RT_LIB_CORE_SLICEBLOCKS_H

#include "dsv2rt/Checkpoint.h"
#include "dsv2rt/Status.h"

#include <cstdint>

namespace dsv2rt {

/// A slice of a dense row-major tensor: `count` blocks of `size` adjacent
/// elements, the first at element `begin` and each of the others `stride`
/// further. A slice of the first dimension is one block.
struct SliceBlocks {
  int64_t begin = 0;
  int64_t size = 0;
  int64_t stride = 0;
  int64_t count = 0;
};

/// Errors: InvalidArgument for a slice outside the tensor, and for a tensor too
/// large to address.
Expected<SliceBlocks> sliceBlocks(const TensorSpec &spec,
                                  const TensorSlice &slice);

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_SLICEBLOCKS_H
