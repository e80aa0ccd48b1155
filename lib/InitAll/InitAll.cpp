//===- InitAll.cpp - the one list of everything registered ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/InitAll.h"

#include "dsv2/CodeGen/CPU/LowerToLLVM.h"
#include "dsv2/CodeGen/CPU/Passes.h"
#include "dsv2/CodeGen/Passes.h"
#include "dsv2/Conversion/Passes.h"
#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "dsv2/Dialect/DSV2/Transforms/BufferizableOpInterfaceImpl.h"
#include "dsv2/Dialect/DSV2/Transforms/Passes.h"
#include "dsv2/Dialect/Tile/IR/Tile.h"
#include "dsv2/Pipelines/Pipelines.h"
#include "dsv2/Target/DeviceCode.h"
#include "dsv2/Target/Passes.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"

using namespace mlir;

void mlir::dsv2::registerAllDialects(DialectRegistry &registry) {
  mlir::registerAllDialects(registry);
  registry.insert<DSV2Dialect, tile::TileDialect>();
}

void mlir::dsv2::registerAllExtensions(DialectRegistry &registry) {
  mlir::registerAllExtensions(registry);
  registerBufferizableOpInterfaceExternalModels(registry);
  registerDeviceCodeDialects(registry);
}

void mlir::dsv2::registerAllPasses() {
  mlir::registerAllPasses();
  registerDSV2TransformsPasses();
  registerDSV2CodeGenPasses();
  cpu::registerDSV2CPUCodeGenPasses();
  registerDSV2ConversionPasses();
  registerPipelines();
  registerDSV2TargetPasses();
  registerDeviceCodePipelines();
}
