// RUN: dsv2-opt %s | dsv2-opt | FileCheck %s
// RUN: dsv2-opt %s --mlir-print-op-generic | dsv2-opt | FileCheck %s
// RUN: dsv2-opt %s --emit-bytecode | dsv2-opt | FileCheck %s

func.func private @add(memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>,
                       index, index)
func.func private @append(memref<?x40xf32>, memref<?x16x40xf32>, index, index)
func.func private @scale(memref<?x64xf32>, f32, memref<?x64xf32>, index, index)

// CHECK-LABEL: @launch_on_tensors
// CHECK-SAME: %[[A:[^:]*]]: tensor<?x64xf32>, %[[B:[^:]*]]: tensor<?x64xf32>
func.func @launch_on_tensors(%a: tensor<?x64xf32>, %b: tensor<?x64xf32>)
    -> tensor<?x64xf32> {
  // CHECK: dsv2.launch @add ins(%[[A]], %[[B]] : tensor<?x64xf32>, tensor<?x64xf32>) outs(%[[B]] : tensor<?x64xf32>) -> tensor<?x64xf32>
  %0 = dsv2.launch @add ins(%a, %b : tensor<?x64xf32>, tensor<?x64xf32>)
         outs(%b : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %0 : tensor<?x64xf32>
}

// CHECK-LABEL: @launch_on_memory
func.func @launch_on_memory(%a: memref<?x64xf32>, %rows: memref<?x40xf32>,
                            %pages: memref<?x16x40xf32>, %factor: f32) {
  // CHECK: dsv2.launch @add serial_below 16 ins(%{{.*}}, %{{.*}} : memref<?x64xf32>, memref<?x64xf32>) outs(%{{.*}} : memref<?x64xf32>){{$}}
  dsv2.launch @add serial_below 16
    ins(%a, %a : memref<?x64xf32>, memref<?x64xf32>)
    outs(%a : memref<?x64xf32>)
  // CHECK: dsv2.launch @append ins(%{{.*}}, %{{.*}} : memref<?x40xf32>, memref<?x16x40xf32>){{$}}
  dsv2.launch @append
    ins(%rows, %pages : memref<?x40xf32>, memref<?x16x40xf32>)
  // CHECK: dsv2.launch @scale ins(%{{.*}}, %{{.*}} : memref<?x64xf32>, f32)
  dsv2.launch @scale ins(%a, %factor : memref<?x64xf32>, f32)
    outs(%a : memref<?x64xf32>)
  return
}

// CHECK-LABEL: @weight_view
// CHECK-SAME: %[[TABLE:[^:]*]]: memref<?xi64>, %[[I:[^:]*]]: index
func.func @weight_view(%table: memref<?xi64>, %i: index) {
  // CHECK: dsv2.weight_view %[[TABLE]][3] at %[[I]] : memref<?xi64> -> memref<2x64x32xbf16>
  %0 = dsv2.weight_view %table[3] at %i
         : memref<?xi64> -> memref<2x64x32xbf16>
  // CHECK: dsv2.weight_view %[[TABLE]][0] : memref<?xi64> -> memref<16xi8>
  %1 = dsv2.weight_view %table[0] : memref<?xi64> -> memref<16xi8>
  return
}

// CHECK-LABEL: @tap
// CHECK-SAME: %[[H:[^:]*]]: tensor<?x64xf32>, %[[O:[^:]*]]: memref<?x4x16xbf16>, %[[L:[^:]*]]: index
func.func @tap(%h: tensor<?x64xf32>, %o: memref<?x4x16xbf16>, %l: index) {
  // CHECK: dsv2.tap %[[H]] site "layer" layer %[[L]] level 1 : tensor<?x64xf32>
  dsv2.tap %h site "layer" layer %l level 1 : tensor<?x64xf32>
  // CHECK: dsv2.tap %[[O]] site "self_attn" level 2 : memref<?x4x16xbf16>
  dsv2.tap %o site "self_attn" level 2 : memref<?x4x16xbf16>
  // CHECK: dsv2.tap %[[H]] site "mlp" level 2 : tensor<?x64xf32> -> tensor<?x64xf32>
  %y = dsv2.tap %h site "mlp" level 2 : tensor<?x64xf32> -> tensor<?x64xf32>
  return
}
