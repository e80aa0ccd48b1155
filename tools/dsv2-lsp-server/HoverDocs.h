//===- HoverDocs.h - op descriptions in hover replies -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2LSPSERVER_HOVERDOCS_H
#define DSV2_TOOLS_DSV2LSPSERVER_HOVERDOCS_H

#include "llvm/ADT/StringRef.h"
#include <string>
#include <thread>

namespace mlir::dsv2 {

/// Summary and description of an op ("dsv2.route") as Markdown, out of the
/// generated reference; empty for an op that is not of the dialect.
std::string getOpDocs(llvm::StringRef name);

/// Adds the op's description if `message` is the reply to a hover over one of
/// our ops, and returns any other message as it is.
std::string addHoverDocs(llvm::StringRef message);

/// MLIR's language server answers a hover with the op's generic form alone and
/// has no hook to add to it. While an object of this class lives, what the
/// process writes to standard output goes through `addHoverDocs`.
class HoverFilter {
public:
  HoverFilter();
  ~HoverFilter();

private:
  /// Copies messages from `input` to `output` until the former ends.
  static void run(int input, int output);

  /// The standard output of the process, -1 if there is no filter.
  int output = -1;
  std::thread thread;
};

} // namespace mlir::dsv2

#endif // DSV2_TOOLS_DSV2LSPSERVER_HOVERDOCS_H
