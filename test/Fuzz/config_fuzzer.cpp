//===- config_fuzzer.cpp - Fuzzes the reader of config.json ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Any bytes must give a configuration that holds what its documentation says,
// or errors that fit a terminal. Whatever is accepted is explained, as that
// runs all the arithmetic on it.
//
//===----------------------------------------------------------------------===//

#include "compiler_fuzz_support.h"

#include "dsv2/Import/Explain.h"
#include "dsv2/Import/ModelConfig.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <utility>

using namespace dsv2;
using namespace dsv2::fuzz;
using namespace llvm;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  StringRef text(reinterpret_cast<const char *>(data), size);
  SmallVector<std::string> warnings;
  Expected<ModelConfig> config = parseModelConfig(text, "fuzz", &warnings);
  for (const std::string &warning : warnings)
    expectPrintable(warning);
  if (!config) {
    handleAllErrors(config.takeError(), [](const ErrorInfoBase &error) {
      expectPrintable(error.message());
    });
    return 0;
  }

  expect(config->numTensors() <= ModelLimits::maxTensors, "bounded tensors");
  expect(static_cast<int64_t>(config->rope.inverseFrequencies().size()) ==
             config->qkRopeHeadDim / 2,
         "one frequency per pair");
  for (float frequency : config->rope.inverseFrequencies())
    expect(std::isfinite(frequency) && frequency >= 0.0f, "finite frequencies");
  expect(std::isfinite(config->softmaxScale()) && config->softmaxScale() > 0.0,
         "a finite softmax scale");

  ParameterCounts counts = countParameters(*config);
  expect(counts.total > 0 && counts.total <= ModelLimits::maxParameters,
         "a bounded number of parameters");
  expect(counts.activeWithHeadAndEmbedding <= counts.total,
         "active parameters are part of all");

  ExplainOptions options;
  options.memoryBudget = int64_t(1) << 33;
  // Once, since it looks at the name of every tensor.
  WeightPolicy policy = cantFail(WeightPolicy::create("bf16"));
  options.weights = cantFail(planWeights(*config, policy));
  std::string output;
  raw_string_ostream os(output);
  for (int64_t context : {int64_t(1), config->maxPositionEmbeddings}) {
    options.context = context;
    printExplainText(os, *config, options);
    os << explainJson(*config, options);
  }
  // Few configurations can be split so; the others have their errors.
  for (auto [tp, ep] : {std::pair<int64_t, int64_t>{1, 7}, {2, 3}}) {
    options.mesh = mlir::dsv2::MeshShape{tp, ep};
    printExplainText(os, *config, options);
    os << explainJson(*config, options);
  }
  return 0;
}
