// F100: the functions that models need are instructions, in f32 and, through
// f32, in bf16: no call of a library and nothing left over.

// RUN: dsv2-kernel %s --gpu-chip=sm_90a --ptx | FileCheck %s --implicit-check-not=call --implicit-check-not=.local
// RUN: dsv2-kernel %s --gpu-chip=sm_80 --ptx | FileCheck %s --implicit-check-not=call --implicit-check-not=.local

gpu.module @dsv2_kernels {
  // CHECK: .entry single(
  // CHECK-DAG: ex2.approx.ftz.f32
  // CHECK-DAG: {{rsqrt.approx(.ftz)?.f32|sqrt.rn.f32}}
  // CHECK-DAG: {{(rcp|div).(rn|full|approx)}}
  // CHECK: ret
  llvm.func @single(%x: !llvm.ptr<1>) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 32>} {
    %v = llvm.load %x : !llvm.ptr<1> -> f32
    %root = math.rsqrt %v : f32
    // The sigmoid of SwiGLU.
    %one = arith.constant 1.0 : f32
    %log2e = arith.constant -1.44269504 : f32
    %scaled = arith.mulf %v, %log2e : f32
    %power = llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f"(%scaled) : (f32) -> f32
    %sum = arith.addf %power, %one : f32
    %sigmoid = arith.divf %one, %sum : f32
    %product = arith.mulf %sigmoid, %root : f32
    llvm.store %product, %x : f32, !llvm.ptr<1>
    llvm.return
  }

  // CHECK: .entry half(
  // CHECK: {{rsqrt.approx(.ftz)?.f32|sqrt.rn.f32}}
  // CHECK: cvt.rn.bf16.f32
  // CHECK: st.global
  llvm.func @half(%x: !llvm.ptr<1>) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 32>} {
    %v = llvm.load %x : !llvm.ptr<1> -> bf16
    %root = math.rsqrt %v : bf16
    llvm.store %root, %x : bf16, !llvm.ptr<1>
    llvm.return
  }
}
