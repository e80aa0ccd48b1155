// RUN: dsv2-opt %s | dsv2-opt | FileCheck %s
// RUN: dsv2-opt %s --mlir-print-op-generic | dsv2-opt | FileCheck %s
// RUN: dsv2-opt %s --emit-bytecode | dsv2-opt | FileCheck %s

!cache = !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>

// CHECK-LABEL: @rope
// CHECK-SAME: %[[Q:[^:]*]]: tensor<?x4x8xf32>, %[[K:[^:]*]]: tensor<?x8xbf16>, %[[P:[^:]*]]: tensor<?xi32>
func.func @rope(%q: tensor<?x4x8xf32>, %k: tensor<?x8xbf16>,
                %positions: tensor<?xi32>)
    -> (tensor<?x4x8xf32>, tensor<?x8xbf16>) {
  // CHECK: dsv2.rope %[[Q]], %[[P]] <dim = 8, theta = 1.000000e+04> : tensor<?x4x8xf32>, tensor<?xi32>
  %0 = dsv2.rope %q, %positions <dim = 8, theta = 1.0e+04>
         : tensor<?x4x8xf32>, tensor<?xi32>
  // CHECK: dsv2.rope %[[K]], %[[P]] <dim = 8, theta = 1.000000e+04, yarn = #dsv2.yarn<factor = 4.000000e+01, original_max = 64, beta_fast = 3.200000e+01, beta_slow = 1.000000e+00, mscale = 7.070000e-01, mscale_all_dim = 1.000000e+00>> : tensor<?x8xbf16>, tensor<?xi32>
  %1 = dsv2.rope %k, %positions
         <dim = 8, theta = 1.0e+04,
          yarn = #dsv2.yarn<factor = 40.0, original_max = 64,
                            beta_fast = 32.0, beta_slow = 1.0, mscale = 0.707,
                            mscale_all_dim = 1.0>>
         : tensor<?x8xbf16>, tensor<?xi32>
  return %0, %1 : tensor<?x4x8xf32>, tensor<?x8xbf16>
}

// CHECK-LABEL: @latent_attention
// CHECK-SAME: %[[QN:[^:]*]]: tensor<?x4x16xf32>, %[[QR:[^:]*]]: tensor<?x4x8xf32>, %[[UK:[^:]*]]: tensor<4x16x32xbf16>, %[[UV:[^:]*]]: tensor<4x24x32xbf16>, %[[CACHE:[^:]*]]: !dsv2{{.*}}, %[[L:[^:]*]]: index, %[[P:[^:]*]]: tensor<?xi32>, %[[S:[^:]*]]: tensor<?xi32>, %[[ST:[^:]*]]: tensor<?xi32>, %[[B:[^:]*]]: tensor<?x?xi32>
func.func @latent_attention(
    %qn: tensor<?x4x16xf32>, %qr: tensor<?x4x8xf32>,
    %uk: tensor<4x16x32xbf16>, %uv: tensor<4x24x32xbf16>, %cache: !cache,
    %layer: index, %positions: tensor<?xi32>, %seq_ids: tensor<?xi32>,
    %seq_starts: tensor<?xi32>, %tables: tensor<?x?xi32>) {
  // CHECK: dsv2.latent_attention %[[QN]], %[[QR]], %[[UK]], %[[UV]], %[[CACHE]][%[[L]]], %[[P]], %[[S]], %[[ST]], %[[B]] form undecided scale 1.250000e-01 : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xbf16>, tensor<4x24x32xbf16>, !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x24xf32>
  %0 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%layer], %positions,
         %seq_ids, %seq_starts, %tables form undecided scale 0.125
         : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xbf16>,
           tensor<4x24x32xbf16>, !cache, tensor<?xi32>, tensor<?xi32>,
           tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x24xf32>
  // CHECK: form expanded scale 1.000000e+00
  %1 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%layer], %positions,
         %seq_ids, %seq_starts, %tables form expanded scale 1.0
         : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xbf16>,
           tensor<4x24x32xbf16>, !cache, tensor<?xi32>, tensor<?xi32>,
           tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x24xf32>
  // CHECK: form absorbed scale 1.000000e+00
  %2 = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%layer], %positions,
         %seq_ids, %seq_starts, %tables form absorbed scale 1.0
         : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xbf16>,
           tensor<4x24x32xbf16>, !cache, tensor<?xi32>, tensor<?xi32>,
           tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x24xf32>
  return
}
