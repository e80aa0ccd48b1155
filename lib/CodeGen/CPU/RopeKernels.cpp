//===- RopeKernels.cpp - Rotary embedding ---------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/ElementwiseKernels.h"
#include "dsv2/CodeGen/CPU/VectorMath.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/xxhash.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

func::FuncOp
dsv2::cpu::getOrCreateRopeTableKernel(ModuleOp module,
                                      const RopeTableConfig &config,
                                      const CPUTargetInfo &target) {
  ArrayRef<float> frequencies = config.inverseFrequencies;
  float multiplier = static_cast<float>(config.cosSinMultiplier);
  int64_t pairs = frequencies.size();
  uint64_t hash = llvm::xxh3_64bits(
      ArrayRef(reinterpret_cast<const uint8_t *>(frequencies.data()),
               frequencies.size() * sizeof(float)));
  std::string name = llvm::formatv("rope_table_{0}_{1:x-}_{2:x-}", 2 * pairs,
                                   hash, llvm::bit_cast<uint32_t>(multiplier));
  MLIRContext *ctx = module.getContext();
  Type types[] = {getIndexListType(ctx), getActivationType(ctx)};
  return getOrCreateRowKernel(
      module, name, target, types,
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value positions = args[0], table = args[1];
        auto [first, last] = b.share(b.dim(table, 0), part, parts);
        b.forEach(first, last, [&](Value row) {
          Value position = arith::SIToFPOp::create(
              b, b.getF32Type(), b.loadScalar(positions, {row}));
          for (int64_t i = 0; i < pairs; i += b.lanes()) {
            int64_t count = std::min(b.lanes(), pairs - i);
            auto narrow = VectorType::get({count}, b.getF32Type());
            auto wide = VectorType::get({count}, b.getF64Type());
            Value frequency = arith::ConstantOp::create(
                b, DenseElementsAttr::get(narrow, frequencies.slice(i, count)));
            // The angle is rounded to f32 as the references round it; doing
            // better here would disagree with them at long context.
            Value angle = b.fmul(
                vector::BroadcastOp::create(b, narrow, position), frequency);
            auto [sin, cos] =
                emitSinCos(b, arith::ExtFOp::create(b, wide, angle));
            auto write = [&](Value value, int64_t column) {
              value = arith::TruncFOp::create(b, narrow, value);
              if (multiplier != 1.0f)
                value = b.fmul(
                    value, arith::ConstantOp::create(
                               b, DenseElementsAttr::get(narrow, multiplier)));
              emitStore(b, value, table, {row, b.index(column)}, count);
            };
            write(cos, i);
            write(sin, pairs + i);
          }
        });
      });
}

func::FuncOp
dsv2::cpu::getOrCreateApplyRopeKernel(ModuleOp module,
                                      const ApplyRopeConfig &config,
                                      const CPUTargetInfo &target) {
  assert(config.width % 2 == 0 && "rope rotates pairs");
  int64_t pairs = config.width / 2;
  MLIRContext *ctx = module.getContext();
  MemRefType act = getActivationType(ctx, config.ofHeads ? 3 : 2);
  Type types[] = {act, getActivationType(ctx), act};
  std::string name = llvm::formatv(
      "apply_rope_{0}{1}", config.ofHeads ? "heads_" : "", config.width);
  return getOrCreateRowKernel(
      module, name, target, types,
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value x = args[0], table = args[1], out = args[2];
        // The pairs of a row, or of a head of it.
        auto rotate = [&](Value row, ArrayRef<Value> prefix) {
          auto place = [&](Value column) {
            SmallVector<Value> indices(prefix);
            indices.push_back(column);
            return indices;
          };
          for (int64_t i = 0; i < pairs; i += b.lanes()) {
            int64_t count = std::min(b.lanes(), pairs - i);
            SmallVector<int64_t> evens, odds, zip;
            for (int64_t lane = 0; lane < count; ++lane) {
              evens.push_back(2 * lane);
              odds.push_back(2 * lane + 1);
              zip.push_back(lane);
              zip.push_back(count + lane);
            }
            Value at = b.index(2 * i);
            Value v = emitLoad(b, x, place(at), 2 * count, 2 * count);
            Value even = vector::ShuffleOp::create(b, v, v, evens);
            Value odd = vector::ShuffleOp::create(b, v, v, odds);
            Value cos = emitLoad(b, table, {row, b.index(i)}, count, count);
            Value sin =
                emitLoad(b, table, {row, b.index(pairs + i)}, count, count);
            Value first = b.fsub(b.fmul(even, cos), b.fmul(odd, sin));
            Value second = b.fadd(b.fmul(odd, cos), b.fmul(even, sin));
            Value pairwise = vector::ShuffleOp::create(b, first, second, zip);
            emitStore(b, pairwise, out, place(at), 2 * count);
          }
        };
        auto [first, last] = b.share(b.dim(out, 0), part, parts);
        b.forEach(first, last, [&](Value row) {
          if (!config.ofHeads)
            return rotate(row, row);
          b.forEach(b.index(0), b.dim(out, 1),
                    [&](Value head) { rotate(row, {row, head}); });
        });
      });
}
