//===- SimtProducts.cpp - products of few rows ----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtNames.h"
#include "SimtProductEmitter.h"
#include "SimtRoute.h"
#include "dsv2/CodeGen/GPU/KernelCosts.h"
#include "dsv2/Target/ExpectedInstructions.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

int64_t ProductConfig::weightRowBytes() const {
  if (const BlockFormat *blocks = getBlockFormat(format))
    return blocks->rowBytes(inputs);
  return inputs * weight.getIntOrFloatBitWidth() / 8;
}

static std::string getName(const ProductConfig &config) {
  std::string name = llvm::formatv(
      "product_{0}x{1}_{2}_{3}_{4}", config.outputs, config.inputs,
      elementName(config.input),
      config.format == PackFormat::Plain ? elementName(config.weight)
                                         : stringifyPackFormat(config.format),
      elementName(config.output));
  if (config.heads > 1)
    name += "_heads" + std::to_string(config.heads);
  if (config.experts)
    name += "_experts" + std::to_string(config.experts);
  for (auto [flag, suffix] :
       {std::pair(config.gated, "_gated"), std::pair(config.residual, "_add"),
        std::pair(config.gather, "_gather")})
    if (flag)
      name += suffix;
  return name;
}

//===----------------------------------------------------------------------===//
// Grids
//===----------------------------------------------------------------------===//

std::array<int64_t, 3> dsv2::gpu::getProductGrid(const ProductConfig &config,
                                                 int64_t rows) {
  int64_t groups = config.experts ? std::min(rows, config.experts)
                                  : llvm::divideCeil(rows, kProductRows);
  int64_t blocks =
      llvm::divideCeil(config.outputs, ProductTiling(config).blockOutputs());
  return {groups, blocks, config.heads};
}

static Value getIndex(ImplicitLocOpBuilder &b, int64_t value) {
  return arith::ConstantIndexOp::create(b, value);
}

SmallVector<Value> dsv2::gpu::getProductGrid(ImplicitLocOpBuilder &b,
                                             const ProductConfig &config,
                                             Value rows) {
  auto [unused, outputs, heads] = getProductGrid(config, 1);
  Value groups =
      config.experts
          ? b.createOrFold<arith::MinUIOp>(rows, getIndex(b, config.experts))
          : b.createOrFold<arith::DivUIOp>(
                b.createOrFold<arith::AddIOp>(rows,
                                              getIndex(b, kProductRows - 1)),
                getIndex(b, kProductRows));
  return {groups, getIndex(b, outputs), getIndex(b, heads)};
}

/// `configs` with blocks of one size.
static SmallVector<ProductConfig> unifyBlocks(ArrayRef<ProductConfig> configs) {
  SmallVector<ProductConfig> result(configs);
  int64_t warps = 0;
  for (const ProductConfig &config : configs)
    warps = std::max(warps, ProductTiling(config).warps);
  for (ProductConfig &config : result)
    config.minWarps = warps;
  return result;
}

int64_t dsv2::gpu::getProductsGrid(ArrayRef<ProductConfig> configs,
                                   ArrayRef<int64_t> rows) {
  int64_t blocks = 0;
  for (auto [config, count] : llvm::zip_equal(unifyBlocks(configs), rows)) {
    std::array<int64_t, 3> grid = getProductGrid(config, count);
    blocks += grid[0] * grid[1] * grid[2];
  }
  return blocks;
}

Value dsv2::gpu::getProductsGrid(ImplicitLocOpBuilder &b,
                                 ArrayRef<ProductConfig> configs,
                                 ValueRange rows) {
  Value blocks = getIndex(b, 0);
  for (auto [config, count] : llvm::zip_equal(unifyBlocks(configs), rows)) {
    SmallVector<Value> grid = getProductGrid(b, config, count);
    Value product = b.createOrFold<arith::MulIOp>(
        grid[0], b.createOrFold<arith::MulIOp>(grid[1], grid[2]));
    blocks = b.createOrFold<arith::AddIOp>(blocks, product);
  }
  return blocks;
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

/// Emits the blocks from number `block` on, which are those of the first of
/// `products`, then those of the second, and so on.
static void emitProducts(SimtBuilder &b, ArrayRef<ProductConfig> configs,
                         ArrayRef<ProductParameters> parameters,
                         const ProductEmitter::Shared &shared, Value block) {
  const ProductConfig &config = configs.front();
  std::array<int64_t, 3> grid = getProductGrid(config, 1);
  int64_t outputs = grid[1], heads = grid[2];
  Value rows = parameters.front().rows;
  Value groups = config.experts ? b.min(rows, b.i32(config.experts))
                                : b.ceilDiv(rows, kProductRows);
  auto emitFirst = [&] {
    Value rest = b.div(block, groups);
    ProductEmitter(b, config, parameters.front(), shared)
        .emit(
            {b.rem(block, groups), b.rem(rest, outputs), b.div(rest, outputs)});
  };
  if (configs.size() == 1)
    return emitFirst();
  Value blocks = b.mul(groups, outputs * heads);
  b.ifElse(b.less(block, blocks), emitFirst, [&] {
    emitProducts(b, configs.drop_front(), parameters.drop_front(), shared,
                 b.sub(block, blocks));
  });
}

/// Says that weights are read 16 bytes at a time, or copied, and multiplied by
/// tensor cores, wherever `kernel` is written so.
static void expectInstructions(LLVM::LLVMFuncOp kernel) {
  auto countOp = [](Operation &op, ExpectedInstructions &expected) {
    if (isa<NVVM::MmaOp>(op))
      expected.add("mma", 1);
    if (isa<NVVM::CpAsyncOp>(op))
      expected.add("cp_async", 1);
    // Those of weights alone are marked so.
    auto load = dyn_cast<LLVM::LoadOp>(op);
    if (!load || !load.getInvariant())
      return;
    auto vector = dyn_cast<VectorType>(load.getType());
    if (vector &&
        vector.getNumElements() * vector.getElementTypeBitWidth() == 8 * 16)
      expected.add("global_load_16", 1);
  };
  ExpectedInstructions::of(kernel.getBody(), countOp).setOn(kernel);
}

/// The kernel `name` of products whose blocks have one size. With `route` the
/// first block does that and its dispatch.
static LLVM::LLVMFuncOp makeKernel(ModuleOp module, StringRef name,
                                   ArrayRef<ProductConfig> configs,
                                   const RouteConfig *route = nullptr) {
  MLIRContext *c = module.getContext();
  int64_t input = route ? kRouteDispatchInputs : 0, output = input;
  int64_t sharedElements = 0, ringBytes = 0;
  bool onTensorCores = false;
  for (const ProductConfig &config : configs) {
    assert((config.heads == 1 || (!config.residual && !config.experts)) &&
           "products by heads have neither residual nor experts");
    output += ProductParameters::countInputs(config);
    sharedElements =
        std::max(sharedElements, ProductEmitter::countShared(config));
    onTensorCores |= ProductTiling(config).onTensorCores;
    ringBytes = std::max(ringBytes, getRingBytes(config));
  }
  SmallVector<KernelParameter> parameters;
  if (route) {
    parameters = listRouteDispatch(c, /*scores=*/0, output);
    output += kRouteDispatchOutputs;
  }
  size_t routeParameters = parameters.size();
  for (const ProductConfig &config : configs) {
    llvm::append_range(parameters,
                       ProductParameters::list(c, config, input, output));
    input += ProductParameters::countInputs(config);
    ++output;
  }
  ProductTiling tiling(configs.front());
  auto kernel = getOrCreateKernel(
      module, name, tiling.threads(), parameters,
      [&](SimtBuilder &b, ValueRange args) {
        ProductEmitter::Shared shared;
        if (sharedElements)
          shared.sums = b.sharedArray("sums", b.getF32Type(), sharedElements);
        if (ringBytes)
          shared.ring = b.dynamicShared(ringBytes);
        ValueRange routeArgs = args.take_front(routeParameters);
        args = args.drop_front(routeParameters);
        SmallVector<ProductParameters> each;
        for (const ProductConfig &config : configs)
          each.emplace_back(config, args);
        if (route) {
          Value block = b.blockId();
          b.ifElse(
              b.equal(block, b.i32(0)),
              [&] {
                b.awaitPredecessors();
                emitRouteDispatch(b, *route, routeArgs, tiling.warps);
              },
              [&] {
                emitProducts(b, configs, each, shared, b.sub(block, b.i32(1)));
              });
          return;
        }
        if (configs.size() > 1)
          return emitProducts(b, configs, each, shared, b.blockId());
        ProductEmitter(b, configs.front(), each.front(), shared)
            .emit({b.blockId(0), b.blockId(1), b.blockId(2)});
      },
      Waiting::Inside);
  // 16 warps, 2 blocks of 8 or 4 of 4, can then have their loads under way;
  // more where a kernel needs fewer registers.
  if (onTensorCores)
    kernel->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(),
                    Builder(c).getI32IntegerAttr(16 / tiling.warps));
  expectInstructions(kernel);
  return kernel;
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateProductKernel(ModuleOp module,
                                    const ProductConfig &config) {
  LLVM::LLVMFuncOp kernel = makeKernel(module, getName(config), config);
  setCostFacts(kernel, ProductFacts::of(config));
  return kernel;
}

static std::string getName(ArrayRef<ProductConfig> configs) {
  std::string name;
  for (const ProductConfig &config : configs)
    name += (name.empty() ? "" : "_and_") + getName(config);
  return name;
}

static std::vector<ProductFacts> getFacts(ArrayRef<ProductConfig> configs) {
  std::vector<ProductFacts> facts;
  for (const ProductConfig &config : configs)
    facts.push_back(ProductFacts::of(config));
  return facts;
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateProductsKernel(ModuleOp module,
                                     ArrayRef<ProductConfig> configs) {
  LLVM::LLVMFuncOp kernel =
      makeKernel(module, getName(configs), unifyBlocks(configs));
  setCostFacts(kernel, ProductsFacts{getFacts(configs)});
  return kernel;
}

bool dsv2::gpu::canRouteBesideProducts(const RouteConfig &route,
                                       ArrayRef<ProductConfig> configs) {
  return ProductTiling(unifyBlocks(configs).front()).warps <=
         getMostDispatchWarps(route.experts);
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateRouteProductsKernel(ModuleOp module,
                                          const RouteConfig &route,
                                          ArrayRef<ProductConfig> configs) {
  assert(canRouteBesideProducts(route, configs));
  std::string name = getRouteName(route) + "_dispatch_and_" + getName(configs);
  LLVM::LLVMFuncOp kernel =
      makeKernel(module, name, unifyBlocks(configs), &route);
  setCostFacts(kernel, RouteProductsFacts{route, getFacts(configs)});
  return kernel;
}
