// RUN: dsv2-opt %s --dsv2-fuse-launches | FileCheck %s

!rows = memref<?x?xf32, strided<[?, 1], offset: ?>>
!bytes = memref<?x?xi8, strided<[?, 1], offset: ?>>

func.func private @norm(!rows, memref<8xf32>, !rows, index, index) attributes {dsv2.rows}
func.func private @quantize(!rows, !bytes, index, index) attributes {dsv2.rows}
func.func private @append(!rows, !rows, memref<?x8xf32>, index, index) attributes {dsv2.rows}
func.func private @product(!bytes, !rows, index, index)
func.func private @read(memref<?x8xf32>, !rows, index, index)

// The rows of a norm and of the quantisation that reads them, a few at a time.
// A tap of a result moves behind the launch.
// CHECK-LABEL: func.func @chain
// CHECK: %[[F:.*]]:2 = dsv2.launch @norm__quantize serial_below 16 ins(%arg0, %arg1 : tensor<?x8xf32>, memref<8xf32>) outs(
// CHECK-NEXT: dsv2.tap %[[F]]#0 site "norm"
// CHECK-NEXT: dsv2.launch @product ins(%[[F]]#1
// CHECK-NOT: dsv2.launch
// CHECK: return
func.func @chain(%x: tensor<?x8xf32>, %w: memref<8xf32>, %n: index) -> tensor<?x8xf32> {
  %a = tensor.empty(%n) : tensor<?x8xf32>
  %y = dsv2.launch @norm serial_below 16 ins(%x, %w : tensor<?x8xf32>, memref<8xf32>) outs(%a : tensor<?x8xf32>) -> tensor<?x8xf32>
  dsv2.tap %y site "norm" level 2 : tensor<?x8xf32>
  %b = tensor.empty(%n) : tensor<?x40xi8>
  %q = dsv2.launch @quantize serial_below 16 ins(%y : tensor<?x8xf32>) outs(%b : tensor<?x40xi8>) -> tensor<?x40xi8>
  %c = tensor.empty(%n) : tensor<?x8xf32>
  %p = dsv2.launch @product ins(%q : tensor<?x40xi8>) outs(%c : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %p : tensor<?x8xf32>
}

// A launch moves forward to what it reads, over those that do not touch it.
// CHECK-LABEL: func.func @forward
// CHECK: dsv2.launch @norm__quantize
// CHECK: dsv2.launch @product
// CHECK: dsv2.launch @product
// CHECK-NOT: dsv2.launch
// CHECK: return
func.func @forward(%x: tensor<?x8xf32>, %w: memref<8xf32>, %old: tensor<?x40xi8>, %n: index)
    -> (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) {
  %a = tensor.empty(%n) : tensor<?x8xf32>
  %b = tensor.empty(%n) : tensor<?x40xi8>
  %y = dsv2.launch @norm serial_below 16 ins(%x, %w : tensor<?x8xf32>, memref<8xf32>) outs(%a : tensor<?x8xf32>) -> tensor<?x8xf32>
  %p = dsv2.launch @product ins(%old : tensor<?x40xi8>) outs(%y : tensor<?x8xf32>) -> tensor<?x8xf32>
  %q = dsv2.launch @quantize serial_below 16 ins(%y : tensor<?x8xf32>) outs(%b : tensor<?x40xi8>) -> tensor<?x40xi8>
  %r = dsv2.launch @product ins(%q : tensor<?x40xi8>) outs(%a : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %p, %r, %y : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>
}

// What writes memory ends where somebody else may read it, and what follows
// does not join.
// CHECK-LABEL: func.func @effects
// CHECK: dsv2.launch @norm__append
// CHECK-NEXT: dsv2.launch @read
// CHECK: dsv2.launch @norm serial_below
// CHECK: return
func.func @effects(%x: tensor<?x8xf32>, %w: memref<8xf32>, %cache: memref<?x8xf32>, %n: index)
    -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %a = tensor.empty(%n) : tensor<?x8xf32>
  %y = dsv2.launch @norm serial_below 16 ins(%x, %w : tensor<?x8xf32>, memref<8xf32>) outs(%a : tensor<?x8xf32>) -> tensor<?x8xf32>
  dsv2.launch @append serial_below 16 ins(%y, %y, %cache : tensor<?x8xf32>, tensor<?x8xf32>, memref<?x8xf32>)
  %c = tensor.empty(%n) : tensor<?x8xf32>
  %r = dsv2.launch @read ins(%cache : memref<?x8xf32>) outs(%c : tensor<?x8xf32>) -> tensor<?x8xf32>
  %z = dsv2.launch @norm serial_below 16 ins(%r, %w : tensor<?x8xf32>, memref<8xf32>) outs(%a : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %r, %z : tensor<?x8xf32>, tensor<?x8xf32>
}

// Other numbers of rows, other thresholds, memory that somebody has given, and
// kernels that do not work row by row.
// CHECK-LABEL: func.func @apart
// CHECK-COUNT-5: dsv2.launch @{{norm|quantize}} serial_below
// CHECK-NOT: dsv2.launch
// CHECK: return
func.func @apart(%x: tensor<?x8xf32>, %given: tensor<?x8xf32>, %w: memref<8xf32>, %n: index, %m: index)
    -> (tensor<?x8xf32>, tensor<?x40xi8>, tensor<?x8xf32>, tensor<?x40xi8>, tensor<?x40xi8>) {
  %a = tensor.empty(%n) : tensor<?x8xf32>
  %b = tensor.empty(%m) : tensor<?x40xi8>
  %c = tensor.empty(%n) : tensor<?x40xi8>
  %y = dsv2.launch @norm serial_below 16 ins(%x, %w : tensor<?x8xf32>, memref<8xf32>) outs(%a : tensor<?x8xf32>) -> tensor<?x8xf32>
  %q = dsv2.launch @quantize serial_below 16 ins(%y : tensor<?x8xf32>) outs(%b : tensor<?x40xi8>) -> tensor<?x40xi8>
  %z = dsv2.launch @norm serial_below 16 ins(%x, %w : tensor<?x8xf32>, memref<8xf32>) outs(%given : tensor<?x8xf32>) -> tensor<?x8xf32>
  %s = dsv2.launch @quantize serial_below 8 ins(%y : tensor<?x8xf32>) outs(%c : tensor<?x40xi8>) -> tensor<?x40xi8>
  %t = dsv2.launch @quantize serial_below 4 ins(%z : tensor<?x8xf32>) outs(%c : tensor<?x40xi8>) -> tensor<?x40xi8>
  return %y, %q, %z, %s, %t : tensor<?x8xf32>, tensor<?x40xi8>, tensor<?x8xf32>, tensor<?x40xi8>, tensor<?x40xi8>
}

// The same kernels connected otherwise are another kernel; connected the same
// way, they are not.
// CHECK-LABEL: func.func @wiring
// CHECK: dsv2.launch @norm__quantize__1 serial_below
// CHECK: return
// CHECK-LABEL: func.func @again
// CHECK: dsv2.launch @norm__quantize serial_below
func.func @wiring(%x: tensor<?x8xf32>, %w: memref<8xf32>, %n: index) -> (tensor<?x8xf32>, tensor<?x40xi8>) {
  %a = tensor.empty(%n) : tensor<?x8xf32>
  %b = tensor.empty(%n) : tensor<?x40xi8>
  %y = dsv2.launch @norm serial_below 16 ins(%x, %w : tensor<?x8xf32>, memref<8xf32>) outs(%a : tensor<?x8xf32>) -> tensor<?x8xf32>
  %q = dsv2.launch @quantize serial_below 16 ins(%x : tensor<?x8xf32>) outs(%b : tensor<?x40xi8>) -> tensor<?x40xi8>
  return %y, %q : tensor<?x8xf32>, tensor<?x40xi8>
}
func.func @again(%x: tensor<?x8xf32>, %w: memref<8xf32>, %n: index) -> (tensor<?x8xf32>, tensor<?x40xi8>) {
  %a = tensor.empty(%n) : tensor<?x8xf32>
  %b = tensor.empty(%n) : tensor<?x40xi8>
  %y = dsv2.launch @norm serial_below 16 ins(%x, %w : tensor<?x8xf32>, memref<8xf32>) outs(%a : tensor<?x8xf32>) -> tensor<?x8xf32>
  %q = dsv2.launch @quantize serial_below 16 ins(%y : tensor<?x8xf32>) outs(%b : tensor<?x40xi8>) -> tensor<?x40xi8>
  return %y, %q : tensor<?x8xf32>, tensor<?x40xi8>
}

// CHECK-LABEL: func.func private @norm__quantize(
// CHECK-SAME: %[[X:.*]]: memref<{{.*}}>, %[[W:.*]]: memref<8xf32>, %[[Y:.*]]: memref<{{.*}}>, %[[Q:.*]]: memref<?x?xi8, {{.*}}>, %[[PART:.*]]: index, %[[PARTS:.*]]: index)
// CHECK-DAG: %[[C4:.*]] = arith.constant 4 : index
// CHECK-DAG: %[[ROWS:.*]] = memref.dim %[[Y]]
// CHECK: %[[EACH:.*]] = arith.muli %[[PARTS]], %[[C4]]
// CHECK: arith.ceildivui %[[ROWS]], %[[EACH]]
// CHECK: %[[PIECES:.*]] = arith.maxui
// CHECK: %[[FIRST:.*]] = arith.muli %[[PART]], %[[PIECES]]
// CHECK: %[[ALL:.*]] = arith.muli %[[PARTS]], %[[PIECES]]
// CHECK: scf.for %[[I:.*]] = %{{.*}} to %[[PIECES]]
// CHECK: %[[P:.*]] = arith.addi %[[FIRST]], %[[I]]
// CHECK: call @norm(%[[X]], %[[W]], %[[Y]], %[[P]], %[[ALL]])
// CHECK: call @quantize(%[[Y]], %[[Q]], %[[P]], %[[ALL]])
