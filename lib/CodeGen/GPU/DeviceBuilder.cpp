//===- DeviceBuilder.cpp - arithmetic of device kernels -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/GPU/DeviceBuilder.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::dsv2::gpu;

Value DeviceBuilder::i32(int64_t value) {
  return arith::ConstantOp::create(*this, getI32IntegerAttr(value));
}
Value DeviceBuilder::f32(double value) {
  return arith::ConstantOp::create(*this, getF32FloatAttr(value));
}
Value DeviceBuilder::add(Value a, Value b) {
  return createOrFold<arith::AddIOp>(a, b);
}
Value DeviceBuilder::sub(Value a, Value b) {
  return createOrFold<arith::SubIOp>(a, b);
}
Value DeviceBuilder::mul(Value a, Value b) {
  return createOrFold<arith::MulIOp>(a, b);
}
Value DeviceBuilder::div(Value a, Value b) {
  return createOrFold<arith::DivUIOp>(a, b);
}
Value DeviceBuilder::rem(Value a, Value b) {
  return createOrFold<arith::RemUIOp>(a, b);
}
Value DeviceBuilder::min(Value a, Value b) {
  return createOrFold<arith::MinSIOp>(a, b);
}
Value DeviceBuilder::max(Value a, Value b) {
  return createOrFold<arith::MaxSIOp>(a, b);
}
Value DeviceBuilder::less(Value a, Value b) {
  return createOrFold<arith::CmpIOp>(arith::CmpIPredicate::slt, a, b);
}
Value DeviceBuilder::equal(Value a, Value b) {
  return createOrFold<arith::CmpIOp>(arith::CmpIPredicate::eq, a, b);
}
Value DeviceBuilder::logicalAnd(Value a, Value b) {
  return createOrFold<arith::AndIOp>(a, b);
}
Value DeviceBuilder::select(Value condition, Value a, Value b) {
  return createOrFold<arith::SelectOp>(condition, a, b);
}
Value DeviceBuilder::fadd(Value a, Value b) {
  return arith::AddFOp::create(*this, a, b);
}
Value DeviceBuilder::fsub(Value a, Value b) {
  return arith::SubFOp::create(*this, a, b);
}
Value DeviceBuilder::fmul(Value a, Value b) {
  return arith::MulFOp::create(*this, a, b);
}
Value DeviceBuilder::fmax(Value a, Value b) {
  return arith::MaxNumFOp::create(*this, a, b);
}

void DeviceBuilder::ifThen(Value condition, llvm::function_ref<void()> body) {
  auto branch = scf::IfOp::create(*this, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPoint(branch.thenYield());
  body();
}

SmallVector<Value> DeviceBuilder::ifYield(Value condition, MakeValues thenBody,
                                          MakeValues elseBody) {
  // Bodies are written where they can see the kernel around them, before it is
  // known what they give.
  auto create = [&](TypeRange types, bool withBlocks) {
    return scf::IfOp::create(*this, types, condition, withBlocks, withBlocks);
  };
  scf::IfOp draft = create(TypeRange(), /*withBlocks=*/true);
  auto fill = [&](Block *block, MakeValues body) {
    OpBuilder::InsertionGuard guard(*this);
    setInsertionPointToStart(block);
    return scf::YieldOp::create(*this, body());
  };
  scf::YieldOp yield = fill(draft.thenBlock(), thenBody);
  fill(draft.elseBlock(), elseBody);
  scf::IfOp branch = create(yield.getOperandTypes(), /*withBlocks=*/false);
  branch.getThenRegion().takeBody(draft.getThenRegion());
  branch.getElseRegion().takeBody(draft.getElseRegion());
  draft.erase();
  return SmallVector<Value>(branch.getResults());
}

SmallVector<Value> DeviceBuilder::ifYield(Value condition, MakeValues thenBody,
                                          ValueRange otherwise) {
  return ifYield(condition, thenBody,
                 [&] { return SmallVector<Value>(otherwise); });
}
