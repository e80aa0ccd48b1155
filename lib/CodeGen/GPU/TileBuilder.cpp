//===- TileBuilder.cpp - Write tile kernels that read like kernels --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/GPU/TileBuilder.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::dsv2::gpu;
using namespace mlir::dsv2::tile;

TileBuilder::TileBuilder(ModuleOp module, StringRef name, TypeRange arguments,
                         StringRef chip, int64_t threads)
    : DeviceBuilder(NameLoc::get(StringAttr::get(module.getContext(), name)),
                    module.getContext()) {
  for (StringRef dialect : {"arith", "math", "scf", "dsv2_tile"})
    getContext()->getOrLoadDialect(dialect);
  setInsertionPointToEnd(module.getBody());
  kernel = KernelOp::create(*this, name, getFunctionType(arguments, {}), chip,
                            threads);
  setInsertionPointToStart(&kernel.getBody().front());
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

Type TileBuilder::global(Type element) {
  return GlobalType::get(getContext(), element);
}
Type TileBuilder::tensorMap(ArrayRef<int64_t> box, int64_t swizzle) {
  return TensorMapType::get(getContext(), box, getBF16Type(), swizzle);
}
SharedType TileBuilder::sharedTile(ArrayRef<int64_t> shape, int64_t swizzle) {
  return SharedType::get(shape, getBF16Type(), swizzle);
}
SharedType TileBuilder::byteTile(ArrayRef<int64_t> shape, int64_t swizzle) {
  return SharedType::get(shape, getI8Type(), swizzle);
}
FragmentType TileBuilder::fragment(int64_t rows, int64_t columns,
                                   int64_t warps) {
  return FragmentType::get(getContext(), {rows, columns}, getF32Type(), warps);
}
RowsType TileBuilder::rowsType(int64_t rows, int64_t warps) {
  return RowsType::get(getContext(), {rows}, getF32Type(), warps);
}

//===----------------------------------------------------------------------===//
// Uniform values
//===----------------------------------------------------------------------===//

Value TileBuilder::blockId(int64_t dimension) {
  return BlockIdOp::create(*this, getI32Type(), dimension);
}
Value TileBuilder::gridSize(int64_t dimension) {
  return GridSizeOp::create(*this, getI32Type(), dimension);
}
Value TileBuilder::fdiv(Value a, Value b) {
  // One instruction instead of a subroutine.
  return arith::DivFOp::create(*this, a, b, arith::FastMathFlags::afn);
}
Value TileBuilder::exp2(Value a) { return math::Exp2Op::create(*this, a); }
Value TileBuilder::log2(Value a) { return math::Log2Op::create(*this, a); }
Value TileBuilder::loadScalar(Value source, Value index) {
  return LoadScalarOp::create(
      *this, cast<GlobalType>(source.getType()).getElementType(), source,
      index);
}

std::pair<Value, Value>
TileBuilder::searchSums(Value count, Value target,
                        llvm::function_ref<Value(Value)> summand) {
  auto op =
      SearchSumsOp::create(*this, getI32Type(), getI32Type(), count, target);
  OpBuilder::InsertionGuard guard(*this);
  Block &block = op.getBody().emplaceBlock();
  setInsertionPointToStart(&block);
  YieldOp::create(*this, summand(block.addArgument(getI32Type(), getLoc())));
  return {op.getIndex(), op.getBefore()};
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

void TileBuilder::role(StringRef name, int64_t first, int64_t last, int64_t by,
                       int64_t registers, bool single,
                       llvm::function_ref<void(Value)> body) {
  auto op = RoleOp::create(*this, name, first, last, by, registers, single);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(&op.getBody().front());
  body(op.getBody().getArgument(0));
}

SmallVector<Value> TileBuilder::forLoop(
    Value lo, Value hi, Value step, ValueRange init,
    llvm::function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  auto loop = scf::ForOp::create(*this, lo, hi, step, init);
  OpBuilder::InsertionGuard guard(*this);
  if (init.empty())
    setInsertionPoint(loop.getBody()->getTerminator());
  else
    setInsertionPointToStart(loop.getBody());
  SmallVector<Value> next =
      body(loop.getInductionVar(), loop.getRegionIterArgs());
  if (!init.empty())
    scf::YieldOp::create(*this, next);
  return SmallVector<Value>(loop.getResults());
}

SmallVector<Value> TileBuilder::whileLoop(
    ValueRange init, llvm::function_ref<Value(ValueRange)> condition,
    llvm::function_ref<SmallVector<Value>(ValueRange)> body) {
  auto loop = scf::WhileOp::create(*this, init.getTypes(), init);
  OpBuilder::InsertionGuard guard(*this);
  SmallVector<Location> locations(init.size(), getLoc());
  Block *before =
      createBlock(&loop.getBefore(), {}, init.getTypes(), locations);
  scf::ConditionOp::create(*this, condition(before->getArguments()),
                           before->getArguments());
  Block *after = createBlock(&loop.getAfter(), {}, init.getTypes(), locations);
  scf::YieldOp::create(*this, body(after->getArguments()));
  return SmallVector<Value>(loop.getResults());
}

//===----------------------------------------------------------------------===//
// Rings and shared memory
//===----------------------------------------------------------------------===//

Value TileBuilder::makeRing(int64_t stages, ArrayRef<SharedType> tiles,
                            int64_t releases) {
  return RingOp::create(*this, RingType::get(getContext(), stages, tiles),
                        releases);
}
Value TileBuilder::ringStart() {
  return RingStartOp::create(*this, RingStateType::get(getContext()));
}
Value TileBuilder::ringNext(Value ring, Value state) {
  return RingNextOp::create(*this, state.getType(), ring, state);
}
void TileBuilder::ringAcquire(Value ring, Value state) {
  RingAcquireOp::create(*this, ring, state,
                        cast<RingType>(ring.getType()).getStageBytes());
}
void TileBuilder::ringWait(Value ring, Value state) {
  RingWaitOp::create(*this, ring, state);
}
void TileBuilder::ringRelease(Value ring, Value state) {
  RingReleaseOp::create(*this, ring, state);
}
Value TileBuilder::ringTile(Value ring, Value state, int64_t index) {
  return RingTileOp::create(*this,
                            cast<RingType>(ring.getType()).getTiles()[index],
                            ring, state, index);
}
void TileBuilder::tmaLoad(Value map, ValueRange coordinates, Value ring,
                          Value state, int64_t tile) {
  TmaLoadOp::create(*this, map, coordinates, ringTile(ring, state, tile), ring,
                    state);
}
Value TileBuilder::sharedBuffer(SharedType type) {
  return SharedOp::create(*this, type);
}
Value TileBuilder::sharedStage(Value tile, Value stage) {
  return SharedStageOp::create(
      *this, cast<SharedType>(tile.getType()).getStage(), tile, stage);
}
Value TileBuilder::sharedView(Value tile, Value row, int64_t rows, Value column,
                              int64_t columns) {
  auto type = cast<SharedType>(tile.getType());
  return SharedViewOp::create(
      *this,
      SharedType::get(getContext(), {rows, columns}, type.getElementType(),
                      type.getSwizzle(), type.getOfRows()),
      tile, row, column);
}
void TileBuilder::cpAsync(Value source, Value row, Value column, Value stride,
                          Value valid, Value tile, Value columns) {
  CpAsyncOp::create(*this, source, row, column, stride, valid, columns, tile);
}
void TileBuilder::cpAsyncCommit() { CpAsyncCommitOp::create(*this); }
void TileBuilder::cpAsyncWait(int64_t pending) {
  CpAsyncWaitOp::create(*this, pending);
}
void TileBuilder::barrier(int64_t id, int64_t threads) {
  BarrierOp::create(*this, id, threads, /*arrive=*/false);
}
void TileBuilder::arrive(int64_t id, int64_t threads) {
  BarrierOp::create(*this, id, threads, /*arrive=*/true);
}

//===----------------------------------------------------------------------===//
// Tiles in registers
//===----------------------------------------------------------------------===//

Value TileBuilder::splat(double value, Type type) {
  return SplatOp::create(*this, type, f32(value));
}

Value TileBuilder::map(ValueRange inputs, Type type,
                       llvm::function_ref<Value(ValueRange)> body) {
  auto op = MapOp::create(*this, type, inputs);
  OpBuilder::InsertionGuard guard(*this);
  Block &block = op.getBody().emplaceBlock();
  for (size_t i = 0; i < inputs.size(); ++i)
    block.addArgument(getF32Type(), getLoc());
  setInsertionPointToStart(&block);
  YieldOp::create(*this, body(block.getArguments()));
  return op.getResult(0);
}

Value TileBuilder::mapIndexed(
    ValueRange inputs, Type type,
    llvm::function_ref<Value(ValueRange, Value, Value)> body) {
  auto op = MapOp::create(*this, type, inputs);
  OpBuilder::InsertionGuard guard(*this);
  Block &block = op.getBody().emplaceBlock();
  for (size_t i = 0; i < inputs.size(); ++i)
    block.addArgument(getF32Type(), getLoc());
  Value row = block.addArgument(getI32Type(), getLoc());
  Value column = block.addArgument(getI32Type(), getLoc());
  setInsertionPointToStart(&block);
  YieldOp::create(
      *this, body(block.getArguments().take_front(inputs.size()), row, column));
  return op.getResult(0);
}

Value TileBuilder::reduceRows(ReduceKind kind, Value source) {
  auto type = cast<FragmentType>(source.getType());
  return ReduceRowsOp::create(*this, rowsType(type.getRows(), type.getWarps()),
                              kind, source);
}
Value TileBuilder::pack(Value source) {
  auto type = cast<FragmentType>(source.getType());
  return tile::PackOp::create(*this,
                              OperandType::get(getContext(), type.getShape(),
                                               getBF16Type(), type.getWarps()),
                              source);
}
Value TileBuilder::columns(Value source, int64_t from, int64_t count) {
  auto type = cast<FragmentType>(source.getType());
  if (count == type.getColumns())
    return source;
  return ColumnsOp::create(
      *this, fragment(type.getRows(), count, type.getWarps()), source, from);
}
Value TileBuilder::wgmmaFence(Value value) {
  return WgmmaFenceOp::create(*this, ValueRange(value)).getResult(0);
}
Value TileBuilder::wgmma(Value a, Value b, Value acc, bool transposed) {
  auto type = cast<SharedType>(b.getType());
  int64_t n = transposed ? type.getColumns() : type.getRows();
  return WgmmaOp::create(*this,
                         AsyncType::get(getContext(), {64, n}, getF32Type(), 4),
                         a, b, acc, transposed);
}
Value TileBuilder::wgmmaDone(Value value) {
  return WgmmaWaitOp::create(*this, 0, ValueRange(value), ValueRange())
      .getResult(0);
}
Value TileBuilder::wgmmaKeep(int64_t pending, Value value) {
  return WgmmaWaitOp::create(*this, pending, ValueRange(), ValueRange(value))
      .getResult(0);
}
SmallVector<Value> TileBuilder::wgmmaKeep(int64_t pending, ValueRange values) {
  return SmallVector<Value>(
      WgmmaWaitOp::create(*this, pending, ValueRange(), values).getResults());
}
Value TileBuilder::mma(Value a, Value b, Value acc, bool transposed) {
  return MmaOp::create(*this, acc.getType(), a, b, acc, transposed);
}
