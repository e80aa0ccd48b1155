//===- SimtRoute.h - choice of experts, inside a kernel ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_SIMTROUTE_H
#define DSV2_LIB_CODEGEN_GPU_SIMTROUTE_H

#include "dsv2/CodeGen/GPU/SimtKernels.h"

#include <string>

namespace mlir::dsv2::gpu {

std::string getRouteName(const RouteConfig &config);

/// Parameters of a route and its dispatch whose scores are operand `scores` of
/// the launch, and whose outputs are operands from `output` on.
SmallVector<KernelParameter> listRouteDispatch(MLIRContext *c, int64_t scores,
                                               int64_t output);
inline constexpr int64_t kRouteDispatchInputs = 1, kRouteDispatchOutputs = 5;

/// Emits both by one block of `warps` warps, at most getMostDispatchWarps().
void emitRouteDispatch(SimtBuilder &b, const RouteConfig &config,
                       ValueRange args, int64_t warps);
int64_t getMostDispatchWarps(int64_t experts);

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_SIMTROUTE_H
