//===- StepCollectives.cpp - what a step needs of other ranks -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StepCollectives.h"
#include "Support.h"

using namespace dsv2rt;

/// One call of compiled code that may go ahead.
struct StepCollectives::Call {
  const MeshAxis *axis = nullptr;
  const Manifest::CommSite *site = nullptr;
  int32_t number = 0;
  int64_t layer = 0;
  int64_t begin = 0;
  /// What the group had counted before.
  CommCounters before;

  CollectiveSite place() const { return {site->name.c_str(), layer}; }
};

StepCollectives::StepCollectives(const Manifest &manifest)
    : manifest(manifest), counts(manifest.commSites.size()) {}

StepCollectives::StepCollectives(const Manifest &manifest, Communicator &world,
                                 MeshAxis tp, MeshAxis ep)
    : manifest(manifest), world(&world), axes{tp, ep},
      counts(manifest.commSites.size()) {}

void StepCollectives::fail(const Status &reason) {
  if (!status.ok())
    return;
  status = reason;
  if (world)
    world->abort(reason);
}

template <class... Parts>
void StepCollectives::refuse(const Call &call, Parts &&...parts) {
  fail(makeError(StatusCode::CorruptData, call.site->kind, " ",
                 quote(call.site->name), " of layer ", call.layer, ": ",
                 parts...));
}

/// Checks what every call names; false: nothing may be exchanged.
bool StepCollectives::open(Call &call, int32_t axis, int32_t site,
                           int64_t layer, const char *kind) {
  if (!status.ok())
    return false;
  const std::vector<Manifest::CommSite> &sites = manifest.commSites;
  if (site < 0 || size_t(site) >= sites.size()) {
    fail(makeError(StatusCode::CorruptData, kind, " of layer ", layer,
                   ": expected one of the manifest's ", sites.size(),
                   " comm_sites, found number ", site));
    return false;
  }
  call.site = &sites[site];
  call.number = site;
  call.layer = layer;
  if (axis != DSV2RT_AXIS_TP && axis != DSV2RT_AXIS_EP) {
    refuse(call, "expected axis 0 or 1, found ", axis);
    return false;
  }
  if (call.site->kind != kind) {
    refuse(call, "the code calls it as ", kind);
    return false;
  }
  call.axis = &axes[axis];
  memory->begin(call.place());
  if (call.axis->group)
    call.before = call.axis->group->counters();
  if (trace)
    call.begin = trace->now();
  return true;
}

/// Counts what a call has sent, and takes up its failure.
void StepCollectives::close(const Call &call, const Status &result) {
  ++counts[call.number].calls;
  finish(call, result);
}

/// The same for the second half of a call.
void StepCollectives::finish(const Call &call, const Status &result) {
  int64_t bytes = call.axis->group ? call.axis->group->counters().bytesSent -
                                         call.before.bytesSent
                                   : 0;
  counts[call.number].bytesSent += bytes;
  if (trace)
    trace->add(call.site->name, "collective", call.begin, trace->now(),
               {{"layer", call.layer}, {"bytes_sent", bytes}});
  if (!result.ok())
    fail(result);
}

/// Zeroes memory whose size compiled code gave, which may be anything.
void StepCollectives::clear(void *data, int64_t bytes) {
  if (bytes > 0)
    memory->clear(data, bytes);
}

int64_t StepCollectives::meshIndex(int32_t axis) {
  if (axis == DSV2RT_AXIS_TP || axis == DSV2RT_AXIS_EP)
    return axes[axis].index;
  fail(makeError(StatusCode::CorruptData,
                 "dsv2rt_mesh_index: expected axis 0 or 1, found ", axis));
  return 0;
}

void StepCollectives::checkCapacity(int64_t layer, const int32_t *counts,
                                    int64_t count, int64_t capacity) {
  if (!status.ok())
    return;
  if (count < 0 || capacity < 1)
    return fail(makeError(StatusCode::CorruptData,
                          "dsv2rt_check_capacity of layer ", layer,
                          ": expected counts and a positive capacity, found ",
                          count, " and ", capacity));
  using Place = StepMemory::Place;
  memory->begin({"dispatch capacity", layer});
  Expected<void *> wanted =
      memory->fetch(Place::SendRows, counts, count * int64_t(sizeof(int32_t)));
  Status fetched = wanted.ok() ? memory->wait() : wanted.status();
  if (!fetched.ok())
    return fail(fetched);
  for (int64_t i = 0; i < count; ++i)
    overflow |= static_cast<const int32_t *>(wanted.value())[i] > capacity;
}

Status StepCollectives::reduce(const Call &call, float *data, int64_t count) {
  using Place = StepMemory::Place;
  int64_t bytes = count * int64_t(sizeof(float));
  if (!call.axis->group)
    return Status();
  Expected<void *> values = memory->fetch(Place::Send, data, bytes);
  Status status = values.ok() ? memory->wait() : values.status();
  if (status.ok())
    status = call.axis->group->allReduce(static_cast<float *>(values.value()),
                                         count, call.place());
  if (status.ok())
    status = memory->exchanged(*call.axis->group);
  return status.ok() ? memory->store(Place::Send, data, bytes) : status;
}

void StepCollectives::allReduce(int32_t axis, int32_t site, int64_t layer,
                                float *data, int64_t count) {
  Call call;
  if (open(call, axis, site, layer, "all_reduce")) {
    if (count < 0)
      refuse(call, "expected at least 0 elements, found ", count);
    else
      close(call, reduce(call, data, count));
  }
  if (!status.ok())
    clear(data, count * int64_t(sizeof(float)));
}

Status StepCollectives::gather(const Call &call, const void *send,
                               void *receive, int64_t rows, int64_t rowBytes,
                               int64_t receiveRowBytes) {
  using Place = StepMemory::Place;
  int64_t ranks = call.axis->size, bytes = rows * rowBytes;
  int64_t total = rows * receiveRowBytes;
  Expected<void *> own = memory->fetch(Place::Send, send, bytes);
  if (!own.ok())
    return own.status();
  // What is between the rows stays.
  bool hasGaps = receiveRowBytes > ranks * rowBytes;
  Expected<void *> all = nullptr;
  if (hasGaps)
    all = memory->fetch(Place::Receive, receive, total);
  Status status = all.ok() ? memory->wait() : all.status();
  if (status.ok() && !hasGaps)
    all = memory->prepare(Place::Receive, receive, total);
  if (!status.ok() || !all.ok())
    return status.ok() ? all.status() : status;
  // Ranks follow one another in what is exchanged, columns in the result: the
  // same for one row.
  auto *out = static_cast<char *>(all.value());
  const auto *from = static_cast<const char *>(own.value());
  bool inPlace = call.axis->group && rows == 1;
  if (call.axis->group) {
    Expected<void *> to =
        inPlace ? Expected<void *>(out) : memory->scratch(ranks * bytes);
    if (!to.ok())
      return to.status();
    status = call.axis->group->allGather(from, bytes, to.value(), call.place());
    if (status.ok())
      status = memory->exchanged(*call.axis->group);
    from = static_cast<const char *>(to.value());
  }
  for (int64_t r = 0; status.ok() && !inPlace && r < ranks; ++r)
    status = memory->copyRows(out + r * rowBytes, receiveRowBytes,
                              from + r * bytes, rows, rowBytes);
  if (!status.ok())
    return status;
  return memory->store(Place::Receive, receive, total);
}

void StepCollectives::allGather(int32_t axis, int32_t site, int64_t layer,
                                const void *send, void *receive, int64_t rows,
                                int64_t rowBytes, int64_t receiveRowBytes) {
  Call call;
  if (open(call, axis, site, layer, "all_gather")) {
    int64_t ranks = call.axis->size;
    if (rows < 0 || rowBytes < 0 || receiveRowBytes < ranks * rowBytes)
      refuse(call, "expected rows of at least ", ranks, " times ", rowBytes,
             " bytes, found ", rows, " of ", receiveRowBytes);
    else
      close(call, guarded([&] {
              return gather(call, send, receive, rows, rowBytes,
                            receiveRowBytes);
            }));
  }
  if (!status.ok())
    for (int64_t row = 0; row < rows; ++row)
      clear(static_cast<char *>(receive) + row * receiveRowBytes,
            receiveRowBytes);
}

/// Where the host has what an exchange sends, or receives, that is started on
/// an axis.
static StepMemory::Place startedPlace(int32_t axis, bool receives) {
  using Place = StepMemory::Place;
  if (axis == DSV2RT_AXIS_TP)
    return receives ? Place::TpReceive : Place::TpSend;
  return receives ? Place::EpReceive : Place::EpSend;
}

Status StepCollectives::exchange(const Call &call, const void *send,
                                 void *receive, bool startOnly) {
  using Place = StepMemory::Place;
  int32_t axis = int32_t(call.axis - axes);
  Place out = startOnly ? startedPlace(axis, false) : Place::Send;
  Place in = startOnly ? startedPlace(axis, true) : Place::Receive;
  int64_t sent = 0, received = 0;
  for (size_t r = 0; r < sendBytes.size(); ++r) {
    sent += sendBytes[r];
    received += receiveBytes[r];
  }
  if (!call.axis->group && sent != received)
    return makeError(StatusCode::CorruptData, call.site->kind, " ",
                     quote(call.site->name), " of layer ", call.layer,
                     ": a rank alone sends itself ", sent,
                     " bytes and expects ", received);
  Expected<void *> from = memory->fetch(out, send, sent);
  Status status = from.ok() ? memory->wait() : from.status();
  if (!status.ok())
    return status;
  Expected<void *> to = memory->prepare(in, receive, received);
  if (!to.ok())
    return to.status();
  if (Communicator *group = call.axis->group; group && startOnly) {
    startedBytes[axis] = received;
    status = memory->fork(*group);
    if (status.ok())
      status = group->startAllToAllV(from.value(), sendBytes.data(), to.value(),
                                     receiveBytes.data(), call.place());
    return status.ok() ? memory->exchanged(*group) : status;
  } else if (group) {
    status = group->allToAllV(from.value(), sendBytes.data(), to.value(),
                              receiveBytes.data(), call.place());
    if (status.ok())
      status = memory->exchanged(*group);
  } else {
    status = memory->copyRows(to.value(), sent, from.value(), 1, sent);
  }
  return status.ok() ? memory->store(in, receive, received) : status;
}

Status StepCollectives::finishExchange(const Call &call, int32_t axis,
                                       void *receive) {
  // Alone, it was done when it was started.
  Communicator *group = call.axis->group;
  if (!group)
    return Status();
  Status status = group->finishAllToAllV();
  if (status.ok())
    status = memory->rejoin(*group);
  return status.ok() ? memory->store(startedPlace(axis, /*receives=*/true),
                                     receive, startedBytes[axis])
                     : status;
}

void StepCollectives::allToAll(int32_t axis, int32_t site, int64_t layer,
                               const void *send, void *receive, int64_t bytes) {
  Call call;
  if (open(call, axis, site, layer, "all_to_all")) {
    if (bytes < 0) {
      refuse(call, "expected at least 0 bytes, found ", bytes);
    } else {
      sendBytes.assign(call.axis->size, bytes);
      receiveBytes = sendBytes;
      close(call, exchange(call, send, receive));
    }
  }
  bool known = axis == DSV2RT_AXIS_TP || axis == DSV2RT_AXIS_EP;
  if (!status.ok() && known)
    clear(receive, bytes * axes[axis].size);
}

int64_t StepCollectives::allToAllV(int32_t axis, int32_t site, int64_t layer,
                                   const void *send, void *receive,
                                   int64_t rowBytes, const int32_t *sendRows,
                                   const int32_t *receiveRows,
                                   int64_t capacityRows, bool startOnly) {
  using Place = StepMemory::Place;
  Call call;
  int64_t received = 0;
  if (open(call, axis, site, layer, "all_to_all_v")) {
    int64_t ranks = call.axis->size, lowest = 0;
    int64_t countBytes = ranks * int64_t(sizeof(int32_t));
    Expected<void *> sending =
        memory->fetch(Place::SendRows, sendRows, countBytes);
    Expected<void *> receiving =
        memory->fetch(Place::ReceiveRows, receiveRows, countBytes);
    Status fetched = !sending.ok()     ? sending.status()
                     : !receiving.ok() ? receiving.status()
                                       : memory->wait();
    sendBytes.assign(ranks, 0), receiveBytes.assign(ranks, 0);
    for (int64_t r = 0; fetched.ok() && r < ranks; ++r) {
      int64_t out = static_cast<const int32_t *>(sending.value())[r];
      int64_t in = static_cast<const int32_t *>(receiving.value())[r];
      lowest = std::min({lowest, out, in});
      sendBytes[r] = out * rowBytes;
      receiveBytes[r] = in * rowBytes;
      received += in;
    }
    if (!fetched.ok())
      close(call, fetched);
    else if (rowBytes < 0)
      refuse(call, "expected rows of at least 0 bytes, found ", rowBytes);
    else if (lowest < 0)
      refuse(call, "expected at least 0 rows for every rank, found ", lowest);
    else if (received > capacityRows)
      refuse(call, "expected at most ", capacityRows,
             " rows to receive, found ", received);
    else
      close(call, exchange(call, send, receive, startOnly));
    if (status.ok()) {
      started[axis] = startOnly;
      return received;
    }
  }
  clear(receive, capacityRows * rowBytes);
  return 0;
}

void StepCollectives::wait(int32_t axis, int32_t site, int64_t layer,
                           void *receive, int64_t rowBytes,
                           int64_t capacityRows) {
  Call call;
  if (open(call, axis, site, layer, "all_to_all_v")) {
    if (!started[axis])
      refuse(call, "a wait for an exchange that was not started");
    else
      finish(call, finishExchange(call, axis, receive));
    started[axis] = false;
  }
  if (!status.ok())
    clear(receive, capacityRows * rowBytes);
}
