//===- Checkpoint.h - where weights come from -------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_CHECKPOINT_H
#define DSV2RT_CHECKPOINT_H

#include "dsv2rt/Buffer.h"
#include "dsv2rt/Safetensors.h"
#include "dsv2rt/Status.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace dsv2rt {

/// Element types a weight may be stored in.
enum class DType { F32, BF16, F16 };

/// "F32", "BF16" or "F16".
const char *dtypeName(DType dtype);

/// Bytes of one element.
int64_t dtypeBytes(DType dtype);

/// A tensor the program needs.
struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
};

/// A part of a tensor: indices [begin, begin + size) of one dimension and all
/// of the others.
struct TensorSlice {
  /// -1: the whole tensor.
  int64_t dim = -1;
  int64_t begin = 0;
  int64_t size = 0;
};

/// The elements of a tensor or a slice, dense, row-major, aligned to their
/// size.
struct TensorView {
  DType dtype = DType::F32;
  const void *data = nullptr;
  int64_t elements = 0;
};

/// Something that can give every weight of a model: a checkpoint or a
/// generator of random weights.
class WeightSource {
public:
  virtual ~WeightSource();

  /// Checks that every tensor of `specs` is there with its shape and a dtype
  /// that can be read. Missing tensors are one NotFound error with up to 20
  /// names and the count; a wrong shape names both shapes.
  virtual Status require(const std::vector<TensorSpec> &specs) = 0;

  /// The part of one tensor that `slice` says; nothing else of it is read or
  /// made. The view stays valid until `scratch` changes or the source is
  /// destroyed. Errors: InvalidArgument for a slice outside the tensor.
  virtual Expected<TensorView>
  read(const TensorSpec &spec, const TensorSlice &slice, Buffer &scratch) = 0;

  /// A whole tensor.
  Expected<TensorView> read(const TensorSpec &spec, Buffer &scratch) {
    return read(spec, TensorSlice(), scratch);
  }

  /// Called when the view of this part of `spec` is no longer needed.
  virtual void release(const TensorSpec &spec, const TensorSlice &slice);
  void release(const TensorSpec &spec) { release(spec, TensorSlice()); }

  /// Bytes of tensor data that read() has given out so far.
  int64_t bytesRead() const { return readBytes; }

  /// Digest of everything that decides the contents of `specs`: for a
  /// checkpoint the name, dtype and shape of each, and size, modification
  /// time, header and a sample of the data of every file used; for random
  /// weights the seed. 64 hexadecimal digits.
  virtual Expected<std::string>
  identity(const std::vector<TensorSpec> &specs) = 0;

  /// The folder or "random:SEED", for messages.
  virtual std::string describe() const = 0;

  /// Things worth telling the user that are no errors, one sentence each.
  virtual std::vector<std::string> notes() const;

protected:
  int64_t readBytes = 0;
};

/// How to read a checkpoint.
struct CheckpointOptions {
  /// Longest safetensors header accepted; 0: the environment variable
  /// DSV2_MAX_HEADER_BYTES, or else 100,000,000.
  uint64_t maxHeaderBytes = 0;
};

/// Opens a checkpoint: a folder with model.safetensors.index.json and the
/// shards it names, a folder with exactly one .safetensors file, or such a file
/// itself. With an index, other files are ignored. Files must be regular and
/// lie in the folder; a symbolic link out of it is refused, except in the hub
/// cache layout (folder ".../snapshots/REVISION", target ".../blobs/...").
Expected<std::unique_ptr<WeightSource>>
openCheckpoint(const std::string &path, const CheckpointOptions &options = {});

/// Random weights that depend on `seed` and each tensor's checkpoint name and
/// nothing else, as docs/RuntimeABI.md defines them. Made on `threads` threads.
std::unique_ptr<WeightSource> makeRandomWeights(uint64_t seed, int threads = 1);

/// Element values of a random weight as bfloat16 bits: elements [begin, end)
/// of the row-major tensor `spec` into `out`. Errors: Unsupported when `spec`
/// has neither one nor two dimensions.
Status fillRandomWeights(uint64_t seed, const TensorSpec &spec, int64_t begin,
                         int64_t end, uint16_t *out);

/// A checkpoint path, or "random:SEED" with a decimal 64-bit seed.
Expected<std::unique_ptr<WeightSource>>
openWeightSource(const std::string &text, int threads = 1,
                 const CheckpointOptions &options = {});

} // namespace dsv2rt

#endif // DSV2RT_CHECKPOINT_H
