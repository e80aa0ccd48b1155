//===- LoopEmitter.cpp - Writes one kernel as loops ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LoopEmitter.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/TypeSwitch.h"

#include <limits>

using namespace mlir;
using namespace mlir::dsv2::tile;

LoopEmitter::LoopEmitter(KernelOp kernel, func::FuncOp function)
    : kernel(kernel), function(function),
      b(kernel.getLoc(), function.getContext()) {
  f32Type = b.getF32Type();
  i32Type = b.getI32Type();
}

//===----------------------------------------------------------------------===//
// Structure
//===----------------------------------------------------------------------===//

LogicalResult LoopEmitter::emit() {
  Block *entry = function.addEntryBlock();
  b.setInsertionPointToStart(entry);
  size_t count = kernel.getArgumentTypes().size();
  for (size_t i = 0; i < count; ++i)
    values[kernel.getBody().getArgument(i)] = entry->getArgument(i);
  for (size_t d = 0; d < 3; ++d)
    gridSizes.push_back(entry->getArgument(count + d));
  // Blocks one by one.
  blockIds.resize(3);
  for (int d = 2; d >= 0; --d) {
    auto loop = scf::ForOp::create(b, i32(0), gridSizes[d], i32(1));
    blockIds[d] = loop.getInductionVar();
    b.setInsertionPointToStart(loop.getBody());
  }
  if (failed(emitGridBlock()))
    return failure();
  b.setInsertionPointToEnd(entry);
  func::ReturnOp::create(b);
  return success();
}

/// A function of the C library, declared.
static func::FuncOp getFunction(func::FuncOp user, StringRef name,
                                FunctionType type) {
  auto module = user->getParentOfType<ModuleOp>();
  if (auto function = module.lookupSymbol<func::FuncOp>(name))
    return function;
  OpBuilder builder = OpBuilder::atBlockBegin(module.getBody());
  auto function = func::FuncOp::create(builder, user.getLoc(), name, type);
  function.setPrivate();
  return function;
}

LogicalResult LoopEmitter::emitGridBlock() {
  Block &body = kernel.getBody().front();
  // Shared memory holds what is never right by chance.
  SmallVector<Value> shared;
  auto allocate = [&](ArrayRef<int64_t> shape, Type element) -> Value {
    Value memory = memref::AllocOp::create(b, MemRefType::get(shape, element));
    shared.push_back(memory);
    return memory;
  };
  auto fill = [&](Value memory, Value value) {
    ArrayRef<int64_t> shape = cast<MemRefType>(memory.getType()).getShape();
    SmallVector<Value> at;
    OpBuilder::InsertionGuard guard(b);
    for (int64_t size : shape) {
      auto loop = scf::ForOp::create(b, index(0), index(size), index(1));
      at.push_back(loop.getInductionVar());
      b.setInsertionPointToStart(loop.getBody());
    }
    memref::StoreOp::create(b, value, memory, at);
  };
  auto poison = [&](Type element) -> Value {
    if (element.isInteger(8))
      return arith::ConstantOp::create(b, b.getI8IntegerAttr(-1));
    return arith::ConstantOp::create(
        b, b.getFloatAttr(
               element,
               APFloat::getNaN(cast<FloatType>(element).getFloatSemantics())));
  };
  for (Operation &op : body) {
    if (auto tile = dyn_cast<SharedOp>(op)) {
      SharedType type = tile.getType();
      values[tile] = allocate(type.getShape(), type.getElementType());
      fill(values[tile], poison(type.getElementType()));
    } else if (auto ring = dyn_cast<RingOp>(op)) {
      Ring &memory = rings[ring];
      for (SharedType type : ring.getType().getTiles()) {
        memory.tiles.push_back(allocate(
            {ring.getType().getStages(), type.getRows(), type.getColumns()},
            type.getElementType()));
        fill(memory.tiles.back(), poison(type.getElementType()));
      }
      memory.counters = allocate({2}, i32Type);
      fill(memory.counters, i32(0));
      memory.releases = allocate({ring.getType().getStages()}, i32Type);
      fill(memory.releases, i32(0));
    }
  }
  barriers = allocate({16}, i32Type);
  fill(barriers, i32(0));

  // A thread of the processor for each instance, of which one that has to wait
  // lets others run.
  int64_t instances = 0;
  for (auto roleOp : body.getOps<RoleOp>())
    instances += roleOp.getInstances();
  omp::ParallelOperands operands;
  operands.numThreads = i32(instances);
  auto parallel = omp::ParallelOp::create(b, operands);
  {
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(&parallel.getRegion());
    Value number =
        func::CallOp::create(b, getFunction(function, "omp_get_thread_num",
                                            b.getFunctionType({}, i32Type)))
            .getResult(0);
    Value granted =
        func::CallOp::create(b, getFunction(function, "omp_get_num_threads",
                                            b.getFunctionType({}, i32Type)))
            .getResult(0);
    auto tooFew = scf::IfOp::create(b, less(granted, i32(instances)), false);
    {
      OpBuilder::InsertionGuard inner(b);
      b.setInsertionPointToStart(tooFew.thenBlock());
      func::CallOp::create(
          b, getFunction(function, "abort", b.getFunctionType({}, {})));
    }
    open.emplace_back();
    int64_t base = 0;
    for (Operation &op : body) {
      b.setLoc(op.getLoc());
      role = dyn_cast<RoleOp>(op);
      if (!role) {
        if (!isa<SharedOp, RingOp>(op) && failed(emitOp(&op)))
          return failure();
        continue;
      }
      Value isOurs =
          arith::AndIOp::create(b, less(i32(base - 1), number),
                                less(number, i32(base + role.getInstances())));
      auto branch = scf::IfOp::create(b, isOurs, /*withElseRegion=*/false);
      OpBuilder::InsertionGuard inner(b);
      b.setInsertionPointToStart(branch.thenBlock());
      instance = arith::SubIOp::create(b, number, i32(base));
      values[role.getBody().getArgument(0)] = instance;
      if (failed(emitBlock(role.getBody().front())))
        return failure();
      base += role.getInstances();
    }
    for (Value memory : open.pop_back_val())
      memref::DeallocOp::create(b, memory);
    omp::TerminatorOp::create(b);
  }
  for (Value memory : shared)
    memref::DeallocOp::create(b, memory);
  return success();
}

LogicalResult LoopEmitter::emitBlock(Block &block) {
  open.emplace_back();
  if (failed(emitOps(block)))
    return failure();
  for (Value memory : open.pop_back_val())
    memref::DeallocOp::create(b, memory);
  return success();
}

LogicalResult LoopEmitter::emitOps(Block &block) {
  for (Operation &op : block)
    if (!op.hasTrait<OpTrait::IsTerminator>() && failed(emitOp(&op)))
      return failure();
  return success();
}

LogicalResult LoopEmitter::emitOp(Operation *op) {
  b.setLoc(op->getLoc());
  auto product = [&](auto typed) {
    Value result = makeTile(typed.getType());
    emitProduct(lookup(typed.getA()), lookup(typed.getB()),
                typed.getAcc() ? lookup(typed.getAcc()) : Value(),
                typed.getTransposedB(), result);
    values[typed.getResult()] = result;
    return success();
  };
  // Products are done at once, and copies too: there is nothing to wait for
  // but what others do.
  auto passOn = [&](Operation *same) {
    for (auto [operand, result] :
         llvm::zip(same->getOperands(), same->getResults()))
      values[result] = lookup(operand);
    return success();
  };
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case<BarrierOp, RingNextOp, RingAcquireOp, RingWaitOp, RingReleaseOp,
            RingTileOp, SharedStageOp, SharedViewOp, TmaLoadOp, CpAsyncOp,
            LoadScalarOp, ClearRowsOp, SplatOp, MapOp, ReduceRowsOp, PackOp,
            SplitOp, ColumnsOp, LoadOp, StoreOp, LoadRowsOp, StoreRowsOp, PutOp,
            PutRowsOp, GetRowsOp, UnpackBlocksOp>([&](auto typed) {
        emit(typed);
        return success();
      })
      .Case([&](WgmmaOp typed) { return product(typed); })
      .Case([&](MmaOp typed) { return product(typed); })
      .Case<WgmmaFenceOp, WgmmaWaitOp>(
          [&](auto typed) { return passOn(typed); })
      .Case<CpAsyncCommitOp, CpAsyncWaitOp, FenceAsyncOp, AwaitPredecessorsOp>(
          [](auto) { return success(); })
      .Case([&](RingStartOp typed) {
        values[typed.getResult()] = i32(0);
        return success();
      })
      .Case([&](BlockIdOp typed) {
        values[typed.getResult()] = blockIds[typed.getDimension()];
        return success();
      })
      .Case([&](GridSizeOp typed) {
        values[typed.getResult()] = gridSizes[typed.getDimension()];
        return success();
      })
      .Case([&](SearchSumsOp typed) { return emitSearch(typed); })
      .Case([&](scf::ForOp typed) { return emitFor(typed); })
      .Case([&](scf::IfOp typed) { return emitIf(typed); })
      .Case([&](scf::WhileOp typed) { return emitWhile(typed); })
      .Default([&](Operation *other) { return emitUniform(other); });
}

//===----------------------------------------------------------------------===//
// Control flow: tiles are carried in buffers of their own, other values as
// they are
//===----------------------------------------------------------------------===//

static bool isRegisterTile(Type type) {
  return isa<FragmentType, AsyncType, OperandType, RowsType>(type);
}

SmallVector<Value> LoopEmitter::makeBuffers(TypeRange types) {
  SmallVector<Value> buffers;
  for (Type type : types)
    buffers.push_back(isRegisterTile(type) ? makeTile(type) : Value());
  return buffers;
}

SmallVector<Value> LoopEmitter::emitYield(ValueRange yielded,
                                          ArrayRef<Value> buffers) {
  SmallVector<Value> from, scalars;
  for (auto [value, buffer] : llvm::zip(yielded, buffers)) {
    Value mapped = lookup(value);
    if (!buffer) {
      scalars.push_back(mapped);
      from.push_back(Value());
      continue;
    }
    // What lies in another's buffer has to be saved before that is written.
    if (mapped != buffer && llvm::is_contained(buffers, mapped)) {
      Value copy = makeTile(value.getType());
      copyTile(mapped, copy);
      mapped = copy;
    }
    from.push_back(mapped);
  }
  for (auto [source, buffer] : llvm::zip(from, buffers))
    if (buffer && source != buffer)
      copyTile(source, buffer);
  return scalars;
}

/// Types of what is carried as it is.
static SmallVector<Value> scalarsOf(ArrayRef<Value> all,
                                    ArrayRef<Value> buffers) {
  SmallVector<Value> result;
  for (auto [value, buffer] : llvm::zip(all, buffers))
    if (!buffer)
      result.push_back(value);
  return result;
}

LogicalResult LoopEmitter::emitFor(scf::ForOp loop) {
  SmallVector<Value> buffers = makeBuffers(loop.getInitArgs().getTypes());
  SmallVector<Value> inits;
  for (Value init : loop.getInitArgs())
    inits.push_back(lookup(init));
  for (auto [init, buffer] : llvm::zip(inits, buffers))
    if (buffer)
      copyTile(init, buffer);
  auto result = scf::ForOp::create(
      b, lookup(loop.getLowerBound()), lookup(loop.getUpperBound()),
      lookup(loop.getStep()), scalarsOf(inits, buffers));
  auto bindAll = [&](ValueRange names, ValueRange scalars) {
    size_t next = 0;
    for (auto [name, buffer] : llvm::zip(names, buffers))
      values[name] = buffer ? buffer : scalars[next++];
  };
  {
    OpBuilder::InsertionGuard guard(b);
    if (result.getNumResults() == 0)
      result.getBody()->getTerminator()->erase();
    b.setInsertionPointToEnd(result.getBody());
    values[loop.getInductionVar()] = result.getInductionVar();
    bindAll(loop.getRegionIterArgs(), result.getRegionIterArgs());
    open.emplace_back();
    if (failed(emitOps(*loop.getBody())))
      return failure();
    SmallVector<Value> scalars =
        emitYield(loop.getBody()->getTerminator()->getOperands(), buffers);
    for (Value memory : open.pop_back_val())
      memref::DeallocOp::create(b, memory);
    scf::YieldOp::create(b, scalars);
  }
  bindAll(loop.getResults(), result.getResults());
  return success();
}

LogicalResult LoopEmitter::emitIf(scf::IfOp branch) {
  SmallVector<Value> buffers = makeBuffers(branch.getResultTypes());
  SmallVector<Type> types;
  for (auto [result, buffer] : llvm::zip(branch.getResults(), buffers))
    if (!buffer)
      types.push_back(isa<RingStateType>(result.getType()) ? i32Type
                                                           : result.getType());
  auto result =
      scf::IfOp::create(b, types, lookup(branch.getCondition()),
                        /*addThenBlock=*/false, /*addElseBlock=*/false);
  for (auto [source, target] :
       {std::pair(&branch.getThenRegion(), &result.getThenRegion()),
        std::pair(&branch.getElseRegion(), &result.getElseRegion())}) {
    if (source->empty())
      continue;
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(target);
    open.emplace_back();
    if (failed(emitOps(source->front())))
      return failure();
    SmallVector<Value> scalars =
        emitYield(source->front().getTerminator()->getOperands(), buffers);
    for (Value memory : open.pop_back_val())
      memref::DeallocOp::create(b, memory);
    scf::YieldOp::create(b, scalars);
  }
  size_t next = 0;
  for (auto [name, buffer] : llvm::zip(branch.getResults(), buffers))
    values[name] = buffer ? buffer : Value(result.getResult(next++));
  return success();
}

LogicalResult LoopEmitter::emitWhile(scf::WhileOp loop) {
  if (loop.getResultTypes() != loop.getInits().getTypes())
    return loop.emitOpError("expected loops that pass on what they take");
  SmallVector<Value> buffers = makeBuffers(loop.getInits().getTypes());
  SmallVector<Value> inits;
  for (Value init : loop.getInits())
    inits.push_back(lookup(init));
  for (auto [init, buffer] : llvm::zip(inits, buffers))
    if (buffer)
      copyTile(init, buffer);
  SmallVector<Value> scalars = scalarsOf(inits, buffers);
  SmallVector<Type> types(ValueRange(scalars).getTypes());
  auto result = scf::WhileOp::create(b, types, scalars);
  auto bindAll = [&](ValueRange names, ValueRange from) {
    size_t next = 0;
    for (auto [name, buffer] : llvm::zip(names, buffers))
      values[name] = buffer ? buffer : from[next++];
  };
  for (auto [source, target] :
       {std::pair(&loop.getBefore(), &result.getBefore()),
        std::pair(&loop.getAfter(), &result.getAfter())}) {
    OpBuilder::InsertionGuard guard(b);
    SmallVector<Location> locations(types.size(), loop.getLoc());
    Block *block = b.createBlock(target, {}, types, locations);
    bindAll(source->getArguments(), block->getArguments());
    open.emplace_back();
    if (failed(emitOps(source->front())))
      return failure();
    Operation *terminator = source->front().getTerminator();
    auto condition = dyn_cast<scf::ConditionOp>(terminator);
    SmallVector<Value> passed = emitYield(
        condition ? ValueRange(condition.getArgs()) : terminator->getOperands(),
        buffers);
    for (Value memory : open.pop_back_val())
      memref::DeallocOp::create(b, memory);
    if (condition)
      scf::ConditionOp::create(b, lookup(condition.getCondition()), passed);
    else
      scf::YieldOp::create(b, passed);
  }
  bindAll(loop.getResults(), result.getResults());
  return success();
}

SmallVector<Value>
LoopEmitter::emitScalarOp(Operation *op,
                          llvm::function_ref<Value(Value)> operand) {
  IRMapping mapping;
  for (Value value : op->getOperands())
    mapping.map(value, operand(value));
  Operation *clone = b.clone(*op, mapping);
  // Exact, whatever the kernel allows.
  if (auto division = dyn_cast<arith::DivFOp>(clone))
    division.setFastmath(arith::FastMathFlags::none);
  return SmallVector<Value>(clone->getResults());
}

LogicalResult LoopEmitter::emitUniform(Operation *op) {
  StringRef dialect = op->getName().getDialectNamespace();
  auto isScalar = [](Type type) { return type.isIntOrFloat(); };
  if ((dialect != "arith" && dialect != "math") ||
      !llvm::all_of(op->getOperandTypes(), isScalar) ||
      !llvm::all_of(op->getResultTypes(), isScalar))
    return op->emitOpError(
        "cannot be lowered in a tile kernel: expected ops of "
        "dsv2_tile, scf, or arith and math on scalars");
  SmallVector<Value> results =
      emitScalarOp(op, [&](Value value) { return lookup(value); });
  for (auto [from, to] : llvm::zip(op->getResults(), results))
    values[from] = to;
  return success();
}

LogicalResult LoopEmitter::emitSearch(SearchSumsOp op) {
  Value no = arith::ConstantOp::create(b, b.getBoolAttr(false));
  auto loop = scf::ForOp::create(b, i32(0), lookup(op.getCount()), i32(1),
                                 ValueRange{lookup(op.getCount()), i32(0), no});
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Block &body = op.getBody().front();
    values[body.getArgument(0)] = loop.getInductionVar();
    if (failed(emitOps(body)))
      return failure();
    auto select = [&](Value condition, Value x, Value y) -> Value {
      return arith::SelectOp::create(b, condition, x, y);
    };
    ValueRange before = loop.getRegionIterArgs();
    Value sum = add(before[1], lookup(body.getTerminator()->getOperand(0)));
    Value found =
        arith::OrIOp::create(b, before[2], less(lookup(op.getTarget()), sum));
    Value isFirst =
        arith::CmpIOp::create(b, arith::CmpIPredicate::ne, found, before[2]);
    scf::YieldOp::create(
        b, ValueRange{select(isFirst, loop.getInductionVar(), before[0]),
                      select(found, before[1], sum), found});
  }
  values[op.getIndex()] = loop.getResult(0);
  values[op.getBefore()] = loop.getResult(1);
  return success();
}

//===----------------------------------------------------------------------===//
// Synchronisation
//===----------------------------------------------------------------------===//

Value LoopEmitter::atomicAdd(Value counters, Value number, Value value) {
  return memref::AtomicRMWOp::create(b, i32Type, arith::AtomicRMWKind::addi,
                                     value, counters, number);
}

void LoopEmitter::emitWait(Value counters, Value number, Value target) {
  // About a minute: longer than any wait that ends.
  const int64_t limit = int64_t(1) << 26;
  auto loop = scf::WhileOp::create(b, i32Type, i32(0));
  OpBuilder::InsertionGuard guard(b);
  Block *before = b.createBlock(&loop.getBefore(), {}, i32Type, b.getLoc());
  // Adding nothing is a load with an order.
  Value reached = atomicAdd(counters, number, i32(0));
  scf::ConditionOp::create(b, less(reached, target), before->getArgument(0));
  Block *after = b.createBlock(&loop.getAfter(), {}, i32Type, b.getLoc());
  func::CallOp::create(
      b, getFunction(function, "sched_yield", b.getFunctionType({}, i32Type)));
  Value turns = add(after->getArgument(0), i32(1));
  auto stuck = scf::IfOp::create(b, less(i32(limit), turns), false);
  {
    OpBuilder::InsertionGuard inner(b);
    b.setInsertionPointToStart(stuck.thenBlock());
    func::CallOp::create(
        b, getFunction(function, "abort", b.getFunctionType({}, {})));
  }
  scf::YieldOp::create(b, turns);
}

void LoopEmitter::emit(BarrierOp op) {
  int64_t threads = op.getThreads();
  Value number = index(op.getId());
  Value before = atomicAdd(barriers, number, i32(32 * role.getBy()));
  if (op.getArrive())
    return;
  Value round = arith::DivUIOp::create(b, before, i32(threads));
  emitWait(barriers, number, mul(add(round, i32(1)), i32(threads)));
}

Value LoopEmitter::getStage(Value ring, Value state) {
  int64_t stages = cast<RingType>(ring.getType()).getStages();
  return toIndex(arith::RemUIOp::create(b, lookup(state), i32(stages)));
}

void LoopEmitter::emit(RingNextOp op) {
  values[op] = add(lookup(op.getState()), i32(1));
}

void LoopEmitter::emit(RingAcquireOp op) {
  Ring &ring = rings[op.getRing()];
  // Each earlier use of the stage has been released by all. A sum over stages
  // would not do: one consumer may be ahead of another.
  Value rounds = arith::DivUIOp::create(
      b, lookup(op.getState()), i32(op.getRing().getType().getStages()));
  int64_t releases = op.getRing().getDefiningOp<RingOp>().getReleases();
  emitWait(ring.releases, getStage(op.getRing(), op.getState()),
           mul(rounds, i32(releases)));
  atomicAdd(ring.counters, index(1), i32(op.getBytes()));
}

void LoopEmitter::emit(RingWaitOp op) {
  emitWait(rings[op.getRing()].counters, index(0),
           add(lookup(op.getState()), i32(1)));
}

void LoopEmitter::emit(RingReleaseOp op) {
  atomicAdd(rings[op.getRing()].releases, getStage(op.getRing(), op.getState()),
            i32(role.getBy()));
}

void LoopEmitter::emit(RingTileOp op) {
  Value stage = getStage(op.getRing(), op.getState());
  SharedType type = op.getType();
  OpFoldResult one = b.getIndexAttr(1), zero = b.getIndexAttr(0);
  SmallVector<OpFoldResult> offsets{stage, zero, zero};
  SmallVector<OpFoldResult> sizes{one, b.getIndexAttr(type.getRows()),
                                  b.getIndexAttr(type.getColumns())};
  SmallVector<OpFoldResult> strides(3, one);
  Value memory = rings[op.getRing()].tiles[op.getIndex()];
  auto viewType = memref::SubViewOp::inferRankReducedResultType(
      {type.getRows(), type.getColumns()}, cast<MemRefType>(memory.getType()),
      offsets, sizes, strides);
  values[op] =
      memref::SubViewOp::create(b, viewType, memory, offsets, sizes, strides);
}
