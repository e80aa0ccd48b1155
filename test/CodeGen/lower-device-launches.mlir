// RUN: dsv2-opt %s --dsv2-lower-device-launches -split-input-file -verify-diagnostics | FileCheck %s

// What a step wants to know of its device and of itself it asks the runtime.
gpu.module @dsv2_kernels {
}
// CHECK-LABEL: func.func @step(
// CHECK-SAME: %[[CONTEXT:.*]]: !llvm.ptr, %{{.*}}: i32) -> (index, index)
func.func @step(%context: !llvm.ptr, %level: i32) -> (index, index) {
  // CHECK: %[[ROWS:.*]] = call @dsv2rt_key_rows(%[[CONTEXT]]) : (!llvm.ptr) -> i64
  // CHECK: arith.index_cast %[[ROWS]] : i64 to index
  %rows = dsv2.key_rows
  // CHECK: %[[CHIP:.*]] = arith.constant 1 : i32
  // CHECK: call @dsv2rt_device_info(%[[CONTEXT]], %[[CHIP]]) : (!llvm.ptr, i32) -> i64
  %chip = dsv2.device_info chip
  return %rows, %chip : index, index
}

// -----

gpu.module @dsv2_kernels {
}
func.func @elsewhere(%context: !llvm.ptr) -> index {
  // expected-error @below {{expected a function whose last arguments are the context and the tap level}}
  %rows = dsv2.key_rows
  return %rows : index
}
