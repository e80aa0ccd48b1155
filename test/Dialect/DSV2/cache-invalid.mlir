// RUN: dsv2-opt %s -split-input-file -verify-diagnostics

// latent_append_c1
func.func @append_latent(%cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
    %c: tensor<?x40xf32>, %k: tensor<?x8xf32>, %l: index,
    %p: tensor<?xi32>, %s: tensor<?xi32>, %b: tensor<?x?xi32>) {
  // expected-error @below {{expected 'latent' of shape [?, 32], got [?, 40]}}
  dsv2.latent_append %c, %k, %cache[%l], %p, %s, %b
    : tensor<?x40xf32>, tensor<?x8xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
  return
}

// -----

// latent_append_c1
func.func @append_key(%cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
    %c: tensor<?x32xf32>, %k: tensor<?x16xf32>, %l: index,
    %p: tensor<?xi32>, %s: tensor<?xi32>, %b: tensor<?x?xi32>) {
  // expected-error @below {{expected 'key' of shape [?, 8], got [?, 16]}}
  dsv2.latent_append %c, %k, %cache[%l], %p, %s, %b
    : tensor<?x32xf32>, tensor<?x16xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
  return
}

// -----

// latent_append_c1
func.func @append_tokens(%cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
    %c: tensor<2x32xf32>, %k: tensor<3x8xf32>, %l: index,
    %p: tensor<?xi32>, %s: tensor<?xi32>, %b: tensor<?x?xi32>) {
  // expected-error @below {{expected 'key' of shape [2, 8], got [3, 8]}}
  dsv2.latent_append %c, %k, %cache[%l], %p, %s, %b
    : tensor<2x32xf32>, tensor<3x8xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
  return
}

// -----

// latent_append_c2
func.func @append_positions(%cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
    %c: tensor<2x32xf32>, %k: tensor<?x8xf32>, %l: index,
    %p: tensor<3xi32>, %s: tensor<?xi32>, %b: tensor<?x?xi32>) {
  // expected-error @below {{expected 'positions' of shape [2], got [3]}}
  dsv2.latent_append %c, %k, %cache[%l], %p, %s, %b
    : tensor<2x32xf32>, tensor<?x8xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<3xi32>, tensor<?xi32>, tensor<?x?xi32>
  return
}

// -----

// latent_append_c2
func.func @append_seq_ids(%cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
    %c: tensor<?x32xf32>, %k: tensor<?x8xf32>, %l: index,
    %p: tensor<2xi32>, %s: tensor<3xi32>, %b: tensor<?x?xi32>) {
  // expected-error @below {{expected 'seq_ids' of shape [2], got [3]}}
  dsv2.latent_append %c, %k, %cache[%l], %p, %s, %b
    : tensor<?x32xf32>, tensor<?x8xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<2xi32>, tensor<3xi32>, tensor<?x?xi32>
  return
}

// -----

// latent_gather_c1
func.func @gather_row(%cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
    %l: index, %b: tensor<?x?xi32>) {
  // expected-error @below {{expected 'result' of shape [?, 40], got [?, 32]}}
  %0 = dsv2.latent_gather %cache[%l], %l, %l, %b
    : !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?x?xi32> -> tensor<?x32xf32>
  return
}

// -----

// copy_pages_c1
func.func @copy_counts(%cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
    %f: tensor<2xi32>, %t: tensor<3xi32>) {
  // expected-error @below {{expected 'to' of shape [2], got [3]}}
  dsv2.copy_pages %cache, %f, %t
    : !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<2xi32>, tensor<3xi32>
  return
}
