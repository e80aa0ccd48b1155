// A box fetched by TMA, waited for on an mbarrier.

// RUN: dsv2-kernel %s --gpu-chip=sm_90a --ptx | FileCheck %s
// RUN: not dsv2-kernel %s --gpu-chip=sm_80 --ptx 2>&1 | FileCheck %s --check-prefix=SM80

// SM80: error: 'nvvm.cp.async.bulk.tensor.shared.cluster.global' op is not supported on sm_80
// SM80: dsv2-kernel: error: gpu.module 'dsv2_kernels' for sm_80: it has ops that the chip does not have

// The tensor map stays where the driver put it.
// CHECK: .visible .entry box(
// CHECK: .param .align 64 .b8 box_param_0[128]
// CHECK-NOT: .local
// CHECK: mbarrier.init.shared
// CHECK: mbarrier.arrive.expect_tx{{.*}}.shared
// CHECK: cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes
// CHECK: mbarrier.try_wait{{.*}}.shared
// CHECK: st.global.b32

gpu.module @dsv2_kernels {
  llvm.mlir.global external @dsv2_smem() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
  llvm.func @box(%map: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64, nvvm.grid_constant}, %y: !llvm.ptr<1>)
      attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128, 1, 1>, dsv2.shared_bytes = 8704 : i64} {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %bytes = arith.constant 8192 : i32
    %smem = llvm.mlir.addressof @dsv2_smem : !llvm.ptr<3>
    %barrier = llvm.getelementptr %smem[8192] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    scf.if %isFirst {
      nvvm.mbarrier.init %barrier, %c1 : !llvm.ptr<3>, i32
      nvvm.fence.mbarrier.init
    }
    nvvm.barrier0
    scf.if %isFirst {
      nvvm.mbarrier.arrive.expect_tx %barrier, %bytes : !llvm.ptr<3>, i32
      %to = llvm.addrspacecast %smem : !llvm.ptr<3> to !llvm.ptr<7>
      nvvm.cp.async.bulk.tensor.shared.cluster.global %to, %map, %barrier, box[%c0, %c0] : !llvm.ptr<7>, !llvm.ptr
    }
    scf.while : () -> () {
      %done = nvvm.mbarrier.try_wait %barrier, %c0 : !llvm.ptr<3>, i32 -> i1
      %true = arith.constant true
      %wait = arith.xori %done, %true : i1
      scf.condition(%wait)
    } do {
      scf.yield
    }
    %from = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
    %value = llvm.load %from : !llvm.ptr<3> -> f32
    %out = llvm.getelementptr %y[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    llvm.store %value, %out : f32, !llvm.ptr<1>
    llvm.return
  }
}
