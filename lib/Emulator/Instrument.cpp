//===- Instrument.cpp - calls before accesses of memory -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Accesses.h"
#include "Transform.h"

#include "llvm/Analysis/ValueTracking.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"

using namespace dsv2::emulator;
using namespace llvm;

namespace {
/// One touch of memory.
struct Access {
  Instruction *at;
  Value *pointer;
  Value *bytes;
  uint32_t flags;
};
} // namespace

static uint32_t spaceFlag(const Value *pointer) {
  switch (pointer->getType()->getPointerAddressSpace()) {
  case 1:
  case 4:
    return AccessGlobal;
  case 3:
    return AccessShared;
  case 7:
    return AccessClusterShared;
  default:
    return AccessGeneric;
  }
}

/// Local variables and parameters, which no other thread sees.
static bool isPrivate(const Value *pointer) {
  unsigned space = pointer->getType()->getPointerAddressSpace();
  if (space == 5 || space == 101)
    return true;
  const Value *object = getUnderlyingObject(pointer, /*MaxLookup=*/0);
  if (const auto *argument = dyn_cast<Argument>(object))
    return argument->hasByValAttr();
  return isa<AllocaInst>(object);
}

static void collect(Instruction &instruction, SmallVectorImpl<Access> &out) {
  const DataLayout &layout = instruction.getModule()->getDataLayout();
  auto *i64 = Type::getInt64Ty(instruction.getContext());
  auto add = [&](Value *pointer, Value *bytes, uint32_t flags,
                 Align alignment) {
    if (!isPrivate(pointer))
      out.push_back(
          {&instruction, pointer, bytes,
           flags | spaceFlag(pointer) | Log2(alignment) << AccessAlignShift});
  };
  auto size = [&](Type *type) {
    return ConstantInt::get(i64, layout.getTypeStoreSize(type));
  };
  if (auto *load = dyn_cast<LoadInst>(&instruction))
    add(load->getPointerOperand(), size(load->getType()),
        load->isAtomic() ? AccessAtomic : 0, load->getAlign());
  else if (auto *store = dyn_cast<StoreInst>(&instruction))
    add(store->getPointerOperand(), size(store->getValueOperand()->getType()),
        AccessWrites | (store->isAtomic() ? AccessAtomic : 0),
        store->getAlign());
  else if (auto *rmw = dyn_cast<AtomicRMWInst>(&instruction))
    add(rmw->getPointerOperand(), size(rmw->getType()),
        AccessWrites | AccessAtomic, rmw->getAlign());
  else if (auto *exchange = dyn_cast<AtomicCmpXchgInst>(&instruction))
    add(exchange->getPointerOperand(),
        size(exchange->getNewValOperand()->getType()),
        AccessWrites | AccessAtomic, exchange->getAlign());
  else if (auto *set = dyn_cast<MemSetInst>(&instruction))
    add(set->getDest(), set->getLength(), AccessWrites,
        set->getDestAlign().valueOrOne());
  else if (auto *move = dyn_cast<MemTransferInst>(&instruction)) {
    add(move->getSource(), move->getLength(), 0,
        move->getSourceAlign().valueOrOne());
    add(move->getDest(), move->getLength(), AccessWrites,
        move->getDestAlign().valueOrOne());
  }
}

/// A loop around it may wait for another thread.
static bool mayWait(const Instruction &instruction) {
  if (const auto *load = dyn_cast<LoadInst>(&instruction))
    return (load->isAtomic() || load->isVolatile()) &&
           !isPrivate(load->getPointerOperand());
  return isa<AtomicRMWInst, AtomicCmpXchgInst>(instruction);
}

void dsv2::emulator::instrumentAccesses(llvm::Module &module,
                                        const SiteMap &sites, bool checks) {
  LLVMContext &context = module.getContext();
  IRBuilder<> builder(context);
  Type *i64 = builder.getInt64Ty(), *i32 = builder.getInt32Ty();
  auto *checkType =
      FunctionType::get(builder.getVoidTy(), {i64, i64, i32, i32}, false);
  auto *turnType = FunctionType::get(builder.getVoidTy(), {i32}, false);
  auto address = [&](auto *function) {
    return builder.CreateIntToPtr(
        builder.getInt64(reinterpret_cast<uintptr_t>(function)),
        builder.getPtrTy());
  };
  for (Function &function : module) {
    SmallVector<Access> accesses;
    SmallVector<Instruction *> waits;
    for (Instruction &instruction : instructions(function)) {
      if (mayWait(instruction))
        waits.push_back(&instruction);
      if (checks)
        collect(instruction, accesses);
    }
    for (Instruction *instruction : waits) {
      builder.SetInsertPoint(instruction);
      builder.CreateCall(turnType, address(&giveTurn),
                         {builder.getInt32(sites.lookup(instruction))});
    }
    for (const Access &access : accesses) {
      builder.SetInsertPoint(access.at);
      Value *pointer = builder.CreatePtrToInt(access.pointer, i64);
      Value *bytes = builder.CreateZExtOrTrunc(access.bytes, i64);
      builder.CreateCall(checkType, address(&checkAccess),
                         {pointer, bytes, builder.getInt32(access.flags),
                          builder.getInt32(sites.lookup(access.at))});
    }
  }
}
