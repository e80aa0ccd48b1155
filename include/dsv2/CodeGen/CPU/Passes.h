//===- Passes.h - kernels to CPU code ---------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_CPU_PASSES_H
#define DSV2_CODEGEN_CPU_PASSES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace mlir::dsv2::cpu {

#define GEN_PASS_DECL
#include "dsv2/CodeGen/CPU/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "dsv2/CodeGen/CPU/Passes.h.inc"

} // namespace mlir::dsv2::cpu

#endif // DSV2_CODEGEN_CPU_PASSES_H
