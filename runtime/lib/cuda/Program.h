//===- Program.h - an artifact's kernels on a device ------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CUDA_PROGRAM_H
#define DSV2RT_LIB_CUDA_PROGRAM_H

#include "Handles.h"
#include "dsv2rt/Artifact.h"

#include <memory>
#include <string>
#include <vector>

namespace dsv2rt::cuda {

/// Kernels and their images, in memory.
struct ProgramSource {
  /// What messages call it: "artifact 'FILE'".
  std::string name;
  const DeviceManifest *code = nullptr;
  /// The bytes of each image.
  std::vector<const void *> images;
  /// Keeps all of it in place.
  std::shared_ptr<const void> owner;
};

/// What an artifact for a device has.
ProgramSource sourceOf(std::shared_ptr<const Artifact> artifact);

/// One of several images, loaded, and its kernels, ready to be launched.
class Program {
public:
  /// Loads the image that suits the device best and the driver takes: where it
  /// refuses one, the next one may do, such as PTX beside machine code. What
  /// was refused is noted in `context`. Errors: Unsupported when there is no
  /// image for the device or a kernel needs more than it has; CorruptData or
  /// Unsupported when the driver refuses all of them, with each refusal; those
  /// of the driver.
  static Expected<std::unique_ptr<Program>>
  load(const std::shared_ptr<Context> &context, ProgramSource source);

  struct Kernel {
    CUfunction function = nullptr;
    const DeviceManifest::Kernel *facts = nullptr;
    /// Whether it may start before its predecessor has ended: the image has
    /// the wait that this takes.
    bool startsEarly = false;
  };
  /// In the order of the manifest; those for other chips have no function.
  const std::vector<Kernel> &kernels() const { return functions; }

  /// Names of what launches are for, by number.
  const std::vector<std::string> &sites() const { return source.code->sites; }

  /// What messages call it.
  const std::string &name() const { return source.name; }

  /// Number of the chip that the image was made for: 90 for sm_90a.
  int chip() const { return imageChip; }

private:
  Program() = default;
  Status loadModule(const std::shared_ptr<Context> &context, size_t index);
  Status loadKernels(Context &context, const std::string &chip);
  Status loadKernel(Context &context, const DeviceManifest::Kernel &facts);
  /// CorruptData when a kernel takes others than it is launched with: the
  /// driver would read what is behind them. Drivers before CUDA 12.4 cannot
  /// say.
  Status checkParameters(Context &context, const Kernel &kernel) const;

  ProgramSource source;
  int imageChip = 0;
  /// What messages call the image.
  std::string imageName;
  ModuleHandle module;
  std::vector<Kernel> functions;
};

} // namespace dsv2rt::cuda

#endif // DSV2RT_LIB_CUDA_PROGRAM_H
