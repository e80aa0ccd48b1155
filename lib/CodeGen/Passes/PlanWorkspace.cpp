//===- PlanWorkspace.cpp - place every temporary in one workspace ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "llvm/Support/MathExtras.h"

#include <array>

namespace mlir::dsv2 {
#define GEN_PASS_DEF_PLANWORKSPACEPASS
#include "dsv2/CodeGen/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

namespace {

/// Buffers start on cache lines.
constexpr int64_t kAlignment = 64;

/// A number of bytes linear in the sizes of a step.
struct LinearSize {
  enum Term { One, Tokens, Sequences, Rows, Arrivals, KeyRows, NumTerms };
  /// What arguments of a function say they measure; the last two are no
  /// arguments.
  static constexpr std::array<StringLiteral, NumTerms> names = {
      "", "tokens", "sequences", "rows", "", ""};
  /// The term that a step asks the runtime for by `op`, or NumTerms.
  static Term getAsked(Operation *op) {
    return isa_and_nonnull<ArrivalsOp>(op)  ? Arrivals
           : isa_and_nonnull<KeyRowsOp>(op) ? KeyRows
                                            : NumTerms;
  }

  std::array<int64_t, NumTerms> coefficients = {};

  void growTo(const LinearSize &other) {
    for (int i = 0; i < NumTerms; ++i)
      coefficients[i] = std::max(coefficients[i], other.coefficients[i]);
  }
  LinearSize &operator+=(const LinearSize &other) {
    for (int i = 0; i < NumTerms; ++i)
      coefficients[i] += other.coefficients[i];
    return *this;
  }
  LinearSize &operator*=(int64_t factor) {
    for (int64_t &coefficient : coefficients)
      coefficient *= factor;
    return *this;
  }
  /// How much larger the slot gets by holding `other`, and how much larger than
  /// `other` it then is, for a step of typical proportions.
  int64_t wasteFor(const LinearSize &other) const {
    constexpr std::array<int64_t, NumTerms> typical = {1, 64, 8, 8, 128, 512};
    int64_t waste = 0;
    for (int i = 0; i < NumTerms; ++i)
      waste += typical[i] * std::abs(coefficients[i] - other.coefficients[i]);
    return waste;
  }
};

/// Memory shared by buffers whose lifetimes do not overlap.
struct Slot {
  LinearSize size;
  /// Last op of the current occupant.
  Operation *lastUse = nullptr;
};

/// One allocation and the slot it was given.
struct Placement {
  memref::AllocOp alloc;
  LinearSize size;
  size_t slot = 0;
};

struct FunctionPlan {
  SmallVector<Placement> placements;
  SmallVector<Slot> slots;
  /// Calls that hand the workspace on.
  SmallVector<func::CallOp> calls;
  /// Bytes of this function's own slots.
  LinearSize own;
  /// Own bytes plus the most any callee needs.
  LinearSize total;
};

struct PlanWorkspace
    : public mlir::dsv2::impl::PlanWorkspacePassBase<PlanWorkspace> {
  void runOnOperation() override;

  LogicalResult plan(func::FuncOp function);
  void rewrite(func::FuncOp function);
  void emitSizeFunction(func::FuncOp function);

  llvm::MapVector<Operation *, FunctionPlan> plans;
};
} // namespace

/// The workspace argument of `function`, or null: the one of type memref<?xi8>.
static Value getWorkspace(func::FuncOp function) {
  for (BlockArgument argument : function.getArguments()) {
    auto type = dyn_cast<MemRefType>(argument.getType());
    if (type && type.getRank() == 1 && type.getElementType().isInteger(8))
      return argument;
  }
  return {};
}

/// `value` as a function of the step's sizes: one of them, times and plus
/// constants.
static FailureOr<LinearSize> traceSize(func::FuncOp function, Value value) {
  LinearSize size;
  // IR that somebody wrote may have any.
  auto isCount = [](arith::ConstantIndexOp constant) {
    return constant && constant.value() >= 0 &&
           constant.value() <= std::numeric_limits<int32_t>::max();
  };
  Operation *op = value.getDefiningOp();
  if (isa_and_nonnull<arith::MulIOp, arith::AddIOp>(op)) {
    auto constant = op->getOperand(1).getDefiningOp<arith::ConstantIndexOp>();
    Value other = op->getOperand(0);
    if (!constant) {
      constant = other.getDefiningOp<arith::ConstantIndexOp>();
      other = op->getOperand(1);
    }
    if (!isCount(constant))
      return failure();
    auto traced = traceSize(function, other);
    if (failed(traced))
      return failure();
    if (isa<arith::MulIOp>(op))
      *traced *= constant.value();
    else
      traced->coefficients[LinearSize::One] += constant.value();
    constexpr int64_t most = int64_t(1) << 40;
    if (llvm::any_of(traced->coefficients,
                     [](int64_t coefficient) { return coefficient > most; }))
      return failure();
    return traced;
  }
  LinearSize::Term term = LinearSize::getAsked(op);
  if (auto dim = value.getDefiningOp<memref::DimOp>()) {
    auto argument = dyn_cast<BlockArgument>(dim.getSource());
    if (dim.getConstantIndex() != 0 || !argument ||
        argument.getOwner() != &function.getBody().front())
      return failure();
    auto name = function.getArgAttrOfType<StringAttr>(argument.getArgNumber(),
                                                      kSizeAttr);
    for (int named = LinearSize::Tokens; named < LinearSize::Arrivals; ++named)
      if (name && name.getValue() == LinearSize::names[named])
        term = static_cast<LinearSize::Term>(named);
  }
  if (term == LinearSize::NumTerms)
    return failure();
  size.coefficients[term] = 1;
  return size;
}

static FailureOr<LinearSize> getSize(func::FuncOp function,
                                     memref::AllocOp alloc) {
  MemRefType type = alloc.getType();
  LinearSize size;
  int64_t bytes = llvm::divideCeil(type.getElementTypeBitWidth(), 8);
  for (int64_t extent : type.getShape())
    if (!ShapedType::isDynamic(extent))
      bytes *= extent;
  size.coefficients[LinearSize::One] = 1;
  if (alloc.getDynamicSizes().size() > 1)
    return failure();
  for (Value dynamic : alloc.getDynamicSizes()) {
    auto traced = traceSize(function, dynamic);
    if (failed(traced))
      return failure();
    size = *traced;
  }
  // Rounding coefficients keeps every offset a multiple of the alignment.
  for (int64_t &coefficient : size.coefficients)
    coefficient = llvm::alignTo(coefficient * bytes, kAlignment);
  return size;
}

/// The last op of `block` that may touch the memory of `value`.
static Operation *getLastUse(Value value, Block *block) {
  Operation *last = value.getDefiningOp();
  SmallVector<Value> worklist = {value};
  while (!worklist.empty()) {
    Value current = worklist.pop_back_val();
    for (Operation *user : current.getUsers()) {
      Operation *ancestor = block->findAncestorOpInBlock(*user);
      if (last->isBeforeInBlock(ancestor))
        last = ancestor;
      // Views and loop-carried buffers go by other names.
      for (Value result : user->getResults())
        if (isa<MemRefType>(result.getType()))
          worklist.push_back(result);
      if (ancestor != user)
        for (Value result : ancestor->getResults())
          if (isa<MemRefType>(result.getType()))
            worklist.push_back(result);
    }
  }
  return last;
}

LogicalResult PlanWorkspace::plan(func::FuncOp function) {
  if (plans.contains(function))
    return success();
  FunctionPlan plan;
  Block *body = &function.getBody().front();
  Value workspace = getWorkspace(function);

  SmallVector<memref::AllocOp> allocs;
  function.walk([&](memref::AllocOp alloc) { allocs.push_back(alloc); });
  for (memref::AllocOp alloc : allocs) {
    if (!workspace)
      return alloc.emitOpError("in a function without a workspace argument");
    if (alloc->getBlock() != body)
      return alloc.emitOpError("in a loop cannot be placed in the workspace");
    auto size = getSize(function, alloc);
    if (failed(size))
      return alloc.emitOpError("expected a size that is linear in the step's "
                               "tokens, sequences, rows, arrivals or rows of "
                               "keys");
    // Among the slots that are free here, the one that fits best.
    size_t best = plan.slots.size();
    int64_t bestWaste = std::numeric_limits<int64_t>::max();
    for (auto [i, slot] : llvm::enumerate(plan.slots)) {
      if (!slot.lastUse->isBeforeInBlock(alloc))
        continue;
      int64_t waste = slot.size.wasteFor(*size);
      if (waste < bestWaste) {
        best = i;
        bestWaste = waste;
      }
    }
    if (best == plan.slots.size())
      plan.slots.emplace_back();
    plan.slots[best].size.growTo(*size);
    plan.slots[best].lastUse = getLastUse(alloc, body);
    plan.placements.push_back({alloc, *size, best});
  }
  for (const Slot &slot : plan.slots)
    plan.own += slot.size;

  LinearSize callees;
  WalkResult walked = function.walk([&](func::CallOp call) {
    auto callee = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(
        call, call.getCalleeAttr());
    if (!callee || callee.isExternal() || !getWorkspace(callee))
      return WalkResult::advance();
    if (failed(this->plan(callee)))
      return WalkResult::interrupt();
    callees.growTo(plans[callee].total);
    plan.calls.push_back(call);
    return WalkResult::advance();
  });
  if (walked.wasInterrupted())
    return failure();
  plan.total = plan.own;
  plan.total += callees;
  numBuffers += plan.placements.size();
  numSlots += plan.slots.size();
  plans[function] = std::move(plan);
  return success();
}

/// Emits the bytes of `size`, given the step's sizes.
static Value emitSize(ImplicitLocOpBuilder &b, const LinearSize &size,
                      ArrayRef<Value> sizes) {
  Value bytes =
      arith::ConstantIndexOp::create(b, size.coefficients[LinearSize::One]);
  for (int term = LinearSize::Tokens; term < LinearSize::NumTerms; ++term) {
    if (size.coefficients[term] == 0)
      continue;
    Value product = arith::MulIOp::create(
        b, sizes[term],
        arith::ConstantIndexOp::create(b, size.coefficients[term]));
    bytes = arith::AddIOp::create(b, bytes, product);
  }
  return bytes;
}

void PlanWorkspace::rewrite(func::FuncOp function) {
  FunctionPlan &plan = plans[function];
  Value workspace = getWorkspace(function);
  if (!workspace)
    return;
  ImplicitLocOpBuilder b(function.getLoc(), function.getContext());
  b.setInsertionPointToStart(&function.getBody().front());
  SmallVector<Value> sizes(LinearSize::NumTerms);
  for (BlockArgument argument : function.getArguments()) {
    auto name = function.getArgAttrOfType<StringAttr>(argument.getArgNumber(),
                                                      kSizeAttr);
    for (int term = LinearSize::Tokens; term < LinearSize::Arrivals; ++term)
      if (name && name.getValue() == LinearSize::names[term])
        sizes[term] = memref::DimOp::create(b, argument, 0);
  }
  // Offsets are computed before anything that asked for it.
  for (int term = LinearSize::Arrivals; term < LinearSize::NumTerms; ++term) {
    if (!plan.own.coefficients[term])
      continue;
    Operation *asks = nullptr;
    function.walk([&](Operation *op) {
      if (LinearSize::getAsked(op) == term)
        asks = op;
    });
    sizes[term] = b.clone(*asks)->getResult(0);
  }
  SmallVector<Value> offsets;
  LinearSize offset;
  for (const Slot &slot : plan.slots) {
    offsets.push_back(emitSize(b, offset, sizes));
    offset += slot.size;
  }
  if (!plan.calls.empty()) {
    Value behind = emitSize(b, plan.own, sizes);
    Value all = memref::DimOp::create(b, workspace, 0);
    Value left = arith::SubIOp::create(b, all, behind);
    Value rest = memref::ViewOp::create(
        b, cast<MemRefType>(workspace.getType()), workspace, behind, left);
    for (func::CallOp call : plan.calls)
      for (OpOperand &operand : call->getOpOperands())
        if (operand.get() == workspace)
          operand.set(rest);
  }
  for (Placement &placement : plan.placements) {
    b.setInsertionPoint(placement.alloc);
    b.setLoc(placement.alloc.getLoc());
    Value view = memref::ViewOp::create(b, placement.alloc.getType(), workspace,
                                        offsets[placement.slot],
                                        placement.alloc.getDynamicSizes());
    placement.alloc.replaceAllUsesWith(view);
    placement.alloc.erase();
  }
}

void PlanWorkspace::emitSizeFunction(func::FuncOp function) {
  ImplicitLocOpBuilder b(function.getLoc(), function.getContext());
  b.setInsertionPointAfter(function);
  Type index = b.getIndexType();
  auto sizeFunction = func::FuncOp::create(
      b, (function.getName() + "_workspace").str(),
      b.getFunctionType(SmallVector<Type>(LinearSize::NumTerms - 1, index),
                        {index}));
  Block *body = sizeFunction.addEntryBlock();
  b.setInsertionPointToStart(body);
  SmallVector<Value> sizes = {Value()};
  llvm::append_range(sizes, body->getArguments());
  func::ReturnOp::create(b, emitSize(b, plans[function].total, sizes));
}

void PlanWorkspace::runOnOperation() {
  SmallVector<func::FuncOp> functions;
  // Reference kernels may allocate.
  for (auto function : getOperation().getOps<func::FuncOp>())
    if (!function.isExternal() && !function->hasAttr(kReferenceAttr))
      functions.push_back(function);
  for (func::FuncOp function : functions)
    if (failed(plan(function)))
      return signalPassFailure();
  for (func::FuncOp function : functions) {
    rewrite(function);
    if (function->hasAttr(kEntryAttr) && getWorkspace(function))
      emitSizeFunction(function);
  }
}
