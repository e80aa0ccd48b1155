//===- TensorMaps.h - encoded tensor maps, kept -----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CUDA_TENSORMAPS_H
#define DSV2RT_LIB_CUDA_TENSORMAPS_H

#include "Context.h"
#include "dsv2rt/DeviceManifest.h"
#include "dsv2rt/abi.h"

#include <array>
#include <cstdint>
#include <unordered_map>

namespace dsv2rt::cuda {

/// Encodes each tensor map once. A map holds nothing but addresses and sizes,
/// so what is kept never becomes wrong.
class TensorMaps {
public:
  explicit TensorMaps(const Context &context) : context(context) {}

  /// The map for `tensor` as parameter `parameter` of the kernel with this
  /// index; stays in place until the next call of trim(). Errors: Internal for
  /// a tensor that no map can describe, naming kernel, parameter and value;
  /// those of the driver.
  Expected<const CUtensorMap *> get(const DeviceManifest::Kernel &kernel,
                                    int32_t index, size_t parameter,
                                    const dsv2rt_tensor &tensor);

  /// Forgets the maps if they are very many. To be called between steps.
  void trim();

  size_t size() const { return maps.size(); }

private:
  /// Kernel and parameter, address, dimensions, strides.
  using Key = std::array<uint64_t, 2 + 2 * DSV2RT_MAX_TENSOR_RANK>;
  struct Hash {
    size_t operator()(const Key &key) const;
  };

  const Context &context;
  std::unordered_map<Key, CUtensorMap, Hash> maps;
};

} // namespace dsv2rt::cuda

#endif // DSV2RT_LIB_CUDA_TENSORMAPS_H
