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

/// The nearest values to those of `weight`, f32 of static shape [..., K], that
/// blocks of 32 along K hold in the format q8, as f32.
static Value roundToQ8(LocBuilder &b, Value weight) {
  auto type = cast<RankedTensorType>(weight.getType());
  Type f32 = b.getF32Type();
  int64_t rank = type.getRank(), columns = type.getShape().back();
  int64_t blocks = kQ8Format.blocks(columns);
  int64_t padded = blocks * kQ8Format.elements;
  Value zero = floatConstant(b, 0.0);
  SmallVector<int64_t> shape(type.getShape());
  shape.back() = padded;
  auto wholeType = RankedTensorType::get(shape, f32);
  Value whole = weight;
  if (padded != columns) {
    SmallVector<OpFoldResult> low(rank, b.getIndexAttr(0)), high(low);
    high.back() = b.getIndexAttr(padded - columns);
    whole = tensor::PadOp::create(b, wholeType, weight, low, high, zero);
  }
  SmallVector<ReassociationIndices> groups;
  for (int64_t d = 0; d < rank; ++d)
    groups.push_back({d});
  groups.back().push_back(rank);
  shape.back() = blocks;
  shape.push_back(kQ8Format.elements);
  Value split = tensor::ExpandShapeOp::create(
      b, RankedTensorType::get(shape, f32), whole, groups);

  // One letter a dimension, k for blocks and j inside of them.
  std::string block = std::string("abcdefgh").substr(0, rank - 1) + "k";
  std::string element = block + "j";
  Value largest =
      reduce(b, element + "->" + block, split, zero,
             [](LocBuilder &b, ValueRange args) -> Value {
               Value magnitude = math::AbsFOp::create(b, args[0]);
               return arith::MaximumFOp::create(b, args[1], magnitude);
             });
  Value scales = elementwise(
      b, block + "->" + block, largest, f32,
      [&](LocBuilder &b, ValueRange args) -> Value {
        Value scale = arith::MulFOp::create(
            b, args[0], floatConstant(b, double(1.0f / 127)));
        return convertFloat(b, convertFloat(b, scale, b.getBF16Type()), f32);
      });
  Value rounded = elementwise(
      b, element + "," + block + "->" + element, {split, scales}, f32,
      [&](LocBuilder &b, ValueRange args) -> Value {
        Value inverse =
            arith::DivFOp::create(b, floatConstant(b, 1.0), args[1]);
        Value isZero =
            arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, args[1], zero);
        inverse = arith::SelectOp::create(b, isZero, zero, inverse);
        Value q = arith::MulFOp::create(b, args[0], inverse);
        q = arith::MaximumFOp::create(b, q, floatConstant(b, -127.0));
        q = arith::MinimumFOp::create(b, q, floatConstant(b, 127.0));
        q = math::RoundEvenOp::create(b, q);
        return arith::MulFOp::create(b, q, args[1]);
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
      return encoding.getFormat() == PackFormat::Q8 ? roundToQ8(b, converted)
                                                    : converted;
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
