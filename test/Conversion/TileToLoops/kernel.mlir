// RUN: dsv2-opt %s --dsv2-convert-tile-to-loops | FileCheck %s

!tile = !dsv2_tile.shared<64x16xbf16, swizzle = 32>
!ring = !dsv2_tile.ring<2, !tile>
!map = !dsv2_tile.tensor_map<64x16xbf16, swizzle = 32>
!frag = !dsv2_tile.frag<64x64xf32>
!acc = !dsv2_tile.async<64x64xf32>

// CHECK-DAG: func.func private @sched_yield() -> i32
// CHECK-DAG: func.func private @abort()
// CHECK-DAG: func.func private @omp_get_thread_num() -> i32

// CHECK-LABEL: func.func @product(
// CHECK-SAME: %[[M:.*]]: memref<?x?xbf16, strided<[?, ?], offset: ?>>, %[[OUT:.*]]: memref<?xf32, strided<[1], offset: ?>>, %{{.*}}: i32, %[[GX:.*]]: i32, %[[GY:.*]]: i32, %[[GZ:.*]]: i32)
dsv2_tile.kernel @product(%m: !map, %out: !dsv2_tile.global<f32>, %n: i32)
    attributes {chip = "sm_90a", threads = 256 : i32} {
  // CHECK: scf.for %{{.*}} = %{{.*}} to %[[GZ]]
  // CHECK: scf.for %{{.*}} = %{{.*}} to %[[GY]]
  // CHECK: scf.for %{{.*}} = %{{.*}} to %[[GX]]
  // The stages, what counts fillings, what counts releases.
  // CHECK: %[[TILES:.*]] = memref.alloc() : memref<2x64x16xbf16>
  // CHECK: memref.store %{{.*}}, %[[TILES]]
  // CHECK: memref.alloc() : memref<2xi32>
  // CHECK: memref.alloc() : memref<2xi32>
  // CHECK: %[[BARRIERS:.*]] = memref.alloc() : memref<16xi32>
  // One thread for each instance.
  // CHECK: omp.parallel num_threads(%{{.*}} : i32) {
  %c0 = arith.constant 0 : i32
  %r = dsv2_tile.make_ring releases 4 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%i) {
    // CHECK: scf.while
    // CHECK: memref.atomic_rmw addi
    // CHECK: func.call @sched_yield()
    // CHECK: func.call @abort()
    dsv2_tile.ring_acquire %r[%s] expect 2048 : !ring
    // CHECK: memref.subview %[[TILES]]
    %t = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    // CHECK: memref.dim %[[M]]
    // CHECK: memref.load %[[M]]
    dsv2_tile.tma_load %m[%c0, %c0] to %t signals %r[%s] : !map, !tile, !ring
  }
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    // CHECK: scf.while
    dsv2_tile.ring_wait %r[%s] : !ring
    %t = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    // CHECK: %[[SUM:.*]] = memref.alloc() : memref<64x64xf32>
    // CHECK: arith.extf
    // CHECK: arith.mulf
    // CHECK: arith.addf
    // CHECK: memref.store %{{.*}}, %[[SUM]]
    %p = dsv2_tile.wgmma %t, %t : !tile, !tile -> !acc
    %f = dsv2_tile.wgmma_wait 0 done(%p : !acc) keep() -> !frag
    dsv2_tile.ring_release %r[%s] : !ring
    // CHECK: memref.atomic_rmw addi %{{.*}}, %[[BARRIERS]]
    dsv2_tile.barrier 1 threads 128
    // CHECK: memref.load %[[SUM]]
    // CHECK: memref.store %{{.*}}, %[[OUT]]
    dsv2_tile.store %f to %out[%c0, %c0] stride %n valid %n, %n : !frag, !dsv2_tile.global<f32>
    // CHECK: memref.dealloc %[[SUM]]
  }
  // CHECK: omp.terminator
  // CHECK: memref.dealloc %[[TILES]]
}
