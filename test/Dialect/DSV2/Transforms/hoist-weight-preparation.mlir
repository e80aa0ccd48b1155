// RUN: dsv2-opt %s --dsv2-hoist-weight-preparation -split-input-file | FileCheck %s

// Two forms of one tensor are prepared together; equal uses share a result.
// CHECK-LABEL: func.func @shared(
func.func @shared(%x: tensor<?x64xf32>, %i: index) -> (tensor<?x32xf32>, tensor<?x32xf32>, tensor<?x32xf32>) {
  %w = dsv2.weight "model.layers.{layer}.w.weight" layers [1, 2, 5] at %i : tensor<32x64xbf16>
  %a = dsv2.pack %w : tensor<32x64xbf16> -> tensor<32x64xbf16, #dsv2.packed<panels, 32>>
  %b = dsv2.pack %w : tensor<32x64xbf16> -> tensor<32x64xf32, #dsv2.packed<panels, 32>>
  %c = dsv2.pack %w : tensor<32x64xbf16> -> tensor<32x64xbf16, #dsv2.packed<panels, 32>>
  // CHECK-NOT: dsv2.weight
  // CHECK: %[[A:.*]] = dsv2.packed_weight @prepare_layers_1_5_w[0] layers [1, 2, 5] at %{{.*}} : tensor<32x64xbf16
  // CHECK: %[[B:.*]] = dsv2.packed_weight @prepare_layers_1_5_w[1] layers [1, 2, 5] at %{{.*}} : tensor<32x64xf32
  // CHECK: %[[C:.*]] = dsv2.packed_weight @prepare_layers_1_5_w[0]
  // CHECK: dsv2.linear %{{.*}}, %[[A]]
  %0 = dsv2.linear %x, %a : tensor<?x64xf32>, tensor<32x64xbf16, #dsv2.packed<panels, 32>> -> tensor<?x32xf32>
  %1 = dsv2.linear %x, %b : tensor<?x64xf32>, tensor<32x64xf32, #dsv2.packed<panels, 32>> -> tensor<?x32xf32>
  %2 = dsv2.linear %x, %c : tensor<?x64xf32>, tensor<32x64xbf16, #dsv2.packed<panels, 32>> -> tensor<?x32xf32>
  return %0, %1, %2 : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?x32xf32>
}
// CHECK: func.func private @prepare_layers_1_5_w(%{{.*}}: tensor<32x64xbf16>
// CHECK-SAME: dsv2.layers = array<i64: 1, 2, 5>
// CHECK-SAME: dsv2.sources = ["model.layers.{layer}.w.weight"]

// -----

// Shape changes between the checkpoint and the pack move along.
// CHECK-LABEL: func.func @split
func.func @split() -> tensor<2x4x8xbf16, #dsv2.packed<transposed_panels, 8>> {
  %w = dsv2.weight "kv.weight" : tensor<16x8xbf16>
  %e = tensor.expand_shape %w [[0, 1], [2]] output_shape [2, 8, 8] : tensor<16x8xbf16> into tensor<2x8x8xbf16>
  %s = tensor.extract_slice %e[0, 4, 0] [2, 4, 8] [1, 1, 1] : tensor<2x8x8xbf16> to tensor<2x4x8xbf16>
  %p = dsv2.pack %s : tensor<2x4x8xbf16> -> tensor<2x4x8xbf16, #dsv2.packed<transposed_panels, 8>>
  // CHECK-NEXT: dsv2.packed_weight @prepare_kv[0]
  // CHECK-NEXT: return
  return %p : tensor<2x4x8xbf16, #dsv2.packed<transposed_panels, 8>>
}
// CHECK: func.func private @prepare_kv(
// CHECK: tensor.expand_shape
// CHECK: tensor.extract_slice
// CHECK: dsv2.pack

// -----

// Experts are prepared one by one.
// CHECK-LABEL: func.func @experts
func.func @experts() -> tensor<8x2x32x64xbf16, #dsv2.packed<gated_panels, 32>> {
  %g = dsv2.weight "mlp.experts.{expert}.gate_proj.weight" : tensor<8x32x64xbf16>
  %u = dsv2.weight "mlp.experts.{expert}.up_proj.weight" : tensor<8x32x64xbf16>
  %p = dsv2.pack %g with %u : tensor<8x32x64xbf16>, tensor<8x32x64xbf16> -> tensor<8x2x32x64xbf16, #dsv2.packed<gated_panels, 32>>
  // CHECK: dsv2.packed_weight @[[NAME:.*]][0] : tensor<8x2x32x64xbf16
  return %p : tensor<8x2x32x64xbf16, #dsv2.packed<gated_panels, 32>>
}
// CHECK: func.func private @[[NAME]](%{{.*}}: tensor<32x64xbf16>{{.*}}, %{{.*}}: tensor<32x64xbf16>{{.*}}) -> tensor<2x32x64xbf16
// CHECK-SAME: dsv2.experts = 8
