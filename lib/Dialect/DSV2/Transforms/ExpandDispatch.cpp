//===- ExpandDispatch.cpp - send tokens to their experts' ranks -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_EXPANDDISPATCHPASS
#include "dsv2/Dialect/DSV2/Transforms/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

namespace {
struct ExpandDispatch
    : public mlir::dsv2::impl::ExpandDispatchPassBase<ExpandDispatch> {
  void runOnOperation() override;

private:
  LogicalResult expand(ExpertFFNOp op);
  void localize(WeightOp weight, ShardAttr shard);

  MeshOp mesh;
};
} // namespace

/// The part of experts that is planned for `weight`, or null.
static ShardAttr getPlannedShard(Value weight) {
  auto op = weight.getDefiningOp<WeightOp>();
  auto shards = op ? op->getAttrOfType<ArrayAttr>(kShardsAttr) : ArrayAttr();
  if (shards)
    for (auto shard : shards.getAsRange<ShardAttr>())
      if (shard.getAxis() == MeshAxis::EP)
        return shard;
  return {};
}

void ExpandDispatch::localize(WeightOp weight, ShardAttr shard) {
  RankedTensorType type = weight.getType();
  SmallVector<int64_t> shape(type.getShape());
  shape[shard.getDim()] = shard.getPart();
  weight.getResult().setType(
      RankedTensorType::get(shape, type.getElementType()));
  SmallVector<Attribute> shards = {shard};
  if (weight.getShards())
    llvm::append_range(shards, *weight.getShards());
  weight.setShardsAttr(ArrayAttr::get(&getContext(), shards));
  weight->removeAttr(kShardsAttr);
}

LogicalResult ExpandDispatch::expand(ExpertFFNOp op) {
  ShardAttr shard = getPlannedShard(op.getDown());
  if (!shard)
    return success();
  auto dispatch = op.getInput().getDefiningOp<DispatchOp>();
  CombineOp combine;
  if (op.getResult().hasOneUse())
    combine = dyn_cast<CombineOp>(*op.getResult().user_begin());
  if (!dispatch || !combine || combine.getRows() != dispatch.getRows() ||
      !llvm::hasSingleElement(dispatch.getResult().getUses()))
    return op.emitOpError("expected the experts between one dispatch and the "
                          "combine of its rows");
  for (Value weight : {op.getGate(), op.getDown(), op.getUp()})
    if (weight)
      localize(weight.getDefiningOp<WeightOp>(), getPlannedShard(weight));

  // Everything goes where the rows are combined: the weights of the slots have
  // been computed by then.
  ImplicitLocOpBuilder b(dispatch.getLoc(), combine);
  Value layer;
  op->getParentOfType<func::FuncOp>().walk(
      [&](LatentAppendOp append) { layer = append.getLayer(); });
  constexpr int64_t dynamic = ShapedType::kDynamic;
  Type f32 = b.getF32Type(), i32 = b.getI32Type();
  int64_t ranks = mesh.getSize(MeshAxis::EP), experts = shard.getPart();
  int64_t width = dispatch.getInput().getType().getDimSize(1);
  int64_t topK = dispatch.getIds().getType().getDimSize(1);
  int64_t sentWidth = width + 2 * topK;
  auto countsType = RankedTensorType::get({ranks}, i32);
  auto function = op->getParentOfType<func::FuncOp>();
  auto capacity = function->getAttrOfType<IntegerAttr>(kCapacityAttr);
  // Rows that are packed, and those that arrive, where that is known.
  int64_t numRows = capacity ? ranks * capacity.getInt() : dynamic;
  auto rowsType = [&](int64_t columns, Type element) {
    return RankedTensorType::get({numRows, columns}, element);
  };

  auto pack = ExchangePackOp::create(
      b, rowsType(sentWidth, f32), countsType,
      RankedTensorType::get({dynamic, ranks}, i32), dispatch.getInput(),
      dispatch.getIds(), combine.getWeights(), b.getI64IntegerAttr(experts),
      b.getI64IntegerAttr(ranks), capacity);
  // Sends rows in equal parts.
  auto exchangeParts = [&](Value rows) -> Value {
    auto type = cast<RankedTensorType>(rows.getType());
    Value destination =
        tensor::EmptyOp::create(b, type.getShape(), type.getElementType());
    return AllToAllOp::create(b, type, rows, destination, mesh.getSymName(),
                              MeshAxis::EP, layer)
        .getResult();
  };
  // Sends as many rows as the counts say.
  auto exchangeRows = [&](Value rows, Value send, Value receive,
                          Value most) -> AllToAllVOp {
    auto type = cast<RankedTensorType>(rows.getType());
    Value destination = tensor::EmptyOp::create(
        b, type.getShape(), type.getElementType(), ValueRange{most});
    return AllToAllVOp::create(b, destination.getType(), b.getIndexType(), rows,
                               send, receive, destination, mesh.getSymName(),
                               MeshAxis::EP, layer);
  };

  Value arriving, arrived;
  if (capacity) {
    CheckCapacityOp::create(b, pack.getCounts(), capacity, layer);
    arrived = exchangeParts(pack.getRows());
  } else {
    Value noCounts = tensor::EmptyOp::create(b, ArrayRef<int64_t>{ranks}, i32);
    arriving = AllToAllOp::create(b, countsType, pack.getCounts(), noCounts,
                                  mesh.getSymName(), MeshAxis::EP, layer)
                   .getResult();
    Value most = ArrivalsOp::create(b, b.getIndexType(), mesh.getSymName());
    auto there = exchangeRows(pack.getRows(), pack.getCounts(), arriving, most);
    SmallVector<OpFoldResult> offsets(2, b.getIndexAttr(0));
    SmallVector<OpFoldResult> sizes = {there.getCount(),
                                       b.getIndexAttr(sentWidth)};
    SmallVector<OpFoldResult> strides(2, b.getIndexAttr(1));
    arrived = tensor::ExtractSliceOp::create(b, rowsType(sentWidth, f32),
                                             there.getResult(), offsets, sizes,
                                             strides);
  }
  auto unpack =
      ExchangeUnpackOp::create(b, rowsType(width, f32), rowsType(topK, i32),
                               rowsType(topK, f32), arrived);
  auto local = DispatchOp::create(
      b, RankedTensorType::get({dynamic, width}, f32),
      RankedTensorType::get({experts + 1}, i32), rowsType(topK, i32),
      unpack.getResult(), unpack.getIds(), /*partial=*/true);

  b.setLoc(op.getLoc());
  Value computed = ExpertFFNOp::create(b, local.getResult().getType(),
                                       local.getResult(), local.getOffsets(),
                                       op.getGate(), op.getDown(), op.getUp());
  b.setLoc(combine.getLoc());
  Value combined = CombineOp::create(b, rowsType(width, f32), computed,
                                     local.getRows(), unpack.getWeights(),
                                     /*partial=*/true);
  Value back;
  if (capacity) {
    back = exchangeParts(combined);
  } else {
    Value sent = tensor::DimOp::create(b, pack.getRows(), 0);
    back = exchangeRows(combined, arriving, pack.getCounts(), sent).getResult();
  }
  Value result =
      ExchangeCombineOp::create(b, combine.getType(), back, pack.getPlaces());
  combine.getResult().replaceAllUsesWith(result);
  combine.erase();
  op.erase();
  dispatch.erase();
  ++numExpanded;
  return success();
}

void ExpandDispatch::runOnOperation() {
  ModuleOp module = getOperation();
  auto meshes = llvm::to_vector(module.getOps<MeshOp>());
  if (meshes.empty())
    return;
  mesh = meshes.front();
  SmallVector<ExpertFFNOp> ops;
  module.walk([&](ExpertFFNOp op) { ops.push_back(op); });
  for (ExpertFFNOp op : ops)
    if (failed(expand(op)))
      return signalPassFailure();
}
