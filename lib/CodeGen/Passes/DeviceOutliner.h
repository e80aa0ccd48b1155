//===- DeviceOutliner.h - model ops as launches on a GPU --------*- C++ -*-===//
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

#ifndef DSV2_LIB_CODEGEN_PASSES_DEVICEOUTLINER_H
#define DSV2_LIB_CODEGEN_PASSES_DEVICEOUTLINER_H

#include "DeviceShapes.h"
#include "KernelOutliner.h"

#include "dsv2/CodeGen/GPU/GemmKernels.h"
#include "dsv2/CodeGen/GPU/SimtKernels.h"

namespace mlir::dsv2 {

inline Type getElement(Value value) {
  return cast<ShapedType>(value.getType()).getElementType();
}

/// Up to this many tokens a product reads its weights and does little else:
/// kernels for one thread start faster and need no tile of 64 rows.
inline constexpr int64_t kFewTokens = 8;

/// Rebuilds one step or layer function with launches on a device.
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
  LogicalResult outlineExchangePack(ExchangePackOp op) override;
  LogicalResult outlineExchangeUnpack(ExchangeUnpackOp op) override;
  LogicalResult outlineExchangeCombine(ExchangeCombineOp op) override;

  SmallVector<Value> launchDevice(FunctionOpInterface kernel, ValueRange grid,
                                  ValueRange inputs, ValueRange outputs);

  using FunctionOutliner::emptyRows;
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
    /// Whether this is at most kFewTokens decides which kernel it is; null:
    /// `rows`.
    Value tokens = {};
    /// Rows that are there, i32 [1], where `rows` is only the most that can be.
    Value limit = {};
    /// What memory for `rows` is planned for; null: `rows`.
    Value mostRows = {};
    /// Where rows that have to be gathered go.
    Value gathered = {};
  };
  /// What `product` is to kernels of tensor cores, or nothing if it is none for
  /// them on one of the chips: another type, or rows that may lie apart.
  std::optional<dsv2::gpu::GemmShape> getGemmShape(const Product &product);
  /// Gives `product` the weights that `weight`, of the old function, is.
  void setWeights(Product &product, Value weight);
  /// A product of `x` with `rows` rows, into `output`; `product` has the sizes
  /// and the weights.
  Value emitProduct(Product product, Value x, Value output, Value rows);
  /// Products that do not depend on each other: one launch for few tokens.
  SmallVector<Value> emitProducts(MutableArrayRef<Product> products);
  /// What a launch of several products takes.
  struct ProductsLaunch {
    SmallVector<dsv2::gpu::ProductConfig> configs;
    SmallVector<Value> inputs, outputs, rows;
    /// Whether one of them is for tensor cores if rows are many.
    bool hasTiles = false;
  };
  /// Completes the configurations of products that share a launch.
  ProductsLaunch prepareProducts(MutableArrayRef<Product> products);
  /// The choice of experts from `scores`, into `outputs`, and products that do
  /// not depend on it: one launch for few tokens.
  SmallVector<Value> emitChoice(const dsv2::gpu::RouteConfig &route,
                                Value scores, ArrayRef<Value> outputs,
                                MutableArrayRef<Product> beside);
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
  /// What expanded attention makes keys and values of: latents and rotated keys
  /// of `rows` rows, and where those of each sequence begin and end, i32 [S +
  /// 1]. These are the step's own, or come from the cache if there are earlier
  /// ones.
  struct ContextRows {
    Value latents, keys, starts, rows;
  };
  ContextRows getContextRows(LatentAttentionOp op);
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

  /// Whether a rank may have no tokens of a step.
  bool mayHaveNoTokens();

  /// The site of the op that is outlined.
  StringRef site;
  /// What the gated product of an FFN gives that was launched with another.
  DenseMap<Operation *, Value> gatedUnits;
  /// For the result of a rope whose attention is computed on tensor cores: the
  /// queries [T, heads, row], with the rotated part in its place.
  DenseMap<Value, Value> rotatedQueries;
};

} // namespace mlir::dsv2

#endif // DSV2_LIB_CODEGEN_PASSES_DEVICEOUTLINER_H
