//===- WeightPolicy.h - which weight is stored how --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A policy gives every weight a format: by the first rule of a rules file that
// matches the name of its tensor, else by defaults that depend on the format
// asked for and on what reads the weight. docs/NumericPolicy.md holds the
// reasons for the defaults and the syntax of the file.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_SUPPORT_WEIGHTPOLICY_H
#define DSV2_SUPPORT_WEIGHTPOLICY_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/GlobPattern.h"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

namespace dsv2 {

/// How the elements of a weight are stored; q8, q4 and fp8: see BlockFormat.h.
enum class WeightFormat { F32, BF16, Q8, Q4, FP8 };

/// "f32", "bf16", "q8", "q4" or "fp8".
llvm::StringRef stringifyWeightFormat(WeightFormat format);
/// The format of that name, or nothing.
std::optional<WeightFormat> symbolizeWeightFormat(llvm::StringRef name);

/// The ops that read weights.
enum class WeightUse {
  Embed,
  ExpertFFN,
  GatedFFN,
  LatentAttention,
  Linear,
  Logits,
  RMSNorm,
  Route,
};

/// "dsv2.embed", ...
llvm::StringRef stringifyWeightUse(WeightUse use);
/// The formats that the kernels of an op can read, widest first.
llvm::ArrayRef<WeightFormat> readableFormats(WeightUse use);

/// Tensors of a checkpoint that code reads as one weight: one of each layer of
/// a stack, or of each expert of each layer.
struct WeightTensors {
  /// With `{layer}` and `{expert}` in the place of their numbers.
  llvm::StringRef name;
  /// The layers of the stack; empty if and only if there is no `{layer}`.
  llvm::ArrayRef<int64_t> layers;
  /// Experts, from 0 on; 0 if and only if there is no `{expert}`.
  int64_t experts = 0;
};

/// Gives weights their formats.
class WeightPolicy {
public:
  /// Longest rules file, in bytes.
  static constexpr int64_t maxFileSize = int64_t(1) << 20;
  /// Most globs in a file, those with braces counted as what they stand for.
  static constexpr size_t maxPatterns = 4096;

  /// The defaults of `--weight-format=FORMAT`, behind the rules of a file if
  /// one is named. Errors: an unknown format; a file that cannot be read, and
  /// lines of it that are not rules, by number.
  static llvm::Expected<WeightPolicy> create(llvm::StringRef format,
                                             llvm::StringRef rulesFile = "");

  /// The same with the text of a rules file; `fileName` is for messages.
  static llvm::Expected<WeightPolicy> parse(llvm::StringRef format,
                                            llvm::StringRef rules,
                                            llvm::StringRef fileName);

  /// The format asked for.
  WeightFormat baseFormat() const { return base; }
  bool hasRules() const { return !rules.empty(); }

  /// The format of weights that `use` reads as one operand. Errors: rules that
  /// give some of the tensors one format and others another, though they share
  /// their code or memory; a format that `use` has no kernel for.
  llvm::Expected<WeightFormat> select(WeightUse use,
                                      llvm::ArrayRef<WeightTensors> weights);

  /// To be asked after all weights were selected. An error names the first rule
  /// that matched no tensor, or none that was left by the rules before it.
  llvm::Error checkRulesUsed() const;

private:
  struct Rule {
    Rule(std::string glob, WeightFormat format, unsigned line)
        : glob(std::move(glob)), format(format), line(line) {}

    /// As the file spells it.
    std::string glob;
    /// `glob` in LLVM's syntax, which `pattern` refers to.
    std::string text;
    std::optional<llvm::GlobPattern> pattern;
    WeightFormat format;
    unsigned line;
    /// Whether it matches any tensor, and whether it decided on one.
    bool matches = false, decides = false;
  };

  WeightPolicy(WeightFormat base) : base(base) {}
  llvm::Error parseRules(llvm::StringRef text);
  llvm::Error makeError(unsigned line, const llvm::Twine &message) const;
  Rule *findRule(llvm::StringRef tensor);
  WeightFormat defaultFormat(WeightUse use, llvm::StringRef name) const;

  WeightFormat base;
  std::string fileName;
  /// Rules never move, since their patterns point into them.
  std::deque<Rule> rules;
};

} // namespace dsv2

#endif // DSV2_SUPPORT_WEIGHTPOLICY_H
