//===- BlockFormat.h - weights quantised in blocks --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block is a run of elements along a row of a weight that share one scale.
// The blocks of the NR rows of a panel that cover the same columns lie
// together: first their elements, in the order in which dot products of bytes
// read them, then their scales. One such panel block is `panelBytes(NR)` bytes:
//
//   q8: element (n, j), j < 32:  byte (j / 4) * 4 NR + 4 n + j % 4
//       scale of row n:          bfloat16 at byte 32 NR + 2 n
//   q4: element (n, j), j < 32:  byte (j / 8) * 4 NR + 4 n + j % 4, its lower
//                                half if j % 8 < 4, else its upper half
//       scale of row n:          byte 16 NR + n
//
// The scale of q4 is a sign, 4 bits of exponent and 3 of mantissa: the IEEE
// half with that sign, the exponent 16 higher and the mantissa, times 2^-14.
// That is
// +-2^-13 to +-3.5, and not finite with the highest exponent.
//
// Kernels for GPUs read blocks row by row. A row is `rowBytes(K)` bytes, a
// multiple of 16: groups of 64 bytes with elements, then the scales of all
// blocks as above, those of fp8 as of q8, then zeros. A group has 64 / 16 / 2 =
// 2 blocks of q8 or fp8, 4 of q4, filled up with blocks of zeros. Its piece i
// of 16 bytes holds elements 8 i to 8 i + 7 of each of its blocks: what one of
// the four threads loads that share a row of a tensor core's operand. Two
// neighbours lie 16 bits apart in a word, so that masks make a pair of bfloat16
// of them:
//
//   q8: element (b, j) of a group, byte 16 (j / 8) + 8 b + 4 (j / 4 % 2) +
//       {0, 2, 1, 3}[j % 4]: q itself, in two's complement
//   fp8: as q8, a float of 8 bits in place of q
//   q4: element (b, j) of a group, bits 4 (j / 2 % 4) + 16 (j % 2) and on of
//       the 32-bit word at byte 16 (j / 8) + 4 b: q + 8
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_SUPPORT_BLOCKFORMAT_H
#define DSV2_SUPPORT_BLOCKFORMAT_H

#include <cstdint>
#include <limits>

namespace mlir::dsv2 {

/// How one block is stored.
struct BlockFormat {
  /// Elements that share a scale; a row is padded with zeros to whole blocks.
  int64_t elements;
  /// Bits of one element.
  int64_t elementBits;
  int64_t scaleBytes;

  int64_t blocks(int64_t columns) const {
    return columns / elements + (columns % elements != 0);
  }
  /// Bytes of the block of each of `rows` rows.
  int64_t panelBytes(int64_t rows) const {
    return rows * (elements * elementBits / 8 + scaleBytes);
  }

  /// Bytes and blocks of a group of a row that GPUs read.
  static constexpr int64_t kGroupBytes = 64;
  int64_t groupElements() const { return kGroupBytes * 8 / elementBits; }
  int64_t groupBlocks() const { return groupElements() / elements; }
  int64_t groups(int64_t columns) const {
    return columns / groupElements() + (columns % groupElements() != 0);
  }
  /// Where the scales of such a row start, and its bytes. Rows that no memory
  /// holds have the largest number of bytes.
  int64_t scaleOffset(int64_t columns) const {
    return groups(columns) * kGroupBytes;
  }
  int64_t rowBytes(int64_t columns) const {
    constexpr int64_t most = std::numeric_limits<int64_t>::max();
    int64_t groupTotal = kGroupBytes + groupBlocks() * scaleBytes;
    if (groups(columns) > (most - 15) / groupTotal)
      return most;
    return (groups(columns) * groupTotal + 15) / 16 * 16;
  }
};

/// Bytes `q + 128` with q from -127 to 127, which stand for `q * scale`; 8.5
/// bits an element.
inline constexpr BlockFormat kQ8Format = {32, 8, 2};

/// Halves of bytes `q + 8` with q from -8 to 7, which stand for `q * scale`;
/// 4.25 bits an element. The scale has the sign that gives the element of
/// largest magnitude a negative q, as there is one more of those, and is the
/// one of least squared error among `kQ4Candidates` adjacent ones, the first of
/// which is the largest that is not above max|x| / `kQ4Divisor` (or the
/// smallest there is). A block with a value that is not finite, or that no
/// scale reaches, has the scale `kQ4NaN`.
inline constexpr BlockFormat kQ4Format = {32, 4, 1};
inline constexpr int kQ4Candidates = 5;
inline constexpr float kQ4Divisor = 9.0f;
inline constexpr int kQ4NaN = 0x7f;
/// The last code, sign apart, that is finite.
inline constexpr int kQ4LastCode = 0x77;

/// Floats of 8 bits, e4m3 (1 sign, 4 bits of exponent that count from 7, 3 of
/// mantissa; 0x7f is NaN, none is infinite), times a scale; 8.5 bits an
/// element. The scale is the smallest power of two, 2^-126 at least, by which
/// the block's largest magnitude divided is at most `kFP8Largest`, so that the
/// elements that come back are exact in bfloat16; NaN if one is not finite.
/// GPUs read it.
inline constexpr BlockFormat kFP8Format = {32, 8, 2};
inline constexpr float kFP8Largest = 448.0f;

/// Activations as they meet quantised weights: for each block of a row 32 bytes
/// q from -127 to 127, the scale as f32, and 4 bytes that take the offset of
/// the weights' bytes out of a dot product. They are -128 times the sum of the
/// q as i32; or, where the processor multiplies pairs of bytes and sums them as
/// words, -8 times the sums of the q whose j % 4 is below 2, and of the others,
/// as i16 both.
struct QuantizedActivation {
  static constexpr int64_t kScaleByte = 32;
  static constexpr int64_t kCorrectionByte = 36;
  static constexpr int64_t kBlockBytes = 40;
};

} // namespace mlir::dsv2

#endif // DSV2_SUPPORT_BLOCKFORMAT_H
