//===- TextWriter.h - lines of names and values -----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_IMPORT_TEXTWRITER_H
#define DSV2_LIB_IMPORT_TEXTWRITER_H

#include "dsv2/Import/CostModel.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <string>

namespace dsv2 {

/// Writes "name   value" lines under headings.
class TextWriter {
public:
  explicit TextWriter(llvm::raw_ostream &os) : os(os) {}

  void heading(llvm::StringRef text) {
    os << (isFirst ? "" : "\n") << text << "\n";
    isFirst = false;
  }
  llvm::raw_ostream &line(const llvm::Twine &name, size_t width = 32) {
    std::string text = name.str();
    return os << "  " << llvm::left_justify(text, std::max(width, text.size()))
              << "  ";
  }
  void value(const llvm::Twine &name, int64_t count) {
    line(name) << count << "\n";
  }
  void value(const llvm::Twine &name, double number) {
    line(name) << llvm::format("%.9g", number) << "\n";
  }
  void value(const llvm::Twine &name, llvm::StringRef text) {
    line(name) << text << "\n";
  }
  /// A large count, also in billions where that is readable.
  void count(const llvm::Twine &name, int64_t count) {
    line(name) << count;
    if (count >= 1000000)
      os << llvm::format(" (%.3f %s)",
                         count >= 1000000000 ? count / 1e9 : count / 1e6,
                         count >= 1000000000 ? "B" : "M");
    os << "\n";
  }
  void bytes(const llvm::Twine &name, int64_t bytes) {
    line(name) << bytes;
    if (bytes >= 1024)
      os << " (" << formatBytes(bytes) << ")";
    os << "\n";
  }

private:
  llvm::raw_ostream &os;
  bool isFirst = true;
};

} // namespace dsv2

#endif // DSV2_LIB_IMPORT_TEXTWRITER_H
