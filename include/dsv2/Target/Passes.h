//===- Passes.h - device code on its way out --------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TARGET_PASSES_H
#define DSV2_TARGET_PASSES_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Pass/Pass.h"

namespace mlir::dsv2 {

#define GEN_PASS_DECL
#include "dsv2/Target/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "dsv2/Target/Passes.h.inc"

} // namespace mlir::dsv2

#endif // DSV2_TARGET_PASSES_H
