//===- LowerToLLVM.h - From kernels to the LLVM dialect ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_CPU_LOWERTOLLVM_H
#define DSV2_CODEGEN_CPU_LOWERTOLLVM_H

#include <functional>

namespace mlir {
class DialectRegistry;
class OpPassManager;
} // namespace mlir

namespace mlir::dsv2::cpu {

struct LowerToLLVMOptions {
  /// The processor has FMA (CPUTargetInfo::hasFMA), so that the expansion of
  /// math functions may use it. Where it is not set, results of math functions
  /// are the same on all processors.
  bool useFMA = false;
  /// Adds the passes that rewrite transcendental functions (`math.exp` and
  /// friends, scalar and vector) into plain arithmetic, so that no call into a
  /// math library is left. Runs first, on the module. Empty: the expansion of
  /// this library.
  std::function<void(OpPassManager &)> expandMath;
};

/// Registers every dialect the kernels use and every translation interface the
/// lowering needs: func, scf, cf, vector, memref, arith, math, index, ub,
/// affine, omp and LLVM.
void registerCPUCodeGenDialects(DialectRegistry &registry);

/// Appends to `pm`, a pass manager on `builtin.module`, the passes that bring
/// func, scf, vector, memref, arith, math, cf, index, ub and affine ops down to
/// the LLVM dialect, `index` being 64 bits wide. Bodies of `omp` regions are
/// converted with them.
///
/// Enters: kernels as the builders of this library emit them, and code that
/// calls them, on memrefs with strided layouts. Leaves: llvm and omp ops only.
/// Floating point is kept strict: no reassociation, no contraction, so what a
/// kernel computes does not depend on how it was compiled.
void buildLowerToLLVMPipeline(OpPassManager &pm,
                              const LowerToLLVMOptions &options = {});

} // namespace mlir::dsv2::cpu

#endif // DSV2_CODEGEN_CPU_LOWERTOLLVM_H
