//===- Version.h - version of the compiler ----------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_SUPPORT_VERSION_H
#define DSV2_SUPPORT_VERSION_H

#include "llvm/ADT/StringRef.h"

namespace mlir::dsv2 {
/// Version of dsv2, "major.minor.patch", as CMakeLists.txt states it.
llvm::StringRef getVersion();
} // namespace mlir::dsv2

#endif // DSV2_SUPPORT_VERSION_H
