//===- RandomWeights.cpp - weights from a seed ----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The generator is defined in docs/RuntimeABI.md, to the bit: every element is
// a function of the seed, the tensor's name and the element's index, so that
// any part of any tensor can be made in any order. test/Oracle has a twin in
// another language.
//
//===----------------------------------------------------------------------===//

#include "Sha256.h"
#include "SliceBlocks.h"
#include "Support.h"
#include "dsv2rt/Checkpoint.h"

#include <cmath>
#include <cstring>

using namespace dsv2rt;

/// The finaliser of the SplitMix64 generator: a bijection of 64-bit words.
static inline uint64_t mix(uint64_t z) {
  z ^= z >> 30;
  z *= 0xBF58476D1CE4E5B9;
  z ^= z >> 27;
  z *= 0x94D049BB133111EB;
  z ^= z >> 31;
  return z;
}

/// The 64-bit FNV-1a hash of the bytes of `text`.
static uint64_t fnv1a(const std::string &text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (unsigned char byte : text) {
    hash ^= byte;
    hash *= 0x100000001b3;
  }
  return hash;
}

/// Rounds a finite number to the nearest bfloat16, ties to even.
static inline uint16_t toBF16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// Writes offset + scale * u for elements [begin, end).
static void fill(uint64_t key, float offset, float scale, int64_t begin,
                 int64_t end, uint16_t *out) {
  for (int64_t i = begin; i < end; ++i) {
    uint64_t raw = mix(key + (uint64_t(i) + 1) * 0x9E3779B97F4A7C15);
    float u = float(int32_t(raw >> 40)) * 0x1p-23f - 1.0f;
    out[i - begin] = toBF16(offset + scale * u);
  }
}

Status dsv2rt::fillRandomWeights(uint64_t seed, const TensorSpec &spec,
                                 int64_t begin, int64_t end, uint16_t *out) {
  uint64_t key = mix(seed ^ fnv1a(spec.name));
  if (spec.shape.size() == 1) {
    fill(key, 1.0f, 0.25f, begin, end, out);
    return Status();
  }
  if (spec.shape.size() != 2)
    return makeError(StatusCode::Unsupported, "tensor ", quote(spec.name),
                     " of shape ", shapeText(spec.shape),
                     ": random weights have one or two dimensions");
  float scale = spec.name == "model.embed_tokens.weight"
                    ? 1.0f
                    : float(std::sqrt(3.0 / double(spec.shape[1])));
  fill(key, 0.0f, scale, begin, end, out);
  return Status();
}

namespace {

class RandomWeights : public WeightSource {
public:
  RandomWeights(uint64_t seed, int threads) : seed(seed), threads(threads) {}

  Status require(const std::vector<TensorSpec> &specs) override {
    for (const TensorSpec &spec : specs) {
      Status status = fillRandomWeights(seed, spec, 0, 0, nullptr);
      if (!status.ok())
        return status;
    }
    return Status();
  }

  using WeightSource::read;
  Expected<TensorView> read(const TensorSpec &spec, const TensorSlice &slice,
                            Buffer &scratch) override {
    return guarded([&]() -> Expected<TensorView> {
      Status status = fillRandomWeights(seed, spec, 0, 0, nullptr);
      if (!status.ok())
        return status;
      Expected<SliceBlocks> found = sliceBlocks(spec, slice);
      if (!found.ok())
        return found.status();
      const SliceBlocks &blocks = found.value();
      int64_t elements = blocks.count * blocks.size;
      status = scratch.reserve(uint64_t(elements) * 2,
                               "random tensor " + quote(spec.name));
      if (!status.ok())
        return status;
      auto *out = static_cast<uint16_t *>(scratch.data());
      parallelFor(elements, 1 << 16, threads, [&](int64_t begin, int64_t end) {
        fillPart(spec, blocks, begin, end, out);
      });
      readBytes += elements * 2;
      return TensorView{DType::BF16, out, elements};
    });
  }

  Expected<std::string> identity(const std::vector<TensorSpec> &) override {
    Sha256 digest;
    digest.field("dsv2-random-1");
    digest.field(seed);
    return digest.hex();
  }

  std::string describe() const override { return strCat("random:", seed); }

private:
  /// Makes elements [begin, end) of a slice, block by block.
  void fillPart(const TensorSpec &spec, const SliceBlocks &blocks,
                int64_t begin, int64_t end, uint16_t *out) const {
    while (begin < end) {
      int64_t block = begin / blocks.size, within = begin % blocks.size;
      int64_t count = std::min(end - begin, blocks.size - within);
      int64_t first = blocks.begin + block * blocks.stride + within;
      (void)fillRandomWeights(seed, spec, first, first + count, out + begin)
          .ok();
      begin += count;
    }
  }

  uint64_t seed;
  int threads;
};

} // namespace

std::unique_ptr<WeightSource> dsv2rt::makeRandomWeights(uint64_t seed,
                                                        int threads) {
  return std::make_unique<RandomWeights>(seed, threads);
}
