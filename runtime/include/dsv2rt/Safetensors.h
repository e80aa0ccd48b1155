//===- Safetensors.h - the safetensors file format --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A safetensors file is an 8-byte little-endian header length, a JSON object
// and raw row-major data. Files come from outside and are never trusted: what
// this header accepts is consistent, byte for byte.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_SAFETENSORS_H
#define DSV2RT_SAFETENSORS_H

#include "dsv2rt/Status.h"

#include <cstdint>
#include <string>
#include <vector>

namespace dsv2rt {

/// Headers longer than this are refused unless the caller asks for more. The
/// largest published checkpoint of the family needs about 5 MB for all of its
/// tensors in one file.
constexpr uint64_t defaultMaxHeaderBytes = 100'000'000;

/// Environment variable that overrides defaultMaxHeaderBytes, in bytes.
constexpr const char *maxHeaderBytesVariable = "DSV2_MAX_HEADER_BYTES";

/// One tensor of a file.
struct SafetensorsEntry {
  std::string name;
  /// The dtype as the file spells it, one of those of the format.
  std::string dtype;
  std::vector<int64_t> shape;
  /// Byte range of the data, counted from the start of the file.
  uint64_t begin = 0;
  uint64_t end = 0;
};

/// The tensors of the file of `size` bytes at `file`, sorted by name. `what`
/// names the file in errors, which have the code CorruptData. Refused: a header
/// that does not fit in the file or is longer than `maxHeaderBytes`, anything
/// but an object of {dtype, shape, data_offsets} entries (and "__metadata__",
/// an object of strings), duplicate keys, unknown dtypes, offsets that do not
/// agree with shape and dtype, data that overlaps, has holes, or ends before
/// or after the end of the file.
Expected<std::vector<SafetensorsEntry>>
parseSafetensors(const uint8_t *file, uint64_t size, const std::string &what,
                 uint64_t maxHeaderBytes = defaultMaxHeaderBytes);

/// Reads the text of a model.safetensors.index.json: pairs of tensor name and
/// shard file name, sorted by tensor name. File names that are not plain names
/// ending in ".safetensors" are refused, naming key and value.
Expected<std::vector<std::pair<std::string, std::string>>>
parseSafetensorsIndex(const std::string &text, const std::string &what);

} // namespace dsv2rt

#endif // DSV2RT_SAFETENSORS_H
