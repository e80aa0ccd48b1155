//===- CompiledModel.h - a fixture, compiled and loaded ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_INTEGRATION_MODELS_COMPILEDMODEL_H
#define DSV2_TEST_INTEGRATION_MODELS_COMPILEDMODEL_H

#include "dsv2rt/PackedWeights.h"
#include "dsv2rt/Session.h"
#include "nlohmann/json.hpp"

#include <memory>
#include <string>
#include <vector>

namespace dsv2test {

/// f32 rows of equal length.
struct Matrix {
  int64_t rows = 0, columns = 0;
  std::vector<float> data;

  const float *row(int64_t i) const { return data.data() + i * columns; }
};

/// Reads an npy file of rank 2 and type f32.
Matrix readNpy(const std::string &path);

/// One prompt of a golden.json.
struct GoldenPrompt {
  std::vector<int32_t> ids;
  /// Expected logits of the tokens in `rows`.
  Matrix logits;
  std::vector<int64_t> rows;
  /// Expected greedy continuation, possibly empty.
  std::vector<int32_t> greedy;
};

/// A fixture folder: configuration and goldens.
struct Fixture {
  std::string name;
  std::string model;
  std::string weights;
  std::vector<GoldenPrompt> prompts;
};

/// Reads test/Fixtures/<name>.
Fixture loadFixture(const std::string &name);
/// Every folder of test/Fixtures that holds a golden.json.
std::vector<std::string> fixtureNames();

/// A fixture compiled with `dsv2-compile <flags>`, its weights packed.
class CompiledModel {
public:
  /// Compiles once per process and set of flags, which name files relative to
  /// the folder Inputs beside this header. Without the reference lowering,
  /// which takes a third of the time.
  static std::shared_ptr<const CompiledModel> get(const Fixture &fixture,
                                                  const std::string &flags);
  /// As `get`, for createComparedSession.
  static std::shared_ptr<const CompiledModel>
  getWithReference(const Fixture &fixture, const std::string &flags);

  std::unique_ptr<dsv2rt::Session> createSession(int64_t maxSequences = 1,
                                                 int threads = 1) const;
  /// A session on the emulator, for models compiled with --gpu-code=bitcode.
  std::unique_ptr<dsv2rt::Session>
  createEmulatedSession(bool hostSampling = false) const;
  /// A session, on the emulator or not, that compares every op with the
  /// reference lowering.
  std::unique_ptr<dsv2rt::Session>
  createComparedSession(bool emulated = false) const;

  std::shared_ptr<const dsv2rt::Artifact> artifact;
  std::shared_ptr<const dsv2rt::PackedWeights> weights;
  std::shared_ptr<const dsv2rt::PackedWeights> referenceWeights;
};

/// Logits of every token of `ids`, fed `chunk` tokens at a time (0: at once).
Matrix evaluate(dsv2rt::Session &session, const std::vector<int32_t> &ids,
                int64_t chunk);

/// The largest error of the logits that `prompt` has, relative to the range of
/// the expected ones.
double relativeError(const Matrix &actual, const GoldenPrompt &prompt);

/// How much logits say differently from others.
struct Agreement {
  int64_t tokens = 0;

  void add(const Matrix &expected, const Matrix &found);
  /// KL divergence of a token's distribution from the expected one, in nats, on
  /// average.
  double divergence() const { return divergenceSum / double(tokens); }
  /// Share of the tokens whose most likely successor is the expected one.
  double sameTop() const { return double(same) / double(tokens); }

private:
  double divergenceSum = 0;
  int64_t same = 0;
};

/// `count` greedy tokens after `ids`.
std::vector<int32_t> decodeGreedily(dsv2rt::Session &session,
                                    const std::vector<int32_t> &ids,
                                    int64_t chunk, size_t count);

} // namespace dsv2test

#endif // DSV2_TEST_INTEGRATION_MODELS_COMPILEDMODEL_H
