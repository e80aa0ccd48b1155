//===- Attention.cpp - rotary embedding and latent attention --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Builders.h"
#include "dsv2/Conversion/DSV2ToLinalg/DSV2ToLinalg.h"
#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/DialectConversion.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::reference;

namespace {

struct RopeLowering : OpConversionPattern<RopeOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(RopeOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    LocBuilder b(op.getLoc(), rewriter);
    Type f32 = b.getF32Type();
    SmallVector<float> values = op.getRope().getInverseFrequencies();
    int64_t numPairs = values.size();
    Value frequencies = arith::ConstantOp::create(
        b, DenseElementsAttr::get(RankedTensorType::get({numPairs}, f32),
                                  ArrayRef<float>(values)));

    // The angle is the f32 product of the position and the f32 frequency: the
    // reference implementations round here, and at long context a better
    // product would turn the fast pairs by another angle than they do.
    Value angles =
        elementwise(b, "t,i->ti", {adaptor.getPositions(), frequencies}, f32,
                    [&](LocBuilder &b, ValueRange args) -> Value {
                      Value position = arith::SIToFPOp::create(b, f32, args[0]);
                      return arith::MulFOp::create(b, position, args[1]);
                    });
    Value cosines = elementwise(b, "ti->ti", angles, f32,
                                [](LocBuilder &b, ValueRange args) -> Value {
                                  return math::CosOp::create(b, args[0]);
                                });
    Value sines = elementwise(b, "ti->ti", angles, f32,
                              [](LocBuilder &b, ValueRange args) -> Value {
                                return math::SinOp::create(b, args[0]);
                              });

    // Pairs are adjacent: (2i, 2i + 1).
    Value x = convertElements(b, adaptor.getInput(), f32);
    int64_t last = op.getType().getRank() - 1;
    OpFoldResult zero = b.getIndexAttr(0), one = b.getIndexAttr(1);
    OpFoldResult count = b.getIndexAttr(numPairs);
    Value even = takeRange(b, x, last, zero, count, /*stride=*/2);
    Value odd = takeRange(b, x, last, one, count, /*stride=*/2);

    double multiplier = op.getRope().getCosSinMultiplier();
    auto scaled = [&](LocBuilder &b, Value value) -> Value {
      if (multiplier == 1.0)
        return value;
      return arith::MulFOp::create(b, floatConstant(b, multiplier), value);
    };
    StringRef spec = last == 1 ? "ti,ti,ti,ti->ti" : "thi,thi,ti,ti->thi";
    SmallVector<Value> operands{even, odd, cosines, sines};
    Value first = elementwise(
        b, spec, operands, f32, [&](LocBuilder &b, ValueRange args) -> Value {
          Value left = arith::MulFOp::create(b, args[0], args[2]);
          Value right = arith::MulFOp::create(b, args[1], args[3]);
          return scaled(b, arith::SubFOp::create(b, left, right));
        });
    Value second = elementwise(
        b, spec, operands, f32, [&](LocBuilder &b, ValueRange args) -> Value {
          Value left = arith::MulFOp::create(b, args[1], args[2]);
          Value right = arith::MulFOp::create(b, args[0], args[3]);
          return scaled(b, arith::AddFOp::create(b, left, right));
        });
    Value result = emptyTensor(b, tensor::getMixedSizes(b, b.getLoc(), x), f32);
    result = putRange(b, first, result, last, zero, /*stride=*/2);
    result = putRange(b, second, result, last, one, /*stride=*/2);
    rewriter.replaceOp(op, finish(b, result, op.getType()));
    return success();
  }
};

struct LatentAttentionLowering : OpConversionPattern<LatentAttentionOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(LatentAttentionOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    LocBuilder b(op.getLoc(), rewriter);
    LatentCacheType cacheType = op.getCache().getType();
    Value positions = adaptor.getPositions();
    Value seqStarts = adaptor.getSeqStarts();
    Value blockTables = adaptor.getBlockTables();
    Value wUK = adaptor.getWUk(), wUV = adaptor.getWUv();
    bool absorbed = op.getForm() == AttentionForm::Absorbed;
    Value scale = floatConstant(b, op.getScale().convertToDouble());

    // Zeros, so that a token of no sequence, which a valid step does not have,
    // still gives the same result every time.
    Value result =
        filledTensor(b,
                     {sizeOf(b, adaptor.getQNope(), 0),
                      sizeOf(b, adaptor.getQNope(), 1), sizeOf(b, wUV, 1)},
                     floatConstant(b, 0.0));
    Value zero = indexConstant(b, 0), one = indexConstant(b, 1);
    OpFoldResult begin = b.getIndexAttr(0);

    auto perSequence = [&](LocBuilder &b, Value sequence,
                           ValueRange carried) -> SmallVector<Value> {
      Value firstToken = loadIndex(b, seqStarts, sequence);
      Value endToken = loadIndex(
          b, seqStarts, Value(arith::AddIOp::create(b, sequence, one)));
      // The rows any of the sequence's tokens attends to.
      Value length =
          loop(b, firstToken, endToken, zero,
               [&](LocBuilder &b, Value token,
                   ValueRange carried) -> SmallVector<Value> {
                 Value count = visibleRows(b, positions, token, one);
                 return {arith::MaxSIOp::create(b, carried[0], count)};
               })[0];
      Value rows =
          gatherCacheRows(b, cacheType, adaptor.getCache(), adaptor.getLayer(),
                          sequence, length, blockTables);
      Value latents = takeRange(b, rows, /*dim=*/1, begin,
                                b.getIndexAttr(cacheType.getLatent()));
      Value ropeKeys =
          takeRange(b, rows, /*dim=*/1, b.getIndexAttr(cacheType.getLatent()),
                    b.getIndexAttr(cacheType.getRope()));
      // Equations 10 and 14: keys and values of every head from the latents.
      Value keys, values;
      if (!absorbed) {
        keys = contract(b, "hnl,jl->hjn", wUK, latents);
        values = contract(b, "hvl,jl->hjv", wUV, latents);
      }

      auto perToken = [&](LocBuilder &b, Value token,
                          ValueRange carried) -> SmallVector<Value> {
        // Causality: row j is seen if and only if j <= positions[token].
        OpFoldResult visible = visibleRows(b, positions, token, one);
        Value qNope = takeAt(b, adaptor.getQNope(), token);
        Value qRope = takeAt(b, adaptor.getQRope(), token);
        Value seenRopeKeys = takeRange(b, ropeKeys, /*dim=*/0, begin, visible);
        Value output;
        if (absorbed) {
          // Appendix C: w_uk moves to the query, w_uv behind the sum.
          Value seen = takeRange(b, latents, /*dim=*/0, begin, visible);
          Value query = contract(b, "hn,hnl->hl", qNope, wUK);
          Value scores = contract(b, "hl,jl->hj", query, seen);
          Value weights =
              attentionWeights(b, scores, qRope, seenRopeKeys, scale);
          Value mixed = contract(b, "hj,jl->hl", weights, seen);
          output = contract(b, "hvl,hl->hv", wUV, mixed);
        } else {
          Value seenKeys = takeRange(b, keys, /*dim=*/1, begin, visible);
          Value seenValues = takeRange(b, values, /*dim=*/1, begin, visible);
          Value scores = contract(b, "hn,hjn->hj", qNope, seenKeys);
          Value weights =
              attentionWeights(b, scores, qRope, seenRopeKeys, scale);
          output = contract(b, "hj,hjv->hv", weights, seenValues);
        }
        return {putAt(b, output, carried[0], token)};
      };
      return loop(b, firstToken, endToken, carried, perToken);
    };
    result = loop(b, zero, dimOf(b, blockTables, 0), result, perSequence)[0];
    rewriter.replaceOp(op, finish(b, result, op.getType()));
    return success();
  }

  static Value visibleRows(LocBuilder &b, Value positions, Value token,
                           Value one) {
    return arith::AddIOp::create(b, loadIndex(b, positions, token), one);
  }

  /// Adds the rotary part to the scores of the other one, scales the sum and
  /// takes the softmax (equations 17 and 18).
  static Value attentionWeights(LocBuilder &b, Value scores, Value qRope,
                                Value ropeKeys, Value scale) {
    scores = contract(b, "hr,jr->hj", qRope, ropeKeys, scores);
    scores = elementwise(b, "hj->hj", scores, b.getF32Type(),
                         [&](LocBuilder &b, ValueRange args) -> Value {
                           return arith::MulFOp::create(b, scale, args[0]);
                         });
    return softmax(b, scores);
  }
};

} // namespace

void mlir::dsv2::populateDSV2AttentionToLinalgPatterns(
    const TypeConverter &converter, RewritePatternSet &patterns) {
  patterns.add<LatentAttentionLowering, RopeLowering>(converter,
                                                      patterns.getContext());
}
