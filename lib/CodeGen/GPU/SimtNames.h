//===- SimtNames.h - names of kernels ---------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_SIMTNAMES_H
#define DSV2_LIB_CODEGEN_GPU_SIMTNAMES_H

#include "mlir/IR/BuiltinTypes.h"

namespace mlir::dsv2::gpu {

/// The part of a kernel's name that says what elements it works on.
inline llvm::StringRef elementName(Type type) {
  return type.isF32() ? "f32" : type.isBF16() ? "bf16" : "f16";
}

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_SIMTNAMES_H
