// RUN: not dsv2-opt %s --dsv2-verify-stage=stage=plan 2>&1 | FileCheck %s --check-prefix=PLAN
// RUN: not dsv2-opt %s --dsv2-verify-stage=stage=structure 2>&1 | FileCheck %s --check-prefix=STRUCTURE
// RUN: not dsv2-opt %s --dsv2-verify-stage=stage=target 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not dsv2-opt %s --dsv2-verify-stage=stage=final 2>&1 | FileCheck %s --check-prefix=BAD
// RUN: dsv2-opt %s --dsv2-verify-stage=stage=import | FileCheck %s

// BAD: stage: expected import, plan, structure, buffer or target, got 'final'
// PLAN: 'dsv2.weight' op at the end of the plan stage: must have been moved into a prepare function
// STRUCTURE: 'dsv2.weight' op at the end of the structure stage: is a model op and must have become kernels
// TARGET: at the end of the target stage: is not in the LLVM or OpenMP dialect

// CHECK-LABEL: @f
func.func @f(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %w = dsv2.weight "w" : tensor<64xbf16>
  %y = dsv2.rms_norm %x, %w eps 1.0e-06 : tensor<?x64xf32>, tensor<64xbf16>
  return %y : tensor<?x64xf32>
}
