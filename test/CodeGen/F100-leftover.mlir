// RUN: dsv2-opt %s --dsv2-verify-stage=stage=target -verify-diagnostics
//
// F100: what the lowering cannot handle is named with the layer it belongs to.

module {
  llvm.func @layer(%x: f32) {
    // expected-error @below {{'math.erf' op at the end of the target stage: is not in the LLVM or OpenMP dialect}}
    %y = math.erf %x : f32
    llvm.return
  }
}
