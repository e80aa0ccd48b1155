//===- PanelReader.h - Weights of a panel in blocks -------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_CPU_PANELREADER_H
#define DSV2_LIB_CODEGEN_CPU_PANELREADER_H

#include "MatmulTile.h"
#include "dsv2/Support/BlockFormat.h"

namespace mlir::dsv2::cpu {

/// `type`, read at byte `at` of `slice`, a slice of bytes.
Value loadBytes(KernelBuilder &b, const Slice &slice, Value at,
                VectorType type);

/// Takes apart the panels of a format that has blocks: BlockFormat.h says what
/// lies where.
class PanelReader {
public:
  /// Bytes of a lane that a product takes at once.
  static constexpr int64_t kGroup = 4;

  PanelReader(KernelBuilder &b, PanelFormat format);

  /// Groups of a block.
  int64_t numGroups() const { return blocks.elements / kGroup; }
  /// Groups that come from one load.
  int64_t groupsAtOnce() const { return format == PanelFormat::Q8 ? 1 : 2; }

  /// Loads that have the groups of one half of the columns.
  int64_t numLoads() const { return numGroups() / groupsAtOnce(); }

  /// The unsigned bytes of the groups of load `index`, of numLoads(), for one
  /// half of the columns of block `k`.
  SmallVector<Value> getGroups(const Slice &panel, Value k, Value index,
                               Value half) const;
  /// What the unsigned bytes are above the numbers they stand for.
  int64_t offset() const { return format == PanelFormat::Q8 ? 128 : 8; }
  /// The scales of one half of the columns of block `k`, as f32.
  Value getScales(const Slice &panel, Value k, Value half) const;

private:
  Value load(const Slice &panel, Value k, Value byte, VectorType type) const;

  KernelBuilder &b;
  PanelFormat format;
  const BlockFormat &blocks;
  int64_t width, lanes;
};

inline constexpr int64_t kCacheLine = 64;

/// What a loop over the blocks of one panel fetches in its iteration k: `lines`
/// cache lines from byte `first` + k * `stride` on, counted from the start of
/// some panel. What they name need not exist. `fewLines`: mostly one or two, so
/// that the loop over them should not be unrolled.
struct ReadAhead {
  Value first, stride, lines;
  bool fewLines = false;
};

/// Emits the fetches of iteration `k`, counted from the start of `panel`: into
/// the nearest cache, or into the one behind it.
void emitReadAhead(KernelBuilder &b, const Slice &panel, Value k,
                   const ReadAhead &ahead, bool keepClose);

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_PANELREADER_H
