//===- Graphs.h - steps that repeat their launches --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a step launches depends on its sizes and addresses alone (abi.h). The
// addresses of a session stay, so the launches of a step are captured once as
// a graph and started again, all at once, by steps of the same sizes.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CUDA_GRAPHS_H
#define DSV2RT_LIB_CUDA_GRAPHS_H

#include "Handles.h"

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <map>

namespace dsv2rt::cuda {

/// The graphs of one session's stream.
class Graphs {
public:
  /// Which entry, and the sizes of a step: tokens, sequences, rows of logits,
  /// width of the block tables; and whether tokens are chosen at the end.
  using Shape = std::array<int64_t, 6>;

  Graphs(std::shared_ptr<Context> context, CUstream stream)
      : context(std::move(context)), stream(stream) {}

  /// Runs a step of this shape: with `launch`, which puts kernels on the
  /// stream, when the shape is new; by capturing what `launch` does when it
  /// comes for the second time, as most shapes never do; and by the graph from
  /// then on. `replayed` tells whether `launch` was not called.
  Status run(const Shape &shape, const std::function<Status()> &launch,
             bool &replayed);

  /// Forgets everything: an address has changed.
  void clear();

  /// Graphs that are kept.
  int64_t size() const { return captured; }

private:
  struct Entry {
    GraphExecHandle graph;
    std::list<Shape>::iterator age;
  };

  Status capture(const Shape &shape, const std::function<Status()> &launch,
                 GraphExecHandle &graph);
  void evict();

  std::shared_ptr<Context> context;
  CUstream stream;
  std::map<Shape, Entry> entries;
  /// All shapes, the last used first.
  std::list<Shape> ages;
  int64_t captured = 0;
};

} // namespace dsv2rt::cuda

#endif // DSV2RT_LIB_CUDA_GRAPHS_H
