// F100: every op that is left over in device code is named, with the layer it
// comes from, and not the first of them alone.

// RUN: not dsv2-opt %s --split-input-file --dsv2-lower-device-to-llvm 2>&1 | FileCheck %s --implicit-check-not=error:

// CHECK: error: loc("model.layers.1-2.mlp"): 'llvm.intr.exp' op has no instruction on the GPU; use an approximation of the NVVM dialect, such as ex2.approx
// CHECK: error: loc("model.layers.1-2.mlp.down_proj"): 'gpu.barrier' op is left in device code, which has ops of the LLVM and NVVM dialects alone
// CHECK: error: loc("model.layers.1-2.self_attn"): 'llvm.intr.sin' op has no instruction on the GPU
gpu.module @dsv2_kernels {
  llvm.func @several(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %a = llvm.load %x : !llvm.ptr<1> -> bf16
    %b = math.exp %a : bf16 loc("model.layers.1-2.mlp")
    llvm.store %b, %x : bf16, !llvm.ptr<1>
    gpu.barrier loc("model.layers.1-2.mlp.down_proj")
    %c = llvm.load %y : !llvm.ptr<1> -> f32
    %d = math.sin %c : f32 loc("model.layers.1-2.self_attn")
    llvm.store %d, %y : f32, !llvm.ptr<1>
    llvm.return
  }
}

// -----

// Functions that are not lowered at all, and what is in them.

// CHECK: error: 'builtin.unrealized_conversion_cast' op is left in device code
// CHECK: error: 'memref.load' op is left in device code
// CHECK: error: 'llvm.intr.exp' op has no instruction on the GPU
// CHECK: error: 'memref.store' op is left in device code
// CHECK: error: 'gpu.return' op is left in device code
// CHECK: error: 'gpu.func' op is left in device code
gpu.module @dsv2_kernels {
  gpu.func @upstream(%x: memref<4xbf16>) kernel {
    %c0 = arith.constant 0 : index
    %v = memref.load %x[%c0] : memref<4xbf16>
    %e = math.exp %v : bf16
    memref.store %e, %x[%c0] : memref<4xbf16>
    gpu.return
  }
}
