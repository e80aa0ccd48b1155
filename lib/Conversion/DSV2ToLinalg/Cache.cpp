//===- Cache.cpp - latent cache -------------------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The cache is memory that steps share, so its ops become loads and stores at
// once, in program order, while everything else still is a tensor.
//
//===----------------------------------------------------------------------===//

#include "Builders.h"
#include "CacheRows.h"
#include "dsv2/Conversion/DSV2ToLinalg/DSV2ToLinalg.h"
#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/DialectConversion.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::reference;

namespace {

struct LatentAppendLowering : OpConversionPattern<LatentAppendOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(LatentAppendOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    LocBuilder b(op.getLoc(), rewriter);
    Value cache = adaptor.getCache();
    LatentCacheType type = op.getCache().getType();
    Type element = type.getMemoryType().getElementType();
    Value zero = indexConstant(b, 0);
    Value latentSize = indexConstant(b, type.getLatent());

    loop(b, zero, dimOf(b, adaptor.getPositions(), 0), {},
         [&](LocBuilder &b, Value token, ValueRange) -> SmallVector<Value> {
           Value sequence = loadIndex(b, adaptor.getSeqIds(), token);
           Value position = loadIndex(b, adaptor.getPositions(), token);
           std::pair<Value, Value> place =
               cacheRow(b, cache, adaptor.getBlockTables(), sequence, position);
           if (isQuantized(type.getFormat())) {
             QuantizedRow row{cache, adaptor.getLayer(), place.first,
                              place.second};
             CacheRow layout = type.getRow();
             encodePart(b, layout.latent, adaptor.getLatent(), token, row);
             encodePart(b, layout.rope, adaptor.getKey(), token, row);
             return {};
           }
           // The row is [latent | key].
           auto copy = [&](Value source, Value firstColumn) {
             loop(
                 b, zero, dimOf(b, source, 1), {},
                 [&](LocBuilder &b, Value i, ValueRange) -> SmallVector<Value> {
                   Value value = tensor::ExtractOp::create(
                       b, source, ValueRange{token, i});
                   Value column = arith::AddIOp::create(b, firstColumn, i);
                   memref::StoreOp::create(
                       b, convertFloat(b, value, element), cache,
                       ValueRange{adaptor.getLayer(), place.first, place.second,
                                  column});
                   return {};
                 });
           };
           copy(adaptor.getLatent(), zero);
           copy(adaptor.getKey(), latentSize);
           return {};
         });
    rewriter.eraseOp(op);
    return success();
  }
};

struct LatentGatherLowering : OpConversionPattern<LatentGatherOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(LatentGatherOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    LocBuilder b(op.getLoc(), rewriter);
    Value rows = gatherCacheRows(b, op.getCache().getType(), adaptor.getCache(),
                                 adaptor.getLayer(), adaptor.getSequence(),
                                 adaptor.getLength(), adaptor.getBlockTables());
    rewriter.replaceOp(op, finish(b, rows, op.getType()));
    return success();
  }
};

struct CopyPagesLowering : OpConversionPattern<CopyPagesOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(CopyPagesOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    LocBuilder b(op.getLoc(), rewriter);
    Value cache = adaptor.getCache();
    auto type = cast<MemRefType>(cache.getType());
    Value zero = indexConstant(b, 0);
    Value numLayers = memref::DimOp::create(b, cache, zero);
    Value numRows = indexConstant(b, type.getDimSize(2));
    Value numColumns = indexConstant(b, type.getDimSize(3));

    auto perPage = [&](LocBuilder &b, Value i,
                       ValueRange) -> SmallVector<Value> {
      Value from = loadIndex(b, adaptor.getFrom(), i);
      Value to = loadIndex(b, adaptor.getTo(), i);
      auto perLayer = [&](LocBuilder &b, Value layer,
                          ValueRange) -> SmallVector<Value> {
        auto perRow = [&](LocBuilder &b, Value row,
                          ValueRange) -> SmallVector<Value> {
          auto perColumn = [&](LocBuilder &b, Value column,
                               ValueRange) -> SmallVector<Value> {
            Value element = memref::LoadOp::create(
                b, cache, ValueRange{layer, from, row, column});
            memref::StoreOp::create(b, element, cache,
                                    ValueRange{layer, to, row, column});
            return {};
          };
          return loop(b, zero, numColumns, {}, perColumn);
        };
        return loop(b, zero, numRows, {}, perRow);
      };
      return loop(b, zero, numLayers, {}, perLayer);
    };
    loop(b, zero, dimOf(b, adaptor.getFrom(), 0), {}, perPage);
    rewriter.eraseOp(op);
    return success();
  }
};

} // namespace

void mlir::dsv2::populateDSV2CacheToLinalgPatterns(
    const TypeConverter &converter, RewritePatternSet &patterns) {
  patterns.add<CopyPagesLowering, LatentAppendLowering, LatentGatherLowering>(
      converter, patterns.getContext());
}
