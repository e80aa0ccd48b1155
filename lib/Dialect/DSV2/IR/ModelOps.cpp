//===- ModelOps.cpp - weights, products, norms, feed-forward --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyUtils.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;

/// Layers of a weight come with an ordinal that chooses one of them.
static LogicalResult verifyLayers(Operation *op, ArrayRef<int64_t> layers,
                                  Value ordinal) {
  if (layers.empty() != !ordinal)
    return op->emitOpError("expected 'layers' and 'ordinal' together, got ")
           << layers.size() << " layers and "
           << (ordinal ? "an ordinal" : "no ordinal");
  for (size_t i = 0; i < layers.size(); ++i)
    if (layers[i] < 0 || (i > 0 && layers[i] <= layers[i - 1]))
      return op->emitOpError("expected layer numbers that are not negative and "
                             "ascend, got ")
             << layers[i] << " at index " << i;
  return success();
}

//===----------------------------------------------------------------------===//
// WeightOp
//===----------------------------------------------------------------------===//

LogicalResult WeightOp::verify() {
  // weight_c5
  if (getName().empty())
    return emitOpError("expected a name, got an empty one");
  // weight_c1, weight_c3
  if (failed(verifyLayers(*this, getLayers(), getOrdinal())))
    return failure();
  bool named = getName().contains("{layer}");
  if (named != !getLayers().empty())
    return emitOpError("expected 'name' to contain {layer} if and only if "
                       "there are layers, got '")
           << getName() << "' and " << getLayers().size() << " layers";
  // weight_c2
  auto type = cast<RankedTensorType>(getType());
  if (!type.hasStaticShape())
    return emitOpError("expected a result of static shape, got ") << type;
  // weight_c4
  if (getName().contains("{expert}") && type.getRank() < 2)
    return emitOpError("expected the result for a name with {expert} to be of "
                       "rank 2 or more, got ")
           << type;
  // weight_c6; the attribute itself is checked where it is made.
  if (!getShards())
    return success();
  llvm::SmallDenseSet<int64_t> dims, axes;
  for (auto shard : getShards()->getAsRange<ShardAttr>()) {
    int64_t dim = shard.getDim();
    bool isStack = dim == 0 && getName().contains("{expert}");
    if (dim >= type.getRank() || !dims.insert(dim).second ||
        !axes.insert(static_cast<int64_t>(shard.getAxis())).second ||
        type.getDimSize(dim) != shard.getPart() ||
        isStack != (shard.getAxis() == MeshAxis::EP))
      return emitOpError("expected parts of different dimensions of the result "
                         "on different axes, experts on ep and others on tp, "
                         "got ")
             << shard << " for " << type;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// EmbedOp
//===----------------------------------------------------------------------===//

LogicalResult EmbedOp::verify() {
  // embed_c1
  return checkShape(*this, getResult(), "result",
                    {getExtent(getTokens(), 0), getExtent(getTable(), 1)});
}

OpCost EmbedOp::getCost(const StepShape &step) {
  // One row of the table is read and one of the result written per token.
  double width = getExtent(getTable(), 1);
  OpCost cost;
  cost.weightBytes = step.tokens * width * getElementBytes(getTable());
  cost.activationBytes = step.tokens * width * getElementBytes(getResult());
  return cost;
}

//===----------------------------------------------------------------------===//
// LinearOp
//===----------------------------------------------------------------------===//

/// A product of `rows` rows: 2 N K operations a row, the weight read once, rows
/// read and written once.
static OpCost getProductCost(double rows, Value weight, double inputBytes,
                             double outputBytes) {
  OpCost cost;
  cost.flops = 2.0 * rows * getNumElements(weight);
  cost.weightBytes = getBytes(weight);
  cost.activationBytes = rows * (getExtent(weight, -1) * inputBytes +
                                 getExtent(weight, -2) * outputBytes);
  return cost;
}

LogicalResult LinearOp::verify() {
  // linear_c1
  int64_t outputs = getExtent(getWeight(), 0);
  if (failed(checkShape(*this, getWeight(), "weight",
                        {outputs, getExtent(getInput(), 1)})))
    return failure();
  return checkShape(*this, getResult(), "result",
                    {getExtent(getInput(), 0), outputs});
}

OpCost LinearOp::getCost(const StepShape &step) {
  return getProductCost(step.tokens, getWeight(), getElementBytes(getInput()),
                        getElementBytes(getResult()));
}

//===----------------------------------------------------------------------===//
// RMSNormOp
//===----------------------------------------------------------------------===//

LogicalResult RMSNormOp::verify() {
  // rms_norm_c1
  if (failed(
          checkShape(*this, getWeight(), "weight", {getExtent(getInput(), 1)})))
    return failure();
  // rms_norm_c2
  double eps = getEps().convertToDouble();
  if (!std::isfinite(eps) || eps < 0)
    return emitOpError("expected 'eps' to be finite and not negative, got ")
           << eps;
  return success();
}

OpCost RMSNormOp::getCost(const StepShape &step) {
  // Square and add, then two products, an element.
  double elements = double(step.tokens) * getExtent(getInput(), 1);
  OpCost cost;
  cost.flops = 4.0 * elements;
  cost.weightBytes = getBytes(getWeight());
  cost.activationBytes = 2.0 * elements * getElementBytes(getInput());
  return cost;
}

//===----------------------------------------------------------------------===//
// GatedFFNOp
//===----------------------------------------------------------------------===//

LogicalResult GatedFFNOp::verify() {
  int64_t width = getExtent(getInput(), 1), inner = getExtent(getDown(), 1);
  // gated_ffn_c1
  if (failed(checkShape(*this, getDown(), "down", {width, inner})))
    return failure();
  // gated_ffn_c3
  if (!getUp())
    return checkShape(*this, getGate(), "gate", {2, inner, width});
  // gated_ffn_c2
  if (failed(checkShape(*this, getGate(), "gate", {inner, width})))
    return failure();
  return checkShape(*this, getUp(), "up", {inner, width});
}

OpCost GatedFFNOp::getCost(const StepShape &step) {
  // Three products of the same size; activations in and out once.
  double inner = getExtent(getDown(), 1), width = getExtent(getDown(), 0);
  OpCost cost;
  cost.flops = 6.0 * step.tokens * inner * width;
  cost.weightBytes =
      2.0 * inner * width * getElementBytes(getGate()) + getBytes(getDown());
  cost.activationBytes =
      2.0 * step.tokens * width * getElementBytes(getInput());
  return cost;
}

//===----------------------------------------------------------------------===//
// LogitsOp
//===----------------------------------------------------------------------===//

LogicalResult LogitsOp::verify() {
  // logits_c1
  int64_t vocabulary = getExtent(getWeight(), 0);
  if (failed(checkShape(*this, getWeight(), "weight",
                        {vocabulary, getExtent(getInput(), 1)})))
    return failure();
  return checkShape(*this, getResult(), "result",
                    {getExtent(getRows(), 0), vocabulary});
}

OpCost LogitsOp::getCost(const StepShape &step) {
  return getProductCost(step.rows, getWeight(), getElementBytes(getInput()),
                        getElementBytes(getResult()));
}

//===----------------------------------------------------------------------===//
// PackOp
//===----------------------------------------------------------------------===//

LogicalResult PackOp::verify() {
  auto result = cast<RankedTensorType>(getType());
  auto weight = cast<RankedTensorType>(getWeight().getType());
  // pack_c1
  auto encoding = dyn_cast_or_null<PackedAttr>(result.getEncoding());
  if (!encoding)
    return emitOpError("expected a result with a #dsv2.packed encoding, got ")
           << result;
  // pack_c3
  PackOrder order = encoding.getOrder();
  if (!getSecond() && isGated(order))
    return emitOpError("expected 'second' for the order ")
           << stringifyPackOrder(order);
  if (getSecond() && !isGated(order))
    return emitOpError(
               "expected the order gated_panels or gated_rows with 'second', "
               "got ")
           << stringifyPackOrder(order);
  // pack_c2
  if (!getSecond())
    return checkShape(*this, getResult(), "result", weight.getShape());
  if (weight.getRank() < 2)
    return emitOpError("expected matrices to pack together, got ") << weight;
  if (failed(checkShape(*this, getSecond(), "second", weight.getShape())))
    return failure();
  SmallVector<int64_t> stacked(weight.getShape());
  stacked.insert(stacked.end() - 2, 2);
  return checkShape(*this, getResult(), "result", stacked);
}

//===----------------------------------------------------------------------===//
// PackedWeightOp
//===----------------------------------------------------------------------===//

LogicalResult PackedWeightOp::verify() {
  // packed_weight_c3, packed_weight_c4
  return verifyLayers(*this, getLayers(), getOrdinal());
}

LogicalResult
PackedWeightOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  // packed_weight_c1
  auto function = symbolTable.lookupNearestSymbolFrom<func::FuncOp>(
      *this, getPrepareAttr());
  int64_t index = getIndexAttr().getInt();
  if (!function || !function->hasAttr(kPrepareAttr))
    return emitOpError("expected 'prepare' to name a function marked "
                       "dsv2.prepare, got @")
           << getPrepare();
  if (index < 0 || index >= function.getNumResults())
    return emitOpError("expected 'index' below the ")
           << function.getNumResults() << " results of @" << getPrepare()
           << ", got " << index;
  // packed_weight_c2
  auto type = dyn_cast<RankedTensorType>(function.getResultTypes()[index]);
  if (type) {
    SmallVector<int64_t> shape(type.getShape());
    if (auto experts = function->getAttrOfType<IntegerAttr>(kExpertsAttr))
      shape.insert(shape.begin(), experts.getInt());
    // The packed shape may overflow, which the encoding reports.
    type =
        RankedTensorType::getChecked([&] { return emitOpError(); }, shape,
                                     type.getElementType(), type.getEncoding());
    if (!type)
      return failure();
  }
  if (type != getType())
    return (emitOpError("expected a result of type ")
            << type << ", got " << getType())
               .attachNote(function.getLoc())
           << "as the prepare function has it";
  return success();
}
