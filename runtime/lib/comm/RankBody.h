//===- RankBody.h - what a rank runs, with its exceptions -------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_COMM_RANKBODY_H
#define DSV2RT_LIB_COMM_RANKBODY_H

#include "Support.h"

namespace dsv2rt::comm {

/// Calls `body`, which returns a Status or an Expected. Whatever it throws
/// becomes a Status, as other ranks have to hear of it.
template <class F> auto runGuarded(F &&body) -> std::invoke_result_t<F> {
  try {
    return guarded(std::forward<F>(body));
  } catch (...) {
    return Status::error(StatusCode::Internal,
                         "unexpected exception of an unknown type");
  }
}

} // namespace dsv2rt::comm

#endif // DSV2RT_LIB_COMM_RANKBODY_H
