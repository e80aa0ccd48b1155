//===- WeightsAsArguments.cpp - weights become function arguments ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WeightsAsArguments.h"

#include "Builders.h"
#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;
using namespace mlir::dsv2;

namespace {

class WeightArguments {
public:
  explicit WeightArguments(ModuleOp module) : module(module), symbols(module) {}

  /// Rewrites `function` and, before it, every function it calls.
  LogicalResult rewrite(func::FuncOp function);

private:
  /// Name, layers and type of a weight.
  using Key = ArrayAttr;

  static Key getKey(WeightOp weight) {
    Builder b(weight.getContext());
    return b.getArrayAttr({weight.getNameAttr(), weight.getLayersAttr(),
                           TypeAttr::get(weight.getType())});
  }

  /// The weight's own type or, with layers, that of all of them stacked.
  static RankedTensorType getArgumentType(Key key) {
    auto type = cast<RankedTensorType>(cast<TypeAttr>(key[2]).getValue());
    int64_t numLayers = cast<DenseI64ArrayAttr>(key[1]).size();
    if (numLayers == 0)
      return type;
    SmallVector<int64_t> shape{numLayers};
    llvm::append_range(shape, type.getShape());
    return RankedTensorType::get(shape, type.getElementType());
  }

  /// Only calls can be given the new operands.
  LogicalResult checkUses(func::FuncOp function);

  ModuleOp module;
  SymbolTable symbols;
  llvm::MapVector<Operation *, SmallVector<Key>> done;
  SmallPtrSet<Operation *, 4> active;
};

} // namespace

LogicalResult WeightArguments::rewrite(func::FuncOp function) {
  if (done.contains(function))
    return success();
  if (!active.insert(function).second)
    return function.emitError()
           << "function '" << function.getName()
           << "' calls itself, so its weights cannot become arguments";

  SmallVector<Operation *> users;
  function.walk([&](Operation *op) {
    if (isa<WeightOp, func::CallOp>(op))
      users.push_back(op);
  });

  llvm::MapVector<Key, Value> arguments;
  auto getArgument = [&](Key key, Location loc) -> Value {
    Value &argument = arguments[key];
    if (!argument) {
      // Cannot fail: the signature of a `func.func` is a plain list.
      (void)function.insertArgument(function.getNumArguments(),
                                    getArgumentType(key), {}, loc);
      argument = function.getArguments().back();
    }
    return argument;
  };

  for (Operation *op : users) {
    if (auto weight = dyn_cast<WeightOp>(op)) {
      Value value = getArgument(getKey(weight), weight.getLoc());
      if (Value ordinal = weight.getOrdinal()) {
        reference::LocBuilder b(weight.getLoc(), op);
        value = reference::takeAt(b, value, ordinal);
      }
      weight.replaceAllUsesWith(value);
      weight.erase();
      continue;
    }
    auto call = cast<func::CallOp>(op);
    auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
    if (!callee)
      continue;
    if (failed(rewrite(callee)))
      return failure();
    for (Key key : done[callee])
      call.getOperandsMutable().append(getArgument(key, call.getLoc()));
  }

  active.erase(function);
  SmallVector<Key> keys;
  for (auto &[key, argument] : arguments)
    keys.push_back(key);
  done[function] = std::move(keys);
  return arguments.empty() ? success() : checkUses(function);
}

LogicalResult WeightArguments::checkUses(func::FuncOp function) {
  std::optional<SymbolTable::UseRange> uses =
      SymbolTable::getSymbolUses(function, module);
  if (!uses)
    return success();
  for (SymbolTable::SymbolUse use : *uses) {
    // Naming a prepare function is not using its arguments.
    if (isa<func::CallOp, PackedWeightOp>(use.getUser()))
      continue;
    InFlightDiagnostic diagnostic =
        use.getUser()->emitError()
        << "weights of function '" << function.getName()
        << "' cannot become arguments, since it is used other than by a call";
    diagnostic.attachNote(function.getLoc()) << "function is here";
    return diagnostic;
  }
  return success();
}

LogicalResult mlir::dsv2::turnWeightsIntoArguments(ModuleOp module) {
  WeightArguments weights(module);
  for (auto function : module.getOps<func::FuncOp>())
    if (failed(weights.rewrite(function)))
      return failure();
  return success();
}
