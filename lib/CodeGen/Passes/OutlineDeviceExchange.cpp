//===- OutlineDeviceExchange.cpp - exchanges between ranks with GPUs ------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Collectives are called by the step function, on the host, with addresses of
// the device (OutlineExchange.cpp). What differs from the CPU is the kernels
// around them, and that inputs of experts travel as bf16, as they are.
//
//===----------------------------------------------------------------------===//

#include "DeviceOutliner.h"

using namespace mlir;
using namespace mlir::dsv2;

bool DeviceOutliner::mayHaveNoTokens() {
  return llvm::any_of(outliner.module.getOps<MeshOp>(), [](MeshOp mesh) {
    return mesh.getSize(MeshAxis::EP) > 1;
  });
}

LogicalResult DeviceOutliner::outlineExchangePack(ExchangePackOp op) {
  Value x = lookup(op.getInput()), ids = lookup(op.getIds());
  dsv2::gpu::ExchangeConfig config;
  config.width = getWidth(x);
  config.topK = getWidth(ids);
  config.element = getElement(x);
  config.experts = op.getExperts();
  config.ranks = op.getRanks();
  Type i32 = b.getI32Type();
  config.capacity = op.getCapacity().value_or(0);
  auto plan = dsv2::gpu::getOrCreateExchangePlanKernel(outliner.module, config);
  SmallVector<Value> planned = launchDevice(
      plan, index(1), ids,
      {empty({config.ranks}, i32, Value()), emptyRows({config.ranks}, i32)});
  auto pack = dsv2::gpu::getOrCreateExchangePackKernel(outliner.module, config);
  int64_t numRows = op.getRows().getType().getDimSize(0);
  Value rows =
      launchDevice(
          pack, dsv2::gpu::getExchangePackBlocks(b, config, tokens),
          {x, ids, lookup(op.getWeights()), planned[1], planned[0]},
          empty({numRows, config.columns()}, config.element, getMostPacked(op)))
          .front();
  mapping.map(op.getRows(), rows);
  mapping.map(op.getCounts(), planned[0]);
  mapping.map(op.getPlaces(), planned[1]);
  return success();
}

LogicalResult DeviceOutliner::outlineExchangeUnpack(ExchangeUnpackOp op) {
  Value rows = lookup(op.getRows());
  RowCount count = getArrivedRows(op.getRows());
  dsv2::gpu::ExchangeConfig config;
  config.width = getWidth(op.getResult());
  config.topK = getWidth(op.getIds());
  config.element = getElement(rows);
  ArrayRef<int64_t> shape =
      cast<RankedTensorType>(op.getIds().getType()).getShape();
  SmallVector<Value> parts = launchDevice(
      dsv2::gpu::getOrCreateExchangeUnpackKernel(outliner.module, config),
      dsv2::gpu::getExchangeUnpackBlocks(b, config.topK, count.count), rows,
      {emptyRows(shape, b.getI32Type(), count),
       emptyRows(shape, b.getF32Type(), count)});
  mapUnpacked(op, getArrivedInput(op, rows, count), parts[0], parts[1], count);
  return success();
}

LogicalResult DeviceOutliner::outlineExchangeCombine(ExchangeCombineOp op) {
  Value places = lookup(op.getPlaces());
  dsv2::gpu::ExchangeConfig config;
  config.width = getWidth(op.getResult());
  config.ranks = getWidth(places);
  config.element = b.getF32Type();
  Value result =
      launchDevice(
          dsv2::gpu::getOrCreateExchangeCombineKernel(outliner.module, config),
          tokens, {lookup(op.getInput()), places}, destination(op))
          .front();
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}
