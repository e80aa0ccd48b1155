// The pipeline leaves the LLVM and NVVM dialects alone; what it cannot lower is
// in F100-leftover.mlir.

// RUN: dsv2-opt %s --dsv2-lower-device-to-llvm | FileCheck %s

// CHECK-LABEL: llvm.func @everything
// CHECK-NOT: arith.
// CHECK-NOT: scf.
// CHECK-NOT: cf.
// CHECK-NOT: vector.
// CHECK-NOT: index.
// CHECK: nvvm.barrier0
// CHECK: llvm.cond_br
// CHECK: llvm.return
gpu.module @dsv2_kernels {
  llvm.func @everything(%x: !llvm.ptr<1>, %n: i64) attributes {nvvm.kernel} {
    nvvm.barrier0
    %c0 = arith.constant 0 : index
    %c1 = index.constant 1
    %end = arith.index_cast %n : i64 to index
    %zero = arith.constant dense<0.0> : vector<4xf32>
    %sum = scf.for %i = %c0 to %end step %c1 iter_args(%value = %zero) -> (vector<4xf32>) {
      %position = arith.index_cast %i : index to i64
      %from = llvm.getelementptr %x[%position] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, vector<4xf32>
      %loaded = llvm.load %from : !llvm.ptr<1> -> vector<4xf32>
      %next = vector.fma %loaded, %loaded, %value : vector<4xf32>
      scf.yield %next : vector<4xf32>
    }
    %narrow = arith.truncf %sum : vector<4xf32> to vector<4xbf16>
    %root = math.sqrt %sum : vector<4xf32>
    %first = vector.extract %root[0] : f32 from vector<4xf32>
    %positive = arith.cmpf ogt, %first, %first : f32
    cf.cond_br %positive, ^store, ^done
  ^store:
    llvm.store %narrow, %x : vector<4xbf16>, !llvm.ptr<1>
    cf.br ^done
  ^done:
    llvm.return
  }
}
