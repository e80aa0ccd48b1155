// The order and scope of atomics, which LLVM 22.1 does not keep.

// REQUIRES: ptxas
// RUN: not dsv2-kernel %s --gate | FileCheck %s --implicit-check-not=gate:

// CHECK:      gate: kernel 'acq_rel' for sm_90a: atomicrmw add: expected acq_rel of scope gpu in the PTX, found add relaxed of scope gpu; write a monotonic one of scope device, with fences around it
// CHECK:      gate: kernel 'acq_rel' for sm_90a: atom.global.add.u32 in line {{[0-9]+}} of the PTX: expected a fence of scope gpu before and after it, as its result is used, found none at all; 'dsv2.relaxed_atomics' says
// CHECK-NEXT: gate: kernel 'system' for sm_90a: atomicrmw add: expected relaxed of scope sys in the PTX, found add relaxed of scope gpu
// CHECK-NEXT: gate: kernel 'no_fence_after' for sm_90a: atom.global.add.u32 in line {{[0-9]+}} of the PTX: expected a fence of scope gpu before and after it, as its result is used, found none after;
// CHECK-NEXT: gate: 4 of 7 kernels are as they should be

gpu.module @dsv2_kernels {
  llvm.func @acq_rel(%x: !llvm.ptr<1>) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 1>} {
    %c1 = llvm.mlir.constant(1 : i32) : i32
    %old = llvm.atomicrmw add %x, %c1 syncscope("device") acq_rel : !llvm.ptr<1>, i32
    llvm.store %old, %x : i32, !llvm.ptr<1>
    llvm.return
  }
  llvm.func @system(%x: !llvm.ptr<1>) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 1>} {
    %c1 = llvm.mlir.constant(1 : i32) : i32
    %old = llvm.atomicrmw add %x, %c1 monotonic : !llvm.ptr<1>, i32
    llvm.return
  }
  llvm.func @fenced(%x: !llvm.ptr<1>) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 1>} {
    %c1 = llvm.mlir.constant(1 : i32) : i32
    llvm.fence syncscope("device") acq_rel
    %old = llvm.atomicrmw add %x, %c1 syncscope("device") monotonic : !llvm.ptr<1>, i32
    llvm.fence syncscope("device") acq_rel
    llvm.store %old, %x : i32, !llvm.ptr<1>
    llvm.return
  }
  llvm.func @no_fence_after(%x: !llvm.ptr<1>) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 1>} {
    %c1 = llvm.mlir.constant(1 : i32) : i32
    llvm.fence syncscope("device") acq_rel
    %old = llvm.atomicrmw add %x, %c1 syncscope("device") monotonic : !llvm.ptr<1>, i32
    llvm.store %old, %x : i32, !llvm.ptr<1>
    llvm.return
  }
  // A queue of work: whoever takes a number reads nothing that others wrote.
  llvm.func @queue(%x: !llvm.ptr<1>) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 1>, dsv2.relaxed_atomics} {
    %c1 = llvm.mlir.constant(1 : i32) : i32
    %old = llvm.atomicrmw add %x, %c1 syncscope("device") monotonic : !llvm.ptr<1>, i32
    llvm.store %old, %x : i32, !llvm.ptr<1>
    llvm.return
  }
  // A sum nobody looks at yet.
  llvm.func @sum(%x: !llvm.ptr<1>, %value: f32) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 1>} {
    %old = llvm.atomicrmw fadd %x, %value syncscope("device") monotonic : !llvm.ptr<1>, f32
    llvm.return
  }
  // Compare-and-swap keeps its order.
  llvm.func @swap(%x: !llvm.ptr<1>, %old: i32, %new: i32) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 1>} {
    %pair = llvm.cmpxchg %x, %old, %new syncscope("device") acq_rel monotonic : !llvm.ptr<1>, i32
    %found = llvm.extractvalue %pair[0] : !llvm.struct<(i32, i1)>
    llvm.store %found, %x : i32, !llvm.ptr<1>
    llvm.return
  }
}
