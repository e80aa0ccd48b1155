//===- LoopOps.cpp - What tile ops compute, as loops ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LoopEmitter.h"

using namespace mlir;
using namespace mlir::dsv2::tile;

//===----------------------------------------------------------------------===//
// Builders
//===----------------------------------------------------------------------===//

Value LoopEmitter::index(int64_t value) {
  return arith::ConstantIndexOp::create(b, value);
}
Value LoopEmitter::i32(int64_t value) {
  return arith::ConstantOp::create(b, b.getI32IntegerAttr(value));
}
Value LoopEmitter::f32(double value) {
  return arith::ConstantOp::create(b, b.getF32FloatAttr(value));
}
Value LoopEmitter::zeroOf(Type element) {
  return arith::ConstantOp::create(b, cast<TypedAttr>(b.getZeroAttr(element)));
}
Value LoopEmitter::toIndex(Value value) {
  return b.createOrFold<arith::IndexCastOp>(b.getIndexType(), value);
}
Value LoopEmitter::toI32(Value value) {
  return b.createOrFold<arith::IndexCastOp>(i32Type, value);
}
Value LoopEmitter::add(Value x, Value y) {
  return b.createOrFold<arith::AddIOp>(x, y);
}
Value LoopEmitter::mul(Value x, Value y) {
  return b.createOrFold<arith::MulIOp>(x, y);
}
Value LoopEmitter::less(Value x, Value y) {
  return b.createOrFold<arith::CmpIOp>(arith::CmpIPredicate::slt, x, y);
}

Value LoopEmitter::widen(Value value) {
  if (value.getType().isF32())
    return value;
  return arith::ExtFOp::create(b, f32Type, value);
}

Value LoopEmitter::narrow(Value value, Type element) {
  if (element.isF32())
    return value;
  // By its bits: not every processor has the conversion. A half is added and
  // what is left cut off; NaN stays NaN.
  auto shift = [&](Value x, int64_t bits) {
    return arith::ShRUIOp::create(b, x, i32(bits)).getResult();
  };
  Value bits = arith::BitcastOp::create(b, i32Type, value);
  Value even = arith::AndIOp::create(b, shift(bits, 16), i32(1));
  Value rounded = shift(add(bits, add(even, i32(0x7fff))), 16);
  Value isNaN =
      arith::CmpFOp::create(b, arith::CmpFPredicate::UNO, value, value);
  Value half = arith::SelectOp::create(b, isNaN, i32(0x7fc0), rounded);
  return arith::BitcastOp::create(
      b, element, arith::TruncIOp::create(b, b.getI16Type(), half).getResult());
}

void LoopEmitter::forEach(int64_t n, llvm::function_ref<void(Value)> body) {
  auto loop = scf::ForOp::create(b, index(0), index(n), index(1));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}

void LoopEmitter::forEach(int64_t rows, int64_t columns,
                          llvm::function_ref<void(Value, Value)> body) {
  forEach(rows, [&](Value row) {
    forEach(columns, [&](Value column) { body(row, column); });
  });
}

Value LoopEmitter::elementNumber(Value row, Value stride, Value column) {
  return add(mul(row, stride), column);
}

static ArrayRef<int64_t> shapeOf(Type type) {
  if (auto rows = dyn_cast<RowsType>(type))
    return rows.getShape();
  if (auto fragment = dyn_cast<FragmentType>(type))
    return fragment.getShape();
  if (auto async = dyn_cast<AsyncType>(type))
    return async.getShape();
  return cast<OperandType>(type).getShape();
}

Value LoopEmitter::makeTile(Type type) {
  Type element = isa<OperandType>(type) ? Type(b.getBF16Type()) : f32Type;
  Value memory =
      memref::AllocOp::create(b, MemRefType::get(shapeOf(type), element));
  open.back().push_back(memory);
  return memory;
}

void LoopEmitter::copyElement(Value condition, Value from, ValueRange at,
                              Value to, ValueRange place) {
  // Not chosen between: LLVM would move bf16 between blocks as f32 and call a
  // library to round it.
  Type element = cast<MemRefType>(to.getType()).getElementType();
  memref::StoreOp::create(b, zeroOf(element), to, place);
  auto branch = scf::IfOp::create(b, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  Value value = memref::LoadOp::create(b, from, at);
  memref::StoreOp::create(b, value, to, place);
}

void LoopEmitter::copyTile(Value from, Value to) {
  memref::CopyOp::create(b, from, to);
}

//===----------------------------------------------------------------------===//
// Shared memory and copies
//===----------------------------------------------------------------------===//

void LoopEmitter::emit(SharedStageOp op) {
  SharedType type = op.getType();
  OpFoldResult one = b.getIndexAttr(1), zero = b.getIndexAttr(0);
  SmallVector<OpFoldResult> offsets{toIndex(lookup(op.getStage())), zero, zero};
  SmallVector<OpFoldResult> sizes{one, b.getIndexAttr(type.getRows()),
                                  b.getIndexAttr(type.getColumns())};
  SmallVector<OpFoldResult> strides(3, one);
  Value source = lookup(op.getSource());
  auto viewType = memref::SubViewOp::inferRankReducedResultType(
      {type.getRows(), type.getColumns()}, cast<MemRefType>(source.getType()),
      offsets, sizes, strides);
  values[op] =
      memref::SubViewOp::create(b, viewType, source, offsets, sizes, strides);
}

void LoopEmitter::emit(SharedViewOp op) {
  SharedType type = op.getType();
  SmallVector<OpFoldResult> offsets{toIndex(lookup(op.getRow())),
                                    toIndex(lookup(op.getColumn()))};
  SmallVector<OpFoldResult> sizes{b.getIndexAttr(type.getRows()),
                                  b.getIndexAttr(type.getColumns())};
  SmallVector<OpFoldResult> strides(2, b.getIndexAttr(1));
  values[op] = memref::SubViewOp::create(b, lookup(op.getSource()), offsets,
                                         sizes, strides);
}

void LoopEmitter::emit(TmaLoadOp op) {
  SharedType tile = op.getTile().getType();
  TensorMapType map = op.getMap().getType();
  Value source = lookup(op.getMap()), target = lookup(op.getTile());
  int64_t rank = map.getShape().size();
  forEach(tile.getRows(), tile.getColumns(), [&](Value row, Value column) {
    // The row's place in the box, innermost of the outer dimensions last.
    SmallVector<Value> at(rank);
    at[rank - 1] = add(toIndex(lookup(op.getCoordinates()[rank - 1])), column);
    Value rest = row;
    for (int64_t d = rank - 2; d >= 0; --d) {
      Value size = index(map.getShape()[d]);
      at[d] = add(toIndex(lookup(op.getCoordinates()[d])),
                  arith::RemUIOp::create(b, rest, size));
      rest = arith::DivUIOp::create(b, rest, size);
    }
    Value inside = arith::ConstantOp::create(b, b.getBoolAttr(true));
    for (int64_t d = 0; d < rank; ++d) {
      Value size = memref::DimOp::create(b, source, d);
      inside = arith::AndIOp::create(
          b, inside,
          arith::AndIOp::create(b, less(at[d], size), less(index(-1), at[d])));
    }
    copyElement(inside, source, at, target, {row, column});
  });
  // The stage is full when all of its bytes have come.
  int64_t bytes = tile.getRows() * tile.getColumns() * tile.getElementBytes();
  Value counters = rings[op.getRing()].counters;
  Value before = atomicAdd(counters, index(1), i32(-bytes));
  auto last = scf::IfOp::create(
      b, arith::CmpIOp::create(b, arith::CmpIPredicate::eq, before, i32(bytes)),
      /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(last.thenBlock());
  atomicAdd(counters, index(0), i32(1));
}

/// Whether the instance has `row` of what the instances of its role do
/// together.
#define DSV2_IS_OWN_ROW(row)                                                   \
  arith::CmpIOp::create(                                                       \
      b, arith::CmpIPredicate::eq,                                             \
      arith::RemUIOp::create(b, toI32(row), i32(role.getInstances())),         \
      instance)

void LoopEmitter::emit(CpAsyncOp op) {
  SharedType tile = op.getTile().getType();
  Value source = lookup(op.getSource()), target = lookup(op.getTile());
  Value firstRow = toIndex(lookup(op.getRow())),
        firstColumn = toIndex(lookup(op.getColumn())),
        stride = toIndex(lookup(op.getStride())),
        valid = toIndex(lookup(op.getValid()));
  Value columns = op.getColumns() ? toIndex(lookup(op.getColumns()))
                                  : index(tile.getColumns());
  // Whole pieces.
  int64_t pieceColumns = 16 / tile.getElementBytes();
  columns = mul(arith::CeilDivSIOp::create(b, columns, index(pieceColumns)),
                index(pieceColumns));
  forEach(tile.getRows(), [&](Value row) {
    auto own = scf::IfOp::create(b, DSV2_IS_OWN_ROW(row), false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(own.thenBlock());
    forEach(tile.getColumns(), [&](Value column) {
      Value isValid =
          arith::AndIOp::create(b, less(row, valid), less(column, columns));
      Value number =
          elementNumber(add(firstRow, row), stride, add(firstColumn, column));
      copyElement(isValid, source, number, target, {row, column});
    });
  });
}

void LoopEmitter::emit(LoadScalarOp op) {
  values[op] = memref::LoadOp::create(b, lookup(op.getSource()),
                                      toIndex(lookup(op.getIndex())));
}

void LoopEmitter::emit(ClearRowsOp op) {
  SharedType tile = op.getTile().getType();
  Value from = toIndex(lookup(op.getFrom()));
  forEach(tile.getRows(), [&](Value row) {
    Value isOurs = arith::AndIOp::create(
        b, DSV2_IS_OWN_ROW(row),
        arith::CmpIOp::create(b, arith::CmpIPredicate::sge, row, from));
    auto branch = scf::IfOp::create(b, isOurs, false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    Value zero = zeroOf(tile.getElementType());
    forEach(tile.getColumns(), [&](Value column) {
      memref::StoreOp::create(b, zero, lookup(op.getTile()),
                              ValueRange{row, column});
    });
  });
}

#undef DSV2_IS_OWN_ROW

//===----------------------------------------------------------------------===//
// Tiles in registers
//===----------------------------------------------------------------------===//

void LoopEmitter::emit(SplatOp op) {
  Value result = makeTile(op.getType());
  ArrayRef<int64_t> shape = shapeOf(op.getType());
  Value value = lookup(op.getValue());
  forEach(shape[0], shape.size() == 2 ? shape[1] : 1,
          [&](Value row, Value column) {
            SmallVector<Value> at{row, column};
            memref::StoreOp::create(b, value, result,
                                    ArrayRef(at).take_front(shape.size()));
          });
  values[op] = result;
}

void LoopEmitter::emit(MapOp op) {
  Block &body = op.getBody().front();
  SmallVector<Value> results;
  for (Type type : op.getResultTypes())
    results.push_back(makeTile(type));
  ArrayRef<int64_t> shape = shapeOf(op.getResult(0).getType());
  forEach(
      shape[0], shape.size() == 2 ? shape[1] : 1, [&](Value row, Value column) {
        SmallVector<Value> at{row, column};
        auto place = [&](Type type) {
          return ArrayRef(at).take_front(shapeOf(type).size());
        };
        llvm::DenseMap<Value, Value> inside;
        for (auto [input, argument] :
             llvm::zip(op.getInputs(), body.getArguments()))
          inside[argument] =
              memref::LoadOp::create(b, lookup(input), place(input.getType()));
        if (op.hasIndices()) {
          size_t inputs = op.getInputs().size();
          inside[body.getArgument(inputs)] = toI32(row);
          inside[body.getArgument(inputs + 1)] = toI32(column);
        }
        auto operand = [&](Value value) {
          auto it = inside.find(value);
          return it == inside.end() ? lookup(value) : it->second;
        };
        for (Operation &inner : body.without_terminator())
          for (auto [from, to] :
               llvm::zip(inner.getResults(), emitScalarOp(&inner, operand)))
            inside[from] = to;
        for (auto [value, result, type] :
             llvm::zip(body.getTerminator()->getOperands(), results,
                       op.getResultTypes()))
          memref::StoreOp::create(b, operand(value), result, place(type));
      });
  for (auto [name, result] : llvm::zip(op.getResults(), results))
    values[name] = result;
}

void LoopEmitter::emit(ReduceRowsOp op) {
  Value result = makeTile(op.getType()), source = lookup(op.getSource());
  bool isSum = op.getKind() == ReduceKind::add;
  forEach(op.getType().getRows(), [&](Value row) {
    Value start =
        isSum ? f32(0)
              : memref::LoadOp::create(b, source, ValueRange{row, index(0)})
                    .getResult();
    auto loop = scf::ForOp::create(b, index(0),
                                   index(op.getSource().getType().getColumns()),
                                   index(1), start);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value element = memref::LoadOp::create(
        b, source, ValueRange{row, loop.getInductionVar()});
    Value before = loop.getRegionIterArg(0);
    Value next = isSum
                     ? arith::AddFOp::create(b, before, element).getResult()
                     : arith::MaxNumFOp::create(b, before, element).getResult();
    scf::YieldOp::create(b, next);
    b.setInsertionPointAfter(loop);
    memref::StoreOp::create(b, loop.getResult(0), result, row);
  });
  values[op] = result;
}

void LoopEmitter::emit(PackOp op) {
  Value result = makeTile(op.getType());
  forEach(op.getType().getRows(), op.getType().getColumns(),
          [&](Value row, Value column) {
            Value element = memref::LoadOp::create(b, lookup(op.getSource()),
                                                   ValueRange{row, column});
            memref::StoreOp::create(b, narrow(element, b.getBF16Type()), result,
                                    ValueRange{row, column});
          });
  values[op] = result;
}

void LoopEmitter::emit(SplitOp op) {
  Value results[] = {makeTile(op.getEven().getType()),
                     makeTile(op.getOdd().getType())};
  FragmentType half = op.getEven().getType();
  for (int64_t odd = 0; odd < 2; ++odd)
    forEach(half.getRows(), half.getColumns(), [&](Value row, Value column) {
      Value group = arith::DivUIOp::create(b, column, index(8));
      Value from = add(add(column, mul(group, index(8))), index(8 * odd));
      Value element = memref::LoadOp::create(b, lookup(op.getSource()),
                                             ValueRange{row, from});
      memref::StoreOp::create(b, element, results[odd],
                              ValueRange{row, column});
    });
  values[op.getEven()] = results[0];
  values[op.getOdd()] = results[1];
}

void LoopEmitter::emit(ColumnsOp op) {
  Value result = makeTile(op.getType());
  forEach(op.getType().getRows(), op.getType().getColumns(),
          [&](Value row, Value column) {
            Value element = memref::LoadOp::create(
                b, lookup(op.getSource()),
                ValueRange{row, add(column, index(op.getFrom()))});
            memref::StoreOp::create(b, element, result,
                                    ValueRange{row, column});
          });
  values[op] = result;
}

void LoopEmitter::emit(LoadOp op) {
  Value result = makeTile(op.getType());
  Value firstRow = toIndex(lookup(op.getRow())),
        firstColumn = toIndex(lookup(op.getColumn())),
        stride = toIndex(lookup(op.getStride())),
        rows = toIndex(lookup(op.getRows())),
        columns = toIndex(lookup(op.getColumns()));
  forEach(op.getType().getRows(), op.getType().getColumns(),
          [&](Value row, Value column) {
            Value down = row, across = column;
            if (op.getTransposed())
              std::swap(down, across);
            Value valid = arith::AndIOp::create(b, less(down, rows),
                                                less(across, columns));
            auto branch = scf::IfOp::create(b, f32Type, valid, true);
            OpBuilder::InsertionGuard guard(b);
            b.setInsertionPointToStart(branch.thenBlock());
            Value number = elementNumber(add(firstRow, down), stride,
                                         add(firstColumn, across));
            scf::YieldOp::create(b, widen(memref::LoadOp::create(
                                        b, lookup(op.getSource()), number)));
            b.setInsertionPointToStart(branch.elseBlock());
            scf::YieldOp::create(b, f32(0));
            b.setInsertionPointAfter(branch);
            memref::StoreOp::create(b, branch.getResult(0), result,
                                    ValueRange{row, column});
          });
  values[op] = result;
}

void LoopEmitter::emit(StoreOp op) {
  FragmentType type = op.getValue().getType();
  Type element = op.getTarget().getType().getElementType();
  Value firstRow = toIndex(lookup(op.getRow())),
        firstColumn = toIndex(lookup(op.getColumn())),
        stride = toIndex(lookup(op.getStride())),
        rows = toIndex(lookup(op.getRows())),
        columns = toIndex(lookup(op.getColumns()));
  forEach(type.getRows(), type.getColumns(), [&](Value row, Value column) {
    Value down = row, across = column;
    if (op.getTransposed())
      std::swap(down, across);
    Value valid =
        arith::AndIOp::create(b, less(down, rows), less(across, columns));
    if (op.getFirst())
      valid = arith::AndIOp::create(
          b, valid,
          arith::CmpIOp::create(b, arith::CmpIPredicate::sge, row,
                                toIndex(lookup(op.getFirst()))));
    auto branch = scf::IfOp::create(b, valid, /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    Value value = memref::LoadOp::create(b, lookup(op.getValue()),
                                         ValueRange{row, column});
    memref::StoreOp::create(
        b, narrow(value, element), lookup(op.getTarget()),
        elementNumber(add(firstRow, down), stride, add(firstColumn, across)));
  });
}

void LoopEmitter::emit(UnpackBlocksOp op) {
  const BlockFormat &blocks = op.getBlocks();
  bool ofBytes = blocks.elementBits == 8;
  Value result = makeTile(op.getType());
  auto div = [&](Value x, int64_t y) -> Value {
    return arith::DivUIOp::create(b, x, index(y));
  };
  auto rem = [&](Value x, int64_t y) -> Value {
    return arith::RemUIOp::create(b, x, index(y));
  };
  auto times = [&](Value x, int64_t y) { return mul(x, index(y)); };
  auto byte = [&](Value tile, Value row, Value at) -> Value {
    return arith::ExtUIOp::create(
        b, i32Type,
        memref::LoadOp::create(b, lookup(tile), ValueRange{row, at})
            .getResult());
  };
  auto both = [&](Value x, int64_t bits) -> Value {
    return arith::AndIOp::create(b, x, i32(bits));
  };
  auto left = [&](Value x, int64_t bits) -> Value {
    return arith::ShLIOp::create(b, x, i32(bits));
  };
  Value firstScale = times(toIndex(lookup(op.getWord())), 4);
  forEach(op.getType().getRows(), op.getType().getColumns(),
          [&](Value row, Value column) {
            Value from = row;
            if (op.getPart())
              from = add(add(times(div(row, 8), 16), rem(row, 8)),
                         index(8 * *op.getPart()));
            Value block = div(column, blocks.elements);
            Value j = rem(column, 8);
            Value piece = times(div(rem(column, blocks.elements), 8), 16);
            // Bit and byte of the element, whose neighbour lies 16 bits apart.
            Value word = ofBytes ? add(times(block, 2), div(j, 4)) : block;
            Value bit = add(times(ofBytes ? div(rem(j, 4), 2) : div(j, 2),
                                  blocks.elementBits),
                            times(rem(j, 2), 16));
            Value at = add(add(piece, times(word, 4)), div(bit, 8));
            Value bits = byte(op.getData(), from, at);
            auto toFloat = [&](Value q) -> Value {
              return arith::SIToFPOp::create(b, f32Type, q);
            };
            Value factor;
            switch (op.getFormat()) {
            case BlockKind::q8:
              factor =
                  toFloat(arith::ShRSIOp::create(b, left(bits, 24), i32(24)));
              break;
            case BlockKind::q4:
              bits = arith::ShRUIOp::create(b, bits, toI32(rem(bit, 8)));
              factor = toFloat(add(both(bits, 15), i32(-8)));
              break;
            case BlockKind::fp8: {
              // Exponents of f32 count from 127, not 7.
              Value wide = arith::OrIOp::create(b, left(both(bits, 0x7f), 20),
                                                left(both(bits, 0x80), 24));
              factor = arith::MulFOp::create(
                  b, arith::BitcastOp::create(b, f32Type, wide),
                  arith::ConstantOp::create(b, b.getF32FloatAttr(0x1p120f)));
              break;
            }
            }
            Value scaleAt = add(firstScale, times(block, blocks.scaleBytes));
            Value code = byte(op.getScales(), from, scaleAt);
            Value scale;
            if (ofBytes) {
              Value high = byte(op.getScales(), from, add(scaleAt, index(1)));
              scale = arith::OrIOp::create(b, left(code, 16), left(high, 24));
            } else {
              Value size = both(code, 0x7f);
              Value sign = left(both(code, 0x80), 24);
              scale = add(left(size, 20), i32((127 - 13) << 23));
              Value isNaN = arith::CmpIOp::create(b, arith::CmpIPredicate::eq,
                                                  size, i32(kQ4NaN));
              scale = arith::SelectOp::create(b, isNaN, i32(0x7fc00000), scale);
              scale = arith::OrIOp::create(b, scale, sign);
            }
            Value product = arith::MulFOp::create(
                b, factor, arith::BitcastOp::create(b, f32Type, scale));
            memref::StoreOp::create(b, narrow(product, b.getBF16Type()), result,
                                    ValueRange{row, column});
          });
  values[op] = result;
}

void LoopEmitter::emit(LoadRowsOp op) {
  Value result = makeTile(op.getType());
  Value first = toIndex(lookup(op.getIndex())),
        stride = toIndex(lookup(op.getStride())),
        valid = toIndex(lookup(op.getValid()));
  forEach(op.getType().getRows(), [&](Value row) {
    auto branch = scf::IfOp::create(b, f32Type, less(row, valid), true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    scf::YieldOp::create(
        b, memref::LoadOp::create(b, lookup(op.getSource()),
                                  elementNumber(row, stride, first))
               .getResult());
    b.setInsertionPointToStart(branch.elseBlock());
    scf::YieldOp::create(b, f32(0));
    b.setInsertionPointAfter(branch);
    memref::StoreOp::create(b, branch.getResult(0), result, row);
  });
  values[op] = result;
}

void LoopEmitter::emit(StoreRowsOp op) {
  Value first = toIndex(lookup(op.getIndex())),
        stride = toIndex(lookup(op.getStride())),
        valid = toIndex(lookup(op.getValid()));
  forEach(op.getValue().getType().getRows(), [&](Value row) {
    auto branch = scf::IfOp::create(b, less(row, valid), false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    Value value = memref::LoadOp::create(b, lookup(op.getValue()), row);
    memref::StoreOp::create(b, value, lookup(op.getTarget()),
                            elementNumber(row, stride, first));
  });
}

void LoopEmitter::emit(PutRowsOp op) {
  forEach(op.getValue().getType().getRows(), [&](Value row) {
    Value value = memref::LoadOp::create(b, lookup(op.getValue()), row);
    memref::StoreOp::create(b, value, lookup(op.getTile()),
                            ValueRange{index(0), row});
  });
}

void LoopEmitter::emit(GetRowsOp op) {
  Value result = makeTile(op.getType());
  forEach(op.getType().getRows(), [&](Value row) {
    Value value = memref::LoadOp::create(b, lookup(op.getTile()),
                                         ValueRange{index(0), row});
    memref::StoreOp::create(b, value, result, row);
  });
  values[op] = result;
}

void LoopEmitter::emit(PutOp op) {
  FragmentType type = op.getValue().getType();
  forEach(type.getRows(), type.getColumns(), [&](Value row, Value column) {
    Value value = memref::LoadOp::create(b, lookup(op.getValue()),
                                         ValueRange{row, column});
    memref::StoreOp::create(
        b, narrow(value, op.getTile().getType().getElementType()),
        lookup(op.getTile()), ValueRange{row, column});
  });
}

void LoopEmitter::emitProduct(Value left, Value right, Value acc,
                              bool transposed, Value result) {
  ArrayRef<int64_t> shape = cast<MemRefType>(result.getType()).getShape();
  int64_t depth = cast<MemRefType>(left.getType()).getShape()[1];
  forEach(shape[0], shape[1], [&](Value row, Value column) {
    Value start = acc ? memref::LoadOp::create(b, acc, ValueRange{row, column})
                            .getResult()
                      : f32(0);
    auto loop = scf::ForOp::create(b, index(0), index(depth), index(1), start);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value k = loop.getInductionVar();
    Value x = widen(memref::LoadOp::create(b, left, ValueRange{row, k}));
    Value y = widen(memref::LoadOp::create(
        b, right, transposed ? ValueRange{k, column} : ValueRange{column, k}));
    Value product = arith::MulFOp::create(b, x, y);
    Value sum = arith::AddFOp::create(b, loop.getRegionIterArg(0), product);
    scf::YieldOp::create(b, sum);
    b.setInsertionPointAfter(loop);
    memref::StoreOp::create(b, loop.getResult(0), result,
                            ValueRange{row, column});
  });
}
