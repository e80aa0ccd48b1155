//===- Npy.cpp - matrices in files that other tools know ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Npy.h"
#include "AtomicFile.h"
#include "Support.h"

#include <cstring>
#include <fstream>
#include <unistd.h>

using namespace dsv2rt;

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

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

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

struct NpyReader::Impl {
  std::ifstream file;
  std::string path;
  int64_t rows = 0, columns = 0;
  int64_t nextRow = 0;

  template <class... Parts>
  Status failure(StatusCode code, const Parts &...parts) const {
    return makeError(code, "matrix ", quote(path), ": ", parts...);
  }
  Status readHeader();
  Status parseDictionary(std::string text);
};

/// Takes `text` off the front of `rest`, white space before it too.
static bool consume(std::string &rest, const std::string &text) {
  size_t begin = rest.find_first_not_of(' ');
  if (begin == std::string::npos || rest.compare(begin, text.size(), text) != 0)
    return false;
  rest.erase(0, begin + text.size());
  return true;
}

/// Takes a number off the front of `rest`.
static bool consumeSize(std::string &rest, int64_t &size) {
  consume(rest, "");
  size_t digits = rest.find_first_not_of("0123456789");
  // 18 digits fit 63 bits.
  if (digits == 0 || digits == std::string::npos || digits > 18)
    return false;
  size = std::stoll(rest.substr(0, digits));
  rest.erase(0, digits);
  return true;
}

/// The keys come in this order from every writer, NumPy among them.
Status NpyReader::Impl::parseDictionary(std::string text) {
  std::string rest = text;
  bool isMatrix = consume(rest, "{") && consume(rest, "'descr'") &&
                  consume(rest, ":") && consume(rest, "'<f4'") &&
                  consume(rest, ",") && consume(rest, "'fortran_order'") &&
                  consume(rest, ":") && consume(rest, "False") &&
                  consume(rest, ",") && consume(rest, "'shape'") &&
                  consume(rest, ":") && consume(rest, "(") &&
                  consumeSize(rest, rows) && consume(rest, ",") &&
                  consumeSize(rest, columns) && consume(rest, ")");
  if (isMatrix)
    return Status();
  return failure(StatusCode::CorruptData,
                 "expected a row-major matrix of '<f4', found ", quote(text));
}

Status NpyReader::Impl::readHeader() {
  file.open(path, std::ios::binary | std::ios::ate);
  int64_t size = file ? int64_t(file.tellg()) : -1;
  file.seekg(0);
  // Folders open, and have no size.
  if (!file || size < 0 || size == std::numeric_limits<int64_t>::max())
    return failure(StatusCode::IoError, "cannot be read");
  char prefix[12] = {};
  file.read(prefix, 10);
  if (file.gcount() != 10 || std::memcmp(prefix, "\x93NUMPY", 6) != 0 ||
      (prefix[6] != 1 && prefix[6] != 2) || prefix[7] != 0)
    return failure(StatusCode::CorruptData,
                   "expected a .npy file of version 1.0 or 2.0");
  int64_t begin = 10;
  if (prefix[6] == 2) {
    file.read(prefix + 10, 2);
    begin = 12;
  }
  auto byte = [&](int i) {
    return int64_t((unsigned char)prefix[i]) << 8 * (i - 8);
  };
  int64_t length = byte(8) + byte(9) + byte(10) + byte(11);
  if (!file || length > size - begin)
    return failure(StatusCode::CorruptData, "expected a header of ", length,
                   " bytes, found a file of ", size);
  std::string header(size_t(length), ' ');
  file.read(header.data(), length);
  if (!file)
    return failure(StatusCode::IoError, "cannot be read");
  Status status = parseDictionary(header);
  if (!status.ok())
    return status;
  int64_t elements, bytes, total;
  if (!mulFits(rows, columns, elements) || !mulFits(elements, 4, bytes) ||
      !addFits(begin + length, bytes, total) || total != size)
    return failure(StatusCode::CorruptData, "expected the elements of [", rows,
                   ", ", columns, "] behind a header of ", begin + length,
                   " bytes, found a file of ", size);
  return Status();
}

NpyReader::NpyReader(std::unique_ptr<Impl> impl) : impl(std::move(impl)) {}
NpyReader::~NpyReader() = default;

Expected<std::unique_ptr<NpyReader>> NpyReader::open(const std::string &path) {
  return guarded([&]() -> Expected<std::unique_ptr<NpyReader>> {
    auto impl = std::make_unique<Impl>();
    impl->path = path;
    Status status = impl->readHeader();
    if (!status.ok())
      return status;
    return std::unique_ptr<NpyReader>(new NpyReader(std::move(impl)));
  });
}

int64_t NpyReader::rows() const { return impl->rows; }
int64_t NpyReader::columns() const { return impl->columns; }

Status NpyReader::read(float *data, int64_t count) {
  if (count < 0 || count > impl->rows - impl->nextRow)
    return impl->failure(StatusCode::InvalidArgument, "expected ", count,
                         " more rows, found ", impl->rows - impl->nextRow);
  impl->file.read(reinterpret_cast<char *>(data), count * impl->columns * 4);
  if (!impl->file)
    return impl->failure(StatusCode::IoError, "cannot be read");
  impl->nextRow += count;
  return Status();
}
