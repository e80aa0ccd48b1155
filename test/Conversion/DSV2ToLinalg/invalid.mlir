// RUN: dsv2-opt %s --dsv2-convert-to-linalg -split-input-file -verify-diagnostics

// An op of another dialect that this pass knows no type rule for.
func.func @other(%flag: i1, %a: tensor<4x4xf32, #dsv2.packed<panels, 16>>,
                 %b: tensor<4x4xf32, #dsv2.packed<panels, 16>>) {
  // expected-error @below {{failed to legalize operation 'arith.select'}}
  %c = arith.select %flag, %a, %b : tensor<4x4xf32, #dsv2.packed<panels, 16>>
  return
}

// -----

!cache = !dsv2.latent_cache<latent = 4, rope = 2, format = f32, page = 8>

// Memory of another shape is not a cache.
func.func @cast(%memory: memref<?xf32>) {
  // expected-error @below {{failed to legalize operation 'builtin.unrealized_conversion_cast'}}
  %cache = builtin.unrealized_conversion_cast %memory : memref<?xf32> to !cache
  return
}
