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

static std::string deviceCodeText(const Manifest &manifest) {
  if (!manifest.device)
    return "none";
  return std::to_string(manifest.device->kernels.size()) + " kernels for " +
         manifest.device->imagesText();
}

/// The image that `device` would run, or null.
static const DeviceManifest::Image *imageFor(const Manifest &manifest,
                                             const Device *device) {
  int64_t index = device && manifest.device
                      ? suitableImage(*manifest.device, device->info())
                      : -1;
  return index < 0 ? nullptr : &manifest.device->images[index];
}

static void printDevice(const Manifest &manifest, const Device &device) {
  const Device::Info &info = device.info();
  const DeviceManifest::Image *image = imageFor(manifest, &device);
  std::printf("device %s: %s, compute capability %d.%d, %d multiprocessors, "
              "%lld bytes of memory\n"
              "  driver %s for CUDA %d.%d\n"
              "  %s%s%s%s\n",
              info.name.c_str(), info.model.c_str(), info.major, info.minor,
              info.multiprocessors, (long long)info.memoryBytes,
              info.library.c_str(), info.driverVersion / 1000,
              info.driverVersion % 1000 / 10,
              image ? "runs the code for " : "runs no code of the artifact",
              image ? image->chip.c_str() : "", image ? ", " : "",
              image ? imageKindName(image->kind) : "");
}

static void printText(const std::vector<ArtifactVariant> &variants,
                      const ArtifactVariant *chosen, const Device *device) {
  const Manifest &manifest = variants.front().manifest;
  std::printf(
      "model: %s, %lld parameters, %lld of them active\n"
      "weights: %s, cache: %s\n"
      "limits: %lld positions of a sequence, %lld sequences\n"
      "compiler: %s\n"
      "reference lowering: %s\n"
      "device code: %s\n"
      "runs on: %s\n"
      "CPU variants, best first:\n",
      manifest.model.name.c_str(), (long long)manifest.model.parameters,
      (long long)manifest.model.activeParameters,
      manifest.numerics.weightFormat.c_str(),
      manifest.numerics.kvFormat.c_str(), (long long)manifest.limits.maxContext,
      (long long)manifest.limits.maxBatch, manifest.compiler.c_str(),
      manifest.reference ? "yes" : "no", deviceCodeText(manifest).c_str(),
      manifest.mesh.ranksText().c_str());
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
  if (device)
    printDevice(manifest, *device);
}

static nlohmann::json deviceJson(const Manifest &manifest,
                                 const Device *device) {
  using nlohmann::json;
  if (!manifest.device)
    return json();
  json images = json::array();
  for (const DeviceManifest::Image &image : manifest.device->images)
    images.push_back({{"chip", image.chip},
                      {"kind", imageKindName(image.kind)},
                      {"bytes", image.bytes}});
  json root = {{"kind", manifest.device->kind},
               {"kernels", manifest.device->kernels.size()},
               {"images", std::move(images)}};
  if (!device)
    return root;
  const Device::Info &info = device->info();
  const DeviceManifest::Image *image = imageFor(manifest, device);
  root["found"] = {
      {"name", info.name},
      {"model", info.model},
      {"library", info.library},
      {"driver_version", info.driverVersion},
      {"compute_capability",
       std::to_string(info.major) + "." + std::to_string(info.minor)},
      {"multiprocessors", info.multiprocessors},
      {"memory", info.memoryBytes},
      {"chip", image ? json(image->chip) : json()},
      {"image", image ? json(imageKindName(image->kind)) : json()}};
  return root;
}

static void printJson(const std::vector<ArtifactVariant> &variants,
                      const ArtifactVariant *chosen, const Device *device) {
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
               {"mesh", {{"tp", manifest.mesh.tp}, {"ep", manifest.mesh.ep}}},
               {"device", deviceJson(manifest, device)},
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
  // A device that is asked for, whether or not it can run the artifact.
  std::shared_ptr<Device> device;
  if (!flags.device.empty() && flags.device != "cpu") {
    Expected<std::shared_ptr<Device>> opened = Device::open(flags.device);
    if (!opened.ok())
      return opened.status();
    device = std::move(opened.value());
  }
  (asJson ? printJson : printText)(variants, chosen, device.get());
  return Status();
}
