//===- CollectiveEntries.cpp - collectives that compiled code calls -------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The entry points of abi.def that other ranks have a part in. No exception may
// leave them: compiled code has nothing to unwind it with.
//
//===----------------------------------------------------------------------===//

#include "StepCollectives.h"
#include "StepContext.h"
#include "Support.h"

using namespace dsv2rt;

#define EXPORT extern "C" __attribute__((visibility("default")))

/// Calls `body` with the step's collectives, if it has any.
template <class F> static void with(void *context, F &&body) {
  StepCollectives *collectives =
      context ? static_cast<StepContext *>(context)->collectives() : nullptr;
  if (!collectives)
    return;
  Status status = guarded([&]() -> Status {
    body(*collectives);
    return Status();
  });
  if (!status.ok())
    collectives->fail(status);
}

EXPORT int64_t dsv2rt_mesh_index(void *context, int32_t axis) {
  int64_t index = 0;
  with(context, [&](StepCollectives &c) { index = c.meshIndex(axis); });
  return index;
}

EXPORT int64_t dsv2rt_arrivals(void *context) {
  int64_t tokens = 0;
  with(context, [&](StepCollectives &c) { tokens = c.arrivals(); });
  return tokens;
}

EXPORT void dsv2rt_check_capacity(void *context, int64_t layer, void *counts,
                                  int64_t count, int64_t capacity) {
  with(context, [&](StepCollectives &c) {
    c.checkCapacity(layer, static_cast<const int32_t *>(counts), count,
                    capacity);
  });
}

EXPORT void dsv2rt_all_reduce(void *context, int32_t axis, int32_t site,
                              int64_t layer, void *data, int64_t count) {
  with(context, [&](StepCollectives &c) {
    c.allReduce(axis, site, layer, static_cast<float *>(data), count);
  });
}

EXPORT void dsv2rt_all_gather(void *context, int32_t axis, int32_t site,
                              int64_t layer, void *send, void *receive,
                              int64_t rows, int64_t row_bytes,
                              int64_t receive_row_bytes) {
  with(context, [&](StepCollectives &c) {
    c.allGather(axis, site, layer, send, receive, rows, row_bytes,
                receive_row_bytes);
  });
}

EXPORT void dsv2rt_all_to_all(void *context, int32_t axis, int32_t site,
                              int64_t layer, void *send, void *receive,
                              int64_t bytes) {
  with(context, [&](StepCollectives &c) {
    c.allToAll(axis, site, layer, send, receive, bytes);
  });
}

static int64_t allToAllV(void *context, int32_t axis, int32_t site,
                         int64_t layer, void *send, void *receive,
                         int64_t row_bytes, void *send_rows, void *receive_rows,
                         int64_t capacity_rows, bool startOnly) {
  int64_t received = 0;
  with(context, [&](StepCollectives &c) {
    received = c.allToAllV(axis, site, layer, send, receive, row_bytes,
                           static_cast<const int32_t *>(send_rows),
                           static_cast<const int32_t *>(receive_rows),
                           capacity_rows, startOnly);
  });
  return received;
}

EXPORT int64_t dsv2rt_all_to_all_v(void *context, int32_t axis, int32_t site,
                                   int64_t layer, void *send, void *receive,
                                   int64_t row_bytes, void *send_rows,
                                   void *receive_rows, int64_t capacity_rows) {
  return allToAllV(context, axis, site, layer, send, receive, row_bytes,
                   send_rows, receive_rows, capacity_rows, false);
}

EXPORT int64_t dsv2rt_all_to_all_v_start(void *context, int32_t axis,
                                         int32_t site, int64_t layer,
                                         void *send, void *receive,
                                         int64_t row_bytes, void *send_rows,
                                         void *receive_rows,
                                         int64_t capacity_rows) {
  return allToAllV(context, axis, site, layer, send, receive, row_bytes,
                   send_rows, receive_rows, capacity_rows, true);
}

EXPORT void dsv2rt_comm_wait(void *context, int32_t axis, int32_t site,
                             int64_t layer, void *receive, int64_t row_bytes,
                             int64_t capacity_rows) {
  with(context, [&](StepCollectives &c) {
    c.wait(axis, site, layer, receive, row_bytes, capacity_rows);
  });
}
