//===- DSV2ToLinalgPass.cpp - reference lowering of dsv2 ops --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WeightsAsArguments.h"
#include "dsv2/Conversion/DSV2ToLinalg/DSV2ToLinalg.h"
#include "dsv2/Conversion/Passes.h"
#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/Transforms/StructuralTypeConversions.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Func/Transforms/FuncConversions.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Transforms/Patterns.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/DialectConversion.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_CONVERTDSV2TOLINALGPASS
#include "dsv2/Conversion/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

void mlir::dsv2::populateDSV2ToLinalgTypeConversions(TypeConverter &converter) {
  // The last rule added is tried first.
  converter.addConversion([](Type type) { return type; });
  converter.addConversion([](RankedTensorType type) -> Type {
    if (!isa_and_nonnull<PackedAttr>(type.getEncoding()))
      return type;
    return RankedTensorType::get(type.getShape(), type.getElementType());
  });
  converter.addConversion(
      [](LatentCacheType type) -> Type { return type.getMemoryType(); });
}

namespace {

/// Code that makes a cache of memory, or memory of a cache, says so by a cast;
/// the reference lowering gives both sides the same type.
struct CastLowering : OpConversionPattern<UnrealizedConversionCastOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(UnrealizedConversionCastOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    SmallVector<Type> types;
    if (failed(getTypeConverter()->convertTypes(op.getResultTypes(), types)) ||
        TypeRange(adaptor.getOperands()) != TypeRange(types))
      return rewriter.notifyMatchFailure(op, "types differ after conversion");
    rewriter.replaceOp(op, adaptor.getOperands());
    return success();
  }
};

struct ConvertDSV2ToLinalg
    : dsv2::impl::ConvertDSV2ToLinalgPassBase<ConvertDSV2ToLinalg> {
  using ConvertDSV2ToLinalgPassBase::ConvertDSV2ToLinalgPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (weightsAsArguments && failed(turnWeightsIntoArguments(module)))
      return signalPassFailure();

    TypeConverter converter;
    populateDSV2ToLinalgTypeConversions(converter);

    ConversionTarget target(getContext());
    RewritePatternSet patterns(&getContext());
    populateDSV2AttentionToLinalgPatterns(converter, patterns);
    populateDSV2CacheToLinalgPatterns(converter, patterns);
    populateDSV2ModelToLinalgPatterns(converter, patterns);
    populateDSV2MoEToLinalgPatterns(converter, patterns);
    patterns.add<CastLowering>(converter, &getContext());
    populateFunctionOpInterfaceTypeConversionPattern<func::FuncOp>(patterns,
                                                                   converter);
    populateCallOpTypeConversionPattern(patterns, converter);
    populateReturnOpTypeConversionPattern(patterns, converter);
    cf::populateCFStructuralTypeConversionsAndLegality(converter, patterns,
                                                       target);
    scf::populateSCFStructuralTypeConversionsAndLegality(converter, patterns,
                                                         target);

    target.addIllegalDialect<DSV2Dialect>();
    target.addLegalOp<ModuleOp, WeightOp>();
    // Kernels may be built from model ops; what launches them is left alone.
    target.addDynamicallyLegalOp<LaunchOp, TapOp, WeightViewOp>(
        [&](Operation *op) { return converter.isLegal(op); });
    target.addDynamicallyLegalOp<PackedWeightOp>(
        [&](PackedWeightOp op) { return converter.isLegal(op.getType()); });
    // Blocks other than the first get their types from the branches to them.
    target.addDynamicallyLegalOp<func::FuncOp>([&](func::FuncOp op) {
      return converter.isSignatureLegal(op.getFunctionType());
    });
    // Anything else, of whatever dialect, is fine as long as its types are.
    target.markUnknownOpDynamicallyLegal(
        [&](Operation *op) { return converter.isLegal(op); });

    if (failed(applyFullConversion(module, target, std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
