//===- outside.cpp - another project registers the dialect ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/IR/MLIRContext.h"

#include <cstdio>

int main() {
  mlir::MLIRContext context;
  auto *dialect = context.getOrLoadDialect<mlir::dsv2::DSV2Dialect>();
  std::printf("%s\n", dialect->getNamespace().str().c_str());
  return 0;
}
