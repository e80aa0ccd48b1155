//===- Attrs.cpp - attributes of the dsv2 dialect -------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "dsv2/Support/RopeConfig.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;

#include "dsv2/Dialect/DSV2/IR/DSV2Enums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "dsv2/Dialect/DSV2/IR/DSV2Attrs.cpp.inc"

void DSV2Dialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dsv2/Dialect/DSV2/IR/DSV2Attrs.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// YarnAttr
//===----------------------------------------------------------------------===//

/// Parses `keyword = ` and then a value with `parseValue`.
template <typename ParseValue>
static ParseResult parseField(AsmParser &parser, StringRef keyword,
                              ParseValue parseValue) {
  if (parser.parseKeyword(keyword) || parser.parseEqual())
    return failure();
  return parseValue();
}

static ParseResult parseField(AsmParser &parser, StringRef keyword,
                              double &value) {
  return parseField(parser, keyword, [&] { return parser.parseFloat(value); });
}

static ParseResult parseField(AsmParser &parser, StringRef keyword,
                              int64_t &value) {
  return parseField(parser, keyword,
                    [&] { return parser.parseInteger(value); });
}

Attribute YarnAttr::parse(AsmParser &parser, Type) {
  SMLoc loc = parser.getCurrentLocation();
  double factor, betaFast, betaSlow, mscale, mscaleAllDim;
  int64_t originalMax;
  if (parser.parseLess() || parseField(parser, "factor", factor) ||
      parser.parseComma() || parseField(parser, "original_max", originalMax) ||
      parser.parseComma() || parseField(parser, "beta_fast", betaFast) ||
      parser.parseComma() || parseField(parser, "beta_slow", betaSlow) ||
      parser.parseComma() || parseField(parser, "mscale", mscale) ||
      parser.parseComma() ||
      parseField(parser, "mscale_all_dim", mscaleAllDim) ||
      parser.parseGreater())
    return {};
  return parser.getChecked<YarnAttr>(loc, parser.getContext(), factor,
                                     originalMax, betaFast, betaSlow, mscale,
                                     mscaleAllDim);
}

void YarnAttr::print(AsmPrinter &printer) const {
  // The printer gives a double the shortest of its forms that reads back as
  // the same value.
  printer << "<factor = " << getFactor()
          << ", original_max = " << getOriginalMax()
          << ", beta_fast = " << getBetaFast()
          << ", beta_slow = " << getBetaSlow() << ", mscale = " << getMscale()
          << ", mscale_all_dim = " << getMscaleAllDim() << ">";
}

LogicalResult YarnAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                               ExactDouble factor, int64_t originalMax,
                               ExactDouble betaFast, ExactDouble betaSlow,
                               ExactDouble mscale, ExactDouble mscaleAllDim) {
  // yarn_c1
  if (!(std::isfinite(factor) && factor >= 1))
    return emitError() << "expected 'factor' to be finite and at least 1, got "
                       << factor;
  // yarn_c2
  if (originalMax < 1)
    return emitError() << "expected 'original_max' to be positive, got "
                       << originalMax;
  // yarn_c3
  if (!(std::isfinite(betaFast) && std::isfinite(betaSlow) && betaSlow > 0 &&
        betaFast >= betaSlow))
    return emitError() << "expected 'beta_fast' >= 'beta_slow' > 0, got "
                       << betaFast << " and " << betaSlow;
  // yarn_c4
  if (!(std::isfinite(mscale) && std::isfinite(mscaleAllDim) && mscale >= 0 &&
        mscaleAllDim >= 0))
    return emitError() << "expected 'mscale' and 'mscale_all_dim' to be finite "
                          "and not negative, got "
                       << mscale << " and " << mscaleAllDim;
  return success();
}

//===----------------------------------------------------------------------===//
// ShardAttr
//===----------------------------------------------------------------------===//

LogicalResult ShardAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                int64_t dim, int64_t extent, MeshAxis,
                                int64_t parts) {
  // shard_c1
  if (dim < 0)
    return emitError() << "expected 'dim' not to be negative, got " << dim;
  // shard_c2
  if (extent < 1 || parts < 1)
    return emitError() << "expected 'extent' and 'parts' to be positive, got "
                       << extent << " and " << parts;
  return success();
}

//===----------------------------------------------------------------------===//
// RopeAttr
//===----------------------------------------------------------------------===//

Attribute RopeAttr::parse(AsmParser &parser, Type) {
  SMLoc loc = parser.getCurrentLocation();
  int64_t dim;
  double theta;
  YarnAttr yarn;
  if (parser.parseLess() || parseField(parser, "dim", dim) ||
      parser.parseComma() || parseField(parser, "theta", theta))
    return {};
  if (succeeded(parser.parseOptionalComma())) {
    if (parseField(parser, "yarn", [&]() -> ParseResult {
          return parser.parseCustomAttributeWithFallback(yarn);
        }))
      return {};
  }
  if (parser.parseGreater())
    return {};
  return parser.getChecked<RopeAttr>(loc, parser.getContext(), dim, theta,
                                     yarn);
}

void RopeAttr::print(AsmPrinter &printer) const {
  printer << "<dim = " << getDim() << ", theta = " << getTheta();
  if (getYarn())
    printer << ", yarn = " << getYarn();
  printer << ">";
}

LogicalResult RopeAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                               int64_t dim, ExactDouble theta, YarnAttr yarn) {
  // rope_attr_c1
  if (dim < 2 || dim % 2 != 0)
    return emitError() << "expected 'dim' to be positive and even, got " << dim;
  // rope_attr_c2
  if (!(std::isfinite(theta) && theta > 1))
    return emitError() << "expected 'theta' to be finite and above 1, got "
                       << theta;
  return success();
}

static ::dsv2::RopeConfig getConfig(RopeAttr rope) {
  ::dsv2::RopeConfig config;
  config.theta = rope.getTheta();
  config.dim = rope.getDim();
  if (YarnAttr yarn = rope.getYarn()) {
    config.yarn.emplace();
    config.yarn->factor = yarn.getFactor();
    config.yarn->originalMaxPositionEmbeddings = yarn.getOriginalMax();
    config.yarn->betaFast = yarn.getBetaFast();
    config.yarn->betaSlow = yarn.getBetaSlow();
    config.yarn->mscale = yarn.getMscale();
    config.yarn->mscaleAllDim = yarn.getMscaleAllDim();
  }
  return config;
}

SmallVector<float> RopeAttr::getInverseFrequencies() const {
  std::vector<float> frequencies = getConfig(*this).inverseFrequencies();
  return SmallVector<float>(frequencies.begin(), frequencies.end());
}

double RopeAttr::getCosSinMultiplier() const {
  return getConfig(*this).cosSinMultiplier();
}

double RopeAttr::getSoftmaxScale(int64_t qkHeadDim) const {
  return getConfig(*this).softmaxScale(qkHeadDim);
}

//===----------------------------------------------------------------------===//
// PackedAttr
//===----------------------------------------------------------------------===//

LogicalResult PackedAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 PackOrder order, int64_t width,
                                 PackFormat format) {
  // packed_c1
  if (width < 1)
    return emitError() << "expected a positive panel width, got " << width;
  // packed_c2
  if (order == PackOrder::Dense && width != 1)
    return emitError() << "expected width 1 for 'dense', which has no panels, "
                          "got "
                       << width;
  // packed_c9
  bool ofBlocks =
      order == PackOrder::Rows || order == PackOrder::TransposedRows;
  if (ofBlocks && (width != 1 || format == PackFormat::Plain))
    return emitError() << "expected width 1 and a format in blocks for '"
                       << stringifyPackOrder(order) << "', got " << width
                       << " and '" << stringifyPackFormat(format) << "'";
  // packed_c10
  bool ofPanels = order == PackOrder::Panels ||
                  order == PackOrder::GatedPanels ||
                  order == PackOrder::TransposedPanels;
  if (ofPanels && format == PackFormat::FP8)
    return emitError() << "expected rows for the format 'fp8', got '"
                       << stringifyPackOrder(order) << "'";
  return success();
}

/// Number of trailing dimensions that `order` rearranges.
static int64_t getMatrixRank(PackOrder order) {
  switch (order) {
  case PackOrder::Dense:
    return 0;
  case PackOrder::Panels:
  case PackOrder::TransposedPanels:
  case PackOrder::Rows:
  case PackOrder::TransposedRows:
    return 2;
  case PackOrder::GatedPanels:
  case PackOrder::GatedRows:
    return 3;
  }
  llvm_unreachable("unknown pack order");
}

LogicalResult
PackedAttr::verifyEncoding(ArrayRef<int64_t> shape, Type elementType,
                           function_ref<InFlightDiagnostic()> emitError) const {
  // The parser of tensor types asks even if it could not read the element type.
  // It has reported that, and will refuse the tensor.
  if (!elementType)
    return failure();
  PackOrder order = getOrder();
  int64_t matrixRank = getMatrixRank(order);
  // packed_c3
  if (static_cast<int64_t>(shape.size()) < matrixRank)
    return emitError() << "expected rank " << matrixRank << " or more for '"
                       << stringifyPackOrder(order) << "', got "
                       << shape.size();
  // packed_c4
  if (ShapedType::isDynamicShape(shape))
    return emitError() << "expected a static shape for a packed weight";
  // packed_c5
  if (isGated(order) && shape[shape.size() - 3] != 2)
    return emitError() << "expected the trailing shape [2, N, K] for '"
                       << stringifyPackOrder(order) << "', got "
                       << shape[shape.size() - 3] << " in place of 2";
  // packed_c6
  if (!elementType.isF32() && !elementType.isBF16())
    return emitError() << "expected f32 or bf16 elements for a packed weight, "
                          "got "
                       << elementType;
  // packed_c8
  if (getFormat() != PackFormat::Plain &&
      (!elementType.isF32() || shape.size() < 2))
    return emitError() << "expected a matrix of f32 elements for the format '"
                       << stringifyPackFormat(getFormat()) << "', got rank "
                       << shape.size() << " and " << elementType;
  // packed_c7: the padding to whole panels must not overflow.
  int64_t elements = 1;
  for (int64_t size : getStorageShape(shape))
    if (llvm::MulOverflow(elements, size, elements))
      return emitError()
             << "expected a packed weight of fewer than 2^63 elements";
  return success();
}

SmallVector<int64_t>
PackedAttr::getStorageShape(ArrayRef<int64_t> shape) const {
  int64_t width = getWidth();
  auto leading = [&](int64_t matrixRank) {
    return SmallVector<int64_t>(shape.drop_back(matrixRank));
  };
  auto numPanels = [&](int64_t size) {
    return size / width + (size % width != 0);
  };
  // One k after the other, or one block of them.
  const BlockFormat *blocks = getBlocks();
  int64_t rowBytes = blocks ? blocks->panelBytes(width) : width;
  auto steps = [&](int64_t k) { return blocks ? blocks->blocks(k) : k; };
  auto rowSize = [&](int64_t k) { return blocks ? blocks->rowBytes(k) : k; };
  switch (getOrder()) {
  case PackOrder::Dense:
    return SmallVector<int64_t>(shape);
  case PackOrder::Panels: {
    SmallVector<int64_t> storage = leading(2);
    int64_t n = shape[shape.size() - 2], k = shape.back();
    storage.append({numPanels(n), steps(k), rowBytes});
    return storage;
  }
  case PackOrder::GatedPanels: {
    SmallVector<int64_t> storage = leading(3);
    int64_t n = shape[shape.size() - 2], k = shape.back();
    storage.append({numPanels(n), 2, steps(k), rowBytes});
    return storage;
  }
  case PackOrder::GatedRows: {
    SmallVector<int64_t> storage = leading(3);
    int64_t n = shape[shape.size() - 2], k = shape.back();
    storage.append({numPanels(n), 2, width, rowSize(k)});
    return storage;
  }
  case PackOrder::Rows: {
    SmallVector<int64_t> storage = leading(2);
    storage.append({shape[shape.size() - 2], rowSize(shape.back())});
    return storage;
  }
  case PackOrder::TransposedRows: {
    SmallVector<int64_t> storage = leading(2);
    storage.append({shape.back(), rowSize(shape[shape.size() - 2])});
    return storage;
  }
  case PackOrder::TransposedPanels: {
    SmallVector<int64_t> storage = leading(2);
    int64_t n = shape[shape.size() - 2], k = shape.back();
    storage.append({numPanels(k), steps(n), rowBytes});
    return storage;
  }
  }
  llvm_unreachable("unknown pack order");
}

Type PackedAttr::getStorageElementType(Type element) const {
  return getBlocks() ? IntegerType::get(getContext(), 8) : element;
}

const BlockFormat *PackedAttr::getBlocks() const {
  return getOrder() == PackOrder::Dense ? nullptr : getBlockFormat(getFormat());
}

const BlockFormat *mlir::dsv2::getBlockFormat(PackFormat format) {
  switch (format) {
  case PackFormat::Plain:
    return nullptr;
  case PackFormat::Q8:
    return &kQ8Format;
  case PackFormat::Q4:
    return &kQ4Format;
  case PackFormat::FP8:
    return &kFP8Format;
  }
  llvm_unreachable("unknown pack format");
}
