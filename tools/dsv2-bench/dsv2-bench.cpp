//===- dsv2-bench.cpp - measures a compiled model -------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every combination of depth, batch and threads gives two rows: pp, a prompt
// of -p tokens in each of the sequences, and tg, -n tokens generated one step
// after the other. Sequences already hold as many tokens as the depth says;
// those are computed once and shared with every repetition.
//
//===----------------------------------------------------------------------===//

#include "Bandwidth.h"
#include "Peak.h"
#include "Region.h"
#include "Report.h"
#include "ToolSupport.h"

#include "dsv2rt/Buffer.h"
#include "dsv2rt/Session.h"
#include "dsv2rt/Threads.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

using namespace dsv2rt;
using namespace dsv2bench;

static const char tool[] = "dsv2-bench";

namespace {

/// The command line.
struct Flags {
  ModelFlags model;
  std::vector<int64_t> promptTokens{512};
  std::vector<int64_t> generateTokens{128};
  std::vector<int64_t> depths{0};
  std::vector<int64_t> batches{1};
  std::vector<int> threads;
  int repetitions = 5;
  int64_t chunk = 0;
  std::string output = "md";
};

/// Takes the measurements.
class Bench {
public:
  explicit Bench(Flags flags) : flags(std::move(flags)) {}
  int run();

private:
  Status load();
  Status checkLimits() const;
  Status measure(int64_t depth, int64_t batch, int threads);
  Expected<double> promptOnce(SequenceId base, int64_t depth, int64_t batch,
                              int64_t tokens);
  Expected<double> generateOnce(SequenceId base, int64_t depth, int64_t batch,
                                int64_t tokens);
  Expected<std::vector<SequenceId>> forkAll(SequenceId base, int64_t depth,
                                            int64_t batch);
  Status removeAll(const std::vector<SequenceId> &sequences);
  Status feed(const std::vector<SequenceId> &sequences, int64_t tokens);
  template <class F> Status repeat(Row row, F once);
  double operationsOfPrompt(int64_t depth, int64_t batch, int64_t tokens) const;
  double operationsOfStep(int64_t depth, int64_t tokens) const;
  void measureLimits();
  Status measureDevice();

  Flags flags;
  std::shared_ptr<const Artifact> artifact;
  std::shared_ptr<const PackedWeights> weights;
  std::shared_ptr<Device> device;
  std::unique_ptr<Session> session;
  Report report;
  std::vector<int32_t> tokens;
};

} // namespace

static double secondsSince(std::chrono::steady_clock::time_point begin) {
  std::chrono::duration<double> spent =
      std::chrono::steady_clock::now() - begin;
  return spent.count();
}

Status Bench::load() {
  auto begin = std::chrono::steady_clock::now();
  Expected<std::shared_ptr<const Artifact>> loaded = loadArtifact(flags.model);
  if (!loaded.ok())
    return loaded.status();
  artifact = std::move(loaded.value());
  Expected<std::shared_ptr<Device>> opened = openDevice(flags.model, *artifact);
  if (!opened.ok())
    return opened.status();
  device = std::move(opened.value());
  if (!flags.chunk)
    flags.chunk = suggestedChunk(device.get());
  Status status = checkLimits();
  if (!status.ok())
    return status;
  Expected<std::shared_ptr<const PackedWeights>> packed =
      loadWeights(tool, flags.model, artifact);
  if (!packed.ok())
    return packed.status();
  weights = std::move(packed.value());
  report.loadSeconds = secondsSince(begin);
  report.manifest = &artifact->manifest();
  report.artifact = artifact->path();
  report.variant = artifact->variant();
  if (device) {
    report.device = device->info().name;
    report.deviceModel = device->info().model;
  }
  report.weights = flags.model.weights;
  report.weightsReused = weights->reused();
  report.repetitions = flags.repetitions;
  report.chunk = flags.chunk;

  // Ids that differ, so that tokens go to different experts.
  int64_t longest =
      *std::max_element(flags.promptTokens.begin(), flags.promptTokens.end());
  longest = std::max(longest, flags.chunk);
  int64_t vocabulary = artifact->manifest().model.vocabSize;
  for (int64_t i = 0; i < longest; ++i)
    tokens.push_back(int32_t((i * 7919 + 13) % vocabulary));
  return Status();
}

Status Bench::checkLimits() const {
  const Manifest::Limits &limits = artifact->manifest().limits;
  int64_t longest =
      *std::max_element(flags.depths.begin(), flags.depths.end()) +
      std::max(*std::max_element(flags.promptTokens.begin(),
                                 flags.promptTokens.end()),
               *std::max_element(flags.generateTokens.begin(),
                                 flags.generateTokens.end()) +
                   1);
  if (longest > limits.maxContext)
    return Status::error(
        StatusCode::ContextLengthExceeded,
        "depth and tokens need a context of " + std::to_string(longest) +
            ", the artifact's limit is " + std::to_string(limits.maxContext));
  int64_t batch = *std::max_element(flags.batches.begin(), flags.batches.end());
  if (batch > limits.maxBatch)
    return Status::error(
        StatusCode::InvalidArgument,
        "-b: expected at most " + std::to_string(limits.maxBatch) +
            " sequences, the artifact's limit, found " + std::to_string(batch));
  return Status();
}

/// Gives `count` tokens to every sequence, in chunks.
Status Bench::feed(const std::vector<SequenceId> &sequences, int64_t count) {
  std::vector<StepInput> inputs(sequences.size());
  std::vector<StepOutput> outputs(sequences.size());
  int64_t share = std::max<int64_t>(
      flags.chunk / int64_t(std::max<size_t>(sequences.size(), 1)), 1);
  for (int64_t done = 0; done < count;) {
    int64_t now = std::min(share, count - done);
    for (size_t i = 0; i < sequences.size(); ++i)
      inputs[i] = {sequences[i],
                   tokens.data() + done % (int64_t(tokens.size()) - now + 1),
                   now,
                   done + now == count ? LogitRows::Last : LogitRows::None};
    Status status = session->step(inputs.data(), inputs.size(), outputs.data());
    for (const StepOutput &output : outputs)
      if (status.ok())
        status = output.status;
    if (status.ok() && handleInterrupts())
      status = Status::error(StatusCode::Internal, "interrupted");
    if (!status.ok())
      return status;
    done += now;
  }
  return Status();
}

Expected<std::vector<SequenceId>> Bench::forkAll(SequenceId base, int64_t depth,
                                                 int64_t batch) {
  std::vector<SequenceId> sequences;
  for (int64_t i = 0; i < batch; ++i) {
    Expected<SequenceId> id = session->fork(base, depth);
    if (!id.ok())
      return id.status();
    sequences.push_back(id.value());
  }
  return sequences;
}

Status Bench::removeAll(const std::vector<SequenceId> &sequences) {
  for (SequenceId sequence : sequences) {
    Status status = session->removeSequence(sequence);
    if (!status.ok())
      return status;
  }
  return Status();
}

Expected<double> Bench::promptOnce(SequenceId base, int64_t depth,
                                   int64_t batch, int64_t count) {
  Expected<std::vector<SequenceId>> sequences = forkAll(base, depth, batch);
  if (!sequences.ok())
    return sequences.status();
  auto begin = std::chrono::steady_clock::now();
  Status status = feed(sequences.value(), count);
  double spent = secondsSince(begin);
  if (status.ok())
    status = removeAll(sequences.value());
  if (!status.ok())
    return status;
  return double(count * batch) / spent;
}

Expected<double> Bench::generateOnce(SequenceId base, int64_t depth,
                                     int64_t batch, int64_t count) {
  Expected<std::vector<SequenceId>> sequences = forkAll(base, depth, batch);
  if (!sequences.ok())
    return sequences.status();
  std::vector<StepInput> inputs(batch);
  std::vector<StepOutput> outputs(batch);
  Status status;
  // One step before the clock starts: it may have to copy shared pages.
  std::chrono::steady_clock::time_point begin;
  for (int64_t step = 0; status.ok() && step <= count; ++step) {
    if (step == 1)
      begin = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < batch; ++i)
      inputs[i] = {sequences.value()[i],
                   &tokens[(step * batch + i) % tokens.size()], 1,
                   LogitRows::Last};
    status = session->step(inputs.data(), inputs.size(), outputs.data());
    for (const StepOutput &output : outputs)
      if (status.ok())
        status = output.status;
    if (status.ok() && handleInterrupts())
      status = Status::error(StatusCode::Internal, "interrupted");
  }
  double spent = secondsSince(begin);
  if (status.ok())
    status = removeAll(sequences.value());
  if (!status.ok())
    return status;
  return double(count * batch) / spent;
}

/// Calls `once` for a warm-up and every repetition and keeps the row.
template <class F> Status Bench::repeat(Row row, F once) {
  for (int i = 0; i <= flags.repetitions; ++i) {
    Expected<double> rate = once();
    if (!rate.ok())
      return rate.status();
    if (i)
      row.rates.push_back(rate.value());
  }
  report.rows.push_back(std::move(row));
  return Status();
}

/// Operations for one token of a prompt, which is fed in chunks.
double Bench::operationsOfPrompt(int64_t depth, int64_t batch,
                                 int64_t count) const {
  int64_t share = std::max<int64_t>(flags.chunk / batch, 1);
  const std::string &form = artifact->entryFor(std::min(share, count)).form;
  return artifact->manifest().operations(count, depth, 1, form) / double(count);
}

/// Operations for one of `count` tokens that are generated one by one after the
/// first.
double Bench::operationsOfStep(int64_t depth, int64_t count) const {
  const std::string &form = artifact->entryFor(1).form;
  return artifact->manifest().operations(count, depth + 1, count, form) /
         double(count);
}

Status Bench::measure(int64_t depth, int64_t batch, int threads) {
  const Manifest &manifest = artifact->manifest();
  int64_t most = 1;
  for (int64_t count : flags.promptTokens)
    most = std::max(most, count);
  for (int64_t count : flags.generateTokens)
    most = std::max(most, count + 1);
  SessionOptions options;
  options.maxContext = std::min(depth + most, manifest.limits.maxContext);
  options.maxSequences = batch;
  options.stepTokens = flags.chunk;
  options.threads = threads;
  options.device = device;
  options.graphs = !flags.model.noGraphs;
  // The shared prefix, and for each sequence its own tokens and a copy of the
  // prefix's last page.
  int64_t page = manifest.cache.page;
  auto pages = [&](int64_t positions) {
    return (positions + page - 1) / page * page;
  };
  options.cachePositions = pages(depth) + batch * (pages(most) + 2 * page);
  session.reset();
  // The weights are copied by the first session and stay for the others.
  auto begin = std::chrono::steady_clock::now();
  ProgressLine progress("copying weights to the device");
  options.uploadProgress = [&](int64_t done, int64_t total) {
    progress.update(done, total);
    if (done == total)
      report.uploadSeconds = secondsSince(begin);
  };
  Expected<std::unique_ptr<Session>> created =
      Session::create(artifact, weights, options);
  if (!created.ok())
    return created.status();
  session = std::move(created.value());
  if (session->plan().total() > report.plan.total())
    report.plan = session->plan();
  if (flags.model.pin) {
    Status pinned = pinThreads(threads);
    if (!pinned.ok())
      return pinned;
  }

  Expected<SequenceId> base = session->addSequence();
  if (!base.ok())
    return base.status();
  Status status = feed({base.value()}, depth);
  if (!status.ok())
    return status;

  Row row;
  row.depth = depth, row.batch = batch, row.threads = threads;
  for (int64_t count : flags.promptTokens) {
    if (!count || !status.ok())
      continue;
    row.test = "pp", row.tokens = count, row.bytesPerStep = 0;
    row.operationsPerToken = operationsOfPrompt(depth, batch, count);
    status = repeat(
        row, [&] { return promptOnce(base.value(), depth, batch, count); });
  }
  for (int64_t count : flags.generateTokens) {
    if (!count || !status.ok())
      continue;
    row.test = "tg", row.tokens = count;
    row.operationsPerToken = operationsOfStep(depth, count);
    // On average a step reads the depth and half of what is generated.
    row.bytesPerStep =
        manifest.activeWeightBytes(batch) +
        batch * (depth + count / 2 + 1) * manifest.cache.bytesPerToken();
    status = repeat(
        row, [&] { return generateOnce(base.value(), depth, batch, count); });
  }
  return status;
}

/// What a device's memory could do at most.
Status Bench::measureDevice() {
  constexpr int64_t most = int64_t(512) << 20;
  device->forgetWeights();
  Expected<int64_t> available = device->availableMemory();
  if (!available.ok())
    return available.status();
  Expected<double> rate =
      device->measureCopyRate(std::min(most, available.value() / 4));
  if (!rate.ok())
    return rate.status();
  // Bytes that are read and bytes that are written.
  for (int threads : flags.threads)
    report.limits[threads].readBandwidth = 2 * rate.value();
  return Status();
}

/// What the machine could do, in the same run: it may be another an hour later.
void Bench::measureLimits() {
  const Manifest &manifest = artifact->manifest();
  const ProductInstruction &instruction = productInstruction(
      manifest.numerics.weightFormat, manifest.target.features);
  report.instruction = instruction.name;
  for (int threads : flags.threads) {
    Limits &limits = report.limits[threads];
    limits.region = measureRegion(threads);
    limits.peak = measurePeak(instruction, threads);
    // Its threads are its own and would inherit the place of this one.
    if (flags.model.pin)
      unpinThreads(threads);
    limits.readBandwidth = measureReadBandwidth(threads);
  }
}

int Bench::run() {
  Status status = load();
  if (!status.ok())
    return reportFailure(tool, status);
  for (int threads : flags.threads)
    for (int64_t depth : flags.depths)
      for (int64_t batch : flags.batches) {
        status = measure(depth, batch, threads);
        if (!status.ok())
          return reportFailure(tool, status);
      }
  // Last, because its memory is none of the model's.
  session.reset();
  report.peakMemory = peakResidentMemory();
  if (device)
    status = measureDevice();
  else
    measureLimits();
  noteReleaseFailure(tool, device.get());
  if (!status.ok())
    return reportFailure(tool, status);
  if (flags.output == "json")
    printJson(report);
  else if (flags.output == "jsonl")
    printJsonLines(report);
  else
    printMarkdown(report);
  if (std::fflush(stdout) != 0) {
    printError(tool, "cannot write to standard output");
    return ExitFailure;
  }
  return ExitSuccess;
}

static const char footer[] = R"(
Lists are separated by commas. pp rows process a prompt, tg rows generate; the
rate is the median of the repetitions. GB/s counts the packed weights that one
step has to read, of routed experts only those chosen, and the latent cache;
with several sequences, which may share experts, it is an upper bound. TOP/s
counts the model's matrix products and attention, two operations for a product
that is summed; its limit is what the instruction of the kernels reaches on
registers. Both limits are measured at the end of the run. Rows of json and
jsonl have the names of llama-bench's fields where it has the same ones.

Exit codes: 0 success; 1 a failure while running; 2 a wrong command line.)";

static void declare(CLI::App &app, Flags &flags) {
  constexpr int64_t most = int64_t(1) << 32;
  declareModelFlags(app, flags.model, Artifact::inProcess());
  app.add_option("-p", flags.promptTokens, "Prompt tokens; 0: no such test")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(int64_t(0), most));
  app.add_option("-n", flags.generateTokens,
                 "Tokens to generate; 0: no such test")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(int64_t(0), most));
  app.add_option("-d", flags.depths, "Tokens already in the cache")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(int64_t(0), most));
  app.add_option("-b", flags.batches, "Sequences")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(int64_t(1), most));
  app.add_option("-t", flags.threads,
                 "Threads (default: one for every core that affinity and "
                 "control groups grant)")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  declarePinFlag(app, flags.model);
  app.add_option("-r", flags.repetitions, "Repetitions of each test")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  app.add_option("--chunk", flags.chunk,
                 "Prompt tokens of one step (default: 512, on a device 4096)")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 24));
  app.add_option("-o", flags.output,
                 "Form of the result: md, json, or jsonl, one object for every "
                 "row")
      ->capture_default_str()
      ->check(CLI::IsMember({"md", "json", "jsonl"}));
  app.footer(footer);
}

int main(int argc, char **argv) {
  try {
    Flags flags;
    CLI::App app("Measures a compiled DeepSeek-V2 family model.", tool);
    app.set_version_flag("--version", std::string(tool) + " " + DSV2_VERSION);
    declare(app, flags);
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
      if (error.get_exit_code() == 0)
        return app.exit(error);
      printError(tool, error.what());
      return ExitUsage;
    }
    if (flags.threads.empty())
      flags.threads.push_back(defaultThreadCount());
    flags.model.threads =
        *std::max_element(flags.threads.begin(), flags.threads.end());
    warnOfOversubscription(tool, flags.model.threads);
    handleInterrupts();
    return Bench(std::move(flags)).run();
  } catch (const std::bad_alloc &) {
    printError(tool, "memory allocation failed");
  } catch (const std::exception &error) {
    printError(tool, std::string("unexpected exception: ") + error.what());
  }
  return ExitFailure;
}
