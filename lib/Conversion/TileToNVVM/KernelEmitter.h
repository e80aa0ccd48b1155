//===- KernelEmitter.h - Writes one kernel for one thread ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CONVERSION_TILETONVVM_KERNELEMITTER_H
#define DSV2_LIB_CONVERSION_TILETONVVM_KERNELEMITTER_H

#include "dsv2/CodeGen/GPU/DeviceParts.h"
#include "dsv2/Dialect/Tile/IR/Tile.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::dsv2::tile {

/// Registers of a thread at the start of a kernel whose roles move them
/// (setmaxnreg): all of a multiprocessor shared evenly, in steps of 8.
inline int64_t getInitialRegisters(KernelOp kernel) {
  return 65536 / kernel.getThreads() / 8 * 8;
}

/// Says on `function`, which `kernel` becomes, how many instructions of matrix
/// units, copies and barriers its PTX must have at least (kExpectAttr).
void setExpectations(KernelOp kernel, Operation *function);

/// Walks a kernel and writes what each thread does. A uniform value becomes one
/// value, a tile in registers one value for each register; a tile in shared
/// memory its address, a ring's state its stage and the parity of its round.
class KernelEmitter {
public:
  KernelEmitter(KernelOp kernel, LLVM::LLVMFuncOp function,
                LLVM::GlobalOp sharedMemory);

  /// Fills the function.
  LogicalResult emit();

private:
  // KernelEmitter.cpp: structure and uniform values.
  LogicalResult emitBlock(Block &block);
  LogicalResult emitOp(Operation *op);
  LogicalResult emitRole(RoleOp role);
  LogicalResult emitFor(scf::ForOp loop);
  LogicalResult emitIf(scf::IfOp branch);
  LogicalResult emitWhile(scf::WhileOp loop);
  /// `op` on scalars, its operands replaced; exponentials and logarithms to the
  /// base 2 are the hardware's approximations.
  SmallVector<Value> emitScalarOp(Operation *op,
                                  llvm::function_ref<Value(Value)> operand);
  LogicalResult emitUniform(Operation *op);

  // EmitCopies.cpp: rings, barriers and copies.
  void emitBarrierInit();
  /// Waits until the phase of the barrier at `address` with `parity` is over.
  void emitWait(Value address, Value parity);
  /// The full barrier of a stage, or the empty one.
  Value barrierAddress(Value ring, Value stage, bool empty);
  void emit(BarrierOp op);
  void emit(RingNextOp op);
  void emit(RingAcquireOp op);
  void emit(RingWaitOp op);
  void emit(RingReleaseOp op);
  void emit(RingTileOp op);
  void emit(TmaLoadOp op);
  void emit(CpAsyncOp op);
  void emit(LoadScalarOp op);
  void emit(ClearRowsOp op);
  LogicalResult emitSearch(SearchSumsOp op);
  void emit(SharedViewOp op);
  void emit(SharedStageOp op);
  /// The address of byte `byte` + `moreBytes` of row `row` + `moreRows` of a
  /// tile. `moreRows` is a multiple of 8; `byte` leads out of no panel.
  Value sharedAddress(SharedType type, Value base, Value row, Value byte,
                      int64_t moreRows, int64_t moreBytes);
  /// The address of piece `piece`, of 16 bytes, of row `row`.
  Value pieceAddress(SharedType type, Value base, Value row, Value piece);

  // EmitFragments.cpp: tiles in registers.
  void emit(SplatOp op);
  void emit(MapOp op);
  void emit(ReduceRowsOp op);
  void emit(PackOp op);
  void emit(SplitOp op);
  void emit(ColumnsOp op);
  void emit(LoadOp op);
  void emit(StoreOp op);
  void emit(LoadRowsOp op);
  void emit(StoreRowsOp op);
  void emit(PutOp op);
  void emit(PutRowsOp op);
  void emit(GetRowsOp op);
  /// Row of register 0 of this thread: 16 times the warp's number in its
  /// instance, plus lane / 4. `lane`: the lane's number, if hidden.
  Value firstRow(int64_t warps, Value lane = {});
  /// Column of register 0 of this thread: twice lane mod 4.
  Value firstColumn(Value lane = {});
  /// Where a tile of one row keeps the value of register `i` of `type`.
  Value rowAddress(RowsType type, Value tile, int64_t i);
  /// Two f32 as neighbours of type `element` in one value.
  Value packPair(Value low, Value high, Type element);

  void emitTransposed(LoadOp op);
  void emitTransposed(StoreOp op);

  // EmitUnpack.cpp.
  void emit(UnpackBlocksOp op);

  // EmitProducts.cpp.
  void emit(WgmmaFenceOp op);
  void emit(WgmmaOp op);
  void emit(WgmmaWaitOp op);
  void emit(MmaOp op);
  /// The descriptor of a tile for a product of matrix units, kept from being
  /// computed before the loop it is used in.
  Value descriptor(SharedType type, Value base, bool transposed);
  /// Four 8x8 matrices from shared memory.
  SmallVector<Value> ldmatrix(Value address, bool transposed);
  /// `value` (i32 or i64) by a move that LLVM does not look through: what is
  /// computed of it stays in the loop it is in, and takes no registers outside.
  Value hide(Value value);
  SmallVector<Value> emitAsm(const nvptx::AsmStatement &statement,
                             ArrayRef<Value> operands, TypeRange results);

  // Builders of single ops.
  Value i32(int64_t value);
  Value i64(int64_t value);
  Value add(Value a, Value b);
  Value add(Value a, int64_t c);
  Value mul(Value a, Value b);
  Value mul(Value a, int64_t c);
  Value divide(Value a, int64_t c);
  Value remainder(Value a, int64_t c);
  Value less(Value a, Value b);
  Value equal(Value a, int64_t c);
  Value select(Value condition, Value a, Value b);
  /// `pointer` and `offset` bytes (i32 or i64).
  Value bytesFrom(Value pointer, Value offset);
  Value bytesFrom(Value pointer, int64_t offset);
  /// The address of element `index` (i32), given a row `stride` if it is one of
  /// a matrix: indices are widened before they are multiplied.
  Value elementAddress(Value pointer, Type element, Value row, Value stride,
                       Value column);

  ArrayRef<Value> lookup(Value value) const;
  Value lookupOne(Value value) const { return lookup(value).front(); }
  void bind(Value value, ArrayRef<Value> values);

  KernelOp kernel;
  LLVM::LLVMFuncOp function;
  LLVM::GlobalOp sharedMemory;
  ImplicitLocOpBuilder b;
  SharedLayout layout;
  llvm::DenseMap<Value, SmallVector<Value>> values;
  Type i32Type, f32Type, sharedPointer;
  /// The start of shared memory; this thread's number in the block, in its warp
  /// (lane), its warp's number.
  Value shared, thread, lane, warp;
  /// While in a role: the role, this thread's number in it.
  RoleOp role;
  Value roleThread;
};

} // namespace mlir::dsv2::tile

#endif // DSV2_LIB_CONVERSION_TILETONVVM_KERNELEMITTER_H
