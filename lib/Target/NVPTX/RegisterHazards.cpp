//===- RegisterHazards.cpp - operands that are written too early ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/NVPTX/RegisterHazards.h"

#include "dsv2/Target/NVPTX/InlineAsm.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/CFG.h"
#include "llvm/IR/DebugInfoMetadata.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/IntrinsicsNVPTX.h"
#include "llvm/IR/Module.h"

using namespace mlir::dsv2;
using namespace llvm;

static std::optional<nvptx::AsmStatement>
getStatement(const Instruction &instruction) {
  auto *call = dyn_cast<CallInst>(&instruction);
  if (!call || !call->isInlineAsm())
    return std::nullopt;
  auto *text = cast<InlineAsm>(call->getCalledOperand());
  return nvptx::parseAsm(text->getAsmString(), text->getConstraintString());
}

/// The registers of the left operand of a product, which PTX lists in braces
/// behind those of the sums; none if `call` is none or has it in shared memory.
/// Reads the text, so that it knows other forms than those of InlineAsm.h too.
static SmallVector<Value *, 4> getLeftRegisters(const CallInst &call) {
  SmallVector<Value *, 4> registers;
  auto *text = dyn_cast<InlineAsm>(call.getCalledOperand());
  if (!text)
    return registers;
  StringRef rest = text->getAsmString();
  size_t begin = rest.find("wgmma.mma_async");
  if (begin == StringRef::npos)
    return registers;
  rest = rest.substr(begin).split('}').second.ltrim(", ");
  if (!rest.consume_front("{"))
    return registers;
  unsigned results = 0;
  for (const InlineAsm::ConstraintInfo &one : text->ParseConstraints())
    results += one.Type == InlineAsm::isOutput;
  for (StringRef name : split(rest.split('}').first, ',')) {
    unsigned number = 0;
    name = name.trim();
    if (name.consume_front("$") && !name.getAsInteger(10, number) &&
        number >= results && number - results < call.arg_size())
      registers.push_back(call.getArgOperand(number - results));
  }
  return registers;
}

/// The most groups that a wait leaves under way, if `instruction` is one.
static std::optional<int64_t> getPending(const Instruction &instruction) {
  if (auto *intrinsic = dyn_cast<IntrinsicInst>(&instruction)) {
    if (intrinsic->getIntrinsicID() !=
        Intrinsic::nvvm_wgmma_wait_group_sync_aligned)
      return std::nullopt;
    return cast<ConstantInt>(intrinsic->getArgOperand(0))->getSExtValue();
  }
  auto statement = getStatement(instruction);
  if (!statement || statement->kind != nvptx::AsmKind::WgmmaWait)
    return std::nullopt;
  return statement->pending;
}

/// The instruction that puts a value into a register, or nothing for what is
/// there from the start. Fences return what they are given in the same
/// register.
static const Instruction *getWriter(const Value *value) {
  while (true) {
    if (auto *cast = dyn_cast<BitCastInst>(value)) {
      value = cast->getOperand(0);
      continue;
    }
    if (auto *extract = dyn_cast<ExtractValueInst>(value)) {
      auto *source = dyn_cast<CallInst>(extract->getAggregateOperand());
      auto statement = source ? getStatement(*source) : std::nullopt;
      if (statement && statement->kind == nvptx::AsmKind::WgmmaFence) {
        value = source->getArgOperand(extract->getIndices().front());
        continue;
      }
    } else if (auto *call = dyn_cast<CallInst>(value)) {
      // The fence of a single register.
      auto statement = getStatement(*call);
      if (statement && statement->kind == nvptx::AsmKind::WgmmaFence) {
        value = call->getArgOperand(0);
        continue;
      }
    }
    return dyn_cast<Instruction>(value);
  }
}

namespace {
/// Follows the products that are under way through one kernel.
class HazardSearch {
public:
  explicit HazardSearch(const Function &function) {
    for (const BasicBlock &block : function)
      for (const Instruction &instruction : block) {
        if (auto pending = getPending(instruction))
          most = std::max(most, *pending);
        if (auto *call = dyn_cast<CallInst>(&instruction))
          for (Value *value : getLeftRegisters(*call))
            if (const Instruction *writer = getWriter(value))
              readers[writer].insert(call);
      }
    if (!readers.empty())
      search(function);
  }

  /// Instructions that write too early, in their order.
  SetVector<const Instruction *> found;

private:
  /// Products under way that read registers, and how many groups were closed
  /// behind each: kOpen while its own is not.
  using State = MapVector<const CallInst *, int64_t>;
  static constexpr int64_t kOpen = -1;

  void search(const Function &function) {
    SetVector<const BasicBlock *> work;
    work.insert(&function.getEntryBlock());
    DenseMap<const BasicBlock *, State> entries;
    entries[&function.getEntryBlock()];
    while (!work.empty()) {
      const BasicBlock *block = work.pop_back_val();
      State state = entries[block];
      for (const Instruction &instruction : *block)
        step(instruction, state);
      for (const BasicBlock *next : successors(block)) {
        auto [entry, isNew] = entries.try_emplace(next);
        bool changed = isNew;
        for (auto [product, age] : state) {
          auto [known, added] = entry->second.insert({product, age});
          if (added || age < known->second) {
            known->second = age;
            changed = true;
          }
        }
        if (changed)
          work.insert(next);
      }
    }
  }

  void step(const Instruction &instruction, State &state) {
    auto written = readers.find(&instruction);
    if (written != readers.end())
      for (const CallInst *product : written->second)
        if (state.contains(product))
          found.insert(&instruction);
    auto *intrinsic = dyn_cast<IntrinsicInst>(&instruction);
    if (intrinsic && intrinsic->getIntrinsicID() ==
                         Intrinsic::nvvm_wgmma_commit_group_sync_aligned) {
      // Beyond what any wait leaves nothing changes.
      for (auto &entry : state)
        entry.second = std::min(entry.second + 1, most);
      return;
    }
    if (auto pending = getPending(instruction)) {
      state.remove_if([&](auto &entry) { return entry.second >= *pending; });
      return;
    }
    if (auto *call = dyn_cast<CallInst>(&instruction))
      if (!getLeftRegisters(*call).empty())
        state[call] = kOpen;
  }

  /// The products that read what an instruction writes.
  DenseMap<const Instruction *, SmallSetVector<const CallInst *, 2>> readers;
  /// The most groups that a wait leaves under way.
  int64_t most = 0;
};
} // namespace

std::map<std::string, std::string>
mlir::dsv2::getRegisterHazards(const Module &module) {
  std::map<std::string, std::string> result;
  for (const Function &function : module) {
    if (function.getCallingConv() != CallingConv::PTX_Kernel)
      continue;
    auto found = HazardSearch(function).found.takeVector();
    if (found.empty())
      continue;
    std::string place;
    if (const DebugLoc &location = found.front()->getDebugLoc())
      place = ", the first by line " + std::to_string(location->getLine()) +
              " of " + location->getFilename().str();
    result[function.getName().str()] =
        "left operands of wgmma: expected a wgmma.wait_group for a product "
        "before the registers that it reads are written again, found " +
        std::to_string(found.size()) + " written without" + place;
  }
  return result;
}
