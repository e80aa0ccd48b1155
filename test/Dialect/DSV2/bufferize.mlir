// RUN: dsv2-opt %s --one-shot-bufferize="bufferize-function-boundaries=true function-boundary-type-conversion=identity-layout-map" \
// RUN:   | FileCheck %s --implicit-check-not=memref.copy

func.func private @norm(memref<?x64xf32>, memref<?x64xf32>, index, index)
func.func private @add(memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>,
                       index, index)
func.func private @split(memref<?x64xf32>, memref<?x2xi32>, memref<?x2xf32>,
                         index, index)
func.func private @append(memref<?x64xf32>, memref<?x16x40xf32>, index, index)

// The shape of a layer: intermediate results in memory of their own, the last
// sum in the memory of the hidden state that the layer was given.
// CHECK-LABEL: func @layer
// CHECK-SAME: (%[[H:.*]]: memref<?x64xf32>, %[[PAGES:.*]]: memref<?x16x40xf32>, %[[L:.*]]: index) -> memref<?x64xf32>
func.func @layer(%h: tensor<?x64xf32>, %pages: memref<?x16x40xf32>,
                 %layer: index) -> tensor<?x64xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %h, %c0 : tensor<?x64xf32>
  // CHECK: %[[X:.*]] = memref.alloc
  %e0 = tensor.empty(%n) : tensor<?x64xf32>
  // CHECK: dsv2.launch @norm serial_below 16 ins(%[[H]] : memref<?x64xf32>) outs(%[[X]] : memref<?x64xf32>)
  %x = dsv2.launch @norm serial_below 16 ins(%h : tensor<?x64xf32>)
    outs(%e0 : tensor<?x64xf32>) -> tensor<?x64xf32>
  // CHECK-NEXT: dsv2.launch @append ins(%[[X]], %[[PAGES]] : memref<?x64xf32>, memref<?x16x40xf32>)
  dsv2.launch @append ins(%x, %pages : tensor<?x64xf32>, memref<?x16x40xf32>)
  // CHECK: %[[Y:.*]] = memref.alloc
  %e1 = tensor.empty(%n) : tensor<?x64xf32>
  // CHECK: dsv2.launch @add ins(%[[H]], %[[X]] : memref<?x64xf32>, memref<?x64xf32>) outs(%[[Y]] : memref<?x64xf32>)
  %y = dsv2.launch @add ins(%h, %x : tensor<?x64xf32>, tensor<?x64xf32>)
    outs(%e1 : tensor<?x64xf32>) -> tensor<?x64xf32>
  // CHECK-NOT: memref.alloc
  // CHECK: dsv2.launch @add ins(%[[X]], %[[Y]] : memref<?x64xf32>, memref<?x64xf32>) outs(%[[H]] : memref<?x64xf32>)
  %z = dsv2.launch @add ins(%x, %y : tensor<?x64xf32>, tensor<?x64xf32>)
    outs(%h : tensor<?x64xf32>) -> tensor<?x64xf32>
  // CHECK-NEXT: dsv2.tap %[[H]] site "layer" layer %[[L]] level 1 : memref<?x64xf32>
  dsv2.tap %z site "layer" layer %layer level 1 : tensor<?x64xf32>
  // CHECK-NEXT: dsv2.tap %[[H]] site "head" level 0 largest 8 : memref<?x64xf32>
  dsv2.tap %z site "head" level 0 largest 8 : tensor<?x64xf32>
  // CHECK-NEXT: return %[[H]]
  return %z : tensor<?x64xf32>
}

// Layers in a loop: one hidden state for all of them.
// CHECK-LABEL: func @step
// CHECK-SAME: (%[[H:.*]]: memref<?x64xf32>
// CHECK-NOT: memref.alloc
func.func @step(%h: tensor<?x64xf32> {bufferization.writable = true},
                %pages: memref<?x16x40xf32>) -> tensor<?x64xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c27 = arith.constant 27 : index
  // CHECK: scf.for
  // CHECK: func.call @layer
  // CHECK: scf.yield
  %0 = scf.for %i = %c0 to %c27 step %c1 iter_args(%x = %h)
      -> tensor<?x64xf32> {
    %y = func.call @layer(%x, %pages, %i)
      : (tensor<?x64xf32>, memref<?x16x40xf32>, index) -> tensor<?x64xf32>
    scf.yield %y : tensor<?x64xf32>
  }
  // CHECK: return
  return %0 : tensor<?x64xf32>
}

// Several outputs, each result its own buffer.
// CHECK-LABEL: func @outputs
// CHECK-SAME: (%[[X:.*]]: memref<?x64xf32>, %[[I:.*]]: memref<?x2xi32>, %[[W:.*]]: memref<?x2xf32>)
func.func @outputs(%x: tensor<?x64xf32>,
                   %i: tensor<?x2xi32> {bufferization.writable = true},
                   %w: tensor<?x2xf32> {bufferization.writable = true})
    -> (tensor<?x2xf32>, tensor<?x2xi32>) {
  // CHECK: dsv2.launch @split ins(%[[X]] : memref<?x64xf32>) outs(%[[I]], %[[W]] : memref<?x2xi32>, memref<?x2xf32>)
  %0:2 = dsv2.launch @split ins(%x : tensor<?x64xf32>)
    outs(%i, %w : tensor<?x2xi32>, tensor<?x2xf32>)
    -> tensor<?x2xi32>, tensor<?x2xf32>
  // CHECK: return %[[W]], %[[I]]
  return %0#1, %0#0 : tensor<?x2xf32>, tensor<?x2xi32>
}

// A tap with a result writes to its operand, in place when nobody reads that
// any more.
// CHECK-LABEL: func @replace
// CHECK-SAME: (%[[H:.*]]: memref<?x64xf32>) -> memref<?x64xf32>
// CHECK-NEXT: dsv2.tap %[[H]] site "mlp" level 2 : memref<?x64xf32>
// CHECK-NEXT: return %[[H]]
func.func @replace(%h: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %y = dsv2.tap %h site "mlp" level 2 : tensor<?x64xf32> -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
