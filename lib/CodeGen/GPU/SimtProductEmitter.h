//===- SimtProductEmitter.h - one product in a kernel -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_SIMTPRODUCTEMITTER_H
#define DSV2_LIB_CODEGEN_GPU_SIMTPRODUCTEMITTER_H

#include "SimtProductParts.h"

namespace mlir::dsv2::gpu {

/// A product's parameters of a kernel: x, weights, then what is optional, then
/// the output.
struct ProductParameters {
  Value x, xStride, xHeadStride, weights;
  Value residual, residualStride, offsets, rowTokens;
  Value out, outStride, outHeadStride, rows;

  /// Inputs of the launch for one product; its output comes after them.
  static int64_t countInputs(const ProductConfig &config) {
    return 2 + config.residual + (config.experts != 0) + config.gather;
  }
  /// Lists them in order, for a product whose operands are numbered so.
  static SmallVector<KernelParameter> list(MLIRContext *c,
                                           const ProductConfig &config,
                                           int64_t firstInput, int64_t output);
  /// Takes them off the front of `args`.
  ProductParameters(const ProductConfig &config, ValueRange &args);
};

/// What a block of the grid of one product is.
struct ProductBlock {
  Value group, outputs, head;
};

/// Emits one product.
class ProductEmitter : public ProductRows {
public:
  /// What products of a kernel share: warps add up in `sums`, countShared()
  /// elements; `ring` is for weights on their way, getRingBytes().
  struct Shared {
    Value sums, ring;
  };
  ProductEmitter(SimtBuilder &b, const ProductConfig &config,
                 const ProductParameters &args, const Shared &shared)
      : b(b), config(config), args(args), tiling(config), f32(b.getF32Type()),
        i32(b.getI32Type()), shared(shared.sums), ring(shared.ring) {}

  static int64_t countShared(const ProductConfig &config) {
    ProductTiling tiling(config);
    return tiling.isWide ? tiling.warps * ProductSums::sharedElements(config)
                         : 0;
  }

  void emit(const ProductBlock &block);

private:
  Value getInputRow(Value row) override;
  Value getWeightRow(Value output, int64_t part) override;

  /// Finds the expert whose rows the block computes: of those that have any,
  /// number `slot`. Calls `body` with the number of the expert, its first row
  /// and the end of its rows, if there is one.
  void forExpert(Value slot,
                 llvm::function_ref<void(Value, Value, Value)> body);
  /// Whether rows of the input and of the weights start at multiples of 16
  /// bytes.
  Value isAligned();
  /// Rows `first` to `first + count`, 1 to kProductRows of them.
  void emitRows(Value first, Value count);
  void emitWide(Value first, Value count, bool oneRow);
  /// Each warp takes output by output, one element a load.
  void emitNarrow(Value first, Value count);
  /// The f32 that the result of `row` and `output` is added to, or null.
  Value loadResidual(Value row, Value output);
  /// Makes a result of the sums of an output and stores it.
  void finish(Value row, Value output, ArrayRef<Value> sums, Value residual);

  SimtBuilder &b;
  const ProductConfig &config;
  const ProductParameters &args;
  ProductTiling tiling;
  Type f32, i32;
  Value shared, ring;
  /// Which of the matrices of weights and of the heads, the block's first
  /// output.
  Value matrix, head, firstOutput;
};

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_SIMTPRODUCTEMITTER_H
