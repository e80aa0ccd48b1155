//===- PackedWeights.h - weights in the form kernels read -------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Packing runs the artifact's own conversion and prepare functions, one
// checkpoint tensor after the other, into a file of page-aligned slots that
// later starts map. docs/RuntimeABI.md describes the file.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_PACKEDWEIGHTS_H
#define DSV2RT_PACKEDWEIGHTS_H

#include "dsv2rt/Artifact.h"
#include "dsv2rt/Buffer.h"
#include "dsv2rt/Checkpoint.h"
#include "dsv2rt/Status.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace dsv2rt {

/// How to pack weights.
struct PackOptions {
  /// The rank of the artifact's mesh whose weights these are.
  int64_t rank = 0;
  /// The packed file; ".rankRofN" is added for a rank of several. Empty: the
  /// artifact's weightsPath(), or, when that folder cannot be written, a file
  /// named after the key in $XDG_CACHE_HOME/dsv2 or $HOME/.cache/dsv2.
  std::string path;
  /// Packs into memory and leaves no file.
  bool inMemory = false;
  /// Threads that compiled code runs on; 0: the default.
  int threads = 0;
  /// Called now and then with the bytes packed so far and in total.
  std::function<void(int64_t done, int64_t total)> progress;
  /// Called at least every few seconds while packing.
  std::function<void()> alive;
  /// Packing stops with an error, and without a file, once this is true.
  const std::atomic<bool> *cancel = nullptr;
};

/// The packed weights of one artifact and one weight source. Never changes
/// after opening; may be shared between threads and sessions.
class PackedWeights {
public:
  ~PackedWeights();
  PackedWeights(const PackedWeights &) = delete;
  PackedWeights &operator=(const PackedWeights &) = delete;

  /// Maps the packed file when it is the one of `artifact` and `source`, or
  /// else makes it: under a name of its own or no name at all, moved into
  /// place when complete, so that no reader ever sees a part of one and
  /// concurrent starts are safe. An existing file that is not a packed file is
  /// never replaced. Errors: those of the source; IoError with the bytes
  /// required and available when the disk is full; OutOfMemory likewise.
  static Expected<std::shared_ptr<const PackedWeights>>
  open(const std::shared_ptr<const Artifact> &artifact, WeightSource &source,
       const PackOptions &options = {});

  /// Base address of each slot of the manifest.
  const std::vector<void *> &slots() const { return bases; }

  /// The rank of the mesh that these are for.
  int64_t rank() const { return ownRank; }

  /// Bytes of all slots.
  int64_t bytes() const { return totalBytes; }

  /// The packed file, empty when the weights are in memory only.
  const std::string &path() const { return file; }

  /// True when an existing file was used.
  bool reused() const { return wasReused; }

  /// Digest of what decides the contents: the artifact's identity and slots,
  /// and the source's identity.
  const std::string &key() const { return digest; }

private:
  PackedWeights() = default;

  void *base = nullptr;
  uint64_t mapped = 0;
  Buffer memory;
  std::vector<void *> bases;
  int64_t totalBytes = 0;
  int64_t ownRank = 0;
  std::string file;
  std::string digest;
  bool wasReused = false;

  friend class Packer;
};

} // namespace dsv2rt

#endif // DSV2RT_PACKEDWEIGHTS_H
