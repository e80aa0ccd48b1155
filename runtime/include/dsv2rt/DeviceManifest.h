//===- DeviceManifest.h - an artifact's code for a device -------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_DEVICEMANIFEST_H
#define DSV2RT_DEVICEMANIFEST_H

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace dsv2rt {

/// The member `device` of a manifest, validated: names are unique, and sizes
/// are within the limits that every device of the kind has.
struct DeviceManifest {
  /// "cuda".
  std::string kind;

  /// Three sizes: x, y, z.
  using Extent = std::array<int64_t, 3>;

  /// Element types of tensor maps.
  enum class Element { U8, U16, U32, I32, F16, F32, BF16 };

  /// What of a tensor map is known when a kernel is compiled (PTX ISA, "Tensor
  /// maps"); innermost dimension first.
  struct TensorMap {
    Element element = Element::BF16;
    int64_t rank = 1;
    /// Elements of the box that one copy moves; one size a dimension.
    std::vector<int64_t> box;
    /// Bytes of the span whose 16-byte parts are swizzled: 0, 32, 64 or 128.
    int64_t swizzle = 0;
  };

  enum class ParameterKind { Pointer, I32, I64, F32, TensorMap };

  struct Parameter {
    ParameterKind kind = ParameterKind::Pointer;
    /// Only of a TensorMap.
    TensorMap map;
  };

  struct Kernel {
    std::string name;
    /// The only chip whose images have it, or empty: all have.
    std::string chip;
    /// Threads of a block, and blocks of a cluster.
    Extent block = {1, 1, 1}, cluster = {1, 1, 1};
    /// Bytes of dynamic shared memory.
    int64_t sharedBytes = 0;
    std::vector<Parameter> parameters;
    /// Whether it may start before its predecessor on the stream has ended; it
    /// then waits itself (griddepcontrol.wait).
    bool programmaticLaunch = false;
  };
  std::vector<Kernel> kernels;

  /// What form an image is in: machine code of one architecture, text that the
  /// driver compiles, or what the emulator runs.
  enum class ImageKind { Cubin, Ptx, Bitcode };

  /// All kernels in one form.
  struct Image {
    /// As "sm_90a".
    std::string chip;
    ImageKind kind = ImageKind::Cubin;
    std::string symbol;
    int64_t bytes = 0;
  };
  std::vector<Image> images;

  /// Names of ops that launches are of, by number.
  std::vector<std::string> sites;

  /// The images as "sm_90a (cubin), sm_80 (ptx)".
  std::string imagesText() const;
};

/// The name of an image's kind in a manifest.
const char *imageKindName(DeviceManifest::ImageKind kind);

/// The name of an element type in a manifest.
const char *elementName(DeviceManifest::Element element);

/// Bytes of one element.
int64_t elementBytes(DeviceManifest::Element element);

/// Bytes, and alignment but for tensor maps, of a kernel's parameter.
int64_t parameterBytes(DeviceManifest::ParameterKind kind);

} // namespace dsv2rt

#endif // DSV2RT_DEVICEMANIFEST_H
