//===- Buffer.cpp - page-aligned memory and mapped files ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Buffer.h"
#include "Support.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace dsv2rt;

static constexpr uint64_t pageBytes = 4096;

Status Buffer::reserve(uint64_t wanted, const std::string &purpose) {
  if (wanted <= bytes)
    return Status();
  uint64_t available = availableMemory();
  void *fresh = MAP_FAILED;
  if (wanted <= uint64_t(std::numeric_limits<int64_t>::max()) - pageBytes) {
    wanted = (wanted + pageBytes - 1) / pageBytes * pageBytes;
    fresh = mmap(nullptr, wanted, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  }
  if (fresh == MAP_FAILED)
    return makeError(StatusCode::OutOfMemory, "cannot allocate ", purpose,
                     ": required ", bytesText(wanted), ", available ",
                     bytesText(available));
  reset();
  base = fresh;
  bytes = wanted;
  return Status();
}

void Buffer::reset() {
  if (base)
    munmap(base, bytes);
  base = nullptr;
  bytes = 0;
}

Expected<MappedFile> MappedFile::open(const std::string &path) {
  // Not blocking: opening a pipe without a writer must not hang.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return makeError(errno == ENOENT ? StatusCode::NotFound
                                     : StatusCode::IoError,
                     "cannot open ", quote(path), ": ", std::strerror(errno));
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    return makeError(StatusCode::IoError, quote(path),
                     " is not a regular file");
  }
  MappedFile file;
  file.bytes = uint64_t(info.st_size);
  file.mtime = int64_t(info.st_mtim.tv_sec) * 1000000000 + info.st_mtim.tv_nsec;
  if (file.bytes) {
    void *base = mmap(nullptr, file.bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    int reason = errno;
    if (base == MAP_FAILED) {
      close(fd);
      uint64_t wanted = file.bytes;
      file.bytes = 0;
      if (reason == ENOMEM)
        return makeError(StatusCode::OutOfMemory, "cannot map ", quote(path),
                         ": required ", bytesText(wanted),
                         " of address space, available ",
                         bytesText(availableMemory()));
      return makeError(StatusCode::IoError, "cannot map ", quote(path), ": ",
                       std::strerror(reason));
    }
    file.base = static_cast<const uint8_t *>(base);
  }
  close(fd);
  return file;
}

MappedFile::~MappedFile() {
  if (base)
    munmap(const_cast<uint8_t *>(base), bytes);
}

void MappedFile::forget(uint64_t offset, uint64_t count) const {
  uint64_t begin = (offset + pageBytes - 1) / pageBytes * pageBytes;
  uint64_t end = (offset + count) / pageBytes * pageBytes;
  if (begin < end && end <= bytes)
    madvise(const_cast<uint8_t *>(base) + begin, end - begin, MADV_DONTNEED);
}

/// The number after `key` in a file of "key: number kB" lines, in bytes.
static uint64_t kilobytesOf(const char *path, const std::string &key) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    uint64_t number = 0;
    if (word == key && file >> number)
      return number * 1024;
  }
  return 0;
}

/// The one number in a file; false when there is none ("max").
static bool numberIn(const char *path, uint64_t &number) {
  std::ifstream file(path);
  return bool(file >> number);
}

uint64_t dsv2rt::availableMemory() {
  uint64_t available = kilobytesOf("/proc/meminfo", "MemAvailable:");
  if (!available)
    available = std::numeric_limits<int64_t>::max();
  uint64_t limit = 0, used = 0;
  if (numberIn("/sys/fs/cgroup/memory.max", limit) &&
      numberIn("/sys/fs/cgroup/memory.current", used))
    available = std::min(available, limit > used ? limit - used : 0);
  struct rlimit addressSpace;
  if (getrlimit(RLIMIT_AS, &addressSpace) == 0 &&
      addressSpace.rlim_cur != RLIM_INFINITY) {
    used = kilobytesOf("/proc/self/status", "VmSize:");
    uint64_t left = addressSpace.rlim_cur > used
                        ? uint64_t(addressSpace.rlim_cur) - used
                        : 0;
    available = std::min(available, left);
  }
  return available;
}

uint64_t dsv2rt::residentMemory() {
  return kilobytesOf("/proc/self/status", "VmRSS:");
}

uint64_t dsv2rt::peakResidentMemory() {
  return kilobytesOf("/proc/self/status", "VmHWM:");
}
