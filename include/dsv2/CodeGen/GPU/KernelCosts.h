//===- KernelCosts.h - What launches of kernels cost ------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a kernel computes and how is an attribute of it (kCostFactsAttr), from
// which costs of any launch follow: what has to be moved and computed, what the
// kernel does to get there, and the time that a card needs for it at best. The
// model is in docs/Performance.md, "Kernels of GPUs, predicted". What a launch
// has to give follows too (tools/dsv2-kernel-cases/FactsCase.h).
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_GPU_KERNELCOSTS_H
#define DSV2_CODEGEN_GPU_KERNELCOSTS_H

#include "dsv2/CodeGen/GPU/GemmKernels.h"
#include "dsv2/CodeGen/GPU/MLADecodeKernels.h"
#include "dsv2/CodeGen/GPU/MLAPrefillKernels.h"
#include "dsv2/CodeGen/GPU/SimtKernels.h"
#include "dsv2/Support/GPUTargetInfo.h"
#include "dsv2/Target/KernelAttributes.h"

#include <optional>
#include <variant>
#include <vector>

namespace mlir::dsv2::gpu {

//===----------------------------------------------------------------------===//
// What has to be done
//===----------------------------------------------------------------------===//

/// What any kernel for the same problem has to do: bytes that it reads and
/// writes if each is moved once, and operations, two for every product that is
/// summed.
struct KernelWork {
  double bytes = 0, operations = 0;
};

/// A product of `rows` rows that reads `matrices` of the weight's matrices.
KernelWork getGemmWork(const GemmShape &shape, int64_t rows, int64_t matrices);
/// Absorbed attention of `tokens` to `pairs` positions, all tokens' together,
/// which are `cacheRows` different rows of the cache.
KernelWork getMLADecodeWork(const MLADecodeShape &shape, int64_t tokens,
                            double cacheRows, double pairs);
/// Expanded attention of `tokens` to `pairs` positions, all tokens' together,
/// which are `rows` different rows of keys and values.
KernelWork getMLAPrefillWork(const MLAPrefillShape &shape, int64_t tokens,
                             double rows, double pairs);

//===----------------------------------------------------------------------===//
// Facts of a kernel
//===----------------------------------------------------------------------===//

struct GemmFacts {
  GemmShape shape;
  GemmConfig config;
};
struct MLADecodeFacts {
  MLADecodeShape shape;
  std::string chip;
};
struct MLACombineFacts {
  MLADecodeShape shape;
  std::string chip;
};
struct MLAPrefillFacts {
  MLAPrefillShape shape;
  std::string chip;
};
/// A product without tiles (SimtKernels.h), for any chip.
struct ProductFacts {
  int64_t outputs = 0, inputs = 0, heads = 1, experts = 0;
  bool gated = false, residual = false, gather = false;
  /// Bytes of an element; of weights in blocks, `format` says more.
  int64_t inputBytes = 2, weightBytes = 2, outputBytes = 2;
  PackFormat format = PackFormat::Plain;

  /// Bytes from a row of weights to the next.
  int64_t weightRowBytes() const;

  static ProductFacts of(const ProductConfig &config);
  /// The configuration that these are of.
  ProductConfig getConfig(MLIRContext *context) const;
};
/// Several of them in one launch.
struct ProductsFacts {
  std::vector<ProductFacts> products;
};
/// A route and its dispatch.
struct RouteDispatchFacts {
  RouteConfig route;
};
/// The same, and products beside it.
struct RouteProductsFacts {
  RouteConfig route;
  std::vector<ProductFacts> products;
};
/// The kernels of an exchange, which look at different parts of its
/// configuration.
struct ExchangePlanFacts {
  ExchangeConfig config;
};
struct ExchangePackFacts {
  ExchangeConfig config;
};
struct ExchangeUnpackFacts {
  ExchangeConfig config;
};
struct ExchangeCombineFacts {
  ExchangeConfig config;
};
/// The kernels that choose tokens are the same for all models.
struct SampleScanFacts {};
struct SampleWeighFacts {};
struct SampleChooseFacts {};
/// What moves bytes or chooses says how it was configured.
using KernelFacts =
    std::variant<GemmFacts, MLADecodeFacts, MLACombineFacts, MLAPrefillFacts,
                 ProductFacts, ProductsFacts, GatherRowsConfig, RMSNormConfig,
                 AddConfig, CombineConfig, RopeTableConfig, ApplyRopeConfig,
                 LatentAppendConfig, ContextRowsConfig, LatentInputConfig,
                 AttentionConfig, RouteConfig, DispatchConfig,
                 RouteDispatchFacts, RouteProductsFacts, ExchangePlanFacts,
                 ExchangePackFacts, ExchangeUnpackFacts, ExchangeCombineFacts,
                 SampleScanFacts, SampleWeighFacts, SampleChooseFacts>;

/// Sets kCostFactsAttr of `kernel`.
void setCostFacts(Operation *kernel, const KernelFacts &facts);
/// The facts of `kernel`, or nothing if it has none, or some that are not as
/// setCostFacts writes them.
std::optional<KernelFacts> getCostFacts(Operation *kernel);
/// The same for the value of the attribute.
std::optional<KernelFacts> getCostFacts(Attribute value);

/// The name of the family of kernels: "gemm", "mla_decode", ...
llvm::StringRef getFamily(const KernelFacts &facts);
/// The names of all.
llvm::ArrayRef<llvm::StringLiteral> getFamilies();

//===----------------------------------------------------------------------===//
// Costs of a launch
//===----------------------------------------------------------------------===//

/// A step that kernels are launched in.
struct StepSize {
  /// Tokens, and the sequences that they are the last of.
  int64_t tokens = 1, sequences = 1;
  /// Positions of each sequence, the step's own included.
  int64_t context = 1;
  /// Experts of a token.
  int64_t topK = 6;
  /// Experts that have any token; 0: what random choices touch on average.
  int64_t touchedExperts = 0;
  /// Tokens that there are to choose from.
  int64_t vocabulary = 102400;
};

/// What a launch does and what a card needs for it.
struct KernelCost {
  KernelWork work;
  /// Bytes that blocks copy, what several of them copy counted as often: what
  /// goes through the L2 cache. With parts that are left for another kernel.
  double copiedBytes = 0;
  /// Operations of the tensor cores, padding and repetitions included.
  double tensorOperations = 0;
  /// Cycles of the busiest multiprocessor: of its tensor cores; of its shared
  /// memory, which copies write and products read; and of arithmetic and stores
  /// while the block's own products wait.
  double tensorCycles = 0, sharedCycles = 0, serialCycles = 0;
  /// Stages of the ring of copies, and bytes that all multiprocessors that have
  /// a block have under way. 0: not known.
  int64_t stages = 0;
  double bytesInFlight = 0;

  /// Seconds: `work` at the nominal rates of the card, and what is longer of
  /// both.
  double memorySeconds = 0, arithmeticSeconds = 0;
  double limitSeconds() const {
    return std::max(memorySeconds, arithmeticSeconds);
  }
  /// What the kernel needs at best, and what binds it: "memory", "latency" (too
  /// few bytes under way), "L2", "tensor", "shared", or "start".
  double predictedSeconds = 0;
  llvm::StringRef bound;
};

/// Costs of a launch of the kernel in a step on the card of `target`, with one
/// block for each multiprocessor where the kernel leaves the choice. Nothing
/// if `facts` are of another chip.
std::optional<KernelCost> getKernelCost(const KernelFacts &facts,
                                        const StepSize &step,
                                        const GPUTargetInfo &target);

} // namespace mlir::dsv2::gpu

#endif // DSV2_CODEGEN_GPU_KERNELCOSTS_H
