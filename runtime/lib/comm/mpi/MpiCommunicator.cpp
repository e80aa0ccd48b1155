//===- MpiCommunicator.cpp - collectives by messages of MPI ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MpiCommunicator.h"

#include "Support.h"

#include <cstring>
#include <numeric>

using namespace dsv2rt;
using namespace dsv2rt::comm;

extern "C" __attribute__((visibility("default"))) MpiWorld *
dsv2rt_open_mpi(const CommOptions &options, Status &status) {
  auto process = std::make_shared<MpiProcess>(options);
  status = process->start();
  if (!status.ok())
    return nullptr;
  std::vector<int> members(process->size());
  std::iota(members.begin(), members.end(), 0);
  const int rank = process->rank();
  return new MpiCommunicator(std::move(process), std::move(members), rank,
                             /*group=*/0);
}

MpiCommunicator::MpiCommunicator(std::shared_ptr<MpiProcess> process,
                                 std::vector<int> members, int index, int group)
    : process(std::move(process)), members(std::move(members)), index(index),
      group(group) {
  terms.resize(this->members.size());
  this->process->freeGroups &= ~(int64_t(1) << group);
}

MpiCommunicator::~MpiCommunicator() {
  process->freeGroups |= int64_t(group != 0) << group;
}

void MpiCommunicator::abort(const Status &reason) {
  process->end(
      strCat("rank ", worldRank(), " ended the job: ", reason.message()));
}

Status MpiCommunicator::leave() {
  // No rank goes while another may still need it.
  Status status = barrier({"end of the job", -1});
  return status.ok() ? process->leave() : status;
}

Status MpiCommunicator::fail(const std::string &reason) {
  process->end(reason);
  return process->reason();
}

Status MpiCommunicator::begin(CollectiveKind kind, const CollectiveSite &site,
                              int64_t bytes) {
  if (Status ended = status(); !ended.ok())
    return ended;
  operation = Operation(kind, site, bytes, ++sequence);
  if (exchanging)
    return fail(strCat("rank ", worldRank(), " called ", operation.text(),
                       " before it finished the all_to_all_v that it had "
                       "started"));
  if (std::string error = sizeError(worldRank(), operation); !error.empty())
    return fail(error);
  return process->commOptions().checkOrder ? compareOperations() : Status();
}

Status MpiCommunicator::end(Status status, int64_t bytesSent) {
  if (status.ok()) {
    ++sent.calls;
    sent.bytesSent += bytesSent;
  }
  return status;
}

/// Of the transfers of one pair of ranks that are under way at once, none has
/// another one's tag.
int MpiCommunicator::nextTag() {
  static_assert(maxGroups * 256 <= 32768, "all that MPI promises");
  return group * 256 + int(++transfers % 256);
}

Status MpiCommunicator::transfer(const std::vector<MpiPart> &parts) {
  messages.operation = operation;
  Status status = process->start(messages, parts, nextTag());
  return status.ok() ? process->finish(messages) : status;
}

Status MpiCommunicator::compareOperations() {
  std::vector<Operation> all(members.size());
  std::vector<MpiPart> parts;
  for (int m = 0; m < size(); ++m)
    if (m != index)
      parts.push_back({members[m], &operation, sizeof(Operation), &all[m],
                       sizeof(Operation)});
  if (Status status = transfer(parts); !status.ok())
    return status;
  for (int m = 0; m < size(); ++m)
    if (m != index && !operation.matches(all[m]))
      return fail(disagreement(worldRank(), operation, members[m], all[m]));
  return Status();
}

Status MpiCommunicator::barrier(const CollectiveSite &site) {
  Status status = begin(CollectiveKind::Barrier, site, /*bytes=*/0);
  std::vector<MpiPart> parts;
  for (int m = 0; m < size(); ++m)
    if (m != index)
      parts.push_back({members[m]});
  if (status.ok())
    status = transfer(parts);
  return end(std::move(status), /*bytesSent=*/0);
}

//===----------------------------------------------------------------------===//
// Sums and gathers
//===----------------------------------------------------------------------===//

Status MpiCommunicator::allReduce(float *data, int64_t count,
                                  const CollectiveSite &site) {
  int64_t bytes = 0;
  if (!mulFits(count, sizeof(float), bytes))
    bytes = -1;
  Status status = begin(CollectiveKind::AllReduce, site, bytes);
  if (status.ok() && size() > 1)
    status = size() == 2 || bytes * size() <= directReduceBytes
                 ? reduceDirectly(data, count)
                 : reduceByShares(data, count);
  return end(std::move(status),
             bytes < 0 ? 0 : allReduceBytesSent(bytes, size()));
}

Status MpiCommunicator::reduceDirectly(float *data, int64_t count) {
  if (int64_t(gathered.size()) < count * size())
    gathered.resize(count * size());
  std::vector<MpiPart> parts;
  const int64_t bytes = count * int64_t(sizeof(float));
  for (int m = 0; m < size(); ++m) {
    float *place = gathered.data() + m * count;
    terms[m] = m == index ? data : place;
    if (m != index)
      parts.push_back({members[m], data, bytes, place, bytes});
  }
  if (Status status = transfer(parts); !status.ok())
    return status;
  sumInOrder(terms, count, data);
  return Status();
}

Status MpiCommunicator::reduceByShares(float *data, int64_t count) {
  auto start = [&](int member) { return count * member / size(); };
  auto bytesOf = [&](int member) {
    return (start(member + 1) - start(member)) * int64_t(sizeof(float));
  };
  const int64_t own = start(index + 1) - start(index);
  if (int64_t(gathered.size()) < own * size())
    gathered.resize(own * size());
  std::vector<MpiPart> parts;
  for (int m = 0; m < size(); ++m) {
    float *place = gathered.data() + m * own;
    terms[m] = m == index ? data + start(index) : place;
    if (m != index)
      parts.push_back(
          {members[m], data + start(m), bytesOf(m), place, bytesOf(index)});
  }
  if (Status status = transfer(parts); !status.ok())
    return status;
  sumInOrder(terms, own, data + start(index));
  for (MpiPart &part : parts) {
    int m = int(std::find(members.begin(), members.end(), part.rank) -
                members.begin());
    part = {part.rank, data + start(index), bytesOf(index), data + start(m),
            bytesOf(m)};
  }
  return transfer(parts);
}

Status MpiCommunicator::allGather(const void *send, int64_t bytes,
                                  void *receive, const CollectiveSite &site) {
  Status status = begin(CollectiveKind::AllGather, site, bytes);
  if (status.ok())
    status = gather(send, std::vector<int64_t>(size(), bytes).data(), receive);
  return end(std::move(status), status.ok() ? bytes * (size() - 1) : 0);
}

Status MpiCommunicator::allGatherV(const void *send, const int64_t *bytes,
                                   void *receive, const CollectiveSite &site) {
  Status status =
      begin(CollectiveKind::AllGather, site, sumOfSizes(bytes, size()));
  if (status.ok())
    status = gather(send, bytes, receive);
  return end(std::move(status), status.ok() ? bytes[index] * (size() - 1) : 0);
}

Status MpiCommunicator::gather(const void *send, const int64_t *bytes,
                               void *receive) {
  std::vector<MpiPart> parts;
  char *place = static_cast<char *>(receive);
  for (int m = 0; m < size(); place += bytes[m++])
    if (m != index)
      parts.push_back({members[m], send, bytes[index], place, bytes[m]});
    else if (bytes[m])
      std::memmove(place, send, bytes[m]);
  return transfer(parts);
}

//===----------------------------------------------------------------------===//
// Exchanges and splits
//===----------------------------------------------------------------------===//

Status MpiCommunicator::allToAllV(const void *send, const int64_t *sendBytes,
                                  void *receive, const int64_t *receiveBytes,
                                  const CollectiveSite &site) {
  Status status = startAllToAllV(send, sendBytes, receive, receiveBytes, site);
  return status.ok() ? finishAllToAllV() : status;
}

Status MpiCommunicator::startAllToAllV(const void *send,
                                       const int64_t *sendBytes, void *receive,
                                       const int64_t *receiveBytes,
                                       const CollectiveSite &site) {
  int64_t total = sumOfSizes(sendBytes, size());
  if (total >= 0 && sumOfSizes(receiveBytes, size()) >= 0)
    total -= sendBytes[index];
  else
    total = -1;
  if (Status status = begin(CollectiveKind::AllToAllV, site, total);
      !status.ok())
    return status;
  if (sendBytes[index] != receiveBytes[index])
    return fail(keptSizeError(worldRank(), operation, sendBytes[index],
                              receiveBytes[index]));
  std::vector<MpiPart> parts;
  const char *from = static_cast<const char *>(send);
  char *to = static_cast<char *>(receive);
  for (int m = 0; m < size(); ++m) {
    if (m != index)
      parts.push_back({members[m], from, sendBytes[m], to, receiveBytes[m]});
    else if (sendBytes[m])
      std::memcpy(to, from, sendBytes[m]);
    from += sendBytes[m];
    to += receiveBytes[m];
  }
  messages.operation = operation;
  Status status = process->start(messages, parts, nextTag());
  exchanging = status.ok();
  return status;
}

Status MpiCommunicator::finishAllToAllV() {
  if (Status ended = status(); !ended.ok() && !exchanging)
    return ended;
  if (!exchanging)
    return fail(strCat("rank ", worldRank(),
                       " finished an all_to_all_v that it had not started"));
  exchanging = false;
  return end(process->finish(messages), operation.bytes);
}

Expected<std::unique_ptr<Communicator>> MpiCommunicator::split(int color,
                                                               int key) {
  const SplitWish mine = {color, key, process->freeGroups};
  std::vector<SplitWish> wishes(size());
  Status status = begin(CollectiveKind::Split, CollectiveSite(), sizeof(mine));
  if (status.ok())
    status = gather(&mine, std::vector<int64_t>(size(), sizeof(mine)).data(),
                    wishes.data());
  status = end(std::move(status), sizeof(mine) * (size() - 1));
  if (!status.ok())
    return status;
  Expected<SplitPart> part = arrangeSplit(wishes, index, worldRank());
  if (!part.ok())
    return part.status();
  std::vector<int> ranks;
  for (int place : part.value().places)
    ranks.push_back(members[place]);
  return std::unique_ptr<Communicator>(std::make_unique<MpiCommunicator>(
      process, std::move(ranks), part.value().index, part.value().group));
}
