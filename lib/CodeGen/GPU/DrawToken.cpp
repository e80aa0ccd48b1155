//===- DrawToken.cpp - drawing a token by its weight ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DrawToken.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

DrawToken::DrawToken(SampleRow &row, const Best &best)
    : TokenWeights(row, best.logit), lane(b.lane()), warp(b.warp()) {
  takeShare(b.i32(0), r.vocabulary);
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

SmallVector<Value> DrawToken::forTokens(ValueRange inits, VisitLane body) {
  Value from = begin, to = end, step = b.i32(kUnroll * kWarpSize);
  if (fromList)
    from = b.i32(0), to = listed, step = b.i32(kWarpSize);
  auto visit = [&](Value group, ValueRange carried) {
    if (!fromList)
      return body(loadLane(b.add(group, b.mul(lane, kUnroll)), end), carried);
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
  SmallVector<Value> results = b.ifYield(
      cutsByCount,
      [&] {
        Kept fewer = select(kept, widen(topK), [&](Value) { return i64(1); });
        return SmallVector<Value>{fewer.limit, fewer.ties};
      },
      ValueRange{kept.limit, kept.ties});
  return {results[0], results[1]};
}

Value DrawToken::wantedShare(Value total) {
  // Rounded down, so that a share that is a sum is reached by it; but nothing
  // at all is never enough.
  Value wanted = mulHigh(topP, total);
  return b.select(less64(wanted, i64(1)), i64(1), wanted);
}

DrawToken::Kept DrawToken::keepTopP(Kept kept) {
  SmallVector<Value> results = b.ifYield(
      cutsByWeight,
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
      ValueRange{kept.limit, kept.ties});
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

DrawToken::Owner DrawToken::findOwner(Value itsWeight, Value ties, Aim aim) {
  Value upTo = scanWarp(itsWeight);
  Value target = aim(shuffle64(upTo, [&](Value word) {
    return b.shuffleFrom(word, b.i32(kWarpSize - 1));
  }));
  Value share = b.lowestBit(b.ballot(less64(target, upTo)));
  Value before = shuffle64(b.sub(upTo, itsWeight), [&](Value word) {
    return b.shuffleFrom(word, share);
  });
  return {share, b.shuffleFrom(ties, share), b.sub(target, before)};
}

DrawToken::Owner DrawToken::findWarp(Kept kept, Aim aim) {
  // What each warp's tokens weigh, without those at the limit, which it counts.
  SmallVector<Value> own =
      forTokens({i64(0), b.i32(0)}, [&](const Lane &tokens, ValueRange sums) {
        Value sum = sums[0], equals = sums[1];
        for (auto [q, exists] : llvm::zip_equal(tokens.qs, tokens.isThere)) {
          Value counts = b.logicalAnd(exists, isBelow(q, kept.limit));
          sum = b.add(sum, b.select(counts, drawnWeight(q), i64(0)));
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
  Value itsEquals = b.load(r.i32, b.at(warpEquals, r.i32, lane));
  Value equalsBefore = b.sub(scanWarp(itsEquals), itsEquals);
  Value tiesLeft = b.max(b.sub(kept.ties, equalsBefore), b.i32(0));
  Value itsTies = b.min(itsEquals, tiesLeft);
  Value itsSum = b.add(b.load(r.i64, b.at(warpSums, r.i64, lane)),
                       b.mul(widen(itsTies), drawnWeight(kept.limit)));
  b.barrier();
  return findOwner(itsSum, tiesLeft, aim);
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

DrawToken::Stretch DrawToken::narrow(const Stretch &tokens, Value limit,
                                     Aim aim) {
  Value share = takeShare(tokens.begin, tokens.end);
  Owner owner = findWarp({limit, tokens.ties}, aim);
  Value first =
      b.min(b.add(tokens.begin, b.mul(owner.share, share)), tokens.end);
  return {first, b.min(b.add(first, share), tokens.end), owner.target,
          owner.ties};
}

void DrawToken::storeDrawnOf(const Stretch &tokens, Value limit) {
  b.ifThen(b.equal(warp, b.i32(0)), [&] {
    begin = tokens.begin, end = tokens.end;
    storeDrawn({limit, tokens.ties}, tokens.target);
  });
  takeShare(b.i32(0), r.vocabulary);
}

Value DrawToken::drawFrom(Kept kept, Value position) {
  auto fresh = [&](Value total) { return mulHigh(uniform(position), total); };
  if (fromList) {
    Owner owner = findWarp(kept, fresh);
    b.ifThen(b.equal(warp, owner.share),
             [&] { storeDrawn({kept.limit, owner.ties}, owner.target); });
  } else {
    // The share of the warp that has the token is then all warps' again, and
    // what is left of it one warp's.
    Stretch all = {b.i32(0), r.vocabulary, i64(0), kept.ties};
    Stretch some = narrow(all, kept.limit, fresh);
    auto same = [&](Value) { return some.target; };
    storeDrawnOf(narrow(some, kept.limit, same), kept.limit);
  }
  return loadDrawn();
}

Value DrawToken::drawFromAll(Value position, Value partWeight) {
  Value noLimit = b.i32(-1), noTies = b.i32(0);
  Owner owner = findOwner(partWeight, noTies, [&](Value total) {
    return mulHigh(uniform(position), total);
  });
  auto [first, last] = r.part(owner.share);
  auto same = [&](Value) { return owner.target; };
  storeDrawnOf(narrow({first, last, owner.target, noTies}, noLimit, same),
               noLimit);
  return loadDrawn();
}

Value DrawToken::loadDrawn() {
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

Value DrawToken::emit(Value position, Value partWeight) {
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
    return b.ifYield(
        fits, [&] { return limited(true); }, [&] { return limited(false); });
  };
  return b
      .ifYield(
          isLimited, limit,
          [&] { return SmallVector<Value>{drawFromAll(position, partWeight)}; })
      .front();
}
