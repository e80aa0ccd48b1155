// RUN: dsv2-opt %s --dsv2-link-reference | FileCheck %s --implicit-check-not="module @reference"

// CHECK: module attributes {dsv2.manifest = {
// CHECK-SAME: convert = {F32 = "_mlir_ciface_convert_f32"}
// What the reference is made of goes into the manifest, conversions are shared.
// CHECK-SAME: reference = {
// CHECK-SAME: convert = {F32 = "_mlir_ciface_convert_f32"}
// CHECK-SAME: copy_pages = "_mlir_ciface_reference_copy_pages"
// CHECK-SAME: symbol = "_mlir_ciface_reference_step"
// CHECK-SAME: workspace = "reference_step_workspace"
// CHECK-SAME: sites = ["a"]
module attributes {dsv2.manifest = {convert = {F32 = "_mlir_ciface_convert_f32"}}} {
  // CHECK: llvm.func @malloc(i64) -> !llvm.ptr
  llvm.func @malloc(i64) -> !llvm.ptr
  // CHECK-NOT: llvm.func @malloc
  llvm.func @step() attributes {dsv2.entry = "decode"} { llvm.return }
  module @reference attributes {dsv2.manifest = {sites = ["a"]}} {
    llvm.func @malloc(i64) -> !llvm.ptr
    // CHECK: llvm.func @expf(f32) -> f32
    llvm.func @expf(f32) -> f32
    // Its own facts are in the manifest now.
    // CHECK: llvm.func @reference_step() attributes {passthrough = ["dsv2-reference"]} {
    llvm.func @reference_step() attributes {dsv2.entry = "decode"} { llvm.return }
    llvm.func @reference_copy_pages() attributes {dsv2.entry = "copy_pages"} { llvm.return }
  }
}
