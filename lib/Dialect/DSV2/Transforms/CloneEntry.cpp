//===- CloneEntry.cpp - another instance of a step function ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CloneEntry.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace mlir::dsv2;

func::FuncOp
mlir::dsv2::cloneEntry(func::FuncOp entry, SymbolTable &symbols,
                       StringRef entryName, StringRef suffix,
                       llvm::function_ref<void(func::FuncOp)> edit) {
  llvm::StringMap<func::FuncOp> clones;
  func::FuncOp clone = entry.clone();
  clone.setName(("step_" + entryName).str());
  clone->setAttr(kEntryAttr, StringAttr::get(entry.getContext(), entryName));
  edit(clone);
  symbols.insert(clone, Block::iterator(entry));
  clone.walk([&](func::CallOp call) {
    auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
    if (!callee)
      return;
    func::FuncOp &copy = clones[call.getCallee()];
    if (!copy) {
      copy = callee.clone();
      copy.setName((callee.getName() + "_" + suffix).str());
      edit(copy);
      symbols.insert(copy, Block::iterator(entry));
    }
    call.setCallee(copy.getName());
  });
  return clone;
}
