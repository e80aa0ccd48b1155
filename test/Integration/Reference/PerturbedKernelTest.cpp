//===- PerturbedKernelTest.cpp - a wrong kernel is named ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Field case F113: what makes a result wrong has to be found without a person
// bisecting. Each kernel of a model is spoilt in turn; comparing with the
// reference lowering has to name the op it computes and the first layer.
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/LowerToLLVM.h"
#include "dsv2/Driver/Driver.h"
#include "dsv2/InitAll.h"
#include "dsv2rt/Checkpoint.h"
#include "dsv2rt/PackedWeights.h"
#include "dsv2rt/Session.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace dsv2rt;

namespace {

/// Makes what every kernel whose name starts with `prefix` stores 0.1 % larger:
/// ten times what is tolerated, and far too little to be seen in the text.
struct PerturbKernelPass
    : PassWrapper<PerturbKernelPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(PerturbKernelPass)

  PerturbKernelPass(std::string prefix, int *count)
      : prefix(std::move(prefix)), count(count) {}

  void runOnOperation() override {
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      if (!function.getName().starts_with(prefix) || function.isExternal() ||
          function->hasAttr("test.perturbed"))
        continue;
      function->setAttr("test.perturbed", UnitAttr::get(&getContext()));
      function.walk([&](Operation *op) {
        if (auto store = dyn_cast<vector::StoreOp>(op))
          enlarge(store.getValueToStoreMutable());
        else if (auto store = dyn_cast<vector::MaskedStoreOp>(op))
          enlarge(store.getValueToStoreMutable());
        else if (auto store = dyn_cast<memref::StoreOp>(op))
          enlarge(store.getValueMutable());
      });
    }
  }

  void enlarge(OpOperand &stored) {
    Type type = stored.get().getType();
    auto element = dyn_cast<FloatType>(getElementTypeOrSelf(type));
    if (!element)
      return;
    ImplicitLocOpBuilder b(stored.getOwner()->getLoc(), stored.getOwner());
    TypedAttr factor = b.getFloatAttr(element, 1.001);
    if (auto vector = dyn_cast<VectorType>(type))
      factor = DenseElementsAttr::get(vector, Attribute(factor));
    stored.set(arith::MulFOp::create(b, stored.get(),
                                     arith::ConstantOp::create(b, factor)));
    ++*count;
  }

  std::string prefix;
  int *count;
};

struct Case {
  const char *kernel;
  /// What the message has to begin with, after the step.
  const char *expected;
  const char *form;
};

void PrintTo(const Case &c, std::ostream *os) { *os << c.kernel; }

class F113_PerturbedKernel : public testing::TestWithParam<Case> {};

/// Compiles T1, with the kernels named `prefix...` spoilt, to `path`.
int compileT1(const std::string &prefix, const std::string &form,
              const std::string &path) {
  DialectRegistry registry;
  mlir::dsv2::registerAllDialects(registry);
  mlir::dsv2::registerAllExtensions(registry);
  mlir::dsv2::cpu::registerCPUCodeGenDialects(registry);
  MLIRContext context(registry);
  int spoilt = 0;
  mlir::dsv2::CompileOptions options;
  options.input = DSV2_TEST_SOURCE_DIR "/test/Fixtures/T1";
  options.output = path;
  options.pipeline.weightFormat = options.pipeline.kvFormat = "f32";
  options.pipeline.attentionForm = form;
  options.linker.linker = DSV2_LINKER;
  options.configurePasses = [&](PassManager &passes) {
    if (!prefix.empty())
      passes.addPass(std::make_unique<PerturbKernelPass>(prefix, &spoilt));
    return success();
  };
  llvm::Error error = mlir::dsv2::compile(context, options);
  EXPECT_FALSE(bool(error)) << llvm::toString(std::move(error));
  return spoilt;
}

/// What comparing a prompt with the reference says: empty if all agree.
std::string compareWithReference(const std::string &path) {
  auto artifact = Artifact::load(path);
  if (!artifact.ok())
    return artifact.status().message();
  auto source = openWeightSource("random:7");
  PackOptions pack;
  pack.inMemory = true;
  auto weights = PackedWeights::open(artifact.value(), *source.value(), pack);
  auto reference = PackedWeights::open(Artifact::referenceOf(artifact.value()),
                                       *source.value(), pack);
  if (!weights.ok() || !reference.ok())
    return weights.status().message() + reference.status().message();
  SessionOptions options;
  options.maxContext = 64;
  options.maxSequences = 1;
  options.referenceWeights = reference.value();
  auto session = Session::create(artifact.value(), weights.value(), options);
  if (!session.ok())
    return session.status().message();
  int32_t tokens[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5};
  StepInput input;
  input.sequence = session.value()->addSequence().value();
  input.tokens = tokens;
  input.count = std::size(tokens);
  StepOutput output;
  Status status = session.value()->step(&input, 1, &output);
  return status.ok() ? output.status.message() : status.message();
}

TEST(F113_SoundKernels, NothingIsNamedWhenNothingIsWrong) {
  for (const char *form : {"absorbed", "expanded"}) {
    std::string path = DSV2_TEST_OUTPUT_DIR "/sound.dsv2";
    compileT1("", form, path);
    EXPECT_EQ(compareWithReference(path), "");
  }
}

TEST_P(F113_PerturbedKernel, IsNamedWithItsLayer) {
  std::string path = DSV2_TEST_OUTPUT_DIR "/perturbed.dsv2";
  EXPECT_GT(compileT1(GetParam().kernel, GetParam().form, path), 0)
      << "no such kernel";
  std::string message = compareWithReference(path);
  std::string expected =
      std::string("step 0: ") + GetParam().expected + " differs";
  EXPECT_EQ(message.substr(0, expected.size()), expected) << message;
}

// T1 has one dense layer, 0, and two with experts. What prepares a weight shows
// at the op that reads it.
INSTANTIATE_TEST_SUITE_P(
    Kernels, F113_PerturbedKernel,
    testing::Values(
        Case{"embed_", "'model.embed_tokens'", "absorbed"},
        Case{"rms_norm_64", "'input_layernorm' of layer 0", "absorbed"},
        Case{"dsv2_matmul_f32", "'self_attn.q_a_proj' of layer 0", "absorbed"},
        Case{"dsv2_pack_f32", "'self_attn.q_a_proj' of layer 0", "absorbed"},
        Case{"apply_rope", "'self_attn.q_rope' of layer 0", "absorbed"},
        Case{"rope_table", "'self_attn.q_rope' of layer 0", "absorbed"},
        Case{"latent_append", "'self_attn' of layer 0", "absorbed"},
        Case{"absorbed_attention", "'self_attn' of layer 0", "absorbed"},
        Case{"expanded_attention", "'self_attn' of layer 0", "expanded"},
        Case{"dsv2_head_matmul", "'self_attn' of layer 0", "absorbed"},
        Case{"dsv2_matmul_add", "'self_attn.residual' of layer 0", "absorbed"},
        Case{"dsv2_gated_matmul", "'mlp.residual' of layer 0", "absorbed"},
        Case{"dsv2_pack_gated", "'mlp.residual' of layer 0", "absorbed"},
        Case{"route_topk", "'mlp.gate.weights' of layer 1", "absorbed"},
        Case{"dsv2_grouped_gated", "'mlp.experts' of layer 1", "absorbed"},
        Case{"dsv2_grouped_matmul", "'mlp.experts' of layer 1", "absorbed"},
        Case{"moe_combine", "'mlp.residual' of layer 1", "absorbed"},
        Case{"gather_rows", "'lm_head'", "absorbed"}),
    [](const testing::TestParamInfo<Case> &info) {
      return std::string(info.param.kernel);
    });

} // namespace
