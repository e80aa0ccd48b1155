//===- Info.cpp - what an artifact holds ----------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ToolSupport.h"

#include "dsv2rt/CpuFeatures.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>

using namespace dsv2rt;

/// The features of `variant` that the host lacks.
static std::vector<std::string> missing(const ArtifactVariant &variant,
                                        const std::vector<std::string> &host) {
  std::vector<std::string> names;
  for (const std::string &name : variant.manifest.target.features)
    if (std::find(host.begin(), host.end(), name) == host.end())
      names.push_back(name);
  return names;
}

static std::string joined(const std::vector<std::string> &names) {
  std::string text;
  for (const std::string &name : names)
    text += (text.empty() ? "" : ", ") + name;
  return text;
}

static void printText(const std::vector<ArtifactVariant> &variants,
                      const ArtifactVariant *chosen) {
  const Manifest &manifest = variants.front().manifest;
  std::printf("model: %s, %lld parameters, %lld of them active\n"
              "weights: %s, cache: %s\n"
              "limits: %lld positions of a sequence, %lld sequences\n"
              "compiler: %s\n"
              "reference lowering: %s\n"
              "CPU variants, best first:\n",
              manifest.model.name.c_str(), (long long)manifest.model.parameters,
              (long long)manifest.model.activeParameters,
              manifest.numerics.weightFormat.c_str(),
              manifest.numerics.kvFormat.c_str(),
              (long long)manifest.limits.maxContext,
              (long long)manifest.limits.maxBatch, manifest.compiler.c_str(),
              manifest.reference ? "yes" : "no");
  std::vector<std::string> host = hostCpuFeatures();
  for (const ArtifactVariant &variant : variants) {
    std::string lacking = joined(missing(variant, host));
    std::printf("  %s: %s\n    needs %s\n", variant.name.c_str(),
                &variant == chosen    ? "used on this host"
                : variant.usable.ok() ? "runs on this host"
                : lacking.empty()     ? variant.usable.message().c_str()
                                      : ("this host lacks " + lacking).c_str(),
                joined(variant.manifest.target.features).c_str());
  }
}

static void printJson(const std::vector<ArtifactVariant> &variants,
                      const ArtifactVariant *chosen) {
  using nlohmann::json;
  const Manifest &manifest = variants.front().manifest;
  std::vector<std::string> host = hostCpuFeatures();
  json list = json::array();
  for (const ArtifactVariant &variant : variants)
    list.push_back({{"name", variant.name},
                    {"cpu", variant.manifest.target.cpu},
                    {"features", variant.manifest.target.features},
                    {"missing", missing(variant, host)},
                    {"usable", variant.usable.ok()},
                    {"packed_bytes", variant.manifest.packedBytes()}});
  json root = {{"model", manifest.model.name},
               {"parameters", manifest.model.parameters},
               {"active_parameters", manifest.model.activeParameters},
               {"weight_format", manifest.numerics.weightFormat},
               {"kv_format", manifest.numerics.kvFormat},
               {"max_context", manifest.limits.maxContext},
               {"max_batch", manifest.limits.maxBatch},
               {"compiler", manifest.compiler},
               {"reference", manifest.reference != nullptr},
               {"variants", std::move(list)},
               {"variant", chosen ? json(chosen->name) : json()}};
  std::printf("%s\n",
              root.dump(2, ' ', false, json::error_handler_t::replace).c_str());
}

Status dsv2rt::printInfo(const ModelFlags &flags, bool asJson) {
  Expected<std::vector<ArtifactVariant>> read =
      Artifact::inspect(flags.artifact);
  if (!read.ok())
    return read.status();
  const std::vector<ArtifactVariant> &variants = read.value();
  const ArtifactVariant *chosen = nullptr;
  for (const ArtifactVariant &variant : variants)
    if (!chosen && variant.usable.ok() &&
        (flags.cpuVariant.empty() || variant.name == flags.cpuVariant))
      chosen = &variant;
  (asJson ? printJson : printText)(variants, chosen);
  return Status();
}
