//===- Manifest.h - what an artifact says about itself ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_MANIFEST_H
#define DSV2RT_MANIFEST_H

#include "dsv2rt/Checkpoint.h"
#include "dsv2rt/DeviceManifest.h"
#include "dsv2rt/Status.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dsv2rt {

/// The manifest of docs/RuntimeABI.md, validated: every index is in range,
/// every size is positive and no product of sizes overflows.
struct Manifest {
  std::string compiler;
  std::string pipeline;
  /// Digest of configuration, options and compiler, hexadecimal.
  std::string identity;

  struct Model {
    std::string name;
    int64_t vocabSize = 0;
    int64_t hiddenSize = 0;
    int64_t numLayers = 0;
    /// -1: none.
    int64_t bosTokenId = -1;
    std::vector<int64_t> eosTokenIds;
    int64_t maxPositionEmbeddings = 0;
    int64_t parameters = 0;
    int64_t activeParameters = 0;
    /// Routed experts that one token uses; 0: no routed experts, or unknown.
    int64_t expertsPerToken = 0;
  } model;

  /// Operations of the model's matrix products and attention, two for every
  /// product that is summed; all 0: unknown.
  struct Flops {
    /// Of one token in all layers, whatever the context.
    int64_t token = 0;
    /// Of one row of logits.
    int64_t logits = 0;
    /// Of one pair of query and key in all layers, by attention form.
    int64_t absorbedPair = 0;
    int64_t expandedPair = 0;
  } flops;

  /// The ranks that share the model; rank = epIndex * tp + tpIndex.
  struct Mesh {
    /// Ranks that share heads, vocabulary and FFN width.
    int64_t tp = 1;
    /// Ranks that share sequences and routed experts.
    int64_t ep = 1;

    int64_t size() const { return tp * ep; }
    int64_t tpIndex(int64_t rank) const { return rank % tp; }
    int64_t epIndex(int64_t rank) const { return rank / tp; }
    /// "tp=2, ep=4".
    std::string text() const;
    /// "8 ranks (tp=2, ep=4)", or "1 rank".
    std::string ranksText() const;
  } mesh;

  /// What the host's code is for.
  struct Target {
    std::string kind;
    std::string cpu;
    std::vector<std::string> features;
  } target;

  struct Numerics {
    std::string weightFormat;
    std::string kvFormat;
    bool deterministic = false;
  } numerics;

  struct Limits {
    int64_t maxContext = 0;
    int64_t maxBatch = 0;
  } limits;

  struct Cache {
    int64_t layers = 0;
    int64_t latent = 0;
    int64_t rope = 0;
    int64_t page = 0;
    /// How rows are stored: f32, bf16, or a format of bytes that only the
    /// compiler knows more of.
    std::string format;
    /// Bytes of one position in one layer, and of one element of the memory
    /// that the compiled code takes.
    int64_t rowBytes = 0;
    int64_t elementBytes = 1;

    /// Bytes of one position in all layers.
    int64_t bytesPerToken() const { return layers * rowBytes; }
    /// Bytes of one page in all layers.
    int64_t bytesPerPage() const { return bytesPerToken() * page; }
  } cache;

  struct Entry {
    std::string name;
    std::string symbol;
    std::string workspace;
    std::string form;
    /// Rows that a rank has for another in exchanges of tokens; 0: as many as
    /// needed.
    int64_t capacity = 0;
  };
  std::vector<Entry> entries;
  int64_t prefillMinTokens = 1;
  /// Whether the prefill entry has keys and values of all positions of its
  /// sequences in the workspace (dsv2rt_key_rows).
  bool prefillKeyRows = false;
  /// Empty in an artifact for a device, whose driver copies pages.
  std::string copyPages;
  /// The function that chooses tokens on the device; may be empty.
  std::string sample;

  /// The code for a device, if that is what computes.
  std::optional<DeviceManifest> device;

  /// Symbols of the conversions to f32; empty when the artifact has none.
  std::string convertF32, convertBF16, convertF16;
  const std::string &convert(DType dtype) const {
    return dtype == DType::F32    ? convertF32
           : dtype == DType::BF16 ? convertBF16
                                  : convertF16;
  }

  struct Source {
    std::string name;
    /// Of the whole checkpoint tensor.
    std::vector<int64_t> shape;
    std::vector<int64_t> layers;
    /// Experts of one rank at most; the last ranks may have fewer.
    int64_t experts = 0;
    /// Experts of all ranks of the ep axis, if those share them, or 0.
    int64_t expertsTotal = 0;
    /// The dimension of which each rank of the tp axis has an equal part; -1:
    /// every rank has the whole tensor.
    int64_t shardDim = -1;

    /// The experts [first, first + count) that a rank has of this source.
    struct ExpertRange {
      int64_t first = 0;
      int64_t count = 0;
    };
    ExpertRange expertsOf(const Mesh &mesh, int64_t rank) const;

    /// The part of every tensor of this source that a rank has.
    TensorSlice sliceOf(const Mesh &mesh, int64_t rank) const;

    /// How many checkpoint tensors a rank has at most.
    int64_t tensors() const {
      return std::max<int64_t>(layers.size(), 1) *
             std::max<int64_t>(experts, 1);
    }
    /// The tensor of the layer with index `layerIndex` into `layers`, and of
    /// `expert`, the checkpoint's number; both are ignored where the name does
    /// not hold them.
    TensorSpec tensor(int64_t layerIndex, int64_t expert) const;
  };
  std::vector<Source> sources;

  struct Slot {
    std::string name;
    std::string layout;
    std::string dtype;
    std::vector<int64_t> shape;
    int64_t instances = 1;
    int64_t bytes = 0;
    int64_t experts = 0;
    /// True when a step reads only the rows of its tokens (an embedding).
    bool gather = false;

    int64_t totalBytes() const { return instances * bytes; }
  };
  std::vector<Slot> slots;

  /// The packed file places slots at multiples of this.
  static constexpr int64_t slotAlignment = 4096;

  struct Prepare {
    std::string symbol;
    std::vector<int64_t> sources;
    std::vector<int64_t> outputs;
  };
  std::vector<Prepare> prepare;

  struct Site {
    std::string name;
    std::string op;
    int64_t level = 1;
    /// Whether its rows came from other ranks, so that they belong to no
    /// sequence of this one.
    bool exchanged = false;
    /// Of how many logits each value is the largest; 0 at other sites.
    int64_t largest = 0;
  };
  std::vector<Site> sites;

  /// A collective that compiled code calls by its number in this list.
  struct CommSite {
    std::string name;
    /// As collectiveName() calls it.
    std::string kind;
  };
  std::vector<CommSite> commSites;

  /// The manifest of the reference lowering of the same model, which computes
  /// on the host, or null.
  std::shared_ptr<const Manifest> reference;

  /// Offset of each slot in the packed weights of one rank, and their end.
  std::vector<int64_t> slotOffsets() const;
  int64_t packedBytes() const;

  /// Every checkpoint tensor that a rank of the mesh needs a part of.
  std::vector<TensorSpec> tensors(int64_t rank = 0) const;

  /// Bytes of weights that the ranks together read in a step with `tokens`
  /// tokens, shared by as many of them as can be: all of a slot, except that of
  /// experts at most tokens * expertsPerToken are counted and of gathered slots
  /// as many rows as there are tokens.
  int64_t activeWeightBytes(int64_t tokens) const;

  /// Operations that the model needs for `tokens` tokens of one sequence that
  /// already holds `depth`, and for `rows` rows of logits, with attention in
  /// the form called `form`. A double, for it may exceed 64 bits.
  double operations(int64_t tokens, int64_t depth, int64_t rows,
                    std::string_view form) const;
};

/// Parses and validates a manifest. Errors: CorruptData naming the key, the
/// expected and the found value; Unsupported for a newer version.
Expected<Manifest> parseManifest(std::string_view text);

} // namespace dsv2rt

#endif // DSV2RT_MANIFEST_H
