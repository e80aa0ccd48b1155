//===- StepFlags.cpp - the step that kernels are looked at in -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StepFlags.h"

#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace mlir;
using namespace mlir::dsv2;
namespace cl = llvm::cl;

cl::OptionCategory mlir::dsv2::kernelOptions("dsv2-kernel options");

static cl::opt<int64_t>
    tokensFlag("tokens", cl::cat(kernelOptions), cl::init(1),
               cl::value_desc("n"),
               cl::desc("With --cost and --run: tokens of the step"));
static cl::opt<int64_t> sequencesFlag(
    "sequences", cl::cat(kernelOptions), cl::init(0), cl::value_desc("n"),
    cl::desc("With --cost and --run: sequences that the tokens are the last "
             "of (0: each of its own)"));
static cl::opt<int64_t> contextFlag(
    "context", cl::cat(kernelOptions), cl::init(0), cl::value_desc("n"),
    cl::desc("With --cost and --run: positions of each sequence, those of the "
             "step included (0: 4096 for --cost, 100 or those of the step for "
             "--run)"));
static cl::opt<int64_t>
    topKFlag("top-k", cl::cat(kernelOptions), cl::init(6), cl::value_desc("n"),
             cl::desc("With --cost and --run: experts of a token"));
static cl::opt<int64_t> expertsFlag(
    "experts", cl::cat(kernelOptions), cl::init(0), cl::value_desc("n"),
    cl::desc("With --cost and --run: experts that have a token (0: what "
             "random choices touch)"));
static cl::opt<int64_t> vocabularyFlag(
    "vocabulary", cl::cat(kernelOptions), cl::init(0), cl::value_desc("n"),
    cl::desc("With --cost and --run: tokens to choose from (0: 102400 for "
             "--cost, 1000 for --run)"));

llvm::Expected<mlir::dsv2::gpu::StepSize> mlir::dsv2::getStepSize(bool forRun) {
  // What is computed from these fits a double.
  constexpr int64_t largest = int64_t(1) << 31;
  struct Flag {
    StringRef name;
    int64_t value, least;
  };
  for (const Flag &flag :
       {Flag{"tokens", tokensFlag, 1}, Flag{"sequences", sequencesFlag, 0},
        Flag{"context", contextFlag, 0}, Flag{"top-k", topKFlag, 1},
        Flag{"experts", expertsFlag, 0}, Flag{"vocabulary", vocabularyFlag, 0}})
    if (flag.value < flag.least || flag.value > largest)
      return llvm::createStringError(
          "--" + flag.name + ": expected " + Twine(flag.least) + " to " +
          Twine(largest) + ", got " + Twine(flag.value));
  mlir::dsv2::gpu::StepSize step;
  step.tokens = tokensFlag;
  step.sequences = sequencesFlag ? sequencesFlag : tokensFlag;
  if (step.sequences > step.tokens)
    return llvm::createStringError(
        "--sequences: expected at most the tokens, " + Twine(step.tokens) +
        ", got " + Twine(step.sequences));
  // Long enough for more than one block, and short enough for the emulator.
  constexpr int64_t costContext = 4096, runContext = 100;
  step.context = contextFlag;
  if (!step.context)
    step.context =
        forRun ? std::max<int64_t>(
                     runContext, llvm::divideCeil(step.tokens, step.sequences))
               : costContext;
  step.topK = topKFlag;
  step.touchedExperts = expertsFlag;
  constexpr int64_t runVocabulary = 1000;
  if (vocabularyFlag)
    step.vocabulary = vocabularyFlag;
  else if (forRun)
    step.vocabulary = runVocabulary;
  return step;
}
