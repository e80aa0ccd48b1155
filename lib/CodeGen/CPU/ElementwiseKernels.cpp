//===- ElementwiseKernels.cpp - Embedding, sums and copies of rows --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/ElementwiseKernels.h"

#include "dsv2/CodeGen/CPU/VectorMath.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

void dsv2::cpu::emitRowRuns(
    KernelBuilder &b, Value rows, int64_t width, Value part, Value parts,
    llvm::function_ref<void(Value row, Value column, int64_t count)> body) {
  // Short enough that one wide row still gives every thread something to do.
  constexpr int64_t kRun = 512;
  int64_t runs = llvm::divideCeil(width, kRun);
  int64_t whole = width / b.lanes() * b.lanes(), rest = width - whole;
  auto [first, last] = b.share(b.mul(rows, runs), part, parts);
  b.forEach(first, last, [&](Value item) {
    Value row = b.div(item, runs);
    Value start = b.mul(b.rem(item, runs), kRun);
    Value stop = b.min(b.add(start, kRun), whole);
    b.forEach(start, stop, b.index(b.lanes()),
              [&](Value column) { body(row, column, b.lanes()); });
    if (rest)
      b.ifThen(b.ge(b.add(start, kRun), b.index(width)),
               [&] { body(row, b.index(whole), rest); });
  });
}

func::FuncOp dsv2::cpu::getOrCreateEmbedKernel(ModuleOp module,
                                               const EmbedConfig &config,
                                               const CPUTargetInfo &target) {
  MLIRContext *ctx = module.getContext();
  std::string name =
      llvm::formatv("embed_{0}_{1}{2}", elementName(config.tableType),
                    config.width, config.partial ? "_partial" : "");
  SmallVector<Type> types = {getIndexListType(ctx),
                             getStridedType(config.tableType, 2)};
  if (config.partial)
    types.push_back(IndexType::get(ctx));
  types.push_back(getActivationType(ctx));
  return getOrCreateKernel(
      module, name, target, types,
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value tokens = args[0], table = args[1], out = args.back();
        emitRowRuns(
            b, b.dim(out, 0), config.width, part, parts,
            [&](Value row, Value column, int64_t count) {
              Value token = b.toIndex(b.loadScalar(tokens, {row}));
              auto read = [&](Value token) {
                return emitLoad(b, table, {token, column}, count, b.lanes());
              };
              Value v;
              if (config.partial) {
                // Below `first` the difference wraps to a large number.
                Value local = b.sub(token, args[2]);
                Value isOwn =
                    b.cmp(arith::CmpIPredicate::ult, local, b.dim(table, 0));
                v = b.ifYield(
                    isOwn, [&] { return SmallVector<Value>{read(local)}; },
                    [&] { return SmallVector<Value>{b.splat(0.0f)}; })[0];
              } else {
                v = read(token);
              }
              emitStore(b, v, out, {row, column}, count);
            });
      });
}

func::FuncOp dsv2::cpu::getOrCreateAddKernel(ModuleOp module,
                                             const RowsConfig &config,
                                             const CPUTargetInfo &target) {
  Type act = getActivationType(module.getContext());
  return getOrCreateKernel(
      module, llvm::formatv("add_{0}", config.width).str(), target,
      {act, act, act},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        emitRowRuns(b, b.dim(args[2], 0), config.width, part, parts,
                    [&](Value row, Value column, int64_t count) {
                      Value x =
                          emitLoad(b, args[0], {row, column}, count, count);
                      Value y =
                          emitLoad(b, args[1], {row, column}, count, count);
                      emitStore(b, b.fadd(x, y), args[2], {row, column}, count);
                    });
      });
}

func::FuncOp dsv2::cpu::getOrCreateCopyRowsKernel(ModuleOp module,
                                                  const RowsConfig &config,
                                                  const CPUTargetInfo &target) {
  Type act = getActivationType(module.getContext());
  return getOrCreateKernel(
      module, llvm::formatv("copy_rows_{0}", config.width).str(), target,
      {act, act},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        emitRowRuns(b, b.dim(args[1], 0), config.width, part, parts,
                    [&](Value row, Value column, int64_t count) {
                      Value v =
                          emitLoad(b, args[0], {row, column}, count, count);
                      emitStore(b, v, args[1], {row, column}, count);
                    });
      });
}

func::FuncOp dsv2::cpu::getOrCreateGatherRowsKernel(
    ModuleOp module, const RowsConfig &config, const CPUTargetInfo &target) {
  MLIRContext *ctx = module.getContext();
  Type act = getActivationType(ctx);
  return getOrCreateKernel(
      module, llvm::formatv("gather_rows_{0}", config.width).str(), target,
      {act, getIndexListType(ctx), act},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        emitRowRuns(b, b.dim(args[2], 0), config.width, part, parts,
                    [&](Value row, Value column, int64_t count) {
                      Value source = b.toIndex(b.loadScalar(args[1], {row}));
                      Value v =
                          emitLoad(b, args[0], {source, column}, count, count);
                      emitStore(b, v, args[2], {row, column}, count);
                    });
      });
}

func::FuncOp dsv2::cpu::getOrCreateSiluMulKernel(ModuleOp module,
                                                 const RowsConfig &config,
                                                 const CPUTargetInfo &target) {
  Type act = getActivationType(module.getContext());
  return getOrCreateKernel(
      module, llvm::formatv("silu_mul_{0}", config.width).str(), target,
      {act, act, act},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        emitRowRuns(
            b, b.dim(args[2], 0), config.width, part, parts,
            [&](Value row, Value column, int64_t count) {
              Value gate =
                  emitLoad(b, args[0], {row, column}, count, b.lanes());
              Value up = emitLoad(b, args[1], {row, column}, count, b.lanes());
              Value e = emitExp(b, b.fneg(gate));
              Value silu = b.fdiv(gate, b.fadd(b.splat(1.0f), e));
              emitStore(b, b.fmul(silu, up), args[2], {row, column}, count);
            });
      });
}
