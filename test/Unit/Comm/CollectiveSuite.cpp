//===- CollectiveSuite.cpp - every operation, compared with loops ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CollectiveSuite.h"

#include <algorithm>
#include <cstring>

using namespace dsv2rt;
using namespace dsv2test;

namespace {

Status difference(const Communicator &communicator, const std::string &what,
                  int64_t index, int64_t expected, int64_t found) {
  return Status::error(StatusCode::Mismatch,
                       "rank " + std::to_string(communicator.rank()) + " of " +
                           std::to_string(communicator.size()) + ": " + what +
                           " [" + std::to_string(index) + "]: expected " +
                           std::to_string(expected) + ", found " +
                           std::to_string(found));
}

uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

/// The suite on one communicator.
class Suite {
public:
  Suite(Communicator &communicator, const SuiteOptions &options)
      : communicator(communicator), options(options), rank(communicator.rank()),
        size(communicator.size()) {}

  Status run();

private:
  Status reduce(int64_t count);
  Status gather(int64_t bytes);
  Status gatherUneven(int64_t bytes);
  /// `pattern` chooses who sends how much to whom.
  Status exchange(int64_t bytes, int pattern, bool inTwoCalls);
  int64_t bytesBetween(int from, int to, int64_t bytes, int pattern) const;
  Status compare(const std::string &what, const std::vector<uint8_t> &expected,
                 const std::vector<uint8_t> &found);

  /// Byte i of what a rank sends to another (-1: to all).
  uint8_t byteOf(int from, int to, int64_t i) const {
    return uint8_t(mix(options.seed * 977 + call * 131071 + from * 8191 +
                       (to + 1) * 127 + uint64_t(i) * 0x9E3779B97F4A7C15u));
  }
  /// Sums of these depend on their order in the last bits.
  float floatOf(int from, int64_t i) const {
    uint64_t bits = mix(options.seed * 977 + call * 131071 + from * 8191 +
                        uint64_t(i) * 0x9E3779B97F4A7C15u);
    return (float(bits >> 40) * 0x1p-23f - 1) * (from % 3 == 0 ? 1000.f : 1.f);
  }
  CollectiveSite site(const char *name) const {
    return {name, int64_t(call % 27)};
  }

  Communicator &communicator;
  const SuiteOptions &options;
  const int rank, size;
  uint64_t call = 0;
  CommCounters expected;
};

} // namespace

Status Suite::compare(const std::string &what,
                      const std::vector<uint8_t> &expected,
                      const std::vector<uint8_t> &found) {
  for (size_t i = 0; i < expected.size(); ++i)
    if (expected[i] != found[i])
      return difference(communicator, what, int64_t(i), expected[i], found[i]);
  return Status();
}

Status Suite::reduce(int64_t count) {
  ++call;
  std::vector<float> data(count + 1, 42), sums(count);
  for (int64_t i = 0; i < count; ++i) {
    data[i] = floatOf(rank, i);
    float sum = floatOf(0, i);
    for (int r = 1; r < size; ++r)
      sum += floatOf(r, i);
    sums[i] = sum;
  }
  if (Status status =
          communicator.allReduce(data.data(), count, site("suite.reduce"));
      !status.ok())
    return status;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t wanted, found;
    std::memcpy(&wanted, &sums[i], 4);
    std::memcpy(&found, &data[i], 4);
    if (wanted != found)
      return difference(communicator, "bits of a sum", i, wanted, found);
  }
  if (data[count] != 42)
    return difference(communicator, "behind a sum", count, 42,
                      int64_t(data[count]));
  ++expected.calls;
  expected.bytesSent += 2 * 4 * count * (size - 1) / size;
  return Status();
}

Status Suite::gather(int64_t bytes) {
  ++call;
  std::vector<uint8_t> send(bytes), wanted, received(bytes * size + 1, 77);
  for (int64_t i = 0; i < bytes; ++i)
    send[i] = byteOf(rank, -1, i);
  for (int r = 0; r < size; ++r)
    for (int64_t i = 0; i < bytes; ++i)
      wanted.push_back(byteOf(r, -1, i));
  wanted.push_back(77);
  if (Status status = communicator.allGather(
          send.data(), bytes, received.data(), site("suite.gather"));
      !status.ok())
    return status;
  ++expected.calls;
  expected.bytesSent += bytes * (size - 1);
  return compare("a gathered byte", wanted, received);
}

Status Suite::gatherUneven(int64_t bytes) {
  ++call;
  std::vector<int64_t> sizes(size);
  std::vector<uint8_t> send, wanted;
  for (int r = 0; r < size; ++r) {
    // The ranks get from nothing to all of it, a different one first each time.
    sizes[r] = bytes * ((r + int(call)) % size) / std::max(size - 1, 1);
    for (int64_t i = 0; i < sizes[r]; ++i)
      wanted.push_back(byteOf(r, -1, i));
  }
  for (int64_t i = 0; i < sizes[rank]; ++i)
    send.push_back(byteOf(rank, -1, i));
  wanted.push_back(77);
  std::vector<uint8_t> received(wanted.size(), 77);
  if (Status status = communicator.allGatherV(
          send.data(), sizes.data(), received.data(), site("suite.gather_v"));
      !status.ok())
    return status;
  ++expected.calls;
  expected.bytesSent += sizes[rank] * (size - 1);
  return compare("a byte gathered unevenly", wanted, received);
}

int64_t Suite::bytesBetween(int from, int to, int64_t bytes,
                            int pattern) const {
  switch (pattern) {
  case 0: // The same for all.
    return bytes;
  case 1: // Uneven, with zeros.
    return (from * 3 + to * 5) % 4 == 0
               ? 0
               : bytes * ((from * 7 + to * 3) % 5 + 1) / 5;
  case 2: // Everything to the first rank.
    return to == 0 ? bytes : 0;
  case 3: // The last rank has nothing to send and gets nothing.
    return from == size - 1 || to == size - 1 ? 0 : bytes;
  default: // Nothing but what stays.
    return from == to ? bytes : 0;
  }
}

Status Suite::exchange(int64_t bytes, int pattern, bool inTwoCalls) {
  ++call;
  std::vector<int64_t> sends(size), receives(size);
  std::vector<uint8_t> send, wanted;
  for (int r = 0; r < size; ++r) {
    sends[r] = bytesBetween(rank, r, bytes, pattern);
    receives[r] = bytesBetween(r, rank, bytes, pattern);
    for (int64_t i = 0; i < sends[r]; ++i)
      send.push_back(byteOf(rank, r, i));
    for (int64_t i = 0; i < receives[r]; ++i)
      wanted.push_back(byteOf(r, rank, i));
  }
  wanted.push_back(77);
  std::vector<uint8_t> received(wanted.size(), 77);
  Status status;
  if (inTwoCalls) {
    status =
        communicator.startAllToAllV(send.data(), sends.data(), received.data(),
                                    receives.data(), site("suite.exchange"));
    if (status.ok())
      status = communicator.finishAllToAllV();
  } else {
    status = communicator.allToAllV(send.data(), sends.data(), received.data(),
                                    receives.data(), site("suite.exchange"));
  }
  if (!status.ok())
    return status;
  ++expected.calls;
  expected.bytesSent += int64_t(send.size()) - sends[rank];
  return compare("an exchanged byte", wanted, received);
}

Status Suite::run() {
  const CommCounters before = communicator.counters();
  for (int64_t bytes : options.sizes) {
    Status status = reduce(bytes);
    if (status.ok())
      status = gather(bytes);
    if (status.ok())
      status = gatherUneven(bytes);
    for (int pattern = 0; status.ok() && pattern < 5; ++pattern)
      status = exchange(bytes, pattern, /*inTwoCalls=*/(pattern + call) % 2);
    if (status.ok())
      status = communicator.barrier(site("suite.barrier"));
    if (!status.ok())
      return status;
    ++expected.calls;
  }
  const CommCounters &now = communicator.counters();
  if (now.calls - before.calls != expected.calls)
    return difference(communicator, "calls counted", 0, expected.calls,
                      now.calls - before.calls);
  if (now.bytesSent - before.bytesSent != expected.bytesSent)
    return difference(communicator, "bytes counted", 0, expected.bytesSent,
                      now.bytesSent - before.bytesSent);
  return Status();
}

Status dsv2test::runCollectiveSuite(Communicator &communicator,
                                    const SuiteOptions &options) {
  return Suite(communicator, options).run();
}

/// Splits, compares place and size with the expected, and runs the suite.
static Status runPart(Communicator &communicator, int color, int key, int rank,
                      int size, const SuiteOptions &options) {
  Expected<std::unique_ptr<Communicator>> part = communicator.split(color, key);
  if (!part.ok())
    return part.status();
  if (part.value()->rank() != rank)
    return difference(communicator, "place in a part", color, rank,
                      part.value()->rank());
  if (part.value()->size() != size)
    return difference(communicator, "size of a part", color, size,
                      part.value()->size());
  if (part.value()->worldRank() != communicator.worldRank())
    return difference(communicator, "rank in the job", color,
                      communicator.worldRank(), part.value()->worldRank());
  return runCollectiveSuite(*part.value(), options);
}

Status dsv2test::runSplitSuite(Communicator &communicator,
                               const SuiteOptions &options) {
  const int rank = communicator.rank(), size = communicator.size();
  Status status = runPart(communicator, rank / 2, /*key=*/0, rank % 2,
                          std::min(2, size - rank / 2 * 2), options);
  const int others = (size - rank % 2 + 1) / 2;
  if (status.ok())
    status = runPart(communicator, rank % 2, /*key=*/-rank,
                     others - 1 - rank / 2, others, options);
  if (status.ok())
    status =
        runPart(communicator, rank, /*key=*/0, /*rank=*/0, /*size=*/1, options);
  return status;
}
