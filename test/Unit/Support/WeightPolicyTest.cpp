//===- WeightPolicyTest.cpp - which weight is stored how ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Support/WeightPolicy.h"
#include "gtest/gtest.h"

using namespace dsv2;
using namespace llvm;

/// The format that `rules` give to one tensor, or the error.
static std::string select(StringRef base, StringRef rules, StringRef tensor,
                          WeightUse use = WeightUse::Linear) {
  Expected<WeightPolicy> policy = WeightPolicy::parse(base, rules, "rules");
  if (!policy)
    return toString(policy.takeError());
  Expected<WeightFormat> format =
      policy->select(use, WeightTensors{tensor, {}});
  return format ? stringifyWeightFormat(*format).str()
                : toString(format.takeError());
}

TEST(WeightPolicyTest, DefaultsCanBeRead) {
  for (StringRef base : {"f32", "bf16", "q8", "q4", "fp8"})
    for (int use = 0; use <= static_cast<int>(WeightUse::Route); ++use) {
      auto format = symbolizeWeightFormat(
          select(base, "", "a", static_cast<WeightUse>(use)));
      ASSERT_TRUE(format);
      EXPECT_TRUE(
          is_contained(readableFormats(static_cast<WeightUse>(use)), *format))
          << base.str() << " " << use;
    }
}

TEST(WeightPolicyTest, SmallAndSensitiveWeightsStayPrecise) {
  for (StringRef base : {"f32", "bf16", "q8", "q4", "fp8"}) {
    EXPECT_EQ(select(base, "", "a", WeightUse::RMSNorm), "f32");
    EXPECT_EQ(select(base, "", "a", WeightUse::Route), "f32");
    EXPECT_EQ(select(base, "", "a", WeightUse::ExpertFFN), base);
  }
  EXPECT_EQ(select("q4", "", "a", WeightUse::Embed), "bf16");
  EXPECT_EQ(select("f32", "", "a", WeightUse::Embed), "f32");
  // What few bits cost most, for the bytes.
  StringRef latent = "model.layers.{layer}.self_attn.kv_a_proj_with_mqa.weight";
  for (StringRef base : {"f32", "bf16", "q8", "q4", "fp8"}) {
    EXPECT_EQ(select(base, "", "a", WeightUse::Logits),
              base == "q4" ? "q8" : base);
    EXPECT_EQ(select(base, "", latent), base == "q4" ? "q8" : base);
    EXPECT_EQ(select(base, "", "a", WeightUse::LatentAttention),
              base == "q4" ? "q8" : base);
  }
  EXPECT_EQ(select("q4", "*.kv_a_* q4", latent), "q4");
}

TEST(WeightPolicyTest, TheFirstRuleThatMatchesCounts) {
  StringRef rules = "a.*.w q8\r\n# a.b.w bf16\na.b.* f32\n\n*z q4#comment";
  EXPECT_EQ(select("bf16", rules, "a.b.w"), "q8");
  EXPECT_EQ(select("bf16", rules, "a.b.v"), "f32");
  EXPECT_EQ(select("bf16", rules, "z"), "q4");
  EXPECT_EQ(select("bf16", rules, "y"), "bf16");
  // The last line needs no end, and an empty file has no rules.
  EXPECT_EQ(select("q8", "\n \n#", "y"), "q8");
}

TEST(WeightPolicyTest, Globs) {
  EXPECT_EQ(select("f32", "a.{gate,up}_proj q8", "a.up_proj"), "q8");
  EXPECT_EQ(select("f32", "a.{gate,up}_proj q8", "a.down_proj"), "f32");
  EXPECT_EQ(select("f32", "l.[0-2].w q8", "l.1.w"), "q8");
  EXPECT_EQ(select("f32", "l.[0-2].w q8", "l.3.w"), "f32");
  // Names of the IR.
  EXPECT_EQ(select("f32", "l.{layer}.e.{expert}.w q8", "l.1.e.20.w"), "q8");
  // A glob is of the whole name.
  EXPECT_EQ(select("f32", "up q8", "a.up_proj"), "f32");
}

TEST(WeightPolicyTest, RefusesWhatIsNoRule) {
  for (const auto &[rules, message] :
       {std::pair<std::string, std::string>(
            "* q8\n* q5",
            "rules:2: expected the format f32, bf16, q8, q4 or fp8, "
            "got 'q5'"),
        {"\n\nword", "rules:3: expected a glob and a format, got 'word'"},
        {"a b f32", "rules:1: expected a glob and a format, got 'a b f32'"},
        {"[ f32", "rules:1: '[' is not a glob: "},
        {"{a f32", "rules:1: '{a' is not a glob: "},
        // 81 patterns of one glob.
        {"{a,b,c}{a,b,c}{a,b,c}{a,b,c} f32", "is not a glob: "},
        {std::string("\x01\xff\0 f32 x", 9),
         "rules:1: expected a glob and a format, got '\\01\\FF\\00 f32 x'"},
        {std::string(1000, 'a'), "'" + std::string(80, 'a') + "...'"}}) {
    std::string found = select("f32", rules, "a");
    EXPECT_NE(found.find(message), std::string::npos) << found;
  }
  EXPECT_EQ(select("q5", "", "a"),
            "weight format: expected f32, bf16, q8, q4 or fp8, got 'q5'");
}

// Every pattern meets every name: a million of them would take minutes.
TEST(WeightPolicyTest, RefusesTooManyPatterns) {
  auto repeat = [](const std::string &line, size_t times) {
    std::string text;
    while (times--)
      text += line + "\n";
    return text;
  };
  const size_t most = WeightPolicy::maxPatterns;
  EXPECT_EQ(select("f32", repeat("a q8", most), "a"), "q8");
  EXPECT_NE(select("f32", repeat("a q8", most + 1), "a").find("rules:4097: "),
            std::string::npos);
  // 64 for each line; a comma that stands for itself counts no more than one.
  EXPECT_EQ(
      select("f32", repeat("{a,b,c,d}{,a,b,c}{,a,\\,,b} q8", most / 64), "a"),
      "q8");
  EXPECT_EQ(select("f32",
                   repeat("{a,b,c,d}{,a,b,c}{,a,\\,,b} q8", most / 64 + 1),
                   "a"),
            "rules:65: expected at most 4096 globs in all, each choice of "
            "braces counted; got 4160 up to here");
}

TEST(WeightPolicyTest, RulesHaveToBeOfUse) {
  auto check = [](StringRef rules) {
    WeightPolicy policy = cantFail(WeightPolicy::parse("f32", rules, "rules"));
    for (StringRef tensor : {"a.x", "a.y"})
      cantFail(policy.select(WeightUse::Linear, WeightTensors{tensor, {}})
                   .takeError());
    return toString(policy.checkRulesUsed());
  };
  EXPECT_EQ(check("a.x q8\na.* q4"), "");
  EXPECT_EQ(check("a.* q8\nb q4"),
            "rules:2: expected a glob that matches weights of the model, got "
            "'b', which matches none");
  EXPECT_EQ(check("a.* q8\na.x q4"),
            "rules:2: expected a rule that decides on a weight, got 'a.x', all "
            "of whose weights match rules before it");
}

TEST(WeightPolicyTest, NamesTheStackThatRulesSplit) {
  auto selectStack = [](StringRef rules, ArrayRef<int64_t> layers) {
    WeightPolicy policy = cantFail(WeightPolicy::parse("f32", rules, "rules"));
    Expected<WeightFormat> format =
        policy.select(WeightUse::Linear, WeightTensors{"l.{layer}.w", layers});
    return format ? stringifyWeightFormat(*format).str()
                  : toString(format.takeError());
  };
  EXPECT_EQ(selectStack("l.1.w q8", {1}), "q8");
  // Several rules may agree on a stack.
  EXPECT_EQ(selectStack("l.1.w q8\n* q8", {1, 2}), "q8");
  EXPECT_EQ(selectStack("l.4.w q8", {1, 3, 4, 5, 7}),
            "rules:1: expected one format for 'l.{layer}.w' of the stack of "
            "layers 1, 3 to 5, 7, which shares its code; got f32 for 'l.1.w' "
            "and q8 for 'l.4.w'");
  // The rule is named also if it is the first tensor that it is about.
  EXPECT_NE(selectStack("l.1.w q8", {1, 3}).find("rules:1:"),
            std::string::npos);
}
