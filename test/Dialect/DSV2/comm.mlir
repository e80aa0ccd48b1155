// RUN: dsv2-opt %s | dsv2-opt | FileCheck %s
// RUN: dsv2-opt %s --mlir-print-op-generic | dsv2-opt | FileCheck %s
// RUN: dsv2-opt %s --emit-bytecode | dsv2-opt | FileCheck %s

// CHECK: dsv2.mesh @mesh tp 2 ep 4
dsv2.mesh @mesh tp 2 ep 4

// CHECK-LABEL: @tensors
func.func @tensors(%x: tensor<?x64xf32>, %half: tensor<?x32xf32>,
                   %counts: tensor<4xi32>, %layer: index)
    -> (tensor<?x64xf32>, index) {
  // CHECK: dsv2.mesh_index @mesh tp
  %i = dsv2.mesh_index @mesh tp
  // CHECK: dsv2.arrivals @mesh
  %n = dsv2.arrivals @mesh
  // CHECK: dsv2.all_reduce outs(%{{.*}} : tensor<?x64xf32>) on @mesh tp layer %{{.*}} -> tensor<?x64xf32>
  %sum = dsv2.all_reduce outs(%x : tensor<?x64xf32>) on @mesh tp layer %layer
    -> tensor<?x64xf32>
  // CHECK: dsv2.all_gather ins(%{{.*}} : tensor<?x32xf32>) outs(%{{.*}} : tensor<?x64xf32>) on @mesh tp -> tensor<?x64xf32>
  %all = dsv2.all_gather ins(%half : tensor<?x32xf32>)
    outs(%sum : tensor<?x64xf32>) on @mesh tp -> tensor<?x64xf32>
  // CHECK: dsv2.all_to_all ins(%{{.*}} : tensor<4xi32>) outs(%{{.*}} : tensor<4xi32>) on @mesh ep -> tensor<4xi32>
  %arriving = dsv2.all_to_all ins(%counts : tensor<4xi32>)
    outs(%counts : tensor<4xi32>) on @mesh ep -> tensor<4xi32>
  %e = tensor.empty(%n) : tensor<?x64xf32>
  // CHECK: dsv2.all_to_all_v ins(%{{.*}} : tensor<?x64xf32>) send(%{{.*}} : tensor<4xi32>) receive(%{{.*}} : tensor<4xi32>) outs(%{{.*}} : tensor<?x64xf32>) on @mesh ep layer %{{.*}} -> tensor<?x64xf32>
  %rows, %count = dsv2.all_to_all_v ins(%all : tensor<?x64xf32>)
    send(%counts : tensor<4xi32>) receive(%arriving : tensor<4xi32>)
    outs(%e : tensor<?x64xf32>) on @mesh ep layer %layer -> tensor<?x64xf32>
  return %rows, %count : tensor<?x64xf32>, index
}

// A loop of counted trips is the same on every rank.
// CHECK-LABEL: @memory
func.func @memory(%x: memref<?x64xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %l = %c0 to %n step %c1 {
    // CHECK: dsv2.all_reduce outs(%{{.*}} : memref<?x64xf32>) on @mesh tp layer %{{[^ ]*$}}
    dsv2.all_reduce outs(%x : memref<?x64xf32>) on @mesh tp layer %l
  }
  return
}

// CHECK-LABEL: @exchange
func.func @exchange(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>,
                    %w: tensor<?x2xf32>) -> tensor<?x64xf32> {
  // CHECK: dsv2.exchange_pack %{{.*}}, %{{.*}}, %{{.*}} experts 2 ranks 4 : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x68xf32>, tensor<4xi32>, tensor<?x4xi32>
  %rows, %counts, %places = dsv2.exchange_pack %x, %ids, %w experts 2 ranks 4
    : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?x68xf32>, tensor<4xi32>, tensor<?x4xi32>
  // CHECK: dsv2.exchange_pack %{{.*}}, %{{.*}}, %{{.*}} experts 2 ranks 4 capacity 8 : {{.*}} -> tensor<32x68xf32>, tensor<4xi32>, tensor<?x4xi32>
  %fixed, %wanted, %slots = dsv2.exchange_pack %x, %ids, %w experts 2 ranks 4 capacity 8
    : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<32x68xf32>, tensor<4xi32>, tensor<?x4xi32>
  // CHECK: dsv2.check_capacity %{{.*}} capacity 8 : tensor<4xi32>
  dsv2.check_capacity %wanted capacity 8 : tensor<4xi32>
  // CHECK: dsv2.exchange_unpack %{{.*}} : tensor<?x68xf32> -> tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  %y, %i, %v = dsv2.exchange_unpack %rows
    : tensor<?x68xf32> -> tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  // CHECK: dsv2.dispatch %{{.*}}, %{{.*}} partial : tensor<?x64xf32>
  %d, %o, %r = dsv2.dispatch %y, %i partial
    : tensor<?x64xf32>, tensor<?x2xi32>
      -> tensor<?x64xf32>, tensor<3xi32>, tensor<?x2xi32>
  // CHECK: dsv2.combine %{{.*}}, %{{.*}}, %{{.*}} partial : tensor<?x64xf32>
  %c = dsv2.combine %d, %r, %v partial
    : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x64xf32>
  // CHECK: dsv2.exchange_combine %{{.*}}, %{{.*}} : tensor<?x64xf32>, tensor<?x4xi32> -> tensor<?x64xf32>
  %z = dsv2.exchange_combine %c, %places
    : tensor<?x64xf32>, tensor<?x4xi32> -> tensor<?x64xf32>
  return %z : tensor<?x64xf32>
}

// CHECK-LABEL: @parts
func.func @parts(%tokens: tensor<?xi32>, %i: index) -> tensor<?x64xf32> {
  // CHECK: dsv2.weight "model.layers.{layer}.mlp.experts.{expert}.down_proj.weight" layers [1] at %{{.*}} shards [#dsv2.shard<0 of 8 on ep in 3>, #dsv2.shard<2 of 32 on tp in 2>] : tensor<3x64x16xbf16>
  %w = dsv2.weight "model.layers.{layer}.mlp.experts.{expert}.down_proj.weight"
    layers [1] at %i
    shards [#dsv2.shard<0 of 8 on ep in 3>, #dsv2.shard<2 of 32 on tp in 2>]
    : tensor<3x64x16xbf16>
  %t = dsv2.weight "model.embed_tokens.weight"
    shards [#dsv2.shard<0 of 512 on tp in 2>] : tensor<256x64xbf16>
  // CHECK: dsv2.embed %{{.*}}, %{{.*}} first %{{.*}} : tensor<?xi32>
  %h = dsv2.embed %tokens, %t first %i
    : tensor<?xi32>, tensor<256x64xbf16> -> tensor<?x64xf32>
  return %h : tensor<?x64xf32>
}
