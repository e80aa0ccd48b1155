//===- KernelTestUtils.h - Compile a kernel and call it ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Typical use:
//
//   KernelModule m("x86-64-v3");
//   func::FuncOp f = getOrCreateMatmulKernel(m.module(), config, m.target());
//   std::string name = f.getName().str();
//   ASSERT_TRUE(m.compile());
//   Array<float> x({tokens, k}), y({tokens, n});
//   m.run(name, /*parts=*/3, x, panels, y);
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_CODEGEN_KERNELTESTUTILS_H
#define DSV2_TEST_UNIT_CODEGEN_KERNELTESTUTILS_H

#include "dsv2/Support/TargetInfo.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "gtest/gtest.h"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

namespace mlir {
class ExecutionEngine;
} // namespace mlir

namespace mlir::dsv2::cpu::test {

/// A memref descriptor of any rank, laid out as generated code expects it: the
/// allocated and the aligned pointer, the offset, the sizes, the strides.
class Descriptor {
public:
  Descriptor(void *data, int64_t offset, llvm::ArrayRef<int64_t> sizes,
             llvm::ArrayRef<int64_t> strides);
  void *get() const { return const_cast<int64_t *>(words.data()); }

private:
  llvm::SmallVector<int64_t, 16> words;
};

/// A row-major array. The memory starts at a cache line and is followed by a
/// guard whose contents checkGuard() verifies. `rowPadding` elements separate
/// the end of one row (last dimension) from the start of the next.
template <typename T> class Array {
public:
  explicit Array(llvm::ArrayRef<int64_t> shape, int64_t rowPadding = 0)
      : sizes(shape.begin(), shape.end()) {
    strides.assign(sizes.size(), 1);
    for (int64_t d = static_cast<int64_t>(sizes.size()) - 2; d >= 0; --d)
      strides[d] = d + 2 == static_cast<int64_t>(sizes.size())
                       ? sizes[d + 1] + rowPadding
                       : strides[d + 1] * sizes[d + 1];
    count = sizes.empty() ? 1 : strides[0] * sizes[0];
    size_t bytes = (count * sizeof(T) + kGuard + 63) / 64 * 64;
    storage.reset(static_cast<char *>(std::aligned_alloc(64, bytes)));
    std::memset(storage.get(), kPattern, bytes);
  }

  // Lets Array<float>({rows, columns}) mean a shape and nothing else.
  explicit Array(std::initializer_list<int64_t> shape, int64_t rowPadding = 0)
      : Array(llvm::ArrayRef<int64_t>(shape), rowPadding) {}

  T *data() { return reinterpret_cast<T *>(storage.get()); }
  const T *data() const { return reinterpret_cast<const T *>(storage.get()); }
  int64_t dim(int64_t d) const { return sizes[d]; }
  /// Elements, padding included.
  int64_t size() const { return count; }

  template <typename... Is> T &operator()(Is... is) {
    return data()[position({static_cast<int64_t>(is)...})];
  }
  template <typename... Is> const T &operator()(Is... is) const {
    return data()[position({static_cast<int64_t>(is)...})];
  }

  Array &fill(T value) {
    std::fill(data(), data() + count, value);
    return *this;
  }
  /// Uniform in [-scale, scale), the same for the same seed. f32 only.
  Array &random(unsigned seed, float scale = 1.0f) {
    std::mt19937 gen(seed);
    std::uniform_real_distribution<float> dist(-scale, scale);
    for (int64_t i = 0; i < count; ++i)
      data()[i] = dist(gen);
    return *this;
  }

  /// Whether nothing was written behind the last element.
  bool guardIntact() const {
    const char *guard = storage.get() + count * sizeof(T);
    for (int64_t i = 0; i < kGuard; ++i)
      if (guard[i] != kPattern)
        return false;
    return true;
  }

  Descriptor descriptor() {
    return Descriptor(storage.get(), 0, sizes, strides);
  }
  /// Rows [lo, hi) of the first dimension.
  Descriptor rows(int64_t lo, int64_t hi) {
    llvm::SmallVector<int64_t> part(sizes);
    part[0] = hi - lo;
    return Descriptor(storage.get(), lo * strides[0], part, strides);
  }

private:
  static constexpr int64_t kGuard = 256;
  static constexpr char kPattern = 0x5a;

  int64_t position(std::initializer_list<int64_t> is) const {
    assert(is.size() == sizes.size() && "one index per dimension");
    int64_t at = 0, d = 0;
    for (int64_t i : is)
      at += i * strides[d++];
    return at;
  }

  struct Free {
    void operator()(char *p) const { std::free(p); }
  };
  llvm::SmallVector<int64_t> sizes, strides;
  int64_t count = 0;
  std::unique_ptr<char, Free> storage;
};

/// Processor names every kernel is tested for: one per vector width, plus the
/// host itself. Those the host cannot run are left out.
std::vector<std::string> testedCPUs();

/// A processor with AVX512-VNNI, and one with the tile unit besides, which is
/// emulated where the host has none.
inline constexpr const char *kVectorUnitCPU = "x86-64-v4,+avx512vnni";
inline constexpr const char *kTileUnitCPU =
    "x86-64-v4,+avx512vnni,+amx-tile,+amx-int8";

/// Whether code for `cpu` can be run, perhaps with an emulated tile unit.
bool canRun(llvm::StringRef cpu);

/// Expects m(t, p) to be the largest of the `width` elements of row t of `y`
/// from p * width on, or NaN if one of them is not finite.
void expectLargest(const Array<float> &y, const Array<float> &m, int64_t width);

/// A processor's name as a part of a test's name.
std::string cpuName(const testing::TestParamInfo<std::string> &info);

/// bf16 bits of `value`, to nearest even, and back.
uint16_t toBF16(float value);
float fromBF16(uint16_t bits);

/// Element (n, k) of a weight of `width` x `depth`, packed as MatmulKernels.h
/// says: element type `T` is float or uint16_t (bf16). Independent of the pack
/// kernels. `panels` has rank 3.
template <typename T>
Array<T> packPanels(const Array<float> &weight, int64_t panelWidth) {
  int64_t n = weight.dim(0), k = weight.dim(1);
  int64_t count = (n + panelWidth - 1) / panelWidth;
  Array<T> panels({count, k, panelWidth});
  panels.fill(T(0));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < k; ++j) {
      T &to = panels(i / panelWidth, j, i % panelWidth);
      if constexpr (std::is_same_v<T, float>)
        to = weight(i, j);
      else
        to = toBF16(weight(i, j));
    }
  return panels;
}

/// A module of kernels for one processor, compiled in memory at -O3. Where the
/// host lacks no more than the tile unit, that is emulated.
class KernelModule {
public:
  /// `cpu` as CPUTargetInfo::parse reads it; a wrong one aborts the test.
  explicit KernelModule(llvm::StringRef cpu);
  ~KernelModule();

  MLIRContext *context() { return &ctx; }
  ModuleOp module() { return *op; }
  const CPUTargetInfo &target() const { return info; }

  /// Verifies, lowers and compiles everything in the module; on failure says
  /// why through a GoogleTest failure and returns false. The kernels can be
  /// called after this, and none can be added.
  bool compile();
  /// Parses `source` into the module before compile(), for tests of single ops.
  bool addSource(llvm::StringRef source);
  /// The module before lowering, and as LLVM IR after compile().
  std::string print();
  const std::string &llvmIR() const { return llvmText; }

  /// Calls `name`, a kernel, as share `part` of `parts`. Arguments are
  /// descriptors (or arrays), followed by nothing: part and parts are added.
  void call(llvm::StringRef name, llvm::ArrayRef<void *> memrefs, int64_t part,
            int64_t parts);

  /// Calls `name` for every share in turn, the last one first, so that an
  /// order that matters shows.
  template <typename... Args>
  void run(llvm::StringRef name, int64_t parts, Args &&...args) {
    // Descriptors live until the end of the call.
    std::vector<Descriptor> all{toDescriptor(args)...};
    llvm::SmallVector<void *> pointers;
    for (const Descriptor &d : all)
      pointers.push_back(d.get());
    for (int64_t part = parts - 1; part >= 0; --part)
      call(name, pointers, part, parts);
  }

  /// The compiled function: void(descriptor *..., int64_t part, int64_t parts)
  /// with C linkage. Null when there is no such kernel.
  void *lookup(llvm::StringRef name);

private:
  template <typename T> static Descriptor toDescriptor(Array<T> &array) {
    return array.descriptor();
  }
  static Descriptor toDescriptor(const Descriptor &d) { return d; }

  MLIRContext ctx;
  CPUTargetInfo info;
  bool emulatesTiles;
  OwningOpRef<ModuleOp> op;
  std::unique_ptr<ExecutionEngine> engine;
  std::string llvmText;
};

/// A test of kernels that are compiled once for each processor: `Kernels` is
/// made from the processor's name and has `module` and, whether that compiled,
/// `compiled`.
template <class Kernels>
class KernelTest : public testing::TestWithParam<std::string> {
protected:
  void SetUp() override {
    std::unique_ptr<Kernels> &entry = all()[GetParam()];
    if (!entry)
      entry = std::make_unique<Kernels>(GetParam());
    ASSERT_TRUE(entry->compiled);
    kernels = entry.get();
    width = kernels->module.target().panelWidth();
  }

  // Compiled code has to go before LLVM's own global state does.
  static void TearDownTestSuite() { all().clear(); }

  static std::map<std::string, std::unique_ptr<Kernels>> &all() {
    static std::map<std::string, std::unique_ptr<Kernels>> kernels;
    return kernels;
  }

  KernelModule &module() { return kernels->module; }

  Kernels *kernels = nullptr;
  int64_t width = 0; // of a panel
};

} // namespace mlir::dsv2::cpu::test

#endif // DSV2_TEST_UNIT_CODEGEN_KERNELTESTUTILS_H
