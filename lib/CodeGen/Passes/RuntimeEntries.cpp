//===- RuntimeEntries.cpp - declarations of abi.def -----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RuntimeEntries.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

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
