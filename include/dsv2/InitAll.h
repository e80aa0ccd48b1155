//===- InitAll.h - the one list of everything registered --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Tools and tests take dialects, interface implementations and passes from
// here, upstream ones included, so that no two of them can differ.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_INITALL_H
#define DSV2_INITALL_H

namespace mlir {
class DialectRegistry;

namespace dsv2 {

/// Adds the dsv2 dialects and those of MLIR.
void registerAllDialects(DialectRegistry &registry);

/// Adds the interface implementations that live outside of their dialects.
void registerAllExtensions(DialectRegistry &registry);

/// Registers the passes and pipelines of dsv2 and MLIR by name.
void registerAllPasses();

} // namespace dsv2
} // namespace mlir

#endif // DSV2_INITALL_H
