// RUN: dsv2-opt %s --dsv2-overlap-collectives | FileCheck %s

dsv2.mesh @mesh tp 1 ep 4

// The shared experts stand behind the exchange and do not need it: they move
// between its halves, weights included, in order.
// CHECK-LABEL: @shared
func.func @shared(%x: tensor<?x64xf32>, %rows: tensor<?x64xf32>, %s: tensor<4xi32>, %r: tensor<4xi32>,
                  %e: tensor<?x64xf32>) -> (tensor<?x64xf32>, index) {
  // CHECK: %[[Y:.*]], %[[N:.*]] = dsv2.all_to_all_v ins(%[[ROWS:.*]] : tensor<?x64xf32>) {{.*}} on @mesh ep async
  // CHECK-NEXT: dsv2.weight "gate"
  // CHECK-NEXT: dsv2.weight "up"
  // CHECK-NEXT: dsv2.weight "down"
  // CHECK-NEXT: %[[F:.*]] = dsv2.gated_ffn
  // CHECK-NEXT: %[[W:.*]] = dsv2.comm_wait ins(%[[ROWS]] : tensor<?x64xf32>) outs(%[[Y]] : tensor<?x64xf32>) on @mesh ep -> tensor<?x64xf32>
  // CHECK-NEXT: arith.addf %[[W]], %[[W]]
  %y, %n = dsv2.all_to_all_v ins(%rows : tensor<?x64xf32>) send(%s : tensor<4xi32>) receive(%r : tensor<4xi32>)
    outs(%e : tensor<?x64xf32>) on @mesh ep -> tensor<?x64xf32>
  %z = arith.addf %y, %y : tensor<?x64xf32>
  %gate = dsv2.weight "gate" : tensor<32x64xf32>
  %up = dsv2.weight "up" : tensor<32x64xf32>
  %down = dsv2.weight "down" : tensor<64x32xf32>
  %f = dsv2.gated_ffn %x, %gate, %down up %up : tensor<?x64xf32>, tensor<32x64xf32>, tensor<64x32xf32>, tensor<32x64xf32>
  %sum = arith.addf %z, %f : tensor<?x64xf32>
  return %sum, %n : tensor<?x64xf32>, index
}

// A network that reads what arrives has to wait for it.
// CHECK-LABEL: @dependent
func.func @dependent(%rows: tensor<?x64xf32>, %s: tensor<4xi32>, %r: tensor<4xi32>, %e: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // CHECK-NOT: async
  // CHECK-NOT: comm_wait
  %y, %n = dsv2.all_to_all_v ins(%rows : tensor<?x64xf32>) send(%s : tensor<4xi32>) receive(%r : tensor<4xi32>)
    outs(%e : tensor<?x64xf32>) on @mesh ep -> tensor<?x64xf32>
  %gate = dsv2.weight "gate" : tensor<32x64xf32>
  %up = dsv2.weight "up" : tensor<32x64xf32>
  %down = dsv2.weight "down" : tensor<64x32xf32>
  %f = dsv2.gated_ffn %y, %gate, %down up %up : tensor<?x64xf32>, tensor<32x64xf32>, tensor<64x32xf32>, tensor<32x64xf32>
  return %f : tensor<?x64xf32>
}
