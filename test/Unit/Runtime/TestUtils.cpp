//===- TestUtils.cpp - what the runtime's tests share ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "dsv2rt/Checkpoint.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>

#include <sys/wait.h>
#include <unistd.h>

using namespace dsv2rt;
using namespace dsv2test;
namespace fs = std::filesystem;

TempDir::TempDir() {
  std::string pattern = (fs::temp_directory_path() / "dsv2-XXXXXX").string();
  if (!mkdtemp(pattern.data()))
    throw std::runtime_error("cannot make a temporary folder");
  folder = pattern;
}

TempDir::~TempDir() {
  std::error_code code;
  fs::remove_all(folder, code);
}

std::string TempDir::file(const std::string &name) const {
  return folder + "/" + name;
}

std::string TempDir::subfolder(const std::string &name) const {
  fs::create_directories(file(name));
  return file(name);
}

std::vector<std::string> TempDir::names() const {
  std::vector<std::string> list;
  for (const auto &entry : fs::directory_iterator(folder))
    list.push_back(entry.path().filename().string());
  std::sort(list.begin(), list.end());
  return list;
}

ScopedEnv::ScopedEnv(const char *name, const char *value) : name(name) {
  const char *old = std::getenv(name);
  wasSet = old;
  before = old ? old : "";
  if (value)
    setenv(name, value, 1);
  else
    unsetenv(name);
}

ScopedEnv::~ScopedEnv() {
  if (wasSet)
    setenv(name.c_str(), before.c_str(), 1);
  else
    unsetenv(name.c_str());
}

void dsv2test::writeFile(const std::string &path, const std::string &bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  if (!file.flush())
    throw std::runtime_error("cannot write " + path);
}

std::string dsv2test::readFile(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw std::runtime_error("cannot read " + path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::string dsv2test::safetensorsBytes(const std::string &header,
                                       const std::string &data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i)
    bytes += char(uint64_t(header.size()) >> 8 * i);
  return bytes + header + data;
}

std::string dsv2test::safetensorsFile(const TensorMap &tensors) {
  nlohmann::json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const auto &[name, tensor] : tensors) {
    header[name] = {
        {"dtype", tensor.dtype},
        {"shape", tensor.shape},
        {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return safetensorsBytes(text, data);
}

TensorData dsv2test::f32Tensor(const std::vector<int64_t> &shape,
                               const std::vector<float> &values) {
  TensorData tensor{"F32", shape, std::string(values.size() * 4, 0)};
  std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

TensorMap dsv2test::fakeTensors(int seed) {
  TensorMap tensors;
  uint32_t state = uint32_t(seed) * 2654435761u + 1;
  for (const TensorSpec &spec : fakeArtifact()->manifest().tensors()) {
    int64_t count = 1;
    for (int64_t size : spec.shape)
      count *= size;
    std::vector<float> values(count);
    for (float &value : values) {
      state = state * 1664525u + 1013904223u;
      value = float(int32_t(state) >> 8) * 0x1p-23f;
    }
    tensors[spec.name] = f32Tensor(spec.shape, values);
  }
  return tensors;
}

void dsv2test::writeCheckpoint(const std::string &folder,
                               const TensorMap &tensors) {
  writeFile(folder + "/model.safetensors", safetensorsFile(tensors));
}

std::string
dsv2test::indexText(const std::map<std::string, std::string> &weightMap) {
  nlohmann::json index = {{"metadata", {{"total_size", 0}}},
                          {"weight_map", weightMap}};
  return index.dump();
}

void dsv2test::writeShardedCheckpoint(const std::string &folder,
                                      const TensorMap &tensors) {
  TensorMap shards[2];
  std::map<std::string, std::string> weightMap;
  int next = 0;
  for (const auto &[name, tensor] : tensors) {
    int shard = next++ % 2;
    shards[shard][name] = tensor;
    weightMap[name] =
        "model-0000" + std::to_string(shard + 1) + "-of-000002.safetensors";
  }
  for (int shard : {0, 1})
    writeFile(folder + "/model-0000" + std::to_string(shard + 1) +
                  "-of-000002.safetensors",
              safetensorsFile(shards[shard]));
  writeFile(folder + "/model.safetensors.index.json", indexText(weightMap));
}

std::string dsv2test::fakeArtifactPath() { return DSV2_FAKE_ARTIFACT; }

static std::string meshPath(const char *name, int tp, int ep) {
  return std::string(DSV2_FAKE_MESH_ARTIFACTS "/") + name + "-" +
         std::to_string(tp) + "x" + std::to_string(ep) + ".so";
}

std::string dsv2test::fakeMeshPath(int tp, int ep) {
  return meshPath("FakeMeshArtifact", tp, ep);
}

std::string dsv2test::fakeDeviceMeshPath(int tp, int ep) {
  return meshPath("FakeDeviceMeshArtifact", tp, ep);
}

std::shared_ptr<const Artifact> dsv2test::fakeMeshArtifact(int tp, int ep) {
  return take(Artifact::load(fakeMeshPath(tp, ep)));
}

void dsv2test::patchArtifact(const std::string &path, const std::string &from,
                             std::string to) {
  std::string bytes = readFile(fakeArtifactPath());
  size_t at = bytes.find(from);
  if (at == std::string::npos || to.size() > from.size())
    throw std::runtime_error("cannot patch '" + from + "'");
  to.resize(from.size(), ' ');
  bytes.replace(at, from.size(), to);
  writeFile(path, bytes);
}

std::shared_ptr<const Artifact> dsv2test::fakeArtifact() {
  static std::shared_ptr<const Artifact> artifact =
      take(Artifact::load(fakeArtifactPath()));
  return artifact;
}

std::shared_ptr<const PackedWeights>
dsv2test::fakeWeights(const std::string &source) {
  return fakeWeights(fakeArtifact(), 0, source);
}

std::shared_ptr<const PackedWeights>
dsv2test::fakeWeights(const std::shared_ptr<const Artifact> &artifact,
                      int64_t rank, const std::string &source) {
  auto opened = take(openWeightSource(source));
  PackOptions options;
  options.inMemory = true;
  options.rank = rank;
  return take(PackedWeights::open(artifact, *opened, options));
}

std::unique_ptr<Session> dsv2test::fakeSession(const SessionOptions &options,
                                               const std::string &source) {
  return take(Session::create(fakeArtifact(), fakeWeights(source), options));
}

std::vector<float> dsv2test::logitsOf(Session &session,
                                      const std::vector<int32_t> &tokens,
                                      int64_t chunk) {
  SequenceId sequence = take(session.addSequence());
  std::vector<float> result;
  int64_t vocabulary = session.artifact().manifest().model.vocabSize;
  for (size_t done = 0; done < tokens.size();) {
    int64_t count = std::min<int64_t>(chunk, tokens.size() - done);
    StepInput input{sequence, tokens.data() + done, count, LogitRows::All};
    StepOutput output;
    Status status = session.step(&input, 1, &output);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_TRUE(output.status.ok()) << output.status.message();
    if (!status.ok() || !output.status.ok())
      break;
    result.insert(result.end(), output.logits,
                  output.logits + output.rows * vocabulary);
    done += count;
  }
  EXPECT_TRUE(session.removeSequence(sequence).ok());
  return result;
}

ProgramResult dsv2test::runShell(const std::string &command) {
  TempDir folder;
  std::string line =
      "( " + command + " ) >" + folder.file("out") + " 2>" + folder.file("err");
  int status = std::system(line.c_str());
  ProgramResult result;
  result.code =
      WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = readFile(folder.file("out"));
  result.err = readFile(folder.file("err"));
  return result;
}

std::vector<int32_t> dsv2test::someTokens(int64_t count, int seed) {
  std::mt19937 generator(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t &token : tokens)
    token = int32_t(generator() % 63);
  return tokens;
}

std::vector<float> dsv2test::feed(Session &session, SequenceId sequence,
                                  const std::vector<int32_t> &tokens) {
  StepInput input{sequence, tokens.data(), int64_t(tokens.size()),
                  LogitRows::Last};
  StepOutput output;
  Status status = session.step(&input, 1, &output);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(output.status.ok()) << output.status.message();
  if (!output.logits)
    return {};
  return {output.logits, output.logits + fakeVocabulary};
}

std::vector<float> dsv2test::expectedLogits(const std::vector<int32_t> &tokens,
                                            const std::string &source) {
  auto session = fakeSession({}, source);
  std::vector<float> all = logitsOf(*session, tokens, tokens.size());
  return {all.end() - fakeVocabulary, all.end()};
}

std::string dsv2test::shellQuote(const std::string &text) {
  std::string quoted = "'";
  for (char c : text)
    if (c == '\'')
      quoted += "'\\''";
    else
      quoted += c;
  return quoted + "'";
}

void dsv2test::expectHolds(const std::string &text, const std::string &part) {
  EXPECT_NE(text.find(part), std::string::npos)
      << "expected '" << part << "' in '" << text << "'";
}

void dsv2test::expectFailure(const Status &status, StatusCode code,
                             const std::vector<std::string> &parts) {
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(int(status.code()), int(code)) << status.message();
  for (const std::string &part : parts)
    expectHolds(status.message(), part);
}
