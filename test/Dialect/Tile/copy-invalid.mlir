// RUN: dsv2-opt %s -split-input-file -verify-diagnostics

// make_ring_c1
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>
!map = !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>

dsv2_tile.kernel @k(%m: !map) attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  // expected-error @below {{expected 'releases' to be the 4 warps that release the ring, got 1}}
  %r = dsv2_tile.make_ring releases 1 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%p) {
    dsv2_tile.ring_acquire %r[%s] expect 8192 : !ring
    %pt = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    dsv2_tile.tma_load %m[%c0, %c0] to %pt signals %r[%s] : !map, !tile, !ring
  }
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    dsv2_tile.ring_wait %r[%s] : !ring
    dsv2_tile.ring_release %r[%s] : !ring
  }
}

// -----

// make_ring_c2
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>

dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  // expected-error @below {{expected one role of a single thread to acquire the ring, got 0 roles}}
  %r = dsv2_tile.make_ring releases 4 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    dsv2_tile.ring_wait %r[%s] : !ring
    dsv2_tile.ring_release %r[%s] : !ring
  }
}

// -----

// ring_next_c1
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>

func.func @f(%r: !ring, %s: !dsv2_tile.ring_state) {
  // expected-error @below {{expected 'ring' to be the result of a make_ring}}
  %n = dsv2_tile.ring_next %r, %s : !ring
  return
}

// -----

// ring_acquire_c1
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>
!map = !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>

dsv2_tile.kernel @k(%m: !map) attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %r = dsv2_tile.make_ring releases 4 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%p) {
    // expected-error @below {{expected the 8192 bytes of the copies that signal the stage, got 4096}}
    dsv2_tile.ring_acquire %r[%s] expect 4096 : !ring
    %pt = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    dsv2_tile.tma_load %m[%c0, %c0] to %pt signals %r[%s] : !map, !tile, !ring
  }
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    dsv2_tile.ring_wait %r[%s] : !ring
    dsv2_tile.ring_release %r[%s] : !ring
  }
}

// -----

// ring_acquire_c1
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>
!map = !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>

dsv2_tile.kernel @k(%m: !map) attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %r = dsv2_tile.make_ring releases 4 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%p) {
    // expected-error @below {{expected the 0 bytes of the copies that signal the stage, got 8192}}
    dsv2_tile.ring_acquire %r[%s] expect 8192 : !ring
  }
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    dsv2_tile.ring_wait %r[%s] : !ring
    dsv2_tile.ring_release %r[%s] : !ring
  }
}

// -----

// ring_acquire_c2
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>

func.func @f(%r: !ring, %s: !dsv2_tile.ring_state) {
  // expected-error @below {{expected 'ring' to be the result of a make_ring}}
  dsv2_tile.ring_acquire %r[%s] expect 0 : !ring
  return
}

// -----

// ring_wait_c1
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>

func.func @f(%r: !ring, %s: !dsv2_tile.ring_state) {
  // expected-error @below {{expected 'ring' to be the result of a make_ring}}
  dsv2_tile.ring_wait %r[%s] : !ring
  return
}

// -----

// ring_wait_c2
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>
!map = !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>

dsv2_tile.kernel @k(%m: !map) attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %r = dsv2_tile.make_ring releases 4 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%p) {
    dsv2_tile.ring_acquire %r[%s] expect 8192 : !ring
    %pt = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    dsv2_tile.tma_load %m[%c0, %c0] to %pt signals %r[%s] : !map, !tile, !ring
    // expected-error @below {{expected a role of whole warps, got one of a single thread}}
    dsv2_tile.ring_wait %r[%s] : !ring
  }
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    dsv2_tile.ring_wait %r[%s] : !ring
    dsv2_tile.ring_release %r[%s] : !ring
  }
}

// -----

// ring_release_c1
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>

func.func @f(%r: !ring, %s: !dsv2_tile.ring_state) {
  // expected-error @below {{expected 'ring' to be the result of a make_ring}}
  dsv2_tile.ring_release %r[%s] : !ring
  return
}

// -----

// ring_release_c2
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>
!map = !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>

dsv2_tile.kernel @k(%m: !map) attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %r = dsv2_tile.make_ring releases 4 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%p) {
    dsv2_tile.ring_acquire %r[%s] expect 8192 : !ring
    %pt = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    dsv2_tile.tma_load %m[%c0, %c0] to %pt signals %r[%s] : !map, !tile, !ring
    // expected-error @below {{expected a role of whole warps, got one of a single thread}}
    dsv2_tile.ring_release %r[%s] : !ring
  }
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    dsv2_tile.ring_wait %r[%s] : !ring
    dsv2_tile.ring_release %r[%s] : !ring
  }
}

// -----

// ring_release_c3
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>
!map = !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>
!acc = !dsv2_tile.async<64x64xf32>
!frag = !dsv2_tile.frag<64x64xf32>

dsv2_tile.kernel @k(%m: !map) attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %r = dsv2_tile.make_ring releases 4 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%p) {
    dsv2_tile.ring_acquire %r[%s] expect 8192 : !ring
    %pt = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    dsv2_tile.tma_load %m[%c0, %c0] to %pt signals %r[%s] : !map, !tile, !ring
  }
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    dsv2_tile.ring_wait %r[%s] : !ring
    %t = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    %p1 = dsv2_tile.wgmma %t, %t : !tile, !tile -> !acc
    // expected-error @below {{expected a wgmma_wait between the products that read the stage and its release}}
    dsv2_tile.ring_release %r[%s] : !ring
    %f = dsv2_tile.wgmma_wait 0 done(%p1 : !acc) keep() -> !frag
  }
}

// -----

// ring_release_c3: one group too many is left pending
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>
!map = !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>
!acc = !dsv2_tile.async<64x64xf32>
!frag = !dsv2_tile.frag<64x64xf32>

dsv2_tile.kernel @k(%m: !map) attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %r = dsv2_tile.make_ring releases 4 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%p) {
    dsv2_tile.ring_acquire %r[%s] expect 8192 : !ring
    %pt = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    dsv2_tile.tma_load %m[%c0, %c0] to %pt signals %r[%s] : !map, !tile, !ring
  }
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    dsv2_tile.ring_wait %r[%s] : !ring
    %t = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    %p1 = dsv2_tile.wgmma %t, %t : !tile, !tile -> !acc
    %p2 = dsv2_tile.wgmma_wait 1 done() keep(%p1 : !acc) -> !acc
    // expected-error @below {{expected a wgmma_wait between the products that read the stage and its release}}
    dsv2_tile.ring_release %r[%s] : !ring
    %f = dsv2_tile.wgmma_wait 0 done(%p2 : !acc) keep() -> !frag
  }
}

// -----

// ring_release_c3: the stage of an earlier iteration
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>
!map = !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>
!acc = !dsv2_tile.async<64x64xf32>
!frag = !dsv2_tile.frag<64x64xf32>

dsv2_tile.kernel @k(%m: !map) attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %r = dsv2_tile.make_ring releases 4 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%p) {
    dsv2_tile.ring_acquire %r[%s] expect 8192 : !ring
    %pt = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    dsv2_tile.tma_load %m[%c0, %c0] to %pt signals %r[%s] : !map, !tile, !ring
  }
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    %c4 = arith.constant 4 : i32
    %z = arith.constant 0.0 : f32
    %f = dsv2_tile.splat %z : !frag
    %a = dsv2_tile.wgmma_fence %f : !frag -> !acc
    %e:3 = scf.for %k = %c0 to %c4 step %c1 iter_args(%now = %s, %before = %s, %x = %a) -> (!dsv2_tile.ring_state, !dsv2_tile.ring_state, !acc) : i32 {
      dsv2_tile.ring_wait %r[%now] : !ring
      %t = dsv2_tile.ring_tile %r[%now] 0 : !ring -> !tile
      %p1 = dsv2_tile.wgmma %t, %t acc %x : !tile, !tile -> !acc
      %p2 = dsv2_tile.wgmma_wait 2 done() keep(%p1 : !acc) -> !acc
      // expected-error @below {{expected a wgmma_wait between the products that read the stage and its release}}
      dsv2_tile.ring_release %r[%before] : !ring
      %n = dsv2_tile.ring_next %r, %now : !ring
      scf.yield %n, %now, %p2 : !dsv2_tile.ring_state, !dsv2_tile.ring_state, !acc
    }
    %g = dsv2_tile.wgmma_wait 0 done(%e#2 : !acc) keep() -> !frag
  }
}

// -----

// ring_tile_c1
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>

func.func @f(%r: !ring, %s: !dsv2_tile.ring_state) {
  // expected-error @below {{expected 'ring' to be the result of a make_ring}}
  %t = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
  return
}

// -----

// ring_tile_c2
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>
!map = !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>

dsv2_tile.kernel @k(%m: !map) attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %r = dsv2_tile.make_ring releases 4 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%p) {
    dsv2_tile.ring_acquire %r[%s] expect 8192 : !ring
    %pt = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    dsv2_tile.tma_load %m[%c0, %c0] to %pt signals %r[%s] : !map, !tile, !ring
  }
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    dsv2_tile.ring_wait %r[%s] : !ring
    // expected-error @below {{expected tile 1 of the ring's, got '!dsv2_tile.shared<64x64xbf16, swizzle = 128>'}}
    %t = dsv2_tile.ring_tile %r[%s] 1 : !ring -> !tile
    dsv2_tile.ring_release %r[%s] : !ring
  }
}

// -----

// tma_load_c1
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>
!map = !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>

dsv2_tile.kernel @k(%m: !map) attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %r = dsv2_tile.make_ring releases 4 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%p) {
    dsv2_tile.ring_acquire %r[%s] expect 8192 : !ring
    %pt = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    // expected-error @below {{expected 2 coordinates, got 1}}
    dsv2_tile.tma_load %m[%c0] to %pt signals %r[%s] : !map, !tile, !ring
  }
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    dsv2_tile.ring_wait %r[%s] : !ring
    dsv2_tile.ring_release %r[%s] : !ring
  }
}

// -----

// tma_load_c2
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>

dsv2_tile.kernel @k(%m: !dsv2_tile.tensor_map<32x64xbf16, swizzle = 128>) attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %r = dsv2_tile.make_ring releases 4 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%p) {
    dsv2_tile.ring_acquire %r[%s] expect 8192 : !ring
    %pt = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    // expected-error @below {{expected boxes of '!dsv2_tile.tensor_map<32x64xbf16, swizzle = 128>' to be panels of the tile, got '!dsv2_tile.shared<64x64xbf16, swizzle = 128>'}}
    dsv2_tile.tma_load %m[%c0, %c0] to %pt signals %r[%s] : !dsv2_tile.tensor_map<32x64xbf16, swizzle = 128>, !tile, !ring
  }
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    dsv2_tile.ring_wait %r[%s] : !ring
    dsv2_tile.ring_release %r[%s] : !ring
  }
}

// -----

// tma_load_c3
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>
!map = !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>

dsv2_tile.kernel @k(%m: !map) attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %r = dsv2_tile.make_ring releases 4 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%p) {
    dsv2_tile.ring_acquire %r[%s] expect 8192 : !ring
    %s2 = dsv2_tile.ring_next %r, %s : !ring
    %pt = dsv2_tile.ring_tile %r[%s2] 0 : !ring -> !tile
    // expected-error @below {{expected a whole tile of the stage that is signalled}}
    dsv2_tile.tma_load %m[%c0, %c0] to %pt signals %r[%s] : !map, !tile, !ring
  }
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    dsv2_tile.ring_wait %r[%s] : !ring
    dsv2_tile.ring_release %r[%s] : !ring
  }
}

// -----

// tma_load_c4
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>
!map = !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>

dsv2_tile.kernel @k(%m: !map) attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %r = dsv2_tile.make_ring releases 4 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%p) {
    dsv2_tile.ring_acquire %r[%s] expect 8192 : !ring
    %pt = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    dsv2_tile.tma_load %m[%c0, %c0] to %pt signals %r[%s] : !map, !tile, !ring
  }
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    dsv2_tile.ring_wait %r[%s] : !ring
    %pt = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
    // expected-error @below {{expected a role of a single thread}}
    dsv2_tile.tma_load %m[%c0, %c0] to %pt signals %r[%s] : !map, !tile, !ring
    dsv2_tile.ring_release %r[%s] : !ring
  }
}

// -----

// tma_load_c5
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<2, !tile>
!map = !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>

dsv2_tile.kernel @k(%m: !map) attributes {chip = "sm_90a", threads = 256 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %r = dsv2_tile.make_ring releases 4 : !ring
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%p) {
    %e = scf.for %k = %c0 to %c1 step %c1 iter_args(%mm = %m) -> (!map) : i32 {
      dsv2_tile.ring_acquire %r[%s] expect 8192 : !ring
      %pt = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !tile
      // expected-error @below {{expected 'map' to be an argument of the kernel}}
      dsv2_tile.tma_load %mm[%c0, %c0] to %pt signals %r[%s] : !map, !tile, !ring
      scf.yield %mm : !map
    }
  }
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    dsv2_tile.ring_wait %r[%s] : !ring
    dsv2_tile.ring_release %r[%s] : !ring
  }
}

// -----

// cp_async_c1
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>

func.func @f(%p: !dsv2_tile.global<f32>, %i: i32, %t: !tile) {
  // expected-error @below {{expected source and tile of the same elements, got '!dsv2_tile.global<f32>' and '!dsv2_tile.shared<64x64xbf16, swizzle = 128>'}}
  dsv2_tile.cp_async %p[%i, %i] stride %i valid %i to %t : !dsv2_tile.global<f32>, !tile
  return
}

// -----

// cp_async_c2
func.func @f(%p: !dsv2_tile.global<bf16>, %i: i32, %t: !dsv2_tile.shared<2x64x64xbf16>) {
  // expected-error @below {{expected a tile without stages of a multiple of 1 pieces of 16 bytes, or fewer, got '!dsv2_tile.shared<2x64x64xbf16>'}}
  dsv2_tile.cp_async %p[%i, %i] stride %i valid %i to %t : !dsv2_tile.global<bf16>, !dsv2_tile.shared<2x64x64xbf16>
  return
}

// -----

// cp_async_c2
dsv2_tile.kernel @k(%p: !dsv2_tile.global<bf16>) attributes {chip = "sm_80", threads = 128 : i32} {
  %t = dsv2_tile.shared : !dsv2_tile.shared<24x64xbf16>
  %c = arith.constant 0 : i32
  dsv2_tile.role "all" warps 0 to 4 by 1 (%i) {
    // expected-error @below {{expected a tile without stages of a multiple of 128 pieces of 16 bytes, or fewer, got '!dsv2_tile.shared<24x64xbf16>'}}
    dsv2_tile.cp_async %p[%c, %c] stride %c valid %c to %t : !dsv2_tile.global<bf16>, !dsv2_tile.shared<24x64xbf16>
  }
}

// -----

// cp_async_c3
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>

dsv2_tile.kernel @k(%p: !dsv2_tile.global<bf16>) attributes {chip = "sm_80", threads = 128 : i32} {
  %t = dsv2_tile.shared : !tile
  %c = arith.constant 0 : i32
  dsv2_tile.role "all" warps 0 to 4 by 4 single (%i) {
    // expected-error @below {{expected a role of whole warps, got one of a single thread}}
    dsv2_tile.cp_async %p[%c, %c] stride %c valid %c to %t : !dsv2_tile.global<bf16>, !tile
  }
}

// -----

// cp_async_wait_c1
func.func @f() {
  // expected-error @below {{expected 'pending' not to be negative, got -1}}
  dsv2_tile.cp_async_wait -1
  return
}

// -----

// cp_async_wait_c2
func.func @f() {
  // expected-error @below {{expected a barrier behind it in the same block}}
  dsv2_tile.cp_async_wait 0
  return
}

// -----

// load_scalar_c1
func.func @f(%p: !dsv2_tile.global<i32>, %i: i32) {
  // expected-error @below {{expected a result of the elements' type, got 'f32'}}
  %x = dsv2_tile.load_scalar %p[%i] : !dsv2_tile.global<i32> -> f32
  return
}

// -----

// search_sums_c1
func.func @f(%n: i32) {
  // expected-error @below {{expected a body with an argument of type i32}}
  %i, %s = dsv2_tile.search_sums %n past %n {
  ^bb0(%x: f32):
    dsv2_tile.yield %n : i32
  }
  return
}

// -----

// search_sums_c1
func.func @f(%n: i32) {
  // expected-error @below {{expected the body to yield an i32}}
  %i, %s = dsv2_tile.search_sums %n past %n {
  ^bb0(%x: i32):
    %y = arith.sitofp %x : i32 to f32
    dsv2_tile.yield %y : f32
  }
  return
}

// -----

// search_sums_c2
func.func @f(%n: i32) {
  %i, %s = dsv2_tile.search_sums %n past %n {
  ^bb0(%x: i32):
    // expected-error @below {{expected ops of arith and load_scalar in the body of a search_sums}}
    %b = dsv2_tile.block_id 0
    dsv2_tile.yield %b : i32
  }
  return
}

// -----

// search_sums_c3
dsv2_tile.kernel @k(%n: i32) attributes {chip = "sm_90a", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 4 single (%i) {
    // expected-error @below {{expected a role of whole warps, got one of a single thread}}
    %j, %s = dsv2_tile.search_sums %n past %n {
    ^bb0(%x: i32):
      dsv2_tile.yield %x : i32
    }
  }
}
