//===- CacheFormat.h - how a row of the latent cache is stored --*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A row is `[latent | rope key]` of one position. In f32 and bf16 it is those
// elements. Otherwise it is bytes, and each part is cut into blocks that share
// a scale:
//
//   [bits of the latent | bits of the rope key | scales of each, in this order]
//
// An element is `q * scale`. Its bits lie with those of its unit, 32 elements;
// blocks divide units, and each part is padded with zeros to whole units. Of
// `bits` bits
//   8: byte e of the unit is q of element e;
//   5: the lower 4 bits of q + 16, in 16 bytes: of element e in byte e % 16,
//      below those of e + 16; then the highest bits, in 4 bytes: of element e
//      in bit e % 8 of byte e / 8,
// so that a vector of elements is a run of bytes, all shifted alike, and a run
// of bits, the mask of a select.
//
//   part        q8, and the rope key of q6    latent of q6
//   bits        8, -127 .. 127                5, -16 .. 15
//   block       32                            16
//   scale       bf16                          8 bits
//   is          max|x| / 127 to nearest       max|x| / 15.5 up
//
// The scale of 8 bits is a code from 0 to 254 that stands for
// 2^(code / 8 - 20) * (1 + (code % 8) / 8.0), 9.5e-7 to 3584; 255 is NaN. It is
// rounded up so that the largest element is reached.
//
// The published shapes, 512 and 64, take 612 bytes in q8 and 420 in q6: 8.5 and
// 5.83 bits an element. In q6 the rope key has more bits than the latent, as
// errors in it cost far more (docs/NumericPolicy.md).
//
// A block with a value that is not finite, or that no scale reaches, has a
// scale that is not finite, and reads as NaN.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_SUPPORT_CACHEFORMAT_H
#define DSV2_SUPPORT_CACHEFORMAT_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <optional>

namespace mlir::dsv2 {

enum class CacheFormat { F32, BF16, Q8, Q6 };

/// All formats, widest first.
llvm::ArrayRef<CacheFormat> cacheFormats();
/// The spelling in IR and on command lines.
llvm::StringRef stringifyCacheFormat(CacheFormat format);
std::optional<CacheFormat> symbolizeCacheFormat(llvm::StringRef name);
/// "f32, bf16, q8 or q6", for messages.
inline constexpr llvm::StringLiteral kCacheFormatNames = "f32, bf16, q8 or q6";

inline bool isQuantized(CacheFormat format) {
  return format == CacheFormat::Q8 || format == CacheFormat::Q6;
}

/// The latent or the rope key of a row in blocks.
struct CachePart {
  /// Elements, without padding.
  int64_t width = 0;
  int64_t bits = 0;
  int64_t block = 0;
  int64_t unit = 0;
  int64_t scaleBytes = 0;
  /// max|x| is this many scales.
  float divisor = 0;
  /// Where in the row its elements and scales start.
  int64_t firstByte = 0;
  int64_t firstScale = 0;

  int64_t units() const { return (width + unit - 1) / unit; }
  int64_t unitBytes() const { return unit * bits / 8; }
  int64_t blocks() const { return units() * unit / block; }
};

/// A row of the cache. Its sizes do not overflow for up to 2^28 elements.
struct CacheRow {
  CacheRow(CacheFormat format, int64_t latent, int64_t rope);

  /// Empty where the format has no blocks.
  CachePart latent, rope;
  /// Elements of the memory that holds a row, each of f32, bf16 or i8.
  int64_t elements;
  int64_t bytes;
};

/// Codes of scales of 8 bits: that of NaN, the last finite one, and what has to
/// be added to a code to make it the bits of a float, 20 bits further down.
inline constexpr int kCacheScaleNaN = 255;
inline constexpr int kCacheLastScale = 254;
inline constexpr int kCacheScaleBias = (127 - 20) << 3;

} // namespace mlir::dsv2

#endif // DSV2_SUPPORT_CACHEFORMAT_H
