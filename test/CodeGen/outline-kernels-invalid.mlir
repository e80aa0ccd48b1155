// RUN: dsv2-opt %s --dsv2-outline-kernels=target-cpu=x86-64-v3 -split-input-file -verify-diagnostics

// expected-error @below {{expected the signature of a step, layer or page-copy function}}
func.func @other(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
  return %x : tensor<?x64xf32>
}

// -----

// expected-error @below {{expected a prepare function with a body, its layers and a source for each argument}}
func.func private @declared(tensor<64xbf16>) -> tensor<64xf32, #dsv2.packed<dense, 1>> attributes {dsv2.prepare}

// -----

!cache = !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 64>

// A tensor op that no kernel stands for.
func.func private @layer(%h: tensor<?x64xf32>, %layer: index, %ordinal: index,
    %positions: tensor<?xi32>, %seqs: tensor<?xi32>, %starts: tensor<?xi32>,
    %tables: tensor<?x?xi32>, %cache: !cache) -> tensor<?x64xf32> {
  // expected-error @below {{has no kernel for the CPU target}}
  %w = arith.constant dense<0> : tensor<1x2xi32>
  return %h : tensor<?x64xf32>
}

// -----

!cache = !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 64>
!blocks = tensor<4x16x32xf32, #dsv2.packed<panels, 16, q8>>
!smaller = tensor<4x16x32xf32, #dsv2.packed<panels, 16, q4>>

func.func private @prepare_k(%w: tensor<4x16x32xbf16>) -> !blocks
    attributes {dsv2.layers = array<i64>, dsv2.prepare, dsv2.sources = ["k"]} {
  %0 = dsv2.pack %w : tensor<4x16x32xbf16> -> !blocks
  return %0 : !blocks
}

func.func private @prepare_v(%w: tensor<4x16x32xbf16>) -> !smaller
    attributes {dsv2.layers = array<i64>, dsv2.prepare, dsv2.sources = ["v"]} {
  %0 = dsv2.pack %w : tensor<4x16x32xbf16> -> !smaller
  return %0 : !smaller
}

// One kernel expands keys and values from the same latents.
func.func private @layer(%h: tensor<?x64xf32>, %layer: index, %ordinal: index,
    %positions: tensor<?xi32>, %seqs: tensor<?xi32>, %starts: tensor<?xi32>,
    %tables: tensor<?x?xi32>, %cache: !cache) -> tensor<?x64xf32> {
  %w = dsv2.packed_weight @prepare_k[0] : !blocks
  %v = dsv2.packed_weight @prepare_v[0] : !smaller
  %c0 = arith.constant 0 : index
  %t = tensor.dim %h, %c0 : tensor<?x64xf32>
  %q = tensor.expand_shape %h [[0], [1, 2]] output_shape [%t, 4, 16]
         : tensor<?x64xf32> into tensor<?x4x16xf32>
  %r = tensor.extract_slice %q[0, 0, 0] [%t, 4, 8] [1, 1, 1]
         : tensor<?x4x16xf32> to tensor<?x4x8xf32>
  // expected-error @below {{expected w_uk and w_uv in one format, got q8 and q4}}
  %a = dsv2.latent_attention %q, %r, %w, %v, %cache[%layer], %positions, %seqs,
         %starts, %tables form expanded scale 1.0
         : tensor<?x4x16xf32>, tensor<?x4x8xf32>, !blocks, !smaller, !cache,
           tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
           -> tensor<?x4x16xf32>
  return %h : tensor<?x64xf32>
}
