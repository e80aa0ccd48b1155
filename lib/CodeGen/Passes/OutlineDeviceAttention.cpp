//===- OutlineDeviceAttention.cpp - attention as launches on a GPU --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceOutliner.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::dsv2;

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

/// Whether the cache that `op` is appended to, as a key, is bf16.
static bool isCachedAsBF16(RopeOp op) {
  return llvm::any_of(op.getResult().getUsers(), [](Operation *user) {
    auto append = dyn_cast<LatentAppendOp>(user);
    return append && append.getCache()
                         .getType()
                         .getMemoryType()
                         .getElementType()
                         .isBF16();
  });
}

Value DeviceOutliner::rotateInPlace(RopeOp op, LatentAttentionOp attention,
                                    dsv2::gpu::ApplyRopeConfig config,
                                    Value table) {
  Value queries = lookup(getWholeQueries(attention));
  int64_t nope = getWidth(queries) - config.width;
  SmallVector<OpFoldResult> offsets = {b.getIndexAttr(0), b.getIndexAttr(0),
                                       b.getIndexAttr(nope)};
  SmallVector<OpFoldResult> sizes = {tokens, b.getIndexAttr(config.heads),
                                     b.getIndexAttr(config.width)};
  SmallVector<OpFoldResult> ones(3, b.getIndexAttr(1));
  config.input = config.output = getElement(queries);
  config.inPlace = true;
  Value part = tensor::ExtractSliceOp::create(b, queries, offsets, sizes, ones);
  Value result = launchDevice(dsv2::gpu::getOrCreateApplyRopeKernel(
                                  outliner.module, config),
                              tokens, table, part)
                     .front();
  rotatedQueries[op.getResult()] =
      tensor::InsertSliceOp::create(b, result, queries, offsets, sizes, ones);
  return result;
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
  config.output = shared && !isCachedAsBF16(op) ? Type(b.getF32Type())
                                                : Type(b.getBF16Type());
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
  Value table = getDeviceRopeTable(op);
  auto rotate = [&](Value output) {
    return launchDevice(kernel, tokens, {input, table}, output).front();
  };
  LatentAttentionOp attention =
      shared ? LatentAttentionOp() : getOwnAttention(op);
  if (attention && attention.getForm() == AttentionForm::Expanded) {
    // Not tapped: a tap sees the heads of a token next to each other.
    mapping.map(op.getResult(), rotateInPlace(op, attention, config, table));
    return success();
  }
  if (!shared) {
    emitRotatedQueries(op, config.heads, config.width, rotate);
    return success();
  }
  Value result = tensor::CollapseShapeOp::create(
      b, rotate(emptyRows({config.heads, config.width}, config.output)),
      groups);
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}

void DeviceOutliner::emitRotatedQueries(
    RopeOp op, int64_t heads, int64_t width,
    llvm::function_ref<Value(Value)> rotate) {
  Type bf16 = b.getBF16Type();
  Value result;
  LatentAttentionOp attention = getOwnAttention(op);
  if (attention && getDecodeShape(attention, outliner.chips)) {
    // Behind the place of the absorbed query.
    int64_t latent = attention.getCache().getType().getLatent();
    Value queries = emptyRows({heads, latent + width}, bf16);
    SmallVector<OpFoldResult> offsets = {b.getIndexAttr(0), b.getIndexAttr(0),
                                         b.getIndexAttr(latent)};
    SmallVector<OpFoldResult> sizes = {tokens, b.getIndexAttr(heads),
                                       b.getIndexAttr(width)};
    SmallVector<OpFoldResult> ones(3, b.getIndexAttr(1));
    result = rotate(
        tensor::ExtractSliceOp::create(b, queries, offsets, sizes, ones));
    rotatedQueries[op.getResult()] =
        tensor::InsertSliceOp::create(b, result, queries, offsets, sizes, ones);
    // Not tapped: a tap sees the heads of a token next to each other.
  } else {
    result = rotate(emptyRows({heads, width}, bf16));
    tap(op, result);
  }
  mapping.map(op.getResult(), result);
}

std::optional<DeviceOutliner::LatentInput>
DeviceOutliner::findLatentInput(Operation *op) {
  LatentInput input;
  if (!isa<RMSNormOp, RopeOp, LatentAppendOp>(op))
    return std::nullopt;
  for (auto append : op->getBlock()->getOps<LatentAppendOp>()) {
    input.append = append;
    input.norm = append.getLatent().getDefiningOp<RMSNormOp>();
    input.key = append.getKey().getDefiningOp<RopeOp>();
    if (!input.norm || !input.key || !input.norm.getResult().hasOneUse() ||
        !input.key.getResult().hasOneUse())
      continue;
    for (auto attention : op->getBlock()->getOps<LatentAttentionOp>()) {
      auto query = attention.getQRope().getDefiningOp<RopeOp>();
      if (!query || getOwnAttention(query) != attention ||
          attention.getForm() != AttentionForm::Absorbed ||
          attention.getCache() != append.getCache() ||
          attention.getLayer() != append.getLayer() ||
          query.getRope() != input.key.getRope() ||
          query.getPositions() != input.key.getPositions() ||
          query.getPositions() != append.getPositions() ||
          !query->isBeforeInBlock(append) ||
          !append->isBeforeInBlock(attention))
        continue;
      input.query = query;
      input.attention = attention;
      if (op == input.norm || op == input.key || op == input.query ||
          op == input.append)
        return input;
    }
  }
  return std::nullopt;
}

LogicalResult DeviceOutliner::outlineLatentInput(const LatentInput &input) {
  LatentAppendOp append = input.append;
  RMSNormOp norm = input.norm;
  RopeOp keyOp = input.key, queryOp = input.query;
  auto cache = getDeviceCache(append, append.getCache().getType());
  if (failed(cache))
    return failure();
  Value latent = lookup(norm.getInput()), key = lookup(keyOp.getInput());
  Value query = lookup(queryOp.getInput()), weight = lookup(norm.getWeight());
  dsv2::gpu::LatentInputConfig config;
  config.cache = *cache;
  RopeAttr rope = queryOp.getRope();
  SmallVector<float> frequencies = rope.getInverseFrequencies();
  config.rope.inverseFrequencies.assign(frequencies.begin(), frequencies.end());
  config.rope.multiplier = rope.getCosSinMultiplier();
  config.heads = cast<RankedTensorType>(queryOp.getType()).getDimSize(1);
  config.eps = norm.getEps().convertToDouble();
  config.query = getElement(query);
  config.latent = getElement(latent);
  config.key = getElement(key);
  config.weight = getElement(weight);
  config.output = b.getBF16Type();
  auto kernel =
      dsv2::gpu::getOrCreateLatentInputKernel(outliner.module, config);
  Value pages =
      getCacheLayer(lookup(append.getCache()), lookup(append.getLayer()));
  emitRotatedQueries(queryOp, config.heads, rope.getDim(), [&](Value output) {
    return launchDevice(kernel, tokens,
                        {query, latent, key, weight,
                         lookup(append.getPositions()),
                         lookup(append.getSeqIds()),
                         lookup(append.getBlockTables()), pages},
                        output)
        .front();
  });
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
      outliner.module, {*cache, getElement(latent), getElement(key)});
  launchDevice(kernel, tokens,
               {latent, key, lookup(op.getPositions()), lookup(op.getSeqIds()),
                lookup(op.getBlockTables()),
                getCacheLayer(lookup(op.getCache()), lookup(op.getLayer()))},
               {});
  return success();
}

Value DeviceOutliner::getAbsorbedQueries(LatentAttentionOp op, Value output) {
  Product product;
  product.config.outputs = getWidth(output);
  product.config.inputs = getWidth(op.getQNope());
  product.config.heads = cast<RankedTensorType>(op.getType()).getDimSize(1);
  setWeights(product, op.getWUk());
  return emitProduct(std::move(product), lookup(op.getQNope()), output, tokens);
}

Value DeviceOutliner::emitSimtAttention(
    LatentAttentionOp op, const dsv2::gpu::LatentCacheConfig &cache,
    Value output) {
  Type bf16 = b.getBF16Type();
  int64_t heads = cast<RankedTensorType>(output.getType()).getDimSize(1);
  Value latentQuery =
      getAbsorbedQueries(op, emptyRows({heads, cache.latent}, bf16));
  dsv2::gpu::AttentionConfig config;
  config.cache = cache;
  config.heads = heads;
  config.scale = op.getScale().convertToDouble();
  config.input = bf16;
  config.output = bf16;
  auto kernel = dsv2::gpu::getOrCreateAttentionKernel(outliner.module, config);
  return launchDevice(
             kernel, {tokens, index(heads)},
             {latentQuery, lookup(op.getQRope()),
              getCacheLayer(lookup(op.getCache()), lookup(op.getLayer())),
              lookup(op.getPositions()), lookup(op.getSeqIds()),
              lookup(op.getBlockTables())},
             output)
      .front();
}

Value DeviceOutliner::emitTileAttention(LatentAttentionOp op,
                                        const dsv2::gpu::MLADecodeShape &shape,
                                        Value output) {
  // Queries are absorbed and rotated parts side by side, as rows of the cache.
  auto it = rotatedQueries.find(op.getQRope());
  assert(it != rotatedQueries.end() && "getDecodeShape has checked this");
  Value queries = it->second;
  auto sizes = [&](int64_t width) {
    return SmallVector<OpFoldResult>{tokens, b.getIndexAttr(shape.heads),
                                     b.getIndexAttr(width)};
  };
  SmallVector<OpFoldResult> zeros(3, b.getIndexAttr(0)),
      ones(3, b.getIndexAttr(1));
  Value latents = tensor::ExtractSliceOp::create(b, queries, zeros,
                                                 sizes(shape.latent), ones);
  latents = getAbsorbedQueries(op, latents);
  queries = tensor::InsertSliceOp::create(b, latents, queries, zeros,
                                          sizes(shape.latent), ones);

  Value cache = getCacheLayer(lookup(op.getCache()), lookup(op.getLayer()));
  Value positions = lookup(op.getPositions());
  // Parts that several blocks computed, as many as there can be.
  int64_t most = 0;
  for (const GPUTargetInfo &chip : outliner.chips)
    most = std::max<int64_t>(most, chip.peak.multiprocessors);
  Type f32 = b.getF32Type();
  Value sums = empty({2 * most, dsv2::gpu::kMLAHeads, shape.latent}, f32, {});
  Value logs = empty({2 * most, dsv2::gpu::kMLAHeads}, f32, {});
  return forLoadedChip(
      outliner.chips, output.getType(), [&](const GPUTargetInfo &chip) {
        Value blocks = getBlocks(chip);
        // A map of no queries cannot be made.
        Value started = blocks;
        if (mayHaveNoTokens())
          started =
              arith::SelectOp::create(b, atMost(tokens, 0), index(0), blocks);
        SmallVector<Value> parts = launchDevice(
            dsv2::gpu::getOrCreateMLADecode(outliner.module, shape, chip.chip),
            started,
            {queries, cache, positions, lookup(op.getSeqIds()),
             lookup(op.getBlockTables())},
            {output, sums, logs});
        // A token's blocks: enough for all multiprocessors, in bounds.
        auto [fewest, enough] = dsv2::gpu::getMLACombineBlocks(shape);
        Value divisor = arith::MaxUIOp::create(b, tokens, index(1));
        Value some = arith::DivUIOp::create(
            b,
            arith::AddIOp::create(b, divisor,
                                  index(dsv2::gpu::kMLACombineBlocks - 1)),
            divisor);
        some = arith::MinUIOp::create(
            b, arith::MaxUIOp::create(b, some, index(fewest)), index(enough));
        return launchDevice(dsv2::gpu::getOrCreateMLACombine(outliner.module,
                                                             shape, chip.chip),
                            {tokens, some},
                            {parts[1], parts[2], positions,
                             lookup(op.getSeqIds()), blocks},
                            parts[0])
            .front();
      });
}

/// The matrices of all heads under each other: [heads * N, K, 1] of [heads, N,
/// K, 1], or [heads * N, bytes] of [heads, N, bytes].
static Value stackHeads(ImplicitLocOpBuilder &b, Value weights) {
  SmallVector<ReassociationIndices> groups = {{0, 1}, {2}};
  if (cast<MemRefType>(weights.getType()).getRank() == 4)
    groups.push_back({3});
  return memref::CollapseShapeOp::create(b, weights, groups);
}

DeviceOutliner::ContextRows
DeviceOutliner::getContextRows(LatentAttentionOp op) {
  LatentAppendOp append = getAppend(op);
  ContextRows own = {lookup(append.getLatent()), lookup(append.getKey()),
                     lookup(op.getSeqStarts()), tokens};
  Value rows = KeyRowsOp::create(b);
  dsv2::gpu::ContextRowsConfig config;
  LatentCacheType cache = op.getCache().getType();
  config.cache = {cache.getLatent(), cache.getRope(), cache.getPage(),
                  cache.getMemoryType().getElementType()};
  Value tables = lookup(op.getBlockTables());
  Value ends =
      arith::AddIOp::create(b, tensor::DimOp::create(b, tables, 0), index(1));
  Type element = config.cache.element;
  SmallVector<Value> memory = {
      empty({ShapedType::kDynamic, config.cache.latent}, element, rows),
      empty({ShapedType::kDynamic, config.cache.rope}, element, rows),
      empty({ShapedType::kDynamic}, b.getI32Type(), ends)};
  Value hasEarlier =
      arith::CmpIOp::create(b, arith::CmpIPredicate::sgt, rows, tokens);
  // A grid without blocks starts nothing.
  Value blocks = arith::SelectOp::create(
      b, hasEarlier, dsv2::gpu::getContextRowsBlocks(b, rows), index(0));
  SmallVector<Value> all = launchDevice(
      dsv2::gpu::getOrCreateContextRowsKernel(outliner.module, config), blocks,
      {lookup(op.getPositions()), own.starts, tables,
       getCacheLayer(lookup(op.getCache()), lookup(op.getLayer()))},
      memory);
  auto pick = [&](Value earlier, Value alone) -> Value {
    return arith::SelectOp::create(b, hasEarlier, earlier, alone);
  };
  return {pick(all[0], own.latents), pick(all[1], own.keys),
          pick(all[2], own.starts), rows};
}

LogicalResult DeviceOutliner::outlineExpanded(LatentAttentionOp op) {
  auto shape = getPrefillShape(op, outliner.chips);
  if (!shape)
    return op.emitOpError("expected a shape whose expanded form has kernels "
                          "for all chips");
  ContextRows context = getContextRows(op);
  Type bf16 = b.getBF16Type();
  auto expand = [&](Value weights, int64_t width) -> Value {
    Product product;
    product.config.outputs = shape->heads * width;
    product.config.inputs = getWidth(context.latents);
    setWeights(product, weights);
    product.weights = stackHeads(b, product.weights);
    Value output = empty({ShapedType::kDynamic, product.config.outputs}, bf16,
                         context.rows);
    Value rows =
        emitProduct(std::move(product), context.latents, output, context.rows);
    SmallVector<ReassociationIndices> groups = {{0}, {1, 2}};
    return tensor::ExpandShapeOp::create(
        b,
        RankedTensorType::get({ShapedType::kDynamic, shape->heads, width},
                              bf16),
        rows, groups,
        ArrayRef<OpFoldResult>{context.rows, b.getIndexAttr(shape->heads),
                               b.getIndexAttr(width)});
  };
  Value keys = expand(op.getWUk(), shape->nope);
  Value values = expand(op.getWUv(), shape->value);
  auto queries = rotatedQueries.find(op.getQRope());
  assert(queries != rotatedQueries.end() && "getPrefillShape has checked this");
  Value starts = lookup(op.getSeqStarts()),
        tables = lookup(op.getBlockTables());
  // At most one tile that is not full for each sequence.
  Value tiles = arith::AddIOp::create(
      b, arith::CeilDivUIOp::create(b, tokens, index(dsv2::gpu::kPrefillRows)),
      tensor::DimOp::create(b, tables, 0));
  Value output = emptyRows({shape->heads, shape->value}, bf16);
  Value result = forLoadedChip(
      outliner.chips, output.getType(), [&](const GPUTargetInfo &chip) {
        return launchDevice(dsv2::gpu::getOrCreateMLAPrefill(outliner.module,
                                                             *shape, chip.chip),
                            {tiles, index(shape->heads)},
                            {queries->second, keys, values, context.keys,
                             starts, context.starts, tables},
                            output)
            .front();
      });
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}

LogicalResult DeviceOutliner::outlineAttention(LatentAttentionOp op) {
  if (op.getForm() == AttentionForm::Expanded)
    return outlineExpanded(op);
  auto cache = getDeviceCache(op, op.getCache().getType());
  if (failed(cache))
    return failure();
  auto type = cast<RankedTensorType>(op.getType());
  int64_t heads = type.getDimSize(1), value = type.getDimSize(2);
  Type bf16 = b.getBF16Type();
  Value output = emptyRows({heads, cache->latent}, bf16);
  std::optional<dsv2::gpu::MLADecodeShape> shape =
      getDecodeShape(op, outliner.chips);
  Value latents = shape ? emitTileAttention(op, *shape, output)
                        : emitSimtAttention(op, *cache, output);

  Product values;
  values.config.outputs = value;
  values.config.inputs = cache->latent;
  values.config.heads = heads;
  setWeights(values, op.getWUv());
  Value result = emitProduct(std::move(values), latents,
                             emptyRows({heads, value}, bf16), tokens);
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}
