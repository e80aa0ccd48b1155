//===- OpCost.h - cost of ops as a function of the step ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_OPCOST_H
#define DSV2_DIALECT_DSV2_IR_OPCOST_H

#include <cstdint>

namespace mlir::dsv2 {

/// The sizes of a step that costs depend on.
struct StepShape {
  /// Tokens in the step (T).
  int64_t tokens = 1;
  /// Sequences in the step (S).
  int64_t sequences = 1;
  /// Tokens whose logits are wanted (R).
  int64_t rows = 1;
  /// Positions each token attends to, its own included.
  int64_t context = 1;
};

/// What an op does at least. Bytes count each distinct byte once.
struct OpCost {
  /// Floating-point operations; a multiply-add counts 2.
  double flops = 0;
  /// Bytes of weights read.
  double weightBytes = 0;
  /// Bytes of activations read and written.
  double activationBytes = 0;
  /// Bytes of the latent cache read and written.
  double cacheBytes = 0;
  /// Bytes sent to other ranks; where routing decides, the most it can be.
  double sentBytes = 0;

  OpCost &operator+=(const OpCost &other) {
    flops += other.flops;
    weightBytes += other.weightBytes;
    activationBytes += other.activationBytes;
    cacheBytes += other.cacheBytes;
    sentBytes += other.sentBytes;
    return *this;
  }

  /// The cost of doing it `times` times.
  OpCost operator*(double times) const {
    return {flops * times, weightBytes * times, activationBytes * times,
            cacheBytes * times, sentBytes * times};
  }
};

} // namespace mlir::dsv2

#endif // DSV2_DIALECT_DSV2_IR_OPCOST_H
