//===- ManifestFacts.cpp - what a module's manifest says ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ManifestFacts.h"

#include "dsv2/Support/Version.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace mlir::dsv2;

DictionaryAttr mlir::dsv2::completeManifest(ModuleOp module) {
  auto facts = module->getAttrOfType<DictionaryAttr>(kManifestAttr);
  if (!facts) {
    module.emitError("expected a manifest from earlier stages, found none");
    return {};
  }
  Builder b(module.getContext());
  NamedAttrList manifest(facts);
  auto set = [&](StringRef key, const Twine &value) {
    manifest.set(key, b.getStringAttr(value));
  };
  set("format", "dsv2-artifact");
  manifest.set("version", b.getI64IntegerAttr(1));
  set("pipeline", "dsv2-to-target");
  set("compiler", "dsv2 " + getVersion());

  SmallVector<Attribute> entries;
  for (auto function : module.getOps<LLVM::LLVMFuncOp>()) {
    auto entry = function->getAttrOfType<StringAttr>(kEntryAttr);
    StringRef name = function.getName();
    // The C wrapper inherits the attributes of what it wraps.
    if (!entry || name.starts_with("_mlir_ciface_"))
      continue;
    if (StringRef what = entry.getValue();
        what == "copy_pages" || what == kSampleEntry) {
      set(what, "_mlir_ciface_" + name);
      continue;
    }
    StringRef form;
    if (auto attr = function->getAttrOfType<StringAttr>(kFormAttr))
      form = attr.getValue();
    auto text = [&](StringRef key, const Twine &value) {
      return b.getNamedAttr(key, b.getStringAttr(value));
    };
    SmallVector<NamedAttribute> facts = {
        text("name", entry.getValue()),
        text("symbol", "_mlir_ciface_" + name),
        text("workspace", name + "_workspace"),
        text("form", form),
    };
    if (auto capacity = function->getAttrOfType<IntegerAttr>(kCapacityAttr))
      facts.push_back(b.getNamedAttr("capacity", capacity));
    entries.push_back(b.getDictionaryAttr(facts));
  }
  manifest.set("entries", b.getArrayAttr(entries));
  if (auto attr = module->getAttrOfType<IntegerAttr>(kPrefillMinTokensAttr))
    manifest.set("prefill_min_tokens", attr);
  // Expanded attention of a GPU has keys and values of all positions in the
  // workspace.
  if (manifest.get("device"))
    manifest.set("prefill_key_rows", b.getBoolAttr(true));
  return manifest.getDictionary(module.getContext());
}

void mlir::dsv2::stripFacts(ModuleOp module) {
  auto strip = [](Operation *op) {
    SmallVector<StringAttr> names;
    for (NamedAttribute attr : op->getDiscardableAttrs())
      if (attr.getName().getValue().starts_with("dsv2."))
        names.push_back(attr.getName());
    for (StringAttr name : names)
      op->removeDiscardableAttr(name);
  };
  strip(module);
  for (auto function : module.getOps<LLVM::LLVMFuncOp>()) {
    strip(function);
    for (unsigned i = 0; i < function.getNumArguments(); ++i) {
      function.removeArgAttr(i, kSizeAttr);
      function.removeArgAttr(i, "bufferization.writable");
    }
  }
}
