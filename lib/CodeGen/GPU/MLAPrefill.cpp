//===- MLAPrefill.cpp - What expanded attention's kernels share -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MLAPrefill.h"
#include "dsv2/CodeGen/GPU/KernelCosts.h"
#include "dsv2/CodeGen/GPU/KernelParameters.h"

#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

int64_t MLAPrefillShape::swizzle() const {
  int64_t bytes = 128;
  while (bytes > 32 &&
         (2 * nope % bytes || 2 * rope % bytes || 2 * value % bytes))
    bytes /= 2;
  return bytes;
}

int64_t gpu::getPrefillKeys(const MLAPrefillShape &shape, StringRef chip) {
  // On sm_80 a piece of 16 bytes of each part for each of 256 threads, at
  // least.
  int64_t narrowest = std::min({shape.nope, shape.rope, shape.value});
  return chip == "sm_90a" || narrowest < 32 ? 128 : 64;
}

std::optional<std::string> gpu::explainUnsupported(const MLAPrefillShape &shape,
                                                   StringRef chip) {
  if (shape.heads < 1)
    return "expanded attention: expected a head or more, got " +
           std::to_string(shape.heads);
  for (int64_t part : {shape.nope, shape.rope, shape.value})
    // On sm_80 each of 256 threads copies whole pieces of each part.
    if (part < 16 || part > 128 || part % 16 != 0 ||
        (chip != "sm_90a" && part > 16 && part % 32 != 0))
      return "expanded attention: expected keys' parts and values of a "
             "multiple "
             "of 16 elements up to 128" +
             std::string(chip == "sm_90a" ? "" : ", of 32 above 16,") + " on " +
             chip.str() + ", got " + std::to_string(part);
  int64_t keys = getPrefillKeys(shape, chip);
  int64_t elements =
      kPrefillRows * shape.query() + 2 * keys * (shape.query() + shape.value);
  if (2 * elements + 1024 > tile::getSharedLimit(chip))
    return "expanded attention: queries of " + std::to_string(shape.query()) +
           " and values of " + std::to_string(shape.value) +
           " elements are too long for the shared memory of " + chip.str();
  return std::nullopt;
}

std::string gpu::getMLAPrefillName(const MLAPrefillShape &shape,
                                   StringRef chip) {
  // The scale is in the code; its bits tell kernels apart.
  uint32_t bits = llvm::bit_cast<uint32_t>(static_cast<float>(shape.scale));
  return "mla_prefill_h" + std::to_string(shape.heads) + "_n" +
         std::to_string(shape.nope) + "r" + std::to_string(shape.rope) + "v" +
         std::to_string(shape.value) + (shape.f32Output ? "_f32" : "_bf16") +
         "_x" + llvm::utohexstr(bits, /*LowerCase=*/true) + "_" + chip.str();
}

PrefillTile gpu::findPrefillTile(TileBuilder &b, Value seqStarts,
                                 Value rowStarts, Value sequences) {
  Value zero = b.i32(0), one = b.i32(1), number = b.blockId(0);
  // Tiles are numbered sequence by sequence. In a sequence the last ones, which
  // have most to do, come first.
  SmallVector<Value> found = b.forLoop(
      zero, sequences, one, {zero, zero, zero, zero, zero, zero},
      [&](Value sequence, ValueRange state) {
        Value next = b.add(sequence, one);
        Value first = b.loadScalar(seqStarts, sequence);
        Value queries = b.sub(b.loadScalar(seqStarts, next), first);
        Value firstRow = b.loadScalar(rowStarts, sequence);
        Value rows = b.sub(b.loadScalar(rowStarts, next), firstRow);
        Value tiles = b.ceilDiv(queries, kPrefillRows);
        Value end = b.add(state[0], tiles);
        Value isOurs = b.logicalAnd(b.less(number, end),
                                    b.less(state[0], b.add(number, one)));
        Value start = b.mul(b.sub(b.sub(end, one), number), kPrefillRows);
        Value position = b.add(b.sub(rows, queries), start);
        auto pick = [&](Value value, Value before) {
          return b.select(isOurs, value, before);
        };
        Value left = b.sub(queries, start);
        Value length = b.add(position, b.min(left, b.i32(kPrefillRows)));
        return SmallVector<Value>{end,
                                  pick(b.add(first, start), state[1]),
                                  pick(left, state[2]),
                                  pick(firstRow, state[3]),
                                  pick(position, state[4]),
                                  pick(length, state[5])};
      });
  return {found[1], found[2], found[3], found[4], found[5]};
}

tile::KernelOp gpu::getOrCreateMLAPrefill(ModuleOp module,
                                          const MLAPrefillShape &shape,
                                          StringRef chip) {
  std::string name = getMLAPrefillName(shape, chip);
  if (auto kernel = module.lookupSymbol<tile::KernelOp>(name))
    return kernel;
  bool hopper = chip == "sm_90a";
  tile::KernelOp kernel = (hopper ? createMLAPrefillSm90
                                  : createMLAPrefillSm80)(module, name, shape);
  MLIRContext *c = module.getContext();
  int64_t keys = getPrefillKeys(shape, chip), swizzle = shape.swizzle();
  auto matrix = [&](int64_t operand, ArrayRef<int64_t> rows) {
    if (!hopper)
      return pointerOf(c, operand);
    SmallVector<int64_t> box(rows);
    box.push_back(swizzle / 2);
    return tensorMapOf(c, operand, box, swizzle);
  };
  setParameters(kernel,
                {matrix(0, {kPrefillRows, 1}), matrix(1, {keys, 1}),
                 matrix(2, {keys, 1}), matrix(3, {keys}), pointerOf(c, 7),
                 pointerOf(c, 4), pointerOf(c, 5), sizeOf(c, 6, 0)});
  setCostFacts(kernel, MLAPrefillFacts{shape, chip.str()});
  return kernel;
}
