//===- NcclCommunicator.cpp - ranks whose data is on GPUs -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Exchanges are one group of ncclSend and ncclRecv with at most one of each for
// every peer: more would become several kernels (NVIDIA/nccl#1768).
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/comm/Nccl.h"

#include "NcclGroup.h"
#include "Support.h"

#include <numeric>

using namespace dsv2rt;
using namespace dsv2rt::comm;

namespace {

class Implementation : public NcclCommunicator {
public:
  /// `owned` is null or `host`.
  Implementation(std::shared_ptr<const NcclLibrary> library, Communicator &host,
                 std::unique_ptr<Communicator> owned, void *stream,
                 const CommOptions &options)
      : host(host), owned(std::move(owned)), library(library), options(options),
        group(std::move(library), host, options),
        stream(static_cast<ncclStream_t>(stream)) {}

  Status start() { return group.start(); }

  int rank() const override { return host.rank(); }
  int size() const override { return host.size(); }
  int worldRank() const override { return host.worldRank(); }

  Status allReduce(float *data, int64_t count,
                   const CollectiveSite &site) override;
  Status allGather(const void *send, int64_t bytes, void *receive,
                   const CollectiveSite &site) override;
  Status allGatherV(const void *send, const int64_t *bytes, void *receive,
                    const CollectiveSite &site) override;
  Status allToAllV(const void *send, const int64_t *sendBytes, void *receive,
                   const int64_t *receiveBytes,
                   const CollectiveSite &site) override;
  Status barrier(const CollectiveSite &site) override;
  Expected<std::unique_ptr<Communicator>> split(int color, int key) override;
  void abort(const Status &reason) override { host.abort(reason); }
  Status status() const override { return host.status(); }
  void alive() override { host.alive(); }
  const CommOptions &commOptions() const override { return options; }
  void useStream(void *other) override {
    stream = static_cast<ncclStream_t>(other);
  }
  std::string lastOperation() const override {
    return operation.sequence ? operation.text() : "no operation yet";
  }
  Status wait(const std::function<Expected<bool>()> &finished,
              const std::string &what) override {
    return group.wait(finished, what);
  }
  Status check() override { return group.check(lastOperation()); }

private:
  Status begin(CollectiveKind kind, const CollectiveSite &site, int64_t bytes);
  Status end(Status status, int64_t bytesSent);
  Status fail(const std::string &reason);
  Status compareOperations();
  Status compareSizes(const int64_t *sendBytes, const int64_t *receiveBytes);
  /// Puts `sendBytes[r]` bytes at `send(r)` for every rank r, and as many from
  /// it to `receive`, one rank's behind another's, into one group.
  Status exchange(const std::function<const char *(int)> &send,
                  const int64_t *sendBytes, void *receive,
                  const int64_t *receiveBytes);

  Communicator &host;
  std::unique_ptr<Communicator> owned;
  std::shared_ptr<const NcclLibrary> library;
  CommOptions options;
  NcclGroup group;
  ncclStream_t stream;
  Operation operation;
  int64_t sequence = 0;
};

} // namespace

Expected<std::unique_ptr<NcclCommunicator>>
NcclCommunicator::create(Communicator &host, void *stream,
                         const CommOptions &options,
                         const std::string &libraryName) {
  Expected<std::shared_ptr<const NcclLibrary>> library =
      NcclLibrary::open(libraryName);
  if (!library.ok())
    return library.status();
  auto communicator = std::make_unique<Implementation>(
      library.value(), host, /*owned=*/nullptr, stream, options);
  if (Status status = communicator->start(); !status.ok())
    return status;
  return std::unique_ptr<NcclCommunicator>(std::move(communicator));
}

Expected<int> NcclCommunicator::libraryVersion(const std::string &library) {
  Expected<std::shared_ptr<const NcclLibrary>> opened =
      NcclLibrary::open(library);
  if (!opened.ok())
    return opened.status();
  return opened.value()->version();
}

Status Implementation::fail(const std::string &reason) {
  host.abort(Status::error(StatusCode::RankFailed, reason));
  return host.status();
}

Status Implementation::begin(CollectiveKind kind, const CollectiveSite &site,
                             int64_t bytes) {
  if (Status ended = status(); !ended.ok())
    return ended;
  operation = Operation(kind, site, bytes, ++sequence);
  if (std::string error = sizeError(worldRank(), operation); !error.empty())
    return fail(error);
  return options.checkOrder ? compareOperations() : Status();
}

Status Implementation::end(Status status, int64_t bytesSent) {
  if (status.ok()) {
    ++sent.calls;
    sent.bytesSent += bytesSent;
  }
  return status;
}

Status Implementation::compareOperations() {
  std::vector<Operation> all(size());
  if (Status status = host.allGather(&operation, sizeof(operation), all.data(),
                                     {"order of operations", -1});
      !status.ok())
    return status;
  for (int r = 0; r < size(); ++r)
    if (r != rank() && !operation.matches(all[r]))
      return fail(
          disagreement(worldRank(), operation, group.worldRank(r), all[r]));
  return Status();
}

Status Implementation::compareSizes(const int64_t *sendBytes,
                                    const int64_t *receiveBytes) {
  std::vector<int64_t> all(size_t(size()) * size());
  if (Status status =
          host.allGather(sendBytes, size() * int64_t(sizeof(int64_t)),
                         all.data(), {"sizes of operations", operation.layer});
      !status.ok())
    return status;
  for (int r = 0; r < size(); ++r)
    if (int64_t bytes = all[size_t(r) * size() + rank()];
        bytes != receiveBytes[r])
      return fail(sizeDisagreement(operation, group.worldRank(r), bytes,
                                   worldRank(), receiveBytes[r]));
  return Status();
}

Status Implementation::allReduce(float *data, int64_t count,
                                 const CollectiveSite &site) {
  int64_t bytes = 0;
  if (!mulFits(count, sizeof(float), bytes))
    bytes = -1;
  Status status = begin(CollectiveKind::AllReduce, site, bytes);
  // The same on all ranks, so that all leave it out or none does.
  if (status.ok() && count > 0)
    status = group.settle(library->ncclAllReduce(data, data, size_t(count),
                                                 ncclFloat32, ncclSum,
                                                 group.handle(), stream),
                          "ncclAllReduce", operation);
  return end(std::move(status),
             bytes < 0 ? 0 : allReduceBytesSent(bytes, size()));
}

Status Implementation::allGather(const void *send, int64_t bytes, void *receive,
                                 const CollectiveSite &site) {
  Status status = begin(CollectiveKind::AllGather, site, bytes);
  if (status.ok() && bytes > 0)
    status =
        group.settle(library->ncclAllGather(send, receive, size_t(bytes),
                                            ncclInt8, group.handle(), stream),
                     "ncclAllGather", operation);
  return end(std::move(status), status.ok() ? bytes * (size() - 1) : 0);
}

Status Implementation::allGatherV(const void *send, const int64_t *bytes,
                                  void *receive, const CollectiveSite &site) {
  Status status =
      begin(CollectiveKind::AllGather, site, sumOfSizes(bytes, size()));
  const std::vector<int64_t> sends(size(), bytes[rank()]);
  if (status.ok() && options.checkOrder)
    status = compareSizes(sends.data(), bytes);
  if (status.ok())
    status = exchange([&](int) { return static_cast<const char *>(send); },
                      sends.data(), receive, bytes);
  return end(std::move(status), status.ok() ? bytes[rank()] * (size() - 1) : 0);
}

Status Implementation::allToAllV(const void *send, const int64_t *sendBytes,
                                 void *receive, const int64_t *receiveBytes,
                                 const CollectiveSite &site) {
  int64_t total = sumOfSizes(sendBytes, size());
  if (total >= 0 && sumOfSizes(receiveBytes, size()) >= 0)
    total -= sendBytes[rank()];
  else
    total = -1;
  Status status = begin(CollectiveKind::AllToAllV, site, total);
  if (status.ok() && sendBytes[rank()] != receiveBytes[rank()])
    status = fail(keptSizeError(worldRank(), operation, sendBytes[rank()],
                                receiveBytes[rank()]));
  if (status.ok() && options.checkOrder)
    status = compareSizes(sendBytes, receiveBytes);
  if (status.ok())
    status = exchange(
        [&](int r) {
          return static_cast<const char *>(send) +
                 std::accumulate(sendBytes, sendBytes + r, int64_t(0));
        },
        sendBytes, receive, receiveBytes);
  return end(std::move(status), operation.bytes);
}

Status Implementation::exchange(const std::function<const char *(int)> &send,
                                const int64_t *sendBytes, void *receive,
                                const int64_t *receiveBytes) {
  const char *function = "ncclGroupStart";
  ncclResult_t result = library->ncclGroupStart();
  if (result != ncclSuccess)
    return group.settle(result, function, operation);
  auto note = [&](ncclResult_t next, const char *name) {
    if (result == ncclSuccess || result == ncclInProgress) {
      result = next;
      function = name;
    }
  };
  char *to = static_cast<char *>(receive);
  // Without data there is nothing on either side.
  for (int r = 0; r < size(); to += receiveBytes[r++]) {
    if (sendBytes[r])
      note(library->ncclSend(send(r), size_t(sendBytes[r]), ncclInt8, r,
                             group.handle(), stream),
           "ncclSend");
    if (receiveBytes[r])
      note(library->ncclRecv(to, size_t(receiveBytes[r]), ncclInt8, r,
                             group.handle(), stream),
           "ncclRecv");
  }
  // Also after a failure: a group that was started has to end.
  note(library->ncclGroupEnd(), "ncclGroupEnd");
  return group.settle(result, function, operation);
}

Status Implementation::barrier(const CollectiveSite &site) {
  Status status = begin(CollectiveKind::Barrier, site, /*bytes=*/0);
  if (status.ok())
    status = host.barrier(site);
  return end(std::move(status), /*bytesSent=*/0);
}

Expected<std::unique_ptr<Communicator>> Implementation::split(int color,
                                                              int key) {
  Status status = begin(CollectiveKind::Split, CollectiveSite(), /*bytes=*/0);
  if (!status.ok())
    return status;
  Expected<std::unique_ptr<Communicator>> part = host.split(color, key);
  if (!part.ok())
    return part.status();
  Communicator &partHost = *part.value();
  auto communicator = std::make_unique<Implementation>(
      library, partHost, std::move(part.value()), stream, options);
  if (status = communicator->start(); !status.ok())
    return status;
  ++sent.calls;
  return std::unique_ptr<Communicator>(std::move(communicator));
}
