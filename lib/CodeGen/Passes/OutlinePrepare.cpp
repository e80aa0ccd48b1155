//===- OutlinePrepare.cpp - weight preparation as packing kernels ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelOutliner.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::dsv2;

//===----------------------------------------------------------------------===//
// Manifest tables
//===----------------------------------------------------------------------===//

static StringRef getDTypeName(RankedTensorType packed) {
  auto encoding = cast<PackedAttr>(packed.getEncoding());
  switch (encoding.getBlocks() ? encoding.getFormat() : PackFormat::Plain) {
  case PackFormat::Plain:
    break;
  case PackFormat::Q8:
    return "Q8";
  case PackFormat::Q4:
    return "Q4";
  case PackFormat::FP8:
    return "FP8";
  }
  Type type = packed.getElementType();
  return type.isF32() ? "F32" : type.isBF16() ? "BF16" : "F16";
}

LogicalResult ModuleOutliner::collectSlots() {
  Builder b(module.getContext());
  SmallVector<Attribute> slots, sources, jobs;
  // Weights that a step reads only some rows of.
  DenseSet<std::pair<StringRef, size_t>> gathered;
  module.walk([&](EmbedOp op) {
    if (auto weight = op.getTable().getDefiningOp<PackedWeightOp>())
      gathered.insert({weight.getPrepare(), weight.getIndex()});
  });
  auto index = [&](size_t value) { return b.getI64IntegerAttr(value); };
  for (auto function : module.getOps<func::FuncOp>()) {
    if (!function->hasAttr(kPrepareAttr))
      continue;
    auto layers = function->getAttrOfType<DenseI64ArrayAttr>(kLayersAttr);
    auto names = function->getAttrOfType<ArrayAttr>(kSourcesAttr);
    if (function.isExternal() || !layers || !names ||
        names.size() != function.getNumArguments())
      return function.emitOpError("expected a prepare function with a body, "
                                  "its layers and a source for each argument");
    for (Type type : llvm::concat<const Type>(function.getArgumentTypes(),
                                              function.getResultTypes()))
      if (!isa<RankedTensorType>(type))
        return function.emitOpError("expected ranked tensors, got ") << type;
    for (Type type : function.getResultTypes())
      if (!isa_and_nonnull<PackedAttr>(
              cast<RankedTensorType>(type).getEncoding()))
        return function.emitOpError("expected packed results, got ") << type;
    auto experts = function->getAttrOfType<IntegerAttr>(kExpertsAttr);
    int64_t numExperts = experts ? experts.getInt() : 0;
    int64_t instances = std::max<int64_t>(layers.size(), 1);

    SmallVector<Attribute> jobSources, jobOutputs;
    auto sourceShards = function->getAttrOfType<ArrayAttr>(kSourceShardsAttr);
    for (auto [number, name, type] :
         llvm::enumerate(names, function.getArgumentTypes())) {
      jobSources.push_back(index(sources.size()));
      SmallVector<int64_t> shape(cast<RankedTensorType>(type).getShape());
      SmallVector<Attribute> parts;
      if (sourceShards)
        for (auto shard :
             cast<ArrayAttr>(sourceShards[number]).getAsRange<ShardAttr>()) {
          // The manifest has the checkpoint's own shapes.
          shape[shard.getDim()] = shard.getExtent();
          parts.push_back(b.getDictionaryAttr({
              b.getNamedAttr("dim", b.getI64IntegerAttr(shard.getDim())),
              b.getNamedAttr(
                  "axis", b.getStringAttr(stringifyMeshAxis(shard.getAxis()))),
          }));
        }
      SmallVector<NamedAttribute> entry = {
          b.getNamedAttr("name", name),
          b.getNamedAttr("shape", b.getDenseI64ArrayAttr(shape)),
          b.getNamedAttr("layers", layers),
          b.getNamedAttr("experts", b.getI64IntegerAttr(numExperts)),
      };
      if (!parts.empty())
        entry.push_back(b.getNamedAttr("shards", b.getArrayAttr(parts)));
      if (auto shard = function->getAttrOfType<ShardAttr>(kExpertShardAttr)) {
        entry.push_back(b.getNamedAttr("experts_total",
                                       b.getI64IntegerAttr(shard.getExtent())));
        entry.push_back(b.getNamedAttr(
            "expert_axis",
            b.getStringAttr(stringifyMeshAxis(shard.getAxis()))));
      }
      sources.push_back(b.getDictionaryAttr(entry));
    }

    firstSlot[function.getName()] = slots.size();
    StringRef name = function.getName();
    name.consume_front(kReferencePrefix);
    name.consume_front("prepare_");
    for (auto [number, result] : llvm::enumerate(function.getResultTypes())) {
      auto type = cast<RankedTensorType>(result);
      MemRefType storage = getStorageType(type);
      int64_t bytes = storage.getNumElements() *
                      (storage.getElementTypeBitWidth() / 8) *
                      std::max<int64_t>(numExperts, 1);
      SmallVector<int64_t> shape(type.getShape());
      if (numExperts)
        shape.insert(shape.begin(), numExperts);
      auto encoding = cast<PackedAttr>(type.getEncoding());
      std::string layout = stringifyPackOrder(encoding.getOrder()).str();
      if (encoding.getOrder() != PackOrder::Dense)
        layout += "/" + std::to_string(encoding.getWidth());
      std::string slotName = name.str();
      if (function.getNumResults() > 1)
        slotName += "." + std::to_string(number);
      jobOutputs.push_back(index(slots.size()));
      slots.push_back(b.getDictionaryAttr({
          b.getNamedAttr("name", b.getStringAttr(slotName)),
          b.getNamedAttr("layout", b.getStringAttr(layout)),
          b.getNamedAttr("dtype", b.getStringAttr(getDTypeName(type))),
          b.getNamedAttr("shape", b.getDenseI64ArrayAttr(shape)),
          b.getNamedAttr("instances", b.getI64IntegerAttr(instances)),
          b.getNamedAttr("bytes", b.getI64IntegerAttr(bytes)),
          b.getNamedAttr("experts", b.getI64IntegerAttr(numExperts)),
          b.getNamedAttr("gather", b.getBoolAttr(gathered.contains(
                                       {function.getName(), number}))),
      }));
    }
    jobs.push_back(b.getDictionaryAttr({
        b.getNamedAttr("symbol",
                       b.getStringAttr("_mlir_ciface_" + function.getName())),
        b.getNamedAttr("sources", b.getArrayAttr(jobSources)),
        b.getNamedAttr("outputs", b.getArrayAttr(jobOutputs)),
    }));
  }
  setManifestEntry(module, "slots", b.getArrayAttr(slots));
  setManifestEntry(module, "sources", b.getArrayAttr(sources));
  setManifestEntry(module, "prepare", b.getArrayAttr(jobs));
  return success();
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

/// Emits the kernel that packs `sources` (f32, in memory) into `destination`.
static void launchPack(ImplicitLocOpBuilder &b, ModuleOutliner &outliner,
                       PackOp op, ValueRange sources, Value destination) {
  auto type = cast<RankedTensorType>(op.getType());
  auto encoding = cast<PackedAttr>(type.getEncoding());
  cpu::PanelFormat format = getPanelFormat(type);
  int64_t sourceRank = cast<MemRefType>(sources[0].getType()).getRank();
  func::FuncOp kernel;
  if (outliner.reference) {
    kernel = outliner.getOrCreateReferenceKernel(op, sources);
  } else if (encoding.getOrder() == PackOrder::Dense) {
    cpu::ConvertConfig config;
    config.format = format;
    config.rank = sourceRank;
    kernel =
        cpu::getOrCreateConvertKernel(outliner.module, config, outliner.target);
  } else {
    cpu::PackConfig config;
    config.format = format;
    config.transposed = isTransposed(encoding.getOrder());
    config.batched = sourceRank == 3;
    config.rows = outliner.kind == KernelKind::Device;
    auto create = encoding.getOrder() == PackOrder::GatedRows
                      ? cpu::getOrCreatePackGatedRowsKernel
                  : encoding.getOrder() == PackOrder::GatedPanels
                      ? cpu::getOrCreatePackGatedPanelsKernel
                      : cpu::getOrCreatePackPanelsKernel;
    kernel = create(outliner.module, config, outliner.target);
  }
  LaunchOp::create(b, TypeRange(), kernel.getName(), sources,
                   ValueRange(destination), IntegerAttr());
  ++outliner.numLaunches;
}

void ModuleOutliner::outlinePrepare(func::FuncOp function) {
  ImplicitLocOpBuilder b(function.getLoc(), function.getContext());
  Type table = getTableType();
  auto replacement = func::FuncOp::create(
      b, b.getLoc(), function.getName(), b.getFunctionType({table, table}, {}));
  replacement->setAttr(kPrepareAttr, b.getUnitAttr());
  Block *body = replacement.addEntryBlock();
  b.setInsertionPointToStart(body);

  IRMapping mapping;
  for (auto [i, argument] : llvm::enumerate(function.getArguments())) {
    auto type = cast<RankedTensorType>(argument.getType());
    mapping.map(argument,
                WeightViewOp::create(
                    b, MemRefType::get(type.getShape(), b.getF32Type()),
                    body->getArgument(0), static_cast<int64_t>(i), Value())
                    .getResult());
  }
  Operation *terminator = function.getBody().front().getTerminator();
  for (Operation &op : function.getBody().front()) {
    b.setLoc(op.getLoc());
    if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
      mapping.map(expand.getResult(), memref::ExpandShapeOp::create(
                                          b, expand.getType().getShape(),
                                          mapping.lookup(expand.getSrc()),
                                          expand.getReassociationIndices())
                                          .getResult());
    } else if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
      mapping.map(
          collapse.getResult(),
          memref::CollapseShapeOp::create(b, mapping.lookup(collapse.getSrc()),
                                          collapse.getReassociationIndices())
              .getResult());
    } else if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
      mapping.map(slice.getResult(),
                  memref::SubViewOp::create(
                      b, mapping.lookup(slice.getSource()),
                      slice.getMixedOffsets(), slice.getMixedSizes(),
                      slice.getMixedStrides())
                      .getResult());
    } else if (auto pack = dyn_cast<PackOp>(op)) {
      SmallVector<Value> sources;
      for (Value operand : pack->getOperands())
        sources.push_back(mapping.lookup(operand));
      for (OpOperand &use : terminator->getOpOperands()) {
        if (use.get() != pack.getResult())
          continue;
        Value destination = WeightViewOp::create(
            b, getStorageType(cast<RankedTensorType>(pack.getType())),
            body->getArgument(1), static_cast<int64_t>(use.getOperandNumber()),
            Value());
        launchPack(b, *this, pack, sources, destination);
      }
    }
  }
  func::ReturnOp::create(b);
  Block::iterator position = std::next(Block::iterator(function));
  symbols.erase(function);
  symbols.insert(replacement, position);
}

void ModuleOutliner::buildConversions() {
  // The runtime stages every source as f32 before preparation, with one of
  // these: checkpoints may mix element types.
  ImplicitLocOpBuilder b(module.getLoc(), module.getContext());
  SmallVector<NamedAttribute> table;
  auto add = [&](cpu::SourceType source, Type element, StringRef dtype) {
    auto from = MemRefType::get({ShapedType::kDynamic}, element);
    auto to = MemRefType::get({ShapedType::kDynamic}, b.getF32Type());
    std::string name = "convert_" + dtype.lower();
    auto function = func::FuncOp::create(b, b.getLoc(), name,
                                         b.getFunctionType({from, to}, {}));
    function->setAttr(kPrepareAttr, b.getUnitAttr());
    symbols.insert(function, module.getBody()->end());
    Block *body = function.addEntryBlock();
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(body);
    cpu::ConvertConfig config;
    config.source = source;
    config.rank = 1;
    func::FuncOp kernel = cpu::getOrCreateConvertKernel(module, config, target);
    LaunchOp::create(b, TypeRange(), kernel.getName(), body->getArgument(0),
                     body->getArgument(1), IntegerAttr());
    func::ReturnOp::create(b);
    table.push_back(
        b.getNamedAttr(dtype, b.getStringAttr("_mlir_ciface_" + name)));
  };
  add(cpu::SourceType::F32, b.getF32Type(), "F32");
  add(cpu::SourceType::BF16, b.getBF16Type(), "BF16");
  add(cpu::SourceType::F16, b.getF16Type(), "F16");

  setManifestEntry(module, "convert", b.getDictionaryAttr(table));
}
