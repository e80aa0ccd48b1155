// RUN: dsv2-opt --allow-unregistered-dialect %s | dsv2-opt --allow-unregistered-dialect | FileCheck %s
// RUN: dsv2-opt --allow-unregistered-dialect %s --mlir-print-op-generic | dsv2-opt --allow-unregistered-dialect | FileCheck %s
// RUN: dsv2-opt --allow-unregistered-dialect %s --emit-bytecode | dsv2-opt --allow-unregistered-dialect | FileCheck %s

// Attributes, types and marks on functions and modules.

// Floats keep every bit: the shortest decimal form if it reads back as the same
// value, else more digits.
// CHECK: rope = #dsv2.rope<dim = 64, theta = 1.000000e+04>
// CHECK-SAME: scaled = #dsv2.rope<dim = 64, theta = 50000.123456788999, yarn = #dsv2.yarn<factor = 4.000000e+01, original_max = 4096, beta_fast = 3.200000e+01, beta_slow = 1.000000e+00, mscale = 7.070000e-01, mscale_all_dim = 0.000000e+00>>
// CHECK-SAME: yarn = #dsv2.yarn<factor = 1.000000e+00, original_max = 1, beta_fast = 1.000000e+00, beta_slow = 1.000000e+00, mscale = 0.000000e+00, mscale_all_dim = 1.000000e-01>
"test.attributes"() {
  rope = #dsv2.rope<dim = 64, theta = 1.0e+04>,
  scaled = #dsv2.rope<dim = 64, theta = 50000.123456789,
                      yarn = <factor = 40.0, original_max = 4096,
                              beta_fast = 32.0, beta_slow = 1.0,
                              mscale = 0.707, mscale_all_dim = 0.0>>,
  yarn = #dsv2.yarn<factor = 1.0, original_max = 1, beta_fast = 1.0,
                    beta_slow = 1.0, mscale = 0.0, mscale_all_dim = 0.1>
} : () -> ()

// CHECK: "test.types"() : () -> (tensor<7xf32, #dsv2.packed<dense, 1>>, tensor<33x7xf32, #dsv2.packed<panels, 32>>, tensor<2x33x7xbf16, #dsv2.packed<gated_panels, 16>>, tensor<2x33x7xbf16, #dsv2.packed<gated_rows, 8>>, tensor<4x33x7xf32, #dsv2.packed<transposed_panels, 8>>, tensor<2x33x7xf32, #dsv2.packed<gated_rows, 8, q8>>, tensor<33x7xf32, #dsv2.packed<rows, 1, q4>>, tensor<4x33x7xf32, #dsv2.packed<transposed_rows, 1, q8>>, tensor<33x7xf32, #dsv2.packed<rows, 1, fp8>>, !dsv2.latent_cache<latent = 512, rope = 64, format = bf16, page = 64>, !dsv2.latent_cache<latent = 32, rope = 8, format = f32, page = 16>, !dsv2.latent_cache<latent = 32, rope = 8, format = q8, page = 16>, !dsv2.latent_cache<latent = 32, rope = 8, format = q6, page = 16>)
%0:13 = "test.types"() : () -> (
  tensor<7xf32, #dsv2.packed<dense, 1>>,
  tensor<33x7xf32, #dsv2.packed<panels, 32>>,
  tensor<2x33x7xbf16, #dsv2.packed<gated_panels, 16>>,
  tensor<2x33x7xbf16, #dsv2.packed<gated_rows, 8>>,
  tensor<4x33x7xf32, #dsv2.packed<transposed_panels, 8>>,
  tensor<2x33x7xf32, #dsv2.packed<gated_rows, 8, q8>>,
  tensor<33x7xf32, #dsv2.packed<rows, 1, q4>>,
  tensor<4x33x7xf32, #dsv2.packed<transposed_rows, 1, q8>>,
  tensor<33x7xf32, #dsv2.packed<rows, 1, fp8>>,
  !dsv2.latent_cache<latent = 512, rope = 64, format = bf16, page = 64>,
  !dsv2.latent_cache<latent = 32, rope = 8, format = f32, page = 16>,
  !dsv2.latent_cache<latent = 32, rope = 8, format = q8, page = 16>,
  !dsv2.latent_cache<latent = 32, rope = 8, format = q6, page = 16>)

// CHECK: func.func private @step_decode() attributes {dsv2.entry = "decode", dsv2.form = "absorbed"}
func.func private @step_decode()
  attributes {dsv2.entry = "decode", dsv2.form = "absorbed"}
// CHECK: func.func private @prepare() attributes {dsv2.experts = 64 : i64, dsv2.prepare}
func.func private @prepare() attributes {dsv2.prepare, dsv2.experts = 64}
// CHECK: func.func private @prepare_body(%{{.*}}: tensor<4xf32>) attributes {dsv2.layers = array<i64: 0, 3>, dsv2.prepare, dsv2.sources = ["l.{layer}.w"]}
func.func private @prepare_body(%w: tensor<4xf32>)
  attributes {dsv2.prepare, dsv2.sources = ["l.{layer}.w"],
              dsv2.layers = array<i64: 0, 3>} {
  return
}
// CHECK: func.func private @sized(memref<?xi32> {dsv2.size = "tokens"})
func.func private @sized(memref<?xi32> {dsv2.size = "tokens"})
// CHECK: module attributes {dsv2.prefill_min_tokens = 171 : i64, dsv2.target_cpu = "x86-64-v3"}
module attributes {dsv2.prefill_min_tokens = 171, dsv2.target_cpu = "x86-64-v3"} {}
// CHECK: module attributes {dsv2.manifest = {version = 1 : i64}}
module attributes {dsv2.manifest = {version = 1}} {}
