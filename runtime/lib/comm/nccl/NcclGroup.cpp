//===- NcclGroup.cpp - one communicator of NCCL, with deadlines -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NcclGroup.h"

#include "Support.h"

#include <chrono>
#include <cstdio>
#include <future>

#include <sched.h>

using namespace dsv2rt;
using namespace dsv2rt::comm;

using Clock = std::chrono::steady_clock;

/// How long ncclCommAbort may take.
static constexpr std::chrono::seconds abortTime(3);

/// A text fit for a message.
static const char *textOr(const char *text, const char *otherwise) {
  return text && *text ? text : otherwise;
}

Status NcclGroup::start() {
  struct Card {
    ncclUniqueId id = {};
    int worldRank = 0;
  } own;
  own.worldRank = host.worldRank();
  ncclResult_t result = ncclSuccess;
  if (host.rank() == 0)
    result = library->ncclGetUniqueId(&own.id);
  if (result != ncclSuccess)
    return fail(failure(result, "ncclGetUniqueId failed"));
  std::vector<Card> cards(host.size());
  if (Status status =
          host.allGather(&own, sizeof(own), cards.data(), {"ids of NCCL", -1});
      !status.ok())
    return status;
  for (const Card &card : cards)
    worldRanks.push_back(card.worldRank);
  ncclConfig_t config;
  config.blocking = 0;
  result = library->ncclCommInitRankConfig(&communicator, host.size(),
                                           cards[0].id, host.rank(), &config);
  if (result != ncclSuccess && result != ncclInProgress)
    return fail(failure(result, "ncclCommInitRankConfig failed"));
  const std::string what = "the start of NCCL";
  return poll([&] { return settled(what); }, options.startTimeout, what);
}

NcclGroup::~NcclGroup() {
  if (!communicator)
    return;
  if (host.status().ok() && settle(library->ncclCommFinalize(communicator),
                                   "ncclCommFinalize", Operation())
                                .ok()) {
    library->ncclCommDestroy(communicator);
    return;
  }
  abandon();
}

/// "ncclSend failed in ...: unhandled system error, ...".
Status NcclGroup::failure(ncclResult_t result, const std::string &what) {
  return makeError(
      StatusCode::RankFailed, what, ": ",
      textOr(library->ncclGetErrorString(result), "an error without a name"),
      " (", int(result), "), ",
      textOr(library->ncclGetLastError(communicator), "with no explanation"));
}

/// Ends the job, and returns the reason, which may be an earlier one.
Status NcclGroup::fail(const Status &reason) {
  host.abort(reason);
  Status status = host.status();
  if (abandon())
    return status;
  return makeError(StatusCode::RankFailed, status.message(),
                   "; ncclCommAbort did not return within ", abortTime.count(),
                   " s");
}

/// False when NCCL does not come back.
bool NcclGroup::abandon() {
  ncclComm_t lost = std::exchange(communicator, nullptr);
  if (!lost)
    return true;
  auto done = std::make_shared<std::promise<void>>();
  std::future<void> future = done->get_future();
  try {
    std::thread([library = library, lost, done] {
      library->ncclCommAbort(lost);
      done->set_value();
    }).detach();
  } catch (const std::system_error &) {
    return false;
  }
  return future.wait_for(abortTime) == std::future_status::ready;
}

/// Whether NCCL is done with what it was told last.
Expected<bool> NcclGroup::settled(const std::string &what) {
  ncclResult_t state = ncclSuccess;
  ncclResult_t result = library->ncclCommGetAsyncError(communicator, &state);
  if (result == ncclSuccess)
    result = state;
  if (result == ncclSuccess || result == ncclInProgress)
    return result == ncclSuccess;
  return failure(result, "NCCL failed in " + what);
}

Status NcclGroup::poll(const std::function<Expected<bool>()> &finished,
                       double seconds, const std::string &what) {
  const Clock::time_point start = Clock::now();
  Clock::time_point last = start;
  double waited = 0;
  for (;;) {
    Expected<bool> done = finished();
    if (!done.ok())
      return fail(done.status());
    if (done.value())
      return Status();
    if (Status ended = host.status(); !ended.ok())
      return fail(ended);
    // Others may wait for this rank through the host; it is not the one that is
    // lost, and has a deadline of its own.
    host.alive();
    Clock::time_point now = Clock::now();
    // A process that was stopped itself must not count that.
    waited += std::min(std::chrono::duration<double>(now - last).count(),
                       seconds / 4);
    last = now;
    if (waited >= seconds) {
      char text[32];
      std::snprintf(text, sizeof(text), "%.1f s", waited);
      return fail(makeError(
          StatusCode::RankFailed, "it waited ", text, " in ", what,
          "; a rank is lost, late or somewhere else, NCCL does not say which"));
    }
    if (now - start > std::chrono::milliseconds(50)) {
      timespec nap = {0, 50'000};
      nanosleep(&nap, nullptr);
    } else if (now - start > std::chrono::microseconds(50)) {
      sched_yield();
    }
  }
}

Status NcclGroup::settle(ncclResult_t result, const char *function,
                         const Operation &operation) {
  auto where = [&] {
    return operation.sequence ? strCat(function, " of ", operation.text())
                              : std::string(function);
  };
  if (result != ncclSuccess && result != ncclInProgress)
    return fail(failure(result, "NCCL failed in " + where()));
  // Errors of earlier operations show here, too.
  Expected<bool> done = settled(where());
  if (done.ok() && done.value())
    return Status();
  return poll([&] { return settled(where()); }, options.timeout, where());
}

Status NcclGroup::wait(const std::function<Expected<bool>()> &finished,
                       const std::string &what) {
  if (!communicator)
    return host.status();
  return poll(
      [&]() -> Expected<bool> {
        if (Expected<bool> state = settled(what); !state.ok())
          return state;
        return finished();
      },
      options.timeout, what);
}

Status NcclGroup::check(const std::string &what) {
  if (!communicator)
    return host.status();
  if (Status ended = host.status(); !ended.ok())
    return fail(ended);
  Expected<bool> state = settled(what);
  return state.ok() ? Status() : fail(state.status());
}
