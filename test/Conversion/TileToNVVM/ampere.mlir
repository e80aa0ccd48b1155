// RUN: dsv2-opt %s --dsv2-convert-tile-to-nvvm --canonicalize --cse | FileCheck %s
// RUN: dsv2-opt %s --dsv2-convert-tile-to-nvvm --dsv2-lower-device-to-llvm -o /dev/null

!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>

// CHECK-LABEL: llvm.func @product
dsv2_tile.kernel @product(%p: !dsv2_tile.global<bf16>, %out: !dsv2_tile.global<f32>, %n: i32)
    attributes {chip = "sm_80", threads = 128 : i32} {
  %c0 = arith.constant 0 : i32
  %t = dsv2_tile.shared : !tile
  dsv2_tile.role "all" warps 0 to 4 by 1 (%i) {
    // Each thread copies 64 * 8 / 128 pieces; 0 bytes of rows that are not valid.
    // CHECK-COUNT-4: nvvm.cp.async.shared.global %{{.*}}, %{{.*}}, 16, cache = cg, %{{.*}} : !llvm.ptr<3>, !llvm.ptr<1>, i32
    // CHECK-NOT: cp.async.shared
    dsv2_tile.cp_async %p[%c0, %c0] stride %n valid %n to %t : !dsv2_tile.global<bf16>, !tile
    // CHECK: nvvm.cp.async.commit.group
    dsv2_tile.cp_async_commit
    // CHECK: nvvm.cp.async.wait.group 0
    dsv2_tile.cp_async_wait 0
    dsv2_tile.barrier 1 threads 128
    %z = arith.constant 0.0 : f32
    %f = dsv2_tile.splat %z : !dsv2_tile.frag<16x16xf32, warps = 1>
    %c16 = arith.constant 16 : i32
    %row = arith.muli %i, %c16 : i32
    %a = dsv2_tile.shared_view %t[%row, %c0] : !tile -> !dsv2_tile.shared<16x64xbf16, swizzle = 128, of_rows = 64>
    %b = dsv2_tile.shared_view %t[%c0, %c0] : !tile -> !dsv2_tile.shared<16x64xbf16, swizzle = 128, of_rows = 64>
    // CHECK: nvvm.ldmatrix %{{.*}} {eltType = #nvvm.ld_st_matrix_elt_type<b16>, layout = #nvvm.mma_layout<row>, num = 4 : i32
    // CHECK: nvvm.ldmatrix
    // CHECK: nvvm.mma.sync A[%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}] B[%{{.*}}, %{{.*}}] C[%{{.*}}] {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, multiplicandAPtxType = #nvvm.mma_type<bf16>
    // CHECK-COUNT-7: nvvm.mma.sync
    // CHECK-NOT: nvvm.mma.sync
    %g = dsv2_tile.mma %a, %b acc %f : !dsv2_tile.shared<16x64xbf16, swizzle = 128, of_rows = 64>, !dsv2_tile.shared<16x64xbf16, swizzle = 128, of_rows = 64> -> !dsv2_tile.frag<16x16xf32, warps = 1>
    // CHECK-COUNT-2: nvvm.shfl.sync bfly
    // CHECK: arith.maxnumf
    %m = dsv2_tile.reduce_rows max %g : !dsv2_tile.frag<16x16xf32, warps = 1> -> !dsv2_tile.rows<16xf32, warps = 1>
    // Approximate: one instruction.
    // CHECK: llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f"
    // CHECK: llvm.call_intrinsic "llvm.nvvm.lg2.approx.ftz.f"
    // CHECK: llvm.call_intrinsic "llvm.nvvm.rcp.approx.ftz.f"
    %h = dsv2_tile.map ins(%m : !dsv2_tile.rows<16xf32, warps = 1>) -> !dsv2_tile.rows<16xf32, warps = 1> {
    ^bb0(%x: f32):
      %e = math.exp2 %x : f32
      %l = math.log2 %e : f32
      %d = arith.divf %x, %l fastmath<afn> : f32
      dsv2_tile.yield %d : f32
    }
    // CHECK: llvm.store %{{.*}} : f32, !llvm.ptr<1>
    dsv2_tile.store_rows %h to %out[%c0] stride %c16 valid %n : !dsv2_tile.rows<16xf32, warps = 1>, !dsv2_tile.global<f32>
  }
}
