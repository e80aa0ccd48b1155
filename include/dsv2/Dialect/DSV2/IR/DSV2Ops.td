//===- DSV2Ops.td - every op of the dialect -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_DSV2OPS_TD
#define DSV2_DIALECT_DSV2_IR_DSV2OPS_TD

include "dsv2/Dialect/DSV2/IR/DSV2AttentionOps.td"
include "dsv2/Dialect/DSV2/IR/DSV2CacheOps.td"
include "dsv2/Dialect/DSV2/IR/DSV2CommOps.td"
include "dsv2/Dialect/DSV2/IR/DSV2DeviceOps.td"
include "dsv2/Dialect/DSV2/IR/DSV2KernelOps.td"
include "dsv2/Dialect/DSV2/IR/DSV2MoEOps.td"
include "dsv2/Dialect/DSV2/IR/DSV2ModelOps.td"

#endif // DSV2_DIALECT_DSV2_IR_DSV2OPS_TD
