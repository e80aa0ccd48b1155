//===- BenchCases.cpp - cases that are worth timing -----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BenchCases.h"

#include "FactsCase.h"
#include "GemmCase.h"
#include "MLADecodeCase.h"
#include "MLAPrefillCase.h"
#include "ReadCase.h"
#include "SimtProductCase.h"

#include <cmath>
#include <map>
#include <numeric>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cases;
using namespace mlir::dsv2::gpu;

namespace {

/// Collects the files of one chip.
class Bench {
public:
  Bench(MLIRContext &context, StringRef chip, int64_t multiprocessors,
        BenchSize size)
      : context(context), chip(chip.str()), multiprocessors(multiprocessors),
        size(size) {}

  void addRead();
  void addDecode();
  void addDense();
  void addModelProducts();
  void addExperts();
  void addFewRows();
  void addSweep();
  void addPrefill();

  std::vector<BenchFile> files;

private:
  bool full() const { return size == BenchSize::Full; }
  /// Names a case after what it is of; the chip is said if it is not the
  /// newest.
  void label(KernelCases &cases, const std::string &text) const {
    cases.cases.back().name = chip == "sm_90a" ? text : chip + " " + text;
  }
  void addDecodeFile(int64_t heads);
  /// `typicalRows`: of a launch, or of an expert, what the configuration is
  /// chosen for.
  void addProduct(const std::string &text, const GemmShape &shape,
                  const std::vector<int64_t> &counts, int64_t typicalRows) {
    addProduct(text, shape, counts,
               chooseGemmConfig(chip, multiprocessors, shape, typicalRows));
  }
  void addProduct(const std::string &text, const GemmShape &shape,
                  const std::vector<int64_t> &counts, const GemmConfig &config);
  void addVariants(const std::string &text, const GemmShape &shape,
                   const std::vector<int64_t> &counts);

  void addFewRowsFile(const std::string &text, const ProductConfig &config);

  MLIRContext &context;
  std::string chip;
  int64_t multiprocessors;
  BenchSize size;
  /// Product cases by kernel, which several of them may share.
  std::map<std::string, size_t> fileOf;
};

} // namespace

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

void Bench::addDecodeFile(int64_t heads) {
  MLADecodeShape shape;
  shape.heads = heads;
  // 192 elements of a query and a key before absorption.
  shape.scale = 1 / std::sqrt(192.0);
  BenchFile &file = files.emplace_back();
  file.name = "decode_h" + std::to_string(heads) + "_" + chip;
  file.build = [shape, chip = chip](ModuleOp module) {
    getOrCreateMLADecode(module, shape, chip);
    getOrCreateMLACombine(module, shape, chip);
  };
  file.addCases = [=](KernelCases &cases) {
    auto add = [&](const std::string &text, std::vector<int32_t> lengths,
                   std::vector<int32_t> sequences) {
      MLADecodeProblem(shape, lengths, sequences, 1, /*isDense=*/true)
          .addTo(cases, chip, multiprocessors, Extent::Samples);
      label(cases, "decode h=" + std::to_string(heads) + " " + text);
    };
    // So many sequences of the same length.
    auto even = [&](int32_t batch, int32_t length) {
      std::vector<int32_t> sequences(batch);
      std::iota(sequences.begin(), sequences.end(), 0);
      add("b=" + std::to_string(batch) + " s=" + std::to_string(length),
          std::vector<int32_t>(batch, length), sequences);
    };
    if (!full()) {
      even(2, 150);
      return add("imbalanced", {70, 300, 20}, {0, 1, 2});
    }
    even(1, 4096);
    even(32, 4096);
    even(128, 1024);
    even(128, 4096);
    // Four prompts of very different lengths, with one and with four tokens
    // each (the ThunderMLA post).
    std::vector<int32_t> lengths = {4641, 45118, 1730, 1696}, all, ids;
    add("imbalanced b=4", lengths, {0, 1, 2, 3});
    for (int32_t s = 0; s < 4; ++s)
      for (int32_t t = 3; t >= 0; --t) {
        all.push_back(lengths[s] - t);
        ids.push_back(s);
      }
    add("imbalanced b=4 of 4 tokens", all, ids);
  };
}

void Bench::addDecode() {
  for (int64_t heads :
       full() ? std::vector<int64_t>{16, 64, 128} : std::vector<int64_t>{16})
    addDecodeFile(heads);
}

void Bench::addRead() {
  BenchFile &file = files.emplace_back();
  file.name = "a_read_" + chip;
  file.build = [](ModuleOp module) { addReadKernel(module); };
  file.addCases = [=](KernelCases &cases) {
    // Two blocks fill a multiprocessor; about a gigabyte.
    addReadCase(cases, 2 * multiprocessors, full() ? 60 : 3);
    label(cases, "read");
  };
}

void Bench::addPrefill() {
  for (int64_t heads :
       full() ? std::vector<int64_t>{16, 128} : std::vector<int64_t>{2}) {
    MLAPrefillShape shape;
    shape.heads = heads;
    shape.scale = 1 / std::sqrt(double(shape.query()));
    BenchFile &file = files.emplace_back();
    file.name = "prefill_h" + std::to_string(heads) + "_" + chip;
    file.build = [shape, chip = chip](ModuleOp module) {
      getOrCreateMLAPrefill(module, shape, chip);
    };
    file.addCases = [=](KernelCases &cases) {
      auto add = [&](int32_t chunk, int32_t past) {
        MLAPrefillProblem(shape, {chunk}, {past}, 1)
            .addTo(cases, chip, Extent::Samples);
        label(cases, "prefill h=" + std::to_string(heads) +
                         " T=" + std::to_string(chunk) +
                         (past ? " past=" + std::to_string(past) : ""));
      };
      if (!full())
        return add(150, 40);
      for (int32_t tokens : {1024, 4096, 8192})
        add(tokens, 0);
      add(512, 4096);
    };
  }
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

static GemmShape makeShape(int64_t n, int64_t k,
                           GemmEpilogue epilogue = GemmEpilogue::Store,
                           int64_t experts = 0, bool f32 = false) {
  GemmShape shape;
  shape.n = n;
  shape.k = k;
  shape.epilogue = epilogue;
  shape.experts = experts;
  shape.f32Output = f32;
  return shape;
}

/// The formats of weights in blocks. fp8 has the bytes of q8: one case of each
/// kind shows that it is right.
static constexpr PackFormat kBlockFormats[] = {PackFormat::Q8, PackFormat::Q4};
static constexpr PackFormat kAllBlockFormats[] = {
    PackFormat::Q8, PackFormat::Q4, PackFormat::FP8};

/// `shape` with weights in blocks.
static GemmShape inBlocks(GemmShape shape, PackFormat format) {
  shape.format = format;
  return shape;
}

/// Adds a case to the file of its kernel.
void Bench::addProduct(const std::string &text, const GemmShape &shape,
                       const std::vector<int64_t> &counts,
                       const GemmConfig &config) {
  std::string kernel = getGemmName(shape, config);
  auto [place, isFirst] = fileOf.try_emplace(kernel, files.size());
  if (isFirst) {
    BenchFile &file = files.emplace_back();
    file.name = kernel;
    file.build = [=](ModuleOp module) {
      getOrCreateGemm(module, shape, config);
    };
    file.addCases = [](KernelCases &) {};
  }
  BenchFile &file = files[place->second];
  file.addCases = [=, before = std::move(file.addCases)](KernelCases &cases) {
    before(cases);
    GemmProblem(shape, counts, 1)
        .addTo(cases, config, multiprocessors, Extent::Samples);
    label(cases, text);
  };
}

void Bench::addDense() {
  struct Size {
    int64_t t, n, k;
  };
  std::vector<Size> sizes = {
      {4096, 4096, 4096}, {8192, 8192, 8192}, {8192, 4096, 7168}};
  if (!full())
    sizes = {{130, 256, 128}};
  for (auto [t, n, k] : sizes)
    addProduct("gemm T=" + std::to_string(t) + " N=" + std::to_string(n) +
                   " K=" + std::to_string(k),
               makeShape(n, k), {t}, t);
  for (PackFormat format : kAllBlockFormats) {
    auto [t, n, k] = sizes.front();
    addProduct(stringifyPackFormat(format).str() +
                   " gemm T=" + std::to_string(t) + " N=" + std::to_string(n) +
                   " K=" + std::to_string(k),
               inBlocks(makeShape(n, k), format), {t}, t);
  }
}

void Bench::addModelProducts() {
  // DeepSeek-V2-Lite: 16 heads of 128 + 64, a latent of 512 + 64.
  struct Product {
    const char *name;
    GemmShape shape;
    int64_t mostRows;
  };
  using E = GemmEpilogue;
  int64_t hidden = full() ? 2048 : 128;
  std::vector<Product> products = {
      {"kv_a", makeShape(576, hidden), 4096},
      {"o+residual", makeShape(hidden, hidden, E::AddResidual, 0, true), 4096},
  };
  if (full()) {
    products.push_back({"q", makeShape(3072, hidden), 4096});
    products.push_back({"kv_b", makeShape(4096, 512), 4096});
    products.push_back(
        {"dense gate+up", makeShape(2 * 10944, hidden, E::SwiGLU), 4096});
    products.push_back({"dense down", makeShape(hidden, 10944), 4096});
    products.push_back(
        {"shared gate+up", makeShape(2 * 2816, hidden, E::SwiGLU), 4096});
    products.push_back({"shared down", makeShape(hidden, 2816), 4096});
    products.push_back(
        {"lm_head", makeShape(102400, hidden, E::Store, 0, true), 64});
  }
  for (const Product &product : products)
    for (int64_t t : full() ? std::vector<int64_t>{1, 8, 64, 512, 4096}
                            : std::vector<int64_t>{1, 70})
      if (t <= product.mostRows)
        addProduct("Lite " + std::string(product.name) +
                       " T=" + std::to_string(t),
                   product.shape, {t}, t);
}

/// Rows of each expert when there are few: 0 to 15.
static std::vector<int64_t> fewRows(int64_t experts) {
  std::vector<int64_t> counts;
  for (int64_t e = 0; e < experts; ++e)
    counts.push_back(uint64_t(e + 1) * 0x9E3779B97F4A7C15 >> 60);
  return counts;
}

void Bench::addExperts() {
  struct Model {
    const char *name;
    int64_t experts, hidden, width;
  };
  std::vector<Model> models = {{"Lite", 64, 2048, 1408},
                               {"V2", 160, 5120, 1536}};
  if (!full())
    models = {{"small", 5, 128, 96}};
  for (const Model &m : models) {
    // What a step of so many tokens brings to each: all alike, or 0 to 16 rows.
    std::vector<int64_t> many(m.experts, full() ? 256 : 70);
    std::vector<int64_t> few = fewRows(m.experts);
    int64_t total = std::accumulate(few.begin(), few.end(), int64_t(0));
    struct Load {
      std::string name;
      const std::vector<int64_t> &counts;
      int64_t typical;
    };
    for (const Load &load :
         {Load{std::to_string(many.front()) + " rows each", many, many.front()},
          Load{"0 to 15 rows, " + std::to_string(total) + " in all", few,
               16}}) {
      std::string text =
          std::string(m.name) + " experts " + std::to_string(m.experts) + " ";
      addProduct(
          text + "gate+up, " + load.name,
          makeShape(2 * m.width, m.hidden, GemmEpilogue::SwiGLU, m.experts),
          load.counts, load.typical);
      GemmShape down =
          makeShape(m.hidden, m.width, GemmEpilogue::Store, m.experts);
      addProduct(text + "down, " + load.name, down, load.counts, load.typical);
      for (PackFormat format : kBlockFormats) {
        std::string name = stringifyPackFormat(format).str() + " " + text;
        addProduct(name + "gate+up, " + load.name,
                   inBlocks(makeShape(2 * m.width, m.hidden,
                                      GemmEpilogue::SwiGLU, m.experts),
                            format),
                   load.counts, load.typical);
        addProduct(name + "down, " + load.name, inBlocks(down, format),
                   load.counts, load.typical);
      }
    }
  }
}

//===----------------------------------------------------------------------===//
// Products of few rows
//===----------------------------------------------------------------------===//

void Bench::addFewRowsFile(const std::string &text,
                           const ProductConfig &config) {
  BenchFile &file = files.emplace_back();
  file.name = "few_rows_" + std::to_string(files.size()) + "_" + chip;
  file.build = [config](ModuleOp module) {
    getOrCreateProductKernel(module, config);
  };
  file.addCases = [=](KernelCases &cases) {
    for (int64_t tokens :
         full() ? std::vector<int64_t>{1, 4, 8} : std::vector<int64_t>{3}) {
      std::vector<int64_t> counts = {tokens};
      if (config.experts)
        counts =
            chooseExpertRows(config.experts, tokens, /*topK=*/6, /*seed=*/1);
      addProducts(cases, chip, SimtProductProblem(config, counts),
                  Extent::Samples);
      label(cases, "few rows: " + text + " T=" + std::to_string(tokens));
    }
  };
}

/// What a step of few tokens computes in a layer of DeepSeek-V2-Lite.
void Bench::addFewRows() {
  auto config = [&](int64_t outputs, int64_t inputs) {
    ProductConfig result;
    result.outputs = outputs;
    result.inputs = inputs;
    result.input = result.weight = result.output = BFloat16Type::get(&context);
    return result;
  };
  auto gated = [](ProductConfig config) {
    config.gated = true;
    return config;
  };
  auto f32 = [&](ProductConfig config, bool residual = false) {
    config.output = Float32Type::get(&context);
    config.residual = residual;
    return config;
  };
  auto byHead = [](ProductConfig config) {
    config.heads = 16;
    return config;
  };
  auto ofExperts = [&](ProductConfig config, bool gather) {
    config.experts = full() ? 64 : 5;
    config.gather = gather;
    return config;
  };
  auto inBlocks = [&](ProductConfig config, PackFormat format) {
    config.weight = IntegerType::get(&context, 8);
    config.format = format;
    return config;
  };
  auto addInBlocks = [&](const std::string &text, const ProductConfig &config,
                         ArrayRef<PackFormat> formats = kBlockFormats) {
    for (PackFormat format : formats)
      addFewRowsFile(stringifyPackFormat(format).str() + " " + text,
                     inBlocks(config, format));
  };
  if (!full()) {
    addFewRowsFile("o+residual", f32(config(64, 128), true));
    addInBlocks("o+residual", f32(config(64, 128), true), kAllBlockFormats);
    addInBlocks("experts gate+up", gated(ofExperts(config(24, 128), true)));
    return addFewRowsFile("experts gate+up",
                          gated(ofExperts(config(24, 128), true)));
  }
  addInBlocks("q", config(3072, 2048), kAllBlockFormats);
  addInBlocks("o+residual", f32(config(2048, 2048), true));
  addInBlocks("experts gate+up", gated(ofExperts(config(1408, 2048), true)));
  addInBlocks("experts down", f32(ofExperts(config(2048, 1408), false)));
  addInBlocks("lm_head", f32(config(102400, 2048)));
  addFewRowsFile("q", config(3072, 2048));
  addFewRowsFile("kv_a", config(576, 2048));
  addFewRowsFile("absorb q", byHead(config(512, 128)));
  addFewRowsFile("absorb v", byHead(config(128, 512)));
  addFewRowsFile("o+residual", f32(config(2048, 2048), true));
  addFewRowsFile("dense gate+up", gated(config(10944, 2048)));
  addFewRowsFile("dense down", f32(config(2048, 10944), true));
  addFewRowsFile("router", f32(config(64, 2048)));
  addFewRowsFile("shared gate+up", gated(config(2816, 2048)));
  addFewRowsFile("shared down", f32(config(2048, 2816)));
  addFewRowsFile("experts gate+up", gated(ofExperts(config(1408, 2048), true)));
  addFewRowsFile("experts down", f32(ofExperts(config(2048, 1408), false)));
  addFewRowsFile("lm_head", f32(config(102400, 2048)));
}

//===----------------------------------------------------------------------===//
// Configurations
//===----------------------------------------------------------------------===//

/// Adds a product once with each configuration that there is a kernel for, with
/// as many stages as fit.
void Bench::addVariants(const std::string &text, const GemmShape &shape,
                        const std::vector<int64_t> &counts) {
  int64_t step = shape.epilogue == GemmEpilogue::SwiGLU ? 16 : 8;
  int64_t budget = tile::getSharedLimit(chip) - 1024;
  for (int64_t m : {64, 128})
    for (int64_t n : {32, 64, 96, 128, 192, 256})
      for (int64_t k : {64, 128}) {
        GemmConfig config;
        config.chip = chip;
        config.tileM = m;
        config.tileN = n;
        config.tileK = k;
        config.stages = std::min<int64_t>(budget / ((m + n) * k * 2),
                                          chip == "sm_90a" ? 8 : 4);
        bool isWide = n > int64_t(llvm::alignTo(shape.n, 2 * step));
        // What a warp of sm_80 keeps of a row, and depth that fills no tile.
        bool hasKernel = chip == "sm_90a" || (n <= 128 && shape.k % k == 0);
        if (config.stages < 2 || isWide || !hasKernel || (k == 128 && n > 128))
          continue;
        addProduct("sweep " + text + " m" + std::to_string(m) + "n" +
                       std::to_string(n) + "k" + std::to_string(k) + "s" +
                       std::to_string(config.stages),
                   shape, counts, config);
        if (!full())
          return;
      }
}

void Bench::addSweep() {
  using E = GemmEpilogue;
  if (!full())
    return addVariants("small", makeShape(96, 128), {70});
  addVariants("T=4096 N=4096 K=4096", makeShape(4096, 4096), {4096});
  addVariants("Lite o T=64",
              makeShape(2048, 2048, E::AddResidual, 0, /*f32=*/true), {64});
  addVariants("Lite shared gate+up T=512", makeShape(5632, 2048, E::SwiGLU),
              {512});
  addVariants("Lite experts gate+up few", makeShape(2816, 2048, E::SwiGLU, 64),
              fewRows(64));
  addVariants("Lite experts down few", makeShape(2048, 1408, E::Store, 64),
              fewRows(64));
  addVariants("V2 experts gate+up 256 each",
              makeShape(3072, 5120, E::SwiGLU, 160),
              std::vector<int64_t>(160, 256));
}

std::vector<BenchFile> cases::listBenchFiles(MLIRContext &context,
                                             StringRef chip,
                                             int64_t multiprocessors,
                                             BenchSize size, BenchSet set) {
  // Closures keep it.
  auto bench = std::make_shared<Bench>(context, chip, multiprocessors, size);
  if (set == BenchSet::Sweep) {
    bench->addSweep();
  } else {
    bench->addRead();
    bench->addDecode();
    bench->addDense();
    bench->addExperts();
    bench->addPrefill();
    bench->addModelProducts();
    bench->addFewRows();
  }
  std::vector<BenchFile> files = std::move(bench->files);
  for (BenchFile &file : files)
    file.addCases = [bench, add = std::move(file.addCases)](
                        KernelCases &cases) { add(cases); };
  return files;
}
