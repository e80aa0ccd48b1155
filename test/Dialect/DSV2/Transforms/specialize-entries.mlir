// RUN: dsv2-opt %s --dsv2-specialize-entries | FileCheck %s --check-prefixes=AUTO,ALL
// RUN: dsv2-opt %s --dsv2-specialize-entries=deterministic | FileCheck %s --check-prefixes=ONE,ALL
// RUN: dsv2-opt %s --dsv2-specialize-entries=attention-form=expanded | FileCheck %s --check-prefixes=EXPANDED,ALL
// RUN: dsv2-opt %s --dsv2-specialize-entries=prefill-min-tokens=7 | FileCheck %s --check-prefix=SEVEN
// RUN: sed s/undecided/absorbed/ %s | dsv2-opt --dsv2-specialize-entries | FileCheck %s --check-prefix=DECIDED
// RUN: not dsv2-opt %s --dsv2-specialize-entries=attention-form=folded 2>&1 | FileCheck %s --check-prefix=BAD
// RUN: not dsv2-opt %s --dsv2-specialize-entries=prefill-min-tokens=-1 2>&1 | FileCheck %s --check-prefix=NEGATIVE

// BAD: attention form: expected auto, expanded or absorbed, got 'folded'
// NEGATIVE: prefill-min-tokens: expected a count, got -1

// 32 (16 + 16) / (2 * 32 - 16 - 16) = 32.
// AUTO: dsv2.prefill_min_tokens = 32
// SEVEN: dsv2.prefill_min_tokens = 7
// ONE: deterministic = true
// ONE-NOT: dsv2.prefill_min_tokens
// EXPANDED-NOT: dsv2.prefill_min_tokens
// A form that all attention has already is used for everything.
// DECIDED-NOT: dsv2.prefill_min_tokens
// DECIDED-NOT: @step_prefill
// DECIDED-NOT: form expanded

// The generic step and layer are gone, their instances have one form each.
// ALL-NOT: func.func {{.*}}@layer(
// ALL-NOT: func.func {{.*}}@step(
// AUTO-DAG: func.func private @layer_absorbed
// AUTO-DAG: func.func private @layer_expanded
// AUTO-DAG: func.func @step_decode{{.*}}dsv2.entry = "decode", dsv2.form = "absorbed"
// AUTO-DAG: func.func @step_prefill{{.*}}dsv2.entry = "prefill", dsv2.form = "expanded"
// ONE-NOT: @step_prefill
// ONE: form absorbed
// ONE-NOT: form expanded
// EXPANDED-NOT: form absorbed
// EXPANDED: form expanded
!cache = !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>

func.func private @layer(%qn: tensor<?x4x16xf32>, %qr: tensor<?x4x8xf32>,
    %uk: tensor<4x16x32xbf16>, %uv: tensor<4x16x32xbf16>, %cache: !cache,
    %layer: index, %positions: tensor<?xi32>, %ids: tensor<?xi32>,
    %starts: tensor<?xi32>, %tables: tensor<?x?xi32>) -> tensor<?x4x16xf32> {
  %o = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%layer], %positions,
    %ids, %starts, %tables form undecided scale 0.25
    : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xbf16>,
      tensor<4x16x32xbf16>, !cache, tensor<?xi32>, tensor<?xi32>,
      tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x16xf32>
  return %o : tensor<?x4x16xf32>
}

func.func @step(%qn: tensor<?x4x16xf32>, %qr: tensor<?x4x8xf32>,
    %uk: tensor<4x16x32xbf16>, %uv: tensor<4x16x32xbf16>, %cache: !cache,
    %layer: index, %positions: tensor<?xi32>, %ids: tensor<?xi32>,
    %starts: tensor<?xi32>, %tables: tensor<?x?xi32>) -> tensor<?x4x16xf32>
    attributes {dsv2.entry = "step"} {
  %o = call @layer(%qn, %qr, %uk, %uv, %cache, %layer, %positions, %ids,
    %starts, %tables) : (tensor<?x4x16xf32>, tensor<?x4x8xf32>,
      tensor<4x16x32xbf16>, tensor<4x16x32xbf16>, !cache, index,
      tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>)
      -> tensor<?x4x16xf32>
  return %o : tensor<?x4x16xf32>
}
