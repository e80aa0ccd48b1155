//===- OutlineReference.cpp - kernels of the reference lowering -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The reference runs beside an artifact's own kernels and is compared with them
// op by op, so it has one kernel an op and nothing is fused. Such a kernel
// holds the op itself, on tensors that stand for its buffers; the reference
// lowering and bufferisation do the rest. Everything around it (weights, cache,
// taps, workspace, arguments of the runtime) is as for any other kernel.
//
//===----------------------------------------------------------------------===//

#include "KernelOutliner.h"
#include "RuntimeEntries.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

#include <limits>

using namespace mlir;
using namespace mlir::dsv2;

/// Memory of any strides for a value of `type`.
static MemRefType getStridedMemory(ShapedType type) {
  constexpr int64_t dynamic = ShapedType::kDynamic;
  SmallVector<int64_t> strides(type.getRank(), dynamic);
  return MemRefType::get(
      type.getShape(), type.getElementType(),
      StridedLayoutAttr::get(type.getContext(), dynamic, strides));
}

static std::string printToString(Operation *op) {
  std::string text;
  llvm::raw_string_ostream os(text);
  op->print(os, OpPrintingFlags().useLocalScope().enableDebugInfo(false));
  return text;
}

func::FuncOp ModuleOutliner::getOrCreateReferenceKernel(Operation *op,
                                                        ValueRange operands) {
  ImplicitLocOpBuilder b(op->getLoc(), op->getContext());
  SmallVector<Type> arguments;
  for (auto [own, given] : llvm::zip_equal(op->getOperandTypes(), operands)) {
    if (isa<RankedTensorType>(own))
      arguments.push_back(getStridedMemory(cast<ShapedType>(given.getType())));
    else
      arguments.push_back(given.getType());
  }
  for (Type type : op->getResultTypes())
    arguments.push_back(getStridedMemory(cast<ShapedType>(type)));
  arguments.append(2, b.getIndexType());

  OwningOpRef<func::FuncOp> kernel = func::FuncOp::create(
      b, op->getLoc(), "kernel", b.getFunctionType(arguments, {}));
  kernel->setPrivate();
  kernel.get()->setAttr(kReferenceAttr, b.getUnitAttr());
  Block *body = kernel->addEntryBlock();
  b.setInsertionPointToStart(body);
  IRMapping mapping;
  for (auto [i, operand] : llvm::enumerate(op->getOperands())) {
    Value argument = body->getArgument(i);
    if (isa<RankedTensorType>(operand.getType())) {
      auto memory = cast<MemRefType>(argument.getType());
      argument = bufferization::ToTensorOp::create(
          b, RankedTensorType::get(memory.getShape(), memory.getElementType()),
          argument, /*restrict=*/true);
    } else if (isa<LatentCacheType>(operand.getType())) {
      argument =
          UnrealizedConversionCastOp::create(b, operand.getType(), argument)
              .getResult(0);
    }
    mapping.map(operand, argument);
  }
  Operation *copy = b.clone(*op, mapping);
  for (auto [i, result] : llvm::enumerate(copy->getResults())) {
    // A row-major result has the order of its memory.
    Value plain = result;
    if (auto type = cast<RankedTensorType>(result.getType());
        type.getEncoding())
      plain =
          UnrealizedConversionCastOp::create(
              b, RankedTensorType::get(type.getShape(), type.getElementType()),
              result)
              .getResult(0);
    auto write = bufferization::MaterializeInDestinationOp::create(
        b, /*result=*/Type(), plain,
        body->getArgument(op->getNumOperands() + i));
    write.setRestrict(true);
    write.setWritable(true);
  }
  func::ReturnOp::create(b);

  func::FuncOp &known = referenceKernels[printToString(*kernel)];
  if (!known) {
    kernel->setName((kReferencePrefix + op->getName().stripDialect() + "_" +
                     Twine(referenceKernels.size() - 1))
                        .str());
    known = kernel.release();
    symbols.insert(known);
  }
  return known;
}

Value FunctionOutliner::getReferenceOutput(Operation *op, unsigned index) {
  if (isa<LogitsOp>(op))
    return logits;
  auto type = cast<RankedTensorType>(op->getResult(index).getType());
  Value size = tokens;
  if (auto dispatch = dyn_cast<DispatchOp>(op); dispatch && index == 0) {
    int64_t topK =
        cast<RankedTensorType>(dispatch.getIds().getType()).getDimSize(1);
    size = arith::MulIOp::create(b, tokens,
                                 arith::ConstantIndexOp::create(b, topK));
  } else if (auto experts = dyn_cast<ExpertFFNOp>(op)) {
    size = tensor::DimOp::create(b, lookup(experts.getInput()), 0);
  } else if (op->getNumResults() == 1) {
    return destination(op);
  }
  return empty(type.getShape(), type.getElementType(), size);
}

SmallVector<Value> FunctionOutliner::launchReference(Operation *op) {
  SmallVector<Value> inputs, outputs;
  for (Value operand : op->getOperands())
    inputs.push_back(lookup(operand));
  if (hadError)
    return {};
  for (unsigned i = 0; i < op->getNumResults(); ++i)
    outputs.push_back(getReferenceOutput(op, i));
  func::FuncOp kernel = outliner.getOrCreateReferenceKernel(op, inputs);
  // One thread does all the work, in the order the lowering says.
  return launch(kernel, inputs, outputs, std::numeric_limits<int64_t>::max());
}

Value FunctionOutliner::exchange(Value value, StringRef site, int64_t level) {
  return TapOp::create(b, value.getType(), value, site, layer, level)
      .getReplaced();
}

void FunctionOutliner::tapReferenceScores(RouteOp op) {
  // The scores are inside of the op. Where two are so close that rounding
  // decides, the runtime needs them to tell a tie from a mistake.
  OpBuilder before(op);
  int64_t numExperts =
      cast<RankedTensorType>(op.getGate().getType()).getDimSize(0);
  auto scores = LinearOp::create(
      before, op.getLoc(),
      RankedTensorType::get({ShapedType::kDynamic, numExperts}, b.getF32Type()),
      op.getInput(), op.getGate());
  for (Value result : launchReference(scores))
    exchange(result, kRouterScoresSite, /*level=*/2);
}

LogicalResult FunctionOutliner::outlineReference(Operation *op) {
  if (auto route = dyn_cast<RouteOp>(op))
    tapReferenceScores(route);
  SmallVector<Value> results = launchReference(op);
  if (hadError)
    return failure();

  if (isa<RouteOp>(op)) {
    results[0] = exchange(results[0], kRouterIdsSite, /*level=*/2);
    results[1] = exchange(results[1], kRouterWeightsSite, /*level=*/2);
  } else if (op->getNumResults() == 1) {
    results[0] = exchange(results[0], getSiteName(op), getTapLevel(op));
  }
  // What is dispatched follows from the chosen experts, and is not tapped.
  for (auto [old, result] : llvm::zip_equal(op->getResults(), results))
    mapping.map(old, result);
  return success();
}
