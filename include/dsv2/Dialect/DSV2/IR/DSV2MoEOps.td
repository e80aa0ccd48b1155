//===- DSV2MoEOps.td - routing, dispatch, experts, combine -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_DSV2MOEOPS_TD
#define DSV2_DIALECT_DSV2_IR_DSV2MOEOPS_TD

include "dsv2/Dialect/DSV2/IR/DSV2OpBase.td"

def DSV2_RouteOp : DSV2_PureOp<"route"> {
  let summary = "Choose each token's experts";
  let description = [{
    In f32 whatever the operands' types (paper equations 20 to 22 and section
    2.2.2):

    ```
    s = softmax(input . gate^T)                    over all E experts
    if num_groups > 1: keep the top_groups groups of E / num_groups adjacent
       experts with the largest max(s); the others lose to every kept expert
    ids[t, :]     = the top_k largest s, larger first, then lower index
    weights[t, :] = s[ids], divided by (their sum + 1e-20) if normalize,
                    times scale
    ```

    Constraints:
    - route_c1: `input` [T, D], `gate` [E, D]
    - route_c2: `ids` and `weights` [T, top_k]; ids i32, weights f32
    - route_c3: 1 <= top_k <= E
    - route_c4: num_groups >= 1 divides E
    - route_c5: 1 <= top_groups <= num_groups
    - route_c6: top_k <= top_groups * (E / num_groups)
    - route_c7: `scale` is finite and positive

    `groups G of G` keeps every group and is the same as `groups 1 of 1`, to
    which it is canonicalised.

    Example:

    ```mlir
    %ids, %w = dsv2.route %x, %gate top_k 2 groups 2 of 4 scale 16.0
                 : tensor<?x64xf32>, tensor<8x64xbf16>
                   -> tensor<?x2xi32>, tensor<?x2xf32>
    ```
  }];
  let arguments = (ins DSV2_Activation:$input, DSV2_Matrix:$gate,
    I64Attr:$top_k, I64Attr:$top_groups, I64Attr:$num_groups, F64Attr:$scale,
    UnitAttr:$normalize);
  let results = (outs DSV2_Slots:$ids, DSV2_RowsTensor<[F32], [2]>:$weights);
  let assemblyFormat = [{
    $input `,` $gate `top_k` $top_k `groups` $top_groups `of` $num_groups
    `scale` $scale (`normalize` $normalize^)? attr-dict
    `:` type($input) `,` type($gate) `->` type($ids) `,` type($weights)
  }];
  let hasVerifier = 1;
  let hasCanonicalizeMethod = 1;
}

def DSV2_DispatchOp : DSV2_PureOp<"dispatch", [
    AllElementTypesMatch<["input", "result"]>]> {
  let summary = "Order tokens by expert";
  let description = [{
    Gives every (token, slot) pair a row so that the rows of an expert are
    adjacent: ordered by expert, then token, then slot. `result[row]` is the
    token's input, `offsets[e]` the first row of expert `e` (`offsets[E]` is
    T * top_k), and `rows[t, slot]` where the pair went. Any count of rows per
    expert is valid, 0 included. With `partial` ids may be -1: such a pair has
    no row, and -1 in `rows`; rows behind the last are undefined.

    Constraints:
    - dispatch_c1: `input` [T, D], `ids` [T, k] (i32)
    - dispatch_c2: `result` [rows, D], `offsets` [E + 1] (i32), `rows` [T, k]
      (i32)
    - dispatch_c3: without `partial`, rows = T * k, as far as they are static
    - dispatch_c4: `input` and `result` have the same element type

    Example:

    ```mlir
    %x, %offsets, %rows = dsv2.dispatch %h, %ids
      : tensor<?x64xf32>, tensor<?x2xi32>
        -> tensor<?x64xf32>, tensor<9xi32>, tensor<?x2xi32>
    ```
  }];
  let arguments = (ins DSV2_Activation:$input, DSV2_Slots:$ids,
                       UnitAttr:$partial);
  let results = (outs DSV2_Activation:$result, DSV2_Indices:$offsets,
                      DSV2_Slots:$rows);
  let assemblyFormat = [{
    $input `,` $ids (`partial` $partial^)? attr-dict `:` type($input) `,` type($ids) `->`
    type($result) `,` type($offsets) `,` type($rows)
  }];
  let hasVerifier = 1;
}

def DSV2_ExpertFFNOp : DSV2_PureOp<"expert_ffn", [
    AllTypesMatch<["input", "result"]>]> {
  let summary = "SwiGLU networks of the routed experts";
  let description = [{
    Row `r` with `offsets[e] <= r < offsets[e + 1]` goes through expert `e`:
    `result[r] = down[e](silu(gate[e](input[r])) * up[e](input[r]))`. Without
    `up`, `gate` holds both matrices as [E, 2, I, D].

    Constraints:
    - expert_ffn_c1: `input` [rows, D], `offsets` [E + 1], `down` [E, D, I]
    - expert_ffn_c2: with `up`: `gate` and `up` [E, I, D]
    - expert_ffn_c3: without `up`: `gate` [E, 2, I, D]

    Example:

    ```mlir
    %y = dsv2.expert_ffn %x, %offsets, %gate, %down up %up
           : tensor<?x64xf32>, tensor<9xi32>, tensor<8x32x64xbf16>,
             tensor<8x64x32xbf16>, tensor<8x32x64xbf16>
    ```
  }];
  let arguments = (ins DSV2_Activation:$input, DSV2_Indices:$offsets,
    DSV2_WeightTensor<[3, 4]>:$gate, DSV2_MatrixStack:$down,
    Optional<DSV2_MatrixStack>:$up);
  let results = (outs DSV2_Activation:$result);
  let assemblyFormat = [{
    $input `,` $offsets `,` $gate `,` $down (`up` $up^)? attr-dict
    `:` type($input) `,` type($offsets) `,` type($gate) `,` type($down)
    (`,` type($up)^)?
  }];
  let hasVerifier = 1;
}

def DSV2_CombineOp : DSV2_PureOp<"combine"> {
  let summary = "Weighted sum of a token's expert outputs";
  let description = [{
    `result[t] = sum_slot weights[t, slot] * input[rows[t, slot]]`, in f32 and
    in the order of the slots, so that the sum does not depend on how experts
    were scheduled (paper equation 20). With `partial`, slots whose row is -1 do
    not count.

    Constraints:
    - combine_c1: `input` [rows, D], `rows` [T, k] (i32), `weights` [T, k]
      (f32), result [T, D]

    Example:

    ```mlir
    %y = dsv2.combine %x, %rows, %w
           : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32>
             -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins DSV2_Activation:$input, DSV2_Slots:$rows,
                       DSV2_RowsTensor<[F32], [2]>:$weights,
                       UnitAttr:$partial);
  let results = (outs DSV2_Activation:$result);
  let assemblyFormat = [{
    $input `,` $rows `,` $weights (`partial` $partial^)? attr-dict `:` type($input) `,` type($rows)
    `,` type($weights) `->` type($result)
  }];
  let hasVerifier = 1;
}

#endif // DSV2_DIALECT_DSV2_IR_DSV2MOEOPS_TD
