// RUN: dsv2-opt %s -split-input-file -verify-diagnostics

// launch_c1
func.func @no_kernel(%a: memref<?x64xf32>) {
  // expected-error @below {{expected 'kernel' to name a function, got @nothing}}
  dsv2.launch @nothing ins(%a : memref<?x64xf32>)
  return
}

// -----

// launch_c1
// expected-note @below {{the kernel is '(memref<?x64xf32>, memref<?x64xf32>, index, index) -> ()'}}
func.func private @kernel(memref<?x64xf32>, memref<?x64xf32>, index, index)

func.func @too_few_operands(%a: memref<?x64xf32>) {
  // expected-error @below {{expected a kernel without results that takes 1 operands and two index values}}
  dsv2.launch @kernel ins(%a : memref<?x64xf32>)
  return
}

// -----

// launch_c1
// expected-note @below {{the kernel is '(memref<?x64xf32>) -> ()'}}
func.func private @kernel(memref<?x64xf32>)

func.func @no_part(%a: memref<?x64xf32>) {
  // expected-error @below {{expected a kernel without results that takes 1 operands and two index values}}
  dsv2.launch @kernel ins(%a : memref<?x64xf32>)
  return
}

// -----

// launch_c1
// expected-note @below {{the kernel is '(memref<?x64xf32>, index, index) -> i32'}}
func.func private @kernel(memref<?x64xf32>, index, index) -> i32

func.func @kernel_with_result(%a: memref<?x64xf32>) {
  // expected-error @below {{expected a kernel without results that takes 1 operands and two index values}}
  dsv2.launch @kernel ins(%a : memref<?x64xf32>)
  return
}

// -----

// launch_c2
// expected-note @below {{the kernel is defined here}}
func.func private @kernel(memref<?x64xf32>, memref<?x64xf32>, index, index)

func.func @element_type(%a: memref<?x64xbf16>, %b: memref<?x64xf32>) {
  // expected-error @below {{expected operand 0 to agree in rank and element type with 'memref<?x64xf32>', got 'memref<?x64xbf16>'}}
  dsv2.launch @kernel ins(%a : memref<?x64xbf16>) outs(%b : memref<?x64xf32>)
  return
}

// -----

// launch_c2
// expected-note @below {{the kernel is defined here}}
func.func private @kernel(memref<?x64xf32>, memref<?x64xf32>, index, index)

func.func @rank(%a: tensor<?x64xf32>, %b: tensor<?x4x16xf32>) {
  // expected-error @below {{expected operand 1 to agree in rank and element type with 'memref<?x64xf32>', got 'tensor<?x4x16xf32>'}}
  %0 = dsv2.launch @kernel ins(%a : tensor<?x64xf32>)
         outs(%b : tensor<?x4x16xf32>) -> tensor<?x4x16xf32>
  return
}

// -----

// launch_c2
// expected-note @below {{the kernel is defined here}}
func.func private @kernel(memref<?x64xf32>, memref<?x64xf32>, index, index)

func.func @scalar(%a: f32, %b: memref<?x64xf32>) {
  // expected-error @below {{expected operand 0 to agree in rank and element type with 'memref<?x64xf32>', got 'f32'}}
  dsv2.launch @kernel ins(%a : f32) outs(%b : memref<?x64xf32>)
  return
}

// -----

// launch_c3
func.func private @kernel(memref<?x64xf32>, memref<?x64xf32>, index, index)

func.func @result_of_memory(%a: memref<?x64xf32>, %b: memref<?x64xf32>) {
  // expected-error @below {{expected one result for each of 0 tensor outputs, got 1}}
  %0 = dsv2.launch @kernel ins(%a : memref<?x64xf32>)
         outs(%b : memref<?x64xf32>) -> tensor<?x64xf32>
  return
}

// -----

// launch_c3
func.func private @kernel(memref<?x64xf32>, memref<?x64xf32>, index, index)

func.func @no_result(%a: tensor<?x64xf32>, %b: tensor<?x64xf32>) {
  // expected-error @below {{expected one result for each of 1 tensor outputs, got 0}}
  dsv2.launch @kernel ins(%a : tensor<?x64xf32>) outs(%b : tensor<?x64xf32>)
  return
}

// -----

// launch_c3
func.func private @kernel(memref<?x64xf32>, memref<?x64xf32>, index, index)

func.func @result_type(%a: tensor<?x64xf32>, %b: tensor<?x64xf32>) {
  // expected-error @below {{expected result 0 to have its output's type 'tensor<?x64xf32>', got 'tensor<4x64xf32>'}}
  %0 = dsv2.launch @kernel ins(%a : tensor<?x64xf32>)
         outs(%b : tensor<?x64xf32>) -> tensor<4x64xf32>
  return
}

// -----

// launch_c4
func.func private @kernel(memref<?x64xf32>, memref<?x64xf32>, index, index)

func.func @negative_rows(%a: memref<?x64xf32>, %b: memref<?x64xf32>) {
  // expected-error @below {{expected 'serial_below' not to be negative, got -1}}
  dsv2.launch @kernel serial_below -1 ins(%a : memref<?x64xf32>)
    outs(%b : memref<?x64xf32>)
  return
}

// -----

// launch_c4
func.func private @kernel(index, index, index)

func.func @no_rows(%a: index) {
  // expected-error @below {{expected 'serial_below' to measure an operand of rank 1 or more, got 'index'}}
  dsv2.launch @kernel serial_below 4 ins(%a : index)
  return
}

// -----

// launch_c5
func.func private @kernel(index, index)

func.func @nothing() {
  // expected-error @below {{expected at least one input or output}}
  dsv2.launch @kernel
  return
}

// -----

// An output is memory or a tensor.
func.func @vector_output(%a: vector<4xf32>) {
  // expected-error @below {{operand #0 must be variadic of ranked tensor of any type values or memref of any type values, but got 'vector<4xf32>'}}
  "dsv2.launch"(%a) <{kernel = @kernel, operandSegmentSizes = array<i32: 0, 1>}>
    : (vector<4xf32>) -> ()
  return
}

// -----

// weight_view_c1
func.func @table(%t: memref<?xi32>) {
  // expected-error @below {{operand #0 must be 1D memref of 64-bit signless integer values, but got 'memref<?xi32>'}}
  %0 = dsv2.weight_view %t[0] : memref<?xi32> -> memref<4xf32>
  return
}

// -----

// weight_view_c2
func.func @dynamic_view(%t: memref<?xi64>) {
  // expected-error @below {{result #0 must be statically shaped memref of integer or floating-point values, but got 'memref<?xf32>'}}
  %0 = dsv2.weight_view %t[0] : memref<?xi64> -> memref<?xf32>
  return
}

// -----

// weight_view_c2
func.func @strided_view(%t: memref<?xi64>) {
  // expected-error @below {{expected a result with identity layout, got 'memref<4xf32, strided<[2]>>'}}
  %0 = dsv2.weight_view %t[0] : memref<?xi64> -> memref<4xf32, strided<[2]>>
  return
}

// -----

// weight_view_c3
func.func @slot(%t: memref<?xi64>) {
  // expected-error @below {{expected 'slot' not to be negative, got -1}}
  %0 = dsv2.weight_view %t[-1] : memref<?xi64> -> memref<4xf32>
  return
}

// -----

// weight_view_c4
func.func @bits(%t: memref<?xi64>) {
  // expected-error @below {{expected elements of whole bytes, got 'memref<4xi4>'}}
  %0 = dsv2.weight_view %t[0] : memref<?xi64> -> memref<4xi4>
  return
}

// -----

// weight_view_c4
func.func @no_numbers(%t: memref<?xi64>) {
  // expected-error @below {{result #0 must be statically shaped memref of integer or floating-point values, but got 'memref<4xindex>'}}
  %0 = dsv2.weight_view %t[0] : memref<?xi64> -> memref<4xindex>
  return
}

// -----

// tap_c1
func.func @tap_rank(%h: tensor<64xf32>) {
  // expected-error @below {{expected 'value' to be of rank 2 or 3 with f32, bf16 or i32 elements, got 'tensor<64xf32>'}}
  dsv2.tap %h site "layer" level 1 : tensor<64xf32>
  return
}

// -----

// tap_c1
func.func @tap_elements(%h: tensor<?x64xf16>) {
  // expected-error @below {{expected 'value' to be of rank 2 or 3 with f32, bf16 or i32 elements, got 'tensor<?x64xf16>'}}
  dsv2.tap %h site "layer" level 1 : tensor<?x64xf16>
  return
}

// -----

// tap_c2
func.func @tap_level(%h: tensor<?x64xf32>) {
  // expected-error @below {{expected 'level' to be 1 or 2, got 3}}
  dsv2.tap %h site "layer" level 3 : tensor<?x64xf32>
  return
}

// -----

// tap_c2
func.func @tap_largest_level(%h: tensor<?x64xf32>) {
  // expected-error @below {{expected 'level' to be 0, got 1}}
  dsv2.tap %h site "lm_head" level 1 largest 32 : tensor<?x64xf32>
  return
}

// -----

// tap_c4
func.func @tap_largest_of_none(%h: tensor<?x64xf32>) {
  // expected-error @below {{expected 'largest' to be at least 1, got 0}}
  dsv2.tap %h site "lm_head" level 0 largest 0 : tensor<?x64xf32>
  return
}

// -----

// tap_c4
func.func @tap_largest_elements(%h: tensor<?x64xbf16>) {
  // expected-error @below {{expected 'value' to be of rank 2 with f32 elements, got 'tensor<?x64xbf16>'}}
  dsv2.tap %h site "lm_head" level 0 largest 32 : tensor<?x64xbf16>
  return
}

// -----

// tap_c4
func.func @tap_largest_layer(%h: tensor<?x64xf32>, %layer: index) {
  // expected-error @below {{expected neither a layer nor a result nor 'exchanged' with 'largest'}}
  dsv2.tap %h site "lm_head" layer %layer level 0 largest 32 : tensor<?x64xf32>
  return
}

// -----

// tap_c3
func.func @tap_result(%h: tensor<?x64xf32>) {
  // expected-error @below {{'dsv2.tap' op expected a result of the value's type 'tensor<?x64xf32>', got 'tensor<?x32xf32>'}}
  dsv2.tap %h site "mlp" level 2 : tensor<?x64xf32> -> tensor<?x32xf32>
  return
}

// -----

// tap_c3
func.func @tap_memory(%h: memref<?x64xf32>) {
  // expected-error @below {{'dsv2.tap' op result #0 must be ranked tensor of any type values, but got 'memref<?x64xf32>'}}
  dsv2.tap %h site "mlp" level 2 : memref<?x64xf32> -> memref<?x64xf32>
  return
}
