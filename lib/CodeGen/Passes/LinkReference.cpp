//===- LinkReference.cpp - the reference becomes part of the artifact -----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ManifestFacts.h"
#include "dsv2/CodeGen/Passes.h"
#include "dsv2/Target/Artifact.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_LINKREFERENCEPASS
#include "dsv2/CodeGen/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

namespace {
struct LinkReference
    : public mlir::dsv2::impl::LinkReferencePassBase<LinkReference> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SymbolTable symbols(module);
    auto reference = symbols.lookup<ModuleOp>(kReferenceModule);
    if (!reference)
      return;
    DictionaryAttr manifest = completeManifest(reference);
    if (!manifest)
      return signalPassFailure();
    NamedAttrList entries(manifest);
    auto own = module->getAttrOfType<DictionaryAttr>(kManifestAttr);
    if (Attribute convert = own ? own.get("convert") : Attribute())
      entries.set("convert", convert);
    setManifestEntry(module, kReferenceModule,
                     entries.getDictionary(&getContext()));
    stripFacts(reference);

    SmallVector<Operation *> definitions;
    for (Operation &op : *reference.getBody()) {
      auto symbol = dyn_cast<SymbolOpInterface>(op);
      if (!symbol)
        continue;
      Operation *other = symbols.lookup(symbol.getName());
      if (!other) {
        definitions.push_back(&op);
        continue;
      }
      // Both may use the same function of the runtime or the C library.
      auto function = dyn_cast<LLVM::LLVMFuncOp>(op);
      auto known = dyn_cast<LLVM::LLVMFuncOp>(other);
      if (!function || !known || !function.isExternal() ||
          !known.isExternal() ||
          function.getFunctionType() != known.getFunctionType()) {
        op.emitError() << "'" << symbol.getName()
                       << "' of the reference is defined twice";
        return signalPassFailure();
      }
    }
    auto mark = ArrayAttr::get(
        &getContext(), StringAttr::get(&getContext(), kReferenceCodeAttr));
    for (Operation *op : definitions) {
      op->remove();
      symbols.insert(op);
      if (auto function = dyn_cast<LLVM::LLVMFuncOp>(op);
          function && !function.isExternal())
        function.setPassthroughAttr(mark);
    }
    symbols.erase(reference);
  }
};
} // namespace
