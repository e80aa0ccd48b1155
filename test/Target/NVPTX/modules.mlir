// A module with targets is for those chips alone; there is one for each chip.

// RUN: dsv2-kernel %s --gpu-chip=sm_90a,sm_80 --list | FileCheck %s
// CHECK:      sm_90a hopper
// CHECK-NEXT: sm_80 ampere
// RUN: sed -e 's/sm_80/sm_90a/' %s > %t.mlir
// RUN: not dsv2-kernel %t.mlir --gpu-chip=sm_90a --list 2>&1 | FileCheck %s --check-prefix=TWO
// TWO: dsv2-kernel: error: '{{.*}}' has two modules for sm_90a: 'kernels_80' and 'kernels_90a'
// RUN: not dsv2-kernel %t.mlir --gpu-chip=sm_80 --list 2>&1 | FileCheck %s --check-prefix=NONE
// NONE: dsv2-kernel: error: '{{.*}}' has no gpu.module for sm_80

gpu.module @kernels_80 [#nvvm.target<chip = "sm_80">] {
  llvm.func @ampere() attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128>} {
    llvm.return
  }
}
gpu.module @kernels_90a [#nvvm.target<chip = "sm_90a">] {
  llvm.func @hopper() attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128>} {
    llvm.return
  }
}
