//===- Types.cpp - types of the dsv2 dialect ------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::dsv2;

namespace mlir {
/// Parses the name of a cache format.
template <> struct FieldParser<CacheFormat> {
  static FailureOr<CacheFormat> parse(AsmParser &parser) {
    SMLoc loc = parser.getCurrentLocation();
    StringRef name;
    if (parser.parseKeyword(&name))
      return failure();
    // latent_cache_c3
    std::optional<CacheFormat> format = symbolizeCacheFormat(name);
    if (!format)
      return parser.emitError(loc, "expected 'format' to be ")
             << kCacheFormatNames << ", got '" << name << "'";
    return *format;
  }
};
} // namespace mlir

namespace mlir::dsv2 {
/// For the generated printer, which looks here for it.
static raw_ostream &operator<<(raw_ostream &os, CacheFormat format) {
  return os << stringifyCacheFormat(format);
}
} // namespace mlir::dsv2

#define GET_TYPEDEF_CLASSES
#include "dsv2/Dialect/DSV2/IR/DSV2Types.cpp.inc"

void DSV2Dialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dsv2/Dialect/DSV2/IR/DSV2Types.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// LatentCacheType
//===----------------------------------------------------------------------===//

MemRefType LatentCacheType::getMemoryType() const {
  Builder b(getContext());
  Type element = b.getI8Type();
  if (getFormat() == CacheFormat::F32)
    element = b.getF32Type();
  else if (getFormat() == CacheFormat::BF16)
    element = b.getBF16Type();
  return MemRefType::get({ShapedType::kDynamic, ShapedType::kDynamic, getPage(),
                          getRow().elements},
                         element);
}

LogicalResult
LatentCacheType::verify(function_ref<InFlightDiagnostic()> emitError,
                        int64_t latent, int64_t rope, CacheFormat format,
                        int64_t page) {
  // latent_cache_c1
  if (latent < 1)
    return emitError() << "expected 'latent' to be positive, got " << latent;
  // latent_cache_c2
  if (rope < 2 || rope % 2 != 0)
    return emitError() << "expected 'rope' to be positive and even, got "
                       << rope;
  // latent_cache_c4
  if (page < 1)
    return emitError() << "expected 'page' to be positive, got " << page;
  // latent_cache_c5: byte offsets inside a page fit 32 bits.
  constexpr int64_t kMaxElements = int64_t(1) << 28;
  if (latent > kMaxElements || rope > kMaxElements || page > kMaxElements ||
      latent + rope > kMaxElements / page)
    return emitError() << "expected a page of at most " << kMaxElements
                       << " elements, got " << page << " rows of " << latent
                       << " + " << rope;
  // Blocks of few elements are mostly padding.
  constexpr int64_t kMaxBytes = int64_t(1) << 30;
  int64_t rowBytes = CacheRow(format, latent, rope).bytes;
  if (rowBytes > kMaxBytes / page)
    return emitError() << "expected a page of at most " << kMaxBytes
                       << " bytes, got " << page << " rows of " << rowBytes;
  return success();
}
