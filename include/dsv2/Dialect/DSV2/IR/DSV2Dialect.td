//===- DSV2Dialect.td - the dsv2 dialect -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_DSV2DIALECT_TD
#define DSV2_DIALECT_DSV2_IR_DSV2DIALECT_TD

include "mlir/IR/OpBase.td"

def DSV2_Dialect : Dialect {
  let name = "dsv2";
  let cppNamespace = "::mlir::dsv2";
  let summary = "Models of the DeepSeek-V2 family";
  let description = [{
    The dialect states what a DeepSeek-V2 model computes: latent attention,
    expert routing, dispatch and combine, over a *step*, a ragged batch of `T`
    tokens from `S` sequences. It sits above linalg: every op has a reference
    lowering to linalg, and target-specific passes replace ops by kernels.

    Values are ranked tensors whose token dimension is dynamic. A step brings

    - `tokens[T]`, `positions[T]`, `seq_ids[T]` (i32): id, position in its
      sequence and sequence of each token; tokens of a sequence are adjacent
      and their positions ascend by one;
    - `seq_starts[S + 1]` (i32): first token of each sequence, then `T`;
    - `block_tables[S, B]` (i32): page of each block of positions.

    Activations are f32 or bf16, weights any supported float type; products
    accumulate in f32. Sizes of tokens, sequences, pages and rows may be
    dynamic; all others are static and positive.

    ## Attributes of functions and modules

    Constraints:
    - entry_c1: `dsv2.entry` is a non-empty string on a function: the name of
      the entry point
    - prepare_c1: `dsv2.prepare` is a unit attribute on a function
    - prepare_c2: such a function, if it has a body and takes tensors, has
      `dsv2.sources` and `dsv2.layers`
    - sources_c1: `dsv2.sources` is an array of checkpoint names on a function
      that has `dsv2.prepare`
    - sources_c2: `dsv2.sources` has one name for each tensor among the
      function's arguments, if there are any
    - layers_c1: `dsv2.layers` is an array of i64 on a function that has
      `dsv2.prepare`: layer numbers, not negative and strictly ascending
    - experts_c1: `dsv2.experts` is a positive i64 on a function that has
      `dsv2.prepare`
    - source_shards_c1: `dsv2.source_shards` is an array with an array of
      `#dsv2.shard` for each tensor that a function with `dsv2.prepare` takes,
      each of a dimension of that tensor, which has the extent of a part
    - expert_shard_c1: `dsv2.expert_shard` is a `#dsv2.shard` on a function that
      has `dsv2.prepare` and `dsv2.experts`
    - shards_c1: `dsv2.shards` is an array of `#dsv2.shard`, each of a dimension
      of the op's first result, which is a tensor
    - partial_c1: `dsv2.partial` is an axis of a mesh on an op with a result
    - capacity_c1: `dsv2.capacity` is a positive i64 on a function
    - form_c1: `dsv2.form` is an attention form on a function that has
      `dsv2.entry`
    - reference_c1: `dsv2.reference` is a unit attribute on a function: a kernel
      made of the reference lowering of one op
    - size_c1: `dsv2.size` is "tokens", "sequences" or "rows" on an argument of
      a function: what the argument's first dimension counts
    - prefill_c1: `dsv2.prefill_min_tokens` is a positive i64 on a module
    - target_cpu_c1: `dsv2.target_cpu` is a string on a module
    - manifest_c1: `dsv2.manifest` is a dictionary on a module
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::tensor::TensorDialect"];
  let hasOperationAttrVerify = 1;
  let hasRegionArgAttrVerify = 1;
  let extraClassDeclaration = [{
  private:
    void registerAttributes();
    void registerTypes();
  }];
}

#endif // DSV2_DIALECT_DSV2_IR_DSV2DIALECT_TD
