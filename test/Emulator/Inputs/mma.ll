; C[64, 8] = A[m, k] B[k, 8] of bf16 in f32 by cp.async, ldmatrix and mma.sync:
; four warps, each 16 rows; two stages of 16 columns of A. Rows from m on are
; filled with zero.
;
; A stage: A 64 x 16 in rows of 32 bytes, then B 16 x 8 in rows of 16 bytes.

target triple = "nvptx64-nvidia-cuda"

@dsv2_smem = external addrspace(3) global [0 x i8], align 1024

declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)
declare void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3), ptr addrspace(1))
declare void @llvm.nvvm.cp.async.cg.shared.global.16.s(ptr addrspace(3), ptr addrspace(1), i32)
declare void @llvm.nvvm.cp.async.commit.group()
declare void @llvm.nvvm.cp.async.wait.group(i32 immarg)
declare { i32, i32, i32, i32 } @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3))
declare { i32, i32 } @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x2.trans.b16.p3(ptr addrspace(3))
declare { float, float, float, float } @llvm.nvvm.mma.m16n8k16.row.col.bf16(i32, i32, i32, i32, i32, i32, float, float, float, float)

define internal void @load_stage(ptr addrspace(1) %a, ptr addrspace(1) %b, i32 %m, i32 %k, i32 %step, i32 %tid) alwaysinline {
  %stage = and i32 %step, 1
  %base = mul i32 %stage, 2304
  %row = lshr i32 %tid, 1
  %chunk = and i32 %tid, 1
  %inside = icmp slt i32 %row, %m
  %bytes = select i1 %inside, i32 16, i32 0
  %safe = select i1 %inside, i32 %row, i32 0
  %line = mul i32 %safe, %k
  %kcol = mul i32 %step, 16
  %ccol = mul i32 %chunk, 8
  %col = add i32 %kcol, %ccol
  %ai = add i32 %line, %col
  %pa = getelementptr i16, ptr addrspace(1) %a, i32 %ai
  %toff = mul i32 %tid, 16
  %aoff = add i32 %base, %toff
  %sa = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 %aoff
  call void @llvm.nvvm.cp.async.cg.shared.global.16.s(ptr addrspace(3) %sa, ptr addrspace(1) %pa, i32 %bytes)
  %hasb = icmp slt i32 %tid, 16
  br i1 %hasb, label %loadb, label %done
loadb:
  %krow = add i32 %kcol, %tid
  %bi = mul i32 %krow, 8
  %pb = getelementptr i16, ptr addrspace(1) %b, i32 %bi
  %b0 = add i32 %base, 2048
  %boff = add i32 %b0, %toff
  %sb = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 %boff
  call void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3) %sb, ptr addrspace(1) %pb)
  br label %done
done:
  ret void
}

define ptx_kernel void @mma_tile(ptr addrspace(1) %a, ptr addrspace(1) %b, ptr addrspace(1) %c, i32 %m, i32 %k) #0 {
entry:
  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %steps = lshr i32 %k, 4
  %lane = and i32 %tid, 31
  %warp = lshr i32 %tid, 5
  %lrow = and i32 %lane, 15
  %wrow = mul i32 %warp, 16
  %arow = add i32 %wrow, %lrow
  %aline = mul i32 %arow, 32
  %ahalf = lshr i32 %lane, 4
  %acol = mul i32 %ahalf, 16
  %aoff = add i32 %aline, %acol
  %bline = mul i32 %lrow, 16
  %boff = add i32 %bline, 2048
  call void @load_stage(ptr addrspace(1) %a, ptr addrspace(1) %b, i32 %m, i32 %k, i32 0, i32 %tid)
  call void @llvm.nvvm.cp.async.commit.group()
  br label %loop
loop:
  %step = phi i32 [ 0, %entry ], [ %next, %latch ]
  %c0 = phi float [ 0.0, %entry ], [ %d0, %latch ]
  %c1 = phi float [ 0.0, %entry ], [ %d1, %latch ]
  %c2 = phi float [ 0.0, %entry ], [ %d2, %latch ]
  %c3 = phi float [ 0.0, %entry ], [ %d3, %latch ]
  %next = add i32 %step, 1
  %more = icmp slt i32 %next, %steps
  br i1 %more, label %prefetch, label %ready
prefetch:
  call void @load_stage(ptr addrspace(1) %a, ptr addrspace(1) %b, i32 %m, i32 %k, i32 %next, i32 %tid)
  br label %ready
ready:
  call void @llvm.nvvm.cp.async.commit.group()
  ; the copies of this step are there
  call void @llvm.nvvm.cp.async.wait.group(i32 1)
  ; and those of all threads
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
  %stage = and i32 %step, 1
  %base = mul i32 %stage, 2304
  %ao = add i32 %base, %aoff
  %bo = add i32 %base, %boff
  %pa = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 %ao
  %pb = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 %bo
  %fa = call { i32, i32, i32, i32 } @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3) %pa)
  %fb = call { i32, i32 } @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x2.trans.b16.p3(ptr addrspace(3) %pb)
  %a0 = extractvalue { i32, i32, i32, i32 } %fa, 0
  %a1 = extractvalue { i32, i32, i32, i32 } %fa, 1
  %a2 = extractvalue { i32, i32, i32, i32 } %fa, 2
  %a3 = extractvalue { i32, i32, i32, i32 } %fa, 3
  %b0 = extractvalue { i32, i32 } %fb, 0
  %b1 = extractvalue { i32, i32 } %fb, 1
  %d = call { float, float, float, float } @llvm.nvvm.mma.m16n8k16.row.col.bf16(i32 %a0, i32 %a1, i32 %a2, i32 %a3, i32 %b0, i32 %b1, float %c0, float %c1, float %c2, float %c3)
  %d0 = extractvalue { float, float, float, float } %d, 0
  %d1 = extractvalue { float, float, float, float } %d, 1
  %d2 = extractvalue { float, float, float, float } %d, 2
  %d3 = extractvalue { float, float, float, float } %d, 3
  br label %latch
latch:
  ; nobody reads this stage any more
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
  br i1 %more, label %loop, label %epilogue
epilogue:
  %g = lshr i32 %lane, 2
  %t = and i32 %lane, 3
  %row0 = add i32 %wrow, %g
  %col = mul i32 %t, 2
  %i0 = mul i32 %row0, 8
  %j0 = add i32 %i0, %col
  %p0 = getelementptr float, ptr addrspace(1) %c, i32 %j0
  store float %d0, ptr addrspace(1) %p0, align 4
  %p1 = getelementptr float, ptr addrspace(1) %p0, i32 1
  store float %d1, ptr addrspace(1) %p1, align 4
  %p2 = getelementptr float, ptr addrspace(1) %p0, i32 64
  store float %d2, ptr addrspace(1) %p2, align 4
  %p3 = getelementptr float, ptr addrspace(1) %p0, i32 65
  store float %d3, ptr addrspace(1) %p3, align 4
  ret void
}

attributes #0 = { "nvvm.maxntid"="128" }
