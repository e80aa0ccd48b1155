//===- Report.h - tables of kernels -----------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2KERNEL_REPORT_H
#define DSV2_TOOLS_DSV2KERNEL_REPORT_H

#include "dsv2/Target/StaticGate.h"

namespace llvm {
class raw_ostream;
} // namespace llvm

namespace mlir::dsv2 {

/// A row of a table.
using TableRow = std::vector<std::string>;

/// Prints rows with columns as wide as they need: the first and the last to the
/// left, the others to the right.
void printRows(llvm::raw_ostream &os, llvm::ArrayRef<TableRow> rows);

/// Prints the kernels of each image as a table. Shared memory is bytes of a
/// block, spills and stack are bytes of a thread, instructions are those of the
/// cubin; "-" is what cannot be known without ptxas.
void printText(llvm::raw_ostream &os, llvm::ArrayRef<ImageReport> images);

/// Prints the gate's findings, one a line, and how many kernels have none.
/// Returns whether there were none at all.
bool printVerdict(llvm::raw_ostream &os, llvm::ArrayRef<ImageReport> images);

/// Prints everything as one JSON object, `{"images": [...]}`; with `isGate` the
/// findings as well. Returns whether there were none.
bool printJSON(llvm::raw_ostream &os, llvm::ArrayRef<ImageReport> images,
               bool isGate);

} // namespace mlir::dsv2

#endif // DSV2_TOOLS_DSV2KERNEL_REPORT_H
