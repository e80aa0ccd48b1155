//===- Version.cpp - version of the compiler ------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Support/Version.h"

llvm::StringRef mlir::dsv2::getVersion() { return DSV2_VERSION; }
