// RUN: dsv2-opt %s --dsv2-fuse-collectives | FileCheck %s

dsv2.mesh @mesh tp 2 ep 2

// CHECK-LABEL: @both
func.func @both(%a: tensor<?x64xf32>, %b: tensor<?x64xf32>, %h: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // CHECK-NEXT: %[[S:.*]] = arith.addf %arg0, %arg1
  // CHECK-NEXT: %[[R:.*]] = dsv2.all_reduce outs(%[[S]] : tensor<?x64xf32>) on @mesh tp
  // CHECK-NEXT: arith.addf %arg2, %[[R]]
  %0 = dsv2.all_reduce outs(%a : tensor<?x64xf32>) on @mesh tp -> tensor<?x64xf32>
  %1 = dsv2.all_reduce outs(%b : tensor<?x64xf32>) on @mesh tp -> tensor<?x64xf32>
  %2 = arith.addf %0, %1 : tensor<?x64xf32>
  %3 = arith.addf %h, %2 : tensor<?x64xf32>
  return %3 : tensor<?x64xf32>
}

// Something else needs the first sum: it stays.
// CHECK-LABEL: @read_twice
func.func @read_twice(%a: tensor<?x64xf32>, %b: tensor<?x64xf32>) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  // CHECK-COUNT-2: dsv2.all_reduce
  %0 = dsv2.all_reduce outs(%a : tensor<?x64xf32>) on @mesh tp -> tensor<?x64xf32>
  %1 = dsv2.all_reduce outs(%b : tensor<?x64xf32>) on @mesh tp -> tensor<?x64xf32>
  %2 = arith.addf %0, %1 : tensor<?x64xf32>
  return %2, %0 : tensor<?x64xf32>, tensor<?x64xf32>
}

// Sums over different ranks are different sums.
// CHECK-LABEL: @axes
func.func @axes(%a: tensor<?x64xf32>, %b: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // CHECK: dsv2.all_reduce {{.*}} on @mesh tp
  // CHECK: dsv2.all_reduce {{.*}} on @mesh ep
  %0 = dsv2.all_reduce outs(%a : tensor<?x64xf32>) on @mesh tp -> tensor<?x64xf32>
  %1 = dsv2.all_reduce outs(%b : tensor<?x64xf32>) on @mesh ep -> tensor<?x64xf32>
  %2 = arith.addf %0, %1 : tensor<?x64xf32>
  return %2 : tensor<?x64xf32>
}
