//===- AtomicFile.cpp - files that appear complete or not at all ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AtomicFile.h"
#include "Support.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

using namespace dsv2rt;

Status AtomicFile::failure(const char *what, int error) const {
  return makeError(StatusCode::IoError, "cannot ", what, " ", quote(target),
                   ": ", std::strerror(error));
}

/// A name beside `path` that no other thread or process uses.
static std::string temporaryName(const std::string &path) {
  static std::atomic<int> counter{0};
  return strCat(path, ".tmp.", getpid(), ".", counter++);
}

Status AtomicFile::create(const std::string &path) {
  target = path;
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty())
    folder = ".";
  struct stat info;
  if (stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
    return makeError(StatusCode::IoError, "cannot write ", quote(path),
                     ": it exists and is not a regular file");
  fd = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
  if (fd >= 0)
    return Status();
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL &&
      errno != ENOENT)
    return failure("write", errno);
  temporary = temporaryName(path);
  fd = open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) {
    temporary.clear();
    return failure("write", errno);
  }
  return Status();
}

Status AtomicFile::allocate(uint64_t bytes) {
  struct statvfs info;
  uint64_t available = 0;
  bool known = fstatvfs(fd, &info) == 0;
  if (known)
    available = uint64_t(info.f_bavail) * info.f_frsize;
  int error = known && available < bytes ? ENOSPC
                                         : posix_fallocate(fd, 0, off_t(bytes));
  if (error == ENOSPC || error == EFBIG || error == EDQUOT)
    return makeError(StatusCode::IoError, "no space for ", quote(target),
                     ": required ", bytesText(bytes), ", available ",
                     bytesText(available));
  return error ? failure("allocate", error) : Status();
}

Status AtomicFile::write(const void *data, uint64_t bytes) {
  auto *next = static_cast<const char *>(data);
  while (bytes) {
    ssize_t written = ::write(fd, next, bytes);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return failure("write", errno);
    next += written;
    bytes -= uint64_t(written);
  }
  return Status();
}

Status AtomicFile::commit() {
  if (fsync(fd) != 0)
    return failure("write", errno);
  if (temporary.empty()) {
    std::string name = temporaryName(target);
    std::string self = strCat("/proc/self/fd/", fd);
    if (linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(),
               AT_SYMLINK_FOLLOW) != 0)
      return failure("write", errno);
    temporary = name;
  }
  if (rename(temporary.c_str(), target.c_str()) != 0)
    return failure("write", errno);
  temporary.clear();
  std::filesystem::path folder = std::filesystem::path(target).parent_path();
  int directory = open(folder.empty() ? "." : folder.c_str(),
                       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    fsync(directory);
    close(directory);
  }
  return Status();
}

AtomicFile::~AtomicFile() {
  if (!temporary.empty())
    unlink(temporary.c_str());
  if (fd >= 0)
    close(fd);
}

Status dsv2rt::writeFileAtomically(const std::string &path, const void *data,
                                   uint64_t size) {
  AtomicFile file;
  Status status = file.create(path);
  if (status.ok())
    status = file.write(data, size);
  if (status.ok())
    status = file.commit();
  return status;
}
