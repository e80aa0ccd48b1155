//===- Variants.h - code for several processors -----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_VARIANTS_H
#define DSV2RT_LIB_CORE_VARIANTS_H

#include "dsv2rt/Artifact.h"

#include <functional>
#include <string>
#include <vector>

namespace dsv2rt {

/// The variants of the artifact whose symbols `find` returns, in the order of
/// its manifest, each with its own manifest and whether the host can run it.
/// `name` is how messages call the artifact. Errors: CorruptData, and
/// Unsupported for another version of the ABI or of a manifest.
Expected<std::vector<ArtifactVariant>>
readVariants(const std::string &name,
             const std::function<void *(const char *)> &find);

/// Index of the variant to use: the one called `wanted`, or, when that is
/// empty, the first that is usable. Errors: InvalidArgument for a name that
/// there is not; Unsupported with what the host lacks for every variant that
/// was asked for.
Expected<size_t> chooseVariant(const std::vector<ArtifactVariant> &variants,
                               const std::string &wanted,
                               const std::string &name);

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_VARIANTS_H
