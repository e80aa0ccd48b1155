// RUN: dsv2-opt %s --dsv2-convert-tile-to-nvvm --canonicalize --cse | FileCheck %s
// RUN: dsv2-opt %s --dsv2-convert-tile-to-nvvm --dsv2-lower-device-to-llvm -o /dev/null
// RUN: dsv2-opt %s --dsv2-convert-tile-to-loops -o /dev/null

// What a kernel loads before it waits for other launches is there early; a kernel
// that does not say where it waits does so first of all.

// CHECK-LABEL: llvm.func @late
// CHECK: nvvm.griddepcontrol launch_dependents
// CHECK-NOT: nvvm.griddepcontrol
// CHECK: llvm.load
// CHECK-NOT: nvvm.griddepcontrol
// CHECK: nvvm.griddepcontrol wait
// CHECK-NOT: nvvm.griddepcontrol
// CHECK: llvm.store
dsv2_tile.kernel @late(%p: !dsv2_tile.global<i32>, %out: !dsv2_tile.global<f32>, %n: i32)
    attributes {chip = "sm_90a", threads = 128 : i32} {
  %c0 = arith.constant 0 : i32
  %start = dsv2_tile.load_scalar %p[%n] : !dsv2_tile.global<i32> -> i32
  dsv2_tile.await_predecessors
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
    %z = arith.constant 0.0 : f32
    %f = dsv2_tile.splat %z : !dsv2_tile.frag<64x16xf32, warps = 4>
    dsv2_tile.store %f to %out[%c0, %c0] stride %start valid %n, %n : !dsv2_tile.frag<64x16xf32, warps = 4>, !dsv2_tile.global<f32>
  }
}

// CHECK-LABEL: llvm.func @first
// CHECK: nvvm.griddepcontrol launch_dependents
// CHECK-NEXT: nvvm.griddepcontrol wait
dsv2_tile.kernel @first(%p: !dsv2_tile.global<i32>)
    attributes {chip = "sm_90a", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
  }
}
