//===- OutlineDeviceProducts.cpp - products as launches on a GPU ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceOutliner.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::dsv2;

Value DeviceOutliner::emitSimtProduct(const dsv2::gpu::ProductConfig &config,
                                      Value x, Value weights,
                                      ValueRange optional, Value output,
                                      Value rows) {
  auto kernel = dsv2::gpu::getOrCreateProductKernel(outliner.module, config);
  SmallVector<Value> inputs = {x, weights};
  llvm::append_range(inputs, optional);
  return launchDevice(kernel, dsv2::gpu::getProductGrid(b, config, rows),
                      inputs, output)
      .front();
}

/// Whether rows, and heads, of `tensor` start at multiples of 16 bytes for
/// elements of bf16, as copies to tensor cores want: those of the whole that it
/// is a slice of.
static bool isAligned(Value tensor) {
  constexpr int64_t elements = 8;
  if (auto slice = tensor.getDefiningOp<tensor::ExtractSliceOp>()) {
    for (int64_t offset : slice.getStaticOffsets())
      if (ShapedType::isDynamic(offset) || offset % elements != 0)
        return false;
    tensor = slice.getSource();
  }
  return getWidth(tensor) % elements == 0;
}

std::optional<dsv2::gpu::GemmShape>
DeviceOutliner::getGemmShape(const Product &product) {
  const dsv2::gpu::ProductConfig &config = product.config;
  Value x = product.x, output = product.output;
  dsv2::gpu::GemmShape shape;
  shape.format = config.format;
  if (!config.input.isBF16() || (!shape.blocks() && !config.weight.isBF16()) ||
      (!config.output.isBF16() && !config.output.isF32()))
    return std::nullopt;
  auto type = cast<ShapedType>(x.getType());
  if (type.getRank() == 3) {
    if (!isAligned(x) || !isAligned(output))
      return std::nullopt;
    shape.heads = type.getDimSize(1);
  } else if (!config.gather && x.getDefiningOp<tensor::ExtractSliceOp>()) {
    return std::nullopt;
  }
  shape.n = config.outputs;
  shape.k = config.inputs;
  shape.f32Output = config.output.isF32();
  shape.experts = config.experts;
  if (config.gated) {
    // Padding would be outputs too.
    if (config.outputs % kGatedRowGroup != 0)
      return std::nullopt;
    shape.n *= 2;
    shape.epilogue = dsv2::gpu::GemmEpilogue::SwiGLU;
  } else if (config.residual) {
    shape.epilogue = dsv2::gpu::GemmEpilogue::AddResidual;
  }
  for (const GPUTargetInfo &chip : outliner.chips)
    if (dsv2::gpu::explainUnsupported(shape, chip.chip))
      return std::nullopt;
  return shape;
}

/// The rows of all matrices of a weight that is stored as rows, [..., N, K].
static Value getMatrices(ImplicitLocOpBuilder &b, Value weights,
                         const dsv2::gpu::GemmShape &shape) {
  int64_t rank = cast<MemRefType>(weights.getType()).getRank();
  bool gated = shape.epilogue == dsv2::gpu::GemmEpilogue::SwiGLU;
  // [E?, N, K, 1], or [E?, N / 16, 2, 8, K]; E: experts or heads. With blocks
  // there are bytes in place of K and of [K, 1].
  SmallVector<ReassociationIndices> groups;
  int64_t dim = 0;
  if (shape.experts || shape.heads)
    groups.push_back({dim++});
  ReassociationIndices rows = {dim++};
  while (gated && dim < rank - 1)
    rows.push_back(dim++);
  groups.push_back(rows);
  ReassociationIndices columns;
  while (dim < rank)
    columns.push_back(dim++);
  groups.push_back(columns);
  if (static_cast<int64_t>(groups.size()) == rank)
    return weights;
  return memref::CollapseShapeOp::create(b, weights, groups);
}

/// Row counts (of an expert: on average) that configurations are made for. A
/// launch takes the first that is no smaller than its own, else the last.
static constexpr int64_t kRowClasses[] = {64, 512, 4096};

Value DeviceOutliner::emitTileProduct(const TileProduct &product,
                                      const GPUTargetInfo &chip,
                                      ArrayRef<int64_t> classes) {
  auto getConfig = [&](int64_t rows) {
    return dsv2::gpu::chooseGemmConfig(chip.chip, chip.peak.multiprocessors,
                                       product.shape, rows);
  };
  dsv2::gpu::GemmConfig config = getConfig(classes.front());
  std::string name = dsv2::gpu::getGemmName(product.shape, config);
  ArrayRef<int64_t> larger = classes.drop_front();
  while (!larger.empty() &&
         dsv2::gpu::getGemmName(product.shape, getConfig(larger.front())) ==
             name) {
    classes = larger;
    larger = classes.drop_front();
  }
  auto launch = [&] {
    auto kernel =
        dsv2::gpu::getOrCreateGemm(outliner.module, product.shape, config);
    return launchDevice(kernel, getBlocks(chip), product.inputs, product.output)
        .front();
  };
  if (larger.empty())
    return launch();
  int64_t limit = classes.front() * std::max<int64_t>(product.shape.experts, 1);
  return choose(atMost(product.rows, limit), product.output.getType(), launch,
                [&] { return emitTileProduct(product, chip, larger); });
}

Value DeviceOutliner::emitLargeProduct(const Product &product) {
  const dsv2::gpu::ProductConfig &config = product.config;
  ValueRange optional = product.optional;
  std::optional<dsv2::gpu::GemmShape> shape = getGemmShape(product);
  if (!shape)
    return emitSimtProduct(config, product.x, product.weights, optional,
                           product.output, product.rows);
  TileProduct tile{*shape, {}, product.output, product.rows};
  Value input = product.x;
  if (config.gather) {
    // Tensor cores take rows that follow each other.
    dsv2::gpu::GatherRowsConfig rows{config.inputs, config.input, config.input};
    SmallVector<Value> inputs = {optional.back(), input};
    if (product.limit) {
      rows.rows = dsv2::gpu::GatherRowsConfig::Rows::Limited;
      inputs.push_back(product.limit);
    }
    auto gather = dsv2::gpu::getOrCreateGatherRowsKernel(outliner.module, rows);
    input =
        launchDevice(gather, product.rows, inputs, product.gathered).front();
    optional = optional.drop_back();
  }
  tile.inputs = {input, getMatrices(b, product.weights, *shape)};
  llvm::append_range(tile.inputs, optional);
  return forLoadedChip(outliner.chips, product.output.getType(),
                       [&](const GPUTargetInfo &chip) {
                         return emitTileProduct(tile, chip, kRowClasses);
                       });
}

DeviceOutliner::ProductsLaunch
DeviceOutliner::prepareProducts(MutableArrayRef<Product> products) {
  ProductsLaunch launch;
  for (Product &product : products) {
    product.config.input = getElement(product.x);
    product.config.weight = getElement(product.weights);
    product.config.output = getElement(product.output);
    launch.configs.push_back(product.config);
    llvm::append_values(launch.inputs, product.x, product.weights);
    llvm::append_range(launch.inputs, product.optional);
    launch.outputs.push_back(product.output);
    launch.rows.push_back(product.rows);
    if (getGemmShape(product)) {
      launch.hasTiles = true;
      if (product.config.gather)
        product.gathered = emptyRows(
            {ShapedType::kDynamic, product.config.inputs}, product.config.input,
            {product.mostRows ? product.mostRows : product.rows, product.rows});
    }
  }
  return launch;
}

SmallVector<Value>
DeviceOutliner::emitProducts(MutableArrayRef<Product> products) {
  ProductsLaunch launch = prepareProducts(products);
  ArrayRef<dsv2::gpu::ProductConfig> configs = launch.configs;
  ArrayRef<Value> outputs = launch.outputs, rows = launch.rows;
  auto few = [&]() -> SmallVector<Value> {
    if (products.size() == 1)
      return {emitSimtProduct(configs[0], products[0].x, products[0].weights,
                              products[0].optional, outputs[0], rows[0])};
    auto kernel =
        dsv2::gpu::getOrCreateProductsKernel(outliner.module, configs);
    return launchDevice(kernel, dsv2::gpu::getProductsGrid(b, configs, rows),
                        launch.inputs, outputs);
  };
  if (!launch.hasTiles)
    return few();
  Value count =
      products.front().tokens ? products.front().tokens : rows.front();
  return choose(atMost(count, kFewTokens), outputs, few, [&] {
    SmallVector<Value> results;
    for (const Product &product : products)
      results.push_back(emitLargeProduct(product));
    return results;
  });
}

Value DeviceOutliner::emitProduct(Product product, Value x, Value output,
                                  Value rows) {
  product.x = x;
  product.output = output;
  product.rows = rows;
  return emitProducts(product).front();
}

void DeviceOutliner::setWeights(Product &product, Value weight) {
  auto type = cast<RankedTensorType>(weight.getType());
  auto encoding = dyn_cast_or_null<PackedAttr>(type.getEncoding());
  product.weights = lookup(weight);
  product.config.format = encoding ? encoding.getFormat() : PackFormat::Plain;
}

/// Whether all that `value` is used for, through views, is to be queries.
static bool isQueries(Value value) {
  return llvm::all_of(value.getUses(), [](OpOperand &use) {
    Operation *user = use.getOwner();
    if (isa<tensor::DimOp>(user))
      return true;
    if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp,
            tensor::ExtractSliceOp>(user))
      return isQueries(user->getResult(0));
    if (auto rope = dyn_cast<RopeOp>(user))
      return cast<RankedTensorType>(rope.getType()).getRank() == 3;
    auto attention = dyn_cast<LatentAttentionOp>(user);
    return attention && attention.getQNope() == use.get();
  });
}

LogicalResult DeviceOutliner::outlineLinear(LinearOp op, Value residual,
                                            Operation *result) {
  // Others that read the same are launched with this one.
  SmallVector<std::pair<LinearOp, Operation *>> ops = {{op, result}};
  if (!residual)
    for (Operation *user : op.getInput().getUsers())
      if (auto other = dyn_cast<LinearOp>(user))
        if (other != op && other->getBlock() == op->getBlock() &&
            !mapping.contains(other.getResult()) && !isFusedIntoUser(other)) {
          if (failed(outlineWeight(other.getWeight())))
            return failure();
          ops.emplace_back(other, other);
        }
  SmallVector<Product> products;
  for (auto [linear, to] : ops) {
    Product &product = products.emplace_back();
    product.config.outputs = getWidth(linear.getResult());
    product.config.inputs = getWidth(linear.getInput());
    product.config.residual = residual != nullptr;
    if (residual)
      product.optional.push_back(residual);
    product.x = lookup(linear.getInput());
    setWeights(product, linear.getWeight());
    // Queries go into products.
    product.output = isQueries(to->getResult(0))
                         ? emptyRows({product.config.outputs}, b.getBF16Type())
                         : destination(to);
    product.rows = tokens;
  }
  SmallVector<Value> values = emitProducts(products);
  for (auto [pair, value] : llvm::zip(ops, values)) {
    mapping.map(pair.second->getResult(0), value);
    tap(pair.second, value);
  }
  return success();
}

DeviceOutliner::Product DeviceOutliner::getGatedProduct(GatedFFNOp op) {
  Product product;
  product.config.outputs = getWidth(op.getDown());
  product.config.inputs = getWidth(op.getInput());
  product.config.gated = true;
  product.x = lookup(op.getInput());
  setWeights(product, op.getGate());
  product.output = emptyRows({product.config.outputs}, b.getBF16Type());
  product.rows = tokens;
  return product;
}

DeviceOutliner::Product DeviceOutliner::getDownProduct(GatedFFNOp op,
                                                       Value units,
                                                       Value residual,
                                                       Operation *result) {
  Product product;
  product.config.outputs = getWidth(op.getResult());
  product.config.inputs = getWidth(op.getDown());
  product.config.residual = residual != nullptr;
  if (residual)
    product.optional.push_back(residual);
  product.x = units;
  setWeights(product, op.getDown());
  product.output = destination(result);
  product.rows = tokens;
  return product;
}

LogicalResult DeviceOutliner::outlineFFN(GatedFFNOp op, Value residual,
                                         Operation *result) {
  if (op.getUp())
    return op.emitOpError("expected gate and up to be packed together");
  Value units = gatedUnits.lookup(op);
  if (!units) {
    Product gated = getGatedProduct(op);
    units = emitProducts(gated).front();
  }
  Product down = getDownProduct(op, units, residual, result);
  Value value = emitProducts(down).front();
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
  Product product;
  product.config.outputs = getWidth(op.getResult());
  product.config.inputs = width;
  setWeights(product, op.getWeight());
  // A part of the vocabulary is gathered with those of the other ranks.
  bool isWhole = op.getType() == logits.getType();
  Value output =
      isWhole ? logits : empty(op.getType().getShape(), b.getF32Type(), rows);
  Value result = emitProduct(std::move(product), chosen, output, rows);
  mapping.map(op.getResult(), result);
  if (isWhole)
    tap(op, result);
  return success();
}
