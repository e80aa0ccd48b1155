; C[m, n] = A[m, k] B[n, k]^T of bf16 in f32 with roles: the first warpgroup's
; first thread copies boxes by the tensor memory accelerator, the second
; warpgroup multiplies by wgmma. A block makes 64 x 16 of C; grid x goes over m,
; y over n. Tails come from the copies' filling and guards of the stores.
;
; Two stages of A 64 x 64 (8192 bytes) and B 16 x 64 (2048 bytes), K-major, 128
; byte swizzle; then mbarriers: full 0, full 1, empty 0, empty 1.

target triple = "nvptx64-nvidia-cuda"

@dsv2_smem = external addrspace(3) global [0 x i8], align 1024

declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.y()
declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)
declare void @llvm.nvvm.barrier.cta.sync.aligned.count(i32, i32)
declare void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3), i32)
declare void @llvm.nvvm.fence.mbarrier_init.release.cluster()
declare void @llvm.nvvm.fence.proxy.async.shared_cta()
declare i64 @llvm.nvvm.mbarrier.arrive.shared(ptr addrspace(3))
declare i64 @llvm.nvvm.mbarrier.arrive.expect.tx.scope.cta.space.cta(ptr addrspace(3), i32)
declare i1 @llvm.nvvm.mbarrier.try.wait.parity.scope.cta.space.cta(ptr addrspace(3), i32)
declare void @llvm.nvvm.cp.async.bulk.tensor.g2s.tile.2d(ptr addrspace(7), ptr addrspace(3), ptr, i32, i32, i16, i64, i1 immarg, i1 immarg, i32 immarg)
declare void @llvm.nvvm.wgmma.fence.sync.aligned()
declare void @llvm.nvvm.wgmma.commit_group.sync.aligned()
declare void @llvm.nvvm.wgmma.wait_group.sync.aligned(i64 immarg)
declare void @llvm.nvvm.setmaxnreg.dec.sync.aligned.u32(i32 immarg)
declare void @llvm.nvvm.setmaxnreg.inc.sync.aligned.u32(i32 immarg)
declare { i32, i32, i32, i32 } @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3))

define internal void @wait(ptr addrspace(3) %barrier, i32 %parity) alwaysinline {
  br label %poll
poll:
  %done = call i1 @llvm.nvvm.mbarrier.try.wait.parity.scope.cta.space.cta(ptr addrspace(3) %barrier, i32 %parity)
  br i1 %done, label %over, label %poll
over:
  ret void
}

; A K-major operand with 128 byte swizzle: 1024 bytes between groups of 8 rows.
define internal i64 @descriptor(ptr addrspace(3) %address) alwaysinline {
  %bits = ptrtoint ptr addrspace(3) %address to i32
  %low = and i32 %bits, 262143
  %start = lshr i32 %low, 4
  %wide = zext i32 %start to i64
  ; layout 1 << 62 | 64 << 32 | 1 << 16
  %result = or i64 %wide, 4611686293305360384
  ret i64 %result
}

define internal void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row, i32 %col, float %v) alwaysinline {
  %r = icmp slt i32 %row, %m
  %k = icmp slt i32 %col, %n
  %in = and i1 %r, %k
  br i1 %in, label %body, label %done
body:
  %line = mul i32 %row, %n
  %i = add i32 %line, %col
  %p = getelementptr float, ptr addrspace(1) %c, i32 %i
  store float %v, ptr addrspace(1) %p, align 4
  br label %done
done:
  ret void
}

; A from shared memory.
define ptx_kernel void @gemm_ss(ptr byval([128 x i8]) align 64 "nvvm.grid_constant" %ma, ptr byval([128 x i8]) align 64 "nvvm.grid_constant" %mb, ptr addrspace(1) %c, i32 %m, i32 %n, i32 %k) #0 {
entry:
  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %bx = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %by = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.y()
  %m0 = mul i32 %bx, 64
  %n0 = mul i32 %by, 16
  %kr = add i32 %k, 63
  %steps = lshr i32 %kr, 6
  %bars = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 20480
  %empties = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 20496
  %leader = icmp eq i32 %tid, 0
  br i1 %leader, label %init, label %start
init:
  %full1 = getelementptr i64, ptr addrspace(3) %bars, i32 1
  %empty1 = getelementptr i64, ptr addrspace(3) %empties, i32 1
  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %bars, i32 1)
  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %full1, i32 1)
  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %empties, i32 1)
  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %empty1, i32 1)
  call void @llvm.nvvm.fence.mbarrier_init.release.cluster()
  br label %start
start:
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
  %producer = icmp slt i32 %tid, 128
  br i1 %producer, label %produce, label %consume

produce:
  call void @llvm.nvvm.setmaxnreg.dec.sync.aligned.u32(i32 40)
  br i1 %leader, label %ploop, label %exit
ploop:
  %ps = phi i32 [ 0, %produce ], [ %ps1, %ploop ]
  %pstage = and i32 %ps, 1
  %pround = lshr i32 %ps, 1
  %pbit = and i32 %pround, 1
  %pparity = xor i32 %pbit, 1
  %pempty = getelementptr i64, ptr addrspace(3) %empties, i32 %pstage
  call void @wait(ptr addrspace(3) %pempty, i32 %pparity)
  %pfull = getelementptr i64, ptr addrspace(3) %bars, i32 %pstage
  %state = call i64 @llvm.nvvm.mbarrier.arrive.expect.tx.scope.cta.space.cta(ptr addrspace(3) %pfull, i32 10240)
  %poff = mul i32 %pstage, 10240
  %pa3 = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 %poff
  %pb3 = getelementptr i8, ptr addrspace(3) %pa3, i32 8192
  %pa = addrspacecast ptr addrspace(3) %pa3 to ptr addrspace(7)
  %pb = addrspacecast ptr addrspace(3) %pb3 to ptr addrspace(7)
  %pk = mul i32 %ps, 64
  call void @llvm.nvvm.cp.async.bulk.tensor.g2s.tile.2d(ptr addrspace(7) %pa, ptr addrspace(3) %pfull, ptr %ma, i32 %pk, i32 %m0, i16 0, i64 0, i1 0, i1 0, i32 0)
  call void @llvm.nvvm.cp.async.bulk.tensor.g2s.tile.2d(ptr addrspace(7) %pb, ptr addrspace(3) %pfull, ptr %mb, i32 %pk, i32 %n0, i16 0, i64 0, i1 0, i1 0, i32 0)
  %ps1 = add i32 %ps, 1
  %pmore = icmp slt i32 %ps1, %steps
  br i1 %pmore, label %ploop, label %exit

consume:
  call void @llvm.nvvm.setmaxnreg.inc.sync.aligned.u32(i32 232)
  %ctid = sub i32 %tid, 128
  %lane = and i32 %ctid, 31
  %warp = lshr i32 %ctid, 5
  br label %loop
loop:
  %s = phi i32 [ 0, %consume ], [ %s1, %latch ]
  %c0 = phi float [ 0.0, %consume ], [ %v0, %latch ]
  %c1 = phi float [ 0.0, %consume ], [ %v1, %latch ]
  %c2 = phi float [ 0.0, %consume ], [ %v2, %latch ]
  %c3 = phi float [ 0.0, %consume ], [ %v3, %latch ]
  %c4 = phi float [ 0.0, %consume ], [ %v4, %latch ]
  %c5 = phi float [ 0.0, %consume ], [ %v5, %latch ]
  %c6 = phi float [ 0.0, %consume ], [ %v6, %latch ]
  %c7 = phi float [ 0.0, %consume ], [ %v7, %latch ]
  %stage = and i32 %s, 1
  %round = lshr i32 %s, 1
  %parity = and i32 %round, 1
  %full = getelementptr i64, ptr addrspace(3) %bars, i32 %stage
  call void @wait(ptr addrspace(3) %full, i32 %parity)
  %off = mul i32 %stage, 10240
  %sa = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 %off
  %sb = getelementptr i8, ptr addrspace(3) %sa, i32 8192
  %db = call i64 @descriptor(ptr addrspace(3) %sb)
  %da = call i64 @descriptor(ptr addrspace(3) %sa)
  call void @llvm.nvvm.wgmma.fence.sync.aligned()
  %r0 = call { float, float, float, float, float, float, float, float } asm sideeffect "{\0A.reg .pred p;\0Asetp.ne.b32 p, $18, 0;\0Awgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {$0, $1, $2, $3, $4, $5, $6, $7}, $16, $17, p, 1, 1, 0, 0;\0A}\0A", "=f,=f,=f,=f,=f,=f,=f,=f,0,1,2,3,4,5,6,7,l,l,r"(float %c0, float %c1, float %c2, float %c3, float %c4, float %c5, float %c6, float %c7, i64 %da, i64 %db, i32 1)
  %r0_0 = extractvalue { float, float, float, float, float, float, float, float } %r0, 0
  %r0_1 = extractvalue { float, float, float, float, float, float, float, float } %r0, 1
  %r0_2 = extractvalue { float, float, float, float, float, float, float, float } %r0, 2
  %r0_3 = extractvalue { float, float, float, float, float, float, float, float } %r0, 3
  %r0_4 = extractvalue { float, float, float, float, float, float, float, float } %r0, 4
  %r0_5 = extractvalue { float, float, float, float, float, float, float, float } %r0, 5
  %r0_6 = extractvalue { float, float, float, float, float, float, float, float } %r0, 6
  %r0_7 = extractvalue { float, float, float, float, float, float, float, float } %r0, 7
  %db1 = add i64 %db, 2
  %da1 = add i64 %da, 2
  %r1 = call { float, float, float, float, float, float, float, float } asm sideeffect "{\0A.reg .pred p;\0Asetp.ne.b32 p, $18, 0;\0Awgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {$0, $1, $2, $3, $4, $5, $6, $7}, $16, $17, p, 1, 1, 0, 0;\0A}\0A", "=f,=f,=f,=f,=f,=f,=f,=f,0,1,2,3,4,5,6,7,l,l,r"(float %r0_0, float %r0_1, float %r0_2, float %r0_3, float %r0_4, float %r0_5, float %r0_6, float %r0_7, i64 %da1, i64 %db1, i32 1)
  %r1_0 = extractvalue { float, float, float, float, float, float, float, float } %r1, 0
  %r1_1 = extractvalue { float, float, float, float, float, float, float, float } %r1, 1
  %r1_2 = extractvalue { float, float, float, float, float, float, float, float } %r1, 2
  %r1_3 = extractvalue { float, float, float, float, float, float, float, float } %r1, 3
  %r1_4 = extractvalue { float, float, float, float, float, float, float, float } %r1, 4
  %r1_5 = extractvalue { float, float, float, float, float, float, float, float } %r1, 5
  %r1_6 = extractvalue { float, float, float, float, float, float, float, float } %r1, 6
  %r1_7 = extractvalue { float, float, float, float, float, float, float, float } %r1, 7
  %db2 = add i64 %db, 4
  %da2 = add i64 %da, 4
  %r2 = call { float, float, float, float, float, float, float, float } asm sideeffect "{\0A.reg .pred p;\0Asetp.ne.b32 p, $18, 0;\0Awgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {$0, $1, $2, $3, $4, $5, $6, $7}, $16, $17, p, 1, 1, 0, 0;\0A}\0A", "=f,=f,=f,=f,=f,=f,=f,=f,0,1,2,3,4,5,6,7,l,l,r"(float %r1_0, float %r1_1, float %r1_2, float %r1_3, float %r1_4, float %r1_5, float %r1_6, float %r1_7, i64 %da2, i64 %db2, i32 1)
  %r2_0 = extractvalue { float, float, float, float, float, float, float, float } %r2, 0
  %r2_1 = extractvalue { float, float, float, float, float, float, float, float } %r2, 1
  %r2_2 = extractvalue { float, float, float, float, float, float, float, float } %r2, 2
  %r2_3 = extractvalue { float, float, float, float, float, float, float, float } %r2, 3
  %r2_4 = extractvalue { float, float, float, float, float, float, float, float } %r2, 4
  %r2_5 = extractvalue { float, float, float, float, float, float, float, float } %r2, 5
  %r2_6 = extractvalue { float, float, float, float, float, float, float, float } %r2, 6
  %r2_7 = extractvalue { float, float, float, float, float, float, float, float } %r2, 7
  %db3 = add i64 %db, 6
  %da3 = add i64 %da, 6
  %r3 = call { float, float, float, float, float, float, float, float } asm sideeffect "{\0A.reg .pred p;\0Asetp.ne.b32 p, $18, 0;\0Awgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {$0, $1, $2, $3, $4, $5, $6, $7}, $16, $17, p, 1, 1, 0, 0;\0A}\0A", "=f,=f,=f,=f,=f,=f,=f,=f,0,1,2,3,4,5,6,7,l,l,r"(float %r2_0, float %r2_1, float %r2_2, float %r2_3, float %r2_4, float %r2_5, float %r2_6, float %r2_7, i64 %da3, i64 %db3, i32 1)
  %v0 = extractvalue { float, float, float, float, float, float, float, float } %r3, 0
  %v1 = extractvalue { float, float, float, float, float, float, float, float } %r3, 1
  %v2 = extractvalue { float, float, float, float, float, float, float, float } %r3, 2
  %v3 = extractvalue { float, float, float, float, float, float, float, float } %r3, 3
  %v4 = extractvalue { float, float, float, float, float, float, float, float } %r3, 4
  %v5 = extractvalue { float, float, float, float, float, float, float, float } %r3, 5
  %v6 = extractvalue { float, float, float, float, float, float, float, float } %r3, 6
  %v7 = extractvalue { float, float, float, float, float, float, float, float } %r3, 7
  call void @llvm.nvvm.wgmma.commit_group.sync.aligned()
  call void @llvm.nvvm.wgmma.wait_group.sync.aligned(i64 0)
  %first = icmp eq i32 %ctid, 0
  br i1 %first, label %release, label %latch
release:
  %empty = getelementptr i64, ptr addrspace(3) %empties, i32 %stage
  %st = call i64 @llvm.nvvm.mbarrier.arrive.shared(ptr addrspace(3) %empty)
  br label %latch
latch:
  %s1 = add i32 %s, 1
  %more = icmp slt i32 %s1, %steps
  br i1 %more, label %loop, label %epilogue

epilogue:
  %g = lshr i32 %lane, 2
  %t = and i32 %lane, 3
  %w16 = mul i32 %warp, 16
  %rw = add i32 %w16, %g
  %row0 = add i32 %rw, %m0
  %row1 = add i32 %row0, 8
  %t2 = mul i32 %t, 2
  %col0 = add i32 %t2, %n0
  %col_0 = add i32 %col0, 0
  call void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row0, i32 %col_0, float %v0)
  %col_1 = add i32 %col0, 1
  call void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row0, i32 %col_1, float %v1)
  %col_2 = add i32 %col0, 0
  call void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row1, i32 %col_2, float %v2)
  %col_3 = add i32 %col0, 1
  call void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row1, i32 %col_3, float %v3)
  %col_4 = add i32 %col0, 8
  call void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row0, i32 %col_4, float %v4)
  %col_5 = add i32 %col0, 9
  call void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row0, i32 %col_5, float %v5)
  %col_6 = add i32 %col0, 8
  call void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row1, i32 %col_6, float %v6)
  %col_7 = add i32 %col0, 9
  call void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row1, i32 %col_7, float %v7)
  br label %exit
exit:
  ret void
}

; A from registers.
define ptx_kernel void @gemm_rs(ptr byval([128 x i8]) align 64 "nvvm.grid_constant" %ma, ptr byval([128 x i8]) align 64 "nvvm.grid_constant" %mb, ptr addrspace(1) %c, i32 %m, i32 %n, i32 %k) #0 {
entry:
  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %bx = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %by = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.y()
  %m0 = mul i32 %bx, 64
  %n0 = mul i32 %by, 16
  %kr = add i32 %k, 63
  %steps = lshr i32 %kr, 6
  %bars = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 20480
  %empties = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 20496
  %leader = icmp eq i32 %tid, 0
  br i1 %leader, label %init, label %start
init:
  %full1 = getelementptr i64, ptr addrspace(3) %bars, i32 1
  %empty1 = getelementptr i64, ptr addrspace(3) %empties, i32 1
  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %bars, i32 1)
  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %full1, i32 1)
  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %empties, i32 1)
  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %empty1, i32 1)
  call void @llvm.nvvm.fence.mbarrier_init.release.cluster()
  br label %start
start:
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
  %producer = icmp slt i32 %tid, 128
  br i1 %producer, label %produce, label %consume

produce:
  call void @llvm.nvvm.setmaxnreg.dec.sync.aligned.u32(i32 40)
  br i1 %leader, label %ploop, label %exit
ploop:
  %ps = phi i32 [ 0, %produce ], [ %ps1, %ploop ]
  %pstage = and i32 %ps, 1
  %pround = lshr i32 %ps, 1
  %pbit = and i32 %pround, 1
  %pparity = xor i32 %pbit, 1
  %pempty = getelementptr i64, ptr addrspace(3) %empties, i32 %pstage
  call void @wait(ptr addrspace(3) %pempty, i32 %pparity)
  %pfull = getelementptr i64, ptr addrspace(3) %bars, i32 %pstage
  %state = call i64 @llvm.nvvm.mbarrier.arrive.expect.tx.scope.cta.space.cta(ptr addrspace(3) %pfull, i32 10240)
  %poff = mul i32 %pstage, 10240
  %pa3 = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 %poff
  %pb3 = getelementptr i8, ptr addrspace(3) %pa3, i32 8192
  %pa = addrspacecast ptr addrspace(3) %pa3 to ptr addrspace(7)
  %pb = addrspacecast ptr addrspace(3) %pb3 to ptr addrspace(7)
  %pk = mul i32 %ps, 64
  call void @llvm.nvvm.cp.async.bulk.tensor.g2s.tile.2d(ptr addrspace(7) %pa, ptr addrspace(3) %pfull, ptr %ma, i32 %pk, i32 %m0, i16 0, i64 0, i1 0, i1 0, i32 0)
  call void @llvm.nvvm.cp.async.bulk.tensor.g2s.tile.2d(ptr addrspace(7) %pb, ptr addrspace(3) %pfull, ptr %mb, i32 %pk, i32 %n0, i16 0, i64 0, i1 0, i1 0, i32 0)
  %ps1 = add i32 %ps, 1
  %pmore = icmp slt i32 %ps1, %steps
  br i1 %pmore, label %ploop, label %exit

consume:
  call void @llvm.nvvm.setmaxnreg.inc.sync.aligned.u32(i32 232)
  %ctid = sub i32 %tid, 128
  %lane = and i32 %ctid, 31
  %warp = lshr i32 %ctid, 5
  br label %loop
loop:
  %s = phi i32 [ 0, %consume ], [ %s1, %latch ]
  %c0 = phi float [ 0.0, %consume ], [ %v0, %latch ]
  %c1 = phi float [ 0.0, %consume ], [ %v1, %latch ]
  %c2 = phi float [ 0.0, %consume ], [ %v2, %latch ]
  %c3 = phi float [ 0.0, %consume ], [ %v3, %latch ]
  %c4 = phi float [ 0.0, %consume ], [ %v4, %latch ]
  %c5 = phi float [ 0.0, %consume ], [ %v5, %latch ]
  %c6 = phi float [ 0.0, %consume ], [ %v6, %latch ]
  %c7 = phi float [ 0.0, %consume ], [ %v7, %latch ]
  %stage = and i32 %s, 1
  %round = lshr i32 %s, 1
  %parity = and i32 %round, 1
  %full = getelementptr i64, ptr addrspace(3) %bars, i32 %stage
  call void @wait(ptr addrspace(3) %full, i32 %parity)
  %off = mul i32 %stage, 10240
  %sa = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 %off
  %sb = getelementptr i8, ptr addrspace(3) %sa, i32 8192
  %db = call i64 @descriptor(ptr addrspace(3) %sb)
  ; the fragments of A by ldmatrix, through the swizzle
  %lrow = and i32 %lane, 15
  %wrow = mul i32 %warp, 16
  %frow = add i32 %wrow, %lrow
  %fline = mul i32 %frow, 128
  %fhalf = lshr i32 %lane, 4
  %fx = and i32 %frow, 7
  %q0a = add i32 %fhalf, 0
  %q0b = xor i32 %q0a, %fx
  %q0c = mul i32 %q0b, 16
  %q0d = add i32 %q0c, %fline
  %q0p = getelementptr i8, ptr addrspace(3) %sa, i32 %q0d
  %f0 = call { i32, i32, i32, i32 } @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3) %q0p)
  %f0_0 = extractvalue { i32, i32, i32, i32 } %f0, 0
  %f0_1 = extractvalue { i32, i32, i32, i32 } %f0, 1
  %f0_2 = extractvalue { i32, i32, i32, i32 } %f0, 2
  %f0_3 = extractvalue { i32, i32, i32, i32 } %f0, 3
  %q1a = add i32 %fhalf, 2
  %q1b = xor i32 %q1a, %fx
  %q1c = mul i32 %q1b, 16
  %q1d = add i32 %q1c, %fline
  %q1p = getelementptr i8, ptr addrspace(3) %sa, i32 %q1d
  %f1 = call { i32, i32, i32, i32 } @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3) %q1p)
  %f1_0 = extractvalue { i32, i32, i32, i32 } %f1, 0
  %f1_1 = extractvalue { i32, i32, i32, i32 } %f1, 1
  %f1_2 = extractvalue { i32, i32, i32, i32 } %f1, 2
  %f1_3 = extractvalue { i32, i32, i32, i32 } %f1, 3
  %q2a = add i32 %fhalf, 4
  %q2b = xor i32 %q2a, %fx
  %q2c = mul i32 %q2b, 16
  %q2d = add i32 %q2c, %fline
  %q2p = getelementptr i8, ptr addrspace(3) %sa, i32 %q2d
  %f2 = call { i32, i32, i32, i32 } @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3) %q2p)
  %f2_0 = extractvalue { i32, i32, i32, i32 } %f2, 0
  %f2_1 = extractvalue { i32, i32, i32, i32 } %f2, 1
  %f2_2 = extractvalue { i32, i32, i32, i32 } %f2, 2
  %f2_3 = extractvalue { i32, i32, i32, i32 } %f2, 3
  %q3a = add i32 %fhalf, 6
  %q3b = xor i32 %q3a, %fx
  %q3c = mul i32 %q3b, 16
  %q3d = add i32 %q3c, %fline
  %q3p = getelementptr i8, ptr addrspace(3) %sa, i32 %q3d
  %f3 = call { i32, i32, i32, i32 } @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3) %q3p)
  %f3_0 = extractvalue { i32, i32, i32, i32 } %f3, 0
  %f3_1 = extractvalue { i32, i32, i32, i32 } %f3, 1
  %f3_2 = extractvalue { i32, i32, i32, i32 } %f3, 2
  %f3_3 = extractvalue { i32, i32, i32, i32 } %f3, 3
  call void @llvm.nvvm.wgmma.fence.sync.aligned()
  %r0 = call { float, float, float, float, float, float, float, float } asm sideeffect "{\0A.reg .pred p;\0Asetp.ne.b32 p, $21, 0;\0Awgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {$0, $1, $2, $3, $4, $5, $6, $7}, {$16, $17, $18, $19}, $20, p, 1, 1, 0;\0A}\0A", "=f,=f,=f,=f,=f,=f,=f,=f,0,1,2,3,4,5,6,7,r,r,r,r,l,r"(float %c0, float %c1, float %c2, float %c3, float %c4, float %c5, float %c6, float %c7, i32 %f0_0, i32 %f0_1, i32 %f0_2, i32 %f0_3, i64 %db, i32 1)
  %r0_0 = extractvalue { float, float, float, float, float, float, float, float } %r0, 0
  %r0_1 = extractvalue { float, float, float, float, float, float, float, float } %r0, 1
  %r0_2 = extractvalue { float, float, float, float, float, float, float, float } %r0, 2
  %r0_3 = extractvalue { float, float, float, float, float, float, float, float } %r0, 3
  %r0_4 = extractvalue { float, float, float, float, float, float, float, float } %r0, 4
  %r0_5 = extractvalue { float, float, float, float, float, float, float, float } %r0, 5
  %r0_6 = extractvalue { float, float, float, float, float, float, float, float } %r0, 6
  %r0_7 = extractvalue { float, float, float, float, float, float, float, float } %r0, 7
  %db1 = add i64 %db, 2
  %r1 = call { float, float, float, float, float, float, float, float } asm sideeffect "{\0A.reg .pred p;\0Asetp.ne.b32 p, $21, 0;\0Awgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {$0, $1, $2, $3, $4, $5, $6, $7}, {$16, $17, $18, $19}, $20, p, 1, 1, 0;\0A}\0A", "=f,=f,=f,=f,=f,=f,=f,=f,0,1,2,3,4,5,6,7,r,r,r,r,l,r"(float %r0_0, float %r0_1, float %r0_2, float %r0_3, float %r0_4, float %r0_5, float %r0_6, float %r0_7, i32 %f1_0, i32 %f1_1, i32 %f1_2, i32 %f1_3, i64 %db1, i32 1)
  %r1_0 = extractvalue { float, float, float, float, float, float, float, float } %r1, 0
  %r1_1 = extractvalue { float, float, float, float, float, float, float, float } %r1, 1
  %r1_2 = extractvalue { float, float, float, float, float, float, float, float } %r1, 2
  %r1_3 = extractvalue { float, float, float, float, float, float, float, float } %r1, 3
  %r1_4 = extractvalue { float, float, float, float, float, float, float, float } %r1, 4
  %r1_5 = extractvalue { float, float, float, float, float, float, float, float } %r1, 5
  %r1_6 = extractvalue { float, float, float, float, float, float, float, float } %r1, 6
  %r1_7 = extractvalue { float, float, float, float, float, float, float, float } %r1, 7
  %db2 = add i64 %db, 4
  %r2 = call { float, float, float, float, float, float, float, float } asm sideeffect "{\0A.reg .pred p;\0Asetp.ne.b32 p, $21, 0;\0Awgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {$0, $1, $2, $3, $4, $5, $6, $7}, {$16, $17, $18, $19}, $20, p, 1, 1, 0;\0A}\0A", "=f,=f,=f,=f,=f,=f,=f,=f,0,1,2,3,4,5,6,7,r,r,r,r,l,r"(float %r1_0, float %r1_1, float %r1_2, float %r1_3, float %r1_4, float %r1_5, float %r1_6, float %r1_7, i32 %f2_0, i32 %f2_1, i32 %f2_2, i32 %f2_3, i64 %db2, i32 1)
  %r2_0 = extractvalue { float, float, float, float, float, float, float, float } %r2, 0
  %r2_1 = extractvalue { float, float, float, float, float, float, float, float } %r2, 1
  %r2_2 = extractvalue { float, float, float, float, float, float, float, float } %r2, 2
  %r2_3 = extractvalue { float, float, float, float, float, float, float, float } %r2, 3
  %r2_4 = extractvalue { float, float, float, float, float, float, float, float } %r2, 4
  %r2_5 = extractvalue { float, float, float, float, float, float, float, float } %r2, 5
  %r2_6 = extractvalue { float, float, float, float, float, float, float, float } %r2, 6
  %r2_7 = extractvalue { float, float, float, float, float, float, float, float } %r2, 7
  %db3 = add i64 %db, 6
  %r3 = call { float, float, float, float, float, float, float, float } asm sideeffect "{\0A.reg .pred p;\0Asetp.ne.b32 p, $21, 0;\0Awgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {$0, $1, $2, $3, $4, $5, $6, $7}, {$16, $17, $18, $19}, $20, p, 1, 1, 0;\0A}\0A", "=f,=f,=f,=f,=f,=f,=f,=f,0,1,2,3,4,5,6,7,r,r,r,r,l,r"(float %r2_0, float %r2_1, float %r2_2, float %r2_3, float %r2_4, float %r2_5, float %r2_6, float %r2_7, i32 %f3_0, i32 %f3_1, i32 %f3_2, i32 %f3_3, i64 %db3, i32 1)
  %v0 = extractvalue { float, float, float, float, float, float, float, float } %r3, 0
  %v1 = extractvalue { float, float, float, float, float, float, float, float } %r3, 1
  %v2 = extractvalue { float, float, float, float, float, float, float, float } %r3, 2
  %v3 = extractvalue { float, float, float, float, float, float, float, float } %r3, 3
  %v4 = extractvalue { float, float, float, float, float, float, float, float } %r3, 4
  %v5 = extractvalue { float, float, float, float, float, float, float, float } %r3, 5
  %v6 = extractvalue { float, float, float, float, float, float, float, float } %r3, 6
  %v7 = extractvalue { float, float, float, float, float, float, float, float } %r3, 7
  call void @llvm.nvvm.wgmma.commit_group.sync.aligned()
  call void @llvm.nvvm.wgmma.wait_group.sync.aligned(i64 0)
  ; all lanes have read their fragments
  call void @llvm.nvvm.barrier.cta.sync.aligned.count(i32 1, i32 128)
  %first = icmp eq i32 %ctid, 0
  br i1 %first, label %release, label %latch
release:
  %empty = getelementptr i64, ptr addrspace(3) %empties, i32 %stage
  %st = call i64 @llvm.nvvm.mbarrier.arrive.shared(ptr addrspace(3) %empty)
  br label %latch
latch:
  %s1 = add i32 %s, 1
  %more = icmp slt i32 %s1, %steps
  br i1 %more, label %loop, label %epilogue

epilogue:
  %g = lshr i32 %lane, 2
  %t = and i32 %lane, 3
  %w16 = mul i32 %warp, 16
  %rw = add i32 %w16, %g
  %row0 = add i32 %rw, %m0
  %row1 = add i32 %row0, 8
  %t2 = mul i32 %t, 2
  %col0 = add i32 %t2, %n0
  %col_0 = add i32 %col0, 0
  call void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row0, i32 %col_0, float %v0)
  %col_1 = add i32 %col0, 1
  call void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row0, i32 %col_1, float %v1)
  %col_2 = add i32 %col0, 0
  call void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row1, i32 %col_2, float %v2)
  %col_3 = add i32 %col0, 1
  call void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row1, i32 %col_3, float %v3)
  %col_4 = add i32 %col0, 8
  call void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row0, i32 %col_4, float %v4)
  %col_5 = add i32 %col0, 9
  call void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row0, i32 %col_5, float %v5)
  %col_6 = add i32 %col0, 8
  call void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row1, i32 %col_6, float %v6)
  %col_7 = add i32 %col0, 9
  call void @store(ptr addrspace(1) %c, i32 %m, i32 %n, i32 %row1, i32 %col_7, float %v7)
  br label %exit
exit:
  ret void
}

attributes #0 = { "nvvm.maxntid"="256" "nvvm.minctasm"="1" }
