//===- FragmentOps.cpp - tiles in registers ------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyUtils.h"

using namespace mlir;
using namespace mlir::dsv2::tile;

//===----------------------------------------------------------------------===//
// MapOp
//===----------------------------------------------------------------------===//

LogicalResult MapOp::verifyRegions() {
  // map_c1
  std::optional<int64_t> columns;
  if (getNumResults() == 0)
    return emitOpError("expected a result");
  RegisterShape first = getRegisterShape(getResult(0).getType());
  SmallVector<Type> types(getInputs().getTypes());
  llvm::append_range(types, getResultTypes());
  for (Type type : types) {
    RegisterShape shape = getRegisterShape(type);
    if (shape.rows != first.rows || shape.warps != first.warps ||
        (columns && shape.columns && *columns != *shape.columns))
      return emitOpError("expected inputs and results to agree in shape and "
                         "warps, got ")
             << types.front() << " and " << type;
    if (shape.columns)
      columns = shape.columns;
  }
  // map_c2
  auto isRows = [](Type type) { return isa<RowsType>(type); };
  bool toRows = llvm::all_of(getResultTypes(), isRows);
  if (toRows ? !llvm::all_of(getInputs().getTypes(), isRows)
             : llvm::any_of(getResultTypes(), isRows))
    return emitOpError("expected results to be all fragments, or inputs and "
                       "results all rows");
  // map_c3
  Block &body = getBody().front();
  size_t inputs = getInputs().size();
  if (body.getNumArguments() != inputs && body.getNumArguments() != inputs + 2)
    return emitOpError("expected a body with ")
           << inputs << " or " << inputs + 2 << " arguments, got "
           << body.getNumArguments();
  for (BlockArgument argument : body.getArguments())
    if (argument.getArgNumber() < inputs
            ? !argument.getType().isF32()
            : !argument.getType().isSignlessInteger(32))
      return emitOpError(
          "expected arguments of type f32, then two of type i32");
  // map_c4
  if (body.empty() || !isa<YieldOp>(body.back()) ||
      body.back().getNumOperands() != getNumResults() ||
      llvm::any_of(body.back().getOperandTypes(),
                   [](Type type) { return !type.isF32(); }))
    return emitOpError("expected the body to yield ")
           << getNumResults() << " values of type f32";
  // map_c5
  for (Operation &op : body.without_terminator()) {
    StringRef dialect = op.getName().getDialectNamespace();
    if (dialect != "arith" && dialect != "math")
      return op.emitOpError("expected ops of arith and math in a map's body");
  }
  return success();
}

//===----------------------------------------------------------------------===//
// From register to register
//===----------------------------------------------------------------------===//

LogicalResult ReduceRowsOp::verify() {
  // reduce_rows_c1
  if (getSource().getType().getRows() != getType().getRows() ||
      getSource().getType().getWarps() != getType().getWarps())
    return emitOpError("expected the source's rows and warps, got ")
           << getType();
  return success();
}

LogicalResult PackOp::verify() {
  // pack_c1
  if (getSource().getType().getShape() != getType().getShape() ||
      getSource().getType().getWarps() != getType().getWarps())
    return emitOpError("expected the source's shape and warps, got ")
           << getType();
  return success();
}

LogicalResult UnpackBlocksOp::verify() {
  SharedType data = getData().getType(), scales = getScales().getType();
  // unpack_blocks_c3
  if (getPart() && *getPart() > 1)
    return emitOpError("expected 'part' to be 0 or 1, got ")
           << static_cast<int32_t>(*getPart());
  // unpack_blocks_c1
  auto isTile = [](SharedType tile, int64_t bytes, int64_t swizzle) {
    return tile.getElementType().isSignlessInteger(8) && !tile.hasStages() &&
           tile.getColumns() == bytes && tile.getSwizzle() == swizzle;
  };
  if (!isTile(data, BlockFormat::kGroupBytes, 64) || !isTile(scales, 16, 0))
    return emitOpError("expected 64 bytes a row with a swizzle of 64 and 16 "
                       "bytes a row of scales without, got ")
           << data << " and " << scales;
  // unpack_blocks_c2
  int64_t rows = getType().getRows() * (getPart() ? 2 : 1);
  int64_t columns = getBlocks().groupElements();
  if (data.getRows() != rows || scales.getRows() != rows ||
      getType().getColumns() != columns)
    return emitOpError("expected ")
           << rows << " rows of data and of scales for a result of " << columns
           << " columns, got " << data << ", " << scales << " and "
           << getType();
  return success();
}

LogicalResult SplitOp::verify() {
  // split_c1
  FragmentType source = getSource().getType();
  FragmentType half = getEven().getType();
  if (source.getRows() != half.getRows() ||
      source.getWarps() != half.getWarps() ||
      source.getColumns() != 2 * half.getColumns())
    return emitOpError("expected halves of the source's columns, got ") << half;
  return success();
}

LogicalResult ColumnsOp::verify() {
  FragmentType source = getSource().getType();
  int64_t from = static_cast<int32_t>(getFrom());
  // columns_c1
  if (source.getRows() != getType().getRows() ||
      source.getWarps() != getType().getWarps() || from < 0 ||
      from + getType().getColumns() > source.getColumns())
    return emitOpError("expected columns of ")
           << source << ", got " << getType() << " from " << from;
  // columns_c2
  if (from % 8 != 0)
    return emitOpError("expected 'from' to be a multiple of 8, got ") << from;
  return success();
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

static LogicalResult verifyFloats(Operation *op, GlobalType type, bool bf16) {
  Type element = type.getElementType();
  if (!element.isF32() && !(bf16 && element.isBF16()))
    return op->emitOpError("expected elements of type f32")
           << (bf16 ? " or bf16" : "") << ", got " << type;
  return success();
}

LogicalResult LoadOp::verify() {
  // load_c1
  return verifyFloats(*this, getSource().getType(), /*bf16=*/true);
}

LogicalResult StoreOp::verify() {
  // store_c2
  if (getTransposed() && getFirst())
    return emitOpError("expected no 'first' with 'transposed'");
  // store_c1
  return verifyFloats(*this, getTarget().getType(), /*bf16=*/true);
}

LogicalResult LoadRowsOp::verify() {
  // load_rows_c1
  return verifyFloats(*this, getSource().getType(), /*bf16=*/false);
}

LogicalResult StoreRowsOp::verify() {
  // store_rows_c1
  return verifyFloats(*this, getTarget().getType(), /*bf16=*/false);
}

LogicalResult PutOp::verify() {
  // put_c1
  FragmentType value = getValue().getType();
  SharedType tile = getTile().getType();
  if (tile.hasStages() || value.getRows() != tile.getRows() ||
      value.getColumns() != tile.getColumns())
    return emitOpError("expected a tile of the fragment's shape, got ")
           << value << " and " << tile;
  return success();
}

static LogicalResult verifySharedRows(Operation *op, SharedType tile,
                                      RowsType rows) {
  if (tile.hasStages() || tile.getRows() != 1 || tile.getSwizzle() != 0 ||
      !tile.getElementType().isF32() || tile.getColumns() != rows.getRows())
    return op->emitOpError("expected a tile of one row of ")
           << rows.getRows() << " f32 elements without swizzle, got " << tile;
  return success();
}

LogicalResult PutRowsOp::verify() {
  // put_rows_c1
  return verifySharedRows(*this, getTile().getType(), getValue().getType());
}

LogicalResult GetRowsOp::verify() {
  // get_rows_c1
  return verifySharedRows(*this, getTile().getType(), getType());
}

LogicalResult ClearRowsOp::verify() {
  // clear_rows_c1
  if (getTile().getType().hasStages())
    return emitOpError("expected a tile without stages, got ")
           << getTile().getType();
  // clear_rows_c2
  return verifyWholeWarps(*this);
}
