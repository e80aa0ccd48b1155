//===- DSV2ModelOps.td - weights, products, norms, feed-forward -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_DSV2MODELOPS_TD
#define DSV2_DIALECT_DSV2_IR_DSV2MODELOPS_TD

include "dsv2/Dialect/DSV2/IR/DSV2OpBase.td"
include "mlir/IR/SymbolInterfaces.td"

def DSV2_WeightOp : DSV2_Op<"weight", [Pure]> {
  let summary = "A tensor of the checkpoint, by name";
  let description = [{
    Names a checkpoint tensor; its contents never enter the IR. `{layer}` in
    the name stands for the layer number `layers[ordinal]`, so that one layer
    body serves every layer of its kind. `{expert}` stands for the expert: the
    result then stacks the experts' tensors along a new leading dimension.

    Constraints:
    - weight_c1: the name contains `{layer}` if and only if `layers` is not
      empty and `ordinal` is given
    - weight_c2: the result has a static shape
    - weight_c3: layer numbers are not negative and strictly ascending
    - weight_c4: a name with `{expert}` has a result of rank 2 or more
    - weight_c5: the name is not empty
    - weight_c6: each of `shards` is of another dimension of the result and of
      another axis, and the result's extent there is that of a part; a stack of
      experts is cut into parts on `ep`, everything else on `tp`

    With `shards` the result is this rank's part of the tensor.

    Example:

    ```mlir
    %w = dsv2.weight "model.layers.{layer}.self_attn.o_proj.weight"
           layers [1, 2, 3] at %i : tensor<2048x2048xbf16>
    %n = dsv2.weight "model.norm.weight" : tensor<2048xbf16>
    ```
  }];
  let arguments = (ins StrAttr:$name,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$layers,
    Optional<Index>:$ordinal,
    OptionalAttr<TypedArrayAttrBase<DSV2_ShardAttr, "parts of a tensor">>:$shards);
  let results = (outs DSV2_PlainWeight:$result);
  let assemblyFormat = [{
    $name (`layers` $layers^ `at` $ordinal)? (`shards` $shards^)? attr-dict
    `:` type($result)
  }];
  let hasVerifier = 1;
}

def DSV2_EmbedOp : DSV2_PureOp<"embed"> {
  let summary = "Row of the embedding table for each token";
  let description = [{
    `result[t, :] = table[tokens[t], :]`, without scaling. Ids outside the
    vocabulary are rejected by the runtime before a step starts. With `first`
    the table is the part of the vocabulary from that id on, and tokens outside
    of it have rows of zeros.

    Constraints:
    - embed_c1: `tokens` [T], `table` [V, D], result [T, D]

    Example:

    ```mlir
    %h = dsv2.embed %tokens, %table
           : tensor<?xi32>, tensor<102400x2048xbf16> -> tensor<?x2048xf32>
    ```
  }];
  let arguments = (ins DSV2_Indices:$tokens, DSV2_Matrix:$table,
                       Optional<Index>:$first);
  let results = (outs DSV2_Activation:$result);
  let assemblyFormat = [{
    $tokens `,` $table (`first` $first^)? attr-dict `:` type($tokens) `,` type($table)
    `->` type($result)
  }];
  let hasVerifier = 1;
}

def DSV2_LinearOp : DSV2_PureOp<"linear"> {
  let summary = "Matrix product with a weight";
  let description = [{
    `result[t, n] = sum_k input[t, k] * weight[n, k]`, accumulated in f32. The
    weight is stored [out, in], as in the checkpoint, whatever its encoding.

    Constraints:
    - linear_c1: `input` [T, K], `weight` [N, K], result [T, N]

    Example:

    ```mlir
    %y = dsv2.linear %x, %w
           : tensor<?x2048xf32>, tensor<576x2048xbf16> -> tensor<?x576xf32>
    ```
  }];
  let arguments = (ins DSV2_Activation:$input, DSV2_Matrix:$weight);
  let results = (outs DSV2_Activation:$result);
  let assemblyFormat = [{
    $input `,` $weight attr-dict `:` type($input) `,` type($weight)
    `->` type($result)
  }];
  let hasVerifier = 1;
}

def DSV2_RMSNormOp : DSV2_PureOp<"rms_norm", [
    AllTypesMatch<["input", "result"]>]> {
  let summary = "Root mean square normalisation";
  let description = [{
    `result[t, d] = weight[d] * input[t, d] * rsqrt(mean_d(input^2) + eps)`,
    with the mean and the reciprocal root in f32. No bias, no `1 + w`.

    Constraints:
    - rms_norm_c1: `input` [T, D], `weight` [D]
    - rms_norm_c2: `eps` is finite and not negative

    Example:

    ```mlir
    %y = dsv2.rms_norm %x, %w eps 1.0e-06
           : tensor<?x2048xf32>, tensor<2048xbf16>
    ```
  }];
  let arguments = (ins DSV2_Activation:$input, DSV2_Vector:$weight,
                       F64Attr:$eps);
  let results = (outs DSV2_Activation:$result);
  let assemblyFormat = [{
    $input `,` $weight `eps` $eps attr-dict `:` type($input) `,` type($weight)
  }];
  let hasVerifier = 1;
}

def DSV2_GatedFFNOp : DSV2_PureOp<"gated_ffn", [
    AllTypesMatch<["input", "result"]>]> {
  let summary = "SwiGLU feed-forward network";
  let description = [{
    `result = down(silu(gate(input)) * up(input))` with
    `silu(v) = v / (1 + exp(-v))`; no biases. The shared experts are one such
    network of width `n_shared_experts * moe_intermediate_size` (paper section
    2.2.1). Without `up`, `gate` holds both matrices as [2, I, D].

    Constraints:
    - gated_ffn_c1: `input` [T, D], `down` [D, I]
    - gated_ffn_c2: with `up`: `gate` and `up` [I, D]
    - gated_ffn_c3: without `up`: `gate` [2, I, D]

    Example:

    ```mlir
    %y = dsv2.gated_ffn %x, %gate, %down up %up
           : tensor<?x64xf32>, tensor<128x64xbf16>, tensor<64x128xbf16>,
             tensor<128x64xbf16>
    ```
  }];
  let arguments = (ins DSV2_Activation:$input,
    DSV2_WeightTensor<[2, 3]>:$gate, DSV2_Matrix:$down,
    Optional<DSV2_Matrix>:$up);
  let results = (outs DSV2_Activation:$result);
  let assemblyFormat = [{
    $input `,` $gate `,` $down (`up` $up^)? attr-dict `:` type($input) `,`
    type($gate) `,` type($down) (`,` type($up)^)?
  }];
  let hasVerifier = 1;
}

def DSV2_LogitsOp : DSV2_PureOp<"logits"> {
  let summary = "Vocabulary scores of chosen tokens";
  let description = [{
    `result[r, v] = sum_d input[rows[r], d] * weight[v, d]`: the language-model
    head applied to the tokens whose scores are wanted.

    Constraints:
    - logits_c1: `input` [T, D], `rows` [R], `weight` [V, D], result [R, V]

    Example:

    ```mlir
    %l = dsv2.logits %h, %rows, %head
           : tensor<?x64xf32>, tensor<?xi32>, tensor<256x64xbf16>
             -> tensor<?x256xf32>
    ```
  }];
  let arguments = (ins DSV2_Activation:$input, DSV2_Indices:$rows,
                       DSV2_Matrix:$weight);
  let results = (outs DSV2_RowsTensor<[F32], [2]>:$result);
  let assemblyFormat = [{
    $input `,` $rows `,` $weight attr-dict `:` type($input) `,` type($rows) `,`
    type($weight) `->` type($result)
  }];
  let hasVerifier = 1;
}

def DSV2_PackOp : DSV2_Op<"pack", [Pure]> {
  let summary = "Reorder and convert a weight for a kernel";
  let description = [{
    The result holds the elements of `weight`, converted to its own element
    type or, if its `#dsv2.packed` encoding has one, quantised to that format
    (each to nearest even), in the order that the encoding says. With `second`, the two are stacked along a new dimension before the
    trailing matrix: gate, then up.

    Constraints:
    - pack_c1: the result type carries a `#dsv2.packed` encoding
    - pack_c2: without `second` the shapes agree; with it the result has `2`
      inserted before the trailing matrix
    - pack_c3: the order is `gated_panels` or `gated_rows` if and only if there
      is a `second`

    Example:

    ```mlir
    %p = dsv2.pack %w : tensor<576x2048xbf16>
           -> tensor<576x2048xbf16, #dsv2.packed<panels, 32>>
    ```
  }];
  let arguments = (ins DSV2_PlainWeight:$weight,
                       Optional<DSV2_PlainWeight>:$second);
  let results = (outs RankedTensorOf<[F32, BF16]>:$result);
  let assemblyFormat = [{
    $weight (`with` $second^)? attr-dict `:` type($weight)
    (`,` type($second)^)? `->` type($result)
  }];
  let hasVerifier = 1;
}

def DSV2_PackedWeightOp : DSV2_Op<"packed_weight", [Pure,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "A result of weight preparation";
  let description = [{
    The value that result number `index` of the prepare function `prepare` has
    for the layer `layers[ordinal]`. The runtime computed it once and keeps it
    in the packed file.

    Constraints:
    - packed_weight_c1: `prepare` names a function marked `dsv2.prepare` with
      more than `index` results
    - packed_weight_c2: the result type is that function result's type, with
      the experts' leading dimension added if the function prepares experts
    - packed_weight_c3: `layers` is empty if and only if there is no `ordinal`
    - packed_weight_c4: layer numbers are not negative and strictly ascending

    Example:

    ```mlir
    %w = dsv2.packed_weight @prepare_o_proj[0] layers [1, 2] at %i
           : tensor<64x64xbf16, #dsv2.packed<panels, 32>>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$prepare, I64Attr:$index,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$layers,
    Optional<Index>:$ordinal);
  let results = (outs RankedTensorOf<[F32, BF16]>:$result);
  let assemblyFormat = [{
    $prepare `[` $index `]` (`layers` $layers^ `at` $ordinal)? attr-dict
    `:` type($result)
  }];
  let hasVerifier = 1;
}

#endif // DSV2_DIALECT_DSV2_IR_DSV2MODELOPS_TD
