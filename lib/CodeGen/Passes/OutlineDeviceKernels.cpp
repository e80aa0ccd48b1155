//===- OutlineDeviceKernels.cpp - each model op as launches on a GPU ------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceOutliner.h"
#include "RuntimeEntries.h"

using namespace mlir;
using namespace mlir::dsv2;

LogicalResult mlir::dsv2::checkDeviceWeights(ModuleOp module) {
  WalkResult result = module.walk([](PackOp op) {
    auto type = cast<RankedTensorType>(op.getType());
    auto encoding = cast<PackedAttr>(type.getEncoding());
    bool inPanels = encoding.getOrder() == PackOrder::Panels ||
                    encoding.getOrder() == PackOrder::TransposedPanels;
    bool isRead = inPanels ? encoding.getWidth() == 1 && !encoding.getBlocks()
                           : encoding.getOrder() != PackOrder::GatedPanels;
    if (isRead)
      return WalkResult::advance();
    op.emitOpError("expected a layout that kernels for GPUs read, which is "
                   "rows, got ")
        << type;
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

LogicalResult mlir::dsv2::outlineForDevice(ModuleOutliner &outliner,
                                           func::FuncOp function) {
  auto entry = function->getAttrOfType<StringAttr>(kEntryAttr);
  if (entry && entry.getValue() == "copy_pages") {
    // Pages are plain memory: the runtime copies them itself.
    outliner.symbols.erase(function);
    return success();
  }
  return DeviceOutliner(outliner, function).run();
}

SmallVector<Value> DeviceOutliner::launchDevice(FunctionOpInterface kernel,
                                                ValueRange grid,
                                                ValueRange inputs,
                                                ValueRange outputs) {
  SmallVector<Type> resultTypes;
  for (Value output : outputs)
    if (isa<RankedTensorType>(output.getType()))
      resultTypes.push_back(output.getType());
  auto name = FlatSymbolRefAttr::get(kernel.getNameAttr());
  SymbolRefAttr symbol = name;
  if (isa<LLVM::LLVMFuncOp>(kernel))
    symbol = SymbolRefAttr::get(b.getContext(), kDeviceModule, {name});
  auto op = DeviceLaunchOp::create(
      b, resultTypes, symbol, grid, inputs, outputs,
      site.empty() ? StringAttr() : b.getStringAttr(site),
      site.empty() ? Value() : layer);
  ++outliner.numLaunches;
  return SmallVector<Value>(op.getResults());
}

//===----------------------------------------------------------------------===//
// Choices at the launch
//===----------------------------------------------------------------------===//

SmallVector<Value>
DeviceOutliner::choose(Value condition, ValueRange outputs,
                       llvm::function_ref<SmallVector<Value>()> thenBody,
                       llvm::function_ref<SmallVector<Value>()> elseBody) {
  auto choice = scf::IfOp::create(b, outputs.getTypes(), condition,
                                  /*addThenBlock=*/true,
                                  /*addElseBlock=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(choice.thenBlock());
  scf::YieldOp::create(b, thenBody());
  b.setInsertionPointToStart(choice.elseBlock());
  scf::YieldOp::create(b, elseBody());
  return SmallVector<Value>(choice.getResults());
}

Value DeviceOutliner::choose(Value condition, Type type,
                             llvm::function_ref<Value()> thenBody,
                             llvm::function_ref<Value()> elseBody) {
  auto choice = scf::IfOp::create(b, type, condition, /*addThenBlock=*/true,
                                  /*addElseBlock=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(choice.thenBlock());
  scf::YieldOp::create(b, thenBody());
  b.setInsertionPointToStart(choice.elseBlock());
  scf::YieldOp::create(b, elseBody());
  return choice.getResult(0);
}

Value DeviceOutliner::forLoadedChip(
    ArrayRef<GPUTargetInfo> chips, Type type,
    llvm::function_ref<Value(const GPUTargetInfo &)> body) {
  const GPUTargetInfo &chip = chips.front();
  if (chips.size() == 1)
    return body(chip);
  Value loaded = DeviceInfoOp::create(b, DeviceProperty::Chip);
  Value isLoaded = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, loaded,
                                         index(chip.number));
  return choose(
      isLoaded, type, [&] { return body(chip); },
      [&] { return forLoadedChip(chips.drop_front(), type, body); });
}

Value DeviceOutliner::getBlocks(const GPUTargetInfo &chip) {
  Value has = DeviceInfoOp::create(b, DeviceProperty::Multiprocessors);
  return arith::MinSIOp::create(b, has, index(chip.peak.multiprocessors));
}

/// `type` with another element type.
static RankedTensorType withElement(Type type, Type element) {
  auto tensor = cast<RankedTensorType>(type);
  return RankedTensorType::get(tensor.getShape(), element,
                               tensor.getEncoding());
}

LogicalResult DeviceOutliner::outlineOp(Operation *op) {
  site = getSiteName(op);
  auto slice = dyn_cast<tensor::ExtractSliceOp>(op);
  bool takesArrived = slice && isArrived(slice.getSource());
  if (!takesArrived && isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp,
                           tensor::ExtractSliceOp>(op)) {
    // Views take on the element type that their operand was given.
    Operation *view = b.clone(*op, mapping);
    Value result = view->getResult(0);
    result.setType(
        withElement(result.getType(), getElement(view->getOperand(0))));
    return success();
  }
  // Others may have been outlined with an op before them.
  if (op->getNumResults() > 0 &&
      isa<PackedWeightOp, LinearOp, GatedFFNOp, DispatchOp>(op) &&
      (mapping.contains(op->getResult(0)) ||
       dispatched.contains(op->getResult(0))))
    return success();
  if (std::optional<LatentInput> input = findLatentInput(op))
    return op == input->append ? outlineLatentInput(*input) : success();
  return FunctionOutliner::outlineOp(op);
}

LogicalResult DeviceOutliner::outlineWeight(Value weight) {
  auto op = weight.getDefiningOp<PackedWeightOp>();
  if (!op || mapping.contains(weight))
    return success();
  return outlinePackedWeight(op);
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

LogicalResult DeviceOutliner::outlineEmbed(EmbedOp op) {
  Value table = lookup(op.getTable());
  dsv2::gpu::GatherRowsConfig config{getWidth(op.getResult()),
                                     getElement(table), b.getF32Type()};
  SmallVector<Value> inputs = {lookup(op.getTokens()), table};
  if (op.getFirst()) {
    config.rows = dsv2::gpu::GatherRowsConfig::Rows::Part;
    inputs.push_back(lookup(op.getFirst()));
  }
  auto kernel = dsv2::gpu::getOrCreateGatherRowsKernel(outliner.module, config);
  Value result = launchDevice(kernel, tokens, inputs, destination(op)).front();
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}

LogicalResult DeviceOutliner::outlineNorm(RMSNormOp op) {
  Value input = lookup(op.getInput()), weight = lookup(op.getWeight());
  int64_t width = getWidth(op.getResult());
  Type bf16 = b.getBF16Type();
  auto kernel = dsv2::gpu::getOrCreateRMSNormKernel(
      outliner.module, {width, op.getEps().convertToDouble(), getElement(input),
                        getElement(weight), bf16});
  Value result =
      launchDevice(kernel, tokens, {input, weight}, emptyRows({width}, bf16))
          .front();
  mapping.map(op.getResult(), result);
  tap(op, result);
  return success();
}

Value DeviceOutliner::emitAdd(Value lhs, Value rhs, arith::AddFOp op) {
  auto kernel = dsv2::gpu::getOrCreateAddKernel(outliner.module,
                                                {getWidth(op.getResult())});
  return launchDevice(kernel, tokens, {lhs, rhs}, destination(op)).front();
}
