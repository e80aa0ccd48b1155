//===- SharedCollectives.cpp - sums, gathers and splits by rounds ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GroupMath.h"
#include "SharedCommunicator.h"

#include "Support.h"

using namespace dsv2rt;
using namespace dsv2rt::comm;

Status SharedCommunicator::barrier(const CollectiveSite &site) {
  Status status = begin(CollectiveKind::Barrier, site, /*bytes=*/0);
  if (status.ok()) {
    publish();
    status = awaitAll();
  }
  return end(std::move(status), /*bytesSent=*/0);
}

Status SharedCommunicator::allReduce(float *data, int64_t count,
                                     const CollectiveSite &site) {
  int64_t bytes = 0;
  if (!mulFits(count, sizeof(float), bytes))
    bytes = -1;
  Status status = begin(CollectiveKind::AllReduce, site, bytes);
  const int64_t step = int64_t(region.outboxBytes() / sizeof(float));
  for (int64_t done = 0; status.ok(); done += step) {
    int64_t now = std::min(step, count - done);
    status = size() == 2 ||
                     now * int64_t(sizeof(float)) * size() <= directReduceBytes
                 ? reduceDirectly(data + done, now)
                 : reduceByShares(data + done, now);
    if (done + step >= count)
      break;
  }
  return end(std::move(status), allReduceBytesSent(bytes, size()));
}

Status SharedCommunicator::reduceDirectly(float *data, int64_t count) {
  if (count)
    std::memcpy(nextOutbox(), data, count * sizeof(float));
  publish();
  if (Status status = awaitAll(); !status.ok())
    return status;
  for (int m = 0; m < size(); ++m)
    terms[m] = reinterpret_cast<const float *>(outbox(m));
  sumInOrder(terms, count, data);
  return Status();
}

// Each rank adds up one share and shows it the others in a second round.
Status SharedCommunicator::reduceByShares(float *data, int64_t count) {
  auto shareStart = [&](int member) { return count * member / size(); };
  std::memcpy(nextOutbox(), data, count * sizeof(float));
  publish();
  if (Status status = awaitAll(); !status.ok())
    return status;
  const int64_t start = shareStart(index);
  for (int m = 0; m < size(); ++m)
    terms[m] = reinterpret_cast<const float *>(outbox(m)) + start;
  sumInOrder(terms, shareStart(index + 1) - start,
             reinterpret_cast<float *>(nextOutbox()) + start);
  publish();
  if (Status status = awaitAll(); !status.ok())
    return status;
  for (int m = 0; m < size(); ++m)
    std::memcpy(data + shareStart(m),
                reinterpret_cast<const float *>(outbox(m)) + shareStart(m),
                (shareStart(m + 1) - shareStart(m)) * sizeof(float));
  return Status();
}

Status SharedCommunicator::allGather(const void *send, int64_t bytes,
                                     void *receive,
                                     const CollectiveSite &site) {
  Status status = begin(CollectiveKind::AllGather, site, bytes);
  if (status.ok()) {
    std::fill(gatherBytes.begin(), gatherBytes.end(), bytes);
    status = gather(send, gatherBytes.data(), receive);
  }
  return end(std::move(status), status.ok() ? bytes * (size() - 1) : 0);
}

Status SharedCommunicator::allGatherV(const void *send, const int64_t *bytes,
                                      void *receive,
                                      const CollectiveSite &site) {
  const int64_t total = sumOfSizes(bytes, size());
  Status status = begin(CollectiveKind::AllGather, site, total);
  if (status.ok())
    status = gather(send, bytes, receive);
  return end(std::move(status), status.ok() ? bytes[index] * (size() - 1) : 0);
}

Status SharedCommunicator::gather(const void *send, const int64_t *bytes,
                                  void *receive) {
  auto *from = static_cast<const std::byte *>(send);
  auto *to = static_cast<std::byte *>(receive);
  const int64_t step = int64_t(region.outboxBytes());
  // The part of a member's data that a round carries.
  auto part = [&](int member, int64_t done) {
    return std::clamp<int64_t>(bytes[member] - done, 0, step);
  };
  std::memcpy(region.counts(self->rank, group, epoch + 1), bytes,
              size() * sizeof(int64_t));
  const int64_t longest = *std::max_element(bytes, bytes + size());
  for (int64_t done = 0; done == 0 || done < longest; done += step) {
    if (int64_t now = part(index, done))
      std::memcpy(nextOutbox(), from + done, now);
    publish();
    if (Status status = awaitAll(); !status.ok())
      return status;
    if (done == 0)
      if (Status status = compareGatherBytes(bytes); !status.ok())
        return status;
    int64_t offset = 0;
    for (int m = 0; m < size(); offset += bytes[m++])
      if (int64_t now = part(m, done))
        std::memcpy(to + offset + done, outbox(m), now);
  }
  return Status();
}

Status SharedCommunicator::compareGatherBytes(const int64_t *bytes) {
  for (int m = 0; m < size(); ++m)
    for (int from = 0; from < size(); ++from)
      if (counts(m)[from] != bytes[from])
        return fail(strCat("the ranks disagree in ", operation.text(),
                           ": rank ", self->rank, " expects ", bytes[from],
                           " bytes of rank ", members[from], ", rank ",
                           members[m], " expects ", counts(m)[from]));
  return Status();
}

Expected<std::unique_ptr<Communicator>> SharedCommunicator::split(int color,
                                                                  int key) {
  const SplitWish mine = {color, key, self->freeGroups()};
  std::vector<SplitWish> wishes(size());
  std::fill(gatherBytes.begin(), gatherBytes.end(), int64_t(sizeof(mine)));
  Status status = begin(CollectiveKind::Split, CollectiveSite(), sizeof(mine));
  if (status.ok())
    status = gather(&mine, gatherBytes.data(), wishes.data());
  Expected<SplitPart> part = Status::error(StatusCode::Internal, "no part");
  if (status.ok()) {
    part = arrangeSplit(wishes, index, self->rank);
    if (part.ok())
      self->openSeat(part.value().group);
    // Nobody may see what a seat was before.
    publish();
    status = awaitAll();
  }
  status = end(std::move(status), sizeof(mine) * (size() - 1));
  if (!status.ok())
    return status;
  if (!part.ok())
    return part.status();
  std::vector<int> ranks;
  for (int place : part.value().places)
    ranks.push_back(members[place]);
  self->enterGroup(part.value().group, ranks);
  return std::unique_ptr<Communicator>(std::make_unique<SharedCommunicator>(
      self, std::move(ranks), part.value().index, part.value().group));
}
