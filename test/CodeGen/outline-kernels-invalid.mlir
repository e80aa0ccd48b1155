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
