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
  SmallVector<Product> products(1);
  dsv2::gpu::ProductConfig &config = products[0].config;
  config.outputs = cast<RankedTensorType>(op.getGate().getType()).getDimSize(0);
  config.inputs = getWidth(op.getInput());
  products[0].x = lookup(op.getInput());
  products[0].weights = lookup(op.getGate());
  products[0].output = emptyRows({config.outputs}, b.getF32Type());
  products[0].rows = tokens;
  // Shared experts are busy while experts are being chosen.
  auto shared = getOnlyUser<GatedFFNOp>(op.getInput(), op);
  if (shared && !shared.getUp() && !isFusedIntoUser(shared)) {
    if (failed(outlineWeight(shared.getGate())))
      return failure();
    products.push_back(getGatedProduct(shared));
  }
  SmallVector<Value> results = emitProducts(products);
  if (results.size() > 1)
    gatedUnits[shared] = results[1];
  Value scores = results[0];

  dsv2::gpu::RouteConfig route;
  route.experts = products[0].config.outputs;
  route.topK = op.getTopK();
  route.groups = op.getNumGroups();
  route.topGroups = op.getTopGroups();
  route.scale = op.getScale().convertToDouble();
  route.normalize = op.getNormalize();
  Type i32 = b.getI32Type();
  SmallVector<Value> outputs = {
      emptyRows({route.topK}, idsType.getElementType()),
      emptyRows({route.topK}, b.getF32Type())};
  auto emitRoute = [&] {
    auto kernel = dsv2::gpu::getOrCreateRouteKernel(outliner.module, route);
    return launchDevice(kernel, tokens, scores,
                        ArrayRef<Value>(outputs).take_front(2));
  };
  SmallVector<Value> chosen;
  auto dispatch = getOnlyUser<DispatchOp>(op.getIds(), op);
  if (dispatch && dispatch.getInput() == op.getInput()) {
    Value numRows = arith::MulIOp::create(b, tokens, index(route.topK));
    outputs.append({empty({route.experts + 1}, i32, Value()),
                    empty({ShapedType::kDynamic}, i32, numRows),
                    empty(idsType.getShape(), i32, tokens)});
    chosen = choose(
        atMost(tokens, kFewTokens), outputs,
        [&] {
          auto kernel =
              dsv2::gpu::getOrCreateRouteDispatchKernel(outliner.module, route);
          return launchDevice(kernel, index(1), scores, outputs);
        },
        [&] {
          SmallVector<Value> both = emitRoute();
          auto kernel = dsv2::gpu::getOrCreateDispatchKernel(
              outliner.module, route.experts, route.topK);
          llvm::append_range(
              both, launchDevice(kernel, index(1), both[0],
                                 ArrayRef<Value>(outputs).drop_front(2)));
          return both;
        });
    mapping.map(dispatch.getOffsets(), chosen[2]);
    mapping.map(dispatch.getRows(), chosen[4]);
    // The rows themselves are never copied: products gather them.
    dispatched[dispatch.getResult()] = {
        products[0].x, {tokens, tokens}, chosen[3], RowCount()};
  } else {
    chosen = emitRoute();
  }
  mapping.map(op.getIds(), chosen[0]);
  mapping.map(op.getWeights(), chosen[1]);
  for (auto [value, site] : {std::pair(scores, kRouterScoresSite),
                             std::pair(chosen[0], kRouterIdsSite),
                             std::pair(chosen[1], kRouterWeightsSite)})
    TapOp::create(b, /*replaced=*/Type(), value, site, layer, 2);
  return success();
}

LogicalResult DeviceOutliner::outlineDispatch(DispatchOp op) {
  auto idsType = cast<RankedTensorType>(op.getIds().getType());
  int64_t topK = idsType.getDimSize(1);
  int64_t offsets =
      cast<RankedTensorType>(op.getOffsets().getType()).getDimSize(0);
  auto kernel =
      dsv2::gpu::getOrCreateDispatchKernel(outliner.module, offsets - 1, topK);
  Type i32 = b.getI32Type();
  Value numRows = arith::MulIOp::create(b, tokens, index(topK));
  SmallVector<Value> results =
      launchDevice(kernel, index(1), lookup(op.getIds()),
                   {empty({offsets}, i32, Value()),
                    empty({ShapedType::kDynamic}, i32, numRows),
                    empty(idsType.getShape(), i32, tokens)});
  mapping.map(op.getOffsets(), results[0]);
  mapping.map(op.getRows(), results[2]);
  dispatched[op.getResult()] = {
      lookup(op.getInput()), {tokens, tokens}, results[1], {numRows, numRows}};
  return success();
}

LogicalResult DeviceOutliner::outlineExperts(ExpertFFNOp op) {
  if (op.getUp())
    return op.emitOpError("expected gate and up to be packed together");
  auto it = dispatched.find(op.getInput());
  if (it == dispatched.end())
    return op.emitOpError("expected 'input' to be the result of a dispatch");
  Value input = it->second.input, rowTokens = it->second.rowTokens;
  auto downType = cast<RankedTensorType>(op.getDown().getType());
  Value numRows = tensor::DimOp::create(b, rowTokens, 0);
  Value offsets = lookup(op.getOffsets());
  auto rowsOf = [&](int64_t width, Type element) {
    return empty({ShapedType::kDynamic, width}, element, numRows);
  };
  dsv2::gpu::ProductConfig gated;
  gated.experts = downType.getDimSize(0);
  gated.outputs = downType.getDimSize(2);
  gated.inputs = downType.getDimSize(1);
  gated.gated = true;
  gated.gather = true;
  Value units =
      emitProduct(gated, input, lookup(op.getGate()), {offsets, rowTokens},
                  rowsOf(gated.outputs, b.getBF16Type()), numRows);
  SmallVector<Product> downs(1);
  downs[0].config.experts = gated.experts;
  downs[0].config.outputs = downType.getDimSize(1);
  downs[0].config.inputs = gated.outputs;
  downs[0].x = units;
  downs[0].weights = lookup(op.getDown());
  downs[0].optional.push_back(offsets);
  downs[0].output = rowsOf(downs[0].config.outputs, b.getF32Type());
  downs[0].rows = numRows;
  // Shared experts whose first half is there already.
  SmallVector<GatedFFNOp> others;
  for (auto other : op->getBlock()->getOps<GatedFFNOp>())
    if (gatedUnits.contains(other) && !mapping.contains(other.getResult())) {
      if (failed(outlineWeight(other.getDown())))
        return failure();
      others.push_back(other);
      downs.push_back(
          getDownProduct(other, gatedUnits.lookup(other), Value(), other));
    }
  SmallVector<Value> results = emitProducts(downs);
  mapping.map(op.getResult(), results[0]);
  tap(op, results[0]);
  for (auto [other, value] :
       llvm::zip(others, ArrayRef(results).drop_front())) {
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
  auto kernel = dsv2::gpu::getOrCreateCombineKernel(outliner.module, config);
  SmallVector<Value> inputs = {lookup(op.getInput()), lookup(op.getRows()),
                               lookup(op.getWeights())};
  for (Value value : {shared, residual})
    if (value)
      inputs.push_back(value);
  Value value =
      launchDevice(kernel, tokens, inputs, destination(result)).front();
  mapping.map(result->getResult(0), value);
  tap(result, value);
  return success();
}
