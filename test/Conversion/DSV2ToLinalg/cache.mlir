// RUN: dsv2-opt %s --dsv2-convert-to-linalg --canonicalize -split-input-file | FileCheck %s

!cache = !dsv2.latent_cache<latent = 4, rope = 2, format = bf16, page = 16>

// CHECK-LABEL: func @append(
// CHECK-SAME:    %[[LATENT:[a-z0-9_]+]]: tensor<?x4xf32>, %[[KEY:[a-z0-9_]+]]: tensor<?x2xf32>, %[[CACHE:[a-z0-9_]+]]: memref<?x?x16x6xbf16>, %[[LAYER:[a-z0-9_]+]]: index, %[[POSITIONS:[a-z0-9_]+]]: tensor<?xi32>, %[[IDS:[a-z0-9_]+]]: tensor<?xi32>, %[[TABLES:[a-z0-9_]+]]: tensor<?x?xi32>
// CHECK-DAG:     %[[C2:[a-z0-9_]+]] = arith.constant 2 : index
// CHECK-DAG:     %[[C4:[a-z0-9_]+]] = arith.constant 4 : index
// CHECK-DAG:     %[[C16:[a-z0-9_]+]] = arith.constant 16 : index
// CHECK:         scf.for %[[T:[a-z0-9_]+]] =
// CHECK:           %[[S32:[a-z0-9_]+]] = tensor.extract %[[IDS]][%[[T]]]
// CHECK:           %[[S:[a-z0-9_]+]] = arith.index_cast %[[S32]]
// CHECK:           %[[P32:[a-z0-9_]+]] = tensor.extract %[[POSITIONS]][%[[T]]]
// CHECK:           %[[P:[a-z0-9_]+]] = arith.index_cast %[[P32]]
// CHECK:           %[[BLOCK:[a-z0-9_]+]] = arith.divui %[[P]], %[[C16]]
// CHECK:           %[[ROW:[a-z0-9_]+]] = arith.remui %[[P]], %[[C16]]
// CHECK:           %[[PAGE32:[a-z0-9_]+]] = tensor.extract %[[TABLES]][%[[S]], %[[BLOCK]]]
// CHECK:           %[[PAGE:[a-z0-9_]+]] = arith.index_cast %[[PAGE32]]
// CHECK:           scf.for %[[I:[a-z0-9_]+]] = %{{.*}} to %[[C4]]
// CHECK:             %[[V:[a-z0-9_]+]] = tensor.extract %[[LATENT]][%[[T]], %[[I]]]
// CHECK:             %[[N:[a-z0-9_]+]] = arith.truncf %[[V]] : f32 to bf16
// CHECK:             memref.store %[[N]], %[[CACHE]][%[[LAYER]], %[[PAGE]], %[[ROW]], %[[I]]]
// CHECK:           scf.for %[[J:[a-z0-9_]+]] = %{{.*}} to %[[C2]]
// CHECK:             tensor.extract %[[KEY]][%[[T]], %[[J]]]
// CHECK:             %[[COLUMN:[a-z0-9_]+]] = arith.addi %[[J]], %[[C4]]
// CHECK:             memref.store %{{.*}}, %[[CACHE]][%[[LAYER]], %[[PAGE]], %[[ROW]], %[[COLUMN]]]
func.func @append(%latent: tensor<?x4xf32>, %key: tensor<?x2xf32>,
                  %cache: !cache, %layer: index, %positions: tensor<?xi32>,
                  %ids: tensor<?xi32>, %tables: tensor<?x?xi32>) {
  dsv2.latent_append %latent, %key, %cache[%layer], %positions, %ids, %tables
    : tensor<?x4xf32>, tensor<?x2xf32>, !cache, tensor<?xi32>, tensor<?xi32>,
      tensor<?x?xi32>
  return
}

// -----

!cache = !dsv2.latent_cache<latent = 4, rope = 2, format = bf16, page = 16>

// CHECK-LABEL: func @gather(
// CHECK-SAME:    %[[CACHE:[a-z0-9_]+]]: memref<?x?x16x6xbf16>, %[[LAYER:[a-z0-9_]+]]: index, %{{.*}}: index, %[[LENGTH:[a-z0-9_]+]]: index
// CHECK:         %[[EMPTY:[a-z0-9_]+]] = tensor.empty(%[[LENGTH]]) : tensor<?x6xf32>
// CHECK:         scf.for %[[P:[a-z0-9_]+]] = %{{.*}} to %[[LENGTH]] {{.*}} iter_args(%{{.*}} = %[[EMPTY]])
// CHECK:           scf.for %[[I:[a-z0-9_]+]] =
// CHECK:             %[[V:[a-z0-9_]+]] = memref.load %[[CACHE]][%[[LAYER]], %{{.*}}, %{{.*}}, %[[I]]]
// CHECK:             %[[W:[a-z0-9_]+]] = arith.extf %[[V]] : bf16 to f32
// CHECK:             tensor.insert %[[W]] into %{{.*}}[%[[P]], %[[I]]]
func.func @gather(%cache: !cache, %layer: index, %sequence: index,
                  %length: index, %tables: tensor<?x?xi32>)
    -> tensor<?x6xf32> {
  %rows = dsv2.latent_gather %cache[%layer], %sequence, %length, %tables
            : !cache, tensor<?x?xi32> -> tensor<?x6xf32>
  return %rows : tensor<?x6xf32>
}

// -----

!cache = !dsv2.latent_cache<latent = 4, rope = 2, format = f32, page = 8>

// Every layer, row and element of the page.
// CHECK-LABEL: func @copy_pages(
// CHECK-SAME:    %[[CACHE:[a-z0-9_]+]]: memref<?x?x8x6xf32>, %[[FROM:[a-z0-9_]+]]: tensor<?xi32>, %[[TO:[a-z0-9_]+]]: tensor<?xi32>
// CHECK:         %[[LAYERS:[a-z0-9_]+]] = memref.dim %[[CACHE]], %c0
// CHECK:         scf.for %[[I:[a-z0-9_]+]] =
// CHECK:           %[[A32:[a-z0-9_]+]] = tensor.extract %[[FROM]][%[[I]]]
// CHECK:           %[[A:[a-z0-9_]+]] = arith.index_cast %[[A32]]
// CHECK:           %[[B32:[a-z0-9_]+]] = tensor.extract %[[TO]][%[[I]]]
// CHECK:           %[[B:[a-z0-9_]+]] = arith.index_cast %[[B32]]
// CHECK:           scf.for %[[L:[a-z0-9_]+]] = %c0 to %[[LAYERS]]
// CHECK:             scf.for %[[R:[a-z0-9_]+]] = %c0 to %c8
// CHECK:               scf.for %[[C:[a-z0-9_]+]] = %c0 to %c6
// CHECK:                 %[[V:[a-z0-9_]+]] = memref.load %[[CACHE]][%[[L]], %[[A]], %[[R]], %[[C]]]
// CHECK:                 memref.store %[[V]], %[[CACHE]][%[[L]], %[[B]], %[[R]], %[[C]]]
func.func @copy_pages(%cache: !cache, %from: tensor<?xi32>,
                      %to: tensor<?xi32>) {
  dsv2.copy_pages %cache, %from, %to : !cache, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

!cache = !dsv2.latent_cache<latent = 4, rope = 2, format = f32, page = 8>

// The type changes wherever a cache can be: signatures, calls, branches, loops
// and conditions. Casts to and from its memory disappear.
// CHECK-LABEL: func private @external(memref<?x?x8x6xf32>) -> memref<?x?x8x6xf32>
// CHECK-LABEL: func @types(
// CHECK-NOT:     latent_cache
// CHECK-NOT:     unrealized
func.func private @external(!cache) -> !cache

func.func @types(%memory: memref<?x?x8x6xf32>, %n: index, %flag: i1)
    -> memref<?x?x8x6xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %cache = builtin.unrealized_conversion_cast %memory
             : memref<?x?x8x6xf32> to !cache
  %a = scf.for %i = %c0 to %n step %c1 iter_args(%carried = %cache)
      -> (!cache) {
    %next = func.call @external(%carried) : (!cache) -> !cache
    scf.yield %next : !cache
  }
  %b = scf.if %flag -> !cache {
    scf.yield %a : !cache
  } else {
    scf.yield %cache : !cache
  }
  cf.cond_br %flag, ^left(%b : !cache), ^right
^left(%c: !cache):
  %back = builtin.unrealized_conversion_cast %c
            : !cache to memref<?x?x8x6xf32>
  return %back : memref<?x?x8x6xf32>
^right:
  return %memory : memref<?x?x8x6xf32>
}

// -----

// Rows in blocks are bytes, with their scales: 4 latents padded to 32 of 5 bits,
// 2 rope keys to 32 of 8. test/Integration/CPU/Reference/cache-quantized.mlir
// runs this.
!cache = !dsv2.latent_cache<latent = 4, rope = 2, format = q6, page = 16>

// CHECK-LABEL: func @append_q6(
// CHECK-SAME:    memref<?x?x16x56xi8>
// CHECK:         math.roundeven
// CHECK:         arith.trunci %{{.*}} : i32 to i8
func.func @append_q6(%latent: tensor<?x4xf32>, %key: tensor<?x2xf32>,
                     %cache: !cache, %layer: index, %positions: tensor<?xi32>,
                     %ids: tensor<?xi32>, %tables: tensor<?x?xi32>) {
  dsv2.latent_append %latent, %key, %cache[%layer], %positions, %ids, %tables
    : tensor<?x4xf32>, tensor<?x2xf32>, !cache, tensor<?xi32>, tensor<?xi32>,
      tensor<?x?xi32>
  return
}

// -----

!cache = !dsv2.latent_cache<latent = 4, rope = 2, format = q8, page = 16>

// CHECK-LABEL: func @copy_q8(
// CHECK-SAME:    memref<?x?x16x68xi8>
// CHECK:         memref.load %{{.*}} : memref<?x?x16x68xi8>
// CHECK-NEXT:    memref.store %{{.*}} : memref<?x?x16x68xi8>
func.func @copy_q8(%cache: !cache, %from: tensor<?xi32>, %to: tensor<?xi32>) {
  dsv2.copy_pages %cache, %from, %to : !cache, tensor<?xi32>, tensor<?xi32>
  return
}
