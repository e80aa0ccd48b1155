//===- CompiledModel.cpp - a fixture, compiled and loaded -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompiledModel.h"

#include "dsv2rt/Checkpoint.h"
#include "dsv2rt/Device.h"
#include "gtest/gtest.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <sstream>
#include <stdexcept>

using namespace dsv2test;
using namespace dsv2rt;
namespace fs = std::filesystem;

static const std::string kFixtures = DSV2_TEST_SOURCE_DIR "/test/Fixtures/";

/// Tests cannot go on without what `expected` holds.
template <class T>
static T require(Expected<T> expected, const std::string &what) {
  if (!expected.ok())
    throw std::runtime_error(what + ": " + expected.status().message());
  return std::move(expected.value());
}

static void require(const Status &status, const std::string &what) {
  if (!status.ok())
    throw std::runtime_error(what + ": " + status.message());
}

Matrix dsv2test::readNpy(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  char magic[10];
  if (!file.read(magic, 10) || std::memcmp(magic, "\x93NUMPY\x01\x00", 8) != 0)
    throw std::runtime_error(path + ": not an npy file of version 1.0");
  size_t headerBytes = (unsigned char)magic[8] + 256 * (unsigned char)magic[9];
  std::string header(headerBytes, ' ');
  file.read(header.data(), headerBytes);
  Matrix matrix;
  const std::string key = "'shape': (";
  size_t shape = header.find(key);
  if (header.find("'<f4'") == std::string::npos || shape == std::string::npos)
    throw std::runtime_error(path + ": expected f32");
  std::istringstream sizes(header.substr(shape + key.size()));
  char comma = 0, end = 0;
  sizes >> matrix.rows >> comma >> matrix.columns >> end;
  if (!sizes || comma != ',' || end != ')')
    throw std::runtime_error(path + ": expected rank 2");
  matrix.data.resize(matrix.rows * matrix.columns);
  if (!file.read(reinterpret_cast<char *>(matrix.data.data()),
                 matrix.data.size() * sizeof(float)))
    throw std::runtime_error(path + ": too short");
  return matrix;
}

std::vector<std::string> dsv2test::fixtureNames() {
  std::vector<std::string> names;
  for (const auto &entry : fs::directory_iterator(kFixtures))
    if (fs::exists(entry.path() / "golden/golden.json"))
      names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

Fixture dsv2test::loadFixture(const std::string &name) {
  Fixture fixture;
  fixture.name = name;
  std::string folder = kFixtures + name;
  std::ifstream file(folder + "/golden/golden.json");
  nlohmann::json golden = nlohmann::json::parse(file);
  fixture.weights = golden.at("weights").get<std::string>();
  bool isRandom = fixture.weights.rfind("random:", 0) == 0;
  if (!isRandom)
    fixture.weights = DSV2_TEST_SOURCE_DIR "/" + fixture.weights;
  fixture.model = isRandom ? folder : fixture.weights;
  for (const auto &entry : golden.at("prompts")) {
    GoldenPrompt prompt;
    prompt.ids = entry.at("ids").get<std::vector<int32_t>>();
    prompt.logits =
        readNpy(folder + "/golden/" + entry.at("logits").get<std::string>());
    if (entry.at("rows").is_array()) {
      prompt.rows = entry.at("rows").get<std::vector<int64_t>>();
    } else {
      prompt.rows.resize(prompt.ids.size());
      std::iota(prompt.rows.begin(), prompt.rows.end(), 0);
    }
    if (entry.contains("greedy"))
      prompt.greedy = entry.at("greedy").get<std::vector<int32_t>>();
    fixture.prompts.push_back(std::move(prompt));
  }
  return fixture;
}

std::shared_ptr<const CompiledModel>
CompiledModel::get(const Fixture &fixture, const std::string &flags) {
  return getWithReference(fixture, flags + " --no-reference");
}

std::shared_ptr<const CompiledModel>
CompiledModel::getWithReference(const Fixture &fixture,
                                const std::string &flags) {
  static std::map<std::string, std::shared_ptr<const CompiledModel>> cache;
  auto &model = cache[fixture.name + " " + flags];
  if (model)
    return model;
  std::string file = fixture.name + flags;
  for (char &c : file)
    if (!std::isalnum((unsigned char)c))
      c = '_';
  std::string path = DSV2_TEST_OUTPUT_DIR "/" + file + ".dsv2";
  std::string command = "cd " DSV2_TEST_SOURCE_DIR
                        "/test/Integration/Models/Inputs && " DSV2_COMPILE " " +
                        fixture.model + " -o " + path + " " + flags;
  if (std::system(command.c_str()) != 0)
    throw std::runtime_error("failed: " + command);
  auto result = std::make_shared<CompiledModel>();
  result->artifact = require(Artifact::load(path), "load " + path);
  auto source = require(openWeightSource(fixture.weights), fixture.weights);
  PackOptions options;
  options.inMemory = true;
  result->weights =
      require(PackedWeights::open(result->artifact, *source, options), "pack");
  // Code for several ranks carries none, nor does what get() compiles.
  if (auto reference = Artifact::referenceOf(result->artifact))
    result->referenceWeights =
        require(PackedWeights::open(reference, *source, options),
                "pack for the reference");
  model = result;
  return model;
}

std::unique_ptr<Session> CompiledModel::createSession(int64_t maxSequences,
                                                      int threads) const {
  SessionOptions options;
  options.maxContext = 512;
  options.maxSequences = maxSequences;
  options.threads = threads;
  return require(Session::create(artifact, weights, options), "session");
}

std::unique_ptr<Session>
CompiledModel::createEmulatedSession(bool hostSampling) const {
  SessionOptions options;
  options.hostSampling = hostSampling;
  options.maxContext = 512;
  options.maxSequences = 1;
  options.device = require(Device::open("emulator"), "emulator");
  return require(Session::create(artifact, weights, options), "session");
}

std::unique_ptr<Session>
CompiledModel::createComparedSession(bool emulated) const {
  SessionOptions options;
  options.maxContext = 512;
  options.maxSequences = 1;
  options.threads = 1;
  options.referenceWeights = referenceWeights;
  if (emulated)
    options.device = require(Device::open("emulator"), "emulator");
  return require(Session::create(artifact, weights, options), "session");
}

double dsv2test::relativeError(const Matrix &actual,
                               const GoldenPrompt &prompt) {
  auto [low, high] =
      std::minmax_element(prompt.logits.data.begin(), prompt.logits.data.end());
  double worst = 0;
  for (size_t i = 0; i < prompt.rows.size(); ++i) {
    const float *expected = prompt.logits.row(i);
    const float *found = actual.row(prompt.rows[i]);
    for (int64_t v = 0; v < actual.columns; ++v) {
      double error = std::abs(double(found[v]) - expected[v]);
      // A NaN must not pass for a small error.
      if (!(error <= worst))
        worst = error;
    }
  }
  return worst / (*high - *low);
}

/// KL divergence, in nats, of the distribution that `found` gives from the one
/// that `expected` gives.
static double divergence(const float *expected, const float *found,
                         int64_t count) {
  auto logSum = [&](const float *logits) {
    double largest = *std::max_element(logits, logits + count), sum = 0;
    for (int64_t i = 0; i < count; ++i)
      sum += std::exp(logits[i] - largest);
    return largest + std::log(sum);
  };
  double p = logSum(expected), q = logSum(found), result = 0;
  for (int64_t i = 0; i < count; ++i)
    result += std::exp(expected[i] - p) * ((expected[i] - p) - (found[i] - q));
  return result;
}

void Agreement::add(const Matrix &expected, const Matrix &found) {
  int64_t count = found.columns;
  for (int64_t i = 0; i < found.rows; ++i) {
    const float *e = expected.row(i), *f = found.row(i);
    divergenceSum += ::divergence(e, f, count);
    same += std::max_element(e, e + count) - e ==
            std::max_element(f, f + count) - f;
    ++tokens;
  }
}

/// Compares what a step says of its largest logits with the logits.
static void checkLargest(const Session &session, const StepOutput &output) {
  const Manifest &manifest = session.artifact().manifest();
  const LargestOf &largest = output.largest;
  // Devices choose themselves, and ranks have the logits of each other.
  if (manifest.device || manifest.mesh.size() > 1) {
    EXPECT_EQ(largest.values, nullptr);
    return;
  }
  if (!largest.values)
    throw std::runtime_error("the largest logits are not known");
  int64_t vocabulary = manifest.model.vocabSize;
  for (int64_t row = 0; row < output.rows; ++row) {
    const float *logits = output.logits + row * vocabulary;
    const float *next = largest.row(row, vocabulary).values;
    for (int64_t i = 0; i < vocabulary; i += largest.each)
      EXPECT_EQ(
          *std::max_element(logits + i,
                            logits + std::min(i + largest.each, vocabulary)),
          *next++)
          << "row " << row << ", logits from " << i;
  }
}

Matrix dsv2test::evaluate(Session &session, const std::vector<int32_t> &ids,
                          int64_t chunk) {
  SequenceId sequence = require(session.addSequence(), "sequence");
  Matrix result;
  int64_t total = ids.size();
  for (int64_t first = 0; first < total;) {
    int64_t count = chunk > 0 ? std::min(chunk, total - first) : total;
    StepInput input;
    input.sequence = sequence;
    input.tokens = ids.data() + first;
    input.count = count;
    input.logits = LogitRows::All;
    StepOutput output;
    require(session.step(&input, 1, &output), "step");
    require(output.status, "step");
    checkLargest(session, output);
    result.columns = session.artifact().manifest().model.vocabSize;
    result.rows += output.rows;
    result.data.insert(result.data.end(), output.logits,
                       output.logits + output.rows * result.columns);
    first += count;
  }
  require(session.removeSequence(sequence), "remove");
  return result;
}

std::vector<int32_t> dsv2test::decodeGreedily(Session &session,
                                              const std::vector<int32_t> &ids,
                                              int64_t chunk, size_t count) {
  SequenceId sequence = require(session.addSequence(), "sequence");
  std::vector<int32_t> tokens;
  std::vector<int32_t> next = ids;
  while (true) {
    int64_t total = next.size();
    StepOutput output;
    for (int64_t first = 0; first < total;) {
      StepInput input;
      input.sequence = sequence;
      input.tokens = next.data() + first;
      input.count = chunk > 0 ? std::min(chunk, total - first) : total;
      require(session.step(&input, 1, &output), "step");
      require(output.status, "step");
      first += input.count;
    }
    const float *logits = output.logits;
    int64_t vocabulary = session.artifact().manifest().model.vocabSize;
    tokens.push_back(std::max_element(logits, logits + vocabulary) - logits);
    if (tokens.size() == count)
      break;
    next = {tokens.back()};
  }
  require(session.removeSequence(sequence), "remove");
  return tokens;
}
