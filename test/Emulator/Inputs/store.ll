; out (bf16) = in (f32), in tiles of 64 x 64: fragments to shared memory by
; stmatrix with 128 byte swizzle, from there by the tensor memory accelerator.
; The same 8192 bytes serve one tile after the other. 128 threads; `in` has rows
; of 64 elements, tile t begins at row 64 t.

target triple = "nvptx64-nvidia-cuda"

@dsv2_smem = external addrspace(3) global [0 x i8], align 1024

declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)
declare void @llvm.nvvm.fence.proxy.async.shared_cta()
declare void @llvm.nvvm.stmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3), i32, i32, i32, i32)
declare void @llvm.nvvm.cp.async.bulk.tensor.s2g.tile.2d(ptr addrspace(3), ptr, i32, i32, i64, i1 immarg)
declare void @llvm.nvvm.cp.async.bulk.tensor.reduce.add.tile.2d(ptr addrspace(3), ptr, i32, i32, i64, i1 immarg)
declare void @llvm.nvvm.cp.async.bulk.commit.group()
declare void @llvm.nvvm.cp.async.bulk.wait.group.read(i32 immarg)
declare void @llvm.nvvm.cp.async.bulk.wait.group(i32 immarg)

; Two neighbours of `in` as a pair of bf16.
define internal i32 @pair(ptr addrspace(1) %in, i32 %row, i32 %col) alwaysinline {
  %line = mul i32 %row, 64
  %i = add i32 %line, %col
  %p = getelementptr float, ptr addrspace(1) %in, i32 %i
  %v = load <2 x float>, ptr addrspace(1) %p, align 8
  %h = fptrunc <2 x float> %v to <2 x bfloat>
  %b = bitcast <2 x bfloat> %h to i32
  ret i32 %b
}

define ptx_kernel void @store_tiles(ptr byval([128 x i8]) align 64 "nvvm.grid_constant" %map, ptr addrspace(1) %in, i32 %tiles) #0 {
entry:
  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %lane = and i32 %tid, 31
  %warp = lshr i32 %tid, 5
  %w16 = mul i32 %warp, 16
  ; where the fragments of this lane come from
  %g = lshr i32 %lane, 2
  %t = and i32 %lane, 3
  %t2 = mul i32 %t, 2
  %frow = add i32 %w16, %g
  ; the row of 16 bytes that this lane addresses
  %l15 = and i32 %lane, 15
  %arow = add i32 %w16, %l15
  %ahalf = lshr i32 %lane, 4
  %aline = mul i32 %arow, 128
  %ax = and i32 %arow, 7
  br label %tile
tile:
  %n = phi i32 [ 0, %entry ], [ %n1, %latch ]
  %row0 = mul i32 %n, 64
  %r0 = add i32 %row0, %frow
  %r1 = add i32 %r0, 8
  br label %block
block:
  %cb = phi i32 [ 0, %tile ], [ %cb1, %block ]
  %c16 = mul i32 %cb, 16
  %c0 = add i32 %c16, %t2
  %c1 = add i32 %c0, 8
  %m0 = call i32 @pair(ptr addrspace(1) %in, i32 %r0, i32 %c0)
  %m1 = call i32 @pair(ptr addrspace(1) %in, i32 %r1, i32 %c0)
  %m2 = call i32 @pair(ptr addrspace(1) %in, i32 %r0, i32 %c1)
  %m3 = call i32 @pair(ptr addrspace(1) %in, i32 %r1, i32 %c1)
  %unit0 = mul i32 %cb, 2
  %unit = add i32 %unit0, %ahalf
  %swz = xor i32 %unit, %ax
  %ubytes = mul i32 %swz, 16
  %off = add i32 %aline, %ubytes
  %ps = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 %off
  call void @llvm.nvvm.stmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3) %ps, i32 %m0, i32 %m1, i32 %m2, i32 %m3)
  %cb1 = add i32 %cb, 1
  %cmore = icmp slt i32 %cb1, 4
  br i1 %cmore, label %block, label %written
written:
  call void @llvm.nvvm.fence.proxy.async.shared_cta()
  ; everything is written
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
  %leader = icmp eq i32 %tid, 0
  br i1 %leader, label %copy, label %latch
copy:
  call void @llvm.nvvm.cp.async.bulk.tensor.s2g.tile.2d(ptr addrspace(3) @dsv2_smem, ptr %map, i32 0, i32 %row0, i64 0, i1 0)
  call void @llvm.nvvm.cp.async.bulk.commit.group()
  call void @llvm.nvvm.cp.async.bulk.wait.group.read(i32 0)
  br label %latch
latch:
  ; the copy has read everything
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
  %n1 = add i32 %n, 1
  %more = icmp slt i32 %n1, %tiles
  br i1 %more, label %tile, label %exit
exit:
  ret void
}

attributes #0 = { "nvvm.maxntid"="128" }
