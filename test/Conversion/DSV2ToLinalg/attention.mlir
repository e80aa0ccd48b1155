// RUN: dsv2-opt %s --dsv2-convert-to-linalg --canonicalize -split-input-file | FileCheck %s

// Even and odd elements are the pairs. The angle is one f32 product.
// CHECK-LABEL: func @rope(
// CHECK-SAME:    %[[X:[a-z0-9_]+]]: tensor<?x2x4xf32>, %[[POSITIONS:[a-z0-9_]+]]: tensor<?xi32>
// CHECK:         %[[F:[a-z0-9_]+]] = arith.constant dense<[1.000000e+00, 0.00999999977]> : tensor<2xf32>
// CHECK:         %[[ANGLES:[a-z0-9_]+]] = linalg.generic
// CHECK-SAME:      ins(%[[POSITIONS]], %[[F]] :
// CHECK:           %[[P:[a-z0-9_]+]] = arith.sitofp %{{.*}} : i32 to f32
// CHECK:           arith.mulf %[[P]], %{{.*}} : f32
// CHECK:         %[[COS:[a-z0-9_]+]] = linalg.generic
// CHECK:           math.cos
// CHECK:         %[[SIN:[a-z0-9_]+]] = linalg.generic
// CHECK:           math.sin
// CHECK-DAG:     %[[EVEN:[a-z0-9_]+]] = tensor.extract_slice %[[X]][0, 0, 0] [%{{.*}}, 2, 2] [1, 1, 2]
// CHECK-DAG:     %[[ODD:[a-z0-9_]+]] = tensor.extract_slice %[[X]][0, 0, 1] [%{{.*}}, 2, 2] [1, 1, 2]
// CHECK:         %[[FIRST:[a-z0-9_]+]] = linalg.generic
// CHECK-SAME:      ins(%[[EVEN]], %[[ODD]], %[[COS]], %[[SIN]] :
// CHECK:         ^bb0(%[[A:[a-z0-9_]+]]: f32, %[[B:[a-z0-9_]+]]: f32, %[[C:[a-z0-9_]+]]: f32, %[[S:[a-z0-9_]+]]: f32, %{{.*}}: f32):
// CHECK:           %[[AC:[a-z0-9_]+]] = arith.mulf %[[A]], %[[C]] : f32
// CHECK:           %[[BS:[a-z0-9_]+]] = arith.mulf %[[B]], %[[S]] : f32
// CHECK:           %[[D:[a-z0-9_]+]] = arith.subf %[[AC]], %[[BS]] : f32
// CHECK-NEXT:      linalg.yield %[[D]]
// CHECK:         %[[SECOND:[a-z0-9_]+]] = linalg.generic
// CHECK:         %[[HALF:[a-z0-9_]+]] = tensor.insert_slice %[[FIRST]] into %{{.*}}[0, 0, 0] [%{{.*}}, 2, 2] [1, 1, 2]
// CHECK:         tensor.insert_slice %[[SECOND]] into %[[HALF]][0, 0, 1] [%{{.*}}, 2, 2] [1, 1, 2]
func.func @rope(%x: tensor<?x2x4xf32>, %positions: tensor<?xi32>)
    -> tensor<?x2x4xf32> {
  %y = dsv2.rope %x, %positions <dim = 4, theta = 1.0e+04>
         : tensor<?x2x4xf32>, tensor<?xi32>
  return %y : tensor<?x2x4xf32>
}

// -----

// A cos/sin multiplier other than 1 scales the rotated value (F040), and bf16
// is rounded at the end only.
// CHECK-LABEL: func @rope_multiplier(
// CHECK:         %[[G:[a-z0-9_]+]] = arith.constant 1.36888{{.*}} : f32
// CHECK:           arith.extf %{{.*}} : bf16 to f32
// CHECK:           %[[D:[a-z0-9_]+]] = arith.subf
// CHECK:           arith.mulf %[[D]], %[[G]] : f32
// CHECK:           arith.truncf %{{.*}} : f32 to bf16
func.func @rope_multiplier(%x: tensor<?x8xbf16>, %positions: tensor<?xi32>)
    -> tensor<?x8xbf16> {
  %y = dsv2.rope %x, %positions
         <dim = 8, theta = 1.0e+04,
          yarn = #dsv2.yarn<factor = 4.0e+01, original_max = 4096,
                            beta_fast = 3.2e+01, beta_slow = 1.0,
                            mscale = 1.0, mscale_all_dim = 0.0>>
         : tensor<?x8xbf16>, tensor<?xi32>
  return %y : tensor<?x8xbf16>
}

// -----

!cache = !dsv2.latent_cache<latent = 4, rope = 2, format = bf16, page = 16>

// Keys and values of all heads, once for each sequence; then, for each token,
// only the rows it may see.
// CHECK-LABEL: func @expanded(
// CHECK-SAME:    %[[UK:[a-z0-9_]+]]: tensor<2x3x4xbf16>, %[[UV:[a-z0-9_]+]]: tensor<2x5x4xbf16>
// CHECK-SAME:    %[[CACHE:[a-z0-9_]+]]: memref<?x?x16x6xbf16>
// CHECK-DAG:     %[[SCALE:[a-z0-9_]+]] = arith.constant 1.250000e-01 : f32
// CHECK-DAG:     %[[LOWEST:[a-z0-9_]+]] = arith.constant 0xFF800000 : f32
// CHECK:         scf.for
// CHECK:           arith.maxsi
// CHECK:           memref.load %[[CACHE]]
// CHECK-DAG:       %[[LATENTS:[a-z0-9_]+]] = tensor.extract_slice %{{.*}}[0, 0] [%{{.*}}, 4]
// CHECK-DAG:       %[[ROPE:[a-z0-9_]+]] = tensor.extract_slice %{{.*}}[0, 4] [%{{.*}}, 2]
// CHECK:           %[[KEYS:[a-z0-9_]+]] = linalg.generic
// CHECK-SAME:        ins(%[[UK]], %[[LATENTS]] :
// CHECK:           %[[VALUES:[a-z0-9_]+]] = linalg.generic
// CHECK-SAME:        ins(%[[UV]], %[[LATENTS]] :
// CHECK:           scf.for %[[T:[a-z0-9_]+]] =
// CHECK:             %[[POSITION:[a-z0-9_]+]] = arith.index_cast %{{.*}} : i32 to index
// CHECK:             %[[SEEN:[a-z0-9_]+]] = arith.addi %[[POSITION]], %{{.*}} : index
// CHECK-DAG:         tensor.extract_slice %[[ROPE]][0, 0] [%[[SEEN]], 2]
// CHECK-DAG:         %[[K:[a-z0-9_]+]] = tensor.extract_slice %[[KEYS]][0, 0, 0] [2, %[[SEEN]], 3]
// CHECK-DAG:         %[[V:[a-z0-9_]+]] = tensor.extract_slice %[[VALUES]][0, 0, 0] [2, %[[SEEN]], 5]
// CHECK:             %[[NOPE:[a-z0-9_]+]] = linalg.generic
// CHECK-SAME:          ins(%{{.*}}, %[[K]] :
// The rotary part goes on with the same sums.
// CHECK:             linalg.generic
// CHECK-SAME:          outs(%[[NOPE]] :
// CHECK:               arith.mulf %{{.*}}, %[[SCALE]] : f32
// CHECK:             linalg.fill ins(%[[LOWEST]] : f32)
// CHECK:               arith.maximumf
// CHECK:               arith.subf
// CHECK:               math.exp
// CHECK:               arith.divf
// CHECK:             %[[O:[a-z0-9_]+]] = linalg.generic
// CHECK-SAME:          ins(%{{.*}}, %[[V]] :
// CHECK:             tensor.insert_slice %[[O]] into %{{.*}}[%[[T]], 0, 0] [1, 2, 5]
func.func @expanded(%qn: tensor<?x2x3xf32>, %qr: tensor<?x2x2xf32>,
                    %uk: tensor<2x3x4xbf16>, %uv: tensor<2x5x4xbf16>,
                    %cache: !cache, %layer: index, %positions: tensor<?xi32>,
                    %ids: tensor<?xi32>, %starts: tensor<?xi32>,
                    %tables: tensor<?x?xi32>) -> tensor<?x2x5xf32> {
  %o = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%layer], %positions,
         %ids, %starts, %tables form expanded scale 0.125
         : tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xbf16>,
           tensor<2x5x4xbf16>, !cache, tensor<?xi32>, tensor<?xi32>,
           tensor<?xi32>, tensor<?x?xi32> -> tensor<?x2x5xf32>
  return %o : tensor<?x2x5xf32>
}

// -----

!cache = !dsv2.latent_cache<latent = 4, rope = 2, format = f32, page = 16>

// `w_uk` meets the query and `w_uv` the sum: neither meets the cache.
// CHECK-LABEL: func @absorbed(
// CHECK-SAME:    %[[UK:[a-z0-9_]+]]: tensor<2x3x4xf32>, %[[UV:[a-z0-9_]+]]: tensor<2x5x4xf32>
// CHECK:         %[[LATENTS:[a-z0-9_]+]] = tensor.extract_slice %{{.*}}[0, 0] [%{{.*}}, 4]
// CHECK:         %[[SEEN:[a-z0-9_]+]] = tensor.extract_slice %[[LATENTS]][0, 0]
// CHECK:         %[[QUERY:[a-z0-9_]+]] = linalg.generic
// CHECK-SAME:      ins(%{{.*}}, %[[UK]] : tensor<2x3xf32>, tensor<2x3x4xf32>)
// CHECK-SAME:      outs(%{{.*}} : tensor<2x4xf32>)
// CHECK:         linalg.generic
// CHECK-SAME:      ins(%[[QUERY]], %[[SEEN]] :
// CHECK:         math.exp
// CHECK:         arith.divf
// CHECK:         %[[MIXED:[a-z0-9_]+]] = linalg.generic
// CHECK-SAME:      ins(%{{.*}}, %[[SEEN]] :
// CHECK-SAME:      outs(%{{.*}} : tensor<2x4xf32>)
// CHECK:         linalg.generic
// CHECK-SAME:      ins(%[[UV]], %[[MIXED]] :
func.func @absorbed(%qn: tensor<?x2x3xf32>, %qr: tensor<?x2x2xf32>,
                    %uk: tensor<2x3x4xf32>, %uv: tensor<2x5x4xf32>,
                    %cache: !cache, %layer: index, %positions: tensor<?xi32>,
                    %ids: tensor<?xi32>, %starts: tensor<?xi32>,
                    %tables: tensor<?x?xi32>) -> tensor<?x2x5xf32> {
  %o = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%layer], %positions,
         %ids, %starts, %tables form absorbed scale 0.125
         : tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xf32>,
           tensor<2x5x4xf32>, !cache, tensor<?xi32>, tensor<?xi32>,
           tensor<?xi32>, tensor<?x?xi32> -> tensor<?x2x5xf32>
  return %o : tensor<?x2x5xf32>
}
