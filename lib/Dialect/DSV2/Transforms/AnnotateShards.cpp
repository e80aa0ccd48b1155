//===- AnnotateShards.cpp - which part of every tensor a rank holds -------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/Transforms/Passes.h"

#include "dsv2/Support/MeshShape.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/TypeSwitch.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_ANNOTATESHARDSPASS
#include "dsv2/Dialect/DSV2/Transforms/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

namespace {
struct AnnotateShards
    : public mlir::dsv2::impl::AnnotateShardsPassBase<AnnotateShards> {
  using AnnotateShardsPassBase::AnnotateShardsPassBase;

  void runOnOperation() override;

private:
  /// Splits dimension `dim` of the result of `op`; false if it is already.
  FailureOr<bool> mark(Operation *op, int64_t dim, MeshAxis axis);
  /// Has `value` computed split along `dim` over `tp`.
  LogicalResult demand(Value value, int64_t dim);
  LogicalResult markPartial(Operation *op);
  LogicalResult seed(Operation *op);
  LogicalResult seedExperts(ExpertFFNOp op);
  LogicalResult propagate(Operation *op);

  int64_t size(MeshAxis axis) const {
    return axis == MeshAxis::TP ? shape.tp : shape.ep;
  }

  MeshShape shape;
};
} // namespace

FailureOr<bool> AnnotateShards::mark(Operation *op, int64_t dim,
                                     MeshAxis axis) {
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  SmallVector<Attribute> shards;
  if (auto present = op->getAttrOfType<ArrayAttr>(kShardsAttr))
    shards.assign(present.begin(), present.end());
  for (Attribute shard : shards) {
    if (cast<ShardAttr>(shard).getAxis() != axis)
      continue;
    if (cast<ShardAttr>(shard).getDim() == dim)
      return false;
    return op->emitOpError("expected one dimension to be split over ")
           << stringifyMeshAxis(axis) << ", got "
           << cast<ShardAttr>(shard).getDim() << " and " << dim;
  }
  int64_t extent = type.getDimSize(dim);
  if (axis == MeshAxis::TP && extent % shape.tp != 0)
    return op->emitOpError("expected tp to divide dimension ")
           << dim << " of " << type << ", got " << shape.tp << "; "
           << listDivisors(extent) << " would";
  shards.push_back(
      ShardAttr::get(&getContext(), dim, extent, axis, size(axis)));
  op->setAttr(kShardsAttr, ArrayAttr::get(&getContext(), shards));
  if (isa<WeightOp>(op) && shards.size() == 1)
    ++numWeights;
  return true;
}

LogicalResult AnnotateShards::demand(Value value, int64_t dim) {
  Operation *op = value.getDefiningOp();
  auto refuse = [&]() -> LogicalResult {
    return (op ? op->emitOpError("cannot be computed in parts")
               : emitError(value.getLoc(), "an argument cannot be in parts"));
  };
  if (!op || !isa<RankedTensorType>(value.getType()))
    return refuse();
  // Where the split dimension of the result comes from.
  Value source;
  int64_t sourceDim = dim;
  if (auto rope = dyn_cast<RopeOp>(op)) {
    source = rope.getInput();
  } else if (auto linear = dyn_cast<LinearOp>(op)) {
    source = linear.getWeight();
    sourceDim = 0;
  } else if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    source = expand.getSrc();
    sourceDim = -1;
    for (auto [i, group] : llvm::enumerate(expand.getReassociationIndices()))
      if (group.front() == dim)
        sourceDim = i;
    if (sourceDim < 0)
      return refuse();
  } else if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    source = slice.getSource();
    auto from = cast<RankedTensorType>(source.getType());
    if (from.getRank() != slice.getType().getRank() ||
        from.getDimSize(dim) != slice.getType().getDimSize(dim))
      return refuse();
  } else if (!isa<WeightOp>(op)) {
    return refuse();
  }
  FailureOr<bool> isNew = mark(op, dim, MeshAxis::TP);
  if (failed(isNew))
    return failure();
  return source && *isNew ? demand(source, sourceDim) : success();
}

LogicalResult AnnotateShards::markPartial(Operation *op) {
  op->setAttr(kPartialAttr, MeshAxisAttr::get(&getContext(), MeshAxis::TP));
  return success();
}

/// Experts are the one thing that is split over both axes.
LogicalResult AnnotateShards::seedExperts(ExpertFFNOp op) {
  SmallVector<std::pair<Value, int64_t>> weights = {{op.getGate(), 1},
                                                    {op.getDown(), 2}};
  if (op.getUp())
    weights.push_back({op.getUp(), 1});
  int64_t experts = op.getDown().getType().getDimSize(0);
  if (shape.ep > experts)
    return op.emitOpError("expected at most ")
           << experts << " ranks on ep, one for each expert, got " << shape.ep;
  for (auto [weight, dim] : weights) {
    if (!weight.getDefiningOp<WeightOp>())
      return op.emitOpError("expected weights of the checkpoint");
    if (shape.ep > 1 && failed(mark(weight.getDefiningOp(), 0, MeshAxis::EP)))
      return failure();
    if (shape.tp > 1 && failed(demand(weight, dim)))
      return failure();
  }
  return shape.tp > 1 ? markPartial(op) : success();
}

LogicalResult AnnotateShards::seed(Operation *op) {
  if (auto experts = dyn_cast<ExpertFFNOp>(op))
    return seedExperts(experts);
  if (shape.tp == 1)
    return success();
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](LatentAttentionOp op) -> LogicalResult {
        for (auto [value, dim] : {std::pair<Value, int64_t>(op.getQNope(), 1),
                                  {op.getQRope(), 1},
                                  {op.getWUk(), 0},
                                  {op.getWUv(), 0}})
          if (failed(demand(value, dim)))
            return failure();
        return LogicalResult(mark(op, 1, MeshAxis::TP));
      })
      .Case([&](GatedFFNOp op) -> LogicalResult {
        if (!op.getUp())
          return op.emitOpError("expected gate and up apart");
        if (failed(demand(op.getGate(), 0)) || failed(demand(op.getUp(), 0)) ||
            failed(demand(op.getDown(), 1)))
          return failure();
        return markPartial(op);
      })
      .Case([&](LogitsOp op) -> LogicalResult {
        if (failed(demand(op.getWeight(), 0)))
          return failure();
        return LogicalResult(mark(op, 1, MeshAxis::TP));
      })
      .Case([&](EmbedOp op) -> LogicalResult {
        if (failed(demand(op.getTable(), 0)))
          return failure();
        return markPartial(op);
      })
      .Default([](Operation *) { return success(); });
}

/// The dimension of `value` that is split over `tp`, or -1.
static int64_t getSplitDim(Value value) {
  Operation *op = value.getDefiningOp();
  if (op)
    if (auto shards = op->getAttrOfType<ArrayAttr>(kShardsAttr))
      for (auto shard : shards.getAsRange<ShardAttr>())
        if (shard.getAxis() == MeshAxis::TP)
          return shard.getDim();
  return -1;
}

/// What follows for `op` from its operands.
LogicalResult AnnotateShards::propagate(Operation *op) {
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    int64_t dim = getSplitDim(collapse.getSrc());
    for (auto [i, group] : llvm::enumerate(collapse.getReassociationIndices()))
      if (dim >= 0 && group.front() == dim)
        return mark(op, i, MeshAxis::TP);
    return success();
  }
  if (auto linear = dyn_cast<LinearOp>(op)) {
    if (getSplitDim(linear.getInput()) != 1)
      return success();
    if (failed(demand(linear.getWeight(), 1)))
      return failure();
    return markPartial(op);
  }
  if (auto combine = dyn_cast<CombineOp>(op)) {
    Operation *experts = combine.getInput().getDefiningOp();
    if (experts && experts->hasAttr(kPartialAttr))
      return markPartial(op);
  }
  return success();
}

void AnnotateShards::runOnOperation() {
  ModuleOp module = getOperation();
  auto parsed = MeshShape::parse(mesh);
  if (!parsed) {
    module.emitError() << "mesh: " << llvm::toString(parsed.takeError());
    return signalPassFailure();
  }
  shape = *parsed;
  if (shape.ranks() == 1)
    return;
  if (module.lookupSymbol("mesh")) {
    module.emitError("expected no symbol @mesh before the model is split");
    return signalPassFailure();
  }
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  MeshOp::create(b, module.getLoc(), "mesh", shape.tp, shape.ep);
  for (auto visit : {&AnnotateShards::seed, &AnnotateShards::propagate}) {
    WalkResult walked = module.walk([&](Operation *op) {
      return failed((this->*visit)(op)) ? WalkResult::interrupt()
                                        : WalkResult::advance();
    });
    if (walked.wasInterrupted())
      return signalPassFailure();
  }
}
