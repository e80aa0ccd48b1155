//===- DSV2CacheOps.td - latent cache -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_DSV2CACHEOPS_TD
#define DSV2_DIALECT_DSV2_IR_DSV2CACHEOPS_TD

include "dsv2/Dialect/DSV2/IR/DSV2OpBase.td"

def DSV2_LatentAppendOp : DSV2_Op<"latent_append", [
    DeclareOpInterfaceMethods<DSV2_CostOpInterface>,
    MemoryEffects<[MemWrite]>]> {
  let summary = "Write the step's rows into the latent cache";
  let description = [{
    For each token: row `positions[t] % page` of page
    `block_tables[seq_ids[t], positions[t] / page]` of the layer becomes
    `[latent[t] | key[t]]`, rounded to the cache's format. `latent` is the
    normalised latent, `key` the rotated shared key (paper equations 9, 15).

    Constraints:
    - latent_append_c1: `latent` [T, L], `key` [T, R] with the cache's sizes
    - latent_append_c2: `positions` and `seq_ids` [T]

    Example:

    ```mlir
    dsv2.latent_append %c, %k, %cache[%layer], %positions, %seq_ids,
      %block_tables : tensor<?x32xf32>, tensor<?x8xf32>,
      !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
      tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
    ```
  }];
  let arguments = (ins DSV2_Activation:$latent, DSV2_Activation:$key,
    Arg<DSV2_LatentCacheType, "", [MemWrite]>:$cache, Index:$layer,
    DSV2_Indices:$positions, DSV2_Indices:$seq_ids,
    DSV2_BlockTable:$block_tables);
  let assemblyFormat = [{
    $latent `,` $key `,` $cache `[` $layer `]` `,` $positions `,` $seq_ids `,`
    $block_tables attr-dict `:` type($latent) `,` type($key) `,`
    qualified(type($cache)) `,` type($positions) `,` type($seq_ids) `,`
    type($block_tables)
  }];
  let hasVerifier = 1;
}

def DSV2_LatentGatherOp : DSV2_Op<"latent_gather", [
    DeclareOpInterfaceMethods<DSV2_CostOpInterface>,
    MemoryEffects<[MemRead]>]> {
  let summary = "Read the first rows of a sequence from the latent cache";
  let description = [{
    `result[j, :]` is the row of position `j` of sequence `sequence`, widened
    to the result's element type, for all `j < length`.

    Constraints:
    - latent_gather_c1: result [length, L + R] with the cache's sizes

    Example:

    ```mlir
    %rows = dsv2.latent_gather %cache[%layer], %s, %n, %block_tables
      : !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
        tensor<?x?xi32> -> tensor<?x40xf32>
    ```
  }];
  let arguments = (ins Arg<DSV2_LatentCacheType, "", [MemRead]>:$cache,
    Index:$layer, Index:$sequence, Index:$length,
    DSV2_BlockTable:$block_tables);
  let results = (outs DSV2_Activation:$result);
  let assemblyFormat = [{
    $cache `[` $layer `]` `,` $sequence `,` $length `,` $block_tables attr-dict
    `:` qualified(type($cache)) `,` type($block_tables) `->` type($result)
  }];
  let hasVerifier = 1;
}

def DSV2_CopyPagesOp : DSV2_Op<"copy_pages", [
    DeclareOpInterfaceMethods<DSV2_CostOpInterface>,
    MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Copy whole pages of every layer";
  let description = [{
    Page `to[i]` of each layer becomes a copy of page `from[i]`: how a
    sequence that shares pages gets its own before it writes. A page appears
    at most once in `to` and not in both lists.

    Constraints:
    - copy_pages_c1: `from` and `to` have the same shape

    Example:

    ```mlir
    dsv2.copy_pages %cache, %from, %to
      : !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>,
        tensor<?xi32>, tensor<?xi32>
    ```
  }];
  let arguments = (ins
    Arg<DSV2_LatentCacheType, "", [MemRead, MemWrite]>:$cache,
    DSV2_Indices:$from, DSV2_Indices:$to);
  let assemblyFormat = [{
    $cache `,` $from `,` $to attr-dict `:` qualified(type($cache)) `,`
    type($from) `,` type($to)
  }];
  let hasVerifier = 1;
}

#endif // DSV2_DIALECT_DSV2_IR_DSV2CACHEOPS_TD
