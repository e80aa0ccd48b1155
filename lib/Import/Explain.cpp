//===- Explain.cpp - The resolved configuration, for people and tools -----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/Explain.h"

#include "ExplainMesh.h"
#include "TextWriter.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"

#include <algorithm>
#include <string>
#include <vector>

using namespace dsv2;
using namespace llvm;

/// Returns the snake-case key of a tensor role: "routed_experts".
static std::string roleKey(TensorRole role) {
  std::string key = stringifyTensorRole(role).str();
  llvm::replace(key, ' ', '_');
  return key;
}

static TensorRole roleAt(size_t index) {
  return static_cast<TensorRole>(index);
}

/// The plan for several ranks, if one is asked for.
static std::optional<Expected<MeshPlan>>
meshFor(const ModelConfig &config, const ExplainOptions &options) {
  if (!options.mesh && !options.machine)
    return std::nullopt;
  MeshRequest request;
  request.mesh = options.mesh.value_or(mlir::dsv2::MeshShape());
  request.context = options.context;
  request.batch = options.batch;
  request.stepTokens = options.stepTokens;
  request.kvFormat = options.kvFormat;
  request.machine = options.machine;
  request.dispatchCapacity = options.dispatchCapacity;
  request.forDevice = options.forDevice;
  return planMesh(config, *options.weights, request);
}

/// The options with `weights`, which depend on names of all tensors and take
/// their time.
static ExplainOptions withWeights(const ModelConfig &config,
                                  const ExplainOptions &given) {
  ExplainOptions options = given;
  if (options.weights)
    return options;
  // Defaults suit every model.
  WeightPolicy policy =
      cantFail(WeightPolicy::create(options.weightFormat->name));
  options.weights = cantFail(planWeights(config, policy));
  return options;
}

static Expected<MemoryPlan> planFor(const ModelConfig &config,
                                    const ExplainOptions &options) {
  MemoryRequest request;
  request.context = options.context;
  request.batch = options.batch;
  request.weightFormat = options.weightFormat;
  request.weightBytes = options.weights->bytes();
  request.kvFormat = options.kvFormat;
  request.stepTokens = options.stepTokens;
  return planMemory(config, request);
}

/// Names in messages come from an untrusted file; json::Value insists on UTF-8.
static std::string fixed(StringRef text) { return json::fixUTF8(text); }

//===----------------------------------------------------------------------===//
// JSON
//===----------------------------------------------------------------------===//

static json::Value makeErrorValue(Error error) {
  return json::Object{{"error", fixed(toString(std::move(error)))}};
}

static json::Value toJson(std::optional<int64_t> value) {
  return value ? json::Value(*value) : json::Value(nullptr);
}

static json::Object explainModel(const ModelConfig &config) {
  json::Array eos;
  for (int64_t id : config.eosTokenIds)
    eos.push_back(id);
  return json::Object{
      {"vocab_size", config.vocabSize},
      {"hidden_size", config.hiddenSize},
      {"num_hidden_layers", config.numHiddenLayers},
      {"max_position_embeddings", config.maxPositionEmbeddings},
      {"rms_norm_eps", config.rmsNormEps},
      {"intermediate_size", config.intermediateSize},
      {"dtype", stringifyCheckpointDType(config.dtype)},
      {"bos_token_id", toJson(config.bosTokenId)},
      {"eos_token_ids", std::move(eos)},
      {"pad_token_id", toJson(config.padTokenId)},
  };
}

static json::Object explainLayers(const ModelConfig &config) {
  json::Array runs;
  for (const LayerRun &run : config.layerRuns())
    runs.push_back(json::Object{{"kind", stringifyLayerKind(run.kind)},
                                {"first", run.first},
                                {"last", run.last}});
  return json::Object{
      {"total", config.numHiddenLayers},
      {"dense", config.numDenseLayers()},
      {"moe", config.numMoELayers()},
      {"first_k_dense_replace", config.firstKDenseReplace},
      {"moe_layer_freq", config.moeLayerFreq},
      {"runs", std::move(runs)},
  };
}

static json::Object explainAttention(const ModelConfig &config) {
  return json::Object{
      {"num_heads", config.numAttentionHeads},
      {"q_lora_rank", toJson(config.qLoraRank)},
      {"kv_lora_rank", config.kvLoraRank},
      {"qk_nope_head_dim", config.qkNopeHeadDim},
      {"qk_rope_head_dim", config.qkRopeHeadDim},
      {"qk_head_dim", config.qkHeadDim()},
      {"v_head_dim", config.vHeadDim},
      {"latent_dim", config.latentDim()},
      {"softmax_scale", config.softmaxScale()},
  };
}

static json::Value explainRouter(const ModelConfig &config) {
  if (config.numMoELayers() == 0)
    return nullptr;
  return json::Object{
      {"n_routed_experts", config.nRoutedExperts},
      {"n_shared_experts", config.nSharedExperts},
      {"num_experts_per_tok", config.numExpertsPerTok},
      {"moe_intermediate_size", config.moeIntermediateSize},
      {"shared_intermediate_size", config.sharedIntermediateSize()},
      {"scoring_func", "softmax"},
      {"topk_method", stringifyTopKMethod(config.topkMethod)},
      {"n_group", config.nGroup},
      {"topk_group", config.topkGroup},
      {"norm_topk_prob", config.normTopkProb},
      {"routed_scaling_factor", config.routedScalingFactor},
  };
}

static json::Object explainRope(const ModelConfig &config) {
  const RopeConfig &rope = config.rope;
  json::Object result{
      {"type", rope.yarn ? "yarn" : "default"},
      {"theta", rope.theta},
      {"dim", rope.dim},
      {"cos_sin_multiplier", rope.cosSinMultiplier()},
      {"attention_mscale", rope.attentionMscale()},
  };
  if (rope.yarn) {
    RopeConfig::CorrectionRange range = *rope.correctionRange();
    result["yarn"] = json::Object{
        {"factor", rope.yarn->factor},
        {"original_max_position_embeddings",
         rope.yarn->originalMaxPositionEmbeddings},
        {"beta_fast", rope.yarn->betaFast},
        {"beta_slow", rope.yarn->betaSlow},
        {"mscale", rope.yarn->mscale},
        {"mscale_all_dim", rope.yarn->mscaleAllDim},
        {"low", range.low},
        {"high", range.high},
    };
  } else {
    result["yarn"] = nullptr;
  }
  json::Array frequencies;
  for (float frequency : rope.inverseFrequencies())
    frequencies.push_back(static_cast<double>(frequency));
  result["inv_freq"] = std::move(frequencies);
  return result;
}

static json::Object explainParameters(const ModelConfig &config,
                                      const ParameterCounts &counts) {
  json::Object byRole;
  for (size_t i = 0; i < ParameterCounts::numRoles; ++i)
    byRole[roleKey(roleAt(i))] = counts.byRole[i];
  return json::Object{
      {"total", counts.total},
      {"tensors", config.numTensors()},
      {"by_role", std::move(byRole)},
      {"active_blocks", counts.activeBlocks},
      {"active_with_head", counts.activeWithHead},
      {"active_with_head_and_embedding", counts.activeWithHeadAndEmbedding},
  };
}

static json::Value explainFlops(const ModelConfig &config, int64_t context) {
  Expected<DecodeFlops> flops = decodeFlops(config, context);
  if (!flops)
    return makeErrorValue(flops.takeError());
  return json::Object{
      {"linear", flops->linear},
      {"attention_absorbed", flops->attentionAbsorbed},
      {"attention_expanded", flops->attentionExpanded},
      {"attention_expanded_cache", flops->attentionExpandedCache},
      {"absorbed", flops->absorbed()},
      {"expanded", flops->expanded()},
      {"expanded_cache", flops->expandedCache()},
  };
}

static json::Object explainWeights(const WeightPlan &plan) {
  json::Array tensors;
  for (const PlannedWeight &weight : plan.weights)
    tensors.push_back(
        json::Object{{"name", weight.name},
                     {"format", stringifyWeightFormat(weight.format)},
                     {"parameters", weight.parameters},
                     {"bytes", weight.bytes},
                     {"active_bytes", weight.activeBytes}});
  return json::Object{
      {"format", stringifyWeightFormat(plan.baseFormat)},
      {"has_rules", plan.hasRules},
      {"bytes", plan.bytes()},
      {"active_bytes", plan.activeBytes()},
      {"bits_per_weight", plan.bitsPerWeight()},
      {"tensors", std::move(tensors)},
  };
}

static json::Value explainMemory(const ModelConfig &config,
                                 const ExplainOptions &options) {
  Expected<MemoryPlan> plan = planFor(config, options);
  if (!plan)
    return makeErrorValue(plan.takeError());
  json::Object result{
      {"context", options.context},
      {"batch", options.batch},
      {"step_tokens", options.stepTokens},
      {"weight_format", options.weightFormat->name},
      {"kv_format", options.kvFormat->name},
      {"weight_bytes", plan->weightBytes},
      {"cache_bytes", plan->cacheBytes},
      {"workspace_bytes_estimate", plan->workspaceBytes},
      {"total_bytes", plan->totalBytes},
  };
  if (options.memoryBudget) {
    result["budget_bytes"] = *options.memoryBudget;
    result["fits"] = plan->totalBytes <= *options.memoryBudget;
    result["largest_context"] =
        largestContext(config, *plan, *options.memoryBudget);
    if (Error error = checkMemoryBudget(config, *plan, *options.memoryBudget))
      result["message"] = fixed(toString(std::move(error)));
  }
  return result;
}

json::Value dsv2::explainJson(const ModelConfig &config,
                              const ExplainOptions &given) {
  ExplainOptions options = withWeights(config, given);
  json::Object weightsPerToken, weights, kvPerToken;
  for (const WeightFormatInfo &format : weightFormats()) {
    weightsPerToken[format.name] = activeWeightBytes(config, format);
    weights[format.name] = weightBytes(config, format);
  }
  for (const KVFormatInfo &format : kvFormats())
    kvPerToken[format.name] = kvBytesPerToken(config, format);

  json::Array defaulted, ignored;
  for (const DefaultedKey &entry : config.defaultedKeys)
    defaulted.push_back(
        json::Object{{"key", fixed(entry.key)}, {"value", entry.value}});
  for (const IgnoredKey &entry : config.ignoredKeys)
    ignored.push_back(
        json::Object{{"key", fixed(entry.key)},
                     {"reason", stringifyIgnoredReason(entry.reason)}});

  json::Object result{
      {"schema_version", ExplainOptions::schemaVersion},
      {"file", fixed(config.fileName)},
      {"model", explainModel(config)},
      {"layers", explainLayers(config)},
      {"attention", explainAttention(config)},
      {"router", explainRouter(config)},
      {"rope", explainRope(config)},
      {"parameters", explainParameters(config, countParameters(config))},
      {"weight_bytes", std::move(weights)},
      {"weights", explainWeights(*options.weights)},
      {"kv_cache", json::Object{{"elements_per_token",
                                 config.numHiddenLayers * config.latentDim()},
                                {"bytes_per_token", std::move(kvPerToken)}}},
      {"decode", json::Object{{"context", options.context},
                              {"flops", explainFlops(config, options.context)},
                              {"weight_bytes", std::move(weightsPerToken)}}},
      {"memory", explainMemory(config, options)},
      {"defaulted_keys", std::move(defaulted)},
      {"ignored_keys", std::move(ignored)},
  };
  if (auto mesh = meshFor(config, options)) {
    if (*mesh)
      result["mesh"] = explainMesh(config, **mesh);
    else
      result["mesh"] = makeErrorValue(mesh->takeError());
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

static std::string runText(const LayerRun &run) {
  std::string text = stringifyLayerKind(run.kind).str();
  if (run.first == run.last)
    return text + " [" + std::to_string(run.first) + "]";
  return text + " [" + std::to_string(run.first) + ".." +
         std::to_string(run.last) + "]";
}

static void printLayers(TextWriter &writer, const ModelConfig &config) {
  // Alternating layers make many runs of one; the first few show the pattern.
  constexpr size_t maxRuns = 8;
  std::vector<std::string> texts;
  std::vector<LayerRun> runs = config.layerRuns();
  for (const LayerRun &run : ArrayRef(runs).take_front(maxRuns))
    texts.push_back(runText(run));
  if (runs.size() > maxRuns)
    texts.push_back("...");
  writer.heading("layers");
  writer.value("kinds", join(texts, ", "));
  writer.value("dense layers", config.numDenseLayers());
  writer.value("moe layers", config.numMoELayers());
  writer.value("hidden size", config.hiddenSize);
  writer.value("vocabulary", config.vocabSize);
  writer.value("longest position", config.maxPositionEmbeddings);
  if (config.numDenseLayers())
    writer.value("dense ffn width", config.intermediateSize);
  writer.value("rms norm epsilon", config.rmsNormEps);
  writer.value("checkpoint type", stringifyCheckpointDType(config.dtype));
}

static void printAttention(TextWriter &writer, const ModelConfig &config) {
  writer.heading("latent attention");
  writer.value("heads", config.numAttentionHeads);
  if (config.qLoraRank)
    writer.value("query latent", *config.qLoraRank);
  else
    writer.value("query latent", "none, single q_proj");
  writer.value("key/value latent", config.kvLoraRank);
  writer.line("head widths")
      << "qk " << config.qkHeadDim() << " = " << config.qkNopeHeadDim << " + "
      << config.qkRopeHeadDim << " rotated, v " << config.vHeadDim << "\n";
  writer.value("softmax scale", config.softmaxScale());
}

static void printRouter(TextWriter &writer, const ModelConfig &config) {
  writer.heading("router");
  if (config.numMoELayers() == 0)
    return writer.value("experts", "none, every layer is dense");
  writer.line("experts") << config.nRoutedExperts << " routed, "
                         << config.numExpertsPerTok << " per token, "
                         << config.nSharedExperts << " shared\n";
  writer.line("widths") << config.moeIntermediateSize << " per expert, "
                        << config.sharedIntermediateSize() << " shared\n";
  writer.value("scores", "softmax over all routed experts");
  raw_ostream &os = writer.line("selection");
  os << stringifyTopKMethod(config.topkMethod);
  if (config.topkMethod == TopKMethod::GroupLimitedGreedy)
    os << ", " << config.topkGroup << " of " << config.nGroup << " groups of "
       << config.nRoutedExperts / config.nGroup;
  os << "\n";
  writer.value("weights normalised", config.normTopkProb ? "yes" : "no");
  writer.value("weights scaled by", config.routedScalingFactor);
}

static void printRope(TextWriter &writer, const ModelConfig &config) {
  const RopeConfig &rope = config.rope;
  writer.heading("rotary embedding");
  writer.value("type", rope.yarn ? "yarn" : "default");
  writer.value("theta", rope.theta);
  writer.value("width", rope.dim);
  if (rope.yarn) {
    RopeConfig::CorrectionRange range = *rope.correctionRange();
    writer.value("factor", rope.yarn->factor);
    writer.value("original length", rope.yarn->originalMaxPositionEmbeddings);
    writer.line("beta fast, slow")
        << format("%g, %g\n", rope.yarn->betaFast, rope.yarn->betaSlow);
    writer.line("mscale, mscale_all_dim")
        << format("%g, %g\n", rope.yarn->mscale, rope.yarn->mscaleAllDim);
    writer.line("blend range") << "low " << range.low << ", high " << range.high
                               << " of " << rope.dim / 2 << " pairs\n";
  }
  writer.value("cos/sin multiplier", rope.cosSinMultiplier());
  writer.value("attention mscale", rope.attentionMscale());
}

static void printParameters(TextWriter &writer, const ModelConfig &config) {
  ParameterCounts counts = countParameters(config);
  writer.heading("parameters");
  writer.count("total", counts.total);
  for (size_t i = 0; i < ParameterCounts::numRoles; ++i)
    if (counts.byRole[i])
      writer.count("  " + stringifyTensorRole(roleAt(i)), counts.byRole[i]);
  writer.count("active, blocks and final norm", counts.activeBlocks);
  writer.count("active, with head", counts.activeWithHead);
  writer.count("active, with head and embedding",
               counts.activeWithHeadAndEmbedding);
  writer.value("checkpoint tensors", config.numTensors());
}

/// One line a name: format, bytes, bits.
static void printWeights(TextWriter &writer, const ExplainOptions &options) {
  const WeightPlan &plan = *options.weights;
  writer.heading(("weights as " + stringifyWeightFormat(plan.baseFormat) +
                  (plan.hasRules ? " and rules say" : " says"))
                     .str());
  for (const PlannedWeight &weight : plan.weights)
    writer.line(weight.name, /*width=*/58)
        << left_justify(stringifyWeightFormat(weight.format), 6) << weight.bytes
        << " (" << formatBytes(weight.bytes) << ")\n";
  writer.bytes("total", plan.bytes());
  writer.bytes("read for one token", plan.activeBytes());
  writer.value("bits per weight", plan.bitsPerWeight());
}

static void printDecode(TextWriter &writer, const ModelConfig &config,
                        const ExplainOptions &options) {
  writer.heading("one decoded token at context " +
                 std::to_string(options.context));
  Expected<DecodeFlops> flops = decodeFlops(config, options.context);
  if (flops) {
    writer.count("FLOPs, absorbed attention", flops->absorbed());
    writer.count("FLOPs, expanded attention", flops->expanded());
    writer.count("  of these, weight products", flops->linear);
  } else {
    writer.value("FLOPs", toString(flops.takeError()));
  }
  for (const WeightFormatInfo &format : weightFormats())
    writer.bytes("weight bytes read, " + format.name,
                 activeWeightBytes(config, format));
}

static void printCache(TextWriter &writer, const ModelConfig &config) {
  writer.heading("latent cache");
  writer.value("values per token", config.numHiddenLayers * config.latentDim());
  for (const KVFormatInfo &format : kvFormats())
    writer.bytes("bytes per token, " + format.name,
                 kvBytesPerToken(config, format));
}

static void printMemory(TextWriter &writer, const ModelConfig &config,
                        const ExplainOptions &options) {
  writer.heading(formatv("memory at context {0}, batch {1}", options.context,
                         options.batch)
                     .str());
  Expected<MemoryPlan> plan = planFor(config, options);
  if (!plan)
    return writer.value("plan", toString(plan.takeError()));
  writer.bytes("weights, " + options.weightFormat->name +
                   (options.weights->hasRules ? " and rules" : ""),
               plan->weightBytes);
  writer.bytes("latent cache, " + options.kvFormat->name, plan->cacheBytes);
  writer.bytes("workspace, estimate", plan->workspaceBytes);
  writer.bytes("total", plan->totalBytes);
  if (!options.memoryBudget)
    return;
  writer.bytes("available", *options.memoryBudget);
  writer.value("largest context that fits",
               largestContext(config, *plan, *options.memoryBudget));
  if (Error error = checkMemoryBudget(config, *plan, *options.memoryBudget))
    writer.value("verdict", toString(std::move(error)));
  else
    writer.value("verdict", "fits");
}

void dsv2::printExplainText(raw_ostream &os, const ModelConfig &config,
                            const ExplainOptions &given) {
  ExplainOptions options = withWeights(config, given);
  TextWriter writer(os);
  printLayers(writer, config);
  printAttention(writer, config);
  printRouter(writer, config);
  printRope(writer, config);
  printParameters(writer, config);
  printWeights(writer, options);
  printDecode(writer, config, options);
  printCache(writer, config);
  printMemory(writer, config, options);
  if (auto mesh = meshFor(config, options)) {
    if (*mesh) {
      printMesh(writer, config, **mesh);
    } else {
      writer.heading("several ranks");
      writer.value("plan", toString(mesh->takeError()));
    }
  }

  writer.heading("defaulted keys");
  if (config.defaultedKeys.empty())
    os << "  none\n";
  for (const DefaultedKey &entry : config.defaultedKeys)
    writer.value(escapeText(entry.key), entry.value);
  writer.heading("ignored keys");
  if (config.ignoredKeys.empty())
    os << "  none\n";
  for (const IgnoredKey &entry : config.ignoredKeys)
    writer.value(escapeText(entry.key), stringifyIgnoredReason(entry.reason));
}
