// RUN: dsv2-opt %s --dsv2-lower-launches -split-input-file -verify-diagnostics

func.func @tensor(%x: tensor<?x64xf32>, %context: !llvm.ptr, %level: i32) {
  // expected-error @below {{expected buffers, got an operand of type 'tensor<?x64xf32>'}}
  dsv2.tap %x site "x" level 1 : tensor<?x64xf32>
  return
}

// -----

func.func @arguments(%x: memref<?x64xf32>) {
  // expected-error @below {{expected a function whose last arguments are the context and the tap level}}
  dsv2.tap %x site "x" level 1 : memref<?x64xf32>
  return
}

// -----

func.func private @step(%x: memref<?x64xf32>, %context: !llvm.ptr, %level: i32) {
  dsv2.launch @no_shares outs(%x : memref<?x64xf32>)
  return
}

// Without shares nothing would be computed.
// expected-error @below {{expected 'dsv2.shares' to be an i64 from 1 to 1024, got 0 : i64}}
func.func private @no_shares(%x: memref<?x64xf32>, %part: index, %parts: index) attributes {dsv2.shares = 0} {
  return
}
