//===- SimtSample.cpp - choosing the next token on the device -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What dsv2rt/sampling.h says, for a row of logits that stays on the device.
// Nothing is sorted. How far below the largest a logit is, is a whole number q,
// in units of 2^-24. Top-k and top-p keep the tokens whose q is below some
// number, and of those that have it the first few; digits of that number are
// found one after the other, from counts or sums of weights by digit. Weights
// follow from q, and are whole numbers too, so that their sums do not depend on
// an order.
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/GPU/KernelCosts.h"
#include "dsv2/CodeGen/GPU/SimtKernels.h"

#include "dsv2rt/abi.h"

#include <cstddef>
#include <limits>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

/// Words of a part's record: the largest logit, its token, whether a logit is
/// no number to choose by.
static constexpr int64_t kPartWords = DSV2RT_SAMPLE_PART_WORDS;
static constexpr int64_t kRowWords = sizeof(dsv2rt_sampling_row) / 4;
static_assert(DSV2RT_SAMPLE_PARTS == kWarpSize, "a lane looks at a part");

/// What comes after the last token.
static constexpr int64_t kNoToken = std::numeric_limits<int32_t>::max();

namespace {

/// The largest logit of some tokens, and the first token that has it.
struct Best {
  Value logit, token;
  /// Not 0: there is a NaN or +inf among them.
  Value bad;
};

/// What both kernels know of one row.
class SampleRow {
public:
  SampleRow(SimtBuilder &b, Value row, Value logits, Value stride,
            Value sampling, Value seen, Value seenStride);

  /// The logit of a token as it was computed.
  Value loadLogit(Value token);
  /// The word that tells whether a token has occurred, and the token's logit
  /// after the penalty, which there is.
  Value loadSeen(Value token);
  Value penalise(Value word, Value token, Value logit);

  /// The better of two.
  Best better(const Best &one, const Best &other);
  /// The best of a warp's, in all lanes.
  Best bestOfWarp(Best best);
  Best none() { return {b.f32(-kInfinity), b.i32(kNoToken), b.i32(0)}; }

  Value setting(Type type, size_t offset) {
    Value base = b.at(sampling, b.getI32Type(), b.mul(row, kRowWords));
    return b.load(type, b.at(base, b.getI32Type(), b.i32(offset / 4)));
  }

  static constexpr float kInfinity = std::numeric_limits<float>::infinity();

  SimtBuilder &b;
  Type i32, i64, f32;
  Value row, logits, stride, sampling, seen, seenStride;
  /// Tokens to choose from, and whether there is a penalty.
  Value vocabulary, penalty, inversePenalty, hasPenalty;
};

} // namespace

static Value compare(SimtBuilder &b, arith::CmpFPredicate predicate, Value x,
                     Value y) {
  return arith::CmpFOp::create(b, predicate, x, y);
}

static Value compare(SimtBuilder &b, arith::CmpIPredicate predicate, Value x,
                     Value y) {
  return arith::CmpIOp::create(b, predicate, x, y);
}

using MakeValues = llvm::function_ref<SmallVector<Value>()>;

/// What `then` or `otherwise` give, of these types.
static SmallVector<Value> ifValues(SimtBuilder &b, Value condition,
                                   TypeRange types, MakeValues then,
                                   MakeValues otherwise) {
  auto branch = scf::IfOp::create(b, types, condition,
                                  /*addThenBlock=*/true, /*addElseBlock=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  scf::YieldOp::create(b, then());
  b.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(b, otherwise());
  return SmallVector<Value>(branch.getResults());
}

/// What `then` gives if the condition holds, else `otherwise`.
static SmallVector<Value> ifValues(SimtBuilder &b, Value condition,
                                   MakeValues then, ValueRange otherwise) {
  return ifValues(b, condition, otherwise.getTypes(), then,
                  [&] { return SmallVector<Value>(otherwise); });
}

SampleRow::SampleRow(SimtBuilder &b, Value row, Value logits, Value stride,
                     Value sampling, Value seen, Value seenStride)
    : b(b), i32(b.getI32Type()), i64(b.getI64Type()), f32(b.getF32Type()),
      row(row), logits(logits), stride(stride), sampling(sampling), seen(seen),
      seenStride(seenStride) {
  vocabulary = setting(i32, offsetof(dsv2rt_sampling_row, vocabulary));
  penalty = setting(f32, offsetof(dsv2rt_sampling_row, penalty));
  inversePenalty = b.fdiv(b.f32(1.0), penalty);
  hasPenalty = compare(b, arith::CmpFPredicate::ONE, penalty, b.f32(1.0));
}

Value SampleRow::loadLogit(Value token) {
  return b.load(f32, b.at(logits, f32, row, stride, token));
}

Value SampleRow::loadSeen(Value token) {
  return b.load(i32, b.at(seen, i32, row, seenStride, b.div(token, kWarpSize)));
}

Value SampleRow::penalise(Value word, Value token, Value logit) {
  Value bit = arith::ShRUIOp::create(b, word, b.rem(token, kWarpSize));
  Value occurred = arith::TruncIOp::create(b, b.getI1Type(), bit);
  Value isFinite =
      compare(b, arith::CmpFPredicate::OGT, logit, b.f32(-kInfinity));
  Value isPositive = compare(b, arith::CmpFPredicate::OGT, logit, b.f32(0.0));
  Value changed = b.fmul(logit, b.select(isPositive, inversePenalty, penalty));
  // An absurd penalty must not make an infinity out of a finite logit.
  constexpr float largest = std::numeric_limits<float>::max();
  changed = b.fmax(changed, b.f32(-largest));
  changed =
      b.select(compare(b, arith::CmpFPredicate::OLT, changed, b.f32(largest)),
               changed, b.f32(largest));
  return b.select(b.logicalAnd(occurred, isFinite), changed, logit);
}

Best SampleRow::better(const Best &one, const Best &other) {
  Value isLarger =
      compare(b, arith::CmpFPredicate::OGT, other.logit, one.logit);
  Value isEqual = compare(b, arith::CmpFPredicate::OEQ, other.logit, one.logit);
  Value wins = arith::OrIOp::create(
      b, isLarger, b.logicalAnd(isEqual, b.less(other.token, one.token)));
  return {b.select(wins, other.logit, one.logit),
          b.select(wins, other.token, one.token),
          arith::OrIOp::create(b, one.bad, other.bad)};
}

Best SampleRow::bestOfWarp(Best best) {
  for (int32_t mask = kWarpSize / 2; mask > 0; mask /= 2)
    best = better(best, {b.shuffleXor(best.logit, mask),
                         b.shuffleXor(best.token, mask),
                         b.shuffleXor(best.bad, mask)});
  return best;
}

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

static constexpr int64_t kScanWarps = 8;

static void emitScan(SampleRow &r, Value parts) {
  SimtBuilder &b = r.b;
  constexpr int64_t kThreads = kScanWarps * kWarpSize;
  /// Loads that are under way at once.
  constexpr int64_t kUnroll = 4;
  Value part = b.blockId(0);
  Value share = b.ceilDiv(r.vocabulary, DSV2RT_SAMPLE_PARTS);
  Value begin = b.min(b.mul(part, share), r.vocabulary);
  Value end = b.min(b.add(begin, share), r.vocabulary);
  Best first = r.none();
  SmallVector<Value> found = b.forCarry(
      b.add(begin, b.threadId()), end, b.i32(kUnroll * kThreads),
      {first.logit, first.token, first.bad}, [&](Value at, ValueRange carried) {
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
        values = ifValues(
            b, r.hasPenalty,
            [&] {
              SmallVector<Value> penalised;
              for (auto [token, value] : llvm::zip_equal(tokens, values))
                penalised.push_back(
                    r.penalise(r.loadSeen(token), token, value));
              return penalised;
            },
            values);
        for (int64_t i = 0; i < kUnroll; ++i)
          best = r.better(best, {values[i], tokens[i], bad[i]});
        return SmallVector<Value>{best.logit, best.token, best.bad};
      });
  Best best = r.bestOfWarp({found[0], found[1], found[2]});
  Value shared = b.sharedArray("best", r.i32, kScanWarps * kPartWords);
  auto recordOf = [&](Value warp) {
    return b.at(shared, r.i32, b.mul(warp, kPartWords));
  };
  b.ifThen(b.equal(b.lane(), b.i32(0)),
           [&] { storePart(b, best, recordOf(b.warp())); });
  b.barrier();
  b.ifThen(b.equal(b.threadId(), b.i32(0)), [&] {
    Best all = loadPart(b, recordOf(b.i32(0)));
    for (int64_t warp = 1; warp < kScanWarps; ++warp)
      all = r.better(all, loadPart(b, recordOf(b.i32(warp))));
    Value index = b.add(b.mul(r.row, DSV2RT_SAMPLE_PARTS), part);
    storePart(b, all, b.at(parts, r.i32, b.mul(index, kPartWords)));
  });
}

LLVM::LLVMFuncOp dsv2::gpu::getOrCreateSampleScanKernel(ModuleOp module) {
  MLIRContext *c = module.getContext();
  auto kernel =
      getOrCreateKernel(module, kSampleScanName, kScanWarps * kWarpSize,
                        {pointerOf(c, 0), strideOf(c, 0, 0), pointerOf(c, 1),
                         pointerOf(c, 2), strideOf(c, 2, 0), pointerOf(c, 3)},
                        [&](SimtBuilder &b, ValueRange args) {
                          SampleRow row(b, b.blockId(1), args[0], args[1],
                                        args[2], args[3], args[4]);
                          emitScan(row, args[5]);
                        });
  setCostFacts(kernel, SampleScanFacts{});
  return kernel;
}

//===----------------------------------------------------------------------===//
// Drawing a token
//===----------------------------------------------------------------------===//

namespace {

/// Emits the choice among the tokens of a row by their weights, by one block of
/// kWarps warps. Each warp has a stretch of the tokens and goes over it in
/// order, every lane some adjacent ones at a time. The first digit of the first
/// limit leaves a few tokens, as a rule, which each warp then has in a list.
class DrawToken {
public:
  static constexpr int64_t kWarps = 32;
  static constexpr int64_t kThreads = kWarps * kWarpSize;

  DrawToken(SampleRow &row, const Best &best);

  /// A token; the same in all threads. All of the block have to be here.
  Value emit(Value position);

private:
  /// Adjacent logits of a lane: those of one load.
  static constexpr int64_t kUnroll = 4;
  /// Digits of a q, their bits, and counters.
  static constexpr int64_t kDigits = 3, kDigitBits = 11, kLastDigitBits = 10;
  static constexpr int64_t kBins = 1 << kDigitBits;
  static constexpr int64_t kThreadBins = kBins / kThreads;
  /// A measure's words, which are added up one by one, as there is no addition
  /// of 64 bits in shared memory: of 13, 13 and 14 bits, so that the sums of
  /// DSV2RT_SAMPLE_VOCABULARY tokens fit.
  static constexpr int64_t kParts = 3, kPartBits = 13;
  /// Tokens of a warp's list.
  static constexpr int64_t kListed = 64;
  /// The weight of the likeliest token is 2^kWeightBits.
  static constexpr int64_t kWeightBits = 40;

  Value i64(int64_t value) {
    return arith::ConstantIntOp::create(b, b.getI64Type(), value);
  }
  Value less64(Value x, Value y) {
    return compare(b, arith::CmpIPredicate::ult, x, y);
  }
  Value widen(Value value) {
    return arith::ExtUIOp::create(b, b.getI64Type(), value);
  }
  /// The upper half of a product.
  Value mulHigh(Value x, Value y) {
    return arith::MulUIExtendedOp::create(b, x, y).getHigh();
  }
  Value shuffle64(Value value, llvm::function_ref<Value(Value)> shuffle);
  Value sumOfWarp(Value value);
  /// Sums over this lane and those before it.
  Value scanWarp(Value value);

  Value distance(Value logit);
  Value weightFloat(Value q);
  Value weight(Value q);
  Value reachesMinP(Value q) {
    return compare(b, arith::CmpFPredicate::OGE, weightFloat(q), minP);
  }
  /// Some tokens of a lane, adjacent ones: their q, and whether each exists.
  struct Lane {
    SmallVector<Value> tokens, qs, isThere;
  };
  using VisitLane =
      llvm::function_ref<SmallVector<Value>(const Lane &, ValueRange)>;
  /// Goes over the warp's tokens, or those of its list; `body` also gets what
  /// was carried.
  SmallVector<Value> forTokens(ValueRange inits, VisitLane body);
  Lane loadLane(Value first);

  /// Tokens that are still in question: all whose q is below `limit`, and the
  /// first `ties` of those that have it.
  struct Kept {
    Value limit, ties;
  };
  /// Of `kept`, the likeliest whose measures add up to at least `wanted`, which
  /// they do.
  Kept select(Kept kept, Value wanted,
              llvm::function_ref<Value(Value)> measure);
  /// Adds up measures by a digit, of the tokens that `counts` says.
  void fillBins(llvm::function_ref<Value(Value)> counts,
                llvm::function_ref<Value(Value)> digit,
                llvm::function_ref<Value(Value)> measure);
  /// The thread's bins, which are adjacent.
  SmallVector<Value> loadBins();
  /// The sum of all bins.
  Value sumOfBins();
  /// The bin that brings the sum to `wanted`, i32, and the sum of those before.
  std::pair<Value, Value> findBin(Value wanted);
  /// Lists the tokens whose q is at most `limit`; returns whether there was
  /// room for all.
  Value makeLists(Value limit);
  Kept keepTopK(Kept kept);
  Kept keepTopP(Kept kept);
  /// What of a sum top-p wants.
  Value wantedShare(Value total);
  Value sumOfBlock(Value value);
  Value uniform(Value position);
  Value isBelow(Value q, Value limit);
  /// Which warp has the token that is drawn, how many ties are left from its
  /// tokens on, and how far into the weights of its tokens the target is.
  struct Owner {
    Value warp, ties, target;
  };
  /// Finds it, where `aim` makes a target from the sum of all weights.
  Owner findOwner(Kept kept, llvm::function_ref<Value(Value)> aim);
  /// Stores the token of this warp that `target` meets.
  void storeDrawn(Kept kept, Value target);
  /// Gives the warp its share of some tokens; returns how many that are.
  Value takeShare(Value from, Value to);
  Value drawFrom(Kept kept, Value position);

  SampleRow &r;
  SimtBuilder &b;
  Value top, scale, minP;
  Value lane, warp, begin, end;
  Value bins, warpSums, warpEquals, result, listsOverflow;
  /// Settings, and whether they leave anything out.
  Value topK, topP, cutsByCount, cutsByWeight;
  /// The warp's list, and how much of it is used. Tokens come from there while
  /// code is emitted with `fromList`.
  Value listedTokens, listedQs, listed, isAligned;
  bool fromList = false;
  /// The sum of the weights of all tokens, if there are lists for top-p alone.
  Value totalWeight;
};

} // namespace

DrawToken::DrawToken(SampleRow &row, const Best &best)
    : r(row), b(row.b), top(best.logit), lane(b.lane()), warp(b.warp()) {
  scale = r.setting(r.f32, offsetof(dsv2rt_sampling_row, scale));
  minP = r.setting(r.f32, offsetof(dsv2rt_sampling_row, min_p));
  takeShare(b.i32(0), r.vocabulary);
  topK = r.setting(r.i32, offsetof(dsv2rt_sampling_row, top_k));
  topP = r.setting(r.i64, offsetof(dsv2rt_sampling_row, top_p));
  cutsByCount =
      b.logicalAnd(b.less(b.i32(0), topK), b.less(topK, r.vocabulary));
  cutsByWeight = compare(b, arith::CmpIPredicate::ne, topP, i64(-1));
  isAligned = b.areMultiplesOf16({r.logits}, {{r.stride, r.f32}});
  Value ownList = b.mul(warp, kListed);
  listedTokens =
      b.at(b.sharedArray("tokens", r.i32, kWarps * kListed), r.i32, ownList);
  listedQs = b.at(b.sharedArray("qs", r.i32, kWarps * kListed), r.i32, ownList);
  bins = b.sharedArray("bins", r.i32, kBins * kParts);
  // Lane l looks at warp l.
  static_assert(kWarps == kWarpSize);
  warpSums = b.sharedArray("sums", r.i64, kWarps);
  warpEquals = b.sharedArray("equals", r.i32, kWarps);
  result = b.sharedArray("result", r.i64, 2);
  listsOverflow = b.sharedArray("overflow", r.i32, 1);
  b.ifThen(b.equal(b.threadId(), b.i32(0)),
           [&] { b.store(b.i32(0), listsOverflow); });
}

Value DrawToken::shuffle64(Value value,
                           llvm::function_ref<Value(Value)> shuffle) {
  Value low = arith::TruncIOp::create(b, r.i32, value);
  Value high = arith::TruncIOp::create(
      b, r.i32, arith::ShRUIOp::create(b, value, i64(32)));
  Value moved = arith::ShLIOp::create(b, widen(shuffle(high)), i64(32));
  return arith::OrIOp::create(b, moved, widen(shuffle(low)));
}

Value DrawToken::sumOfWarp(Value value) {
  for (int32_t mask = kWarpSize / 2; mask > 0; mask /= 2)
    value = b.add(value, shuffle64(value, [&](Value word) {
                    return b.shuffleXor(word, mask);
                  }));
  return value;
}

Value DrawToken::scanWarp(Value value) {
  bool isWide = value.getType() == r.i64;
  for (int32_t delta = 1; delta < kWarpSize; delta *= 2) {
    auto shuffle = [&](Value word) { return b.shuffleUp(word, delta); };
    Value other = isWide ? shuffle64(value, shuffle) : shuffle(value);
    value = b.select(b.less(lane, b.i32(delta)), value, b.add(value, other));
  }
  return value;
}

/// The sum over the block; the result is there for all threads, and so is the
/// memory it took.
Value DrawToken::sumOfBlock(Value value) {
  Value sum = sumOfWarp(value);
  b.ifThen(b.equal(lane, b.i32(0)),
           [&] { b.store(sum, b.at(warpSums, r.i64, warp)); });
  b.barrier();
  sum = sumOfWarp(b.load(r.i64, b.at(warpSums, r.i64, lane)));
  b.barrier();
  return sum;
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

Value DrawToken::distance(Value logit) {
  Value units = b.fmul(b.fsub(top, logit), b.f32(0x1p24));
  // The largest f32 below 2^32.
  Value limit = b.f32(4294967040.0);
  Value isInside = compare(b, arith::CmpFPredicate::OLT, units, limit);
  return arith::FPToUIOp::create(b, r.i32, b.select(isInside, units, limit));
}

Value DrawToken::weightFloat(Value q) {
  Value number = arith::UIToFPOp::create(b, r.f32, q);
  return b.exp2(b.fmul(b.fmul(number, b.f32(-0x1p-24)), scale));
}

Value DrawToken::weight(Value q) {
  Value scaled = b.fmul(weightFloat(q), b.f32(double(1ull << kWeightBits)));
  return arith::FPToUIOp::create(b, r.i64, scaled);
}

DrawToken::Lane DrawToken::loadLane(Value first) {
  Lane result;
  for (int64_t i = 0; i < kUnroll; ++i) {
    Value token = b.add(first, i);
    result.isThere.push_back(b.less(token, end));
    result.tokens.push_back(b.min(token, b.sub(end, b.i32(1))));
  }
  SmallVector<Type> types(kUnroll, r.f32);
  SmallVector<Value> values = ifValues(
      b, b.logicalAnd(isAligned, result.isThere.back()), types,
      [&] {
        return b.unpack(r.f32, b.loadWords(kUnroll, b.at(r.logits, r.f32, r.row,
                                                         r.stride, first)));
      },
      [&] {
        SmallVector<Value> loaded;
        for (Value token : result.tokens)
          loaded.push_back(r.loadLogit(token));
        return loaded;
      });
  values = ifValues(
      b, r.hasPenalty,
      [&] {
        // The bits of adjacent tokens are in one word.
        static_assert(kWarpSize % kUnroll == 0);
        Value word = r.loadSeen(first);
        SmallVector<Value> penalised;
        for (auto [token, value] : llvm::zip_equal(result.tokens, values))
          penalised.push_back(r.penalise(word, token, value));
        return penalised;
      },
      values);
  for (Value value : values)
    result.qs.push_back(distance(value));
  return result;
}

SmallVector<Value> DrawToken::forTokens(ValueRange inits, VisitLane body) {
  Value from = begin, to = end, step = b.i32(kUnroll * kWarpSize);
  if (fromList)
    from = b.i32(0), to = listed, step = b.i32(kWarpSize);
  auto visit = [&](Value group, ValueRange carried) {
    if (!fromList)
      return body(loadLane(b.add(group, b.mul(lane, kUnroll))), carried);
    Value place = b.add(group, lane);
    Value isThere = b.less(place, listed);
    place = b.min(place, b.sub(listed, b.i32(1)));
    return body({{b.load(r.i32, b.at(listedTokens, r.i32, place))},
                 {b.load(r.i32, b.at(listedQs, r.i32, place))},
                 {isThere}},
                carried);
  };
  if (!inits.empty())
    return b.forCarry(from, to, step, inits, visit);
  b.forEach(from, to, step, [&](Value group) { visit(group, {}); });
  return {};
}

//===----------------------------------------------------------------------===//
// What is kept
//===----------------------------------------------------------------------===//

void DrawToken::fillBins(llvm::function_ref<Value(Value)> counts,
                         llvm::function_ref<Value(Value)> digit,
                         llvm::function_ref<Value(Value)> measure) {
  b.forEach(b.threadId(), b.i32(kBins * kParts), b.i32(kThreads),
            [&](Value word) { b.store(b.i32(0), b.at(bins, r.i32, word)); });
  b.barrier();
  auto add = [&](Value q) {
    Value all = measure(q), bin = b.mul(digit(q), kParts);
    for (int64_t part = 0; part < kParts; ++part) {
      Value word = arith::TruncIOp::create(
          b, r.i32, arith::ShRUIOp::create(b, all, i64(part * kPartBits)));
      if (part + 1 < kParts)
        word = arith::AndIOp::create(b, word, b.i32((1 << kPartBits) - 1));
      Value isAny = compare(b, arith::CmpIPredicate::ne, word, b.i32(0));
      b.ifThen(isAny, [&] {
        LLVM::AtomicRMWOp::create(b, LLVM::AtomicBinOp::add,
                                  b.at(bins, r.i32, b.add(bin, part)), word,
                                  LLVM::AtomicOrdering::monotonic, "device");
      });
    }
  };
  forTokens({}, [&](const Lane &tokens, ValueRange) {
    for (auto [q, exists] : llvm::zip_equal(tokens.qs, tokens.isThere))
      b.ifThen(b.logicalAnd(exists, counts(q)), [&, q = q] { add(q); });
    return SmallVector<Value>();
  });
  b.barrier();
}

SmallVector<Value> DrawToken::loadBins() {
  SmallVector<Value> sums;
  for (int64_t i = 0; i < kThreadBins; ++i) {
    Value bin = b.mul(b.add(b.mul(b.threadId(), kThreadBins), i), kParts);
    Value sum = i64(0);
    for (int64_t part = kParts; part-- > 0;) {
      Value word = widen(b.load(r.i32, b.at(bins, r.i32, b.add(bin, part))));
      sum = b.add(arith::ShLIOp::create(b, sum, i64(kPartBits)), word);
    }
    sums.push_back(sum);
  }
  return sums;
}

Value DrawToken::sumOfBins() {
  Value sum = i64(0);
  for (Value bin : loadBins())
    sum = b.add(sum, bin);
  return sumOfBlock(sum);
}

std::pair<Value, Value> DrawToken::findBin(Value wanted) {
  SmallVector<Value> own = loadBins();
  Value sum = i64(0);
  for (Value bin : own)
    sum = b.add(sum, bin);
  Value upTo = scanWarp(sum);
  b.ifThen(b.equal(lane, b.i32(kWarpSize - 1)),
           [&] { b.store(upTo, b.at(warpSums, r.i64, warp)); });
  b.barrier();
  Value ofWarps = scanWarp(b.load(r.i64, b.at(warpSums, r.i64, lane)));
  Value before = shuffle64(ofWarps, [&](Value word) {
    return b.shuffleFrom(word, b.max(b.sub(warp, b.i32(1)), b.i32(0)));
  });
  before = b.select(b.equal(warp, b.i32(0)), i64(0), before);
  before = b.sub(b.add(before, upTo), sum);
  for (int64_t i = 0; i < kThreadBins; ++i) {
    Value after = b.add(before, own[i]);
    Value isIt =
        b.logicalAnd(less64(before, wanted),
                     compare(b, arith::CmpIPredicate::uge, after, wanted));
    b.ifThen(isIt, [&, before = before] {
      Value bin = b.add(b.mul(b.threadId(), kThreadBins), i);
      b.store(widen(bin), result);
      b.store(before, b.at(result, r.i64, b.i32(1)));
    });
    before = after;
  }
  b.barrier();
  return {arith::TruncIOp::create(b, r.i32, b.load(r.i64, result)),
          b.load(r.i64, b.at(result, r.i64, b.i32(1)))};
}

DrawToken::Kept DrawToken::select(Kept kept, Value wanted,
                                  llvm::function_ref<Value(Value)> measure) {
  SmallVector<Value> found = b.forCarry(
      b.i32(0), b.i32(kDigits), b.i32(1), {b.i32(0), wanted},
      [&](Value digit, ValueRange carried) {
        Value prefix = carried[0], left = carried[1];
        // 21, 10 and 0; the last digit has a bit less.
        Value shift = b.max(
            b.sub(b.i32(32 - kDigitBits), b.mul(digit, kDigitBits)), b.i32(0));
        Value isLast = b.equal(shift, b.i32(0));
        Value bits = b.select(isLast, b.i32(kLastDigitBits), b.i32(kDigitBits));
        Value above = widen(b.add(shift, bits));
        Value mask = b.sub(arith::ShLIOp::create(b, b.i32(1), bits), b.i32(1));
        fillBins(
            [&](Value q) {
              Value prefixOfQ = arith::ShRUIOp::create(b, widen(q), above);
              return b.logicalAnd(
                  compare(b, arith::CmpIPredicate::ule, q, kept.limit),
                  compare(b, arith::CmpIPredicate::eq, prefixOfQ,
                          widen(prefix)));
            },
            [&](Value q) {
              return arith::AndIOp::create(
                  b, arith::ShRUIOp::create(b, q, shift), mask);
            },
            measure);
        auto [bin, before] = findBin(left);
        prefix = arith::OrIOp::create(b, arith::ShLIOp::create(b, prefix, bits),
                                      bin);
        return SmallVector<Value>{prefix, b.sub(left, before)};
      });
  Value prefix = found[0], left = found[1];
  // Those that have this very q: as many as are still wanted.
  Value one = measure(prefix);
  Value least = i64(1);
  one = b.select(less64(one, least), least, one);
  Value ties = b.div(b.sub(b.add(left, one), i64(1)), one);
  Value wide = widen(kept.ties);
  Value isLimit = b.equal(prefix, kept.limit);
  Value isLess = less64(ties, wide);
  ties = b.select(isLimit, b.select(isLess, ties, wide), ties);
  return {prefix, arith::TruncIOp::create(b, r.i32, ties)};
}

Value DrawToken::makeLists(Value limit) {
  listed =
      forTokens({b.i32(0)}, [&](const Lane &tokens, ValueRange carried) {
        SmallVector<Value> isListed;
        Value count = b.i32(0);
        for (auto [q, exists] : llvm::zip_equal(tokens.qs, tokens.isThere)) {
          Value is = b.logicalAnd(
              exists, compare(b, arith::CmpIPredicate::ule, q, limit));
          isListed.push_back(is);
          count = b.add(count, b.select(is, b.i32(1), b.i32(0)));
        }
        Value upTo = scanWarp(count);
        Value place = b.add(carried[0], b.sub(upTo, count));
        for (auto [token, q, is] :
             llvm::zip_equal(tokens.tokens, tokens.qs, isListed)) {
          Value fits = b.less(place, b.i32(kListed));
          b.ifThen(b.logicalAnd(is, fits),
                   [&, token = token, q = q, place = place] {
                     b.store(token, b.at(listedTokens, r.i32, place));
                     b.store(q, b.at(listedQs, r.i32, place));
                   });
          place = b.add(place, b.select(is, b.i32(1), b.i32(0)));
        }
        Value all = b.shuffleFrom(upTo, b.i32(kWarpSize - 1));
        return SmallVector<Value>{b.add(carried[0], all)};
      }).front();
  Value isFirst = b.equal(lane, b.i32(0));
  b.ifThen(b.logicalAnd(isFirst, b.less(b.i32(kListed), listed)), [&] {
    LLVM::AtomicRMWOp::create(b, LLVM::AtomicBinOp::_or, listsOverflow,
                              b.i32(1), LLVM::AtomicOrdering::monotonic,
                              "device");
  });
  b.barrier();
  return b.equal(b.load(r.i32, listsOverflow), b.i32(0));
}

DrawToken::Kept DrawToken::keepTopK(Kept kept) {
  SmallVector<Value> results =
      ifValues(b, cutsByCount,
               [&] {
                 Kept fewer =
                     select(kept, widen(topK), [&](Value) { return i64(1); });
                 return SmallVector<Value>{fewer.limit, fewer.ties};
               },
               {kept.limit, kept.ties});
  return {results[0], results[1]};
}

Value DrawToken::wantedShare(Value total) {
  // Rounded down, so that a share that is a sum is reached by it; but nothing
  // at all is never enough.
  Value wanted = mulHigh(topP, total);
  return b.select(less64(wanted, i64(1)), i64(1), wanted);
}

DrawToken::Kept DrawToken::keepTopP(Kept kept) {
  SmallVector<Value> results = ifValues(
      b, cutsByWeight,
      [&] {
        // Of what is above the limit, and then of those that have it.
        SmallVector<Value> sums = forTokens(
            {i64(0), i64(0)}, [&](const Lane &tokens, ValueRange sums) {
              Value sum = sums[0], equal = sums[1];
              for (auto [q, exists] :
                   llvm::zip_equal(tokens.qs, tokens.isThere)) {
                Value above =
                    b.logicalAnd(exists, compare(b, arith::CmpIPredicate::ult,
                                                 q, kept.limit));
                Value same = b.logicalAnd(exists, b.equal(q, kept.limit));
                sum = b.add(sum, b.select(above, weight(q), i64(0)));
                equal = b.add(equal, b.select(same, i64(1), i64(0)));
              }
              return SmallVector<Value>{sum, equal};
            });
        Value equal = sumOfBlock(sums[1]);
        Value ties = widen(kept.ties);
        equal = b.select(less64(equal, ties), equal, ties);
        Value total =
            b.add(sumOfBlock(sums[0]), b.mul(equal, weight(kept.limit)));
        if (fromList)
          total = b.select(cutsByCount, total, totalWeight);
        Kept fewer = select(kept, wantedShare(total),
                            [&](Value q) { return weight(q); });
        return SmallVector<Value>{fewer.limit, fewer.ties};
      },
      {kept.limit, kept.ties});
  return {results[0], results[1]};
}

//===----------------------------------------------------------------------===//
// The draw
//===----------------------------------------------------------------------===//

/// The 64 random bits of a position, the last 11 of which are 0: Philox4x32-10,
/// as philox4x32() of the runtime computes it.
Value DrawToken::uniform(Value position) {
  Value seed = r.setting(r.i64, offsetof(dsv2rt_sampling_row, seed));
  auto low = [&](Value value) -> Value {
    return arith::TruncIOp::create(b, r.i32, value);
  };
  auto high = [&](Value value) {
    return low(arith::ShRUIOp::create(b, value, i64(32)));
  };
  auto exclusiveOr = [&](Value x, Value y) -> Value {
    return arith::XOrIOp::create(b, x, y);
  };
  Value key0 = low(seed), key1 = high(seed);
  Value x[4] = {position, b.i32(0), b.i32(0), b.i32(0)};
  for (int round = 0; round < 10; ++round) {
    Value product0 = b.mul(widen(x[0]), i64(0xD2511F53));
    Value product1 = b.mul(widen(x[2]), i64(0xCD9E8D57));
    Value next0 = exclusiveOr(exclusiveOr(high(product1), x[1]), key0);
    Value next2 = exclusiveOr(exclusiveOr(high(product0), x[3]), key1);
    x[0] = next0, x[1] = low(product1), x[2] = next2, x[3] = low(product0);
    key0 = b.add(key0, b.i32(int32_t(0x9E3779B9)));
    key1 = b.add(key1, b.i32(int32_t(0xBB67AE85)));
  }
  Value word = arith::OrIOp::create(
      b, arith::ShLIOp::create(b, widen(x[1]), i64(32)), widen(x[0]));
  return arith::AndIOp::create(b, word, i64(~int64_t(0x7FF)));
}

Value DrawToken::isBelow(Value q, Value limit) {
  return compare(b, arith::CmpIPredicate::ult, q, limit);
}

DrawToken::Owner DrawToken::findOwner(Kept kept,
                                      llvm::function_ref<Value(Value)> aim) {
  // What each warp's tokens weigh, without those at the limit, which it counts.
  SmallVector<Value> own =
      forTokens({i64(0), b.i32(0)}, [&](const Lane &tokens, ValueRange sums) {
        Value sum = sums[0], equals = sums[1];
        for (auto [q, exists] : llvm::zip_equal(tokens.qs, tokens.isThere)) {
          Value counts = b.logicalAnd(
              b.logicalAnd(exists, isBelow(q, kept.limit)), reachesMinP(q));
          sum = b.add(sum, b.select(counts, weight(q), i64(0)));
          Value isEqual = b.logicalAnd(exists, b.equal(q, kept.limit));
          equals = b.add(equals, b.select(isEqual, b.i32(1), b.i32(0)));
        }
        return SmallVector<Value>{sum, equals};
      });
  Value sum = sumOfWarp(own[0]);
  Value equals =
      b.warpReduce(own[1], [&](Value x, Value y) { return b.add(x, y); });
  b.ifThen(b.equal(lane, b.i32(0)), [&] {
    b.store(sum, b.at(warpSums, r.i64, warp));
    b.store(equals, b.at(warpEquals, r.i32, warp));
  });
  b.barrier();
  // Lane l looks at warp l: all warps find the same.
  Value limitWeight =
      b.select(reachesMinP(kept.limit), weight(kept.limit), i64(0));
  Value itsEquals = b.load(r.i32, b.at(warpEquals, r.i32, lane));
  Value equalsBefore = b.sub(scanWarp(itsEquals), itsEquals);
  Value tiesLeft = b.max(b.sub(kept.ties, equalsBefore), b.i32(0));
  Value itsTies = b.min(itsEquals, tiesLeft);
  Value itsSum = b.add(b.load(r.i64, b.at(warpSums, r.i64, lane)),
                       b.mul(widen(itsTies), limitWeight));
  b.barrier();
  Value upTo = scanWarp(itsSum);
  Value target = aim(shuffle64(upTo, [&](Value word) {
    return b.shuffleFrom(word, b.i32(kWarpSize - 1));
  }));
  Value owner = b.lowestBit(b.ballot(less64(target, upTo)));
  Value before = shuffle64(b.sub(upTo, itsSum), [&](Value word) {
    return b.shuffleFrom(word, owner);
  });
  return {owner, b.shuffleFrom(tiesLeft, owner), b.sub(target, before)};
}

void DrawToken::storeDrawn(Kept kept, Value target) {
  forTokens({i64(0), b.i32(0)}, [&](const Lane &tokens, ValueRange before) {
    SmallVector<Value> isEqual, weights;
    Value laneEquals = b.i32(0);
    for (auto [q, exists] : llvm::zip_equal(tokens.qs, tokens.isThere)) {
      isEqual.push_back(b.select(b.logicalAnd(exists, b.equal(q, kept.limit)),
                                 b.i32(1), b.i32(0)));
      laneEquals = b.add(laneEquals, isEqual.back());
    }
    Value equalsUpTo = scanWarp(laneEquals);
    Value rank = b.add(before[1], b.sub(equalsUpTo, laneEquals));
    Value laneSum = i64(0);
    for (auto [q, exists, equal] :
         llvm::zip_equal(tokens.qs, tokens.isThere, isEqual)) {
      Value isTie =
          b.logicalAnd(b.equal(equal, b.i32(1)), b.less(rank, kept.ties));
      Value isKept = b.logicalAnd(exists, isBelow(q, kept.limit));
      isKept = arith::OrIOp::create(b, isKept, isTie);
      isKept = b.logicalAnd(isKept, reachesMinP(q));
      weights.push_back(b.select(isKept, weight(q), i64(0)));
      laneSum = b.add(laneSum, weights.back());
      rank = b.add(rank, equal);
    }
    Value sumUpTo = b.add(before[0], scanWarp(laneSum));
    Value running = b.sub(sumUpTo, laneSum);
    // Sums grow from token to token, so that this is so once.
    for (auto [token, weight] : llvm::zip_equal(tokens.tokens, weights)) {
      Value next = b.add(running, weight);
      Value isIt =
          b.logicalAnd(compare(b, arith::CmpIPredicate::ule, running, target),
                       less64(target, next));
      b.ifThen(isIt, [&, token = token] { b.store(widen(token), result); });
      running = next;
    }
    auto ofLast = [&](Value word) {
      return b.shuffleFrom(word, b.i32(kWarpSize - 1));
    };
    return SmallVector<Value>{shuffle64(sumUpTo, ofLast),
                              b.add(before[1], ofLast(equalsUpTo))};
  });
}

Value DrawToken::drawFrom(Kept kept, Value position) {
  auto fresh = [&](Value total) { return mulHigh(uniform(position), total); };
  if (fromList) {
    Owner owner = findOwner(kept, fresh);
    b.ifThen(b.equal(warp, owner.warp),
             [&] { storeDrawn({kept.limit, owner.ties}, owner.target); });
  } else {
    // The stretch of the warp that has the token is then all warps' again, and
    // what is left of it one warp's.
    constexpr int64_t kLevels = 2;
    SmallVector<Value> left = b.forCarry(
        b.i32(0), b.i32(kLevels), b.i32(1),
        {b.i32(0), r.vocabulary, i64(0), kept.ties},
        [&](Value level, ValueRange carried) {
          Value from = carried[0], to = carried[1];
          Value share = takeShare(from, to);
          Owner owner = findOwner({kept.limit, carried[3]}, [&](Value total) {
            return b.select(b.equal(level, b.i32(0)), fresh(total), carried[2]);
          });
          Value first = b.min(b.add(from, b.mul(owner.warp, share)), to);
          return SmallVector<Value>{first, b.min(b.add(first, share), to),
                                    owner.target, owner.ties};
        });
    b.ifThen(b.equal(warp, b.i32(0)), [&] {
      begin = left[0], end = left[1];
      storeDrawn({kept.limit, left[3]}, left[2]);
    });
    takeShare(b.i32(0), r.vocabulary);
  }
  b.barrier();
  return arith::TruncIOp::create(b, r.i32, b.load(r.i64, result));
}

Value DrawToken::takeShare(Value from, Value to) {
  constexpr int64_t kGroup = kUnroll * kWarpSize;
  Value share = b.mul(b.ceilDiv(b.sub(to, from), kWarps * kGroup), kGroup);
  begin = b.min(b.add(from, b.mul(warp, share)), to);
  end = b.min(b.add(begin, share), to);
  return share;
}

Value DrawToken::emit(Value position) {
  Kept all = {b.i32(-1), b.i32(kNoToken)};
  auto limited = [&](bool lists) {
    fromList = lists;
    Value token = drawFrom(keepTopP(keepTopK(all)), position);
    fromList = false;
    return SmallVector<Value>{token};
  };
  auto limit = [&] {
    // The first digit of the first limit bounds what either leaves.
    constexpr int64_t kShift = 32 - kDigitBits;
    Value always = arith::ConstantIntOp::create(b, b.getI1Type(), 1);
    fillBins(
        [&](Value) { return always; },
        [&](Value q) { return arith::ShRUIOp::create(b, q, b.i32(kShift)); },
        [&](Value q) { return b.select(cutsByCount, i64(1), weight(q)); });
    totalWeight = sumOfBins();
    Value bin =
        findBin(b.select(cutsByCount, widen(topK), wantedShare(totalWeight)))
            .first;
    Value next = arith::ShLIOp::create(b, b.add(bin, 1), b.i32(kShift));
    Value fits = makeLists(b.sub(next, b.i32(1)));
    return ifValues(
        b, fits, r.i32, [&] { return limited(true); },
        [&] { return limited(false); });
  };
  Value limits = arith::OrIOp::create(b, cutsByCount, cutsByWeight);
  return ifValues(b, limits, r.i32, limit,
                  [&] { return SmallVector<Value>{drawFrom(all, position)}; })
      .front();
}

/// Emits the choice of one row and what the next step is to know of it.
static void emitChoose(SampleRow &r, ValueRange args) {
  SimtBuilder &b = r.b;
  Value rows = args[3], parts = args[6], tokens = args[7], positions = args[8],
        chosen = args[9];
  Value part = b.add(b.mul(r.row, DSV2RT_SAMPLE_PARTS), b.lane());
  Best best =
      r.bestOfWarp(loadPart(b, b.at(parts, r.i32, b.mul(part, kPartWords))));
  Value hasAny = compare(b, arith::CmpFPredicate::OGT, best.logit,
                         b.f32(-SampleRow::kInfinity));
  Value isGood = b.logicalAnd(hasAny, b.equal(best.bad, b.i32(0)));
  Value token = b.load(r.i32, b.at(rows, r.i32, r.row));
  Value place = b.at(positions, r.i32, token);
  Value position = b.add(b.load(r.i32, place), 1);
  Value scale = r.setting(r.f32, offsetof(dsv2rt_sampling_row, scale));
  Value draws = b.logicalAnd(
      isGood, compare(b, arith::CmpFPredicate::OGT, scale, b.f32(0.0)));
  Value choice =
      ifValues(
          b, draws,
          [&] { return SmallVector<Value>{DrawToken(r, best).emit(position)}; },
          best.token)
          .front();
  // All have read the position; who draws has waited for all since.
  b.barrier();
  b.ifThen(b.equal(b.threadId(), b.i32(0)), [&] {
    // A step goes on with token 0 where there is none to choose.
    Value next = b.select(isGood, choice, b.i32(0));
    b.store(b.select(isGood, choice, b.i32(-1)), b.at(chosen, r.i32, r.row));
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
