//===- TileDialect.cpp - the dsv2_tile dialect ---------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/Tile/IR/Tile.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMTypes.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::dsv2::tile;

#include "dsv2/Dialect/Tile/IR/TileDialect.cpp.inc"
#include "dsv2/Dialect/Tile/IR/TileEnums.cpp.inc"

namespace {
/// Names the types that lowered kernels are full of: the accumulators of a
/// product are up to 128 f32 in a structure, which is written with each of
/// them. Dumps of a model are ten times as long without.
struct TileAsmInterface : public OpAsmDialectInterface {
  using OpAsmDialectInterface::OpAsmDialectInterface;

  AliasResult getAlias(Type type, raw_ostream &os) const override {
    constexpr size_t few = 4;
    auto structure = dyn_cast<LLVM::LLVMStructType>(type);
    if (!structure || structure.isIdentified() || structure.isOpaque() ||
        structure.isPacked() || structure.getBody().size() <= few ||
        !llvm::all_equal(structure.getBody()))
      return AliasResult::NoAlias;
    Type element = structure.getBody().front();
    if (!element.isIntOrFloat())
      return AliasResult::NoAlias;
    os << "registers" << structure.getBody().size() << "x" << element;
    return AliasResult::FinalAlias;
  }
};
} // namespace

void TileDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dsv2/Dialect/Tile/IR/TileOps.cpp.inc"
      >();
  registerAttributes();
  registerTypes();
  addInterfaces<TileAsmInterface>();
}
