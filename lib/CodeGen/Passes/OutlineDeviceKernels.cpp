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
// Products and attention have two kinds of kernels: those of the tile dialect,
// on tensor cores, and those for one thread, for shapes that tensor cores do
// not take and for few rows, where reading the weights is all that counts. Code
// for several chips and row counts is chosen while the step is launched.
//
//===----------------------------------------------------------------------===//

#include "DeviceShapes.h"
#include "KernelOutliner.h"

#include "dsv2/CodeGen/GPU/GemmKernels.h"
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

  SmallVector<Value> launchDevice(FunctionOpInterface kernel, ValueRange grid,
                                  ValueRange inputs, ValueRange outputs);

  //===--------------------------------------------------------------------===//
  // Choices at the launch
  //===--------------------------------------------------------------------===//

  /// What one of two ways gives, of type `type`; both have to put it into the
  /// same tensor.
  Value choose(Value condition, Type type, llvm::function_ref<Value()> thenBody,
               llvm::function_ref<Value()> elseBody);
  /// The same of several results, of the types that `outputs` have.
  SmallVector<Value> choose(Value condition, ValueRange outputs,
                            llvm::function_ref<SmallVector<Value>()> thenBody,
                            llvm::function_ref<SmallVector<Value>()> elseBody);
  /// What `body` gives for the one of `chips` whose code is loaded.
  Value forLoadedChip(ArrayRef<GPUTargetInfo> chips, Type type,
                      llvm::function_ref<Value(const GPUTargetInfo &)> body);
  Value atMost(Value number, int64_t limit) {
    return arith::CmpIOp::create(b, arith::CmpIPredicate::sle, number,
                                 index(limit));
  }
  /// Blocks of a kernel that gives every multiprocessor one, of `chip` at most
  /// as many as the card has that it is known by.
  Value getBlocks(const GPUTargetInfo &chip);

  //===--------------------------------------------------------------------===//
  // Products
  //===--------------------------------------------------------------------===//

  /// A product to be launched: operands as its kernels take them, and how many
  /// rows it gives.
  struct Product {
    dsv2::gpu::ProductConfig config;
    Value x, weights;
    SmallVector<Value> optional;
    Value output, rows;
    /// Where rows that have to be gathered go.
    Value gathered = {};
  };
  /// A product of `x` with `rows` rows, into `output`.
  Value emitProduct(dsv2::gpu::ProductConfig config, Value x, Value weights,
                    ValueRange optional, Value output, Value rows);
  /// Products that do not depend on each other: one launch for few tokens.
  SmallVector<Value> emitProducts(MutableArrayRef<Product> products);
  /// One of them on tensor cores if it is for them; `rows` may be many.
  Value emitLargeProduct(const Product &product);
  /// The same by a warp for each output.
  Value emitSimtProduct(const dsv2::gpu::ProductConfig &config, Value x,
                        Value weights, ValueRange optional, Value output,
                        Value rows);
  /// A product for tensor cores: operands as its kernels take them.
  struct TileProduct {
    dsv2::gpu::GemmShape shape;
    SmallVector<Value> inputs;
    Value output, rows;
  };
  /// Launches the kernel of the class of row counts that fits.
  Value emitTileProduct(const TileProduct &product, const GPUTargetInfo &chip,
                        ArrayRef<int64_t> classes);

  //===--------------------------------------------------------------------===//
  // Attention
  //===--------------------------------------------------------------------===//

  /// Ops that become one launch, which puts new tokens into the cache and
  /// rotates their queries.
  struct LatentInput {
    RMSNormOp norm;
    RopeOp key, query;
    LatentAppendOp append;
    LatentAttentionOp attention;
  };
  /// Those that `op` is one of, or nothing.
  std::optional<LatentInput> findLatentInput(Operation *op);
  LogicalResult outlineLatentInput(const LatentInput &input);
  /// Launches what rotates queries of `heads` by `rotate`, which is given the
  /// place of its result, and says so for `op` and its attention.
  void emitRotatedQueries(RopeOp op, int64_t heads, int64_t width,
                          llvm::function_ref<Value(Value)> rotate);
  /// Rotates the second part of the queries of `attention` where it is, and
  /// returns it.
  Value rotateInPlace(RopeOp op, LatentAttentionOp attention,
                      dsv2::gpu::ApplyRopeConfig config, Value table);
  LogicalResult outlineExpanded(LatentAttentionOp op);
  /// What absorbed attention takes as queries, without the rotated part.
  Value getAbsorbedQueries(LatentAttentionOp op, Value output);
  /// Attention by a block for each token and head, or on tensor cores.
  Value emitSimtAttention(LatentAttentionOp op,
                          const dsv2::gpu::LatentCacheConfig &cache,
                          Value output);
  Value emitTileAttention(LatentAttentionOp op,
                          const dsv2::gpu::MLADecodeShape &shape, Value output);
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

  /// Outlines the op that gives a weight, if that comes later.
  LogicalResult outlineWeight(Value weight);
  /// The products of a gated FFN, as emitProducts takes them; the second reads
  /// what the first gives.
  Product getGatedProduct(GatedFFNOp op);
  Product getDownProduct(GatedFFNOp op, Value units, Value residual,
                         Operation *result);

  /// What the gated product of an FFN gives that was launched with another.
  DenseMap<Operation *, Value> gatedUnits;
  /// For the result of a rope whose attention is computed on tensor cores: the
  /// queries [T, heads, row], with the rotated part in its place.
  DenseMap<Value, Value> rotatedQueries;
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

SmallVector<Value> DeviceOutliner::launchDevice(FunctionOpInterface kernel,
                                                ValueRange grid,
                                                ValueRange inputs,
                                                ValueRange outputs) {
  SmallVector<Type> resultTypes;
  for (Value output : outputs)
    if (isa<RankedTensorType>(output.getType()))
      resultTypes.push_back(output.getType());
  auto name = FlatSymbolRefAttr::get(kernel.getNameAttr());
  SymbolRefAttr symbol = name;
  if (isa<LLVM::LLVMFuncOp>(kernel))
    symbol = SymbolRefAttr::get(b.getContext(), kDeviceModule, {name});
  auto op =
      DeviceLaunchOp::create(b, resultTypes, symbol, grid, inputs, outputs);
  ++outliner.numLaunches;
  return SmallVector<Value>(op.getResults());
}

//===----------------------------------------------------------------------===//
// Choices at the launch
//===----------------------------------------------------------------------===//

SmallVector<Value>
DeviceOutliner::choose(Value condition, ValueRange outputs,
                       llvm::function_ref<SmallVector<Value>()> thenBody,
                       llvm::function_ref<SmallVector<Value>()> elseBody) {
  auto choice = scf::IfOp::create(b, outputs.getTypes(), condition,
                                  /*addThenBlock=*/true,
                                  /*addElseBlock=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(choice.thenBlock());
  scf::YieldOp::create(b, thenBody());
  b.setInsertionPointToStart(choice.elseBlock());
  scf::YieldOp::create(b, elseBody());
  return SmallVector<Value>(choice.getResults());
}

Value DeviceOutliner::choose(Value condition, Type type,
                             llvm::function_ref<Value()> thenBody,
                             llvm::function_ref<Value()> elseBody) {
  auto choice = scf::IfOp::create(b, type, condition, /*addThenBlock=*/true,
                                  /*addElseBlock=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(choice.thenBlock());
  scf::YieldOp::create(b, thenBody());
  b.setInsertionPointToStart(choice.elseBlock());
  scf::YieldOp::create(b, elseBody());
  return choice.getResult(0);
}

Value DeviceOutliner::forLoadedChip(
    ArrayRef<GPUTargetInfo> chips, Type type,
    llvm::function_ref<Value(const GPUTargetInfo &)> body) {
  const GPUTargetInfo &chip = chips.front();
  if (chips.size() == 1)
    return body(chip);
  Value loaded = DeviceInfoOp::create(b, DeviceProperty::Chip);
  Value isLoaded = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, loaded,
                                         index(chip.number));
  return choose(
      isLoaded, type, [&] { return body(chip); },
      [&] { return forLoadedChip(chips.drop_front(), type, body); });
}

Value DeviceOutliner::getBlocks(const GPUTargetInfo &chip) {
  Value has = DeviceInfoOp::create(b, DeviceProperty::Multiprocessors);
  return arith::MinSIOp::create(b, has, index(chip.peak.multiprocessors));
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
  // Others may have been outlined with an op before them.
  if (op->getNumResults() > 0 &&
      isa<PackedWeightOp, LinearOp, GatedFFNOp, DispatchOp>(op) &&
      (mapping.contains(op->getResult(0)) ||
       dispatched.contains(op->getResult(0))))
    return success();
  if (std::optional<LatentInput> input = findLatentInput(op))
    return op == input->append ? outlineLatentInput(*input) : success();
  return FunctionOutliner::outlineOp(op);
}

LogicalResult DeviceOutliner::outlineWeight(Value weight) {
  auto op = weight.getDefiningOp<PackedWeightOp>();
  if (!op || mapping.contains(weight))
    return success();
  return outlinePackedWeight(op);
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

/// What a product is to kernels of tensor cores, or nothing if it is none for
/// them on one of `chips`: another type, or rows that may lie apart.
static std::optional<dsv2::gpu::GemmShape>
getGemmShape(const dsv2::gpu::ProductConfig &config, Value x, Value output,
             ArrayRef<GPUTargetInfo> chips) {
  if (!config.input.isBF16() || !config.weight.isBF16() ||
      (!config.output.isBF16() && !config.output.isF32()))
    return std::nullopt;
  dsv2::gpu::GemmShape shape;
  auto type = cast<ShapedType>(x.getType());
  if (type.getRank() == 3) {
    if (!isAligned(x) || !isAligned(output))
      return std::nullopt;
    shape.heads = type.getDimSize(1);
  } else if (x.getDefiningOp<tensor::ExtractSliceOp>()) {
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
  for (const GPUTargetInfo &chip : chips)
    if (dsv2::gpu::explainUnsupported(shape, chip.chip))
      return std::nullopt;
  return shape;
}

/// The rows of all matrices of a weight that is stored as rows, [..., N, K].
static Value getMatrices(ImplicitLocOpBuilder &b, Value weights,
                         const dsv2::gpu::GemmShape &shape) {
  int64_t rank = cast<MemRefType>(weights.getType()).getRank();
  bool gated = shape.epilogue == dsv2::gpu::GemmEpilogue::SwiGLU;
  // [E?, N, K, 1], or [E?, N / 16, 2, 8, K]; E: experts or heads.
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
  return memref::CollapseShapeOp::create(b, weights, groups);
}

/// Up to this many tokens a product reads its weights and does little else:
/// kernels for one thread start faster and need no tile of 64 rows.
static constexpr int64_t kFewTokens = 8;
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
  std::optional<dsv2::gpu::GemmShape> shape =
      getGemmShape(config, product.x, product.output, outliner.chips);
  if (!shape)
    return emitSimtProduct(config, product.x, product.weights, optional,
                           product.output, product.rows);
  TileProduct tile{*shape, {}, product.output, product.rows};
  Value input = product.x;
  if (config.gather) {
    // Tensor cores take rows that follow each other.
    auto gather = dsv2::gpu::getOrCreateGatherRowsKernel(
        outliner.module, {config.inputs, config.input, config.input});
    input = launchDevice(gather, product.rows, {optional.back(), input},
                         product.gathered)
                .front();
    optional = optional.drop_back();
  }
  tile.inputs = {input, getMatrices(b, product.weights, *shape)};
  llvm::append_range(tile.inputs, optional);
  return forLoadedChip(outliner.chips, product.output.getType(),
                       [&](const GPUTargetInfo &chip) {
                         return emitTileProduct(tile, chip, kRowClasses);
                       });
}

SmallVector<Value>
DeviceOutliner::emitProducts(MutableArrayRef<Product> products) {
  SmallVector<dsv2::gpu::ProductConfig> configs;
  SmallVector<Value> inputs, outputs, rows;
  bool hasTiles = false;
  for (Product &product : products) {
    product.config.input = getElement(product.x);
    product.config.weight = getElement(product.weights);
    product.config.output = getElement(product.output);
    configs.push_back(product.config);
    llvm::append_values(inputs, product.x, product.weights);
    llvm::append_range(inputs, product.optional);
    outputs.push_back(product.output);
    rows.push_back(product.rows);
    if (getGemmShape(product.config, product.x, product.output,
                     outliner.chips)) {
      hasTiles = true;
      if (product.config.gather)
        product.gathered = empty({ShapedType::kDynamic, product.config.inputs},
                                 product.config.input, product.rows);
    }
  }
  auto few = [&]() -> SmallVector<Value> {
    if (products.size() == 1)
      return {emitSimtProduct(configs[0], products[0].x, products[0].weights,
                              products[0].optional, outputs[0], rows[0])};
    auto kernel =
        dsv2::gpu::getOrCreateProductsKernel(outliner.module, configs);
    return launchDevice(kernel, dsv2::gpu::getProductsGrid(b, configs, rows),
                        inputs, outputs);
  };
  if (!hasTiles)
    return few();
  // Experts have few rows if there are few tokens.
  Value count = configs.front().experts ? tokens : rows.front();
  return choose(atMost(count, kFewTokens), outputs, few, [&] {
    SmallVector<Value> results;
    for (const Product &product : products)
      results.push_back(emitLargeProduct(product));
    return results;
  });
}

Value DeviceOutliner::emitProduct(dsv2::gpu::ProductConfig config, Value x,
                                  Value weights, ValueRange optional,
                                  Value output, Value rows) {
  Product product{config, x,   weights, SmallVector<Value>(optional),
                  output, rows};
  return emitProducts(product).front();
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
    product.weights = lookup(linear.getWeight());
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
  product.weights = lookup(op.getGate());
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
  product.weights = lookup(op.getDown());
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
    Value result = rotateInPlace(op, attention, config, table);
    mapping.map(op.getResult(), result);
    tap(op, result);
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
  } else {
    result = rotate(emptyRows({heads, width}, bf16));
  }
  mapping.map(op.getResult(), result);
  tap(op, result);
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
      outliner.module, *cache, getElement(latent), getElement(key));
  launchDevice(kernel, tokens,
               {latent, key, lookup(op.getPositions()), lookup(op.getSeqIds()),
                lookup(op.getBlockTables()),
                getCacheLayer(lookup(op.getCache()), lookup(op.getLayer()))},
               {});
  return success();
}

Value DeviceOutliner::getAbsorbedQueries(LatentAttentionOp op, Value output) {
  dsv2::gpu::ProductConfig config;
  config.outputs = getWidth(output);
  config.inputs = getWidth(op.getQNope());
  config.heads = cast<RankedTensorType>(op.getType()).getDimSize(1);
  return emitProduct(config, lookup(op.getQNope()), lookup(op.getWUk()), {},
                     output, tokens);
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
        SmallVector<Value> parts = launchDevice(
            dsv2::gpu::getOrCreateMLADecode(outliner.module, shape, chip.chip),
            blocks,
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
/// K, 1].
static Value stackHeads(ImplicitLocOpBuilder &b, Value weights) {
  SmallVector<ReassociationIndices> groups = {{0, 1}, {2}, {3}};
  return memref::CollapseShapeOp::create(b, weights, groups);
}

LogicalResult DeviceOutliner::outlineExpanded(LatentAttentionOp op) {
  auto shape = getPrefillShape(op, outliner.chips);
  if (!shape)
    return op.emitOpError("expected a shape whose expanded form has kernels "
                          "for all chips");
  LatentAppendOp append = getAppend(op);
  Value latents = lookup(append.getLatent());
  Type bf16 = b.getBF16Type();
  // Keys and values of the step's own tokens, which are all that there are: the
  // entry is for new sequences (Manifest::prefillWhole).
  auto expand = [&](Value weights, int64_t width) -> Value {
    dsv2::gpu::ProductConfig config;
    config.outputs = shape->heads * width;
    config.inputs = getWidth(latents);
    Value rows = emitProduct(config, latents, stackHeads(b, lookup(weights)),
                             {}, emptyRows({config.outputs}, bf16), tokens);
    SmallVector<ReassociationIndices> groups = {{0}, {1, 2}};
    return tensor::ExpandShapeOp::create(
        b,
        RankedTensorType::get({ShapedType::kDynamic, shape->heads, width},
                              bf16),
        rows, groups,
        ArrayRef<OpFoldResult>{tokens, b.getIndexAttr(shape->heads),
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
                            {queries->second, keys, values,
                             lookup(append.getKey()), starts, starts, tables},
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

  dsv2::gpu::ProductConfig values;
  values.outputs = value;
  values.inputs = cache->latent;
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

/// The only op of type Op in the block of `op` among the users of `value`, or
/// null.
template <typename Op> static Op getOnlyUser(Value value, Operation *op) {
  Op result;
  for (Operation *user : value.getUsers())
    if (auto found = dyn_cast<Op>(user))
      if (found->getBlock() == op->getBlock()) {
        if (result)
          return {};
        result = found;
      }
  return result;
}

LogicalResult DeviceOutliner::outlineRoute(RouteOp op) {
  auto idsType = cast<RankedTensorType>(op.getIds().getType());
  SmallVector<Product> products(1);
  dsv2::gpu::ProductConfig &config = products[0].config;
  config.outputs = cast<RankedTensorType>(op.getGate().getType()).getDimSize(0);
  config.inputs = getWidth(op.getInput());
  products[0].x = lookup(op.getInput());
  products[0].weights = lookup(op.getGate());
  products[0].output = emptyRows({config.outputs}, b.getF32Type());
  products[0].rows = tokens;
  // Shared experts are busy while experts are being chosen.
  auto shared = getOnlyUser<GatedFFNOp>(op.getInput(), op);
  if (shared && !shared.getUp() && !isFusedIntoUser(shared)) {
    if (failed(outlineWeight(shared.getGate())))
      return failure();
    products.push_back(getGatedProduct(shared));
  }
  SmallVector<Value> results = emitProducts(products);
  if (results.size() > 1)
    gatedUnits[shared] = results[1];
  Value scores = results[0];

  dsv2::gpu::RouteConfig route;
  route.experts = products[0].config.outputs;
  route.topK = op.getTopK();
  route.groups = op.getNumGroups();
  route.topGroups = op.getTopGroups();
  route.scale = op.getScale().convertToDouble();
  route.normalize = op.getNormalize();
  Type i32 = b.getI32Type();
  SmallVector<Value> outputs = {
      emptyRows({route.topK}, idsType.getElementType()),
      emptyRows({route.topK}, b.getF32Type())};
  auto emitRoute = [&] {
    auto kernel = dsv2::gpu::getOrCreateRouteKernel(outliner.module, route);
    return launchDevice(kernel, tokens, scores,
                        ArrayRef<Value>(outputs).take_front(2));
  };
  SmallVector<Value> chosen;
  auto dispatch = getOnlyUser<DispatchOp>(op.getIds(), op);
  if (dispatch && dispatch.getInput() == op.getInput()) {
    Value numRows = arith::MulIOp::create(b, tokens, index(route.topK));
    outputs.append({empty({route.experts + 1}, i32, Value()),
                    empty({ShapedType::kDynamic}, i32, numRows),
                    empty(idsType.getShape(), i32, tokens)});
    chosen = choose(
        atMost(tokens, kFewTokens), outputs,
        [&] {
          auto kernel =
              dsv2::gpu::getOrCreateRouteDispatchKernel(outliner.module, route);
          return launchDevice(kernel, index(1), scores, outputs);
        },
        [&] {
          SmallVector<Value> both = emitRoute();
          auto kernel = dsv2::gpu::getOrCreateDispatchKernel(
              outliner.module, route.experts, route.topK);
          llvm::append_range(
              both, launchDevice(kernel, index(1), both[0],
                                 ArrayRef<Value>(outputs).drop_front(2)));
          return both;
        });
    mapping.map(dispatch.getOffsets(), chosen[2]);
    mapping.map(dispatch.getRows(), chosen[4]);
    // The rows themselves are never copied: products gather them.
    dispatched[dispatch.getResult()] = {products[0].x, chosen[3]};
  } else {
    chosen = emitRoute();
  }
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
  SmallVector<Product> downs(1);
  downs[0].config.experts = gated.experts;
  downs[0].config.outputs = downType.getDimSize(1);
  downs[0].config.inputs = gated.outputs;
  downs[0].x = units;
  downs[0].weights = lookup(op.getDown());
  downs[0].optional.push_back(offsets);
  downs[0].output = rowsOf(downs[0].config.outputs, b.getF32Type());
  downs[0].rows = numRows;
  // Shared experts whose first half is there already.
  SmallVector<GatedFFNOp> others;
  for (auto other : op->getBlock()->getOps<GatedFFNOp>())
    if (gatedUnits.contains(other) && !mapping.contains(other.getResult())) {
      if (failed(outlineWeight(other.getDown())))
        return failure();
      others.push_back(other);
      downs.push_back(
          getDownProduct(other, gatedUnits.lookup(other), Value(), other));
    }
  SmallVector<Value> results = emitProducts(downs);
  mapping.map(op.getResult(), results[0]);
  tap(op, results[0]);
  for (auto [other, value] :
       llvm::zip(others, ArrayRef(results).drop_front())) {
    mapping.map(other.getResult(), value);
    tap(other, value);
  }
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
