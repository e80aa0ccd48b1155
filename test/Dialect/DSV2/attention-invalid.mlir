// RUN: dsv2-opt %s -split-input-file -verify-diagnostics

// rope_c1
func.func @rope_positions(%x: tensor<3x8xf32>, %p: tensor<2xi32>) {
  // expected-error @below {{expected 'positions' of shape [3], got [2]}}
  %0 = dsv2.rope %x, %p <dim = 8, theta = 1.0e+04>
         : tensor<3x8xf32>, tensor<2xi32>
  return
}

// -----

// rope_c1
func.func @rope_dynamic_heads(%x: tensor<?x?x8xf32>, %p: tensor<?xi32>) {
  // expected-error @below {{operand #0 must be 2D/3D tensor of 32-bit float or bfloat16 type without encoding, static and positive behind the first size, but got 'tensor<?x?x8xf32>'}}
  %0 = dsv2.rope %x, %p <dim = 8, theta = 1.0e+04>
         : tensor<?x?x8xf32>, tensor<?xi32>
  return
}

// -----

// rope_c1
func.func @rope_rank(%x: tensor<8xf32>, %p: tensor<?xi32>) {
  // expected-error @below {{operand #0 must be 2D/3D tensor of 32-bit float or bfloat16 type without encoding, static and positive behind the first size, but got 'tensor<8xf32>'}}
  %0 = dsv2.rope %x, %p <dim = 8, theta = 1.0e+04>
         : tensor<8xf32>, tensor<?xi32>
  return
}

// -----

// rope_c2
func.func @rope_dim(%x: tensor<?x16xf32>, %p: tensor<?xi32>) {
  // expected-error @below {{expected 'input' rows of 8 elements, got 16}}
  %0 = dsv2.rope %x, %p <dim = 8, theta = 1.0e+04>
         : tensor<?x16xf32>, tensor<?xi32>
  return
}

// -----

// latent_attention_c1
func.func @heads(%qn: tensor<?x4x16xf32>, %qr: tensor<?x2x8xf32>, %uk: tensor<4x16x32xf32>,
    %uv: tensor<4x24x32xf32>, %l: index, %p: tensor<?xi32>, %s: tensor<?xi32>, %st: tensor<?xi32>,
    %b: tensor<?x?xi32>,
    %cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>) {
  // expected-error @below {{expected 'q_rope' of shape [?, 4, 8], got [?, 2, 8]}}
  %0 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%l], %p, %s, %st, %b
    form absorbed scale 1.0
    : tensor<?x4x16xf32>, tensor<?x2x8xf32>, tensor<4x16x32xf32>, tensor<4x24x32xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x24xf32>
  return
}

// -----

// latent_attention_c1
func.func @result_heads(%qn: tensor<?x4x16xf32>, %qr: tensor<?x4x8xf32>, %uk: tensor<4x16x32xf32>,
    %uv: tensor<4x24x32xf32>, %l: index, %p: tensor<?xi32>, %s: tensor<?xi32>, %st: tensor<?xi32>,
    %b: tensor<?x?xi32>,
    %cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>) {
  // expected-error @below {{expected 'result' of shape [?, 4, 24], got [?, 2, 24]}}
  %0 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%l], %p, %s, %st, %b
    form absorbed scale 1.0
    : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xf32>, tensor<4x24x32xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x2x24xf32>
  return
}

// -----

// latent_attention_c1
func.func @tokens(%qn: tensor<2x4x16xf32>, %qr: tensor<?x4x8xf32>, %uk: tensor<4x16x32xf32>,
    %uv: tensor<4x24x32xf32>, %l: index, %p: tensor<?xi32>, %s: tensor<?xi32>, %st: tensor<?xi32>,
    %b: tensor<?x?xi32>,
    %cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>) {
  // expected-error @below {{expected 'result' of shape [2, 4, 24], got [3, 4, 24]}}
  %0 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%l], %p, %s, %st, %b
    form absorbed scale 1.0
    : tensor<2x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xf32>, tensor<4x24x32xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<3x4x24xf32>
  return
}

// -----

// latent_attention_c2
func.func @nope(%qn: tensor<?x4x16xf32>, %qr: tensor<?x4x8xf32>, %uk: tensor<4x8x32xf32>,
    %uv: tensor<4x24x32xf32>, %l: index, %p: tensor<?xi32>, %s: tensor<?xi32>, %st: tensor<?xi32>,
    %b: tensor<?x?xi32>,
    %cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>) {
  // expected-error @below {{expected 'w_uk' of shape [4, 16, 32], got [4, 8, 32]}}
  %0 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%l], %p, %s, %st, %b
    form absorbed scale 1.0
    : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x8x32xf32>, tensor<4x24x32xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x24xf32>
  return
}

// -----

// latent_attention_c1
func.func @value(%qn: tensor<?x4x16xf32>, %qr: tensor<?x4x8xf32>, %uk: tensor<4x16x32xf32>,
    %uv: tensor<4x16x32xf32>, %l: index, %p: tensor<?xi32>, %s: tensor<?xi32>, %st: tensor<?xi32>,
    %b: tensor<?x?xi32>,
    %cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>) {
  // expected-error @below {{expected 'result' of shape [?, 4, 16], got [?, 4, 24]}}
  %0 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%l], %p, %s, %st, %b
    form absorbed scale 1.0
    : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xf32>, tensor<4x16x32xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x24xf32>
  return
}

// -----

// latent_attention_c3
func.func @latent(%qn: tensor<?x4x16xf32>, %qr: tensor<?x4x8xf32>, %uk: tensor<4x16x64xf32>,
    %uv: tensor<4x24x32xf32>, %l: index, %p: tensor<?xi32>, %s: tensor<?xi32>, %st: tensor<?xi32>,
    %b: tensor<?x?xi32>,
    %cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>) {
  // expected-error @below {{expected 'w_uk' of shape [4, 16, 32], got [4, 16, 64]}}
  %0 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%l], %p, %s, %st, %b
    form absorbed scale 1.0
    : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x64xf32>, tensor<4x24x32xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x24xf32>
  return
}

// -----

// latent_attention_c3
func.func @rope(%qn: tensor<?x4x16xf32>, %qr: tensor<?x4x16xf32>, %uk: tensor<4x16x32xf32>,
    %uv: tensor<4x24x32xf32>, %l: index, %p: tensor<?xi32>, %s: tensor<?xi32>, %st: tensor<?xi32>,
    %b: tensor<?x?xi32>,
    %cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>) {
  // expected-error @below {{expected 'q_rope' of shape [?, 4, 8], got [?, 4, 16]}}
  %0 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%l], %p, %s, %st, %b
    form absorbed scale 1.0
    : tensor<?x4x16xf32>, tensor<?x4x16xf32>, tensor<4x16x32xf32>, tensor<4x24x32xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x24xf32>
  return
}

// -----

// latent_attention_c4
func.func @positions(%qn: tensor<2x4x16xf32>, %qr: tensor<?x4x8xf32>, %uk: tensor<4x16x32xf32>,
    %uv: tensor<4x24x32xf32>, %l: index, %p: tensor<3xi32>, %s: tensor<?xi32>, %st: tensor<?xi32>,
    %b: tensor<?x?xi32>,
    %cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>) {
  // expected-error @below {{expected 'positions' of shape [2], got [3]}}
  %0 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%l], %p, %s, %st, %b
    form absorbed scale 1.0
    : tensor<2x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xf32>, tensor<4x24x32xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<3xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x24xf32>
  return
}

// -----

// latent_attention_c4
func.func @seq_ids(%qn: tensor<?x4x16xf32>, %qr: tensor<?x4x8xf32>, %uk: tensor<4x16x32xf32>,
    %uv: tensor<4x24x32xf32>, %l: index, %p: tensor<2xi32>, %s: tensor<3xi32>, %st: tensor<?xi32>,
    %b: tensor<?x?xi32>,
    %cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>) {
  // expected-error @below {{expected 'seq_ids' of shape [2], got [3]}}
  %0 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%l], %p, %s, %st, %b
    form absorbed scale 1.0
    : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xf32>, tensor<4x24x32xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<2xi32>, tensor<3xi32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x24xf32>
  return
}

// -----

// latent_attention_c4
func.func @seq_starts(%qn: tensor<?x4x16xf32>, %qr: tensor<?x4x8xf32>, %uk: tensor<4x16x32xf32>,
    %uv: tensor<4x24x32xf32>, %l: index, %p: tensor<?xi32>, %s: tensor<?xi32>, %st: tensor<2xi32>,
    %b: tensor<2x?xi32>,
    %cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>) {
  // expected-error @below {{expected 'seq_starts' to have one element more than the 2 rows of 'block_tables', got 2}}
  %0 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%l], %p, %s, %st, %b
    form absorbed scale 1.0
    : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xf32>, tensor<4x24x32xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<2xi32>, tensor<2x?xi32> -> tensor<?x4x24xf32>
  return
}

// -----

// latent_attention_c4
func.func @no_seq_starts(%qn: tensor<?x4x16xf32>, %qr: tensor<?x4x8xf32>, %uk: tensor<4x16x32xf32>,
    %uv: tensor<4x24x32xf32>, %l: index, %p: tensor<?xi32>, %s: tensor<?xi32>, %st: tensor<0xi32>,
    %b: tensor<?x?xi32>,
    %cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>) {
  // expected-error @below {{expected 'seq_starts' to end with the number of tokens, got no elements}}
  %0 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%l], %p, %s, %st, %b
    form absorbed scale 1.0
    : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xf32>, tensor<4x24x32xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<0xi32>, tensor<?x?xi32> -> tensor<?x4x24xf32>
  return
}

// -----

// latent_attention_c5
func.func @negative_scale(%qn: tensor<?x4x16xf32>, %qr: tensor<?x4x8xf32>, %uk: tensor<4x16x32xf32>,
    %uv: tensor<4x24x32xf32>, %l: index, %p: tensor<?xi32>, %s: tensor<?xi32>, %st: tensor<?xi32>,
    %b: tensor<?x?xi32>,
    %cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>) {
  // expected-error @below {{expected 'scale' to be finite and positive, got -1.000000e+00}}
  %0 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%l], %p, %s, %st, %b
    form absorbed scale -1.0
    : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xf32>, tensor<4x24x32xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x24xf32>
  return
}

// -----

// latent_attention_c5
func.func @zero_scale(%qn: tensor<?x4x16xf32>, %qr: tensor<?x4x8xf32>, %uk: tensor<4x16x32xf32>,
    %uv: tensor<4x24x32xf32>, %l: index, %p: tensor<?xi32>, %s: tensor<?xi32>, %st: tensor<?xi32>,
    %b: tensor<?x?xi32>,
    %cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>) {
  // expected-error @below {{expected 'scale' to be finite and positive, got 0.000000e+00}}
  %0 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%l], %p, %s, %st, %b
    form absorbed scale 0.0
    : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xf32>, tensor<4x24x32xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x24xf32>
  return
}

// -----

// latent_attention_c5
func.func @infinite_scale(%qn: tensor<?x4x16xf32>, %qr: tensor<?x4x8xf32>, %uk: tensor<4x16x32xf32>,
    %uv: tensor<4x24x32xf32>, %l: index, %p: tensor<?xi32>, %s: tensor<?xi32>, %st: tensor<?xi32>,
    %b: tensor<?x?xi32>,
    %cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>) {
  // expected-error @below {{expected 'scale' to be finite and positive, got INF}}
  %0 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%l], %p, %s, %st, %b
    form absorbed scale 0x7FF0000000000000
    : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xf32>, tensor<4x24x32xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x24xf32>
  return
}
