// RUN: dsv2-opt %s --dsv2-verify-stage=stage=buffer -split-input-file -verify-diagnostics

func.func @tensor(%x: tensor<?x64xf32>) -> index {
  %c0 = arith.constant 0 : index
  // expected-error @below {{at the end of the buffer stage: has a tensor}}
  %d = tensor.dim %x, %c0 : tensor<?x64xf32>
  return %d : index
}

// -----

func.func @alloc() {
  // expected-error @below {{at the end of the buffer stage: allocates on the step path}}
  %a = memref.alloc() : memref<4xf32>
  return
}
