//===- AttentionCache.cpp - Write and copy rows of the latent cache -------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/AttentionKernels.h"

#include "CacheRows.h"
#include "dsv2/CodeGen/CPU/VectorMath.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

Type LatentCacheConfig::elementType(MLIRContext *context) const {
  switch (format) {
  case CacheFormat::F32:
    return Float32Type::get(context);
  case CacheFormat::BF16:
    return BFloat16Type::get(context);
  case CacheFormat::Q8:
  case CacheFormat::Q6:
    return IntegerType::get(context, 8);
  }
  llvm_unreachable("unknown cache format");
}

/// The cache type with `leading` dynamic dimensions before [page, row width].
static MemRefType getCacheType(MLIRContext *context,
                               const LatentCacheConfig &config,
                               int64_t leading) {
  SmallVector<int64_t> shape(leading, ShapedType::kDynamic);
  shape.append({config.page, config.rowWidth()});
  SmallVector<int64_t> strides(leading + 1, ShapedType::kDynamic);
  strides.push_back(1);
  return MemRefType::get(
      shape, config.elementType(context),
      StridedLayoutAttr::get(context, ShapedType::kDynamic, strides));
}

MemRefType dsv2::cpu::getLatentCacheType(MLIRContext *context,
                                         const LatentCacheConfig &config) {
  return getCacheType(context, config, /*leading=*/1);
}

MemRefType dsv2::cpu::getLatentCacheStackType(MLIRContext *context,
                                              const LatentCacheConfig &config) {
  return getCacheType(context, config, /*leading=*/2);
}

/// How kernel names spell a cache.
static std::string cacheName(const LatentCacheConfig &config) {
  return llvm::formatv("{0}_l{1}_r{2}_p{3}",
                       stringifyCacheFormat(config.format), config.latent,
                       config.rope, config.page);
}

/// Calls `body` for each run of a row of static width: whole vectors in a loop,
/// then the rest.
static void
emitRuns(KernelBuilder &b, int64_t width,
         llvm::function_ref<void(Value column, int64_t count)> body) {
  int64_t whole = width / b.lanes() * b.lanes();
  b.forEach(b.index(0), b.index(whole), b.index(b.lanes()),
            [&](Value column) { body(column, b.lanes()); });
  if (width > whole)
    body(b.index(whole), width - whole);
}

func::FuncOp
dsv2::cpu::getOrCreateLatentAppendKernel(ModuleOp module,
                                         const LatentCacheConfig &config,
                                         const CPUTargetInfo &target) {
  MLIRContext *ctx = module.getContext();
  Type act = getActivationType(ctx), list = getIndexListType(ctx);
  Type types[] = {act,
                  act,
                  list,
                  list,
                  getStridedType(IntegerType::get(ctx, 32), 2),
                  getLatentCacheType(ctx, config)};
  return getOrCreateRowKernel(
      module, "latent_append_" + cacheName(config), target, types,
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value positions = args[2], seqIds = args[3], blockTables = args[4];
        Value cache = args[5];
        auto [first, last] = b.share(b.dim(positions, 0), part, parts);
        b.forEach(first, last, [&](Value token) {
          Value position = b.toIndex(b.loadScalar(positions, {token}));
          Value sequence = b.toIndex(b.loadScalar(seqIds, {token}));
          Value block = b.div(position, config.page);
          Value page = b.toIndex(b.loadScalar(blockTables, {sequence, block}));
          Value row = b.rem(position, config.page);
          if (config.isQuantized())
            return emitEncodeRow(b, config.row(), {args[0], {token}},
                                 {args[1], {token}}, {cache, {page, row}});
          auto copy = [&](Value source, int64_t width, int64_t offset) {
            emitRuns(b, width, [&](Value column, int64_t count) {
              Value v = emitLoad(b, source, {token, column}, count, count);
              emitStore(b, v, cache, {page, row, b.add(column, offset)}, count);
            });
          };
          copy(args[0], config.latent, 0);
          copy(args[1], config.rope, config.latent);
        });
      });
}

func::FuncOp
dsv2::cpu::getOrCreateCopyPagesKernel(ModuleOp module,
                                      const LatentCacheConfig &config,
                                      const CPUTargetInfo &target) {
  MLIRContext *ctx = module.getContext();
  Type list = getIndexListType(ctx), element = config.elementType(ctx);
  return getOrCreateKernel(
      module, "copy_pages_" + cacheName(config), target,
      {getLatentCacheStackType(ctx, config), list, list},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value cache = args[0];
        Value pairs = b.dim(args[1], 0);
        auto [first, last] =
            b.share(b.mul(b.dim(cache, 0), pairs), part, parts);
        b.forEach(first, last, [&](Value item) {
          Value layer = b.div(item, pairs), pair = b.rem(item, pairs);
          Value from = b.toIndex(b.loadScalar(args[1], {pair}));
          Value to = b.toIndex(b.loadScalar(args[2], {pair}));
          b.forEach(b.index(0), b.index(config.page), [&](Value row) {
            emitRuns(b, config.rowWidth(), [&](Value column, int64_t count) {
              // Bits are moved as they are: widening and rounding again would
              // change a NaN.
              Value v = vector::LoadOp::create(
                  b, VectorType::get({count}, element), cache,
                  ValueRange{layer, from, row, column});
              vector::StoreOp::create(b, v, cache,
                                      ValueRange{layer, to, row, column});
            });
          });
        });
      });
}
