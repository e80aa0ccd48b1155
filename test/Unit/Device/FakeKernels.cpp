//===- FakeKernels.cpp - the fake model's kernels for a device ------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Compiled for NVPTX, into bitcode, without any header. A block computes one
// token, a thread one element; parameters are those that FakeDeviceArtifact.cpp
// passes. Sums have the order of FakeSteps.cpp.
//
//===----------------------------------------------------------------------===//

#define KERNEL extern "C" __attribute__((device_kernel)) void

using Index = long;
template <class T> using Global = __attribute__((address_space(1))) T;

/// A tensor map; nothing here reads it.
struct alignas(64) TensorMap {
  char opaque[128];
};

constexpr Index vocabulary = 64, hidden = 8, page = 4;
constexpr Index experts = 4, intermediate = 3;
/// DSV2RT_SAMPLE_STEPS.
constexpr Index chosenSteps = 2;

static Index block() { return __nvvm_read_ptx_sreg_ctaid_x(); }
static int thread() { return __nvvm_read_ptx_sreg_tid_x(); }

/// Whether this thread has an element of a row of `size`, of `count` rows.
static bool active(Index count, int size) {
  return block() < count && thread() < size &&
         __nvvm_read_ptx_sreg_tid_y() == 0;
}

KERNEL embed(const Global<int> *tokens, const Global<float> *embedding,
             Global<float> *state, Index count) {
  if (active(count, hidden))
    state[block() * hidden + thread()] =
        embedding[tokens[block()] * hidden + thread()];
}

/// Where the row of a position of this block's token is in the cache.
static Index place(const Global<int> *seqIds, const Global<int> *tables,
                   Index width, Index pages, int layer, Index position) {
  Index number = tables[seqIds[block()] * width + position / page];
  return ((layer * pages + number) * page + position % page) * hidden;
}

KERNEL append(const Global<int> *positions, const Global<int> *seqIds,
              const Global<int> *tables, Global<float> *cache,
              const Global<float> *state, Index count, Index width, Index pages,
              int layer) {
  if (active(count, hidden))
    cache[place(seqIds, tables, width, pages, layer, positions[block()]) +
          thread()] = state[block() * hidden + thread()];
}

KERNEL attend(const Global<int> *positions, const Global<int> *seqIds,
              const Global<int> *tables, const Global<float> *cache,
              Global<float> *mean, Index count, Index width, Index pages,
              int layer) {
  if (!active(count, hidden))
    return;
  Index position = positions[block()];
  float sum = 0;
  for (Index at = 0; at <= position; ++at)
    sum += cache[place(seqIds, tables, width, pages, layer, at) + thread()];
  mean[block() * hidden + thread()] = sum / float(position + 1);
}

KERNEL update(const Global<int> *tokens, const Global<float> *mean,
              const Global<float> *norm, const Global<float> *up,
              Global<float> *state, Index count, int layer, float scale) {
  if (!active(count, hidden))
    return;
  Index at = block() * hidden + thread();
  float value = state[at] + mean[at] * norm[layer * hidden + thread()];
  if (layer == 1) {
    Index expert = tokens[block()] % experts;
    value += scale * up[expert * intermediate * hidden + thread()];
  }
  state[at] = value;
}

KERNEL logits(TensorMap, const Global<float> *head, const Global<float> *state,
              const Global<int> *rows, Global<float> *result, Index count) {
  if (!active(count, vocabulary))
    return;
  float sum = 0;
  for (Index i = 0; i < hidden; ++i)
    sum += state[rows[block()] * hidden + i] * head[i * vocabulary + thread()];
  result[block() * vocabulary + thread()] = sum;
}

/// dsv2rt_sampling_row; only the vocabulary is looked at.
struct SamplingRow {
  int vocabulary, others[9];
};

KERNEL sample(const Global<float> *logits, const Global<int> *rows,
              const Global<SamplingRow> *sampling, Global<int> *tokens,
              Global<int> *positions, Global<int> *chosen, Index count) {
  if (!active(count, 1))
    return;
  const Global<float> *row = logits + block() * vocabulary;
  int best = 0;
  for (int id = 0; best >= 0 && id < sampling[block()].vocabulary; ++id)
    best = row[id] - row[id] != 0 ? -1 : row[id] > row[best] ? id : best;
  int token = rows[block()];
  tokens[token] = best < 0 ? 0 : best;
  Index position = ++positions[token];
  chosen[position % chosenSteps * count + block()] = best;
}
