//===- Npy.cpp - writing matrices for other tools -------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Npy.h"
#include "AtomicFile.h"
#include "Support.h"

#include <unistd.h>

using namespace dsv2rt;

/// Length of the whole header; room for any pair of sizes.
static constexpr int64_t npyHeaderBytes = 128;

struct NpyWriter::Impl {
  AtomicFile file;
  int64_t columns = 0;
  int64_t rows = 0;

  Status writeAt(int64_t offset, const void *data, int64_t size) {
    if (lseek(file.descriptor(), offset, SEEK_SET) < 0)
      return makeError(StatusCode::IoError, "cannot seek in a .npy file");
    return file.write(data, size);
  }
};

NpyWriter::NpyWriter(std::unique_ptr<Impl> impl) : impl(std::move(impl)) {}
NpyWriter::~NpyWriter() = default;

Expected<std::unique_ptr<NpyWriter>> NpyWriter::create(const std::string &path,
                                                       int64_t columns) {
  return guarded([&]() -> Expected<std::unique_ptr<NpyWriter>> {
    auto impl = std::make_unique<Impl>();
    impl->columns = columns;
    Status status = impl->file.create(path);
    if (!status.ok())
      return status;
    return std::unique_ptr<NpyWriter>(new NpyWriter(std::move(impl)));
  });
}

Status NpyWriter::write(int64_t firstRow, const float *data, int64_t rows) {
  impl->rows = std::max(impl->rows, firstRow + rows);
  return impl->writeAt(npyHeaderBytes + firstRow * impl->columns * 4, data,
                       rows * impl->columns * 4);
}

Status NpyWriter::finish() {
  return guarded([&]() -> Status {
    std::string header("\x93NUMPY\x01\x00", 8);
    constexpr int64_t dictionaryBytes = npyHeaderBytes - 10;
    header += char(dictionaryBytes & 0xff);
    header += char(dictionaryBytes >> 8);
    header += strCat("{'descr': '<f4', 'fortran_order': False, 'shape': (",
                     impl->rows, ", ", impl->columns, "), }");
    header.resize(npyHeaderBytes - 1, ' ');
    header += '\n';
    Status status = impl->writeAt(0, header.data(), npyHeaderBytes);
    if (status.ok())
      status = impl->file.commit();
    return status;
  });
}
