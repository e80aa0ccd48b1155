// What LLVM cannot make for a chip is an error, not the end of the program. The
// intrinsic comes without the op that would know its chip. LLVM is left in the
// middle of its work, with memory that is never freed.

// UNSUPPORTED: sanitizers

// RUN: dsv2-kernel %s --gpu-chip=sm_90a --ptx | FileCheck %s
// RUN: not dsv2-kernel %s --gpu-chip=sm_80 --ptx 2>&1 | FileCheck %s --check-prefix=SM80

// CHECK: mov.u32 {{.*}}, %clusterid.x;
// SM80: dsv2-kernel: error: LLVM cannot make PTX 7.4 for sm_80: Cannot select: intrinsic %llvm.nvvm.read.ptx.sreg.clusterid.x

gpu.module @dsv2_kernels {
  llvm.func @cluster(%x: !llvm.ptr<1>) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128>} {
    %id = llvm.call_intrinsic "llvm.nvvm.read.ptx.sreg.clusterid.x"() : () -> i32
    llvm.store %id, %x : i32, !llvm.ptr<1>
    llvm.return
  }
}
