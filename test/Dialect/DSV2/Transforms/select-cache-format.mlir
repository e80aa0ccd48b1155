// RUN: dsv2-opt %s --dsv2-select-cache-format="format=f32 page=32" | FileCheck %s
// RUN: dsv2-opt %s --dsv2-select-cache-format | FileCheck %s --check-prefix=DEFAULT
// RUN: dsv2-opt %s --dsv2-select-cache-format=format=q8 | FileCheck %s --check-prefix=Q8
// RUN: dsv2-opt %s --dsv2-select-cache-format=format=q6 | FileCheck %s --check-prefix=Q6
// RUN: not dsv2-opt %s --dsv2-select-cache-format=format=q4 2>&1 | FileCheck %s --check-prefix=FORMAT
// RUN: not dsv2-opt %s --dsv2-select-cache-format=page=24 2>&1 | FileCheck %s --check-prefix=PAGE

// FORMAT: cache format: expected f32, bf16, q8 or q6, got 'q4'
// PAGE: cache page: expected a multiple of 16 up to 4096, got 24

// CHECK: dsv2.manifest = {numerics = {kv_format = "f32"}}
// CHECK-LABEL: @copy
// CHECK-SAME: !dsv2.latent_cache<latent = 32, rope = 8, format = f32, page = 32>
// DEFAULT-LABEL: @copy
// DEFAULT-SAME: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 64>
// Q8: kv_format = "q8"
// Q8-LABEL: @copy
// Q8-SAME: !dsv2.latent_cache<latent = 32, rope = 8, format = q8, page = 64>
// Q6: kv_format = "q6"
// Q6-LABEL: @copy
// Q6-SAME: !dsv2.latent_cache<latent = 32, rope = 8, format = q6, page = 64>
func.func @copy(%cache: !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
                %from: tensor<?xi32>, %to: tensor<?xi32>) {
  // CHECK: dsv2.copy_pages
  // CHECK-SAME: format = f32, page = 32
  dsv2.copy_pages %cache, %from, %to
    : !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>
  return
}
