//===- CaseBuilder.h - builds cases of kernels ------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_KERNEL_CASES_CASEBUILDER_H
#define DSV2_TOOLS_DSV2_KERNEL_CASES_CASEBUILDER_H

#include "dsv2/Target/DeviceCode.h"
#include "dsv2rt/KernelCases.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/LogicalResult.h"

#include <cstring>
#include <string>
#include <vector>

namespace mlir {
class MLIRContext;
class ModuleOp;

namespace dsv2::cases {

using ::dsv2rt::CaseArgument;
using ::dsv2rt::CaseCheck;
using ::dsv2rt::CaseElement;
using ::dsv2rt::KernelCase;
using ::dsv2rt::KernelCases;

/// The forms of code that a file of cases gets.
struct ImageKinds {
  bool bitcode = false, ptx = false, cubin = false;
  /// The program, if there are cubins.
  std::string ptxas;
};

/// Lowers the kernels of `module`, of the tile dialect and in its gpu.modules,
/// to the LLVM and NVVM dialects in place. What is wrong has been reported.
llvm::LogicalResult lowerKernels(ModuleOp module);

/// Compiles the kernels that `build` adds to a module for `chip`. Errors are
/// those of the compiler.
llvm::Expected<DeviceCode>
compileKernels(MLIRContext &context, llvm::StringRef chip,
               llvm::function_ref<void(ModuleOp)> build);

/// The same for the kernels of `module`, of the tile dialect and in its
/// gpu.module, which are lowered in place.
llvm::Expected<DeviceCode> compileKernels(ModuleOp module,
                                          const GPUTargetInfo &target);

/// Adds what is known of the kernels of `code`, and their images. Machine code
/// for sm_80 is made for sm_90 too, so that it can be tried there. Parameters
/// of the kernels follow from the first launch of each.
llvm::Error addCode(KernelCases &cases, const DeviceCode &code,
                    const ImageKinds &kinds);

/// The index of the kernel of that name, which is there.
int64_t findKernel(const KernelCases &cases, llvm::StringRef name);

/// Adds a buffer of random numbers, as of caseNumber, and returns its index.
int64_t addNormal(KernelCase &item, std::string name, int64_t count,
                  uint64_t seed, float scale = 1,
                  CaseElement element = CaseElement::BF16);

/// Adds a buffer of `bytes` bytes that the kernels fill.
int64_t addOutput(KernelCase &item, std::string name, int64_t bytes);

/// Adds a buffer with these values.
template <typename T>
int64_t addValues(KernelCase &item, std::string name,
                  const std::vector<T> &values) {
  ::dsv2rt::CaseBuffer buffer;
  buffer.name = std::move(name);
  buffer.bytes = int64_t(values.size() * sizeof(T));
  ::dsv2rt::CaseFill &fill = buffer.fills.emplace_back();
  fill.data.resize(values.size() * sizeof(T));
  std::memcpy(fill.data.data(), values.data(), fill.data.size());
  item.buffers.push_back(std::move(buffer));
  return int64_t(item.buffers.size()) - 1;
}

/// A launch, argument by argument. The first launch of a kernel also says what
/// its parameters are.
class LaunchBuilder {
public:
  LaunchBuilder(KernelCases &cases, KernelCase &item, int64_t kernel,
                int64_t gridX, int64_t gridY = 1, int64_t gridZ = 1);

  /// The address of a byte of a buffer.
  LaunchBuilder &pointer(int64_t buffer, int64_t offset = 0);
  LaunchBuilder &i32(int64_t value);
  /// A tensor at the start of a buffer, of bf16 or, with `elementBytes` 1, of
  /// bytes; sizes, box and pitches outermost first. `pitches`, in elements, are
  /// of all dimensions but the innermost; none: rows are behind each other. A
  /// tensor of no elements is described as of one row.
  LaunchBuilder &tensor(int64_t buffer, std::vector<int64_t> sizes,
                        std::vector<int64_t> box, int64_t swizzle = 128,
                        std::vector<int64_t> pitches = {},
                        int64_t elementBytes = 2);

private:
  ::dsv2rt::CaseArgument &add(CaseArgument::Kind kind,
                              ::dsv2rt::DeviceManifest::Parameter parameter);

  KernelCases &cases;
  /// By indices, as launches are added behind.
  KernelCase &item;
  size_t launch;
};

/// Elements [first, first + count) of caseNumber.
std::vector<float> caseNumbers(uint64_t seed, float scale, int64_t count,
                               int64_t first = 0);

/// A check of the whole of an output, or of stretches of it.
CaseCheck &addCheck(KernelCase &item, int64_t buffer, bool f32, double absolute,
                    double relative);

} // namespace dsv2::cases
} // namespace mlir

#endif // DSV2_TOOLS_DSV2_KERNEL_CASES_CASEBUILDER_H
