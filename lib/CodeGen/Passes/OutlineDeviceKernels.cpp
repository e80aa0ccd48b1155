//===- OutlineDeviceKernels.cpp - each model op as launches on a GPU ------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The structure of the functions is that of the CPU target (OutlineKernels.cpp)
// and so is what is fused. What differs is the type of values between kernels:
// the input of every product is bf16, the residual stream and what a norm or a
// router reads is f32.
//
//===----------------------------------------------------------------------===//

#include "KernelOutliner.h"

#include "dsv2/CodeGen/GPU/SimtKernels.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::dsv2;

static int64_t getWidth(Value value) {
  return cast<ShapedType>(value.getType()).getShape().back();
}
static Type getElement(Value value) {
  return cast<ShapedType>(value.getType()).getElementType();
}

namespace {

class DeviceOutliner : public FunctionOutliner {
public:
  using FunctionOutliner::FunctionOutliner;

private:
  LogicalResult outlineOp(Operation *op) override;
  LogicalResult outlineEmbed(EmbedOp op) override;
  LogicalResult outlineNorm(RMSNormOp op) override;
  LogicalResult outlineLinear(LinearOp op, Value residual,
                              Operation *result) override;
  LogicalResult outlineFFN(GatedFFNOp op, Value residual,
                           Operation *result) override;
  LogicalResult outlineLogits(LogitsOp op) override;
  LogicalResult outlineRope(RopeOp op) override;
  LogicalResult outlineAppend(LatentAppendOp op) override;
  LogicalResult outlineAttention(LatentAttentionOp op) override;
  LogicalResult outlineRoute(RouteOp op) override;
  LogicalResult outlineDispatch(DispatchOp op) override;
  LogicalResult outlineExperts(ExpertFFNOp op) override;
  LogicalResult outlineCombine(CombineOp op, Value shared, Value residual,
                               Operation *result) override;
  Value emitAdd(Value lhs, Value rhs, arith::AddFOp op) override;

  SmallVector<Value> launchDevice(LLVM::LLVMFuncOp kernel, ValueRange grid,
                                  ValueRange inputs, ValueRange outputs);
  /// A product of `x` with rows `rows`, into `output`.
  Value emitProduct(dsv2::gpu::ProductConfig config, Value x, Value weights,
                    ValueRange optional, Value output, Value rows);
  /// The cache of `op`, or a failure with an error.
  FailureOr<dsv2::gpu::LatentCacheConfig> getDeviceCache(Operation *op,
                                                         LatentCacheType type);
  Value getDeviceRopeTable(RopeOp op);
  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(b, value);
  }
  /// An uninitialised matrix of token rows.
  Value emptyRows(ArrayRef<int64_t> shape, Type element) {
    SmallVector<int64_t> sizes = {ShapedType::kDynamic};
    llvm::append_range(sizes, shape);
    return empty(sizes, element, tokens);
  }
};

} // namespace

LogicalResult mlir::dsv2::checkDeviceWeights(ModuleOp module) {
  WalkResult result = module.walk([](PackOp op) {
    auto type = cast<RankedTensorType>(op.getType());
    if (!cast<PackedAttr>(type.getEncoding()).getBlocks())
      return WalkResult::advance();
    op.emitOpError("expected a format that has kernels for GPUs, f32 or bf16, "
                   "got ")
        << type;
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

LogicalResult mlir::dsv2::outlineForDevice(ModuleOutliner &outliner,
                                           func::FuncOp function) {
  auto entry = function->getAttrOfType<StringAttr>(kEntryAttr);
  if (entry && entry.getValue() == "copy_pages") {
    // Pages are plain memory: the runtime copies them itself.
    outliner.symbols.erase(function);
    return success();
  }
  return DeviceOutliner(outliner, function).run();
}

SmallVector<Value> DeviceOutliner::launchDevice(LLVM::LLVMFuncOp kernel,
                                                ValueRange grid,
                                                ValueRange inputs,
                                                ValueRange outputs) {
  SmallVector<Type> resultTypes;
  for (Value output : outputs)
    if (isa<RankedTensorType>(output.getType()))
      resultTypes.push_back(output.getType());
  auto symbol = SymbolRefAttr::get(
      b.getContext(), kDeviceModule,
      {FlatSymbolRefAttr::get(b.getContext(), kernel.getName())});
  auto op =
      DeviceLaunchOp::create(b, resultTypes, symbol, grid, inputs, outputs);
  ++outliner.numLaunches;
  return SmallVector<Value>(op.getResults());
}

/// `type` with another element type.
static RankedTensorType withElement(Type type, Type element) {
  auto tensor = cast<RankedTensorType>(type);
  return RankedTensorType::get(tensor.getShape(), element,
                               tensor.getEncoding());
}

LogicalResult DeviceOutliner::outlineOp(Operation *op) {
  if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp,
          tensor::ExtractSliceOp>(op)) {
    // Views take on the element type that their operand was given.
    Operation *view = b.clone(*op, mapping);
    Value result = view->getResult(0);
    result.setType(
        withElement(result.getType(), getElement(view->getOperand(0))));
    return success();
  }
  return FunctionOutliner::outlineOp(op);
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

LogicalResult DeviceOutliner::outlineEmbed(EmbedOp op) {
  Value table = lookup(op.getTable());
  auto kernel = dsv2::gpu::getOrCreateGatherRowsKernel(
      outliner.module,
      {getWidth(op.getResult()), getElement(table), b.getF32Type()});
  Value result = launchDevice(kernel, tokens, {lookup(op.getTokens()), table},
                              destination(op))
                     .front();
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}

LogicalResult DeviceOutliner::outlineNorm(RMSNormOp op) {
  Value input = lookup(op.getInput()), weight = lookup(op.getWeight());
  int64_t width = getWidth(op.getResult());
  Type bf16 = b.getBF16Type();
  auto kernel = dsv2::gpu::getOrCreateRMSNormKernel(
      outliner.module, {width, op.getEps().convertToDouble(), getElement(input),
                        getElement(weight), bf16});
  Value result =
      launchDevice(kernel, tokens, {input, weight}, emptyRows({width}, bf16))
          .front();
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}

Value DeviceOutliner::emitAdd(Value lhs, Value rhs, arith::AddFOp op) {
  auto kernel = dsv2::gpu::getOrCreateAddKernel(outliner.module,
                                                getWidth(op.getResult()));
  return launchDevice(kernel, tokens, {lhs, rhs}, destination(op)).front();
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

Value DeviceOutliner::emitProduct(dsv2::gpu::ProductConfig config, Value x,
                                  Value weights, ValueRange optional,
                                  Value output, Value rows) {
  config.input = getElement(x);
  config.weight = getElement(weights);
  config.output = getElement(output);
  auto kernel = dsv2::gpu::getOrCreateProductKernel(outliner.module, config);
  SmallVector<Value> inputs = {x, weights};
  llvm::append_range(inputs, optional);
  int64_t blocks = llvm::divideCeil(config.outputs, dsv2::gpu::kProductWarps);
  return launchDevice(kernel, {rows, index(blocks), index(config.heads)},
                      inputs, output)
      .front();
}

LogicalResult DeviceOutliner::outlineLinear(LinearOp op, Value residual,
                                            Operation *result) {
  dsv2::gpu::ProductConfig config;
  config.outputs = getWidth(op.getResult());
  config.inputs = getWidth(op.getInput());
  config.residual = residual != nullptr;
  SmallVector<Value> optional;
  if (residual)
    optional.push_back(residual);
  Value value =
      emitProduct(config, lookup(op.getInput()), lookup(op.getWeight()),
                  optional, destination(result), tokens);
  mapping.map(result->getResult(0), value);
  tap(result, value);
  return success();
}

LogicalResult DeviceOutliner::outlineFFN(GatedFFNOp op, Value residual,
                                         Operation *result) {
  if (op.getUp())
    return op.emitOpError("expected gate and up to be packed together");
  dsv2::gpu::ProductConfig gated;
  gated.outputs = getWidth(op.getDown());
  gated.inputs = getWidth(op.getInput());
  gated.gated = true;
  Value units =
      emitProduct(gated, lookup(op.getInput()), lookup(op.getGate()), {},
                  emptyRows({gated.outputs}, b.getBF16Type()), tokens);
  dsv2::gpu::ProductConfig down;
  down.outputs = getWidth(op.getResult());
  down.inputs = gated.outputs;
  down.residual = residual != nullptr;
  SmallVector<Value> optional;
  if (residual)
    optional.push_back(residual);
  Value value = emitProduct(down, units, lookup(op.getDown()), optional,
                            destination(result), tokens);
  mapping.map(result->getResult(0), value);
  tap(result, value);
  return success();
}

LogicalResult DeviceOutliner::outlineLogits(LogitsOp op) {
  Value input = lookup(op.getInput());
  int64_t width = getWidth(input);
  auto gather = dsv2::gpu::getOrCreateGatherRowsKernel(
      outliner.module, {width, getElement(input), getElement(input)});
  Value chosen = launchDevice(gather, rows, {lookup(op.getRows()), input},
                              empty({ShapedType::kDynamic, width},
                                    getElement(input), rows))
                     .front();
  dsv2::gpu::ProductConfig config;
  config.outputs = getWidth(op.getResult());
  config.inputs = width;
  Value result =
      emitProduct(config, chosen, lookup(op.getWeight()), {}, logits, rows);
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

Value DeviceOutliner::getDeviceRopeTable(RopeOp op) {
  Value &table = ropeTables[op.getRope()];
  if (table)
    return table;
  dsv2::gpu::RopeTableConfig config;
  SmallVector<float> frequencies = op.getRope().getInverseFrequencies();
  config.inverseFrequencies.assign(frequencies.begin(), frequencies.end());
  config.multiplier = op.getRope().getCosSinMultiplier();
  auto kernel = dsv2::gpu::getOrCreateRopeTableKernel(outliner.module, config);
  table = launchDevice(kernel, tokens, lookup(op.getPositions()),
                       emptyRows({op.getRope().getDim()}, b.getF32Type()))
              .front();
  return table;
}

LogicalResult DeviceOutliner::outlineRope(RopeOp op) {
  Value input = lookup(op.getInput());
  auto type = cast<RankedTensorType>(op.getType());
  dsv2::gpu::ApplyRopeConfig config;
  config.width = op.getRope().getDim();
  bool shared = type.getRank() == 2;
  config.heads = shared ? 1 : type.getDimSize(1);
  config.input = getElement(input);
  // The shared key goes into the cache, which rounds it.
  config.output = shared ? Type(b.getF32Type()) : Type(b.getBF16Type());
  SmallVector<ReassociationIndices> groups = {{0}, {1, 2}};
  if (shared)
    input = tensor::ExpandShapeOp::create(
        b,
        RankedTensorType::get({ShapedType::kDynamic, 1, config.width},
                              config.input),
        input, groups,
        ArrayRef<OpFoldResult>{tokens, b.getIndexAttr(1),
                               b.getIndexAttr(config.width)});
  auto kernel = dsv2::gpu::getOrCreateApplyRopeKernel(outliner.module, config);
  Value result =
      launchDevice(kernel, tokens, {input, getDeviceRopeTable(op)},
                   emptyRows({config.heads, config.width}, config.output))
          .front();
  if (shared)
    result = tensor::CollapseShapeOp::create(b, result, groups);
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}

FailureOr<dsv2::gpu::LatentCacheConfig>
DeviceOutliner::getDeviceCache(Operation *op, LatentCacheType type) {
  if (isQuantized(type.getFormat()))
    return op->emitOpError("expected a latent cache of f32 or bf16, which are "
                           "the formats that have kernels for GPUs, got '")
           << stringifyCacheFormat(type.getFormat()) << "'";
  return dsv2::gpu::LatentCacheConfig{type.getLatent(), type.getRope(),
                                      type.getPage(),
                                      type.getMemoryType().getElementType()};
}

LogicalResult DeviceOutliner::outlineAppend(LatentAppendOp op) {
  auto cache = getDeviceCache(op, op.getCache().getType());
  if (failed(cache))
    return failure();
  Value latent = lookup(op.getLatent()), key = lookup(op.getKey());
  auto kernel = dsv2::gpu::getOrCreateLatentAppendKernel(
      outliner.module, *cache, getElement(latent), getElement(key));
  launchDevice(kernel, tokens,
               {latent, key, lookup(op.getPositions()), lookup(op.getSeqIds()),
                lookup(op.getBlockTables()),
                getCacheLayer(lookup(op.getCache()), lookup(op.getLayer()))},
               {});
  return success();
}

LogicalResult DeviceOutliner::outlineAttention(LatentAttentionOp op) {
  if (op.getForm() != AttentionForm::Absorbed)
    return op.emitOpError("expected the absorbed form, which is the one that "
                          "has kernels for GPUs, got '")
           << stringifyAttentionForm(op.getForm()) << "'";
  auto deviceCache = getDeviceCache(op, op.getCache().getType());
  if (failed(deviceCache))
    return failure();
  const dsv2::gpu::LatentCacheConfig &cache = *deviceCache;
  auto type = cast<RankedTensorType>(op.getType());
  int64_t heads = type.getDimSize(1), value = type.getDimSize(2);
  Type bf16 = b.getBF16Type();
  Value qNope = lookup(op.getQNope()), qRope = lookup(op.getQRope());

  dsv2::gpu::ProductConfig keys;
  keys.outputs = cache.latent;
  keys.inputs = getWidth(qNope);
  keys.heads = heads;
  Value latentQuery =
      emitProduct(keys, qNope, lookup(op.getWUk()), {},
                  emptyRows({heads, cache.latent}, bf16), tokens);
  dsv2::gpu::AttentionConfig config;
  config.cache = cache;
  config.scale = op.getScale().convertToDouble();
  config.input = bf16;
  config.output = bf16;
  auto attention =
      dsv2::gpu::getOrCreateAttentionKernel(outliner.module, config);
  Value latents =
      launchDevice(attention, {tokens, index(heads)},
                   {latentQuery, qRope,
                    getCacheLayer(lookup(op.getCache()), lookup(op.getLayer())),
                    lookup(op.getPositions()), lookup(op.getSeqIds()),
                    lookup(op.getBlockTables())},
                   emptyRows({heads, cache.latent}, bf16))
          .front();
  dsv2::gpu::ProductConfig values;
  values.outputs = value;
  values.inputs = cache.latent;
  values.heads = heads;
  Value result = emitProduct(values, latents, lookup(op.getWUv()), {},
                             emptyRows({heads, value}, bf16), tokens);
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}

//===----------------------------------------------------------------------===//
// Experts
//===----------------------------------------------------------------------===//

LogicalResult DeviceOutliner::outlineRoute(RouteOp op) {
  auto idsType = cast<RankedTensorType>(op.getIds().getType());
  dsv2::gpu::ProductConfig product;
  product.outputs =
      cast<RankedTensorType>(op.getGate().getType()).getDimSize(0);
  product.inputs = getWidth(op.getInput());
  Value scores =
      emitProduct(product, lookup(op.getInput()), lookup(op.getGate()), {},
                  emptyRows({product.outputs}, b.getF32Type()), tokens);
  dsv2::gpu::RouteConfig config;
  config.experts = product.outputs;
  config.topK = op.getTopK();
  config.groups = op.getNumGroups();
  config.topGroups = op.getTopGroups();
  config.scale = op.getScale().convertToDouble();
  config.normalize = op.getNormalize();
  auto kernel = dsv2::gpu::getOrCreateRouteKernel(outliner.module, config);
  SmallVector<Value> chosen =
      launchDevice(kernel, tokens, scores,
                   {emptyRows({config.topK}, idsType.getElementType()),
                    emptyRows({config.topK}, b.getF32Type())});
  mapping.map(op.getIds(), chosen[0]);
  mapping.map(op.getWeights(), chosen[1]);
  for (auto [value, site] : {std::pair(scores, kRouterScoresSite),
                             std::pair(chosen[0], kRouterIdsSite),
                             std::pair(chosen[1], kRouterWeightsSite)})
    TapOp::create(b, /*replaced=*/Type(), value, site, layer, 2);
  return success();
}

LogicalResult DeviceOutliner::outlineDispatch(DispatchOp op) {
  auto idsType = cast<RankedTensorType>(op.getIds().getType());
  int64_t topK = idsType.getDimSize(1);
  int64_t offsets =
      cast<RankedTensorType>(op.getOffsets().getType()).getDimSize(0);
  auto kernel =
      dsv2::gpu::getOrCreateDispatchKernel(outliner.module, offsets - 1, topK);
  Type i32 = b.getI32Type();
  Value numRows = arith::MulIOp::create(b, tokens, index(topK));
  SmallVector<Value> results =
      launchDevice(kernel, index(1), lookup(op.getIds()),
                   {empty({offsets}, i32, Value()),
                    empty({ShapedType::kDynamic}, i32, numRows),
                    empty(idsType.getShape(), i32, tokens)});
  mapping.map(op.getOffsets(), results[0]);
  mapping.map(op.getRows(), results[2]);
  // The rows themselves are never copied: products gather them.
  dispatched[op.getResult()] = {lookup(op.getInput()), results[1]};
  return success();
}

LogicalResult DeviceOutliner::outlineExperts(ExpertFFNOp op) {
  if (op.getUp())
    return op.emitOpError("expected gate and up to be packed together");
  auto it = dispatched.find(op.getInput());
  if (it == dispatched.end())
    return op.emitOpError("expected 'input' to be the result of a dispatch");
  auto [input, rowTokens] = it->second;
  auto downType = cast<RankedTensorType>(op.getDown().getType());
  Value numRows = tensor::DimOp::create(b, rowTokens, 0);
  Value offsets = lookup(op.getOffsets());
  auto rowsOf = [&](int64_t width, Type element) {
    return empty({ShapedType::kDynamic, width}, element, numRows);
  };
  dsv2::gpu::ProductConfig gated;
  gated.experts = downType.getDimSize(0);
  gated.outputs = downType.getDimSize(2);
  gated.inputs = downType.getDimSize(1);
  gated.gated = true;
  gated.gather = true;
  Value units =
      emitProduct(gated, input, lookup(op.getGate()), {offsets, rowTokens},
                  rowsOf(gated.outputs, b.getBF16Type()), numRows);
  dsv2::gpu::ProductConfig down;
  down.experts = gated.experts;
  down.outputs = downType.getDimSize(1);
  down.inputs = gated.outputs;
  Value result = emitProduct(down, units, lookup(op.getDown()), offsets,
                             rowsOf(down.outputs, b.getF32Type()), numRows);
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}

LogicalResult DeviceOutliner::outlineCombine(CombineOp op, Value shared,
                                             Value residual,
                                             Operation *result) {
  dsv2::gpu::CombineConfig config;
  config.width = getWidth(op.getResult());
  config.topK = cast<RankedTensorType>(op.getRows().getType()).getDimSize(1);
  config.hasShared = shared != nullptr;
  config.hasResidual = residual != nullptr;
  auto kernel = dsv2::gpu::getOrCreateCombineKernel(outliner.module, config);
  SmallVector<Value> inputs = {lookup(op.getInput()), lookup(op.getRows()),
                               lookup(op.getWeights())};
  for (Value value : {shared, residual})
    if (value)
      inputs.push_back(value);
  Value value =
      launchDevice(kernel, tokens, inputs, destination(result)).front();
  mapping.map(result->getResult(0), value);
  tap(result, value);
  return success();
}
