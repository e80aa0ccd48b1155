//===- ReadCase.cpp - a kernel that only reads ----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ReadCase.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Parser/Parser.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace dsv2rt;

/// Threads of a block, loads of a thread in a round, numbers of a load: those
/// of the text below.
static constexpr int64_t kThreads = 1024, kLoads = 4, kNumbers = 4;
/// Numbers that a block reads in a round.
static constexpr int64_t kChunk = kThreads * kLoads * kNumbers;

// Block b reads chunk r * blocks + b in round r, so that all read side by side.
static const char kernelText[] = R"(
gpu.module @dsv2_kernels {
  llvm.func @read(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>, %rounds: i32)
      attributes {nvvm.kernel, nvvm.maxntid = array<i32: 1024>} {
    %zero = arith.constant 0 : i32
    %one = arith.constant 1 : i32
    %threads = arith.constant 1024 : i32
    %chunk = arith.constant 16384 : i64
    %numbers = arith.constant 4 : i32
    %none = arith.constant dense<0.0> : vector<4xf32>
    %thread = nvvm.read.ptx.sreg.tid.x : i32
    %block = nvvm.read.ptx.sreg.ctaid.x : i32
    %blocks = nvvm.read.ptx.sreg.nctaid.x : i32
    %first = arith.muli %thread, %numbers : i32
    %sums = scf.for %round = %zero to %rounds step %one
        iter_args(%sum = %none) -> (vector<4xf32>) : i32 {
      %before = arith.muli %round, %blocks : i32
      %number = arith.addi %before, %block : i32
      %wide = arith.extui %number : i32 to i64
      %start = arith.muli %wide, %chunk : i64
      %p = llvm.getelementptr %in[%start] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
      %p0 = llvm.getelementptr %p[%first] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
      %p1 = llvm.getelementptr %p0[4096] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
      %p2 = llvm.getelementptr %p0[8192] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
      %p3 = llvm.getelementptr %p0[12288] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
      %v0 = llvm.load %p0 invariant {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
      %v1 = llvm.load %p1 invariant {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
      %v2 = llvm.load %p2 invariant {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
      %v3 = llvm.load %p3 invariant {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
      %s0 = arith.addf %v0, %v1 : vector<4xf32>
      %s1 = arith.addf %v2, %v3 : vector<4xf32>
      %s2 = arith.addf %s0, %s1 : vector<4xf32>
      %next = arith.addf %sum, %s2 : vector<4xf32>
      scf.yield %next : vector<4xf32>
    }
    %i1 = arith.constant 1 : i32
    %i2 = arith.constant 2 : i32
    %i3 = arith.constant 3 : i32
    %a = llvm.extractelement %sums[%zero : i32] : vector<4xf32>
    %b = llvm.extractelement %sums[%i1 : i32] : vector<4xf32>
    %c = llvm.extractelement %sums[%i2 : i32] : vector<4xf32>
    %d = llvm.extractelement %sums[%i3 : i32] : vector<4xf32>
    %ab = arith.addf %a, %b : f32
    %cd = arith.addf %c, %d : f32
    %all = arith.addf %ab, %cd : f32
    %base = arith.muli %block, %threads : i32
    %place = arith.addi %base, %thread : i32
    %to = llvm.getelementptr %out[%place] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    llvm.store %all, %to : f32, !llvm.ptr<1>
    llvm.return
  }
}
)";

void cases::addReadKernel(ModuleOp module) {
  OwningOpRef<ModuleOp> parsed =
      parseSourceString<ModuleOp>(kernelText, module.getContext());
  // What is wrong with it has been reported; a module without kernels is an
  // error of what follows.
  if (!parsed)
    return;
  for (auto device :
       llvm::make_early_inc_range(parsed->getOps<mlir::gpu::GPUModuleOp>())) {
    device->remove();
    module.push_back(device);
  }
}

KernelCase &cases::addReadCase(KernelCases &cases, int64_t blocks,
                               int64_t rounds) {
  KernelCase &item = cases.cases.emplace_back();
  item.name = "read";
  int64_t count = rounds * blocks * kChunk;
  constexpr uint64_t seed = 1;
  int64_t in = addOutput(item, "in", 4 * count);
  CaseFill &fill = item.buffers[in].fills.emplace_back();
  fill.element = CaseElement::F32;
  fill.count = count;
  fill.seed = seed;
  int64_t out = addOutput(item, "sums", 4 * blocks * kThreads);
  LaunchBuilder(cases, item, 0, blocks).pointer(in).pointer(out).i32(rounds);
  // Sums of some thousand numbers of about 1 in f32, in another order.
  CaseCheck &check = addCheck(item, out, /*f32=*/true, 1e-2, 0);
  for (int64_t block : {int64_t(0), blocks / 2, blocks - 1})
    for (int64_t thread : {0, 77, 1023}) {
      double sum = 0;
      for (int64_t round = 0; round < rounds; ++round)
        for (int64_t load = 0; load < kLoads; ++load)
          for (int64_t i = 0; i < kNumbers; ++i)
            sum += caseNumber(seed, 1,
                              (round * blocks + block) * kChunk +
                                  (load * kThreads + thread) * kNumbers + i);
      check.spans.emplace_back(block * kThreads + thread, 1);
      check.expected.push_back(float(sum));
    }
  item.bytes = 4.0 * double(count);
  return item;
}
