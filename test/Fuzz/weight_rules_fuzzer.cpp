//===- weight_rules_fuzzer.cpp - Fuzzes the reader of weight rules --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The input is a rules file (`--weight-rules`). What is accepted gives every
// weight a format, or says which rules cannot be heeded.
//
//===----------------------------------------------------------------------===//

#include "compiler_fuzz_support.h"

#include "dsv2/Support/WeightPolicy.h"
#include "llvm/ADT/STLExtras.h"

#include <utility>

using namespace dsv2;
using namespace dsv2::fuzz;
using namespace llvm;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  StringRef text(reinterpret_cast<const char *>(data), size);
  Expected<WeightPolicy> policy = WeightPolicy::parse("q4", text, "fuzz");
  if (!policy) {
    expectShort(toString(policy.takeError()));
    return 0;
  }
  // A single weight, one of several layers, and one of several experts of each.
  const int64_t layers[] = {0, 1, 12};
  const std::pair<WeightUse, WeightTensors> weights[] = {
      {WeightUse::Logits, {"lm_head.weight", {}, 0}},
      {WeightUse::LatentAttention,
       {"model.layers.{layer}.self_attn.kv_b_proj.weight", layers, 0}},
      {WeightUse::ExpertFFN,
       {"model.layers.{layer}.mlp.experts.{expert}.up_proj.weight", layers, 3}},
      {WeightUse::RMSNorm,
       {"model.layers.{layer}.input_layernorm.weight", layers, 0}}};
  for (const auto &[use, weight] : weights) {
    Expected<WeightFormat> format = policy->select(use, weight);
    if (!format)
      expectShort(toString(format.takeError()));
    else
      expect(is_contained(readableFormats(use), *format),
             "a format that there is a kernel for");
  }
  if (Error error = policy->checkRulesUsed())
    expectShort(toString(std::move(error)));
  return 0;
}
