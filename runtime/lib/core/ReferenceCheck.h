//===- ReferenceCheck.h - compiled values against the reference -*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A step that is checked runs twice. The artifact's kernels go first and what
// they give is recorded. Then the reference lowering takes the same step and
// every value of it is compared with what was recorded and replaced by it, so
// that each op of the reference starts from the inputs the compiled op had:
// differences do not add up, and the first op that is wrong is the only one
// that differs.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_REFERENCECHECK_H
#define DSV2RT_LIB_CORE_REFERENCECHECK_H

#include "TapSink.h"
#include "dsv2rt/Manifest.h"
#include "dsv2rt/Session.h"
#include "dsv2rt/Status.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace dsv2rt {

/// Compares the taps of a reference with those recorded before.
class ReferenceCheck final : public TapSink {
public:
  /// Largest error allowed, as a part of the largest magnitude in the row.
  /// Both sides compute in f32 from the same inputs and differ in the order of
  /// sums: that is a few 1e-6 for the sums of this model family, while a wrong
  /// term or index is seldom below 1e-2.
  static constexpr float exactTolerance = 1e-4f;
  /// The same for products of 8-bit numbers. The reference has the same weights
  /// but does not quantise the rows they meet: errors of half of a 127th of the
  /// largest element in each block of 32, which sums that cancel magnify.
  static constexpr float quantizedTolerance = 1e-1f;
  /// The same on a device. Weights in blocks meet rows that are not quantised,
  /// but what an op hands on within itself is bf16, as is what another reads:
  /// rounded by up to 2e-3 of each element, more than once.
  static constexpr float deviceTolerance = 2e-2f;

  /// `reference` is the manifest of what will be compared, `compiled` that of
  /// the kernels: on a processor they quantise rows if any of their weights is
  /// in blocks.
  ReferenceCheck(const Manifest &reference, const Manifest &compiled)
      : manifest(reference), tolerance(toleranceOf(compiled)) {}

  /// Forgets the values of the step before.
  void begin() { recorded.clear(), failure = Status(); }

  /// Keeps a copy of one value of the compiled step, bf16 as f32.
  void record(const std::string &site, int64_t layer, const void *data,
              int64_t rows, int64_t columns, int64_t rowStride, int32_t dtype);

  /// Compares with the value recorded for the same site and layer, then
  /// replaces `data` by it. Values nothing was recorded for, of ops that were
  /// fused with others, are let through.
  void tap(int32_t site, int64_t layer, void *data, int64_t rows,
           int64_t columns, int64_t rowStride, int32_t dtype) override;

  /// What came of the step. Errors: Mismatch, naming site, layer, row and both
  /// values of the first value out of tolerance; Internal for a recorded value
  /// that the reference has no site for.
  Status finish(int64_t step);

  const ReferenceReport &report() const { return summary; }

private:
  struct Matrix {
    int64_t rows = 0;
    int64_t columns = 0;
    int32_t dtype = 0;
    bool compared = false;
    /// Rows without gaps; 4 bytes an element.
    std::vector<uint32_t> words;
  };
  using Key = std::pair<std::string, int64_t>;

  static bool hasBlocks(const Manifest &compiled);
  static float toleranceOf(const Manifest &compiled);
  static Matrix copy(const void *data, int64_t rows, int64_t columns,
                     int64_t rowStride, int32_t dtype);
  void compareFloats(const Key &key, const Matrix &found, const float *data,
                     int64_t rowStride);
  void compareIds(const Key &key, const Matrix &found, const int32_t *data,
                  int64_t rowStride);
  template <class... Parts> void fail(const Key &key, Parts &&...parts);

  const Manifest &manifest;
  const float tolerance;
  std::map<Key, Matrix> recorded;
  /// What the reference scored the experts of the layer it is in: [T, E].
  Matrix scores;
  Status failure;
  ReferenceReport summary;
};

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_REFERENCECHECK_H
