// Rules of a file go before the defaults, and the first that matches counts.

// RUN: split-file %s %t
// RUN: dsv2-opt %t/model.mlir --dsv2-select-weight-layouts="format=q4 rules=%t/good" | FileCheck %t/model.mlir
// RUN: dsv2-opt %t/model.mlir --dsv2-select-weight-layouts="format=q4 rules=%t/good dense" | FileCheck %t/model.mlir --check-prefix=DENSE
// RUN: not dsv2-opt %t/model.mlir --dsv2-select-weight-layouts="rules=%t/format" 2>&1 | FileCheck %t/format
// RUN: not dsv2-opt %t/model.mlir --dsv2-select-weight-layouts="rules=%t/float" 2>&1 | FileCheck %t/float
// RUN: not dsv2-opt %t/model.mlir --dsv2-select-weight-layouts="rules=%t/nothing" 2>&1 | FileCheck %t/nothing
// RUN: not dsv2-opt %t/model.mlir --dsv2-select-weight-layouts="rules=%t/unread" 2>&1 | FileCheck %t/unread
// RUN: not dsv2-opt %t/model.mlir --dsv2-select-weight-layouts="rules=%t/layer" 2>&1 | FileCheck %t/layer
// RUN: not dsv2-opt %t/model.mlir --dsv2-select-weight-layouts="rules=%t/expert" 2>&1 | FileCheck %t/expert
// RUN: not dsv2-opt %t/model.mlir --dsv2-select-weight-layouts="rules=%t/gate" 2>&1 | FileCheck %t/gate
// RUN: not dsv2-opt %t/model.mlir --dsv2-select-weight-layouts="rules=%t/gate dense" 2>&1 | FileCheck %t/gate
// RUN: not dsv2-opt %t/model.mlir --dsv2-select-weight-layouts="rules=%t/none" 2>&1 | FileCheck %t/model.mlir --check-prefix=NONE

//--- good
# A comment, a blank line, and white space at will.

  model.layers.*.router.weight	bf16  # after a rule
model.layers.{layer}.kv_b_proj.weight f32
model.layers.[12].experts.{expert}.down.weight q8
*.experts.*.{gate,up}.weight bf16

//--- model.mlir
// CHECK: weight_format = "q4+rules"

// NONE: error: weight rules '{{.*}}none': No such file or directory

// CHECK-LABEL: @experts
// DENSE-LABEL: @experts
func.func @experts(%x: tensor<?x64xf32>, %i: index) -> (tensor<?x64xf32>, tensor<?x2xi32>) {
  %router = dsv2.weight "model.layers.{layer}.router.weight" layers [1, 2] at %i : tensor<8x64xbf16>
  %gate = dsv2.weight "model.layers.{layer}.experts.{expert}.gate.weight" layers [1, 2] at %i : tensor<8x32x64xbf16>
  %up = dsv2.weight "model.layers.{layer}.experts.{expert}.up.weight" layers [1, 2] at %i : tensor<8x32x64xbf16>
  %down = dsv2.weight "model.layers.{layer}.experts.{expert}.down.weight" layers [1, 2] at %i : tensor<8x64x32xbf16>
  // CHECK: dsv2.pack {{.*}} -> tensor<8x64xbf16, #dsv2.packed<panels, 32>>
  %ids, %w = dsv2.route %x, %router top_k 2 groups 1 of 1 scale 1.0
    : tensor<?x64xf32>, tensor<8x64xbf16> -> tensor<?x2xi32>, tensor<?x2xf32>
  %rows, %offsets, %places = dsv2.dispatch %x, %ids
    : tensor<?x64xf32>, tensor<?x2xi32> -> tensor<?x64xf32>, tensor<9xi32>, tensor<?x2xi32>
  // CHECK: dsv2.pack {{.*}} with {{.*}} -> tensor<8x2x32x64xbf16, #dsv2.packed<gated_panels, 32>>
  // CHECK: dsv2.pack {{.*}} -> tensor<8x64x32xf32, #dsv2.packed<panels, 32, q8>>
  // DENSE-COUNT-2: dsv2.pack {{.*}} -> tensor<8x32x64xbf16, #dsv2.packed<dense, 1>>
  // DENSE: dsv2.pack {{.*}} -> tensor<8x64x32xf32, #dsv2.packed<dense, 1, q8>>
  %y = dsv2.expert_ffn %rows, %offsets, %gate, %down up %up
    : tensor<?x64xf32>, tensor<9xi32>, tensor<8x32x64xbf16>, tensor<8x64x32xbf16>, tensor<8x32x64xbf16>
  %c = dsv2.combine %y, %places, %w
    : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x64xf32>
  return %c, %ids : tensor<?x64xf32>, tensor<?x2xi32>
}

// The rule for kv_b_proj reaches both of its halves, and what has none keeps
// the default.
// CHECK-LABEL: @attention
func.func @attention(%qn: tensor<?x4x16xf32>, %qr: tensor<?x4x8xf32>,
    %cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
    %layer: index, %i: index, %positions: tensor<?xi32>, %ids: tensor<?xi32>,
    %starts: tensor<?xi32>, %tables: tensor<?x?xi32>) -> tensor<?x64xf32> {
  %kv = dsv2.weight "model.layers.{layer}.kv_b_proj.weight" layers [1, 2] at %i : tensor<128x32xbf16>
  %heads = tensor.expand_shape %kv [[0, 1], [2]] output_shape [4, 32, 32] : tensor<128x32xbf16> into tensor<4x32x32xbf16>
  %uk = tensor.extract_slice %heads[0, 0, 0] [4, 16, 32] [1, 1, 1] : tensor<4x32x32xbf16> to tensor<4x16x32xbf16>
  %uv = tensor.extract_slice %heads[0, 16, 0] [4, 16, 32] [1, 1, 1] : tensor<4x32x32xbf16> to tensor<4x16x32xbf16>
  // CHECK: dsv2.pack {{.*}} -> tensor<4x16x32xf32, #dsv2.packed<transposed_panels, 32>>
  // CHECK: dsv2.pack {{.*}} -> tensor<4x16x32xf32, #dsv2.packed<panels, 32>>
  %o = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%layer], %positions, %ids, %starts, %tables
    form absorbed scale 0.125
    : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xbf16>, tensor<4x16x32xbf16>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x16xf32>
  %flat = tensor.collapse_shape %o [[0], [1, 2]] : tensor<?x4x16xf32> into tensor<?x64xf32>
  %w = dsv2.weight "model.layers.{layer}.o_proj.weight" layers [1, 2] at %i : tensor<64x64xbf16>
  // CHECK: dsv2.pack {{.*}} -> tensor<64x64xf32, #dsv2.packed<panels, 32, q4>>
  %y = dsv2.linear %flat, %w : tensor<?x64xf32>, tensor<64x64xbf16> -> tensor<?x64xf32>
  %n = dsv2.weight "norm.weight" : tensor<64xbf16>
  // CHECK: dsv2.pack {{.*}} -> tensor<64xf32, #dsv2.packed<dense, 1>>
  %z = dsv2.rms_norm %y, %n eps 1.0e-06 : tensor<?x64xf32>, tensor<64xbf16>
  return %z : tensor<?x64xf32>
}

//--- format
# CHECK: error: {{.*}}format:2: expected the format f32, bf16, q8, q4 or fp8, got 'q5'
*.o_proj.weight q5

//--- float
*.o_proj.weight fp8
# CHECK: error: the weight format fp8 is one of GPUs: expected f32, bf16, q8 or q4 for 'model.layers.{layer}.o_proj.weight'

//--- nothing
norm.weight f32
*.p_proj.weight q8
# CHECK: error: {{.*}}nothing:2: expected a glob that matches weights of the model, got '*.p_proj.weight', which matches none

//--- unread
norm.* q8
# CHECK: error: {{.*}}unread:1: expected a format that dsv2.rms_norm reads (f32), got q8 for 'norm.weight'

//--- layer
model.layers.2.o_proj.weight q8
# CHECK: error: {{.*}}layer:1: expected one format for 'model.layers.{layer}.o_proj.weight' of the stack of layers 1 to 2, which shares its code; got bf16 for 'model.layers.1.o_proj.weight' and q8 for 'model.layers.2.o_proj.weight'

//--- expert
*.experts.3.down.weight q8
# CHECK: error: {{.*}}expert:1: expected one format for 'model.layers.{layer}.experts.{expert}.down.weight' of the stack of layers 1 to 2 and experts 0 to 7, which shares its code; got bf16 for 'model.layers.1.experts.0.down.weight' and q8 for 'model.layers.1.experts.3.down.weight'

//--- gate
*.gate.weight q8
# CHECK: error: {{.*}}gate:1: expected one format for 'model.layers.{layer}.experts.{expert}.gate.weight' and 'model.layers.{layer}.experts.{expert}.up.weight', which are stored together; got q8 for 'model.layers.1.experts.0.gate.weight' and bf16 for 'model.layers.1.experts.0.up.weight'
