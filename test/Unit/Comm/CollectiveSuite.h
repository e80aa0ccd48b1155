//===- CollectiveSuite.h - every operation, compared with loops -*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What tests of all engines have in common: ranks whose data follows from their
// numbers, so that each can tell what all of them send and what has to arrive.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_COMM_COLLECTIVESUITE_H
#define DSV2_TEST_UNIT_COMM_COLLECTIVESUITE_H

#include "dsv2rt/comm/Communicator.h"

#include <vector>

namespace dsv2test {

/// What a run of the suite does.
struct SuiteOptions {
  /// Elements or bytes of one rank's data. Uneven operations use parts of it.
  std::vector<int64_t> sizes = {0, 1, 3, 64, 1000};
  uint64_t seed = 1;
};

/// Calls every operation of `communicator` with every size, uneven sizes and
/// zeros among them, and compares the results, the counters too, with plain
/// loops. Every rank of the group calls it with the same options. Returns the
/// first difference as an error.
dsv2rt::Status runCollectiveSuite(dsv2rt::Communicator &communicator,
                                  const SuiteOptions &options);

/// The same on groups of `communicator` that split() makes: neighbours, every
/// other rank in reverse order, and each rank alone.
dsv2rt::Status runSplitSuite(dsv2rt::Communicator &communicator,
                             const SuiteOptions &options);

} // namespace dsv2test

#endif // DSV2_TEST_UNIT_COMM_COLLECTIVESUITE_H
