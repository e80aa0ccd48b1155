//===- SimtSample.cpp - choosing the next token on the device -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What dsv2rt/sampling.h says, for a row of logits that stays on the device:
// the largest of it, or one that is drawn (DrawToken.h).
//
//===----------------------------------------------------------------------===//

#include "DrawToken.h"
#include "dsv2/CodeGen/GPU/KernelCosts.h"
#include "dsv2/CodeGen/GPU/SimtKernels.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

/// Words of a part's record: the largest logit, its token, whether a logit is
/// no number to choose by, nothing, and what the tokens weigh, in two words.
static constexpr int64_t kPartWords = DSV2RT_SAMPLE_PART_WORDS;
static constexpr int64_t kWeightWord = 4;
static_assert(kPartWords == kWeightWord + 2 && kPartWords % 2 == 0);
static_assert(DSV2RT_SAMPLE_PARTS == kWarpSize, "a lane looks at a part");

//===----------------------------------------------------------------------===//
// The largest logit of every part
//===----------------------------------------------------------------------===//

static void storePart(SimtBuilder &b, const Best &best, Value record) {
  Type i32 = b.getI32Type();
  b.store(best.logit, record);
  b.store(best.token, b.at(record, i32, b.i32(1)));
  b.store(best.bad, b.at(record, i32, b.i32(2)));
}

static Best loadPart(SimtBuilder &b, Value record) {
  Type i32 = b.getI32Type();
  return {b.load(b.getF32Type(), record),
          b.load(i32, b.at(record, i32, b.i32(1))),
          b.load(i32, b.at(record, i32, b.i32(2)))};
}

/// The record of a part of the row.
static Value recordOf(SampleRow &r, Value parts, Value part) {
  SimtBuilder &b = r.b;
  Value index = b.add(b.mul(r.row, DSV2RT_SAMPLE_PARTS), part);
  return b.at(parts, r.i32, b.mul(index, kPartWords));
}

/// Warps of a block that has one part.
static constexpr int64_t kPartWarps = 8;
static constexpr int64_t kPartThreads = kPartWarps * kWarpSize;

/// A kernel whose blocks each look at one part of one row, and fill in its
/// record.
static LLVM::LLVMFuncOp
getOrCreatePartKernel(ModuleOp module, StringRef name, const KernelFacts &facts,
                      void (*emit)(SampleRow &row, Value parts)) {
  MLIRContext *c = module.getContext();
  auto kernel =
      getOrCreateKernel(module, name, kPartThreads,
                        {pointerOf(c, 0), strideOf(c, 0, 0), pointerOf(c, 1),
                         pointerOf(c, 2), strideOf(c, 2, 0), pointerOf(c, 3)},
                        [&](SimtBuilder &b, ValueRange args) {
                          SampleRow row(b, b.blockId(1), args[0], args[1],
                                        args[2], args[3], args[4]);
                          emit(row, args[5]);
                        });
  setCostFacts(kernel, facts);
  return kernel;
}

static void emitScan(SampleRow &r, Value parts) {
  SimtBuilder &b = r.b;
  constexpr int64_t kThreads = kPartThreads;
  /// Loads that are under way at once.
  constexpr int64_t kUnroll = 4;
  Value part = b.blockId(0);
  auto [begin, end] = r.part(part);
  Best first = r.none();
  SmallVector<Value> found = b.forCarry(
      b.add(begin, b.threadId()), end, b.i32(kUnroll * kThreads),
      {first.logit, first.token, first.bad},
      [&, end = end](Value at, ValueRange carried) {
        Best best = {carried[0], carried[1], carried[2]};
        SmallVector<Value> tokens, values;
        for (int64_t i = 0; i < kUnroll; ++i) {
          // Behind the end the last one again, which changes nothing.
          tokens.push_back(
              b.min(b.add(at, i * kThreads), b.sub(end, b.i32(1))));
          values.push_back(r.loadLogit(tokens[i]));
        }
        SmallVector<Value> bad;
        for (Value value : values) {
          Value isGood = compare(b, arith::CmpFPredicate::OLT, value,
                                 b.f32(SampleRow::kInfinity));
          bad.push_back(b.select(isGood, b.i32(0), b.i32(1)));
        }
        values = b.ifYield(
            r.hasPenalty,
            [&] {
              SmallVector<Value> penalised;
              for (auto [token, value] : llvm::zip_equal(tokens, values))
                penalised.push_back(
                    r.penalise(r.loadSeen(token), token, value));
              return penalised;
            },
            ValueRange(values));
        for (int64_t i = 0; i < kUnroll; ++i)
          best = r.better(best, {values[i], tokens[i], bad[i]});
        return SmallVector<Value>{best.logit, best.token, best.bad};
      });
  Best best = r.bestOfWarp({found[0], found[1], found[2]});
  Value shared = b.sharedArray("best", r.i32, kPartWarps * kPartWords);
  auto ofWarp = [&](Value warp) {
    return b.at(shared, r.i32, b.mul(warp, kPartWords));
  };
  b.ifThen(b.equal(b.lane(), b.i32(0)),
           [&] { storePart(b, best, ofWarp(b.warp())); });
  b.barrier();
  b.ifThen(b.equal(b.threadId(), b.i32(0)), [&] {
    Best all = loadPart(b, ofWarp(b.i32(0)));
    for (int64_t warp = 1; warp < kPartWarps; ++warp)
      all = r.better(all, loadPart(b, ofWarp(b.i32(warp))));
    storePart(b, all, recordOf(r, parts, part));
  });
}

LLVM::LLVMFuncOp dsv2::gpu::getOrCreateSampleScanKernel(ModuleOp module) {
  return getOrCreatePartKernel(module, kSampleScanName, SampleScanFacts{},
                               emitScan);
}

//===----------------------------------------------------------------------===//
// What every part weighs
//===----------------------------------------------------------------------===//

namespace {
/// The best of a whole row, by all threads of a warp, and what follows from it.
struct WholeRow {
  WholeRow(SampleRow &r, Value parts) {
    SimtBuilder &b = r.b;
    record = recordOf(r, parts, b.lane());
    best = r.bestOfWarp(loadPart(b, record));
    Value hasAny = compare(b, arith::CmpFPredicate::OGT, best.logit,
                           b.f32(-SampleRow::kInfinity));
    isGood = b.logicalAnd(hasAny, b.equal(best.bad, b.i32(0)));
    Value scale = r.setting(r.f32, offsetof(dsv2rt_sampling_row, scale));
    draws = b.logicalAnd(
        isGood, compare(b, arith::CmpFPredicate::OGT, scale, b.f32(0.0)));
  }

  /// The record of the part that is the lane's.
  Value record;
  Best best;
  /// Whether there is a token to choose, and whether it is to be drawn.
  Value isGood, draws;
};
} // namespace

static void emitWeigh(SampleRow &r, Value parts) {
  SimtBuilder &b = r.b;
  WholeRow whole(r, parts);
  TokenWeights weights(r, whole.best.logit);
  Value isAll = b.equal(weights.isLimited,
                        arith::ConstantIntOp::create(b, b.getI1Type(), 0));
  Value part = b.blockId(0);
  auto [begin, end] = r.part(part);
  Value shared = b.sharedArray("weights", r.i64, kPartWarps);
  // The same for all threads.
  b.ifThen(b.logicalAnd(whole.draws, isAll), [&, begin = begin, end = end] {
    Value sum =
        b.forCarry(b.add(begin, b.mul(b.threadId(), TokenWeights::kUnroll)),
                   end, b.i32(kPartThreads * TokenWeights::kUnroll),
                   weights.i64(0),
                   [&](Value first, ValueRange carried) {
                     Value sum = carried[0];
                     auto tokens = weights.loadLane(first, end);
                     for (auto [q, exists] :
                          llvm::zip_equal(tokens.qs, tokens.isThere))
                       sum = b.add(sum, b.select(exists, weights.drawnWeight(q),
                                                 weights.i64(0)));
                     return SmallVector<Value>{sum};
                   })
            .front();
    sum = weights.sumOfWarp(sum);
    b.ifThen(b.equal(b.lane(), b.i32(0)),
             [&] { b.store(sum, b.at(shared, r.i64, b.warp())); });
    b.barrier();
    b.ifThen(b.equal(b.threadId(), b.i32(0)), [&] {
      Value all = b.load(r.i64, shared);
      for (int64_t warp = 1; warp < kPartWarps; ++warp)
        all = b.add(all, b.load(r.i64, b.at(shared, r.i64, b.i32(warp))));
      b.store(all, b.at(recordOf(r, parts, part), r.i32, b.i32(kWeightWord)));
    });
  });
}

LLVM::LLVMFuncOp dsv2::gpu::getOrCreateSampleWeighKernel(ModuleOp module) {
  return getOrCreatePartKernel(module, kSampleWeighName, SampleWeighFacts{},
                               emitWeigh);
}

//===----------------------------------------------------------------------===//
// The choice
//===----------------------------------------------------------------------===//

/// Emits the choice of one row and what the next step is to know of it.
static void emitChoose(SampleRow &r, ValueRange args) {
  SimtBuilder &b = r.b;
  Value rows = args[3], parts = args[6], tokens = args[7], positions = args[8],
        chosen = args[9];
  WholeRow whole(r, parts);
  Value isGood = whole.isGood;
  Value token = b.load(r.i32, b.at(rows, r.i32, r.row));
  Value place = b.at(positions, r.i32, token);
  Value position = b.add(b.load(r.i32, place), 1);
  Value choice =
      b.ifYield(
           whole.draws,
           [&] {
             Value weight =
                 b.load(r.i64, b.at(whole.record, r.i32, b.i32(kWeightWord)));
             return SmallVector<Value>{
                 DrawToken(r, whole.best).emit(position, weight)};
           },
           ValueRange(whole.best.token))
          .front();
  // All have read the position; who draws has waited for all since.
  b.barrier();
  b.ifThen(b.equal(b.threadId(), b.i32(0)), [&] {
    // A step goes on with token 0 where there is none to choose.
    Value next = b.select(isGood, choice, b.i32(0));
    Value step = b.rem(position, DSV2RT_SAMPLE_STEPS);
    Value slot = b.add(b.mul(step, b.gridSize()), r.row);
    b.store(b.select(isGood, choice, b.i32(-1)), b.at(chosen, r.i32, slot));
    b.store(next, b.at(tokens, r.i32, token));
    b.store(position, place);
    b.ifThen(r.hasPenalty, [&] {
      Value word =
          b.at(r.seen, r.i32, r.row, r.seenStride, b.div(next, kWarpSize));
      Value bit = arith::ShLIOp::create(b, b.i32(1), b.rem(next, kWarpSize));
      b.store(arith::OrIOp::create(b, b.load(r.i32, word), bit), word);
    });
  });
}

LLVM::LLVMFuncOp dsv2::gpu::getOrCreateSampleChooseKernel(ModuleOp module) {
  MLIRContext *c = module.getContext();
  auto kernel = getOrCreateKernel(
      module, kSampleChooseName, DrawToken::kThreads,
      {pointerOf(c, 0), strideOf(c, 0, 0), pointerOf(c, 2), pointerOf(c, 1),
       pointerOf(c, 6), strideOf(c, 6, 0), pointerOf(c, 3), pointerOf(c, 4),
       pointerOf(c, 5), pointerOf(c, 7)},
      [&](SimtBuilder &b, ValueRange args) {
        SampleRow row(b, b.blockId(0), args[0], args[1], args[2], args[4],
                      args[5]);
        emitChoose(row, args);
      },
      Waiting::Never);
  setCostFacts(kernel, SampleChooseFacts{});
  return kernel;
}
