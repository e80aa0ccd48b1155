//===- Passes.td - device code on its way out -------------*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TARGET_PASSES_TD
#define DSV2_TARGET_PASSES_TD

include "mlir/Pass/PassBase.td"

def VerifyDeviceCodePass
    : Pass<"dsv2-verify-device-code", "::mlir::gpu::GPUModuleOp"> {
  let summary = "Check that a gpu.module can be made into device code";
  let description = [{
    Names every op that is of neither the LLVM nor the NVVM dialect, and every
    LLVM intrinsic that the GPU has no instruction for: a call into a math
    library, which device code does not have. Changes nothing.
  }];
}

#endif // DSV2_TARGET_PASSES_TD
