// RUN: dsv2-opt %s --dsv2-convert-to-linalg=weights-as-arguments=true -split-input-file | FileCheck %s

// One argument for each distinct weight, in order of first use.
// CHECK-LABEL: func @step(
// CHECK-SAME:    %{{.*}}: tensor<?x4xf32>, %[[B:[a-z0-9_]+]]: tensor<4xbf16>, %[[A:[a-z0-9_]+]]: tensor<4xbf16>, %[[WIDE:[a-z0-9_]+]]: tensor<4xf32>
// CHECK-NOT:     dsv2.weight
// CHECK:         ins(%{{.*}}, %{{.*}}, %[[B]] :
// CHECK:         ins(%{{.*}}, %{{.*}}, %[[A]] :
// CHECK:         ins(%{{.*}}, %{{.*}}, %[[B]] :
// CHECK:         ins(%{{.*}}, %{{.*}}, %[[WIDE]] :
func.func @step(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %b = dsv2.weight "b" : tensor<4xbf16>
  %0 = dsv2.rms_norm %x, %b eps 1.0e-6 : tensor<?x4xf32>, tensor<4xbf16>
  %a = dsv2.weight "a" : tensor<4xbf16>
  %1 = dsv2.rms_norm %0, %a eps 1.0e-6 : tensor<?x4xf32>, tensor<4xbf16>
  %again = dsv2.weight "b" : tensor<4xbf16>
  %2 = dsv2.rms_norm %1, %again eps 1.0e-6 : tensor<?x4xf32>, tensor<4xbf16>
  %other = dsv2.weight "b" : tensor<4xf32>
  %3 = dsv2.rms_norm %2, %other eps 1.0e-6 : tensor<?x4xf32>, tensor<4xf32>
  return %3 : tensor<?x4xf32>
}

// -----

// Layers are stacked; callers hand on what their callees need, once.
// CHECK-LABEL: func @step(
// CHECK-SAME:    %[[X:[a-z0-9_]+]]: tensor<?x4xf32>, %[[I:[a-z0-9_]+]]: index, %[[N:[a-z0-9_]+]]: tensor<2x4xbf16>, %[[H:[a-z0-9_]+]]: tensor<4xbf16>)
// CHECK:         %[[Y:[a-z0-9_]+]] = call @layer(%[[X]], %[[I]], %[[N]]) : (tensor<?x4xf32>, index, tensor<2x4xbf16>)
// CHECK:         call @layer(%[[Y]], %[[I]], %[[N]])
// CHECK:         ins(%{{.*}}, %{{.*}}, %[[H]] :
// CHECK-LABEL: func private @layer(
// CHECK-SAME:    %{{.*}}: tensor<?x4xf32>, %[[J:[a-z0-9_]+]]: index, %[[M:[a-z0-9_]+]]: tensor<2x4xbf16>)
// CHECK:         %[[W:[a-z0-9_]+]] = tensor.extract_slice %[[M]][%[[J]], 0] [1, 4] [1, 1] : tensor<2x4xbf16> to tensor<4xbf16>
// CHECK:         ins(%{{.*}}, %{{.*}}, %[[W]] :
func.func @step(%x: tensor<?x4xf32>, %i: index) -> tensor<?x4xf32> {
  %0 = call @layer(%x, %i) : (tensor<?x4xf32>, index) -> tensor<?x4xf32>
  %1 = call @layer(%0, %i) : (tensor<?x4xf32>, index) -> tensor<?x4xf32>
  %w = dsv2.weight "norm" : tensor<4xbf16>
  %2 = dsv2.rms_norm %1, %w eps 1.0e-6 : tensor<?x4xf32>, tensor<4xbf16>
  return %2 : tensor<?x4xf32>
}

func.func private @layer(%x: tensor<?x4xf32>, %i: index) -> tensor<?x4xf32> {
  %w = dsv2.weight "layers.{layer}.norm" layers [3, 5] at %i : tensor<4xbf16>
  %y = dsv2.rms_norm %x, %w eps 1.0e-6 : tensor<?x4xf32>, tensor<4xbf16>
  return %y : tensor<?x4xf32>
}

// -----

// Functions without weights stay as they are.
// CHECK-LABEL: func private @external(i32)
// CHECK-LABEL: func @none(%{{[a-z0-9]*}}: i32) {
func.func private @external(i32)

func.func @none(%x: i32) {
  call @external(%x) : (i32) -> ()
  return
}
