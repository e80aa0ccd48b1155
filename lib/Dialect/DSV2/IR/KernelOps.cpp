//===- KernelOps.cpp - launches and what they read ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace mlir::dsv2;

//===----------------------------------------------------------------------===//
// LaunchOp
//===----------------------------------------------------------------------===//

LogicalResult LaunchOp::verify() {
  // launch_c3
  SmallVector<Type> expected;
  for (Value output : getOutputs())
    if (isa<TensorType>(output.getType()))
      expected.push_back(output.getType());
  if (expected.size() != getNumResults())
    return emitOpError("expected one result for each of ")
           << expected.size() << " tensor outputs, got " << getNumResults();
  for (auto [index, type, result] : llvm::enumerate(expected, getResultTypes()))
    if (type != result)
      return emitOpError("expected result ")
             << index << " to have its output's type " << type << ", got "
             << result;
  // launch_c5
  if (getInputs().empty() && getOutputs().empty())
    return emitOpError("expected at least one input or output");
  // launch_c4
  if (!getSerialBelow())
    return success();
  if (getSerialBelowAttr().getInt() < 0)
    return emitOpError("expected 'serial_below' not to be negative, got ")
           << getSerialBelowAttr().getInt();
  Type measured = getOutputs().empty() ? getInputs().front().getType()
                                       : getOutputs().front().getType();
  auto shaped = dyn_cast<ShapedType>(measured);
  if (!shaped || !shaped.hasRank() || shaped.getRank() == 0)
    return emitOpError("expected 'serial_below' to measure an operand of rank "
                       "1 or more, got ")
           << measured;
  return success();
}

LogicalResult LaunchOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  // launch_c1
  auto kernel = symbolTable.lookupNearestSymbolFrom<FunctionOpInterface>(
      *this, getKernelAttr());
  if (!kernel)
    return emitOpError("expected 'kernel' to name a function, got @")
           << getKernel();
  SmallVector<Type> operands(getInputs().getTypes());
  llvm::append_range(operands, getOutputs().getTypes());
  ArrayRef<Type> arguments = kernel.getArgumentTypes();
  if (!kernel.getResultTypes().empty() ||
      arguments.size() != operands.size() + 2 ||
      !arguments[arguments.size() - 1].isIndex() ||
      !arguments[arguments.size() - 2].isIndex())
    return (emitOpError("expected a kernel without results that takes ")
            << operands.size() << " operands and two index values")
               .attachNote(kernel.getLoc())
           << "the kernel is " << kernel.getFunctionType();
  // launch_c2
  for (auto [index, operand, argument] :
       llvm::enumerate(operands, arguments.drop_back(2))) {
    auto shaped = dyn_cast<ShapedType>(operand);
    auto expected = dyn_cast<ShapedType>(argument);
    bool agree = shaped && expected
                     ? shaped.hasRank() && expected.hasRank() &&
                           shaped.getRank() == expected.getRank() &&
                           shaped.getElementType() == expected.getElementType()
                     : operand == argument;
    if (!agree)
      return (emitOpError("expected operand ")
              << index << " to agree in rank and element type with " << argument
              << ", got " << operand)
                 .attachNote(kernel.getLoc())
             << "the kernel is defined here";
  }
  return success();
}

void LaunchOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  bool hasOutputs = !getOutputs().empty();
  for (OpOperand &input : getInputsMutable()) {
    if (!isa<MemRefType>(input.get().getType()))
      continue;
    effects.emplace_back(MemoryEffects::Read::get(), &input,
                         SideEffects::DefaultResource::get());
    // A kernel without outputs is run for what it does to its inputs: it
    // appends to the cache or copies its pages.
    if (!hasOutputs)
      effects.emplace_back(MemoryEffects::Write::get(), &input,
                           SideEffects::DefaultResource::get());
  }
  for (OpOperand &output : getOutputsMutable())
    if (isa<MemRefType>(output.get().getType()))
      effects.emplace_back(MemoryEffects::Write::get(), &output,
                           SideEffects::DefaultResource::get());
}

//===----------------------------------------------------------------------===//
// WeightViewOp
//===----------------------------------------------------------------------===//

LogicalResult WeightViewOp::verify() {
  // weight_view_c2; ODS checks that the shape is static, and weight_view_c1.
  auto type = cast<MemRefType>(getType());
  if (!type.getLayout().isIdentity())
    return emitOpError("expected a result with identity layout, got ") << type;
  // weight_view_c4
  if (type.getElementTypeBitWidth() % 8 != 0)
    return emitOpError("expected elements of whole bytes, got ") << type;
  // weight_view_c3
  if (getSlotAttr().getInt() < 0)
    return emitOpError("expected 'slot' not to be negative, got ")
           << getSlotAttr().getInt();
  return success();
}

//===----------------------------------------------------------------------===//
// TapOp
//===----------------------------------------------------------------------===//

LogicalResult TapOp::verify() {
  // tap_c1
  auto type = cast<ShapedType>(getValue().getType());
  Type element = type.getElementType();
  if (!type.hasRank() || (type.getRank() != 2 && type.getRank() != 3) ||
      !(element.isF32() || element.isBF16() || element.isInteger(32)))
    return emitOpError("expected 'value' to be of rank 2 or 3 with f32, bf16 "
                       "or i32 elements, got ")
           << type;
  // tap_c2
  int64_t level = getLevelAttr().getInt();
  std::optional<int64_t> largest = getLargest();
  if (largest ? level != 0 : level != 1 && level != 2)
    return emitOpError("expected 'level' to be ")
           << (largest ? "0" : "1 or 2") << ", got " << level;
  // tap_c3; ODS checks that the result is a tensor.
  if (Value replaced = getReplaced(); replaced && replaced.getType() != type)
    return emitOpError("expected a result of the value's type ")
           << type << ", got " << replaced.getType();
  // tap_c4
  if (!largest)
    return success();
  if (*largest < 1)
    return emitOpError("expected 'largest' to be at least 1, got ") << *largest;
  if (type.getRank() != 2 || !element.isF32())
    return emitOpError("expected 'value' to be of rank 2 with f32 elements, "
                       "got ")
           << type;
  if (getLayer() || getReplaced() || getExchanged())
    return emitOpError("expected neither a layer nor a result nor 'exchanged' "
                       "with 'largest'");
  return success();
}
