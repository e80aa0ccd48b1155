//===- FakeNccl.cpp - NCCL without GPUs, broken at will -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FakeNccl.h"

#include "FakeNcclRooms.h"
#include "dsv2rt/comm/NcclApi.h"

#include <chrono>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <dlfcn.h>

using namespace fakenccl;
using Clock = std::chrono::steady_clock;

namespace {

/// Streams and memory of the stub driver, where the process has it.
struct Stub {
  int (*put)(void *stream, int (*work)(void *), void *data);
  void *(*memory)(const void *address, size_t bytes);
};
const Stub *stub() {
  static const Stub found = {
      reinterpret_cast<decltype(Stub::put)>(dlsym(RTLD_DEFAULT, "dsv2StubPut")),
      reinterpret_cast<decltype(Stub::memory)>(
          dlsym(RTLD_DEFAULT, "dsv2StubMemory"))};
  return found.put && found.memory ? &found : nullptr;
}

/// Where the host has what a caller calls `address`; null for what is no memory
/// of the device.
template <class T> T *local(T *address, size_t bytes) {
  return !stub() || !bytes ? address
                           : static_cast<T *>(stub()->memory(address, bytes));
}

/// One direction of a message, and how far it is.
struct Message {
  int peer;
  const char *send;
  char *receive;
  int64_t bytes;
  Kind kind;
  int type;
  int64_t done = 0;
  bool over() const { return done >= bytes; }
};

/// What a stream does at once.
struct Group {
  std::vector<Message> messages;
  /// Of a sum: what arrives, rank by rank, the own data too, and where the
  /// result belongs.
  std::vector<std::vector<float>> terms;
  float *sum = nullptr;
  /// When it was first looked at.
  Clock::time_point start = {};
};

} // namespace

struct ncclComm {
  Room *const room;
  const int rank, size;
  /// That of its operations; all have the same, but for the stub's, which can
  /// wait for each other.
  std::atomic<void *> stream{nullptr};
  /// Ended or aborted. Its memory stays until fakeNcclReset(), as threads may
  /// still look at it.
  std::atomic<bool> gone{false};
  int64_t calls = 0, questions = 0;
  ncclResult_t error = ncclSuccess;
  std::string explanation;
  /// What is in its stream; with the stub that has it, and these the numbers of
  /// what was put there and what was done.
  std::deque<Group> queue;
  std::atomic<int64_t> put{0}, done{0};

  ncclComm(Room *room, int rank, int size)
      : room(room), rank(rank), size(size) {}
  void fail(const std::string &text) {
    error = ncclInvalidUsage;
    explanation = "fake: " + text;
  }
  /// A call was made: there will be questions to answer.
  ncclResult_t called() {
    ++calls;
    questions = fault(FakeNcclInProgress, rank);
    return questions ? ncclInProgress : ncclSuccess;
  }
  ncclResult_t enqueue(Group group, void *stream);
  void work();
  bool perform(Group &group);
  bool advance(Message &message);
};

namespace {
/// All communicators of the process.
std::mutex mutex;
std::vector<std::unique_ptr<ncclComm>> communicators;

/// The messages of the group that this thread has open.
struct Open {
  ncclComm *communicator;
  void *stream;
  Message message;
};
thread_local int depth = 0;
thread_local std::vector<Open> open;
} // namespace

/// Moves pieces; false when the other side has to go first.
bool ncclComm::advance(Message &message) {
  Slot &slot = message.send ? room->slots[rank][message.peer]
                            : room->slots[message.peer][rank];
  if (slot.full.load(std::memory_order_acquire) == (message.send ? 1u : 0u))
    return false;
  if (message.send) {
    slot.kind = message.kind;
    slot.type = message.type;
    slot.total = message.bytes;
    slot.bytes = std::min(pieceBytes, message.bytes - message.done);
    std::memcpy(slot.data, message.send + message.done, slot.bytes);
    message.done += slot.bytes;
    slot.full.store(1, std::memory_order_release);
    return true;
  }
  if (slot.kind != message.kind || slot.type != message.type ||
      slot.total != message.bytes) {
    fail("rank " + std::to_string(message.peer) + " sends " +
         std::to_string(slot.total) + " bytes of kind " +
         std::to_string(int(slot.kind)) + ", rank " + std::to_string(rank) +
         " expects " + std::to_string(message.bytes) + " of kind " +
         std::to_string(int(message.kind)));
    return false;
  }
  std::memcpy(message.receive + message.done, slot.data, slot.bytes);
  message.done += slot.bytes;
  slot.full.store(0, std::memory_order_release);
  return true;
}

ncclResult_t ncclComm::enqueue(Group group, void *ofStream) {
  if (!stream)
    stream = ofStream;
  if (stream != ofStream && !stub())
    fail("two streams");
  if (stub()) {
    struct Item {
      ncclComm &communicator;
      Group group;
      int64_t number;
    };
    auto *item = new Item{*this, std::move(group), put++};
    auto work = [](void *data) {
      auto *item = static_cast<Item *>(data);
      ncclComm &communicator = item->communicator;
      if (item->number != communicator.done && !communicator.gone)
        communicator.fail("streams that do not wait for each other");
      // What was aborted lets its stream go on.
      if (!communicator.gone && !communicator.perform(item->group))
        return 0;
      ++communicator.done;
      delete item;
      return 1;
    };
    if (!stub()->put(ofStream, work, item)) {
      delete item;
      return ncclInvalidArgument;
    }
    return called();
  }
  queue.push_back(std::move(group));
  // Nobody has to be waited for.
  while (size == 1 && !queue.empty() && error == ncclSuccess)
    work();
  return called();
}

/// Does what is first in a stream, as far as that is possible now.
void ncclComm::work() {
  if (!queue.empty() && perform(queue.front()))
    queue.pop_front();
}

/// Goes on with a group; true when it is over.
bool ncclComm::perform(Group &group) {
  if (group.start == Clock::time_point())
    group.start = Clock::now();
  if (error != ncclSuccess ||
      Clock::now() - group.start <
          std::chrono::milliseconds(fault(FakeNcclSlowMilliseconds, rank)))
    return false;
  bool over = true;
  for (Message &message : group.messages) {
    while (!message.over() && error == ncclSuccess && advance(message)) {
    }
    over = over && message.over();
  }
  if (!over || error != ncclSuccess)
    return false;
  if (group.sum)
    for (size_t i = 0; i < group.terms[0].size(); ++i) {
      float sum = group.terms[0][i];
      for (int r = 1; r < size; ++r)
        sum += group.terms[r][i];
      group.sum[i] = sum;
    }
  return true;
}

extern "C" {

ncclResult_t ncclGetVersion(int *version) {
  *version = int(fault(FakeNcclVersion, 0));
  if (*version == 0)
    *version = 22809;
  return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result) {
  switch (result) {
  case ncclRemoteError:
    return "remote process exited or there was a network error";
  case ncclInvalidUsage:
    return "invalid usage";
  case ncclSystemError:
    return "unhandled system error";
  default:
    return nullptr;
  }
}

const char *ncclGetLastError(ncclComm_t communicator) {
  return communicator ? communicator->explanation.c_str() : nullptr;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
  int room = shared().rooms++;
  if (room >= maxRooms)
    return ncclSystemError;
  std::memcpy(id->internal, &room, sizeof(room));
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *communicator, int ranks,
                                    ncclUniqueId id, int rank,
                                    ncclConfig_t *config) {
  int room;
  std::memcpy(&room, id.internal, sizeof(room));
  if (fault(FakeNcclInitFails, rank))
    return ncclSystemError;
  if (config->size != sizeof(ncclConfig_t) || config->magic != 0xcafebeef ||
      config->blocking != 0 || room < 0 || room >= maxRooms || rank < 0 ||
      rank >= ranks || ranks > maxRanks || shared().room[room].present[rank]++)
    return ncclInvalidUsage;
  auto *made = new ncclComm(&shared().room[room], rank, ranks);
  made->called();
  ++made->room->joined;
  {
    std::lock_guard<std::mutex> lock(mutex);
    communicators.emplace_back(made);
  }
  *communicator = made;
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t communicator,
                                   ncclResult_t *state) {
  int64_t after = fault(FakeNcclRemoteErrorAfter, communicator->rank);
  if (after && communicator->calls > after) {
    communicator->error = ncclRemoteError;
    communicator->explanation = "fake: told to";
  }
  *state = communicator->error;
  if (*state == ncclSuccess &&
      (communicator->room->joined < communicator->size ||
       communicator->questions > 0))
    *state = ncclInProgress;
  if (communicator->questions > 0)
    --communicator->questions;
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t communicator) {
  return communicator->queue.empty() && communicator->put == communicator->done
             ? communicator->called()
             : ncclInvalidUsage;
}

ncclResult_t ncclCommDestroy(ncclComm_t communicator) {
  ++shared().destroyed;
  communicator->gone = true;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t communicator) {
  const int rank = communicator->rank;
  communicator->gone = true;
  ++shared().aborted;
  // fakeNcclReset() ends this, and the communicator.
  while (fault(FakeNcclAbortHangs, rank))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  ++depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (depth == 0 || --depth > 0)
    return depth ? ncclSuccess : ncclInvalidUsage;
  std::vector<Open> messages = std::move(open);
  open.clear();
  if (messages.empty())
    return ncclSuccess;
  ncclComm_t communicator = messages[0].communicator;
  Group group;
  for (const Open &next : messages) {
    for (const Message &other : group.messages)
      if (other.peer == next.message.peer && !other.send == !next.message.send)
        communicator->fail("two messages the same way between two ranks");
    group.messages.push_back(next.message);
  }
  return communicator->enqueue(std::move(group), messages[0].stream);
}

/// Adds a message to the group, or makes one of its own for it.
static ncclResult_t add(ncclComm_t communicator, ncclStream_t stream,
                        Message message) {
  size_t bytes = size_t(message.bytes);
  message.send = local(message.send, bytes);
  message.receive = local(message.receive, bytes);
  if (message.peer < 0 || message.peer >= communicator->size ||
      (!message.send && !message.receive))
    return ncclInvalidArgument;
  open.push_back({communicator, stream, message});
  if (depth > 0)
    return ncclSuccess;
  depth = 1;
  return ncclGroupEnd();
}

ncclResult_t ncclSend(const void *send, size_t count, ncclDataType_t type,
                      int peer, ncclComm_t communicator, ncclStream_t stream) {
  ++shared().sends;
  if (fault(FakeNcclSendFails, communicator->rank))
    return ncclSystemError;
  return add(communicator, stream,
             {peer, static_cast<const char *>(send), nullptr, int64_t(count),
              Kind::Message, type});
}

ncclResult_t ncclRecv(void *receive, size_t count, ncclDataType_t type,
                      int peer, ncclComm_t communicator, ncclStream_t stream) {
  return add(communicator, stream,
             {peer, nullptr, static_cast<char *>(receive), int64_t(count),
              Kind::Message, type});
}

ncclResult_t ncclAllReduce(const void *send, void *receive, size_t count,
                           ncclDataType_t type, ncclRedOp_t,
                           ncclComm_t communicator, ncclStream_t stream) {
  Group group;
  group.terms.assign(communicator->size, std::vector<float>(count));
  send = local(send, count * 4);
  group.sum = static_cast<float *>(local(receive, count * 4));
  if (!send || !group.sum)
    return ncclInvalidArgument;
  for (int r = 0; r < communicator->size; ++r) {
    char *place = reinterpret_cast<char *>(group.terms[r].data());
    group.messages.push_back({r, static_cast<const char *>(send), nullptr,
                              int64_t(count * 4), Kind::AllReduce, type});
    group.messages.push_back(
        {r, nullptr, place, int64_t(count * 4), Kind::AllReduce, type});
  }
  return communicator->enqueue(std::move(group), stream);
}

ncclResult_t ncclAllGather(const void *send, void *receive, size_t count,
                           ncclDataType_t type, ncclComm_t communicator,
                           ncclStream_t stream) {
  Group group;
  send = local(send, count);
  receive = local(receive, count * communicator->size);
  if (!send || !receive)
    return ncclInvalidArgument;
  for (int r = 0; r < communicator->size; ++r) {
    char *place = static_cast<char *>(receive) + r * count;
    group.messages.push_back({r, static_cast<const char *>(send), nullptr,
                              int64_t(count), Kind::AllGather, type});
    group.messages.push_back(
        {r, nullptr, place, int64_t(count), Kind::AllGather, type});
  }
  return communicator->enqueue(std::move(group), stream);
}

int fakeNcclStreamDone(void *stream) {
  std::vector<ncclComm *> mine;
  {
    std::lock_guard<std::mutex> lock(mutex);
    for (auto &communicator : communicators)
      mine.push_back(communicator.get());
  }
  int done = 1;
  for (ncclComm *communicator : mine) {
    // The others belong to other threads.
    if (communicator->stream != stream || communicator->gone)
      continue;
    communicator->work();
    if (communicator->error != ncclSuccess)
      return -1;
    if (!communicator->queue.empty())
      done = 0;
  }
  return done;
}

void fakeNcclReset(void) {
  std::lock_guard<std::mutex> lock(mutex);
  communicators.clear();
  forgetRooms();
}
}
