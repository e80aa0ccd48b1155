// RUN: dsv2-opt %s --dsv2-expand-vector-math | FileCheck %s
// RUN: dsv2-opt %s --dsv2-expand-vector-math=fma | FileCheck %s --check-prefix=FMA

// CHECK-LABEL: @exp
// CHECK-NOT: math.exp
// CHECK-NOT: math.fma
// FMA-LABEL: @exp
// FMA-NOT: math.exp
// FMA: math.fma
func.func @exp(%x: vector<4x8xf32>) -> vector<4x8xf32> {
  %y = math.exp %x : vector<4x8xf32>
  return %y : vector<4x8xf32>
}

// CHECK-LABEL: @rsqrt
// CHECK-SAME: (%[[X:.*]]: f64)
// CHECK: %[[R:.*]] = math.sqrt %[[X]]
// CHECK: arith.divf %{{.*}}, %[[R]]
func.func @rsqrt(%x: f64) -> f64 {
  %y = math.rsqrt %x : f64
  return %y : f64
}

// Tensors are for linalg, and scalable vectors have no constants of this kind.
// CHECK-LABEL: @kept
// CHECK: math.exp %{{.*}} : tensor<8xf32>
// CHECK: math.exp %{{.*}} : vector<[4]xf32>
// CHECK: math.rsqrt %{{.*}} : tensor<8xbf16>
func.func @kept(%t: tensor<8xf32>, %v: vector<[4]xf32>, %b: tensor<8xbf16>)
    -> (tensor<8xf32>, vector<[4]xf32>, tensor<8xbf16>) {
  %0 = math.exp %t : tensor<8xf32>
  %1 = math.exp %v : vector<[4]xf32>
  %2 = math.rsqrt %b : tensor<8xbf16>
  return %0, %1, %2 : tensor<8xf32>, vector<[4]xf32>, tensor<8xbf16>
}
