//===- StubState.h - what the stub driver remembers -------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_DEVICE_STUBSTATE_H
#define DSV2_TEST_UNIT_DEVICE_STUBSTATE_H

#include "StubDriver.h"

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

/// The opaque types of the driver's interface.
struct CUctx_st {
  int retained = 0;
};
struct CUmod_st {
  stub::Image image;
  std::list<CUfunc_st> functions;
};
struct CUfunc_st {
  const stub::KernelEntry *entry;
  int dynamicShared = 48 << 10;
  bool largeClusters = false;
};
struct CUgraph_st {
  std::vector<std::function<void(bool replayed)>> launches;
};
struct CUgraphExec_st {
  CUgraph_st graph;
};
struct CUstream_st {
  /// Work that nobody has waited for yet, in order. What returns false has to
  /// be asked again.
  std::deque<std::function<bool()>> pending;
  /// Who alone may look at work that others hold up.
  std::thread::id owner = std::this_thread::get_id();
  bool shared = false;
  /// Not null while its launches are captured.
  std::unique_ptr<CUgraph_st> captured;
};
struct CUevent_st {
  /// Whether the last record was done. Null before there is any.
  std::shared_ptr<bool> recorded;
  bool timing = false;
  /// Where it was recorded last.
  CUstream stream = nullptr;
  int64_t time = 0;
};

namespace stub {

/// Bytes between device memory and the next.
constexpr uint64_t guard = 256;

struct State {
  std::recursive_mutex mutex;
  Config config;
  bool initialised = false;
  CUctx_st context;

  std::map<std::string, int> counts;
  std::map<std::string, std::map<int, CUresult>> failures;
  std::vector<std::string> calls;
  std::vector<Launch> launches;
  std::vector<std::string> misuse;
  int64_t clock = 0;

  /// Bytes by address: of the device, of the host.
  std::map<uint64_t, uint64_t> memory;
  std::map<void *, uint64_t> pinned;
  std::set<CUstream> streams;
  std::set<CUevent> events;
  std::set<CUgraph> graphs;
  std::set<CUgraphExec> executables;
  std::set<CUmodule> modules;
  uint64_t allocated = 0;

  /// Does the work of all streams, as a driver does that waits for everything.
  /// It is misuse where other ranks hold one of this thread's up, as they may
  /// for ever.
  void drain();
  /// Does the work of one stream, and what that waits for; false when other
  /// ranks hold it up.
  bool advance(CUstream stream);
  /// Does the first piece of work of a stream, if that is possible now.
  bool advanceOnce(CUstream stream);
  /// The same for the streams of this thread beside it, all they can.
  bool advanceOthers(CUstream stream);
  /// Whether [address, address + bytes) is memory of the device.
  bool owns(uint64_t address, uint64_t bytes) const;
};

/// The only state. Never destroyed: programs end while they hold handles.
State &state();

/// Begins a call: notes it, and returns the error that it has to fail with.
/// `needsContext`: it is an error without a current context.
CUresult enter(const char *function, bool needsContext);

/// The calling thread's context.
CUcontext &current();

} // namespace stub

#endif // DSV2_TEST_UNIT_DEVICE_STUBSTATE_H
