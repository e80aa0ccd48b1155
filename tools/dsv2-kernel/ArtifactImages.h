//===- ArtifactImages.h - the device code of an artifact --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2KERNEL_ARTIFACTIMAGES_H
#define DSV2_TOOLS_DSV2KERNEL_ARTIFACTIMAGES_H

#include "Kernels.h"

#include "dsv2rt/KernelCases.h"
#include "llvm/Support/MemoryBuffer.h"

namespace mlir::dsv2 {

/// What an artifact has for devices. The file is read, not loaded: nothing of
/// it runs, and it may be for another processor than the host's.
class ArtifactImages {
public:
  /// Whether `path` is an ELF file, as artifacts are.
  static bool isArtifact(StringRef path);

  /// Errors: files that are no artifact or have no code for devices.
  static llvm::Expected<ArtifactImages> open(StringRef path);

  const ::dsv2rt::DeviceManifest &getCode() const { return code; }

  /// The chips that there are images for, in the order of the manifest.
  std::vector<std::string> getChips() const;

  /// The bytes of an image. An error, with the flag of dsv2-compile that makes
  /// it, if there is none.
  llvm::Expected<StringRef>
  getImage(StringRef chip, ::dsv2rt::DeviceManifest::ImageKind kind) const;

  /// The kernels for any of `targets`, with what they compute if there is
  /// bitcode, which says it. Errors as of readFacts, and bitcode that cannot be
  /// read.
  llvm::Expected<std::vector<NamedKernel>>
  listKernels(MLIRContext &context,
              llvm::ArrayRef<GPUTargetInfo> targets) const;

  /// The bitcode for `chip` with those of its kernels that `names` holds, in
  /// that order, without cases. Errors as of getImage.
  llvm::Expected<std::shared_ptr<::dsv2rt::KernelCases>>
  getCases(StringRef chip, llvm::ArrayRef<std::string> names) const;

private:
  llvm::Error addFacts(MLIRContext &context, StringRef bitcode,
                       std::vector<NamedKernel> &kernels) const;

  std::string name;
  std::unique_ptr<llvm::MemoryBuffer> file;
  ::dsv2rt::DeviceManifest code;
  std::vector<StringRef> images;
};

} // namespace mlir::dsv2

#endif // DSV2_TOOLS_DSV2KERNEL_ARTIFACTIMAGES_H
