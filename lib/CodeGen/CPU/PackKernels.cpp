//===- PackKernels.cpp - Weights into panels ------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/PackKernels.h"

#include "MatmulTile.h"
#include "QuantTile.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

static Type sourceElementType(MLIRContext *context, SourceType source) {
  switch (source) {
  case SourceType::F32:
    return Float32Type::get(context);
  case SourceType::BF16:
    return BFloat16Type::get(context);
  case SourceType::F16:
    return Float16Type::get(context);
  }
  llvm_unreachable("unknown source type");
}

static std::string kernelName(MLIRContext *context, StringRef stem,
                              SourceType source, PanelFormat format) {
  StringRef from = elementName(sourceElementType(context, source));
  return ("dsv2_" + stem + "_" + from + "_" + stringifyPanelFormat(format))
      .str();
}

/// Transposes a square of vectors: result[i][j] = rows[j][i]. Log-many rounds
/// of pairwise exchanges, each of which is two shuffles per pair of vectors.
static SmallVector<Value> transposeSquare(KernelBuilder &b,
                                          SmallVector<Value> rows) {
  int64_t n = rows.size();
  for (int64_t block = n / 2; block >= 1; block /= 2) {
    // Exchange the upper right with the lower left `block` square of every
    // 2 * block square on the diagonal.
    SmallVector<int64_t> upper, lower;
    for (int64_t i = 0; i < n; ++i) {
      bool right = (i / block) % 2;
      upper.push_back(right ? n + i - block : i);
      lower.push_back(right ? n + i : i + block);
    }
    SmallVector<Value> next(n);
    for (int64_t i = 0; i < n; ++i) {
      if ((i / block) % 2)
        continue;
      Value a = rows[i], c = rows[i + block];
      next[i] = vector::ShuffleOp::create(b, a, c, upper);
      next[i + block] = vector::ShuffleOp::create(b, a, c, lower);
    }
    rows = std::move(next);
  }
  return rows;
}

/// Packs one panel whose columns are contiguous rows of the source: column n of
/// the panel is src[prefix..., first + n, 0 .. depth-1].
static void packRows(KernelBuilder &b, const Slice &src, const Slice &dst,
                     Value first, Value width, Value depth) {
  int64_t lanes = b.lanes();
  // Columns past the end are padding. The row that is read in their place
  // exists, as a panel has at least one column; its values are dropped.
  auto columnOf = [&](Value n) {
    Value valid = b.lt(n, width);
    return std::make_pair(b.select(valid, n, first), valid);
  };

  // Squares of lanes x lanes are read along k and written along n.
  Value whole = b.roundDown(depth, lanes);
  b.forEach(b.index(0), whole, b.index(lanes), [&](Value k) {
    b.forEach(b.index(0), b.index(2 * lanes), b.index(lanes), [&](Value half) {
      SmallVector<Value> rows;
      for (int64_t i = 0; i < lanes; ++i) {
        auto [row, valid] = columnOf(b.add(first, b.add(half, i)));
        Value values = b.load(src.memref, src.at({row, k}));
        rows.push_back(b.select(valid, values, b.splat(0.0f)));
      }
      SmallVector<Value> columns = transposeSquare(b, rows);
      for (int64_t i = 0; i < lanes; ++i)
        b.store(columns[i], dst.memref, dst.at({b.add(k, i), half}));
    });
  });
  // No published model has a depth that leaves a rest, so it need not be fast.
  b.forEach(whole, depth, [&](Value k) {
    b.forEach(b.index(0), b.index(2 * lanes), [&](Value n) {
      auto [row, valid] = columnOf(b.add(first, n));
      Value value = b.loadF32(src.memref, src.at({row, k}));
      b.storeF32(b.select(valid, value, b.f32(0.0f)), dst.memref,
                 dst.at({k, n}));
    });
  });
}

/// Packs one panel whose rows lie in the source as they are: row k of the panel
/// is src[prefix..., k, first .. first + NR - 1].
static void packTransposed(KernelBuilder &b, const Slice &src, const Slice &dst,
                           Value first, Value width, Value depth) {
  int64_t lanes = b.lanes();
  auto copy = [&](bool whole) {
    b.forEach(b.index(0), depth, [&](Value k) {
      for (int64_t half = 0; half < 2; ++half) {
        Value column = b.add(first, half * lanes);
        Value count = whole ? Value() : b.max(b.sub(width, column), 0);
        b.store(b.load(src.memref, src.at({k, column}), count), dst.memref,
                dst.at({k, b.index(half * lanes)}));
      }
    });
  };
  b.ifThen(
      b.le(b.add(first, 2 * lanes), width), [&] { copy(/*whole=*/true); },
      [&] { copy(/*whole=*/false); });
}

/// Copies row `first` of W, or of its transpose, to a row of `dst`. `width` is
/// the number of rows.
static void packRow(KernelBuilder &b, const PackConfig &config,
                    const Slice &src, const Slice &dst, Value first,
                    Value width, Value depth) {
  if (getBlockFormat(config.format))
    return packBlockRow(b, config.format,
                        {src, first, width, depth, config.transposed}, dst);
  if (!config.transposed) {
    b.forVectors(depth, [&](Value k, Value count) {
      b.store(b.load(src.memref, src.at({first, k}), count), dst.memref,
              dst.at({k}), count);
    });
    return;
  }
  b.forEach(b.index(0), depth, [&](Value k) {
    b.storeF32(b.loadF32(src.memref, src.at({k, first})), dst.memref,
               dst.at({k}));
  });
}

/// Panels of one column [..., N, K, 1] as rows [..., N, K].
static Value dropColumn(KernelBuilder &b, Value panels) {
  int64_t rank = cast<MemRefType>(panels.getType()).getRank();
  SmallVector<ReassociationIndices> groups;
  for (int64_t dim = 0; dim < rank - 1; ++dim)
    groups.push_back({dim});
  groups.back().push_back(rank - 1);
  return memref::CollapseShapeOp::create(b, panels, groups);
}

/// Packs one panel in the format that is asked for.
static void packPanel(KernelBuilder &b, const PackConfig &config,
                      const Slice &src, const Slice &dst, Value first,
                      Value width, Value depth) {
  if (config.rows)
    return packRow(b, config, src, dst, first, width, depth);
  PanelSource source{src, first, width, depth, config.transposed};
  switch (config.format) {
  case PanelFormat::Q8:
    return packQ8Panel(b, source, dst);
  case PanelFormat::Q4:
    return packQ4Panel(b, source, dst);
  case PanelFormat::FP8:
    break;
  case PanelFormat::F32:
  case PanelFormat::BF16:
    return config.transposed ? packTransposed(b, src, dst, first, width, depth)
                             : packRows(b, src, dst, first, width, depth);
  }
}

func::FuncOp dsv2::cpu::getOrCreatePackPanelsKernel(
    ModuleOp module, const PackConfig &config, const CPUTargetInfo &target) {
  MLIRContext *context = module.getContext();
  int64_t leading = config.batched ? 1 : 0;
  // Rows of bytes, [N, bytes], not panels of one column.
  bool inRows = config.rows && getBlockFormat(config.format);
  std::string stem = config.rows ? "pack_rows" : "pack";
  if (config.batched)
    stem += "_batched";
  if (config.transposed)
    stem += "_transposed";
  Type element = sourceElementType(context, config.source);
  return getOrCreateKernel(
      module, kernelName(context, stem, config.source, config.format), target,
      {getStridedType(element, 2 + leading),
       inRows ? getStridedType(getPanelElementType(context, config.format),
                               2 + leading)
              : getPanelType(context, target, config.format, leading,
                             config.rows)},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value src = args[0];
        Value dst = config.rows && !inRows ? dropColumn(b, args[1]) : args[1];
        int64_t n = leading + (config.transposed ? 1 : 0);
        int64_t k = leading + (config.transposed ? 0 : 1);
        Value width = b.dim(src, n), depth = b.dim(src, k);
        Value batches = config.batched ? b.dim(dst, 0) : b.index(1);
        shareGrid(b, batches, b.dim(dst, leading), part, parts,
                  [&](Value batch, Value lo, Value hi) {
                    b.forEach(lo, hi, [&](Value panel) {
                      Slice from{src, {}}, to{dst, {}};
                      if (config.batched) {
                        from.prefix.push_back(batch);
                        to.prefix.push_back(batch);
                      }
                      to.prefix.push_back(panel);
                      Value first =
                          b.mul(panel, config.rows ? 1 : target.panelWidth());
                      packPanel(b, config, from, to, first, width, depth);
                    });
                  });
      });
}

func::FuncOp dsv2::cpu::getOrCreatePackGatedPanelsKernel(
    ModuleOp module, const PackConfig &config, const CPUTargetInfo &target) {
  MLIRContext *context = module.getContext();
  int64_t leading = config.batched ? 1 : 0;
  std::string stem = "pack_gated";
  if (config.batched)
    stem += "_batched";
  if (config.transposed)
    stem += "_transposed";
  MemRefType source =
      getStridedType(sourceElementType(context, config.source), 2 + leading);
  return getOrCreateKernel(
      module, kernelName(context, stem, config.source, config.format), target,
      {source, source,
       getGatedPanelType(context, target, config.format, leading)},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value dst = args[2];
        int64_t n = leading + (config.transposed ? 1 : 0);
        int64_t k = leading + (config.transposed ? 0 : 1);
        Value width = b.dim(args[0], n), depth = b.dim(args[0], k);
        Value batches = config.batched ? b.dim(dst, 0) : b.index(1);
        shareGrid(b, batches, b.dim(dst, leading), part, parts,
                  [&](Value batch, Value lo, Value hi) {
                    b.forEach(lo, hi, [&](Value panel) {
                      Value first = b.mul(panel, target.panelWidth());
                      for (int64_t which : {0, 1}) {
                        Slice from{args[which], {}}, to{dst, {}};
                        if (config.batched) {
                          from.prefix.push_back(batch);
                          to.prefix.push_back(batch);
                        }
                        to.prefix.append({panel, b.index(which)});
                        packPanel(b, config, from, to, first, width, depth);
                      }
                    });
                  });
      });
}

func::FuncOp dsv2::cpu::getOrCreatePackGatedRowsKernel(
    ModuleOp module, const PackConfig &config, const CPUTargetInfo &target) {
  assert(!config.transposed && "gate and up are never read transposed");
  MLIRContext *context = module.getContext();
  int64_t leading = config.batched ? 1 : 0;
  std::string stem = "pack_gated_rows";
  if (config.batched)
    stem += "_batched";
  MemRefType source =
      getStridedType(sourceElementType(context, config.source), 2 + leading);
  MemRefType packed =
      getStridedType(getPanelElementType(context, config.format), 4 + leading);
  return getOrCreateKernel(
      module, kernelName(context, stem, config.source, config.format), target,
      {source, source, packed},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value dst = args[2];
        Value rows = b.dim(args[0], leading);
        Value depth = b.dim(args[0], leading + 1);
        Value group = b.dim(dst, leading + 2);
        Value batches = config.batched ? b.dim(dst, 0) : b.index(1);
        auto pack = [&](Value batch, Value number) {
          for (int64_t which : {0, 1})
            b.forEach(b.index(0), group, [&](Value i) {
              Slice from{args[which], {}}, to{dst, {}};
              if (config.batched) {
                from.prefix.push_back(batch);
                to.prefix.push_back(batch);
              }
              to.prefix.append({number, b.index(which), i});
              Value row = b.add(b.mul(number, group), i);
              // Blocks of zeros are not all zero bits.
              if (getBlockFormat(config.format))
                return packRow(b, config, from, to, row, rows, depth);
              b.ifThen(
                  b.lt(row, rows),
                  [&] { packRow(b, config, from, to, row, rows, depth); },
                  [&] {
                    b.forEach(b.index(0), depth, [&](Value k) {
                      b.storeF32(b.f32(0.0f), dst, to.at({k}));
                    });
                  });
            });
        };
        shareGrid(b, batches, b.dim(dst, leading), part, parts,
                  [&](Value batch, Value lo, Value hi) {
                    b.forEach(lo, hi,
                              [&](Value number) { pack(batch, number); });
                  });
      });
}

func::FuncOp dsv2::cpu::getOrCreateConvertKernel(ModuleOp module,
                                                 const ConvertConfig &config,
                                                 const CPUTargetInfo &target) {
  assert((config.rank == 1 || config.rank == 2) && "expected rank 1 or 2");
  MLIRContext *context = module.getContext();
  Type from = sourceElementType(context, config.source);
  Type to = getPanelElementType(context, config.format);
  std::string stem = "convert" + std::to_string(config.rank) + "d";
  return getOrCreateKernel(
      module, kernelName(context, stem, config.source, config.format), target,
      {getStridedType(from, config.rank), getStridedType(to, config.rank)},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value src = args[0], dst = args[1];
        Value width = b.dim(dst, config.rank - 1);
        Value rows = config.rank == 2 ? b.dim(dst, 0) : b.index(1);
        // Units of whole vectors, so that parts share no vector.
        constexpr int64_t kUnit = 4096;
        shareGrid(b, rows, b.ceilDiv(width, kUnit), part, parts,
                  [&](Value row, Value lo, Value hi) {
                    Slice in{src, {}}, out{dst, {}};
                    if (config.rank == 2) {
                      in.prefix.push_back(row);
                      out.prefix.push_back(row);
                    }
                    Value first = b.mul(lo, kUnit);
                    Value last = b.min(b.mul(hi, kUnit), width);
                    b.forVectors(b.sub(last, first), [&](Value i, Value count) {
                      Value at = b.add(first, i);
                      b.store(b.load(in.memref, in.at({at}), count), out.memref,
                              out.at({at}), count);
                    });
                  });
      });
}
