// What a kernel asks for, against what the chip has and what its builder
// expects.

// REQUIRES: ptxas
// RUN: not dsv2-kernel %s --gpu-chip=sm_80,sm_90a --gate | FileCheck %s --implicit-check-not=gate:

// CHECK:      gate: kernel 'too_many' for sm_80: threads of a block: expected at most 1024, found 2048
// CHECK:      gate: kernel 'cluster' for sm_80: blocks of a cluster: expected at most 1, found 2
// CHECK-NEXT: gate: kernel 'two_blocks' for sm_80: blocks on a multiprocessor: expected at least 2, found room for 1 of 128 threads
// CHECK-NEXT: gate: kernel 'expectations' for sm_80: global_load_16 in the PTX: expected at least 1, found 0
// CHECK-NEXT: gate: kernel 'expectations' for sm_80: 'dsv2.expect' names 'wgmmas', which is not the name of a count
// CHECK-NEXT: gate: kernel 'too_many' for sm_90a: threads of a block: expected at most 1024, found 2048
// CHECK-NEXT: gate: kernel 'two_blocks' for sm_90a: blocks on a multiprocessor: expected at least 2, found room for 1
// CHECK-NEXT: gate: kernel 'expectations' for sm_90a: global_load_16 in the PTX
// CHECK-NEXT: gate: kernel 'expectations' for sm_90a: 'dsv2.expect' names 'wgmmas'
// CHECK-NEXT: gate: 1 of 8 kernels are as they should be

gpu.module @dsv2_kernels {
  llvm.func @too_many() attributes {nvvm.kernel, nvvm.maxntid = array<i32: 2048>} {
    llvm.return
  }
  llvm.func @cluster() attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128>, nvvm.cluster_dim = array<i32: 2, 1, 1>} {
    llvm.return
  }
  llvm.func @two_blocks() attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128>, nvvm.minctasm = 2 : i32, dsv2.shared_bytes = 150000 : i64} {
    llvm.return
  }
  llvm.func @expectations() attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128>,
      dsv2.expect = {global_load_16 = 1 : i64, wgmmas = 1 : i64}} {
    llvm.return
  }
}
