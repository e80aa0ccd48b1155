//===- HostEngine.cpp - steps on the CPU ----------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Engine.h"
#include "StepCollectives.h"
#include "StepContext.h"
#include "Support.h"
#include "dsv2rt/Buffer.h"
#include "dsv2rt/Threads.h"

#include <cstring>

using namespace dsv2rt;

namespace {

/// Hands taps and collectives on, and remembers launches: nothing can run them
/// here.
class HostContext final : public StepContext {
public:
  HostContext(TapSink &taps, StepCollectives &exchange)
      : taps(taps), exchange(exchange) {}

  void tap(int32_t site, int64_t layer, void *data, int64_t rows,
           int64_t columns, int64_t rowStride, int32_t dtype) override {
    // Compiled code has nothing to unwind an exception with.
    Status status = guarded([&]() -> Status {
      taps.tap(site, layer, data, rows, columns, rowStride, dtype);
      return Status();
    });
    if (!status.ok())
      exchange.fail(status);
  }
  void launch(int32_t kernel, int32_t, int32_t, int32_t, void **,
              LaunchSite) override {
    launched = true;
    firstKernel = kernel;
  }
  int64_t deviceInfo(int32_t) const override { return 0; }
  StepCollectives *collectives() override { return &exchange; }

  bool launched = false;
  int32_t firstKernel = 0;

private:
  TapSink &taps;
  StepCollectives &exchange;
};

class HostEngine final : public Engine {
public:
  HostEngine(std::shared_ptr<const Artifact> artifact,
             std::shared_ptr<const PackedWeights> weights, int threads,
             const std::string &purpose, StepCollectives *collectives)
      : artifact(std::move(artifact)), weights(std::move(weights)),
        threads(threads), purpose(purpose), alone(this->artifact->manifest()),
        exchange(collectives ? *collectives : alone) {}

  Status reserve(const MemoryPlan &plan) override;
  Status reserveStep(int64_t workspace, int64_t rows) override;
  Status copyPages(const std::vector<int32_t> &from,
                   const std::vector<int32_t> &to) override;
  Status clearPage(int32_t page) override;
  Status run(const Artifact::Entry &entry, const StepLayout &step,
             TapSink &taps, int level) override;
  const float *logits() const override {
    return static_cast<const float *>(logitMemory.data());
  }

private:
  const Manifest &manifest() const { return artifact->manifest(); }

  std::shared_ptr<const Artifact> artifact;
  std::shared_ptr<const PackedWeights> weights;
  int threads;
  std::string purpose;
  /// The collectives of an engine that was given none.
  StepCollectives alone;
  StepCollectives &exchange;
  int64_t pages = 0;
  Buffer cache, workspace, logitMemory;
};

} // namespace

Status HostEngine::reserve(const MemoryPlan &plan) {
  pages = plannedPages(plan, manifest());
  Status status = cache.reserve(plan.cache, "the latent cache" + purpose);
  if (status.ok())
    status = workspace.reserve(std::max<int64_t>(plan.workspace, 64),
                               "the workspace" + purpose);
  if (status.ok())
    status = logitMemory.reserve(plan.logits, "the logits" + purpose);
  return status;
}

Status HostEngine::reserveStep(int64_t bytes, int64_t rows) {
  Status status = workspace.reserve(bytes, "the workspace of a step" + purpose);
  if (status.ok())
    status = logitMemory.reserve(uint64_t(rows) *
                                     uint64_t(manifest().model.vocabSize) * 4,
                                 "the logits of a step" + purpose);
  return status;
}

Status HostEngine::copyPages(const std::vector<int32_t> &from,
                             const std::vector<int32_t> &to) {
  auto vector = [](const std::vector<int32_t> &values) {
    auto *base = const_cast<int32_t *>(values.data());
    return dsv2rt_memref1d{base, base, 0, {int64_t(values.size())}, {1}};
  };
  dsv2rt_memref1d fromRef = vector(from), toRef = vector(to);
  dsv2rt_memref4d cacheRef = cacheReference(manifest(), cache.data(), pages);
  artifact->copyPages()(&cacheRef, &fromRef, &toRef);
  return Status();
}

Status HostEngine::clearPage(int32_t page) {
  const Manifest::Cache &shape = manifest().cache;
  int64_t bytes = shape.bytesPerPage() / shape.layers;
  for (int64_t layer = 0; layer < shape.layers; ++layer)
    std::memset(static_cast<char *>(cache.data()) +
                    (layer * pages + page) * bytes,
                0, bytes);
  return Status();
}

Status HostEngine::run(const Artifact::Entry &entry, const StepLayout &step,
                       TapSink &taps, int level) {
  int64_t vocabulary = manifest().model.vocabSize;
  StepArguments arguments(step, [](const std::vector<int32_t> &values) {
    return const_cast<int32_t *>(values.data());
  });
  dsv2rt_memref4d cacheRef = cacheReference(manifest(), cache.data(), pages);
  auto *slots = const_cast<void **>(weights->slots().data());
  dsv2rt_memref1d weightRef = {
      slots, slots, 0, {int64_t(weights->slots().size())}, {1}};
  dsv2rt_memref1d workRef = {
      workspace.data(), workspace.data(), 0, {int64_t(workspace.size())}, {1}};
  dsv2rt_memref2d logitRef = {logitMemory.data(),
                              logitMemory.data(),
                              0,
                              {int64_t(step.rows.size()), vocabulary},
                              {vocabulary, 1}};
  if (threads)
    setThreadCount(threads);
  exchange.begin(step.arrivals);
  HostContext context(taps, exchange);
  StepContext *receiver = &context;
  entry.step(&arguments.tokens, &arguments.positions, &arguments.seqIds,
             &arguments.seqStarts, &arguments.tables, &arguments.rows,
             &cacheRef, &weightRef, &workRef, &logitRef, receiver, level);
  if (context.launched)
    return makeError(StatusCode::CorruptData, "artifact ",
                     quote(artifact->path()), ": entry ", quote(entry.name),
                     " launches kernel ", context.firstKernel,
                     ", but the manifest has no device");
  return exchange.failure();
}

dsv2rt_memref4d dsv2rt::cacheReference(const Manifest &manifest, void *base,
                                       int64_t pages) {
  const Manifest::Cache &shape = manifest.cache;
  int64_t width = shape.rowBytes / shape.elementBytes;
  return {base,
          base,
          0,
          {shape.layers, pages, shape.page, width},
          {pages * shape.page * width, shape.page * width, width, 1}};
}

std::unique_ptr<Engine>
dsv2rt::makeHostEngine(std::shared_ptr<const Artifact> artifact,
                       std::shared_ptr<const PackedWeights> weights,
                       int threads, const std::string &purpose,
                       StepCollectives *collectives) {
  return std::make_unique<HostEngine>(std::move(artifact), std::move(weights),
                                      threads, purpose, collectives);
}
