//===- EditedWeights.h - a checkpoint with values changed -------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_INTEGRATION_MODELS_EDITEDWEIGHTS_H
#define DSV2_TEST_INTEGRATION_MODELS_EDITEDWEIGHTS_H

#include "dsv2rt/Checkpoint.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace dsv2test {

/// Random weights of which a test changes some, given as F32 or F16.
class EditedWeights : public dsv2rt::WeightSource {
public:
  /// Gets every tensor by name and may change its values.
  using Edit =
      std::function<void(const std::string &name, std::vector<float> &values)>;

  EditedWeights(uint64_t seed, Edit edit,
                dsv2rt::DType dtype = dsv2rt::DType::F32)
      : seed(seed), edit(std::move(edit)), dtype(dtype) {}

  dsv2rt::Status require(const std::vector<dsv2rt::TensorSpec> &specs) override;
  using WeightSource::read;
  dsv2rt::Expected<dsv2rt::TensorView> read(const dsv2rt::TensorSpec &spec,
                                            const dsv2rt::TensorSlice &slice,
                                            dsv2rt::Buffer &scratch) override;
  dsv2rt::Expected<std::string>
  identity(const std::vector<dsv2rt::TensorSpec> &specs) override;
  std::string describe() const override { return "edited weights"; }

private:
  uint64_t seed;
  Edit edit;
  dsv2rt::DType dtype;
};

} // namespace dsv2test

#endif // DSV2_TEST_INTEGRATION_MODELS_EDITEDWEIGHTS_H
