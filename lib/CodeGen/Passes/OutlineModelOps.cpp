//===- OutlineModelOps.cpp - each model op as kernels ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelOutliner.h"
#include "RuntimeEntries.h"

#include "dsv2/CodeGen/CPU/QuantKernels.h"
#include "dsv2/Support/BlockFormat.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::dsv2;

cpu::PanelFormat mlir::dsv2::getPanelFormat(RankedTensorType packed) {
  // IR may hold weights that nothing packed; the launch will not verify.
  auto encoding = dyn_cast_or_null<PackedAttr>(packed.getEncoding());
  switch (encoding && encoding.getBlocks() ? encoding.getFormat()
                                           : PackFormat::Plain) {
  case PackFormat::Plain:
    break;
  case PackFormat::Q8:
    return cpu::PanelFormat::Q8;
  case PackFormat::Q4:
    return cpu::PanelFormat::Q4;
  case PackFormat::FP8:
    return cpu::PanelFormat::FP8;
  }
  return packed.getElementType().isF32() ? cpu::PanelFormat::F32
                                         : cpu::PanelFormat::BF16;
}

Value FunctionOutliner::getProductInput(Value x, cpu::PanelFormat format,
                                        RowCount rows) {
  if (!cpu::getBlockFormat(format))
    return x;
  // Several products may read the same rows.
  Value &quantized = quantizedRows[x];
  if (!quantized) {
    ArrayRef<int64_t> shape = cast<ShapedType>(x.getType()).getShape();
    auto kernel = cpu::getOrCreateQuantizeRowsKernel(outliner.module, target,
                                                     shape.size());
    quantized =
        launch(kernel, x, emptyQuantized(shape, rows), kSerialRows).front();
  }
  return quantized;
}

Value FunctionOutliner::emptyQuantized(ArrayRef<int64_t> shape, RowCount rows) {
  SmallVector<int64_t> bytes(shape);
  bytes.front() = ShapedType::kDynamic;
  bytes.back() =
      kQ8Format.blocks(shape.back()) * QuantizedActivation::kBlockBytes;
  return emptyRows(bytes, b.getI8Type(), rows);
}

bool FunctionOutliner::quantizesUnits(Value gate, Value down) {
  return cpu::getBlockFormat(getFormat(gate)) &&
         cpu::getBlockFormat(getFormat(down));
}

Value FunctionOutliner::emptyUnits(Value gate, Value down, RowCount rows) {
  int64_t shape[] = {ShapedType::kDynamic, getWidth(down)};
  return quantizesUnits(gate, down) ? emptyQuantized(shape, rows)
                                    : emptyRows(shape, b.getF32Type(), rows);
}

Value FunctionOutliner::getDownInput(Value units, Value gate, Value down,
                                     RowCount rows) {
  return quantizesUnits(gate, down)
             ? units
             : getProductInput(units, getFormat(down), rows);
}

//===----------------------------------------------------------------------===//
// Fusion: what a residual addition takes into its own launch
//===----------------------------------------------------------------------===//

/// The addition that reads `value` as its right-hand side and nothing else
/// does, or null.
static arith::AddFOp getOnlyAdd(Value value) {
  if (!value.hasOneUse())
    return {};
  OpOperand &use = *value.use_begin();
  auto add = dyn_cast<arith::AddFOp>(use.getOwner());
  if (!add || use.getOperandNumber() != 1 ||
      add->getBlock() != value.getParentBlock())
    return {};
  return add;
}

/// `add` is `combine + shared` and exists only to be added to a residual.
static bool isExpertSum(arith::AddFOp add) {
  return add.getLhs().getDefiningOp<CombineOp>() && add.getLhs().hasOneUse() &&
         getOnlyAdd(add.getResult());
}

bool FunctionOutliner::isInsideExchange(Operation *op) {
  for (Operation *next = op->getNextNode(); next; next = next->getNextNode())
    if (isa<AllToAllVOp, CommWaitOp>(next))
      return isa<CommWaitOp>(next);
  return false;
}

bool FunctionOutliner::isFusedIntoUser(Operation *op) const {
  // What is computed while tokens travel cannot wait for what arrives.
  if (isa<LinearOp, GatedFFNOp, CombineOp>(op) &&
      getOnlyAdd(op->getResult(0)) && !isInsideExchange(op)) {
    // The shared experts' own product is an input of the fused combination.
    arith::AddFOp add = getOnlyAdd(op->getResult(0));
    return !isExpertSum(add);
  }
  if (auto combine = dyn_cast<CombineOp>(op)) {
    if (!combine.getResult().hasOneUse())
      return false;
    auto add = dyn_cast<arith::AddFOp>(*combine.getResult().user_begin());
    return add && add.getLhs() == combine.getResult() && isExpertSum(add);
  }
  if (auto add = dyn_cast<arith::AddFOp>(op))
    return isExpertSum(add);
  return false;
}

LogicalResult FunctionOutliner::outlineAdd(arith::AddFOp op) {
  if (!isa<RankedTensorType>(op.getType())) {
    b.clone(*op, mapping);
    return success();
  }
  Operation *rhs = op.getRhs().getDefiningOp();
  if (rhs && isFusedIntoUser(rhs)) {
    Value residual = lookup(op.getLhs());
    if (auto linear = dyn_cast<LinearOp>(rhs))
      return outlineLinear(linear, residual, op);
    if (auto ffn = dyn_cast<GatedFFNOp>(rhs))
      return outlineFFN(ffn, residual, op);
    if (auto combine = dyn_cast<CombineOp>(rhs))
      return outlineCombine(combine, Value(), residual, op);
    auto sum = cast<arith::AddFOp>(rhs);
    return outlineCombine(sum.getLhs().getDefiningOp<CombineOp>(),
                          lookup(sum.getRhs()), residual, op);
  }
  if (cast<RankedTensorType>(op.getType()).getRank() != 2)
    return op.emitOpError("expected a matrix to add, got ") << op.getType();
  Value sum = emitAdd(lookup(op.getLhs()), lookup(op.getRhs()), op);
  mapping.map(op.getResult(), sum);
  tap(op, sum);
  return success();
}

Value FunctionOutliner::emitAdd(Value lhs, Value rhs, arith::AddFOp op) {
  auto kernel = cpu::getOrCreateAddKernel(outliner.module,
                                          {getWidth(op.getResult())}, target);
  return launch(kernel, {lhs, rhs}, destination(op), kSerialRows).front();
}

//===----------------------------------------------------------------------===//
// Weights and cache
//===----------------------------------------------------------------------===//

LogicalResult FunctionOutliner::outlinePackedWeight(PackedWeightOp op) {
  auto type =
      ModuleOutliner::getStorageType(cast<RankedTensorType>(op.getType()));
  Value ordinal = op.getOrdinal() ? lookup(op.getOrdinal()) : Value();
  mapping.map(op.getResult(),
              WeightViewOp::create(
                  b, type, weights,
                  outliner.getSlot(op.getPrepare(), op.getIndex()), ordinal)
                  .getResult());
  return success();
}

cpu::LatentCacheConfig
FunctionOutliner::getCacheConfig(LatentCacheType type) const {
  cpu::LatentCacheConfig config;
  config.latent = type.getLatent();
  config.rope = type.getRope();
  config.page = type.getPage();
  config.format = type.getFormat();
  return config;
}

Value FunctionOutliner::getCacheLayer(Value cache, Value layer) {
  auto type = cast<MemRefType>(cache.getType());
  Value pages = memref::DimOp::create(b, cache, 1);
  SmallVector<OpFoldResult> offsets = {layer, b.getIndexAttr(0),
                                       b.getIndexAttr(0), b.getIndexAttr(0)};
  SmallVector<OpFoldResult> sizes = {b.getIndexAttr(1), pages,
                                     b.getIndexAttr(type.getDimSize(2)),
                                     b.getIndexAttr(type.getDimSize(3))};
  SmallVector<OpFoldResult> strides(4, b.getIndexAttr(1));
  auto resultType =
      cast<MemRefType>(memref::SubViewOp::inferRankReducedResultType(
          {ShapedType::kDynamic, type.getDimSize(2), type.getDimSize(3)}, type,
          offsets, sizes, strides));
  return memref::SubViewOp::create(b, resultType, cache, offsets, sizes,
                                   strides);
}

LogicalResult FunctionOutliner::outlineAppend(LatentAppendOp op) {
  auto kernel = cpu::getOrCreateLatentAppendKernel(
      outliner.module, getCacheConfig(op.getCache().getType()), target);
  // The cache is an input that is written: memory is not a result.
  launch(kernel,
         {lookup(op.getLatent()), lookup(op.getKey()),
          lookup(op.getPositions()), lookup(op.getSeqIds()),
          lookup(op.getBlockTables()),
          getCacheLayer(lookup(op.getCache()), lookup(op.getLayer()))},
         {}, kSerialRows);
  return success();
}

LogicalResult FunctionOutliner::outlineCopyPages(CopyPagesOp op) {
  auto kernel = cpu::getOrCreateCopyPagesKernel(
      outliner.module, getCacheConfig(op.getCache().getType()), target);
  launch(kernel,
         {lookup(op.getCache()), lookup(op.getFrom()), lookup(op.getTo())}, {});
  return success();
}

//===----------------------------------------------------------------------===//
// Embedding, norms, products
//===----------------------------------------------------------------------===//

LogicalResult FunctionOutliner::outlineEmbed(EmbedOp op) {
  Value table = lookup(op.getTable());
  auto kernel = cpu::getOrCreateEmbedKernel(
      outliner.module,
      {getWidth(op.getResult()),
       cast<ShapedType>(table.getType()).getElementType(),
       /*partial=*/op.getFirst() != nullptr},
      target);
  SmallVector<Value> inputs = {lookup(op.getTokens()), table};
  if (op.getFirst())
    inputs.push_back(lookup(op.getFirst()));
  Value result = launch(kernel, inputs, destination(op), kSerialRows).front();
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}

LogicalResult FunctionOutliner::outlineNorm(RMSNormOp op) {
  auto kernel = cpu::getOrCreateRMSNormKernel(
      outliner.module,
      {getWidth(op.getResult()), op.getEps().convertToDouble()}, target);
  Value result = launch(kernel, {lookup(op.getInput()), lookup(op.getWeight())},
                        destination(op), kSerialRows)
                     .front();
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}

LogicalResult FunctionOutliner::outlineLinear(LinearOp op, Value residual,
                                              Operation *result) {
  Value weight = lookup(op.getWeight());
  cpu::PanelFormat format = getFormat(op.getWeight());
  auto kernel = cpu::getOrCreateMatmulKernel(
      outliner.module, {format, residual != nullptr}, target);
  SmallVector<Value> inputs = {
      getProductInput(lookup(op.getInput()), format, tokens), weight};
  if (residual)
    inputs.push_back(residual);
  Value value = launch(kernel, inputs, destination(result)).front();
  mapping.map(result->getResult(0), value);
  tap(result, value);
  return success();
}

LogicalResult FunctionOutliner::outlineFFN(GatedFFNOp op, Value residual,
                                           Operation *result) {
  if (op.getUp())
    return op.emitOpError("expected gate and up to be packed together");
  Value gate = lookup(op.getGate()), down = lookup(op.getDown());
  RowCount rows = {tokens, tokens};
  auto gated = cpu::getOrCreateGatedMatmulKernel(
      outliner.module,
      {getFormat(op.getGate()), quantizesUnits(op.getGate(), op.getDown())},
      target);
  Value hiddenUnits = launch(gated,
                             {getProductInput(lookup(op.getInput()),
                                              getFormat(op.getGate()), tokens),
                              gate},
                             emptyUnits(op.getGate(), op.getDown(), rows))
                          .front();
  auto product = cpu::getOrCreateMatmulKernel(
      outliner.module, {getFormat(op.getDown()), residual != nullptr}, target);
  SmallVector<Value> inputs = {
      getDownInput(hiddenUnits, op.getGate(), op.getDown(), rows), down};
  if (residual)
    inputs.push_back(residual);
  Value value = launch(product, inputs, destination(result)).front();
  mapping.map(result->getResult(0), value);
  tap(result, value);
  return success();
}

LogicalResult FunctionOutliner::outlineLogits(LogitsOp op) {
  int64_t width = getWidth(op.getInput());
  auto gather =
      cpu::getOrCreateGatherRowsKernel(outliner.module, {width}, target);
  Value chosen =
      launch(gather, {lookup(op.getInput()), lookup(op.getRows())},
             empty({ShapedType::kDynamic, width}, b.getF32Type(), rows),
             kSerialRows)
          .front();
  Value weight = lookup(op.getWeight());
  // A part of the vocabulary is gathered with those of the other ranks.
  cpu::MatmulConfig config{getFormat(op.getWeight())};
  config.findLargest = op.getType() == logits.getType();
  auto product = cpu::getOrCreateMatmulKernel(outliner.module, config, target);
  SmallVector<Value> outputs;
  if (config.findLargest) {
    int64_t panels =
        llvm::divideCeil(op.getType().getDimSize(1), target.panelWidth());
    outputs = {logits,
               empty({ShapedType::kDynamic, panels}, b.getF32Type(), rows)};
  } else {
    outputs = {empty(op.getType().getShape(), b.getF32Type(), rows)};
  }
  SmallVector<Value> results = launch(
      product, {getProductInput(chosen, config.format, rows), weight}, outputs);
  mapping.map(op.getResult(), results.front());
  if (config.findLargest) {
    TapOp::create(b, /*replaced=*/Type(), results.back(), getSiteName(op),
                  /*layer=*/Value(), /*level=*/0, /*exchanged=*/false,
                  b.getI64IntegerAttr(target.panelWidth()));
    tap(op, results.front());
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

Value FunctionOutliner::getRopeTable(RopeOp op) {
  Value &table = ropeTables[op.getRope()];
  if (table)
    return table;
  cpu::RopeTableConfig config;
  SmallVector<float> frequencies = op.getRope().getInverseFrequencies();
  config.inverseFrequencies.assign(frequencies.begin(), frequencies.end());
  config.cosSinMultiplier = op.getRope().getCosSinMultiplier();
  auto kernel =
      cpu::getOrCreateRopeTableKernel(outliner.module, config, target);
  table = launch(kernel, {lookup(op.getPositions())},
                 empty({ShapedType::kDynamic, op.getRope().getDim()},
                       b.getF32Type(), tokens),
                 kSerialRows)
              .front();
  return table;
}

LogicalResult FunctionOutliner::outlineRope(RopeOp op) {
  int64_t dim = op.getRope().getDim();
  Value input = lookup(op.getInput());
  auto type = cast<RankedTensorType>(op.getType());
  Value table = getRopeTable(op);
  auto kernel = cpu::getOrCreateApplyRopeKernel(
      outliner.module, {dim, /*ofHeads=*/type.getRank() == 3}, target);
  Value result =
      launch(kernel, {input, table},
             empty(type.getShape(), b.getF32Type(), tokens), kSerialRows)
          .front();
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}

LogicalResult FunctionOutliner::outlineAttention(LatentAttentionOp op) {
  cpu::LatentCacheConfig cache = getCacheConfig(op.getCache().getType());
  Value pages = getCacheLayer(lookup(op.getCache()), lookup(op.getLayer()));
  Value wUK = lookup(op.getWUk()), wUV = lookup(op.getWUv());
  auto type = cast<RankedTensorType>(op.getType());
  int64_t heads = type.getDimSize(1), value = type.getDimSize(2);
  Value qNope = lookup(op.getQNope()), qRope = lookup(op.getQRope());
  auto headEmpty = [&](int64_t width) {
    return empty({ShapedType::kDynamic, heads, width}, b.getF32Type(), tokens);
  };

  // Where weights are in blocks, products round their operands anyway.
  bool roundsToBF16 = cpu::getBlockFormat(getFormat(op.getWUk())) != nullptr;
  Value result;
  if (op.getForm() == AttentionForm::Absorbed) {
    auto query = cpu::getOrCreateHeadMatmulKernel(
        outliner.module, {getFormat(op.getWUk())}, target);
    Value latentQuery =
        launch(query,
               {getProductInput(qNope, getFormat(op.getWUk()), tokens), wUK},
               headEmpty(cache.latent))
            .front();
    cpu::AbsorbedAttentionConfig config;
    config.cache = cache;
    config.heads = heads;
    config.scale = op.getScale().convertToDouble();
    config.roundToBF16 = roundsToBF16;
    auto attention = cpu::getOrCreateAbsorbedAttentionKernel(outliner.module,
                                                             config, target);
    Value latents =
        launch(attention,
               {latentQuery, qRope, pages, lookup(op.getPositions()),
                lookup(op.getSeqIds()), lookup(op.getBlockTables())},
               headEmpty(cache.latent))
            .front();
    auto values = cpu::getOrCreateHeadMatmulKernel(
        outliner.module, {getFormat(op.getWUv())}, target);
    result =
        launch(values,
               {getProductInput(latents, getFormat(op.getWUv()), tokens), wUV},
               headEmpty(value))
            .front();
  } else {
    cpu::PanelFormat formats[] = {getFormat(op.getWUk()),
                                  getFormat(op.getWUv())};
    if (formats[0] != formats[1])
      return op.emitOpError("expected w_uk and w_uv in one format, got ")
             << cpu::stringifyPanelFormat(formats[0]) << " and "
             << cpu::stringifyPanelFormat(formats[1]);
    cpu::ExpandedAttentionConfig config;
    config.cache = cache;
    config.heads = heads;
    config.nope = cast<RankedTensorType>(op.getQNope().getType()).getDimSize(2);
    config.value = value;
    config.scale = op.getScale().convertToDouble();
    config.weightFormat = getFormat(op.getWUk());
    config.roundToBF16 = roundsToBF16;
    auto attention = cpu::getOrCreateExpandedAttentionKernel(outliner.module,
                                                             config, target);
    result = launch(attention,
                    {qNope, qRope, wUK, wUV, pages, lookup(op.getPositions()),
                     lookup(op.getSeqStarts()), lookup(op.getBlockTables())},
                    headEmpty(value))
                 .front();
  }
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}

//===----------------------------------------------------------------------===//
// Experts
//===----------------------------------------------------------------------===//

LogicalResult FunctionOutliner::outlineRoute(RouteOp op) {
  Value gate = lookup(op.getGate());
  auto idsType = cast<RankedTensorType>(op.getIds().getType());
  cpu::RouteTopKConfig config;
  config.experts = cast<RankedTensorType>(op.getGate().getType()).getDimSize(0);
  config.topK = op.getTopK();
  config.groups = op.getNumGroups();
  config.topKGroups = op.getTopGroups();
  config.normalize = op.getNormalize();
  config.routedScale = op.getScale().convertToDouble();
  auto product = cpu::getOrCreateMatmulKernel(
      outliner.module, {getFormat(op.getGate()), /*addResidual=*/false},
      target);
  Value scores = launch(product,
                        {getProductInput(lookup(op.getInput()),
                                         getFormat(op.getGate()), tokens),
                         gate},
                        empty({ShapedType::kDynamic, config.experts},
                              b.getF32Type(), tokens))
                     .front();
  auto choose =
      cpu::getOrCreateRouteTopKKernel(outliner.module, config, target);
  SmallVector<Value> chosen =
      launch(choose, scores,
             {empty(idsType.getShape(), idsType.getElementType(), tokens),
              empty(idsType.getShape(), b.getF32Type(), tokens)},
             kSerialRows);
  finishRoute(op, scores, chosen[0], chosen[1]);
  return success();
}

void FunctionOutliner::finishRoute(RouteOp op, Value scores, Value ids,
                                   Value weights) {
  mapping.map(op.getIds(), ids);
  mapping.map(op.getWeights(), weights);
  for (auto [value, site] :
       {std::pair(scores, kRouterScoresSite), std::pair(ids, kRouterIdsSite),
        std::pair(weights, kRouterWeightsSite)})
    TapOp::create(b, /*replaced=*/Type(), value, site, layer, 2);
}

LogicalResult FunctionOutliner::outlineDispatch(DispatchOp op) {
  auto idsType = cast<RankedTensorType>(op.getIds().getType());
  int64_t topK = idsType.getDimSize(1);
  int64_t offsets =
      cast<RankedTensorType>(op.getOffsets().getType()).getDimSize(0);
  auto kernel = cpu::getOrCreateDispatchKernel(
      outliner.module, {offsets - 1, topK, op.getPartial()}, target);
  Type i32 = b.getI32Type();
  RowCount ids = getRowCount(op.getIds());
  Value most = arith::MulIOp::create(b, ids.bound,
                                     arith::ConstantIndexOp::create(b, topK));
  // One thread does all the work, so no team is ever woken for it.
  SmallVector<Value> results = launch(kernel, lookup(op.getIds()),
                                      {empty({offsets}, i32, Value()),
                                       empty({ShapedType::kDynamic}, i32, most),
                                       emptyRows(idsType.getShape(), i32, ids)},
                                      std::numeric_limits<int64_t>::max());
  mapping.map(op.getOffsets(), results[0]);
  mapping.map(op.getRows(), results[2]);
  RowCount rows{most, most};
  if (op.getPartial()) {
    Value last = tensor::ExtractOp::create(
        b, results[0],
        ValueRange{arith::ConstantIndexOp::create(b, offsets - 1)});
    rows.count = arith::IndexCastOp::create(b, b.getIndexType(), last);
  }
  // The rows themselves are never copied: products gather them.
  dispatched[op.getResult()] = {lookup(op.getInput()),
                                getRowCount(op.getInput()), results[1], rows};
  return success();
}

LogicalResult FunctionOutliner::outlineExperts(ExpertFFNOp op) {
  if (op.getUp())
    return op.emitOpError("expected gate and up to be packed together");
  auto it = dispatched.find(op.getInput());
  if (it == dispatched.end())
    return op.emitOpError("expected 'input' to be the result of a dispatch");
  Dispatched rows = it->second;
  auto downType = cast<RankedTensorType>(op.getDown().getType());
  Value gate = lookup(op.getGate()), down = lookup(op.getDown());
  Value offsets = lookup(op.getOffsets());
  auto gated = cpu::getOrCreateGroupedGatedMatmulKernel(
      outliner.module,
      {getFormat(op.getGate()), /*gather=*/true,
       quantizesUnits(op.getGate(), op.getDown())},
      target);
  Value hiddenUnits =
      launch(
          gated,
          {getProductInput(rows.input, getFormat(op.getGate()), rows.inputRows),
           gate, offsets, rows.rowTokens},
          emptyUnits(op.getGate(), op.getDown(), rows.rows))
          .front();
  auto product = cpu::getOrCreateGroupedMatmulKernel(
      outliner.module, {getFormat(op.getDown()), /*gather=*/false}, target);
  Value result =
      launch(product,
             {getDownInput(hiddenUnits, op.getGate(), op.getDown(), rows.rows),
              down, offsets},
             emptyRows({ShapedType::kDynamic, downType.getDimSize(1)},
                       b.getF32Type(), rows.rows))
          .front();
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}

LogicalResult FunctionOutliner::outlineCombine(CombineOp op, Value shared,
                                               Value residual,
                                               Operation *result) {
  cpu::CombineConfig config;
  config.width = getWidth(op.getResult());
  config.topK = cast<RankedTensorType>(op.getRows().getType()).getDimSize(1);
  config.hasShared = shared != nullptr;
  config.hasResidual = residual != nullptr;
  config.partial = op.getPartial();
  auto kernel = cpu::getOrCreateCombineKernel(outliner.module, config, target);
  SmallVector<Value> inputs = {lookup(op.getInput()), lookup(op.getRows()),
                               lookup(op.getWeights())};
  if (shared)
    inputs.push_back(shared);
  if (residual)
    inputs.push_back(residual);
  RowCount rows = getRowCount(op.getWeights());
  Value output = rows.bound == tokens
                     ? destination(result)
                     : emptyRows(op.getType().getShape(), b.getF32Type(), rows);
  Value value = launch(kernel, inputs, output, kSerialRows).front();
  mapping.map(result->getResult(0), value);
  tap(result, value);
  return success();
}
