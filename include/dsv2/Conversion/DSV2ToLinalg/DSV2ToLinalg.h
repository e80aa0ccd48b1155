//===- DSV2ToLinalg.h - reference lowering of dsv2 ops ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The patterns behind `dsv2-convert-to-linalg`, one set for each op family, so
// that another pass or a test can use them without the pass.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CONVERSION_DSV2TOLINALG_DSV2TOLINALG_H
#define DSV2_CONVERSION_DSV2TOLINALG_DSV2TOLINALG_H

namespace mlir {
class RewritePatternSet;
class TypeConverter;

namespace dsv2 {

/// Adds the type rules of the reference lowering:
/// 1. `!dsv2.latent_cache` becomes `memref<?x?xPAGExROWxFORMAT>`, indexed by
///    layer, page, row of the page and element of the row, a byte in q8 and q6;
/// 2. a tensor with a `#dsv2.packed` encoding becomes the tensor of the same
///    logical shape without it;
/// 3. every other type stays.
void populateDSV2ToLinalgTypeConversions(TypeConverter &converter);

/// embed, linear, rms_norm, gated_ffn, logits, pack and packed_weight.
void populateDSV2ModelToLinalgPatterns(const TypeConverter &converter,
                                       RewritePatternSet &patterns);
/// rope and latent_attention.
void populateDSV2AttentionToLinalgPatterns(const TypeConverter &converter,
                                           RewritePatternSet &patterns);
/// route, dispatch, expert_ffn and combine.
void populateDSV2MoEToLinalgPatterns(const TypeConverter &converter,
                                     RewritePatternSet &patterns);
/// latent_append, latent_gather and copy_pages.
void populateDSV2CacheToLinalgPatterns(const TypeConverter &converter,
                                       RewritePatternSet &patterns);

} // namespace dsv2
} // namespace mlir

#endif // DSV2_CONVERSION_DSV2TOLINALG_DSV2TOLINALG_H
