// F107: a block that asks for more shared memory than the chip has is an error
// when code is made, whether or not there is a ptxas.

// RUN: not dsv2-kernel %s --ptx --gpu-chip=sm_80 2>&1 | FileCheck %s --check-prefix=SM80
// SM80: error: gpu.module 'dsv2_kernels' for sm_80: kernel 'dynamic' needs 204096 bytes of shared memory in a block, sm_80 has 166912
// The newer chip has enough.
// RUN: dsv2-kernel %s --emit-bitcode=%t.bc --gpu-chip=sm_90a

// The limit is for both kinds together.
// RUN: sed 's/200000/230000/' %s > %t.both.mlir
// RUN: not dsv2-kernel %t.both.mlir --ptx 2>&1 | FileCheck %s --check-prefix=BOTH
// BOTH: for sm_90a: kernel 'dynamic' needs 234096 bytes of shared memory in a block, sm_90a has 232448

// More of a fixed size than can be had without asking.
// RUN: sed 's/1024 x f32/12289 x f32/' %s > %t.fixed.mlir
// RUN: not dsv2-kernel %t.fixed.mlir --emit-bitcode=%t.none 2>&1 | FileCheck %s --check-prefix=FIXED
// FIXED: for sm_90a: kernel 'dynamic' needs 49156 bytes of shared memory of fixed size in a block, sm_90a has 49152
// RUN: not ls %t.none

// Of a tile kernel the verifier says it, before that.
// RUN: not dsv2-kernel %S/Inputs/F107-tile.mlir --ptx 2>&1 | FileCheck %s --check-prefix=TILE
// TILE: error: 'dsv2_tile.kernel' op expected at most 166912 bytes of shared memory on sm_80, got 262144

// Chips without a table entry are not guessed at.
// RUN: not dsv2-kernel %s --ptx --gpu-chip=sm_75 2>&1 | FileCheck %s --check-prefix=CHIP
// RUN: not dsv2-kernel %s --ptx --gpu-chip=sm_86 2>&1 | FileCheck %s --check-prefix=CHIP
// CHIP: error: unknown GPU chip 'sm_{{75|86}}': expected one of sm_90a, sm_80

gpu.module @dsv2_kernels {
  llvm.mlir.global internal @fixed() {addr_space = 3 : i32} : !llvm.array<1024 x f32>
  llvm.mlir.global external @dsv2_smem() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
  // What another kernel uses does not count.
  llvm.mlir.global internal @other() {addr_space = 3 : i32} : !llvm.array<4096 x i8>
  llvm.func @without() attributes {nvvm.kernel, nvvm.maxntid = array<i32: 32>} {
    llvm.return
  }
  llvm.func @dynamic(%x: f32) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 32>, dsv2.shared_bytes = 200000 : i64} {
    %a = llvm.mlir.addressof @fixed : !llvm.ptr<3>
    %b = llvm.mlir.addressof @dsv2_smem : !llvm.ptr<3>
    llvm.store volatile %x, %a : f32, !llvm.ptr<3>
    llvm.store volatile %x, %b : f32, !llvm.ptr<3>
    llvm.return
  }
}
