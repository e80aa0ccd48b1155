// RUN: dsv2-opt %s --dsv2-select-weight-layouts -split-input-file | FileCheck %s
// RUN: dsv2-opt %s --dsv2-select-weight-layouts="format=f32 panel-width=16" -split-input-file | FileCheck %s --check-prefix=F32
// RUN: dsv2-opt %s --dsv2-select-weight-layouts=format=q8 -split-input-file | FileCheck %s --check-prefix=Q8
// RUN: dsv2-opt %s --dsv2-select-weight-layouts=format=q4 -split-input-file | sed s/q4/q8/ | FileCheck %s --check-prefix=Q8
// RUN: dsv2-opt %s --dsv2-select-weight-layouts=format=q4 -split-input-file | FileCheck %s --check-prefix=Q4
// RUN: dsv2-opt %s --dsv2-select-weight-layouts=dense -split-input-file | FileCheck %s --check-prefix=DENSE --implicit-check-not=panels
// RUN: not dsv2-opt %s --dsv2-select-weight-layouts=format=int8 -split-input-file 2>&1 | FileCheck %s --check-prefix=BAD

// BAD: weight format: expected f32, bf16, q8, q4 or fp8, got 'int8'

// CHECK-LABEL: @products
// F32-LABEL: @products
// Products with activations are quantised, and nothing else.
// Q8-LABEL: @products
// Q8: dsv2.pack {{.*}} -> tensor<256x64xbf16, #dsv2.packed<dense, 1>>
// Q8: dsv2.pack {{.*}} -> tensor<64xf32, #dsv2.packed<dense, 1>>
// Q8: dsv2.pack {{.*}} -> tensor<64x64xf32, #dsv2.packed<panels, 32, q8>>
// Q8: dsv2.pack {{.*}} -> tensor<256x64xf32, #dsv2.packed<panels, 32, q8>>
// The head keeps 8 of its bits in q4, and so does what makes the latents.
// Q4-LABEL: @products
// Q4: dsv2.pack {{.*}} -> tensor<64x64xf32, #dsv2.packed<panels, 32, q4>>
// Q4: dsv2.pack {{.*}} -> tensor<40x64xf32, #dsv2.packed<panels, 32, q8>>
// Q4: dsv2.pack {{.*}} -> tensor<256x64xf32, #dsv2.packed<panels, 32, q8>>
func.func @products(%ids: tensor<?xi32>, %rows: tensor<?xi32>) -> tensor<?x256xf32> {
  %table = dsv2.weight "model.embed_tokens.weight" : tensor<256x64xbf16>
  %norm = dsv2.weight "model.norm.weight" : tensor<64xbf16>
  %o = dsv2.weight "o.weight" : tensor<64x64xbf16>
  // The embedding keeps its rows; norms are f32 in every format.
  // CHECK: %[[TABLE:.*]] = dsv2.pack %{{.*}} -> tensor<256x64xbf16, #dsv2.packed<dense, 1>>
  // CHECK: dsv2.embed %{{.*}}, %[[TABLE]]
  // CHECK: dsv2.pack {{.*}} -> tensor<64xf32, #dsv2.packed<dense, 1>>
  // CHECK: dsv2.pack {{.*}} -> tensor<64x64xbf16, #dsv2.packed<panels, 32>>
  // F32: dsv2.pack {{.*}} -> tensor<64x64xf32, #dsv2.packed<panels, 16>>
  %h = dsv2.embed %ids, %table : tensor<?xi32>, tensor<256x64xbf16> -> tensor<?x64xf32>
  %n = dsv2.rms_norm %h, %norm eps 1.0e-06 : tensor<?x64xf32>, tensor<64xbf16>
  %y = dsv2.linear %n, %o : tensor<?x64xf32>, tensor<64x64xbf16> -> tensor<?x64xf32>
  %kv_a = dsv2.weight "kv.kv_a_proj_with_mqa.weight" : tensor<40x64xbf16>
  %c = dsv2.linear %y, %kv_a : tensor<?x64xf32>, tensor<40x64xbf16> -> tensor<?x40xf32>
  %l = dsv2.logits %y, %rows, %table : tensor<?x64xf32>, tensor<?xi32>, tensor<256x64xbf16> -> tensor<?x256xf32>
  return %l : tensor<?x256xf32>
}

// -----

// Q8-LABEL: @moe
// Q8: dsv2.pack {{.*}} -> tensor<8x64xf32, #dsv2.packed<panels, 32>>
// Q8: dsv2.pack {{.*}} with {{.*}} -> tensor<8x2x32x64xf32, #dsv2.packed<gated_panels, 32, q8>>
// Q8: dsv2.pack {{.*}} -> tensor<8x64x32xf32, #dsv2.packed<panels, 32, q8>>

// The reference reads every weight by itself, as the checkpoint has it.
// DENSE-LABEL: @moe
// DENSE-DAG: %[[GATE:.*]] = dsv2.pack %{{.*}} : tensor<8x32x64xbf16> -> tensor<8x32x64xbf16, #dsv2.packed<dense, 1>>
// DENSE-DAG: %[[UP:.*]] = dsv2.pack %{{.*}} : tensor<8x32x64xbf16> -> tensor<8x32x64xbf16, #dsv2.packed<dense, 1>>
// DENSE: dsv2.expert_ffn %{{.*}}, %{{.*}}, %[[GATE]], %{{.*}} up %[[UP]]

// Gate and up are read together, so they are stored together. The router stays
// in f32 (F036): rounding it flips near-ties.
// CHECK-LABEL: @moe
func.func @moe(%x: tensor<?x64xf32>) -> (tensor<?x64xf32>, tensor<?x2xi32>) {
  %router = dsv2.weight "g" : tensor<8x64xbf16>
  %gate = dsv2.weight "e.{expert}.gate" : tensor<8x32x64xbf16>
  %up = dsv2.weight "e.{expert}.up" : tensor<8x32x64xbf16>
  %down = dsv2.weight "e.{expert}.down" : tensor<8x64x32xbf16>
  // CHECK: dsv2.pack {{.*}} -> tensor<8x64xf32, #dsv2.packed<panels, 32>>
  %ids, %w = dsv2.route %x, %router top_k 2 groups 1 of 1 scale 1.0
    : tensor<?x64xf32>, tensor<8x64xbf16> -> tensor<?x2xi32>, tensor<?x2xf32>
  %rows, %offsets, %places = dsv2.dispatch %x, %ids
    : tensor<?x64xf32>, tensor<?x2xi32> -> tensor<?x64xf32>, tensor<9xi32>, tensor<?x2xi32>
  // CHECK: %[[BOTH:.*]] = dsv2.pack %{{.*}} with %{{.*}} -> tensor<8x2x32x64xbf16, #dsv2.packed<gated_panels, 32>>
  // CHECK: %[[DOWN:.*]] = dsv2.pack {{.*}} -> tensor<8x64x32xbf16, #dsv2.packed<panels, 32>>
  // CHECK: dsv2.expert_ffn %{{.*}}, %{{.*}}, %[[BOTH]], %[[DOWN]] :
  %y = dsv2.expert_ffn %rows, %offsets, %gate, %down up %up
    : tensor<?x64xf32>, tensor<9xi32>, tensor<8x32x64xbf16>, tensor<8x64x32xbf16>, tensor<8x32x64xbf16>
  %c = dsv2.combine %y, %places, %w
    : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x64xf32>
  return %c, %ids : tensor<?x64xf32>, tensor<?x2xi32>
}
