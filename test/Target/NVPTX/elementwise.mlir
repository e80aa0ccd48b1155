// A kernel in scf, arith and vector ops, with 16-byte accesses and a tail.

// RUN: dsv2-kernel %s --gpu-chip=sm_90a --ptx | FileCheck %s --check-prefixes=CHECK,SM90
// RUN: dsv2-kernel %s --gpu-chip=sm_80 --ptx | FileCheck %s --check-prefixes=CHECK,SM80
// RUN: dsv2-kernel %s --gpu-chip=sm_90a+ptx83 --ptx | FileCheck %s --check-prefix=PTX83

// SM90: .version 8.0
// SM90-NEXT: .target sm_90a
// SM80: .version 7.4
// SM80-NEXT: .target sm_80
// PTX83: .version 8.3
// CHECK: .visible .entry scale(
// CHECK: .maxntid 128
// CHECK: .minnctapersm 2
// Names of files are not in it.
// CHECK-NOT: .loc
// CHECK-DAG: ld.global.nc.v4.b32
// CHECK-DAG: st.global.v4.b32
// CHECK-DAG: ld.global.nc.b32
// CHECK-DAG: st.global.b32
// CHECK-NOT: .local

gpu.module @dsv2_kernels {
  llvm.func @scale(%x: !llvm.ptr<1> {llvm.noalias}, %y: !llvm.ptr<1> {llvm.noalias},
                   %factor: f32, %n: i32)
      attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128, 1, 1>, nvvm.minctasm = 2 : i32} {
    %c4 = arith.constant 4 : i32
    %c1 = arith.constant 1 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %block = nvvm.read.ptx.sreg.ctaid.x : i32
    %threads = nvvm.read.ptx.sreg.ntid.x : i32
    %base = arith.muli %block, %threads : i32
    %thread = arith.addi %base, %tid : i32
    %first = arith.muli %thread, %c4 : i32
    %end = arith.addi %first, %c4 : i32
    %whole = arith.cmpi sle, %end, %n : i32
    scf.if %whole {
      %from = llvm.getelementptr %x[%first] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
      %to = llvm.getelementptr %y[%first] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
      %value = llvm.load %from {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
      %factors = vector.broadcast %factor : f32 to vector<4xf32>
      %product = arith.mulf %value, %factors : vector<4xf32>
      llvm.store %product, %to {alignment = 16 : i64} : vector<4xf32>, !llvm.ptr<1>
    } else {
      scf.for %i = %first to %n step %c1 : i32 {
        %from = llvm.getelementptr %x[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
        %to = llvm.getelementptr %y[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
        %value = llvm.load %from : !llvm.ptr<1> -> f32
        %product = arith.mulf %value, %factor : f32
        llvm.store %product, %to : f32, !llvm.ptr<1>
      }
    }
    llvm.return
  }
}
