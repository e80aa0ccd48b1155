//===- EmitProducts.cpp - Products of matrix units -----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::tile;

SmallVector<Value> KernelEmitter::emitAsm(const nvptx::AsmStatement &statement,
                                          ArrayRef<Value> operands,
                                          TypeRange results) {
  return dsv2::gpu::emitAsm(b, statement, operands, results);
}

Value KernelEmitter::hide(Value value) { return dsv2::gpu::hide(b, value); }

//===----------------------------------------------------------------------===//
// wgmma
//===----------------------------------------------------------------------===//

void KernelEmitter::emit(WgmmaFenceOp op) {
  // The statement takes accumulators first.
  nvptx::AsmStatement statement;
  statement.kind = nvptx::AsmKind::WgmmaFence;
  SmallVector<Value> floats, words;
  for (Value value : op.getValues())
    llvm::append_range(isa<FragmentType>(value.getType()) ? floats : words,
                       lookup(value));
  statement.floats = floats.size();
  statement.words = words.size();
  SmallVector<Value> operands = floats;
  llvm::append_range(operands, words);
  SmallVector<Value> fenced =
      emitAsm(statement, operands, ValueRange(operands).getTypes());
  ArrayRef<Value> nextFloat(fenced),
      nextWord = ArrayRef(fenced).drop_front(floats.size());
  for (auto [value, result] : llvm::zip(op.getValues(), op.getResults())) {
    ArrayRef<Value> &next =
        isa<FragmentType>(value.getType()) ? nextFloat : nextWord;
    bind(result, next.take_front(lookup(value).size()));
    next = next.drop_front(lookup(value).size());
  }
}

Value KernelEmitter::descriptor(SharedType type, Value base, bool transposed) {
  // PTX ISA, "Matrix descriptor format": address / 16 in bits 0 to 13, leading
  // dimension's byte offset / 16 in 16 to 29, stride's in 32 to 45, swizzle in
  // 62 to 63. Eight rows of a panel are one swizzled group; without
  // transposition the offset between panels is not read.
  int64_t swizzle = type.getSwizzle();
  uint64_t mode = swizzle == 128 ? 1 : swizzle == 64 ? 2 : 3;
  uint64_t leading = transposed ? type.getPanelBytes() / 16 : 1;
  uint64_t fixed = mode << 62 | static_cast<uint64_t>(8 * swizzle / 16) << 32 |
                   leading << 16;
  Value address = LLVM::PtrToIntOp::create(b, b.getI64Type(), base);
  address = arith::AndIOp::create(b, address, i64(0x3ffff));
  address = arith::ShRUIOp::create(b, address, i64(4));
  Value whole = arith::OrIOp::create(b, address, i64(fixed));
  return hide(whole);
}

/// Bytes from the start of a tile to its columns from `column` on.
static int64_t columnOffset(SharedType type, int64_t column) {
  return column / type.getPanelColumns() * type.getPanelBytes() +
         column % type.getPanelColumns() * type.getElementBytes();
}

void KernelEmitter::emit(WgmmaOp op) {
  SharedType typeB = op.getB().getType();
  auto typeA = dyn_cast<SharedType>(op.getA().getType());
  int64_t depth = typeA ? typeA.getColumns()
                        : cast<OperandType>(op.getA().getType()).getColumns();
  nvptx::AsmStatement statement;
  statement.kind = nvptx::AsmKind::Wgmma;
  statement.n = op.getType().getColumns();
  statement.registersA = !typeA;
  statement.transposeB = op.getTransposedB();
  SmallVector<Value> accumulator;
  if (op.getAcc())
    accumulator.assign(lookup(op.getAcc()).begin(), lookup(op.getAcc()).end());
  // Registers without a value before may have been in use for something else.
  // ptxas puts a fence in front of each group that has none, and says so.
  NVVM::WgmmaFenceAlignedOp::create(b);
  Value baseA;
  if (typeA)
    baseA = descriptor(typeA, lookupOne(op.getA()), /*transposed=*/false);
  Value baseB = descriptor(typeB, lookupOne(op.getB()), op.getTransposedB());
  SmallVector<Type> results(op.getType().getRegisters(), f32Type);
  for (int64_t k = 0; k < depth; k += 16) {
    statement.accumulate = !accumulator.empty();
    SmallVector<Value> operands = accumulator;
    if (typeA)
      operands.push_back(add(baseA, columnOffset(typeA, k) / 16));
    else
      llvm::append_range(operands, lookup(op.getA()).slice(k / 4, 4));
    int64_t offset =
        op.getTransposedB() ? k * typeB.getSwizzle() : columnOffset(typeB, k);
    operands.push_back(add(baseB, offset / 16));
    accumulator = emitAsm(statement, operands, results);
  }
  NVVM::WgmmaGroupSyncAlignedOp::create(b);
  bind(op, accumulator);
}

void KernelEmitter::emit(WgmmaWaitOp op) {
  SmallVector<Value> operands;
  for (Value value : op.getOperands())
    llvm::append_range(operands, lookup(value));
  nvptx::AsmStatement statement;
  statement.kind = nvptx::AsmKind::WgmmaWait;
  statement.pending = op.getPending();
  statement.floats = operands.size();
  SmallVector<Value> waited =
      emitAsm(statement, operands, ValueRange(operands).getTypes());
  ArrayRef<Value> next(waited);
  for (auto [value, result] : llvm::zip(op.getOperands(), op.getResults())) {
    bind(result, next.take_front(lookup(value).size()));
    next = next.drop_front(lookup(value).size());
  }
}

//===----------------------------------------------------------------------===//
// mma.sync
//===----------------------------------------------------------------------===//

SmallVector<Value> KernelEmitter::ldmatrix(Value address, bool transposed) {
  auto type = LLVM::LLVMStructType::getLiteral(b.getContext(),
                                               SmallVector<Type>(4, i32Type));
  auto op = NVVM::LdMatrixOp::create(
      b, type, address, 4,
      transposed ? NVVM::MMALayout::col : NVVM::MMALayout::row,
      NVVM::LdStMatrixShapeAttr::get(b.getContext(), 8, 8),
      NVVM::LdStMatrixEltType::B16);
  SmallVector<Value> values;
  for (int64_t i = 0; i < 4; ++i)
    values.push_back(LLVM::ExtractValueOp::create(b, op, i));
  return values;
}

void KernelEmitter::emit(MmaOp op) {
  FragmentType type = op.getType();
  SharedType typeB = op.getB().getType();
  auto typeA = dyn_cast<SharedType>(op.getA().getType());
  int64_t depth = typeA ? typeA.getColumns()
                        : cast<OperandType>(op.getA().getType()).getColumns();
  int64_t groups = type.getColumns() / 8;
  SmallVector<Value> accumulator(lookup(op.getAcc()));
  auto structType = LLVM::LLVMStructType::getLiteral(
      b.getContext(), SmallVector<Type>(4, f32Type));

  // Lanes 8 i to 8 i + 7 hold the addresses of the rows of matrix i: rows 0 to
  // 7 and 8 to 15 of memory, then the same of the next eight columns. Both
  // operands are read so, transposed or not, which keeps offsets few. Rows are
  // those of A, or columns of the product, or steps of k of a transposed B.
  Value row = remainder(lane, 16);
  Value byte = mul(divide(lane, 16), 16);
  Value baseA;
  if (typeA) {
    baseA = lookupOne(op.getA());
    if (type.getWarps() != 1)
      baseA = bytesFrom(
          baseA,
          mul(remainder(add(warp, -static_cast<int64_t>(role.getFirst())),
                        type.getWarps()),
              16 * typeA.getRowBytes()));
  }
  bool transposed = op.getTransposedB();

  for (int64_t k = 0; k < depth; k += 16) {
    SmallVector<SmallVector<Value>> a;
    for (int64_t s = 0; s < type.getSlabs(); ++s) {
      if (typeA)
        a.push_back(ldmatrix(sharedAddress(typeA, baseA, row, byte,
                                           16 * s * type.getWarps(), 2 * k),
                             /*transposed=*/false));
      else
        a.emplace_back(lookup(op.getA()).slice(s * depth / 4 + k / 4, 4));
    }
    for (int64_t n = 0; n < type.getColumns(); n += 16) {
      SmallVector<Value> both =
          ldmatrix(sharedAddress(typeB, lookupOne(op.getB()), row, byte,
                                 transposed ? k : n, 2 * (transposed ? n : k)),
                   transposed);
      for (int64_t s = 0; s < type.getSlabs(); ++s)
        for (int64_t half = 0; half < 2; ++half) {
          // The matrices of both halves of k.
          Value pair[] = {both[transposed ? 2 * half : half],
                          both[transposed ? 2 * half + 1 : half + 2]};
          auto registers = MutableArrayRef(accumulator)
                               .slice(4 * (s * groups + n / 8 + half), 4);
          auto product = NVVM::MmaOp::create(
              b, structType, a[s], pair, ArrayRef<Value>(registers),
              ArrayRef<int64_t>{16, 8, 16}, std::nullopt, std::nullopt,
              std::array{NVVM::MMATypes::bf16, NVVM::MMATypes::bf16},
              std::array{NVVM::MMALayout::row, NVVM::MMALayout::col});
          for (int64_t i = 0; i < 4; ++i)
            registers[i] = LLVM::ExtractValueOp::create(b, product, i);
        }
    }
  }
  bind(op, accumulator);
}
