//===- RopeReader.cpp - rotary embedding of config.json -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ConfigMessages.h"
#include "ConfigReader.h"

#include "llvm/ADT/Twine.h"

using namespace dsv2;
using namespace llvm;

std::optional<YarnConfig> ConfigReader::readYarn(Section &section) {
  size_t problemsBefore = problems.size();
  YarnConfig yarn;
  if (section.find("factor"))
    yarn.factor = readNumber(section, "factor", 1.0, 1.0,
                             /*minIsAllowed=*/true, maxYarnFactor);
  else
    missing(section, "factor", "the context extension of yarn");

  // Not defaulted: published readers disagree (4096, or the extended length).
  if (const json::Value *value =
          section.find("original_max_position_embeddings"))
    yarn.originalMaxPositionEmbeddings =
        toInt(*value, section.path("original_max_position_embeddings"), 1,
              ModelLimits::maxPositions)
            .value_or(1);
  else
    missing(section, "original_max_position_embeddings",
            "the context length before yarn");

  yarn.betaFast = readNumber(section, "beta_fast", 32.0, 0.0,
                             /*minIsAllowed=*/false, maxYarnBeta);
  yarn.betaSlow = readNumber(section, "beta_slow", 1.0, 0.0,
                             /*minIsAllowed=*/false, maxYarnBeta);
  yarn.mscale = readNumber(section, "mscale", 1.0, 0.0,
                           /*minIsAllowed=*/true, maxYarnMscale);
  yarn.mscaleAllDim = readNumber(section, "mscale_all_dim", 0.0, 0.0,
                                 /*minIsAllowed=*/true, maxYarnMscale);
  if (problems.size() != problemsBefore)
    return std::nullopt;
  if (yarn.betaFast < yarn.betaSlow) {
    fail("expected " + quote(section.path("beta_fast")) + " " +
         toJsonText(yarn.betaFast) + " to be at least " +
         quote(section.path("beta_slow")) + " " + toJsonText(yarn.betaSlow));
    return std::nullopt;
  }
  return yarn;
}

/// Refuses rotary options of other families that would change the result.
void ConfigReader::checkRopeExtras(Section &section,
                                   const std::optional<YarnConfig> &yarn) {
  if (const json::Value *value = section.find("partial_rotary_factor")) {
    std::string path = section.path("partial_rotary_factor");
    std::optional<double> number = toNumber(*value, path);
    if (number && *number != 1.0)
      fail("expected " + quote(path) + " to be 1, got " + describe(*value));
    ignore(path, IgnoredReason::Derived);
  }
  if (const json::Value *value = section.find("attention_factor")) {
    std::string path = section.path("attention_factor");
    RopeConfig rope;
    rope.yarn = yarn;
    double derived = rope.cosSinMultiplier();
    std::optional<double> number = toNumber(*value, path);
    if (number && std::fabs(*number - derived) > 1e-6 * derived)
      fail("expected " + quote(path) + " to be absent or " +
           toJsonText(derived) + ", as mscale and mscale_all_dim say, got " +
           describe(*value));
    ignore(path, IgnoredReason::Derived);
  }
  if (const json::Value *value = section.find("truncate")) {
    std::string path = section.path("truncate");
    std::optional<bool> truncate = toBool(*value, path);
    if (truncate && !*truncate)
      fail("expected " + quote(path) + " to be true, got false");
    ignore(path, IgnoredReason::Derived);
  }
}

RopeSection ConfigReader::readRopeSection(StringRef key,
                                          const json::Object &object) {
  RopeSection result;
  result.key = key.str();
  Section section(object, (key + ".").str());

  std::optional<StringRef> type;
  StringRef typeKey;
  for (StringRef spelling : {"type", "rope_type"}) {
    const json::Value *value = section.find(spelling);
    if (!value)
      continue;
    std::optional<StringRef> found = toString(*value, section.path(spelling));
    if (!found)
      return result;
    if (type && *type != *found) {
      fail("expected " + quote(section.path("type")) + " " + quote(*type) +
           " and " + quote(section.path("rope_type")) + " " + quote(*found) +
           " to be equal");
      return result;
    }
    type = found;
    typeKey = spelling;
  }

  if (const json::Value *value = section.find("rope_theta"))
    result.theta = toNumber(*value, section.path("rope_theta"));

  if (!type) {
    // An object that gives nothing but the base is plain; one that gives
    // scaling parameters without saying of what is not.
    for (StringRef parameter :
         {"factor", "original_max_position_embeddings", "mscale",
          "mscale_all_dim", "beta_fast", "beta_slow"})
      if (object.get(parameter)) {
        fail("expected " + quote(section.path("type")) + " beside " +
             quote(section.path(parameter)) + ", but it is missing");
        return result;
      }
  } else if (*type == "yarn") {
    result.yarn = readYarn(section);
    if (!result.yarn)
      return result;
  } else if (*type != "default" && *type != "none") {
    fail("rotary scaling not supported: expected " +
         quote(section.path(typeKey)) + " to be 'yarn' or 'default', got " +
         quote(*type));
    return result;
  }
  checkRopeExtras(section, result.yarn);

  for (const std::string &unseen : section.unseenKeys()) {
    bool isYarnKey =
        is_contained({"factor", "original_max_position_embeddings", "mscale",
                      "mscale_all_dim", "beta_fast", "beta_slow"},
                     StringRef(unseen));
    // Readers that fill defaults write per-layer parameters as nested objects.
    if (object.get(unseen)->getAsObject()) {
      fail("rotary parameters per layer type not supported: expected " +
           quote(section.path(unseen)) + " to be absent, got an object");
      continue;
    }
    ignore(section.path(unseen), isYarnKey
                                     ? IgnoredReason::NotUsedByArchitecture
                                     : IgnoredReason::Unknown);
    if (!isYarnKey)
      warn("key " + quote(section.path(unseen)) + " is unknown and ignored");
  }
  return result;
}

void ConfigReader::readRope() {
  size_t problemsBefore = problems.size();
  std::vector<RopeSection> sections;
  bool isPresent = false;
  for (StringRef key : {"rope_scaling", "rope_parameters"}) {
    isPresent |= root.findOrNull(key) != nullptr;
    const json::Value *value = root.find(key);
    if (!value)
      continue;
    if (const json::Object *object = value->getAsObject())
      sections.push_back(readRopeSection(key, *object));
    else
      fail("expected " + quote(key) + " to be an object or null, got " +
           describe(*value));
  }
  if (!isPresent)
    setDefault("rope_scaling", "null");

  std::optional<double> theta;
  std::string thetaPath;
  auto mergeTheta = [&](std::optional<double> found, const std::string &path) {
    if (!found)
      return;
    if (theta && *theta != *found)
      fail("expected " + quote(thetaPath) + " " + toJsonText(*theta) + " and " +
           quote(path) + " " + toJsonText(*found) + " to be equal");
    theta = found;
    thetaPath = path;
  };
  if (const json::Value *value = root.find("rope_theta")) {
    mergeTheta(toNumber(*value, "rope_theta"), "rope_theta");
  }
  for (const RopeSection &section : sections)
    mergeTheta(section.theta, section.key + ".rope_theta");
  if (!theta) {
    if (problems.size() == problemsBefore)
      missing(root, "rope_theta", "the base of the rotary embedding");
    return;
  }
  if (*theta <= 1.0 || *theta > maxRopeTheta) {
    fail("expected " + quote(thetaPath) + " to be greater than 1 and at most " +
         toJsonText(maxRopeTheta) + ", got " + toJsonText(*theta));
    return;
  }

  if (sections.size() == 2 && sections[0].yarn != sections[1].yarn)
    fail("expected 'rope_scaling' and 'rope_parameters' to describe the same "
         "scaling");
  config.rope.theta = *theta;
  config.rope.dim = config.qkRopeHeadDim;
  if (!sections.empty())
    config.rope.yarn = sections.back().yarn;
}
