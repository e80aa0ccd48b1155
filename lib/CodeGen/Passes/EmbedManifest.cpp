//===- EmbedManifest.cpp - the manifest as data of the artifact -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ManifestFacts.h"
#include "dsv2/CodeGen/Passes.h"

#include "dsv2rt/abi.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/SHA256.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_EMBEDMANIFESTPASS
#include "dsv2/CodeGen/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

static llvm::json::Value toJSON(Attribute attr) {
  return llvm::TypeSwitch<Attribute, llvm::json::Value>(attr)
      .Case([](DictionaryAttr dictionary) {
        llvm::json::Object object;
        for (NamedAttribute entry : dictionary)
          object[entry.getName().str()] = toJSON(entry.getValue());
        return llvm::json::Value(std::move(object));
      })
      .Case([](ArrayAttr array) {
        llvm::json::Array values;
        for (Attribute element : array)
          values.push_back(toJSON(element));
        return llvm::json::Value(std::move(values));
      })
      .Case([](DenseI64ArrayAttr array) {
        return llvm::json::Value(llvm::json::Array(array.asArrayRef()));
      })
      .Case([](BoolAttr value) { return llvm::json::Value(value.getValue()); })
      .Case([](IntegerAttr value) { return llvm::json::Value(value.getInt()); })
      .Case([](FloatAttr value) {
        return llvm::json::Value(value.getValueAsDouble());
      })
      .Case([](StringAttr value) { return llvm::json::Value(value.str()); })
      .Default([](Attribute) { return llvm::json::Value(nullptr); });
}

namespace {
struct EmbedManifest
    : public mlir::dsv2::impl::EmbedManifestPassBase<EmbedManifest> {
  using EmbedManifestPassBase::EmbedManifestPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    DictionaryAttr facts = completeManifest(module);
    if (!facts)
      return signalPassFailure();
    llvm::json::Value value = toJSON(facts);
    llvm::json::Object &manifest = *value.getAsObject();

    std::string text;
    llvm::raw_string_ostream(text) << value;
    manifest["identity"] =
        llvm::toHex(llvm::SHA256::hash(llvm::arrayRefFromStringRef(text)),
                    /*LowerCase=*/true);
    text.clear();
    llvm::raw_string_ostream(text) << value;

    ImplicitLocOpBuilder b(module.getLoc(), module.getContext());
    b.setInsertionPointToStart(module.getBody());
    auto bytes = LLVM::LLVMArrayType::get(b.getI8Type(), text.size());
    auto global = [&](Type type, StringRef name, Attribute init) {
      LLVM::GlobalOp::create(b, type, /*isConstant=*/true,
                             LLVM::Linkage::External, name, init);
    };
    global(b.getI32Type(), DSV2RT_SYMBOL_ABI_VERSION,
           b.getI32IntegerAttr(DSV2RT_ABI_VERSION));
    global(b.getI64Type(), DSV2RT_SYMBOL_MANIFEST_SIZE,
           b.getI64IntegerAttr(text.size()));
    global(bytes, DSV2RT_SYMBOL_MANIFEST, b.getStringAttr(text));

    stripFacts(module);
  }
};
} // namespace
