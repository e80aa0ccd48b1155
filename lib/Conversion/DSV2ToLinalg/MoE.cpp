//===- MoE.cpp - routing, dispatch, experts, combine ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Builders.h"
#include "dsv2/Conversion/DSV2ToLinalg/DSV2ToLinalg.h"
#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/DialectConversion.h"

#include <limits>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::reference;

namespace {

struct RouteLowering : OpConversionPattern<RouteOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(RouteOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    LocBuilder b(op.getLoc(), rewriter);
    Type f32 = b.getF32Type(), i32 = b.getI32Type();
    int64_t topK = op.getTopK();
    Value logits =
        contract(b, "td,ed->te", adaptor.getInput(), adaptor.getGate());
    // Over all experts, before any group is ruled out (equation 22).
    Value scores = softmax(b, logits);

    Value candidates = scores;
    if (op.getNumGroups() > 1)
      candidates = maskGroups(b, scores, op.getNumGroups(), op.getTopGroups());
    Value ranks = rankRows(b, candidates);

    // The expert of rank `slot` fills the slot. Ranks are a permutation, so
    // each fold over the experts meets exactly one.
    SmallVector<OpFoldResult> sizes{sizeOf(b, scores, 0), b.getIndexAttr(topK)};
    Value ids =
        generic(b, "te->ts", ranks, filledTensor(b, sizes, intConstant(b, 0)),
                [&](LocBuilder &b, ValueRange args) -> Value {
                  Value slot = loopCounter(b, 1), expert = loopCounter(b, 2);
                  Value here = arith::CmpIOp::create(
                      b, arith::CmpIPredicate::eq, args[0], slot);
                  return arith::SelectOp::create(b, here, expert, args[1]);
                });
    // The weights are the scores themselves, not the masked ones.
    Value weights =
        generic(b, "te,te->ts", {ranks, scores},
                filledTensor(b, sizes, floatConstant(b, 0.0)),
                [&](LocBuilder &b, ValueRange args) -> Value {
                  Value here = arith::CmpIOp::create(
                      b, arith::CmpIPredicate::eq, args[0], loopCounter(b, 1));
                  return arith::SelectOp::create(b, here, args[1], args[2]);
                });

    if (op.getNormalize()) {
      Value sums = reduce(b, "ts->t", weights, floatConstant(b, 0.0),
                          [](LocBuilder &b, ValueRange args) -> Value {
                            return arith::AddFOp::create(b, args[1], args[0]);
                          });
      weights = elementwise(b, "ts,t->ts", {weights, sums}, f32,
                            [](LocBuilder &b, ValueRange args) -> Value {
                              Value sum = arith::AddFOp::create(
                                  b, args[1], floatConstant(b, 1e-20));
                              return arith::DivFOp::create(b, args[0], sum);
                            });
    }
    double scale = op.getScale().convertToDouble();
    if (scale != 1.0)
      weights = elementwise(b, "ts->ts", weights, f32,
                            [&](LocBuilder &b, ValueRange args) -> Value {
                              return arith::MulFOp::create(
                                  b, args[0], floatConstant(b, scale));
                            });
    ids = castTo(b, ids, op.getIds().getType(), i32);
    weights = castTo(b, weights, op.getWeights().getType(), f32);
    rewriter.replaceOp(op, {ids, weights});
    return success();
  }

  static Value castTo(LocBuilder &b, Value value, Type type, Type elementType) {
    assert(cast<RankedTensorType>(type).getElementType() == elementType);
    if (value.getType() == type)
      return value;
    return tensor::CastOp::create(b, type, value);
  }

  /// Place of each element in its row: the number of elements that are larger,
  /// or equal and of a lower index. Counting instead of sorting makes ties a
  /// matter of one comparison, and every NaN, which compares with nothing, has
  /// rank 0.
  static Value rankRows(LocBuilder &b, Value matrix) {
    return reduce(
        b, "te,to->te", {matrix, matrix}, intConstant(b, 0),
        [](LocBuilder &b, ValueRange args) -> Value {
          Value index = linalg::IndexOp::create(b, /*dim=*/1);
          Value other = linalg::IndexOp::create(b, /*dim=*/2);
          Value larger = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT,
                                               args[1], args[0]);
          Value equal = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ,
                                              args[1], args[0]);
          Value lower =
              arith::CmpIOp::create(b, arith::CmpIPredicate::ult, other, index);
          Value tie = arith::AndIOp::create(b, equal, lower);
          Value before = arith::OrIOp::create(b, larger, tie);
          Value one = arith::ExtUIOp::create(b, b.getI32Type(), before);
          return arith::AddIOp::create(b, args[2], one);
        });
  }

  /// Minus infinity for the experts outside the best groups. Zero would not do:
  /// a score of a kept group may underflow to it and then lose to the index of
  /// an expert that was ruled out.
  static Value maskGroups(LocBuilder &b, Value scores, int64_t numGroups,
                          int64_t topGroups) {
    auto type = cast<RankedTensorType>(scores.getType());
    int64_t groupSize = type.getDimSize(1) / numGroups;
    SmallVector<ReassociationIndices> split{{0}, {1, 2}};
    auto splitType = RankedTensorType::get(
        {type.getDimSize(0), numGroups, groupSize}, type.getElementType());
    SmallVector<OpFoldResult> splitSizes{sizeOf(b, scores, 0),
                                         b.getIndexAttr(numGroups),
                                         b.getIndexAttr(groupSize)};
    Value groups =
        tensor::ExpandShapeOp::create(b, splitType, scores, split, splitSizes);
    Value lowest = floatConstant(b, -std::numeric_limits<float>::infinity());
    // The largest score of the group, in this generation of the family.
    Value best = reduce(b, "tgi->tg", groups, lowest,
                        [](LocBuilder &b, ValueRange args) -> Value {
                          return arith::MaximumFOp::create(b, args[1], args[0]);
                        });
    Value masked = elementwise(
        b, "tgi,tg->tgi", {groups, rankRows(b, best)}, b.getF32Type(),
        [&](LocBuilder &b, ValueRange args) -> Value {
          Value kept = arith::CmpIOp::create(
              b, arith::CmpIPredicate::slt, args[1], intConstant(b, topGroups));
          return arith::SelectOp::create(b, kept, args[0], lowest);
        });
    return tensor::CollapseShapeOp::create(b, type, masked, split);
  }
};

/// A counting sort: stable, so rows of an expert keep the order of tokens and
/// slots.
struct DispatchLowering : OpConversionPattern<DispatchOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(DispatchOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    LocBuilder b(op.getLoc(), rewriter);
    Type i32 = b.getI32Type();
    // Static by dispatch_c2.
    int64_t numOffsets = op.getOffsets().getType().getDimSize(0);
    Value input = adaptor.getInput(), ids = adaptor.getIds();
    Value zero = indexConstant(b, 0), one = indexConstant(b, 1);
    Value intOne = intConstant(b, 1);
    Value numTokens = dimOf(b, ids, 0), numSlots = dimOf(b, ids, 1);

    auto forEachPair =
        [&](ValueRange inits,
            function_ref<SmallVector<Value>(LocBuilder &, Value token,
                                            Value slot, ValueRange)>
                body) {
          return loop(b, zero, numTokens, inits,
                      [&](LocBuilder &b, Value token, ValueRange carried) {
                        return loop(
                            b, zero, numSlots, carried,
                            [&](LocBuilder &b, Value slot, ValueRange carried) {
                              return body(b, token, slot, carried);
                            });
                      });
        };

    // offsets[e + 1] counts the pairs of expert e, then is summed up.
    Value offsets =
        filledTensor(b, {b.getIndexAttr(numOffsets)}, intConstant(b, 0));
    offsets = forEachPair(
        offsets,
        [&](LocBuilder &b, Value token, Value slot,
            ValueRange carried) -> SmallVector<Value> {
          Value expert = loadIndex(b, ids, {token, slot});
          Value next = arith::AddIOp::create(b, expert, one);
          Value count = tensor::ExtractOp::create(b, carried[0], next);
          count = arith::AddIOp::create(b, count, intOne);
          return {tensor::InsertOp::create(b, count, carried[0], next)};
        })[0];
    offsets = loop(
        b, one, indexConstant(b, numOffsets), offsets,
        [&](LocBuilder &b, Value i, ValueRange carried) -> SmallVector<Value> {
          Value before = arith::SubIOp::create(b, i, one);
          Value left = tensor::ExtractOp::create(b, carried[0], before);
          Value right = tensor::ExtractOp::create(b, carried[0], i);
          Value sum = arith::AddIOp::create(b, left, right);
          return {tensor::InsertOp::create(b, sum, carried[0], i)};
        })[0];

    // Each pair takes its expert's next free row.
    Value numRows = arith::MulIOp::create(b, numTokens, numSlots);
    Value rows = emptyTensor(b, {sizeOf(b, ids, 0), sizeOf(b, ids, 1)}, i32);
    Value sources = emptyTensor(b, {OpFoldResult(numRows)}, i32);
    SmallVector<Value> placed = forEachPair(
        {offsets, rows, sources},
        [&](LocBuilder &b, Value token, Value slot,
            ValueRange carried) -> SmallVector<Value> {
          Value expert = loadIndex(b, ids, {token, slot});
          Value row = tensor::ExtractOp::create(b, carried[0], expert);
          Value next = arith::AddIOp::create(b, row, intOne);
          Value free = tensor::InsertOp::create(b, next, carried[0], expert);
          Value rows = tensor::InsertOp::create(b, row, carried[1],
                                                ValueRange{token, slot});
          Value place = arith::IndexCastOp::create(b, b.getIndexType(), row);
          Value sources =
              tensor::InsertOp::create(b, toI32(b, token), carried[2], place);
          return {free, rows, sources};
        });

    Value result =
        finish(b, gatherRows(b, input, placed[2]), op.getResult().getType());
    rows = placed[1];
    if (rows.getType() != op.getRows().getType())
      rows = tensor::CastOp::create(b, op.getRows().getType(), rows);
    rewriter.replaceOp(op, {result, offsets, rows});
    return success();
  }
};

struct ExpertFFNLowering : OpConversionPattern<ExpertFFNOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(ExpertFFNOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    LocBuilder b(op.getLoc(), rewriter);
    Value input = adaptor.getInput();
    Value offsets = adaptor.getOffsets();
    Value zero = indexConstant(b, 0), one = indexConstant(b, 1);
    Value init = filledTensor(b, tensor::getMixedSizes(b, b.getLoc(), input),
                              floatConstant(b, 0.0));
    Value result =
        loop(b, zero, dimOf(b, adaptor.getDown(), 0), init,
             [&](LocBuilder &b, Value expert,
                 ValueRange carried) -> SmallVector<Value> {
               Value begin = loadIndex(b, offsets, expert);
               Value end = loadIndex(
                   b, offsets, Value(arith::AddIOp::create(b, expert, one)));
               Value count = arith::SubIOp::create(b, end, begin);
               Value rows = takeRange(b, input, /*dim=*/0, begin, count);
               Value gate = takeAt(b, adaptor.getGate(), expert);
               Value up = adaptor.getUp();
               if (up)
                 up = takeAt(b, up, expert);
               Value down = takeAt(b, adaptor.getDown(), expert);
               Value output = gatedFFN(b, rows, gate, up, down);
               return {putRange(b, output, carried[0], /*dim=*/0, begin)};
             })[0];
    rewriter.replaceOp(op, finish(b, result, op.getType()));
    return success();
  }
};

struct CombineLowering : OpConversionPattern<CombineOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(CombineOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    LocBuilder b(op.getLoc(), rewriter);
    Value input = adaptor.getInput();
    Value init =
        filledTensor(b, {sizeOf(b, adaptor.getRows(), 0), sizeOf(b, input, 1)},
                     floatConstant(b, 0.0));
    // The slot is the innermost loop: sums are in the order of slots.
    Value result = generic(
        b, "ts,ts->td", {adaptor.getRows(), adaptor.getWeights()}, init,
        [&](LocBuilder &b, ValueRange args) -> Value {
          Value row = arith::IndexCastOp::create(b, b.getIndexType(), args[0]);
          Value column = linalg::IndexOp::create(b, /*dim=*/1);
          Value element = widen(
              b, tensor::ExtractOp::create(b, input, ValueRange{row, column}));
          Value product = arith::MulFOp::create(b, args[1], element);
          return arith::AddFOp::create(b, args[2], product);
        });
    rewriter.replaceOp(op, finish(b, result, op.getType()));
    return success();
  }
};

} // namespace

void mlir::dsv2::populateDSV2MoEToLinalgPatterns(const TypeConverter &converter,
                                                 RewritePatternSet &patterns) {
  patterns
      .add<CombineLowering, DispatchLowering, ExpertFFNLowering, RouteLowering>(
          converter, patterns.getContext());
}
