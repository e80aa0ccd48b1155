//===- MpiProcess.cpp - this process as a rank of MPI ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MpiProcess.h"

#include "Support.h"

#include <cstdio>
#include <cstdlib>

#include <sched.h>

using namespace dsv2rt;
using namespace dsv2rt::comm;

/// Tags of notices.
static constexpr int aliveTag = 0, waitingTag = 1, endTag = 2;
/// Sizes in MPI are ints; more goes in pieces.
static constexpr int64_t largestMessage = 1 << 30;

static std::string errorText(int code) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS)
    return "error " + std::to_string(code);
  return std::string(text, length);
}

Status MpiProcess::check(int code, const char *function,
                         const Operation &operation) {
  if (code == MPI_SUCCESS)
    return Status();
  end(strCat(function, " failed on rank ", ownRank, " in ", operation.text(),
             ": ", errorText(code)));
  return reason();
}

Status MpiProcess::start() {
  int provided = 0;
  int code = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  if (code != MPI_SUCCESS)
    return makeError(StatusCode::RankFailed,
                     "MPI_Init_thread failed: ", errorText(code));
  // Errors are returned, instead of ending the process.
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (provided < MPI_THREAD_FUNNELED)
    return makeError(StatusCode::Unsupported,
                     "this MPI cannot be used by programs with threads");
  for (MPI_Comm *communicator : {&data, &notices})
    if (code = MPI_Comm_dup(MPI_COMM_WORLD, communicator); code != MPI_SUCCESS)
      return makeError(StatusCode::RankFailed,
                       "MPI_Comm_dup failed: ", errorText(code));
  MPI_Comm_rank(data, &ownRank);
  MPI_Comm_size(data, &numRanks);
  peers.resize(numRanks);
  return Status();
}

void MpiProcess::end(const std::string &text, bool here) {
  std::lock_guard<std::mutex> lock(mutex);
  if (isEnded)
    return;
  endReason = text.substr(0, 4000);
  isEndedHere = here;
  isEnded = true;
}

Status MpiProcess::reason() const {
  if (!isEnded)
    return Status();
  std::lock_guard<std::mutex> lock(mutex);
  return Status::error(StatusCode::RankFailed, endReason);
}

//===----------------------------------------------------------------------===//
// Notices
//===----------------------------------------------------------------------===//

void MpiProcess::sendNotice(int kind, const std::string &text) {
  // Forget those that have been sent.
  sentNotices.remove_if([](Notice &notice) {
    int done = 0;
    return MPI_Testall(int(notice.requests.size()), notice.requests.data(),
                       &done, MPI_STATUSES_IGNORE) == MPI_SUCCESS &&
           done;
  });
  sentNotices.push_back({text, {}});
  Notice &notice = sentNotices.back();
  for (int r = 0; r < numRanks; ++r) {
    MPI_Request request;
    if (r != ownRank &&
        MPI_Isend(notice.text.data(), int(notice.text.size()), MPI_BYTE, r,
                  kind, notices, &request) == MPI_SUCCESS)
      notice.requests.push_back(request);
  }
}

void MpiProcess::readNotices() {
  int found = 0;
  MPI_Status status;
  while (MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, notices, &found, &status) ==
             MPI_SUCCESS &&
         found) {
    int bytes = 0;
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    std::string text(std::max(bytes, 0), '\0');
    // It is there: this does not wait.
    if (MPI_Recv(text.data(), int(text.size()), MPI_BYTE, status.MPI_SOURCE,
                 status.MPI_TAG, notices, MPI_STATUS_IGNORE) != MPI_SUCCESS)
      return;
    Peer &peer = peers[status.MPI_SOURCE];
    if (status.MPI_TAG == aliveTag) {
      peer.heard = Clock::now();
      peer.waitsFor = -1;
    } else if (status.MPI_TAG == waitingTag) {
      peer.waitsFor = std::atoi(text.c_str());
      peer.waitsSince = Clock::now();
    } else if (status.MPI_TAG == endTag) {
      end(text, /*here=*/false);
    }
  }
}

void MpiProcess::spreadReason() {
  if (!isEnded || spread)
    return;
  spread = true;
  // Who has heard of it from another one need not repeat it.
  if (isEndedHere)
    sendNotice(endTag, reason().message());
}

void MpiProcess::alive() {
  Clock::time_point now = Clock::now();
  if (now - lastAlive < std::chrono::duration<double>(options.timeout / 8))
    return;
  lastAlive = now;
  readNotices();
  sendNotice(aliveTag, "");
}

//===----------------------------------------------------------------------===//
// Transfers
//===----------------------------------------------------------------------===//

Status MpiProcess::start(MpiTransfer &transfer,
                         const std::vector<MpiPart> &parts, int tag) {
  // Receives first, so that what arrives early needs no copy.
  for (bool receives : {true, false})
    for (const MpiPart &part : parts) {
      int64_t bytes = receives ? part.receiveBytes : part.sendBytes;
      // Without data there is a message too: it says that the rank was there.
      for (int64_t done = 0; done == 0 || done < bytes;
           done += largestMessage) {
        int now = int(std::min(bytes - done, largestMessage));
        MPI_Request request = MPI_REQUEST_NULL;
        int code =
            receives ? MPI_Irecv(static_cast<char *>(part.receive) + done, now,
                                 MPI_BYTE, part.rank, tag, data, &request)
                     : MPI_Isend(static_cast<const char *>(part.send) + done,
                                 now, MPI_BYTE, part.rank, tag, data, &request);
        if (Status status = check(code, receives ? "MPI_Irecv" : "MPI_Isend",
                                  transfer.operation);
            !status.ok()) {
          cancel(transfer);
          return status;
        }
        transfer.pending.push_back({request, part.rank, receives, now});
      }
    }
  return Status();
}

Status MpiProcess::finish(MpiTransfer &transfer) {
  Status status = wait(transfer);
  if (!status.ok()) {
    cancel(transfer);
    spreadReason();
  }
  return status;
}

/// The buffers are the caller's again, so nothing may arrive in them.
void MpiProcess::cancel(MpiTransfer &transfer) {
  for (MpiTransfer::Message &message : transfer.pending) {
    if (message.receives)
      MPI_Cancel(&message.request);
    MPI_Request_free(&message.request);
  }
  transfer.pending.clear();
}

Status MpiProcess::finished(const MpiTransfer &transfer,
                            const MpiTransfer::Message &message, int code,
                            const MPI_Status &status) {
  int errorClass = MPI_SUCCESS;
  if (code != MPI_SUCCESS)
    MPI_Error_class(code, &errorClass);
  int bytes = 0;
  if (code == MPI_SUCCESS && message.receives)
    MPI_Get_count(&status, MPI_BYTE, &bytes);
  const bool tooLong = errorClass == MPI_ERR_TRUNCATE;
  if (!tooLong && code != MPI_SUCCESS)
    return check(code, "MPI_Test", transfer.operation);
  if (!message.receives || (!tooLong && bytes == message.bytes))
    return Status();
  end(strCat("the ranks disagree in ", transfer.operation.text(), ": rank ",
             message.rank, " sends ",
             tooLong ? "more" : std::to_string(bytes).c_str(),
             " bytes to rank ", ownRank, ", which expects ", message.bytes));
  return reason();
}

Status MpiProcess::advance(MpiTransfer &transfer, bool &progressed) {
  std::vector<MpiTransfer::Message> &pending = transfer.pending;
  for (size_t i = 0; i < pending.size();) {
    int done = 0;
    MPI_Status status = {};
    int code = MPI_Test(&pending[i].request, &done, &status);
    if (code == MPI_SUCCESS && !done) {
      ++i;
      continue;
    }
    MpiTransfer::Message message = pending[i];
    pending.erase(pending.begin() + i);
    progressed = true;
    if (Status result = finished(transfer, message, code, status); !result.ok())
      return result;
  }
  return Status();
}

Status MpiProcess::lateness(const MpiTransfer &transfer, double seconds) {
  const int awaited = transfer.pending.front().rank;
  const std::string where = transfer.operation.text();
  // The rank at the end of those that wait for one another.
  int late = awaited;
  std::vector<int> seen = {ownRank};
  auto recently = [&](const Peer &peer) {
    return peer.waitsFor >= 0 && peer.waitsFor < numRanks &&
           Clock::now() - peer.waitsSince <
               std::chrono::duration<double>(options.timeout);
  };
  while (std::find(seen.begin(), seen.end(), late) == seen.end() &&
         recently(peers[late])) {
    seen.push_back(late);
    late = peers[late].waitsFor;
  }
  const bool circle = std::find(seen.begin(), seen.end(), late) != seen.end();
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f s", seconds);
  if (circle)
    end(strCat("ranks wait for one another since ", text, ": rank ", ownRank,
               " for rank ", awaited, " in ", where));
  else
    end(strCat("rank ", late, " showed no progress for ", text, " while rank ",
               ownRank, " waited for ",
               late == awaited ? ""
                               : strCat("rank ", awaited, " and that for "),
               "it in ", where));
  return reason();
}

Status MpiProcess::wait(MpiTransfer &transfer) {
  const std::vector<MpiTransfer::Message> &pending = transfer.pending;
  Clock::time_point start = Clock::now(), last = start;
  Clock::time_point heard = start;
  double waited = 0;
  bool announced = false;
  for (int64_t turn = 0;; ++turn) {
    bool progressed = false;
    if (Status status = advance(transfer, progressed); !status.ok())
      return status;
    if (pending.empty())
      return Status();
    if (turn % 64)
      continue;
    readNotices();
    if (isEnded)
      return reason();
    Clock::time_point now = Clock::now();
    for (const MpiTransfer::Message &message : pending)
      if (Peer &peer = peers[message.rank]; peer.heard > heard) {
        heard = peer.heard;
        progressed = true;
      }
    // A rank that was stopped itself must not count that against the others.
    waited += std::min(std::chrono::duration<double>(now - last).count(),
                       options.timeout / 4);
    last = now;
    if (progressed)
      waited = 0;
    if (waited >= options.timeout)
      return lateness(transfer, waited);
    if (waited >= options.timeout / 2 && !announced) {
      announced = true;
      sendNotice(waitingTag, std::to_string(pending.front().rank));
    }
    if (now - start > std::chrono::milliseconds(50)) {
      timespec nap = {0, 100'000};
      nanosleep(&nap, nullptr);
    } else if (now - start > std::chrono::microseconds(50)) {
      sched_yield();
    }
  }
}

//===----------------------------------------------------------------------===//
// The end
//===----------------------------------------------------------------------===//

Status MpiProcess::leave() {
  for (Notice &notice : sentNotices)
    for (MPI_Request &request : notice.requests)
      MPI_Request_free(&request);
  int code = MPI_Comm_free(&data);
  if (code == MPI_SUCCESS)
    code = MPI_Comm_free(&notices);
  if (code == MPI_SUCCESS)
    code = MPI_Finalize();
  return check(code, "MPI_Finalize", Operation());
}

void MpiProcess::abandon(int exitCode) {
  spreadReason();
  MPI_Abort(MPI_COMM_WORLD, exitCode);
  std::abort();
}
