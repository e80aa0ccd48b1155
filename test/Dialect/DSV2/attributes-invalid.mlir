// RUN: dsv2-opt %s -split-input-file -verify-diagnostics -allow-unregistered-dialect

// yarn_c1
// expected-error @below {{expected 'factor' to be finite and at least 1, got 5.000000e-01}}
"test.attribute"() {a = #dsv2.yarn<factor = 0.5, original_max = 64, beta_fast = 32.0, beta_slow = 1.0, mscale = 1.0, mscale_all_dim = 1.0>} : () -> ()

// -----

// yarn_c1
// expected-error @below {{expected 'factor' to be finite and at least 1, got INF}}
"test.attribute"() {a = #dsv2.yarn<factor = 0x7FF0000000000000, original_max = 64, beta_fast = 32.0, beta_slow = 1.0, mscale = 1.0, mscale_all_dim = 1.0>} : () -> ()

// -----

// yarn_c2
// expected-error @below {{expected 'original_max' to be positive, got 0}}
"test.attribute"() {a = #dsv2.yarn<factor = 4.0, original_max = 0, beta_fast = 32.0, beta_slow = 1.0, mscale = 1.0, mscale_all_dim = 1.0>} : () -> ()

// -----

// yarn_c3
// expected-error @below {{expected 'beta_fast' >= 'beta_slow' > 0, got 5.000000e-01 and 1.000000e+00}}
"test.attribute"() {a = #dsv2.yarn<factor = 4.0, original_max = 64, beta_fast = 0.5, beta_slow = 1.0, mscale = 1.0, mscale_all_dim = 1.0>} : () -> ()

// -----

// yarn_c3
// expected-error @below {{expected 'beta_fast' >= 'beta_slow' > 0, got 3.200000e+01 and 0.000000e+00}}
"test.attribute"() {a = #dsv2.yarn<factor = 4.0, original_max = 64, beta_fast = 32.0, beta_slow = 0.0, mscale = 1.0, mscale_all_dim = 1.0>} : () -> ()

// -----

// yarn_c4
// expected-error @below {{expected 'mscale' and 'mscale_all_dim' to be finite and not negative, got -1.000000e+00 and 1.000000e+00}}
"test.attribute"() {a = #dsv2.yarn<factor = 4.0, original_max = 64, beta_fast = 32.0, beta_slow = 1.0, mscale = -1.0, mscale_all_dim = 1.0>} : () -> ()

// -----

// yarn_c4
// expected-error @below {{expected 'mscale' and 'mscale_all_dim' to be finite and not negative, got 1.000000e+00 and nan}}
"test.attribute"() {a = #dsv2.yarn<factor = 4.0, original_max = 64, beta_fast = 32.0, beta_slow = 1.0, mscale = 1.0, mscale_all_dim = 0x7FF8000000000000>} : () -> ()

// -----

// Fields come in order.
// expected-error @below {{expected 'original_max'}}
"test.attribute"() {a = #dsv2.yarn<factor = 4.0, beta_fast = 32.0>} : () -> ()

// -----

// Floats look like floats.
// expected-error @below {{unexpected decimal integer literal for a floating point value}}
// expected-note @below {{add a trailing dot to make the literal a float}}
"test.attribute"() {a = #dsv2.rope<dim = 8, theta = 10000>} : () -> ()

// -----

// rope_attr_c1
// expected-error @below {{expected 'dim' to be positive and even, got 7}}
"test.attribute"() {a = #dsv2.rope<dim = 7, theta = 1.0e+04>} : () -> ()

// -----

// rope_attr_c1
// expected-error @below {{expected 'dim' to be positive and even, got 0}}
"test.attribute"() {a = #dsv2.rope<dim = 0, theta = 1.0e+04>} : () -> ()

// -----

// rope_attr_c2
// expected-error @below {{expected 'theta' to be finite and above 1, got 1.000000e+00}}
"test.attribute"() {a = #dsv2.rope<dim = 8, theta = 1.0>} : () -> ()

// -----

// Another attribute is no YaRN.
// expected-error @below {{expected '<'}}
"test.attribute"() {a = #dsv2.rope<dim = 8, theta = 1.0e+04, yarn = 4 : i64>} : () -> ()

// -----

// packed_c1
// expected-error @below {{expected a positive panel width, got 0}}
"test.attribute"() {a = #dsv2.packed<panels, 0>} : () -> ()

// -----

// packed_c2
// expected-error @below {{expected width 1 for 'dense', which has no panels, got 16}}
"test.attribute"() {a = #dsv2.packed<dense, 16>} : () -> ()

// -----

// packed_c3
// expected-error @below {{expected rank 2 or more for 'panels', got 1}}
"test.type"() : () -> tensor<64xf32, #dsv2.packed<panels, 16>>

// -----

// packed_c3
// expected-error @below {{expected rank 3 or more for 'gated_panels', got 2}}
"test.type"() : () -> tensor<2x64xf32, #dsv2.packed<gated_panels, 16>>

// -----

// packed_c4
// expected-error @below {{expected a static shape for a packed weight}}
"test.type"() : () -> tensor<?x64xf32, #dsv2.packed<panels, 16>>

// -----

// packed_c5
// expected-error @below {{expected the trailing shape [2, N, K] for 'gated_panels', got 3 in place of 2}}
"test.type"() : () -> tensor<3x8x64xf32, #dsv2.packed<gated_panels, 16>>

// -----

// packed_c5
// expected-error @below {{expected the trailing shape [2, N, K] for 'gated_rows', got 3 in place of 2}}
"test.type"() : () -> tensor<3x8x64xf32, #dsv2.packed<gated_rows, 8>>

// -----

// packed_c10
// expected-error @below {{expected rows for the format 'fp8', got 'panels'}}
func.func private @f(tensor<64x64xf32, #dsv2.packed<panels, 32, fp8>>)

// -----

// packed_c9
// expected-error @below {{expected width 1 and a format in blocks for 'rows', got 1 and 'plain'}}
"test.type"() : () -> tensor<8x64xf32, #dsv2.packed<rows, 1>>

// -----

// packed_c9
// expected-error @below {{expected width 1 and a format in blocks for 'transposed_rows', got 8 and 'q4'}}
"test.type"() : () -> tensor<8x64xf32, #dsv2.packed<transposed_rows, 8, q4>>

// -----

// packed_c6
// expected-error @below {{expected f32 or bf16 elements for a packed weight, got 'f16'}}
"test.type"() : () -> tensor<8x64xf16, #dsv2.packed<panels, 16>>

// -----

// An element type that does not parse has no encoding to verify.
// expected-error @below {{undefined symbol alias id 'nope'}}
"test.type"() : () -> tensor<8x64x!nope, #dsv2.packed<panels, 16>>

// -----

// packed_c8
// expected-error @below {{expected a matrix of f32 elements for the format 'q8', got rank 2 and 'bf16'}}
"test.type"() : () -> tensor<64x64xbf16, #dsv2.packed<panels, 16, q8>>

// -----

// packed_c7
// expected-error @below {{expected a packed weight of fewer than 2^63 elements}}
"test.type"() : () -> tensor<4294967296x4294967296xf32, #dsv2.packed<panels, 16>>

// -----

// packed_c7: the padding counts.
// expected-error @below {{expected a packed weight of fewer than 2^63 elements}}
"test.type"() : () -> tensor<1x4294967296xf32, #dsv2.packed<panels, 4294967296>>

// -----

// latent_cache_c1
// expected-error @below {{expected 'latent' to be positive, got 0}}
"test.type"() : () -> !dsv2.latent_cache<latent = 0, rope = 8, format = bf16, page = 16>

// -----

// latent_cache_c2
// expected-error @below {{expected 'rope' to be positive and even, got 7}}
"test.type"() : () -> !dsv2.latent_cache<latent = 32, rope = 7, format = bf16, page = 16>

// -----

// latent_cache_c3
// expected-error @below {{expected 'format' to be f32, bf16, q8 or q6, got 'f16'}}
// expected-error @below {{failed to parse DSV2_LatentCacheType parameter 'format'}}
"test.type"() : () -> !dsv2.latent_cache<latent = 32, rope = 8, format = f16, page = 16>

// -----

// latent_cache_c4
// expected-error @below {{expected 'page' to be positive, got -16}}
"test.type"() : () -> !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = -16>

// -----

// latent_cache_c5
// expected-error @below {{expected a page of at most 268435456 elements, got 9223372036854775807 rows of 32 + 8}}
"test.type"() : () -> !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 9223372036854775807>

// -----

// latent_cache_c5
// expected-error @below {{expected a page of at most 268435456 elements, got 16 rows of 9223372036854775807 + 8}}
"test.type"() : () -> !dsv2.latent_cache<latent = 9223372036854775807, rope = 8, format = bf16, page = 16>

// -----

// latent_cache_c5: a row of 3 elements is mostly padding.
// expected-error @below {{expected a page of at most 1073741824 bytes, got 89478485 rows of 68}}
"test.type"() : () -> !dsv2.latent_cache<latent = 1, rope = 2, format = q8, page = 89478485>

// -----

// entry_c1
// expected-error @below {{expected 'dsv2.entry' to be a non-empty string on a function, got ""}}
func.func private @step() attributes {dsv2.entry = ""}

// -----

// entry_c1
// expected-error @below {{expected 'dsv2.entry' to be a non-empty string on a function, got "step"}}
module attributes {dsv2.entry = "step"} {}

// -----

// prepare_c1
// expected-error @below {{expected 'dsv2.prepare' to be a unit attribute on a function, got 1 : i64}}
func.func private @prepare() attributes {dsv2.prepare = 1}

// -----

// experts_c1
// expected-error @below {{expected 'dsv2.experts' to be a positive i64 on a function with 'dsv2.prepare', got 0 : i64}}
func.func private @prepare() attributes {dsv2.prepare, dsv2.experts = 0}

// -----

// experts_c1
// expected-error @below {{expected 'dsv2.experts' to be a positive i64 on a function with 'dsv2.prepare', got 8 : i32}}
func.func private @prepare() attributes {dsv2.prepare, dsv2.experts = 8 : i32}

// -----

// experts_c1
// expected-error @below {{expected 'dsv2.experts' to be a positive i64 on a function with 'dsv2.prepare', got 8 : i64}}
func.func private @other() attributes {dsv2.experts = 8}

// -----

// form_c1
// expected-error @below {{expected 'dsv2.form' to be an attention form on a function with 'dsv2.entry', got "fast"}}
func.func private @step() attributes {dsv2.entry = "decode", dsv2.form = "fast"}

// -----

// form_c1
// expected-error @below {{expected 'dsv2.form' to be an attention form on a function with 'dsv2.entry', got "absorbed"}}
func.func private @layer() attributes {dsv2.form = "absorbed"}

// -----

// manifest_c1
// expected-error @below {{expected 'dsv2.manifest' to be a dictionary on a module, got "text"}}
module attributes {dsv2.manifest = "text"} {}

// -----

// prepare_c2
// expected-error @below {{expected 'dsv2.sources' on a function with 'dsv2.prepare'}}
func.func private @prepare(%w: tensor<4xf32>) attributes {dsv2.prepare, dsv2.layers = array<i64>} {
  return
}

// -----

// prepare_c2
// expected-error @below {{expected 'dsv2.layers' on a function with 'dsv2.prepare'}}
func.func private @prepare(%w: tensor<4xf32>) attributes {dsv2.prepare, dsv2.sources = ["w"]} {
  return
}

// -----

// sources_c1
// expected-error @below {{expected 'dsv2.sources' to be an array of names on a function with 'dsv2.prepare', got [1]}}
func.func private @prepare() attributes {dsv2.prepare, dsv2.sources = [1]}

// -----

// sources_c1
// expected-error @below {{expected 'dsv2.sources' to be an array of names on a function with 'dsv2.prepare', got ["w"]}}
func.func private @other() attributes {dsv2.sources = ["w"]}

// -----

// sources_c2
// expected-error @below {{expected 'dsv2.sources' with one name for each of 2 tensors, got 1}}
func.func private @prepare(tensor<4xf32>, tensor<4xf32>) attributes {dsv2.prepare, dsv2.sources = ["w"]}

// -----

// layers_c1
// expected-error @below {{expected 'dsv2.layers' to be layer numbers that ascend on a function with 'dsv2.prepare', got array<i64: 2, 1>}}
func.func private @prepare() attributes {dsv2.prepare, dsv2.layers = array<i64: 2, 1>}

// -----

// layers_c1
// expected-error @below {{expected 'dsv2.layers' to be layer numbers that ascend on a function with 'dsv2.prepare', got array<i64: -1>}}
func.func private @prepare() attributes {dsv2.prepare, dsv2.layers = array<i64: -1>}

// -----

// layers_c1
// expected-error @below {{expected 'dsv2.layers' to be layer numbers that ascend on a function with 'dsv2.prepare', got [1, 2]}}
func.func private @prepare() attributes {dsv2.prepare, dsv2.layers = [1, 2]}

// -----

// size_c1
// expected-error @below {{expected 'dsv2.size' to be "tokens", "sequences" or "rows" on an argument of a function, got "pages"}}
func.func private @step(memref<?xi32> {dsv2.size = "pages"})

// -----

// reference_c1
// expected-error @below {{expected 'dsv2.reference' to be a unit attribute on a function, got true}}
func.func private @kernel() attributes {dsv2.reference = true}

// -----

// prefill_c1
// expected-error @below {{expected 'dsv2.prefill_min_tokens' to be a positive i64 on a module, got 0 : i64}}
module attributes {dsv2.prefill_min_tokens = 0} {}

// -----

// target_cpu_c1
// expected-error @below {{expected 'dsv2.target_cpu' to be a string on a module, got unit}}
module attributes {dsv2.target_cpu} {}

// -----

// source_shards_c1: one array for each tensor.
// expected-error @below {{expected 'dsv2.source_shards' to be the parts of each tensor on a function with 'dsv2.prepare', got []}}
func.func private @prepare(tensor<32x64xf32>) attributes {dsv2.prepare, dsv2.source_shards = []}

// -----

// source_shards_c1: the tensor has no such dimension.
// expected-error @below {{expected 'dsv2.source_shards' to be the parts of each tensor}}
func.func private @prepare(tensor<32x64xf32>) attributes {dsv2.prepare, dsv2.source_shards = [[#dsv2.shard<2 of 64 on tp in 2>]]}

// -----

// source_shards_c1: the tensor is not as large as a part.
// expected-error @below {{expected 'dsv2.source_shards' to be the parts of each tensor}}
func.func private @prepare(tensor<32x64xf32>) attributes {dsv2.prepare, dsv2.source_shards = [[#dsv2.shard<0 of 32 on tp in 2>]]}

// -----

// expert_shard_c1
// expected-error @below {{expected 'dsv2.expert_shard' to be a part on a function with 'dsv2.prepare' and 'dsv2.experts', got #dsv2.shard<0 of 8 on ep in 2>}}
func.func private @prepare() attributes {dsv2.prepare, dsv2.expert_shard = #dsv2.shard<0 of 8 on ep in 2>}

// -----

// shards_c1
func.func @shards() {
  // expected-error @below {{expected 'dsv2.shards' to be parts of the tensor that the op results in, got [#dsv2.shard<2 of 64 on tp in 2>]}}
  %w = dsv2.weight "w" {dsv2.shards = [#dsv2.shard<2 of 64 on tp in 2>]} : tensor<64x64xf32>
  return
}

// -----

// partial_c1
func.func @partial() {
  // expected-error @below {{expected 'dsv2.partial' to be an axis on an op with a result, got "tp"}}
  %w = dsv2.weight "w" {dsv2.partial = "tp"} : tensor<64x64xf32>
  return
}

// -----

// capacity_c1
// expected-error @below {{expected 'dsv2.capacity' to be a positive i64 on a function, got 0 : i64}}
func.func private @step() attributes {dsv2.capacity = 0}
