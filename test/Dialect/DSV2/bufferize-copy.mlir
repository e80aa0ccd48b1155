// RUN: dsv2-opt %s --one-shot-bufferize="bufferize-function-boundaries=true function-boundary-type-conversion=identity-layout-map" \
// RUN:   | FileCheck %s

func.func private @norm(memref<?x64xf32>, memref<?x64xf32>, index, index)

// A value that is read after a launch overwrote its memory gets a new place;
// outputs are written only, so what was in them is not copied there.
// CHECK-LABEL: func @read_after_write
// CHECK-SAME: (%[[H:.*]]: memref<?x64xf32>)
func.func @read_after_write(
    %h: tensor<?x64xf32> {bufferization.writable = true})
    -> tensor<?x64xf32> {
  // CHECK: %[[NEW:.*]] = memref.alloc
  // CHECK-NOT: memref.copy
  // CHECK: dsv2.launch @norm ins(%[[H]] : memref<?x64xf32>) outs(%[[NEW]] : memref<?x64xf32>)
  %x = dsv2.launch @norm ins(%h : tensor<?x64xf32>)
    outs(%h : tensor<?x64xf32>) -> tensor<?x64xf32>
  // CHECK: dsv2.tap %[[H]]
  dsv2.tap %h site "input" level 2 : tensor<?x64xf32>
  return %x : tensor<?x64xf32>
}

func.func private @add(memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>,
                       index, index)

// Threads of a kernel may read what other threads write, so an output never
// shares memory with an input of the same launch.
// CHECK-LABEL: func @input_is_output
// CHECK-SAME: (%[[H:.*]]: memref<?x64xf32>, %[[X:.*]]: memref<?x64xf32>)
func.func @input_is_output(
    %h: tensor<?x64xf32> {bufferization.writable = true},
    %x: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // CHECK: %[[NEW:.*]] = memref.alloc
  // CHECK-NOT: memref.copy
  // CHECK: dsv2.launch @add ins(%[[H]], %[[X]] : memref<?x64xf32>, memref<?x64xf32>) outs(%[[NEW]] : memref<?x64xf32>)
  %y = dsv2.launch @add ins(%h, %x : tensor<?x64xf32>, tensor<?x64xf32>)
    outs(%h : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
