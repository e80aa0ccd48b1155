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
#include "ToolSupport.h"

#include "dsv2rt/Buffer.h"
#include "dsv2rt/Session.h"
#include "dsv2rt/Threads.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

using namespace dsv2rt;

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
  int64_t chunk = 512;
  std::string output = "md";
};

/// One row of the result.
struct Row {
  std::string test;
  int64_t tokens = 0, depth = 0, batch = 0;
  int threads = 0;
  /// Tokens a second: the median, the least and the most.
  double median = 0, low = 0, high = 0;
  /// Bytes that one step reads of weights and cache, 0 for prompts.
  int64_t bytesPerStep = 0;
  double bandwidth = 0;
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
  void printMarkdown() const;
  void printJson() const;
  double percent(const Row &row) const;

  Flags flags;
  std::shared_ptr<const Artifact> artifact;
  std::shared_ptr<const PackedWeights> weights;
  std::unique_ptr<Session> session;
  double loadSeconds = 0;
  std::vector<Row> rows;
  std::map<int, double> bandwidths;
  MemoryPlan plan;
  uint64_t peakMemory = 0;
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
  Status status = checkLimits();
  if (!status.ok())
    return status;
  Expected<std::shared_ptr<const PackedWeights>> packed =
      loadWeights(tool, flags.model, artifact);
  if (!packed.ok())
    return packed.status();
  weights = std::move(packed.value());
  loadSeconds = secondsSince(begin);

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
  std::vector<double> rates;
  for (int i = 0; i <= flags.repetitions; ++i) {
    Expected<double> rate = once();
    if (!rate.ok())
      return rate.status();
    if (i)
      rates.push_back(rate.value());
  }
  std::sort(rates.begin(), rates.end());
  size_t middle = rates.size() / 2;
  row.median = rates.size() % 2 ? rates[middle]
                                : (rates[middle - 1] + rates[middle]) / 2;
  row.low = rates.front();
  row.high = rates.back();
  if (row.bytesPerStep)
    row.bandwidth = double(row.bytesPerStep) * row.median / double(row.batch);
  rows.push_back(row);
  return Status();
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
  // The shared prefix, and for each sequence its own tokens and a copy of the
  // prefix's last page.
  int64_t page = manifest.cache.page;
  auto pages = [&](int64_t positions) {
    return (positions + page - 1) / page * page;
  };
  options.cachePositions = pages(depth) + batch * (pages(most) + 2 * page);
  session.reset();
  Expected<std::unique_ptr<Session>> created =
      Session::create(artifact, weights, options);
  if (!created.ok())
    return created.status();
  session = std::move(created.value());
  if (session->plan().total() > plan.total())
    plan = session->plan();

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
    status = repeat(
        row, [&] { return promptOnce(base.value(), depth, batch, count); });
  }
  for (int64_t count : flags.generateTokens) {
    if (!count || !status.ok())
      continue;
    row.test = "tg", row.tokens = count;
    // On average a step reads the depth and half of what is generated.
    row.bytesPerStep =
        manifest.activeWeightBytes(batch) +
        batch * (depth + count / 2 + 1) * manifest.cache.bytesPerToken();
    status = repeat(
        row, [&] { return generateOnce(base.value(), depth, batch, count); });
  }
  return status;
}

/// The part of the machine's read bandwidth that a row reached, in percent.
double Bench::percent(const Row &row) const {
  auto it = bandwidths.find(row.threads);
  return it == bandwidths.end() || it->second <= 0
             ? 0
             : row.bandwidth / it->second * 100;
}

void Bench::printMarkdown() const {
  const Manifest &manifest = artifact->manifest();
  std::printf("model %s, weights %s, cache %s, target %s\n\n",
              manifest.model.name.c_str(),
              manifest.numerics.weightFormat.c_str(),
              manifest.numerics.kvFormat.c_str(), manifest.target.cpu.c_str());
  std::printf("| test | depth | batch | threads | tokens/s | min to max | "
              "GB/s | %% of read bandwidth |\n"
              "|---|---:|---:|---:|---:|---:|---:|---:|\n");
  for (const Row &row : rows) {
    std::printf("| %s%lld | %lld | %lld | %d | %.2f | %.2f to %.2f | ",
                row.test.c_str(), (long long)row.tokens, (long long)row.depth,
                (long long)row.batch, row.threads, row.median, row.low,
                row.high);
    if (row.bytesPerStep)
      std::printf("%s%.2f | %s%.1f |\n", row.batch > 1 ? "<= " : "",
                  row.bandwidth / 1e9, row.batch > 1 ? "<= " : "",
                  percent(row));
    else
      std::printf("| |\n");
  }
  std::printf("\n");
  for (const auto &[threads, rate] : bandwidths)
    std::printf("read bandwidth with %d threads: %.2f GB/s\n", threads,
                rate / 1e9);
  std::printf("active weight bytes of one token: %lld\n"
              "planned memory: %lld bytes (weights %lld, cache %lld, "
              "workspace %lld, logits %lld)\n"
              "peak resident memory: %llu bytes\n"
              "load time: %.3f s (%s)\n",
              (long long)manifest.activeWeightBytes(1), (long long)plan.total(),
              (long long)plan.weights, (long long)plan.cache,
              (long long)plan.workspace, (long long)plan.logits,
              (unsigned long long)peakMemory, loadSeconds,
              weights->reused() ? "weights mapped" : "weights prepared");
}

void Bench::printJson() const {
  using nlohmann::json;
  const Manifest &manifest = artifact->manifest();
  json list = json::array();
  for (const Row &row : rows) {
    json item = {{"test", row.test},
                 {"tokens", row.tokens},
                 {"depth", row.depth},
                 {"batch", row.batch},
                 {"threads", row.threads},
                 {"tokens_per_second", row.median},
                 {"tokens_per_second_min", row.low},
                 {"tokens_per_second_max", row.high}};
    if (row.bytesPerStep) {
      item["bytes_per_step"] = row.bytesPerStep;
      item["bytes_per_second"] = row.bandwidth;
      item["percent_of_read_bandwidth"] = percent(row);
      // Sequences may choose the same experts.
      item["bytes_are_upper_bound"] = row.batch > 1;
    }
    list.push_back(std::move(item));
  }
  json measured = json::object();
  for (const auto &[threads, rate] : bandwidths)
    measured[std::to_string(threads)] = rate;
  json root = {{"model", manifest.model.name},
               {"weight_format", manifest.numerics.weightFormat},
               {"kv_format", manifest.numerics.kvFormat},
               {"cpu", manifest.target.cpu},
               {"repetitions", flags.repetitions},
               {"rows", std::move(list)},
               {"read_bandwidth", std::move(measured)},
               {"active_weight_bytes", manifest.activeWeightBytes(1)},
               {"memory",
                {{"weights", plan.weights},
                 {"cache", plan.cache},
                 {"workspace", plan.workspace},
                 {"logits", plan.logits},
                 {"total", plan.total()},
                 {"peak_resident", peakMemory}}},
               {"load_seconds", loadSeconds},
               {"weights_reused", weights->reused()}};
  std::printf("%s\n",
              root.dump(2, ' ', false, json::error_handler_t::replace).c_str());
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
  peakMemory = peakResidentMemory();
  for (int threads : flags.threads)
    bandwidths[threads] = dsv2bench::measureReadBandwidth(threads);
  if (flags.output == "json")
    printJson();
  else
    printMarkdown();
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
with several sequences, which may share experts, it is an upper bound.

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
  app.add_option("-t", flags.threads, "Threads (default: all processors)")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  declarePinFlag(app, flags.model);
  app.add_option("-r", flags.repetitions, "Repetitions of each test")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  app.add_option("--chunk", flags.chunk, "Prompt tokens of one step")
      ->capture_default_str()
      ->check(CLI::Range(int64_t(1), int64_t(1) << 24));
  app.add_option("-o", flags.output, "Form of the result: md or json")
      ->capture_default_str()
      ->check(CLI::IsMember({"md", "json"}));
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
    handleInterrupts();
    return Bench(std::move(flags)).run();
  } catch (const std::bad_alloc &) {
    printError(tool, "memory allocation failed");
  } catch (const std::exception &error) {
    printError(tool, std::string("unexpected exception: ") + error.what());
  }
  return ExitFailure;
}
