//===- LoopEmitter.h - Writes one kernel as loops ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CONVERSION_TILETOLOOPS_LOOPEMITTER_H
#define DSV2_LIB_CONVERSION_TILETOLOOPS_LOOPEMITTER_H

#include "dsv2/Dialect/Tile/IR/Tile.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::dsv2::tile {

/// Walks a kernel and writes what each instance of a role does, tile by tile. A
/// uniform value stays what it is; a tile becomes a memory reference, a ring's
/// state the number of stages that were used before.
class LoopEmitter {
public:
  LoopEmitter(KernelOp kernel, func::FuncOp function);

  /// Fills the function.
  LogicalResult emit();

private:
  /// Memory that the instances of a block share for a ring.
  struct Ring {
    SmallVector<Value> tiles;
    /// i32: stages filled, bytes that have yet to come.
    Value counters;
    /// i32, for each stage: warps that released it, in all rounds.
    Value releases;
  };

  // LoopEmitter.cpp: structure and synchronisation.
  LogicalResult emitGridBlock();
  LogicalResult emitBlock(Block &block);
  LogicalResult emitOps(Block &block);
  LogicalResult emitOp(Operation *op);
  LogicalResult emitFor(scf::ForOp loop);
  LogicalResult emitIf(scf::IfOp branch);
  LogicalResult emitWhile(scf::WhileOp loop);
  LogicalResult emitUniform(Operation *op);
  LogicalResult emitSearch(SearchSumsOp op);
  /// Copies what a terminator yields to the buffers of its op.
  SmallVector<Value> emitYield(ValueRange values, ArrayRef<Value> buffers);
  /// A buffer for each value that is a tile in registers, else null.
  SmallVector<Value> makeBuffers(TypeRange types);
  /// Returns once `counters[index]` is not less than `target`; ends the program
  /// if that takes too long.
  void emitWait(Value counters, Value index, Value target);
  Value atomicAdd(Value counters, Value index, Value value);
  /// The stage that a state names.
  Value getStage(Value ring, Value state);
  void emit(BarrierOp op);
  void emit(RingNextOp op);
  void emit(RingAcquireOp op);
  void emit(RingWaitOp op);
  void emit(RingReleaseOp op);
  void emit(RingTileOp op);

  // LoopOps.cpp: what ops compute.
  void emit(SharedStageOp op);
  void emit(SharedViewOp op);
  void emit(TmaLoadOp op);
  void emit(CpAsyncOp op);
  void emit(LoadScalarOp op);
  void emit(ClearRowsOp op);
  void emit(SplatOp op);
  void emit(MapOp op);
  void emit(ReduceRowsOp op);
  void emit(PackOp op);
  void emit(SplitOp op);
  void emit(ColumnsOp op);
  void emit(LoadOp op);
  void emit(StoreOp op);
  void emit(UnpackBlocksOp op);
  void emit(LoadRowsOp op);
  void emit(StoreRowsOp op);
  void emit(PutOp op);
  void emit(PutRowsOp op);
  void emit(GetRowsOp op);
  void emitProduct(Value a, Value b, Value acc, bool transposed, Value result);

  Value index(int64_t value);
  Value i32(int64_t value);
  Value f32(double value);
  Value zeroOf(Type element);
  Value toIndex(Value value);
  Value toI32(Value value);
  Value add(Value a, Value b);
  Value mul(Value a, Value b);
  Value less(Value a, Value b);
  /// An element as f32, and an f32 rounded to an element, to nearest even.
  Value widen(Value value);
  Value narrow(Value value, Type element);
  void forEach(int64_t n, llvm::function_ref<void(Value)> body);
  void forEach(int64_t rows, int64_t columns,
               llvm::function_ref<void(Value row, Value column)> body);
  /// The number of element (row, column) of a matrix in global memory.
  Value elementNumber(Value row, Value stride, Value column);
  /// Memory for a tile in registers, freed at the end of the op's block.
  Value makeTile(Type type);
  void copyTile(Value from, Value to);
  /// to[place] = condition ? from[at] : 0; nothing is read without.
  void copyElement(Value condition, Value from, ValueRange at, Value to,
                   ValueRange place);
  SmallVector<Value> emitScalarOp(Operation *op,
                                  llvm::function_ref<Value(Value)> operand);

  Value lookup(Value value) const { return values.lookup(value); }

  KernelOp kernel;
  func::FuncOp function;
  ImplicitLocOpBuilder b;
  Type f32Type, i32Type;
  llvm::DenseMap<Value, Value> values;
  llvm::DenseMap<Value, Ring> rings;
  /// Tiles to free at the end of each open block.
  SmallVector<SmallVector<Value>> open;
  /// Numbers of the block and sizes of the grid, i32.
  SmallVector<Value> blockIds, gridSizes;
  /// Arrivals at the named barriers, i32.
  Value barriers;
  RoleOp role;
  Value instance;
};

} // namespace mlir::dsv2::tile

#endif // DSV2_LIB_CONVERSION_TILETOLOOPS_LOOPEMITTER_H
