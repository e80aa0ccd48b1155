//===- RankProgram.h - a program that all ranks of a mesh run ---*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Ranks are threads of this process; every one runs the same program.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_INTEGRATION_MODELS_RANKPROGRAM_H
#define DSV2_TEST_INTEGRATION_MODELS_RANKPROGRAM_H

#include "CompiledModel.h"
#include "dsv2rt/Device.h"

#include <ostream>

namespace dsv2test {

/// A fixture and the mesh that shares it.
struct MeshCase {
  std::string fixture;
  int64_t tp, ep;

  int ranks() const { return int(tp * ep); }
  std::string mesh() const {
    return "--mesh=tp=" + std::to_string(tp) + ",ep=" + std::to_string(ep);
  }
  /// For the names of tests.
  std::string name() const {
    return fixture + "_tp" + std::to_string(tp) + "_ep" + std::to_string(ep);
  }
};

void PrintTo(const MeshCase &c, std::ostream *os);

/// What a program computes; the same on every rank.
struct Outcome {
  std::vector<Matrix> logits;
  std::vector<std::vector<int32_t>> greedy;
};

/// What the program does.
struct RankProgram {
  /// Prompts of the fixture up to this length are evaluated in chunks and at
  /// once.
  size_t maxPrompt = 100;
  /// Greedy tokens of each, as far as its golden has them.
  size_t maxGreedy = 1000;
  /// So many sequences of different lengths go through steps together.
  std::vector<int64_t> batches;
};

/// Sequences of the largest batch.
inline constexpr int64_t kMaxBatch = 12;

/// Compiles the fixture with `flags` for its mesh and runs the program on all
/// ranks, on `device` or, without one, the CPU; what rank 0 got. The others
/// must have got the same bits.
Outcome runOnMesh(const MeshCase &c, const std::string &flags,
                  dsv2rt::WeightSource &source, const Fixture &fixture,
                  const RankProgram &program,
                  std::shared_ptr<dsv2rt::Device> device = nullptr);

/// Expects the same greedy tokens, and logits that differ by at most
/// `tolerance` of their range.
void expectSame(const Outcome &found, const Outcome &expected,
                double tolerance);

} // namespace dsv2test

#endif // DSV2_TEST_INTEGRATION_MODELS_RANKPROGRAM_H
