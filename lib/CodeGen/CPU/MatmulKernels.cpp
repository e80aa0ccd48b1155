//===- MatmulKernels.cpp - Products with packed weights -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/MatmulKernels.h"

#include "GatedProduct.h"
#include "ManyRowsProduct.h"
#include "QuantTile.h"
#include "TileProduct.h"
#include "dsv2/CodeGen/CPU/QuantKernels.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

StringRef dsv2::cpu::stringifyPanelFormat(PanelFormat format) {
  switch (format) {
  case PanelFormat::F32:
    return "f32";
  case PanelFormat::BF16:
    return "bf16";
  case PanelFormat::Q8:
    return "q8";
  case PanelFormat::Q4:
    return "q4";
  case PanelFormat::FP8:
    return "fp8";
  }
  llvm_unreachable("unknown panel format");
}

const BlockFormat *dsv2::cpu::getBlockFormat(PanelFormat format) {
  switch (format) {
  case PanelFormat::F32:
  case PanelFormat::BF16:
    return nullptr;
  case PanelFormat::Q8:
    return &kQ8Format;
  case PanelFormat::Q4:
    return &kQ4Format;
  case PanelFormat::FP8:
    return &kFP8Format;
  }
  llvm_unreachable("unknown panel format");
}

Type dsv2::cpu::getPanelElementType(MLIRContext *context, PanelFormat format) {
  switch (format) {
  case PanelFormat::F32:
    return Float32Type::get(context);
  case PanelFormat::BF16:
    return BFloat16Type::get(context);
  case PanelFormat::Q8:
  case PanelFormat::Q4:
  case PanelFormat::FP8:
    return IntegerType::get(context, 8);
  }
  llvm_unreachable("unknown panel format");
}

MemRefType dsv2::cpu::getProductInputType(MLIRContext *context,
                                          PanelFormat format, int64_t rank) {
  return getBlockFormat(format) ? getQuantizedActivationType(context, rank)
                                : getActivationType(context, rank);
}

static MemRefType panelType(MLIRContext *context, const CPUTargetInfo &target,
                            PanelFormat format, ArrayRef<int64_t> shape,
                            bool rows) {
  int64_t width = rows ? 1 : target.panelWidth();
  if (const BlockFormat *blocks = getBlockFormat(format))
    width = blocks->panelBytes(width);
  SmallVector<int64_t> sizes(shape);
  sizes.append({ShapedType::kDynamic, width});
  SmallVector<int64_t> strides(shape.size(), ShapedType::kDynamic);
  strides.append({width, 1});
  return MemRefType::get(
      sizes, getPanelElementType(context, format),
      StridedLayoutAttr::get(context, ShapedType::kDynamic, strides));
}

MemRefType dsv2::cpu::getPanelType(MLIRContext *context,
                                   const CPUTargetInfo &target,
                                   PanelFormat format, int64_t leadingDims,
                                   bool rows) {
  SmallVector<int64_t> shape(leadingDims + 1, ShapedType::kDynamic);
  return panelType(context, target, format, shape, rows);
}

MemRefType dsv2::cpu::getGatedPanelType(MLIRContext *context,
                                        const CPUTargetInfo &target,
                                        PanelFormat format,
                                        int64_t leadingDims) {
  SmallVector<int64_t> shape(leadingDims + 1, ShapedType::kDynamic);
  shape.push_back(2);
  return panelType(context, target, format, shape, /*rows=*/false);
}

static std::string kernelName(StringRef stem, PanelFormat format) {
  return ("dsv2_" + stem + "_" + stringifyPanelFormat(format)).str();
}

//===----------------------------------------------------------------------===//
// Pieces shared by the kernels
//===----------------------------------------------------------------------===//

/// Rows row, row + 1, ... of a rank 2 memref.
static SmallVector<Slice> rowSlices(KernelBuilder &b, Value memref, Value row,
                                    int64_t count) {
  SmallVector<Slice> slices;
  for (int64_t i = 0; i < count; ++i)
    slices.push_back({memref, {b.add(row, i)}});
  return slices;
}

/// Elements or blocks of the reduction.
static Value getDepth(KernelBuilder &b, Value w, Value x, PanelFormat format) {
  Value operand = getBlockFormat(format) ? w : x;
  int64_t rank = cast<MemRefType>(operand.getType()).getRank();
  return b.dim(operand, getBlockFormat(format) ? rank - 2 : rank - 1);
}

/// y = [r +] x W^T over a range of panels and of many rows.
static void emitManyRowsProduct(KernelBuilder &b,
                                const ProductOperands &operands, Value panelLo,
                                Value panelHi, Value rowLo, Value rowHi) {
  auto product = ManyRowsProduct::create(b, operands.format, /*leastPanels=*/1);
  product->walk(
      /*unitPanels=*/1, panelLo, panelHi, rowLo, rowHi,
      [&](Value panel, Value panels, Value row, Value rows) {
        product->compute(
            [&](Value i) { return operands.x(b.add(row, i), 1).front(); }, rows,
            [&](Value p) { return operands.w(b.add(panel, p), b.index(0)); },
            panels, operands.depth);
        b.forEach(b.index(0), panels, [&](Value p) {
          b.forEach(b.index(0), rows, [&](Value i) {
            Value at = b.add(row, i);
            storePanel(
                b, b.add(panel, p), operands.width, operands.y(at, 1),
                [&](int64_t, int64_t half, Value column, Value lanes) {
                  return operands.addResidual(b, product->sum(p, i, half), at,
                                              column, lanes);
                },
                operands.getLargest(at, 1));
          });
        });
      });
}

/// y = [r +] x W^T over a range of panels and rows.
static void emitProduct(KernelBuilder &b, const ProductOperands &operands,
                        Value panelLo, Value panelHi, Value rowLo,
                        Value rowHi) {
  auto store = [&](const TileSums &sums, ArrayRef<Value> panels, Value row,
                   int64_t count) {
    SmallVector<Slice> out = operands.y(row, count);
    SmallVector<Slice> largest = operands.getLargest(row, count);
    for (auto [p, panel] : llvm::enumerate(panels))
      storePanel(
          b, panel, operands.width, out,
          [&, p = p](int64_t i, int64_t half, Value column, Value lanes) {
            return operands.addResidual(b, sums(i, p, half), b.add(row, i),
                                        column, lanes);
          },
          largest);
  };
  Value only = b.index(0);
  if (operands.inBlocks())
    return operands.chooseByRows(
        b, rowLo, rowHi,
        [&] {
          emitManyRowsProduct(b, operands, panelLo, panelHi, rowLo, rowHi);
        },
        [&] {
          walkEvenTiles(
              b, getQuantTileRows(b.getTarget()), panelLo, panelHi, rowLo,
              rowHi,
              [&](Value panel, Value row, int64_t count, const TilePass &pass) {
                store(emitQuantTile(b, operands.x(row, count),
                                    operands.w(panel, only), operands.depth,
                                    operands.format, pass, /*panelStride=*/1),
                      {panel}, row, count);
              });
        });

  auto tile = [&](ArrayRef<Value> panels, Value row, int64_t count,
                  bool prefetch) {
    SmallVector<Slice> weights;
    for (Value panel : panels)
      weights.push_back(operands.w(panel, only));
    store(
        emitTile(b, operands.x(row, count), weights, operands.depth, prefetch),
        panels, row, count);
  };
  walkPanels(
      b, getTilePlan(b.getTarget(), /*streams=*/1), panelLo, panelHi, rowLo,
      rowHi,
      [&](ArrayRef<Value> panels, Value row, int64_t count) {
        tile(panels, row, count, /*prefetch=*/false);
      },
      [&](Value panel, Value row, int64_t count) {
        tile({panel}, row, count, /*prefetch=*/count >= 4);
      });
}

/// Shares of a product for each thread: few enough that a share of a small
/// product still streams for microseconds, enough that threads finish together.
static constexpr int64_t kProductShares = 4;

/// getOrCreateKernel() for a kernel that mostly streams weights.
static func::FuncOp getOrCreateProduct(
    ModuleOp module, StringRef name, const CPUTargetInfo &target,
    TypeRange argTypes,
    llvm::function_ref<void(KernelBuilder &, ValueRange, Value, Value)> emit) {
  func::FuncOp kernel = getOrCreateKernel(module, name, target, argTypes, emit);
  kernel->setAttr(
      kSharesAttr,
      Builder(module.getContext()).getI64IntegerAttr(kProductShares));
  return kernel;
}

//===----------------------------------------------------------------------===//
// One weight
//===----------------------------------------------------------------------===//

func::FuncOp dsv2::cpu::getOrCreateMatmulKernel(ModuleOp module,
                                                const MatmulConfig &config,
                                                const CPUTargetInfo &target) {
  MLIRContext *context = module.getContext();
  MemRefType act = getActivationType(context);
  SmallVector<Type> types{getProductInputType(context, config.format),
                          getPanelType(context, target, config.format)};
  if (config.addResidual)
    types.push_back(act);
  types.push_back(act);
  if (config.findLargest)
    types.push_back(act);
  std::string stem = "matmul";
  if (config.addResidual)
    stem += "_add";
  if (config.findLargest)
    stem += "_largest";

  return getOrCreateProduct(
      module, kernelName(stem, config.format), target, types,
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value x = args[0], w = args[1], y = args[config.addResidual ? 3 : 2];
        ProductOperands operands;
        operands.format = config.format;
        operands.x = [&](Value row, int64_t count) {
          return rowSlices(b, x, row, count);
        };
        operands.y = [&](Value row, int64_t count) {
          return rowSlices(b, y, row, count);
        };
        if (config.addResidual)
          operands.residual = [&](Value row, int64_t count) {
            return rowSlices(b, args[2], row, count);
          };
        if (config.findLargest)
          operands.largest = [&](Value row, int64_t count) {
            return rowSlices(b, args.back(), row, count);
          };
        operands.w = [&](Value panel, Value) { return Slice{w, {panel}}; };
        operands.depth = getDepth(b, w, x, config.format);
        operands.width = b.dim(y, 1);
        shareProduct(b, operands.tileRows(target), b.dim(y, 0), b.dim(w, 0),
                     part, parts,
                     [&](Value rowLo, Value rowHi, Value lo, Value hi) {
                       emitProduct(b, operands, lo, hi, rowLo, rowHi);
                     });
      });
}

func::FuncOp
dsv2::cpu::getOrCreateGatedMatmulKernel(ModuleOp module,
                                        const GatedMatmulConfig &config,
                                        const CPUTargetInfo &target) {
  MLIRContext *context = module.getContext();
  return getOrCreateProduct(
      module,
      kernelName(config.quantize ? "gated_matmul_quantize" : "gated_matmul",
                 config.format),
      target,
      {getProductInputType(context, config.format),
       getGatedPanelType(context, target, config.format),
       config.quantize ? getQuantizedActivationType(context)
                       : getActivationType(context)},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value x = args[0], w = args[1], h = args[2];
        ProductOperands operands;
        operands.format = config.format;
        operands.x = [&](Value row, int64_t count) {
          return rowSlices(b, x, row, count);
        };
        operands.y = [&](Value row, int64_t count) {
          return rowSlices(b, h, row, count);
        };
        operands.w = [&](Value panel, Value which) {
          return Slice{w, {panel, which}};
        };
        operands.depth = getDepth(b, w, x, config.format);
        operands.width = b.dim(h, 1);
        GatedProduct product(b, config.format, b.dim(w, 0), config.quantize);
        shareProduct(b, operands.tileRows(target), b.dim(h, 0),
                     product.numUnits(), part, parts,
                     [&](Value rowLo, Value rowHi, Value lo, Value hi) {
                       product.emit(operands, lo, hi, rowLo, rowHi);
                     });
      });
}

//===----------------------------------------------------------------------===//
// One weight per head
//===----------------------------------------------------------------------===//

func::FuncOp
dsv2::cpu::getOrCreateHeadMatmulKernel(ModuleOp module,
                                       const HeadMatmulConfig &config,
                                       const CPUTargetInfo &target) {
  MLIRContext *context = module.getContext();
  MemRefType act = getActivationType(context, /*rank=*/3);
  return getOrCreateProduct(
      module, kernelName("head_matmul", config.format), target,
      {getProductInputType(context, config.format, /*rank=*/3),
       getPanelType(context, target, config.format, /*leadingDims=*/1), act},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value x = args[0], w = args[1], y = args[2];
        Value rows = b.dim(y, 0);
        shareGrid(b, b.dim(w, 0), b.dim(w, 1), part, parts,
                  [&](Value head, Value lo, Value hi) {
                    auto slices = [&](Value memref, Value row, int64_t count) {
                      SmallVector<Slice> all = rowSlices(b, memref, row, count);
                      for (Slice &slice : all)
                        slice.prefix.push_back(head);
                      return all;
                    };
                    ProductOperands operands;
                    operands.format = config.format;
                    operands.x = [&](Value row, int64_t count) {
                      return slices(x, row, count);
                    };
                    operands.y = [&](Value row, int64_t count) {
                      return slices(y, row, count);
                    };
                    operands.w = [&](Value panel, Value) {
                      return Slice{w, {head, panel}};
                    };
                    operands.depth = getDepth(b, w, x, config.format);
                    operands.width = b.dim(y, 2);
                    emitProduct(b, operands, lo, hi, b.index(0), rows);
                  });
      });
}

//===----------------------------------------------------------------------===//
// One weight per expert
//===----------------------------------------------------------------------===//

/// Divides pairs of a non-empty expert and a panel by cost, and calls
/// body(expert, rowLo, rowHi, panelLo, panelHi) for the experts of this part.
///
/// A panel costs max(rows, c): below c rows its bytes decide, which are the
/// same for all, above it the arithmetic does. Neighbouring parts compute their
/// common boundary from the same numbers, so the division is exact.
static void
shareExperts(KernelBuilder &b, Value offsets, Value experts, Value panels,
             PanelFormat format, Value part, Value parts,
             llvm::function_ref<void(Value, Value, Value, Value, Value)> body) {
  // Rows for which reading a panel from memory and multiplying with it take
  // about the same time, per thread. The tile unit should be three times as
  // fast as vectors (docs/Performance.md).
  bool withTiles = getBlockFormat(format) && hasTileUnit(b.getTarget());
  Value balance = b.index(withTiles ? 24 : format == PanelFormat::F32 ? 16 : 8);
  auto bounds = [&](Value e) {
    Value lo = b.toIndex(b.loadScalar(offsets, {e}));
    Value hi = b.toIndex(b.loadScalar(offsets, {b.add(e, 1)}));
    return std::make_pair(lo, hi);
  };
  auto cost = [&](Value rows) {
    Value some = b.gt(rows, b.index(0));
    return b.select(some, b.max(rows, balance), b.index(0));
  };

  Value total = b.forCarry(b.index(0), experts, b.index(1), b.index(0),
                           [&](Value e, ValueRange sum) {
                             auto [lo, hi] = bounds(e);
                             return SmallVector<Value>{
                                 b.add(sum[0], cost(b.sub(hi, lo)))};
                           })[0];
  auto [from, to] = b.share(b.mul(total, panels), part, parts);

  b.forCarry(b.index(0), experts, b.index(1), b.index(0),
             [&, from = from, to = to](Value e, ValueRange base) {
               auto [rowLo, rowHi] = bounds(e);
               Value each = cost(b.sub(rowHi, rowLo));
               // First panel whose cost starts at or after `limit`.
               auto panelAt = [&](Value limit) {
                 Value inside = b.min(b.max(b.sub(limit, base[0]), 0),
                                      b.mul(each, panels));
                 return b.ceilDiv(inside, b.max(each, 1));
               };
               Value lo = panelAt(from), hi = panelAt(to);
               b.ifThen(b.lt(lo, hi), [&, rowLo = rowLo, rowHi = rowHi] {
                 body(e, rowLo, rowHi, lo, hi);
               });
               return SmallVector<Value>{b.add(base[0], b.mul(each, panels))};
             });
}

static func::FuncOp createGrouped(ModuleOp module,
                                  const GroupedMatmulConfig &config,
                                  const CPUTargetInfo &target, bool gated) {
  assert((gated || !config.quantize) && "only gated results are quantised");
  MLIRContext *context = module.getContext();
  MemRefType list = getIndexListType(context);
  SmallVector<Type> types{
      getProductInputType(context, config.format),
      gated ? getGatedPanelType(context, target, config.format, 1)
            : getPanelType(context, target, config.format, 1),
      list};
  if (config.gather)
    types.push_back(list);
  types.push_back(config.quantize ? getQuantizedActivationType(context)
                                  : getActivationType(context));

  std::string stem = gated ? "grouped_gated_matmul" : "grouped_matmul";
  if (config.quantize)
    stem += "_quantize";
  if (config.gather)
    stem += "_gather";
  return getOrCreateProduct(
      module, kernelName(stem, config.format), target, types,
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value x = args[0], w = args[1], offsets = args[2], y = args.back();
        Value units = b.dim(w, 1);
        std::optional<GatedProduct> product;
        if (gated) {
          product.emplace(b, config.format, units, config.quantize);
          units = product->numUnits();
        }
        shareExperts(
            b, offsets, b.dim(w, 0), units, config.format, part, parts,
            [&](Value expert, Value rowLo, Value rowHi, Value lo, Value hi) {
              ProductOperands operands;
              operands.format = config.format;
              operands.x = [&](Value row, int64_t count) {
                SmallVector<Slice> slices = rowSlices(b, x, row, count);
                if (config.gather)
                  for (Slice &slice : slices)
                    slice.prefix[0] =
                        b.toIndex(b.loadScalar(args[3], {slice.prefix[0]}));
                return slices;
              };
              operands.y = [&](Value row, int64_t count) {
                return rowSlices(b, y, row, count);
              };
              operands.w = [&](Value panel, Value which) {
                Slice slice{w, {expert, panel}};
                if (gated)
                  slice.prefix.push_back(which);
                return slice;
              };
              operands.depth = getDepth(b, w, x, config.format);
              operands.width = b.dim(y, 1);
              if (gated)
                product->emit(operands, lo, hi, rowLo, rowHi);
              else
                emitProduct(b, operands, lo, hi, rowLo, rowHi);
            });
      });
}

func::FuncOp
dsv2::cpu::getOrCreateGroupedMatmulKernel(ModuleOp module,
                                          const GroupedMatmulConfig &config,
                                          const CPUTargetInfo &target) {
  return createGrouped(module, config, target, /*gated=*/false);
}

func::FuncOp dsv2::cpu::getOrCreateGroupedGatedMatmulKernel(
    ModuleOp module, const GroupedMatmulConfig &config,
    const CPUTargetInfo &target) {
  return createGrouped(module, config, target, /*gated=*/true);
}
