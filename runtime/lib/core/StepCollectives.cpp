//===- StepCollectives.cpp - what a step needs of other ranks -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StepCollectives.h"
#include "Support.h"

#include <cstring>

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
static void clear(void *data, int64_t bytes) {
  if (bytes > 0)
    std::memset(data, 0, size_t(bytes));
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
  for (int64_t i = 0; i < count; ++i)
    overflow |= counts[i] > capacity;
}

void StepCollectives::allReduce(int32_t axis, int32_t site, int64_t layer,
                                float *data, int64_t count) {
  Call call;
  if (open(call, axis, site, layer, "all_reduce")) {
    if (count < 0)
      refuse(call, "expected at least 0 elements, found ", count);
    else
      close(call, call.axis->group
                      ? call.axis->group->allReduce(data, count, call.place())
                      : Status());
  }
  if (!status.ok())
    clear(data, count * int64_t(sizeof(float)));
}

void StepCollectives::allGather(int32_t axis, int32_t site, int64_t layer,
                                const void *send, void *receive, int64_t rows,
                                int64_t rowBytes, int64_t receiveRowBytes) {
  Call call;
  auto *out = static_cast<char *>(receive);
  if (open(call, axis, site, layer, "all_gather")) {
    int64_t ranks = call.axis->size;
    if (rows < 0 || rowBytes < 0 || receiveRowBytes < ranks * rowBytes) {
      refuse(call, "expected rows of at least ", ranks, " times ", rowBytes,
             " bytes, found ", rows, " of ", receiveRowBytes);
    } else if (call.axis->group) {
      // Ranks follow one another in what is exchanged, columns in the result.
      int64_t bytes = rows * rowBytes;
      Status result = guarded([&]() -> Status {
        gathered.resize(std::max(gathered.size(), size_t(ranks * bytes)));
        return call.axis->group->allGather(send, bytes, gathered.data(),
                                           call.place());
      });
      close(call, result);
      for (int64_t r = 0; status.ok() && rowBytes && r < ranks; ++r)
        for (int64_t row = 0; row < rows; ++row)
          std::memcpy(out + row * receiveRowBytes + r * rowBytes,
                      gathered.data() + r * bytes + row * rowBytes,
                      size_t(rowBytes));
    } else {
      close(call, Status());
      for (int64_t row = 0; rowBytes && row < rows; ++row)
        std::memcpy(out + row * receiveRowBytes,
                    static_cast<const char *>(send) + row * rowBytes,
                    size_t(rowBytes));
    }
  }
  if (!status.ok())
    for (int64_t row = 0; row < rows; ++row)
      clear(out + row * receiveRowBytes, receiveRowBytes);
}

/// Exchanges `sendBytes` and `receiveBytes`, which are as long as the axis.
bool StepCollectives::exchange(const Call &call, const void *send,
                               void *receive, bool startOnly) {
  if (call.axis->group) {
    Communicator &group = *call.axis->group;
    close(call, startOnly
                    ? group.startAllToAllV(send, sendBytes.data(), receive,
                                           receiveBytes.data(), call.place())
                    : group.allToAllV(send, sendBytes.data(), receive,
                                      receiveBytes.data(), call.place()));
  } else if (sendBytes[0] != receiveBytes[0]) {
    refuse(call, "a rank alone sends itself ", sendBytes[0],
           " bytes and expects ", receiveBytes[0]);
  } else {
    close(call, Status());
    if (sendBytes[0])
      std::memcpy(receive, send, size_t(sendBytes[0]));
  }
  return status.ok();
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
      exchange(call, send, receive);
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
  Call call;
  int64_t received = 0;
  if (open(call, axis, site, layer, "all_to_all_v")) {
    int64_t ranks = call.axis->size, lowest = 0;
    sendBytes.assign(ranks, 0), receiveBytes.assign(ranks, 0);
    for (int64_t r = 0; r < ranks; ++r) {
      lowest = std::min<int64_t>({lowest, sendRows[r], receiveRows[r]});
      sendBytes[r] = sendRows[r] * rowBytes;
      receiveBytes[r] = receiveRows[r] * rowBytes;
      received += receiveRows[r];
    }
    if (rowBytes < 0)
      refuse(call, "expected rows of at least 0 bytes, found ", rowBytes);
    else if (lowest < 0)
      refuse(call, "expected at least 0 rows for every rank, found ", lowest);
    else if (received > capacityRows)
      refuse(call, "expected at most ", capacityRows,
             " rows to receive, found ", received);
    else if (exchange(call, send, receive, startOnly)) {
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
    else if (call.axis->group)
      finish(call, call.axis->group->finishAllToAllV());
    started[axis] = false;
  }
  if (!status.ok())
    clear(receive, capacityRows * rowBytes);
}
