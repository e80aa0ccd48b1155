//===- Launcher.cpp - starts the kernels of a step ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Launcher.h"

using namespace dsv2rt;
using namespace dsv2rt::cuda;

/// Blocks of a grid in y and z (CUDA C++ Programming Guide, "Technical
/// Specifications per Compute Capability"); in x every int32_t will do.
static constexpr int32_t maxGridDepth = 65535;

void Launcher::begin(TapSink &sink, bool wait, const std::string &entry,
                     int64_t keyRows) {
  maps.trim();
  taps = &sink;
  waitForEach = wait;
  entryName = entry;
  numKeyRows = keyRows;
  count = 0;
  status = Status();
}

void Launcher::launch(int32_t kernel, int32_t gridX, int32_t gridY,
                      int32_t gridZ, void **parameters, LaunchSite site) {
  if (failure().ok())
    status = guarded(
        [&] { return start(kernel, {gridX, gridY, gridZ}, parameters, site); });
}

std::string Launcher::placeOf(const LaunchSite &site) const {
  std::string text;
  const std::vector<std::string> &sites = program.sites();
  if (site.site >= 0 && size_t(site.site) < sites.size())
    text = ", for " + quote(sites[size_t(site.site)]);
  if (site.layer >= 0)
    text += strCat(text.empty() ? ", in" : " of", " layer ", site.layer);
  if (!entryName.empty())
    text += strCat(text.empty() ? ", in" : " in", " entry ", quote(entryName));
  return text;
}

int64_t Launcher::deviceInfo(int32_t property) const {
  switch (property) {
  case DSV2RT_MULTIPROCESSORS:
    return context->info().multiprocessors;
  case DSV2RT_CHIP:
    return program.chip();
  default:
    return 0;
  }
}

StepCollectives *Launcher::collectives() {
  if (!exchange && status.ok())
    status = makeError(StatusCode::CorruptData, program.name(),
                       " calls a collective, expected launches alone");
  // The other ranks must not wait for one that cannot go on.
  if (exchange && !status.ok())
    exchange->fail(status);
  return exchange;
}

Status Launcher::start(int32_t index, const int32_t (&grid)[3],
                       void **parameters, const LaunchSite &site) {
  const std::vector<Program::Kernel> &kernels = program.kernels();
  if (index < 0 || size_t(index) >= kernels.size())
    return makeError(StatusCode::CorruptData, program.name(),
                     " launches kernel ", index, placeOf(site),
                     "; the manifest has ", kernels.size());
  const DeviceManifest::Kernel &facts = *kernels[index].facts;
  if (!kernels[index].function)
    return makeError(StatusCode::CorruptData, program.name(),
                     " launches kernel ", quote(facts.name), placeOf(site),
                     ", which is for ", facts.chip,
                     ", with its code for another chip loaded");
  auto what = [&](const char *doing) {
    return [this, &facts, &grid, &site, doing] {
      return strCat(doing, " kernel ", quote(facts.name), " with a grid of ",
                    grid[0], " x ", grid[1], " x ", grid[2], " blocks",
                    placeOf(site));
    };
  };
  for (int i = 0; i < 3; ++i)
    if (grid[i] < 0 || (i > 0 && grid[i] > maxGridDepth) ||
        grid[i] % facts.cluster[i])
      return makeError(StatusCode::Internal, what("launching")(),
                       ": expected 0 to ", i ? maxGridDepth : INT32_MAX,
                       " in dimension ", i, " and a multiple of the cluster's ",
                       facts.cluster[i]);
  if (!grid[0] || !grid[1] || !grid[2])
    return Status();

  pointers.clear();
  for (size_t i = 0; i < facts.parameters.size(); ++i) {
    void *value = parameters[i];
    if (facts.parameters[i].kind == DeviceManifest::ParameterKind::TensorMap) {
      Expected<const CUtensorMap *> map =
          maps.get(facts, index, i, *static_cast<const dsv2rt_tensor *>(value));
      if (!map.ok())
        return makeError(map.status().code(), map.status().message(),
                         placeOf(site));
      value = const_cast<CUtensorMap *>(map.value());
    }
    pointers.push_back(value);
  }

  CUlaunchAttribute attributes[2] = {};
  CUlaunchConfig config = {};
  config.gridDimX = unsigned(grid[0]);
  config.gridDimY = unsigned(grid[1]);
  config.gridDimZ = unsigned(grid[2]);
  config.blockDimX = unsigned(facts.block[0]);
  config.blockDimY = unsigned(facts.block[1]);
  config.blockDimZ = unsigned(facts.block[2]);
  config.sharedMemBytes = unsigned(facts.sharedBytes);
  config.hStream = stream.get();
  config.attrs = attributes;
  const auto &cluster = facts.cluster;
  if (cluster[0] * cluster[1] * cluster[2] > 1) {
    CUlaunchAttribute &attribute = attributes[config.numAttrs++];
    attribute.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attribute.value.clusterDim = {unsigned(cluster[0]), unsigned(cluster[1]),
                                  unsigned(cluster[2])};
  }
  // What the first one follows is not part of the step.
  if (kernels[index].startsEarly && count) {
    CUlaunchAttribute &attribute = attributes[config.numAttrs++];
    attribute.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    attribute.value.programmaticStreamSerializationAllowed = 1;
  }
  const Driver &driver = context->driver();
  // From the first kernel on, without the copy of the step's input.
  Status launched = timer.enabled() && !count ? timer.begin() : Status();
  if (launched.ok())
    launched =
        context->call(driver.cuLaunchKernelEx, what("launching"), &config,
                      kernels[index].function, pointers.data(), nullptr);
  if (!launched.ok())
    return launched;
  ++count;
  if (exchange)
    exchange->alive();
  if (timer.enabled())
    launched = timer.add(facts.name);
  if (!launched.ok())
    return launched;
  return waitForEach ? stream.wait(what("waiting for")) : Status();
}

void Launcher::tap(int32_t site, int64_t layer, void *data, int64_t rowCount,
                   int64_t columns, int64_t rowStride, int32_t dtype) {
  if (failure().ok())
    status = guarded([&] {
      return show(site, layer, data, rowCount, columns, rowStride, dtype);
    });
}

Status Launcher::show(int32_t site, int64_t layer, void *data, int64_t rowCount,
                      int64_t columns, int64_t rowStride, int32_t dtype) {
  int64_t elementBytes = dtype == DSV2RT_F32 || dtype == DSV2RT_I32 ? 4 : 2;
  int64_t elements = 0;
  if (rowCount < 0 || columns < 0 || rowStride < columns ||
      !mulFits(std::max<int64_t>(rowCount - 1, 0), rowStride, elements) ||
      !addFits(elements, columns, elements) || elements > int64_t(1) << 40)
    return makeError(StatusCode::CorruptData, program.name(), ", site ", site,
                     ": a tap of ", rowCount, " rows of ", columns,
                     " elements, ", rowStride, " apart");
  const Driver &driver = context->driver();
  auto what = [&](const char *doing) {
    return [site, layer, doing] {
      return strCat(doing, " what site ", site, " of layer ", layer, " shows");
    };
  };
  if (rowCount && columns) {
    rows.resize(size_t(elements * elementBytes));
    Status copied = context->call(
        driver.cuMemcpyDtoHAsync_v2, what("copying"), rows.data(),
        reinterpret_cast<CUdeviceptr>(data), rows.size(), stream.get());
    if (copied.ok())
      copied = stream.wait(what("waiting for"));
    if (!copied.ok())
      return copied;
  }
  taps->tap(site, layer, rows.data(), rowCount, columns, rowStride, dtype);
  return Status();
}
