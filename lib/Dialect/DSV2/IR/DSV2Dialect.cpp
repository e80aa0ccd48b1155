//===- DSV2Dialect.cpp - the dsv2 dialect ---------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace mlir::dsv2;

#include "dsv2/Dialect/DSV2/IR/DSV2Dialect.cpp.inc"
#include "dsv2/Dialect/DSV2/IR/DSV2Interfaces.cpp.inc"

void DSV2Dialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dsv2/Dialect/DSV2/IR/DSV2Ops.cpp.inc"
      >();
  registerAttributes();
  registerTypes();
}

//===----------------------------------------------------------------------===//
// Attributes of functions and modules
//===----------------------------------------------------------------------===//

static InFlightDiagnostic emitUnexpected(Operation *op, NamedAttribute attr,
                                         const Twine &expected) {
  return op->emitOpError("expected '")
         << attr.getName().getValue() << "' to be " << expected << ", got "
         << attr.getValue();
}

static bool isPositiveI64(Attribute value) {
  auto integer = dyn_cast<IntegerAttr>(value);
  return integer && integer.getType().isSignlessInteger(64) &&
         integer.getInt() > 0;
}

static bool isStringArray(Attribute value) {
  auto array = dyn_cast<ArrayAttr>(value);
  return array && llvm::all_of(array, [](Attribute element) {
           return isa<StringAttr>(element);
         });
}

static bool areLayers(Attribute value) {
  auto layers = dyn_cast<DenseI64ArrayAttr>(value);
  if (!layers)
    return false;
  int64_t last = -1;
  for (int64_t layer : layers.asArrayRef()) {
    if (layer <= last)
      return false;
    last = layer;
  }
  return true;
}

static bool areShards(Attribute value) {
  auto array = dyn_cast<ArrayAttr>(value);
  return array && llvm::all_of(array, llvm::IsaPred<ShardAttr>);
}

/// Whether `value` has the parts of each tensor that `function` takes, and
/// every part is of a dimension that its tensor has, with the tensor's extent.
static bool areSourceShards(FunctionOpInterface function, Attribute value) {
  auto array = dyn_cast<ArrayAttr>(value);
  ArrayRef<Type> types = function.getArgumentTypes();
  // Kernels and memory have other arguments.
  if (!llvm::all_of(types, llvm::IsaPred<RankedTensorType>))
    return array && llvm::all_of(array, areShards);
  if (!array || array.size() != types.size())
    return false;
  return llvm::all_of(llvm::zip_equal(array, types), [](auto pair) {
    auto [shards, type] = pair;
    auto tensor = cast<RankedTensorType>(type);
    return areShards(shards) &&
           llvm::all_of(
               cast<ArrayAttr>(shards).template getAsRange<ShardAttr>(),
               [&](ShardAttr shard) {
                 return shard.getDim() < tensor.getRank() &&
                        tensor.getDimSize(shard.getDim()) == shard.getPart();
               });
  });
}

/// What a function that prepares weights says about them, as long as it is a
/// function of tensors: kernels and memory leave that to the manifest.
static LogicalResult verifyPrepareFunction(FunctionOpInterface function) {
  size_t numTensors = llvm::count_if(function.getArgumentTypes(),
                                     llvm::IsaPred<RankedTensorType>);
  if (numTensors == 0)
    return success();
  // prepare_c2
  if (!function.isExternal())
    for (StringRef name : {kSourcesAttr, kLayersAttr})
      if (!function->hasAttr(name))
        return function.emitOpError("expected '")
               << name << "' on a function with '" << kPrepareAttr << "'";
  // sources_c2
  auto sources = function->getAttrOfType<ArrayAttr>(kSourcesAttr);
  if (sources && sources.size() != numTensors)
    return function.emitOpError("expected '")
           << kSourcesAttr << "' with one name for each of " << numTensors
           << " tensors, got " << sources.size();
  return success();
}

LogicalResult DSV2Dialect::verifyOperationAttribute(Operation *op,
                                                    NamedAttribute attribute) {
  StringRef name = attribute.getName().getValue();
  Attribute value = attribute.getValue();
  auto check = [&](bool isValid, const Twine &expected) -> LogicalResult {
    if (isValid)
      return success();
    return emitUnexpected(op, attribute, expected);
  };
  auto function = dyn_cast<FunctionOpInterface>(op);
  bool isPrepare = function && op->hasAttr(kPrepareAttr);

  // entry_c1
  if (name == kEntryAttr) {
    auto entry = dyn_cast<StringAttr>(value);
    return check(function && entry && !entry.getValue().empty(),
                 "a non-empty string on a function");
  }
  // form_c1
  if (name == kFormAttr) {
    auto form = dyn_cast<StringAttr>(value);
    return check(function && op->hasAttr(kEntryAttr) && form &&
                     symbolizeAttentionForm(form.getValue()),
                 "an attention form on a function with '" + kEntryAttr + "'");
  }
  // prepare_c1
  if (name == kPrepareAttr) {
    if (failed(check(function && isa<UnitAttr>(value),
                     "a unit attribute on a function")))
      return failure();
    return verifyPrepareFunction(function);
  }
  // experts_c1
  if (name == kExpertsAttr)
    return check(isPrepare && isPositiveI64(value),
                 "a positive i64 on a function with '" + kPrepareAttr + "'");
  // sources_c1
  if (name == kSourcesAttr)
    return check(isPrepare && isStringArray(value),
                 "an array of names on a function with '" + kPrepareAttr + "'");
  // source_shards_c1
  if (name == kSourceShardsAttr)
    return check(isPrepare && areSourceShards(function, value),
                 "the parts of each tensor on a function with '" +
                     kPrepareAttr + "'");
  // expert_shard_c1
  if (name == kExpertShardAttr)
    return check(isPrepare && isa<ShardAttr>(value) &&
                     op->hasAttr(kExpertsAttr),
                 "a part on a function with '" + kPrepareAttr + "' and '" +
                     kExpertsAttr + "'");
  // shards_c1
  if (name == kShardsAttr) {
    auto type = op->getNumResults() > 0
                    ? dyn_cast<RankedTensorType>(op->getResult(0).getType())
                    : RankedTensorType();
    return check(
        type && areShards(value) &&
            llvm::all_of(cast<ArrayAttr>(value).getAsRange<ShardAttr>(),
                         [&](ShardAttr shard) {
                           return shard.getDim() < type.getRank();
                         }),
        "parts of the tensor that the op results in");
  }
  // partial_c1
  if (name == kPartialAttr)
    return check(isa<MeshAxisAttr>(value) && op->getNumResults() > 0,
                 "an axis on an op with a result");
  // capacity_c1
  if (name == kCapacityAttr)
    return check(function && isPositiveI64(value),
                 "a positive i64 on a function");
  // layers_c1
  if (name == kLayersAttr)
    return check(isPrepare && areLayers(value),
                 "layer numbers that ascend on a function with '" +
                     kPrepareAttr + "'");
  // reference_c1
  if (name == kReferenceAttr)
    return check(function && isa<UnitAttr>(value),
                 "a unit attribute on a function");
  // prefill_c1
  if (name == kPrefillMinTokensAttr)
    return check(isa<ModuleOp>(op) && isPositiveI64(value),
                 "a positive i64 on a module");
  // target_cpu_c1
  if (name == kTargetCPUAttr)
    return check(isa<ModuleOp>(op) && isa<StringAttr>(value),
                 "a string on a module");
  // manifest_c1
  if (name == kManifestAttr)
    return check(isa<ModuleOp>(op) && isa<DictionaryAttr>(value),
                 "a dictionary on a module");
  return success();
}

LogicalResult DSV2Dialect::verifyRegionArgAttribute(Operation *op, unsigned,
                                                    unsigned,
                                                    NamedAttribute attribute) {
  // size_c1
  if (attribute.getName() != kSizeAttr)
    return success();
  auto size = dyn_cast<StringAttr>(attribute.getValue());
  if (isa<FunctionOpInterface>(op) && size &&
      llvm::is_contained({"tokens", "sequences", "rows"}, size.getValue()))
    return success();
  return emitUnexpected(op, attribute,
                        "\"tokens\", \"sequences\" or \"rows\" on an "
                        "argument of a function");
}
