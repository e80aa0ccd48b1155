//===- Transform.cpp - from a module for NVPTX to one for the CPU ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Transform.h"

#include "Accesses.h"
#include "IntrinsicTable.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Intrinsics.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/ReplaceConstant.h"

#include <set>

using namespace dsv2::emulator;
using namespace llvm;

SiteMap dsv2::emulator::numberInstructions(const llvm::Module &module) {
  SiteMap sites;
  for (const Function &function : module)
    for (const Instruction &instruction : instructions(function))
      sites[&instruction] = sites.size();
  return sites;
}

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

/// The kernel that alone uses `global`, or null.
static Function *getOnlyKernel(GlobalVariable &global) {
  Function *only = nullptr;
  for (User *user : global.users()) {
    Function *function = cast<Instruction>(user)->getFunction();
    if (function->getCallingConv() != CallingConv::PTX_Kernel ||
        (only && function != only))
      return nullptr;
    only = function;
  }
  return only;
}

SharedLayout dsv2::emulator::replaceSharedGlobals(llvm::Module &module) {
  std::vector<GlobalVariable *> statics, dynamics;
  for (GlobalVariable &global : module.globals())
    if (global.getAddressSpace() == 3)
      (global.isDeclaration() ? dynamics : statics).push_back(&global);
  std::vector<Constant *> all(statics.begin(), statics.end());
  all.insert(all.end(), dynamics.begin(), dynamics.end());
  if (all.empty())
    return {};
  convertUsersOfConstantsToInstructions(all);

  // What one kernel uses is its own, as it is with ptxas; the rest all have,
  // and before that.
  const DataLayout &layout = module.getDataLayout();
  DenseMap<GlobalVariable *, uint64_t> offsets;
  auto place = [&](GlobalVariable *global, uint64_t &end) {
    uint64_t offset = alignTo(end, global->getAlign().value_or(Align(16)));
    offsets[global] = offset;
    end = offset + layout.getTypeAllocSize(global->getValueType());
  };
  uint64_t common = 0;
  for (GlobalVariable *global : statics)
    if (!getOnlyKernel(*global))
      place(global, common);
  DenseMap<Function *, uint64_t> ends;
  for (Function &function : module)
    ends[&function] = common;
  for (GlobalVariable *global : statics)
    if (Function *kernel = getOnlyKernel(*global))
      place(global, ends[kernel]);
  // All external arrays start at the same place (PTX ISA, ".extern .shared"),
  // behind the rest; a function that is no kernel has that of any.
  Align dynamicAlign(16);
  bool isSameForAll = false;
  DenseSet<Function *> withDynamics;
  for (GlobalVariable *global : dynamics) {
    dynamicAlign = std::max(dynamicAlign, global->getAlign().valueOrOne());
    for (User *user : global->users()) {
      Function *function = cast<Instruction>(user)->getFunction();
      withDynamics.insert(function);
      isSameForAll |= function->getCallingConv() != CallingConv::PTX_Kernel;
    }
  }
  uint64_t last = 0;
  for (auto [function, end] : ends)
    last = std::max(last, end);
  SharedLayout result;
  for (auto &[function, end] : ends) {
    if (isSameForAll)
      end = last;
    if (isSameForAll || withDynamics.contains(function))
      end = alignTo(end, dynamicAlign);
    result.staticBytes[function->getName()] = end;
  }
  for (GlobalVariable *global : dynamics)
    offsets[global] = 0;

  DenseMap<Function *, Value *> bases;
  for (auto [global, position] : offsets) {
    for (User *user : make_early_inc_range(global->users())) {
      auto *instruction = cast<Instruction>(user);
      Function *function = instruction->getFunction();
      Value *&base = bases[function];
      if (!base) {
        IRBuilder<> builder(&function->getEntryBlock(),
                            function->getEntryBlock().getFirstInsertionPt());
        auto *type = FunctionType::get(builder.getInt64Ty(), false);
        Value *callee = builder.CreateIntToPtr(
            builder.getInt64(reinterpret_cast<uintptr_t>(&sharedBase)),
            builder.getPtrTy());
        base = builder.CreateCall(type, callee, {}, "shared.base");
      }
      IRBuilder<> builder(cast<Instruction>(base)->getNextNode());
      uint64_t offset = global->isDeclaration() ? ends[function] : position;
      Value *address = builder.CreateIntToPtr(
          builder.CreateAdd(base, builder.getInt64(offset)), global->getType(),
          global->getName());
      instruction->replaceUsesOfWith(global, address);
    }
  }
  for (auto [global, position] : offsets)
    global->eraseFromParent();
  return result;
}

//===----------------------------------------------------------------------===//
// Intrinsics
//===----------------------------------------------------------------------===//

/// LLVM's own intrinsics that its code generator for the CPU handles.
static bool isOrdinaryIntrinsic(Intrinsic::ID id) {
  switch (id) {
  case Intrinsic::abs:
  case Intrinsic::assume:
  case Intrinsic::bitreverse:
  case Intrinsic::bswap:
  case Intrinsic::canonicalize:
  case Intrinsic::ceil:
  case Intrinsic::copysign:
  case Intrinsic::cos:
  case Intrinsic::ctlz:
  case Intrinsic::ctpop:
  case Intrinsic::cttz:
  case Intrinsic::dbg_declare:
  case Intrinsic::dbg_label:
  case Intrinsic::dbg_value:
  case Intrinsic::exp:
  case Intrinsic::exp2:
  case Intrinsic::expect:
  case Intrinsic::experimental_noalias_scope_decl:
  case Intrinsic::fabs:
  case Intrinsic::floor:
  case Intrinsic::fma:
  case Intrinsic::fmuladd:
  case Intrinsic::fshl:
  case Intrinsic::fshr:
  case Intrinsic::is_fpclass:
  case Intrinsic::lifetime_end:
  case Intrinsic::lifetime_start:
  case Intrinsic::log:
  case Intrinsic::log2:
  case Intrinsic::maximum:
  case Intrinsic::maximumnum:
  case Intrinsic::maxnum:
  case Intrinsic::memcpy:
  case Intrinsic::memmove:
  case Intrinsic::memset:
  case Intrinsic::minimum:
  case Intrinsic::minimumnum:
  case Intrinsic::minnum:
  case Intrinsic::nearbyint:
  case Intrinsic::pow:
  case Intrinsic::rint:
  case Intrinsic::round:
  case Intrinsic::roundeven:
  case Intrinsic::sadd_sat:
  case Intrinsic::sadd_with_overflow:
  case Intrinsic::sin:
  case Intrinsic::smax:
  case Intrinsic::smin:
  case Intrinsic::smul_with_overflow:
  case Intrinsic::sqrt:
  case Intrinsic::ssub_sat:
  case Intrinsic::ssub_with_overflow:
  case Intrinsic::tanh:
  case Intrinsic::trunc:
  case Intrinsic::uadd_sat:
  case Intrinsic::uadd_with_overflow:
  case Intrinsic::umax:
  case Intrinsic::umin:
  case Intrinsic::umul_with_overflow:
  case Intrinsic::usub_sat:
  case Intrinsic::usub_with_overflow:
  case Intrinsic::vector_reduce_add:
  case Intrinsic::vector_reduce_fadd:
  case Intrinsic::vector_reduce_fmax:
  case Intrinsic::vector_reduce_fmin:
  case Intrinsic::vector_reduce_fmul:
  case Intrinsic::vector_reduce_or:
    return true;
  default:
    return false;
  }
}

namespace {
/// Writes calls of handlers into one function.
class HandlerCalls {
public:
  explicit HandlerCalls(Function &function)
      : function(function), context(function.getContext()) {}

  /// Puts a call of `handler` with `arguments` before `at`; returns its results
  /// as `type`, which may be void or a structure.
  Value *emit(Instruction *at, Handler handler, ArrayRef<Value *> arguments,
              Type *type, uint32_t site) {
    IRBuilder<> builder(at);
    Type *i64 = builder.getInt64Ty();
    SmallVector<Type *> parts;
    if (auto *structure = dyn_cast<StructType>(type))
      parts.append(structure->element_begin(), structure->element_end());
    else if (!type->isVoidTy())
      parts.push_back(type);

    Value *argumentSlots =
        slots(argumentBuffer, arguments.size(), numArguments);
    Value *resultSlots = slots(resultBuffer, parts.size(), numResults);
    for (auto [i, argument] : enumerate(arguments))
      builder.CreateStore(widen(builder, argument),
                          builder.CreateConstGEP1_32(i64, argumentSlots, i));
    auto *signature = FunctionType::get(
        builder.getVoidTy(),
        {builder.getPtrTy(), builder.getPtrTy(), builder.getInt32Ty()}, false);
    Value *callee = builder.CreateIntToPtr(
        builder.getInt64(reinterpret_cast<uintptr_t>(handler)),
        builder.getPtrTy());
    builder.CreateCall(signature, callee,
                       {argumentSlots, resultSlots, builder.getInt32(site)});

    if (parts.empty())
      return nullptr;
    SmallVector<Value *> values;
    for (auto [i, part] : enumerate(parts)) {
      Value *bits = builder.CreateLoad(
          i64, builder.CreateConstGEP1_32(i64, resultSlots, i));
      values.push_back(narrow(builder, bits, part));
    }
    if (!type->isStructTy())
      return values.front();
    Value *result = PoisonValue::get(type);
    for (auto [i, value] : enumerate(values))
      result = builder.CreateInsertValue(result, value, i);
    return result;
  }

private:
  /// The buffer, one for all calls of the function, made larger as needed.
  Value *slots(AllocaInst *&buffer, size_t needed, size_t &have) {
    IRBuilder<> builder(&function.getEntryBlock(),
                        function.getEntryBlock().begin());
    if (!buffer)
      buffer = builder.CreateAlloca(ArrayType::get(builder.getInt64Ty(), 1));
    have = std::max(have, needed);
    buffer->setAllocatedType(
        ArrayType::get(builder.getInt64Ty(), std::max<size_t>(have, 1)));
    return buffer;
  }

  static Value *widen(IRBuilder<> &builder, Value *value) {
    Type *type = value->getType();
    if (type->isPointerTy())
      return builder.CreatePtrToInt(value, builder.getInt64Ty());
    if (!type->isIntegerTy())
      value = builder.CreateBitCast(
          value, builder.getIntNTy(type->getPrimitiveSizeInBits()));
    return builder.CreateZExt(value, builder.getInt64Ty());
  }

  static Value *narrow(IRBuilder<> &builder, Value *bits, Type *type) {
    if (type->isPointerTy())
      return builder.CreateIntToPtr(bits, type);
    if (type->isIntegerTy())
      return builder.CreateTrunc(bits, type);
    return builder.CreateBitCast(
        builder.CreateTrunc(bits,
                            builder.getIntNTy(type->getPrimitiveSizeInBits())),
        type);
  }

  Function &function;
  LLVMContext &context;
  AllocaInst *argumentBuffer = nullptr, *resultBuffer = nullptr;
  size_t numArguments = 0, numResults = 0;
};
} // namespace

/// Operands and results have to fit 64 bits each.
static bool fitsSlots(const CallInst &call) {
  auto fits = [](Type *type) {
    return type->isPointerTy() || (type->getPrimitiveSizeInBits() > 0 &&
                                   type->getPrimitiveSizeInBits() <= 64);
  };
  for (const Use &argument : call.args())
    if (!fits(argument->getType()))
      return false;
  Type *type = call.getType();
  if (auto *structure = dyn_cast<StructType>(type))
    return llvm::all_of(structure->elements(), fits);
  return type->isVoidTy() || fits(type);
}

static bool replaceAsm(CallInst &call, uint32_t site, HandlerCalls &handlers,
                       AsmTable &table, std::string &problem) {
  AsmCall parsed;
  if (!parseAsm(call, table, parsed, problem))
    return false;
  IRBuilder<> builder(&call);
  Value *result = nullptr;
  if (parsed.handler) {
    SmallVector<Value *> arguments;
    if (parsed.facts)
      arguments.push_back(
          builder.getInt64(reinterpret_cast<uintptr_t>(parsed.facts)));
    for (uint64_t literal : parsed.literals)
      arguments.push_back(builder.getInt64(literal));
    for (unsigned operand : parsed.operands)
      arguments.push_back(call.getArgOperand(operand));
    Type *type = parsed.forwards.empty() ? call.getType()
                                         : Type::getVoidTy(call.getContext());
    result = handlers.emit(&call, parsed.handler, arguments, type, site);
  }
  if (!parsed.forwards.empty()) {
    if (call.getType()->isStructTy()) {
      result = PoisonValue::get(call.getType());
      for (auto [i, operand] : enumerate(parsed.forwards))
        result =
            builder.CreateInsertValue(result, call.getArgOperand(operand), i);
    } else {
      result = call.getArgOperand(parsed.forwards.front());
    }
  }
  if (result)
    call.replaceAllUsesWith(result);
  call.eraseFromParent();
  return true;
}

bool dsv2::emulator::replaceIntrinsics(llvm::Module &module,
                                       const SiteMap &sites, AsmTable &table,
                                       std::string &error) {
  std::set<std::string> problems;
  for (Function &function : module) {
    HandlerCalls handlers(function);
    for (Instruction &instruction :
         make_early_inc_range(instructions(function))) {
      auto *call = dyn_cast<CallInst>(&instruction);
      if (!call || !sites.count(call))
        continue;
      uint32_t site = sites.lookup(call);
      if (call->isInlineAsm()) {
        std::string problem;
        if (!replaceAsm(*call, site, handlers, table, problem))
          problems.insert(problem);
        continue;
      }
      Function *callee = call->getCalledFunction();
      if (!callee) {
        problems.insert("call through a pointer in function '" +
                        function.getName().str() + "'");
        continue;
      }
      if (!callee->isDeclaration())
        continue;
      Intrinsic::ID id = callee->getIntrinsicID();
      if (isOrdinaryIntrinsic(id))
        continue;
      // Some are the same for all types of an overload, some are not.
      Handler handler = findIntrinsic(callee->getName());
      if (!handler && id != Intrinsic::not_intrinsic)
        handler = findIntrinsic(Intrinsic::getBaseName(id));
      if (!handler || !fitsSlots(*call)) {
        problems.insert((id ? "intrinsic '" : "external function '") +
                        callee->getName().str() + "'");
        continue;
      }
      SmallVector<Value *> arguments(call->args());
      Value *result =
          handlers.emit(call, handler, arguments, call->getType(), site);
      if (result)
        call->replaceAllUsesWith(result);
      call->eraseFromParent();
    }
  }
  for (const std::string &problem : problems)
    error += (error.empty() ? "" : "; ") + problem;
  return problems.empty();
}

//===----------------------------------------------------------------------===//
// Entries
//===----------------------------------------------------------------------===//

Function *dsv2::emulator::addEntry(Function &kernel,
                                   const std::vector<bool> &byReference) {
  llvm::Module &module = *kernel.getParent();
  IRBuilder<> builder(module.getContext());
  auto *entry = Function::Create(
      FunctionType::get(builder.getVoidTy(), {builder.getPtrTy()}, false),
      Function::ExternalLinkage, entryPrefix + kernel.getName(), module);
  entry->addFnAttr(Attribute::NoUnwind);
  builder.SetInsertPoint(BasicBlock::Create(module.getContext(), "", entry));
  SmallVector<Value *> arguments;
  for (Argument &argument : kernel.args()) {
    Value *value = builder.CreateLoad(
        builder.getPtrTy(),
        builder.CreateConstGEP1_32(builder.getPtrTy(), entry->getArg(0),
                                   argument.getArgNo()));
    if (!byReference[argument.getArgNo()])
      value = builder.CreateLoad(argument.getType(), value);
    else if (argument.getType() != value->getType())
      value = builder.CreateAddrSpaceCast(value, argument.getType());
    arguments.push_back(value);
  }
  builder.CreateCall(&kernel, arguments);
  builder.CreateRetVoid();
  return entry;
}
