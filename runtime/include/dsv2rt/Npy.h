//===- Npy.h - matrices in files that other tools know ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_NPY_H
#define DSV2RT_NPY_H

#include "dsv2rt/Status.h"

#include <cstdint>
#include <memory>
#include <string>

namespace dsv2rt {

/// Writes an f32 [rows, columns] matrix row by row in NumPy's .npy format,
/// version 1.0. The number of rows is known at the end only; the file appears
/// under its name when finish() succeeds.
class NpyWriter {
public:
  ~NpyWriter();

  static Expected<std::unique_ptr<NpyWriter>> create(const std::string &path,
                                                     int64_t columns);

  /// Writes `rows` rows at row `firstRow`, f32 row-major.
  Status write(int64_t firstRow, const float *data, int64_t rows);

  /// Writes the header and gives the file its name.
  Status finish();

private:
  struct Impl;
  explicit NpyWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl;
};

/// Reads such a matrix, of version 1.0 or 2.0, from its first row to its last.
class NpyReader {
public:
  ~NpyReader();

  /// Errors: IoError; CorruptData for what is no such matrix: another format,
  /// element type or order of elements, or a file that is not as long as its
  /// header says.
  static Expected<std::unique_ptr<NpyReader>> open(const std::string &path);

  int64_t rows() const;
  int64_t columns() const;

  /// Reads the next `count` rows. Errors: InvalidArgument if there are fewer
  /// left; IoError.
  Status read(float *data, int64_t count);

private:
  struct Impl;
  explicit NpyReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl;
};

} // namespace dsv2rt

#endif // DSV2RT_NPY_H
