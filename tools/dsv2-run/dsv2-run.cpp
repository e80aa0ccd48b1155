//===- dsv2-run.cpp - runs a compiled model -------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RunMain.h"

int main(int argc, char **argv) { return dsv2rt::runMain(argc, argv); }
