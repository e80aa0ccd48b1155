//===- OutlineExchange.cpp - exchanges between ranks and around them ------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Collectives stay what they are and get memory planned for the most that can
// arrive; what is packed for them and unpacked after them becomes kernels.
//
//===----------------------------------------------------------------------===//

#include "KernelOutliner.h"

using namespace mlir;
using namespace mlir::dsv2;

static int64_t getColumns(Value value) {
  return cast<ShapedType>(value.getType()).getShape().back();
}

LogicalResult FunctionOutliner::outlineAllReduce(AllReduceOp op) {
  Value value = lookup(op.getOutput());
  auto sum =
      AllReduceOp::create(b, value.getType(), value, op.getMesh(), op.getAxis(),
                          op.getLayer() ? lookup(op.getLayer()) : Value());
  mapping.map(op.getResult(), sum.getResult());
  tap(op, sum.getResult());
  return success();
}

LogicalResult FunctionOutliner::outlineAllGather(AllGatherOp op) {
  auto type = cast<RankedTensorType>(op.getOutput().getType());
  if (!logits || logits.getType() != type)
    return op.emitOpError("expected to gather the logits of a step, got ")
           << type;
  auto all = AllGatherOp::create(b, type, lookup(op.getInput()), logits,
                                 op.getMesh(), op.getAxis(), /*layer=*/Value());
  mapping.map(op.getResult(), all.getResult());
  tap(op, all.getResult());
  return success();
}

LogicalResult FunctionOutliner::outlineAllToAll(AllToAllOp op) {
  // What is sent may be packed in another way than `op` says.
  Value sent = lookup(op.getInput());
  auto type = cast<RankedTensorType>(sent.getType());
  Value destination = empty(type.getShape(), type.getElementType(), Value());
  auto all =
      AllToAllOp::create(b, type, sent, destination, op.getMesh(), op.getAxis(),
                         op.getLayer() ? lookup(op.getLayer()) : Value());
  mapping.map(op.getResult(), all.getResult());
  return success();
}

LogicalResult FunctionOutliner::outlineAllToAllV(AllToAllVOp op) {
  Value sent = lookup(op.getInput());
  auto type = RankedTensorType::get({ShapedType::kDynamic, getColumns(sent)},
                                    getElementTypeOrSelf(sent));
  auto init = op.getOutput().getDefiningOp<tensor::EmptyOp>();
  if (!init || init.getDynamicSizes().size() != 1)
    return op.emitOpError("expected an empty destination with a number of rows "
                          "that the step decides");
  Value most = lookup(init.getDynamicSizes().front());
  Value destination = empty(type.getShape(), type.getElementType(), most);
  auto all = AllToAllVOp::create(
      b, type, b.getIndexType(), sent, lookup(op.getSendCounts()),
      lookup(op.getReceiveCounts()), destination, op.getMesh(), op.getAxis(),
      op.getLayer() ? lookup(op.getLayer()) : Value(), op.getAsync());
  mapping.map(op.getResult(), all.getResult());
  mapping.map(op.getCount(), all.getCount());
  rowCounts[op.getResult()] = {most, all.getCount()};
  return success();
}

LogicalResult FunctionOutliner::outlineCommWait(CommWaitOp op) {
  Value received = lookup(op.getOutput());
  auto wait = CommWaitOp::create(
      b, received.getType(), lookup(op.getInput()), received, op.getMesh(),
      op.getAxis(), op.getLayer() ? lookup(op.getLayer()) : Value());
  mapping.map(op.getResult(), wait.getResult());
  rowCounts[op.getResult()] = getRowCount(op.getOutput());
  return success();
}

/// A slice of what arrived has as many rows as arrived.
LogicalResult FunctionOutliner::outlineSlice(tensor::ExtractSliceOp op) {
  if (!isArrived(op.getSource())) {
    b.clone(*op, mapping);
    return success();
  }
  Value all = lookup(op.getSource());
  RowCount count = getRowCount(op.getSource());
  SmallVector<OpFoldResult> offsets(2, b.getIndexAttr(0));
  SmallVector<OpFoldResult> sizes = {count.count,
                                     b.getIndexAttr(getColumns(all))};
  SmallVector<OpFoldResult> strides(2, b.getIndexAttr(1));
  mapping.map(op.getResult(), tensor::ExtractSliceOp::create(
                                  b, cast<RankedTensorType>(all.getType()), all,
                                  offsets, sizes, strides)
                                  .getResult());
  rowCounts[op.getResult()] = count;
  return success();
}

bool FunctionOutliner::isArrived(Value value) {
  return isa_and_nonnull<AllToAllVOp, CommWaitOp>(value.getDefiningOp());
}

Value FunctionOutliner::getMostPacked(ExchangePackOp op) {
  // A token has at most one row for each of its experts, and for each rank.
  int64_t topK = getColumns(op.getIds()), ranks = op.getRanks();
  return arith::MulIOp::create(
      b, tokens, arith::ConstantIndexOp::create(b, std::min(topK, ranks)));
}

LogicalResult FunctionOutliner::outlineExchangePack(ExchangePackOp op) {
  cpu::ExchangeConfig config;
  config.width = getColumns(op.getInput());
  config.topK = getColumns(op.getIds());
  config.experts = op.getExperts();
  config.ranks = op.getRanks();
  config.capacity = op.getCapacity().value_or(0);
  auto plan =
      cpu::getOrCreateExchangePlanKernel(outliner.module, config, target);
  Value ids = lookup(op.getIds());
  Type i32 = b.getI32Type();
  SmallVector<Value> planned =
      launch(plan, ids,
             {empty({config.ranks}, i32, Value()),
              empty({ShapedType::kDynamic, config.ranks}, i32, tokens)},
             std::numeric_limits<int64_t>::max());
  auto pack =
      cpu::getOrCreateExchangePackKernel(outliner.module, config, target);
  Value most = getMostPacked(op);
  Value rows =
      launch(pack,
             {lookup(op.getInput()), ids, lookup(op.getWeights()), planned[1],
              planned[0]},
             empty(op.getRows().getType().getShape(), b.getF32Type(), most),
             kSerialRows)
          .front();
  mapping.map(op.getRows(), rows);
  mapping.map(op.getCounts(), planned[0]);
  mapping.map(op.getPlaces(), planned[1]);
  return success();
}

LogicalResult FunctionOutliner::outlineCheckCapacity(CheckCapacityOp op) {
  CheckCapacityOp::create(b, lookup(op.getCounts()), op.getCapacityAttr(),
                          op.getLayer() ? lookup(op.getLayer()) : Value());
  return success();
}

/// Rows of `oldValue`: those that arrived, or a number that the plan has fixed.
RowCount FunctionOutliner::getArrivedRows(Value oldValue) {
  auto type = cast<RankedTensorType>(oldValue.getType());
  if (type.isDynamicDim(0))
    return getRowCount(oldValue);
  Value fixed = arith::ConstantIndexOp::create(b, type.getDimSize(0));
  return {fixed, fixed};
}

Value FunctionOutliner::getArrivedInput(ExchangeUnpackOp op, Value rows,
                                        RowCount count) {
  auto shape = cast<RankedTensorType>(op.getResult().getType()).getShape();
  SmallVector<OpFoldResult> offsets(2, b.getIndexAttr(0));
  OpFoldResult numRows = count.count;
  if (!ShapedType::isDynamic(shape[0]))
    numRows = b.getIndexAttr(shape[0]);
  SmallVector<OpFoldResult> sizes = {numRows, b.getIndexAttr(shape[1])};
  SmallVector<OpFoldResult> strides(2, b.getIndexAttr(1));
  return tensor::ExtractSliceOp::create(
      b, RankedTensorType::get(shape, getElementTypeOrSelf(rows)), rows,
      offsets, sizes, strides);
}

void FunctionOutliner::mapUnpacked(ExchangeUnpackOp op, Value input, Value ids,
                                   Value weights, RowCount count) {
  mapping.map(op.getResult(), input);
  mapping.map(op.getIds(), ids);
  mapping.map(op.getWeights(), weights);
  for (Value result : op->getResults())
    rowCounts[result] = count;
}

LogicalResult FunctionOutliner::outlineExchangeUnpack(ExchangeUnpackOp op) {
  cpu::ExchangeConfig config;
  config.width = getColumns(op.getResult());
  config.topK = getColumns(op.getIds());
  auto unpack =
      cpu::getOrCreateExchangeUnpackKernel(outliner.module, config, target);
  Value rows = lookup(op.getRows());
  RowCount count = getArrivedRows(op.getRows());
  ArrayRef<int64_t> shape =
      cast<RankedTensorType>(op.getIds().getType()).getShape();
  SmallVector<Value> parts = launch(unpack, rows,
                                    {emptyRows(shape, b.getI32Type(), count),
                                     emptyRows(shape, b.getF32Type(), count)},
                                    kSerialRows);
  mapUnpacked(op, getArrivedInput(op, rows, count), parts[0], parts[1], count);
  return success();
}

LogicalResult FunctionOutliner::outlineExchangeCombine(ExchangeCombineOp op) {
  cpu::ExchangeConfig config;
  config.width = getColumns(op.getResult());
  config.ranks = getColumns(op.getPlaces());
  auto combine =
      cpu::getOrCreateExchangeCombineKernel(outliner.module, config, target);
  Value result =
      launch(combine, {lookup(op.getInput()), lookup(op.getPlaces())},
             destination(op), kSerialRows)
          .front();
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}
