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

#include "dsv2/Support/WeightPolicy.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdint>
#include <cstdlib>
#include <utility>

using namespace dsv2;
using namespace llvm;

/// Stops the fuzzer with the broken promise on stderr.
static void expect(bool condition, StringRef promise) {
  if (condition)
    return;
  errs() << "broken promise: " << promise << "\n";
  std::abort();
}

static void expectPlainMessage(Error error) {
  std::string message = toString(std::move(error));
  expect(!message.empty() && message.size() < 10000, "a message of some size");
  expect(json::isUTF8(message), "a message is UTF-8");
  for (char c : message)
    expect(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f,
           "a message holds no control character");
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  StringRef text(reinterpret_cast<const char *>(data), size);
  Expected<WeightPolicy> policy = WeightPolicy::parse("q4", text, "fuzz");
  if (!policy) {
    expectPlainMessage(policy.takeError());
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
      expectPlainMessage(format.takeError());
    else
      expect(is_contained(readableFormats(use), *format),
             "a format that there is a kernel for");
  }
  if (Error error = policy->checkRulesUsed())
    expectPlainMessage(std::move(error));
  return 0;
}
