// RUN: dsv2-opt %s --dsv2-convert-to-linalg | FileCheck %s
//
// A kernel may hold a model op between its buffers, as the reference kernels of
// --dsv2-outline-kernels do. What launches it is left alone.

// CHECK-LABEL: @kernel
// CHECK-SAME: %[[X:.*]]: memref<?x4xf32>, %[[OUT:.*]]: memref<?x4xf32>
// CHECK-NOT: dsv2.
// CHECK: linalg.generic
// CHECK: bufferization.materialize_in_destination
func.func private @kernel(%x: memref<?x4xf32>, %w: memref<4x4xbf16>,
                          %out: memref<?x4xf32>, %part: index, %parts: index) {
  %a = bufferization.to_tensor %x restrict
         : memref<?x4xf32> to tensor<?x4xf32>
  %b = bufferization.to_tensor %w restrict
         : memref<4x4xbf16> to tensor<4x4xbf16>
  %y = dsv2.linear %a, %b
         : tensor<?x4xf32>, tensor<4x4xbf16> -> tensor<?x4xf32>
  bufferization.materialize_in_destination %y in restrict writable %out
    : (tensor<?x4xf32>, memref<?x4xf32>) -> ()
  return
}

// CHECK-LABEL: @launch
func.func @launch(%table: memref<?xi64>, %x: tensor<?x4xf32>,
                  %e: tensor<?x4xf32>) -> tensor<?x4xf32> {
  // CHECK: %[[W:.*]] = dsv2.weight_view
  %w = dsv2.weight_view %table[0] : memref<?xi64> -> memref<4x4xbf16>
  // CHECK: %[[Y:.*]] = dsv2.launch @kernel ins(%{{.*}}, %[[W]]
  %y = dsv2.launch @kernel ins(%x, %w : tensor<?x4xf32>, memref<4x4xbf16>)
         outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: dsv2.tap %[[Y]]
  %z = dsv2.tap %y site "mlp" level 2 : tensor<?x4xf32> -> tensor<?x4xf32>
  return %z : tensor<?x4xf32>
}
