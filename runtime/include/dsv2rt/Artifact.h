//===- Artifact.h - a compiled model ----------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_ARTIFACT_H
#define DSV2RT_ARTIFACT_H

#include "dsv2rt/Manifest.h"
#include "dsv2rt/Status.h"
#include "dsv2rt/abi.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace dsv2rt {

/// The code of an artifact for one kind of processor.
struct ArtifactVariant {
  /// How the compiler's command line named the processor; the manifest's
  /// `target.cpu` in an artifact of one variant.
  std::string name;
  /// What the names of the variant's symbols end in.
  std::string suffix;
  Manifest manifest;
  /// Ok when the host can run it, else a sentence that names the variant and
  /// what the host lacks.
  Status usable;
};

/// A loaded artifact: its manifest and the functions the manifest names. Never
/// changes after loading and may be shared between threads and sessions.
class Artifact {
public:
  ~Artifact();
  Artifact(const Artifact &) = delete;
  Artifact &operator=(const Artifact &) = delete;

  /// Opens the shared object at `path`. In this order it checks that the file
  /// is an x86-64 ELF shared object, its ABI version, the manifest, and that
  /// the host has every CPU feature the code needs; no compiled code runs
  /// before that. Of several variants it takes the first that the host can
  /// run, or the one called `variant`. Errors: NotFound, IoError, CorruptData,
  /// Unsupported; InvalidArgument when there is no variant of that name.
  static Expected<std::shared_ptr<const Artifact>>
  load(const std::string &path, const std::string &variant = "");

  /// The artifact that is linked into this program. Errors: NotFound when
  /// there is none, and as load().
  static Expected<std::shared_ptr<const Artifact>>
  fromProcess(const std::string &variant = "");

  /// What the artifact at `path`, or with an empty path the one linked into
  /// this program, holds, best variant first. The host need not be able to run
  /// any. Errors: as load().
  static Expected<std::vector<ArtifactVariant>>
  inspect(const std::string &path);

  /// True when an artifact is linked into this program.
  static bool inProcess();

  /// An artifact whose symbols `find` returns; it gives null for names it does
  /// not know. `name` is how messages call the artifact.
  static Expected<std::shared_ptr<const Artifact>>
  fromSymbols(const std::string &name,
              const std::function<void *(const char *)> &find,
              const std::string &variant = "");

  const Manifest &manifest() const { return contents; }

  /// The file it was loaded from, or the name it was given.
  const std::string &path() const { return name; }

  /// The name of the variant in use.
  const std::string &variant() const { return variantName; }

  /// The file beside the artifact that holds its packed weights: variants
  /// pack differently, so each of several has a file of its own. `suffix` tells
  /// those of several ranks apart.
  std::string weightsPath(const std::string &suffix = "") const {
    return name + (variants > 1 ? "." + variantName : "") + suffix + ".weights";
  }

  /// A step function with its workspace function.
  struct Entry {
    std::string name;
    std::string form;
    dsv2rt_step_fn step = nullptr;
    dsv2rt_workspace_fn workspace = nullptr;
    /// As of the manifest.
    int64_t capacity = 0;
  };

  /// The entry for a step in which one sequence gives at most `longest`
  /// tokens.
  const Entry &entryFor(int64_t longest) const;

  /// The entry that may stand in for entryFor(longest) where exchanges of a
  /// fixed size are large enough; null if there is none.
  const Entry *fixedEntryFor(int64_t longest) const;
  const std::vector<Entry> &entries() const { return steps; }

  /// Null in an artifact for a device.
  dsv2rt_copy_pages_fn copyPages() const { return copy; }

  /// Null where tokens are chosen on the host alone.
  dsv2rt_sample_fn sample() const { return choose; }

  /// The bytes of manifest().device's images, in order; as many as the manifest
  /// says.
  const std::vector<const void *> &images() const { return imageData; }

  /// What computes: "the CPU", or "a CUDA device (sm_90a (cubin), ...)".
  std::string targetText() const;

  /// The conversion to f32, or null when the artifact has none.
  dsv2rt_convert_fn convert(DType dtype) const {
    return conversions[int(dtype)];
  }

  /// The reference lowering of the same model that `artifact` carries, as an
  /// artifact of its own that keeps the other one loaded; null when there is
  /// none. It is named after the other, with ".reference" added.
  static std::shared_ptr<const Artifact>
  referenceOf(const std::shared_ptr<const Artifact> &artifact);

  /// The functions of manifest().prepare, in order.
  const std::vector<dsv2rt_prepare_fn> &prepare() const { return preparations; }

private:
  Artifact() = default;
  Status open(const std::string &path);
  Status bind(const std::function<void *(const char *)> &find,
              const std::string &variant);
  Status bindFunctions(const std::function<void *(const char *)> &find);
  Status bindImages(const std::function<void *(const char *)> &find);

  std::string name;
  std::string variantName;
  size_t variants = 1;
  void *handle = nullptr;
  Manifest contents;
  std::vector<Entry> steps;
  size_t prefillIndex = 0, decodeIndex = 0;
  std::optional<size_t> fixedIndex;
  dsv2rt_copy_pages_fn copy = nullptr;
  dsv2rt_sample_fn choose = nullptr;
  std::vector<const void *> imageData;
  dsv2rt_convert_fn conversions[3] = {};
  std::vector<dsv2rt_prepare_fn> preparations;
  std::unique_ptr<Artifact> reference;
};

} // namespace dsv2rt

#endif // DSV2RT_ARTIFACT_H
