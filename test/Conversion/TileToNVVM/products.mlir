// RUN: dsv2-opt %s --dsv2-convert-tile-to-nvvm --canonicalize --cse | FileCheck %s
// RUN: dsv2-opt %s --dsv2-convert-tile-to-nvvm --dsv2-lower-device-to-llvm -o /dev/null

!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!page = !dsv2_tile.shared<64x128xbf16, swizzle = 128>
!frag = !dsv2_tile.frag<64x8xf32>
!acc = !dsv2_tile.async<64x8xf32>

// CHECK-LABEL: llvm.func @wgmma
dsv2_tile.kernel @wgmma() attributes {chip = "sm_90a", threads = 128 : i32} {
  %a = dsv2_tile.shared : !tile
  %b = dsv2_tile.shared : !dsv2_tile.shared<8x64xbf16, swizzle = 128>
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
    // Address / 16, 1 and 1024 / 16 as offsets, mode 1 (128 bytes); hidden.
    // CHECK: nvvm.wgmma.fence.aligned
    // CHECK: llvm.ptrtoint
    // CHECK: arith.ori %{{.*}}, %[[FIXED:.*]] : i64
    // CHECK: llvm.inline_asm has_side_effects asm_dialect = att "mov.b64 $0, $1;", "=l,l"
    // CHECK: llvm.inline_asm has_side_effects asm_dialect = att "mov.b64 $0, $1;", "=l,l"
    // The first step overwrites, the others add; 32 bytes further each.
    // CHECK: llvm.inline_asm has_side_effects asm_dialect = att "{\0A.reg .pred p;\0Asetp.ne.b32 p, 0, 0;\0Awgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {$0, $1, $2, $3}, $4, $5, p, 1, 1, 0, 0;\0A}", "=f,=f,=f,=f,l,l"
    // CHECK: arith.addi %{{.*}}, %c2_i64
    // CHECK: llvm.inline_asm has_side_effects asm_dialect = att "{\0A.reg .pred p;\0Asetp.ne.b32 p, 1, 0;\0Awgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {$0, $1, $2, $3}, $8, $9, p, 1, 1, 0, 0;\0A}", "=f,=f,=f,=f,0,1,2,3,l,l"
    // CHECK: arith.addi %{{.*}}, %c4_i64
    // CHECK: arith.addi %{{.*}}, %c6_i64
    // CHECK: nvvm.wgmma.commit.group.sync.aligned
    %p = dsv2_tile.wgmma %a, %b : !tile, !dsv2_tile.shared<8x64xbf16, swizzle = 128> -> !acc
    // CHECK: llvm.inline_asm has_side_effects asm_dialect = att "wgmma.wait_group.sync.aligned 0;", "=f,=f,=f,=f,0,1,2,3,~{memory}"
    %f = dsv2_tile.wgmma_wait 0 done(%p : !acc) keep() -> !frag
  }
}

// A from registers, B transposed: 64 columns a panel, panels 8192 bytes apart,
// 2048 bytes for each 16 rows.
// CHECK-LABEL: llvm.func @values
dsv2_tile.kernel @values() attributes {chip = "sm_90a", threads = 128 : i32} {
  %b = dsv2_tile.shared : !page
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
    %z = arith.constant 0.0 : f32
    %f = dsv2_tile.splat %z : !dsv2_tile.frag<64x64xf32>
    %g = dsv2_tile.splat %z : !dsv2_tile.frag<64x128xf32>
    // Two neighbours of a row in a register.
    // CHECK: llvm.fptrunc %{{.*}} : vector<2xf32> to vector<2xbf16>
    // CHECK: llvm.bitcast %{{.*}} : vector<2xbf16> to i32
    %o = dsv2_tile.pack %f : !dsv2_tile.frag<64x64xf32> -> !dsv2_tile.operand<64x64xbf16>
    // CHECK: "wgmma.fence.sync.aligned;", "=f,{{.*}}=r,{{.*}},0,1,2
    %u:2 = dsv2_tile.wgmma_fence %g, %o : !dsv2_tile.frag<64x128xf32>, !dsv2_tile.operand<64x64xbf16> -> !dsv2_tile.async<64x128xf32>, !dsv2_tile.operand<64x64xbf16>
    // CHECK: wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {{.*}}, {$128, $129, $130, $131}, $132, p, 1, 1, 1;
    // CHECK: arith.addi %{{.*}}, %c128_i64
    // CHECK: arith.addi %{{.*}}, %c256_i64
    // CHECK: arith.addi %{{.*}}, %c384_i64
    %p = dsv2_tile.wgmma %u#1, %b transposed acc %u#0 : !dsv2_tile.operand<64x64xbf16>, !page -> !dsv2_tile.async<64x128xf32>
    %d = dsv2_tile.wgmma_wait 0 done(%p : !dsv2_tile.async<64x128xf32>) keep() -> !dsv2_tile.frag<64x128xf32>
  }
}

