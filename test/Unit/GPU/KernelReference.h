//===- KernelReference.h - Tile kernels by their reference ------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_GPU_KERNELREFERENCE_H
#define DSV2_TEST_UNIT_GPU_KERNELREFERENCE_H

#include "../CodeGen/KernelTestUtils.h"
#include "KernelCompile.h"

#include <functional>

namespace mlir::dsv2::test {

/// The reference lowering of the only kernel of a module, compiled for this
/// machine.
class KernelReference {
public:
  explicit KernelReference(const std::function<void(ModuleOp)> &build);

  bool isCompiled() const { return compiled; }

  /// Runs the kernel: descriptors of its tensors and numbers, then the grid.
  template <typename... Args> void run(unsigned x, unsigned y, Args... args) {
    auto *function =
        reinterpret_cast<void (*)(decltype(pass(args))..., int32_t, int32_t,
                                  int32_t)>(module.lookup(name));
    function(pass(args)..., x, y, 1);
  }

private:
  static void *pass(const cpu::test::Descriptor *descriptor) {
    return descriptor->get();
  }
  static int32_t pass(int32_t number) { return number; }

  cpu::test::KernelModule module;
  std::string name;
  bool compiled = false;
};

/// A row-major tensor.
template <typename T>
cpu::test::Descriptor describe(std::vector<T> &data,
                               std::vector<int64_t> sizes) {
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t d = sizes.size() - 1; d > 0; --d)
    strides[d - 1] = strides[d] * sizes[d];
  return cpu::test::Descriptor(data.data(), 0, sizes, strides);
}
template <typename T> cpu::test::Descriptor describe(std::vector<T> &data) {
  return describe(data, {static_cast<int64_t>(data.size())});
}

} // namespace mlir::dsv2::test

#endif // DSV2_TEST_UNIT_GPU_KERNELREFERENCE_H
