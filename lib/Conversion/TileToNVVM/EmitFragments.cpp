//===- EmitFragments.cpp - Tiles in registers ----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace mlir::dsv2::tile;

// The register of a fragment that holds, of slab s and columns 8 j to 8 j + 7,
// the thread's element of row half h and column e: its place in memory order.
static int64_t registerOf(FragmentType type, int64_t s, int64_t j, int64_t h,
                          int64_t e) {
  return ((s * (type.getColumns() / 8) + j) * 2 + h) * 2 + e;
}

Value KernelEmitter::firstRow(int64_t warps, Value lane) {
  Value row = divide(lane ? lane : this->lane, 4);
  if (warps == 1)
    return row;
  Value inInstance =
      remainder(add(warp, -static_cast<int64_t>(role.getFirst())), warps);
  return add(mul(inInstance, 16), row);
}

Value KernelEmitter::firstColumn(Value lane) {
  return mul(remainder(lane ? lane : this->lane, 4), 2);
}

Value KernelEmitter::packPair(Value low, Value high, Type element) {
  auto pairOf = [&](Type type) { return VectorType::get({2}, type); };
  Value pair = LLVM::UndefOp::create(b, pairOf(f32Type));
  pair = LLVM::InsertElementOp::create(b, pair, low, i32(0));
  pair = LLVM::InsertElementOp::create(b, pair, high, i32(1));
  if (element.isF32())
    return pair;
  return LLVM::FPTruncOp::create(b, pairOf(element), pair);
}

//===----------------------------------------------------------------------===//
// From register to register
//===----------------------------------------------------------------------===//

void KernelEmitter::emit(SplatOp op) {
  int64_t count = isa<FragmentType>(op.getType())
                      ? cast<FragmentType>(op.getType()).getRegisters()
                      : cast<RowsType>(op.getType()).getRegisters();
  bind(op, SmallVector<Value>(count, lookupOne(op.getValue())));
}

void KernelEmitter::emit(MapOp op) {
  Block &body = op.getBody().front();
  auto fragment = dyn_cast<FragmentType>(op.getResult(0).getType());
  int64_t warps = fragment
                      ? fragment.getWarps()
                      : cast<RowsType>(op.getResult(0).getType()).getWarps();
  int64_t slabs = fragment
                      ? fragment.getSlabs()
                      : cast<RowsType>(op.getResult(0).getType()).getSlabs();
  // A map of rows is one of a single column.
  int64_t groups = fragment ? fragment.getColumns() / 8 : 1;
  int64_t inGroup = fragment ? 2 : 1;
  Value row, column;
  if (op.hasIndices()) {
    row = firstRow(warps);
    column = fragment ? firstColumn() : i32(0);
  }
  SmallVector<SmallVector<Value>> results(op.getNumResults());
  for (int64_t s = 0; s < slabs; ++s)
    for (int64_t j = 0; j < groups; ++j)
      for (int64_t h = 0; h < 2; ++h)
        for (int64_t e = 0; e < inGroup; ++e) {
          llvm::DenseMap<Value, Value> inside;
          for (auto [input, argument] :
               llvm::zip(op.getInputs(), body.getArguments()))
            inside[argument] =
                lookup(input)[isa<RowsType>(input.getType())
                                  ? s * 2 + h
                                  : registerOf(fragment, s, j, h, e)];
          if (op.hasIndices()) {
            inside[body.getArgument(op.getInputs().size())] =
                add(row, 16 * s * warps + 8 * h);
            inside[body.getArgument(op.getInputs().size() + 1)] =
                add(column, 8 * j + e);
          }
          auto operand = [&](Value value) {
            auto it = inside.find(value);
            return it == inside.end() ? lookupOne(value) : it->second;
          };
          for (Operation &inner : body.without_terminator())
            for (auto [from, to] :
                 llvm::zip(inner.getResults(), emitScalarOp(&inner, operand)))
              inside[from] = to;
          for (auto [index, value] :
               llvm::enumerate(body.getTerminator()->getOperands()))
            results[index].push_back(operand(value));
        }
  for (auto [result, list] : llvm::zip(op.getResults(), results))
    bind(result, list);
}

void KernelEmitter::emit(ReduceRowsOp op) {
  FragmentType type = op.getSource().getType();
  auto combine = [&](Value x, Value y) -> Value {
    if (op.getKind() == ReduceKind::add)
      return arith::AddFOp::create(b, x, y);
    return arith::MaxNumFOp::create(b, x, y);
  };
  SmallVector<Value> result;
  for (int64_t s = 0; s < type.getSlabs(); ++s)
    for (int64_t h = 0; h < 2; ++h) {
      SmallVector<Value> list;
      for (int64_t j = 0; j < type.getColumns() / 8; ++j)
        for (int64_t e = 0; e < 2; ++e)
          list.push_back(lookup(op.getSource())[registerOf(type, s, j, h, e)]);
      // Neighbours first: short chains.
      while (list.size() > 1) {
        SmallVector<Value> halved;
        for (size_t i = 0; i + 1 < list.size(); i += 2)
          halved.push_back(combine(list[i], list[i + 1]));
        if (list.size() % 2)
          halved.push_back(list.back());
        list = std::move(halved);
      }
      // Four neighbouring lanes share a row.
      Value value = list.front();
      for (int64_t distance : {1, 2}) {
        Value other =
            NVVM::ShflOp::create(b, f32Type, i32(-1), value, i32(distance),
                                 i32(31), NVVM::ShflKind::bfly, UnitAttr());
        value = combine(value, other);
      }
      result.push_back(value);
    }
  bind(op, result);
}

void KernelEmitter::emit(PackOp op) {
  FragmentType type = op.getSource().getType();
  ArrayRef<Value> source = lookup(op.getSource());
  SmallVector<Value> result;
  for (int64_t s = 0; s < type.getSlabs(); ++s)
    for (int64_t j = 0; j < type.getColumns() / 8; ++j)
      for (int64_t h = 0; h < 2; ++h)
        result.push_back(LLVM::BitcastOp::create(
            b, i32Type,
            packPair(source[registerOf(type, s, j, h, 0)],
                     source[registerOf(type, s, j, h, 1)], b.getBF16Type())));
  bind(op, result);
}

void KernelEmitter::emit(SplitOp op) {
  FragmentType type = op.getSource().getType();
  SmallVector<Value> halves[2];
  for (int64_t s = 0; s < type.getSlabs(); ++s)
    for (int64_t j = 0; j < type.getColumns() / 8; ++j)
      for (int64_t i = 0; i < 4; ++i)
        halves[j % 2].push_back(
            lookup(op.getSource())[registerOf(type, s, j, i / 2, i % 2)]);
  bind(op.getEven(), halves[0]);
  bind(op.getOdd(), halves[1]);
}

void KernelEmitter::emit(ColumnsOp op) {
  FragmentType source = op.getSource().getType();
  SmallVector<Value> result;
  for (int64_t s = 0; s < source.getSlabs(); ++s)
    llvm::append_range(result,
                       lookup(op.getSource())
                           .slice(registerOf(source, s, op.getFrom() / 8, 0, 0),
                                  op.getType().getColumns() / 8 * 4));
  bind(op, result);
}

//===----------------------------------------------------------------------===//
// Global memory
//===----------------------------------------------------------------------===//

void KernelEmitter::emit(LoadOp op) {
  if (op.getTransposed())
    return emitTransposed(op);
  FragmentType type = op.getType();
  Type element = op.getSource().getType().getElementType();
  auto pair = VectorType::get({2}, element);
  Value rows = lookupOne(op.getRows()), columns = lookupOne(op.getColumns());
  Value zero = arith::ConstantOp::create(b, b.getF32FloatAttr(0));
  Value none = i32(0);
  // With anything valid the first element is, and elements that are not are
  // read from its row or column instead of branching around each.
  Value any = arith::AndIOp::create(b, less(none, rows), less(none, columns));
  auto branch =
      scf::IfOp::create(b, SmallVector<Type>(type.getRegisters(), f32Type), any,
                        /*addThenBlock=*/true, /*addElseBlock=*/true);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    SmallVector<Value> result;
    Value firstRowOfThread = firstRow(type.getWarps());
    Value column0 = firstColumn();
    for (int64_t s = 0; s < type.getSlabs(); ++s) {
      SmallVector<Value> addresses, valid;
      for (int64_t h = 0; h < 2; ++h) {
        Value row = add(firstRowOfThread, 16 * s * type.getWarps() + 8 * h);
        valid.push_back(less(row, rows));
        addresses.push_back(elementAddress(
            lookupOne(op.getSource()), element,
            add(lookupOne(op.getRow()), select(valid.back(), row, none)),
            lookupOne(op.getStride()), lookupOne(op.getColumn())));
      }
      for (int64_t j = 0; j < type.getColumns() / 8; ++j)
        for (int64_t h = 0; h < 2; ++h) {
          Value column = add(column0, 8 * j);
          Value inside = less(column, columns);
          Value address = elementAddress(addresses[h], element, Value(),
                                         Value(), select(inside, column, none));
          Value both = arith::AndIOp::create(b, inside, valid[h]);
          Value loaded = LLVM::LoadOp::create(
              b, pair, address, element.getIntOrFloatBitWidth() / 4);
          for (int64_t e = 0; e < 2; ++e) {
            Value value = LLVM::ExtractElementOp::create(b, loaded, i32(e));
            if (!element.isF32())
              value = LLVM::FPExtOp::create(b, f32Type, value);
            result.push_back(select(both, value, zero));
          }
        }
    }
    scf::YieldOp::create(b, result);
    b.setInsertionPointToStart(branch.elseBlock());
    scf::YieldOp::create(b, SmallVector<Value>(type.getRegisters(), zero));
  }
  bind(op, SmallVector<Value>(branch.getResults()));
}

/// Calls `body` with slab, eight columns, row half and column of each register.
static void forEachRegister(
    FragmentType type,
    llvm::function_ref<void(int64_t, int64_t, int64_t, int64_t)> body) {
  for (int64_t s = 0; s < type.getSlabs(); ++s)
    for (int64_t j = 0; j < type.getColumns() / 8; ++j)
      for (int64_t h = 0; h < 2; ++h)
        for (int64_t e = 0; e < 2; ++e)
          body(s, j, h, e);
}

void KernelEmitter::emitTransposed(LoadOp op) {
  FragmentType type = op.getType();
  Type element = op.getSource().getType().getElementType();
  int64_t bytes = element.getIntOrFloatBitWidth() / 8;
  Value rows = lookupOne(op.getRows()), columns = lookupOne(op.getColumns());
  Value zero = arith::ConstantOp::create(b, b.getF32FloatAttr(0));
  Value none = i32(0);
  // As without transposition: what is not valid is read from elsewhere.
  Value any = arith::AndIOp::create(b, less(none, rows), less(none, columns));
  auto branch =
      scf::IfOp::create(b, SmallVector<Type>(type.getRegisters(), f32Type), any,
                        /*addThenBlock=*/true, /*addElseBlock=*/true);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    SmallVector<Value> result(type.getRegisters());
    Value row0 = firstRow(type.getWarps()), column0 = firstColumn();
    forEachRegister(type, [&](int64_t s, int64_t j, int64_t h, int64_t e) {
      Value row = add(row0, 16 * s * type.getWarps() + 8 * h);
      Value column = add(column0, 8 * j + e);
      Value isRow = less(column, rows), isColumn = less(row, columns);
      Value address = elementAddress(
          lookupOne(op.getSource()), element,
          add(lookupOne(op.getRow()), select(isRow, column, none)),
          lookupOne(op.getStride()),
          add(lookupOne(op.getColumn()), select(isColumn, row, none)));
      Value value = LLVM::LoadOp::create(b, element, address, bytes);
      if (!element.isF32())
        value = LLVM::FPExtOp::create(b, f32Type, value);
      Value both = arith::AndIOp::create(b, isRow, isColumn);
      result[registerOf(type, s, j, h, e)] = select(both, value, zero);
    });
    scf::YieldOp::create(b, result);
    b.setInsertionPointToStart(branch.elseBlock());
    scf::YieldOp::create(b, SmallVector<Value>(type.getRegisters(), zero));
  }
  bind(op, SmallVector<Value>(branch.getResults()));
}

void KernelEmitter::emitTransposed(StoreOp op) {
  FragmentType type = op.getValue().getType();
  Type element = op.getTarget().getType().getElementType();
  int64_t bytes = element.getIntOrFloatBitWidth() / 8;
  Value rows = lookupOne(op.getRows()), columns = lookupOne(op.getColumns());
  Value lane = hide(this->lane);
  Value row0 = firstRow(type.getWarps(), lane), column0 = firstColumn(lane);
  ArrayRef<Value> source = lookup(op.getValue());
  // A column of the fragment is a row of the matrix, of which the thread has
  // every eighth element.
  for (int64_t j = 0; j < type.getColumns() / 8; ++j)
    for (int64_t e = 0; e < 2; ++e) {
      Value column = add(column0, 8 * j + e);
      auto ifRow = scf::IfOp::create(b, less(column, rows),
                                     /*withElseRegion=*/false);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(ifRow.thenBlock());
      Value address = elementAddress(lookupOne(op.getTarget()), element,
                                     add(lookupOne(op.getRow()), column),
                                     lookupOne(op.getStride()),
                                     add(lookupOne(op.getColumn()), row0));
      for (int64_t s = 0; s < type.getSlabs(); ++s)
        for (int64_t h = 0; h < 2; ++h) {
          int64_t more = 16 * s * type.getWarps() + 8 * h;
          auto ifColumn = scf::IfOp::create(b, less(add(row0, more), columns),
                                            /*withElseRegion=*/false);
          OpBuilder::InsertionGuard inner(b);
          b.setInsertionPointToStart(ifColumn.thenBlock());
          Value value = source[registerOf(type, s, j, h, e)];
          if (!element.isF32())
            value = LLVM::FPTruncOp::create(b, element, value);
          LLVM::StoreOp::create(b, value, bytesFrom(address, more * bytes),
                                bytes);
        }
    }
}

void KernelEmitter::emit(StoreOp op) {
  if (op.getTransposed())
    return emitTransposed(op);
  FragmentType type = op.getValue().getType();
  Type element = op.getTarget().getType().getElementType();
  Value rows = lookupOne(op.getRows()), columns = lookupOne(op.getColumns());
  // Addresses are computed here, not kept from before the loops that make the
  // values.
  Value lane = hide(this->lane);
  Value column0 = firstColumn(lane);
  Value firstRowOfThread = firstRow(type.getWarps(), lane);
  ArrayRef<Value> source = lookup(op.getValue());

  // One row of the thread; `check`: columns may be cut off.
  auto storeRow = [&](int64_t s, int64_t h, bool check) {
    Value row = add(firstRowOfThread, 16 * s * type.getWarps() + 8 * h);
    Value isValid = less(row, rows);
    if (op.getFirst())
      isValid = arith::AndIOp::create(
          b, isValid,
          arith::CmpIOp::create(b, arith::CmpIPredicate::sge, row,
                                lookupOne(op.getFirst())));
    auto ifRow = scf::IfOp::create(b, isValid, /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(ifRow.thenBlock());
    Value address = elementAddress(
        lookupOne(op.getTarget()), element, add(lookupOne(op.getRow()), row),
        lookupOne(op.getStride()), add(lookupOne(op.getColumn()), column0));
    for (int64_t j = 0; j < type.getColumns() / 8; ++j) {
      OpBuilder::InsertionGuard inner(b);
      if (check) {
        auto ifColumn = scf::IfOp::create(b, less(add(column0, 8 * j), columns),
                                          /*withElseRegion=*/false);
        b.setInsertionPointToStart(ifColumn.thenBlock());
      }
      LLVM::StoreOp::create(
          b,
          packPair(source[registerOf(type, s, j, h, 0)],
                   source[registerOf(type, s, j, h, 1)], element),
          bytesFrom(address, 8 * j * element.getIntOrFloatBitWidth() / 8),
          element.getIntOrFloatBitWidth() / 4);
    }
  };
  auto storeAll = [&](bool check) {
    for (int64_t s = 0; s < type.getSlabs(); ++s)
      for (int64_t h = 0; h < 2; ++h)
        storeRow(s, h, check);
  };
  auto branch = scf::IfOp::create(b, less(columns, i32(type.getColumns())),
                                  /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  storeAll(/*check=*/true);
  b.setInsertionPointToStart(branch.elseBlock());
  storeAll(/*check=*/false);
}

void KernelEmitter::emit(LoadRowsOp op) {
  RowsType type = op.getType();
  Value zero = arith::ConstantOp::create(b, b.getF32FloatAttr(0));
  SmallVector<Value> result;
  for (int64_t i = 0; i < type.getRegisters(); ++i) {
    Value row = add(firstRow(type.getWarps()),
                    16 * (i / 2) * type.getWarps() + 8 * (i % 2));
    auto branch =
        scf::IfOp::create(b, f32Type, less(row, lookupOne(op.getValid())),
                          /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    Value address =
        elementAddress(lookupOne(op.getSource()), f32Type, row,
                       lookupOne(op.getStride()), lookupOne(op.getIndex()));
    Value loaded = LLVM::LoadOp::create(b, f32Type, address, /*alignment=*/4);
    scf::YieldOp::create(b, loaded);
    b.setInsertionPointToStart(branch.elseBlock());
    scf::YieldOp::create(b, zero);
    result.push_back(branch.getResult(0));
  }
  bind(op, result);
}

void KernelEmitter::emit(StoreRowsOp op) {
  RowsType type = op.getValue().getType();
  // One of the four lanes that share a row.
  Value isFirst = equal(remainder(lane, 4), 0);
  for (auto [i, value] : llvm::enumerate(lookup(op.getValue()))) {
    Value row = add(firstRow(type.getWarps()),
                    16 * (i / 2) * type.getWarps() + 8 * (i % 2));
    auto branch = scf::IfOp::create(
        b,
        arith::AndIOp::create(b, isFirst, less(row, lookupOne(op.getValid()))),
        /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    Value address =
        elementAddress(lookupOne(op.getTarget()), f32Type, row,
                       lookupOne(op.getStride()), lookupOne(op.getIndex()));
    LLVM::StoreOp::create(b, value, address, /*alignment=*/4);
  }
}

void KernelEmitter::emit(PutOp op) {
  FragmentType type = op.getValue().getType();
  SharedType tile = op.getTile().getType();
  Type element = tile.getElementType();
  int64_t bytes = tile.getElementBytes();
  ArrayRef<Value> source = lookup(op.getValue());
  Value row = firstRow(type.getWarps()), byte = mul(firstColumn(), bytes);
  for (int64_t s = 0; s < type.getSlabs(); ++s)
    for (int64_t h = 0; h < 2; ++h)
      for (int64_t j = 0; j < type.getColumns() / 8; ++j)
        LLVM::StoreOp::create(
            b,
            packPair(source[registerOf(type, s, j, h, 0)],
                     source[registerOf(type, s, j, h, 1)], element),
            sharedAddress(tile, lookupOne(op.getTile()), row, byte,
                          16 * s * type.getWarps() + 8 * h, 8 * j * bytes),
            2 * bytes);
}

Value KernelEmitter::rowAddress(RowsType type, Value tile, int64_t i) {
  Value row = add(firstRow(type.getWarps()),
                  16 * (i / 2) * type.getWarps() + 8 * (i % 2));
  return bytesFrom(tile, mul(row, 4));
}

void KernelEmitter::emit(PutRowsOp op) {
  // One of the four lanes that share a row.
  auto branch = scf::IfOp::create(b, equal(remainder(lane, 4), 0),
                                  /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  for (auto [i, value] : llvm::enumerate(lookup(op.getValue())))
    LLVM::StoreOp::create(
        b, value,
        rowAddress(op.getValue().getType(), lookupOne(op.getTile()), i),
        /*alignment=*/4);
}

void KernelEmitter::emit(GetRowsOp op) {
  SmallVector<Value> result;
  for (int64_t i = 0; i < op.getType().getRegisters(); ++i)
    result.push_back(LLVM::LoadOp::create(
        b, f32Type, rowAddress(op.getType(), lookupOne(op.getTile()), i),
        /*alignment=*/4));
  bind(op, result);
}
