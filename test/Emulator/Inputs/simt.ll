; Kernels without anything asynchronous: tails, reductions, static and dynamic
; shared memory, atomics, conversions.

target triple = "nvptx64-nvidia-cuda"

@tile = internal addrspace(3) global [32 x float] undef, align 4
@dsv2_smem = external addrspace(3) global [0 x i8], align 1024
@scale = addrspace(1) constant float 2.0, align 4

declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
declare float @llvm.nvvm.shfl.sync.bfly.f32(i32, float, i32, i32)
declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)
declare float @llvm.nvvm.ex2.approx.ftz.f32(float)

; out[i] = 2 * x[i] + y[i] for i < n
define ptx_kernel void @axpy(ptr addrspace(1) %x, ptr addrspace(1) %y, ptr addrspace(1) %out, i32 %n) #0 {
entry:
  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %ntid = call i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
  %ctaid = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %base = mul i32 %ctaid, %ntid
  %i = add i32 %base, %tid
  %inside = icmp slt i32 %i, %n
  br i1 %inside, label %body, label %exit
body:
  %index = sext i32 %i to i64
  %px = getelementptr float, ptr addrspace(1) %x, i64 %index
  %py = getelementptr float, ptr addrspace(1) %y, i64 %index
  %po = getelementptr float, ptr addrspace(1) %out, i64 %index
  %a = load float, ptr addrspace(1) @scale, align 4
  %vx = load float, ptr addrspace(1) %px, align 4
  %vy = load float, ptr addrspace(1) %py, align 4
  %p = fmul float %a, %vx
  %s = fadd float %p, %vy
  store float %s, ptr addrspace(1) %po, align 4
  br label %exit
exit:
  ret void
}

; out[block] = sum over the block's threads of 2^x, by shuffles and shared memory
define ptx_kernel void @sum_exp2(ptr addrspace(1) %x, ptr addrspace(1) %out) #0 {
entry:
  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %ntid = call i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
  %ctaid = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %base = mul i32 %ctaid, %ntid
  %i = add i32 %base, %tid
  %index = sext i32 %i to i64
  %px = getelementptr float, ptr addrspace(1) %x, i64 %index
  %vx = load float, ptr addrspace(1) %px, align 4
  %e = call float @llvm.nvvm.ex2.approx.ftz.f32(float %vx)
  %o16 = call float @llvm.nvvm.shfl.sync.bfly.f32(i32 -1, float %e, i32 16, i32 31)
  %s16 = fadd float %e, %o16
  %o8 = call float @llvm.nvvm.shfl.sync.bfly.f32(i32 -1, float %s16, i32 8, i32 31)
  %s8 = fadd float %s16, %o8
  %o4 = call float @llvm.nvvm.shfl.sync.bfly.f32(i32 -1, float %s8, i32 4, i32 31)
  %s4 = fadd float %s8, %o4
  %o2 = call float @llvm.nvvm.shfl.sync.bfly.f32(i32 -1, float %s4, i32 2, i32 31)
  %s2 = fadd float %s4, %o2
  %o1 = call float @llvm.nvvm.shfl.sync.bfly.f32(i32 -1, float %s2, i32 1, i32 31)
  %s1 = fadd float %s2, %o1
  %lane = and i32 %tid, 31
  %warp = lshr i32 %tid, 5
  %first = icmp eq i32 %lane, 0
  br i1 %first, label %keep, label %join
keep:
  %pw = getelementptr [32 x float], ptr addrspace(3) @tile, i32 0, i32 %warp
  store float %s1, ptr addrspace(3) %pw, align 4
  br label %join
join:
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
  %leader = icmp eq i32 %tid, 0
  br i1 %leader, label %loop, label %exit
loop:
  %w = phi i32 [ 0, %join ], [ %w1, %loop ]
  %acc = phi float [ 0.0, %join ], [ %acc1, %loop ]
  %pr = getelementptr [32 x float], ptr addrspace(3) @tile, i32 0, i32 %w
  %part = load float, ptr addrspace(3) %pr, align 4
  %acc1 = fadd float %acc, %part
  %w1 = add i32 %w, 1
  %nw = lshr i32 %ntid, 5
  %more = icmp slt i32 %w1, %nw
  br i1 %more, label %loop, label %done
done:
  %cx = sext i32 %ctaid to i64
  %po = getelementptr float, ptr addrspace(1) %out, i64 %cx
  store float %acc1, ptr addrspace(1) %po, align 4
  br label %exit
exit:
  ret void
}

; counts[x[i]] += 1, and out[i] = x[i] of the mirrored thread, through dynamic
; shared memory
define ptx_kernel void @count_and_mirror(ptr addrspace(1) %x, ptr addrspace(1) %counts, ptr addrspace(1) %out) #0 {
entry:
  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %ntid = call i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
  %px = getelementptr i32, ptr addrspace(1) %x, i32 %tid
  %v = load i32, ptr addrspace(1) %px, align 4
  %pc = getelementptr i32, ptr addrspace(1) %counts, i32 %v
  %old = atomicrmw add ptr addrspace(1) %pc, i32 1 syncscope("device") monotonic, align 4
  %ps = getelementptr i32, ptr addrspace(3) @dsv2_smem, i32 %tid
  store i32 %v, ptr addrspace(3) %ps, align 4
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
  %last = sub i32 %ntid, 1
  %mirror = sub i32 %last, %tid
  %pm = getelementptr i32, ptr addrspace(3) @dsv2_smem, i32 %mirror
  %g = addrspacecast ptr addrspace(3) %pm to ptr
  %m = load i32, ptr %g, align 4
  %po = getelementptr i32, ptr addrspace(1) %out, i32 %tid
  store i32 %m, ptr addrspace(1) %po, align 4
  ret void
}

attributes #0 = { "nvvm.maxntid"="256" }
