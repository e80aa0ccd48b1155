//===- EmitSearch.cpp - Running sums, by the lanes of a warp -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

using namespace mlir;
using namespace mlir::dsv2::tile;

/// Summands that a lane computes at a time: loads that do not wait for each
/// other.
static constexpr int64_t kSummands = 4;

LogicalResult KernelEmitter::emitSearch(SearchSumsOp op) {
  Value count = lookupOne(op.getCount()), target = lookupOne(op.getTarget());
  auto shuffle = [&](NVVM::ShflKind kind, Value value, Value lane,
                     int64_t clamp) -> Value {
    return NVVM::ShflOp::create(b, i32Type, i32(-1), value, lane, i32(clamp),
                                kind, UnitAttr());
  };
  // Turn by turn, the summands of this lane, 4 neighbours, as long as all of
  // the warp's do not reach far enough.
  SmallVector<Type> types(2 + kSummands, i32Type);
  SmallVector<Value> initial(2 + kSummands, i32(0));
  auto loop = scf::WhileOp::create(b, types, initial);
  SmallVector<Location> locations(types.size(), op.getLoc());
  OpBuilder::InsertionGuard guard(b);
  Block *before = b.createBlock(&loop.getBefore(), {}, types, locations);
  Value start = before->getArgument(0), sumBefore = before->getArgument(1);
  auto inRange = scf::IfOp::create(b, SmallVector<Type>(kSummands, i32Type),
                                   less(start, count), /*addThenBlock=*/true,
                                   /*addElseBlock=*/true);
  b.setInsertionPointToStart(inRange.thenBlock());
  SmallVector<Value> summands;
  Value first = add(start, mul(lane, kSummands));
  for (int64_t i = 0; i < kSummands; ++i) {
    Value index = add(first, i);
    Value isValid = less(index, count);
    // Behind the last, that again.
    bind(op.getBody().getArgument(0), select(isValid, index, add(count, -1)));
    for (Operation &inner : op.getBody().front().without_terminator())
      if (failed(emitOp(&inner)))
        return failure();
    Value summand =
        lookupOne(op.getBody().front().getTerminator()->getOperand(0));
    summands.push_back(select(isValid, summand, i32(0)));
  }
  scf::YieldOp::create(b, summands);
  b.setInsertionPointToStart(inRange.elseBlock());
  scf::YieldOp::create(b, SmallVector<Value>(kSummands, i32(0)));
  b.setInsertionPointAfter(inRange);
  Value laneSum = inRange.getResult(0);
  for (int64_t i = 1; i < kSummands; ++i)
    laneSum = add(laneSum, inRange.getResult(i));
  Value warpSum = laneSum;
  for (int64_t distance = 16; distance > 0; distance /= 2)
    warpSum =
        add(warpSum, shuffle(NVVM::ShflKind::bfly, warpSum, i32(distance), 31));
  Value next = add(sumBefore, warpSum);
  Value reached = less(target, next);
  Value goesOn = arith::AndIOp::create(
      b, less(start, count),
      arith::XOrIOp::create(b, reached,
                            arith::ConstantOp::create(b, b.getBoolAttr(true))));
  // While it goes on, what the next turn starts from; then what this one had.
  SmallVector<Value> passed{select(goesOn, add(start, 32 * kSummands), start),
                            select(goesOn, next, sumBefore)};
  llvm::append_range(passed, inRange.getResults());
  scf::ConditionOp::create(b, goesOn, passed);
  Block *after = b.createBlock(&loop.getAfter(), {}, types, locations);
  scf::YieldOp::create(b, after->getArguments());

  // Up to this lane's last, then down to the one that passes the target.
  b.setInsertionPointAfter(loop);
  ValueRange own = loop.getResults().drop_front(2);
  laneSum = own[0];
  for (Value more : own.drop_front())
    laneSum = add(laneSum, more);
  Value running = laneSum;
  for (int64_t distance = 1; distance < 32; distance *= 2) {
    Value lower = shuffle(NVVM::ShflKind::up, running, i32(distance), 0);
    running = add(running, select(less(lane, i32(distance)), i32(0), lower));
  }
  Value sum = add(loop.getResult(1),
                  arith::SubIOp::create(b, running, laneSum).getResult());
  Value index = add(loop.getResult(0), mul(lane, kSummands));
  Value found = arith::ConstantOp::create(b, b.getBoolAttr(false));
  for (Value summand : own) {
    Value passes = less(target, add(sum, summand));
    found = arith::OrIOp::create(b, found, passes);
    sum = select(found, sum, add(sum, summand));
    index = select(found, index, add(index, 1));
  }
  Value lanes = NVVM::VoteSyncOp::create(b, i32Type, i32(-1), found,
                                         NVVM::VoteSyncKind::ballot);
  // No lane: there was none in range, and all are at what the last turn left.
  Value isFound =
      arith::CmpIOp::create(b, arith::CmpIPredicate::ne, lanes, i32(0));
  Value from = LLVM::CountTrailingZerosOp::create(
      b, i32Type, select(isFound, lanes, i32(1)), /*is_zero_poison=*/true);
  bind(op.getIndex(),
       select(isFound, shuffle(NVVM::ShflKind::idx, index, from, 31), count));
  bind(op.getBefore(), shuffle(NVVM::ShflKind::idx, sum, from, 31));
  return success();
}
