//===- HoistWeightPreparation.cpp - split off what needs weights alone ----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/Transforms/Passes.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_HOISTWEIGHTPREPARATIONPASS
#include "dsv2/Dialect/DSV2/Transforms/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

namespace {
/// A pack and how its operands come from checkpoint tensors.
struct PackedUse {
  PackOp pack;
  /// Weights behind the pack's operands, in operand order.
  SmallVector<WeightOp> sources;
  /// Ops between the weights and the pack, in execution order.
  SmallVector<Operation *> chain;
};

/// The packed forms of one set of checkpoint tensors.
struct PrepareGroup {
  SmallVector<PackedUse> uses;
};
} // namespace

/// Follows `value` back to a weight through shape changes.
static FailureOr<WeightOp> traceToWeight(PackOp pack, Value value,
                                         SmallVectorImpl<Operation *> &chain) {
  Operation *op = value.getDefiningOp();
  if (auto weight = dyn_cast_or_null<WeightOp>(op))
    return weight;
  if (isa_and_nonnull<tensor::ExpandShapeOp, tensor::CollapseShapeOp,
                      tensor::ExtractSliceOp>(op) &&
      op->getNumOperands() == 1) {
    auto weight = traceToWeight(pack, op->getOperand(0), chain);
    chain.push_back(op);
    return weight;
  }
  InFlightDiagnostic diag =
      pack.emitOpError("expected a weight behind static reshapes and slices");
  if (op)
    diag.attachNote(op->getLoc()) << "got '" << op->getName() << "' here";
  return failure();
}

/// Text that two uses share if and only if they compute the same packed form
/// from the same sources.
static std::string getFormKey(PackedUse &use) {
  std::string key;
  llvm::raw_string_ostream os(key);
  for (Operation *op : use.chain)
    os << op->getName() << op->getAttrDictionary()
       << op->getPropertiesAsAttribute() << op->getResult(0).getType() << ';';
  os << use.pack.getType();
  return key;
}

static std::string getSourceKey(PackedUse &use) {
  std::string key;
  llvm::raw_string_ostream os(key);
  for (WeightOp source : use.sources) {
    os << source.getName() << ' ' << source.getType();
    llvm::interleaveComma(source.getLayers(), os << " [");
    os << "]";
    if (source.getShards())
      os << ' ' << *source.getShards();
    os << ';';
  }
  return key;
}

/// A symbol that names the tensors: prepare_layers_1_59_mlp_experts_gate_proj.
static std::string getPrepareName(WeightOp source) {
  StringRef path = source.getName();
  path.consume_back(".weight");
  std::string name = "prepare_";
  if (path.consume_front("model.layers.{layer}.")) {
    ArrayRef<int64_t> layers = source.getLayers();
    name += "layers_" + std::to_string(layers.front()) + "_";
    if (layers.size() > 1)
      name += std::to_string(layers.back()) + "_";
  }
  for (char c : path)
    if (llvm::isAlnum(c))
      name += c;
    else if (name.back() != '_' && c != '{' && c != '}')
      name += '_';
  return name;
}

static bool isPerExpert(WeightOp source) {
  return source.getName().contains("{expert}");
}

/// The parts of each checkpoint tensor behind `source`: of one expert's, if it
/// stacks them.
static ArrayAttr getTensorShards(WeightOp source) {
  MLIRContext *context = source.getContext();
  SmallVector<Attribute> shards;
  if (source.getShards())
    for (auto shard : source.getShards()->getAsRange<ShardAttr>()) {
      if (shard.getAxis() == MeshAxis::EP)
        continue;
      int64_t dim = shard.getDim() - (isPerExpert(source) ? 1 : 0);
      shards.push_back(ShardAttr::get(context, dim, shard.getExtent(),
                                      shard.getAxis(), shard.getParts()));
    }
  return ArrayAttr::get(context, shards);
}

/// How the stack of experts is split, or null.
static ShardAttr getExpertShard(WeightOp source) {
  if (source.getShards())
    for (auto shard : source.getShards()->getAsRange<ShardAttr>())
      if (shard.getAxis() == MeshAxis::EP)
        return shard;
  return {};
}

static RankedTensorType dropLeading(RankedTensorType type) {
  return RankedTensorType::get(type.getShape().drop_front(),
                               type.getElementType(), type.getEncoding());
}

namespace {
struct HoistWeightPreparation
    : public mlir::dsv2::impl::HoistWeightPreparationPassBase<
          HoistWeightPreparation> {
  using HoistWeightPreparationPassBase::HoistWeightPreparationPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    // In the order of first use, so that the output is reproducible.
    SmallVector<PrepareGroup> groups;
    llvm::StringMap<size_t> groupOfKey;
    WalkResult walked = module.walk([&](PackOp pack) {
      PackedUse use;
      use.pack = pack;
      for (Value operand : pack->getOperands()) {
        FailureOr<WeightOp> weight = traceToWeight(pack, operand, use.chain);
        if (failed(weight))
          return WalkResult::interrupt();
        use.sources.push_back(*weight);
      }
      for (WeightOp source : use.sources) {
        if (source.getLayers() == use.sources.front().getLayers() &&
            source.getOrdinal() == use.sources.front().getOrdinal() &&
            isPerExpert(source) == isPerExpert(use.sources.front()))
          continue;
        pack.emitOpError("expected operands from the same layer and kind of "
                         "tensor")
                .attachNote(source.getLoc())
            << "got this tensor too";
        return WalkResult::interrupt();
      }
      if (isPerExpert(use.sources.front()) && !use.chain.empty()) {
        pack.emitOpError("expected expert weights without reshapes")
                .attachNote(use.chain.front()->getLoc())
            << "got this op";
        return WalkResult::interrupt();
      }
      auto [it, isNew] =
          groupOfKey.try_emplace(getSourceKey(use), groups.size());
      if (isNew)
        groups.emplace_back();
      groups[it->second].uses.push_back(use);
      return WalkResult::advance();
    });
    if (walked.wasInterrupted())
      return signalPassFailure();

    SymbolTable symbols(module);
    for (PrepareGroup &group : groups)
      outline(module, symbols, group);

    // Shape changes and weights are dead now; one that is not is a use that
    // does not go through a pack.
    SmallVector<Operation *> dead;
    module.walk([&](WeightOp op) { dead.push_back(op); });
    for (Operation *op : dead) {
      if (op->use_empty()) {
        op->erase();
        continue;
      }
      Operation *user = *op->getUsers().begin();
      user->emitOpError("expected weights to be packed before use")
              .attachNote(op->getLoc())
          << "this weight is not";
      return signalPassFailure();
    }
  }

  void outline(ModuleOp module, SymbolTable &symbols, PrepareGroup &group) {
    PackedUse &first = group.uses.front();
    bool perExpert = isPerExpert(first.sources.front());
    OpBuilder b(&getContext());
    auto sourceType = [&](WeightOp source) {
      RankedTensorType type = source.getType();
      return perExpert ? dropLeading(type) : type;
    };
    SmallVector<Type> inputs;
    SmallVector<StringRef> names;
    for (WeightOp source : first.sources) {
      inputs.push_back(sourceType(source));
      names.push_back(source.getName());
    }
    auto function = func::FuncOp::create(b, first.sources.front().getLoc(),
                                         getPrepareName(first.sources.front()),
                                         b.getFunctionType(inputs, {}));
    function.setPrivate();
    function->setAttr(kPrepareAttr, b.getUnitAttr());
    function->setAttr(kSourcesAttr, b.getStrArrayAttr(names));
    function->setAttr(
        kLayersAttr, b.getDenseI64ArrayAttr(first.sources.front().getLayers()));
    if (perExpert)
      function->setAttr(
          kExpertsAttr,
          b.getI64IntegerAttr(first.sources.front().getType().getDimSize(0)));
    if (ShardAttr shard = getExpertShard(first.sources.front()))
      function->setAttr(kExpertShardAttr, shard);
    if (llvm::any_of(first.sources,
                     [](WeightOp source) { return source.getShards(); }))
      function->setAttr(kSourceShardsAttr,
                        b.getArrayAttr(llvm::map_to_vector(
                            first.sources, [](WeightOp source) -> Attribute {
                              return getTensorShards(source);
                            })));
    symbols.insert(function, module.getBody()->end());
    ++numPrepareFunctions;

    Block *body = function.addEntryBlock();
    b.setInsertionPointToStart(body);
    SmallVector<Value> results;
    SmallVector<Type> resultTypes;
    llvm::StringMap<int64_t> forms;
    for (PackedUse &use : group.uses) {
      auto [it, isNew] = forms.try_emplace(
          getFormKey(use), static_cast<int64_t>(results.size()));
      if (isNew) {
        IRMapping mapping;
        for (auto [source, argument] :
             llvm::zip_equal(use.sources, body->getArguments()))
          mapping.map(source.getResult(), argument);
        for (Operation *op : use.chain)
          b.clone(*op, mapping);
        RankedTensorType type = use.pack.getType();
        if (perExpert)
          type = dropLeading(type);
        Value second;
        if (use.pack.getSecond())
          second = mapping.lookup(use.pack.getSecond());
        Value packed =
            PackOp::create(b, use.pack.getLoc(), type,
                           mapping.lookup(use.pack.getWeight()), second);
        results.push_back(packed);
        resultTypes.push_back(type);
      }
      OpBuilder at(use.pack);
      WeightOp source = use.sources.front();
      auto packed = PackedWeightOp::create(
          at, use.pack.getLoc(), use.pack.getType(), function.getName(),
          it->second, source.getLayers(), source.getOrdinal());
      use.pack.replaceAllUsesWith(packed.getResult());
      use.pack.erase();
      for (Operation *op : llvm::reverse(use.chain))
        if (op->use_empty())
          op->erase();
      ++numPackedWeights;
    }
    func::ReturnOp::create(b, function.getLoc(), results);
    function.setType(b.getFunctionType(inputs, resultTypes));
  }
};
} // namespace
