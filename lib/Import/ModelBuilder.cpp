//===- ModelBuilder.cpp - model configuration to dsv2 IR ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/ModelBuilder.h"

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "dsv2/Import/CostModel.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Location.h"

using namespace mlir;
using namespace mlir::dsv2;

using ::dsv2::LayerKind;
using ::dsv2::LayerRun;
using ::dsv2::ModelConfig;

namespace {

/// The step facts that every layer needs.
struct StepValues {
  Value positions;
  Value seqIds;
  Value seqStarts;
  Value blockTables;
  Value cache;
};

/// Emits one model. The builder's insertion point is the only mutable state
/// besides the layer kind being built.
class ModelBuilder {
public:
  ModelBuilder(MLIRContext *context, const ModelConfig &config)
      : config(config), b(context), f32(b.getF32Type()),
        indexType(b.getIndexType()) {
    switch (config.dtype) {
    case ::dsv2::CheckpointDType::Float32:
      weightType = f32;
      break;
    case ::dsv2::CheckpointDType::Float16:
      weightType = b.getF16Type();
      break;
    case ::dsv2::CheckpointDType::BFloat16:
      weightType = b.getBF16Type();
      break;
    }
    // The plan replaces the format; until then the cache is as exact as the
    // checkpoint (f16 has no cache format of its own, f32 holds it).
    CacheFormat format =
        weightType.isBF16() ? CacheFormat::BF16 : CacheFormat::F32;
    cacheType =
        LatentCacheType::get(context, config.kvLoraRank, config.qkRopeHeadDim,
                             format, kDefaultPageSize);
    YarnAttr yarn;
    if (const auto &y = config.rope.yarn)
      yarn =
          YarnAttr::get(context, y->factor, y->originalMaxPositionEmbeddings,
                        y->betaFast, y->betaSlow, y->mscale, y->mscaleAllDim);
    rope = RopeAttr::get(context, config.rope.dim, config.rope.theta, yarn);
    indicesType = RankedTensorType::get({ShapedType::kDynamic}, b.getI32Type());
    tableType = RankedTensorType::get(
        {ShapedType::kDynamic, ShapedType::kDynamic}, b.getI32Type());
  }

  OwningOpRef<ModuleOp> build();

private:
  const ModelConfig &config;
  OpBuilder b;
  Type f32, indexType, weightType;
  LatentCacheType cacheType;
  RopeAttr rope;
  RankedTensorType indicesType, tableType;

  // The layer kind whose body is being built.
  SmallVector<int64_t> layers;
  Value ordinal, layer;

  RankedTensorType activation(ArrayRef<int64_t> dims) {
    SmallVector<int64_t> shape = {ShapedType::kDynamic};
    llvm::append_range(shape, dims);
    return RankedTensorType::get(shape, f32);
  }

  /// "model.layers.1-59.mlp" for the layers of the kind being built.
  std::string layerText() const {
    std::string text = "model.layers." + std::to_string(layers.front());
    if (layers.size() > 1)
      text += "-" + std::to_string(layers.back());
    return text;
  }

  /// Location of something in the layer body: the layers and the module path
  /// as the checkpoint names it.
  Location at(StringRef path) {
    std::string name =
        layers.empty() ? path.str() : layerText() + "." + path.str();
    return NameLoc::get(
        b.getStringAttr(name),
        FileLineColLoc::get(b.getStringAttr(config.fileName), 1, 1));
  }

  /// The checkpoint tensor `model.layers.{layer}.<path>.weight` of the layer
  /// kind being built, or `<path>.weight` outside layers.
  Value weight(StringRef path, ArrayRef<int64_t> shape) {
    std::string name = path.str() + ".weight";
    Location loc = at(name);
    auto type = RankedTensorType::get(shape, weightType);
    if (layers.empty())
      return WeightOp::create(b, loc, type, name, ArrayRef<int64_t>{}, Value(),
                              /*shards=*/ArrayAttr());
    return WeightOp::create(b, loc, type, "model.layers.{layer}." + name,
                            layers, ordinal, /*shards=*/ArrayAttr());
  }

  Value linear(StringRef path, Value input, int64_t outputs) {
    int64_t inputs = cast<RankedTensorType>(input.getType()).getDimSize(1);
    Value w = weight(path, {outputs, inputs});
    return LinearOp::create(b, at(path), activation({outputs}), input, w);
  }

  Value norm(StringRef path, Value input) {
    auto type = cast<RankedTensorType>(input.getType());
    Value w = weight(path, {type.getDimSize(1)});
    return RMSNormOp::create(b, at(path), type, input, w,
                             b.getF64FloatAttr(config.rmsNormEps));
  }

  /// Elements [offset, offset + size) of the last dimension.
  Value slice(Location loc, Value value, int64_t offset, int64_t size) {
    auto type = cast<RankedTensorType>(value.getType());
    SmallVector<OpFoldResult> offsets(type.getRank(), b.getIndexAttr(0));
    SmallVector<OpFoldResult> strides(type.getRank(), b.getIndexAttr(1));
    SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, value);
    offsets.back() = b.getIndexAttr(offset);
    sizes.back() = b.getIndexAttr(size);
    return tensor::ExtractSliceOp::create(b, loc, value, offsets, sizes,
                                          strides);
  }

  func::FuncOp buildLayer(LayerKind kind, StringRef name);
  Value buildAttention(Value x, const StepValues &step);
  Value buildFFN(StringRef path, Value x, int64_t width);
  Value buildMoE(Value x);
  void buildStep(ArrayRef<func::FuncOp> layerFunctions,
                 ArrayRef<SmallVector<int64_t>> layersOfKind);
  void buildCopyPages();
  DictionaryAttr describeModel();
  DictionaryAttr describeFlops();
};

Value ModelBuilder::buildAttention(Value x, const StepValues &step) {
  int64_t heads = config.numAttentionHeads;
  int64_t nope = config.qkNopeHeadDim, rotary = config.qkRopeHeadDim;
  int64_t qk = config.qkHeadDim(), value = config.vHeadDim;
  int64_t latent = config.kvLoraRank;

  Value q;
  if (config.qLoraRank) {
    Value compressed = linear("self_attn.q_a_proj", x, *config.qLoraRank);
    q = linear("self_attn.q_b_proj",
               norm("self_attn.q_a_layernorm", compressed), heads * qk);
  } else {
    q = linear("self_attn.q_proj", x, heads * qk);
  }
  Location loc = at("self_attn");
  SmallVector<OpFoldResult> headShape = {tensor::getMixedSize(b, loc, q, 0),
                                         b.getIndexAttr(heads),
                                         b.getIndexAttr(qk)};
  q = tensor::ExpandShapeOp::create(b, loc, activation({heads, qk}), q,
                                    ArrayRef<ReassociationIndices>{{0}, {1, 2}},
                                    headShape);
  Value qNope = slice(loc, q, 0, nope);
  Value qRope = slice(loc, q, nope, rotary);
  qRope = RopeOp::create(b, at("self_attn.q_rope"), qRope.getType(), qRope,
                         step.positions, rope);

  // Only the latent is normalised; the shared rotary key is not.
  Value kvA = linear("self_attn.kv_a_proj_with_mqa", x, latent + rotary);
  Value c = norm("self_attn.kv_a_layernorm", slice(loc, kvA, 0, latent));
  Value key = slice(loc, kvA, latent, rotary);
  key = RopeOp::create(b, at("self_attn.k_rope"), key.getType(), key,
                       step.positions, rope);
  LatentAppendOp::create(b, at("self_attn.cache"), c, key, step.cache, layer,
                         step.positions, step.seqIds, step.blockTables);

  // Rows of kv_b_proj are, head by head, those of the key and of the value
  // up-projection.
  Value kvB = weight("self_attn.kv_b_proj", {heads * (nope + value), latent});
  Location kvLoc = at("self_attn.kv_b_proj");
  kvB = tensor::ExpandShapeOp::create(
      b, kvLoc,
      RankedTensorType::get({heads, nope + value, latent}, weightType), kvB,
      ArrayRef<ReassociationIndices>{{0, 1}, {2}});
  auto rows = [&](int64_t first, int64_t count) -> Value {
    SmallVector<OpFoldResult> offsets = {
        b.getIndexAttr(0), b.getIndexAttr(first), b.getIndexAttr(0)};
    SmallVector<OpFoldResult> sizes = {
        b.getIndexAttr(heads), b.getIndexAttr(count), b.getIndexAttr(latent)};
    SmallVector<OpFoldResult> strides(3, b.getIndexAttr(1));
    return tensor::ExtractSliceOp::create(b, kvLoc, kvB, offsets, sizes,
                                          strides);
  };
  Value wUK = rows(0, nope), wUV = rows(nope, value);

  Value o = LatentAttentionOp::create(
      b, loc, activation({heads, value}), qNope, qRope, wUK, wUV, step.cache,
      layer, step.positions, step.seqIds, step.seqStarts, step.blockTables,
      AttentionFormAttr::get(b.getContext(), AttentionForm::Undecided),
      b.getF64FloatAttr(config.softmaxScale()));
  o = tensor::CollapseShapeOp::create(
      b, loc, o, ArrayRef<ReassociationIndices>{{0}, {1, 2}});
  return linear("self_attn.o_proj", o, config.hiddenSize);
}

Value ModelBuilder::buildFFN(StringRef path, Value x, int64_t width) {
  int64_t d = config.hiddenSize;
  std::string prefix = path.str();
  Value gate = weight(prefix + ".gate_proj", {width, d});
  Value up = weight(prefix + ".up_proj", {width, d});
  Value down = weight(prefix + ".down_proj", {d, width});
  return GatedFFNOp::create(b, at(path), x.getType(), x, gate, down, up);
}

Value ModelBuilder::buildMoE(Value x) {
  int64_t d = config.hiddenSize, width = config.moeIntermediateSize;
  int64_t experts = config.nRoutedExperts, topK = config.numExpertsPerTok;
  bool limited = config.topkMethod == ::dsv2::TopKMethod::GroupLimitedGreedy;
  auto slotType = [&](Type element) {
    return RankedTensorType::get({ShapedType::kDynamic, topK}, element);
  };

  Value gate = weight("mlp.gate", {experts, d});
  auto route =
      RouteOp::create(b, at("mlp.gate"), slotType(b.getI32Type()),
                      slotType(f32), x, gate, b.getI64IntegerAttr(topK),
                      b.getI64IntegerAttr(limited ? config.topkGroup : 1),
                      b.getI64IntegerAttr(limited ? config.nGroup : 1),
                      b.getF64FloatAttr(config.routedScalingFactor),
                      config.normTopkProb ? b.getUnitAttr() : UnitAttr());
  auto dispatch =
      DispatchOp::create(b, at("mlp.dispatch"), activation({d}),
                         RankedTensorType::get({experts + 1}, b.getI32Type()),
                         slotType(b.getI32Type()), x, route.getIds());
  Value expertGate =
      weight("mlp.experts.{expert}.gate_proj", {experts, width, d});
  Value expertUp = weight("mlp.experts.{expert}.up_proj", {experts, width, d});
  Value expertDown =
      weight("mlp.experts.{expert}.down_proj", {experts, d, width});
  Value y = ExpertFFNOp::create(b, at("mlp.experts"), activation({d}),
                                dispatch.getResult(), dispatch.getOffsets(),
                                expertGate, expertDown, expertUp);
  y = CombineOp::create(b, at("mlp.combine"), activation({d}), y,
                        dispatch.getRows(), route.getWeights());
  if (config.nSharedExperts > 0) {
    Value shared =
        buildFFN("mlp.shared_experts", x, config.sharedIntermediateSize());
    y = arith::AddFOp::create(b, at("mlp"), y, shared);
  }
  return y;
}

func::FuncOp ModelBuilder::buildLayer(LayerKind kind, StringRef name) {
  OpBuilder::InsertionGuard guard(b);
  RankedTensorType hidden = activation({config.hiddenSize});
  SmallVector<Type> inputs = {hidden,      indexType,   indexType, indicesType,
                              indicesType, indicesType, tableType, cacheType};
  Location loc = at(kind == LayerKind::Dense ? "dense" : "moe");
  auto function =
      func::FuncOp::create(b, loc, name, b.getFunctionType(inputs, {hidden}));
  function.setPrivate();
  Block *body = function.addEntryBlock();
  b.setInsertionPointToStart(body);
  Value h = body->getArgument(0);
  layer = body->getArgument(1);
  ordinal = body->getArgument(2);
  StepValues step = {body->getArgument(3), body->getArgument(4),
                     body->getArgument(5), body->getArgument(6),
                     body->getArgument(7)};

  Value attention = buildAttention(norm("input_layernorm", h), step);
  h = arith::AddFOp::create(b, at("self_attn.residual"), h, attention);
  Value x = norm("post_attention_layernorm", h);
  Value ffn = kind == LayerKind::Dense
                  ? buildFFN("mlp", x, config.intermediateSize)
                  : buildMoE(x);
  h = arith::AddFOp::create(b, at("mlp.residual"), h, ffn);
  func::ReturnOp::create(b, loc, h);
  return function;
}

void ModelBuilder::buildStep(ArrayRef<func::FuncOp> layerFunctions,
                             ArrayRef<SmallVector<int64_t>> layersOfKind) {
  OpBuilder::InsertionGuard guard(b);
  layers.clear();
  RankedTensorType hidden = activation({config.hiddenSize});
  RankedTensorType logitsType = activation({config.vocabSize});
  SmallVector<Type> inputs = {indicesType, indicesType, indicesType,
                              indicesType, tableType,   indicesType,
                              cacheType};
  Location loc = at("model");
  auto function = func::FuncOp::create(b, loc, "step",
                                       b.getFunctionType(inputs, {logitsType}));
  function->setAttr(kEntryAttr, b.getStringAttr("step"));
  Block *body = function.addEntryBlock();
  b.setInsertionPointToStart(body);
  Value tokens = body->getArgument(0);
  SmallVector<Value> step = {body->getArgument(1), body->getArgument(2),
                             body->getArgument(3), body->getArgument(4),
                             body->getArgument(6)};
  Value rows = body->getArgument(5);

  Value table =
      weight("model.embed_tokens", {config.vocabSize, config.hiddenSize});
  Value h = EmbedOp::create(b, at("model.embed_tokens"), hidden, tokens, table,
                            /*first=*/Value());

  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(b, loc, value);
  };
  auto call = [&](LayerKind kind, Value input, Value layer,
                  Value ordinal) -> Value {
    SmallVector<Value> operands = {input, layer, ordinal};
    llvm::append_range(operands, step);
    func::FuncOp callee = layerFunctions[static_cast<int>(kind)];
    return func::CallOp::create(b, callee.getLoc(), callee, operands)
        .getResult(0);
  };
  for (const LayerRun &run : config.layerRuns()) {
    const auto &all = layersOfKind[static_cast<int>(run.kind)];
    int64_t firstOrdinal = llvm::find(all, run.first) - all.begin();
    if (run.size() == 1) {
      h = call(run.kind, h, constant(run.first), constant(firstOrdinal));
      continue;
    }
    auto loop = scf::ForOp::create(b, loc, constant(run.first),
                                   constant(run.last + 1), constant(1), h);
    OpBuilder::InsertionGuard loopGuard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value layer = loop.getInductionVar();
    Value ordinal = arith::AddIOp::create(b, loc, layer,
                                          constant(firstOrdinal - run.first));
    Value next = call(run.kind, loop.getRegionIterArg(0), layer, ordinal);
    scf::YieldOp::create(b, loc, next);
    h = loop.getResult(0);
  }

  h = norm("model.norm", h);
  Value head = weight("lm_head", {config.vocabSize, config.hiddenSize});
  Value logits = LogitsOp::create(b, at("lm_head"), logitsType, h, rows, head);
  func::ReturnOp::create(b, loc, logits);
}

void ModelBuilder::buildCopyPages() {
  OpBuilder::InsertionGuard guard(b);
  Location loc = at("cache");
  auto function = func::FuncOp::create(
      b, loc, "copy_pages",
      b.getFunctionType({cacheType, indicesType, indicesType}, {}));
  function->setAttr(kEntryAttr, b.getStringAttr("copy_pages"));
  Block *body = function.addEntryBlock();
  b.setInsertionPointToStart(body);
  CopyPagesOp::create(b, loc, body->getArgument(0), body->getArgument(1),
                      body->getArgument(2));
  func::ReturnOp::create(b, loc);
}

/// What the manifest says about the model, for whoever runs it.
DictionaryAttr ModelBuilder::describeModel() {
  int64_t parameters = 0, active = 0;
  config.forEachTensorGroup(
      [&](const ::dsv2::TensorSpec &first, int64_t count, int64_t numActive) {
        parameters += first.numElements() * count;
        // Of the embedding a token reads one row, which nobody counts.
        if (first.role != ::dsv2::TensorRole::Embedding)
          active += first.numElements() * numActive;
      });
  SmallVector<NamedAttribute> entries = {
      b.getNamedAttr("name", b.getStringAttr("deepseek_v2")),
      b.getNamedAttr("vocab_size", b.getI64IntegerAttr(config.vocabSize)),
      b.getNamedAttr("hidden_size", b.getI64IntegerAttr(config.hiddenSize)),
      b.getNamedAttr("num_layers", b.getI64IntegerAttr(config.numHiddenLayers)),
      b.getNamedAttr("eos_token_id",
                     b.getDenseI64ArrayAttr(config.eosTokenIds)),
      b.getNamedAttr("max_position_embeddings",
                     b.getI64IntegerAttr(config.maxPositionEmbeddings)),
      b.getNamedAttr("parameters", b.getI64IntegerAttr(parameters)),
      b.getNamedAttr("active_parameters", b.getI64IntegerAttr(active)),
      b.getNamedAttr("experts_per_token",
                     b.getI64IntegerAttr(config.numExpertsPerTok)),
  };
  if (config.bosTokenId)
    entries.push_back(b.getNamedAttr("bos_token_id",
                                     b.getI64IntegerAttr(*config.bosTokenId)));
  return b.getDictionaryAttr(entries);
}

/// What `dsv2-bench` compares with the machine's arithmetic limit. A
/// configuration that verifies keeps these far below 2^63.
DictionaryAttr ModelBuilder::describeFlops() {
  int64_t logits = 2 * config.vocabSize * config.hiddenSize, token = 0;
  config.forEachTensorGroup([&](const ::dsv2::TensorSpec &spec, int64_t,
                                int64_t numActive) {
    if (spec.shape.size() == 2 && spec.role != ::dsv2::TensorRole::Embedding &&
        spec.role != ::dsv2::TensorRole::Head)
      token += 2 * numActive * spec.numElements();
  });
  ::dsv2::AttentionCost attention = ::dsv2::attentionCost(config);
  auto entry = [&](StringRef name, int64_t value) {
    return b.getNamedAttr(name, b.getI64IntegerAttr(value));
  };
  int64_t layers = config.numHiddenLayers;
  return b.getDictionaryAttr({
      entry("token", token),
      entry("logits", logits),
      entry("absorbed_pair", layers * attention.absorbedPair),
      entry("expanded_pair", layers * attention.expandedPair),
  });
}

OwningOpRef<ModuleOp> ModelBuilder::build() {
  OwningOpRef<ModuleOp> module = ModuleOp::create(at("model"), "model");
  b.setInsertionPointToStart(module->getBody());
  setManifestEntry(*module, "model", describeModel());
  setManifestEntry(*module, "flops", describeFlops());

  // Indexed by LayerKind.
  SmallVector<SmallVector<int64_t>> layersOfKind(2);
  for (int64_t i = 0; i < config.numHiddenLayers; ++i)
    layersOfKind[static_cast<int>(config.layerKind(i))].push_back(i);
  SmallVector<func::FuncOp> functions(2);
  for (LayerKind kind : {LayerKind::Dense, LayerKind::MoE}) {
    layers = layersOfKind[static_cast<int>(kind)];
    if (!layers.empty())
      functions[static_cast<int>(kind)] = buildLayer(
          kind, kind == LayerKind::Dense ? "layer_dense" : "layer_moe");
  }
  buildStep(functions, layersOfKind);
  buildCopyPages();
  return module;
}

} // namespace

OwningOpRef<ModuleOp> mlir::dsv2::buildModel(MLIRContext *context,
                                             const ModelConfig &config) {
  context->loadDialect<DSV2Dialect, arith::ArithDialect, func::FuncDialect,
                       scf::SCFDialect, tensor::TensorDialect>();
  return ModelBuilder(context, config).build();
}
