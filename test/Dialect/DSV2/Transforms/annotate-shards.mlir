// RUN: dsv2-compile %S/../../../Fixtures/T1/config.json --compile-to=import -o %t.mlir
// RUN: dsv2-opt %t.mlir --dsv2-annotate-shards=mesh=tp=2,ep=3 | FileCheck %s
// RUN: dsv2-opt %t.mlir --dsv2-annotate-shards | FileCheck %s --check-prefix=ONE
// RUN: not dsv2-opt %t.mlir --dsv2-annotate-shards=mesh=tp=3 2>&1 | FileCheck %s --check-prefix=TP3
// RUN: not dsv2-opt %t.mlir --dsv2-annotate-shards=mesh=ep=99 2>&1 | FileCheck %s --check-prefix=EP99
// RUN: not dsv2-opt %t.mlir --dsv2-annotate-shards=mesh=dp=2 2>&1 | FileCheck %s --check-prefix=DP

// One rank needs no mesh.
// ONE-NOT: dsv2.mesh
// ONE-NOT: dsv2.shards

// TP3: op expected tp to divide dimension
// TP3-SAME: got 3; 1, 2
// EP99: error: 'dsv2.expert_ffn' op expected at most {{[0-9]+}} ranks on ep, one for each expert, got 99
// DP: error: mesh: expected tp=N and ep=N, separated by a comma, got 'dp=2'

// CHECK: dsv2.mesh @mesh tp 2 ep 3
// What every rank has whole: latents, norms, the router.
// CHECK-LABEL: func.func private @layer_moe
// CHECK: dsv2.weight "{{.*}}input_layernorm.weight" layers [{{[^]]*}}] at %{{.*}} : tensor
// Queries are split by heads, from the weight on.
// CHECK: dsv2.weight "{{.*}}q_b_proj.weight" {{.*}}{dsv2.shards = [#dsv2.shard<0 of {{[0-9]+}} on tp in 2>]}
// CHECK: dsv2.linear {{.*}} {dsv2.shards = [#dsv2.shard<1 of {{[0-9]+}} on tp in 2>]}
// CHECK: dsv2.weight "{{.*}}kv_a_proj_with_mqa.weight" layers [{{[^]]*}}] at %{{.*}} : tensor
// CHECK: dsv2.weight "{{.*}}kv_b_proj.weight" {{.*}}{dsv2.shards = [#dsv2.shard<0 of
// CHECK: dsv2.latent_attention {{.*}} {dsv2.shards = [#dsv2.shard<1 of {{[0-9]+}} on tp in 2>]}
// Outputs of heads are rows of a sum.
// CHECK: dsv2.weight "{{.*}}o_proj.weight" {{.*}}{dsv2.shards = [#dsv2.shard<1 of
// CHECK: dsv2.linear {{.*}} {dsv2.partial = #dsv2<axis tp>}
// CHECK: dsv2.weight "{{.*}}mlp.gate.weight" layers [{{[^]]*}}] at %{{.*}} : tensor
// CHECK: dsv2.weight "{{.*}}experts.{expert}.gate_proj.weight" {{.*}}{dsv2.shards = [#dsv2.shard<0 of {{[0-9]+}} on ep in 3>, #dsv2.shard<1 of {{[0-9]+}} on tp in 2>]}
// CHECK: dsv2.weight "{{.*}}experts.{expert}.down_proj.weight" {{.*}}{dsv2.shards = [#dsv2.shard<0 of {{[0-9]+}} on ep in 3>, #dsv2.shard<2 of {{[0-9]+}} on tp in 2>]}
// CHECK: dsv2.expert_ffn {{.*}} {dsv2.partial = #dsv2<axis tp>}
// CHECK: dsv2.combine {{.*}} {dsv2.partial = #dsv2<axis tp>}
// CHECK: dsv2.gated_ffn {{.*}} {dsv2.partial = #dsv2<axis tp>}
// CHECK-LABEL: func.func @step
// CHECK: dsv2.weight "model.embed_tokens.weight" {dsv2.shards = [#dsv2.shard<0 of
// CHECK: dsv2.embed {{.*}} {dsv2.partial = #dsv2<axis tp>}
// CHECK: dsv2.weight "lm_head.weight" {dsv2.shards = [#dsv2.shard<0 of
// CHECK: dsv2.logits {{.*}} {dsv2.shards = [#dsv2.shard<1 of
