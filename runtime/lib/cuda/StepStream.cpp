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
    Expected<StreamHandle> beside = makeStream(device);
    Expected<EventHandle> ready = makeEvent(device, /*timing=*/false);
    for (const Status &status :
         {made.status(), beside.status(), ready.status()})
      if (!status.ok())
        return status;
    Group &group = groups[axis];
    group.beside = std::move(beside.value());
    group.ready = std::move(ready.value());
    group.nccl = std::move(made.value());
    Status status = tryOut(*group.nccl, memory);
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

Status StepStream::fork(const Communicator &communicator) {
  const char *what = "letting an exchange begin";
  const Driver &driver = device->driver();
  Group &group = groupOf(communicator);
  Status status =
      device->call(driver.cuEventRecord, what, group.ready.get(), stream);
  if (status.ok())
    status = device->call(driver.cuStreamWaitEvent, what, group.beside.get(),
                          group.ready.get(), /*flags=*/0);
  if (status.ok()) {
    group.nccl->useStream(group.beside.get());
    group.isForked = true;
  }
  return status;
}

Status StepStream::rejoin(const Communicator &communicator) {
  Group &group = groupOf(communicator);
  group.nccl->useStream(stream);
  group.isForked = false;
  return device->call(device->driver().cuStreamWaitEvent,
                      "going on after an exchange", stream, group.over,
                      /*flags=*/0);
}

Status StepStream::exchanged(const Communicator &communicator) {
  if (marks.size() == events.size()) {
    Expected<EventHandle> made = makeEvent(device, /*timing=*/false);
    if (!made.ok())
      return made.status();
    events.push_back(std::move(made.value()));
  }
  Group &group = groupOf(communicator);
  group.over = events[marks.size()].get();
  marks.push_back({group.nccl.get(), group.nccl->lastOperation(), group.over});
  return device->call(device->driver().cuEventRecord, "marking an exchange",
                      group.over, group.isForked ? group.beside.get() : stream);
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
                               CUDA_ERROR_NOT_READY, "waiting for an exchange",
                               mark.event);
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
        for (const Group &other : groups)
          if (other && other.nccl.get() != &group)
            if (Status status = other.nccl->check(); !status.ok())
              return status;
        return finished();
      },
      what);
}

/// Gives up all exchanges after the failure `reason`, with which the job has
/// ended, and waits for what else is on its way.
Status StepStream::letGo(const Status &reason, const Question &finished) {
  for (const Group &group : groups)
    if (group)
      (void)group.nccl->check();
  auto end = std::chrono::steady_clock::now() + lettingGoTime;
  auto isOver = [&](const Question &ended) {
    Expected<bool> done = ended();
    return !done.ok() || done.value();
  };
  auto allOver = [&] {
    bool over = isOver(finished);
    for (const Group &group : groups)
      over &= !group || isOver([&] {
        return device->query(device->driver().cuStreamQuery,
                             CUDA_ERROR_NOT_READY, "waiting for an exchange",
                             group.beside.get());
      });
    return over;
  };
  while (!allOver() && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return reason;
}
