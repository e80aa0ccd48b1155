//===- FuseLaunches.cpp - kernels that work row by row, as one ------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/Passes.h"

#include "dsv2/CodeGen/CPU/KernelBuilder.h"
#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/ADT/MapVector.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_FUSELAUNCHESPASS
#include "dsv2/CodeGen/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

/// On a fused kernel: which operands each of its parts takes, so that another
/// launch of the same parts takes the same kernel only if it wires them alike.
static constexpr llvm::StringLiteral kWiringAttr = "dsv2.wiring";

/// Rows that all kernels of a launch are done with before the next ones: few
/// enough that what one kernel leaves, the next finds in the cache.
static constexpr int64_t kRowsAtOnce = 4;

/// How many rows a tensor has, if that is known to be some value.
static Value getRows(Value tensor) {
  if (auto result = dyn_cast<OpResult>(tensor)) {
    if (auto empty = dyn_cast<tensor::EmptyOp>(result.getOwner()))
      return empty.getType().getRank() > 0 && empty.getType().isDynamicDim(0)
                 ? empty.getDynamicSizes().front()
                 : Value();
    if (auto launch = dyn_cast<LaunchOp>(result.getOwner()))
      return getRows(launch.getTiedOpOperand(result)->get());
  }
  return {};
}

namespace {

/// Launches of one block that are to become one.
class Group {
public:
  Group(ModuleOp module, LaunchOp first) : module(module) { add(first); }

  /// Finds what can be computed with the first launch.
  void collect();
  size_t size() const { return members.size(); }
  /// Replaces the launches.
  void fuse();

  /// The kernel of a launch, if that works row by row on new memory.
  static func::FuncOp getRowKernel(ModuleOp module, LaunchOp op);

private:
  void add(LaunchOp op) {
    members.push_back(op);
    ArrayRef<Type> types = typesOf(op).drop_front(op.getInputs().size());
    for (auto [result, type] : llvm::zip(op.getResults(), types))
      results[result] = type;
    for (Value input : op.getInputs())
      if (isa<MemRefType>(input.getType()))
        memory.insert(input);
    hasEffects |= op.getResults().empty();
  }
  bool uses(Operation *op) const {
    return llvm::any_of(op->getOperands(),
                        [&](Value v) { return results.contains(v); });
  }
  bool canJoin(LaunchOp op);
  /// The types that the kernel of a member has its arguments in.
  ArrayRef<Type> typesOf(LaunchOp member) {
    return getRowKernel(module, member).getArgumentTypes();
  }
  /// The rows of the members' outputs.
  Value rows() { return getRows(members.front().getOutputs().front()); }
  std::string name();
  func::FuncOp buildKernel(StringRef name,
                           ArrayRef<SmallVector<int64_t>> arguments,
                           ArrayRef<Type> types, int64_t measured);

  ModuleOp module;
  SmallVector<LaunchOp> members;
  /// The members' results and the types of their memory in kernels.
  llvm::DenseMap<Value, Type> results;
  /// Memory among the members' inputs, and whether any of them writes it.
  llvm::DenseSet<Value> memory;
  bool hasEffects = false;
  /// Where all results have to be there; null: nowhere in the block.
  Operation *end = nullptr;
};

} // namespace

func::FuncOp Group::getRowKernel(ModuleOp module, LaunchOp op) {
  auto kernel = module.lookupSymbol<func::FuncOp>(op.getKernel());
  bool isNew = llvm::all_of(op.getOutputs(), [](Value output) {
    return output.getDefiningOp<tensor::EmptyOp>();
  });
  return kernel && kernel->hasAttr(cpu::kRowsAttr) && isNew ? kernel
                                                            : func::FuncOp();
}

bool Group::canJoin(LaunchOp op) {
  if (!getRowKernel(module, op) ||
      op.getSerialBelow() != members.front().getSerialBelow())
    return false;
  // One that only writes into memory has as many rows as what it reads.
  Value measured = op.getOutputs().empty() ? op.getInputs().front()
                                           : op.getOutputs().front();
  if (getRows(measured) != rows())
    return false;
  bool writes = op.getResults().empty();
  for (auto [input, type] : llvm::zip(op.getInputs(), typesOf(op))) {
    if (Type given = results.lookup(input); given && given != type)
      return false;
    // Pieces come before what has to come before a launch as a whole.
    bool isShared = isa<MemRefType>(input.getType()) && memory.contains(input);
    if (isShared && (writes || hasEffects))
      return false;
  }
  if (!end)
    return true;
  // It moves forward, which is for what reads results of the group.
  auto isThere = [&](Value value) {
    Operation *definition = value.getDefiningOp();
    return results.contains(value) || !definition ||
           definition->getBlock() != end->getBlock() ||
           definition->isBeforeInBlock(end);
  };
  return uses(op) && !writes && llvm::all_of(op.getInputs(), isThere) &&
         isThere(rows());
}

void Group::collect() {
  Operation *first = members.front();
  for (Operation *op = first->getNextNode(); op; op = op->getNextNode()) {
    if (auto launch = dyn_cast<LaunchOp>(op)) {
      if (canJoin(launch)) {
        add(launch);
        continue;
      }
      // What writes memory stays before what may read it, and behind.
      bool writes = launch.getResults().empty();
      if (!end && (uses(op) || hasEffects || writes))
        end = op;
      if (writes)
        return;
      continue;
    }
    // Taps of results move behind the group.
    if (isa<TapOp>(op))
      continue;
    if (!end && uses(op))
      end = op;
    if (!isPure(op)) {
      if (!end)
        end = op;
      return;
    }
  }
}

std::string Group::name() {
  std::string name;
  for (LaunchOp member : members)
    name += (name.empty() ? "" : "__") + member.getKernel().str();
  return name;
}

/// The kernel that calls those of the members, whose operand j of member i is
/// argument `arguments[i][j]`. The first dimension of argument `measured` has
/// the rows.
func::FuncOp Group::buildKernel(StringRef name,
                                ArrayRef<SmallVector<int64_t>> arguments,
                                ArrayRef<Type> types, int64_t measured) {
  auto b = ImplicitLocOpBuilder::atBlockEnd(
      NameLoc::get(StringAttr::get(module.getContext(), name)),
      module.getBody());
  SmallVector<Type> inputs(types);
  inputs.append(2, b.getIndexType());
  auto kernel = func::FuncOp::create(b, name, b.getFunctionType(inputs, {}));
  kernel.setPrivate();
  Block *body = kernel.addEntryBlock();
  b.setInsertionPointToStart(body);
  ValueRange all = body->getArguments();
  Value part = all[types.size()], parts = all[types.size() + 1];
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(b, value);
  };
  // A share is cut into pieces: the same rows, in the same order.
  Value zero = constant(0), one = constant(1);
  Value rows = memref::DimOp::create(b, all[measured], 0);
  Value atOnce = arith::MulIOp::create(b, parts, constant(kRowsAtOnce));
  Value pieces = arith::MaxUIOp::create(
      b, arith::CeilDivUIOp::create(b, rows, atOnce), one);
  Value first = arith::MulIOp::create(b, part, pieces);
  Value total = arith::MulIOp::create(b, parts, pieces);
  auto loop = scf::ForOp::create(b, zero, pieces, one);
  b.setInsertionPointToStart(loop.getBody());
  Value piece = arith::AddIOp::create(b, first, loop.getInductionVar());
  for (auto [member, numbers] : llvm::zip_equal(members, arguments)) {
    SmallVector<Value> operands;
    for (int64_t number : numbers)
      operands.push_back(all[number]);
    llvm::append_values(operands, piece, total);
    func::CallOp::create(b, member.getKernel(), TypeRange(), operands);
  }
  b.setInsertionPointToEnd(body);
  func::ReturnOp::create(b);
  return kernel;
}

void Group::fuse() {
  // Arguments: what comes from outside, each once, then the outputs.
  llvm::MapVector<std::pair<Value, Type>, int64_t> inputs;
  for (LaunchOp member : members)
    for (auto [input, type] : llvm::zip(member.getInputs(), typesOf(member)))
      if (!results.contains(input))
        inputs.insert({{input, type}, int64_t(inputs.size())});
  SmallVector<Value> inputValues, outputs, oldResults;
  SmallVector<Type> types;
  for (auto &[input, number] : inputs) {
    inputValues.push_back(input.first);
    types.push_back(input.second);
  }

  ImplicitLocOpBuilder b(members.back().getLoc(), module.getContext());
  if (end)
    b.setInsertionPoint(end);
  else
    b.setInsertionPointAfter(members.back());
  SmallVector<SmallVector<int64_t>> arguments;
  for (LaunchOp member : members) {
    SmallVector<int64_t> &own = arguments.emplace_back();
    for (auto [input, type] : llvm::zip(member.getInputs(), typesOf(member))) {
      auto result = llvm::find(oldResults, input);
      own.push_back(result == oldResults.end()
                        ? inputs.lookup({input, type})
                        : inputs.size() + (result - oldResults.begin()));
    }
    ArrayRef<Type> outputTypes =
        typesOf(member).drop_front(member.getInputs().size());
    for (auto [output, result, type] :
         llvm::zip(member.getOutputs(), member.getResults(), outputTypes)) {
      own.push_back(types.size());
      types.push_back(type);
      // Memory of its own, where launches had the same.
      outputs.push_back(b.clone(*output.getDefiningOp())->getResult(0));
      oldResults.push_back(result);
    }
  }

  std::string kernelName = name();
  // The same kernels may be connected in another way.
  func::FuncOp kernel;
  Builder attrs(module.getContext());
  SmallVector<Attribute> wires;
  for (ArrayRef<int64_t> own : arguments)
    wires.push_back(attrs.getI64ArrayAttr(own));
  Attribute wiring = attrs.getArrayAttr(wires);
  for (int64_t i = 0; !kernel; ++i) {
    std::string candidate =
        kernelName + (i ? "__" + std::to_string(i) : std::string());
    auto existing = module.lookupSymbol<func::FuncOp>(candidate);
    if (existing && existing->getAttr(kWiringAttr) != wiring)
      continue;
    kernel = existing ? existing
                      : buildKernel(candidate, arguments, types,
                                    /*measured=*/inputs.size());
    kernel->setAttr(kWiringAttr, wiring);
  }

  auto fused = LaunchOp::create(b, ValueRange(outputs).getTypes(),
                                kernel.getName(), inputValues, outputs,
                                members.front().getSerialBelowAttr());
  SmallVector<Operation *> taps;
  for (Value result : oldResults)
    for (Operation *user : result.getUsers())
      if (isa<TapOp>(user) && user->getBlock() == fused->getBlock() &&
          user->isBeforeInBlock(fused))
        taps.push_back(user);
  llvm::sort(taps,
             [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  for (Operation *tap : llvm::reverse(taps))
    tap->moveAfter(fused);
  for (auto [oldResult, newResult] :
       llvm::zip_equal(oldResults, fused.getResults()))
    oldResult.replaceAllUsesWith(newResult);
  for (LaunchOp member : llvm::reverse(members))
    member.erase();
}

namespace {
struct FuseLaunches
    : public mlir::dsv2::impl::FuseLaunchesPassBase<FuseLaunches> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<Block *> blocks;
    module.walk([&](Block *block) { blocks.push_back(block); });
    for (Block *block : blocks)
      for (Operation *op = block->empty() ? nullptr : &block->front(); op;) {
        auto launch = dyn_cast<LaunchOp>(op);
        Operation *before = op->getPrevNode();
        if (launch && !launch.getResults().empty() &&
            Group::getRowKernel(module, launch) &&
            getRows(launch.getOutputs().front())) {
          Group group(module, launch);
          group.collect();
          if (group.size() > 1) {
            numFused += group.size() - 1;
            group.fuse();
            // What was between the members is looked at as well.
            op = before ? before->getNextNode() : &block->front();
            continue;
          }
        }
        op = op->getNextNode();
      }
  }
};
} // namespace
