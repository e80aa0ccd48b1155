//===- SimtBuilder.h - kernels written for one thread -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What KernelBuilder.h is for CPUs: a thin layer over OpBuilder for device
// kernels that say what one thread does. They are `llvm.func`s of the
// `gpu.module`, written in the scf, arith, llvm and nvvm dialects; arithmetic
// on indices is i32, addresses are global pointers (address space 1).
//
// Kernels that multiply matrices on tensor cores are written in the tile
// dialect instead.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_GPU_SIMTBUILDER_H
#define DSV2_CODEGEN_GPU_SIMTBUILDER_H

#include "dsv2/CodeGen/GPU/DeviceBuilder.h"
#include "dsv2/CodeGen/GPU/KernelParameters.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::dsv2::gpu {

/// Threads of a warp.
inline constexpr int64_t kWarpSize = 32;
/// Address spaces of NVPTX.
inline constexpr unsigned kGlobalSpace = 1;
inline constexpr unsigned kSharedSpace = 3;

/// Builds the body of one kernel.
class SimtBuilder : public DeviceBuilder {
public:
  using DeviceBuilder::DeviceBuilder;

  //===--------------------------------------------------------------------===//
  // Constants and arithmetic
  //===--------------------------------------------------------------------===//

  Value f64(double value);
  Value fdiv(Value a, Value b);
  Value fma(Value a, Value b, Value c);
  /// 2^x, and e^x through it; approximate as the hardware's instruction.
  Value exp2(Value x);
  Value exp(Value x);
  Value rsqrt(Value x);

  //===--------------------------------------------------------------------===//
  // Threads
  //===--------------------------------------------------------------------===//

  Value threadId();
  /// threadId() modulo and divided by the size of a warp.
  Value lane();
  Value warp();
  Value blockId(int dim = 0);
  /// Number of blocks of the grid.
  Value gridSize(int dim = 0);
  /// Waits for all threads of the block.
  void barrier();
  /// Waits until the launches before this one are over and what they wrote can
  /// be read (Waiting::Inside).
  void awaitPredecessors();
  /// Value of the lane whose number differs in the bits of `mask`.
  Value shuffleXor(Value value, int32_t mask);
  /// Combines the values of a warp; every lane gets the result. `combine` must
  /// not depend on the order of its operands.
  Value warpReduce(Value value,
                   llvm::function_ref<Value(Value, Value)> combine);
  /// Value of the lane `delta` before; lanes below that keep their own.
  Value shuffleUp(Value value, int32_t delta);
  /// Value of lane number `lane`.
  Value shuffleFrom(Value value, Value lane);
  /// For each lane of a full warp, the lanes that have the same i32.
  Value matchAny(Value value);
  /// The lanes below this one, as bits.
  Value lowerLanes();
  /// Waits for all threads of the warp.
  void warpBarrier();
  /// Bit l of the result is the condition of lane l, for a full warp.
  Value ballot(Value condition);
  /// How many bits are set; the lowest that is set, of a number that is not 0.
  Value countBits(Value value);
  Value lowestBit(Value value);

  //===--------------------------------------------------------------------===//
  // Tensor cores
  //===--------------------------------------------------------------------===//

  /// mma.m16n8k16 of bf16 on the registers of a warp: `a` has 4, `b` 2 words,
  /// `sums` 4 f32 (PTX ISA, "Matrix fragments for mma.m16n8k16").
  SmallVector<Value> multiplyTile(ValueRange a, ValueRange b, ValueRange sums);

  //===--------------------------------------------------------------------===//
  // Memory
  //===--------------------------------------------------------------------===//

  /// Address of element `index` (i32, not negative) from `base`.
  Value at(Value base, Type element, Value index);
  /// The same, `row * stride + column` computed in 64 bits.
  Value at(Value base, Type element, Value row, Value stride, Value column);
  Value load(Type type, Value address);
  void store(Value value, Value address);
  /// Loads f32, or bf16 widened to f32; stores f32, or f32 rounded to bf16.
  Value loadFloat(Type element, Value address);
  void storeFloat(Value value, Type element, Value address);
  /// `words` times 4 bytes, as i32, from an address that is a multiple of the
  /// bytes of one instruction: up to 16, as few as needed. `invariant` promises
  /// that nothing writes there as long as the kernel runs.
  SmallVector<Value> loadWords(int64_t words, Value address,
                               bool invariant = false);
  void storeWords(ValueRange words, Value address);
  /// Whether pointers, and strides in elements of a type, are multiples of 16
  /// bytes; the same for all threads.
  Value areMultiplesOf16(ValueRange pointers,
                         llvm::ArrayRef<std::pair<Value, Type>> strides);
  /// `count` f32 or bf16 numbers as f32: one, or as many as fill words.
  SmallVector<Value> loadFloats(Type element, int64_t count, Value address,
                                bool invariant = false);
  void storeFloats(ValueRange values, Type element, Value address);
  /// Words of f32 or bf16 as f32, and back; bf16 is two to a word, rounded to
  /// nearest even.
  SmallVector<Value> unpack(Type element, ValueRange words);
  SmallVector<Value> pack(Type element, ValueRange values);
  /// `count` elements of shared memory that the kernel owns statically.
  Value sharedArray(llvm::StringRef name, Type element, int64_t count);
  /// `bytes` of dynamic shared memory, all that the kernel has.
  Value dynamicShared(int64_t bytes);

  //===--------------------------------------------------------------------===//
  // Control
  //===--------------------------------------------------------------------===//

  /// for (i = begin; i < end; i += step) body(i), on i32.
  void forEach(Value begin, Value end, Value step,
               llvm::function_ref<void(Value)> body);
  /// The same with values carried from one turn to the next.
  SmallVector<Value>
  forCarry(Value begin, Value end, Value step, ValueRange inits,
           llvm::function_ref<SmallVector<Value>(Value, ValueRange)> body);
  void ifElse(Value condition, llvm::function_ref<void()> thenBody,
              llvm::function_ref<void()> elseBody);

private:
  /// The kernel that is written.
  LLVM::LLVMFuncOp getKernel();
};

/// A kernel is started before its predecessor is over, on chips that can do so
/// (PTX ISA, "griddepcontrol"), and lets its successor start as early. It must
/// not touch what other launches write, nor write anything, before it has
/// waited, and every thread has to wait: else kernels after it, which know of
/// this one alone, overtake those before it.
enum class Waiting {
  /// Before anything else.
  First,
  /// Where the body says awaitPredecessors(): after it has begun to load
  /// weights, which no launch writes.
  Inside,
  /// It is not started early and lets nothing start before it is over: it
  /// writes what others read before they wait.
  Never
};

/// Returns the kernel `name` of the module's device kernels, which `body`
/// writes if it is not there yet. `threads` is the size of a block.
LLVM::LLVMFuncOp
getOrCreateKernel(ModuleOp module, llvm::StringRef name, int64_t threads,
                  llvm::ArrayRef<KernelParameter> parameters,
                  llvm::function_ref<void(SimtBuilder &, ValueRange)> body,
                  Waiting waiting = Waiting::First);

} // namespace mlir::dsv2::gpu

#endif // DSV2_CODEGEN_GPU_SIMTBUILDER_H
