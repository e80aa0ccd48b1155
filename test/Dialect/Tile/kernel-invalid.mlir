// RUN: dsv2-opt %s -split-input-file -verify-diagnostics

// kernel_c1
// expected-error @below {{expected 'chip' to be sm_80 or sm_90a, got sm_70}}
dsv2_tile.kernel @k() attributes {chip = "sm_70", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
  }
}

// -----

// kernel_c2
// expected-error @below {{expected 'threads' to be a multiple of 32 from 32 to 1024, got 100}}
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 100 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
  }
}

// -----

// kernel_c3
// expected-error @below {{expected arguments of type global, tensor_map, i32 or f32, got 'i64'}}
dsv2_tile.kernel @k(%x: i64) attributes {chip = "sm_90a", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
  }
}

// -----

// kernel_c4
// expected-error @below {{expected a role}}
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 128 : i32} {
  %c = arith.constant 0 : i32
}

// -----

// kernel_c4
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
  }
  // expected-error @below {{expected nothing but roles behind the first role}}
  %c = arith.constant 0 : i32
}

// -----

// kernel_c5
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 128 : i32} {
  // expected-error @below {{expected warps below 4}}
  dsv2_tile.role "all" warps 0 to 8 by 4 (%i) {
  }
}

// -----

// kernel_c5
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 128 : i32} {
  dsv2_tile.role "a" warps 0 to 4 by 1 (%i) {
  }
  // expected-error @below {{expected warps of its own, but warp 3 has another role}}
  dsv2_tile.role "b" warps 3 to 4 by 1 (%j) {
  }
}

// -----

// kernel_c6
// expected-error @below {{expected at most 232448 bytes of shared memory on sm_90a, got 262144}}
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 128 : i32} {
  %t = dsv2_tile.shared : !dsv2_tile.shared<4x256x128xbf16, swizzle = 128>
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
  }
}

// -----

// kernel_c6
// expected-error @below {{expected at most 166912 bytes of shared memory on sm_80, got 196608}}
dsv2_tile.kernel @k() attributes {chip = "sm_80", threads = 128 : i32} {
  %t = dsv2_tile.shared : !dsv2_tile.shared<2x384x128xbf16, swizzle = 128>
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
  }
}

// -----

// kernel_c7
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 256 : i32} {
  dsv2_tile.role "a" warps 0 to 4 by 4 registers 40 (%i) {
  }
  // expected-error @below {{expected 'registers', as another role has}}
  dsv2_tile.role "b" warps 4 to 8 by 4 (%j) {
  }
}

// -----

// kernel_c7
// expected-error @below {{expected roles with 'registers' to cover all 8 warps}}
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 256 : i32} {
  dsv2_tile.role "a" warps 0 to 4 by 4 registers 40 (%i) {
  }
}

// -----

// kernel_c7
// expected-error @below {{expected at most 65536 registers, got 89088}}
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 384 : i32} {
  dsv2_tile.role "a" warps 0 to 12 by 4 registers 232 (%i) {
  }
}

// -----

// kernel_c8
!map = !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>

// expected-error @below {{expected no tensor map on sm_80}}
dsv2_tile.kernel @k(%m: !map) attributes {chip = "sm_80", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
  }
}

// -----

// kernel_c8
!acc = !dsv2_tile.async<64x64xf32>
!frag = !dsv2_tile.frag<64x64xf32>

dsv2_tile.kernel @k() attributes {chip = "sm_80", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
    %z = arith.constant 0.0 : f32
    %f = dsv2_tile.splat %z : !frag
    // expected-error @below {{expected a kernel for sm_90a}}
    %a = dsv2_tile.wgmma_fence %f : !frag -> !acc
  }
}

// -----

// kernel_c9
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
    // expected-error @below {{expected barrier 1 to wait for the 128 threads that meet it, got 64}}
    dsv2_tile.barrier 1 threads 64
  }
}

// -----

// kernel_c10
!acc = !dsv2_tile.async<64x64xf32>
!frag = !dsv2_tile.frag<64x64xf32>

dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
    %z = arith.constant 0.0 : f32
    %f = dsv2_tile.splat %z : !frag
    // expected-error @below {{expected one use of a value in flight}}
    %a = dsv2_tile.wgmma_fence %f : !frag -> !acc
    %x = dsv2_tile.wgmma_wait 0 done(%a : !acc) keep() -> !frag
    %y = dsv2_tile.wgmma_wait 0 done(%a : !acc) keep() -> !frag
  }
}

// -----

// role_c1
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 256 : i32} {
  // expected-error @below {{expected instances of 4 warps, got warps 0 to 6}}
  dsv2_tile.role "all" warps 0 to 6 by 4 (%i) {
  }
}

// -----

// role_c2
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 256 : i32} {
  // expected-error @below {{expected 'by' to be 1 or 4, got 2}}
  dsv2_tile.role "all" warps 0 to 4 by 2 (%i) {
  }
}

// -----

// role_c2
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 256 : i32} {
  // expected-error @below {{expected a warpgroup to start at a multiple of 4, got 2}}
  dsv2_tile.role "all" warps 2 to 6 by 4 (%i) {
  }
}

// -----

// role_c2
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 256 : i32} {
  // expected-error @below {{expected a single thread's role to be one instance}}
  dsv2_tile.role "all" warps 0 to 8 by 4 single (%i) {
  }
}

// -----

// role_c3
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 256 : i32} {
  // expected-error @below {{expected 'registers' to be a multiple of 8 from 24 to 256, got 100}}
  dsv2_tile.role "all" warps 0 to 8 by 4 registers 100 (%i) {
  }
}

// -----

// role_c3
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 256 : i32} {
  // expected-error @below {{expected a role with 'registers' to be made of warpgroups}}
  dsv2_tile.role "all" warps 0 to 8 by 1 registers 96 (%i) {
  }
}

// -----

// role_c4
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 128 : i32} {
  // expected-error @below {{expected one argument of type i32}}
  "dsv2_tile.role"() <{name = "all", first = 0 : i32, last = 4 : i32, by = 4 : i32}> ({
  ^bb0(%i: i64):
  }) : () -> ()
}

// -----

// role_c5
!frag = !dsv2_tile.frag<64x64xf32>

dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 1 (%i) {
    %z = arith.constant 0.0 : f32
    // expected-error @below {{expected tiles in registers of 1 warps in this role, got '!dsv2_tile.frag<64x64xf32>'}}
    %f = dsv2_tile.splat %z : !frag
  }
}

// -----

// role_c5
!frag = !dsv2_tile.frag<64x64xf32>

dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 4 single (%i) {
    %z = arith.constant 0.0 : f32
    // expected-error @below {{expected tiles in registers of 0 warps in this role, got '!dsv2_tile.frag<64x64xf32>'}}
    %f = dsv2_tile.splat %z : !frag
  }
}

// -----

// role_c6
!frag = !dsv2_tile.frag<64x64xf32>

dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 256 : i32} {
  // expected-error @below {{expected tiles of at most 88 registers to be alive at one time, got 96}}
  dsv2_tile.role "all" warps 0 to 8 by 4 registers 88 (%i) {
    %z = arith.constant 0.0 : f32
    %f = dsv2_tile.splat %z : !frag
    %g = dsv2_tile.splat %z : !dsv2_tile.frag<64x128xf32>
    %h = dsv2_tile.map ins(%f : !frag) -> !frag {
    ^bb0(%x: f32):
      dsv2_tile.yield %x : f32
    }
    %j = dsv2_tile.map ins(%g : !dsv2_tile.frag<64x128xf32>) -> !dsv2_tile.frag<64x128xf32> {
    ^bb0(%x: f32):
      dsv2_tile.yield %x : f32
    }
    %k = dsv2_tile.reduce_rows max %h : !frag -> !dsv2_tile.rows<64xf32>
  }
}

// -----

// role_c7
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>
!map = !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>

dsv2_tile.kernel @k(%m: !map) attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  // expected-note @below {{the ring is declared here}}
  %r = dsv2_tile.make_ring releases 4 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%p) {
    dsv2_tile.ring_acquire %r[%s] expect 8192 : !ring
    %pt = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    dsv2_tile.tma_load %m[%c0, %c0] to %pt signals %r[%s] : !map, !tile, !ring
  }
  // expected-error @below {{expected as many releases of a ring as waits for it in each block, got fewer}}
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    dsv2_tile.ring_wait %r[%s] : !ring
    %s2 = dsv2_tile.ring_next %r, %s : !ring
    dsv2_tile.ring_wait %r[%s2] : !ring
    dsv2_tile.ring_release %r[%s] : !ring
  }
}

// -----

// block_id_c1
func.func @f() {
  // expected-error @below {{expected 'dimension' to be 0, 1 or 2, got 3}}
  %b = dsv2_tile.block_id 3
  return
}

// -----

// grid_size_c1
func.func @f() {
  // expected-error @below {{expected 'dimension' to be 0, 1 or 2, got 3}}
  %b = dsv2_tile.grid_size 3
  return
}

// -----

// declare_c1
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 128 : i32} {
  // expected-error @below {{expected a whole tile, got a view of 128 rows}}
  %t = dsv2_tile.shared : !dsv2_tile.shared<64x64xbf16, swizzle = 128, of_rows = 128>
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
  }
}

// -----

// shared_stage_c1
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>

func.func @f(%t: !dsv2_tile.shared<3x64x64xbf16>, %i: i32) {
  // expected-error @below {{expected a stage of '!dsv2_tile.shared<3x64x64xbf16>', got '!dsv2_tile.shared<64x64xbf16, swizzle = 128>'}}
  %s = dsv2_tile.shared_stage %t[%i] : !dsv2_tile.shared<3x64x64xbf16> -> !tile
  return
}

// -----

// shared_view_c1
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>

func.func @f(%t: !tile, %i: i32) {
  // expected-error @below {{expected source and result without stages that agree in elements, swizzle and height of panels, got '!dsv2_tile.shared<64x64xbf16, swizzle = 128>' and '!dsv2_tile.shared<32x64xbf16, swizzle = 128>'}}
  %s = dsv2_tile.shared_view %t[%i, %i] : !tile -> !dsv2_tile.shared<32x64xbf16, swizzle = 128>
  return
}

// -----

// shared_view_c2
func.func @f(%t: !dsv2_tile.shared<64x64xbf16>, %i: i32) {
  // expected-error @below {{expected all columns of a tile without swizzle, got '!dsv2_tile.shared<64x32xbf16>'}}
  %s = dsv2_tile.shared_view %t[%i, %i] : !dsv2_tile.shared<64x64xbf16> -> !dsv2_tile.shared<64x32xbf16>
  return
}

// -----

// shared_view_c3
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>

func.func @f(%t: !tile, %i: i32) {
  // expected-error @below {{expected a part of '!dsv2_tile.shared<64x64xbf16, swizzle = 128>', got '!dsv2_tile.shared<64x128xbf16, swizzle = 128>'}}
  %s = dsv2_tile.shared_view %t[%i, %i] : !tile -> !dsv2_tile.shared<64x128xbf16, swizzle = 128>
  return
}

// -----

// shared_view_c4
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>

func.func @f(%t: !tile, %i: i32) {
  %c = arith.constant 4 : i32
  // expected-error @below {{expected 'row' to be a multiple of 8 within the source, got 4}}
  %s = dsv2_tile.shared_view %t[%c, %i] : !tile -> !dsv2_tile.shared<32x64xbf16, swizzle = 128, of_rows = 64>
  return
}

// -----

// shared_view_c5
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>

func.func @f(%t: !dsv2_tile.shared<64x128xbf16, swizzle = 128>, %i: i32) {
  %c = arith.constant 32 : i32
  // expected-error @below {{expected 'column' to be a panel's first within the source, got 32}}
  %s = dsv2_tile.shared_view %t[%i, %c] : !dsv2_tile.shared<64x128xbf16, swizzle = 128> -> !tile
  return
}

// -----

// barrier_c1
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
    // expected-error @below {{expected 'id' to be from 1 to 15, got 0}}
    dsv2_tile.barrier 0 threads 128
  }
}

// -----

// barrier_c2
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
    // expected-error @below {{expected 'threads' to be a positive multiple of 32, got 100}}
    dsv2_tile.barrier 1 threads 100
  }
}

// -----

// barrier_c3
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 4 single (%i) {
    // expected-error @below {{expected a role of whole warps, got one of a single thread}}
    dsv2_tile.barrier 1 threads 32
  }
}

// -----

// await_predecessors_c1
dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 128 : i32} {
  dsv2_tile.await_predecessors
  // expected-error @below {{expected no more than one in a kernel}}
  dsv2_tile.await_predecessors
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
  }
}
