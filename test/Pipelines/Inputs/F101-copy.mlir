// A step whose cache would be copied before it is written.
module {
  gpu.module @dsv2_kernels {
  }
  func.func @step(%cache: memref<8x64x40xbf16>, %workspace: memref<8x64x40xbf16>,
                  %context: !llvm.ptr, %level: i32) {
    memref.copy %cache, %workspace : memref<8x64x40xbf16> to memref<8x64x40xbf16> loc("model.layers.1-2.self_attn")
    return
  }
}
