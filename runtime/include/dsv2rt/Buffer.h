//===- Buffer.h - page-aligned memory and mapped files ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_BUFFER_H
#define DSV2RT_BUFFER_H

#include "dsv2rt/Status.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace dsv2rt {

/// Anonymous memory that starts on a page boundary. The system hands pages out
/// on first use, so a large buffer costs only what is touched. Contents are
/// zero after each growth.
class Buffer {
public:
  Buffer() = default;
  ~Buffer() { reset(); }
  Buffer(Buffer &&other) noexcept { swap(other); }
  Buffer &operator=(Buffer &&other) noexcept {
    swap(other);
    return *this;
  }

  /// Makes room for at least `bytes` bytes; keeps the memory, contents
  /// included, when it is large enough already. `purpose` names the memory in
  /// the OutOfMemory error, which gives the bytes required and available.
  Status reserve(uint64_t bytes, const std::string &purpose);

  /// Gives the memory back.
  void reset();

  void *data() const { return base; }
  uint64_t size() const { return bytes; }

private:
  void swap(Buffer &other) {
    std::swap(base, other.base);
    std::swap(bytes, other.bytes);
  }

  void *base = nullptr;
  uint64_t bytes = 0;
};

/// A regular file mapped read-only.
class MappedFile {
public:
  MappedFile() = default;
  ~MappedFile();
  MappedFile(MappedFile &&other) noexcept { swap(other); }
  MappedFile &operator=(MappedFile &&other) noexcept {
    swap(other);
    return *this;
  }

  /// Maps `path`. Errors: NotFound, IoError (not a regular file, refused by
  /// the system). An empty file maps to no bytes.
  static Expected<MappedFile> open(const std::string &path);

  const uint8_t *data() const { return base; }
  uint64_t size() const { return bytes; }
  /// Time of last modification in nanoseconds since the epoch.
  int64_t modified() const { return mtime; }

  /// Tells the system that [offset, offset + count) is not needed for now.
  void forget(uint64_t offset, uint64_t count) const;

private:
  void swap(MappedFile &other) {
    std::swap(base, other.base);
    std::swap(bytes, other.bytes);
    std::swap(mtime, other.mtime);
  }

  const uint8_t *base = nullptr;
  uint64_t bytes = 0;
  int64_t mtime = 0;
};

/// Bytes this process can still allocate: the least of what the system has
/// available, what a memory control group leaves and what RLIMIT_AS leaves.
uint64_t availableMemory();

/// Resident memory of this process now, and its peak so far, in bytes; 0 when
/// the system does not tell.
uint64_t residentMemory();
uint64_t peakResidentMemory();

} // namespace dsv2rt

#endif // DSV2RT_BUFFER_H
