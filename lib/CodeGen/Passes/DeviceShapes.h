//===- DeviceShapes.h - what ops are to kernels of GPUs ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_PASSES_DEVICESHAPES_H
#define DSV2_LIB_CODEGEN_PASSES_DEVICESHAPES_H

#include "dsv2/CodeGen/GPU/MLADecodeKernels.h"
#include "dsv2/CodeGen/GPU/MLAPrefillKernels.h"
#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "dsv2/Support/GPUTargetInfo.h"

#include <optional>

namespace mlir::dsv2 {

/// The rope whose result is the query of `op` and nothing else's, or null; and
/// the attention whose query is the result of `op` alone.
RopeOp getOwnRope(LatentAttentionOp op);
LatentAttentionOp getOwnAttention(RopeOp op);

/// What absorbed attention on tensor cores computes for `op`, or nothing if one
/// of `chips` has no kernels for it: they want a cache of bf16 in pages of
/// gpu::kMLABlock, and queries that they can have side by side.
std::optional<gpu::MLADecodeShape>
getDecodeShape(LatentAttentionOp op, ArrayRef<GPUTargetInfo> chips);

/// The same of expanded attention, which wants a cache of bf16, an append of
/// the step's own latents before `op`, and a projection to queries that nothing
/// else reads.
std::optional<gpu::MLAPrefillShape>
getPrefillShape(LatentAttentionOp op, ArrayRef<GPUTargetInfo> chips);

/// The append of the step's own latents to the cache of `op`, or null.
LatentAppendOp getAppend(LatentAttentionOp op);

/// The queries [T, heads, nope + rope] whose two parts `op` has as operands,
/// the second rotated, or null if anything else reads them.
Value getWholeQueries(LatentAttentionOp op);

} // namespace mlir::dsv2

#endif // DSV2_LIB_CODEGEN_PASSES_DEVICESHAPES_H
