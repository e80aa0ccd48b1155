// RUN: dsv2-opt %s --dsv2-insert-collectives | FileCheck %s

dsv2.mesh @mesh tp 2 ep 1

// A product whose inputs are split is a part of a sum: weight and input get the
// shape of one rank, and the sum is taken before anything else reads it.
// CHECK-LABEL: @row_parallel
func.func @row_parallel(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // CHECK: %[[W0:.*]] = dsv2.weight "a" shards [#dsv2.shard<0 of 32 on tp in 2>] : tensor<16x64xf32>
  %w0 = dsv2.weight "a" {dsv2.shards = [#dsv2.shard<0 of 32 on tp in 2>]} : tensor<32x64xf32>
  // CHECK: %[[H:.*]] = dsv2.linear %{{.*}}, %[[W0]] : tensor<?x64xf32>, tensor<16x64xf32> -> tensor<?x16xf32>
  %h = dsv2.linear %x, %w0 {dsv2.shards = [#dsv2.shard<1 of 32 on tp in 2>]}
    : tensor<?x64xf32>, tensor<32x64xf32> -> tensor<?x32xf32>
  // CHECK: %[[W1:.*]] = dsv2.weight "b" shards [#dsv2.shard<1 of 32 on tp in 2>] : tensor<64x16xf32>
  %w1 = dsv2.weight "b" {dsv2.shards = [#dsv2.shard<1 of 32 on tp in 2>]} : tensor<64x32xf32>
  // CHECK: %[[Y:.*]] = dsv2.linear %[[H]], %[[W1]]
  // CHECK-NEXT: %[[SUM:.*]] = dsv2.all_reduce outs(%[[Y]] : tensor<?x64xf32>) on @mesh tp -> tensor<?x64xf32>
  %y = dsv2.linear %h, %w1 {dsv2.partial = #dsv2<axis tp>}
    : tensor<?x32xf32>, tensor<64x32xf32> -> tensor<?x64xf32>
  // CHECK-NEXT: arith.addf %{{.*}}, %[[SUM]]
  %z = arith.addf %x, %y : tensor<?x64xf32>
  return %z : tensor<?x64xf32>
}

// Combining is linear, so what experts return is summed once for a token and not
// once for each of its experts.
// CHECK-LABEL: @combine
func.func @combine(%y: tensor<?x64xf32>, %r: tensor<?x2xi32>, %w: tensor<?x2xf32>,
                   %o: tensor<3xi32>, %i: index) -> tensor<?x64xf32> {
  %g = dsv2.weight "{expert}.gate" {dsv2.shards = [#dsv2.shard<1 of 32 on tp in 2>]} : tensor<2x32x64xf32>
  %u = dsv2.weight "{expert}.up" {dsv2.shards = [#dsv2.shard<1 of 32 on tp in 2>]} : tensor<2x32x64xf32>
  %d = dsv2.weight "{expert}.down" {dsv2.shards = [#dsv2.shard<2 of 32 on tp in 2>]} : tensor<2x64x32xf32>
  // CHECK: dsv2.expert_ffn {{.*}}tensor<2x16x64xf32>, tensor<2x64x16xf32>, tensor<2x16x64xf32>
  // CHECK-NOT: all_reduce
  %e = dsv2.expert_ffn %y, %o, %g, %d up %u {dsv2.partial = #dsv2<axis tp>}
    : tensor<?x64xf32>, tensor<3xi32>, tensor<2x32x64xf32>, tensor<2x64x32xf32>, tensor<2x32x64xf32>
  // CHECK: %[[C:.*]] = dsv2.combine
  // CHECK-NEXT: dsv2.all_reduce outs(%[[C]]
  %c = dsv2.combine %e, %r, %w {dsv2.partial = #dsv2<axis tp>}
    : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x64xf32>
  return %c : tensor<?x64xf32>
}

// The vocabulary: a rank looks up and scores its own ids.
// CHECK-LABEL: @vocabulary
func.func @vocabulary(%tokens: tensor<?xi32>, %rows: tensor<?xi32>) -> tensor<?x512xf32> {
  // CHECK-DAG: %[[T:.*]] = dsv2.weight "t" shards [#dsv2.shard<0 of 512 on tp in 2>] : tensor<256x64xf32>
  // CHECK-DAG: %[[I:.*]] = dsv2.mesh_index @mesh tp
  // CHECK-DAG: %[[C:.*]] = arith.constant 256 : index
  // CHECK: %[[F:.*]] = arith.muli %[[I]], %[[C]] : index
  // CHECK: %[[E:.*]] = dsv2.embed %{{.*}}, %[[T]] first %[[F]]
  // CHECK-NEXT: dsv2.all_reduce outs(%[[E]]
  %t = dsv2.weight "t" {dsv2.shards = [#dsv2.shard<0 of 512 on tp in 2>]} : tensor<512x64xf32>
  %h = dsv2.embed %tokens, %t {dsv2.partial = #dsv2<axis tp>} : tensor<?xi32>, tensor<512x64xf32> -> tensor<?x64xf32>
  %v = dsv2.weight "v" {dsv2.shards = [#dsv2.shard<0 of 512 on tp in 2>]} : tensor<512x64xf32>
  // CHECK: %[[L:.*]] = dsv2.logits {{.*}} -> tensor<?x256xf32>
  // CHECK: tensor.dim %{{.*}}, %{{.*}} : tensor<?xi32>
  // CHECK: %[[EMPTY:.*]] = tensor.empty
  // CHECK: %[[ALL:.*]] = dsv2.all_gather ins(%[[L]] : tensor<?x256xf32>) outs(%[[EMPTY]] : tensor<?x512xf32>) on @mesh tp -> tensor<?x512xf32>
  // CHECK: return %[[ALL]]
  %l = dsv2.logits %h, %rows, %v {dsv2.shards = [#dsv2.shard<1 of 512 on tp in 2>]}
    : tensor<?x64xf32>, tensor<?xi32>, tensor<512x64xf32> -> tensor<?x512xf32>
  return %l : tensor<?x512xf32>
}
