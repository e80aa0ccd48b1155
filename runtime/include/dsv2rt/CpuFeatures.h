//===- CpuFeatures.h - what the host processor can do -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_CPUFEATURES_H
#define DSV2RT_CPUFEATURES_H

#include "dsv2rt/Status.h"

#include <string>
#include <vector>

namespace dsv2rt {

/// Environment variable with a comma-separated list of features to treat as
/// absent, for tests. A name that ends in '*' hides every feature that starts
/// with the text before it.
constexpr const char *cpuFeaturesMaskVariable = "DSV2_CPU_FEATURES_MASK";

/// The instruction set extensions, by their LLVM names, that processor and
/// operating system both support, less those masked, in the order of the
/// runtime's table.
std::vector<std::string> hostCpuFeatures();

/// Ok when the host has every feature of `required`; otherwise Unsupported with
/// the text "WHAT needs A, B, host has C", where C is the host's strongest
/// vector extension. Names the runtime does not know count as absent. Asks the
/// system for the tile registers when AMX is among the features.
Status checkCpuFeatures(const std::vector<std::string> &required,
                        const std::string &what);

/// The same for a processor that has exactly the features of `host`, without
/// asking the system for anything.
Status checkCpuFeatures(const std::vector<std::string> &required,
                        const std::string &what,
                        const std::vector<std::string> &host);

} // namespace dsv2rt

#endif // DSV2RT_CPUFEATURES_H
