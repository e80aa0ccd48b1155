// Bitcode has the locations of the source always, PTX and cubins if asked.

// RUN: dsv2-kernel %s --emit-bitcode=%t.bc
// RUN: llvm-dis %t.bc -o - | FileCheck %s --check-prefix=BITCODE
// BITCODE: target triple = "nvptx64-nvidia-cuda"
// BITCODE: define ptx_kernel void @store({{.*}} !dbg
// BITCODE: store i32 7, {{.*}} !dbg [[STORE:![0-9]+]]
// BITCODE: emissionKind: DebugDirectivesOnly
// BITCODE: [[STORE]] = !DILocation(line: [[#@LINE + 10]],

// RUN: dsv2-kernel %s --line-info --ptx | FileCheck %s --check-prefix=LINES
// LINES: .target sm_90a{{$}}
// LINES: .loc 1 [[#@LINE + 6]]
// LINES-NEXT: st.global.b32

gpu.module @dsv2_kernels {
  llvm.func @store(%x: !llvm.ptr<1>) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 1>} {
    %value = llvm.mlir.constant(7 : i32) : i32
    llvm.store %value, %x : i32, !llvm.ptr<1>
    llvm.return
  }
}
