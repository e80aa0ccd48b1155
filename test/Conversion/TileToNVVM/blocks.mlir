// RUN: dsv2-opt %s --dsv2-convert-tile-to-nvvm --canonicalize --cse | FileCheck %s
// RUN: dsv2-opt %s --dsv2-convert-tile-to-nvvm --dsv2-lower-device-to-llvm -o /dev/null

!data = !dsv2_tile.shared<16x64xi8, swizzle = 64>
!scales = !dsv2_tile.shared<16x16xi8>

// CHECK-LABEL: llvm.func @unpack
dsv2_tile.kernel @unpack(%w: !dsv2_tile.global<i8>, %x: !dsv2_tile.global<bf16>, %out: !dsv2_tile.global<f32>, %n: i32)
    attributes {chip = "sm_80", threads = 32 : i32} {
  %c0 = arith.constant 0 : i32
  %data = dsv2_tile.shared : !data
  %scales = dsv2_tile.shared : !scales
  %t = dsv2_tile.shared : !dsv2_tile.shared<16x64xbf16, swizzle = 128>
  dsv2_tile.role "all" warps 0 to 1 by 1 (%i) {
    // CHECK-COUNT-2: nvvm.cp.async.shared.global
    dsv2_tile.cp_async %w[%c0, %c0] stride %n valid %n to %data : !dsv2_tile.global<i8>, !data
    // Fewer pieces than threads.
    // CHECK: scf.if
    // CHECK: nvvm.cp.async.shared.global
    // CHECK-NEXT: }
    dsv2_tile.cp_async %w[%c0, %c0] stride %n valid %n to %scales : !dsv2_tile.global<i8>, !scales
    // Pieces behind the last column are not read.
    // CHECK-COUNT-4: nvvm.cp.async.shared.global
    dsv2_tile.cp_async %x[%c0, %c0] stride %n valid %n, %n to %t : !dsv2_tile.global<bf16>, !dsv2_tile.shared<16x64xbf16, swizzle = 128>
    dsv2_tile.cp_async_commit
    dsv2_tile.cp_async_wait 0
    dsv2_tile.barrier 1 threads 32
    // Of each row a word of scales and four pieces, all conflict-free; then for
    // each pair of elements a permutation, a sum and a product.
    // CHECK: llvm.load {{.*}} : !llvm.ptr<3> -> i32
    // CHECK-COUNT-4: llvm.load {{.*}} {alignment = 16 : i64} : !llvm.ptr<3> -> vector<4xi32>
    // CHECK: llvm.call_intrinsic "llvm.nvvm.prmt"
    // CHECK: arith.addf %{{.*}}, %{{.*}} : vector<2xbf16>
    // CHECK: arith.mulf %{{.*}}, %{{.*}} : vector<2xbf16>
    %a = dsv2_tile.unpack_blocks q8 %data, %scales[%c0] : !data, !scales -> !dsv2_tile.operand<16x64xbf16, warps = 1>
    %z = arith.constant 0.0 : f32
    %s = dsv2_tile.splat %z : !dsv2_tile.frag<16x16xf32, warps = 1>
    // CHECK-COUNT-8: nvvm.mma.sync
    %f = dsv2_tile.mma %a, %t acc %s : !dsv2_tile.operand<16x64xbf16, warps = 1>, !dsv2_tile.shared<16x64xbf16, swizzle = 128> -> !dsv2_tile.frag<16x16xf32, warps = 1>
    // A register an element.
    // CHECK-COUNT-8: llvm.store %{{.*}} : f32, !llvm.ptr<1>
    // CHECK-NOT: llvm.store
    dsv2_tile.store %f to %out[%c0, %c0] stride %n valid %n, %n transposed : !dsv2_tile.frag<16x16xf32, warps = 1>, !dsv2_tile.global<f32>
  }
}

// The floats of fp8 are where bf16 has them, 2^120 too small.
// CHECK-LABEL: llvm.func @floats
// 0x7B807B80
// CHECK-DAG: %[[BITS:.*]] = arith.constant 2072017792 : i32
// CHECK: llvm.call_intrinsic "llvm.nvvm.prmt"
// CHECK: %[[PAIR:.*]] = llvm.bitcast %{{.*}} : i32 to vector<2xbf16>
// CHECK: %[[POWER:.*]] = llvm.bitcast %[[BITS]] : i32 to vector<2xbf16>
// CHECK: %[[ELEMENTS:.*]] = arith.mulf %[[PAIR]], %[[POWER]] : vector<2xbf16>
// CHECK: arith.mulf %[[ELEMENTS]], %{{.*}} : vector<2xbf16>
dsv2_tile.kernel @floats(%out: !dsv2_tile.global<f32>, %n: i32)
    attributes {chip = "sm_80", threads = 32 : i32} {
  %c0 = arith.constant 0 : i32
  %data = dsv2_tile.shared : !data
  %scales = dsv2_tile.shared : !scales
  %t = dsv2_tile.shared : !dsv2_tile.shared<16x64xbf16, swizzle = 128>
  dsv2_tile.role "all" warps 0 to 1 by 1 (%i) {
    %a = dsv2_tile.unpack_blocks fp8 %data, %scales[%c0] : !data, !scales -> !dsv2_tile.operand<16x64xbf16, warps = 1>
    %z = arith.constant 0.0 : f32
    %s = dsv2_tile.splat %z : !dsv2_tile.frag<16x16xf32, warps = 1>
    %f = dsv2_tile.mma %a, %t acc %s : !dsv2_tile.operand<16x64xbf16, warps = 1>, !dsv2_tile.shared<16x64xbf16, swizzle = 128> -> !dsv2_tile.frag<16x16xf32, warps = 1>
    dsv2_tile.store %f to %out[%c0, %c0] stride %n valid %n, %n transposed : !dsv2_tile.frag<16x16xf32, warps = 1>, !dsv2_tile.global<f32>
  }
}
