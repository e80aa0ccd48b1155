//===- ModelBuilder.h - model configuration to dsv2 IR ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_IMPORT_MODELBUILDER_H
#define DSV2_IMPORT_MODELBUILDER_H

#include "dsv2/Import/ModelConfig.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace mlir::dsv2 {

/// Positions in a page of the latent cache. 64 rows of 576 bf16 elements are
/// 72 KiB: large enough to stream, small enough that a short sequence wastes
/// little.
inline constexpr int64_t kDefaultPageSize = 64;

/// Builds the `import` stage of `config`: a function `@step` (attribute
/// `dsv2.entry = "step"`) that computes one ragged step as the paper writes the
/// model, a private function per layer kind that `@step` calls for each of its
/// layers, and `@copy_pages`. The size of the IR does not depend on the number
/// of layers of a run, nor on the number of experts.
///
/// Signature of `@step`: tokens[T], positions[T], seq_ids[T],
/// seq_starts[S + 1], block_tables[S, B], logit_rows[R] (all i32) and the
/// latent cache; it returns f32 logits [R, V]. Weights are `dsv2.weight` ops of
/// the element type the configuration declares; activations are f32. Every op
/// has a location that names its layers and, if it uses one, the checkpoint
/// tensor.
OwningOpRef<ModuleOp> buildModel(MLIRContext *context,
                                 const ::dsv2::ModelConfig &config);

} // namespace mlir::dsv2

#endif // DSV2_IMPORT_MODELBUILDER_H
