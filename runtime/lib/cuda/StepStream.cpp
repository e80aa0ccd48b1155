//===- StepStream.cpp - where a session's steps run -----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StepStream.h"

#include <chrono>
#include <thread>

using namespace dsv2rt;
using namespace dsv2rt::cuda;

/// How long a stream may take to end after its exchanges were given up.
static constexpr std::chrono::seconds lettingGoTime(3);

static const CollectiveSite tryOutSite = {"session.start", -1};

Expected<std::unique_ptr<StepStream>>
StepStream::make(const std::shared_ptr<Context> &context) {
  Status status = context->makeCurrent();
  if (!status.ok())
    return status;
  Expected<StreamHandle> made = makeStream(context);
  if (!made.ok())
    return made.status();
  auto stream = std::make_unique<StepStream>(context, made.value().get());
  stream->own = std::move(made.value());
  return stream;
}

/// Communicators end, which uses the device, before what they work on.
StepStream::~StepStream() {
  if (hasExchanges())
    (void)device->makeCurrent();
}

Status StepStream::join(Communicator *tp, Communicator *ep,
                        const std::string &library) {
  // Whoever is alone has no other ranks, but takes part in what all do.
  DeviceMemory memory;
  Communicator *hosts[2] = {tp, ep};
  for (int axis = 0; axis < 2; ++axis) {
    Communicator *host = hosts[axis];
    if (!host)
      continue;
    Expected<std::unique_ptr<NcclCommunicator>> made =
        NcclCommunicator::create(*host, stream, host->commOptions(), library);
    if (!made.ok())
      return made.status();
    groups[axis] = std::move(made.value());
    Status status = tryOut(*groups[axis], memory);
    if (!status.ok())
      return status;
  }
  return Status();
}

/// Sums and exchanges a number.
Status StepStream::tryOut(NcclCommunicator &group, DeviceMemory &memory) {
  const Driver &driver = device->driver();
  int64_t ranks = group.size(), bytes = 4 * ranks;
  Status status =
      memory.reserve(device, uint64_t(2 * bytes), "the first exchange");
  if (status.ok())
    status = device->call(driver.cuMemsetD8Async, "clearing memory",
                          memory.address(), 0, size_t(2 * bytes), stream);
  auto *words = static_cast<float *>(memory.pointer());
  if (status.ok())
    status = group.allReduce(words, 1, tryOutSite);
  if (status.ok())
    status = exchanged(group);
  std::vector<int64_t> sizes(size_t(ranks), 4);
  if (status.ok())
    status = group.allToAllV(words, sizes.data(), words + ranks, sizes.data(),
                             tryOutSite);
  if (status.ok())
    status = exchanged(group);
  // Also after a failure: the memory has to be free.
  Status waited = wait("waiting for the first exchange of the ranks");
  return status.ok() ? waited : status;
}

Status StepStream::exchanged(const Communicator &group) {
  NcclCommunicator &by = tp() == &group ? *tp() : *ep();
  if (marks.size() == events.size()) {
    Expected<EventHandle> made = makeEvent(device, /*timing=*/false);
    if (!made.ok())
      return made.status();
    events.push_back(std::move(made.value()));
  }
  CUevent event = events[marks.size()].get();
  marks.push_back({&by, by.lastOperation(), event});
  return device->call(device->driver().cuEventRecord, "marking an exchange",
                      event, stream);
}

Status StepStream::awaitExchanges(const Question &finished) {
  NcclCommunicator *last = tp() ? tp() : ep();
  std::string what = "the start of a step";
  Status status;
  for (const Mark &mark : marks) {
    status = await(
        *mark.group,
        [&] {
          return device->query(device->driver().cuEventQuery,
                               "waiting for an exchange", mark.event);
        },
        mark.operation);
    if (!status.ok())
      break;
    last = mark.group;
    what = "what follows " + mark.operation;
  }
  marks.clear();
  if (status.ok())
    status = await(*last, finished, what);
  return status.ok() ? status : letGo(status, finished);
}

/// Waits with `group`, and looks after the other one.
Status StepStream::await(NcclCommunicator &group, const Question &finished,
                         const std::string &what) {
  return group.wait(
      [&]() -> Expected<bool> {
        for (const auto &other : groups)
          if (other && other.get() != &group)
            if (Status status = other->check(); !status.ok())
              return status;
        return finished();
      },
      what);
}

/// Gives up all exchanges after the failure `reason`, with which the job has
/// ended, and waits for what else is on its way.
Status StepStream::letGo(const Status &reason, const Question &finished) {
  for (const auto &group : groups)
    if (group)
      (void)group->check();
  auto end = std::chrono::steady_clock::now() + lettingGoTime;
  for (;;) {
    Expected<bool> done = finished();
    if (!done.ok() || done.value() || std::chrono::steady_clock::now() > end)
      return reason;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}
