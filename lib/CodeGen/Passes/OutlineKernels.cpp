//===- OutlineKernels.cpp - model ops to launches of kernels --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelOutliner.h"
#include "RuntimeEntries.h"

#include "mlir/Dialect/AMX/AMXDialect.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/TypeSwitch.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_OUTLINEKERNELSPASS
#include "dsv2/CodeGen/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

//===----------------------------------------------------------------------===//
// ModuleOutliner
//===----------------------------------------------------------------------===//

MemRefType ModuleOutliner::getTableType() {
  return MemRefType::get({ShapedType::kDynamic},
                         IntegerType::get(module.getContext(), 64));
}

MemRefType ModuleOutliner::getCacheType(LatentCacheType type) {
  return type.getMemoryType();
}

MemRefType ModuleOutliner::getWorkspaceType() {
  return MemRefType::get({ShapedType::kDynamic},
                         IntegerType::get(module.getContext(), 8));
}

MemRefType ModuleOutliner::getStorageType(RankedTensorType packed) {
  auto encoding = cast<PackedAttr>(packed.getEncoding());
  return MemRefType::get(
      encoding.getStorageShape(packed.getShape()),
      encoding.getStorageElementType(packed.getElementType()));
}

void ModuleOutliner::describeCache() {
  LatentCacheType type;
  for (auto function : module.getOps<func::FuncOp>())
    for (Type argument : function.getArgumentTypes())
      if (auto cache = dyn_cast<LatentCacheType>(argument))
        type = cache;
  if (!type)
    return;
  Builder b(module.getContext());
  int64_t layers = 0;
  if (auto manifest = module->getAttrOfType<DictionaryAttr>(kManifestAttr))
    if (auto model = manifest.getAs<DictionaryAttr>("model"))
      if (auto count = model.getAs<IntegerAttr>("num_layers"))
        layers = count.getInt();
  setManifestEntry(
      module, "cache",
      b.getDictionaryAttr({
          b.getNamedAttr("layers", b.getI64IntegerAttr(layers)),
          b.getNamedAttr("latent", b.getI64IntegerAttr(type.getLatent())),
          b.getNamedAttr("rope", b.getI64IntegerAttr(type.getRope())),
          b.getNamedAttr("page", b.getI64IntegerAttr(type.getPage())),
          b.getNamedAttr("format", b.getStringAttr(
                                       stringifyCacheFormat(type.getFormat()))),
          b.getNamedAttr("row_bytes", b.getI64IntegerAttr(type.getRow().bytes)),
      }));
}

LogicalResult ModuleOutliner::run() {
  describeCache();
  SmallVector<func::FuncOp> functions(module.getOps<func::FuncOp>());
  if (reference)
    for (func::FuncOp function : functions)
      if (failed(symbols.rename(function,
                                (kReferencePrefix + function.getName()).str())))
        return failure();
  if (failed(collectSlots()))
    return failure();
  if (kind == KernelKind::Device && failed(checkDeviceWeights(module)))
    return failure();
  for (func::FuncOp function : functions) {
    if (function.isExternal())
      continue;
    if (function->hasAttr(kPrepareAttr))
      outlinePrepare(function);
    else if (kind == KernelKind::Device) {
      if (failed(outlineForDevice(*this, function)))
        return failure();
    } else if (failed(FunctionOutliner(*this, function).run()))
      return failure();
  }
  // The reference starts from f32 as well, staged by the same conversions.
  if (!reference)
    buildConversions();
  return success();
}

//===----------------------------------------------------------------------===//
// FunctionOutliner: structure
//===----------------------------------------------------------------------===//

Value FunctionOutliner::lookup(Value value) {
  if (Value mapped = mapping.lookupOrNull(value))
    return mapped;
  hadError = true;
  Operation *definition = value.getDefiningOp();
  emitError(definition ? definition->getLoc() : oldFunction.getLoc())
      << "this value is not available to kernels";
  return UnrealizedConversionCastOp::create(b, value.getType(), ValueRange())
      .getResult(0);
}

LogicalResult FunctionOutliner::checkSignature() {
  MLIRContext *ctx = oldFunction.getContext();
  Type i32 = IntegerType::get(ctx, 32);
  constexpr int64_t dynamic = ShapedType::kDynamic;
  Type list = RankedTensorType::get({dynamic}, i32);
  Type table = RankedTensorType::get({dynamic, dynamic}, i32);
  auto isActivation = [](Type type) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    return tensor && tensor.getRank() == 2 && tensor.isDynamicDim(0) &&
           tensor.getElementType().isF32();
  };
  ArrayRef<Type> inputs = oldFunction.getArgumentTypes();
  ArrayRef<Type> results = oldFunction.getResultTypes();
  auto isCache = [](Type type) { return isa<LatentCacheType>(type); };
  auto entry = oldFunction->getAttrOfType<StringAttr>(kEntryAttr);
  bool matches;
  if (entry && entry.getValue() == "copy_pages")
    matches = inputs.size() == 3 && isCache(inputs[0]) && inputs[1] == list &&
              inputs[2] == list && results.empty();
  else if (entry)
    matches = inputs.size() == 7 &&
              llvm::all_of(inputs.take_front(4),
                           [&](Type type) { return type == list; }) &&
              inputs[4] == table && inputs[5] == list && isCache(inputs[6]) &&
              results.size() == 1 && isActivation(results[0]);
  else
    matches = inputs.size() == 8 && isActivation(inputs[0]) &&
              inputs[1].isIndex() && inputs[2].isIndex() && inputs[3] == list &&
              inputs[4] == list && inputs[5] == list && inputs[6] == table &&
              isCache(inputs[7]) && results.size() == 1 &&
              results[0] == inputs[0];
  if (matches)
    return success();
  return oldFunction.emitOpError("expected the signature of a step, layer or "
                                 "page-copy function, got ")
         << oldFunction.getFunctionType();
}

LogicalResult FunctionOutliner::run() {
  if (failed(checkSignature()))
    return failure();
  auto entry = oldFunction->getAttrOfType<StringAttr>(kEntryAttr);
  bool isCopyPages = entry && entry.getValue() == "copy_pages";
  bool isStep = entry && !isCopyPages;

  SmallVector<Type> inputs;
  for (Type type : oldFunction.getArgumentTypes()) {
    if (auto cache = dyn_cast<LatentCacheType>(type))
      type = outliner.getCacheType(cache);
    inputs.push_back(type);
  }
  size_t numOld = inputs.size();
  if (!isCopyPages) {
    inputs.push_back(outliner.getTableType());
    inputs.push_back(outliner.getWorkspaceType());
    if (isStep)
      inputs.push_back(oldFunction.getResultTypes().front());
    inputs.push_back(LLVM::LLVMPointerType::get(b.getContext()));
    inputs.push_back(b.getI32Type());
  }
  newFunction = func::FuncOp::create(
      b, b.getLoc(), oldFunction.getName(),
      b.getFunctionType(inputs, oldFunction.getResultTypes()));
  // Private until the signature is final: bufferisation changes it.
  newFunction.setPrivate();
  for (NamedAttribute attr : oldFunction->getDiscardableAttrs())
    newFunction->setAttr(attr.getName(), attr.getValue());

  Block *body = newFunction.addEntryBlock();
  b.setInsertionPointToStart(body);
  for (auto [oldArg, newArg] :
       llvm::zip(oldFunction.getArguments(), body->getArguments()))
    mapping.map(oldArg, newArg);
  auto setArgAttr = [&](BlockArgument arg, StringRef name, Attribute attr) {
    newFunction.setArgAttr(arg.getArgNumber(), name, attr);
  };
  auto markSize = [&](Value arg, StringRef size) {
    setArgAttr(cast<BlockArgument>(arg), kSizeAttr, b.getStringAttr(size));
  };
  if (!isCopyPages) {
    auto extra = body->getArguments().drop_front(numOld);
    weights = extra[0];
    workspace = extra[1];
    if (isStep)
      logits = extra[2];
    context = extra[extra.size() - 2];
    tapLevel = extra.back();
    // See ModelBuilder.h for the order of arguments.
    Value tokenList = isStep ? body->getArgument(0) : body->getArgument(3);
    tokens = tensor::DimOp::create(b, tokenList, 0);
    markSize(tokenList, "tokens");
    markSize(body->getArgument(isStep ? 4 : 6), "sequences");
    if (isStep) {
      rows = tensor::DimOp::create(b, body->getArgument(5), 0);
      markSize(body->getArgument(5), "rows");
      setArgAttr(cast<BlockArgument>(logits), "bufferization.writable",
                 b.getBoolAttr(true));
    } else {
      hidden = body->getArgument(0);
      layer = body->getArgument(1);
    }
  }

  if (!llvm::hasSingleElement(oldFunction.getBody()))
    return oldFunction.emitOpError("expected a body of one block");
  if (failed(outlineBlock(oldFunction.getBody().front())) || hadError) {
    newFunction.erase();
    return failure();
  }
  // The new function takes the old one's name and place.
  Block::iterator position = std::next(Block::iterator(oldFunction));
  outliner.symbols.erase(oldFunction);
  outliner.symbols.insert(newFunction, position);
  return success();
}

LogicalResult FunctionOutliner::outlineBlock(Block &block) {
  for (Operation &op : block) {
    b.setLoc(op.getLoc());
    if (!outliner.reference && isFusedIntoUser(&op))
      continue;
    if (failed(outlineOp(&op)))
      return failure();
  }
  return success();
}

/// Whether `op` computes on tensors, and so has a reference kernel.
static bool isReferenceOp(Operation *op) {
  if (isa<PackedWeightOp>(op))
    return false;
  return isa<DSV2Dialect>(op->getDialect()) ||
         (isa<arith::AddFOp>(op) &&
          isa<RankedTensorType>(op->getResult(0).getType()));
}

LogicalResult FunctionOutliner::outlineOp(Operation *op) {
  if (outliner.reference && isReferenceOp(op))
    return outlineReference(op);
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](EmbedOp op) { return outlineEmbed(op); })
      .Case([&](RMSNormOp op) { return outlineNorm(op); })
      .Case([&](LinearOp op) { return outlineLinear(op, Value(), op); })
      .Case([&](GatedFFNOp op) { return outlineFFN(op, Value(), op); })
      .Case([&](LogitsOp op) { return outlineLogits(op); })
      .Case([&](arith::AddFOp op) { return outlineAdd(op); })
      .Case([&](RopeOp op) { return outlineRope(op); })
      .Case([&](LatentAppendOp op) { return outlineAppend(op); })
      .Case([&](LatentAttentionOp op) { return outlineAttention(op); })
      .Case([&](RouteOp op) { return outlineRoute(op); })
      .Case([&](DispatchOp op) { return outlineDispatch(op); })
      .Case([&](ExpertFFNOp op) { return outlineExperts(op); })
      .Case([&](CombineOp op) {
        return outlineCombine(op, Value(), Value(), op);
      })
      .Case([&](CopyPagesOp op) { return outlineCopyPages(op); })
      .Case([&](PackedWeightOp op) { return outlinePackedWeight(op); })
      .Case([&](scf::ForOp op) { return outlineLoop(op); })
      .Case([&](func::CallOp op) { return outlineCall(op); })
      .Case([&](AllReduceOp op) { return outlineAllReduce(op); })
      .Case([&](AllGatherOp op) { return outlineAllGather(op); })
      .Case([&](AllToAllOp op) { return outlineAllToAll(op); })
      .Case([&](AllToAllVOp op) { return outlineAllToAllV(op); })
      .Case([&](CommWaitOp op) { return outlineCommWait(op); })
      .Case([&](ExchangePackOp op) { return outlineExchangePack(op); })
      .Case([&](CheckCapacityOp op) { return outlineCheckCapacity(op); })
      .Case([&](ExchangeUnpackOp op) { return outlineExchangeUnpack(op); })
      .Case([&](ExchangeCombineOp op) { return outlineExchangeCombine(op); })
      .Case([&](tensor::ExtractSliceOp op) { return outlineSlice(op); })
      // Exchanges make the memory that they fill.
      .Case([&](tensor::EmptyOp) { return success(); })
      .Case<scf::YieldOp, func::ReturnOp, tensor::DimOp, tensor::ExpandShapeOp,
            tensor::CollapseShapeOp>([&](Operation *op) {
        b.clone(*op, mapping);
        return success();
      })
      .Default([&](Operation *op) -> LogicalResult {
        if (op->getNumRegions() == 0 &&
            llvm::none_of(op->getResultTypes(), llvm::IsaPred<TensorType>)) {
          b.clone(*op, mapping);
          return success();
        }
        return op->emitOpError("has no kernel for the CPU target");
      });
}

LogicalResult FunctionOutliner::outlineLoop(scf::ForOp loop) {
  SmallVector<Value> inits;
  for (Value init : loop.getInitArgs())
    inits.push_back(lookup(init));
  auto newLoop = scf::ForOp::create(b, lookup(loop.getLowerBound()),
                                    lookup(loop.getUpperBound()),
                                    lookup(loop.getStep()), inits);
  mapping.map(loop.getInductionVar(), newLoop.getInductionVar());
  for (auto [oldArg, newArg] :
       llvm::zip_equal(loop.getRegionIterArgs(), newLoop.getRegionIterArgs()))
    mapping.map(oldArg, newArg);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(newLoop.getBody());
    if (failed(outlineBlock(*loop.getBody())))
      return failure();
  }
  for (auto [oldResult, newResult] :
       llvm::zip_equal(loop.getResults(), newLoop.getResults()))
    mapping.map(oldResult, newResult);
  return success();
}

LogicalResult FunctionOutliner::outlineCall(func::CallOp call) {
  SmallVector<Value> operands;
  for (Value operand : call.getOperands())
    operands.push_back(lookup(operand));
  llvm::append_values(operands, weights, workspace, context, tapLevel);
  auto newCall = func::CallOp::create(b, call.getCallee(),
                                      call.getResultTypes(), operands);
  for (auto [oldResult, newResult] :
       llvm::zip_equal(call.getResults(), newCall.getResults()))
    mapping.map(oldResult, newResult);
  return success();
}

SmallVector<Value>
FunctionOutliner::launch(func::FuncOp kernel, ValueRange inputs,
                         ValueRange outputs,
                         std::optional<int64_t> serialBelow) {
  SmallVector<Type> resultTypes;
  for (Value output : outputs)
    if (isa<RankedTensorType>(output.getType()))
      resultTypes.push_back(output.getType());
  auto op = LaunchOp::create(b, resultTypes, kernel.getName(), inputs, outputs,
                             serialBelow ? b.getI64IntegerAttr(*serialBelow)
                                         : IntegerAttr());
  ++outliner.numLaunches;
  return SmallVector<Value>(op.getResults());
}

Value FunctionOutliner::empty(ArrayRef<int64_t> shape, Type element,
                              Value dynamicSize) {
  SmallVector<Value> dynamic;
  for (int64_t size : shape)
    if (ShapedType::isDynamic(size))
      dynamic.push_back(dynamicSize);
  // Empty tensors of one size are one after CSE, and bufferisation then
  // allocates where one is written, which may be in a branch: launches on a
  // device are chosen between.
  if (outliner.kind == KernelKind::Device)
    return bufferization::AllocTensorOp::create(
        b, RankedTensorType::get(shape, element), dynamic);
  return tensor::EmptyOp::create(b, shape, element, dynamic);
}

Value FunctionOutliner::emptyRows(ArrayRef<int64_t> shape, Type element,
                                  RowCount rows) {
  if (rows.bound == rows.count)
    return empty(shape, element, rows.bound);
  // A slice of an empty tensor is an empty tensor of the slice's size, after
  // canonicalisation, and memory cannot be planned for that.
  Value whole = bufferization::AllocTensorOp::create(
      b, RankedTensorType::get(shape, element), ValueRange{rows.bound});
  SmallVector<OpFoldResult> offsets(shape.size(), b.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(shape.size(), b.getIndexAttr(1));
  SmallVector<OpFoldResult> sizes = {rows.count};
  for (int64_t size : shape.drop_front())
    sizes.push_back(b.getIndexAttr(size));
  return tensor::ExtractSliceOp::create(
      b, RankedTensorType::get(shape, element), whole, offsets, sizes, strides);
}

RowCount FunctionOutliner::getRowCount(Value oldValue) {
  auto it = rowCounts.find(oldValue);
  return it == rowCounts.end() ? RowCount{tokens, tokens} : it->second;
}

Value FunctionOutliner::destination(Operation *op) {
  Value result = op->getResult(0);
  auto type = cast<RankedTensorType>(result.getType());
  if (hidden && result.hasOneUse() && type == hidden.getType() &&
      isa<func::ReturnOp>(*result.user_begin()))
    return hidden;
  return empty(type.getShape(), type.getElementType(), tokens);
}

int64_t FunctionOutliner::getTapLevel(Operation *op) {
  bool isLayerOutput =
      llvm::any_of(op->getResult(0).getUsers(), llvm::IsaPred<func::ReturnOp>);
  return isLayerOutput ? 1 : 2;
}

/// Whether the rows that `op` results in are of tokens that other ranks have
/// sent.
static bool isOfOtherRanks(Operation *op) {
  if (auto combine = dyn_cast<CombineOp>(op))
    return combine.getPartial();
  auto experts = dyn_cast<ExpertFFNOp>(op);
  auto dispatch =
      experts ? experts.getInput().getDefiningOp<DispatchOp>() : DispatchOp();
  return dispatch && dispatch.getPartial();
}

void FunctionOutliner::tap(Operation *op, Value value) {
  TapOp::create(b, /*replaced=*/Type(), value, getSiteName(op), layer,
                getTapLevel(op), isOfOtherRanks(op));
}

//===----------------------------------------------------------------------===//
// Pass
//===----------------------------------------------------------------------===//

namespace {
struct OutlineKernels
    : public mlir::dsv2::impl::OutlineKernelsPassBase<OutlineKernels> {
  using OutlineKernelsPassBase::OutlineKernelsPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto target = CPUTargetInfo::parse(targetCPU);
    if (!target) {
      module.emitError() << llvm::toString(target.takeError());
      return signalPassFailure();
    }
    size_t before = llvm::range_size(module.getOps<func::FuncOp>());
    if (reference && !gpuChips.empty()) {
      module.emitError("expected kernels for a device or the reference, got "
                       "both");
      return signalPassFailure();
    }
    KernelKind kind = reference          ? KernelKind::Reference
                      : gpuChips.empty() ? KernelKind::CPU
                                         : KernelKind::Device;
    std::vector<GPUTargetInfo> chips;
    if (kind == KernelKind::Device) {
      auto parsed = GPUTargetInfo::parseList(gpuChips);
      if (!parsed) {
        module.emitError() << "gpu-chip: "
                           << llvm::toString(parsed.takeError());
        return signalPassFailure();
      }
      chips = std::move(*parsed);
    }
    ModuleOutliner outliner(module, *target, kind, chips);
    if (failed(outliner.run()))
      return signalPassFailure();
    module->setAttr(kTargetCPUAttr, StringAttr::get(&getContext(), targetCPU));
    Builder b(&getContext());
    SmallVector<StringRef> features(target->features.begin(),
                                    target->features.end());
    setManifestEntry(
        module, "target",
        b.getDictionaryAttr({
            b.getNamedAttr("kind", b.getStringAttr("cpu")),
            b.getNamedAttr("cpu", b.getStringAttr(target->cpu)),
            b.getNamedAttr("features", b.getStrArrayAttr(features)),
        }));
    numLaunches += outliner.numLaunches;
    numKernels += llvm::range_size(module.getOps<func::FuncOp>()) - before;
  }
};
} // namespace
