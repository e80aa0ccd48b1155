//===- RuntimeEntries.cpp - declarations of abi.def -----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RuntimeEntries.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::dsv2;

namespace {
/// Signatures of abi.def by name.
struct RuntimeEntry {
  StringLiteral name;
  char result;
  StringLiteral arguments;
};
constexpr RuntimeEntry kRuntimeEntries[] = {
#define DSV2RT_ENTRY(NAME, RESULT, SIGNATURE)                                  \
  {StringLiteral(#NAME), #RESULT[0], StringLiteral(SIGNATURE)},
#include "dsv2rt/abi.def"
};
} // namespace

func::FuncOp mlir::dsv2::declareFunction(ModuleOp module, StringRef name,
                                         TypeRange inputs, TypeRange results) {
  if (auto function = module.lookupSymbol<func::FuncOp>(name))
    return function;
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  auto function = func::FuncOp::create(b, module.getLoc(), name,
                                       b.getFunctionType(inputs, results));
  function.setPrivate();
  return function;
}

func::FuncOp mlir::dsv2::declareRuntimeEntry(ModuleOp module, StringRef name) {
  const RuntimeEntry *entry = llvm::find_if(
      kRuntimeEntries, [&](const RuntimeEntry &e) { return e.name == name; });
  assert(entry != std::end(kRuntimeEntries) && "not in abi.def");
  Builder b(module.getContext());
  auto getType = [&](char letter) -> Type {
    switch (letter) {
    case 'i':
      return b.getI32Type();
    case 'l':
      return b.getI64Type();
    default:
      return LLVM::LLVMPointerType::get(module.getContext());
    }
  };
  SmallVector<Type> inputs;
  for (char letter : entry->arguments)
    inputs.push_back(getType(letter));
  SmallVector<Type> results;
  if (entry->result != 'v')
    results.push_back(getType(entry->result));
  return declareFunction(module, name, inputs, results);
}

Value mlir::dsv2::getAddress(ImplicitLocOpBuilder &b, Value memref,
                             Value offset) {
  if (!offset)
    offset = memref::ExtractStridedMetadataOp::create(b, memref).getOffset();
  auto type = cast<MemRefType>(memref.getType());
  Value address = memref::ExtractAlignedPointerAsIndexOp::create(b, memref);
  int64_t elementBytes = type.getElementTypeBitWidth() / 8;
  Value bytes = arith::MulIOp::create(
      b, offset, arith::ConstantIndexOp::create(b, elementBytes));
  address = arith::AddIOp::create(b, address, bytes);
  Value number = arith::IndexCastOp::create(b, b.getI64Type(), address);
  return LLVM::IntToPtrOp::create(b, LLVM::LLVMPointerType::get(b.getContext()),
                                  number);
}

Value mlir::dsv2::getStepContext(Operation *op) {
  auto function = op->getParentOfType<func::FuncOp>();
  if (!function)
    return {};
  ArrayRef<BlockArgument> arguments = function.getArguments();
  if (arguments.size() < 2 || !arguments.back().getType().isInteger(32) ||
      !isa<LLVM::LLVMPointerType>(arguments[arguments.size() - 2].getType()))
    return {};
  return arguments[arguments.size() - 2];
}

StringRef mlir::dsv2::getSiteName(Operation *op) {
  auto name = dyn_cast<NameLoc>(op->getLoc());
  if (!name)
    return op->getName().stripDialect();
  StringRef text = name.getName().getValue();
  if (text.consume_front("model.layers."))
    text = text.split('.').second;
  return text;
}
