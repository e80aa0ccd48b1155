// Registers that a product may still read are not written.

// REQUIRES: ptxas
// RUN: not dsv2-kernel %s --gpu-chip=sm_90a --gate | FileCheck %s --implicit-check-not=gate:

// CHECK:      gate: kernel 'too_early' for sm_90a: left operands of wgmma: expected a wgmma.wait_group for a product before the registers that it reads are written again, found 1 written without
// CHECK-NEXT: gate: kernel 'closed_late' for sm_90a: left operands of wgmma: {{.*}}, found 1 written without
// CHECK-NEXT: gate: 3 of 5 kernels are as they should be

!four = !llvm.struct<(f32, f32, f32, f32)>

gpu.module @dsv2_kernels {
  // While one product is under way the next one's operand is loaded, where the
  // first one's is.
  llvm.func @too_early(%x: !llvm.ptr<1>, %b: i64, %n: i32) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128>} {
    %zero = llvm.mlir.constant(0 : i32) : i32
    %one = llvm.mlir.constant(1 : i32) : i32
    %none = llvm.mlir.constant(0.0 : f32) : f32
    llvm.br ^step(%zero, %none, %none, %none, %none : i32, f32, f32, f32, f32)
  ^step(%i: i32, %s0: f32, %s1: f32, %s2: f32, %s3: f32):
    %v1 = llvm.load volatile %x : !llvm.ptr<1> -> i32
    %v2 = llvm.inline_asm has_side_effects "wgmma.fence.sync.aligned;", "=r,0" %v1 : (i32) -> i32
    %v3 = llvm.inline_asm has_side_effects "{\0A.reg .pred p;\0Asetp.ne.b32 p, 1, 0;\0Awgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {$0, $1, $2, $3}, {$8, $9, $10, $11}, $12, p, 1, 1, 0;\0A}", "=f,=f,=f,=f,0,1,2,3,r,r,r,r,l" %s0, %s1, %s2, %s3, %v2, %v2, %v2, %v2, %b : (f32, f32, f32, f32, i32, i32, i32, i32, i64) -> !four
    %v4 = llvm.extractvalue %v3[0] : !four
    %v5 = llvm.extractvalue %v3[1] : !four
    %v6 = llvm.extractvalue %v3[2] : !four
    %v7 = llvm.extractvalue %v3[3] : !four
    nvvm.wgmma.commit.group.sync.aligned
    %v8 = llvm.inline_asm has_side_effects "wgmma.wait_group.sync.aligned 1;", "=f,=f,=f,=f,0,1,2,3,~{memory}" %v4, %v5, %v6, %v7 : (f32, f32, f32, f32) -> !four
    %v9 = llvm.extractvalue %v8[0] : !four
    %v10 = llvm.extractvalue %v8[1] : !four
    %v11 = llvm.extractvalue %v8[2] : !four
    %v12 = llvm.extractvalue %v8[3] : !four
    %next = llvm.add %i, %one : i32
    %more = llvm.icmp "slt" %next, %n : i32
    llvm.cond_br %more, ^step(%next, %v9, %v10, %v11, %v12 : i32, f32, f32, f32, f32), ^end
  ^end:
    %v13 = llvm.inline_asm has_side_effects "wgmma.wait_group.sync.aligned 0;", "=f,=f,=f,=f,0,1,2,3,~{memory}" %v9, %v10, %v11, %v12 : (f32, f32, f32, f32) -> !four
    %v14 = llvm.extractvalue %v13[0] : !four
    %v15 = llvm.extractvalue %v13[1] : !four
    %v16 = llvm.extractvalue %v13[2] : !four
    %v17 = llvm.extractvalue %v13[3] : !four
    llvm.store volatile %v14, %x : f32, !llvm.ptr<1>
    llvm.return
  }
  llvm.func @waits(%x: !llvm.ptr<1>, %b: i64, %n: i32) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128>} {
    %zero = llvm.mlir.constant(0 : i32) : i32
    %one = llvm.mlir.constant(1 : i32) : i32
    %none = llvm.mlir.constant(0.0 : f32) : f32
    llvm.br ^step(%zero, %none, %none, %none, %none : i32, f32, f32, f32, f32)
  ^step(%i: i32, %s0: f32, %s1: f32, %s2: f32, %s3: f32):
    %v1 = llvm.inline_asm has_side_effects "wgmma.wait_group.sync.aligned 0;", "=f,=f,=f,=f,0,1,2,3,~{memory}" %s0, %s1, %s2, %s3 : (f32, f32, f32, f32) -> !four
    %v2 = llvm.extractvalue %v1[0] : !four
    %v3 = llvm.extractvalue %v1[1] : !four
    %v4 = llvm.extractvalue %v1[2] : !four
    %v5 = llvm.extractvalue %v1[3] : !four
    %v6 = llvm.load volatile %x : !llvm.ptr<1> -> i32
    %v7 = llvm.inline_asm has_side_effects "wgmma.fence.sync.aligned;", "=r,0" %v6 : (i32) -> i32
    %v8 = llvm.inline_asm has_side_effects "{\0A.reg .pred p;\0Asetp.ne.b32 p, 1, 0;\0Awgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {$0, $1, $2, $3}, {$8, $9, $10, $11}, $12, p, 1, 1, 0;\0A}", "=f,=f,=f,=f,0,1,2,3,r,r,r,r,l" %v2, %v3, %v4, %v5, %v7, %v7, %v7, %v7, %b : (f32, f32, f32, f32, i32, i32, i32, i32, i64) -> !four
    %v9 = llvm.extractvalue %v8[0] : !four
    %v10 = llvm.extractvalue %v8[1] : !four
    %v11 = llvm.extractvalue %v8[2] : !four
    %v12 = llvm.extractvalue %v8[3] : !four
    nvvm.wgmma.commit.group.sync.aligned
    %next = llvm.add %i, %one : i32
    %more = llvm.icmp "slt" %next, %n : i32
    llvm.cond_br %more, ^step(%next, %v9, %v10, %v11, %v12 : i32, f32, f32, f32, f32), ^end
  ^end:
    %v13 = llvm.inline_asm has_side_effects "wgmma.wait_group.sync.aligned 0;", "=f,=f,=f,=f,0,1,2,3,~{memory}" %v9, %v10, %v11, %v12 : (f32, f32, f32, f32) -> !four
    %v14 = llvm.extractvalue %v13[0] : !four
    %v15 = llvm.extractvalue %v13[1] : !four
    %v16 = llvm.extractvalue %v13[2] : !four
    %v17 = llvm.extractvalue %v13[3] : !four
    llvm.store volatile %v14, %x : f32, !llvm.ptr<1>
    llvm.return
  }
  // Two operands: a product is over when its registers are written again.
  llvm.func @take_turns(%x: !llvm.ptr<1>, %b: i64, %n: i32) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128>} {
    %zero = llvm.mlir.constant(0 : i32) : i32
    %one = llvm.mlir.constant(1 : i32) : i32
    %none = llvm.mlir.constant(0.0 : f32) : f32
    llvm.br ^step(%zero, %none, %none, %none, %none : i32, f32, f32, f32, f32)
  ^step(%i: i32, %s0: f32, %s1: f32, %s2: f32, %s3: f32):
    %v1 = llvm.load volatile %x : !llvm.ptr<1> -> i32
    %v2 = llvm.inline_asm has_side_effects "wgmma.fence.sync.aligned;", "=r,0" %v1 : (i32) -> i32
    %v3 = llvm.inline_asm has_side_effects "{\0A.reg .pred p;\0Asetp.ne.b32 p, 1, 0;\0Awgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {$0, $1, $2, $3}, {$8, $9, $10, $11}, $12, p, 1, 1, 0;\0A}", "=f,=f,=f,=f,0,1,2,3,r,r,r,r,l" %s0, %s1, %s2, %s3, %v2, %v2, %v2, %v2, %b : (f32, f32, f32, f32, i32, i32, i32, i32, i64) -> !four
    %v4 = llvm.extractvalue %v3[0] : !four
    %v5 = llvm.extractvalue %v3[1] : !four
    %v6 = llvm.extractvalue %v3[2] : !four
    %v7 = llvm.extractvalue %v3[3] : !four
    nvvm.wgmma.commit.group.sync.aligned
    %v8 = llvm.inline_asm has_side_effects "wgmma.wait_group.sync.aligned 1;", "=f,=f,=f,=f,0,1,2,3,~{memory}" %v4, %v5, %v6, %v7 : (f32, f32, f32, f32) -> !four
    %v9 = llvm.extractvalue %v8[0] : !four
    %v10 = llvm.extractvalue %v8[1] : !four
    %v11 = llvm.extractvalue %v8[2] : !four
    %v12 = llvm.extractvalue %v8[3] : !four
    %v13 = llvm.load volatile %x : !llvm.ptr<1> -> i32
    %v14 = llvm.inline_asm has_side_effects "wgmma.fence.sync.aligned;", "=r,0" %v13 : (i32) -> i32
    %v15 = llvm.inline_asm has_side_effects "{\0A.reg .pred p;\0Asetp.ne.b32 p, 1, 0;\0Awgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {$0, $1, $2, $3}, {$8, $9, $10, $11}, $12, p, 1, 1, 0;\0A}", "=f,=f,=f,=f,0,1,2,3,r,r,r,r,l" %v9, %v10, %v11, %v12, %v14, %v14, %v14, %v14, %b : (f32, f32, f32, f32, i32, i32, i32, i32, i64) -> !four
    %v16 = llvm.extractvalue %v15[0] : !four
    %v17 = llvm.extractvalue %v15[1] : !four
    %v18 = llvm.extractvalue %v15[2] : !four
    %v19 = llvm.extractvalue %v15[3] : !four
    nvvm.wgmma.commit.group.sync.aligned
    %v20 = llvm.inline_asm has_side_effects "wgmma.wait_group.sync.aligned 1;", "=f,=f,=f,=f,0,1,2,3,~{memory}" %v16, %v17, %v18, %v19 : (f32, f32, f32, f32) -> !four
    %v21 = llvm.extractvalue %v20[0] : !four
    %v22 = llvm.extractvalue %v20[1] : !four
    %v23 = llvm.extractvalue %v20[2] : !four
    %v24 = llvm.extractvalue %v20[3] : !four
    %next = llvm.add %i, %one : i32
    %more = llvm.icmp "slt" %next, %n : i32
    llvm.cond_br %more, ^step(%next, %v21, %v22, %v23, %v24 : i32, f32, f32, f32, f32), ^end
  ^end:
    %v25 = llvm.inline_asm has_side_effects "wgmma.wait_group.sync.aligned 0;", "=f,=f,=f,=f,0,1,2,3,~{memory}" %v21, %v22, %v23, %v24 : (f32, f32, f32, f32) -> !four
    %v26 = llvm.extractvalue %v25[0] : !four
    %v27 = llvm.extractvalue %v25[1] : !four
    %v28 = llvm.extractvalue %v25[2] : !four
    %v29 = llvm.extractvalue %v25[3] : !four
    llvm.store volatile %v26, %x : f32, !llvm.ptr<1>
    llvm.return
  }
  // A wait does not cover products whose group is still open.
  llvm.func @closed_late(%x: !llvm.ptr<1>, %b: i64, %n: i32) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128>} {
    %zero = llvm.mlir.constant(0 : i32) : i32
    %one = llvm.mlir.constant(1 : i32) : i32
    %none = llvm.mlir.constant(0.0 : f32) : f32
    llvm.br ^step(%zero, %none, %none, %none, %none : i32, f32, f32, f32, f32)
  ^step(%i: i32, %s0: f32, %s1: f32, %s2: f32, %s3: f32):
    %v1 = llvm.load volatile %x : !llvm.ptr<1> -> i32
    %v2 = llvm.inline_asm has_side_effects "wgmma.fence.sync.aligned;", "=r,0" %v1 : (i32) -> i32
    %v3 = llvm.inline_asm has_side_effects "{\0A.reg .pred p;\0Asetp.ne.b32 p, 1, 0;\0Awgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {$0, $1, $2, $3}, {$8, $9, $10, $11}, $12, p, 1, 1, 0;\0A}", "=f,=f,=f,=f,0,1,2,3,r,r,r,r,l" %s0, %s1, %s2, %s3, %v2, %v2, %v2, %v2, %b : (f32, f32, f32, f32, i32, i32, i32, i32, i64) -> !four
    %v4 = llvm.extractvalue %v3[0] : !four
    %v5 = llvm.extractvalue %v3[1] : !four
    %v6 = llvm.extractvalue %v3[2] : !four
    %v7 = llvm.extractvalue %v3[3] : !four
    %v8 = llvm.inline_asm has_side_effects "wgmma.wait_group.sync.aligned 0;", "=f,=f,=f,=f,0,1,2,3,~{memory}" %v4, %v5, %v6, %v7 : (f32, f32, f32, f32) -> !four
    %v9 = llvm.extractvalue %v8[0] : !four
    %v10 = llvm.extractvalue %v8[1] : !four
    %v11 = llvm.extractvalue %v8[2] : !four
    %v12 = llvm.extractvalue %v8[3] : !four
    nvvm.wgmma.commit.group.sync.aligned
    %next = llvm.add %i, %one : i32
    %more = llvm.icmp "slt" %next, %n : i32
    llvm.cond_br %more, ^step(%next, %v9, %v10, %v11, %v12 : i32, f32, f32, f32, f32), ^end
  ^end:
    %v13 = llvm.inline_asm has_side_effects "wgmma.wait_group.sync.aligned 0;", "=f,=f,=f,=f,0,1,2,3,~{memory}" %v9, %v10, %v11, %v12 : (f32, f32, f32, f32) -> !four
    %v14 = llvm.extractvalue %v13[0] : !four
    %v15 = llvm.extractvalue %v13[1] : !four
    %v16 = llvm.extractvalue %v13[2] : !four
    %v17 = llvm.extractvalue %v13[3] : !four
    llvm.store volatile %v14, %x : f32, !llvm.ptr<1>
    llvm.return
  }
  // Nothing is written in the loop.
  llvm.func @loaded_once(%x: !llvm.ptr<1>, %b: i64, %n: i32) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128>} {
    %zero = llvm.mlir.constant(0 : i32) : i32
    %one = llvm.mlir.constant(1 : i32) : i32
    %none = llvm.mlir.constant(0.0 : f32) : f32
    %w = llvm.load volatile %x : !llvm.ptr<1> -> i32
    llvm.br ^step(%zero, %none, %none, %none, %none : i32, f32, f32, f32, f32)
  ^step(%i: i32, %s0: f32, %s1: f32, %s2: f32, %s3: f32):
    %v1 = llvm.inline_asm has_side_effects "wgmma.fence.sync.aligned;", "=r,0" %w : (i32) -> i32
    %v2 = llvm.inline_asm has_side_effects "{\0A.reg .pred p;\0Asetp.ne.b32 p, 1, 0;\0Awgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {$0, $1, $2, $3}, {$8, $9, $10, $11}, $12, p, 1, 1, 0;\0A}", "=f,=f,=f,=f,0,1,2,3,r,r,r,r,l" %s0, %s1, %s2, %s3, %v1, %v1, %v1, %v1, %b : (f32, f32, f32, f32, i32, i32, i32, i32, i64) -> !four
    %v3 = llvm.extractvalue %v2[0] : !four
    %v4 = llvm.extractvalue %v2[1] : !four
    %v5 = llvm.extractvalue %v2[2] : !four
    %v6 = llvm.extractvalue %v2[3] : !four
    nvvm.wgmma.commit.group.sync.aligned
    %v7 = llvm.inline_asm has_side_effects "wgmma.wait_group.sync.aligned 1;", "=f,=f,=f,=f,0,1,2,3,~{memory}" %v3, %v4, %v5, %v6 : (f32, f32, f32, f32) -> !four
    %v8 = llvm.extractvalue %v7[0] : !four
    %v9 = llvm.extractvalue %v7[1] : !four
    %v10 = llvm.extractvalue %v7[2] : !four
    %v11 = llvm.extractvalue %v7[3] : !four
    %next = llvm.add %i, %one : i32
    %more = llvm.icmp "slt" %next, %n : i32
    llvm.cond_br %more, ^step(%next, %v8, %v9, %v10, %v11 : i32, f32, f32, f32, f32), ^end
  ^end:
    %v12 = llvm.inline_asm has_side_effects "wgmma.wait_group.sync.aligned 0;", "=f,=f,=f,=f,0,1,2,3,~{memory}" %v8, %v9, %v10, %v11 : (f32, f32, f32, f32) -> !four
    %v13 = llvm.extractvalue %v12[0] : !four
    %v14 = llvm.extractvalue %v12[1] : !four
    %v15 = llvm.extractvalue %v12[2] : !four
    %v16 = llvm.extractvalue %v12[3] : !four
    llvm.store volatile %v13, %x : f32, !llvm.ptr<1>
    llvm.return
  }
}
