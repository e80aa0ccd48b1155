//===- FakeMeshWeights.cpp - weights of ranks' artifacts ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FakeMesh.h"

#include <cstring>

using namespace fake;

static void copySource(dsv2rt_memref1d *sources, dsv2rt_memref1d *outputs,
                       int64_t elements) {
  std::memcpy(base<void *>(outputs)[0], base<void *>(sources)[0], elements * 4);
}

EXPORT void mesh_prepare_norm(dsv2rt_memref1d *sources,
                              dsv2rt_memref1d *outputs) {
  copySource(sources, outputs, columns);
}

EXPORT void mesh_prepare_experts(dsv2rt_memref1d *sources,
                                 dsv2rt_memref1d *outputs) {
  copySource(sources, outputs, intermediate * columns);
}

EXPORT void mesh_prepare_head(dsv2rt_memref1d *sources,
                              dsv2rt_memref1d *outputs) {
  copySource(sources, outputs, headRows * hidden);
}
