//===- MoEDispatch.cpp - Group tokens by expert and sum what comes back ---===//
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

// A counting sort: count, sum up, place. It is a few integer operations per
// token and slot, not worth the synchronisation of several threads.
func::FuncOp dsv2::cpu::getOrCreateDispatchKernel(ModuleOp module,
                                                  const DispatchConfig &config,
                                                  const CPUTargetInfo &target) {
  MLIRContext *ctx = module.getContext();
  Type list = getIndexListType(ctx);
  Type table = getStridedType(IntegerType::get(ctx, 32), 2);
  std::string name =
      llvm::formatv("moe_dispatch_e{0}_k{1}{2}", config.experts, config.topK,
                    config.partial ? "_partial" : "");
  return getOrCreateKernel(
      module, name, target, {table, list, list, table},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value ids = args[0], offsets = args[1], rowToken = args[2];
        Value rowOfSlot = args[3];
        Value zero = b.index(0), experts = b.index(config.experts);
        Value next = b.scratch({config.experts}, b.getI32Type());
        auto forSlots = [&](llvm::function_ref<void(Value, Value)> body) {
          b.forEach(zero, b.dim(ids, 0), [&](Value token) {
            b.forEach(zero, b.index(config.topK),
                      [&](Value slot) { body(token, slot); });
          });
        };
        /// Calls `body` for slots with an expert, and `none` for the others.
        auto ifPresent = [&](Value token, Value slot,
                             llvm::function_ref<void()> body,
                             llvm::function_ref<void()> none) {
          if (!config.partial)
            return body();
          b.ifThen(b.ge(b.loadScalar(ids, {token, slot}), b.i32(0)), body,
                   none);
        };
        /// next[e] += 1, returning what it was.
        auto takeRow = [&](Value token, Value slot) {
          Value expert = b.toIndex(b.loadScalar(ids, {token, slot}));
          Value row = b.loadScalar(next, {expert});
          b.storeScalar(b.add(row, b.i32(1)), next, {expert});
          return row;
        };

        b.ifThen(b.eq(part, zero), [&] {
          b.forEach(zero, experts,
                    [&](Value e) { b.storeScalar(b.i32(0), next, {e}); });
          forSlots([&](Value token, Value slot) {
            ifPresent(token, slot, [&] { takeRow(token, slot); }, [] {});
          });
          Value total = b.forCarry(
              zero, experts, b.index(1), {b.i32(0)},
              [&](Value e, ValueRange carried) -> SmallVector<Value> {
                Value count = b.loadScalar(next, {e});
                b.storeScalar(carried[0], offsets, {e});
                b.storeScalar(carried[0], next, {e});
                return {b.add(carried[0], count)};
              })[0];
          b.storeScalar(total, offsets, {experts});
          forSlots([&](Value token, Value slot) {
            ifPresent(
                token, slot,
                [&] {
                  Value row = takeRow(token, slot);
                  b.storeScalar(row, rowOfSlot, {token, slot});
                  b.storeScalar(b.fromIndex(token, b.getI32Type()), rowToken,
                                {b.toIndex(row)});
                },
                [&] { b.storeScalar(b.i32(-1), rowOfSlot, {token, slot}); });
          });
        });
      });
}

func::FuncOp dsv2::cpu::getOrCreateCombineKernel(ModuleOp module,
                                                 const CombineConfig &config,
                                                 const CPUTargetInfo &target) {
  MLIRContext *ctx = module.getContext();
  Type act = getActivationType(ctx);
  SmallVector<Type> types = {act, getStridedType(IntegerType::get(ctx, 32), 2),
                             act};
  types.append(1 + config.hasShared + config.hasResidual, act);
  std::string name = llvm::formatv(
      "moe_combine_{0}_k{1}{2}{3}{4}", config.width, config.topK,
      config.hasShared ? "_shared" : "", config.hasResidual ? "_residual" : "",
      config.partial ? "_partial" : "");
  return getOrCreateKernel(
      module, name, target, types,
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value out = args[0], rowOfSlot = args[1], weights = args[2];
        Value y = args.back();
        emitRowRuns(
            b, b.dim(y, 0), config.width, part, parts,
            [&](Value token, Value column, int64_t count) {
              // Null: no slot before.
              auto addSlot = [&](Value slot, Value row, Value sum) {
                Value w = b.broadcast(b.loadScalar(weights, {token, slot}));
                Value v = emitLoad(b, out, {row, column}, count, b.lanes());
                return sum ? b.fma(w, v, sum) : b.fmul(w, v);
              };
              Value sum = config.partial ? b.splat(0.0f) : Value();
              for (int64_t i = 0; i < config.topK; ++i) {
                Value slot = b.index(i);
                Value row = b.toIndex(b.loadScalar(rowOfSlot, {token, slot}));
                if (!config.partial) {
                  sum = addSlot(slot, row, sum);
                  continue;
                }
                sum = b.ifYield(
                    b.ge(row, b.index(0)),
                    [&] { return SmallVector<Value>{addSlot(slot, row, sum)}; },
                    [&] { return SmallVector<Value>{sum}; })[0];
              }
              // Shared experts first, then the residual stream.
              for (Value other : args.drop_front(3).drop_back())
                sum = b.fadd(
                    sum, emitLoad(b, other, {token, column}, count, b.lanes()));
              emitStore(b, sum, y, {token, column}, count);
            });
      });
}
