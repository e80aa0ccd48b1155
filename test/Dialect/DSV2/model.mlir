// RUN: dsv2-opt %s | dsv2-opt | FileCheck %s
// RUN: dsv2-opt %s --mlir-print-op-generic | dsv2-opt | FileCheck %s
// RUN: dsv2-opt %s --emit-bytecode | dsv2-opt | FileCheck %s

// CHECK-LABEL: @weight
// CHECK-SAME: %[[I:.*]]: index
func.func @weight(%i: index) {
  // CHECK: dsv2.weight "model.layers.{layer}.self_attn.o_proj.weight" layers [1, 2, 3] at %[[I]] : tensor<2048x2048xbf16>
  %0 = dsv2.weight "model.layers.{layer}.self_attn.o_proj.weight"
         layers [1, 2, 3] at %i : tensor<2048x2048xbf16>
  // CHECK: dsv2.weight "model.norm.weight" : tensor<2048xf16>
  %1 = dsv2.weight "model.norm.weight" : tensor<2048xf16>
  // CHECK: dsv2.weight "experts.{expert}.up_proj.weight" : tensor<8x32x64xf32>
  %2 = dsv2.weight "experts.{expert}.up_proj.weight" : tensor<8x32x64xf32>
  return
}

// CHECK-LABEL: @embed
// CHECK-SAME: %[[TOKENS:.*]]: tensor<?xi32>, %[[TABLE:.*]]: tensor<256x64xbf16>
func.func @embed(%tokens: tensor<?xi32>, %table: tensor<256x64xbf16>)
    -> tensor<?x64xf32> {
  // CHECK: dsv2.embed %[[TOKENS]], %[[TABLE]] : tensor<?xi32>, tensor<256x64xbf16> -> tensor<?x64xf32>
  %0 = dsv2.embed %tokens, %table
         : tensor<?xi32>, tensor<256x64xbf16> -> tensor<?x64xf32>
  return %0 : tensor<?x64xf32>
}

// CHECK-LABEL: @linear
// CHECK-SAME: %[[X:.*]]: tensor<?x64xbf16>, %[[W:[^:]*]]:
func.func @linear(%x: tensor<?x64xbf16>,
                  %w: tensor<576x64xbf16, #dsv2.packed<panels, 32>>)
    -> tensor<?x576xf32> {
  // CHECK: dsv2.linear %[[X]], %[[W]] : tensor<?x64xbf16>, tensor<576x64xbf16, #dsv2.packed<panels, 32>> -> tensor<?x576xf32>
  %0 = dsv2.linear %x, %w
         : tensor<?x64xbf16>, tensor<576x64xbf16, #dsv2.packed<panels, 32>>
           -> tensor<?x576xf32>
  return %0 : tensor<?x576xf32>
}

// Static and dynamic numbers of tokens agree with each other.
// CHECK-LABEL: @linear_static_tokens
func.func @linear_static_tokens(%x: tensor<3x64xf32>, %w: tensor<8x64xf16>)
    -> tensor<?x8xf32> {
  // CHECK: dsv2.linear {{.*}} : tensor<3x64xf32>, tensor<8x64xf16> -> tensor<?x8xf32>
  %0 = dsv2.linear %x, %w
         : tensor<3x64xf32>, tensor<8x64xf16> -> tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}

// A step may have no tokens.
// CHECK-LABEL: @linear_no_tokens
func.func @linear_no_tokens(%x: tensor<0x64xf32>, %w: tensor<8x64xf32>)
    -> tensor<0x8xf32> {
  // CHECK: dsv2.linear
  %0 = dsv2.linear %x, %w
         : tensor<0x64xf32>, tensor<8x64xf32> -> tensor<0x8xf32>
  return %0 : tensor<0x8xf32>
}

// CHECK-LABEL: @rms_norm
// CHECK-SAME: %[[X:.*]]: tensor<?x64xf32>, %[[W:.*]]: tensor<64xbf16>
func.func @rms_norm(%x: tensor<?x64xf32>, %w: tensor<64xbf16>)
    -> tensor<?x64xf32> {
  // CHECK: dsv2.rms_norm %[[X]], %[[W]] eps {{9.99+.*E-7|1.0+E-06|9.9.*e-07|1.0+e-06}} : tensor<?x64xf32>, tensor<64xbf16>
  %0 = dsv2.rms_norm %x, %w eps 1.0e-06 : tensor<?x64xf32>, tensor<64xbf16>
  // CHECK: dsv2.rms_norm {{.*}} eps 0.000000e+00 :
  %1 = dsv2.rms_norm %0, %w eps 0.0 : tensor<?x64xf32>, tensor<64xbf16>
  return %1 : tensor<?x64xf32>
}

// CHECK-LABEL: @gated_ffn
// CHECK-SAME: %[[X:[^:]*]]: tensor<?x64xf32>, %[[GATE:[^:]*]]: tensor<128x64xbf16>, %[[UP:[^:]*]]: tensor<128x64xbf16>, %[[DOWN:[^:]*]]: tensor<64x128xbf16>, %[[BOTH:[^:]*]]:
func.func @gated_ffn(
    %x: tensor<?x64xf32>, %gate: tensor<128x64xbf16>,
    %up: tensor<128x64xbf16>, %down: tensor<64x128xbf16>,
    %both: tensor<2x128x64xbf16, #dsv2.packed<gated_panels, 16>>)
    -> tensor<?x64xf32> {
  // CHECK: dsv2.gated_ffn %[[X]], %[[GATE]], %[[DOWN]] up %[[UP]] : tensor<?x64xf32>, tensor<128x64xbf16>, tensor<64x128xbf16>, tensor<128x64xbf16>
  %0 = dsv2.gated_ffn %x, %gate, %down up %up
         : tensor<?x64xf32>, tensor<128x64xbf16>, tensor<64x128xbf16>,
           tensor<128x64xbf16>
  // CHECK: dsv2.gated_ffn %{{.*}}, %[[BOTH]], %[[DOWN]] : tensor<?x64xf32>, tensor<2x128x64xbf16, #dsv2.packed<gated_panels, 16>>, tensor<64x128xbf16>
  %1 = dsv2.gated_ffn %0, %both, %down
         : tensor<?x64xf32>,
           tensor<2x128x64xbf16, #dsv2.packed<gated_panels, 16>>,
           tensor<64x128xbf16>
  return %1 : tensor<?x64xf32>
}

// CHECK-LABEL: @logits
// CHECK-SAME: %[[H:.*]]: tensor<?x64xf32>, %[[ROWS:.*]]: tensor<?xi32>, %[[W:.*]]: tensor<256x64xbf16>
func.func @logits(%h: tensor<?x64xf32>, %rows: tensor<?xi32>,
                  %w: tensor<256x64xbf16>) -> tensor<?x256xf32> {
  // CHECK: dsv2.logits %[[H]], %[[ROWS]], %[[W]] : tensor<?x64xf32>, tensor<?xi32>, tensor<256x64xbf16> -> tensor<?x256xf32>
  %0 = dsv2.logits %h, %rows, %w
         : tensor<?x64xf32>, tensor<?xi32>, tensor<256x64xbf16>
           -> tensor<?x256xf32>
  return %0 : tensor<?x256xf32>
}

// CHECK-LABEL: @pack
func.func @pack(%w: tensor<48x64xf16>, %u: tensor<48x64xf16>,
                %e: tensor<4x48x64xbf16>) {
  // CHECK: dsv2.pack %{{.*}} : tensor<48x64xf16> -> tensor<48x64xf32, #dsv2.packed<dense, 1>>
  %0 = dsv2.pack %w
         : tensor<48x64xf16> -> tensor<48x64xf32, #dsv2.packed<dense, 1>>
  // CHECK: dsv2.pack %{{.*}} with %{{.*}} : tensor<48x64xf16>, tensor<48x64xf16> -> tensor<2x48x64xbf16, #dsv2.packed<gated_panels, 32>>
  %1 = dsv2.pack %w with %u : tensor<48x64xf16>, tensor<48x64xf16>
         -> tensor<2x48x64xbf16, #dsv2.packed<gated_panels, 32>>
  // CHECK: dsv2.pack %{{.*}} : tensor<4x48x64xbf16> -> tensor<4x48x64xbf16, #dsv2.packed<transposed_panels, 16>>
  %2 = dsv2.pack %e : tensor<4x48x64xbf16>
         -> tensor<4x48x64xbf16, #dsv2.packed<transposed_panels, 16>>
  return
}

func.func private @prepare(tensor<64x64xbf16>)
    -> (tensor<64x64xf32>, tensor<64x64xbf16, #dsv2.packed<panels, 32>>)
    attributes {dsv2.prepare}
func.func private @prepare_experts(tensor<32x64xbf16>)
    -> tensor<32x64xbf16, #dsv2.packed<panels, 32>>
    attributes {dsv2.prepare, dsv2.experts = 8}

// CHECK-LABEL: @packed_weight
// CHECK-SAME: %[[I:.*]]: index
func.func @packed_weight(%i: index) {
  // CHECK: dsv2.packed_weight @prepare[1] layers [1, 2] at %[[I]] : tensor<64x64xbf16, #dsv2.packed<panels, 32>>
  %0 = dsv2.packed_weight @prepare[1] layers [1, 2] at %i
         : tensor<64x64xbf16, #dsv2.packed<panels, 32>>
  // CHECK: dsv2.packed_weight @prepare[0] : tensor<64x64xf32>
  %1 = dsv2.packed_weight @prepare[0] : tensor<64x64xf32>
  // CHECK: dsv2.packed_weight @prepare_experts[0] : tensor<8x32x64xbf16, #dsv2.packed<panels, 32>>
  %2 = dsv2.packed_weight @prepare_experts[0]
         : tensor<8x32x64xbf16, #dsv2.packed<panels, 32>>
  return
}
