// RUN: dsv2-opt %s --dsv2-lower-to-llvm --dsv2-verify-stage=stage=target \
// RUN:   | FileCheck %s --implicit-check-not="math." --implicit-check-not="llvm.call"
// RUN: dsv2-opt %s --dsv2-lower-to-llvm=fma=true --dsv2-verify-stage=stage=target \
// RUN:   | FileCheck %s --check-prefix=FMA
//
// F100: no math op, cast or call into a math library is left over, whatever the
// element type. The sigmoid of SwiGLU is made of these.

// CHECK-LABEL: llvm.func @f32
// FMA-LABEL: llvm.func @f32
// FMA: llvm.intr.fma
func.func @f32(%v: vector<8xf32>, %s: f32) -> (vector<8xf32>, f32, vector<8xf32>, f32) {
  %0 = math.exp %v : vector<8xf32>
  %1 = math.exp %s : f32
  // CHECK: llvm.intr.sqrt
  // CHECK: llvm.fdiv
  %2 = math.rsqrt %v : vector<8xf32>
  %3 = math.rsqrt %s : f32
  return %0, %1, %2, %3 : vector<8xf32>, f32, vector<8xf32>, f32
}

// CHECK-LABEL: llvm.func @bf16
func.func @bf16(%v: vector<8xbf16>, %s: bf16) -> (vector<8xbf16>, bf16) {
  // Computed in f32, rounded once.
  // CHECK: llvm.fpext %{{.*}} : vector<8xbf16> to vector<8xf32>
  // CHECK: llvm.fptrunc %{{.*}} : vector<8xf32> to vector<8xbf16>
  %0 = math.exp %v : vector<8xbf16>
  // CHECK: llvm.fpext %{{.*}} : bf16 to f32
  // CHECK: llvm.intr.sqrt
  // CHECK: llvm.fptrunc %{{.*}} : f32 to bf16
  %1 = math.rsqrt %s : bf16
  return %0, %1 : vector<8xbf16>, bf16
}
