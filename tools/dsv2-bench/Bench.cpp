//===- Bench.cpp - measurements of a compiled model ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Bench.h"
#include "Bandwidth.h"
#include "Peak.h"
#include "Region.h"

#include "dsv2rt/Buffer.h"
#include "dsv2rt/Threads.h"

#include <algorithm>
#include <cstdio>

using namespace dsv2rt;
using namespace dsv2bench;

/// Finds out how many threads this rank has.
Status Bench::place() {
  Expected<Team::Neighbours> found = team.neighbours();
  if (!found.ok())
    return found.status();
  neighbours = found.value();
  if (flags.threads.empty())
    flags.threads.push_back(defaultThreadsOf(neighbours));
  flags.model.threads =
      *std::max_element(flags.threads.begin(), flags.threads.end());
  if (team.isFirst())
    warnOfOversubscription(benchTool, flags.model.threads * neighbours.count);
  return Status();
}

Status Bench::load() {
  auto begin = std::chrono::steady_clock::now();
  Expected<std::shared_ptr<Device>> opened =
      openDevice(flags.model, *artifact, team.rank());
  if (!opened.ok())
    return opened.status();
  device = std::move(opened.value());
  if (!flags.chunk)
    flags.chunk = suggestedChunk(device.get());
  Status status = checkLimits();
  if (!status.ok())
    return status;
  Expected<std::shared_ptr<const PackedWeights>> packed =
      loadWeights(benchTool, flags.model, artifact, team);
  if (!packed.ok())
    return packed.status();
  weights = std::move(packed.value());
  report.loadSeconds = flags.loadSeconds + secondsSince(begin);
  report.ranks = team.size();
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

/// Continuations of the bases in turn, so that the ranks share them.
Expected<std::vector<SequenceId>> Bench::forkAll(int64_t depth, int64_t batch) {
  std::vector<SequenceId> sequences;
  for (int64_t i = 0; i < batch; ++i) {
    Expected<SequenceId> id = session->fork(bases[i % bases.size()], depth);
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

Expected<double> Bench::promptOnce(int64_t depth, int64_t batch,
                                   int64_t count) {
  Expected<std::vector<SequenceId>> sequences = forkAll(depth, batch);
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

Expected<double> Bench::generateOnce(int64_t depth, int64_t batch,
                                     int64_t count) {
  Expected<std::vector<SequenceId>> sequences = forkAll(depth, batch);
  if (!sequences.ok())
    return sequences.status();
  Expected<double> spent = session->decodesAlone()
                               ? generateByDevice(sequences.value(), count)
                               : generateByHost(sequences.value(), count);
  Status status = spent.status();
  if (status.ok())
    status = removeAll(sequences.value());
  if (!status.ok())
    return status;
  return double(count * batch) / spent.value();
}

/// Seconds for `count` tokens of each sequence, which are given.
Expected<double> Bench::generateByHost(const std::vector<SequenceId> &sequences,
                                       int64_t count) {
  size_t batch = sequences.size();
  std::vector<StepInput> inputs(batch);
  std::vector<StepOutput> outputs(batch);
  Status status;
  // One step before the clock starts: it may have to copy shared pages.
  std::chrono::steady_clock::time_point begin;
  for (int64_t step = 0; status.ok() && step <= count; ++step) {
    if (step == 1)
      begin = std::chrono::steady_clock::now();
    for (size_t i = 0; i < batch; ++i)
      inputs[i] = {sequences[i],
                   &tokens[(size_t(step) * batch + i) % tokens.size()], 1,
                   LogitRows::Last};
    status = session->step(inputs.data(), inputs.size(), outputs.data());
    for (const StepOutput &output : outputs)
      if (status.ok())
        status = output.status;
    if (status.ok() && handleInterrupts())
      status = Status::error(StatusCode::Internal, "interrupted");
  }
  double spent = secondsSince(begin);
  if (!status.ok())
    return status;
  return spent;
}

/// The same for tokens that the device draws, so that they differ too.
Expected<double>
Bench::generateByDevice(const std::vector<SequenceId> &sequences,
                        int64_t count) {
  std::vector<DecodeInput> inputs(sequences.size());
  for (size_t i = 0; i < sequences.size(); ++i) {
    inputs[i].sequence = sequences[i];
    inputs[i].token = tokens[i % tokens.size()];
    inputs[i].sampling.temperature = 1;
    inputs[i].sampling.seed = i;
  }
  std::chrono::steady_clock::time_point begin;
  Status status;
  for (int64_t done = 0; status.ok() && done <= count;) {
    Status ofOutputs;
    status = session->decode(inputs.data(), inputs.size(), count + 1 - done,
                             [&](const DecodeOutput *outputs) {
                               if (done++ == 0)
                                 begin = std::chrono::steady_clock::now();
                               for (size_t i = 0; i < inputs.size(); ++i) {
                                 inputs[i].token = outputs[i].token;
                                 if (ofOutputs.ok())
                                   ofOutputs = outputs[i].status;
                               }
                               if (ofOutputs.ok() && handleInterrupts())
                                 ofOutputs = Status::error(StatusCode::Internal,
                                                           "interrupted");
                               return ofOutputs.ok();
                             });
    if (status.ok())
      status = ofOutputs;
  }
  double spent = secondsSince(begin);
  if (!status.ok())
    return status;
  return spent;
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
  options.hostSampling = flags.model.hostSampling;
  // The shared prefix, and for each sequence its own tokens and a copy of the
  // prefix's last page.
  int64_t page = manifest.cache.page;
  auto pages = [&](int64_t positions) {
    return (positions + page - 1) / page * page;
  };
  int64_t owners = manifest.mesh.ep, own = (batch + owners - 1) / owners;
  options.cachePositions =
      owners * (pages(depth) + own * (pages(most) + 2 * page));
  options.world = team.world();
  options.deviceComm = flags.ranks.deviceComm;
  options.ncclLibrary = flags.ranks.ncclLibrary;
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
  if (device && team.size() > 1 && report.deviceComm.empty()) {
    noteDeviceComm(benchTool, team, *session, device.get());
    report.deviceComm = deviceCommName(session->deviceComm());
  }
  if (session->plan().total() > report.plan.total())
    report.plan = session->plan();
  if (flags.model.pin) {
    Status pinned = pinThreads(threads, threads * neighbours.before);
    if (!pinned.ok())
      return pinned;
  }

  bases.clear();
  for (int64_t owner = 0; owner < owners; ++owner) {
    Expected<SequenceId> base = session->addSequence();
    if (!base.ok())
      return base.status();
    bases.push_back(base.value());
  }
  // One at a time: there may be more of them than sequences in a step.
  Status status;
  for (SequenceId base : bases)
    if (status.ok())
      status = feed({base}, depth);
  if (!status.ok())
    return status;

  Row row;
  row.depth = depth, row.batch = batch, row.threads = threads;
  for (int64_t count : flags.promptTokens) {
    if (!count || !status.ok())
      continue;
    row.test = "pp", row.tokens = count, row.bytesPerStep = 0;
    row.operationsPerToken = operationsOfPrompt(depth, batch, count);
    status = repeat(row, [&] { return promptOnce(depth, batch, count); });
  }
  for (int64_t count : flags.generateTokens) {
    if (!count || !status.ok())
      continue;
    row.test = "tg", row.tokens = count;
    row.operationsPerToken = operationsOfStep(depth, count);
    // On average a step reads the depth and half of what is generated.
    row.bytesPerStep = manifest.activeWeightBytes(batch) +
                       manifest.mesh.tp * batch * (depth + count / 2 + 1) *
                           manifest.cache.bytesPerToken();
    status = repeat(row, [&] { return generateOnce(depth, batch, count); });
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
  // This rank measures for all of its host, and hosts are taken to be alike.
  int sharers = neighbours.count;
  double hosts = double(team.size()) / sharers;
  for (int threads : flags.threads) {
    Limits &limits = report.limits[threads];
    limits.region = measureRegion(threads);
    // Its threads are its own and would inherit the place of this one.
    if (flags.model.pin && sharers > 1)
      unpinThreads(threads);
    limits.peak = hosts * measurePeak(instruction, threads * sharers);
    if (flags.model.pin)
      unpinThreads(threads * sharers);
    limits.readBandwidth = hosts * measureReadBandwidth(threads * sharers);
  }
}

/// Makes what was planned and what is resident that of all ranks.
Status Bench::addMemory() {
  int64_t resident = int64_t(report.peakMemory);
  for (int64_t *bytes :
       {&report.plan.weights, &report.plan.cache, &report.plan.workspace,
        &report.plan.logits, &resident}) {
    Expected<int64_t> total = team.sum(*bytes);
    if (!total.ok())
      return total.status();
    *bytes = total.value();
  }
  report.peakMemory = uint64_t(resident);
  return Status();
}

/// Everything up to the limits of the machine.
Status Bench::measureAll() {
  Status status = place();
  if (status.ok())
    status = team.agree(load());
  for (int threads : flags.threads)
    for (int64_t depth : flags.depths)
      for (int64_t batch : flags.batches)
        if (status.ok())
          status = measure(depth, batch, threads);
  // Limits come last, because their memory is none of the model's.
  session.reset();
  report.peakMemory = peakResidentMemory();
  return status.ok() ? addMemory() : status;
}

int Bench::run() {
  Status status = measureAll();
  if (!status.ok())
    return team.fail(benchTool, status);
  if (!team.isFirst())
    return ExitSuccess;
  if (device)
    status = measureDevice();
  else
    measureLimits();
  noteDeviceTroubles(benchTool, device.get());
  if (!status.ok())
    return team.fail(benchTool, status);
  if (flags.output == "json")
    printJson(report);
  else if (flags.output == "jsonl")
    printJsonLines(report);
  else
    printMarkdown(report);
  if (std::fflush(stdout) != 0)
    return team.fail(
        benchTool,
        Status::error(StatusCode::IoError, "cannot write to standard output"));
  return ExitSuccess;
}
