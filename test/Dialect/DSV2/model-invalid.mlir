// RUN: dsv2-opt %s -split-input-file -verify-diagnostics

// weight_c1
func.func @layers_without_placeholder(%i: index) {
  // expected-error @below {{expected 'name' to contain {layer} if and only if there are layers, got 'w' and 2 layers}}
  %0 = dsv2.weight "w" layers [1, 2] at %i : tensor<4xf32>
  return
}

// -----

// weight_c1
func.func @placeholder_without_layers() {
  // expected-error @below {{expected 'name' to contain {layer} if and only if there are layers, got 'l.{layer}.w' and 0 layers}}
  %0 = dsv2.weight "l.{layer}.w" : tensor<4xf32>
  return
}

// -----

// weight_c1
func.func @layers_without_ordinal() {
  // expected-error @below {{expected 'layers' and 'ordinal' together, got 1 layers and no ordinal}}
  %0 = "dsv2.weight"() <{name = "l.{layer}.w", layers = array<i64: 1>}>
         : () -> tensor<4xf32>
  return
}

// -----

// weight_c2
func.func @dynamic_shape() {
  // expected-error @below {{expected a result of static shape, got 'tensor<?xf32>'}}
  %0 = dsv2.weight "w" : tensor<?xf32>
  return
}

// -----

// weight_c3
func.func @negative_layer(%i: index) {
  // expected-error @below {{expected layer numbers that are not negative and ascend, got -1 at index 0}}
  %0 = dsv2.weight "l.{layer}.w" layers [-1, 2] at %i : tensor<4xf32>
  return
}

// -----

// weight_c3
func.func @unordered_layers(%i: index) {
  // expected-error @below {{expected layer numbers that are not negative and ascend, got 2 at index 2}}
  %0 = dsv2.weight "l.{layer}.w" layers [1, 2, 2] at %i : tensor<4xf32>
  return
}

// -----

// weight_c4
func.func @expert_scalar() {
  // expected-error @below {{expected the result for a name with {expert} to be of rank 2 or more, got 'tensor<8xf32>'}}
  %0 = dsv2.weight "experts.{expert}.w" : tensor<8xf32>
  return
}

// -----

// weight_c5
func.func @no_name() {
  // expected-error @below {{expected a name, got an empty one}}
  %0 = dsv2.weight "" : tensor<8xf32>
  return
}

// -----

// A checkpoint tensor is not packed.
func.func @packed_checkpoint() {
  // expected-error @below {{result #0 must be ranked tensor of 32-bit float or bfloat16 type or 16-bit float without encoding, but got 'tensor<4x4xf32, #dsv2.packed<panels, 4>>'}}
  %0 = dsv2.weight "w" : tensor<4x4xf32, #dsv2.packed<panels, 4>>
  return
}

// -----

// embed_c1
func.func @width(%t: tensor<?xi32>, %w: tensor<256x64xf32>) {
  // expected-error @below {{expected 'result' of shape [?, 64], got [?, 32]}}
  %0 = dsv2.embed %t, %w
         : tensor<?xi32>, tensor<256x64xf32> -> tensor<?x32xf32>
  return
}

// -----

// embed_c1
func.func @tokens(%t: tensor<3xi32>, %w: tensor<256x64xf32>) {
  // expected-error @below {{expected 'result' of shape [3, 64], got [4, 64]}}
  %0 = dsv2.embed %t, %w
         : tensor<3xi32>, tensor<256x64xf32> -> tensor<4x64xf32>
  return
}

// -----

// linear_c1
func.func @columns(%x: tensor<?x64xf32>, %w: tensor<8x32xf32>) {
  // expected-error @below {{expected 'weight' of shape [8, 64], got [8, 32]}}
  %0 = dsv2.linear %x, %w
         : tensor<?x64xf32>, tensor<8x32xf32> -> tensor<?x8xf32>
  return
}

// -----

// linear_c1
func.func @rows(%x: tensor<?x64xf32>, %w: tensor<8x64xf32>) {
  // expected-error @below {{expected 'result' of shape [?, 8], got [?, 64]}}
  %0 = dsv2.linear %x, %w
         : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x64xf32>
  return
}

// -----

// linear_c1
func.func @tokens(%x: tensor<2x64xf32>, %w: tensor<8x64xf32>) {
  // expected-error @below {{expected 'result' of shape [2, 8], got [3, 8]}}
  %0 = dsv2.linear %x, %w
         : tensor<2x64xf32>, tensor<8x64xf32> -> tensor<3x8xf32>
  return
}

// -----

// linear_c1
func.func @dynamic_width(%x: tensor<?x?xf32>, %w: tensor<8x64xf32>) {
  // expected-error @below {{operand #0 must be 2D tensor of 32-bit float or bfloat16 type without encoding, static and positive behind the first size, but got 'tensor<?x?xf32>'}}
  %0 = dsv2.linear %x, %w
         : tensor<?x?xf32>, tensor<8x64xf32> -> tensor<?x8xf32>
  return
}

// -----

// linear_c1
func.func @no_columns(%x: tensor<?x0xf32>, %w: tensor<8x0xf32>) {
  // expected-error @below {{operand #0 must be 2D tensor of 32-bit float or bfloat16 type without encoding, static and positive behind the first size, but got 'tensor<?x0xf32>'}}
  %0 = dsv2.linear %x, %w
         : tensor<?x0xf32>, tensor<8x0xf32> -> tensor<?x8xf32>
  return
}

// -----

// Activations are row-major.
func.func @packed_activation(%x: tensor<4x64xf32, #dsv2.packed<panels, 4>>, %w: tensor<8x64xf32>) {
  // expected-error @below {{operand #0 must be 2D tensor of 32-bit float or bfloat16 type without encoding, static and positive behind the first size, but got 'tensor<4x64xf32, #dsv2.packed<panels, 4>>'}}
  %0 = dsv2.linear %x, %w
         : tensor<4x64xf32, #dsv2.packed<panels, 4>>, tensor<8x64xf32>
           -> tensor<4x8xf32>
  return
}

// -----

// Activations have no f16.
func.func @f16_activation(%x: tensor<?x64xf16>, %w: tensor<8x64xf32>) {
  // expected-error @below {{operand #0 must be 2D tensor of 32-bit float or bfloat16 type without encoding, static and positive behind the first size, but got 'tensor<?x64xf16>'}}
  %0 = dsv2.linear %x, %w
         : tensor<?x64xf16>, tensor<8x64xf32> -> tensor<?x8xf32>
  return
}

// -----

// rms_norm_c1
func.func @norm_width(%x: tensor<?x64xf32>, %w: tensor<32xf32>) {
  // expected-error @below {{expected 'weight' of shape [64], got [32]}}
  %0 = dsv2.rms_norm %x, %w eps 1.0e-06
         : tensor<?x64xf32>, tensor<32xf32>
  return
}

// -----

// rms_norm_c2
func.func @negative_eps(%x: tensor<?x64xf32>, %w: tensor<64xf32>) {
  // expected-error @below {{expected 'eps' to be finite and not negative, got -1.000000e+00}}
  %0 = dsv2.rms_norm %x, %w eps -1.0 : tensor<?x64xf32>, tensor<64xf32>
  return
}

// -----

// rms_norm_c2
func.func @nan_eps(%x: tensor<?x64xf32>, %w: tensor<64xf32>) {
  // expected-error @below {{expected 'eps' to be finite and not negative, got nan}}
  %0 = dsv2.rms_norm %x, %w eps 0x7FF8000000000000
         : tensor<?x64xf32>, tensor<64xf32>
  return
}

// -----

// gated_ffn_c1
func.func @ffn_down(%x: tensor<?x64xf32>, %g: tensor<16x64xf32>, %d: tensor<32x16xf32>) {
  // expected-error @below {{expected 'down' of shape [64, 16], got [32, 16]}}
  %0 = dsv2.gated_ffn %x, %g, %d up %g
         : tensor<?x64xf32>, tensor<16x64xf32>, tensor<32x16xf32>,
           tensor<16x64xf32>
  return
}

// -----

// gated_ffn_c2
func.func @ffn_up(%x: tensor<?x64xf32>, %g: tensor<16x64xf32>, %u: tensor<8x64xf32>, %d: tensor<64x16xf32>) {
  // expected-error @below {{expected 'up' of shape [16, 64], got [8, 64]}}
  %0 = dsv2.gated_ffn %x, %g, %d up %u
         : tensor<?x64xf32>, tensor<16x64xf32>, tensor<64x16xf32>,
           tensor<8x64xf32>
  return
}

// -----

// gated_ffn_c2
func.func @ffn_gate_both(%x: tensor<?x64xf32>, %g: tensor<2x16x64xf32>, %u: tensor<16x64xf32>, %d: tensor<64x16xf32>) {
  // expected-error @below {{expected 'gate' of shape [16, 64], got [2, 16, 64]}}
  %0 = dsv2.gated_ffn %x, %g, %d up %u
         : tensor<?x64xf32>, tensor<2x16x64xf32>, tensor<64x16xf32>,
           tensor<16x64xf32>
  return
}

// -----

// gated_ffn_c3
func.func @ffn_gate_three(%x: tensor<?x64xf32>, %g: tensor<3x16x64xf32>, %d: tensor<64x16xf32>) {
  // expected-error @below {{expected 'gate' of shape [2, 16, 64], got [3, 16, 64]}}
  %0 = dsv2.gated_ffn %x, %g, %d
         : tensor<?x64xf32>, tensor<3x16x64xf32>, tensor<64x16xf32>
  return
}

// -----

// gated_ffn_c3
func.func @ffn_gate_alone(%x: tensor<?x64xf32>, %g: tensor<16x64xf32>, %d: tensor<64x16xf32>) {
  // expected-error @below {{expected 'gate' of shape [2, 16, 64], got [16, 64]}}
  %0 = dsv2.gated_ffn %x, %g, %d
         : tensor<?x64xf32>, tensor<16x64xf32>, tensor<64x16xf32>
  return
}

// -----

// logits_c1
func.func @logits_width(%h: tensor<?x64xf32>, %r: tensor<?xi32>, %w: tensor<256x32xf32>) {
  // expected-error @below {{expected 'weight' of shape [256, 64], got [256, 32]}}
  %0 = dsv2.logits %h, %r, %w
         : tensor<?x64xf32>, tensor<?xi32>, tensor<256x32xf32>
           -> tensor<?x256xf32>
  return
}

// -----

// logits_c1
func.func @logits_rows(%h: tensor<9x64xf32>, %r: tensor<2xi32>, %w: tensor<256x64xf32>) {
  // expected-error @below {{expected 'result' of shape [2, 256], got [9, 256]}}
  %0 = dsv2.logits %h, %r, %w
         : tensor<9x64xf32>, tensor<2xi32>, tensor<256x64xf32>
           -> tensor<9x256xf32>
  return
}

// -----

// pack_c1
func.func @no_encoding(%w: tensor<8x64xf32>) {
  // expected-error @below {{expected a result with a #dsv2.packed encoding, got 'tensor<8x64xf32>'}}
  %0 = dsv2.pack %w : tensor<8x64xf32> -> tensor<8x64xf32>
  return
}

// -----

// pack_c2
func.func @other_shape(%w: tensor<8x64xf32>) {
  // expected-error @below {{expected 'result' of shape [8, 64], got [64, 8]}}
  %0 = dsv2.pack %w
         : tensor<8x64xf32> -> tensor<64x8xf32, #dsv2.packed<panels, 8>>
  return
}

// -----

// pack_c2
func.func @two_shapes(%w: tensor<8x64xf32>, %u: tensor<4x64xf32>) {
  // expected-error @below {{expected 'second' of shape [8, 64], got [4, 64]}}
  %0 = dsv2.pack %w with %u : tensor<8x64xf32>, tensor<4x64xf32>
         -> tensor<2x8x64xf32, #dsv2.packed<gated_panels, 8>>
  return
}

// -----

// pack_c2
func.func @two_vectors(%w: tensor<64xf32>) {
  // expected-error @below {{expected matrices to pack together, got 'tensor<64xf32>'}}
  %0 = dsv2.pack %w with %w : tensor<64xf32>, tensor<64xf32>
         -> tensor<2x8x64xf32, #dsv2.packed<gated_panels, 8>>
  return
}

// -----

// pack_c3
func.func @two_in_panels(%w: tensor<8x64xf32>) {
  // expected-error @below {{expected the order gated_panels or gated_rows with 'second', got panels}}
  %0 = dsv2.pack %w with %w : tensor<8x64xf32>, tensor<8x64xf32>
         -> tensor<2x8x64xf32, #dsv2.packed<panels, 8>>
  return
}

// -----

// pack_c2
func.func @two_leading(%w: tensor<4x8x64xf32>) {
  // expected-error @below {{expected 'result' of shape [4, 2, 8, 64], got [2, 8, 64]}}
  %0 = dsv2.pack %w with %w : tensor<4x8x64xf32>, tensor<4x8x64xf32>
         -> tensor<2x8x64xf32, #dsv2.packed<gated_panels, 8>>
  return
}

// -----

// packed_weight_c1
func.func @prepare_missing() {
  // expected-error @below {{expected 'prepare' to name a function marked dsv2.prepare, got @nothing}}
  %0 = dsv2.packed_weight @nothing[0] : tensor<64xf32>
  return
}

// -----

// packed_weight_c1
func.func private @other() -> tensor<64xf32>

func.func @prepare_unmarked() {
  // expected-error @below {{expected 'prepare' to name a function marked dsv2.prepare, got @other}}
  %0 = dsv2.packed_weight @other[0] : tensor<64xf32>
  return
}

// -----

// packed_weight_c1
func.func private @prepare() -> tensor<64xf32> attributes {dsv2.prepare}

func.func @prepare_index() {
  // expected-error @below {{expected 'index' below the 1 results of @prepare, got 1}}
  %0 = dsv2.packed_weight @prepare[1] : tensor<64xf32>
  return
}

// -----

// packed_weight_c2
// expected-note @below {{as the prepare function has it}}
func.func private @prepare() -> tensor<64xf32> attributes {dsv2.prepare}

func.func @prepare_type() {
  // expected-error @below {{expected a result of type 'tensor<64xf32>', got 'tensor<64xbf16>'}}
  %0 = dsv2.packed_weight @prepare[0] : tensor<64xbf16>
  return
}

// -----

// packed_weight_c2
// expected-note @below {{as the prepare function has it}}
func.func private @prepare() -> tensor<4x64xf32>
  attributes {dsv2.prepare, dsv2.experts = 8}

func.func @prepare_experts() {
  // expected-error @below {{expected a result of type 'tensor<8x4x64xf32>', got 'tensor<4x64xf32>'}}
  %0 = dsv2.packed_weight @prepare[0] : tensor<4x64xf32>
  return
}

// -----

// packed_weight_c2: the number of experts does not overflow the packed shape.
func.func private @prepare() -> tensor<4x64xf32, #dsv2.packed<panels, 4>>
  attributes {dsv2.prepare, dsv2.experts = 2305843009213693952}

func.func @prepare_too_many_experts() {
  // expected-error @below {{expected a packed weight of fewer than 2^63 elements}}
  %0 = dsv2.packed_weight @prepare[0]
         : tensor<4x64xf32, #dsv2.packed<panels, 4>>
  return
}

// -----

// packed_weight_c3
func.func private @prepare() -> tensor<64xf32> attributes {dsv2.prepare}

func.func @layers_without_ordinal() {
  // expected-error @below {{expected 'layers' and 'ordinal' together, got 1 layers and no ordinal}}
  %0 = "dsv2.packed_weight"() <{prepare = @prepare, index = 0 : i64,
                                layers = array<i64: 1>}> : () -> tensor<64xf32>
  return
}

// -----

// packed_weight_c3
func.func private @prepare() -> tensor<64xf32> attributes {dsv2.prepare}

func.func @ordinal_without_layers(%i: index) {
  // expected-error @below {{expected 'layers' and 'ordinal' together, got 0 layers and an ordinal}}
  %0 = "dsv2.packed_weight"(%i) <{prepare = @prepare, index = 0 : i64}>
         : (index) -> tensor<64xf32>
  return
}

// -----

// packed_weight_c4
func.func private @prepare() -> tensor<64xf32> attributes {dsv2.prepare}

func.func @layer_order(%i: index) {
  // expected-error @below {{expected layer numbers that are not negative and ascend, got 1 at index 1}}
  %0 = dsv2.packed_weight @prepare[0] layers [2, 1] at %i : tensor<64xf32>
  return
}

// -----

// pack_c3
func.func @gated_without_second(%w: tensor<2x8x64xf32>) {
  // expected-error @below {{expected 'second' for the order gated_panels}}
  %0 = dsv2.pack %w : tensor<2x8x64xf32>
         -> tensor<2x8x64xf32, #dsv2.packed<gated_panels, 8>>
  return
}
