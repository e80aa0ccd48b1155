// RUN: dsv2-opt %s --dsv2-link-reference -split-input-file -verify-diagnostics

module attributes {dsv2.manifest = {}} {
  llvm.func @step() { llvm.return }
  module @reference attributes {dsv2.manifest = {}} {
    // expected-error @below {{'step' of the reference is defined twice}}
    llvm.func @step() { llvm.return }
  }
}

// -----

module attributes {dsv2.manifest = {}} {
  llvm.func @expf(f32) -> f32
  module @reference attributes {dsv2.manifest = {}} {
    // expected-error @below {{'expf' of the reference is defined twice}}
    llvm.func @expf(f64) -> f64
  }
}

// -----

module attributes {dsv2.manifest = {}} {
  // expected-error @below {{expected a manifest from earlier stages, found none}}
  module @reference {
  }
}
