//===- DeviceOps.cpp - launches on a device -------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace mlir::dsv2;

LogicalResult
ParameterAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                      ParameterKind kind, int64_t operand, int64_t dim,
                      ArrayRef<int64_t> box, int64_t swizzle) {
  // parameter_c1
  if (operand < 0 || dim < 0)
    return emitError() << "expected operand and dimension not to be negative, "
                          "got "
                       << operand << " and " << dim;
  // parameter_c3
  bool hasDim = kind == ParameterKind::Size || kind == ParameterKind::Stride;
  if (dim != 0 && !hasDim)
    return emitError() << "expected a dimension only of a size or a stride";
  // parameter_c2
  if (kind != ParameterKind::TensorMap) {
    if (!box.empty() || swizzle != 0)
      return emitError() << "expected a box or a swizzle only of a tensor map";
    return success();
  }
  if (box.empty() || box.size() > 5)
    return emitError() << "expected a box of 1 to 5 extents, got "
                       << box.size();
  for (int64_t extent : box)
    if (extent < 1 || extent > 256)
      return emitError() << "expected extents of a box from 1 to 256, got "
                         << extent;
  if (!llvm::is_contained({0, 32, 64, 128}, swizzle))
    return emitError() << "expected a swizzle of 0, 32, 64 or 128 bytes, got "
                       << swizzle;
  return success();
}

LogicalResult DeviceLaunchOp::verify() {
  // device_launch_c5
  if (getGrid().empty() || getGrid().size() > 3)
    return emitOpError("expected a grid of one to three extents, got ")
           << getGrid().size();
  // device_launch_c6
  if (getLayer() && !getSite())
    return emitOpError("expected a site with the layer");
  // device_launch_c4
  SmallVector<Type> expected;
  for (Value output : getOutputs())
    if (isa<TensorType>(output.getType()))
      expected.push_back(output.getType());
  if (!llvm::equal(expected, getResultTypes()))
    return emitOpError("expected one result for each of ")
           << expected.size() << " tensor outputs, of the output's type";
  return success();
}

/// What is wrong with how `parameter` reads `operand`, or an empty text.
static std::string checkParameter(ParameterAttr parameter, Type operand) {
  auto shaped = dyn_cast<ShapedType>(operand);
  if (parameter.getKind() == ParameterKind::Value)
    return operand.isIndex() ? "" : "expects an index";
  if (!shaped || !shaped.hasRank())
    return "expects a tensor or a memory reference";
  bool hasDim = parameter.getKind() == ParameterKind::Size ||
                parameter.getKind() == ParameterKind::Stride;
  if (hasDim && parameter.getDim() >= shaped.getRank())
    return "expects more than " + std::to_string(parameter.getDim()) +
           " dimensions";
  if (parameter.getKind() == ParameterKind::TensorMap &&
      static_cast<int64_t>(parameter.getBox().size()) != shaped.getRank())
    return "expects " + std::to_string(parameter.getBox().size()) +
           " dimensions";
  return "";
}

LogicalResult
DeviceLaunchOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  // device_launch_c1
  auto kernel = symbolTable.lookupNearestSymbolFrom<FunctionOpInterface>(
      *this, getKernelAttr());
  if (!kernel)
    return emitOpError("expected 'kernel' to name a function of the device, "
                       "got ")
           << getKernelAttr();
  auto parameters = kernel->getAttrOfType<ArrayAttr>(kParametersAttr);
  if (!parameters || parameters.size() != kernel.getNumArguments())
    return (emitOpError("expected a kernel with one '")
            << kParametersAttr << "' entry for each argument")
               .attachNote(kernel.getLoc())
           << "the kernel is defined here";
  int64_t operands = getInputs().size() + getOutputs().size();
  for (auto [index, attr] : llvm::enumerate(parameters)) {
    // device_launch_c2, device_launch_c3
    auto parameter = dyn_cast<ParameterAttr>(attr);
    if (!parameter || parameter.getOperand() >= operands)
      return emitOpError("expected parameter ")
             << index << " of the kernel to come from one of " << operands
             << " operands, got " << attr;
    Type type = getNumbered(parameter.getOperand()).getType();
    std::string wrong = checkParameter(parameter, type);
    if (!wrong.empty())
      return emitOpError("parameter ")
             << index << ", " << parameter << ", " << wrong << ", got " << type;
  }
  return success();
}

void DeviceLaunchOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  auto add = [&](MemoryEffects::Effect *effect, OpOperand &operand) {
    if (isa<MemRefType>(operand.get().getType()))
      effects.emplace_back(effect, &operand,
                           SideEffects::DefaultResource::get());
  };
  for (OpOperand &input : getInputsMutable()) {
    add(MemoryEffects::Read::get(), input);
    if (getOutputs().empty())
      add(MemoryEffects::Write::get(), input);
  }
  for (OpOperand &output : getOutputsMutable()) {
    add(MemoryEffects::Read::get(), output);
    add(MemoryEffects::Write::get(), output);
  }
}
