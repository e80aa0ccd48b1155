//===- Model.cpp - weights, products, norms, feed-forward -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Builders.h"
#include "dsv2/Conversion/DSV2ToLinalg/DSV2ToLinalg.h"
#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "dsv2/Support/BlockFormat.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/DialectConversion.h"

#include <limits>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::reference;

namespace {

struct EmbedLowering : OpConversionPattern<EmbedOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(EmbedOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    LocBuilder b(op.getLoc(), rewriter);
    Value rows = gatherRows(b, adaptor.getTable(), adaptor.getTokens());
    rewriter.replaceOp(op, finish(b, rows, op.getType()));
    return success();
  }
};

struct LinearLowering : OpConversionPattern<LinearOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(LinearOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    LocBuilder b(op.getLoc(), rewriter);
    Value product =
        contract(b, "tk,nk->tn", adaptor.getInput(), adaptor.getWeight());
    rewriter.replaceOp(op, finish(b, product, op.getType()));
    return success();
  }
};

struct RMSNormLowering : OpConversionPattern<RMSNormOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(RMSNormOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    LocBuilder b(op.getLoc(), rewriter);
    Type f32 = b.getF32Type();
    Value x = adaptor.getInput();
    Value squares = reduce(b, "td->t", x, floatConstant(b, 0.0),
                           [](LocBuilder &b, ValueRange args) -> Value {
                             Value v = widen(b, args[0]);
                             Value square = arith::MulFOp::create(b, v, v);
                             return arith::AddFOp::create(b, args[1], square);
                           });
    Value size = arith::SIToFPOp::create(b, f32, toI32(b, dimOf(b, x, 1)));
    Value eps = floatConstant(b, op.getEps().convertToDouble());
    Value factors = elementwise(
        b, "t->t", squares, f32, [&](LocBuilder &b, ValueRange args) -> Value {
          Value mean = arith::DivFOp::create(b, args[0], size);
          return math::RsqrtOp::create(b, arith::AddFOp::create(b, mean, eps));
        });
    // The order of the reference implementations: normalise, then weight.
    Value result = elementwise(
        b, "td,t,d->td", {x, factors, adaptor.getWeight()}, f32,
        [](LocBuilder &b, ValueRange args) -> Value {
          Value normalised =
              arith::MulFOp::create(b, widen(b, args[0]), args[1]);
          return arith::MulFOp::create(b, widen(b, args[2]), normalised);
        });
    rewriter.replaceOp(op, finish(b, result, op.getType()));
    return success();
  }
};

struct GatedFFNLowering : OpConversionPattern<GatedFFNOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(GatedFFNOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    LocBuilder b(op.getLoc(), rewriter);
    Value result = gatedFFN(b, adaptor.getInput(), adaptor.getGate(),
                            adaptor.getUp(), adaptor.getDown());
    rewriter.replaceOp(op, finish(b, result, op.getType()));
    return success();
  }
};

struct LogitsLowering : OpConversionPattern<LogitsOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(LogitsOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    LocBuilder b(op.getLoc(), rewriter);
    Value rows = gatherRows(b, adaptor.getInput(), adaptor.getRows());
    Value product = contract(b, "rd,vd->rv", rows, adaptor.getWeight());
    rewriter.replaceOp(op, finish(b, product, op.getType()));
    return success();
  }
};

namespace {
/// Rounds weights to what blocks of 32 along their last dimension can hold
/// (BlockFormat.h). Works on the weight as [..., blocks, 32].
class BlockRounding {
public:
  /// `weight` is f32 of static shape [..., K]; so is what round() returns.
  BlockRounding(LocBuilder &b, Value weight)
      : b(b), weight(weight), type(cast<RankedTensorType>(weight.getType())),
        f32(b.getF32Type()) {
    // One letter a dimension, k for blocks and j inside of them.
    block = std::string("abcdefgh").substr(0, type.getRank() - 1) + "k";
    element = block + "j";
  }

  Value round(PackFormat format);

private:
  static constexpr int64_t kElements = kQ8Format.elements;
  static_assert(kQ4Format.elements == kElements &&
                    kFP8Format.elements == kElements,
                "one shape for all formats");

  /// The largest of `value(element)` in each block.
  Value reduceMax(Value split,
                  llvm::function_ref<Value(LocBuilder &, Value)> value) {
    return reduce(b, element + "->" + block, split,
                  floatConstant(b, -std::numeric_limits<float>::infinity()),
                  [&](LocBuilder &b, ValueRange args) -> Value {
                    return arith::MaximumFOp::create(b, args[1],
                                                     value(b, args[0]));
                  });
  }
  Value perBlock(ValueRange inputs, ElementFn body) {
    std::string spec = block;
    for (size_t i = 1; i < inputs.size(); ++i)
      spec += "," + block;
    return elementwise(b, spec + "->" + block, inputs, f32, body);
  }
  /// `x` to the nearest multiple of `scale` with a factor from `low` to `high`.
  static Value toMultiple(LocBuilder &b, Value x, Value scale, double low,
                          double high) {
    Value zero = floatConstant(b, 0.0);
    Value inverse = arith::DivFOp::create(b, floatConstant(b, 1.0), scale);
    Value isZero =
        arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, scale, zero);
    inverse = arith::SelectOp::create(b, isZero, zero, inverse);
    Value q =
        math::RoundEvenOp::create(b, arith::MulFOp::create(b, x, inverse));
    q = arith::MaximumFOp::create(b, q, floatConstant(b, low));
    q = arith::MinimumFOp::create(b, q, floatConstant(b, high));
    return arith::MulFOp::create(b, q, scale);
  }
  /// `x` to the nearest float of 8 bits times `scale`, a power of two.
  static Value toFloat8(LocBuilder &b, Value x, Value scale);
  Value getScales(PackFormat format, Value split);
  Value getQ8Scales(Value split);
  Value getQ4Scales(Value split);
  Value getFP8Scales(Value split);

  LocBuilder &b;
  Value weight;
  RankedTensorType type;
  Type f32;
  std::string block, element;
};
} // namespace

static Value magnitude(LocBuilder &b, Value value) {
  return math::AbsFOp::create(b, value);
}

Value BlockRounding::getQ8Scales(Value split) {
  return perBlock(reduceMax(split, magnitude),
                  [&](LocBuilder &b, ValueRange args) -> Value {
                    Value scale = arith::MulFOp::create(
                        b, args[0], floatConstant(b, double(1.0f / 127)));
                    return convertFloat(
                        b, convertFloat(b, scale, b.getBF16Type()), f32);
                  });
}

Value BlockRounding::getQ4Scales(Value split) {
  Value largest = reduceMax(split, magnitude);
  Value highest = reduceMax(split, [](LocBuilder &, Value v) { return v; });
  Value best, bestError;
  for (int candidate = 0; candidate < kQ4Candidates; ++candidate) {
    Value scales = perBlock(
        {largest, highest}, [&](LocBuilder &b, ValueRange args) -> Value {
          Value bits = arith::BitcastOp::create(
              b, b.getI32Type(),
              arith::MulFOp::create(
                  b, args[0], floatConstant(b, double(1.0f / kQ4Divisor))));
          Value first = arith::SubIOp::create(
              b, arith::ShRUIOp::create(b, bits, intConstant(b, 20)),
              intConstant(b, (127 - 13) << 3));
          constexpr int last = kQ4LastCode - (kQ4Candidates - 1);
          Value code = arith::MaxSIOp::create(b, first, intConstant(b, 0));
          code = arith::AddIOp::create(b, code, intConstant(b, candidate));
          Value scale = arith::BitcastOp::create(
              b, f32,
              arith::AddIOp::create(
                  b, arith::ShLIOp::create(b, code, intConstant(b, 20)),
                  intConstant(b, (127 - 13) << 23)));
          Value isNegative = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ,
                                                   args[0], args[1]);
          scale = arith::SelectOp::create(
              b, isNegative, arith::NegFOp::create(b, scale), scale);
          Value isReached = arith::CmpIOp::create(b, arith::CmpIPredicate::sle,
                                                  first, intConstant(b, last));
          return arith::SelectOp::create(
              b, isReached, scale,
              floatConstant(b, std::numeric_limits<double>::quiet_NaN()));
        });
    Value errors = reduce(b, element + "," + block + "->" + block,
                          {split, scales}, floatConstant(b, 0.0),
                          [&](LocBuilder &b, ValueRange args) -> Value {
                            Value near = toMultiple(b, args[0], args[1], -8, 7);
                            Value d = arith::SubFOp::create(b, args[0], near);
                            return arith::AddFOp::create(
                                b, args[2], arith::MulFOp::create(b, d, d));
                          });
    if (!best) {
      best = scales, bestError = errors;
      continue;
    }
    auto choose = [&](Value yes, Value no) {
      return perBlock({errors, bestError, yes, no},
                      [](LocBuilder &b, ValueRange args) -> Value {
                        Value better = arith::CmpFOp::create(
                            b, arith::CmpFPredicate::OLT, args[0], args[1]);
                        return arith::SelectOp::create(b, better, args[2],
                                                       args[3]);
                      });
    };
    best = choose(scales, best);
    bestError = choose(errors, bestError);
  }
  return best;
}

Value BlockRounding::getFP8Scales(Value split) {
  return perBlock(
      reduceMax(split, magnitude),
      [&](LocBuilder &b, ValueRange args) -> Value {
        // The power of two that is not above the magnitude, or the next one if
        // the magnitude is 1.75 times that or more: 448 is 1.75 times 256.
        Value bits = arith::BitcastOp::create(b, b.getI32Type(), args[0]);
        Value up =
            arith::AddIOp::create(b, bits, intConstant(b, 0x7FFFFF - 0x600000));
        Value power = arith::SubIOp::create(
            b, arith::AndIOp::create(b, up, intConstant(b, 0x7F800000)),
            intConstant(b, 8 << 23));
        Value scale = arith::BitcastOp::create(
            b, f32, arith::MaxSIOp::create(b, power, intConstant(b, 1 << 23)));
        Value isFinite = arith::CmpFOp::create(
            b, arith::CmpFPredicate::OLT, args[0],
            floatConstant(b, std::numeric_limits<double>::infinity()));
        return arith::SelectOp::create(
            b, isFinite, scale,
            floatConstant(b, std::numeric_limits<double>::quiet_NaN()));
      });
}

Value BlockRounding::getScales(PackFormat format, Value split) {
  switch (format) {
  case PackFormat::Q8:
    return getQ8Scales(split);
  case PackFormat::Q4:
    return getQ4Scales(split);
  case PackFormat::FP8:
    return getFP8Scales(split);
  case PackFormat::Plain:
    break;
  }
  llvm_unreachable("a format without blocks");
}

Value BlockRounding::toFloat8(LocBuilder &b, Value x, Value scale) {
  Value value = arith::DivFOp::create(b, x, scale);
  // Steps of an eighth of the power of two below, 2^-6 at least.
  Value size = magnitude(b, value);
  Value power = arith::BitcastOp::create(
      b, b.getF32Type(),
      arith::AndIOp::create(b,
                            arith::BitcastOp::create(b, b.getI32Type(), size),
                            intConstant(b, 0x7F800000)));
  power = arith::MaximumFOp::create(b, power, floatConstant(b, 0x1p-6));
  Value step = arith::MulFOp::create(b, power, floatConstant(b, 0.125));
  Value count =
      math::RoundEvenOp::create(b, arith::DivFOp::create(b, value, step));
  return arith::MulFOp::create(b, arith::MulFOp::create(b, count, step), scale);
}

Value BlockRounding::round(PackFormat format) {
  int64_t rank = type.getRank(), columns = type.getShape().back();
  int64_t blocks = kQ8Format.blocks(columns), padded = blocks * kElements;
  SmallVector<int64_t> shape(type.getShape());
  shape.back() = padded;
  auto wholeType = RankedTensorType::get(shape, f32);
  Value whole = weight;
  if (padded != columns) {
    SmallVector<OpFoldResult> low(rank, b.getIndexAttr(0)), high(low);
    high.back() = b.getIndexAttr(padded - columns);
    whole = tensor::PadOp::create(b, wholeType, weight, low, high,
                                  floatConstant(b, 0.0));
  }
  SmallVector<ReassociationIndices> groups;
  for (int64_t d = 0; d < rank; ++d)
    groups.push_back({d});
  groups.back().push_back(rank);
  shape.back() = blocks;
  shape.push_back(kElements);
  Value split = tensor::ExpandShapeOp::create(
      b, RankedTensorType::get(shape, f32), whole, groups);

  Value scales = getScales(format, split);
  Value rounded =
      elementwise(b, element + "," + block + "->" + element, {split, scales},
                  f32, [&](LocBuilder &b, ValueRange args) -> Value {
                    if (format == PackFormat::FP8)
                      return toFloat8(b, args[0], args[1]);
                    bool isQ8 = format == PackFormat::Q8;
                    return toMultiple(b, args[0], args[1], isQ8 ? -127 : -8,
                                      isQ8 ? 127 : 7);
                  });
  Value result = tensor::CollapseShapeOp::create(b, wholeType, rounded, groups);
  if (padded == columns)
    return result;
  return takeRange(b, result, rank - 1, b.getIndexAttr(0),
                   b.getIndexAttr(columns));
}

/// A layout is a matter of memory: values keep their logical order, so all that
/// is left of packing is the element type and the stacking of two tensors.
struct PackLowering : OpConversionPattern<PackOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(PackOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    LocBuilder b(op.getLoc(), rewriter);
    auto type =
        cast<RankedTensorType>(getTypeConverter()->convertType(op.getType()));
    auto encoding =
        cast<PackedAttr>(cast<RankedTensorType>(op.getType()).getEncoding());
    auto convert = [&](Value value) {
      Value converted = convertElements(b, value, type.getElementType());
      return encoding.getFormat() == PackFormat::Plain
                 ? converted
                 : BlockRounding(b, converted).round(encoding.getFormat());
    };
    Value weight = convert(adaptor.getWeight());
    if (!adaptor.getSecond()) {
      rewriter.replaceOp(op, finish(b, weight, type));
      return success();
    }
    Value second = convert(adaptor.getSecond());
    // The new dimension precedes the trailing matrix.
    int64_t newDim = type.getRank() - 3;
    SmallVector<OpFoldResult> sizes =
        tensor::getMixedSizes(b, b.getLoc(), weight);
    sizes.insert(sizes.begin() + newDim, b.getIndexAttr(2));
    Value stack = emptyTensor(b, sizes, type.getElementType());
    sizes[newDim] = b.getIndexAttr(1);
    SmallVector<OpFoldResult> strides(sizes.size(), b.getIndexAttr(1));
    Value parts[] = {weight, second};
    for (auto [position, part] : llvm::enumerate(parts)) {
      SmallVector<OpFoldResult> offsets(sizes.size(), b.getIndexAttr(0));
      offsets[newDim] = b.getIndexAttr(position);
      stack = tensor::InsertSliceOp::create(b, part, stack, offsets, sizes,
                                            strides);
    }
    rewriter.replaceOp(op, finish(b, stack, type));
    return success();
  }
};

/// Stays, with a result of the logical type.
struct PackedWeightLowering : OpConversionPattern<PackedWeightOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(PackedWeightOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<PackedWeightOp>(
        op, TypeRange{getTypeConverter()->convertType(op.getType())},
        adaptor.getOperands(), op.getProperties(),
        llvm::to_vector(op->getDiscardableAttrs()));
    return success();
  }
};

} // namespace

void mlir::dsv2::populateDSV2ModelToLinalgPatterns(
    const TypeConverter &converter, RewritePatternSet &patterns) {
  patterns.add<EmbedLowering, GatedFFNLowering, LinearLowering, LogitsLowering,
               PackLowering, PackedWeightLowering, RMSNormLowering>(
      converter, patterns.getContext());
}
