//===- KernelReference.cpp - Tile kernels by their reference --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelReference.h"

#include "dsv2/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"

#include <gtest/gtest.h>

using namespace mlir;
using namespace mlir::dsv2;

test::KernelReference::KernelReference(
    const std::function<void(ModuleOp)> &build)
    : module("native") {
  OwningOpRef<ModuleOp> source(
      ModuleOp::create(UnknownLoc::get(&getContext())));
  build(*source);
  name = SymbolTable::getSymbolName(&source->getBody()->front()).str();
  PassManager passes(&getContext());
  passes.addPass(createConvertTileToLoopsPass());
  // Where the processor cannot narrow to bfloat, LLVM would call a function of
  // libgcc, which not every libgcc has and no test links.
  arith::ArithExpandOpsPassOptions expand;
  expand.includeBf16 = true;
  passes.addPass(arith::createArithExpandOpsPass(expand));
  if (failed(verify(*source)) || failed(passes.run(*source))) {
    ADD_FAILURE() << "the kernel cannot be lowered";
    return;
  }
  std::string text;
  llvm::raw_string_ostream(text) << *source;
  compiled = module.addSource(text) && module.compile();
}
