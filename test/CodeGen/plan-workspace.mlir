// RUN: dsv2-opt %s --dsv2-plan-workspace | FileCheck %s

// Buffers a and c do not live together and share a slot of the larger size;
// b lives with both. The callee's space lies behind.
// CHECK-LABEL: func.func @step(
// CHECK-SAME: %[[T:.*]]: memref<?xi32> {dsv2.size = "tokens"}, %[[W:.*]]: memref<?xi8>
// CHECK-NOT: memref.alloc
// CHECK-DAG: memref.view %[[W]][%{{.*}}][%{{.*}}] : memref<?xi8> to memref<?x64xf32>
// CHECK-DAG: memref.view %[[W]][%{{.*}}][%{{.*}}] : memref<?xi8> to memref<?x32xf32>
// CHECK-DAG: memref.view %[[W]][%{{.*}}][%{{.*}}] : memref<?xi8> to memref<?x16xi32>
// CHECK: call @callee(%{{.*}}, %[[REST:.*]])
func.func @step(%tokens: memref<?xi32> {dsv2.size = "tokens"}, %workspace: memref<?xi8>)
    attributes {dsv2.entry = "decode"} {
  %c0 = arith.constant 0 : index
  %t = memref.dim %tokens, %c0 : memref<?xi32>
  %a = memref.alloc(%t) : memref<?x32xf32>
  dsv2.tap %a site "a" level 1 : memref<?x32xf32>
  %b = memref.alloc(%t) : memref<?x16xi32>
  dsv2.tap %a site "a" level 1 : memref<?x32xf32>
  %c = memref.alloc(%t) : memref<?x64xf32>
  dsv2.tap %b site "b" level 1 : memref<?x16xi32>
  dsv2.tap %c site "c" level 1 : memref<?x64xf32>
  call @callee(%tokens, %workspace) : (memref<?xi32>, memref<?xi8>) -> ()
  return
}

func.func private @callee(%tokens: memref<?xi32> {dsv2.size = "tokens"}, %workspace: memref<?xi8>) {
  %c0 = arith.constant 0 : index
  %c4 = arith.constant 4 : index
  %t = memref.dim %tokens, %c0 : memref<?xi32>
  %n = arith.muli %t, %c4 : index
  %a = memref.alloc(%n) : memref<?x16xf32>
  %s = memref.alloc() : memref<3xi32>
  dsv2.tap %a site "a" level 1 : memref<?x16xf32>
  return
}

// 256 T (a and c) + 64 T (b) + 256 T (four rows of 64 bytes in the callee),
// and 12 bytes rounded up to a cache line.
// CHECK-LABEL: func.func @step_workspace(
// CHECK-SAME: %[[TOKENS:[^:]*]]: index
// CHECK-DAG: arith.constant 64 : index
// CHECK-DAG: arith.constant 576 : index
// CHECK: arith.muli %[[TOKENS]], %{{.*}}

// Kernels of the reference lowering are not on the step's path.
// CHECK-LABEL: func.func private @reference_kernel
// CHECK: memref.alloc
func.func private @reference_kernel(%n: index) attributes {dsv2.reference} {
  %a = memref.alloc(%n) : memref<?xf32>
  memref.dealloc %a : memref<?xf32>
  return
}

// A cache of bytes is no workspace.
// CHECK-LABEL: func.func private @cache_of_bytes(
// CHECK-SAME: memref<?x?x2x68xi8>, %[[SPACE:.*]]: memref<?xi8>
// CHECK: memref.view %[[SPACE]]
func.func private @cache_of_bytes(%cache: memref<?x?x2x68xi8>, %workspace: memref<?xi8>) {
  %a = memref.alloc() : memref<4x4xf32>
  dsv2.tap %a site "a" level 1 : memref<4x4xf32>
  return
}

// Rows of keys are asked for before anything is placed behind them, and 4 (S + 1)
// bytes are 64 S + 64.
// CHECK-LABEL: func.func @keys(
// CHECK: %[[N:.*]] = dsv2.key_rows
// CHECK: arith.muli %[[N]], %{{.*}}
// CHECK-NOT: memref.alloc
func.func @keys(%tables: memref<?x?xi32> {dsv2.size = "sequences"}, %workspace: memref<?xi8>)
    attributes {dsv2.entry = "prefill"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = dsv2.key_rows
  %a = memref.alloc(%n) : memref<?x32xbf16>
  %s = memref.dim %tables, %c0 : memref<?x?xi32>
  %e = arith.addi %s, %c1 : index
  %b = memref.alloc(%e) : memref<?xi32>
  dsv2.tap %a site "a" level 1 : memref<?x32xbf16>
  return
}

// CHECK-LABEL: func.func @keys_workspace(
// CHECK-SAME: %{{.*}}: index, %[[S:.*]]: index, %{{.*}}: index, %{{.*}}: index, %[[K:.*]]: index) -> index
// CHECK: %[[C64:.*]] = arith.constant 64 : index
// CHECK: arith.muli %[[S]], %{{.*}}
// CHECK: arith.muli %[[K]], %{{.*}}
