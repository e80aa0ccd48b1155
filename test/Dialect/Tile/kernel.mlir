// RUN: dsv2-opt %s | dsv2-opt | FileCheck %s
// RUN: dsv2-opt %s --mlir-print-op-generic | dsv2-opt | FileCheck %s

!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!half = !dsv2_tile.shared<32x64xbf16, swizzle = 128, of_rows = 64>
!ring = !dsv2_tile.ring<2, !tile, !tile>
!map = !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>
!acc = !dsv2_tile.async<64x64xf32>
!frag = !dsv2_tile.frag<64x64xf32>

// CHECK-LABEL: dsv2_tile.kernel @product
// CHECK-SAME: (%[[A:.*]]: !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>, %{{.*}}: !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>, %[[OUT:.*]]: !dsv2_tile.global<f32>, %[[T:.*]]: i32)
// CHECK-SAME: attributes {chip = "sm_90a", threads = 256 : i32}
dsv2_tile.kernel @product(%a: !map, %w: !map, %out: !dsv2_tile.global<f32>,
                          %t: i32)
    attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c4 = arith.constant 4 : i32
  %c64 = arith.constant 64 : i32
  // CHECK: %[[RING:.*]] = dsv2_tile.make_ring releases 4 : <2, <64x64xbf16, swizzle = 128>, <64x64xbf16, swizzle = 128>>
  %r = dsv2_tile.make_ring releases 4 : !ring
  // CHECK: %[[START:.*]] = dsv2_tile.ring_start
  %s0 = dsv2_tile.ring_start
  // CHECK: dsv2_tile.block_id 0
  %b = dsv2_tile.block_id 0
  // CHECK: dsv2_tile.grid_size 1
  %g = dsv2_tile.grid_size 1
  %row = arith.muli %b, %c64 : i32
  // CHECK: dsv2_tile.role "producer" warps 0 to 4 by 4 registers 40 single (%{{.*}}) {
  dsv2_tile.role "producer" warps 0 to 4 by 4 registers 40 single (%i) {
    %e = scf.for %k = %c0 to %c4 step %c1 iter_args(%s = %s0) -> (!dsv2_tile.ring_state) : i32 {
      %kk = arith.muli %k, %c64 : i32
      // CHECK: dsv2_tile.ring_acquire %[[RING]][%[[S:.*]]] expect 16384
      dsv2_tile.ring_acquire %r[%s] expect 16384 : !ring
      // CHECK: %[[TA:.*]] = dsv2_tile.ring_tile %[[RING]][%[[S]]] 0
      %ta = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
      %tb = dsv2_tile.ring_tile %r[%s] 1 : !ring -> !tile
      // CHECK: dsv2_tile.tma_load %[[A]][%{{.*}}, %{{.*}}] to %[[TA]] signals %[[RING]][%[[S]]]
      dsv2_tile.tma_load %a[%row, %kk] to %ta signals %r[%s] : !map, !tile, !ring
      dsv2_tile.tma_load %w[%c0, %kk] to %tb signals %r[%s] : !map, !tile, !ring
      // CHECK: dsv2_tile.ring_next %[[RING]], %[[S]]
      %n = dsv2_tile.ring_next %r, %s : !ring
      scf.yield %n : !dsv2_tile.ring_state
    }
  }
  // CHECK: dsv2_tile.role "consumer" warps 4 to 8 by 4 registers 232 (%{{.*}}) {
  dsv2_tile.role "consumer" warps 4 to 8 by 4 registers 232 (%i) {
    %z = arith.constant 0.0 : f32
    // CHECK: dsv2_tile.splat %{{.*}} : !dsv2_tile.frag<64x64xf32>
    %f0 = dsv2_tile.splat %z : !frag
    // CHECK: dsv2_tile.wgmma_fence %{{.*}} : !dsv2_tile.frag<64x64xf32> -> !dsv2_tile.async<64x64xf32>
    %fa = dsv2_tile.wgmma_fence %f0 : !frag -> !acc
    %e:2 = scf.for %k = %c0 to %c4 step %c1 iter_args(%s = %s0, %x = %fa) -> (!dsv2_tile.ring_state, !acc) : i32 {
      // CHECK: dsv2_tile.ring_wait
      dsv2_tile.ring_wait %r[%s] : !ring
      %ta = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
      %tb = dsv2_tile.ring_tile %r[%s] 1 : !ring -> !tile
      // CHECK: dsv2_tile.wgmma %{{.*}}, %{{.*}} acc %{{.*}} : !dsv2_tile.shared<64x64xbf16, swizzle = 128>, !dsv2_tile.shared<64x64xbf16, swizzle = 128> -> !dsv2_tile.async<64x64xf32>
      %p = dsv2_tile.wgmma %ta, %tb acc %x : !tile, !tile -> !acc
      // CHECK: dsv2_tile.wgmma %{{.*}}, %{{.*}} transposed : !dsv2_tile.shared<64x64xbf16, swizzle = 128>, !dsv2_tile.shared
      %q = dsv2_tile.wgmma %ta, %tb transposed : !tile, !tile -> !acc
      // CHECK: dsv2_tile.wgmma_wait 1 done(%{{.*}} : !dsv2_tile.async<64x64xf32>) keep(%{{.*}} : !dsv2_tile.async<64x64xf32>) -> !dsv2_tile.frag<64x64xf32>, !dsv2_tile.async<64x64xf32>
      %d, %y = dsv2_tile.wgmma_wait 1 done(%p : !acc) keep(%q : !acc) -> !frag, !acc
      // CHECK: dsv2_tile.wgmma_wait 0 done(%{{.*}}) keep() ->
      %h = dsv2_tile.wgmma_wait 0 done(%y : !acc) keep() -> !frag
      // CHECK: dsv2_tile.pack %{{.*}} : <64x64xf32> -> <64x64xbf16>
      %o = dsv2_tile.pack %h : !frag -> !dsv2_tile.operand<64x64xbf16>
      %u:2 = dsv2_tile.wgmma_fence %d, %o : !frag, !dsv2_tile.operand<64x64xbf16> -> !acc, !dsv2_tile.operand<64x64xbf16>
      %v = dsv2_tile.wgmma %u#1, %tb transposed acc %u#0 : !dsv2_tile.operand<64x64xbf16>, !tile -> !acc
      %w1 = dsv2_tile.wgmma_wait 0 done(%v : !acc) keep() -> !frag
      // CHECK: dsv2_tile.ring_release
      dsv2_tile.ring_release %r[%s] : !ring
      %w2 = dsv2_tile.wgmma_fence %w1 : !frag -> !acc
      %n = dsv2_tile.ring_next %r, %s : !ring
      scf.yield %n, %w2 : !dsv2_tile.ring_state, !acc
    }
    %f = dsv2_tile.wgmma_wait 0 done(%e#1 : !acc) keep() -> !frag
    // CHECK: %[[R:.*]] = dsv2_tile.reduce_rows add %{{.*}} : <64x64xf32> -> <64xf32>
    %sum = dsv2_tile.reduce_rows add %f : !frag -> !dsv2_tile.rows<64xf32>
    // CHECK: dsv2_tile.map ins(%{{.*}}, %[[R]] : !dsv2_tile.frag<64x64xf32>, !dsv2_tile.rows<64xf32>) -> !dsv2_tile.frag<64x64xf32> {
    // CHECK-NEXT: ^bb0(%{{.*}}: f32, %{{.*}}: f32, %{{.*}}: i32, %{{.*}}: i32):
    %m = dsv2_tile.map ins(%f, %sum : !frag, !dsv2_tile.rows<64xf32>) -> !frag {
    ^bb0(%x: f32, %y: f32, %p: i32, %c: i32):
      %q = arith.mulf %x, %y : f32
      dsv2_tile.yield %q : f32
    }
    // CHECK: dsv2_tile.store %{{.*}} to %[[OUT]][%{{.*}}, %{{.*}}] stride %{{.*}} valid %[[T]], %{{.*}} : <64x64xf32>, <f32>
    dsv2_tile.store %m to %out[%row, %c0] stride %c64 valid %t, %c64 : !frag, !dsv2_tile.global<f32>
    // CHECK: dsv2_tile.store %{{.*}} valid %[[T]], %{{.*}} first %{{.*}} : <64x64xf32>, <f32>
    dsv2_tile.store %m to %out[%row, %c0] stride %c64 valid %t, %c64 first %c4 : !frag, !dsv2_tile.global<f32>
    // CHECK: dsv2_tile.barrier 3 threads 128
    dsv2_tile.barrier 3 threads 128
  }
}

// CHECK-LABEL: dsv2_tile.kernel @ampere
dsv2_tile.kernel @ampere(%p: !dsv2_tile.global<bf16>, %n: i32)
    attributes {chip = "sm_80", threads = 128 : i32} {
  %c0 = arith.constant 0 : i32
  // CHECK: dsv2_tile.shared : <2x64x64xbf16, swizzle = 128>
  %buffer = dsv2_tile.shared : !dsv2_tile.shared<2x64x64xbf16, swizzle = 128>
  dsv2_tile.role "all" warps 0 to 4 by 1 (%i) {
    // CHECK: dsv2_tile.shared_stage
    %t = dsv2_tile.shared_stage %buffer[%c0] : !dsv2_tile.shared<2x64x64xbf16, swizzle = 128> -> !tile
    // CHECK: dsv2_tile.cp_async %{{.*}}[%{{.*}}, %{{.*}}] stride %{{.*}} valid %{{.*}} to %{{.*}} : <bf16>, <64x64xbf16, swizzle = 128>
    dsv2_tile.cp_async %p[%c0, %c0] stride %n valid %n to %t : !dsv2_tile.global<bf16>, !tile
    // CHECK: dsv2_tile.cp_async_commit
    dsv2_tile.cp_async_commit
    // CHECK: dsv2_tile.cp_async_wait 0
    dsv2_tile.cp_async_wait 0
    dsv2_tile.barrier 1 threads 128
    // CHECK: dsv2_tile.shared_view %{{.*}}[%{{.*}}, %{{.*}}] : <64x64xbf16, swizzle = 128> -> <32x64xbf16, swizzle = 128, of_rows = 64>
    %v = dsv2_tile.shared_view %t[%c0, %c0] : !tile -> !half
    %z = arith.constant 0.0 : f32
    %f = dsv2_tile.splat %z : !dsv2_tile.frag<32x64xf32, warps = 1>
    // CHECK: dsv2_tile.mma %{{.*}}, %{{.*}} acc %{{.*}} : !dsv2_tile.shared<32x64xbf16, swizzle = 128, of_rows = 64>, <64x64xbf16, swizzle = 128> -> <32x64xf32, warps = 1>
    %g = dsv2_tile.mma %v, %t acc %f : !half, !tile -> !dsv2_tile.frag<32x64xf32, warps = 1>
  }
}

// CHECK-LABEL: dsv2_tile.kernel @blocks
dsv2_tile.kernel @blocks(%w: !dsv2_tile.global<i8>, %p: !dsv2_tile.global<bf16>, %n: i32)
    attributes {chip = "sm_80", threads = 128 : i32} {
  %c0 = arith.constant 0 : i32
  %data = dsv2_tile.shared : !dsv2_tile.shared<128x64xi8, swizzle = 64>
  %scales = dsv2_tile.shared : !dsv2_tile.shared<128x16xi8>
  %t = dsv2_tile.shared : !tile
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
    // CHECK: dsv2_tile.cp_async %{{.*}}[%{{.*}}, %{{.*}}] stride %{{.*}} valid %{{.*}} to %{{.*}} : <i8>, <128x64xi8, swizzle = 64>
    dsv2_tile.cp_async %w[%c0, %c0] stride %n valid %n to %data : !dsv2_tile.global<i8>, !dsv2_tile.shared<128x64xi8, swizzle = 64>
    dsv2_tile.cp_async %w[%c0, %c0] stride %n valid %n to %scales : !dsv2_tile.global<i8>, !dsv2_tile.shared<128x16xi8>
    // CHECK: dsv2_tile.cp_async %{{.*}} valid %[[N:.*]], %[[N]] to
    dsv2_tile.cp_async %p[%c0, %c0] stride %n valid %n, %n to %t : !dsv2_tile.global<bf16>, !tile
    dsv2_tile.cp_async_commit
    dsv2_tile.cp_async_wait 0
    dsv2_tile.barrier 1 threads 128
    // CHECK: dsv2_tile.unpack_blocks q8 %{{.*}}, %{{.*}}[%{{.*}}] part 1 : <128x64xi8, swizzle = 64>, <128x16xi8> -> <64x64xbf16>
    %a = dsv2_tile.unpack_blocks q8 %data, %scales[%c0] part 1 : !dsv2_tile.shared<128x64xi8, swizzle = 64>, !dsv2_tile.shared<128x16xi8> -> !dsv2_tile.operand<64x64xbf16>
    // CHECK: dsv2_tile.load %{{.*}} valid %{{.*}}, %{{.*}} transposed : <bf16> -> <64x64xf32>
    %z = dsv2_tile.load %p[%c0, %c0] stride %n valid %n, %n transposed : !dsv2_tile.global<bf16> -> !frag
    %f = dsv2_tile.mma %a, %t acc %z : !dsv2_tile.operand<64x64xbf16>, !tile -> !frag
    // CHECK: dsv2_tile.store %{{.*}} valid %{{.*}}, %{{.*}} transposed : <64x64xf32>, <bf16>
    dsv2_tile.store %f to %p[%c0, %c0] stride %n valid %n, %n transposed : !frag, !dsv2_tile.global<bf16>
  }
}

// CHECK-LABEL: dsv2_tile.kernel @hand_over
dsv2_tile.kernel @hand_over(%p: !dsv2_tile.global<i32>, %n: i32)
    attributes {chip = "sm_90a", threads = 256 : i32} {
  %t = dsv2_tile.shared : !dsv2_tile.shared<1x64xf32, swizzle = 0>
  // CHECK: %{{.*}}, %{{.*}} = dsv2_tile.search_sums %{{.*}} past %{{.*}} {
  // CHECK-NEXT: ^bb0(%[[I:.*]]: i32):
  // CHECK-NEXT: %[[X:.*]] = dsv2_tile.load_scalar %{{.*}}[%[[I]]]
  // CHECK-NEXT: dsv2_tile.yield %[[X]] : i32
  %index, %before = dsv2_tile.search_sums %n past %n {
  ^bb0(%i: i32):
    %x = dsv2_tile.load_scalar %p[%i] : !dsv2_tile.global<i32> -> i32
    dsv2_tile.yield %x : i32
  }
  dsv2_tile.role "gives" warps 0 to 4 by 4 (%i) {
    %z = arith.constant 0.0 : f32
    %r = dsv2_tile.splat %z : !dsv2_tile.rows<64xf32>
    // CHECK: dsv2_tile.put_rows %{{.*}} to %{{.*}} : <64xf32>, <1x64xf32
    dsv2_tile.put_rows %r to %t : !dsv2_tile.rows<64xf32>, !dsv2_tile.shared<1x64xf32, swizzle = 0>
    // CHECK: dsv2_tile.barrier 1 threads 256 arrive
    dsv2_tile.barrier 1 threads 256 arrive
  }
  dsv2_tile.role "takes" warps 4 to 8 by 4 (%i) {
    dsv2_tile.barrier 1 threads 256
    // CHECK: dsv2_tile.get_rows %{{.*}} : <1x64xf32{{.*}}> -> <64xf32>
    %r = dsv2_tile.get_rows %t : !dsv2_tile.shared<1x64xf32, swizzle = 0> -> !dsv2_tile.rows<64xf32>
  }
}
