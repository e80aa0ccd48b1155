//===- KernelOps.cpp - kernels, roles and what they share ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyUtils.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/FunctionImplementation.h"

using namespace mlir;
using namespace mlir::dsv2::tile;

//===----------------------------------------------------------------------===//
// KernelOp
//===----------------------------------------------------------------------===//

void KernelOp::build(OpBuilder &builder, OperationState &state, StringRef name,
                     FunctionType type, StringRef chip, int64_t threads) {
  Properties &properties = state.getOrAddProperties<Properties>();
  properties.sym_name = builder.getStringAttr(name);
  properties.function_type = TypeAttr::get(type);
  properties.chip = builder.getStringAttr(chip);
  properties.threads = builder.getI32IntegerAttr(threads);
  Region *body = state.addRegion();
  Block &block = body->emplaceBlock();
  for (Type argument : type.getInputs())
    block.addArgument(argument, state.location);
}

ParseResult KernelOp::parse(OpAsmParser &parser, OperationState &result) {
  auto buildType = [](Builder &builder, ArrayRef<Type> arguments,
                      ArrayRef<Type> results,
                      function_interface_impl::VariadicFlag, std::string &) {
    return builder.getFunctionType(arguments, results);
  };
  if (function_interface_impl::parseFunctionOp(
          parser, result, /*allowVariadic=*/false,
          getFunctionTypeAttrName(result.name), buildType,
          getArgAttrsAttrName(result.name), getResAttrsAttrName(result.name)))
    return failure();
  if (result.regions.front()->empty())
    return parser.emitError(parser.getNameLoc(), "expected a body");
  return success();
}

void KernelOp::print(OpAsmPrinter &printer) {
  function_interface_impl::printFunctionOp(
      printer, *this, /*isVariadic=*/false, getFunctionTypeAttrName(),
      getArgAttrsAttrName(), getResAttrsAttrName());
}

LogicalResult KernelOp::verifyRegions() { return verifyKernel(); }

//===----------------------------------------------------------------------===//
// RoleOp
//===----------------------------------------------------------------------===//

void RoleOp::build(OpBuilder &builder, OperationState &state, StringRef name,
                   int64_t first, int64_t last, int64_t by, int64_t registers,
                   bool single) {
  Properties &properties = state.getOrAddProperties<Properties>();
  properties.name = builder.getStringAttr(name);
  properties.first = builder.getI32IntegerAttr(first);
  properties.last = builder.getI32IntegerAttr(last);
  properties.by = builder.getI32IntegerAttr(by);
  if (registers)
    properties.registers = builder.getI32IntegerAttr(registers);
  if (single)
    properties.single = builder.getUnitAttr();
  state.addRegion()->emplaceBlock().addArgument(builder.getI32Type(),
                                                state.location);
}

ParseResult RoleOp::parse(OpAsmParser &parser, OperationState &result) {
  Builder &builder = parser.getBuilder();
  Properties &properties = result.getOrAddProperties<Properties>();
  auto parseNumber = [&](IntegerAttr &attr) -> ParseResult {
    int32_t value;
    if (parser.parseInteger(value))
      return failure();
    attr = builder.getI32IntegerAttr(value);
    return success();
  };
  std::string name;
  if (parser.parseString(&name) || parser.parseKeyword("warps") ||
      parseNumber(properties.first) || parser.parseKeyword("to") ||
      parseNumber(properties.last) || parser.parseKeyword("by") ||
      parseNumber(properties.by))
    return failure();
  properties.name = builder.getStringAttr(name);
  if (succeeded(parser.parseOptionalKeyword("registers")) &&
      failed(parseNumber(properties.registers)))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("single")))
    properties.single = builder.getUnitAttr();
  OpAsmParser::Argument instance;
  if (parser.parseLParen() || parser.parseArgument(instance) ||
      parser.parseRParen() ||
      parser.parseOptionalAttrDictWithKeyword(result.attributes))
    return failure();
  instance.type = builder.getI32Type();
  Region *body = result.addRegion();
  if (parser.parseRegion(*body, instance))
    return failure();
  return success();
}

void RoleOp::print(OpAsmPrinter &printer) {
  printer << " \"" << getName() << "\" warps " << getFirst() << " to "
          << getLast() << " by " << getBy();
  if (getRegisters())
    printer << " registers " << *getRegisters();
  if (getSingle())
    printer << " single";
  printer << " (";
  printer.printRegionArgument(getBody().getArgument(0), {}, /*omitType=*/true);
  printer << ")";
  printer.printOptionalAttrDictWithKeyword(
      (*this)->getAttrs(),
      {"name", "first", "last", "by", "registers", "single"});
  printer << " ";
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

//===----------------------------------------------------------------------===//
// Numbers of the launch
//===----------------------------------------------------------------------===//

static LogicalResult verifyDimension(Operation *op, int64_t dimension) {
  if (dimension < 0 || dimension > 2)
    return op->emitOpError("expected 'dimension' to be 0, 1 or 2, got ")
           << dimension;
  return success();
}

LogicalResult BlockIdOp::verify() {
  // block_id_c1
  return verifyDimension(*this, static_cast<int32_t>(getDimension()));
}

LogicalResult GridSizeOp::verify() {
  // grid_size_c1
  return verifyDimension(*this, static_cast<int32_t>(getDimension()));
}

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

LogicalResult SharedOp::verify() {
  // declare_c1
  if (getType().getOfRows() != getType().getRows())
    return emitOpError("expected a whole tile, got a view of ")
           << getType().getOfRows() << " rows";
  return success();
}

LogicalResult SharedStageOp::verify() {
  // shared_stage_c1
  SharedType source = getSource().getType();
  if (!source.hasStages() || source.getStage() != getType())
    return emitOpError("expected a stage of ")
           << source << ", got " << getType();
  return success();
}

LogicalResult SharedViewOp::verify() {
  SharedType source = getSource().getType(), result = getType();
  // shared_view_c1
  if (source.hasStages() || result.hasStages() ||
      source.getElementType() != result.getElementType() ||
      source.getSwizzle() != result.getSwizzle() ||
      source.getOfRows() != result.getOfRows())
    return emitOpError(
               "expected source and result without stages that agree in "
               "elements, swizzle and height of panels, got ")
           << source << " and " << result;
  // shared_view_c2
  if (!source.getSwizzle() && source.getColumns() != result.getColumns())
    return emitOpError("expected all columns of a tile without swizzle, got ")
           << result;
  // shared_view_c3
  if (result.getColumns() > source.getColumns() ||
      result.getRows() > source.getRows())
    return emitOpError("expected a part of ") << source << ", got " << result;
  // shared_view_c4
  llvm::APInt start;
  if (matchPattern(getRow(), m_ConstantInt(&start)) &&
      (start.isNegative() || start.getSExtValue() % 8 != 0 ||
       start.getSExtValue() + result.getRows() > source.getRows()))
    return emitOpError("expected 'row' to be a multiple of 8 within the "
                       "source, got ")
           << start.getSExtValue();
  // shared_view_c5
  if (matchPattern(getColumn(), m_ConstantInt(&start)) &&
      (start.isNegative() ||
       start.getSExtValue() % source.getPanelColumns() != 0 ||
       start.getSExtValue() + result.getColumns() > source.getColumns()))
    return emitOpError("expected 'column' to be a panel's first within the "
                       "source, got ")
           << start.getSExtValue();
  return success();
}

//===----------------------------------------------------------------------===//
// AwaitPredecessorsOp
//===----------------------------------------------------------------------===//

LogicalResult AwaitPredecessorsOp::verify() {
  // await_predecessors_c1
  for (Operation *op = (*this)->getPrevNode(); op; op = op->getPrevNode())
    if (isa<AwaitPredecessorsOp>(op))
      return emitOpError("expected no more than one in a kernel");
  return success();
}

//===----------------------------------------------------------------------===//
// BarrierOp
//===----------------------------------------------------------------------===//

LogicalResult BarrierOp::verify() {
  int64_t id = static_cast<int32_t>(getId());
  int64_t threads = static_cast<int32_t>(getThreads());
  // barrier_c1
  if (id < 1 || id > 15)
    return emitOpError("expected 'id' to be from 1 to 15, got ") << id;
  // barrier_c2
  if (threads < 32 || threads % 32 != 0)
    return emitOpError(
               "expected 'threads' to be a positive multiple of 32, got ")
           << threads;
  // barrier_c3
  return verifyWholeWarps(*this);
}
