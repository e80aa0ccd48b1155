// RUN: dsv2-opt %s -split-input-file -verify-diagnostics --dsv2-lower-collectives | FileCheck %s

// CHECK: module attributes {dsv2.manifest = {comm_sites = [{kind = "all_reduce", name = "mlp"}, {kind = "all_gather", name = "lm_head"}, {kind = "all_to_all", name = "mlp.dispatch"}, {kind = "all_to_all_v", name = "mlp.dispatch"}], mesh = {ep = 4 : i64, tp = 2 : i64}}}
// CHECK-NOT: dsv2.mesh @
dsv2.mesh @mesh tp 2 ep 4

// CHECK-LABEL: func.func private @layer(
// CHECK-SAME: %[[X:.*]]: memref<?x64xf32>, %[[HALF:.*]]: memref<?x32xf32>, %[[S:.*]]: memref<4xi32>, %[[R:.*]]: memref<4xi32>, %[[L:.*]]: index, %[[CTX:.*]]: !llvm.ptr, %[[LEVEL:.*]]: i32
func.func private @layer(%x: memref<?x64xf32>, %half: memref<?x32xf32>, %s: memref<4xi32>, %r: memref<4xi32>,
    %layer: index, %context: !llvm.ptr, %level: i32) -> index {
  // CHECK: %[[AXIS0:.*]] = arith.constant 0 : i32
  // CHECK: call @dsv2rt_mesh_index(%[[CTX]], %[[AXIS0]]) : (!llvm.ptr, i32) -> i64
  %i = dsv2.mesh_index @mesh tp
  // CHECK: call @dsv2rt_arrivals(%[[CTX]]) : (!llvm.ptr) -> i64
  %n = dsv2.arrivals @mesh
  // The sum: rows times 64 elements.
  // CHECK: arith.constant 0 : i32
  // CHECK: %[[SITE0:.*]] = arith.constant 0 : i32
  // CHECK: %[[L64:.*]] = arith.index_cast %[[L]]
  // CHECK: arith.constant 64 : i64
  // CHECK: call @dsv2rt_all_reduce(%[[CTX]], %{{.*}}, %[[SITE0]], %[[L64]], %{{.*}}, %{{.*}}) : (!llvm.ptr, i32, i32, i64, !llvm.ptr, i64) -> ()
  dsv2.all_reduce outs(%x : memref<?x64xf32>) on @mesh tp layer %layer loc("model.layers.1-59.mlp")
  // Rows of 128 bytes become columns of rows of 256, and outside of layers the
  // layer is -1.
  // CHECK: %[[NONE:.*]] = arith.constant -1 : i64
  // CHECK: %[[B128:.*]] = arith.constant 128 : i64
  // CHECK: %[[B256:.*]] = arith.constant 256 : i64
  // CHECK: call @dsv2rt_all_gather(%[[CTX]], %{{.*}}, %{{.*}}, %[[NONE]], %{{.*}}, %{{.*}}, %{{.*}}, %[[B128]], %[[B256]])
  dsv2.all_gather ins(%half : memref<?x32xf32>) outs(%x : memref<?x64xf32>) on @mesh tp loc("lm_head")
  // CHECK: %[[AXIS1:.*]] = arith.constant 1 : i32
  // CHECK: %[[B4:.*]] = arith.constant 4 : i64
  // CHECK: call @dsv2rt_all_to_all(%[[CTX]], %[[AXIS1]], %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %[[B4]])
  dsv2.all_to_all ins(%s : memref<4xi32>) outs(%r : memref<4xi32>) on @mesh ep layer %layer loc("model.layers.1-59.mlp.dispatch")
  // CHECK: %[[RB:.*]] = arith.constant 256 : i64
  // CHECK: %[[ROOM:.*]] = memref.dim %[[X]]
  // CHECK: %[[ROOM64:.*]] = arith.index_cast %[[ROOM]]
  // CHECK: %[[COUNT:.*]] = call @dsv2rt_all_to_all_v(%[[CTX]], %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %[[RB]], %{{.*}}, %{{.*}}, %[[ROOM64]])
  // CHECK: %[[INDEX:.*]] = arith.index_cast %[[COUNT]]
  %count = dsv2.all_to_all_v ins(%x : memref<?x64xf32>) send(%s : memref<4xi32>) receive(%r : memref<4xi32>) outs(%x : memref<?x64xf32>) on @mesh ep layer %layer loc("model.layers.1-59.mlp.dispatch")
  // In two halves, at the same site.
  // CHECK: call @dsv2rt_all_to_all_v_start(%[[CTX]], %{{.*}}, %[[SITE3:.*]], %{{.*}})
  %started = dsv2.all_to_all_v ins(%x : memref<?x64xf32>) send(%s : memref<4xi32>) receive(%r : memref<4xi32>) outs(%x : memref<?x64xf32>) on @mesh ep layer %layer async loc("model.layers.1-59.mlp.dispatch")
  // CHECK: call @dsv2rt_comm_wait(%[[CTX]], {{.*}}) : (!llvm.ptr, i32, i32, i64, !llvm.ptr, i64, i64) -> ()
  dsv2.comm_wait ins(%x : memref<?x64xf32>) outs(%x : memref<?x64xf32>) on @mesh ep layer %layer loc("model.layers.1-59.mlp.dispatch")
  // Counts of four ranks against a capacity of 8.
  // CHECK: %[[FOUR:.*]] = arith.constant 4 : i64
  // CHECK: %[[EIGHT:.*]] = arith.constant 8 : i64
  // CHECK: call @dsv2rt_check_capacity(%[[CTX]], %{{.*}}, %{{.*}}, %[[FOUR]], %[[EIGHT]]) : (!llvm.ptr, i64, !llvm.ptr, i64, i64) -> ()
  dsv2.check_capacity %s capacity 8 layer %layer : memref<4xi32>
  return %count : index
}

// -----

dsv2.mesh @mesh tp 2 ep 1

func.func private @gaps(%x: memref<?x64xf32, strided<[128, 1]>>, %context: !llvm.ptr, %level: i32) {
  // expected-error @below {{expected memory without gaps between rows, got 'memref<?x64xf32, strided<[128, 1]>>'}}
  dsv2.all_reduce outs(%x : memref<?x64xf32, strided<[128, 1]>>) on @mesh tp
  return
}

// -----

dsv2.mesh @mesh tp 2 ep 1

func.func private @no_context(%x: memref<?x64xf32>) {
  // expected-error @below {{expected a function whose last arguments are the context and the tap level}}
  dsv2.all_reduce outs(%x : memref<?x64xf32>) on @mesh tp
  return
}

// -----

dsv2.mesh @mesh tp 2 ep 1

func.func private @tensors(%x: tensor<?x64xf32>, %context: !llvm.ptr, %level: i32) -> tensor<?x64xf32> {
  // expected-error @below {{expected buffers, got an operand of type 'tensor<?x64xf32>'}}
  %y = dsv2.all_reduce outs(%x : tensor<?x64xf32>) on @mesh tp -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
