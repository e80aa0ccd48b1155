// RUN: dsv2-opt %s | dsv2-opt | FileCheck %s
// RUN: dsv2-opt %s --mlir-print-op-generic | dsv2-opt | FileCheck %s
// RUN: dsv2-opt %s --emit-bytecode | dsv2-opt | FileCheck %s

!cache = !dsv2.latent_cache<latent = 32, rope = 8, format = f32, page = 64>

// CHECK-LABEL: @cache
// CHECK-SAME: %[[CACHE:[^:]*]]: !dsv2.latent_cache<latent = 32, rope = 8, format = f32, page = 64>, %[[C:[^:]*]]: tensor<?x32xf32>, %[[K:[^:]*]]: tensor<?x8xbf16>, %[[L:[^:]*]]: index, %[[P:[^:]*]]: tensor<?xi32>, %[[S:[^:]*]]: tensor<?xi32>, %[[B:[^:]*]]: tensor<?x?xi32>
func.func @cache(%cache: !cache, %c: tensor<?x32xf32>, %k: tensor<?x8xbf16>,
                 %layer: index, %positions: tensor<?xi32>,
                 %seq_ids: tensor<?xi32>, %tables: tensor<?x?xi32>)
    -> tensor<?x40xf32> {
  // CHECK: dsv2.copy_pages %[[CACHE]], %[[P]], %[[S]] : !dsv2.latent_cache<latent = 32, rope = 8, format = f32, page = 64>, tensor<?xi32>, tensor<?xi32>
  dsv2.copy_pages %cache, %positions, %seq_ids
    : !cache, tensor<?xi32>, tensor<?xi32>
  // CHECK: dsv2.latent_append %[[C]], %[[K]], %[[CACHE]][%[[L]]], %[[P]], %[[S]], %[[B]] : tensor<?x32xf32>, tensor<?x8xbf16>, !dsv2.latent_cache<latent = 32, rope = 8, format = f32, page = 64>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
  dsv2.latent_append %c, %k, %cache[%layer], %positions, %seq_ids, %tables
    : tensor<?x32xf32>, tensor<?x8xbf16>, !cache, tensor<?xi32>,
      tensor<?xi32>, tensor<?x?xi32>
  // CHECK: dsv2.latent_gather %[[CACHE]][%[[L]]], %[[L]], %[[L]], %[[B]] : !dsv2.latent_cache<latent = 32, rope = 8, format = f32, page = 64>, tensor<?x?xi32> -> tensor<?x40xf32>
  %rows = dsv2.latent_gather %cache[%layer], %layer, %layer, %tables
    : !cache, tensor<?x?xi32> -> tensor<?x40xf32>
  return %rows : tensor<?x40xf32>
}
