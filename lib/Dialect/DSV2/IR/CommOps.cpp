//===- CommOps.cpp - collectives and expert exchange ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyUtils.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::dsv2;

//===----------------------------------------------------------------------===//
// Meshes
//===----------------------------------------------------------------------===//

LogicalResult MeshOp::verify() {
  // mesh_c1
  constexpr int64_t kMostRanks = 65536;
  int64_t tp = getTpAttr().getInt(), ep = getEpAttr().getInt();
  if (tp < 1 || ep < 1 || tp > kMostRanks || ep > kMostRanks / tp)
    return emitOpError("expected positive 'tp' and 'ep' of at most ")
           << kMostRanks << " ranks together, got " << tp << " and " << ep;
  return success();
}

/// The mesh that `op` names, or an error.
static FailureOr<MeshOp> getMesh(Operation *op, FlatSymbolRefAttr name,
                                 SymbolTableCollection &symbols) {
  if (auto mesh = symbols.lookupNearestSymbolFrom<MeshOp>(op, name))
    return mesh;
  return op->emitOpError("expected 'mesh' to name a dsv2.mesh, got @")
         << name.getValue();
}

// mesh_index_c1
LogicalResult
MeshIndexOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  return ::getMesh(*this, getMeshAttr(), symbolTable);
}

// arrivals_c1
LogicalResult ArrivalsOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  return ::getMesh(*this, getMeshAttr(), symbolTable);
}

//===----------------------------------------------------------------------===//
// What collectives share
//===----------------------------------------------------------------------===//

namespace {
/// Stands for the order of collectives, which is theirs alone.
struct CommunicatorResource
    : public SideEffects::Resource::Base<CommunicatorResource> {
  StringRef getName() final { return "Communicator"; }
};
} // namespace

/// all_reduce_c3, all_gather_c3, all_to_all_c3, all_to_all_v_c4 and
/// all_reduce_c4, all_gather_c4, all_to_all_c4, all_to_all_v_c5.
template <typename Collective>
static LogicalResult verifyCollective(Collective op) {
  Type output = op.getOutput().getType();
  Type result = op.getResult() ? op.getResult().getType() : Type();
  Type expected = isa<TensorType>(output) ? output : Type();
  if (result != expected)
    return op.emitOpError("expected a result of the destination's type if that "
                          "is a tensor and none otherwise, got ")
           << (result ? "one of type " : "none for ")
           << (result ? result : output);
  for (Operation *parent = op->getParentOp();
       parent && !isa<FunctionOpInterface>(parent);
       parent = parent->getParentOp())
    if (!isa<scf::ForOp>(parent))
      return op.emitOpError("expected nothing but loops of counted trips "
                            "between a collective and its function, as all "
                            "ranks have to enter it")
                 .attachNote(parent->getLoc())
             << "it stands in this op";
  return success();
}

/// A collective reads and writes what it is given in memory, and keeps its
/// place among the others.
template <typename Collective>
static void getCollectiveEffects(
    Collective op,
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  effects.emplace_back(MemoryEffects::Read::get(), CommunicatorResource::get());
  effects.emplace_back(MemoryEffects::Write::get(),
                       CommunicatorResource::get());
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<MemRefType>(operand.get().getType()))
      continue;
    effects.emplace_back(MemoryEffects::Read::get(), &operand,
                         SideEffects::DefaultResource::get());
    if (operand.get() == op.getOutput())
      effects.emplace_back(MemoryEffects::Write::get(), &operand,
                           SideEffects::DefaultResource::get());
  }
}

/// Ranks on the axis of `op`; 1 where the mesh is not known.
template <typename Collective> static int64_t getNumRanks(Collective op) {
  auto mesh =
      SymbolTable::lookupNearestSymbolFrom<MeshOp>(op, op.getMeshAttr());
  return mesh ? mesh.getSize(op.getAxis()) : 1;
}

/// Bytes of the static part of one row of `value`.
static double getRowBytes(Value value) {
  return getNumElements(value) * getElementBytes(value);
}

//===----------------------------------------------------------------------===//
// AllReduceOp
//===----------------------------------------------------------------------===//

LogicalResult AllReduceOp::verify() {
  // all_reduce_c2
  auto type = cast<ShapedType>(getOutput().getType());
  if (!type.getElementType().isF32())
    return emitOpError("expected a destination of f32, got ") << type;
  return verifyCollective(*this);
}

LogicalResult
AllReduceOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  return ::getMesh(*this, getMeshAttr(), symbolTable); // all_reduce_c1
}

void AllReduceOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  getCollectiveEffects(*this, effects);
}

OpCost AllReduceOp::getCost(const StepShape &step) {
  // The least that a rank can send: parts of sums go to their ranks, sums back.
  double ranks = getNumRanks(*this);
  OpCost cost;
  cost.sentBytes =
      2 * (ranks - 1) / ranks * step.tokens * getRowBytes(getOutput());
  return cost;
}

//===----------------------------------------------------------------------===//
// AllGatherOp
//===----------------------------------------------------------------------===//

LogicalResult AllGatherOp::verify() { return verifyCollective(*this); }

LogicalResult
AllGatherOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  // all_gather_c1
  FailureOr<MeshOp> mesh = ::getMesh(*this, getMeshAttr(), symbolTable);
  if (failed(mesh))
    return failure();
  // all_gather_c2
  auto input = cast<ShapedType>(getInput().getType());
  auto output = cast<ShapedType>(getOutput().getType());
  int64_t ranks = mesh->getSize(getAxis());
  if (input.getRank() != 2 || output.getRank() != 2 ||
      input.getElementType() != output.getElementType() ||
      input.isDynamicDim(1) || output.isDynamicDim(1) ||
      !mayBeEqual(input.getDimSize(0), output.getDimSize(0)) ||
      output.getDimSize(1) % ranks != 0 ||
      output.getDimSize(1) / ranks != input.getDimSize(1))
    return emitOpError("expected a destination of the rows of 'input' with ")
           << ranks << " times its columns, got " << output << " for " << input;
  return success();
}

void AllGatherOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  getCollectiveEffects(*this, effects);
}

OpCost AllGatherOp::getCost(const StepShape &step) {
  OpCost cost;
  cost.sentBytes =
      double(getNumRanks(*this) - 1) * step.rows * getRowBytes(getInput());
  return cost;
}

//===----------------------------------------------------------------------===//
// AllToAllOp
//===----------------------------------------------------------------------===//

LogicalResult AllToAllOp::verify() { return verifyCollective(*this); }

LogicalResult AllToAllOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  // all_to_all_c1
  FailureOr<MeshOp> mesh = ::getMesh(*this, getMeshAttr(), symbolTable);
  if (failed(mesh))
    return failure();
  // all_to_all_c2
  auto input = cast<ShapedType>(getInput().getType());
  auto output = cast<ShapedType>(getOutput().getType());
  int64_t ranks = mesh->getSize(getAxis());
  if (input.getShape() != output.getShape() ||
      input.getElementType() != output.getElementType() ||
      !input.hasStaticShape() || input.getRank() == 0 ||
      input.getDimSize(0) % ranks != 0)
    return emitOpError("expected 'input' and destination of one static shape "
                       "whose rows ")
           << ranks << " ranks divide, got " << input << " and " << output;
  return success();
}

void AllToAllOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  getCollectiveEffects(*this, effects);
}

OpCost AllToAllOp::getCost(const StepShape &) {
  double ranks = getNumRanks(*this);
  OpCost cost;
  cost.sentBytes = (ranks - 1) / ranks * getRowBytes(getInput());
  return cost;
}

//===----------------------------------------------------------------------===//
// AllToAllVOp
//===----------------------------------------------------------------------===//

LogicalResult AllToAllVOp::verify() {
  // all_to_all_v_c2
  auto input = cast<ShapedType>(getInput().getType());
  auto output = cast<ShapedType>(getOutput().getType());
  if (input.getRank() != 2 || output.getRank() != 2 ||
      input.getElementType() != output.getElementType() ||
      input.isDynamicDim(1) || input.getDimSize(1) != output.getDimSize(1))
    return emitOpError("expected 'input' and destination to be rows of the "
                       "same elements, got ")
           << input << " and " << output;
  // all_to_all_v_c6
  if (getAsync() && getResult() &&
      (!getResult().hasOneUse() || !isa<CommWaitOp>(*getResult().user_begin())))
    return emitOpError("expected one dsv2.comm_wait, and nothing else, to read "
                       "what an async exchange receives");
  return verifyCollective(*this);
}

LogicalResult
AllToAllVOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  // all_to_all_v_c1
  FailureOr<MeshOp> mesh = ::getMesh(*this, getMeshAttr(), symbolTable);
  if (failed(mesh))
    return failure();
  // all_to_all_v_c3
  int64_t ranks = mesh->getSize(getAxis());
  for (Value counts : {getSendCounts(), getReceiveCounts()}) {
    auto type = cast<ShapedType>(counts.getType());
    if (type.getRank() != 1 || type.getDimSize(0) != ranks ||
        !type.getElementType().isInteger(32))
      return emitOpError("expected i32 counts for each of ")
             << ranks << " ranks, got " << type;
  }
  return success();
}

void AllToAllVOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  getCollectiveEffects(*this, effects);
}

OpCost AllToAllVOp::getCost(const StepShape &step) {
  OpCost cost;
  cost.sentBytes =
      double(getNumRanks(*this) - 1) * step.tokens * getRowBytes(getInput());
  return cost;
}

//===----------------------------------------------------------------------===//
// CommWaitOp
//===----------------------------------------------------------------------===//

/// The exchange that `wait` finishes: the last collective on its axis before it
/// in its block, if that is async.
static AllToAllVOp findStarted(CommWaitOp wait) {
  for (Operation *op = wait->getPrevNode(); op; op = op->getPrevNode()) {
    auto other = dyn_cast<CollectiveOpInterface>(op);
    if (!other || other.getAxis() != wait.getAxis())
      continue;
    auto exchange = dyn_cast<AllToAllVOp>(op);
    return exchange && exchange.getAsync() ? exchange : AllToAllVOp();
  }
  return {};
}

LogicalResult CommWaitOp::verify() {
  // comm_wait_c2, comm_wait_c3
  if (failed(verifyCollective(*this)))
    return failure();
  // comm_wait_c4
  if (!findStarted(*this))
    return emitOpError("expected an async exchange before it as the last "
                       "collective on ")
           << stringifyMeshAxis(getAxis());
  return success();
}

LogicalResult CommWaitOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  return ::getMesh(*this, getMeshAttr(), symbolTable); // comm_wait_c1
}

void CommWaitOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  getCollectiveEffects(*this, effects);
}

// What is sent is counted where it is started.
OpCost CommWaitOp::getCost(const StepShape &) { return {}; }

//===----------------------------------------------------------------------===//
// ExchangePackOp
//===----------------------------------------------------------------------===//

LogicalResult ExchangePackOp::verify() {
  // exchange_pack_c3
  int64_t experts = getExpertsAttr().getInt(), ranks = getRanksAttr().getInt();
  if (experts < 1 || ranks < 1)
    return emitOpError("expected 'experts' and 'ranks' to be positive, got ")
           << experts << " and " << ranks;
  // exchange_pack_c1
  int64_t tokens = getTokens({getInput(), getIds(), getWeights(), getPlaces()});
  int64_t topK = getExtent(getIds(), 1), width = getExtent(getInput(), 1);
  if (failed(checkShape(*this, getIds(), "ids", {tokens, topK})) ||
      failed(checkShape(*this, getWeights(), "weights", {tokens, topK})))
    return failure();
  // exchange_pack_c4
  int64_t numRows = ShapedType::kDynamic;
  if (IntegerAttr capacity = getCapacityAttr()) {
    if (capacity.getInt() < 1 ||
        capacity.getInt() > std::numeric_limits<int32_t>::max() / ranks)
      return emitOpError("expected 'capacity' to be positive and below 2^31 "
                         "rows of all ranks, got ")
             << capacity.getInt();
    numRows = ranks * capacity.getInt();
    if (getExtent(getRows(), 0) != numRows)
      return emitOpError("expected 'rows' to have ")
             << numRows << " rows, got " << getRows().getType();
  }
  // exchange_pack_c2
  if (failed(
          checkShape(*this, getRows(), "rows", {numRows, width + 2 * topK})) ||
      failed(checkShape(*this, getCounts(), "counts", {ranks})))
    return failure();
  return checkShape(*this, getPlaces(), "places", {tokens, ranks});
}

OpCost ExchangePackOp::getCost(const StepShape &step) {
  // Each token is read once and written at most once for each of its experts.
  double width = getExtent(getRows(), 1);
  double copies = std::min(getExtent(getIds(), 1), getExtent(getPlaces(), 1));
  OpCost cost;
  cost.activationBytes = step.tokens * (1 + copies) * width * 4;
  return cost;
}

//===----------------------------------------------------------------------===//
// CheckCapacityOp
//===----------------------------------------------------------------------===//

LogicalResult CheckCapacityOp::verify() {
  // check_capacity_c1
  auto type = cast<ShapedType>(getCounts().getType());
  if (type.getRank() != 1 || !type.hasStaticShape() ||
      !type.getElementType().isInteger(32))
    return emitOpError("expected a static number of i32 counts, got ") << type;
  // check_capacity_c2
  if (getCapacityAttr().getInt() < 1)
    return emitOpError("expected 'capacity' to be positive, got ")
           << getCapacityAttr().getInt();
  return success();
}

void CheckCapacityOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  effects.emplace_back(MemoryEffects::Write::get(),
                       CommunicatorResource::get());
  if (isa<MemRefType>(getCounts().getType()))
    effects.emplace_back(MemoryEffects::Read::get(), &getCountsMutable(),
                         SideEffects::DefaultResource::get());
}

//===----------------------------------------------------------------------===//
// ExchangeUnpackOp
//===----------------------------------------------------------------------===//

LogicalResult ExchangeUnpackOp::verify() {
  // exchange_unpack_c1
  int64_t rows = getTokens({getRows(), getResult(), getIds(), getWeights()});
  int64_t topK = getExtent(getIds(), 1), width = getExtent(getResult(), 1);
  if (failed(checkShape(*this, getRows(), "rows", {rows, width + 2 * topK})) ||
      failed(checkShape(*this, getIds(), "ids", {rows, topK})))
    return failure();
  return checkShape(*this, getWeights(), "weights", {rows, topK});
}

OpCost ExchangeUnpackOp::getCost(const StepShape &step) {
  OpCost cost;
  cost.activationBytes = 2.0 * step.tokens * getExtent(getIds(), 1) * 8;
  return cost;
}

//===----------------------------------------------------------------------===//
// ExchangeCombineOp
//===----------------------------------------------------------------------===//

LogicalResult ExchangeCombineOp::verify() {
  // exchange_combine_c1
  int64_t tokens = getTokens({getPlaces(), getResult()});
  return checkShape(*this, getResult(), "result",
                    {tokens, getExtent(getInput(), 1)});
}

OpCost ExchangeCombineOp::getCost(const StepShape &step) {
  double width = getExtent(getInput(), 1), ranks = getExtent(getPlaces(), 1);
  OpCost cost;
  cost.flops = step.tokens * ranks * width;
  cost.activationBytes = step.tokens * (ranks + 1) * width * 4;
  return cost;
}
