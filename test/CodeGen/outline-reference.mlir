// RUN: dsv2-opt %s --dsv2-to-plan="reference=true weight-format=bf16 kv-format=f32 target-cpu=x86-64-v3" \
// RUN:   --dsv2-outline-kernels="reference=true target-cpu=x86-64-v3" | FileCheck %s
// RUN: dsv2-opt %s --dsv2-to-structure="reference=true target-cpu=x86-64-v3" \
// RUN:   | FileCheck %s --check-prefix=LINALG

!cache = !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 64>

// Every function has a name of its own, so that it can share a module with the
// kernels it is compared to.
// CHECK: func.func private @reference_step_decode(
// CHECK: dsv2.launch @[[EMBED:reference_embed_[0-9]+]] serial_below
// CHECK: call @reference_layer_expanded

// Nothing is fused, and the runtime may replace every result.
// CHECK: func.func private @reference_layer_expanded(%[[H:[^:]*]]: tensor<?x64xf32>
// CHECK: %[[P:.*]] = dsv2.launch @[[LINEAR:reference_linear_[0-9]+]] serial_below 9223372036854775807 ins(%[[H]], %{{.*}} : tensor<?x64xf32>, memref<64x64xbf16>)
// CHECK: %[[Y:.*]] = dsv2.tap %[[P]] site {{.*}} level 2 : tensor<?x64xf32> -> tensor<?x64xf32>
// CHECK: %[[S:.*]] = dsv2.launch @[[ADD:reference_addf_[0-9]+]] {{.*}} ins(%[[H]], %[[Y]] : {{.*}}) outs(%{{.*}} : tensor<?x64xf32>)
// CHECK: %[[R:.*]] = dsv2.tap %[[S]] site {{.*}} level 1 : tensor<?x64xf32> -> tensor<?x64xf32>
// CHECK: return %[[R]]

// A weight is prepared by the reference lowering of its pack.
// CHECK: func.func @reference_prepare_layers_0_w(
// CHECK: dsv2.launch @[[PACK:reference_pack_[0-9]+]]

// A kernel holds the op between buffers of any strides.
// CHECK: func.func private @[[LINEAR]](%[[X:[^:]*]]: memref<?x64xf32, strided<[?, ?], offset: ?>>, %[[W:[^:]*]]: memref<64x64xbf16, strided<[?, ?], offset: ?>>, %[[OUT:[^:]*]]: memref<?x64xf32, strided<[?, ?], offset: ?>>, %{{.*}}: index, %{{.*}}: index) attributes {dsv2.reference}
// CHECK: %[[A:.*]] = bufferization.to_tensor %[[X]] restrict
// CHECK: %[[B:.*]] = bufferization.to_tensor %[[W]] restrict
// CHECK: %[[C:.*]] = dsv2.linear %[[A]], %[[B]]
// CHECK: bufferization.materialize_in_destination %[[C]] in restrict writable %[[OUT]]

// LINALG-NOT: dsv2.linear
// LINALG-NOT: arith.addf {{.*}} : tensor
// LINALG: linalg.generic
func.func private @layer(%h: tensor<?x64xf32>, %layer: index, %ordinal: index,
    %positions: tensor<?xi32>, %ids: tensor<?xi32>, %starts: tensor<?xi32>,
    %tables: tensor<?x?xi32>, %cache: !cache) -> tensor<?x64xf32> {
  %w = dsv2.weight "model.layers.{layer}.w.weight" layers [0] at %ordinal : tensor<64x64xbf16>
  %y = dsv2.linear %h, %w : tensor<?x64xf32>, tensor<64x64xbf16> -> tensor<?x64xf32>
  %r = arith.addf %h, %y : tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

func.func @step(%tokens: tensor<?xi32>, %positions: tensor<?xi32>,
    %ids: tensor<?xi32>, %starts: tensor<?xi32>, %tables: tensor<?x?xi32>,
    %rows: tensor<?xi32>, %cache: !cache) -> tensor<?x256xf32>
    attributes {dsv2.entry = "step"} {
  %c0 = arith.constant 0 : index
  %table = dsv2.weight "model.embed_tokens.weight" : tensor<256x64xbf16>
  %h = dsv2.embed %tokens, %table : tensor<?xi32>, tensor<256x64xbf16> -> tensor<?x64xf32>
  %y = call @layer(%h, %c0, %c0, %positions, %ids, %starts, %tables, %cache)
    : (tensor<?x64xf32>, index, index, tensor<?xi32>, tensor<?xi32>,
       tensor<?xi32>, tensor<?x?xi32>, !cache) -> tensor<?x64xf32>
  %head = dsv2.weight "lm_head.weight" : tensor<256x64xbf16>
  %l = dsv2.logits %y, %rows, %head : tensor<?x64xf32>, tensor<?xi32>, tensor<256x64xbf16> -> tensor<?x256xf32>
  return %l : tensor<?x256xf32>
}
