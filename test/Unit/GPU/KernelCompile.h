//===- KernelCompile.h - Tile kernels to images -----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_GPU_KERNELCOMPILE_H
#define DSV2_TEST_UNIT_GPU_KERNELCOMPILE_H

#include "dsv2/Target/DeviceCode.h"
#include "dsv2/Target/StaticGate.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"

#include <functional>
#include <optional>
#include <string>

namespace mlir::dsv2::test {

/// A context with everything that kernels need.
MLIRContext &getContext();

/// Builds a module, verifies and lowers it, and makes LLVM IR for `chip`;
/// nothing, and failures of the test, if that does not work.
std::optional<DeviceCode>
compileKernel(const std::string &chip,
              const std::function<void(ModuleOp)> &build);

/// Holds the kernels of `code` to the static gate: with ptxas if there is one,
/// else what PTX alone says. Returns the report for further checks.
std::optional<ImageReport> expectGatePasses(const DeviceCode &code);

} // namespace mlir::dsv2::test

#endif // DSV2_TEST_UNIT_GPU_KERNELCOMPILE_H
