//===- MeshShape.h - how many ranks a model is split over -------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_SUPPORT_MESHSHAPE_H
#define DSV2_SUPPORT_MESHSHAPE_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>

namespace mlir::dsv2 {

/// Ranks along the two axes of a mesh.
struct MeshShape {
  /// Heads, vocabulary and widths of feed-forward networks are split over it.
  int64_t tp = 1;
  /// Sequences and routed experts are split over it.
  int64_t ep = 1;

  int64_t ranks() const { return tp * ep; }

  /// Reads `tp=T,ep=E`, either of which may be missing; empty is one rank.
  /// Errors: unknown or repeated axes, sizes that are not positive, and more
  /// than 65536 ranks.
  static llvm::Expected<MeshShape> parse(llvm::StringRef text);

  /// "tp=2,ep=4".
  std::string str() const;
};

/// "1, 2 and 4": the numbers that divide `extent`, for messages.
std::string listDivisors(int64_t extent);

} // namespace mlir::dsv2

#endif // DSV2_SUPPORT_MESHSHAPE_H
