//===- Builders.cpp - vocabulary of the reference lowering ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Builders.h"

#include "CacheRows.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/StringExtras.h"

#include <limits>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::reference;

//===----------------------------------------------------------------------===//
// Scalars
//===----------------------------------------------------------------------===//

Value reference::indexConstant(LocBuilder &b, int64_t value) {
  return arith::ConstantOp::create(b, b.getIndexAttr(value));
}

Value reference::floatConstant(LocBuilder &b, double value) {
  return arith::ConstantOp::create(
      b, b.getF32FloatAttr(static_cast<float>(value)));
}

Value reference::intConstant(LocBuilder &b, int32_t value) {
  return arith::ConstantOp::create(b, b.getI32IntegerAttr(value));
}

Value reference::convertFloat(LocBuilder &b, Value scalar, Type type) {
  Type from = scalar.getType();
  if (from == type)
    return scalar;
  unsigned fromWidth = from.getIntOrFloatBitWidth();
  unsigned toWidth = type.getIntOrFloatBitWidth();
  if (fromWidth < toWidth)
    return arith::ExtFOp::create(b, type, scalar);
  if (fromWidth > toWidth)
    return arith::TruncFOp::create(b, type, scalar);
  // f16 and bf16: neither contains the other, and f32 holds both exactly.
  return convertFloat(b, convertFloat(b, scalar, b.getF32Type()), type);
}

Value reference::widen(LocBuilder &b, Value scalar) {
  return convertFloat(b, scalar, b.getF32Type());
}

Value reference::loadIndex(LocBuilder &b, Value tensor, ValueRange indices) {
  Value element = tensor::ExtractOp::create(b, tensor, indices);
  return arith::IndexCastOp::create(b, b.getIndexType(), element);
}

Value reference::toI32(LocBuilder &b, Value index) {
  return arith::IndexCastOp::create(b, b.getI32Type(), index);
}

Value reference::loopCounter(LocBuilder &b, int64_t loop) {
  return toI32(b, linalg::IndexOp::create(b, loop));
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

Type reference::elementTypeOf(Value tensor) {
  return cast<RankedTensorType>(tensor.getType()).getElementType();
}

static int64_t rankOf(Value tensor) {
  return cast<RankedTensorType>(tensor.getType()).getRank();
}

OpFoldResult reference::sizeOf(LocBuilder &b, Value tensor, int64_t dim) {
  return tensor::getMixedSize(b, b.getLoc(), tensor, dim);
}

Value reference::dimOf(LocBuilder &b, Value tensor, int64_t dim) {
  return getValueOrCreateConstantIndexOp(b, b.getLoc(), sizeOf(b, tensor, dim));
}

Value reference::emptyTensor(LocBuilder &b, ArrayRef<OpFoldResult> sizes,
                             Type elementType) {
  return tensor::EmptyOp::create(b, sizes, elementType);
}

Value reference::filledTensor(LocBuilder &b, ArrayRef<OpFoldResult> sizes,
                              Value scalar) {
  Value empty = emptyTensor(b, sizes, scalar.getType());
  return linalg::FillOp::create(b, ValueRange{scalar}, ValueRange{empty})
      .getResult(0);
}

namespace {
/// The parsed form of "tk,nk->tn".
struct Spec {
  explicit Spec(StringRef text) {
    auto [left, right] = text.split("->");
    left.split(inputs, ',');
    output = right;
    loops = right.str();
    for (StringRef input : inputs)
      for (char letter : input)
        if (loops.find(letter) == std::string::npos)
          loops.push_back(letter);
  }

  AffineMap getMap(StringRef letters, MLIRContext *context) const {
    SmallVector<AffineExpr> dims;
    for (char letter : letters)
      dims.push_back(getAffineDimExpr(loops.find(letter), context));
    return AffineMap::get(loops.size(), /*symbolCount=*/0, dims, context);
  }

  /// Sizes of the result, each taken from the first input that has it.
  SmallVector<OpFoldResult> getOutputSizes(LocBuilder &b,
                                           ValueRange values) const {
    SmallVector<OpFoldResult> sizes;
    for (char letter : output) {
      for (auto [letters, value] : llvm::zip_equal(inputs, values)) {
        size_t position = letters.find(letter);
        if (position == StringRef::npos)
          continue;
        sizes.push_back(sizeOf(b, value, position));
        break;
      }
    }
    assert(sizes.size() == output.size() && "size known from no input");
    return sizes;
  }

  SmallVector<StringRef> inputs;
  StringRef output;
  std::string loops;
};
} // namespace

static Value buildGeneric(LocBuilder &b, const Spec &spec, ValueRange inputs,
                          Value init, ElementFn body) {
  SmallVector<AffineMap> maps;
  for (StringRef letters : spec.inputs)
    if (!letters.empty())
      maps.push_back(spec.getMap(letters, b.getContext()));
  maps.push_back(spec.getMap(spec.output, b.getContext()));
  SmallVector<utils::IteratorType> iterators(spec.loops.size(),
                                             utils::IteratorType::reduction);
  std::fill_n(iterators.begin(), spec.output.size(),
              utils::IteratorType::parallel);
  auto op = linalg::GenericOp::create(
      b, TypeRange{init.getType()}, inputs, ValueRange{init}, maps, iterators,
      [&](OpBuilder &inner, Location loc, ValueRange elements) {
        LocBuilder bodyBuilder(loc, inner);
        linalg::YieldOp::create(bodyBuilder, body(bodyBuilder, elements));
      });
  return op.getResult(0);
}

Value reference::generic(LocBuilder &b, StringRef spec, ValueRange inputs,
                         Value init, ElementFn body) {
  return buildGeneric(b, Spec(spec), inputs, init, body);
}

Value reference::elementwise(LocBuilder &b, StringRef text, ValueRange inputs,
                             Type elementType, ElementFn body) {
  Spec spec(text);
  Value init = emptyTensor(b, spec.getOutputSizes(b, inputs), elementType);
  return buildGeneric(b, spec, inputs, init, body);
}

Value reference::reduce(LocBuilder &b, StringRef text, ValueRange inputs,
                        Value initial, ElementFn body) {
  Spec spec(text);
  Value init = filledTensor(b, spec.getOutputSizes(b, inputs), initial);
  return buildGeneric(b, spec, inputs, init, body);
}

Value reference::contract(LocBuilder &b, StringRef text, Value lhs, Value rhs,
                          Value init) {
  Spec spec(text);
  if (!init)
    init = filledTensor(b, spec.getOutputSizes(b, {lhs, rhs}),
                        floatConstant(b, 0.0));
  return buildGeneric(b, spec, {lhs, rhs}, init,
                      [](LocBuilder &b, ValueRange args) -> Value {
                        Value left = widen(b, args[0]);
                        Value right = widen(b, args[1]);
                        Value product = arith::MulFOp::create(b, left, right);
                        return arith::AddFOp::create(b, args[2], product);
                      });
}

Value reference::convertElements(LocBuilder &b, Value tensor,
                                 Type elementType) {
  if (elementTypeOf(tensor) == elementType)
    return tensor;
  std::string letters = StringRef("abcdef").take_front(rankOf(tensor)).str();
  return elementwise(b, letters + "->" + letters, tensor, elementType,
                     [&](LocBuilder &b, ValueRange args) {
                       return convertFloat(b, args[0], elementType);
                     });
}

Value reference::finish(LocBuilder &b, Value tensor, Type resultType) {
  auto type = cast<RankedTensorType>(resultType);
  Value converted = convertElements(b, tensor, type.getElementType());
  if (converted.getType() == type)
    return converted;
  return tensor::CastOp::create(b, type, converted);
}

//===----------------------------------------------------------------------===//
// Slices
//===----------------------------------------------------------------------===//

namespace {
/// Offsets, sizes and strides of a whole tensor, to be narrowed.
struct Slice {
  Slice(LocBuilder &b, Value tensor)
      : offsets(rankOf(tensor), b.getIndexAttr(0)),
        sizes(tensor::getMixedSizes(b, b.getLoc(), tensor)),
        strides(rankOf(tensor), b.getIndexAttr(1)) {}

  SmallVector<OpFoldResult> offsets, sizes, strides;
};
} // namespace

static Slice sliceAt(LocBuilder &b, Value tensor, OpFoldResult index) {
  Slice slice(b, tensor);
  slice.offsets[0] = index;
  slice.sizes[0] = b.getIndexAttr(1);
  return slice;
}

static Slice sliceRange(LocBuilder &b, Value tensor, int64_t dim,
                        OpFoldResult offset, OpFoldResult size,
                        int64_t stride) {
  Slice slice(b, tensor);
  slice.offsets[dim] = offset;
  slice.sizes[dim] = size;
  slice.strides[dim] = b.getIndexAttr(stride);
  return slice;
}

Value reference::takeAt(LocBuilder &b, Value tensor, OpFoldResult index) {
  Slice slice = sliceAt(b, tensor, index);
  auto type = cast<RankedTensorType>(tensor.getType());
  auto resultType = RankedTensorType::get(type.getShape().drop_front(),
                                          type.getElementType());
  return tensor::ExtractSliceOp::create(b, resultType, tensor, slice.offsets,
                                        slice.sizes, slice.strides);
}

Value reference::takeRange(LocBuilder &b, Value tensor, int64_t dim,
                           OpFoldResult offset, OpFoldResult size,
                           int64_t stride) {
  Slice slice = sliceRange(b, tensor, dim, offset, size, stride);
  return tensor::ExtractSliceOp::create(b, tensor, slice.offsets, slice.sizes,
                                        slice.strides);
}

Value reference::putAt(LocBuilder &b, Value value, Value tensor,
                       OpFoldResult index) {
  Slice slice = sliceAt(b, tensor, index);
  return tensor::InsertSliceOp::create(b, value, tensor, slice.offsets,
                                       slice.sizes, slice.strides);
}

Value reference::putRange(LocBuilder &b, Value value, Value tensor, int64_t dim,
                          OpFoldResult offset, int64_t stride) {
  Slice slice =
      sliceRange(b, tensor, dim, offset, sizeOf(b, value, dim), stride);
  return tensor::InsertSliceOp::create(b, value, tensor, slice.offsets,
                                       slice.sizes, slice.strides);
}

Value reference::gatherRows(LocBuilder &b, Value matrix, Value rows) {
  Value init = emptyTensor(b, {sizeOf(b, rows, 0), sizeOf(b, matrix, 1)},
                           b.getF32Type());
  return generic(
      b, "r->rd", rows, init, [&](LocBuilder &b, ValueRange args) -> Value {
        Value row = arith::IndexCastOp::create(b, b.getIndexType(), args[0]);
        Value column = linalg::IndexOp::create(b, /*dim=*/1);
        return widen(
            b, tensor::ExtractOp::create(b, matrix, ValueRange{row, column}));
      });
}

//===----------------------------------------------------------------------===//
// Loops and shared parts
//===----------------------------------------------------------------------===//

SmallVector<Value> reference::loop(LocBuilder &b, Value lower, Value upper,
                                   ValueRange inits, LoopFn body) {
  auto op = scf::ForOp::create(
      b, lower, upper, indexConstant(b, 1), inits,
      [&](OpBuilder &inner, Location loc, Value iv, ValueRange carried) {
        LocBuilder bodyBuilder(loc, inner);
        scf::YieldOp::create(bodyBuilder, body(bodyBuilder, iv, carried));
      });
  return llvm::to_vector_of<Value>(op.getResults());
}

Value reference::softmax(LocBuilder &b, Value matrix) {
  Type f32 = b.getF32Type();
  Value lowest = floatConstant(b, -std::numeric_limits<float>::infinity());
  Value largest = reduce(
      b, "ij->i", matrix, lowest, [](LocBuilder &b, ValueRange args) -> Value {
        return arith::MaximumFOp::create(b, args[1], args[0]);
      });
  Value powers =
      elementwise(b, "ij,i->ij", {matrix, largest}, f32,
                  [](LocBuilder &b, ValueRange args) -> Value {
                    return math::ExpOp::create(
                        b, arith::SubFOp::create(b, args[0], args[1]));
                  });
  Value sums = reduce(b, "ij->i", powers, floatConstant(b, 0.0),
                      [](LocBuilder &b, ValueRange args) -> Value {
                        return arith::AddFOp::create(b, args[1], args[0]);
                      });
  return elementwise(b, "ij,i->ij", {powers, sums}, f32,
                     [](LocBuilder &b, ValueRange args) -> Value {
                       return arith::DivFOp::create(b, args[0], args[1]);
                     });
}

Value reference::gatedFFN(LocBuilder &b, Value x, Value gate, Value up,
                          Value down) {
  if (!up) {
    up = takeAt(b, gate, b.getIndexAttr(1));
    gate = takeAt(b, gate, b.getIndexAttr(0));
  }
  Value g = contract(b, "td,id->ti", x, gate);
  Value u = contract(b, "td,id->ti", x, up);
  // silu(v) = v / (1 + exp(-v)); exp may overflow to infinity, which gives the
  // right limit, 0.
  Value h = elementwise(
      b, "ti,ti->ti", {g, u}, b.getF32Type(),
      [](LocBuilder &b, ValueRange args) -> Value {
        Value power = math::ExpOp::create(b, arith::NegFOp::create(b, args[0]));
        Value divisor = arith::AddFOp::create(b, floatConstant(b, 1.0), power);
        Value silu = arith::DivFOp::create(b, args[0], divisor);
        return arith::MulFOp::create(b, silu, args[1]);
      });
  return contract(b, "ti,di->td", h, down);
}

std::pair<Value, Value> reference::cacheRow(LocBuilder &b, Value cache,
                                            Value blockTables, Value sequence,
                                            Value position) {
  int64_t pageSize = cast<MemRefType>(cache.getType()).getDimSize(2);
  Value size = indexConstant(b, pageSize);
  Value block = arith::DivUIOp::create(b, position, size);
  Value row = arith::RemUIOp::create(b, position, size);
  return {loadIndex(b, blockTables, {sequence, block}), row};
}

Value reference::gatherCacheRows(LocBuilder &b, LatentCacheType type,
                                 Value cache, Value layer, Value sequence,
                                 Value length, Value blockTables) {
  int64_t rowSize = type.getRowSize();
  Value zero = indexConstant(b, 0);
  Value columns = indexConstant(b, rowSize);
  Value init = emptyTensor(b, {OpFoldResult(length), b.getIndexAttr(rowSize)},
                           b.getF32Type());
  return loop(
      b, zero, length, init,
      [&](LocBuilder &b, Value position,
          ValueRange carried) -> SmallVector<Value> {
        auto [page, row] = cacheRow(b, cache, blockTables, sequence, position);
        // Structured bindings cannot be captured in C++17.
        Value indices[] = {layer, page, row};
        if (isQuantized(type.getFormat())) {
          QuantizedRow from{cache, layer, page, row};
          CacheRow layout = type.getRow();
          SmallVector<Value> rows(carried);
          int64_t firstColumn = 0;
          for (const CachePart &part : {layout.latent, layout.rope}) {
            rows = loop(b, zero, indexConstant(b, part.width), rows,
                        [&](LocBuilder &b, Value i,
                            ValueRange carried) -> SmallVector<Value> {
                          Value column = arith::AddIOp::create(
                              b, indexConstant(b, firstColumn), i);
                          return {tensor::InsertOp::create(
                              b, decodeElement(b, part, i, from), carried[0],
                              ValueRange{position, column})};
                        });
            firstColumn = part.width;
          }
          return rows;
        }
        return loop(
            b, zero, columns, carried,
            [&](LocBuilder &b, Value column,
                ValueRange carried) -> SmallVector<Value> {
              Value element = memref::LoadOp::create(
                  b, cache,
                  ValueRange{indices[0], indices[1], indices[2], column});
              return {tensor::InsertOp::create(b, widen(b, element), carried[0],
                                               ValueRange{position, column})};
            });
      })[0];
}
