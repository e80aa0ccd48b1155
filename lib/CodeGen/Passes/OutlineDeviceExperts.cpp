//===- OutlineDeviceExperts.cpp - experts as launches on a GPU ------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceOutliner.h"

using namespace mlir;
using namespace mlir::dsv2;

/// The only op of type Op in the block of `op` among the users of `value`, or
/// null.
template <typename Op> static Op getOnlyUser(Value value, Operation *op) {
  Op result;
  for (Operation *user : value.getUsers())
    if (auto found = dyn_cast<Op>(user))
      if (found->getBlock() == op->getBlock()) {
        if (result)
          return {};
        result = found;
      }
  return result;
}

LogicalResult DeviceOutliner::outlineRoute(RouteOp op) {
  auto idsType = cast<RankedTensorType>(op.getIds().getType());
  SmallVector<Product> products(1), shared;
  dsv2::gpu::ProductConfig &config = products[0].config;
  config.outputs = cast<RankedTensorType>(op.getGate().getType()).getDimSize(0);
  config.inputs = getWidth(op.getInput());
  products[0].x = lookup(op.getInput());
  setWeights(products[0], op.getGate());
  products[0].output = emptyRows({config.outputs}, b.getF32Type());
  products[0].rows = tokens;
  dsv2::gpu::RouteConfig route;
  route.experts = config.outputs;
  route.topK = op.getTopK();
  route.groups = op.getNumGroups();
  route.topGroups = op.getTopGroups();
  route.scale = op.getScale().convertToDouble();
  route.normalize = op.getNormalize();
  auto dispatch = getOnlyUser<DispatchOp>(op.getIds(), op);
  if (dispatch && dispatch.getInput() != op.getInput())
    dispatch = {};
  // Shared experts are busy while experts are being chosen, or later, while
  // tokens travel.
  auto sharedOp = getOnlyUser<GatedFFNOp>(op.getInput(), op);
  if (sharedOp && !sharedOp.getUp() && !isInsideExchange(sharedOp)) {
    if (failed(outlineWeight(sharedOp.getGate())))
      return failure();
    shared.push_back(getGatedProduct(sharedOp));
    // Beside the router, if no block of theirs can choose.
    if (!dispatch || !dsv2::gpu::canRouteBesideProducts(
                         route, prepareProducts(shared).configs))
      products.push_back(shared.pop_back_val());
  }
  SmallVector<Value> results = emitProducts(products);
  if (results.size() > 1)
    gatedUnits[sharedOp] = results[1];
  Value scores = results[0];

  Type i32 = b.getI32Type();
  SmallVector<Value> outputs = {
      emptyRows({route.topK}, idsType.getElementType()),
      emptyRows({route.topK}, b.getF32Type())};
  if (!dispatch) {
    SmallVector<Value> chosen =
        launchDevice(dsv2::gpu::getOrCreateRouteKernel(outliner.module, route),
                     tokens, scores, outputs);
    finishRoute(op, scores, chosen[0], chosen[1]);
    return success();
  }
  Value numRows = arith::MulIOp::create(b, tokens, index(route.topK));
  outputs.append({empty({route.experts + 1}, i32, Value()),
                  empty({ShapedType::kDynamic}, i32, numRows),
                  empty(idsType.getShape(), i32, tokens)});
  SmallVector<Value> chosen = emitChoice(route, scores, outputs, shared);
  if (!shared.empty())
    gatedUnits[sharedOp] = chosen.back();
  mapping.map(dispatch.getOffsets(), chosen[2]);
  mapping.map(dispatch.getRows(), chosen[4]);
  // The rows themselves are never copied: products gather them.
  dispatched[dispatch.getResult()] = {
      products[0].x, {tokens, tokens}, chosen[3], RowCount()};
  finishRoute(op, scores, chosen[0], chosen[1]);
  return success();
}

SmallVector<Value>
DeviceOutliner::emitChoice(const dsv2::gpu::RouteConfig &route, Value scores,
                           ArrayRef<Value> outputs,
                           MutableArrayRef<Product> beside) {
  ModuleOp module = outliner.module;
  ProductsLaunch launch = prepareProducts(beside);
  SmallVector<Value> all(outputs);
  llvm::append_range(all, launch.outputs);
  auto few = [&] {
    if (beside.empty())
      return launchDevice(
          dsv2::gpu::getOrCreateRouteDispatchKernel(module, route), index(1),
          scores, all);
    SmallVector<Value> inputs = {scores};
    llvm::append_range(inputs, launch.inputs);
    Value blocks = b.createOrFold<arith::AddIOp>(
        dsv2::gpu::getProductsGrid(b, launch.configs, launch.rows), index(1));
    return launchDevice(dsv2::gpu::getOrCreateRouteProductsKernel(
                            module, route, launch.configs),
                        blocks, inputs, all);
  };
  return choose(atMost(tokens, kFewTokens), all, few, [&] {
    SmallVector<Value> results =
        launchDevice(dsv2::gpu::getOrCreateRouteKernel(module, route), tokens,
                     scores, outputs.take_front(2));
    llvm::append_range(
        results, launchDevice(dsv2::gpu::getOrCreateDispatchKernel(
                                  module, {route.experts, route.topK}),
                              index(1), results[0], outputs.drop_front(2)));
    for (const Product &product : beside)
      results.push_back(emitLargeProduct(product));
    return results;
  });
}

LogicalResult DeviceOutliner::outlineDispatch(DispatchOp op) {
  auto idsType = cast<RankedTensorType>(op.getIds().getType());
  int64_t topK = idsType.getDimSize(1);
  int64_t offsets =
      cast<RankedTensorType>(op.getOffsets().getType()).getDimSize(0);
  auto kernel = dsv2::gpu::getOrCreateDispatchKernel(
      outliner.module, {offsets - 1, topK, op.getPartial()});
  Type i32 = b.getI32Type();
  RowCount ids = getRowCount(op.getIds());
  // How many pairs of a partial dispatch have an expert only the device knows.
  // The host would have to wait for it, so memory and grids are for all pairs
  // of the tokens that arrived, and kernels stop at the last offset.
  RowCount rows;
  rows.bound = arith::MulIOp::create(b, ids.bound, index(topK));
  rows.count = ids.count == ids.bound
                   ? rows.bound
                   : arith::MulIOp::create(b, ids.count, index(topK));
  SmallVector<Value> results =
      launchDevice(kernel, index(1), lookup(op.getIds()),
                   {empty({offsets}, i32, Value()),
                    emptyRows({ShapedType::kDynamic}, i32, rows),
                    emptyRows(idsType.getShape(), i32, ids)});
  mapping.map(op.getOffsets(), results[0]);
  mapping.map(op.getRows(), results[2]);
  dispatched[op.getResult()] = {lookup(op.getInput()),
                                getRowCount(op.getInput()), results[1], rows};
  return success();
}

LogicalResult DeviceOutliner::outlineExperts(ExpertFFNOp op) {
  if (op.getUp())
    return op.emitOpError("expected gate and up to be packed together");
  auto it = dispatched.find(op.getInput());
  if (it == dispatched.end())
    return op.emitOpError("expected 'input' to be the result of a dispatch");
  Dispatched rows = it->second;
  bool isPartial = op.getInput().getDefiningOp<DispatchOp>().getPartial();
  if (!rows.rows.count) {
    Value all = tensor::DimOp::create(b, rows.rowTokens, 0);
    rows.rows = {all, all};
  }
  auto downType = cast<RankedTensorType>(op.getDown().getType());
  Value numRows = rows.rows.count;
  Value offsets = lookup(op.getOffsets());
  auto rowsOf = [&](int64_t width, Type element) {
    return emptyRows({ShapedType::kDynamic, width}, element, rows.rows);
  };
  Product gated;
  gated.config.experts = downType.getDimSize(0);
  gated.config.outputs = downType.getDimSize(2);
  gated.config.inputs = downType.getDimSize(1);
  gated.config.gated = true;
  gated.config.gather = true;
  gated.x = rows.input;
  setWeights(gated, op.getGate());
  llvm::append_values(gated.optional, offsets, rows.rowTokens);
  gated.output = rowsOf(gated.config.outputs, b.getBF16Type());
  gated.rows = numRows;
  gated.mostRows = rows.rows.bound;
  // Experts have few rows if there are few tokens.
  gated.tokens = rows.inputRows.count;
  if (isPartial)
    gated.limit = tensor::ExtractSliceOp::create(
        b, offsets, OpFoldResult(b.getIndexAttr(gated.config.experts)),
        OpFoldResult(b.getIndexAttr(1)), OpFoldResult(b.getIndexAttr(1)));
  Value units = emitProducts(gated).front();
  Product down;
  down.config.experts = gated.config.experts;
  down.config.outputs = downType.getDimSize(1);
  down.config.inputs = gated.config.outputs;
  down.x = units;
  setWeights(down, op.getDown());
  down.optional.push_back(offsets);
  down.output = rowsOf(down.config.outputs, b.getF32Type());
  down.rows = numRows;
  down.tokens = gated.tokens;
  // Shared experts whose first half is there already come first: which weights
  // those read is known before the launches before are over. Where tokens came
  // from other ranks, few of them do not mean few of this rank's own.
  SmallVector<Product> downs;
  SmallVector<GatedFFNOp> others;
  if (!isPartial)
    for (auto other : op->getBlock()->getOps<GatedFFNOp>())
      if (gatedUnits.contains(other) && !mapping.contains(other.getResult()) &&
          !isFusedIntoUser(other)) {
        if (failed(outlineWeight(other.getDown())))
          return failure();
        others.push_back(other);
        downs.push_back(
            getDownProduct(other, gatedUnits.lookup(other), Value(), other));
      }
  downs.push_back(down);
  SmallVector<Value> results = emitProducts(downs);
  mapping.map(op.getResult(), results.back());
  // Rows behind the last that is there hold anything.
  if (!isPartial)
    tap(op, results.back());
  for (auto [other, value] : llvm::zip(others, results)) {
    mapping.map(other.getResult(), value);
    tap(other, value);
  }
  return success();
}

LogicalResult DeviceOutliner::outlineCombine(CombineOp op, Value shared,
                                             Value residual,
                                             Operation *result) {
  dsv2::gpu::CombineConfig config;
  config.width = getWidth(op.getResult());
  config.topK = cast<RankedTensorType>(op.getRows().getType()).getDimSize(1);
  config.hasShared = shared != nullptr;
  config.hasResidual = residual != nullptr;
  config.partial = op.getPartial();
  auto kernel = dsv2::gpu::getOrCreateCombineKernel(outliner.module, config);
  SmallVector<Value> inputs = {lookup(op.getInput()), lookup(op.getRows()),
                               lookup(op.getWeights())};
  for (Value value : {shared, residual})
    if (value)
      inputs.push_back(value);
  RowCount rows = getRowCount(op.getWeights());
  Value output = rows.bound == tokens
                     ? destination(result)
                     : emptyRows(op.getType().getShape(), b.getF32Type(), rows);
  Value value = launchDevice(kernel, rows.count, inputs, output).front();
  mapping.map(result->getResult(0), value);
  tap(result, value);
  return success();
}
