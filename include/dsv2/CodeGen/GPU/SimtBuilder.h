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
  /// Waits for all threads of the block.
  void barrier();
  /// Value of the lane whose number differs in the bits of `mask`.
  Value shuffleXor(Value value, int32_t mask);
  /// Combines the values of a warp; every lane gets the result. `combine` must
  /// not depend on the order of its operands.
  Value warpReduce(Value value,
                   llvm::function_ref<Value(Value, Value)> combine);

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
  /// `count` elements of shared memory that the kernel owns statically.
  Value sharedArray(llvm::StringRef name, Type element, int64_t count);

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
};

/// Returns the kernel `name` of the module's device kernels, which `body`
/// writes if it is not there yet. `threads` is the size of a block.
LLVM::LLVMFuncOp
getOrCreateKernel(ModuleOp module, llvm::StringRef name, int64_t threads,
                  llvm::ArrayRef<KernelParameter> parameters,
                  llvm::function_ref<void(SimtBuilder &, ValueRange)> body);

} // namespace mlir::dsv2::gpu

#endif // DSV2_CODEGEN_GPU_SIMTBUILDER_H
