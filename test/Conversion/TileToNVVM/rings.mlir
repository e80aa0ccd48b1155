// RUN: dsv2-opt %s --dsv2-convert-tile-to-nvvm --canonicalize --cse | FileCheck %s
// RUN: dsv2-opt %s --dsv2-convert-tile-to-nvvm --dsv2-lower-device-to-llvm -o /dev/null

!a = !dsv2_tile.shared<128x128xbf16, swizzle = 128>
!b = !dsv2_tile.shared<32x128xbf16, swizzle = 128>
!ring = !dsv2_tile.ring<3, !a, !b>
!mapa = !dsv2_tile.tensor_map<128x64xbf16, swizzle = 128>
!mapb = !dsv2_tile.tensor_map<1x32x64xbf16, swizzle = 128>

// Stages of 40960 bytes, then 3 full and 3 empty barriers of 8 bytes.
// CHECK: gpu.module @dsv2_kernels {
// CHECK: llvm.mlir.global external @dsv2_smem() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
// CHECK: llvm.func @copy(
// CHECK-SAME: %[[MAPA:[a-z0-9]+]]: !llvm.ptr {llvm.align = 64 : i64, llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant}
// CHECK-SAME: %[[E:[a-z0-9]+]]: i32
// CHECK-SAME: dsv2.note = "kept"
// CHECK-SAME: dsv2.shared_bytes = 122928 : i64
// CHECK-SAME: nvvm.kernel, nvvm.maxntid = array<i32: 384>, nvvm.minctasm = 1 : i32
dsv2_tile.kernel @copy(%ma: !mapa, %mb: !mapb, %e: i32)
    attributes {chip = "sm_90a", threads = 384 : i32, dsv2.note = "kept"} {
  %c7 = arith.constant 7 : i32
  %c64 = arith.constant 64 : i32
  // One arrival fills a stage, one of each of 8 warps empties it.
  // CHECK: %[[WARP:.*]] = nvvm.shfl.sync idx
  // CHECK: nvvm.mbarrier.init %{{.*}}, %c1_i32 : !llvm.ptr<3>, i32
  // CHECK: nvvm.mbarrier.init %{{.*}}, %c1_i32
  // CHECK: nvvm.mbarrier.init %{{.*}}, %c1_i32
  // CHECK: nvvm.mbarrier.init %{{.*}}, %c8_i32
  // CHECK: nvvm.mbarrier.init %{{.*}}, %c8_i32
  // CHECK: nvvm.mbarrier.init %{{.*}}, %c8_i32
  // CHECK: nvvm.fence.mbarrier.init
  // CHECK: nvvm.barrier
  %r = dsv2_tile.make_ring releases 8 : !ring
  %s = dsv2_tile.ring_start
  // CHECK: nvvm.setmaxregister decrease 40
  // CHECK: nvvm.elect.sync
  dsv2_tile.role "producer" warps 0 to 4 by 4 registers 40 single (%i) {
    // A fresh barrier lets a wait for parity 1 pass.
    // CHECK: scf.while
    // CHECK: nvvm.mbarrier.try_wait %{{.*}}, %c1_i32 : !llvm.ptr<3>, i32 -> i1
    // CHECK: nvvm.mbarrier.arrive.expect_tx %{{.*}}, %c40960_i32
    dsv2_tile.ring_acquire %r[%s] expect 40960 : !ring
    %ta = dsv2_tile.ring_tile %r[%s] 0 : !ring -> !a
    %tb = dsv2_tile.ring_tile %r[%s] 1 : !ring -> !b
    // Two panels of each tile; the innermost coordinate comes first.
    // CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.*}}, %[[MAPA]], %{{.*}}, box[%c64_i32, %c7_i32] : !llvm.ptr<7>, !llvm.ptr
    // CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.*}}, %[[MAPA]], %{{.*}}, box[%c128_i32, %c7_i32]
    dsv2_tile.tma_load %ma[%c7, %c64] to %ta signals %r[%s] : !mapa, !a, !ring
    // CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.*}}, %{{.*}}, %{{.*}}, box[%c64_i32, %c7_i32, %[[E]]]
    // CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.*}}, %{{.*}}, %{{.*}}, box[%c128_i32, %c7_i32, %[[E]]]
    dsv2_tile.tma_load %mb[%e, %c7, %c64] to %tb signals %r[%s] : !mapb, !b, !ring
  }
  // CHECK: nvvm.setmaxregister increase 232
  dsv2_tile.role "consumer" warps 4 to 12 by 4 registers 232 (%i) {
    // CHECK: scf.while
    // CHECK: nvvm.mbarrier.try_wait %{{.*}}, %c0_i32
    dsv2_tile.ring_wait %r[%s] : !ring
    // CHECK: nvvm.bar.warp.sync
    // CHECK: scf.if
    // CHECK: nvvm.mbarrier.arrive %
    dsv2_tile.ring_release %r[%s] : !ring
    // CHECK: nvvm.barrier id = %c2_i32 number_of_threads = %c256_i32
    dsv2_tile.barrier 2 threads 256
    // CHECK: nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}
    dsv2_tile.fence_async
  }
}
