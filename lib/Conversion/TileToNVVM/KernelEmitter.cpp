//===- KernelEmitter.cpp - Writes one kernel for one thread --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::dsv2::tile;

KernelEmitter::KernelEmitter(KernelOp kernel, LLVM::LLVMFuncOp function,
                             LLVM::GlobalOp sharedMemory)
    : kernel(kernel), function(function), sharedMemory(sharedMemory),
      b(kernel.getLoc(), function.getContext()),
      layout(getSharedLayout(kernel)) {
  i32Type = b.getI32Type();
  f32Type = b.getF32Type();
  sharedPointer = LLVM::LLVMPointerType::get(b.getContext(), 3);
}

//===----------------------------------------------------------------------===//
// Builders of single ops
//===----------------------------------------------------------------------===//

Value KernelEmitter::i32(int64_t value) {
  return arith::ConstantOp::create(b, b.getI32IntegerAttr(value));
}
Value KernelEmitter::i64(int64_t value) {
  return arith::ConstantOp::create(b, b.getI64IntegerAttr(value));
}
Value KernelEmitter::add(Value x, Value y) {
  return b.createOrFold<arith::AddIOp>(x, y);
}
Value KernelEmitter::add(Value x, int64_t c) {
  return c == 0 ? x : add(x, x.getType() == i32Type ? i32(c) : i64(c));
}
Value KernelEmitter::mul(Value x, Value y) {
  return b.createOrFold<arith::MulIOp>(x, y);
}
Value KernelEmitter::mul(Value x, int64_t c) {
  return c == 1 ? x : mul(x, x.getType() == i32Type ? i32(c) : i64(c));
}
Value KernelEmitter::divide(Value x, int64_t c) {
  return b.createOrFold<arith::DivUIOp>(x, i32(c));
}
Value KernelEmitter::remainder(Value x, int64_t c) {
  return b.createOrFold<arith::RemUIOp>(x, i32(c));
}
Value KernelEmitter::less(Value x, Value y) {
  return b.createOrFold<arith::CmpIOp>(arith::CmpIPredicate::slt, x, y);
}
Value KernelEmitter::equal(Value x, int64_t c) {
  return b.createOrFold<arith::CmpIOp>(arith::CmpIPredicate::eq, x, i32(c));
}
Value KernelEmitter::select(Value condition, Value x, Value y) {
  return b.createOrFold<arith::SelectOp>(condition, x, y);
}

Value KernelEmitter::bytesFrom(Value pointer, Value offset) {
  return LLVM::GEPOp::create(b, pointer.getType(), b.getI8Type(), pointer,
                             LLVM::GEPArg(offset));
}
Value KernelEmitter::bytesFrom(Value pointer, int64_t offset) {
  if (offset == 0)
    return pointer;
  return LLVM::GEPOp::create(b, pointer.getType(), b.getI8Type(), pointer,
                             LLVM::GEPArg(static_cast<int32_t>(offset)));
}

Value KernelEmitter::elementAddress(Value pointer, Type element, Value row,
                                    Value stride, Value column) {
  auto widen = [&](Value value) -> Value {
    return b.createOrFold<arith::ExtSIOp>(b.getI64Type(), value);
  };
  Value index = widen(column);
  if (row)
    index = add(mul(widen(row), widen(stride)), index);
  return LLVM::GEPOp::create(b, pointer.getType(), element, pointer,
                             LLVM::GEPArg(index));
}

ArrayRef<Value> KernelEmitter::lookup(Value value) const {
  auto it = values.find(value);
  assert(it != values.end() && "value used before it was written");
  return it->second;
}

void KernelEmitter::bind(Value value, ArrayRef<Value> list) {
  // A copy first: the list may lie in the map, which may grow.
  SmallVector<Value> copy(list);
  values[value] = std::move(copy);
}

//===----------------------------------------------------------------------===//
// Structure
//===----------------------------------------------------------------------===//

LogicalResult KernelEmitter::emit() {
  b.setInsertionPointToStart(function.addEntryBlock(b));
  // Successors may start when all blocks of this kernel have, and so may this
  // one: all that it reads may be what predecessors write (kEarlyStartAttr).
  NVVM::GriddepcontrolOp::create(b, NVVM::GridDepActionKind::launch_dependents);
  if (kernel.getBody().getOps<AwaitPredecessorsOp>().empty())
    NVVM::GriddepcontrolOp::create(b, NVVM::GridDepActionKind::wait);
  for (auto [argument, value] :
       llvm::zip(kernel.getBody().getArguments(), function.getArguments()))
    bind(argument, value);
  thread = NVVM::ThreadIdXOp::create(b, i32Type);
  lane = b.createOrFold<arith::AndIOp>(thread, i32(31));
  // All lanes have the same warp number: say so, that branches on it are known
  // not to diverge.
  warp = kernel.getThreads() == 32
             ? i32(0)
             : NVVM::ShflOp::create(b, i32Type, i32(-1), divide(thread, 32),
                                    i32(0), i32(31), NVVM::ShflKind::idx,
                                    UnitAttr())
                   .getResult();
  shared = LLVM::AddressOfOp::create(b, sharedMemory);
  bool started = false;
  for (Operation &op : kernel.getBody().front()) {
    if (isa<RoleOp, AwaitPredecessorsOp>(op) && !started) {
      started = true;
      emitBarrierInit();
    }
    if (failed(emitOp(&op)))
      return failure();
  }
  LLVM::ReturnOp::create(b, ValueRange());
  return success();
}

LogicalResult KernelEmitter::emitBlock(Block &block) {
  for (Operation &op : block)
    if (failed(emitOp(&op)))
      return failure();
  return success();
}

LogicalResult KernelEmitter::emitOp(Operation *op) {
  b.setLoc(op->getLoc());
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case<BarrierOp, RingNextOp, RingAcquireOp, RingWaitOp, RingReleaseOp,
            RingTileOp, TmaLoadOp, CpAsyncOp, LoadScalarOp, ClearRowsOp,
            SharedViewOp, SharedStageOp, SplatOp, MapOp, ReduceRowsOp, PackOp,
            SplitOp, ColumnsOp, LoadOp, StoreOp, LoadRowsOp, StoreRowsOp, PutOp,
            PutRowsOp, GetRowsOp, UnpackBlocksOp, WgmmaFenceOp, WgmmaOp,
            WgmmaWaitOp, MmaOp>([&](auto typed) {
        emit(typed);
        return success();
      })
      .Case([&](RoleOp typed) { return emitRole(typed); })
      .Case([&](SearchSumsOp typed) { return emitSearch(typed); })
      .Case([&](scf::ForOp typed) { return emitFor(typed); })
      .Case([&](scf::IfOp typed) { return emitIf(typed); })
      .Case([&](scf::WhileOp typed) { return emitWhile(typed); })
      .Case([&](SharedOp typed) {
        bind(typed, bytesFrom(shared, layout.offsets.at(typed)));
        return success();
      })
      .Case([&](RingOp typed) {
        bind(typed, bytesFrom(shared, layout.offsets.at(typed)));
        return success();
      })
      .Case([&](RingStartOp typed) {
        bind(typed, {i32(0), i32(0)});
        return success();
      })
      .Case([&](AwaitPredecessorsOp) {
        NVVM::GriddepcontrolOp::create(b, NVVM::GridDepActionKind::wait);
        return success();
      })
      .Case([&](CpAsyncCommitOp) {
        NVVM::CpAsyncCommitGroupOp::create(b);
        return success();
      })
      .Case([&](CpAsyncWaitOp typed) {
        NVVM::CpAsyncWaitGroupOp::create(
            b, static_cast<uint32_t>(typed.getPending()));
        return success();
      })
      .Case([&](FenceAsyncOp) {
        NVVM::FenceProxyOp::create(
            b,
            NVVM::ProxyKindAttr::get(b.getContext(),
                                     NVVM::ProxyKind::async_shared),
            NVVM::SharedSpaceAttr::get(b.getContext(),
                                       NVVM::SharedSpace::shared_cta));
        return success();
      })
      .Case([&](BlockIdOp typed) {
        int64_t d = typed.getDimension();
        bind(typed, d == 0 ? NVVM::BlockIdXOp::create(b, i32Type).getResult()
                    : d == 1
                        ? NVVM::BlockIdYOp::create(b, i32Type).getResult()
                        : NVVM::BlockIdZOp::create(b, i32Type).getResult());
        return success();
      })
      .Case([&](GridSizeOp typed) {
        int64_t d = typed.getDimension();
        bind(typed, d == 0 ? NVVM::GridDimXOp::create(b, i32Type).getResult()
                    : d == 1
                        ? NVVM::GridDimYOp::create(b, i32Type).getResult()
                        : NVVM::GridDimZOp::create(b, i32Type).getResult());
        return success();
      })
      .Default([&](Operation *other) { return emitUniform(other); });
}

LogicalResult KernelEmitter::emitRole(RoleOp op) {
  role = op;
  Value isOurs = less(warp, i32(op.getLast()));
  if (op.getFirst() != 0)
    isOurs = arith::AndIOp::create(
        b, isOurs,
        arith::CmpIOp::create(b, arith::CmpIPredicate::sge, warp,
                              i32(op.getFirst())));
  auto branch = scf::IfOp::create(b, isOurs, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  if (op.getRegisters()) {
    int64_t initial = getInitialRegisters(kernel);
    if (*op.getRegisters() != initial)
      NVVM::SetMaxRegisterOp::create(
          b, *op.getRegisters(),
          *op.getRegisters() > initial ? NVVM::SetMaxRegisterAction::increase
                                       : NVVM::SetMaxRegisterAction::decrease);
  }
  roleThread = add(thread, -32 * static_cast<int64_t>(op.getFirst()));
  Value instance = add(warp, -static_cast<int64_t>(op.getFirst()));
  if (op.getBy() != 1)
    instance = divide(instance, op.getBy());
  if (op.getSingle()) {
    auto first = scf::IfOp::create(b, equal(warp, op.getFirst()),
                                   /*withElseRegion=*/false);
    b.setInsertionPointToStart(first.thenBlock());
    auto one = [&]() -> Value {
      if (kernel.isHopper())
        return NVVM::ElectSyncOp::create(b, b.getI1Type(), Value());
      return equal(lane, 0);
    }();
    auto single = scf::IfOp::create(b, one, /*withElseRegion=*/false);
    b.setInsertionPointToStart(single.thenBlock());
  }
  bind(op.getBody().getArgument(0), instance);
  return emitBlock(op.getBody().front());
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

/// Binds each of `to` to as many of `from` as it has registers, in order;
/// `like` has the values whose numbers of registers count.
static SmallVector<SmallVector<Value>>
splitLike(ArrayRef<SmallVector<Value>> like, ValueRange from) {
  SmallVector<SmallVector<Value>> result;
  size_t next = 0;
  for (const SmallVector<Value> &group : like) {
    result.emplace_back(from.slice(next, group.size()));
    next += group.size();
  }
  return result;
}

LogicalResult KernelEmitter::emitFor(scf::ForOp loop) {
  SmallVector<SmallVector<Value>> groups;
  SmallVector<Value> flat;
  for (Value init : loop.getInitArgs()) {
    groups.emplace_back(lookup(init));
    llvm::append_range(flat, lookup(init));
  }
  auto result = scf::ForOp::create(b, lookupOne(loop.getLowerBound()),
                                   lookupOne(loop.getUpperBound()),
                                   lookupOne(loop.getStep()), flat);
  {
    OpBuilder::InsertionGuard guard(b);
    if (flat.empty())
      result.getBody()->getTerminator()->erase();
    b.setInsertionPointToEnd(result.getBody());
    bind(loop.getInductionVar(), result.getInductionVar());
    for (auto [argument, group] :
         llvm::zip(loop.getRegionIterArgs(),
                   splitLike(groups, result.getRegionIterArgs())))
      bind(argument, group);
    if (failed(emitBlock(*loop.getBody())))
      return failure();
  }
  for (auto [value, group] :
       llvm::zip(loop.getResults(), splitLike(groups, result.getResults())))
    bind(value, group);
  return success();
}

LogicalResult KernelEmitter::emitIf(scf::IfOp branch) {
  // The number of registers is known once a branch has been written: write the
  // branches into regions and make the op last.
  Region thenRegion, elseRegion;
  SmallVector<SmallVector<Value>> groups;
  SmallVector<Type> types;
  for (auto [source, target] :
       {std::pair(&branch.getThenRegion(), &thenRegion),
        std::pair(&branch.getElseRegion(), &elseRegion)}) {
    if (source->empty())
      continue;
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(&target->emplaceBlock());
    if (failed(emitBlock(source->front())))
      return failure();
    groups.clear();
    types.clear();
    for (Value value : source->front().getTerminator()->getOperands()) {
      groups.emplace_back(lookup(value));
      for (Value part : lookup(value))
        types.push_back(part.getType());
    }
  }
  b.setLoc(branch.getLoc());
  auto result =
      scf::IfOp::create(b, types, lookupOne(branch.getCondition()),
                        /*addThenBlock=*/false, /*addElseBlock=*/false);
  result.getThenRegion().takeBody(thenRegion);
  result.getElseRegion().takeBody(elseRegion);
  for (auto [value, group] :
       llvm::zip(branch.getResults(), splitLike(groups, result.getResults())))
    bind(value, group);
  return success();
}

LogicalResult KernelEmitter::emitWhile(scf::WhileOp loop) {
  SmallVector<SmallVector<Value>> groups;
  SmallVector<Value> flat;
  for (Value init : loop.getInits()) {
    groups.emplace_back(lookup(init));
    llvm::append_range(flat, lookup(init));
  }
  if (loop.getResultTypes() != loop.getInits().getTypes())
    return loop.emitOpError("expected loops that pass on what they take");
  SmallVector<Type> types = llvm::to_vector(ValueRange(flat).getTypes());
  auto result = scf::WhileOp::create(b, types, flat);
  for (auto [source, target] :
       {std::pair(&loop.getBefore(), &result.getBefore()),
        std::pair(&loop.getAfter(), &result.getAfter())}) {
    OpBuilder::InsertionGuard guard(b);
    Block *block = b.createBlock(target);
    for (Type type : types)
      block->addArgument(type, loop.getLoc());
    for (auto [argument, group] : llvm::zip(
             source->getArguments(), splitLike(groups, block->getArguments())))
      bind(argument, group);
    b.setInsertionPointToEnd(block);
    if (failed(emitBlock(source->front())))
      return failure();
  }
  for (auto [value, group] :
       llvm::zip(loop.getResults(), splitLike(groups, result.getResults())))
    bind(value, group);
  return success();
}

//===----------------------------------------------------------------------===//
// Uniform values
//===----------------------------------------------------------------------===//

SmallVector<Value>
KernelEmitter::emitScalarOp(Operation *op,
                            llvm::function_ref<Value(Value)> operand) {
  auto approximate = [&](StringRef intrinsic, unsigned number) -> Value {
    auto call =
        LLVM::CallIntrinsicOp::create(b, f32Type, b.getStringAttr(intrinsic),
                                      operand(op->getOperand(number)));
    return call.getResult(0);
  };
  // The generic intrinsics are no single instructions, or crash instruction
  // selection.
  if (isa<math::Exp2Op>(op))
    return {approximate("llvm.nvvm.ex2.approx.ftz.f", 0)};
  if (isa<math::Log2Op>(op))
    return {approximate("llvm.nvvm.lg2.approx.ftz.f", 0)};
  // Even an approximate division becomes an exact reciprocal, a subroutine, if
  // the dividend is 1.
  auto division = dyn_cast<arith::DivFOp>(op);
  if (division &&
      bitEnumContainsAll(division.getFastmath(), arith::FastMathFlags::afn))
    return {arith::MulFOp::create(
                b, operand(division.getLhs()),
                approximate("llvm.nvvm.rcp.approx.ftz.f", /*number=*/1))
                .getResult()};
  IRMapping mapping;
  for (Value value : op->getOperands())
    mapping.map(value, operand(value));
  return SmallVector<Value>(b.clone(*op, mapping)->getResults());
}

LogicalResult KernelEmitter::emitUniform(Operation *op) {
  StringRef dialect = op->getName().getDialectNamespace();
  if (isa<scf::YieldOp, scf::ConditionOp>(op)) {
    SmallVector<Value> flat;
    for (Value operand : op->getOperands())
      llvm::append_range(flat, lookup(operand));
    if (isa<scf::YieldOp>(op))
      scf::YieldOp::create(b, flat);
    else
      scf::ConditionOp::create(b, flat.front(), ArrayRef(flat).drop_front());
    return success();
  }
  auto isScalar = [](Type type) { return type.isIntOrFloat(); };
  if ((dialect != "arith" && dialect != "math") ||
      !llvm::all_of(op->getOperandTypes(), isScalar) ||
      !llvm::all_of(op->getResultTypes(), isScalar))
    return op->emitOpError(
        "cannot be lowered in a tile kernel: expected ops of "
        "dsv2_tile, scf, or arith and math on scalars");
  SmallVector<Value> results =
      emitScalarOp(op, [&](Value value) { return lookupOne(value); });
  for (auto [from, to] : llvm::zip(op->getResults(), results))
    bind(from, to);
  return success();
}
