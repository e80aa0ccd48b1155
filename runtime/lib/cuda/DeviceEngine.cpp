//===- DeviceEngine.cpp - sessions on a device ----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceEngine.h"
#include "DeviceImpl.h"
#include "DirectMemory.h"
#include "Graphs.h"
#include "Launcher.h"
#include "TokenChain.h"

#include <cstring>

using namespace dsv2rt;
using namespace dsv2rt::cuda;

namespace {

/// Where the vectors of a step begin in its input, in bytes, and their number.
constexpr int64_t inputAlignment = 64;
constexpr int64_t inputVectors = 6;

/// Bytes of an input of so many numbers.
int64_t inputBytes(int64_t values) {
  return values * 4 + inputVectors * inputAlignment;
}

/// A power of two, so that a growing context does not need a graph for every
/// page.
int64_t roundedTableWidth(int64_t needed) {
  int64_t width = 1;
  while (width < needed)
    width *= 2;
  return width;
}

/// Numbers in the largest input that is planned for.
int64_t plannedInput(const Manifest &manifest, const SessionOptions &options) {
  int64_t page = manifest.cache.page;
  int64_t context =
      options.maxContext ? options.maxContext : manifest.limits.maxContext;
  int64_t width = roundedTableWidth((context + page - 1) / page);
  int64_t sequences = options.maxSequences;
  // Tokens, positions, sequences and rows; starts; tables.
  return 4 * std::max(std::min(options.stepTokens, context), sequences) +
         sequences + 1 + sequences * width;
}

class DeviceEngine final : public Engine {
public:
  DeviceEngine(std::shared_ptr<const Artifact> artifact,
               const SessionOptions &options, StepStream &stream,
               StepCollectives &collectives)
      : artifact(std::move(artifact)), device(options.device),
        context(device->implementation().context),
        inputValues(plannedInput(this->artifact->manifest(), options)),
        maxSequences(options.maxSequences),
        useGraphs(options.graphs &&
                  this->artifact->manifest().mesh.size() == 1),
        trace(options.trace), steps(stream), stream(stream.get()),
        exchange(collectives) {}

  ~DeviceEngine() override;

  /// Loads the kernels and brings the weights.
  Status open(const PackedWeights &packed,
              const std::function<void(int64_t, int64_t)> &progress);

  Status reserve(const MemoryPlan &plan) override;
  Status reserveStep(int64_t workspace, int64_t rows) override;
  Status copyPages(const std::vector<int32_t> &from,
                   const std::vector<int32_t> &to) override;
  Status clearPage(int32_t page) override;
  int64_t tableWidth(int64_t needed) const override {
    return roundedTableWidth(needed);
  }
  Status run(const Artifact::Entry &entry, const StepLayout &step,
             TapSink &taps, int level) override;
  const float *logits() const override {
    return static_cast<const float *>(logitStaging.data());
  }
  double deviceSeconds() const override { return seconds; }
  bool replayed() const override { return wasReplayed; }

  int64_t chainDepth() const override {
    return artifact->sample() ? TokenChain::depth : 0;
  }
  Status beginChain(const Artifact::Entry &entry, const StepLayout &step,
                    const std::vector<ChainRow> &rows) override;
  Status pushStep() override;
  Status takeStep(std::vector<int32_t> &chosen) override;
  Status endChain() override;

private:
  const Manifest &manifest() const { return artifact->manifest(); }
  const Driver &driver() const { return context->driver(); }
  /// Bytes of one page in one layer, and where that of a layer is.
  int64_t pageBytes() const {
    return manifest().cache.bytesPerPage() / manifest().cache.layers;
  }
  CUdeviceptr pageAddress(int64_t layer, int32_t page) const {
    return cache.address() + CUdeviceptr((layer * pages + page) * pageBytes());
  }
  Status grow(DeviceMemory &memory, int64_t bytes, const char *purpose);
  Status reserveInput(int64_t values);
  Expected<StepArguments> sendInput(const StepLayout &step,
                                    const Artifact::Entry &entry);
  dsv2rt_memref2d logitReference(int64_t rows) const;
  Status launchAll(const Artifact::Entry &entry, StepArguments &arguments,
                   int level);
  Status runEntry(const Artifact::Entry &entry, StepArguments &arguments,
                  int level);
  Graphs::Shape shapeOf(const Artifact::Entry &entry,
                        const StepArguments &arguments, bool chooses) const;

  std::shared_ptr<const Artifact> artifact;
  std::shared_ptr<Device> device;
  std::shared_ptr<Context> context;
  /// Numbers of the input that is reserved at first.
  int64_t inputValues;
  /// Rows of logits that a chain can have.
  int64_t maxSequences;
  /// What a rank does in a step depends on what the others send, so that steps
  /// of several ranks are never repeated.
  bool useGraphs;
  Trace *trace;
  StepStream &steps;
  CUstream stream;
  StepCollectives &exchange;

  std::shared_ptr<const ResidentWeights> weights;
  std::unique_ptr<Program> program;
  EventHandle begin, end;
  DeviceMemory cache, workspace, logitMemory, input;
  PinnedMemory logitStaging, inputStaging;
  std::unique_ptr<StepMemory> memory;
  std::unique_ptr<Launcher> launcher;
  std::unique_ptr<Graphs> graphs;
  TokenChain chain;
  int64_t pages = 0;
  /// Bytes of workspace of the current step.
  int64_t stepWorkspace = 0;
  double seconds = 0;
  bool wasReplayed = false;
};

} // namespace

/// What is still on the stream uses memory that goes with the engine.
DeviceEngine::~DeviceEngine() {
  exchange.useMemory(nullptr);
  if (!steps.hasExchanges()) {
    context->release(driver().cuStreamSynchronize, "waiting for the last step",
                     stream);
    return;
  }
  // What ended an exchange was told already.
  (void)context->makeCurrent();
  (void)steps.wait("waiting for the last step");
}

Status
DeviceEngine::open(const PackedWeights &packed,
                   const std::function<void(int64_t, int64_t)> &progress) {
  Status status = context->makeCurrent();
  if (!status.ok())
    return status;
  // Kernels first: they are quick to load, and may be refused.
  Expected<std::unique_ptr<Program>> loaded =
      Program::load(context, sourceOf(artifact));
  if (!loaded.ok())
    return loaded.status();
  program = std::move(loaded.value());
  for (EventHandle *event : {&begin, &end}) {
    Expected<EventHandle> made = makeEvent(context, /*timing=*/true);
    if (!made.ok())
      return made.status();
    *event = std::move(made.value());
  }
  if (steps.hasExchanges())
    memory = std::make_unique<DirectMemory>(steps);
  else
    memory = std::make_unique<Staging>(steps);
  exchange.useMemory(memory.get());
  launcher = std::make_unique<Launcher>(*program, steps, &exchange, trace);
  graphs = std::make_unique<Graphs>(context, stream);
  Expected<std::shared_ptr<const ResidentWeights>> resident =
      device->implementation().weightsFor(manifest(), packed, progress);
  if (resident.ok())
    weights = std::move(resident.value());
  return resident.status();
}

/// Makes sure of at least so many bytes. If the memory moves, graphs that know
/// where it was are of no use.
Status DeviceEngine::grow(DeviceMemory &memory, int64_t bytes,
                          const char *purpose) {
  if (uint64_t(bytes) > memory.size())
    graphs->clear();
  return memory.reserve(context, uint64_t(bytes), purpose);
}

Status DeviceEngine::reserve(const MemoryPlan &plan) {
  pages = plannedPages(plan, manifest());
  Status status = context->makeCurrent();
  if (status.ok())
    status = grow(cache, plan.cache, "the latent cache");
  if (status.ok())
    status =
        grow(workspace, std::max<int64_t>(plan.workspace, 64), "the workspace");
  if (status.ok())
    status = grow(logitMemory, plan.logits, "the logits");
  if (status.ok())
    status = logitStaging.reserve(context, uint64_t(plan.logits), "the logits");
  if (status.ok())
    status = reserveInput(inputValues);
  if (status.ok())
    status =
        context->call(driver().cuMemsetD8Async, "clearing the latent cache",
                      cache.address(), 0, size_t(plan.cache), stream);
  if (status.ok())
    status = steps.wait("clearing the latent cache");
  return status;
}

/// Makes room for an input of so many numbers.
Status DeviceEngine::reserveInput(int64_t values) {
  int64_t bytes = inputBytes(values);
  Status status = grow(input, bytes, "the input of a step");
  if (status.ok())
    status =
        inputStaging.reserve(context, uint64_t(bytes), "the input of a step");
  return status;
}

Status DeviceEngine::reserveStep(int64_t bytes, int64_t rows) {
  stepWorkspace = bytes;
  int64_t logitBytes = rows * manifest().model.vocabSize * 4;
  Status status = context->makeCurrent();
  if (status.ok())
    status = grow(workspace, bytes, "the workspace of a step");
  if (status.ok())
    status = grow(logitMemory, logitBytes, "the logits of a step");
  if (status.ok())
    status = logitStaging.reserve(context, uint64_t(logitBytes),
                                  "the logits of a step");
  return status;
}

Status DeviceEngine::copyPages(const std::vector<int32_t> &from,
                               const std::vector<int32_t> &to) {
  Status status = context->makeCurrent();
  for (int64_t layer = 0; layer < manifest().cache.layers; ++layer)
    for (size_t i = 0; status.ok() && i < from.size(); ++i)
      status = context->call(
          driver().cuMemcpyDtoDAsync_v2,
          [&] {
            return strCat("copying page ", from[i], " of layer ", layer,
                          " to page ", to[i]);
          },
          pageAddress(layer, to[i]), pageAddress(layer, from[i]),
          size_t(pageBytes()), stream);
  return status;
}

Status DeviceEngine::clearPage(int32_t page) {
  Status status = context->makeCurrent();
  for (int64_t layer = 0; status.ok() && layer < manifest().cache.layers;
       ++layer)
    status = context->call(
        driver().cuMemsetD8Async,
        [&] { return strCat("clearing page ", page, " of layer ", layer); },
        pageAddress(layer, page), 0, size_t(pageBytes()), stream);
  return status;
}

/// Copies the vectors of a step to the device, and returns where they are.
Expected<StepArguments> DeviceEngine::sendInput(const StepLayout &step,
                                                const Artifact::Entry &entry) {
  Status status = reserveInput(
      int64_t(step.tokens.size() + step.positions.size() + step.seqIds.size() +
              step.seqStarts.size() + step.rows.size() + step.tables.size()));
  if (!status.ok())
    return status;
  // One piece of memory, so that one copy brings it. Where its parts begin
  // follows from the sizes of the step, as a graph needs.
  int64_t size = 0;
  StepArguments arguments(step, [&](const std::vector<int32_t> &values) {
    int64_t at = size;
    if (!values.empty())
      std::memcpy(static_cast<char *>(inputStaging.data()) + at, values.data(),
                  values.size() * 4);
    size = roundUp(at + int64_t(values.size()) * 4, inputAlignment);
    return reinterpret_cast<int32_t *>(input.address() + CUdeviceptr(at));
  });
  status = context->call(
      driver().cuMemcpyHtoDAsync_v2,
      [&] {
        return strCat("copying the input of a step of ", step.tokens.size(),
                      " tokens for entry ", quote(entry.name));
      },
      input.address(), inputStaging.data(), size_t(size), stream);
  if (!status.ok())
    return status;
  return arguments;
}

dsv2rt_memref2d DeviceEngine::logitReference(int64_t rows) const {
  int64_t vocabulary = manifest().model.vocabSize;
  return {logitMemory.pointer(),
          logitMemory.pointer(),
          0,
          {rows, vocabulary},
          {vocabulary, 1}};
}

/// Calls the entry, which puts its kernels on the stream.
Status DeviceEngine::launchAll(const Artifact::Entry &entry,
                               StepArguments &arguments, int level) {
  dsv2rt_memref4d cacheRef = cacheReference(manifest(), cache.pointer(), pages);
  // The table itself is read by the entry, on the host.
  auto *slots = const_cast<void **>(weights->slots().data());
  dsv2rt_memref1d weightRef = {
      slots, slots, 0, {int64_t(weights->slots().size())}, {1}};
  dsv2rt_memref1d workRef = {
      workspace.pointer(), workspace.pointer(), 0, {stepWorkspace}, {1}};
  dsv2rt_memref2d logitRef = logitReference(arguments.rows.sizes[0]);
  StepContext *receiver = launcher.get();
  entry.step(&arguments.tokens, &arguments.positions, &arguments.seqIds,
             &arguments.seqStarts, &arguments.tables, &arguments.rows,
             &cacheRef, &weightRef, &workRef, &logitRef, receiver, level);
  return launcher->failure();
}

/// Runs the entry, through a graph where one pays: for steps that give every
/// sequence one token, whose sizes come again, but for the rows of keys of an
/// expanded form. A tap needs the values between two kernels.
Status DeviceEngine::runEntry(const Artifact::Entry &entry,
                              StepArguments &arguments, int level) {
  auto launch = [&] { return launchAll(entry, arguments, level); };
  if (!useGraphs || launcher->timesKernels() || level > 0 ||
      entry.form == "expanded" ||
      arguments.tokens.sizes[0] != arguments.tables.sizes[0])
    return launch();
  return graphs->run(shapeOf(entry, arguments, /*chooses=*/false), launch,
                     wasReplayed);
}

Graphs::Shape DeviceEngine::shapeOf(const Artifact::Entry &entry,
                                    const StepArguments &arguments,
                                    bool chooses) const {
  return {&entry - artifact->entries().data(), arguments.tokens.sizes[0],
          arguments.tables.sizes[0],           arguments.rows.sizes[0],
          arguments.tables.sizes[1],           chooses};
}

Status DeviceEngine::run(const Artifact::Entry &entry, const StepLayout &step,
                         TapSink &taps, int level) {
  seconds = 0;
  wasReplayed = false;
  Status status = context->makeCurrent();
  if (!status.ok())
    return status;
  // Every kernel that is checked is waited for, so that a failure names it.
  exchange.begin(step.arrivals);
  launcher->begin(taps, /*waitForEach=*/level >= 2, entry.name, step.keyRows);
  Expected<StepArguments> sent = sendInput(step, entry);
  status = sent.status();
  if (status.ok())
    status = context->call(driver().cuEventRecord, "timing a step", begin.get(),
                           stream);
  if (status.ok())
    status = runEntry(entry, sent.value(), level);
  if (status.ok())
    status = context->call(driver().cuEventRecord, "timing a step", end.get(),
                           stream);
  if (status.ok() && !step.rows.empty())
    status = context->call(
        driver().cuMemcpyDtoHAsync_v2, "copying the logits",
        logitStaging.data(), logitMemory.address(),
        step.rows.size() * size_t(manifest().model.vocabSize) * 4, stream);
  // Waited for even after a failure: the staging memory has to be free.
  Status waited = steps.wait([&] {
    return strCat("waiting for a step of ", step.tokens.size(),
                  " tokens of entry ", quote(entry.name),
                  level >= 2 ? ""
                             : ", any kernel of which may have failed "
                               "(a checked step names it)");
  });
  if (status.ok())
    status = waited;
  float milliseconds = 0;
  if (status.ok())
    status = context->call(driver().cuEventElapsedTime, "timing a step",
                           &milliseconds, begin.get(), end.get());
  seconds = double(milliseconds) * 1e-3;
  return status.ok() ? launcher->finish() : status;
}

//===----------------------------------------------------------------------===//
// Chains
//===----------------------------------------------------------------------===//

namespace {
/// Nothing is shown of the steps of a chain.
struct NoTaps final : TapSink {
  void tap(int32_t, int64_t, void *, int64_t, int64_t, int64_t,
           int32_t) override {}
} noTaps;
} // namespace

Status DeviceEngine::beginChain(const Artifact::Entry &entry,
                                const StepLayout &step,
                                const std::vector<ChainRow> &rows) {
  Status status = context->makeCurrent();
  if (status.ok())
    status = chain.reserve(context, maxSequences, manifest().model.vocabSize);
  if (!status.ok())
    return status;
  exchange.begin(step.arrivals);
  Expected<StepArguments> sent = sendInput(step, entry);
  if (!sent.ok())
    return sent.status();
  return chain.begin(entry, step, sent.value(), rows, stream);
}

Status DeviceEngine::pushStep() {
  wasReplayed = false;
  const Artifact::Entry &entry = chain.entry();
  StepArguments &arguments = chain.arguments();
  auto launch = [&] {
    Status status = launchAll(entry, arguments, /*level=*/0);
    if (status.ok())
      chain.choose(artifact->sample(), logitReference(arguments.rows.sizes[0]),
                   launcher.get());
    return launcher->failure();
  };
  launcher->begin(noTaps, /*waitForEach=*/false, entry.name);
  return chain.push([&] {
    return useGraphs ? graphs->run(shapeOf(entry, arguments, /*chooses=*/true),
                                   launch, wasReplayed)
                     : launch();
  });
}

Status DeviceEngine::takeStep(std::vector<int32_t> &chosen) {
  Status status = chain.take(chosen);
  seconds = chain.seconds();
  return status;
}

Status DeviceEngine::endChain() {
  return context->call(driver().cuStreamSynchronize,
                       "waiting for the last steps of a chain", stream);
}

Expected<MemoryLimits> dsv2rt::deviceLimits(const Artifact &artifact,
                                            const PackedWeights &weights,
                                            const SessionOptions &options) {
  const Manifest &manifest = artifact.manifest();
  const Device &device = *options.device;
  MemoryLimits limits;
  limits.weights = manifest.packedBytes();
  bool resident = device.implementation().holds(weights);
  limits.chargedWeights = resident ? 0 : limits.weights;
  Expected<int64_t> available = device.availableMemory();
  if (!available.ok())
    return available.status();
  // Code, graphs and local memory are the driver's to allocate.
  constexpr int64_t largestReserve = 512 << 20;
  limits.budget =
      available.value() - std::min(available.value() / 16, largestReserve);
  // A budget is for everything, whether or not it is there already.
  if (options.memoryBudget)
    limits.budget =
        std::min(limits.budget, options.memoryBudget -
                                    (limits.weights - limits.chargedWeights));
  limits.budget -= inputBytes(plannedInput(manifest, options));
  if (artifact.sample())
    limits.budget -=
        TokenChain::bytes(options.maxSequences, manifest.model.vocabSize);
  limits.budget = std::max<int64_t>(limits.budget, 0);
  limits.where = " on " + device.text();
  return limits;
}

Expected<std::unique_ptr<Engine>>
dsv2rt::makeDeviceEngine(std::shared_ptr<const Artifact> artifact,
                         std::shared_ptr<const PackedWeights> weights,
                         const SessionOptions &options, StepStream &stream,
                         StepCollectives &collectives) {
  auto engine = std::make_unique<DeviceEngine>(std::move(artifact), options,
                                               stream, collectives);
  Status status = engine->open(*weights, options.uploadProgress);
  if (!status.ok())
    return status;
  return std::unique_ptr<Engine>(std::move(engine));
}
