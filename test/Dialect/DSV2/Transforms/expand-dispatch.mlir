// RUN: dsv2-opt %s -split-input-file -verify-diagnostics --dsv2-expand-dispatch | FileCheck %s

dsv2.mesh @mesh tp 1 ep 3

// 8 experts over 3 ranks: each has memory for 3.
// CHECK-LABEL: @moe
// CHECK-SAME: (%[[X:.*]]: tensor<?x64xf32>, %[[IDS:.*]]: tensor<?x2xi32>, %[[W:.*]]: tensor<?x2xf32>)
func.func @moe(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %w: tensor<?x2xf32>) -> tensor<?x64xf32> {
  // CHECK-DAG: %[[GATE:.*]] = dsv2.weight "{expert}.gate" shards [#dsv2.shard<0 of 8 on ep in 3>] : tensor<3x32x64xf32>
  // CHECK-DAG: %[[UP:.*]] = dsv2.weight "{expert}.up" shards [#dsv2.shard<0 of 8 on ep in 3>] : tensor<3x32x64xf32>
  // CHECK-DAG: %[[DOWN:.*]] = dsv2.weight "{expert}.down" shards [#dsv2.shard<0 of 8 on ep in 3>] : tensor<3x64x32xf32>
  %d, %o, %r = dsv2.dispatch %x, %ids : tensor<?x64xf32>, tensor<?x2xi32> -> tensor<?x64xf32>, tensor<9xi32>, tensor<?x2xi32>
  %gate = dsv2.weight "{expert}.gate" {dsv2.shards = [#dsv2.shard<0 of 8 on ep in 3>]} : tensor<8x32x64xf32>
  %up = dsv2.weight "{expert}.up" {dsv2.shards = [#dsv2.shard<0 of 8 on ep in 3>]} : tensor<8x32x64xf32>
  %down = dsv2.weight "{expert}.down" {dsv2.shards = [#dsv2.shard<0 of 8 on ep in 3>]} : tensor<8x64x32xf32>
  // CHECK: %[[ROWS:.*]], %[[COUNTS:.*]], %[[PLACES:.*]] = dsv2.exchange_pack %[[X]], %[[IDS]], %[[W]] experts 3 ranks 3
  // CHECK: %[[ARRIVING:.*]] = dsv2.all_to_all ins(%[[COUNTS]] : tensor<3xi32>) {{.*}} on @mesh ep
  // CHECK: %[[MOST:.*]] = dsv2.arrivals @mesh
  // CHECK: %[[E:.*]] = tensor.empty(%[[MOST]]) : tensor<?x68xf32>
  // CHECK: %[[THERE:.*]], %[[N:.*]] = dsv2.all_to_all_v ins(%[[ROWS]] : tensor<?x68xf32>) send(%[[COUNTS]] : tensor<3xi32>) receive(%[[ARRIVING]] : tensor<3xi32>) outs(%[[E]] : tensor<?x68xf32>) on @mesh ep
  // CHECK: %[[ARRIVED:.*]] = tensor.extract_slice %[[THERE]][0, 0] [%[[N]], 68] [1, 1]
  // CHECK: %[[Y:.*]], %[[I:.*]], %[[V:.*]] = dsv2.exchange_unpack %[[ARRIVED]]
  // CHECK: %[[LOCAL:.*]], %[[OFFSETS:.*]], %[[PLACE:.*]] = dsv2.dispatch %[[Y]], %[[I]] partial : {{.*}} -> tensor<?x64xf32>, tensor<4xi32>, tensor<?x2xi32>
  // CHECK: %[[F:.*]] = dsv2.expert_ffn %[[LOCAL]], %[[OFFSETS]], %[[GATE]], %[[DOWN]] up %[[UP]]
  %y = dsv2.expert_ffn %d, %o, %gate, %down up %up : tensor<?x64xf32>, tensor<9xi32>, tensor<8x32x64xf32>, tensor<8x64x32xf32>, tensor<8x32x64xf32>
  // Weighted on the experts' side, so that one row a token comes back.
  // CHECK: %[[C:.*]] = dsv2.combine %[[F]], %[[PLACE]], %[[V]] partial
  // CHECK: %[[BACK:.*]], %{{.*}} = dsv2.all_to_all_v ins(%[[C]] : tensor<?x64xf32>) send(%[[ARRIVING]] : tensor<3xi32>) receive(%[[COUNTS]] : tensor<3xi32>)
  // CHECK: %[[Z:.*]] = dsv2.exchange_combine %[[BACK]], %[[PLACES]]
  // CHECK: return %[[Z]]
  %c = dsv2.combine %y, %r, %w : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x64xf32>
  return %c : tensor<?x64xf32>
}

// -----

dsv2.mesh @mesh tp 1 ep 2

// Parts of 5 rows for each rank, which need no counts.
// CHECK-LABEL: @fixed
func.func @fixed(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %w: tensor<?x2xf32>) -> tensor<?x64xf32>
    attributes {dsv2.capacity = 5 : i64} {
  %d, %o, %r = dsv2.dispatch %x, %ids : tensor<?x64xf32>, tensor<?x2xi32> -> tensor<?x64xf32>, tensor<5xi32>, tensor<?x2xi32>
  %gate = dsv2.weight "{expert}.gate" {dsv2.shards = [#dsv2.shard<0 of 4 on ep in 2>]} : tensor<4x32x64xf32>
  %up = dsv2.weight "{expert}.up" {dsv2.shards = [#dsv2.shard<0 of 4 on ep in 2>]} : tensor<4x32x64xf32>
  %down = dsv2.weight "{expert}.down" {dsv2.shards = [#dsv2.shard<0 of 4 on ep in 2>]} : tensor<4x64x32xf32>
  // CHECK: %[[ROWS:.*]], %[[COUNTS:.*]], %[[PLACES:.*]] = dsv2.exchange_pack {{.*}} experts 2 ranks 2 capacity 5 : {{.*}} -> tensor<10x68xf32>
  // CHECK: dsv2.check_capacity %[[COUNTS]] capacity 5
  // CHECK-NOT: all_to_all_v
  // CHECK: %[[THERE:.*]] = dsv2.all_to_all ins(%[[ROWS]] : tensor<10x68xf32>)
  // CHECK: dsv2.exchange_unpack %[[THERE]] : tensor<10x68xf32> -> tensor<10x64xf32>, tensor<10x2xi32>, tensor<10x2xf32>
  %y = dsv2.expert_ffn %d, %o, %gate, %down up %up : tensor<?x64xf32>, tensor<5xi32>, tensor<4x32x64xf32>, tensor<4x64x32xf32>, tensor<4x32x64xf32>
  // CHECK: %[[C:.*]] = dsv2.combine {{.*}} partial : {{.*}} -> tensor<10x64xf32>
  // CHECK: %[[BACK:.*]] = dsv2.all_to_all ins(%[[C]] : tensor<10x64xf32>)
  // CHECK-NOT: all_to_all_v
  // CHECK: dsv2.exchange_combine %[[BACK]], %[[PLACES]]
  %c = dsv2.combine %y, %r, %w : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x64xf32>
  return %c : tensor<?x64xf32>
}

// -----

dsv2.mesh @mesh tp 1 ep 2

func.func @no_combine(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>) -> tensor<?x64xf32> {
  %d, %o, %r = dsv2.dispatch %x, %ids : tensor<?x64xf32>, tensor<?x2xi32> -> tensor<?x64xf32>, tensor<3xi32>, tensor<?x2xi32>
  %gate = dsv2.weight "{expert}.gate" {dsv2.shards = [#dsv2.shard<0 of 2 on ep in 2>]} : tensor<2x32x64xf32>
  %up = dsv2.weight "{expert}.up" {dsv2.shards = [#dsv2.shard<0 of 2 on ep in 2>]} : tensor<2x32x64xf32>
  %down = dsv2.weight "{expert}.down" {dsv2.shards = [#dsv2.shard<0 of 2 on ep in 2>]} : tensor<2x64x32xf32>
  // expected-error @below {{expected the experts between one dispatch and the combine of its rows}}
  %y = dsv2.expert_ffn %d, %o, %gate, %down up %up : tensor<?x64xf32>, tensor<3xi32>, tensor<2x32x64xf32>, tensor<2x64x32xf32>, tensor<2x32x64xf32>
  return %y : tensor<?x64xf32>
}
