// RUN: dsv2-opt %s | dsv2-opt | FileCheck %s
// RUN: dsv2-opt %s --mlir-print-op-generic | dsv2-opt | FileCheck %s
// RUN: dsv2-opt %s --emit-bytecode | dsv2-opt | FileCheck %s

// CHECK-LABEL: @moe
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xf32>, %[[ROUTER:[^:]*]]: tensor<8x64xbf16>, %[[GATE:[^:]*]]: tensor<8x32x64xbf16>, %[[UP:[^:]*]]: tensor<8x32x64xbf16>, %[[DOWN:[^:]*]]: tensor<8x64x32xbf16>
func.func @moe(%x: tensor<?x64xf32>, %router: tensor<8x64xbf16>,
               %gate: tensor<8x32x64xbf16>, %up: tensor<8x32x64xbf16>,
               %down: tensor<8x64x32xbf16>) -> tensor<?x64xf32> {
  // CHECK: %[[IDS:.*]], %[[WEIGHTS:.*]] = dsv2.route %[[X]], %[[ROUTER]] top_k 2 groups 2 of 4 scale 1.600000e+01 : tensor<?x64xf32>, tensor<8x64xbf16> -> tensor<?x2xi32>, tensor<?x2xf32>
  %ids, %weights = dsv2.route %x, %router top_k 2 groups 2 of 4 scale 16.0
    : tensor<?x64xf32>, tensor<8x64xbf16> -> tensor<?x2xi32>, tensor<?x2xf32>
  // CHECK: %[[ROWS:.*]], %[[OFFSETS:.*]], %[[PLACES:.*]] = dsv2.dispatch %[[X]], %[[IDS]] : tensor<?x64xf32>, tensor<?x2xi32> -> tensor<?x64xf32>, tensor<9xi32>, tensor<?x2xi32>
  %rows, %offsets, %places = dsv2.dispatch %x, %ids
    : tensor<?x64xf32>, tensor<?x2xi32>
      -> tensor<?x64xf32>, tensor<9xi32>, tensor<?x2xi32>
  // CHECK: %[[Y:.*]] = dsv2.expert_ffn %[[ROWS]], %[[OFFSETS]], %[[GATE]], %[[DOWN]] up %[[UP]] : tensor<?x64xf32>, tensor<9xi32>, tensor<8x32x64xbf16>, tensor<8x64x32xbf16>, tensor<8x32x64xbf16>
  %y = dsv2.expert_ffn %rows, %offsets, %gate, %down up %up
    : tensor<?x64xf32>, tensor<9xi32>, tensor<8x32x64xbf16>,
      tensor<8x64x32xbf16>, tensor<8x32x64xbf16>
  // CHECK: dsv2.combine %[[Y]], %[[PLACES]], %[[WEIGHTS]] : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x64xf32>
  %z = dsv2.combine %y, %places, %weights
    : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x64xf32>
  return %z : tensor<?x64xf32>
}

// CHECK-LABEL: @normalized
func.func @normalized(%x: tensor<?x64xbf16>, %router: tensor<8x64xf32>) {
  // CHECK: dsv2.route %{{.*}}, %{{.*}} top_k 8 groups 1 of 1 scale 1.000000e+00 normalize : tensor<?x64xbf16>
  %ids, %weights = dsv2.route %x, %router top_k 8 groups 1 of 1 scale 1.0
    normalize
    : tensor<?x64xbf16>, tensor<8x64xf32> -> tensor<?x8xi32>, tensor<?x8xf32>
  return
}

// CHECK-LABEL: @packed_experts
func.func @packed_experts(
    %x: tensor<?x64xf32>, %offsets: tensor<9xi32>,
    %both: tensor<8x2x32x64xbf16, #dsv2.packed<gated_panels, 16>>,
    %down: tensor<8x64x32xbf16, #dsv2.packed<panels, 16>>) {
  // CHECK: dsv2.expert_ffn %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x64xf32>, tensor<9xi32>, tensor<8x2x32x64xbf16, #dsv2.packed<gated_panels, 16>>, tensor<8x64x32xbf16, #dsv2.packed<panels, 16>>
  %0 = dsv2.expert_ffn %x, %offsets, %both, %down
    : tensor<?x64xf32>, tensor<9xi32>,
      tensor<8x2x32x64xbf16, #dsv2.packed<gated_panels, 16>>,
      tensor<8x64x32xbf16, #dsv2.packed<panels, 16>>
  return
}

// All rows of a step may belong to one expert, and a step may have none.
// CHECK-LABEL: @static_rows
func.func @static_rows(%x: tensor<3x64xf32>, %ids: tensor<3x2xi32>) {
  // CHECK: -> tensor<6x64xf32>, tensor<2xi32>, tensor<3x2xi32>
  %rows, %offsets, %places = dsv2.dispatch %x, %ids
    : tensor<3x64xf32>, tensor<3x2xi32>
      -> tensor<6x64xf32>, tensor<2xi32>, tensor<3x2xi32>
  return
}
