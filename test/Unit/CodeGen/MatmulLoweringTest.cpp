//===- MatmulLoweringTest.cpp - From kernels to the LLVM dialect ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelTestUtils.h"
#include "dsv2/CodeGen/CPU/LowerToLLVM.h"
#include "dsv2/CodeGen/CPU/MatmulKernels.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"
#include "mlir/Pass/PassManager.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;
using namespace mlir::dsv2::cpu::test;

/// Lowers `m` and returns the result as text.
static std::string lowered(KernelModule &m, const LowerToLLVMOptions &options) {
  PassManager pm(m.context());
  buildLowerToLLVMPipeline(pm, options);
  EXPECT_TRUE(succeeded(pm.run(m.module())));
  return m.print();
}

static bool contains(const std::string &text, llvm::StringRef part) {
  return text.find(part.str()) != std::string::npos;
}

constexpr llvm::StringLiteral kExp = R"mlir(
  func.func @f(%x: vector<16xf32>) -> vector<16xf32> {
    %y = math.exp %x : vector<16xf32>
    return %y : vector<16xf32>
  })mlir";

TEST(LowerToLLVM, ExponentialsBecomeArithmetic) {
  KernelModule plain("x86-64-v3"), fused("x86-64-v3");
  ASSERT_TRUE(plain.addSource(kExp) && fused.addSource(kExp));
  LowerToLLVMOptions options;
  std::string text = lowered(plain, options);
  EXPECT_FALSE(contains(text, "llvm.intr.exp"));
  EXPECT_FALSE(contains(text, "llvm.intr.fma"));
  options.useFMA = true;
  text = lowered(fused, options);
  EXPECT_FALSE(contains(text, "llvm.intr.exp"));
  EXPECT_TRUE(contains(text, "llvm.intr.fma"));
}

TEST(LowerToLLVM, TheExpansionCanBeReplaced) {
  KernelModule m("x86-64-v3");
  ASSERT_TRUE(m.addSource(kExp));
  LowerToLLVMOptions options;
  bool asked = false;
  options.expandMath = [&](OpPassManager &) { asked = true; };
  EXPECT_TRUE(contains(lowered(m, options), "llvm.intr.exp"));
  EXPECT_TRUE(asked);
}

TEST(LowerToLLVM, OnlyLLVMAndParallelRegionsAreLeft) {
  KernelModule m("x86-64-v3");
  getOrCreateMatmulKernel(m.module(), {PanelFormat::BF16, true}, m.target());
  // A call of the kernel from each thread of a parallel region.
  ASSERT_TRUE(m.addSource(R"mlir(
    func.func private @dsv2_thread(%part: index)
    func.func @step(%n: index) {
      omp.parallel {
        %c0 = arith.constant 0 : index
        %c1 = arith.constant 1 : index
        scf.for %i = %c0 to %n step %c1 {
          func.call @dsv2_thread(%i) : (index) -> ()
        }
        omp.terminator
      }
      return
    })mlir"));
  lowered(m, {});
  m.module().walk([](Operation *op) {
    StringRef name = op->getName().getStringRef();
    EXPECT_TRUE(name.starts_with("llvm.") || name.starts_with("omp.") ||
                isa<ModuleOp>(op))
        << name.str();
  });
}

TEST(LowerToLLVM, ReductionLoopsStayRolled) {
  // LLVM reads the annotation only from the branch that closes the loop, and
  // only as that branch's own attribute.
  KernelModule m("x86-64-v4");
  getOrCreateMatmulKernel(m.module(), {PanelFormat::F32, false}, m.target());
  lowered(m, {});
  int64_t own = 0;
  m.module().walk([&](LLVM::BrOp branch) {
    own += branch.getLoopAnnotationAttr() != nullptr;
    EXPECT_FALSE(branch->getDiscardableAttr("llvm.loop_annotation"));
  });
  EXPECT_GT(own, 10);
}
