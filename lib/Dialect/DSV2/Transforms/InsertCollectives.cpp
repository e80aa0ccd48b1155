//===- InsertCollectives.cpp - shapes of one rank, and sums over ranks ----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_INSERTCOLLECTIVESPASS
#include "dsv2/Dialect/DSV2/Transforms/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

namespace {
struct InsertCollectives
    : public mlir::dsv2::impl::InsertCollectivesPassBase<InsertCollectives> {
  void runOnOperation() override;

private:
  void localize(Operation *op);
  void localize(WeightOp op);
  void reduce(Operation *op);
  void gather(LogitsOp op, int64_t vocabulary);
  void offset(EmbedOp op);

  MeshOp mesh;
};
} // namespace

/// The part that a rank has of `type`.
static RankedTensorType getPartType(RankedTensorType type, ShardAttr shard) {
  SmallVector<int64_t> shape(type.getShape());
  shape[shard.getDim()] = shard.getPart();
  return RankedTensorType::get(shape, type.getElementType(),
                               type.getEncoding());
}

/// The layer number in a layer function, or null.
static Value getLayer(Operation *op) {
  Value layer;
  op->getParentOfType<func::FuncOp>().walk(
      [&](LatentAppendOp append) { layer = append.getLayer(); });
  return layer;
}

/// Parts on `tp` become the weight's own; those of experts stay a plan until
/// tokens are sent to them.
void InsertCollectives::localize(WeightOp op) {
  SmallVector<Attribute> own, planned;
  RankedTensorType type = op.getType();
  for (auto shard :
       op->getAttrOfType<ArrayAttr>(kShardsAttr).getAsRange<ShardAttr>()) {
    if (shard.getAxis() != MeshAxis::TP) {
      planned.push_back(shard);
      continue;
    }
    own.push_back(shard);
    type = getPartType(type, shard);
  }
  Builder b(&getContext());
  op.getResult().setType(type);
  if (!own.empty())
    op.setShardsAttr(b.getArrayAttr(own));
  if (planned.empty())
    op->removeAttr(kShardsAttr);
  else
    op->setAttr(kShardsAttr, b.getArrayAttr(planned));
}

/// Gives the result of an op between weights and products the shape of a part.
void InsertCollectives::localize(Operation *op) {
  for (auto shard :
       op->getAttrOfType<ArrayAttr>(kShardsAttr).getAsRange<ShardAttr>()) {
    Value result = op->getResult(0);
    result.setType(
        getPartType(cast<RankedTensorType>(result.getType()), shard));
    auto shrink = [&](ArrayRef<int64_t> sizes) {
      SmallVector<int64_t> shrunk(sizes);
      shrunk[shard.getDim()] = shard.getPart();
      return shrunk;
    };
    if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op))
      expand.setStaticOutputShape(shrink(expand.getStaticOutputShape()));
    else if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op))
      slice.setStaticSizes(shrink(slice.getStaticSizes()));
  }
  op->removeAttr(kShardsAttr);
}

/// Sums the result of `op` over the ranks, unless all that reads it is an op
/// whose own result is to be summed.
void InsertCollectives::reduce(Operation *op) {
  Value value = op->getResult(0);
  bool isPassedOn =
      !value.use_empty() && llvm::all_of(value.getUsers(), [](Operation *user) {
        return isa<CombineOp>(user) && user->hasAttr(kPartialAttr);
      });
  if (isPassedOn)
    return;
  OpBuilder b(&getContext());
  b.setInsertionPointAfter(op);
  auto sum = AllReduceOp::create(b, op->getLoc(), value.getType(), value,
                                 mesh.getSymName(), MeshAxis::TP, getLayer(op));
  value.replaceAllUsesExcept(sum.getResult(), sum);
  ++numCollectives;
}

void InsertCollectives::gather(LogitsOp op, int64_t vocabulary) {
  ImplicitLocOpBuilder b(op.getLoc(), op);
  b.setInsertionPointAfter(op);
  RankedTensorType part = op.getType();
  Value rows = tensor::DimOp::create(b, op.getRows(), 0);
  SmallVector<Value> dynamic;
  if (part.isDynamicDim(0))
    dynamic.push_back(rows);
  Value whole = tensor::EmptyOp::create(
      b, ArrayRef<int64_t>{part.getDimSize(0), vocabulary},
      part.getElementType(), dynamic);
  auto all = AllGatherOp::create(b, whole.getType(), op.getResult(), whole,
                                 mesh.getSymName(), MeshAxis::TP,
                                 /*layer=*/Value());
  op.getResult().replaceAllUsesExcept(all.getResult(), all);
  ++numCollectives;
}

void InsertCollectives::offset(EmbedOp op) {
  ImplicitLocOpBuilder b(op.getLoc(), op);
  Value rank =
      MeshIndexOp::create(b, b.getIndexType(), mesh.getSymName(), MeshAxis::TP);
  Value first = arith::MulIOp::create(
      b, rank,
      arith::ConstantIndexOp::create(b, op.getTable().getType().getDimSize(0)));
  op.getFirstMutable().assign(first);
}

void InsertCollectives::runOnOperation() {
  ModuleOp module = getOperation();
  auto meshes = llvm::to_vector(module.getOps<MeshOp>());
  if (meshes.empty())
    return;
  mesh = meshes.front();
  SmallVector<Operation *> ops;
  module.walk([&](Operation *op) {
    if (op->hasAttr(kShardsAttr) || op->hasAttr(kPartialAttr))
      ops.push_back(op);
  });
  for (Operation *op : ops) {
    if (!op->hasAttr(kShardsAttr))
      continue;
    if (auto weight = dyn_cast<WeightOp>(op)) {
      localize(weight);
      continue;
    }
    auto logits = dyn_cast<LogitsOp>(op);
    int64_t vocabulary = logits ? logits.getType().getDimSize(1) : 0;
    localize(op);
    if (logits)
      gather(logits, vocabulary);
  }
  for (Operation *op : ops) {
    if (!op->hasAttr(kPartialAttr))
      continue;
    reduce(op);
    if (auto embed = dyn_cast<EmbedOp>(op))
      offset(embed);
  }
  for (Operation *op : ops)
    op->removeAttr(kPartialAttr);
}
