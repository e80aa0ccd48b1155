// RUN: dsv2-opt %s -split-input-file -verify-diagnostics -allow-unregistered-dialect

// mesh_c1
// expected-error @below {{expected positive 'tp' and 'ep' of at most 65536 ranks together, got 0 and 4}}
dsv2.mesh @mesh tp 0 ep 4

// -----

// mesh_c1: the product would not fit.
// expected-error @below {{expected positive 'tp' and 'ep' of at most 65536 ranks together, got 65536 and 65536}}
dsv2.mesh @mesh tp 65536 ep 65536

// -----

// mesh_index_c1
func.func @no_mesh() {
  // expected-error @below {{expected 'mesh' to name a dsv2.mesh, got @none}}
  %i = dsv2.mesh_index @none tp
  return
}

// -----

// arrivals_c1
func.func @not_a_mesh() {
  // expected-error @below {{expected 'mesh' to name a dsv2.mesh, got @not_a_mesh}}
  %i = dsv2.arrivals @not_a_mesh
  return
}

// -----

// shard_c1
// expected-error @below {{expected 'dim' not to be negative, got -1}}
"test.attribute"() {a = #dsv2.shard<-1 of 8 on tp in 2>} : () -> ()

// -----

// shard_c2
// expected-error @below {{expected 'extent' and 'parts' to be positive, got 8 and 0}}
"test.attribute"() {a = #dsv2.shard<0 of 8 on tp in 0>} : () -> ()

// -----

// weight_c6: the extent is not that of a part.
func.func @extent() {
  // expected-error @below {{expected parts of different dimensions of the result on different axes, experts on ep and others on tp, got #dsv2.shard<0 of 64 on tp in 2> for 'tensor<64x64xf32>'}}
  %w = dsv2.weight "w" shards [#dsv2.shard<0 of 64 on tp in 2>] : tensor<64x64xf32>
  return
}

// -----

// weight_c6
func.func @same_axis() {
  // expected-error @below {{expected parts of different dimensions}}
  %w = dsv2.weight "w" shards [#dsv2.shard<0 of 64 on tp in 2>, #dsv2.shard<1 of 64 on tp in 2>] : tensor<32x32xf32>
  return
}

// -----

// weight_c6: only experts are spread over ep.
func.func @wrong_axis() {
  // expected-error @below {{expected parts of different dimensions}}
  %w = dsv2.weight "w" shards [#dsv2.shard<0 of 64 on ep in 2>] : tensor<32x64xf32>
  return
}

// -----

// all_reduce_c1
func.func @reduce_mesh(%x: memref<?x64xf32>) {
  // expected-error @below {{expected 'mesh' to name a dsv2.mesh, got @mesh}}
  dsv2.all_reduce outs(%x : memref<?x64xf32>) on @mesh tp
  return
}

// -----

// all_reduce_c2
dsv2.mesh @mesh tp 2 ep 1
func.func @reduce_type(%x: memref<?x64xbf16>) {
  // expected-error @below {{expected a destination of f32, got 'memref<?x64xbf16>'}}
  dsv2.all_reduce outs(%x : memref<?x64xbf16>) on @mesh tp
  return
}

// -----

// all_reduce_c3
dsv2.mesh @mesh tp 2 ep 1
func.func @reduce_result(%x: tensor<?x64xf32>) {
  // expected-error @below {{expected a result of the destination's type if that is a tensor and none otherwise, got none for 'tensor<?x64xf32>'}}
  dsv2.all_reduce outs(%x : tensor<?x64xf32>) on @mesh tp
  return
}

// -----

// all_reduce_c4, F091: only some ranks might get there.
dsv2.mesh @mesh tp 2 ep 1
func.func @reduce_branch(%x: memref<?x64xf32>, %c: i1) {
  // expected-note @below {{it stands in this op}}
  scf.if %c {
    // expected-error @below {{expected nothing but loops of counted trips between a collective and its function, as all ranks have to enter it}}
    dsv2.all_reduce outs(%x : memref<?x64xf32>) on @mesh tp
  }
  return
}

// -----

// all_gather_c1
func.func @gather_mesh(%x: memref<?x32xf32>, %y: memref<?x64xf32>) {
  // expected-error @below {{expected 'mesh' to name a dsv2.mesh, got @mesh}}
  dsv2.all_gather ins(%x : memref<?x32xf32>) outs(%y : memref<?x64xf32>) on @mesh tp
  return
}

// -----

// all_gather_c2
dsv2.mesh @mesh tp 2 ep 1
func.func @gather_columns(%x: memref<?x32xf32>, %y: memref<?x96xf32>) {
  // expected-error @below {{expected a destination of the rows of 'input' with 2 times its columns, got 'memref<?x96xf32>' for 'memref<?x32xf32>'}}
  dsv2.all_gather ins(%x : memref<?x32xf32>) outs(%y : memref<?x96xf32>) on @mesh tp
  return
}

// -----

// all_gather_c3
dsv2.mesh @mesh tp 2 ep 1
func.func @gather_result(%x: tensor<?x32xf32>, %y: tensor<?x64xf32>) {
  // expected-error @below {{expected a result of the destination's type}}
  dsv2.all_gather ins(%x : tensor<?x32xf32>) outs(%y : tensor<?x64xf32>) on @mesh tp
  return
}

// -----

// all_gather_c4, F091
dsv2.mesh @mesh tp 2 ep 1
func.func @gather_while(%x: memref<?x32xf32>, %y: memref<?x64xf32>, %c: i1) {
  // expected-note @below {{it stands in this op}}
  scf.while : () -> () {
    scf.condition(%c)
  } do {
    // expected-error @below {{expected nothing but loops of counted trips}}
    dsv2.all_gather ins(%x : memref<?x32xf32>) outs(%y : memref<?x64xf32>) on @mesh tp
    scf.yield
  }
  return
}

// -----

// all_to_all_c1
func.func @all_to_all_mesh(%x: memref<4xi32>, %y: memref<4xi32>) {
  // expected-error @below {{expected 'mesh' to name a dsv2.mesh, got @mesh}}
  dsv2.all_to_all ins(%x : memref<4xi32>) outs(%y : memref<4xi32>) on @mesh ep
  return
}

// -----

// all_to_all_c2
dsv2.mesh @mesh tp 1 ep 3
func.func @all_to_all_rows(%x: memref<4xi32>, %y: memref<4xi32>) {
  // expected-error @below {{expected 'input' and destination of one static shape whose rows 3 ranks divide, got 'memref<4xi32>' and 'memref<4xi32>'}}
  dsv2.all_to_all ins(%x : memref<4xi32>) outs(%y : memref<4xi32>) on @mesh ep
  return
}

// -----

// all_to_all_c3
dsv2.mesh @mesh tp 1 ep 4
func.func @all_to_all_result(%x: tensor<4xi32>, %y: tensor<4xi32>) {
  // expected-error @below {{expected a result of the destination's type}}
  dsv2.all_to_all ins(%x : tensor<4xi32>) outs(%y : tensor<4xi32>) on @mesh ep
  return
}

// -----

// all_to_all_c4, F091
dsv2.mesh @mesh tp 1 ep 4
func.func @all_to_all_branch(%x: memref<4xi32>, %y: memref<4xi32>, %c: i1) {
  // expected-note @below {{it stands in this op}}
  scf.if %c {
    // expected-error @below {{expected nothing but loops of counted trips}}
    dsv2.all_to_all ins(%x : memref<4xi32>) outs(%y : memref<4xi32>) on @mesh ep
  }
  return
}

// -----

// all_to_all_v_c1
func.func @rows_mesh(%x: memref<?x64xf32>, %c: memref<4xi32>) {
  // expected-error @below {{expected 'mesh' to name a dsv2.mesh, got @mesh}}
  %n = dsv2.all_to_all_v ins(%x : memref<?x64xf32>) send(%c : memref<4xi32>) receive(%c : memref<4xi32>) outs(%x : memref<?x64xf32>) on @mesh ep
  return
}

// -----

// all_to_all_v_c2
dsv2.mesh @mesh tp 1 ep 4
func.func @rows_width(%x: memref<?x64xf32>, %y: memref<?x32xf32>, %c: memref<4xi32>) {
  // expected-error @below {{expected 'input' and destination to be rows of the same elements, got 'memref<?x64xf32>' and 'memref<?x32xf32>'}}
  %n = dsv2.all_to_all_v ins(%x : memref<?x64xf32>) send(%c : memref<4xi32>) receive(%c : memref<4xi32>) outs(%y : memref<?x32xf32>) on @mesh ep
  return
}

// -----

// all_to_all_v_c3
dsv2.mesh @mesh tp 1 ep 4
func.func @rows_counts(%x: memref<?x64xf32>, %c: memref<4xi32>, %d: memref<8xi32>) {
  // expected-error @below {{expected i32 counts for each of 4 ranks, got 'memref<8xi32>'}}
  %n = dsv2.all_to_all_v ins(%x : memref<?x64xf32>) send(%c : memref<4xi32>) receive(%d : memref<8xi32>) outs(%x : memref<?x64xf32>) on @mesh ep
  return
}

// -----

// all_to_all_v_c4
dsv2.mesh @mesh tp 1 ep 4
func.func @rows_result(%x: tensor<?x64xf32>, %c: tensor<4xi32>) {
  // expected-error @below {{expected a result of the destination's type}}
  %n = dsv2.all_to_all_v ins(%x : tensor<?x64xf32>) send(%c : tensor<4xi32>) receive(%c : tensor<4xi32>) outs(%x : tensor<?x64xf32>) on @mesh ep
  return
}

// -----

// all_to_all_v_c5, F091
dsv2.mesh @mesh tp 1 ep 4
func.func @rows_branch(%x: memref<?x64xf32>, %c: memref<4xi32>, %b: i1) {
  // expected-note @below {{it stands in this op}}
  scf.if %b {
    // expected-error @below {{expected nothing but loops of counted trips}}
    %n = dsv2.all_to_all_v ins(%x : memref<?x64xf32>) send(%c : memref<4xi32>) receive(%c : memref<4xi32>) outs(%x : memref<?x64xf32>) on @mesh ep
  }
  return
}

// -----

// exchange_pack_c1
func.func @pack_weights(%x: tensor<?x64xf32>, %i: tensor<?x2xi32>, %w: tensor<?x3xf32>) {
  // expected-error @below {{expected 'weights' of shape [?, 2], got [?, 3]}}
  %r, %c, %p = dsv2.exchange_pack %x, %i, %w experts 2 ranks 4 : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x3xf32> -> tensor<?x68xf32>, tensor<4xi32>, tensor<?x4xi32>
  return
}

// -----

// exchange_pack_c2
func.func @pack_rows(%x: tensor<?x64xf32>, %i: tensor<?x2xi32>, %w: tensor<?x2xf32>) {
  // expected-error @below {{expected 'rows' of shape [?, 68], got [?, 64]}}
  %r, %c, %p = dsv2.exchange_pack %x, %i, %w experts 2 ranks 4 : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x64xf32>, tensor<4xi32>, tensor<?x4xi32>
  return
}

// -----

// exchange_pack_c2
func.func @pack_places(%x: tensor<?x64xf32>, %i: tensor<?x2xi32>, %w: tensor<?x2xf32>) {
  // expected-error @below {{expected 'places' of shape [?, 4], got [?, 2]}}
  %r, %c, %p = dsv2.exchange_pack %x, %i, %w experts 2 ranks 4 : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x68xf32>, tensor<4xi32>, tensor<?x2xi32>
  return
}

// -----

// exchange_pack_c3
func.func @pack_ranks(%x: tensor<?x64xf32>, %i: tensor<?x2xi32>, %w: tensor<?x2xf32>) {
  // expected-error @below {{expected 'experts' and 'ranks' to be positive, got 2 and 0}}
  %r, %c, %p = dsv2.exchange_pack %x, %i, %w experts 2 ranks 0 : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x68xf32>, tensor<4xi32>, tensor<?x4xi32>
  return
}

// -----

// exchange_unpack_c1
func.func @unpack(%r: tensor<?x66xf32>) {
  // expected-error @below {{expected 'rows' of shape [?, 68], got [?, 66]}}
  %x, %i, %w = dsv2.exchange_unpack %r : tensor<?x66xf32> -> tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  return
}

// -----

// exchange_combine_c1
func.func @combine(%r: tensor<?x64xf32>, %p: tensor<?x4xi32>) {
  // expected-error @below {{expected 'result' of shape [?, 64], got [?, 32]}}
  %y = dsv2.exchange_combine %r, %p : tensor<?x64xf32>, tensor<?x4xi32> -> tensor<?x32xf32>
  return
}

// -----

// exchange_pack_c4
func.func @pack_capacity(%x: tensor<?x64xf32>, %i: tensor<?x2xi32>, %w: tensor<?x2xf32>) {
  // expected-error @below {{expected 'rows' to have 32 rows, got 'tensor<?x68xf32>'}}
  %r, %c, %p = dsv2.exchange_pack %x, %i, %w experts 2 ranks 4 capacity 8 : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x68xf32>, tensor<4xi32>, tensor<?x4xi32>
  return
}

// -----

// exchange_pack_c4: the number of rows would not fit.
func.func @pack_large_capacity(%x: tensor<?x64xf32>, %i: tensor<?x2xi32>, %w: tensor<?x2xf32>) {
  // expected-error @below {{expected 'capacity' to be positive and below 2^31 rows of all ranks, got 4294967296}}
  %r, %c, %p = dsv2.exchange_pack %x, %i, %w experts 2 ranks 4 capacity 4294967296 : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x68xf32>, tensor<4xi32>, tensor<?x4xi32>
  return
}

// -----

// check_capacity_c1
func.func @dynamic_counts(%c: tensor<?xi32>) {
  // expected-error @below {{expected a static number of i32 counts, got 'tensor<?xi32>'}}
  dsv2.check_capacity %c capacity 8 : tensor<?xi32>
  return
}

// -----

// check_capacity_c2
func.func @no_capacity(%c: tensor<4xi32>) {
  // expected-error @below {{expected 'capacity' to be positive, got 0}}
  dsv2.check_capacity %c capacity 0 : tensor<4xi32>
  return
}

// -----

// all_to_all_v_c6: what is still arriving may not be read.
dsv2.mesh @mesh tp 1 ep 4
func.func @read_early(%x: tensor<?x64xf32>, %c: tensor<4xi32>, %e: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // expected-error @below {{expected one dsv2.comm_wait, and nothing else, to read what an async exchange receives}}
  %y, %n = dsv2.all_to_all_v ins(%x : tensor<?x64xf32>) send(%c : tensor<4xi32>) receive(%c : tensor<4xi32>) outs(%e : tensor<?x64xf32>) on @mesh ep async -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// comm_wait_c1
func.func @wait_mesh(%x: memref<?x64xf32>, %c: memref<4xi32>) {
  // expected-error @below {{expected 'mesh' to name a dsv2.mesh, got @mesh}}
  %n = dsv2.all_to_all_v ins(%x : memref<?x64xf32>) send(%c : memref<4xi32>) receive(%c : memref<4xi32>) outs(%x : memref<?x64xf32>) on @mesh ep async
  dsv2.comm_wait ins(%x : memref<?x64xf32>) outs(%x : memref<?x64xf32>) on @mesh ep
  return
}

// -----

// comm_wait_c2
dsv2.mesh @mesh tp 1 ep 4
func.func @wait_result(%x: tensor<?x64xf32>) {
  // expected-error @below {{expected a result of the destination's type}}
  dsv2.comm_wait ins(%x : tensor<?x64xf32>) outs(%x : tensor<?x64xf32>) on @mesh ep
  return
}

// -----

// comm_wait_c3, F091
dsv2.mesh @mesh tp 1 ep 4
func.func @wait_branch(%x: memref<?x64xf32>, %b: i1) {
  // expected-note @below {{it stands in this op}}
  scf.if %b {
    // expected-error @below {{expected nothing but loops of counted trips}}
    dsv2.comm_wait ins(%x : memref<?x64xf32>) outs(%x : memref<?x64xf32>) on @mesh ep
  }
  return
}

// -----

// comm_wait_c4
dsv2.mesh @mesh tp 1 ep 4
func.func @wait_alone(%x: memref<?x64xf32>) {
  // expected-error @below {{expected an async exchange before it as the last collective on ep}}
  dsv2.comm_wait ins(%x : memref<?x64xf32>) outs(%x : memref<?x64xf32>) on @mesh ep
  return
}

// -----

// comm_wait_c4: nothing else may be exchanged on the axis in between.
dsv2.mesh @mesh tp 1 ep 4
func.func @wait_between(%x: memref<?x64xf32>, %c: memref<4xi32>) {
  %n = dsv2.all_to_all_v ins(%x : memref<?x64xf32>) send(%c : memref<4xi32>) receive(%c : memref<4xi32>) outs(%x : memref<?x64xf32>) on @mesh ep async
  dsv2.all_reduce outs(%x : memref<?x64xf32>) on @mesh ep
  // expected-error @below {{expected an async exchange before it as the last collective on ep}}
  dsv2.comm_wait ins(%x : memref<?x64xf32>) outs(%x : memref<?x64xf32>) on @mesh ep
  return
}
