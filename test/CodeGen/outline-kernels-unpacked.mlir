// RUN: not dsv2-opt %s --dsv2-outline-kernels=target-cpu=x86-64-v3 2>&1 | FileCheck %s

// CHECK: error: 'dsv2.launch' op expected operand 1 to agree in rank and element type
!cache = !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 64>

// A weight that nothing packed.
func.func private @layer(%h: tensor<?x64xf32>, %layer: index, %ordinal: index,
    %positions: tensor<?xi32>, %seqs: tensor<?xi32>, %starts: tensor<?xi32>,
    %tables: tensor<?x?xi32>, %cache: !cache) -> tensor<?x64xf32> {
  %w = tensor.extract_slice %h[0, 0] [64, 64] [1, 1]
         : tensor<?x64xf32> to tensor<64x64xf32>
  %y = dsv2.linear %h, %w
         : tensor<?x64xf32>, tensor<64x64xf32> -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
