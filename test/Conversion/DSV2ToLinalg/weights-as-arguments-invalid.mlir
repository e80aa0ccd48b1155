// RUN: dsv2-opt %s --dsv2-convert-to-linalg=weights-as-arguments=true -split-input-file -verify-diagnostics

// expected-error @below {{function 'recursive' calls itself, so its weights cannot become arguments}}
func.func @recursive(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %w = dsv2.weight "norm" : tensor<4xbf16>
  %0 = dsv2.rms_norm %x, %w eps 1.0e-6 : tensor<?x4xf32>, tensor<4xbf16>
  %1 = call @recursive(%0) : (tensor<?x4xf32>) -> tensor<?x4xf32>
  return %1 : tensor<?x4xf32>
}

// -----

// expected-note @below {{function is here}}
func.func @layer(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %w = dsv2.weight "norm" : tensor<4xbf16>
  %0 = dsv2.rms_norm %x, %w eps 1.0e-6 : tensor<?x4xf32>, tensor<4xbf16>
  return %0 : tensor<?x4xf32>
}

func.func @indirect() -> ((tensor<?x4xf32>) -> tensor<?x4xf32>) {
  // expected-error @below {{weights of function 'layer' cannot become arguments, since it is used other than by a call}}
  %f = func.constant @layer : (tensor<?x4xf32>) -> tensor<?x4xf32>
  return %f : (tensor<?x4xf32>) -> tensor<?x4xf32>
}
