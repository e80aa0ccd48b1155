//===- DeviceBuilder.h - arithmetic of device kernels -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_GPU_DEVICEBUILDER_H
#define DSV2_CODEGEN_GPU_DEVICEBUILDER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace mlir::dsv2::gpu {

/// What builders of kernels for one thread and for tiles share. Integers are
/// i32; each method emits the op its name says, folded where possible.
class DeviceBuilder : public ImplicitLocOpBuilder {
public:
  using ImplicitLocOpBuilder::ImplicitLocOpBuilder;

  Value i32(int64_t value);
  Value f32(double value);
  Value add(Value a, Value b);
  Value add(Value a, int64_t b) { return add(a, i32(b)); }
  Value sub(Value a, Value b);
  Value mul(Value a, Value b);
  Value mul(Value a, int64_t b) { return mul(a, i32(b)); }
  /// Quotients and remainders; operands not negative.
  Value div(Value a, Value b);
  Value div(Value a, int64_t b) { return div(a, i32(b)); }
  Value rem(Value a, Value b);
  Value rem(Value a, int64_t b) { return rem(a, i32(b)); }
  Value ceilDiv(Value a, int64_t b) { return div(add(a, b - 1), b); }
  Value min(Value a, Value b);
  Value max(Value a, Value b);
  Value less(Value a, Value b);
  Value equal(Value a, Value b);
  Value logicalAnd(Value a, Value b);
  Value select(Value condition, Value a, Value b);
  Value fadd(Value a, Value b);
  Value fsub(Value a, Value b);
  Value fmul(Value a, Value b);
  /// The larger of two numbers; of a number and a NaN, the number.
  Value fmax(Value a, Value b);
  void ifThen(Value condition, llvm::function_ref<void()> body);
  using MakeValues = llvm::function_ref<SmallVector<Value>()>;
  /// What one of two bodies gives, of the same types; the second overload: what
  /// `thenBody` gives if the condition holds, else `otherwise`.
  SmallVector<Value> ifYield(Value condition, MakeValues thenBody,
                             MakeValues elseBody);
  SmallVector<Value> ifYield(Value condition, MakeValues thenBody,
                             ValueRange otherwise);
};

} // namespace mlir::dsv2::gpu

#endif // DSV2_CODEGEN_GPU_DEVICEBUILDER_H
