//===- KernelCases.h - kernels and what they have to compute ----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A case is a sequence of launches, the memory they work on, and what has to be
// there afterwards. Cases are made where the compiler is, run on the emulator
// by its tests, and written to files that run on any machine with a device.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_KERNELCASES_H
#define DSV2RT_KERNELCASES_H

#include "dsv2rt/DeviceManifest.h"
#include "dsv2rt/Status.h"

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace dsv2rt {

/// What elements of buffers are read and written as.
enum class CaseElement { BF16, F32, I32 };

/// Bytes of one element.
inline int64_t elementBytes(CaseElement element) {
  return element == CaseElement::BF16 ? 2 : 4;
}

/// Rounds a number to the nearest bfloat16, ties to even, and back.
uint16_t toBFloat16(float value);
float fromBFloat16(uint16_t bits);

/// Element `index` of the random buffer `seed`: about normally distributed with
/// mean 0, at most 3.5 times `scale`, rounded to bfloat16. Repeats itself after
/// kCasePeriod elements, so that large buffers are filled by copies.
float caseNumber(uint64_t seed, float scale, int64_t index);
constexpr int64_t kCasePeriod = int64_t(1) << 22;

/// What a part of a buffer holds before the launches.
struct CaseFill {
  /// First byte.
  int64_t offset = 0;
  /// These bytes, so many times behind each other, if there are any.
  std::vector<uint8_t> data;
  int64_t repeats = 1;
  /// Else `count` elements, of which number i is caseNumber(seed, scale,
  /// offset / elementBytes(element) + i). BF16 or F32.
  CaseElement element = CaseElement::BF16;
  int64_t count = 0;
  uint64_t seed = 0;
  float scale = 1;

  int64_t bytes() const {
    return data.empty() ? count * elementBytes(element)
                        : repeats * int64_t(data.size());
  }
};

/// Memory of the device.
struct CaseBuffer {
  std::string name;
  int64_t bytes = 0;
  /// What every byte is where no fill says otherwise. 255 is NaN in every type
  /// of floating point, and what kernels forget to write is then found.
  uint8_t background = 255;
  std::vector<CaseFill> fills;
};

/// The value of one parameter of a launch.
struct CaseArgument {
  enum class Kind { Pointer, I32, I64, F32, Tensor };
  Kind kind = Kind::Pointer;
  /// Pointer and Tensor: a byte of a buffer.
  int64_t buffer = 0, offset = 0;
  /// I32, I64.
  int64_t integer = 0;
  /// F32.
  float number = 0;
  /// Tensor: elements and bytes of each dimension, innermost first, as of
  /// dsv2rt_tensor. The rest of the map is a fact of the kernel.
  std::vector<int64_t> dims, strides;
};

struct CaseLaunch {
  /// Index into KernelCases::kernels.
  int64_t kernel = 0;
  DeviceManifest::Extent grid = {1, 1, 1};
  std::vector<CaseArgument> arguments;
};

/// What a buffer has to hold after the launches.
struct CaseCheck {
  /// What it is, for reports.
  std::string what;
  int64_t buffer = 0;
  CaseElement element = CaseElement::F32;
  /// First element and number of elements of each stretch that is known.
  std::vector<std::pair<int64_t, int64_t>> spans;
  /// The elements of all stretches. Computed ones may differ by `absolute` plus
  /// `relative` times the magnitude of these.
  std::vector<float> expected;
  double absolute = 0, relative = 0;
  /// Whether all of the buffer has to be finite.
  bool finite = true;
};

struct KernelCase {
  std::string name;
  std::vector<CaseBuffer> buffers;
  std::vector<CaseLaunch> launches;
  std::vector<CaseCheck> checks;
  /// Of what is worth timing: bytes that have to be moved at least, and
  /// operations of the tensor cores, two for every product that is summed. Both
  /// 0 if it is not.
  double bytes = 0, operations = 0;

  bool timed() const { return bytes > 0 || operations > 0; }
  /// Bytes of all buffers, at most 2^40.
  int64_t memory() const;
};

/// Kernels in one or several forms, and cases of them.
struct KernelCases {
  DeviceManifest code;
  /// The bytes of each of code.images.
  std::vector<std::vector<uint8_t>> images;
  std::vector<KernelCase> cases;
};

/// Reads a file of cases. It is taken for input from outside: errors are
/// IoError, or CorruptData naming the file, the key, what was expected and what
/// was found.
Expected<KernelCases> readKernelCases(const std::string &path);
/// The same for the contents of a file, which messages call `name`.
Expected<KernelCases> parseKernelCases(const std::string &contents,
                                       const std::string &name);

/// Why these are no valid cases, as parseKernelCases would say it, or Ok.
Status checkKernelCases(const KernelCases &cases, const std::string &name);

/// The contents of a file with these cases; writeKernelCases writes it,
/// complete or not at all.
std::string printKernelCases(const KernelCases &cases);
Status writeKernelCases(const KernelCases &cases, const std::string &path);

} // namespace dsv2rt

#endif // DSV2RT_KERNELCASES_H
