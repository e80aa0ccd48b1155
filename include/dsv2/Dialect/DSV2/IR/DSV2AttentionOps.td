//===- DSV2AttentionOps.td - rotary embedding and latent attention -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_DSV2ATTENTIONOPS_TD
#define DSV2_DIALECT_DSV2_IR_DSV2ATTENTIONOPS_TD

include "dsv2/Dialect/DSV2/IR/DSV2OpBase.td"

def DSV2_RopeOp : DSV2_PureOp<"rope", [AllTypesMatch<["input", "result"]>]> {
  let summary = "Rotary position embedding";
  let description = [{
    Rotates adjacent pairs of the last dimension by `positions[t] * f_i` and
    multiplies by the attribute's cos/sin multiplier `g`:

    ```
    result[2i]   = g * (input[2i] * cos - input[2i+1] * sin)
    result[2i+1] = g * (input[2i+1] * cos + input[2i] * sin)
    ```

    The angle is the f32 product of the position and the f32 frequency, as in
    the reference implementations; paper equations 14 and 15.

    Constraints:
    - rope_c1: `input` [T, R] or [T, H, R], `positions` [T]
    - rope_c2: R is the attribute's `dim`

    Example:

    ```mlir
    %k = dsv2.rope %x, %positions <dim = 8, theta = 1.0e+04>
           : tensor<?x8xf32>, tensor<?xi32>
    ```
  }];
  let arguments = (ins DSV2_AnyActivation:$input,
                       DSV2_Indices:$positions, DSV2_RopeAttr:$rope);
  let results = (outs DSV2_AnyActivation:$result);
  let assemblyFormat = [{
    $input `,` $positions $rope attr-dict `:` type($input) `,`
    type($positions)
  }];
  let hasVerifier = 1;
}

def DSV2_LatentAttentionOp : DSV2_Op<"latent_attention", [
    DeclareOpInterfaceMethods<DSV2_CostOpInterface>,
    MemoryEffects<[MemRead]>]> {
  let summary = "Multi-head attention over the latent cache";
  let description = [{
    For token `t` of sequence `s = seq_ids[t]` and every position
    `j <= positions[t]` of `s`, whose cache row is `[c_j | k_j]` (paper
    equations 9 to 19, section 2.1.2):

    ```
    a[h, j]      = scale * (q_nope[t, h] . (w_uk[h] c_j) + q_rope[t, h] . k_j)
    result[t, h] = sum_j softmax_j(a)[h, j] * (w_uv[h] c_j)
    ```

    `expanded` computes keys and values from the latents; `absorbed` moves
    `w_uk` to the query and `w_uv` behind the sum (paper appendix C), which
    gives the same result up to rounding. `undecided` leaves the choice to the
    plan. `scale` is the whole factor, YaRN's magnitude included.

    Constraints:
    - latent_attention_c1: `q_nope` [T, H, N], `q_rope` [T, H, R], result
      [T, H, V]
    - latent_attention_c2: `w_uk` [H, N, L], `w_uv` [H, V, L]
    - latent_attention_c3: L and R are the cache's latent and rope sizes
    - latent_attention_c4: `positions` and `seq_ids` [T], `seq_starts` [S + 1],
      `block_tables` [S, B]
    - latent_attention_c5: `scale` is finite and positive

    Example:

    ```mlir
    %o = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%layer],
           %positions, %seq_ids, %seq_starts, %block_tables
           form absorbed scale 0.114721387
           : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xbf16>,
             tensor<4x16x32xbf16>,
             !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
             tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
             -> tensor<?x4x16xf32>
    ```
  }];
  let arguments = (ins
    DSV2_HeadActivation:$q_nope, DSV2_HeadActivation:$q_rope,
    DSV2_MatrixStack:$w_uk, DSV2_MatrixStack:$w_uv,
    Arg<DSV2_LatentCacheType, "", [MemRead]>:$cache, Index:$layer,
    DSV2_Indices:$positions, DSV2_Indices:$seq_ids, DSV2_Indices:$seq_starts,
    DSV2_BlockTable:$block_tables,
    DSV2_AttentionFormAttr:$form, F64Attr:$scale);
  let results = (outs DSV2_HeadActivation:$result);
  let assemblyFormat = [{
    $q_nope `,` $q_rope `,` $w_uk `,` $w_uv `,` $cache `[` $layer `]` `,`
    $positions `,` $seq_ids `,` $seq_starts `,` $block_tables
    `form` $form `scale` $scale attr-dict `:` type($q_nope) `,` type($q_rope)
    `,` type($w_uk) `,` type($w_uv) `,` qualified(type($cache)) `,`
    type($positions) `,` type($seq_ids) `,` type($seq_starts) `,`
    type($block_tables) `->` type($result)
  }];
  let hasVerifier = 1;
}

#endif // DSV2_DIALECT_DSV2_IR_DSV2ATTENTIONOPS_TD
