//===- Manifest.cpp - what an artifact says about itself ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Manifest.h"
#include "Support.h"

using namespace dsv2rt;

TensorSpec Manifest::Source::tensor(int64_t layerIndex, int64_t expert) const {
  TensorSpec spec{name, shape};
  auto substitute = [&](const std::string &hole, int64_t number) {
    for (size_t at; (at = spec.name.find(hole)) != std::string::npos;)
      spec.name.replace(at, hole.size(), std::to_string(number));
  };
  if (!layers.empty())
    substitute("{layer}", layers[layerIndex]);
  if (experts)
    substitute("{expert}", expert);
  return spec;
}

std::string Manifest::Mesh::text() const {
  return strCat("tp=", tp, ", ep=", ep);
}

std::string Manifest::Mesh::ranksText() const {
  return size() == 1 ? "1 rank" : strCat(size(), " ranks (", text(), ")");
}

Manifest::Source::ExpertRange Manifest::Source::expertsOf(const Mesh &mesh,
                                                          int64_t rank) const {
  if (!expertsTotal)
    return {0, experts};
  int64_t first = std::min(mesh.epIndex(rank) * experts, expertsTotal);
  return {first, std::min(experts, expertsTotal - first)};
}

TensorSlice Manifest::Source::sliceOf(const Mesh &mesh, int64_t rank) const {
  if (shardDim < 0)
    return {};
  int64_t part = shape[shardDim] / mesh.tp;
  return {shardDim, mesh.tpIndex(rank) * part, part};
}

std::vector<int64_t> Manifest::slotOffsets() const {
  std::vector<int64_t> offsets;
  int64_t next = 0;
  for (const Slot &slot : slots) {
    offsets.push_back(next);
    next = roundUp(next + slot.totalBytes(), slotAlignment);
  }
  return offsets;
}

int64_t Manifest::packedBytes() const {
  int64_t next = 0;
  for (const Slot &slot : slots)
    next = roundUp(next + slot.totalBytes(), slotAlignment);
  return next;
}

std::vector<TensorSpec> Manifest::tensors(int64_t rank) const {
  std::vector<TensorSpec> specs;
  for (const Source &source : sources) {
    Source::ExpertRange range = source.expertsOf(mesh, rank);
    int64_t parts = source.experts ? range.count : 1;
    for (size_t layer = 0; layer < std::max<size_t>(source.layers.size(), 1);
         ++layer)
      for (int64_t part = 0; part < parts; ++part)
        specs.push_back(source.tensor(layer, range.first + part));
  }
  return specs;
}

int64_t Manifest::activeWeightBytes(int64_t tokens) const {
  // Ranks without a token read nothing but experts.
  int64_t busy = mesh.tp * std::min(mesh.ep, std::max<int64_t>(tokens, 1));
  int64_t total = 0;
  for (const Slot &slot : slots) {
    int64_t bytes = slot.totalBytes();
    if (slot.gather && !slot.shape.empty() && slot.shape[0] > 0) {
      // A token's row is read by the ranks that share its sequence.
      total +=
          mesh.tp * (bytes / slot.shape[0]) * std::min(tokens, slot.shape[0]);
    } else if (slot.experts && model.expertsPerToken) {
      int64_t all = slot.experts * mesh.ep, used = all;
      if (tokens < all)
        used = std::min(all, tokens * model.expertsPerToken);
      total += mesh.tp * (bytes / slot.experts) * used;
    } else {
      total += busy * bytes;
    }
  }
  return total;
}

double Manifest::operations(int64_t tokens, int64_t depth, int64_t rows,
                            std::string_view form) const {
  // Token i of the step sees the depth, those before it, and itself.
  double pairs = double(tokens) * double(depth) +
                 double(tokens) * (double(tokens) + 1) / 2;
  int64_t pair = form == "absorbed" ? flops.absorbedPair : flops.expandedPair;
  return double(tokens) * double(flops.token) +
         double(rows) * double(flops.logits) + pairs * double(pair);
}
