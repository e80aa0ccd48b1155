//===- RopeConfig.h - Rotary embedding and YaRN constants ------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Everything the model needs to know about its rotary embedding, computed from
// the values of config.json alone: inverse frequencies, the multiplier of cos
// and sin, and the softmax scale, which for this family depends on the YaRN
// parameters and not only on the head width.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_SUPPORT_ROPECONFIG_H
#define DSV2_SUPPORT_ROPECONFIG_H

#include <cstdint>
#include <optional>
#include <vector>

namespace dsv2 {

/// Parameters of YaRN context extension (the DeepSeek-V2 report, section 3.1.4;
/// names as in config.json). The scaling is static: it never depends on the
/// length of the sequence at hand.
struct YarnConfig {
  /// Context extension factor `s`, at least 1.
  double factor = 1.0;
  /// Context length `L0` of the training before the extension, in tokens.
  int64_t originalMaxPositionEmbeddings = 0;
  /// Pairs that turn more often than this over `L0` keep their frequency.
  double betaFast = 32.0;
  /// Pairs that turn less often than this over `L0` are slowed by `factor`.
  double betaSlow = 1.0;
  /// Weight of ln(s) in the numerator of the cos/sin multiplier. A file without
  /// the key means 1.
  double mscale = 1.0;
  /// Weight of ln(s) in the denominator of the cos/sin multiplier and in the
  /// softmax scale. A file without the key means 0, which leaves both alone.
  double mscaleAllDim = 0.0;

  bool operator==(const YarnConfig &other) const;
  bool operator!=(const YarnConfig &other) const { return !(*this == other); }
};

/// The rotary embedding of one model.
struct RopeConfig {
  /// Base `b` of the geometric series of frequencies, greater than 1.
  double theta = 10000.0;
  /// Rotated width per head, `qk_rope_head_dim`: even, `dim / 2` pairs. Pair i
  /// is elements (2i, 2i + 1) in the checkpoints of this family.
  int64_t dim = 0;
  /// Absent for plain rotary embedding.
  std::optional<YarnConfig> yarn;

  /// The pairs between which YaRN blends the two frequency sets.
  struct CorrectionRange {
    /// corr(betaFast) and corr(betaSlow) before rounding, where
    /// corr(n) = dim * ln(L0 / (2 pi n)) / (2 ln theta).
    double exactLow;
    double exactHigh;
    /// max(floor(exactLow), 0): pairs up to this one keep their frequency.
    int64_t low;
    /// min(ceil(exactHigh), dim - 1): pairs from this one on are slowed by the
    /// full factor. The bound is dim - 1 although pairs end at dim / 2 - 1;
    /// that is how the references have it.
    int64_t high;
  };

  /// Returns the blend range, or nothing without YaRN.
  std::optional<CorrectionRange> correctionRange() const;

  /// Returns `dim / 2` inverse frequencies in radians per position.
  ///
  /// Every intermediate is rounded to float32 in the order the PyTorch
  /// references use (exponent 2i / dim, power, reciprocal, ramp, blend), since
  /// at long context the angle error of the fast pairs is dominated by this
  /// rounding. The power is computed in double and rounded once, which is what
  /// PyTorch's scalar path gives; its vector path may differ in the last bit.
  std::vector<float> inverseFrequencies() const;

  /// Returns get(s, m) = 1 if s <= 1, else 0.1 * m * ln(s) + 1.
  static double yarnMscale(double factor, double mscale);

  /// Returns the factor on cos and sin: get(s, mscale) / get(s, mscale_all_dim)
  /// with YaRN, 1 without. It is exactly 1 when both parameters are equal.
  double cosSinMultiplier() const;

  /// Returns m of the softmax scale: get(s, mscale_all_dim) with YaRN and a
  /// non-zero mscale_all_dim, else 1.
  double attentionMscale() const;

  /// Returns the factor on the attention logits, qkHeadDim^-0.5 * m^2, where
  /// `qkHeadDim` is the width of a query head (nope part plus rope part). It
  /// applies to the whole logit and at every context length. Equation 18 of the
  /// report leaves m^2 out; all working implementations have it.
  double softmaxScale(int64_t qkHeadDim) const;

  bool operator==(const RopeConfig &other) const;
  bool operator!=(const RopeConfig &other) const { return !(*this == other); }
};

} // namespace dsv2

#endif // DSV2_SUPPORT_ROPECONFIG_H
