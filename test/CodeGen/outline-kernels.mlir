// RUN: dsv2-opt %s --dsv2-to-structure="weight-format=f32 kv-format=f32 target-cpu=x86-64-v3 attention-form=absorbed" | FileCheck %s
// RUN: not dsv2-opt %s --dsv2-to-plan --dsv2-outline-kernels=target-cpu=pentium 2>&1 | FileCheck %s --check-prefix=CPU

// CPU: pentium

!cache = !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 64>

// The entry gets the arguments of the runtime ABI.
// CHECK: func.func private @step_decode(
// CHECK-SAME: memref<?x?x64x40xf32>
// CHECK-SAME: memref<?xi64>
// CHECK-SAME: memref<?xi8>
// CHECK-SAME: tensor<?x256xf32> {bufferization.writable = true}
// CHECK-SAME: !llvm.ptr
// CHECK-SAME: i32
// CHECK: dsv2.launch @[[EMBED:embed[^ ]*]]
// CHECK: call @layer_absorbed
// CHECK: dsv2.launch @[[GATHER:gather_rows[^ ]*]]
// Logits go straight to the caller's buffer, with the largest of each panel
// beside them.
// CHECK: %[[L:.*]]:2 = dsv2.launch @dsv2_matmul_largest_f32 ins({{.*}}) outs(%arg9, %{{.*}} : tensor<?x256xf32>, tensor<?x16xf32>)
// CHECK-NEXT: dsv2.tap %[[L]]#1 site {{.*}} level 0 largest 16 :
// CHECK-NEXT: dsv2.tap %[[L]]#0 site {{.*}} level 1
// CHECK: return %[[L]]#0

// CHECK: func.func private @layer_absorbed(%[[H:.*]]: tensor<?x64xf32>
// The residual addition rides in the product, and the last one overwrites the
// hidden state.
// CHECK-NOT: arith.addf {{.*}} : tensor
// CHECK: %[[OUT:.*]] = dsv2.launch @dsv2_matmul_add_f32 ins(%{{.*}}, %{{.*}}, %{{.*}}) outs(%[[H]] : tensor<?x64xf32>)
// CHECK: return %[[OUT]]
func.func private @layer(%h: tensor<?x64xf32>, %layer: index, %ordinal: index,
    %positions: tensor<?xi32>, %ids: tensor<?xi32>, %starts: tensor<?xi32>,
    %tables: tensor<?x?xi32>, %cache: !cache) -> tensor<?x64xf32> {
  %w = dsv2.weight "model.layers.{layer}.w.weight" layers [0] at %ordinal : tensor<64x64xbf16>
  %y = dsv2.linear %h, %w : tensor<?x64xf32>, tensor<64x64xbf16> -> tensor<?x64xf32>
  %r = arith.addf %h, %y : tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

func.func @step(%tokens: tensor<?xi32>, %positions: tensor<?xi32>,
    %ids: tensor<?xi32>, %starts: tensor<?xi32>, %tables: tensor<?x?xi32>,
    %rows: tensor<?xi32>, %cache: !cache) -> tensor<?x256xf32>
    attributes {dsv2.entry = "step"} {
  %c0 = arith.constant 0 : index
  %table = dsv2.weight "model.embed_tokens.weight" : tensor<256x64xbf16>
  %h = dsv2.embed %tokens, %table : tensor<?xi32>, tensor<256x64xbf16> -> tensor<?x64xf32>
  %y = call @layer(%h, %c0, %c0, %positions, %ids, %starts, %tables, %cache)
    : (tensor<?x64xf32>, index, index, tensor<?xi32>, tensor<?xi32>,
       tensor<?xi32>, tensor<?x?xi32>, !cache) -> tensor<?x64xf32>
  %head = dsv2.weight "lm_head.weight" : tensor<256x64xbf16>
  %l = dsv2.logits %y, %rows, %head : tensor<?x64xf32>, tensor<?xi32>, tensor<256x64xbf16> -> tensor<?x256xf32>
  return %l : tensor<?x256xf32>
}

// Prepare functions pack from f32 sources into the slots.
// CHECK: func.func @prepare_lm_head(%[[S:.*]]: memref<?xi64>{{.*}}, %[[D:.*]]: memref<?xi64>
// CHECK: %[[FROM:.*]] = dsv2.weight_view %[[S]][0] : memref<?xi64> -> memref<256x64xf32>
// CHECK: %[[TO:.*]] = dsv2.weight_view %[[D]][0] : memref<?xi64> -> memref<16x64x16xf32>
// CHECK: dsv2.launch @{{.*}} ins(%[[FROM]] : memref<256x64xf32>) outs(%[[TO]] : memref<16x64x16xf32>)
