//===- PTXText.h - PTX as statements ----------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_TARGET_NVPTX_PTXTEXT_H
#define DSV2_LIB_TARGET_NVPTX_PTXTEXT_H

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>
#include <vector>

namespace mlir::dsv2 {

/// One instruction or directive of a body, without label and predicate.
struct PTXStatement {
  /// "ld.global.v4.b32", ".reg", ...
  llvm::StringRef opcode;
  /// What follows, up to the semicolon.
  llvm::StringRef operands;
  /// Line in the text, from 1.
  unsigned line = 0;

  /// The opcode between its dots: "ld", "global", "v4", "b32".
  llvm::SmallVector<llvm::StringRef, 12> getParts() const;
};

/// An `.entry` and what is in its braces. References point into PTXText.
struct PTXEntry {
  llvm::StringRef name;
  /// What is between the parameters and the body: ".maxntid 128, 1, 1".
  llvm::StringRef directives;
  llvm::StringRef body;
  std::vector<PTXStatement> statements;
};

/// A text cut into the bodies of its kernels.
class PTXText {
public:
  /// An error if a body does not end.
  static llvm::Expected<PTXText> parse(llvm::StringRef text);
  PTXText(PTXText &&) = default;

  const std::vector<PTXEntry> &getEntries() const { return entries; }

private:
  PTXText() = default;
  /// The text with spaces in the place of comments, strings, and `.loc` and
  /// `.file` lines, so that semicolons and braces mean what they look like.
  std::unique_ptr<std::string> clean;
  std::vector<PTXEntry> entries;
};

} // namespace mlir::dsv2

#endif // DSV2_LIB_TARGET_NVPTX_PTXTEXT_H
