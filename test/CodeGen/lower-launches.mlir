// RUN: dsv2-opt %s --dsv2-lower-launches | FileCheck %s

// CHECK: module attributes {dsv2.manifest = {sites = [{level = 1 : i64, name = "h", op = "h"}, {exchanged = true, level = 2 : i64, name = "mlp.experts", op = "mlp.experts"}, {largest = 32 : i64, level = 0 : i64, name = "h", op = "h"}]}}
// CHECK-LABEL: func.func @step(
// CHECK-SAME: llvm.emit_c_interface
func.func private @step(%x: memref<?x64xf32>, %table: memref<?xi64>, %i: index,
    %context: !llvm.ptr, %level: i32) attributes {dsv2.entry = "decode"} {
  // The address is read from the table; instances are adjacent.
  // CHECK: memref.load %{{.*}} : memref<?xi64>
  // CHECK: llvm.inttoptr
  // CHECK: arith.constant 256 : index
  // CHECK: llvm.getelementptr
  %w = dsv2.weight_view %table[3] at %i : memref<?xi64> -> memref<64xf32>
  // CHECK: omp.parallel
  // CHECK: call @omp_get_thread_num
  // CHECK: call @omp_get_num_threads
  // CHECK: func.call @kernel
  // CHECK: omp.terminator
  dsv2.launch @kernel ins(%w : memref<64xf32>) outs(%x : memref<?x64xf32>)
  // Few rows run here, more on the team.
  // CHECK: scf.if
  // CHECK-NEXT: %[[ZERO:.*]] = arith.constant 0
  // CHECK-NEXT: %[[ONE:.*]] = arith.constant 1
  // CHECK-NEXT: call @kernel(%{{.*}}, %{{.*}}, %[[ZERO]], %[[ONE]])
  // CHECK: else
  // CHECK: omp.parallel
  dsv2.launch @kernel serial_below 16 ins(%w : memref<64xf32>) outs(%x : memref<?x64xf32>)
  // A kernel with shares: the first is that of the thread, the others go to
  // whoever comes first, by a counter that starts from 0 every time.
  // CHECK: %[[NONE:.*]] = arith.constant 0 : i64
  // CHECK: memref.store %[[NONE]], %[[COUNTER:.*]][%{{.*}}] : memref<1xi64>
  // CHECK: omp.parallel
  // CHECK: %[[THREAD:.*]] = arith.index_cast
  // CHECK: %[[THREADS:.*]] = arith.index_cast
  // CHECK: %[[MANY:.*]] = arith.muli %[[THREADS]], %{{.*}} : index
  // CHECK: %[[SHARES:.*]] = arith.select %{{.*}}, %{{.*}}, %[[MANY]] : index
  // CHECK: scf.while (%{{.*}} = %[[THREAD]])
  // CHECK: arith.cmpi slt, %{{.*}}, %[[SHARES]] : index
  // CHECK: func.call @shared(%{{.*}}, %{{.*}}, %[[SHARE:.*]], %[[SHARES]])
  // CHECK: %[[TAKEN:.*]] = memref.atomic_rmw addi %{{.*}}, %[[COUNTER]][%{{.*}}]
  // CHECK: %[[TAKEN_INDEX:.*]] = arith.index_cast %[[TAKEN]]
  // CHECK: %[[NEXT:.*]] = arith.addi %[[THREADS]], %[[TAKEN_INDEX]]
  // CHECK: scf.yield %[[NEXT]]
  // CHECK: omp.terminator
  dsv2.launch @shared ins(%w : memref<64xf32>) outs(%x : memref<?x64xf32>)
  // A tap is a call behind a comparison with the step's level.
  // CHECK: arith.cmpi sge
  // CHECK: scf.if
  // CHECK: call @dsv2rt_tap
  dsv2.tap %x site "h" level 1 : memref<?x64xf32>
  // Rows of other ranks are of no sequence of this one.
  dsv2.tap %x site "mlp.experts" level 2 exchanged : memref<?x64xf32>
  // What is the largest of several is another site than those.
  dsv2.tap %x site "h" level 0 largest 32 : memref<?x64xf32>
  return
}

func.func private @kernel(%w: memref<64xf32>, %x: memref<?x64xf32>, %part: index, %parts: index) {
  return
}

func.func private @shared(%w: memref<64xf32>, %x: memref<?x64xf32>, %part: index, %parts: index) attributes {dsv2.shares = 4 : i64} {
  return
}
