//===- DSV2Types.td - types -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_DSV2TYPES_TD
#define DSV2_DIALECT_DSV2_IR_DSV2TYPES_TD

include "mlir/IR/AttrTypeBase.td"
include "dsv2/Dialect/DSV2/IR/DSV2Dialect.td"

def DSV2_LatentCacheType : TypeDef<DSV2_Dialect, "LatentCache"> {
  let mnemonic = "latent_cache";
  let summary = "Paged latent cache of every layer";
  let description = [{
    A handle to the mutable cache of a model: for each layer a pool of pages of
    `page` rows; a row holds the normalised latent (`latent` elements) and then
    the rotated shared key (`rope` elements) of one position (paper section
    2.1.2; 576 elements for the published models), stored as `format`: f32 or
    bf16 elements, or in q8 and q6 the bytes that `Support/CacheFormat.h`
    describes.

    The value is a reference: `latent_append` writes in place and later reads
    see it, so the type is not a tensor and nothing ever copies the cache.

    Constraints:
    - latent_cache_c1: `latent` is positive
    - latent_cache_c2: `rope` is positive and even
    - latent_cache_c3: `format` is f32, bf16, q8 or q6
    - latent_cache_c4: `page` is positive
    - latent_cache_c5: a page has at most 2^28 elements and 2^30 bytes

    Example:

    ```mlir
    !dsv2.latent_cache<latent = 512, rope = 64, format = bf16, page = 64>
    ```
  }];
  let parameters = (ins "int64_t":$latent, "int64_t":$rope,
                        "::mlir::dsv2::CacheFormat":$format, "int64_t":$page);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Elements of a row: latent + rope.
    int64_t getRowSize() const { return getLatent() + getRope(); }
    /// How a row is stored.
    CacheRow getRow() const { return {getFormat(), getLatent(), getRope()}; }
    /// The memory of all layers, [layer, page number, row of the page, element
    /// of the row]. With blocks the elements are bytes.
    MemRefType getMemoryType() const;
  }];
}

#endif // DSV2_DIALECT_DSV2_IR_DSV2TYPES_TD
