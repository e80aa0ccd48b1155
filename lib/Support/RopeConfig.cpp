//===- RopeConfig.cpp - Rotary embedding and YaRN constants ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Support/RopeConfig.h"

#include <algorithm>
#include <cmath>

using namespace dsv2;

static constexpr double pi = 3.14159265358979323846;

bool YarnConfig::operator==(const YarnConfig &other) const {
  return factor == other.factor &&
         originalMaxPositionEmbeddings == other.originalMaxPositionEmbeddings &&
         betaFast == other.betaFast && betaSlow == other.betaSlow &&
         mscale == other.mscale && mscaleAllDim == other.mscaleAllDim;
}

bool RopeConfig::operator==(const RopeConfig &other) const {
  return theta == other.theta && dim == other.dim && yarn == other.yarn;
}

/// Returns the (fractional) pair index whose frequency makes `numRotations`
/// turns over the original context. The association of the products is that of
/// the references, so that floor and ceil see the same double.
static double correctionDim(double numRotations, const RopeConfig &rope) {
  double length = static_cast<double>(rope.yarn->originalMaxPositionEmbeddings);
  return (static_cast<double>(rope.dim) *
          std::log(length / (numRotations * 2.0 * pi))) /
         (2.0 * std::log(rope.theta));
}

std::optional<RopeConfig::CorrectionRange> RopeConfig::correctionRange() const {
  if (!yarn)
    return std::nullopt;
  CorrectionRange range;
  range.exactLow = correctionDim(yarn->betaFast, *this);
  range.exactHigh = correctionDim(yarn->betaSlow, *this);
  // The clamps come before the conversion: with a base close to 1 the quotient
  // can exceed any integer. Only the bound each reference applies is visible in
  // the result, as no pair lies outside [0, dim).
  double bound = static_cast<double>(dim - 1);
  double low = std::max(std::floor(range.exactLow), 0.0);
  double high = std::min(std::ceil(range.exactHigh), bound);
  range.low = static_cast<int64_t>(std::min(low, 1e9));
  range.high = static_cast<int64_t>(std::max(high, -1e9));
  return range;
}

std::vector<float> RopeConfig::inverseFrequencies() const {
  std::vector<float> result;
  int64_t numPairs = dim / 2;
  result.reserve(numPairs);

  std::optional<CorrectionRange> range = correctionRange();
  float low = 0.0f, width = 1.0f;
  if (range) {
    // An empty range gets a tiny width so that the ramp becomes a step.
    double difference = range->low == range->high
                            ? 0.001
                            : static_cast<double>(range->high - range->low);
    low = static_cast<float>(range->low);
    width = static_cast<float>(difference);
  }

  for (int64_t i = 0; i < numPairs; ++i) {
    float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
    float power =
        static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
    float kept = 1.0f / power;
    if (!range) {
      result.push_back(kept);
      continue;
    }
    float slowed = 1.0f / (static_cast<float>(yarn->factor) * power);
    float ramp = (static_cast<float>(i) - low) / width;
    ramp = std::min(std::max(ramp, 0.0f), 1.0f);
    float keep = 1.0f - ramp;
    // 1 - keep is not written as `ramp`: the references round it this way. The
    // two products are rounded before the sum; a fused multiply-add would not
    // reproduce them, hence the named temporaries.
    volatile float slowedPart = slowed * (1.0f - keep);
    volatile float keptPart = kept * keep;
    result.push_back(slowedPart + keptPart);
  }
  return result;
}

double RopeConfig::yarnMscale(double factor, double mscale) {
  if (factor <= 1.0)
    return 1.0;
  return 0.1 * mscale * std::log(factor) + 1.0;
}

double RopeConfig::cosSinMultiplier() const {
  if (!yarn)
    return 1.0;
  return yarnMscale(yarn->factor, yarn->mscale) /
         yarnMscale(yarn->factor, yarn->mscaleAllDim);
}

double RopeConfig::attentionMscale() const {
  // The references test for a zero weight first; it gives 1 here as well.
  if (!yarn)
    return 1.0;
  return yarnMscale(yarn->factor, yarn->mscaleAllDim);
}

double RopeConfig::softmaxScale(int64_t qkHeadDim) const {
  double m = attentionMscale();
  return std::pow(static_cast<double>(qkHeadDim), -0.5) * m * m;
}
