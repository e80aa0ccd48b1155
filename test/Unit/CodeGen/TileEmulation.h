//===- TileEmulation.h - AMX on processors without it -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The ops of the amx dialect as calls of plain loops, so that kernels for the
// tile unit can be run anywhere.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_CODEGEN_TILEEMULATION_H
#define DSV2_TEST_UNIT_CODEGEN_TILEEMULATION_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ExecutionEngine/Orc/Core.h"
#include "llvm/ExecutionEngine/Orc/Mangling.h"

namespace mlir::dsv2::cpu::test {

/// Turns the amx ops of `module`, kernels before their lowering, into calls of
/// the functions of emulatedTileSymbols(). Tiles become numbers.
void emulateTiles(ModuleOp module);

llvm::orc::SymbolMap emulatedTileSymbols(llvm::orc::MangleAndInterner interner);

/// Products of tiles that have been emulated so far.
int64_t countEmulatedTileProducts();

/// Asks the system for the tile registers, as the runtime does. Only for
/// processors that have them.
bool requestTileRegisters();

} // namespace mlir::dsv2::cpu::test

#endif // DSV2_TEST_UNIT_CODEGEN_TILEEMULATION_H
