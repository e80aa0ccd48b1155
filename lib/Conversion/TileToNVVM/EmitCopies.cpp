//===- EmitCopies.cpp - Rings, barriers and copies -----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

using namespace mlir;
using namespace mlir::dsv2::tile;

//===----------------------------------------------------------------------===//
// Barriers of rings
//===----------------------------------------------------------------------===//

void KernelEmitter::emitBarrierInit() {
  auto rings = kernel.getBody().front().getOps<RingOp>();
  if (rings.empty())
    return;
  auto first = scf::IfOp::create(b, equal(thread, 0), /*withElseRegion=*/false);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(first.thenBlock());
    for (RingOp ring : rings) {
      int64_t stages = ring.getType().getStages();
      for (int64_t i = 0; i < 2 * stages; ++i)
        NVVM::MBarrierInitOp::create(
            b, bytesFrom(shared, layout.barriers.at(ring) + 8 * i),
            i32(i < stages ? 1 : ring.getReleases()), Value());
    }
    NVVM::FenceMbarrierInitOp::create(b);
  }
  NVVM::BarrierOp::create(b);
}

void KernelEmitter::emitWait(Value address, Value parity) {
  auto loop = scf::WhileOp::create(b, TypeRange(), ValueRange());
  OpBuilder::InsertionGuard guard(b);
  b.createBlock(&loop.getBefore());
  Value over = NVVM::MBarrierTryWaitOp::create(
                   b, b.getI1Type(), address, parity,
                   /*ticks=*/Value(), NVVM::MemScopeKind::CTA,
                   /*relaxed=*/false)
                   .getResult();
  Value yes = arith::ConstantOp::create(b, b.getBoolAttr(true));
  scf::ConditionOp::create(b, arith::XOrIOp::create(b, over, yes),
                           ValueRange());
  b.createBlock(&loop.getAfter());
  scf::YieldOp::create(b);
}

Value KernelEmitter::barrierAddress(Value ring, Value stage, bool empty) {
  auto declaration = ring.getDefiningOp<RingOp>();
  int64_t offset = layout.barriers.at(declaration) +
                   (empty ? 8 * declaration.getType().getStages() : 0);
  return bytesFrom(shared, add(mul(stage, 8), offset));
}

//===----------------------------------------------------------------------===//
// Rings
//===----------------------------------------------------------------------===//

void KernelEmitter::emit(RingNextOp op) {
  Value stage = add(lookup(op.getState())[0], 1);
  Value wraps = equal(stage, op.getRing().getType().getStages());
  Value parity = arith::XOrIOp::create(
      b, lookup(op.getState())[1],
      arith::ExtUIOp::create(b, i32Type, wraps).getResult());
  bind(op, {select(wraps, i32(0), stage), parity});
}

void KernelEmitter::emit(RingAcquireOp op) {
  Value stage = lookup(op.getState())[0];
  // A fresh barrier is in a phase of parity 0, so that a wait for parity 1
  // returns at once: in the first round every stage is empty.
  emitWait(barrierAddress(op.getRing(), stage, /*empty=*/true),
           arith::XOrIOp::create(b, lookup(op.getState())[1], i32(1)));
  NVVM::MBarrierArriveExpectTxOp::create(
      b, TypeRange(), barrierAddress(op.getRing(), stage, /*empty=*/false),
      i32(op.getBytes()), NVVM::MemScopeKind::CTA, /*relaxed=*/false, Value());
}

void KernelEmitter::emit(RingWaitOp op) {
  emitWait(barrierAddress(op.getRing(), lookup(op.getState())[0],
                          /*empty=*/false),
           lookup(op.getState())[1]);
}

void KernelEmitter::emit(RingReleaseOp op) {
  // The other lanes' reads come before the arrival of the first.
  NVVM::SyncWarpOp::create(b, i32(-1));
  auto first = scf::IfOp::create(b, equal(lane, 0), /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(first.thenBlock());
  NVVM::MBarrierArriveOp::create(
      b, TypeRange(),
      barrierAddress(op.getRing(), lookup(op.getState())[0], /*empty=*/true),
      Value(), NVVM::MemScopeKind::CTA, /*relaxed=*/false);
}

void KernelEmitter::emit(RingTileOp op) {
  RingType ring = op.getRing().getType();
  Value offset = add(mul(lookup(op.getState())[0], ring.getStageBytes()),
                     ring.getTileOffset(op.getIndex()));
  bind(op, bytesFrom(lookupOne(op.getRing()), offset));
}

void KernelEmitter::emit(BarrierOp op) {
  if (op.getArrive()) {
    nvptx::AsmStatement statement;
    statement.kind = nvptx::AsmKind::BarrierArrive;
    statement.barrier = op.getId();
    statement.threads = op.getThreads();
    emitAsm(statement, {}, {});
    return;
  }
  NVVM::BarrierOp::create(b, TypeRange(), i32(op.getId()), i32(op.getThreads()),
                          NVVM::BarrierReductionAttr(), Value());
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

void KernelEmitter::emit(TmaLoadOp op) {
  SharedType type = op.getTile().getType();
  Value full = barrierAddress(op.getRing(), lookup(op.getState())[0],
                              /*empty=*/false);
  auto clusterPointer = LLVM::LLVMPointerType::get(b.getContext(), 7);
  for (int64_t panel = 0; panel < type.getPanels(); ++panel) {
    // The instruction takes the innermost dimension first.
    SmallVector<Value> coordinates;
    for (Value coordinate : llvm::reverse(op.getCoordinates()))
      coordinates.push_back(lookupOne(coordinate));
    coordinates.front() =
        add(coordinates.front(), panel * type.getPanelColumns());
    Value target =
        bytesFrom(lookupOne(op.getTile()), panel * type.getPanelBytes());
    NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp::create(
        b, LLVM::AddrSpaceCastOp::create(b, clusterPointer, target),
        lookupOne(op.getMap()), coordinates, full,
        /*im2colOffsets=*/ValueRange(), /*multicastMask=*/Value(),
        /*l2CacheHint=*/Value(), NVVM::TMALoadMode::TILE, /*isCTAOnly=*/false,
        NVVM::CTAGroupKindAttr(), /*predicate=*/Value());
  }
}

Value KernelEmitter::sharedAddress(SharedType type, Value base, Value row,
                                   Value byte, int64_t moreRows,
                                   int64_t moreBytes) {
  // What is constant is added last, where an instruction's offset takes it in:
  // the accesses of an unrolled loop then share few registers.
  int64_t swizzle = type.getSwizzle();
  if (!swizzle)
    return bytesFrom(bytesFrom(base, add(mul(row, type.getRowBytes()), byte)),
                     moreRows * type.getRowBytes() + moreBytes);
  int64_t fixed =
      moreRows * swizzle + moreBytes / swizzle * type.getPanelBytes();
  byte = add(byte, moreBytes % swizzle);
  Value offset = mul(row, swizzle);
  // 128 bytes: bits 4 to 6 are those of the row; fewer for narrower panels,
  // whose rows repeat later.
  Value turn = row;
  if (swizzle < 128)
    turn = divide(turn, 128 / swizzle);
  turn = remainder(turn, swizzle / 16);
  Value moved = arith::XOrIOp::create(b, byte, mul(turn, 16));
  return bytesFrom(bytesFrom(base, add(offset, moved)), fixed);
}

Value KernelEmitter::pieceAddress(SharedType type, Value base, Value row,
                                  Value piece) {
  if (type.getPanels() == 1)
    return sharedAddress(type, base, row, mul(piece, 16), 0, 0);
  int64_t piecesInPanel = type.getSwizzle() / 16;
  Value panel = mul(divide(piece, piecesInPanel), type.getPanelBytes());
  return sharedAddress(type, bytesFrom(base, panel), row,
                       mul(remainder(piece, piecesInPanel), 16), 0, 0);
}

void KernelEmitter::emit(CpAsyncOp op) {
  SharedType type = op.getTile().getType();
  int64_t pieceElements = 16 / type.getElementBytes();
  int64_t piecesInRow = type.getColumns() / pieceElements;
  int64_t threads = role.getActiveThreads();
  int64_t pieces = type.getRows() * piecesInRow;
  int64_t rounds = std::max<int64_t>(pieces / threads, 1);
  Value valid = lookupOne(op.getValid());
  Value roleThread = hide(this->roleThread);
  auto copy = [&](Value row, Value piece, int64_t morePieces, Value to) {
    Value isValid = less(row, valid);
    // Nothing is read of a row that is not valid, but its address is made.
    Value fromRow = add(lookupOne(op.getRow()), select(isValid, row, i32(0)));
    Value column = mul(piece, pieceElements);
    int64_t moreColumns = morePieces * pieceElements;
    if (op.getColumns()) {
      column = add(column, moreColumns);
      moreColumns = 0;
      Value isInside = less(column, lookupOne(op.getColumns()));
      column = select(isInside, column, i32(0));
      isValid = arith::AndIOp::create(b, isValid, isInside);
    }
    Value from = elementAddress(
        lookupOne(op.getSource()), type.getElementType(), fromRow,
        lookupOne(op.getStride()), add(lookupOne(op.getColumn()), column));
    from = bytesFrom(from, moreColumns * type.getElementBytes());
    NVVM::CpAsyncOp::create(b, to, from, 16, NVVM::LoadCacheModifierKind::CG,
                            select(isValid, i32(16), i32(0)));
  };
  // Panel by panel if these are whole rounds: then a thread's pieces differ by
  // constants, which take no registers.
  OpBuilder::InsertionGuard guard(b);
  if (pieces < threads) {
    auto some = scf::IfOp::create(b, less(roleThread, i32(pieces)),
                                  /*withElseRegion=*/false);
    b.setInsertionPointToStart(some.thenBlock());
  }
  int64_t inPanelRow = piecesInRow / type.getPanels();
  int64_t inPanel = type.getRows() * inPanelRow;
  bool even = inPanel % threads == 0 && threads % inPanelRow == 0 &&
              threads / inPanelRow % 8 == 0;
  for (int64_t round = 0; round < rounds; ++round) {
    if (even) {
      int64_t panel = round * threads / inPanel;
      int64_t moreRows = round * threads % inPanel / inPanelRow;
      Value row = divide(roleThread, inPanelRow);
      Value piece = remainder(roleThread, inPanelRow);
      copy(add(row, moreRows), piece, panel * inPanelRow,
           sharedAddress(type, lookupOne(op.getTile()), row, mul(piece, 16),
                         moreRows, panel * type.getRowBytes()));
      continue;
    }
    Value number = add(roleThread, round * threads);
    Value row = divide(number, piecesInRow);
    Value piece = remainder(number, piecesInRow);
    copy(row, piece, 0,
         pieceAddress(type, lookupOne(op.getTile()), row, piece));
  }
}

void KernelEmitter::emit(LoadScalarOp op) {
  Value address = elementAddress(lookupOne(op.getSource()), op.getType(),
                                 Value(), Value(), lookupOne(op.getIndex()));
  Value loaded =
      LLVM::LoadOp::create(b, op.getType(), address, /*alignment=*/4);
  bind(op, loaded);
}

void KernelEmitter::emit(ClearRowsOp op) {
  SharedType type = op.getTile().getType();
  int64_t piecesInRow = type.getColumns() * type.getElementBytes() / 16;
  int64_t pieces = type.getRows() * piecesInRow;
  Value first = mul(lookupOne(op.getFrom()), piecesInRow);
  auto loop = scf::ForOp::create(b, add(first, roleThread), i32(pieces),
                                 i32(role.getActiveThreads()));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Value piece = loop.getInductionVar();
  Value address =
      pieceAddress(type, lookupOne(op.getTile()), divide(piece, piecesInRow),
                   remainder(piece, piecesInRow));
  auto vector = VectorType::get({4}, i32Type);
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(vector));
  LLVM::StoreOp::create(b, zero, address, /*alignment=*/16);
}

void KernelEmitter::emit(SharedViewOp op) {
  SharedType source = op.getSource().getType();
  Value rows = mul(lookupOne(op.getRow()), source.getRowBytes());
  Value panels =
      mul(divide(lookupOne(op.getColumn()), source.getPanelColumns()),
          source.getPanelBytes());
  bind(op, bytesFrom(lookupOne(op.getSource()), add(rows, panels)));
}

void KernelEmitter::emit(SharedStageOp op) {
  bind(op, bytesFrom(lookupOne(op.getSource()),
                     mul(lookupOne(op.getStage()),
                         op.getSource().getType().getTileBytes())));
}
