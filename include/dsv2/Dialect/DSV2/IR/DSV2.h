//===- DSV2.h - the dsv2 dialect --------------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Umbrella header of the dialect: attributes, types, interfaces and ops.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_DSV2_H
#define DSV2_DIALECT_DSV2_IR_DSV2_H

#include "dsv2/Dialect/DSV2/IR/ExactDouble.h"
#include "dsv2/Dialect/DSV2/IR/OpCost.h"
#include "dsv2/Support/BlockFormat.h"
#include "dsv2/Support/CacheFormat.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/IR/TensorEncoding.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/STLExtras.h"

namespace mlir {
class PatternRewriter;
} // namespace mlir

namespace mlir::dsv2 {
/// Whether the sizes of a shaped type from dimension `first` on are static and
/// positive.
inline bool hasStaticSizes(Type type, unsigned first) {
  return llvm::all_of(cast<ShapedType>(type).getShape().drop_front(first),
                      [](int64_t size) { return size > 0; });
}
} // namespace mlir::dsv2

#include "dsv2/Dialect/DSV2/IR/DSV2Dialect.h.inc"
#include "dsv2/Dialect/DSV2/IR/DSV2Enums.h.inc"
#include "dsv2/Dialect/DSV2/IR/DSV2Interfaces.h.inc"

namespace mlir::dsv2 {
/// Whether weights in `order` are two, gate and up, stored together.
inline bool isGated(PackOrder order) {
  return order == PackOrder::GatedPanels || order == PackOrder::GatedRows;
}
/// The blocks of a format that has some, else null.
const BlockFormat *getBlockFormat(PackFormat format);
/// Whether weights in `order` are those of the transposed matrix.
inline bool isTransposed(PackOrder order) {
  return order == PackOrder::TransposedPanels ||
         order == PackOrder::TransposedRows;
}
/// Rows of gate, and of up, that follow each other in `gated_rows`: what tensor
/// cores give a thread of a product is then a gate and its up.
inline constexpr int64_t kGatedRowGroup = 8;
} // namespace mlir::dsv2

#define GET_ATTRDEF_CLASSES
#include "dsv2/Dialect/DSV2/IR/DSV2Attrs.h.inc"

#define GET_TYPEDEF_CLASSES
#include "dsv2/Dialect/DSV2/IR/DSV2Types.h.inc"

#define GET_OP_CLASSES
#include "dsv2/Dialect/DSV2/IR/DSV2Ops.h.inc"

namespace mlir::dsv2 {
// Facts that passes leave on functions and modules; the dialect verifies them.

/// Marks a step function and names its entry point.
inline constexpr llvm::StringLiteral kEntryAttr = "dsv2.entry";
/// On a device kernel: where each of its parameters comes from, an array of
/// `#dsv2.parameter`.
inline constexpr llvm::StringLiteral kParametersAttr = "dsv2.parameters";
/// On a device kernel: bytes of dynamic shared memory, i64.
inline constexpr llvm::StringLiteral kSharedBytesAttr = "dsv2.shared_bytes";
/// On a device kernel that is for one chip alone: the chip, `sm_90a`.
inline constexpr llvm::StringLiteral kChipAttr = "dsv2.chip";
/// The `gpu.module` of the device's kernels.
inline constexpr llvm::StringLiteral kDeviceModule = "dsv2_kernels";
/// Marks a weight-preparation function.
inline constexpr llvm::StringLiteral kPrepareAttr = "dsv2.prepare";
/// On a prepare function: checkpoint names of its arguments.
inline constexpr llvm::StringLiteral kSourcesAttr = "dsv2.sources";
/// On a prepare function: the layers it runs for (empty: once).
inline constexpr llvm::StringLiteral kLayersAttr = "dsv2.layers";
/// On a prepare function: it runs once an expert, of this many.
inline constexpr llvm::StringLiteral kExpertsAttr = "dsv2.experts";
/// On a step function: the attention form it uses.
inline constexpr llvm::StringLiteral kFormAttr = "dsv2.form";
/// Marks a kernel made of the reference lowering of one op. Such kernels may
/// allocate.
inline constexpr llvm::StringLiteral kReferenceAttr = "dsv2.reference";
/// On a function argument whose first dimension is a size of the step: which
/// one, "tokens", "sequences" or "rows".
inline constexpr llvm::StringLiteral kSizeAttr = "dsv2.size";
/// On a weight, what is to become its `shards`; on another op, an array of the
/// parts of its first result that this rank will hold.
inline constexpr llvm::StringLiteral kShardsAttr = "dsv2.shards";
/// On an op of the import stage: the axis over which its first result has yet
/// to be summed.
inline constexpr llvm::StringLiteral kPartialAttr = "dsv2.partial";
/// On a prepare function: for each source an array of its `#dsv2.shard`s.
inline constexpr llvm::StringLiteral kSourceShardsAttr = "dsv2.source_shards";
/// On a step function and those it calls: rows that one rank has for another in
/// exchanges of fixed size. Without it exchanges are as large as they have to
/// be.
inline constexpr llvm::StringLiteral kCapacityAttr = "dsv2.capacity";
/// On a prepare function: the `#dsv2.shard` of the experts it runs for, where
/// `dsv2.experts` is the number of one rank.
inline constexpr llvm::StringLiteral kExpertShardAttr = "dsv2.expert_shard";
/// On the module: tokens of one sequence from which on the prefill entry is
/// used. Absent if there is only one entry.
inline constexpr llvm::StringLiteral kPrefillMinTokensAttr =
    "dsv2.prefill_min_tokens";
/// On the module: the `--target-cpu` its kernels were generated for.
inline constexpr llvm::StringLiteral kTargetCPUAttr = "dsv2.target_cpu";
/// On the module: what the artifact's manifest will say, under the manifest's
/// own key names (docs/RuntimeABI.md). Passes add what they decide.
inline constexpr llvm::StringLiteral kManifestAttr = "dsv2.manifest";

/// What a step through `entry` costs: the sum over the ops of the import or
/// plan stage that it and the functions it calls hold, those in a loop counted
/// once an iteration. Nothing if a loop has bounds that are not constant, or if
/// functions call each other in a circle.
std::optional<OpCost> getTotalCost(FunctionOpInterface entry,
                                   const StepShape &step);

/// Sets `key` of the module's manifest to `value`.
void setManifestEntry(ModuleOp module, StringRef key, Attribute value);
/// Sets `key` of the dictionary `group` of the module's manifest.
void setManifestEntry(ModuleOp module, StringRef group, StringRef key,
                      Attribute value);
} // namespace mlir::dsv2

#endif // DSV2_DIALECT_DSV2_IR_DSV2_H
