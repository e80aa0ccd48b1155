//===- TestUtils.h - what the runtime's tests share -------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_RUNTIME_TESTUTILS_H
#define DSV2_TEST_UNIT_RUNTIME_TESTUTILS_H

#include "dsv2rt/Artifact.h"
#include "dsv2rt/PackedWeights.h"
#include "dsv2rt/Session.h"
#include "dsv2rt/Status.h"

#include "gtest/gtest.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace dsv2test {

/// A folder that is removed with all it holds.
class TempDir {
public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir &) = delete;
  TempDir &operator=(const TempDir &) = delete;

  const std::string &path() const { return folder; }
  /// The path of `name` in the folder.
  std::string file(const std::string &name) const;
  /// Makes a folder in it and returns its path.
  std::string subfolder(const std::string &name) const;
  /// Names in the folder, sorted.
  std::vector<std::string> names() const;

private:
  std::string folder;
};

/// Sets an environment variable, or clears it for null, for one scope.
class ScopedEnv {
public:
  ScopedEnv(const char *name, const char *value);
  ~ScopedEnv();

private:
  std::string name, before;
  bool wasSet;
};

void writeFile(const std::string &path, const std::string &bytes);
std::string readFile(const std::string &path);

/// A tensor to put into a file.
struct TensorData {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};
using TensorMap = std::map<std::string, TensorData>;

/// The bytes of a file with this header text and data.
std::string safetensorsBytes(const std::string &header,
                             const std::string &data);

/// A well-formed file with these tensors.
std::string safetensorsFile(const TensorMap &tensors);

/// An f32 tensor of these values.
TensorData f32Tensor(const std::vector<int64_t> &shape,
                     const std::vector<float> &values);

/// Every tensor that the fake artifact needs, with values that depend on
/// `seed`.
TensorMap fakeTensors(int seed = 1);

/// Writes `tensors` as one file, or as two shards with an index, into
/// `folder`.
void writeCheckpoint(const std::string &folder, const TensorMap &tensors);
void writeShardedCheckpoint(const std::string &folder,
                            const TensorMap &tensors);

/// The index text for these pairs of tensor and file.
std::string indexText(const std::map<std::string, std::string> &weightMap);

/// The fake artifact's file.
std::string fakeArtifactPath();

/// The file of the fake artifact for a mesh: 1x2, 1x3, 2x1 or 2x2 ranks; and
/// that of the one for a device.
std::string fakeMeshPath(int tp, int ep);
std::string fakeDeviceMeshPath(int tp, int ep);

/// Copies the fake artifact to `path` with the one occurrence of `from`
/// replaced by `to`, which is padded with spaces to the same length.
void patchArtifact(const std::string &path, const std::string &from,
                   std::string to);

/// The fake artifact, loaded.
std::shared_ptr<const dsv2rt::Artifact> fakeArtifact();

/// The fake artifact for a mesh, loaded.
std::shared_ptr<const dsv2rt::Artifact> fakeMeshArtifact(int tp, int ep);

/// Weights of the fake artifact in memory: from a folder or random:SEED.
std::shared_ptr<const dsv2rt::PackedWeights>
fakeWeights(const std::string &source = "random:1");

/// Those of one rank of `artifact`.
std::shared_ptr<const dsv2rt::PackedWeights>
fakeWeights(const std::shared_ptr<const dsv2rt::Artifact> &artifact,
            int64_t rank, const std::string &source = "random:1");

/// A session on the fake artifact.
std::unique_ptr<dsv2rt::Session>
fakeSession(const dsv2rt::SessionOptions &options = {},
            const std::string &source = "random:1");

/// The value, or a failed test and an empty one.
template <class T> T take(dsv2rt::Expected<T> expected) {
  EXPECT_TRUE(expected.ok()) << expected.status().message();
  if (!expected.ok())
    throw std::runtime_error(expected.status().message());
  return std::move(expected.value());
}

/// Logits of every token of `tokens`, given to a new sequence `chunk` at a
/// time; the sequence is removed again.
std::vector<float> logitsOf(dsv2rt::Session &session,
                            const std::vector<int32_t> &tokens, int64_t chunk);

/// Ids that the fake artifact knows.
inline constexpr int64_t fakeVocabulary = 64;

/// `count` token ids below the end-of-sequence id of the fake artifact.
std::vector<int32_t> someTokens(int64_t count, int seed = 1);

/// Gives tokens to one sequence and returns the last token's logits.
std::vector<float> feed(dsv2rt::Session &session, dsv2rt::SequenceId sequence,
                        const std::vector<int32_t> &tokens);

/// What one rank alone gives for the last of `tokens`.
std::vector<float> expectedLogits(const std::vector<int32_t> &tokens,
                                  const std::string &source = "random:1");

/// What a program printed, and its exit code (128 + signal if it was killed).
struct ProgramResult {
  int code = 0;
  std::string out, err;
};

/// Runs a shell command line.
ProgramResult runShell(const std::string &command);

/// `text` as one word for the shell.
std::string shellQuote(const std::string &text);

/// Expects a failed status of this code whose message holds every part.
void expectFailure(const dsv2rt::Status &status, dsv2rt::StatusCode code,
                   const std::vector<std::string> &parts);

/// Expects `text` to hold `part`.
void expectHolds(const std::string &text, const std::string &part);

} // namespace dsv2test

#endif // DSV2_TEST_UNIT_RUNTIME_TESTUTILS_H
