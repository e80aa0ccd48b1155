// RUN: dsv2-opt %s --dsv2-convert-to-linalg --canonicalize -split-input-file | FileCheck %s

// CHECK-LABEL: func @embed(
// CHECK-SAME:    %[[TOKENS:[a-z0-9_]+]]: tensor<?xi32>, %[[TABLE:[a-z0-9_]+]]: tensor<9x4xbf16>
// CHECK:         linalg.generic
// CHECK-SAME:      ins(%[[TOKENS]] : tensor<?xi32>)
// CHECK:         ^bb0(%[[TOKEN:[a-z0-9_]+]]: i32, %{{.*}}: f32):
// CHECK:           %[[ROW:[a-z0-9_]+]] = arith.index_cast %[[TOKEN]] : i32 to index
// CHECK:           %[[COLUMN:[a-z0-9_]+]] = linalg.index 1
// CHECK:           tensor.extract %[[TABLE]][%[[ROW]], %[[COLUMN]]]
func.func @embed(%tokens: tensor<?xi32>, %table: tensor<9x4xbf16>)
    -> tensor<?x4xf32> {
  %h = dsv2.embed %tokens, %table
         : tensor<?xi32>, tensor<9x4xbf16> -> tensor<?x4xf32>
  return %h : tensor<?x4xf32>
}

// -----

// The weight is [out, in], both sides are widened, the sum is f32.
// CHECK-DAG:   #[[X:[a-z0-9_]+]] = affine_map<(d0, d1, d2) -> (d0, d2)>
// CHECK-DAG:   #[[W:[a-z0-9_]+]] = affine_map<(d0, d1, d2) -> (d1, d2)>
// CHECK-DAG:   #[[Y:[a-z0-9_]+]] = affine_map<(d0, d1, d2) -> (d0, d1)>
// CHECK-LABEL: func @linear(
// CHECK:         %[[ZEROS:[a-z0-9_]+]] = linalg.fill
// CHECK-SAME:      -> tensor<?x3xf32>
// CHECK:         linalg.generic
// CHECK-SAME:      indexing_maps = [#[[X]], #[[W]], #[[Y]]]
// CHECK-SAME:      iterator_types = ["parallel", "parallel", "reduction"]
// CHECK-SAME:      outs(%[[ZEROS]] : tensor<?x3xf32>)
// CHECK:         ^bb0(%[[A:[a-z0-9_]+]]: f32, %[[B:[a-z0-9_]+]]: bf16, %[[SUM:[a-z0-9_]+]]: f32):
// CHECK:           %[[WIDE:[a-z0-9_]+]] = arith.extf %[[B]] : bf16 to f32
// CHECK:           %[[PRODUCT:[a-z0-9_]+]] = arith.mulf %[[A]], %[[WIDE]] : f32
// CHECK:           arith.addf %[[SUM]], %[[PRODUCT]] : f32
func.func @linear(%x: tensor<?x4xf32>, %w: tensor<3x4xbf16>)
    -> tensor<?x3xf32> {
  %y = dsv2.linear %x, %w
         : tensor<?x4xf32>, tensor<3x4xbf16> -> tensor<?x3xf32>
  return %y : tensor<?x3xf32>
}

// -----

// A narrow result is rounded once, after the whole sum.
// CHECK-LABEL: func @linear_bf16(
// CHECK:         %[[SUMS:[a-z0-9_]+]] = linalg.generic
// CHECK-NOT:       arith.truncf
// CHECK:         } -> tensor<?x3xf32>
// CHECK:         linalg.generic
// CHECK-SAME:      ins(%[[SUMS]] : tensor<?x3xf32>)
// CHECK:           arith.truncf %{{.*}} : f32 to bf16
// CHECK:         } -> tensor<?x3xbf16>
func.func @linear_bf16(%x: tensor<?x4xbf16>, %w: tensor<3x4xf16>)
    -> tensor<?x3xbf16> {
  %y = dsv2.linear %x, %w
         : tensor<?x4xbf16>, tensor<3x4xf16> -> tensor<?x3xbf16>
  return %y : tensor<?x3xbf16>
}

// -----

// Squares, mean, eps, reciprocal root; then the value, then the weight.
// CHECK-LABEL: func @rms_norm(
// CHECK-DAG:     %[[EPS:[a-z0-9_]+]] = arith.constant 9.99999997E-7 : f32
// CHECK-DAG:     %[[SIZE:[a-z0-9_]+]] = arith.constant 4.000000e+00 : f32
// CHECK:         iterator_types = ["parallel", "reduction"]
// CHECK:           arith.mulf %[[V:[a-z0-9_]+]], %[[V]] : f32
// CHECK:           %[[MEAN:[a-z0-9_]+]] = arith.divf %{{.*}}, %[[SIZE]] : f32
// CHECK:           %[[SUM:[a-z0-9_]+]] = arith.addf %[[MEAN]], %[[EPS]] : f32
// CHECK:           math.rsqrt %[[SUM]] : f32
// CHECK:         ^bb0(%[[X:[a-z0-9_]+]]: f32, %[[R:[a-z0-9_]+]]: f32, %[[W:[a-z0-9_]+]]: bf16, %{{.*}}: f32):
// CHECK:           %[[NORMAL:[a-z0-9_]+]] = arith.mulf %[[X]], %[[R]] : f32
// CHECK:           %[[WIDE:[a-z0-9_]+]] = arith.extf %[[W]] : bf16 to f32
// CHECK:           arith.mulf %[[WIDE]], %[[NORMAL]] : f32
func.func @rms_norm(%x: tensor<?x4xf32>, %w: tensor<4xbf16>)
    -> tensor<?x4xf32> {
  %y = dsv2.rms_norm %x, %w eps 1.0e-6 : tensor<?x4xf32>, tensor<4xbf16>
  return %y : tensor<?x4xf32>
}

// -----

// CHECK-LABEL: func @gated_ffn(
// CHECK-SAME:    %[[X:[a-z0-9_]+]]: tensor<?x4xf32>, %[[GATE:[a-z0-9_]+]]: tensor<6x4xbf16>, %[[UP:[a-z0-9_]+]]: tensor<6x4xbf16>, %[[DOWN:[a-z0-9_]+]]: tensor<4x6xbf16>
// CHECK:         %[[G:[a-z0-9_]+]] = linalg.generic
// CHECK-SAME:      ins(%[[X]], %[[GATE]] :
// CHECK:         %[[U:[a-z0-9_]+]] = linalg.generic
// CHECK-SAME:      ins(%[[X]], %[[UP]] :
// CHECK:         %[[H:[a-z0-9_]+]] = linalg.generic
// CHECK-SAME:      ins(%[[G]], %[[U]] :
// CHECK:         ^bb0(%[[V:[a-z0-9_]+]]: f32, %[[W:[a-z0-9_]+]]: f32, %{{.*}}: f32):
// CHECK:           %[[NEG:[a-z0-9_]+]] = arith.negf %[[V]] : f32
// CHECK:           %[[EXP:[a-z0-9_]+]] = math.exp %[[NEG]] : f32
// CHECK:           %[[DIV:[a-z0-9_]+]] = arith.addf %[[EXP]], %{{.*}} : f32
// CHECK:           %[[SILU:[a-z0-9_]+]] = arith.divf %[[V]], %[[DIV]] : f32
// CHECK:           arith.mulf %[[SILU]], %[[W]] : f32
// CHECK:         linalg.generic
// CHECK-SAME:      ins(%[[H]], %[[DOWN]] :
func.func @gated_ffn(%x: tensor<?x4xf32>, %gate: tensor<6x4xbf16>,
                     %up: tensor<6x4xbf16>, %down: tensor<4x6xbf16>)
    -> tensor<?x4xf32> {
  %y = dsv2.gated_ffn %x, %gate, %down up %up
         : tensor<?x4xf32>, tensor<6x4xbf16>, tensor<4x6xbf16>,
           tensor<6x4xbf16>
  return %y : tensor<?x4xf32>
}

// -----

// Gate comes first in the stack.
// CHECK-LABEL: func @gated_ffn_stacked(
// CHECK-SAME:    %[[X:[a-z0-9_]+]]: tensor<?x4xf32>, %[[GATE:[a-z0-9_]+]]: tensor<2x6x4xbf16>
// CHECK-DAG:     %[[G:[a-z0-9_]+]] = tensor.extract_slice %[[GATE]][0, 0, 0] [1, 6, 4] [1, 1, 1] : tensor<2x6x4xbf16> to tensor<6x4xbf16>
// CHECK-DAG:     %[[U:[a-z0-9_]+]] = tensor.extract_slice %[[GATE]][1, 0, 0] [1, 6, 4] [1, 1, 1] : tensor<2x6x4xbf16> to tensor<6x4xbf16>
// CHECK:         linalg.generic
// CHECK-SAME:      ins(%[[X]], %[[G]] :
// CHECK:         linalg.generic
// CHECK-SAME:      ins(%[[X]], %[[U]] :
func.func @gated_ffn_stacked(%x: tensor<?x4xf32>, %gate: tensor<2x6x4xbf16>,
                             %down: tensor<4x6xbf16>) -> tensor<?x4xf32> {
  %y = dsv2.gated_ffn %x, %gate, %down
         : tensor<?x4xf32>, tensor<2x6x4xbf16>, tensor<4x6xbf16>
  return %y : tensor<?x4xf32>
}

// -----

// Only the chosen rows are multiplied.
// CHECK-LABEL: func @logits(
// CHECK-SAME:    %[[H:[a-z0-9_]+]]: tensor<?x4xf32>, %[[ROWS:[a-z0-9_]+]]: tensor<?xi32>, %[[HEAD:[a-z0-9_]+]]: tensor<9x4xbf16>
// CHECK:         %[[CHOSEN:[a-z0-9_]+]] = linalg.generic
// CHECK-SAME:      ins(%[[ROWS]] : tensor<?xi32>)
// CHECK:           tensor.extract %[[H]]
// CHECK:         linalg.generic
// CHECK-SAME:      ins(%[[CHOSEN]], %[[HEAD]] :
func.func @logits(%h: tensor<?x4xf32>, %rows: tensor<?xi32>,
                  %head: tensor<9x4xbf16>) -> tensor<?x9xf32> {
  %l = dsv2.logits %h, %rows, %head
         : tensor<?x4xf32>, tensor<?xi32>, tensor<9x4xbf16> -> tensor<?x9xf32>
  return %l : tensor<?x9xf32>
}

// -----

// A layout leaves no trace but the element type.
// CHECK-LABEL: func @pack(
// CHECK-SAME:    %[[W:[a-z0-9_]+]]: tensor<6x4xf32>) -> tensor<6x4xbf16>
// CHECK:         %[[P:[a-z0-9_]+]] = linalg.generic
// CHECK-SAME:      ins(%[[W]] : tensor<6x4xf32>)
// CHECK:           arith.truncf %{{.*}} : f32 to bf16
// CHECK:         return %[[P]] : tensor<6x4xbf16>
func.func @pack(%w: tensor<6x4xf32>)
    -> tensor<6x4xbf16, #dsv2.packed<panels, 16>> {
  %p = dsv2.pack %w
         : tensor<6x4xf32> -> tensor<6x4xbf16, #dsv2.packed<panels, 16>>
  return %p : tensor<6x4xbf16, #dsv2.packed<panels, 16>>
}

// -----

// f16 and bf16 hold different numbers: f32 is between them.
// CHECK-LABEL: func @pack_f16(
// CHECK:           %[[WIDE:[a-z0-9_]+]] = arith.extf %{{.*}} : f16 to f32
// CHECK:           arith.truncf %[[WIDE]] : f32 to bf16
func.func @pack_f16(%w: tensor<6x4xf16>)
    -> tensor<6x4xbf16, #dsv2.packed<dense, 1>> {
  %p = dsv2.pack %w
         : tensor<6x4xf16> -> tensor<6x4xbf16, #dsv2.packed<dense, 1>>
  return %p : tensor<6x4xbf16, #dsv2.packed<dense, 1>>
}

// -----

// CHECK-LABEL: func @pack_same(
// CHECK-SAME:    %[[W:[a-z0-9_]+]]: tensor<6x4xbf16>
// CHECK-NEXT:    return %[[W]]
func.func @pack_same(%w: tensor<6x4xbf16>)
    -> tensor<6x4xbf16, #dsv2.packed<panels, 16>> {
  %p = dsv2.pack %w
         : tensor<6x4xbf16> -> tensor<6x4xbf16, #dsv2.packed<panels, 16>>
  return %p : tensor<6x4xbf16, #dsv2.packed<panels, 16>>
}

// -----

// Two tensors are stacked before the trailing matrix, behind the experts.
// CHECK-LABEL: func @pack_stack(
// CHECK-SAME:    %[[GATE:[a-z0-9_]+]]: tensor<3x6x4xbf16>, %[[UP:[a-z0-9_]+]]: tensor<3x6x4xbf16>
// CHECK:         %[[HALF:[a-z0-9_]+]] = tensor.insert_slice %[[GATE]] into %{{.*}}[0, 0, 0, 0] [3, 1, 6, 4] [1, 1, 1, 1] : tensor<3x6x4xbf16> into tensor<3x2x6x4xbf16>
// CHECK:         tensor.insert_slice %[[UP]] into %[[HALF]][0, 1, 0, 0] [3, 1, 6, 4] [1, 1, 1, 1] : tensor<3x6x4xbf16> into tensor<3x2x6x4xbf16>
func.func @pack_stack(%gate: tensor<3x6x4xbf16>, %up: tensor<3x6x4xbf16>)
    -> tensor<3x2x6x4xbf16, #dsv2.packed<gated_panels, 16>> {
  %p = dsv2.pack %gate with %up
         : tensor<3x6x4xbf16>, tensor<3x6x4xbf16>
           -> tensor<3x2x6x4xbf16, #dsv2.packed<gated_panels, 16>>
  return %p : tensor<3x2x6x4xbf16, #dsv2.packed<gated_panels, 16>>
}

// -----

// Weights stay for the driver to replace, packed ones in their logical type.
// CHECK-LABEL: func @weights(
// CHECK:         dsv2.weight "model.norm.weight" : tensor<4xbf16>
// CHECK:         dsv2.packed_weight @prepare[0] layers [0, 1] at %{{.*}} : tensor<4x4xbf16>
// CHECK:       func.func private @prepare(%{{.*}}: tensor<4x4xbf16>) -> tensor<4x4xbf16>
func.func @weights(%x: tensor<?x4xf32>, %i: index) -> tensor<?x4xf32> {
  %n = dsv2.weight "model.norm.weight" : tensor<4xbf16>
  %h = dsv2.rms_norm %x, %n eps 1.0e-6 : tensor<?x4xf32>, tensor<4xbf16>
  %w = dsv2.packed_weight @prepare[0] layers [0, 1] at %i
         : tensor<4x4xbf16, #dsv2.packed<panels, 16>>
  %y = dsv2.linear %h, %w
         : tensor<?x4xf32>, tensor<4x4xbf16, #dsv2.packed<panels, 16>>
           -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

func.func private @prepare(%w: tensor<4x4xbf16>)
    -> tensor<4x4xbf16, #dsv2.packed<panels, 16>>
    attributes {dsv2.prepare, dsv2.layers = array<i64: 0, 1>,
                dsv2.sources = ["model.layers.{layer}.w"]} {
  %p = dsv2.pack %w
         : tensor<4x4xbf16> -> tensor<4x4xbf16, #dsv2.packed<panels, 16>>
  return %p : tensor<4x4xbf16, #dsv2.packed<panels, 16>>
}

// -----

// Blocks of 32 along a row: the last one is padded for its scale. Scales are
// rounded to bf16 before the elements are rounded to multiples of them.
// CHECK-LABEL: @pack_q8
// CHECK-SAME: %[[W:.*]]: tensor<6x40xf32>
// CHECK: %[[PADDED:.*]] = tensor.pad %[[W]] low[0, 0] high[0, 24]
// CHECK: %[[BLOCKS:.*]] = tensor.expand_shape %[[PADDED]] {{.*}} into tensor<6x2x32xf32>
// CHECK: linalg.generic {{.*}} ins(%[[BLOCKS]]
// CHECK: math.absf
// CHECK: arith.maximumf
// CHECK: arith.truncf {{.*}} : f32 to bf16
// CHECK: arith.extf
// CHECK: math.roundeven
// CHECK: tensor.extract_slice {{.*}} : tensor<6x64xf32> to tensor<6x40xf32>
func.func @pack_q8(%w: tensor<6x40xf32>)
    -> tensor<6x40xf32, #dsv2.packed<panels, 16, q8>> {
  %p = dsv2.pack %w
         : tensor<6x40xf32> -> tensor<6x40xf32, #dsv2.packed<panels, 16, q8>>
  return %p : tensor<6x40xf32, #dsv2.packed<panels, 16, q8>>
}

// -----

// Five scales are tried, each by the sum of its squared errors.
// CHECK-LABEL: @pack_q4
// CHECK-NOT: tensor.pad
// CHECK-COUNT-5: math.roundeven
// CHECK: math.roundeven
// CHECK-NOT: math.roundeven
func.func @pack_q4(%w: tensor<6x64xf32>)
    -> tensor<6x64xf32, #dsv2.packed<panels, 16, q4>> {
  %p = dsv2.pack %w
         : tensor<6x64xf32> -> tensor<6x64xf32, #dsv2.packed<panels, 16, q4>>
  return %p : tensor<6x64xf32, #dsv2.packed<panels, 16, q4>>
}
