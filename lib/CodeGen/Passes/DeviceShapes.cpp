//===- DeviceShapes.cpp - what ops are to kernels of GPUs -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceShapes.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::dsv2;

RopeOp mlir::dsv2::getOwnRope(LatentAttentionOp op) {
  auto rope = op.getQRope().getDefiningOp<RopeOp>();
  return rope && rope.getResult().hasOneUse() ? rope : RopeOp();
}

LatentAttentionOp mlir::dsv2::getOwnAttention(RopeOp op) {
  if (!op.getResult().hasOneUse())
    return {};
  auto attention = dyn_cast<LatentAttentionOp>(*op.getResult().user_begin());
  return attention && attention.getQRope() == op.getResult()
             ? attention
             : LatentAttentionOp();
}

std::optional<dsv2::gpu::MLADecodeShape>
mlir::dsv2::getDecodeShape(LatentAttentionOp op,
                           ArrayRef<GPUTargetInfo> chips) {
  LatentCacheType cache = op.getCache().getType();
  if (!getOwnRope(op) || !cache.getMemoryType().getElementType().isBF16() ||
      cache.getPage() != dsv2::gpu::kMLABlock)
    return std::nullopt;
  dsv2::gpu::MLADecodeShape shape;
  shape.heads = cast<RankedTensorType>(op.getType()).getDimSize(1);
  shape.latent = cache.getLatent();
  shape.rope = cache.getRope();
  shape.scale = op.getScale().convertToDouble();
  for (const GPUTargetInfo &chip : chips)
    if (dsv2::gpu::explainUnsupported(shape, chip.chip))
      return std::nullopt;
  return shape;
}

LatentAppendOp mlir::dsv2::getAppend(LatentAttentionOp op) {
  LatentAppendOp append;
  for (Operation *user : op.getCache().getUsers())
    if (auto other = dyn_cast<LatentAppendOp>(user))
      if (other->getBlock() == op->getBlock() && other->isBeforeInBlock(op) &&
          other.getLayer() == op.getLayer())
        append = other;
  return append;
}

Value mlir::dsv2::getWholeQueries(LatentAttentionOp op) {
  RopeOp rope = getOwnRope(op);
  if (!rope)
    return {};
  auto rotated = rope.getInput().getDefiningOp<tensor::ExtractSliceOp>();
  auto other = op.getQNope().getDefiningOp<tensor::ExtractSliceOp>();
  if (!rotated || !other || rotated.getSource() != other.getSource() ||
      !rotated->hasOneUse() || !other->hasOneUse())
    return {};
  int64_t nope = cast<RankedTensorType>(other.getType()).getShape().back();
  int64_t width = cast<RankedTensorType>(rotated.getType()).getShape().back();
  auto whole = cast<RankedTensorType>(rotated.getSourceType());
  auto startsAt = [](tensor::ExtractSliceOp slice, int64_t column) {
    return llvm::equal(slice.getStaticOffsets(),
                       ArrayRef<int64_t>{0, 0, column}) &&
           slice.hasUnitStride();
  };
  if (whole.getRank() != 3 || whole.getShape().back() != nope + width ||
      !startsAt(other, 0) || !startsAt(rotated, nope))
    return {};
  // Rotating in place must be seen by nobody else.
  for (Operation *user : rotated.getSource().getUsers())
    if (user != rotated && user != other && !isa<tensor::DimOp>(user))
      return {};
  return rotated.getSource();
}

std::optional<dsv2::gpu::MLAPrefillShape>
mlir::dsv2::getPrefillShape(LatentAttentionOp op,
                            ArrayRef<GPUTargetInfo> chips) {
  LatentCacheType cache = op.getCache().getType();
  if (!cache.getMemoryType().getElementType().isBF16() || !getAppend(op) ||
      !getWholeQueries(op))
    return std::nullopt;
  dsv2::gpu::MLAPrefillShape shape;
  auto type = cast<RankedTensorType>(op.getType());
  shape.heads = type.getDimSize(1);
  shape.nope = cast<ShapedType>(op.getQNope().getType()).getShape().back();
  shape.rope = cache.getRope();
  shape.value = type.getDimSize(2);
  shape.scale = op.getScale().convertToDouble();
  for (const GPUTargetInfo &chip : chips)
    if (dsv2::gpu::explainUnsupported(shape, chip.chip))
      return std::nullopt;
  return shape;
}
