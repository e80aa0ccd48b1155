//===- RunMain.h - dsv2-run as a function -----------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_RUN_RUNMAIN_H
#define DSV2_TOOLS_DSV2_RUN_RUNMAIN_H

namespace dsv2rt {

/// Runs the command line of dsv2-run and returns its exit code. In a program
/// with an artifact linked in, that artifact is used and none is named on the
/// command line.
int runMain(int argc, char **argv);

} // namespace dsv2rt

#endif // DSV2_TOOLS_DSV2_RUN_RUNMAIN_H
