// cp.async, ldmatrix and mma.sync: the instructions of sm_80, which sm_90a has
// as well.

// RUN: dsv2-kernel %s --gpu-chip=sm_80 --ptx | FileCheck %s
// RUN: dsv2-kernel %s --gpu-chip=sm_90a --ptx | FileCheck %s

// CHECK: .extern .shared .align 1024 .b8 dsv2_smem[];
// CHECK: .visible .entry product(
// CHECK: cp.async.cg.shared.global
// CHECK: cp.async.commit_group
// CHECK: cp.async.wait_group 0
// CHECK: bar{{(rier.cta)?}}.sync
// CHECK: ldmatrix.sync.aligned.m8n8.x4.shared.b16
// CHECK: mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32
// CHECK: st.global.v4.b32

gpu.module @dsv2_kernels {
  llvm.mlir.global external @dsv2_smem() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
  llvm.func @product(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>)
      attributes {nvvm.kernel, nvvm.maxntid = array<i32: 32, 1, 1>, dsv2.shared_bytes = 512 : i64,
                  dsv2.expect = {mma = 1 : i32, ldmatrix = 1 : i32, cp_async = 1 : i32, global_store_16 = 1 : i32}} {
    %smem = llvm.mlir.addressof @dsv2_smem : !llvm.ptr<3>
    %lane = nvvm.read.ptx.sreg.tid.x : i32
    %from = llvm.getelementptr %x[%lane] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, vector<8xbf16>
    %to = llvm.getelementptr %smem[%lane] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, vector<8xbf16>
    nvvm.cp.async.shared.global %to, %from, 16, cache = cg : !llvm.ptr<3>, !llvm.ptr<1>
    nvvm.cp.async.commit.group
    nvvm.cp.async.wait.group 0
    nvvm.barrier0
    %a = nvvm.ldmatrix %to {num = 4 : i32, layout = #nvvm.mma_layout<row>, shape = #nvvm.ld_st_matrix_shape<m = 8, n = 8>, eltType = #nvvm.ld_st_matrix_elt_type<b16>} : (!llvm.ptr<3>) -> !llvm.struct<(i32, i32, i32, i32)>
    %a0 = llvm.extractvalue %a[0] : !llvm.struct<(i32, i32, i32, i32)>
    %a1 = llvm.extractvalue %a[1] : !llvm.struct<(i32, i32, i32, i32)>
    %a2 = llvm.extractvalue %a[2] : !llvm.struct<(i32, i32, i32, i32)>
    %a3 = llvm.extractvalue %a[3] : !llvm.struct<(i32, i32, i32, i32)>
    %zero = llvm.mlir.constant(0.0 : f32) : f32
    %d = nvvm.mma.sync A[%a0, %a1, %a2, %a3] B[%a0, %a1] C[%zero, %zero, %zero, %zero]
      {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, shape = #nvvm.shape<m = 16, n = 8, k = 16>,
       multiplicandAPtxType = #nvvm.mma_type<bf16>, multiplicandBPtxType = #nvvm.mma_type<bf16>}
      : (i32, i32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
    %out = llvm.getelementptr %y[%lane] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, !llvm.struct<(f32, f32, f32, f32)>
    %d0 = llvm.extractvalue %d[0] : !llvm.struct<(f32, f32, f32, f32)>
    %d1 = llvm.extractvalue %d[1] : !llvm.struct<(f32, f32, f32, f32)>
    %d2 = llvm.extractvalue %d[2] : !llvm.struct<(f32, f32, f32, f32)>
    %d3 = llvm.extractvalue %d[3] : !llvm.struct<(f32, f32, f32, f32)>
    %v = vector.from_elements %d0, %d1, %d2, %d3 : vector<4xf32>
    llvm.store %v, %out {alignment = 16 : i64} : vector<4xf32>, !llvm.ptr<1>
    llvm.return
  }
}
