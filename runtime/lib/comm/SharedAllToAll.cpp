//===- SharedAllToAll.cpp - the exchange of the experts by rounds ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a rank sends to others, one after the other and without what it keeps,
// goes through its outbox window by window. Each rank takes its part out of the
// windows of the others; the counts that they show in the first round say where
// it is and how many windows there are.
//
//===----------------------------------------------------------------------===//

#include "SharedCommunicator.h"

#include "Support.h"

#include <numeric>

using namespace dsv2rt;
using namespace dsv2rt::comm;

Status SharedCommunicator::allToAllV(const void *send, const int64_t *sendBytes,
                                     void *receive, const int64_t *receiveBytes,
                                     const CollectiveSite &site) {
  Status status = startAllToAllV(send, sendBytes, receive, receiveBytes, site);
  return status.ok() ? finishAllToAllV() : status;
}

Status SharedCommunicator::startAllToAllV(const void *send,
                                          const int64_t *sendBytes,
                                          void *receive,
                                          const int64_t *receiveBytes,
                                          const CollectiveSite &site) {
  int64_t total = sumOfSizes(sendBytes, size());
  if (total >= 0 && sumOfSizes(receiveBytes, size()) >= 0)
    total -= sendBytes[index];
  else
    total = -1;
  if (Status status = begin(CollectiveKind::AllToAllV, site, total);
      !status.ok())
    return end(std::move(status), 0);
  if (sendBytes[index] != receiveBytes[index])
    return end(fail(keptSizeError(self->rank, operation, sendBytes[index],
                                  receiveBytes[index])),
               0);
  exchange.pending = true;
  exchange.send = static_cast<const std::byte *>(send);
  exchange.receive = static_cast<std::byte *>(receive);
  exchange.sendBytes.assign(sendBytes, sendBytes + size());
  exchange.receiveBytes.assign(receiveBytes, receiveBytes + size());
  std::memcpy(region.counts(self->rank, group, epoch + 1), sendBytes,
              size() * sizeof(int64_t));
  fillOutbox(/*window=*/0);
  publish();
  return Status();
}

Status SharedCommunicator::finishAllToAllV() {
  if (region.ended())
    return end(region.reason(), 0);
  if (!exchange.pending)
    return fail(strCat("rank ", self->rank,
                       " finished an all_to_all_v that it had not started"));
  exchange.pending = false;
  Status status = awaitAll();
  if (status.ok())
    status = readCounts();
  if (status.ok())
    copyKept();
  for (int64_t window = 0; status.ok(); ++window) {
    for (int m = 0; m < size(); ++m)
      if (m != index)
        readOutbox(m, window);
    if (window + 1 >= exchange.windows)
      break;
    fillOutbox(window + 1);
    publish();
    status = awaitAll();
  }
  return end(std::move(status), operation.bytes);
}

/// Compares what the others send with what this rank expects, and keeps what it
/// needs of their counts, which the next operation overwrites.
Status SharedCommunicator::readCounts() {
  const int64_t outboxBytes = int64_t(region.outboxBytes());
  exchange.windows = 1;
  for (int m = 0; m < size(); ++m) {
    const int64_t *sends = counts(m);
    if (m != index && sends[index] != exchange.receiveBytes[m])
      return fail(sizeDisagreement(operation, members[m], sends[index],
                                   self->rank, exchange.receiveBytes[m]));
    int64_t before = 0, total = 0;
    for (int to = 0; to < size(); ++to) {
      if (to == index)
        before = total;
      if (to != m)
        total += sends[to];
    }
    exchange.offsets[m] = before;
    exchange.windows =
        std::max(exchange.windows, (total + outboxBytes - 1) / outboxBytes);
  }
  return Status();
}

void SharedCommunicator::copyKept() {
  const auto &sends = exchange.sendBytes, &receives = exchange.receiveBytes;
  if (sends[index])
    std::memcpy(exchange.receive + std::accumulate(receives.begin(),
                                                   receives.begin() + index,
                                                   int64_t(0)),
                exchange.send + std::accumulate(sends.begin(),
                                                sends.begin() + index,
                                                int64_t(0)),
                sends[index]);
}

/// What [begin, begin + bytes) and a window have in common, as [first, second).
static std::pair<int64_t, int64_t>
overlap(int64_t begin, int64_t bytes, int64_t window, int64_t windowBytes) {
  return {std::max(begin, window * windowBytes),
          std::min(begin + bytes, (window + 1) * windowBytes)};
}

void SharedCommunicator::fillOutbox(int64_t window) {
  const int64_t outboxBytes = int64_t(region.outboxBytes());
  std::byte *outbox = nextOutbox();
  // Offsets in the send buffer, and in what leaves this rank.
  int64_t from = 0, place = 0;
  for (int m = 0; m < size(); ++m) {
    const int64_t bytes = exchange.sendBytes[m];
    if (m != index) {
      auto [first, last] = overlap(place, bytes, window, outboxBytes);
      if (first < last)
        std::memcpy(outbox + (first - window * outboxBytes),
                    exchange.send + from + (first - place), last - first);
      place += bytes;
    }
    from += bytes;
  }
}

void SharedCommunicator::readOutbox(int member, int64_t window) {
  const int64_t outboxBytes = int64_t(region.outboxBytes());
  const int64_t place = exchange.offsets[member];
  const int64_t to =
      std::accumulate(exchange.receiveBytes.begin(),
                      exchange.receiveBytes.begin() + member, int64_t(0));
  auto [first, last] =
      overlap(place, exchange.receiveBytes[member], window, outboxBytes);
  if (first < last)
    std::memcpy(exchange.receive + to + (first - place),
                outbox(member) + (first - window * outboxBytes), last - first);
}
