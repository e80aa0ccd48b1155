// RUN: dsv2-opt %s --dsv2-expand-copies | FileCheck %s

// CHECK-LABEL: @strided
// CHECK-SAME: (%[[FROM:.*]]: memref<?x8xf32, strided<[?, ?], offset: ?>>, %[[TO:.*]]: memref<?x8xf32>)
func.func @strided(%from: memref<?x8xf32, strided<[?, ?], offset: ?>>,
                   %to: memref<?x8xf32>) {
  // CHECK-NOT: memref.copy
  // CHECK: linalg.copy ins(%[[FROM]] : {{.*}}) outs(%[[TO]] : {{.*}})
  memref.copy %from, %to
    : memref<?x8xf32, strided<[?, ?], offset: ?>> to memref<?x8xf32>
  return
}

// Memory of unknown rank has no loops.
// CHECK-LABEL: @unranked
func.func @unranked(%from: memref<*xf32>, %to: memref<*xf32>) {
  // CHECK: memref.copy
  memref.copy %from, %to : memref<*xf32> to memref<*xf32>
  return
}
