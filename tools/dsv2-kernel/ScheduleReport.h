//===- ScheduleReport.h - the schedules of tile kernels ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2KERNEL_SCHEDULEREPORT_H
#define DSV2_TOOLS_DSV2KERNEL_SCHEDULEREPORT_H

#include "dsv2/Dialect/Tile/IR/Tile.h"

namespace mlir::dsv2 {

/// Prints what the blocks of `kernel` do and when: how tiles are dealt to
/// blocks, shared memory with its rings and their stages, named barriers, and
/// for each role its warps and registers, then loop by loop its copies, waits
/// and products. Addresses and arithmetic on single elements are left out.
void printSchedule(llvm::raw_ostream &os, tile::KernelOp kernel);

} // namespace mlir::dsv2

#endif // DSV2_TOOLS_DSV2KERNEL_SCHEDULEREPORT_H
