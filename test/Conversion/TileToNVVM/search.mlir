// RUN: dsv2-opt %s --dsv2-convert-tile-to-nvvm --canonicalize --cse | FileCheck %s
// RUN: dsv2-opt %s --dsv2-convert-tile-to-nvvm --dsv2-lower-device-to-llvm -o /dev/null
// RUN: dsv2-opt %s --dsv2-convert-tile-to-loops | FileCheck %s --check-prefix=LOOPS

!row = !dsv2_tile.shared<1x64xf32, swizzle = 0>
!rows = !dsv2_tile.rows<64xf32>

// CHECK-LABEL: llvm.func @search(
// CHECK-SAME: %[[P:[a-z0-9]+]]: !llvm.ptr<1>
// LOOPS-LABEL: func.func @search(
// LOOPS-SAME: %[[P:[a-z0-9]+]]: memref<?xi32
dsv2_tile.kernel @search(%p: !dsv2_tile.global<i32>, %q: !dsv2_tile.global<f32>,
                         %n: i32)
    attributes {chip = "sm_90a", threads = 256 : i32} {
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %t = dsv2_tile.shared : !row
  // Each lane loads 4 neighbours, and a warp goes on while they are too few.
  // CHECK: scf.while
  // CHECK: scf.if
  // CHECK-COUNT-4: llvm.load
  // CHECK: nvvm.shfl.sync bfly
  // CHECK: scf.condition
  // CHECK: nvvm.shfl.sync up
  // CHECK: nvvm.vote.sync ballot
  // CHECK: nvvm.shfl.sync idx
  // LOOPS: scf.for
  // LOOPS: memref.load %[[P]]
  // LOOPS: arith.ori
  %index, %before = dsv2_tile.search_sums %n past %n {
  ^bb0(%i: i32):
    %x = dsv2_tile.load_scalar %p[%i] : !dsv2_tile.global<i32> -> i32
    dsv2_tile.yield %x : i32
  }
  // One of the lanes that share a row writes it.
  // CHECK: llvm.store %{{.*}} : f32, !llvm.ptr<3>
  // CHECK: llvm.inline_asm {{.*}}"bar.arrive 1, 256;"
  // LOOPS: memref.store %{{.*}} : memref<1x64xf32>
  dsv2_tile.role "gives" warps 0 to 4 by 4 (%i) {
    %z = arith.sitofp %index : i32 to f32
    %r = dsv2_tile.splat %z : !rows
    dsv2_tile.put_rows %r to %t : !rows, !row
    dsv2_tile.barrier 1 threads 256 arrive
  }
  // CHECK: nvvm.barrier
  // CHECK-COUNT-2: llvm.load %{{.*}} : !llvm.ptr<3> -> f32
  // LOOPS: memref.load %{{.*}} : memref<1x64xf32>
  dsv2_tile.role "takes" warps 4 to 8 by 4 (%i) {
    dsv2_tile.barrier 1 threads 256
    %r = dsv2_tile.get_rows %t : !row -> !rows
    dsv2_tile.store_rows %r to %q[%zero] stride %one valid %before : !rows, !dsv2_tile.global<f32>
  }
}
