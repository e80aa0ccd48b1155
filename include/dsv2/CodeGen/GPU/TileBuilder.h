//===- TileBuilder.h - kernels in the tile dialect --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A thin layer over OpBuilder for kernels in the dsv2_tile dialect: each method
// emits the one or two ops its name says. Numbers are i32.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_GPU_TILEBUILDER_H
#define DSV2_CODEGEN_GPU_TILEBUILDER_H

#include "dsv2/CodeGen/GPU/DeviceBuilder.h"
#include "dsv2/Dialect/Tile/IR/Tile.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::dsv2::gpu {

/// Builds the body of one kernel.
class TileBuilder : public DeviceBuilder {
public:
  /// Adds the kernel `name` of `arguments` at the end of `module` and starts
  /// at its body. The name has to be new.
  TileBuilder(ModuleOp module, StringRef name, TypeRange arguments,
              StringRef chip, int64_t threads);

  tile::KernelOp getKernel() { return kernel; }
  Value argument(unsigned index) { return kernel.getBody().getArgument(index); }

  //===--------------------------------------------------------------------===//
  // Types
  //===--------------------------------------------------------------------===//

  Type global(Type element);
  Type tensorMap(ArrayRef<int64_t> box, int64_t swizzle = 128);
  /// A tile of bf16, and one of bytes.
  tile::SharedType sharedTile(ArrayRef<int64_t> shape, int64_t swizzle = 128);
  tile::SharedType byteTile(ArrayRef<int64_t> shape, int64_t swizzle);
  tile::FragmentType fragment(int64_t rows, int64_t columns, int64_t warps = 4);
  tile::RowsType rowsType(int64_t rows, int64_t warps = 4);

  //===--------------------------------------------------------------------===//
  // Uniform values
  //===--------------------------------------------------------------------===//

  Value blockId(int64_t dimension = 0);
  Value gridSize(int64_t dimension = 0);
  /// Quotient, approximate.
  Value fdiv(Value a, Value b);
  /// 2 to the power `a`, and logarithm to the base 2; approximate.
  Value exp2(Value a);
  Value log2(Value a);
  /// Element `index`, of type i32 or f32.
  Value loadScalar(Value source, Value index);

  /// Index and sum before it of where the running sum of `count` summands
  /// passes `target` (tile::SearchSumsOp).
  std::pair<Value, Value>
  searchSums(Value count, Value target,
             llvm::function_ref<Value(Value index)> summand);

  //===--------------------------------------------------------------------===//
  // Control flow; bodies are callables that emit at the insertion point
  //===--------------------------------------------------------------------===//

  void role(StringRef name, int64_t first, int64_t last, int64_t by,
            int64_t registers, bool single,
            llvm::function_ref<void(Value instance)> body);
  /// for (iv = lo; iv < hi; iv += step): the body gets the loop-carried values
  /// and returns the next ones.
  SmallVector<Value> forLoop(
      Value lo, Value hi, Value step, ValueRange init,
      llvm::function_ref<SmallVector<Value>(Value iv, ValueRange state)> body);
  /// while (condition(state)) state = body(state): the final state.
  SmallVector<Value>
  whileLoop(ValueRange init, llvm::function_ref<Value(ValueRange)> condition,
            llvm::function_ref<SmallVector<Value>(ValueRange)> body);

  //===--------------------------------------------------------------------===//
  // Rings and shared memory
  //===--------------------------------------------------------------------===//

  Value makeRing(int64_t stages, ArrayRef<tile::SharedType> tiles,
                 int64_t releases);
  Value ringStart();
  Value ringNext(Value ring, Value state);
  /// Acquires the stage and expects the bytes of all its tiles.
  void ringAcquire(Value ring, Value state);
  void ringWait(Value ring, Value state);
  void ringRelease(Value ring, Value state);
  Value ringTile(Value ring, Value state, int64_t index);
  void tmaLoad(Value map, ValueRange coordinates, Value ring, Value state,
               int64_t tile);
  Value sharedBuffer(tile::SharedType type);
  Value sharedStage(Value tile, Value stage);
  /// `rows` rows from `row` on, and `columns` columns from `column` on.
  Value sharedView(Value tile, Value row, int64_t rows, Value column,
                   int64_t columns);
  /// `columns`: how many there are, if that is not all of the tile's.
  void cpAsync(Value source, Value row, Value column, Value stride, Value valid,
               Value tile, Value columns = {});
  void cpAsyncCommit();
  void cpAsyncWait(int64_t pending);
  void barrier(int64_t id, int64_t threads);
  /// Arrives without waiting.
  void arrive(int64_t id, int64_t threads);

  //===--------------------------------------------------------------------===//
  // Tiles in registers
  //===--------------------------------------------------------------------===//

  Value splat(double value, Type type);
  /// One result of `type`; the body gets an f32 for each input.
  Value map(ValueRange inputs, Type type,
            llvm::function_ref<Value(ValueRange elements)> body);
  /// The body gets the element's row and column too.
  Value mapIndexed(
      ValueRange inputs, Type type,
      llvm::function_ref<Value(ValueRange elements, Value row, Value column)>
          body);
  Value reduceRows(tile::ReduceKind kind, Value source);
  Value pack(Value source);
  Value columns(Value source, int64_t from, int64_t count);
  Value wgmmaFence(Value value);
  /// `acc` may be null.
  Value wgmma(Value a, Value b, Value acc, bool transposed = false);
  /// Waits for everything; the value as a fragment.
  Value wgmmaDone(Value value);
  /// Waits until `pending` groups are under way, the values staying in flight.
  Value wgmmaKeep(int64_t pending, Value value);
  SmallVector<Value> wgmmaKeep(int64_t pending, ValueRange values);
  Value mma(Value a, Value b, Value acc, bool transposed = false);

private:
  tile::KernelOp kernel;
};

} // namespace mlir::dsv2::gpu

#endif // DSV2_CODEGEN_GPU_TILEBUILDER_H
