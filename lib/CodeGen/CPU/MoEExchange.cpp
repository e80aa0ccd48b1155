//===- MoEExchange.cpp - tokens on their way to other ranks and back ------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/ElementwiseKernels.h"
#include "dsv2/CodeGen/CPU/MoEKernels.h"
#include "dsv2/CodeGen/CPU/VectorMath.h"

#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

static Type getTableType(MLIRContext *context) {
  return getStridedType(IntegerType::get(context, 32), 2);
}

/// The rank that holds the expert of `slot`, and that rank's number of it.
static std::pair<Value, Value> findExpert(KernelBuilder &b,
                                          const ExchangeConfig &config,
                                          Value ids, Value token, Value slot) {
  Value expert = b.toIndex(b.loadScalar(ids, {token, slot}));
  return {b.div(expert, config.experts),
          b.rem(expert, b.index(config.experts))};
}

static std::string capacityName(const ExchangeConfig &config) {
  return config.capacity ? "_c" + std::to_string(config.capacity) : "";
}

// Like dispatch: count, sum up, place. A token's places serve as marks of which
// ranks it was counted for.
func::FuncOp
dsv2::cpu::getOrCreateExchangePlanKernel(ModuleOp module,
                                         const ExchangeConfig &config,
                                         const CPUTargetInfo &target) {
  MLIRContext *ctx = module.getContext();
  Type table = getTableType(ctx);
  std::string name =
      llvm::formatv("exchange_plan_e{0}_k{1}_r{2}{3}", config.experts,
                    config.topK, config.ranks, capacityName(config));
  return getOrCreateKernel(
      module, name, target, {table, getIndexListType(ctx), table},
      [&](KernelBuilder &b, ValueRange args, Value part, Value) {
        Value ids = args[0], counts = args[1], places = args[2];
        Value zero = b.index(0), ranks = b.index(config.ranks);
        Value next = b.scratch({config.ranks}, b.getI32Type());
        auto forTokens = [&](llvm::function_ref<void(Value)> body) {
          b.forEach(zero, b.dim(ids, 0), body);
        };
        auto forRanks = [&](llvm::function_ref<void(Value)> body) {
          b.forEach(zero, ranks, body);
        };
        b.ifThen(b.eq(part, zero), [&] {
          forRanks([&](Value r) { b.storeScalar(b.i32(0), counts, {r}); });
          forTokens([&](Value token) {
            forRanks(
                [&](Value r) { b.storeScalar(b.i32(-1), places, {token, r}); });
            b.forEach(zero, b.index(config.topK), [&](Value slot) {
              Value rank = findExpert(b, config, ids, token, slot).first;
              b.ifThen(b.lt(b.loadScalar(places, {token, rank}), b.i32(0)),
                       [&] {
                         b.storeScalar(b.i32(0), places, {token, rank});
                         Value count = b.loadScalar(counts, {rank});
                         b.storeScalar(b.add(count, b.i32(1)), counts, {rank});
                       });
            });
          });
          b.forCarry(zero, ranks, b.index(1), {b.i32(0)},
                     [&](Value r, ValueRange carried) -> SmallVector<Value> {
                       b.storeScalar(carried[0], next, {r});
                       Value rows = config.capacity ? b.i32(config.capacity)
                                                    : b.loadScalar(counts, {r});
                       return {b.add(carried[0], rows)};
                     });
          forTokens([&](Value token) {
            forRanks([&](Value r) {
              b.ifThen(b.ge(b.loadScalar(places, {token, r}), b.i32(0)), [&] {
                Value row = b.loadScalar(next, {r});
                b.storeScalar(b.add(row, b.i32(1)), next, {r});
                if (config.capacity) {
                  Value end = b.mul(b.add(r, 1), config.capacity);
                  row = b.select(b.lt(b.toIndex(row), end), row, b.i32(-1));
                }
                b.storeScalar(row, places, {token, r});
              });
            });
          });
        });
      });
}

/// What a rank calls the expert of a slot: the slot's own number if the expert
/// is one of `rank`'s, -1 otherwise; as the bits of an f32.
static Value localExpert(KernelBuilder &b, const ExchangeConfig &config,
                         Value ids, Value token, Value slot, Value rank) {
  auto [owner, number] = findExpert(b, config, ids, token, slot);
  Value local = b.select(b.eq(owner, rank), b.fromIndex(number, b.getI32Type()),
                         b.i32(-1));
  return arith::BitcastOp::create(b, b.getF32Type(), local);
}

func::FuncOp
dsv2::cpu::getOrCreateExchangePackKernel(ModuleOp module,
                                         const ExchangeConfig &config,
                                         const CPUTargetInfo &target) {
  MLIRContext *ctx = module.getContext();
  Type act = getActivationType(ctx), table = getTableType(ctx);
  std::string name = llvm::formatv("exchange_pack_{0}_e{1}_k{2}_r{3}{4}",
                                   config.width, config.experts, config.topK,
                                   config.ranks, capacityName(config));
  return getOrCreateKernel(
      module, name, target,
      {act, table, act, table, getIndexListType(ctx), act},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value x = args[0], ids = args[1], weights = args[2];
        Value places = args[3], counts = args[4], rows = args[5];
        Value zero = b.index(0);
        if (config.capacity) {
          auto [from, to] =
              b.share(b.index(config.ranks * config.capacity), part, parts);
          Value none = arith::BitcastOp::create(b, b.getF32Type(), b.i32(-1));
          b.forEach(from, to, [&](Value row) {
            Value wanted =
                b.toIndex(b.loadScalar(counts, {b.div(row, config.capacity)}));
            Value number = b.rem(row, b.index(config.capacity));
            b.ifThen(b.ge(number, wanted), [&] {
              b.forEach(zero, b.index(config.topK), [&](Value slot) {
                b.storeScalar(none, rows, {row, b.add(slot, config.width)});
                b.storeScalar(b.f32(0.0f), rows,
                              {row, b.add(slot, config.width + config.topK)});
              });
            });
          });
        }
        auto [first, last] = b.share(b.dim(ids, 0), part, parts);
        b.forEach(first, last, [&](Value token) {
          b.forEach(zero, b.index(config.ranks), [&](Value rank) {
            Value row = b.toIndex(b.loadScalar(places, {token, rank}));
            b.ifThen(b.ge(row, zero), [&] {
              b.forVectors(b.index(config.width), [&](Value i, Value count) {
                b.store(b.load(x, {token, i}, count), rows, {row, i}, count);
              });
              b.forEach(zero, b.index(config.topK), [&](Value slot) {
                b.storeScalar(localExpert(b, config, ids, token, slot, rank),
                              rows, {row, b.add(slot, config.width)});
                b.storeScalar(b.loadScalar(weights, {token, slot}), rows,
                              {row, b.add(slot, config.width + config.topK)});
              });
            });
          });
        });
      });
}

func::FuncOp
dsv2::cpu::getOrCreateExchangeUnpackKernel(ModuleOp module,
                                           const ExchangeConfig &config,
                                           const CPUTargetInfo &target) {
  MLIRContext *ctx = module.getContext();
  Type act = getActivationType(ctx);
  std::string name =
      llvm::formatv("exchange_unpack_{0}_k{1}", config.width, config.topK);
  return getOrCreateKernel(
      module, name, target, {act, getTableType(ctx), act},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value rows = args[0], ids = args[1], weights = args[2];
        auto [first, last] = b.share(b.dim(ids, 0), part, parts);
        b.forEach(first, last, [&](Value row) {
          b.forEach(b.index(0), b.index(config.topK), [&](Value slot) {
            Value id = b.loadScalar(rows, {row, b.add(slot, config.width)});
            b.storeScalar(arith::BitcastOp::create(b, b.getI32Type(), id), ids,
                          {row, slot});
            b.storeScalar(
                b.loadScalar(rows,
                             {row, b.add(slot, config.width + config.topK)}),
                weights, {row, slot});
          });
        });
      });
}

func::FuncOp
dsv2::cpu::getOrCreateExchangeCombineKernel(ModuleOp module,
                                            const ExchangeConfig &config,
                                            const CPUTargetInfo &target) {
  MLIRContext *ctx = module.getContext();
  Type act = getActivationType(ctx);
  std::string name =
      llvm::formatv("exchange_combine_{0}_r{1}", config.width, config.ranks);
  return getOrCreateKernel(
      module, name, target, {act, getTableType(ctx), act},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value rows = args[0], places = args[1], y = args[2];
        emitRowRuns(
            b, b.dim(y, 0), config.width, part, parts,
            [&](Value token, Value column, int64_t count) {
              Value sum = b.forCarry(
                  b.index(0), b.index(config.ranks), b.index(1),
                  {b.splat(0.0f)},
                  [&](Value rank, ValueRange carried) -> SmallVector<Value> {
                    Value row = b.toIndex(b.loadScalar(places, {token, rank}));
                    return b.ifYield(
                        b.ge(row, b.index(0)),
                        [&] {
                          return SmallVector<Value>{b.fadd(
                              carried[0], emitLoad(b, rows, {row, column},
                                                   count, b.lanes()))};
                        },
                        [&] { return SmallVector<Value>{carried[0]}; });
                  })[0];
              emitStore(b, sum, y, {token, column}, count);
            });
      });
}
