//===- TensorBox.h - boxes of tensors in global and shared memory -*- C++
//-*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_TENSORBOX_H
#define DSV2_LIB_EMULATOR_TENSORBOX_H

#include "TensorMap.h"

#include "llvm/ADT/STLFunctionalExtras.h"

#include <cstdint>

namespace dsv2::emulator {

/// A row of a box, along the innermost dimension.
struct BoxRow {
  /// Where it starts in the box, in bytes without swizzle.
  uint32_t offset = 0;
  /// The bytes [first, last) of it lie in the tensor, from `address` on.
  uint32_t first = 0, last = 0;
  uint64_t address = 0;
};

/// Calls `each` for the rows of the box of `map` at `coordinates` (elements,
/// may be negative), with the parts that lie within the tensor.
void forBoxRows(const TensorMap &map, const int32_t *coordinates,
                llvm::function_ref<void(const BoxRow &)> each);

/// The swizzled place of the 16 bytes that belong at `address` (PTX ISA,
/// "Tensor swizzling modes"): mode 3 (128 bytes) exchanges address bits 4 to 6
/// by bits 7 to 9, mode 2 bits 4 and 5 by 7 and 8, mode 1 bit 4 by bit 7.
inline uint64_t swizzled(uint64_t address, uint32_t mode) {
  uint64_t mask = (1u << mode) - 1;
  return address ^ (address >> 7 & mask) << 4;
}

/// Bytes of a row of the box.
uint32_t boxRowBytes(const TensorMap &map);

/// What a reduction does with the elements of the tensor.
enum class BoxReduction { None, Add, Min, Max, Inc, Dec, And, Or, Xor };

/// Combines `count` elements of `type` at `from` into those at `to`. Returns
/// false when the type has no such reduction (PTX ISA,
/// "cp.reduce.async.bulk.tensor").
bool reduceElements(CUtensorMapDataType type, BoxReduction reduction, void *to,
                    const void *from, uint32_t count);

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_TENSORBOX_H
