// RUN: dsv2-opt %s -split-input-file --dsv2-select-dispatch=capacity=8 | FileCheck %s
// RUN: dsv2-opt %s -split-input-file --dsv2-select-dispatch | FileCheck %s --check-prefix=EXACT
// RUN: not dsv2-opt %s -split-input-file --dsv2-select-dispatch=capacity=-1 2>&1 | FileCheck %s --check-prefix=NEGATIVE

// NEGATIVE: error: capacity: expected a number of rows from 0, got -1
// EXACT-NOT: dsv2.capacity

dsv2.mesh @mesh tp 1 ep 2

func.func private @layer_absorbed(%h: tensor<?x64xf32>) -> tensor<?x64xf32> {
  return %h : tensor<?x64xf32>
}

// Functions of the fixed instance, and only they, have the capacity.
// CHECK: func.func private @layer_absorbed({{.*}}) -> tensor<?x64xf32> {
// CHECK: func.func @step_decode_fixed({{.*}}) -> tensor<?x64xf32> attributes {dsv2.capacity = 8 : i64, dsv2.entry = "decode_fixed", dsv2.form = "absorbed"}
// CHECK: call @layer_absorbed_fixed
// CHECK: func.func private @layer_absorbed_fixed({{.*}}) -> tensor<?x64xf32> attributes {dsv2.capacity = 8 : i64}
// CHECK: func.func @step_decode({{.*}}) -> tensor<?x64xf32> attributes {dsv2.entry = "decode", dsv2.form = "absorbed"}
// CHECK: call @layer_absorbed(
func.func @step_decode(%h: tensor<?x64xf32>) -> tensor<?x64xf32>
    attributes {dsv2.entry = "decode", dsv2.form = "absorbed"} {
  %0 = call @layer_absorbed(%h) : (tensor<?x64xf32>) -> tensor<?x64xf32>
  return %0 : tensor<?x64xf32>
}

// -----

// Without other ranks that hold experts there is nothing to exchange.
// CHECK-NOT: decode_fixed
dsv2.mesh @mesh tp 2 ep 1

func.func @step_decode(%h: tensor<?x64xf32>) -> tensor<?x64xf32>
    attributes {dsv2.entry = "decode", dsv2.form = "absorbed"} {
  return %h : tensor<?x64xf32>
}
