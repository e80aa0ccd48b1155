//===- MatmulKernels.cpp - Products with packed weights -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/MatmulKernels.h"

#include "MatmulTile.h"
#include "QuantTile.h"
#include "TileProduct.h"
#include "dsv2/CodeGen/CPU/QuantKernels.h"
#include "mlir/Dialect/Math/IR/Math.h"

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

namespace {

/// Where a product gets its rows and panels from, and where it leaves its
/// results; the walk over them is the same for all kernels.
struct ProductOperands {
  /// Rows of x that rows row .. row + count - 1 of the product read.
  std::function<SmallVector<Slice>(Value row, int64_t count)> x;
  /// The same rows of the output.
  std::function<SmallVector<Slice>(Value row, int64_t count)> y;
  /// Panel `panel`; `which` is 0, or 1 for the up projection of a gated one.
  std::function<Slice(Value panel, Value which)> w;
  /// Rows of the residual, or null.
  std::function<SmallVector<Slice>(Value row, int64_t count)> residual;
  PanelFormat format;
  /// Elements or blocks of the reduction, and size of the output's last
  /// dimension.
  Value depth, width;

  /// The sums of a row from `column` on with its residual, if there is one.
  /// `count` is what KernelBuilder::load() takes.
  Value addResidual(KernelBuilder &b, Value sum, Value row, Value column,
                    Value count) const {
    if (!residual)
      return sum;
    Slice r = residual(row, 1).front();
    return b.fadd(b.load(r.memref, r.at({column}), count), sum);
  }
  bool inBlocks() const { return getBlockFormat(format) != nullptr; }
  bool mayUseTileUnit(const CPUTargetInfo &target) const {
    return inBlocks() && hasTileUnit(target);
  }
  int64_t tileRows(const CPUTargetInfo &target) const {
    if (mayUseTileUnit(target))
      return TileProduct::kTileRows;
    return inBlocks() ? getQuantTileRows(target)
                      : getTilePlan(target, /*streams=*/1).maxRows();
  }
};

} // namespace

/// Elements or blocks of the reduction.
static Value getDepth(KernelBuilder &b, Value w, Value x, PanelFormat format) {
  Value operand = getBlockFormat(format) ? w : x;
  int64_t rank = cast<MemRefType>(operand.getType()).getRank();
  return b.dim(operand, getBlockFormat(format) ? rank - 2 : rank - 1);
}

/// Emits what is right for few and for many rows. The tile unit is for more
/// rows than one register tile takes: from there on vectors read and take apart
/// the weights more than once, where the tile unit widens them once. Up to
/// there reading them takes longer than either.
static void chooseUnit(KernelBuilder &b, const ProductOperands &operands,
                       Value rowLo, Value rowHi,
                       llvm::function_ref<void()> withTiles,
                       llvm::function_ref<void()> withVectors) {
  const CPUTargetInfo &target = b.getTarget();
  if (!operands.mayUseTileUnit(target))
    return withVectors();
  b.ifThen(b.gt(b.sub(rowHi, rowLo), b.index(getQuantTileRows(target))),
           withTiles, withVectors);
}

/// y = [r +] x W^T over a range of panels and rows, with the tile unit.
static void emitTileUnitProduct(KernelBuilder &b,
                                const ProductOperands &operands, Value panelLo,
                                Value panelHi, Value rowLo, Value rowHi) {
  TileProduct product(b, operands.format);
  walkTileProducts(
      b, TileProduct::kMaxPanels, panelLo, panelHi, rowLo, rowHi,
      [&](Value panel, Value panels, Value row, Value rows) {
        product.compute(
            [&](Value i) { return operands.x(b.add(row, i), 1).front(); }, rows,
            [&](Value p) { return operands.w(b.add(panel, p), b.index(0)); },
            panels, operands.depth);
        b.forEach(b.index(0), panels, [&](Value p) {
          b.forEach(b.index(0), rows, [&](Value i) {
            Value at = b.add(row, i);
            storePanel(b, b.add(panel, p), operands.width, operands.y(at, 1),
                       [&](int64_t, int64_t half, Value column, Value lanes) {
                         return operands.addResidual(b, product.sum(p, i, half),
                                                     at, column, lanes);
                       });
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
    for (auto [p, panel] : llvm::enumerate(panels))
      storePanel(
          b, panel, operands.width, out,
          [&, p = p](int64_t i, int64_t half, Value column, Value lanes) {
            return operands.addResidual(b, sums(i, p, half), b.add(row, i),
                                        column, lanes);
          });
  };
  Value only = b.index(0);
  if (operands.inBlocks())
    return chooseUnit(
        b, operands, rowLo, rowHi,
        [&] {
          emitTileUnitProduct(b, operands, panelLo, panelHi, rowLo, rowHi);
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

/// silu(gate) * up = gate / (1 + exp(-gate)) * up.
static Value emitGate(KernelBuilder &b, Value gate, Value up) {
  Value exp = math::ExpOp::create(b, b.fneg(gate));
  Value silu = b.fdiv(gate, b.fadd(b.splat(1.0f), exp));
  return b.fmul(silu, up);
}

/// y = silu(gate) * up for rows row .. row + rows - 1 and one panel: a loop
/// over rows. Unrolled, its exponentials would be most of the kernel's code.
/// `sum(row, which, half)` are sums of gate (0) or up (1).
static void
emitGatedRows(KernelBuilder &b, const ProductOperands &operands, Value panel,
              Value row, Value rows,
              llvm::function_ref<Value(Value, int64_t, int64_t)> sum) {
  b.forEach(b.index(0), rows, [&](Value i) {
    storePanel(b, panel, operands.width, operands.y(b.add(row, i), 1),
               [&](int64_t, int64_t half, Value, Value) {
                 return emitGate(b, sum(i, 0, half), sum(i, 1, half));
               });
  });
}

/// y = silu(x Wg^T) * (x Wu^T) over a range of panels and rows, with the tile
/// unit. Gate and up of a panel are panels of their own for it.
static void emitGatedTileUnitProduct(KernelBuilder &b,
                                     const ProductOperands &operands,
                                     Value panelLo, Value panelHi, Value rowLo,
                                     Value rowHi) {
  TileProduct product(b, operands.format);
  walkTileProducts(
      b, TileProduct::kMaxPanels / 2, panelLo, panelHi, rowLo, rowHi,
      [&](Value panel, Value panels, Value row, Value rows) {
        product.compute(
            [&](Value i) { return operands.x(b.add(row, i), 1).front(); }, rows,
            [&](Value p) {
              return operands.w(b.add(panel, b.div(p, 2)),
                                b.rem(p, b.index(2)));
            },
            b.mul(panels, 2), operands.depth);
        b.forEach(b.index(0), panels, [&](Value p) {
          emitGatedRows(b, operands, b.add(panel, p), row, rows,
                        [&](Value i, int64_t which, int64_t half) {
                          return product.sum(b.add(b.mul(p, 2), which), i,
                                             half);
                        });
        });
      });
}

/// y = silu(x Wg^T) * (x Wu^T) over a range of panels and rows. `scratch` is
/// memref<2 x maxRows x NR x f32>.
static void emitGatedProduct(KernelBuilder &b, const ProductOperands &operands,
                             Value scratch, Value panelLo, Value panelHi,
                             Value rowLo, Value rowHi) {
  Value halves[2] = {b.index(0), b.index(b.lanes())};
  // The sums of gate (0) or up (1) for one panel go through memory.
  auto keep = [&](const TileSums &sums, int64_t panel, int64_t count,
                  int64_t which) {
    for (int64_t i = 0; i < count; ++i)
      for (int64_t half : {0, 1})
        b.store(sums(i, panel, half), scratch,
                {b.index(which), b.index(i), halves[half]});
  };
  auto finish = [&](Value panel, Value row, int64_t count) {
    emitGatedRows(b, operands, panel, row, b.index(count),
                  [&](Value i, int64_t which, int64_t half) {
                    return b.load(scratch, {b.index(which), i, halves[half]});
                  });
  };
  Value streams[2] = {b.index(0), b.index(1)};
  if (operands.inBlocks())
    return chooseUnit(
        b, operands, rowLo, rowHi,
        [&] {
          emitGatedTileUnitProduct(b, operands, panelLo, panelHi, rowLo, rowHi);
        },
        [&] {
          walkEvenTiles(
              b, getQuantTileRows(b.getTarget()), panelLo, panelHi, rowLo,
              rowHi,
              [&](Value panel, Value row, int64_t count, const TilePass &pass) {
                SmallVector<Slice> x = operands.x(row, count);
                for (int64_t which : {0, 1})
                  keep(emitQuantTile(b, x, operands.w(panel, streams[which]),
                                     operands.depth, operands.format, pass,
                                     /*panelStride=*/2),
                       0, count, which);
                finish(panel, row, count);
              });
        });

  // Few rows are bound by memory: gate and up are read side by side, in the
  // order they are stored in.
  auto fewTile = [&](ArrayRef<Value> panels, Value row, int64_t count) {
    SmallVector<Slice> weights;
    for (Value panel : panels)
      for (int64_t which : {0, 1})
        weights.push_back(operands.w(panel, streams[which]));
    TileSums sums = emitTile(b, operands.x(row, count), weights, operands.depth,
                             /*prefetch=*/false);
    for (auto [p, panel] : llvm::enumerate(panels)) {
      for (int64_t which : {0, 1})
        keep(sums, 2 * p + which, count, which);
      finish(panel, row, count);
    }
  };
  // Many rows are bound by arithmetic: tall tiles, gate first, so that every
  // weight read from the cache serves as many rows as registers allow.
  auto tile = [&](Value panel, Value row, int64_t count) {
    SmallVector<Slice> x = operands.x(row, count);
    for (int64_t which : {0, 1})
      keep(emitTile(b, x, operands.w(panel, streams[which]), operands.depth,
                    /*prefetch=*/count >= 4),
           0, count, which);
    finish(panel, row, count);
  };
  walkPanels(b, getTilePlan(b.getTarget(), /*streams=*/2), panelLo, panelHi,
             rowLo, rowHi, fewTile, tile);
}

static Value gateScratch(KernelBuilder &b, PanelFormat format) {
  TilePlan plan = getTilePlan(b.getTarget(), /*streams=*/2);
  int64_t rows = getBlockFormat(format)
                     ? getQuantTileRows(b.getTarget())
                     : std::max(plan.maxRows(), plan.fewRows);
  return b.scratch({2, rows, b.getTarget().panelWidth()}, b.getF32Type());
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

  return getOrCreateProduct(
      module,
      kernelName(config.addResidual ? "matmul_add" : "matmul", config.format),
      target, types,
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value x = args[0], w = args[1], y = args.back();
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
  MemRefType act = getActivationType(context);
  return getOrCreateProduct(
      module, kernelName("gated_matmul", config.format), target,
      {getProductInputType(context, config.format),
       getGatedPanelType(context, target, config.format), act},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value x = args[0], w = args[1], h = args[2];
        Value scratch = gateScratch(b, config.format);
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
        shareProduct(
            b, operands.tileRows(target), b.dim(h, 0), b.dim(w, 0), part, parts,
            [&](Value rowLo, Value rowHi, Value lo, Value hi) {
              emitGatedProduct(b, operands, scratch, lo, hi, rowLo, rowHi);
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
  MLIRContext *context = module.getContext();
  MemRefType act = getActivationType(context);
  MemRefType list = getIndexListType(context);
  SmallVector<Type> types{
      getProductInputType(context, config.format),
      gated ? getGatedPanelType(context, target, config.format, 1)
            : getPanelType(context, target, config.format, 1),
      list};
  if (config.gather)
    types.push_back(list);
  types.push_back(act);

  std::string stem = gated ? "grouped_gated_matmul" : "grouped_matmul";
  if (config.gather)
    stem += "_gather";
  return getOrCreateProduct(
      module, kernelName(stem, config.format), target, types,
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value x = args[0], w = args[1], offsets = args[2], y = args.back();
        Value scratch = gated ? gateScratch(b, config.format) : Value();
        shareExperts(
            b, offsets, b.dim(w, 0), b.dim(w, 1), config.format, part, parts,
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
                emitGatedProduct(b, operands, scratch, lo, hi, rowLo, rowHi);
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
