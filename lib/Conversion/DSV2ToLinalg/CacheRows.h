//===- CacheRows.h - rows of a quantised latent cache -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One element after the other, as Support/CacheFormat.h defines them.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CONVERSION_DSV2TOLINALG_CACHEROWS_H
#define DSV2_LIB_CONVERSION_DSV2TOLINALG_CACHEROWS_H

#include "Builders.h"
#include "dsv2/Support/CacheFormat.h"

namespace mlir::dsv2::reference {

/// A row of a quantised cache in memory [layer, page, row, byte].
struct QuantizedRow {
  Value cache, layer, page, row;

  Value load(LocBuilder &b, Value byte) const;
  void store(LocBuilder &b, Value value, Value byte) const;
};

/// Rounds row `token` of `source` [tokens, part.width] and writes it to `row`.
void encodePart(LocBuilder &b, const CachePart &part, Value source, Value token,
                const QuantizedRow &row);

/// Element `column` of a part, in f32.
Value decodeElement(LocBuilder &b, const CachePart &part, Value column,
                    const QuantizedRow &row);

} // namespace mlir::dsv2::reference

#endif // DSV2_LIB_CONVERSION_DSV2TOLINALG_CACHEROWS_H
