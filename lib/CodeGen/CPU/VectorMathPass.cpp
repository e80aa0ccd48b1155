//===- VectorMathPass.cpp - Expand elementary functions -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/VectorMath.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

using namespace mlir;
using namespace mlir::dsv2::cpu;

namespace {

struct ExpandExp : OpRewritePattern<math::ExpOp> {
  ExpandExp(MLIRContext *context, bool useFMA)
      : OpRewritePattern(context), useFMA(useFMA) {}

  LogicalResult matchAndRewrite(math::ExpOp op,
                                PatternRewriter &rewriter) const override {
    Type type = op.getType();
    auto vector = dyn_cast<VectorType>(type);
    if (!getElementTypeOrSelf(type).isF32() || isa<TensorType>(type))
      return rewriter.notifyMatchFailure(op, "not f32, or a tensor");
    if (vector && vector.isScalable())
      return rewriter.notifyMatchFailure(op, "scalable vector");
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
    if (isa<TensorType>(type) || (!element.isF32() && !element.isF64()))
      return rewriter.notifyMatchFailure(op, "not f32 or f64, or a tensor");
    TypedAttr one = rewriter.getFloatAttr(element, 1.0);
    if (auto vector = dyn_cast<VectorType>(type)) {
      if (vector.isScalable())
        return rewriter.notifyMatchFailure(op, "scalable vector");
      one = DenseElementsAttr::get(vector, Attribute(one));
    }
    Value unit = arith::ConstantOp::create(rewriter, op.getLoc(), one);
    Value root = math::SqrtOp::create(rewriter, op.getLoc(), op.getOperand());
    rewriter.replaceOpWithNewOp<arith::DivFOp>(op, unit, root);
    return success();
  }
};

struct ExpandVectorMathPass
    : PassWrapper<ExpandVectorMathPass, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ExpandVectorMathPass)

  ExpandVectorMathPass() = default;
  ExpandVectorMathPass(const ExpandVectorMathPass &other)
      : PassWrapper(other) {}

  StringRef getArgument() const override { return "dsv2-expand-vector-math"; }
  StringRef getDescription() const override {
    return "Expand exp and rsqrt into arithmetic, without libm";
  }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<arith::ArithDialect, math::MathDialect,
                    vector::VectorDialect>();
  }

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateExpandVectorMathPatterns(patterns, useFMA);
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }

  Option<bool> useFMA{
      *this, "fma",
      llvm::cl::desc("Use fused multiply-add, which the processor must have"),
      llvm::cl::init(false)};
};

} // namespace

void dsv2::cpu::populateExpandVectorMathPatterns(RewritePatternSet &patterns,
                                                 bool useFMA) {
  patterns.add<ExpandExp>(patterns.getContext(), useFMA);
  patterns.add<ExpandRsqrt>(patterns.getContext());
}

std::unique_ptr<Pass> dsv2::cpu::createExpandVectorMathPass(bool useFMA) {
  auto pass = std::make_unique<ExpandVectorMathPass>();
  pass->useFMA = useFMA;
  return pass;
}

void dsv2::cpu::registerExpandVectorMathPass() {
  PassRegistration<ExpandVectorMathPass>();
}
