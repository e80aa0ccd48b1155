//===- KernelFacts.cpp - what kernels say about their costs ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/GPU/KernelCosts.h"
#include "dsv2/CodeGen/GPU/SimtKernels.h"

#include "mlir/IR/Builders.h"

#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

//===----------------------------------------------------------------------===//
// Fields: the one list of them, for writing and for reading
//===----------------------------------------------------------------------===//

template <class Fields> static void visit(Fields &f, GemmFacts &facts) {
  f("n", facts.shape.n);
  f("k", facts.shape.k);
  f("epilogue", facts.shape.epilogue);
  f("f32_output", facts.shape.f32Output);
  f("experts", facts.shape.experts);
  f("heads", facts.shape.heads);
  f("format", facts.shape.format);
  f("chip", facts.config.chip);
  f("tile_m", facts.config.tileM);
  f("tile_n", facts.config.tileN);
  f("tile_k", facts.config.tileK);
  f("stages", facts.config.stages);
}
template <class Fields> static void visit(Fields &f, MLADecodeShape &shape) {
  f("heads", shape.heads);
  f("latent", shape.latent);
  f("rope", shape.rope);
  f("scale", shape.scale);
  f("f32_output", shape.f32Output);
}
template <class Fields> static void visit(Fields &f, MLADecodeFacts &facts) {
  visit(f, facts.shape);
  f("chip", facts.chip);
}
template <class Fields> static void visit(Fields &f, MLACombineFacts &facts) {
  visit(f, facts.shape);
  f("chip", facts.chip);
}
template <class Fields> static void visit(Fields &f, MLAPrefillFacts &facts) {
  f("heads", facts.shape.heads);
  f("nope", facts.shape.nope);
  f("rope", facts.shape.rope);
  f("value", facts.shape.value);
  f("scale", facts.shape.scale);
  f("f32_output", facts.shape.f32Output);
  f("chip", facts.chip);
}
template <class Fields> static void visit(Fields &f, ProductFacts &facts) {
  f("outputs", facts.outputs);
  f("inputs", facts.inputs);
  f("heads", facts.heads);
  f("experts", facts.experts);
  f("gated", facts.gated);
  f("residual", facts.residual);
  f("gather", facts.gather);
  f("input_bytes", facts.inputBytes);
  f("weight_bytes", facts.weightBytes);
  f("output_bytes", facts.outputBytes);
  f("format", facts.format);
}
template <class Fields> static void visit(Fields &f, ProductsFacts &facts) {
  f("products", facts.products);
}
template <class Fields> static void visit(Fields &f, GatherRowsConfig &config) {
  f("width", config.width);
  f("from", config.from);
  f("to", config.to);
  f("rows", config.rows);
}
template <class Fields> static void visit(Fields &f, RMSNormConfig &config) {
  f("width", config.width);
  f("eps", config.eps);
  f("input", config.input);
  f("weight", config.weight);
  f("output", config.output);
}
template <class Fields> static void visit(Fields &f, AddConfig &config) {
  f("width", config.width);
}
template <class Fields> static void visit(Fields &f, CombineConfig &config) {
  f("width", config.width);
  f("top_k", config.topK);
  f("shared", config.hasShared);
  f("residual", config.hasResidual);
  f("partial", config.partial);
}
template <class Fields> static void visit(Fields &f, RopeTableConfig &config) {
  f("inverse_frequencies", config.inverseFrequencies);
  f("multiplier", config.multiplier);
}
template <class Fields> static void visit(Fields &f, ApplyRopeConfig &config) {
  f("heads", config.heads);
  f("width", config.width);
  f("input", config.input);
  f("output", config.output);
  f("in_place", config.inPlace);
}
template <class Fields>
static void visit(Fields &f, LatentCacheConfig &config) {
  f("latent", config.latent);
  f("rope", config.rope);
  f("page", config.page);
  f("cache", config.element);
}
template <class Fields>
static void visit(Fields &f, LatentAppendConfig &config) {
  visit(f, config.cache);
  f("latent_input", config.latent);
  f("rope_input", config.rope);
}
template <class Fields>
static void visit(Fields &f, ContextRowsConfig &config) {
  visit(f, config.cache);
}
template <class Fields>
static void visit(Fields &f, LatentInputConfig &config) {
  visit(f, config.cache);
  visit(f, config.rope);
  f("heads", config.heads);
  f("eps", config.eps);
  f("query_input", config.query);
  f("latent_input", config.latent);
  f("rope_input", config.key);
  f("weight", config.weight);
  f("output", config.output);
}
template <class Fields> static void visit(Fields &f, AttentionConfig &config) {
  visit(f, config.cache);
  f("heads", config.heads);
  f("scale", config.scale);
  f("input", config.input);
  f("output", config.output);
}
template <class Fields> static void visit(Fields &f, RouteConfig &config) {
  f("experts", config.experts);
  f("top_k", config.topK);
  f("groups", config.groups);
  f("top_groups", config.topGroups);
  f("scale", config.scale);
  f("normalize", config.normalize);
}
template <class Fields> static void visit(Fields &f, DispatchConfig &config) {
  f("experts", config.experts);
  f("top_k", config.topK);
  f("partial", config.partial);
}
template <class Fields>
static void visit(Fields &f, RouteDispatchFacts &facts) {
  visit(f, facts.route);
}
template <class Fields>
static void visit(Fields &f, RouteProductsFacts &facts) {
  visit(f, facts.route);
  f("products", facts.products);
}
template <class Fields> static void visit(Fields &f, ExchangePlanFacts &facts) {
  f("experts", facts.config.experts);
  f("top_k", facts.config.topK);
  f("ranks", facts.config.ranks);
  f("capacity", facts.config.capacity);
}
template <class Fields> static void visit(Fields &f, ExchangePackFacts &facts) {
  f("width", facts.config.width);
  f("element", facts.config.element);
  f("experts", facts.config.experts);
  f("top_k", facts.config.topK);
  f("ranks", facts.config.ranks);
  f("capacity", facts.config.capacity);
}
template <class Fields>
static void visit(Fields &f, ExchangeUnpackFacts &facts) {
  f("width", facts.config.width);
  f("element", facts.config.element);
  f("top_k", facts.config.topK);
}
template <class Fields>
static void visit(Fields &f, ExchangeCombineFacts &facts) {
  f("width", facts.config.width);
  f("ranks", facts.config.ranks);
}
template <class Fields> static void visit(Fields &, SampleScanFacts &) {}
template <class Fields> static void visit(Fields &, SampleWeighFacts &) {}
template <class Fields> static void visit(Fields &, SampleChooseFacts &) {}

/// By the order of KernelFacts.
static constexpr llvm::StringLiteral kFamilies[] = {
    "gemm",          "mla_decode",    "mla_combine",     "mla_prefill",
    "product",       "products",      "gather_rows",     "rms_norm",
    "add",           "combine",       "rope_table",      "apply_rope",
    "latent_append", "context_rows",  "latent_input",    "attention",
    "route",         "dispatch",      "route_dispatch",  "route_products",
    "exchange_plan", "exchange_pack", "exchange_unpack", "exchange_combine",
    "sample_scan",   "sample_weigh",  "sample_choose"};
static_assert(std::size(kFamilies) == std::variant_size_v<KernelFacts>);

StringRef gpu::getFamily(const KernelFacts &facts) {
  return kFamilies[facts.index()];
}
ArrayRef<llvm::StringLiteral> gpu::getFamilies() { return kFamilies; }

ProductFacts ProductFacts::of(const ProductConfig &config) {
  auto bytes = [](Type type) -> int64_t {
    return type.getIntOrFloatBitWidth() / 8;
  };
  return {config.outputs,       config.inputs,       config.heads,
          config.experts,       config.gated,        config.residual,
          config.gather,        bytes(config.input), bytes(config.weight),
          bytes(config.output), config.format};
}

int64_t ProductFacts::weightRowBytes() const {
  if (const BlockFormat *blocks = getBlockFormat(format))
    return blocks->rowBytes(inputs);
  return inputs * weightBytes;
}

ProductConfig ProductFacts::getConfig(MLIRContext *context) const {
  Builder b(context);
  auto element = [&](int64_t bytes) -> Type {
    return bytes == 4 ? Type(b.getF32Type()) : Type(b.getBF16Type());
  };
  ProductConfig config;
  config.outputs = outputs;
  config.inputs = inputs;
  config.heads = heads;
  config.experts = experts;
  config.gated = gated;
  config.residual = residual;
  config.gather = gather;
  config.input = element(inputBytes);
  config.weight = element(weightBytes);
  config.output = element(outputBytes);
  config.format = format;
  return config;
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

namespace {
class Writer {
public:
  explicit Writer(MLIRContext *context) : b(context) {}

  void operator()(StringRef name, int64_t value) {
    add(name, b.getI64IntegerAttr(value));
  }
  void operator()(StringRef name, bool value) {
    add(name, b.getBoolAttr(value));
  }
  void operator()(StringRef name, double value) {
    add(name, b.getF64FloatAttr(value));
  }
  void operator()(StringRef name, float value) {
    add(name, b.getF32FloatAttr(value));
  }
  void operator()(StringRef name, Type value) {
    add(name, TypeAttr::get(value));
  }
  void operator()(StringRef name, const std::vector<float> &value) {
    add(name, b.getDenseF32ArrayAttr(value));
  }
  void operator()(StringRef name, std::vector<ProductFacts> &value) {
    SmallVector<Attribute> each;
    for (ProductFacts &facts : value) {
      Writer writer(b.getContext());
      visit(writer, facts);
      each.push_back(writer.get());
    }
    add(name, b.getArrayAttr(each));
  }
  template <typename Enum, typename = std::enable_if_t<std::is_enum_v<Enum>>>
  void operator()(StringRef name, Enum value) {
    (*this)(name, static_cast<int64_t>(value));
  }
  void operator()(StringRef name, const std::string &value) {
    add(name, b.getStringAttr(value));
  }
  DictionaryAttr get() { return b.getDictionaryAttr(entries); }

private:
  void add(StringRef name, Attribute value) {
    entries.push_back(b.getNamedAttr(name, value));
  }

  Builder b;
  SmallVector<NamedAttribute> entries;
};
} // namespace

void gpu::setCostFacts(Operation *kernel, const KernelFacts &facts) {
  Writer writer(kernel->getContext());
  writer("family", kFamilies[facts.index()].str());
  std::visit([&](auto copy) { visit(writer, copy); }, facts);
  kernel->setAttr(kCostFactsAttr, writer.get());
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

namespace {
/// Attributes may have been written by hand: whatever is not as it should be
/// makes the whole invalid.
class Reader {
public:
  explicit Reader(DictionaryAttr attribute) : attribute(attribute) {}

  void operator()(StringRef name, int64_t &value) {
    // Sizes; what is computed from them fits a double.
    constexpr int64_t largest = int64_t(1) << 31;
    auto integer = attribute.getAs<IntegerAttr>(name);
    if (!integer || !integer.getType().isSignlessInteger(64) ||
        integer.getInt() < 0 || integer.getInt() > largest)
      isValid = false;
    else
      value = integer.getInt();
  }
  void operator()(StringRef name, bool &value) {
    auto flag = attribute.getAs<BoolAttr>(name);
    isValid &= flag != nullptr;
    value = flag && flag.getValue();
  }
  void operator()(StringRef name, double &value) {
    auto number = attribute.getAs<FloatAttr>(name);
    isValid &= number && number.getType().isF64() &&
               std::isfinite(number.getValueAsDouble());
    if (isValid)
      value = number.getValueAsDouble();
  }
  void operator()(StringRef name, float &value) {
    auto number = attribute.getAs<FloatAttr>(name);
    isValid &= number && number.getType().isF32() &&
               std::isfinite(number.getValueAsDouble());
    if (isValid)
      value = static_cast<float>(number.getValueAsDouble());
  }
  /// Elements of activations, weights and caches.
  void operator()(StringRef name, Type &value) {
    auto type = attribute.getAs<TypeAttr>(name);
    isValid &= type && (type.getValue().isF32() || type.getValue().isBF16());
    if (isValid)
      value = type.getValue();
  }
  void operator()(StringRef name, std::vector<float> &value) {
    auto array = attribute.getAs<DenseF32ArrayAttr>(name);
    isValid &= array && llvm::all_of(array.asArrayRef(), [](float number) {
                 return std::isfinite(number);
               });
    if (isValid)
      value = array.asArrayRef().vec();
  }
  void operator()(StringRef name, std::vector<ProductFacts> &value) {
    auto array = attribute.getAs<ArrayAttr>(name);
    isValid &= array && !array.empty();
    for (Attribute element : array ? array.getValue() : ArrayRef<Attribute>()) {
      auto fields = dyn_cast<DictionaryAttr>(element);
      isValid &= fields != nullptr;
      if (!fields)
        return;
      Reader reader(fields);
      visit(reader, value.emplace_back());
      isValid &= reader.isValid;
    }
  }
  void operator()(StringRef name, GemmEpilogue &value) {
    readEnum(name, value, GemmEpilogue::SwiGLU);
  }
  void operator()(StringRef name, PackFormat &value) {
    readEnum(name, value, PackFormat::FP8);
  }
  void operator()(StringRef name, GatherRowsConfig::Rows &value) {
    readEnum(name, value, GatherRowsConfig::Rows::Part);
  }
  void operator()(StringRef name, std::string &value) {
    auto text = attribute.getAs<StringAttr>(name);
    isValid &= text != nullptr;
    if (text)
      value = text.str();
  }

  bool isValid = true;

private:
  template <typename Enum>
  void readEnum(StringRef name, Enum &value, Enum last) {
    int64_t number = 0;
    (*this)(name, number);
    isValid &= number <= static_cast<int64_t>(last);
    value = static_cast<Enum>(number);
  }

  DictionaryAttr attribute;
};
} // namespace

template <size_t I = 0>
static std::optional<KernelFacts> read(StringRef family,
                                       DictionaryAttr attribute) {
  if constexpr (I < std::variant_size_v<KernelFacts>) {
    if (family != kFamilies[I])
      return read<I + 1>(family, attribute);
    std::variant_alternative_t<I, KernelFacts> facts;
    Reader reader(attribute);
    visit(reader, facts);
    if (!reader.isValid)
      return std::nullopt;
    return KernelFacts(std::move(facts));
  }
  return std::nullopt;
}

namespace {
/// Whether no size is 0 that is divided by, and sizes go together.
struct SizeCheck {
  bool operator()(const GemmFacts &facts) const {
    return facts.shape.n && facts.shape.k && facts.config.tileM >= 16 &&
           facts.config.tileN && facts.config.tileK && facts.config.stages;
  }
  bool operator()(const MLADecodeShape &shape) const {
    return shape.heads && shape.latent;
  }
  bool operator()(const MLADecodeFacts &facts) const {
    return (*this)(facts.shape);
  }
  bool operator()(const MLACombineFacts &facts) const {
    return (*this)(facts.shape);
  }
  bool operator()(const MLAPrefillFacts &facts) const {
    return facts.shape.heads && facts.shape.value;
  }
  bool operator()(const ProductFacts &product) const {
    return product.outputs && product.inputs && product.heads;
  }
  bool operator()(const ProductsFacts &facts) const {
    return llvm::all_of(facts.products, *this);
  }
  bool operator()(const GatherRowsConfig &config) const { return config.width; }
  bool operator()(const RMSNormConfig &config) const { return config.width; }
  bool operator()(const AddConfig &config) const { return config.width; }
  bool operator()(const CombineConfig &config) const {
    return config.width && config.topK;
  }
  bool operator()(const RopeTableConfig &config) const {
    return !config.inverseFrequencies.empty();
  }
  bool operator()(const ApplyRopeConfig &config) const {
    return config.heads && config.width && config.width % 2 == 0;
  }
  bool operator()(const LatentCacheConfig &config) const {
    return config.latent && config.rope && config.page;
  }
  bool operator()(const LatentAppendConfig &config) const {
    return (*this)(config.cache);
  }
  bool operator()(const ContextRowsConfig &config) const {
    return (*this)(config.cache);
  }
  bool operator()(const LatentInputConfig &config) const {
    return (*this)(config.cache) && config.heads &&
           config.cache.rope ==
               2 * static_cast<int64_t>(config.rope.inverseFrequencies.size());
  }
  bool operator()(const AttentionConfig &config) const {
    return (*this)(config.cache) && config.heads;
  }
  bool operator()(const RouteConfig &config) const {
    return config.groups && config.topGroups <= config.groups && config.topK &&
           config.experts % config.groups == 0 &&
           config.topK <= config.experts / config.groups * config.topGroups;
  }
  bool operator()(const DispatchConfig &config) const {
    return config.topK && config.topK <= config.experts;
  }
  bool operator()(const RouteDispatchFacts &facts) const {
    return (*this)(facts.route);
  }
  bool operator()(const RouteProductsFacts &facts) const {
    return (*this)(facts.route) && llvm::all_of(facts.products, *this);
  }
  bool operator()(const ExchangePlanFacts &facts) const {
    return facts.config.experts && facts.config.topK && facts.config.ranks;
  }
  bool operator()(const ExchangePackFacts &facts) const {
    return facts.config.width && facts.config.experts && facts.config.topK &&
           facts.config.ranks;
  }
  bool operator()(const ExchangeUnpackFacts &facts) const {
    return facts.config.width && facts.config.topK;
  }
  bool operator()(const ExchangeCombineFacts &facts) const {
    return facts.config.width && facts.config.ranks;
  }
  bool operator()(const SampleScanFacts &) const { return true; }
  bool operator()(const SampleWeighFacts &) const { return true; }
  bool operator()(const SampleChooseFacts &) const { return true; }
};
} // namespace

std::optional<KernelFacts> gpu::getCostFacts(Operation *kernel) {
  return getCostFacts(kernel->getAttr(kCostFactsAttr));
}

std::optional<KernelFacts> gpu::getCostFacts(Attribute value) {
  auto attribute = dyn_cast_or_null<DictionaryAttr>(value);
  auto family =
      attribute ? attribute.getAs<StringAttr>("family") : StringAttr();
  if (!family)
    return std::nullopt;
  std::optional<KernelFacts> facts = read(family.getValue(), attribute);
  if (facts && !std::visit(SizeCheck(), *facts))
    return std::nullopt;
  return facts;
}
