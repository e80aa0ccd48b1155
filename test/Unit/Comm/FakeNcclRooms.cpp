//===- FakeNcclRooms.cpp - where ranks of the fake meet -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FakeNcclRooms.h"

#include <cstdlib>
#include <new>

#include <sys/mman.h>

using namespace fakenccl;

static Shared *map() {
  void *memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    std::abort();
  return static_cast<Shared *>(memory);
}

/// Made when the library is loaded: before any fork. Zeros are what it starts
/// with.
static Shared *const instance = map();

Shared &fakenccl::shared() { return *instance; }

int64_t fakenccl::fault(FakeNcclFault fault, int rank) {
  int64_t value = shared().faults[fault][rank];
  return value ? value : shared().faults[fault][maxRanks].load();
}

void fakenccl::forgetRooms() { madvise(instance, sizeof(Shared), MADV_REMOVE); }

extern "C" {

void fakeNcclSet(FakeNcclFault fault, int rank, int64_t value) {
  shared().faults[fault][rank < 0 ? maxRanks : rank] = value;
}

int fakeNcclAborted(void) { return shared().aborted; }
int fakeNcclDestroyed(void) { return shared().destroyed; }
int64_t fakeNcclSends(void) { return shared().sends; }
}
