//===- AtomicFile.h - files that appear complete or not at all --*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_ATOMICFILE_H
#define DSV2RT_LIB_CORE_ATOMICFILE_H

#include "dsv2rt/Status.h"

#include <cstdint>
#include <string>

namespace dsv2rt {

/// A file under construction. Where the file system can, it has no name until
/// commit(), so that even a killed process leaves nothing behind; elsewhere it
/// has a temporary name that the destructor removes.
class AtomicFile {
public:
  AtomicFile() = default;
  ~AtomicFile();
  AtomicFile(const AtomicFile &) = delete;
  AtomicFile &operator=(const AtomicFile &) = delete;

  /// Starts a file that will be `path`.
  Status create(const std::string &path);

  /// Reserves `bytes` on the disk and makes that the file's size. The error
  /// gives the bytes required and available.
  Status allocate(uint64_t bytes);

  /// Appends or overwrites at the current position.
  Status write(const void *data, uint64_t bytes);

  /// Makes the contents durable and gives the file its name, replacing what
  /// had it.
  Status commit();

  int descriptor() const { return fd; }

private:
  Status failure(const char *what, int error) const;

  int fd = -1;
  std::string target;
  std::string temporary;
};

/// Writes `size` bytes as the file `path`, complete or not at all.
Status writeFileAtomically(const std::string &path, const void *data,
                           uint64_t size);

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_ATOMICFILE_H
