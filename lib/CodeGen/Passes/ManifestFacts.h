//===- ManifestFacts.h - what a module's manifest says ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_PASSES_MANIFESTFACTS_H
#define DSV2_LIB_CODEGEN_PASSES_MANIFESTFACTS_H

#include "dsv2/Dialect/DSV2/IR/DSV2.h"

namespace mlir::dsv2 {

/// The entry that chooses tokens on a device (dsv2rt_sample_fn), and what the
/// manifest calls it.
inline constexpr llvm::StringLiteral kSampleEntry = "sample";

/// The manifest of a module of the target stage but for its identity: what
/// earlier passes collected, completed by the entry points that the module
/// defines. Null, after an error was emitted, when nothing was collected.
DictionaryAttr completeManifest(ModuleOp module);

/// Removes attributes of the dsv2 dialect from the module and its functions,
/// after which upstream tools accept it.
void stripFacts(ModuleOp module);

} // namespace mlir::dsv2

#endif // DSV2_LIB_CODEGEN_PASSES_MANIFESTFACTS_H
