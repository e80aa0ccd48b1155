//===- SimtProductTest.cpp - Products of few rows, run on the emulator ----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelRun.h"
#include "SimtProductCase.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;
using namespace mlir::dsv2::test;

namespace {

using Problem = cases::SimtProductProblem;

class SimtProductRun : public KernelRun,
                       public ::testing::WithParamInterface<const char *> {
protected:
  static Type f32() { return Float32Type::get(&getContext()); }
  static Type bf16() { return BFloat16Type::get(&getContext()); }

  static ProductConfig config(int64_t outputs, int64_t inputs, Type weight,
                              Type output) {
    ProductConfig result;
    result.outputs = outputs;
    result.inputs = inputs;
    result.input = bf16();
    result.weight = weight;
    result.output = output;
    return result;
  }

  /// The same with weights in blocks.
  static ProductConfig blockConfig(PackFormat format, int64_t outputs,
                                   int64_t inputs, Type output) {
    ProductConfig result =
        config(outputs, inputs, IntegerType::get(&getContext(), 8), output);
    result.format = format;
    return result;
  }

  /// Products in one launch.
  void check(const std::vector<Problem> &problems, int seeds = 2) {
    auto file = compileCases(GetParam(), [&](ModuleOp module) {
      cases::getOrCreateProducts(module, problems);
    });
    ASSERT_TRUE(file);
    cases::addProducts(*file, GetParam(), problems, cases::Extent::All);
    // The same in any order of threads.
    runCases(file, seeds, /*sameBits=*/true);
  }
  void check(const Problem &problem, int seeds = 2) {
    check(std::vector<Problem>{problem}, seeds);
  }
};

} // namespace

TEST_P(SimtProductRun, Rows) {
  for (int64_t rows : {0, 1, 2, 7, 8, 9, 33}) {
    check(Problem(config(40, 192, bf16(), f32()), {rows}));
    check(Problem(config(10, 96, f32(), f32()), {rows}));
    check(Problem(config(6, 35, bf16(), f32()), {rows}));
  }
}

TEST_P(SimtProductRun, DepthsThatFillNoStep) {
  // One load, a part of a step, of a split, of a round; more rounds than one.
  for (int64_t inputs : {8, 24, 64, 72, 200, 1032, 2120, 2816, 5128, 9216})
    check(Problem(config(17, inputs, bf16(), bf16()), {3}));
  for (int64_t inputs : {4, 12, 132, 516, 4228})
    for (int64_t rows : {1, 3})
      check(Problem(config(5, inputs, f32(), f32()), {rows}));
  for (int64_t inputs : {1, 7, 33, 100})
    check(Problem(config(5, inputs, bf16(), f32()), {2}));
}

TEST_P(SimtProductRun, Outputs) {
  for (int64_t outputs : {1, 15, 16, 17, 70}) {
    check(Problem(config(outputs, 64, bf16(), f32()), {2}));
    check(Problem(config(outputs, 256, f32(), f32()), {1}));
  }
}

TEST_P(SimtProductRun, WarpsOfATileShareItsDepth) {
  for (int64_t inputs : {256, 512, 1024, 1408})
    for (int64_t rows : {1, 8})
      check(Problem(config(20, inputs, bf16(), f32()), {rows}), 3);
}

TEST_P(SimtProductRun, Gates) {
  for (int64_t outputs : {8, 19, 40})
    for (Type weight : {bf16(), f32()}) {
      ProductConfig gated = config(outputs, 128, weight, bf16());
      gated.gated = true;
      for (int64_t rows : {1, 9})
        check(Problem(gated, {rows}));
    }
  ProductConfig narrow = config(5, 33, bf16(), bf16());
  narrow.gated = true;
  check(Problem(narrow, {3}));
}

TEST_P(SimtProductRun, Residual) {
  for (auto [inputs, weight] : {std::pair<int64_t, Type>(128, bf16()),
                                std::pair<int64_t, Type>(2048, bf16()),
                                std::pair<int64_t, Type>(64, f32()),
                                std::pair<int64_t, Type>(21, bf16())}) {
    ProductConfig added = config(36, inputs, weight, f32());
    added.residual = true;
    for (int64_t rows : {1, 5, 9})
      check(Problem(added, {rows}));
  }
}

TEST_P(SimtProductRun, Heads) {
  for (auto [outputs, inputs] :
       {std::pair(16, 128), std::pair(40, 24), std::pair(5, 9)})
    for (Type weight : {bf16(), f32()}) {
      ProductConfig byHead = config(outputs, inputs, weight, bf16());
      byHead.heads = 3;
      for (int64_t rows : {1, 9})
        check(Problem(byHead, {rows}));
    }
}

TEST_P(SimtProductRun, InputsOffMultiplesOf16Bytes) {
  for (int64_t pad : {1, 4, 8})
    for (Type weight : {bf16(), f32()}) {
      check(Problem(config(20, 64, weight, f32()), {3}, pad));
      ProductConfig gated = config(8, 64, weight, bf16());
      gated.gated = true;
      check(Problem(gated, {2}, pad));
    }
}

TEST_P(SimtProductRun, InputsOfF32) {
  for (auto [weight, inputs] : {std::pair<Type, int64_t>(f32(), 128),
                                std::pair<Type, int64_t>(bf16(), 128),
                                std::pair<Type, int64_t>(bf16(), 31)}) {
    ProductConfig wide = config(9, inputs, weight, f32());
    wide.input = f32();
    for (int64_t rows : {1, 4})
      check(Problem(wide, {rows}));
  }
}

TEST_P(SimtProductRun, Experts) {
  std::vector<std::vector<int64_t>> counts = {
      {0, 0, 0, 0, 0}, {1, 0, 0, 0, 0},  {0, 0, 0, 0, 1},
      {2, 1, 0, 9, 3}, {0, 0, 20, 0, 0}, {1, 1, 1, 1, 1}};
  for (const std::vector<int64_t> &rows : counts)
    for (Type weight : {bf16(), f32()})
      for (bool gated : {false, true}) {
        ProductConfig experts = config(20, 64, weight, gated ? bf16() : f32());
        experts.experts = 5;
        experts.gated = experts.gather = gated;
        check(Problem(experts, rows));
      }
}

TEST_P(SimtProductRun, MoreExpertsThanLanes) {
  for (int64_t many : {32, 33, 70}) {
    std::vector<int64_t> rows(many, 0);
    rows[1] = 2;
    rows[31] = 1;
    rows[many - 1] += 3;
    ProductConfig experts = config(16, 32, bf16(), f32());
    experts.experts = many;
    check(Problem(experts, rows));
    check(Problem(experts, std::vector<int64_t>(many, 1)));
  }
}

TEST_P(SimtProductRun, OneLaunchOfSeveral) {
  for (int64_t tokens : {1, 3, 9}) {
    // Blocks of different sizes, other kinds of sums.
    check({Problem(config(40, 1024, bf16(), f32()), {tokens}),
           Problem(config(24, 128, bf16(), bf16()), {tokens})});
    ProductConfig shared = config(20, 128, bf16(), bf16());
    shared.gated = true;
    check({Problem(config(12, 128, f32(), f32()), {tokens}),
           Problem(shared, {tokens}),
           Problem(config(3, 33, bf16(), f32()), {tokens})});
    ProductConfig experts = config(24, 64, bf16(), f32());
    experts.experts = 5;
    ProductConfig byHead = config(8, 64, bf16(), f32());
    byHead.heads = 2;
    check({Problem(experts, {0, tokens, 0, 2, tokens}),
           Problem(config(24, 512, bf16(), f32()), {tokens}),
           Problem(byHead, {tokens})});
  }
}

TEST_P(SimtProductRun, Blocks) {
  for (PackFormat format : {PackFormat::Q8, PackFormat::Q4, PackFormat::FP8}) {
    for (int64_t rows : {0, 1, 8, 9})
      check(Problem(blockConfig(format, 40, 256, f32()), {rows}));
    // A part of a block, of a group, of a split, of a round; more rounds than
    // one; the depths of the published models that fill no group.
    for (int64_t inputs : {8, 24, 40, 64, 72, 136, 576, 1032, 1408, 4232})
      check(Problem(blockConfig(format, 17, inputs, bf16()), {3}));
    // One element at a time.
    for (int64_t inputs : {1, 7, 33, 100, 300})
      check(Problem(blockConfig(format, 5, inputs, f32()), {2}));
    check(Problem(blockConfig(format, 5, 64, f32()), {2}, /*pad=*/1));
  }
}

TEST_P(SimtProductRun, BlocksWithEpilogues) {
  for (PackFormat format : {PackFormat::Q8, PackFormat::Q4, PackFormat::FP8}) {
    for (int64_t outputs : {8, 19}) {
      ProductConfig gated = blockConfig(format, outputs, 128, bf16());
      gated.gated = true;
      for (int64_t rows : {1, 9})
        check(Problem(gated, {rows}));
    }
    ProductConfig added = blockConfig(format, 36, 2048, f32());
    added.residual = true;
    check(Problem(added, {5}));
    ProductConfig byHead = blockConfig(format, 24, 128, bf16());
    byHead.heads = 3;
    check(Problem(byHead, {9}));
    ProductConfig wide = blockConfig(format, 9, 128, f32());
    wide.input = f32();
    check(Problem(wide, {4}));
    for (bool gated : {false, true}) {
      ProductConfig experts =
          blockConfig(format, 20, 64, gated ? bf16() : f32());
      experts.experts = 5;
      experts.gated = experts.gather = gated;
      check(Problem(experts, {2, 1, 0, 9, 3}));
    }
    check({Problem(blockConfig(format, 40, 1024, f32()), {3}),
           Problem(config(24, 128, bf16(), bf16()), {3}),
           Problem(blockConfig(PackFormat::Q8, 3, 33, f32()), {3})});
  }
}

// What is read of the ring of weights before its copy is there is reported.
TEST_P(SimtProductRun, RingMutations) {
  // More rounds than one.
  Problem problem(config(32, 4096, bf16(), f32()), {2});
  auto getReports =
      [&](llvm::function_ref<void(NVVM::CpAsyncWaitGroupOp)> mutate) {
        auto file = compileCases(GetParam(), [&](ModuleOp module) {
          cases::getOrCreateProducts(module, problem);
          SmallVector<NVVM::CpAsyncWaitGroupOp> waits;
          module.walk(
              [&](NVVM::CpAsyncWaitGroupOp op) { waits.push_back(op); });
          EXPECT_GT(waits.size(), 8u);
          llvm::for_each(waits, mutate);
        });
        if (!file)
          return std::vector<std::string>();
        cases::addProducts(*file, GetParam(), problem, cases::Extent::All);
        return getFailures(file, /*seeds=*/10);
      };
  for (const std::string &text : getReports([](auto) {}))
    EXPECT_EQ(text, "");
  auto expectReported = [](const std::vector<std::string> &reports) {
    EXPECT_EQ(reports.size(), 10u);
    for (const std::string &text : reports)
      EXPECT_NE(text.find("cp.async"), std::string::npos) << text;
  };
  // One copy fewer is waited for, and none.
  expectReported(getReports([](auto wait) { wait.setN(wait.getN() + 1); }));
  expectReported(getReports([](auto wait) { wait.erase(); }));
}

TEST_P(SimtProductRun, ManySeeds) {
  check(Problem(config(24, 1024, bf16(), f32()), {5}), /*seeds=*/10);
  check(Problem(config(12, 1024, f32(), f32()), {5}), /*seeds=*/10);
}

INSTANTIATE_TEST_SUITE_P(Chips, SimtProductRun,
                         ::testing::Values("sm_90a", "sm_80"),
                         [](const auto &info) {
                           return std::string(info.param);
                         });
