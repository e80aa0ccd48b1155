// RUN: dsv2-opt %s --dsv2-hoist-weight-preparation -split-input-file -verify-diagnostics

func.func @unpacked(%x: tensor<?x64xf32>) -> tensor<?x32xf32> {
  // expected-note @below {{this weight is not}}
  %w = dsv2.weight "w" : tensor<32x64xbf16>
  // expected-error @below {{expected weights to be packed before use}}
  %0 = dsv2.linear %x, %w : tensor<?x64xf32>, tensor<32x64xbf16> -> tensor<?x32xf32>
  return %0 : tensor<?x32xf32>
}

// -----

func.func @computed() -> tensor<32x64xf32, #dsv2.packed<panels, 32>> {
  %w = dsv2.weight "w" : tensor<32x64xf32>
  // expected-note @below {{got 'arith.addf' here}}
  %s = arith.addf %w, %w : tensor<32x64xf32>
  // expected-error @below {{expected a weight behind static reshapes and slices}}
  %p = dsv2.pack %s : tensor<32x64xf32> -> tensor<32x64xf32, #dsv2.packed<panels, 32>>
  return %p : tensor<32x64xf32, #dsv2.packed<panels, 32>>
}

// -----

func.func @mixed(%i: index) -> tensor<2x32x64xbf16, #dsv2.packed<gated_panels, 32>> {
  %g = dsv2.weight "a.{layer}.g" layers [1] at %i : tensor<32x64xbf16>
  // expected-note @below {{got this tensor too}}
  %u = dsv2.weight "a.{layer}.u" layers [2] at %i : tensor<32x64xbf16>
  // expected-error @below {{expected operands from the same layer and kind of tensor}}
  %p = dsv2.pack %g with %u : tensor<32x64xbf16>, tensor<32x64xbf16> -> tensor<2x32x64xbf16, #dsv2.packed<gated_panels, 32>>
  return %p : tensor<2x32x64xbf16, #dsv2.packed<gated_panels, 32>>
}
