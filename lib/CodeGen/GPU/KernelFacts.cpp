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

/// By the order of KernelFacts.
static constexpr llvm::StringLiteral kFamilies[] = {
    "gemm", "mla_decode", "mla_combine", "mla_prefill", "product", "products"};
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

/// Whether no size is 0 that is divided by.
static bool hasSizes(const KernelFacts &facts) {
  if (auto *gemm = std::get_if<GemmFacts>(&facts))
    return gemm->shape.n && gemm->shape.k && gemm->config.tileM >= 16 &&
           gemm->config.tileN && gemm->config.tileK && gemm->config.stages;
  if (auto *prefill = std::get_if<MLAPrefillFacts>(&facts))
    return prefill->shape.heads && prefill->shape.value;
  auto isProduct = [](const ProductFacts &product) {
    return product.outputs && product.inputs && product.heads;
  };
  if (auto *product = std::get_if<ProductFacts>(&facts))
    return isProduct(*product);
  if (auto *several = std::get_if<ProductsFacts>(&facts))
    return llvm::all_of(several->products, isProduct);
  auto isShape = [](const MLADecodeShape &shape) {
    return shape.heads && shape.latent;
  };
  if (auto *decode = std::get_if<MLADecodeFacts>(&facts))
    return isShape(decode->shape);
  return isShape(std::get<MLACombineFacts>(facts).shape);
}

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
  if (facts && !hasSizes(*facts))
    return std::nullopt;
  return facts;
}
