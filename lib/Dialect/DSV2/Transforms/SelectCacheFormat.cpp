//===- SelectCacheFormat.cpp - decide how the latent cache is stored ------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/Transforms/Passes.h"

#include "mlir/IR/AttrTypeSubElements.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_SELECTCACHEFORMATPASS
#include "dsv2/Dialect/DSV2/Transforms/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

namespace {
struct SelectCacheFormat
    : public mlir::dsv2::impl::SelectCacheFormatPassBase<SelectCacheFormat> {
  using SelectCacheFormatPassBase::SelectCacheFormatPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    Builder b(&getContext());
    std::optional<CacheFormat> chosen = symbolizeCacheFormat(format);
    if (!chosen) {
      module.emitError() << "cache format: expected " << kCacheFormatNames
                         << ", got '" << format << "'";
      return signalPassFailure();
    }
    // Attention walks a page in blocks of up to 64 positions that must not
    // cross its end.
    if (page < 16 || page % 16 != 0 || page > 4096) {
      module.emitError() << "cache page: expected a multiple of 16 up to 4096, "
                            "got "
                         << page.getValue();
      return signalPassFailure();
    }
    setManifestEntry(module, "numerics", "kv_format", b.getStringAttr(format));
    AttrTypeReplacer replacer;
    replacer.addReplacement([&](LatentCacheType type) -> Type {
      return LatentCacheType::get(type.getContext(), type.getLatent(),
                                  type.getRope(), *chosen, page);
    });
    replacer.recursivelyReplaceElementsIn(module, /*replaceAttrs=*/true,
                                          /*replaceLocs=*/false,
                                          /*replaceTypes=*/true);
  }
};
} // namespace
