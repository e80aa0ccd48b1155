// RUN: dsv2-opt %s --dsv2-convert-to-linalg -split-input-file -verify-diagnostics

func.func @tap(%x: tensor<?x4xf32>) {
  // expected-error @below {{failed to legalize operation 'dsv2.tap'}}
  dsv2.tap %x site "layer" level 1 : tensor<?x4xf32>
  return
}

// -----

func.func @weight_view(%table: memref<?xi64>) -> memref<4xf32> {
  // expected-error @below {{failed to legalize operation 'dsv2.weight_view'}}
  %w = dsv2.weight_view %table[0] : memref<?xi64> -> memref<4xf32>
  return %w : memref<4xf32>
}

// -----

func.func private @kernel(%x: tensor<?xf32>, %y: tensor<?xf32>, %i: index,
                          %n: index) {
  return
}

func.func @launch(%x: tensor<?xf32>, %e: tensor<?xf32>) {
  // expected-error @below {{failed to legalize operation 'dsv2.launch'}}
  %y = dsv2.launch @kernel ins(%x : tensor<?xf32>) outs(%e : tensor<?xf32>)
         -> tensor<?xf32>
  return
}

// -----

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
