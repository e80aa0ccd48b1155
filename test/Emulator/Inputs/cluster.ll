; Two blocks of 64 threads in a cluster. Block 0 copies 64 numbers to both by one
; multicast; each block then writes number + rank into the other's inbox, arrives
; at the other's barrier, waits for its own and stores its inbox.
;
; Shared memory: numbers at 0, inbox at 256, their barriers at 512 and 520.

target triple = "nvptx64-nvidia-cuda"

@dsv2_smem = external addrspace(3) global [0 x i8], align 1024

declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.cluster.ctarank()
declare void @llvm.nvvm.barrier.cluster.arrive.aligned()
declare void @llvm.nvvm.barrier.cluster.wait.aligned()
declare ptr addrspace(7) @llvm.nvvm.mapa.shared.cluster(ptr addrspace(3), i32)
declare void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3), i32)
declare void @llvm.nvvm.fence.mbarrier_init.release.cluster()
declare i64 @llvm.nvvm.mbarrier.arrive.expect.tx.scope.cta.space.cta(ptr addrspace(3), i32)
declare void @llvm.nvvm.mbarrier.arrive.scope.cluster.space.cluster(ptr addrspace(7), i32)
declare void @llvm.nvvm.mbarrier.arrive.relaxed.scope.cluster.space.cluster(ptr addrspace(7), i32)
declare i1 @llvm.nvvm.mbarrier.try.wait.parity.scope.cluster.space.cta(ptr addrspace(3), i32)
declare void @llvm.nvvm.cp.async.bulk.global.to.shared.cluster(ptr addrspace(7), ptr addrspace(3), ptr addrspace(1), i32, i16, i64, i1 immarg, i1 immarg)

define internal void @wait(ptr addrspace(3) %barrier) alwaysinline {
  br label %poll
poll:
  %done = call i1 @llvm.nvvm.mbarrier.try.wait.parity.scope.cluster.space.cta(ptr addrspace(3) %barrier, i32 0)
  br i1 %done, label %over, label %poll
over:
  ret void
}

define ptx_kernel void @exchange(ptr addrspace(1) %in, ptr addrspace(1) %out) #0 {
entry:
  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %rank = call i32 @llvm.nvvm.read.ptx.sreg.cluster.ctarank()
  %peer = xor i32 %rank, 1
  %bar0 = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 512
  %bar1 = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 520
  %leader = icmp eq i32 %tid, 0
  br i1 %leader, label %init, label %start
init:
  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %bar0, i32 1)
  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %bar1, i32 64)
  call void @llvm.nvvm.fence.mbarrier_init.release.cluster()
  br label %start
start:
  call void @llvm.nvvm.barrier.cluster.arrive.aligned()
  call void @llvm.nvvm.barrier.cluster.wait.aligned()
  br i1 %leader, label %expect, label %receive
expect:
  %state = call i64 @llvm.nvvm.mbarrier.arrive.expect.tx.scope.cta.space.cta(ptr addrspace(3) %bar0, i32 256)
  %sends = icmp eq i32 %rank, 0
  br i1 %sends, label %send, label %receive
send:
  %d7 = addrspacecast ptr addrspace(3) @dsv2_smem to ptr addrspace(7)
  call void @llvm.nvvm.cp.async.bulk.global.to.shared.cluster(ptr addrspace(7) %d7, ptr addrspace(3) %bar0, ptr addrspace(1) %in, i32 256, i16 3, i64 0, i1 1, i1 0)
  br label %receive
receive:
  call void @wait(ptr addrspace(3) %bar0)
  %pn = getelementptr float, ptr addrspace(3) @dsv2_smem, i32 %tid
  %v = load float, ptr addrspace(3) %pn, align 4
  %rf = sitofp i32 %rank to float
  %sum = fadd float %v, %rf
  %inbox = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 256
  %pi = getelementptr float, ptr addrspace(3) %inbox, i32 %tid
  %remote = call ptr addrspace(7) @llvm.nvvm.mapa.shared.cluster(ptr addrspace(3) %pi, i32 %peer)
  store float %sum, ptr addrspace(7) %remote, align 4
  %rbar = call ptr addrspace(7) @llvm.nvvm.mapa.shared.cluster(ptr addrspace(3) %bar1, i32 %peer)
  call void @llvm.nvvm.mbarrier.arrive.scope.cluster.space.cluster(ptr addrspace(7) %rbar, i32 1)
  call void @wait(ptr addrspace(3) %bar1)
  %w = load float, ptr addrspace(3) %pi, align 4
  %base = mul i32 %rank, 64
  %o = add i32 %base, %tid
  %po = getelementptr float, ptr addrspace(1) %out, i32 %o
  store float %w, ptr addrspace(1) %po, align 4
  call void @llvm.nvvm.barrier.cluster.arrive.aligned()
  call void @llvm.nvvm.barrier.cluster.wait.aligned()
  ret void
}

attributes #0 = { "nvvm.maxntid"="64" }
