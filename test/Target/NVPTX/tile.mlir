// A kernel of the tile dialect is lowered on the way.

// RUN: dsv2-kernel %s --gpu-chip=sm_90a --ptx | FileCheck %s
// CHECK: .visible .entry consume(
// CHECK: cp.async.bulk.tensor.2d.shared::cluster.global.tile

dsv2_tile.kernel @consume(%m: !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>)
    attributes {chip = "sm_90a", threads = 256 : i32} {
  %zero = arith.constant 0 : i32
  %r = dsv2_tile.make_ring releases 4 : !dsv2_tile.ring<2, !dsv2_tile.shared<64x64xbf16, swizzle = 128>>
  %s = dsv2_tile.ring_start
  dsv2_tile.role "producer" warps 0 to 4 by 4 single (%i) {
    dsv2_tile.ring_acquire %r[%s] expect 8192 : !dsv2_tile.ring<2, !dsv2_tile.shared<64x64xbf16, swizzle = 128>>
    %t = dsv2_tile.ring_tile %r[%s] 0 : !dsv2_tile.ring<2, !dsv2_tile.shared<64x64xbf16, swizzle = 128>> -> !dsv2_tile.shared<64x64xbf16, swizzle = 128>
    dsv2_tile.tma_load %m[%zero, %zero] to %t signals %r[%s] : !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>, !dsv2_tile.shared<64x64xbf16, swizzle = 128>, !dsv2_tile.ring<2, !dsv2_tile.shared<64x64xbf16, swizzle = 128>>
  }
  dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
    dsv2_tile.ring_wait %r[%s] : !dsv2_tile.ring<2, !dsv2_tile.shared<64x64xbf16, swizzle = 128>>
    dsv2_tile.ring_release %r[%s] : !dsv2_tile.ring<2, !dsv2_tile.shared<64x64xbf16, swizzle = 128>>
  }
}
