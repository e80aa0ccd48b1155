// RUN: dsv2-opt %s --canonicalize | FileCheck %s

// Keeping all groups is keeping one group of everything.
// CHECK-LABEL: @all_groups
func.func @all_groups(%x: tensor<?x64xf32>, %gate: tensor<8x64xf32>)
    -> (tensor<?x2xi32>, tensor<?x2xf32>) {
  // CHECK: dsv2.route {{.*}} top_k 2 groups 1 of 1 scale 1.600000e+01 normalize :
  %ids, %weights = dsv2.route %x, %gate top_k 2 groups 4 of 4 scale 16.0
    normalize
    : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  return %ids, %weights : tensor<?x2xi32>, tensor<?x2xf32>
}

// CHECK-LABEL: @some_groups
func.func @some_groups(%x: tensor<?x64xf32>, %gate: tensor<8x64xf32>)
    -> (tensor<?x2xi32>, tensor<?x2xf32>) {
  // CHECK: dsv2.route {{.*}} top_k 2 groups 2 of 4
  %ids, %weights = dsv2.route %x, %gate top_k 2 groups 2 of 4 scale 16.0
    : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  return %ids, %weights : tensor<?x2xi32>, tensor<?x2xf32>
}

func.func private @add(memref<?x64xf32>, memref<?x64xf32>, index, index)

// A launch takes what its operands' types know more.
// CHECK-LABEL: @launch_of_cast
// CHECK-SAME: %[[A:.*]]: tensor<4x64xf32>
func.func @launch_of_cast(%a: tensor<4x64xf32>, %e: tensor<?x64xf32>)
    -> tensor<?x64xf32> {
  %0 = tensor.cast %a : tensor<4x64xf32> to tensor<?x64xf32>
  // CHECK: dsv2.launch @add ins(%[[A]] : tensor<4x64xf32>)
  %1 = dsv2.launch @add ins(%0 : tensor<?x64xf32>)
         outs(%e : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %1 : tensor<?x64xf32>
}
