//===- VectorMathPass.cpp - Expand elementary functions -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/Passes.h"
#include "dsv2/CodeGen/CPU/VectorMath.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

using namespace mlir;
using namespace mlir::dsv2::cpu;

namespace mlir::dsv2::cpu {
#define GEN_PASS_DEF_EXPANDVECTORMATHPASS
#include "dsv2/CodeGen/CPU/Passes.h.inc"
} // namespace mlir::dsv2::cpu

/// Whether values of `type` can be computed with: no tensor, and not scalable.
static bool isFixed(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  return !isa<TensorType>(type) && !(vector && vector.isScalable());
}

/// `type` with f32 in place of its 16-bit elements, or null for other elements.
static Type getWiderType(Type type) {
  Type element = getElementTypeOrSelf(type);
  if (!element.isBF16() && !element.isF16())
    return {};
  Type f32 = Float32Type::get(type.getContext());
  if (auto vector = dyn_cast<VectorType>(type))
    return vector.clone(f32);
  return f32;
}

namespace {

/// Computes a function of 16-bit numbers in f32.
template <class Op> struct WidenOperand : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;

  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    Type wide = getWiderType(op.getType());
    if (!wide || !isFixed(op.getType()))
      return rewriter.notifyMatchFailure(op, "not of 16 bits, or a tensor");
    Value x =
        arith::ExtFOp::create(rewriter, op.getLoc(), wide, op.getOperand());
    Value y = Op::create(rewriter, op.getLoc(), x);
    rewriter.replaceOpWithNewOp<arith::TruncFOp>(op, op.getType(), y);
    return success();
  }
};

struct ExpandExp : OpRewritePattern<math::ExpOp> {
  ExpandExp(MLIRContext *context, bool useFMA)
      : OpRewritePattern(context), useFMA(useFMA) {}

  LogicalResult matchAndRewrite(math::ExpOp op,
                                PatternRewriter &rewriter) const override {
    Type type = op.getType();
    if (!getElementTypeOrSelf(type).isF32() || !isFixed(type))
      return rewriter.notifyMatchFailure(op, "not f32, or a tensor");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    rewriter.replaceOp(op, emitExp(b, op.getOperand(), useFMA));
    return success();
  }

  bool useFMA;
};

struct ExpandRsqrt : OpRewritePattern<math::RsqrtOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(math::RsqrtOp op,
                                PatternRewriter &rewriter) const override {
    Type type = op.getType(), element = getElementTypeOrSelf(type);
    if (!isFixed(type) || (!element.isF32() && !element.isF64()))
      return rewriter.notifyMatchFailure(op, "not f32 or f64, or a tensor");
    TypedAttr one = rewriter.getFloatAttr(element, 1.0);
    if (auto vector = dyn_cast<VectorType>(type))
      one = DenseElementsAttr::get(vector, Attribute(one));
    Value unit = arith::ConstantOp::create(rewriter, op.getLoc(), one);
    Value root = math::SqrtOp::create(rewriter, op.getLoc(), op.getOperand());
    rewriter.replaceOpWithNewOp<arith::DivFOp>(op, unit, root);
    return success();
  }
};

struct ExpandVectorMath
    : dsv2::cpu::impl::ExpandVectorMathPassBase<ExpandVectorMath> {
  using ExpandVectorMathPassBase::ExpandVectorMathPassBase;

  void runOnOperation() override {
    // In two walks, since a walk does not visit the ops it makes.
    RewritePatternSet widen(&getContext()), expand(&getContext());
    widen.add<WidenOperand<math::ExpOp>, WidenOperand<math::RsqrtOp>>(
        &getContext());
    dsv2::cpu::populateExpandVectorMathPatterns(expand, useFMA);
    walkAndApplyPatterns(getOperation(), std::move(widen));
    walkAndApplyPatterns(getOperation(), std::move(expand));
  }
};

} // namespace

void dsv2::cpu::populateExpandVectorMathPatterns(RewritePatternSet &patterns,
                                                 bool useFMA) {
  patterns.add<ExpandExp>(patterns.getContext(), useFMA);
  patterns.add<ExpandRsqrt>(patterns.getContext());
}
