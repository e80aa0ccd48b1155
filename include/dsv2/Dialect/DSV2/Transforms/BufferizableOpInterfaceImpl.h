//===- BufferizableOpInterfaceImpl.h - bufferisation of dsv2 ops *- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_TRANSFORMS_BUFFERIZABLEOPINTERFACEIMPL_H
#define DSV2_DIALECT_DSV2_TRANSFORMS_BUFFERIZABLEOPINTERFACEIMPL_H

namespace mlir {
class DialectRegistry;

namespace dsv2 {
/// Registers how `dsv2.launch` and `dsv2.tap` bufferise: a launch reads its
/// inputs and overwrites its outputs, each result being its output's buffer; a
/// tap reads its value.
void registerBufferizableOpInterfaceExternalModels(DialectRegistry &registry);
} // namespace dsv2
} // namespace mlir

#endif // DSV2_DIALECT_DSV2_TRANSFORMS_BUFFERIZABLEOPINTERFACEIMPL_H
