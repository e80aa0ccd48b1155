//===- Passes.td - kernels to CPU code --------------------*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_CPU_PASSES_TD
#define DSV2_CODEGEN_CPU_PASSES_TD

include "mlir/Pass/PassBase.td"

def AttachLoopAnnotationsPass
    : Pass<"dsv2-attach-loop-annotations", "::mlir::ModuleOp"> {
  let summary = "Make loop annotations attributes of the branch they sit on";
  let description = [{
    The lowering of `scf.for` carries `llvm.loop_annotation` over to the branch
    that closes the loop, but as a discardable attribute, which the translation
    to LLVM IR drops. Enters: the LLVM dialect. Leaves: the annotation as the
    branch's own attribute.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

def ExpandVectorMathPass : Pass<"dsv2-expand-vector-math"> {
  let summary = "Expand exp and rsqrt into arithmetic, without libm";
  let description = [{
    Replaces `math.exp` on f32, a scalar or a vector of any rank, by a
    polynomial that is within 2 ulp, and `math.rsqrt` on f32 or f64 by
    `1 / math.sqrt`. On bf16 and f16 both are computed in f32 and rounded once.
    What remains lowers to instructions: no call into a math library is left
    behind by these two ops. Ops on tensors and on scalable vectors stay.
  }];
  let options = [
    Option<"useFMA", "fma", "bool", /*default=*/"false",
           "Use fused multiply-add, which the processor must have">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect",
                           "::mlir::vector::VectorDialect"];
}

#endif // DSV2_CODEGEN_CPU_PASSES_TD
