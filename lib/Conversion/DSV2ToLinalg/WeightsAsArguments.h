//===- WeightsAsArguments.h - weights become function arguments -*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CONVERSION_DSV2TOLINALG_WEIGHTSASARGUMENTS_H
#define DSV2_LIB_CONVERSION_DSV2TOLINALG_WEIGHTSASARGUMENTS_H

#include "mlir/IR/BuiltinOps.h"

namespace mlir::dsv2 {

/// Turns each distinct `dsv2.weight` of a function into a trailing argument, in
/// order of first use; calls hand on what their callee needs. Weights are the
/// same if name, layers and type are.
LogicalResult turnWeightsIntoArguments(ModuleOp module);

} // namespace mlir::dsv2

#endif // DSV2_LIB_CONVERSION_DSV2TOLINALG_WEIGHTSASARGUMENTS_H
