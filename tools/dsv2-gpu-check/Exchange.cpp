//===- Exchange.cpp - one rank exchanges with itself ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Exchange.h"
#include "DeviceImpl.h"
#include "Handles.h"
#include "dsv2rt/KernelCases.h"
#include "dsv2rt/comm/Nccl.h"
#include "dsv2rt/comm/ThreadGroup.h"

#include <cstring>
#include <vector>

using namespace dsv2rt;
using namespace dsv2rt::cuda;
using namespace dsv2check;

namespace {

/// The operations of one rank on a stream.
class SelfExchange {
public:
  SelfExchange(std::shared_ptr<Context> context, CUstream stream,
               NcclCommunicator &nccl)
      : context(std::move(context)), stream(stream), nccl(nccl) {}

  Status run();
  ExchangeReport report;

private:
  static constexpr int64_t most = int64_t(16) << 20;

  Status begin(int64_t bytes);
  Status finish(const CollectiveSite &site, int64_t bytes, DeviceMemory &place);
  Status runAll(int64_t bytes);

  std::shared_ptr<Context> context;
  CUstream stream;
  NcclCommunicator &nccl;
  DeviceMemory send, receive;
  std::vector<char> sent, received;
};

} // namespace

/// Fills what is sent anew, and what is received with something else.
Status SelfExchange::begin(int64_t bytes) {
  for (int64_t i = 0; i < bytes / 4; ++i) {
    float value = caseNumber(uint64_t(report.operations) + 1, 1, i);
    std::memcpy(sent.data() + 4 * i, &value, 4);
  }
  const Driver &driver = context->driver();
  Status status;
  if (bytes)
    status = context->call(driver.cuMemcpyHtoDAsync_v2, "filling a buffer",
                           send.address(), sent.data(), size_t(bytes), stream);
  if (status.ok())
    status = context->call(driver.cuMemsetD8Async, "clearing a buffer",
                           receive.address(), 0xFF, size_t(most), stream);
  return status;
}

/// Waits for an operation and compares what is at `place`.
Status SelfExchange::finish(const CollectiveSite &site, int64_t bytes,
                            DeviceMemory &place) {
  const Driver &driver = context->driver();
  Status status = nccl.wait([&]() -> Expected<bool> {
    Status waited =
        context->call(driver.cuStreamSynchronize, "waiting for NCCL", stream);
    if (!waited.ok())
      return waited;
    return true;
  });
  if (status.ok() && bytes)
    status =
        context->call(driver.cuMemcpyDtoHAsync_v2, "reading a buffer",
                      received.data(), place.address(), size_t(bytes), stream);
  if (status.ok())
    status =
        context->call(driver.cuStreamSynchronize, "reading a buffer", stream);
  if (!status.ok())
    return status;
  for (int64_t i = 0; i < bytes; ++i)
    if (sent[size_t(i)] != received[size_t(i)])
      return makeError(StatusCode::Mismatch, site.name, " of ", bytes,
                       " bytes: byte ", i, " of ",
                       "the result is not what "
                       "the rank has sent to itself");
  ++report.operations;
  report.bytes += bytes;
  return Status();
}

Status SelfExchange::runAll(int64_t bytes) {
  auto step = [&](const char *name, DeviceMemory &place, auto operation) {
    CollectiveSite site{name};
    Status status = begin(bytes);
    if (status.ok())
      status = operation(site);
    return status.ok() ? finish(site, bytes, place) : status;
  };
  Status status = step("all_reduce", send, [&](const CollectiveSite &site) {
    return nccl.allReduce(static_cast<float *>(send.pointer()), bytes / 4,
                          site);
  });
  if (status.ok())
    status = step("all_gather", receive, [&](const CollectiveSite &site) {
      return nccl.allGather(send.pointer(), bytes, receive.pointer(), site);
    });
  if (status.ok())
    status = step("all_gather_v", receive, [&](const CollectiveSite &site) {
      return nccl.allGatherV(send.pointer(), &bytes, receive.pointer(), site);
    });
  if (status.ok())
    status = step("all_to_all_v", receive, [&](const CollectiveSite &site) {
      return nccl.allToAllV(send.pointer(), &bytes, receive.pointer(), &bytes,
                            site);
    });
  if (status.ok())
    status = step(
        "all_to_all_v in two halves", receive, [&](const CollectiveSite &site) {
          Status started = nccl.startAllToAllV(send.pointer(), &bytes,
                                               receive.pointer(), &bytes, site);
          return started.ok() ? nccl.finishAllToAllV() : started;
        });
  return status;
}

Status SelfExchange::run() {
  sent.resize(size_t(most));
  received.resize(size_t(most));
  Status status = send.reserve(context, most, "a buffer to send");
  if (status.ok())
    status = receive.reserve(context, most, "a buffer to receive");
  for (int64_t bytes :
       {int64_t(0), int64_t(4), int64_t(4096), int64_t(1000004), most})
    if (status.ok())
      status = runAll(bytes);
  return status.ok() ? nccl.barrier({"barrier"}) : status;
}

Expected<ExchangeReport> dsv2check::checkExchange(const Device &device) {
  const std::shared_ptr<Context> &context = device.implementation().context;
  Status status = context->makeCurrent();
  Expected<StreamHandle> stream = makeStream(context);
  if (status.ok())
    status = stream.status();
  if (!status.ok())
    return status;
  CommOptions options;
  auto host = makeThreadGroup(1, options);
  if (!host.ok())
    return host.status();
  auto nccl =
      NcclCommunicator::create(*host.value()[0], stream.value().get(), options);
  if (!nccl.ok())
    return nccl.status();
  SelfExchange exchange(context, stream.value().get(), *nccl.value());
  status = exchange.run();
  if (!status.ok())
    return status;
  return exchange.report;
}
