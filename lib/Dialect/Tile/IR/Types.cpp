//===- Types.cpp - types of tiles ----------------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/Tile/IR/Tile.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::dsv2::tile;

#define GET_ATTRDEF_CLASSES
#include "dsv2/Dialect/Tile/IR/TileAttrs.cpp.inc"

#define GET_TYPEDEF_CLASSES
#include "dsv2/Dialect/Tile/IR/TileTypes.cpp.inc"

void TileDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dsv2/Dialect/Tile/IR/TileAttrs.cpp.inc"
      >();
}

void TileDialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dsv2/Dialect/Tile/IR/TileTypes.cpp.inc"
      >();
}

static bool isSwizzle(int64_t value) {
  return value == 0 || value == 32 || value == 64 || value == 128;
}

/// Elements that copies move; i8 are bytes of weights in blocks.
static bool isCopied(Type type) {
  return type.isF32() || type.isBF16() || type.isSignlessInteger(8);
}

static int64_t bytesOf(Type element) {
  return element.getIntOrFloatBitWidth() / 8;
}

//===----------------------------------------------------------------------===//
// Syntax: <64x128xf32, name = value, ...>
//===----------------------------------------------------------------------===//

namespace {
/// A number in a type's angle brackets that may be left out.
struct TypeOption {
  StringRef name;
  int64_t value;
};
} // namespace

static ParseResult parseShape(AsmParser &parser, SmallVector<int64_t> &shape,
                              Type &element,
                              MutableArrayRef<TypeOption> options) {
  if (parser.parseLess() ||
      parser.parseDimensionList(shape, /*allowDynamic=*/false) ||
      parser.parseType(element))
    return failure();
  while (succeeded(parser.parseOptionalComma())) {
    StringRef name;
    SMLoc loc = parser.getCurrentLocation();
    if (parser.parseKeyword(&name) || parser.parseEqual())
      return failure();
    auto *option = llvm::find_if(
        options, [&](const TypeOption &o) { return o.name == name; });
    if (option == options.end())
      return parser.emitError(loc) << "unknown parameter '" << name << "'";
    if (parser.parseInteger(option->value))
      return failure();
  }
  return parser.parseGreater();
}

static void printShape(AsmPrinter &printer, ArrayRef<int64_t> shape,
                       Type element) {
  printer << "<";
  printer.printDimensionList(shape);
  printer << (shape.empty() ? "" : "x") << element;
}

static LogicalResult verifySwizzle(function_ref<InFlightDiagnostic()> emitError,
                                   int64_t swizzle) {
  if (!isSwizzle(swizzle))
    return emitError() << "expected 'swizzle' to be 0, 32, 64 or 128, got "
                       << swizzle;
  return success();
}

//===----------------------------------------------------------------------===//
// GlobalType, TensorMapType
//===----------------------------------------------------------------------===//

LogicalResult GlobalType::verify(function_ref<InFlightDiagnostic()> emitError,
                                 Type element) {
  // global_c1
  if (!isCopied(element) && !element.isSignlessInteger(32))
    return emitError() << "expected elements of type f32, bf16, i32 or i8, got "
                       << element;
  return success();
}

Type TensorMapType::parse(AsmParser &parser) {
  SmallVector<int64_t> shape;
  Type element;
  TypeOption options[] = {{"swizzle", 0}};
  if (parseShape(parser, shape, element, options))
    return {};
  return parser.getChecked<TensorMapType>(parser.getContext(), shape, element,
                                          options[0].value);
}

void TensorMapType::print(AsmPrinter &printer) const {
  printShape(printer, getShape(), getElementType());
  if (getSwizzle())
    printer << ", swizzle = " << getSwizzle();
  printer << ">";
}

LogicalResult
TensorMapType::verify(function_ref<InFlightDiagnostic()> emitError,
                      ArrayRef<int64_t> shape, Type element, int64_t swizzle) {
  // tensor_map_c1
  if (shape.empty() || shape.size() > 5 ||
      llvm::any_of(shape, [](int64_t n) { return n < 1 || n > 256; }))
    return emitError() << "expected 1 to 5 dimensions of 1 to 256 each";
  // tensor_map_c2
  if (!isCopied(element))
    return emitError() << "expected elements of type f32, bf16 or i8, got "
                       << element;
  // tensor_map_c3
  if (failed(verifySwizzle(emitError, swizzle)))
    return failure();
  // tensor_map_c4
  int64_t bytes = shape.back() * bytesOf(element);
  if (bytes % 16 != 0 || (swizzle && bytes > swizzle))
    return emitError() << "expected the innermost dimension to have a multiple "
                          "of 16 bytes"
                       << (swizzle ? " and no more than 'swizzle'" : "")
                       << ", got " << bytes;
  return success();
}

//===----------------------------------------------------------------------===//
// SharedType, RingType
//===----------------------------------------------------------------------===//

Type SharedType::parse(AsmParser &parser) {
  SmallVector<int64_t> shape;
  Type element;
  TypeOption options[] = {{"swizzle", 0}, {"of_rows", 0}};
  if (parseShape(parser, shape, element, options))
    return {};
  int64_t ofRows = options[1].value;
  if (ofRows == 0 && shape.size() >= 2)
    ofRows = shape[shape.size() - 2];
  return parser.getChecked<SharedType>(parser.getContext(), shape, element,
                                       options[0].value, ofRows);
}

void SharedType::print(AsmPrinter &printer) const {
  printShape(printer, getShape(), getElementType());
  if (getSwizzle())
    printer << ", swizzle = " << getSwizzle();
  if (getOfRows() != getRows())
    printer << ", of_rows = " << getOfRows();
  printer << ">";
}

LogicalResult SharedType::verify(function_ref<InFlightDiagnostic()> emitError,
                                 ArrayRef<int64_t> shape, Type element,
                                 int64_t swizzle, int64_t ofRows) {
  // shared_c1
  if (shape.size() < 2 || shape.size() > 3 ||
      llvm::any_of(shape, [](int64_t n) { return n < 1; }))
    return emitError() << "expected two or three positive dimensions";
  // shared_c2
  if (!isCopied(element))
    return emitError() << "expected elements of type f32, bf16 or i8, got "
                       << element;
  // shared_c3
  if (failed(verifySwizzle(emitError, swizzle)))
    return failure();
  int64_t bytes = shape.back() * bytesOf(element);
  int64_t rows = shape[shape.size() - 2];
  // shared_c4
  if (swizzle && (bytes % swizzle != 0 || rows % 8 != 0))
    return emitError() << "expected rows of whole panels of " << swizzle
                       << " bytes and a multiple of 8 rows, got " << rows
                       << " rows of " << bytes << " bytes";
  // shared_c5
  if (bytes % 16 != 0)
    return emitError() << "expected rows of a multiple of 16 bytes, got "
                       << bytes;
  // shared_c6
  if (ofRows < rows || (ofRows != rows && ofRows % 8 != 0))
    return emitError() << "expected 'of_rows' to be a multiple of 8 and not "
                          "less than the rows, got "
                       << ofRows;
  return success();
}

LogicalResult RingType::verify(function_ref<InFlightDiagnostic()> emitError,
                               int64_t stages, ArrayRef<SharedType> tiles) {
  // ring_c1
  if (stages < 1 || stages > 16)
    return emitError() << "expected 1 to 16 stages, got " << stages;
  // ring_c2
  if (tiles.empty() ||
      llvm::any_of(tiles, [](SharedType tile) { return tile.hasStages(); }))
    return emitError() << "expected tiles without stages of their own";
  return success();
}

//===----------------------------------------------------------------------===//
// Tiles in registers
//===----------------------------------------------------------------------===//

template <typename T> static Type parseRegisters(AsmParser &parser) {
  SmallVector<int64_t> shape;
  Type element;
  TypeOption options[] = {{"warps", 4}};
  if (parseShape(parser, shape, element, options))
    return {};
  return parser.getChecked<T>(parser.getContext(), shape, element,
                              options[0].value);
}

template <typename T> static void printRegisters(AsmPrinter &printer, T type) {
  printShape(printer, type.getShape(), type.getElementType());
  if (type.getWarps() != 4)
    printer << ", warps = " << type.getWarps();
  printer << ">";
}

Type FragmentType::parse(AsmParser &p) {
  return parseRegisters<FragmentType>(p);
}
void FragmentType::print(AsmPrinter &p) const { printRegisters(p, *this); }
Type AsyncType::parse(AsmParser &p) { return parseRegisters<AsyncType>(p); }
void AsyncType::print(AsmPrinter &p) const { printRegisters(p, *this); }
Type OperandType::parse(AsmParser &p) { return parseRegisters<OperandType>(p); }
void OperandType::print(AsmPrinter &p) const { printRegisters(p, *this); }
Type RowsType::parse(AsmParser &p) { return parseRegisters<RowsType>(p); }
void RowsType::print(AsmPrinter &p) const { printRegisters(p, *this); }

static LogicalResult verifyWarps(function_ref<InFlightDiagnostic()> emitError,
                                 int64_t warps) {
  if (warps != 1 && warps != 4)
    return emitError() << "expected 'warps' to be 1 or 4, got " << warps;
  return success();
}

static LogicalResult verifyMatrix(function_ref<InFlightDiagnostic()> emitError,
                                  ArrayRef<int64_t> shape, int64_t warps) {
  if (shape.size() != 2 || shape[0] < 1 || shape[0] % (16 * warps) != 0)
    return emitError() << "expected two dimensions and a multiple of "
                       << 16 * warps << " rows";
  return success();
}

static LogicalResult verifyColumns(function_ref<InFlightDiagnostic()> emitError,
                                   int64_t columns, int64_t step, int64_t max) {
  if (columns < step || columns > max || columns % step != 0)
    return emitError() << "expected a multiple of " << step << " up to " << max
                       << " columns, got " << columns;
  return success();
}

static LogicalResult verifyElement(function_ref<InFlightDiagnostic()> emitError,
                                   Type element, StringRef name, bool holds) {
  if (!holds)
    return emitError() << "expected elements of type " << name << ", got "
                       << element;
  return success();
}

LogicalResult FragmentType::verify(function_ref<InFlightDiagnostic()> emitError,
                                   ArrayRef<int64_t> shape, Type element,
                                   int64_t warps) {
  // frag_c4
  if (failed(verifyWarps(emitError, warps)))
    return failure();
  // frag_c1
  if (failed(verifyMatrix(emitError, shape, warps)))
    return failure();
  // frag_c2
  if (failed(verifyColumns(emitError, shape[1], 8, 512)))
    return failure();
  // frag_c3
  return verifyElement(emitError, element, "f32", element.isF32());
}

LogicalResult AsyncType::verify(function_ref<InFlightDiagnostic()> emitError,
                                ArrayRef<int64_t> shape, Type element,
                                int64_t warps) {
  // async_c1
  if (warps != 4 || shape.size() != 2 || shape[0] != 64 || !element.isF32())
    return emitError() << "expected a fragment of f32 of a warpgroup with 64 "
                          "rows";
  return verifyColumns(emitError, shape[1], 8, 256);
}

LogicalResult OperandType::verify(function_ref<InFlightDiagnostic()> emitError,
                                  ArrayRef<int64_t> shape, Type element,
                                  int64_t warps) {
  // operand_c4
  if (failed(verifyWarps(emitError, warps)))
    return failure();
  // operand_c1
  if (failed(verifyMatrix(emitError, shape, warps)))
    return failure();
  // operand_c2
  if (failed(verifyColumns(emitError, shape[1], 16, 256)))
    return failure();
  // operand_c3
  return verifyElement(emitError, element, "bf16", element.isBF16());
}

LogicalResult RowsType::verify(function_ref<InFlightDiagnostic()> emitError,
                               ArrayRef<int64_t> shape, Type element,
                               int64_t warps) {
  // rows_c3
  if (failed(verifyWarps(emitError, warps)))
    return failure();
  // rows_c1
  if (shape.size() != 1 || shape[0] < 1 || shape[0] % (16 * warps) != 0)
    return emitError() << "expected one dimension, a multiple of "
                       << 16 * warps;
  // rows_c2
  return verifyElement(emitError, element, "f32", element.isF32());
}
