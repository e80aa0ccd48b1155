//===- Manifest.cpp - facts for the artifact's manifest -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/IR/Builders.h"

using namespace mlir;

void mlir::dsv2::setManifestEntry(ModuleOp module, StringRef key,
                                  Attribute value) {
  NamedAttrList manifest(module->getAttrOfType<DictionaryAttr>(kManifestAttr));
  manifest.set(key, value);
  module->setAttr(kManifestAttr, manifest.getDictionary(module.getContext()));
}

void mlir::dsv2::setManifestEntry(ModuleOp module, StringRef group,
                                  StringRef key, Attribute value) {
  NamedAttrList entries;
  if (auto manifest = module->getAttrOfType<DictionaryAttr>(kManifestAttr))
    if (auto old = manifest.getAs<DictionaryAttr>(group))
      entries.assign(old.begin(), old.end());
  entries.set(key, value);
  setManifestEntry(module, group, entries.getDictionary(module.getContext()));
}
