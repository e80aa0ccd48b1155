//===- SampleRow.h - a row of logits to choose from -------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_SAMPLEROW_H
#define DSV2_LIB_CODEGEN_GPU_SAMPLEROW_H

#include "dsv2/CodeGen/GPU/SimtBuilder.h"
#include "dsv2rt/abi.h"

#include <cstddef>
#include <limits>

namespace mlir::dsv2::gpu {

/// What comes after the last token.
inline constexpr int64_t kNoToken = std::numeric_limits<int32_t>::max();

/// The largest logit of some tokens, and the first token that has it.
struct Best {
  Value logit, token;
  /// Not 0: there is a NaN or +inf among them.
  Value bad;
};

/// What the kernels know of one row.
class SampleRow {
public:
  /// Adjacent logits that are loaded together.
  static constexpr int64_t kUnroll = 4;

  SampleRow(SimtBuilder &b, Value row, Value logits, Value stride,
            Value sampling, Value seen, Value seenStride);

  /// Where a part of the vocabulary (DSV2RT_SAMPLE_PARTS) begins and ends: at a
  /// multiple of kUnroll, or the end of all. The last ones may be empty.
  std::pair<Value, Value> part(Value index);

  /// The logit of a token as it was computed.
  Value loadLogit(Value token);
  /// The word that tells whether a token has occurred, and the token's logit
  /// after the penalty, which there is.
  Value loadSeen(Value token);
  Value penalise(Value word, Value token, Value logit);

  /// The better of two.
  Best better(const Best &one, const Best &other);
  /// The best of a warp's, in all lanes.
  Best bestOfWarp(Best best);
  Best none() { return {b.f32(-kInfinity), b.i32(kNoToken), b.i32(0)}; }

  Value setting(Type type, size_t offset) {
    Value base = b.at(sampling, b.getI32Type(),
                      b.mul(row, sizeof(dsv2rt_sampling_row) / 4));
    return b.load(type, b.at(base, b.getI32Type(), b.i32(offset / 4)));
  }

  static constexpr float kInfinity = std::numeric_limits<float>::infinity();

  SimtBuilder &b;
  Type i32, i64, f32;
  Value row, logits, stride, sampling, seen, seenStride;
  /// Tokens to choose from, and whether there is a penalty.
  Value vocabulary, penalty, inversePenalty, hasPenalty;
};

inline Value compare(SimtBuilder &b, arith::CmpFPredicate predicate, Value x,
                     Value y) {
  return arith::CmpFOp::create(b, predicate, x, y);
}

inline Value compare(SimtBuilder &b, arith::CmpIPredicate predicate, Value x,
                     Value y) {
  return arith::CmpIOp::create(b, predicate, x, y);
}

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_SAMPLEROW_H
