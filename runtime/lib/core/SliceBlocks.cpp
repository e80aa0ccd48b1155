//===- SliceBlocks.cpp - where a slice lies in its tensor -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SliceBlocks.h"
#include "Support.h"

using namespace dsv2rt;

Expected<SliceBlocks> dsv2rt::sliceBlocks(const TensorSpec &spec,
                                          const TensorSlice &slice) {
  int64_t elements = elementCount(spec.shape);
  if (elements < 0)
    return makeError(StatusCode::InvalidArgument, "tensor ", quote(spec.name),
                     " of shape ", shapeText(spec.shape),
                     " is too large to address");
  if (slice.dim < 0)
    return SliceBlocks{0, elements, elements, 1};
  int64_t dims = int64_t(spec.shape.size());
  if (slice.dim >= dims || slice.begin < 0 || slice.size < 0 ||
      slice.begin > spec.shape[slice.dim] ||
      slice.size > spec.shape[slice.dim] - slice.begin)
    return makeError(StatusCode::InvalidArgument, "tensor ", quote(spec.name),
                     " of shape ", shapeText(spec.shape), " has no ",
                     slice.size, " indices from ", slice.begin,
                     " on of dimension ", slice.dim);
  SliceBlocks blocks{0, 1, 1, 1};
  for (int64_t dim = 0; dim < slice.dim; ++dim)
    blocks.count *= spec.shape[dim];
  int64_t inner = 1;
  for (int64_t dim = slice.dim + 1; dim < dims; ++dim)
    inner *= spec.shape[dim];
  blocks.begin = slice.begin * inner;
  blocks.size = slice.size * inner;
  blocks.stride = spec.shape[slice.dim] * inner;
  return blocks;
}
