// RUN: dsv2-opt %s -split-input-file -verify-diagnostics -allow-unregistered-dialect

// parameter_c1
// expected-error @below {{expected operand and dimension not to be negative, got -1 and 0}}
"test.attribute"() {a = #dsv2.parameter<pointer of -1>} : () -> ()

// -----

// parameter_c2
// expected-error @below {{expected a box or a swizzle only of a tensor map}}
"test.attribute"() {a = #dsv2.parameter<pointer of 0 swizzle 128>} : () -> ()

// -----

// parameter_c2
// expected-error @below {{expected a box of 1 to 5 extents, got 0}}
"test.attribute"() {a = #dsv2.parameter<tensor_map of 0>} : () -> ()

// -----

// parameter_c2
// expected-error @below {{expected extents of a box from 1 to 256, got 257}}
"test.attribute"() {a = #dsv2.parameter<tensor_map of 0 box [64, 257]>} : () -> ()

// -----

// parameter_c2
// expected-error @below {{expected a swizzle of 0, 32, 64 or 128 bytes, got 16}}
"test.attribute"() {a = #dsv2.parameter<tensor_map of 0 box [64] swizzle 16>} : () -> ()

// -----

// parameter_c3
// expected-error @below {{expected a dimension only of a size or a stride}}
"test.attribute"() {a = #dsv2.parameter<value of 0 at 1>} : () -> ()

// -----

// device_launch_c1
func.func @no_kernel(%n: index, %a: memref<?x64xf32>) {
  // expected-error @below {{expected 'kernel' to name a function of the device, got @dsv2_kernels::@nothing}}
  dsv2.device_launch @dsv2_kernels::@nothing grid(%n) ins(%a : memref<?x64xf32>)
  return
}

// -----

// device_launch_c1
gpu.module @dsv2_kernels {
  // expected-note @below {{the kernel is defined here}}
  llvm.func @kernel(!llvm.ptr<1>)
}
func.func @no_parameters(%n: index, %a: memref<?x64xf32>) {
  // expected-error @below {{expected a kernel with one 'dsv2.parameters' entry for each argument}}
  dsv2.device_launch @dsv2_kernels::@kernel grid(%n) ins(%a : memref<?x64xf32>)
  return
}

// -----

// device_launch_c2
gpu.module @dsv2_kernels {
  llvm.func @kernel(!llvm.ptr<1>) attributes {dsv2.parameters = [#dsv2.parameter<pointer of 1>]}
}
func.func @no_such_operand(%n: index, %a: memref<?x64xf32>) {
  // expected-error @below {{expected parameter 0 of the kernel to come from one of 1 operands, got #dsv2.parameter<pointer of 1>}}
  dsv2.device_launch @dsv2_kernels::@kernel grid(%n) ins(%a : memref<?x64xf32>)
  return
}

// -----

// device_launch_c2
gpu.module @dsv2_kernels {
  llvm.func @kernel(i32) attributes {dsv2.parameters = [#dsv2.parameter<value of 0>]}
}
func.func @no_index(%n: index, %a: memref<?x64xf32>) {
  // expected-error @below {{expects an index, got 'memref<?x64xf32>'}}
  dsv2.device_launch @dsv2_kernels::@kernel grid(%n) ins(%a : memref<?x64xf32>)
  return
}

// -----

// device_launch_c2
gpu.module @dsv2_kernels {
  llvm.func @kernel(!llvm.ptr<1>) attributes {dsv2.parameters = [#dsv2.parameter<pointer of 0>]}
}
func.func @not_shaped(%n: index) {
  // expected-error @below {{expects a tensor or a memory reference, got 'index'}}
  dsv2.device_launch @dsv2_kernels::@kernel grid(%n) ins(%n : index)
  return
}

// -----

// device_launch_c3
gpu.module @dsv2_kernels {
  llvm.func @kernel(i32) attributes {dsv2.parameters = [#dsv2.parameter<size of 0 at 2>]}
}
func.func @no_such_dimension(%n: index, %a: memref<?x64xf32>) {
  // expected-error @below {{expects more than 2 dimensions, got 'memref<?x64xf32>'}}
  dsv2.device_launch @dsv2_kernels::@kernel grid(%n) ins(%a : memref<?x64xf32>)
  return
}

// -----

// device_launch_c3
gpu.module @dsv2_kernels {
  llvm.func @kernel(!llvm.ptr) attributes {dsv2.parameters = [#dsv2.parameter<tensor_map of 0 box [64]>]}
}
func.func @wrong_box(%n: index, %a: memref<?x64xf32>) {
  // expected-error @below {{expects 1 dimensions, got 'memref<?x64xf32>'}}
  dsv2.device_launch @dsv2_kernels::@kernel grid(%n) ins(%a : memref<?x64xf32>)
  return
}

// -----

// device_launch_c4
gpu.module @dsv2_kernels {
  llvm.func @kernel(!llvm.ptr<1>) attributes {dsv2.parameters = [#dsv2.parameter<pointer of 0>]}
}
func.func @no_result(%n: index, %a: tensor<?x64xf32>) {
  // expected-error @below {{expected one result for each of 1 tensor outputs, of the output's type}}
  dsv2.device_launch @dsv2_kernels::@kernel grid(%n) outs(%a : tensor<?x64xf32>)
  return
}

// -----

// device_launch_c5
gpu.module @dsv2_kernels {
  llvm.func @kernel(!llvm.ptr<1>) attributes {dsv2.parameters = [#dsv2.parameter<pointer of 0>]}
}
func.func @large_grid(%n: index, %a: memref<?x64xf32>) {
  // expected-error @below {{expected a grid of one to three extents, got 4}}
  dsv2.device_launch @dsv2_kernels::@kernel grid(%n, %n, %n, %n) ins(%a : memref<?x64xf32>)
  return
}

// -----

// device_launch_c6
gpu.module @dsv2_kernels {
  llvm.func @kernel(!llvm.ptr<1>) attributes {dsv2.parameters = [#dsv2.parameter<pointer of 0>]}
}
func.func @layer_of_nothing(%n: index, %a: memref<?x64xf32>) {
  // expected-error @below {{expected a site with the layer}}
  dsv2.device_launch @dsv2_kernels::@kernel grid(%n) ins(%a : memref<?x64xf32>) layer %n
  return
}
