// RUN: dsv2-opt %s --dsv2-convert-to-linalg --canonicalize -split-input-file | FileCheck %s

// The softmax covers every expert, before groups are ruled out (F037).
// CHECK-LABEL: func @route(
// CHECK-DAG:     %[[LOWEST:[a-z0-9_]+]] = arith.constant 0xFF800000 : f32
// CHECK-DAG:     %[[C2:[a-z0-9_]+]] = arith.constant 2 : i32
// CHECK-DAG:     %[[TINY:[a-z0-9_]+]] = arith.constant 9.99999968E-21 : f32
// CHECK-DAG:     %[[FACTOR:[a-z0-9_]+]] = arith.constant 1.600000e+01 : f32
// CHECK:           math.exp
// CHECK:           arith.divf
// CHECK:         %[[GROUPS:[a-z0-9_]+]] = tensor.expand_shape %[[SCORES:[a-z0-9_]+]] {{\[\[}}0], [1, 2]] output_shape [%{{.*}}, 4, 2]
// CHECK:           arith.maximumf
// CHECK:         %[[RANKS:[a-z0-9_]+]] = linalg.generic
// CHECK:           %[[E:[a-z0-9_]+]] = linalg.index 1
// CHECK:           %[[O:[a-z0-9_]+]] = linalg.index 2
// CHECK:           %[[LARGER:[a-z0-9_]+]] = arith.cmpf ogt
// CHECK:           %[[EQUAL:[a-z0-9_]+]] = arith.cmpf oeq
// CHECK:           %[[LOWER:[a-z0-9_]+]] = arith.cmpi ult, %[[O]], %[[E]]
// CHECK:           %[[TIE:[a-z0-9_]+]] = arith.andi %[[EQUAL]], %[[LOWER]]
// CHECK:           arith.ori %[[LARGER]], %[[TIE]]
// CHECK:         } -> tensor<?x4xi32>
// CHECK:         linalg.generic
// CHECK-SAME:      ins(%[[GROUPS]], %[[RANKS]] :
// CHECK:         ^bb0(%[[S:[a-z0-9_]+]]: f32, %[[RANK:[a-z0-9_]+]]: i32, %{{.*}}: f32):
// CHECK:           %[[KEPT:[a-z0-9_]+]] = arith.cmpi slt, %[[RANK]], %[[C2]]
// CHECK:           arith.select %[[KEPT]], %[[S]], %[[LOWEST]]
// CHECK:         linalg.generic
// CHECK:         } -> tensor<?x8xi32>
// CHECK:         linalg.generic
// CHECK:         } -> tensor<?x3xi32>
// Weights are taken from the scores, not from the masked ones.
// CHECK:         linalg.generic
// CHECK-SAME:      ins(%{{.*}}, %[[SCORES]] :
// CHECK:           arith.addf %{{.*}}, %[[TINY]]
// CHECK:           arith.divf
// CHECK:           arith.mulf %{{.*}}, %[[FACTOR]]
func.func @route(%x: tensor<?x4xf32>, %gate: tensor<8x4xbf16>)
    -> (tensor<?x3xi32>, tensor<?x3xf32>) {
  %ids, %w = dsv2.route %x, %gate top_k 3 groups 2 of 4 scale 16.0 normalize
               : tensor<?x4xf32>, tensor<8x4xbf16>
                 -> tensor<?x3xi32>, tensor<?x3xf32>
  return %ids, %w : tensor<?x3xi32>, tensor<?x3xf32>
}

// -----

// Without groups, normalisation or a factor there is nothing of them.
// CHECK-LABEL: func @route_greedy(
// CHECK-NOT:     tensor.expand_shape
// CHECK:         math.exp
// CHECK:         arith.divf
// CHECK-NOT:     arith.divf
func.func @route_greedy(%x: tensor<?x4xf32>, %gate: tensor<8x4xf32>)
    -> (tensor<?x3xi32>, tensor<?x3xf32>) {
  %ids, %w = dsv2.route %x, %gate top_k 3 groups 1 of 1 scale 1.0
               : tensor<?x4xf32>, tensor<8x4xf32>
                 -> tensor<?x3xi32>, tensor<?x3xf32>
  return %ids, %w : tensor<?x3xi32>, tensor<?x3xf32>
}

// -----

// Count, sum up, place; tokens outside, slots inside.
// CHECK-LABEL: func @dispatch(
// CHECK-SAME:    %[[X:[a-z0-9_]+]]: tensor<?x4xf32>, %[[IDS:[a-z0-9_]+]]: tensor<?x2xi32>
// CHECK:         %[[COUNTS:[a-z0-9_]+]] = scf.for
// CHECK:           scf.for
// CHECK:             tensor.extract %[[IDS]]
// CHECK:         %[[OFFSETS:[a-z0-9_]+]] = scf.for {{.*}} iter_args(%{{.*}} = %[[COUNTS]])
// CHECK:         %[[PLACED:[a-z0-9_]+]]:3 = scf.for %[[T:[a-z0-9_]+]] = {{.*}} iter_args(%{{.*}} = %[[OFFSETS]], %{{.*}} = %{{.*}}, %{{.*}} = %{{.*}})
// CHECK:           scf.for %[[S:[a-z0-9_]+]] =
// CHECK:             %[[E32:[a-z0-9_]+]] = tensor.extract %[[IDS]][%[[T]], %[[S]]]
// CHECK:             %[[E:[a-z0-9_]+]] = arith.index_cast %[[E32]]
// CHECK:             %[[ROW:[a-z0-9_]+]] = tensor.extract %{{.*}}[%[[E]]]
// CHECK:             tensor.insert %[[ROW]] into %{{.*}}[%[[T]], %[[S]]]
// CHECK:         %[[Y:[a-z0-9_]+]] = linalg.generic
// CHECK-SAME:      ins(%[[PLACED]]#2 : tensor<?xi32>)
// CHECK:           tensor.extract %[[X]]
// CHECK:         return %[[Y]], %[[OFFSETS]], %[[PLACED]]#1
func.func @dispatch(%x: tensor<?x4xf32>, %ids: tensor<?x2xi32>)
    -> (tensor<?x4xf32>, tensor<9xi32>, tensor<?x2xi32>) {
  %y, %offsets, %rows = dsv2.dispatch %x, %ids
    : tensor<?x4xf32>, tensor<?x2xi32>
      -> tensor<?x4xf32>, tensor<9xi32>, tensor<?x2xi32>
  return %y, %offsets, %rows : tensor<?x4xf32>, tensor<9xi32>, tensor<?x2xi32>
}

// -----

// One network after another, on the rows between two offsets.
// CHECK-LABEL: func @expert_ffn(
// CHECK-SAME:    %[[X:[a-z0-9_]+]]: tensor<?x4xf32>, %[[OFFSETS:[a-z0-9_]+]]: tensor<9xi32>, %[[GATE:[a-z0-9_]+]]: tensor<8x6x4xbf16>, %[[UP:[a-z0-9_]+]]: tensor<8x6x4xbf16>, %[[DOWN:[a-z0-9_]+]]: tensor<8x4x6xbf16>
// CHECK:         scf.for %[[E:[a-z0-9_]+]] = %c0 to %c8
// CHECK:           %[[A32:[a-z0-9_]+]] = tensor.extract %[[OFFSETS]][%[[E]]]
// CHECK:           %[[A:[a-z0-9_]+]] = arith.index_cast %[[A32]]
// CHECK:           %[[N:[a-z0-9_]+]] = arith.addi %[[E]], %c1
// CHECK:           %[[B32:[a-z0-9_]+]] = tensor.extract %[[OFFSETS]][%[[N]]]
// CHECK:           %[[B:[a-z0-9_]+]] = arith.index_cast %[[B32]]
// CHECK:           %[[COUNT:[a-z0-9_]+]] = arith.subi %[[B]], %[[A]]
// CHECK:           tensor.extract_slice %[[X]][%[[A]], 0] [%[[COUNT]], 4]
// CHECK:           tensor.extract_slice %[[GATE]][%[[E]], 0, 0] [1, 6, 4]
// CHECK:           tensor.extract_slice %[[UP]][%[[E]], 0, 0] [1, 6, 4]
// CHECK:           tensor.extract_slice %[[DOWN]][%[[E]], 0, 0] [1, 4, 6]
// CHECK:           math.exp
// CHECK:           tensor.insert_slice %{{.*}} into %{{.*}}[%[[A]], 0]
func.func @expert_ffn(%x: tensor<?x4xf32>, %offsets: tensor<9xi32>,
                      %gate: tensor<8x6x4xbf16>, %up: tensor<8x6x4xbf16>,
                      %down: tensor<8x4x6xbf16>) -> tensor<?x4xf32> {
  %y = dsv2.expert_ffn %x, %offsets, %gate, %down up %up
         : tensor<?x4xf32>, tensor<9xi32>, tensor<8x6x4xbf16>,
           tensor<8x4x6xbf16>, tensor<8x6x4xbf16>
  return %y : tensor<?x4xf32>
}

// -----

// CHECK-LABEL: func @expert_ffn_stacked(
// CHECK-SAME:    %{{.*}}: tensor<?x4xf32>, %{{.*}}: tensor<9xi32>, %[[GATE:[a-z0-9_]+]]: tensor<8x2x6x4xbf16>
// CHECK:         scf.for %[[E:[a-z0-9_]+]] =
// CHECK:           %[[BOTH:[a-z0-9_]+]] = tensor.extract_slice %[[GATE]][%[[E]], 0, 0, 0] [1, 2, 6, 4] [1, 1, 1, 1] : tensor<8x2x6x4xbf16> to tensor<2x6x4xbf16>
// CHECK-DAG:       tensor.extract_slice %[[BOTH]][0, 0, 0]
// CHECK-DAG:       tensor.extract_slice %[[BOTH]][1, 0, 0]
func.func @expert_ffn_stacked(%x: tensor<?x4xf32>, %offsets: tensor<9xi32>,
                              %gate: tensor<8x2x6x4xbf16>,
                              %down: tensor<8x4x6xbf16>) -> tensor<?x4xf32> {
  %y = dsv2.expert_ffn %x, %offsets, %gate, %down
         : tensor<?x4xf32>, tensor<9xi32>, tensor<8x2x6x4xbf16>,
           tensor<8x4x6xbf16>
  return %y : tensor<?x4xf32>
}

// -----

// The slot is the innermost loop, so the order of the sum is that of the slots.
// CHECK-DAG:   #[[SLOT:[a-z0-9_]+]] = affine_map<(d0, d1, d2) -> (d0, d2)>
// CHECK-DAG:   #[[OUT:[a-z0-9_]+]] = affine_map<(d0, d1, d2) -> (d0, d1)>
// CHECK-LABEL: func @combine(
// CHECK-SAME:    %[[X:[a-z0-9_]+]]: tensor<?x4xbf16>, %[[ROWS:[a-z0-9_]+]]: tensor<?x2xi32>, %[[W:[a-z0-9_]+]]: tensor<?x2xf32>
// CHECK:         %[[SUM:[a-z0-9_]+]] = linalg.generic
// CHECK-SAME:      indexing_maps = [#[[SLOT]], #[[SLOT]], #[[OUT]]]
// CHECK-SAME:      iterator_types = ["parallel", "parallel", "reduction"]
// CHECK-SAME:      ins(%[[ROWS]], %[[W]] :
// CHECK:           %[[V:[a-z0-9_]+]] = tensor.extract %[[X]]
// CHECK:           %[[WIDE:[a-z0-9_]+]] = arith.extf %[[V]] : bf16 to f32
// CHECK:           %[[PRODUCT:[a-z0-9_]+]] = arith.mulf %{{.*}}, %[[WIDE]] : f32
// CHECK:           arith.addf %{{.*}}, %[[PRODUCT]] : f32
// CHECK:         } -> tensor<?x4xf32>
// CHECK:         linalg.generic
// CHECK-SAME:      ins(%[[SUM]] :
// CHECK:           arith.truncf
func.func @combine(%x: tensor<?x4xbf16>, %rows: tensor<?x2xi32>,
                   %w: tensor<?x2xf32>) -> tensor<?x4xbf16> {
  %y = dsv2.combine %x, %rows, %w
         : tensor<?x4xbf16>, tensor<?x2xi32>, tensor<?x2xf32>
           -> tensor<?x4xbf16>
  return %y : tensor<?x4xbf16>
}
