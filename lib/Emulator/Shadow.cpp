//===- Shadow.cpp - who touched which bytes of shared memory --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Shadow.h"

#include "llvm/ADT/bit.h"

#include <algorithm>

using namespace dsv2::emulator;

void Shadow::reset(uint32_t bytes) {
  size_t granules = (bytes + 15) / 16;
  heads.assign(granules, 0);
  written.assign(granules, 0);
  barriers.assign(granules, 0);
  // Number 0 ends a list.
  records.assign(1, {});
  firstFree = 0;
}

uint32_t Shadow::allocate() {
  if (uint32_t index = firstFree) {
    firstFree = records[index].next;
    return index;
  }
  records.emplace_back();
  return records.size() - 1;
}

bool Shadow::allSeen(const Record &record, const Epoch *seen) {
  for (uint32_t rest = record.agents; rest; rest &= rest - 1)
    if (seen[record.firstAgent + llvm::countr_zero(rest)] < record.epoch)
      return false;
  return true;
}

Conflict Shadow::touchGranule(uint32_t granule, uint16_t mask,
                              const Touch &touch) {
  uint32_t group = touch.agent & ~31u, lane = 1u << (touch.agent & 31);
  const Epoch *seen = touch.clock->seen.data();
  const Epoch *fenced = touch.clock->fenced.data();
  uint32_t *link = &heads[granule];
  uint32_t mine = 0;
  while (uint32_t index = *link) {
    Record &record = records[index];
    uint16_t common = record.mask & mask;
    if (common == 0) {
      link = &record.next;
      continue;
    }
    if ((touch.writes || record.writes) && !(touch.atomic && record.atomic)) {
      // A generic write reaches the async proxy through a fence only.
      bool crosses = touch.async && !record.async && record.writes;
      for (uint32_t rest = record.agents; rest; rest &= rest - 1) {
        uint32_t agent = record.firstAgent + llvm::countr_zero(rest);
        bool unseen = agent != touch.self && seen[agent] < record.epoch;
        if (unseen || (crosses && fenced[agent] < record.epoch)) {
          Conflict conflict;
          conflict.why = unseen ? Conflict::Why::Race : Conflict::Why::Proxy;
          conflict.agent = agent;
          conflict.site = record.site;
          conflict.writes = record.writes;
          conflict.async = record.async;
          conflict.offset = granule * 16 + llvm::countr_zero(common);
          return conflict;
        }
      }
    }
    // Who is ordered after this touch is ordered after what it covers.
    bool covers = touch.writes && !touch.atomic;
    if (record.writes == touch.writes && record.atomic == touch.atomic &&
        record.async == touch.async && (!touch.writes || touch.atomic)) {
      if (record.mask == mask && record.firstAgent == group &&
          record.epoch == touch.epoch && record.site == touch.site) {
        mine = index;
        link = &record.next;
        continue;
      }
      if ((record.mask & ~mask) == 0) {
        if (record.firstAgent == group && record.epoch <= touch.epoch)
          record.agents &= ~lane;
        covers = allSeen(record, seen);
      }
    }
    if (covers) {
      record.mask &= ~mask;
      if (record.mask == 0) {
        *link = record.next;
        record.next = firstFree;
        firstFree = index;
        continue;
      }
    }
    link = &record.next;
  }
  if (touch.writes)
    written[granule] |= mask;
  if (mine) {
    records[mine].agents |= lane;
    return {};
  }
  uint32_t index = allocate();
  Record &record = records[index];
  record.next = heads[granule];
  record.mask = mask;
  record.writes = touch.writes;
  record.atomic = touch.atomic;
  record.async = touch.async;
  record.firstAgent = group;
  record.agents = lane;
  record.epoch = touch.epoch;
  record.site = touch.site;
  heads[granule] = index;
  return {};
}

/// Bytes of granule `granule` within [offset, end).
static uint16_t maskOf(uint32_t granule, uint32_t offset, uint32_t end) {
  uint32_t first = std::max(offset, granule * 16) - granule * 16;
  uint32_t last = std::min(end, granule * 16 + 16) - granule * 16;
  return uint16_t((0xFFFFu >> (16 - (last - first))) << first);
}

Conflict Shadow::touch(uint32_t offset, uint32_t bytes, const Touch &touch) {
  for (uint32_t granule = offset / 16; granule * 16 < offset + bytes;
       ++granule) {
    Conflict conflict =
        touchGranule(granule, maskOf(granule, offset, offset + bytes), touch);
    if (conflict.why != Conflict::Why::None)
      return conflict;
  }
  return {};
}

int64_t Shadow::findUnwritten(uint32_t offset, uint32_t bytes) const {
  for (uint32_t granule = offset / 16; granule * 16 < offset + bytes;
       ++granule) {
    uint16_t missing =
        maskOf(granule, offset, offset + bytes) & ~written[granule];
    if (missing)
      return granule * 16 + llvm::countr_zero(missing);
  }
  return -1;
}

void Shadow::setBarrier(uint32_t offset, bool live) {
  uint8_t half = 1 << (offset / 8 % 2);
  barriers[offset / 16] =
      live ? barriers[offset / 16] | half : barriers[offset / 16] & ~half;
}

bool Shadow::hasBarrier(uint32_t offset, uint32_t bytes) const {
  for (uint32_t half = offset / 8; half * 8 < offset + bytes; ++half)
    if (barriers[half / 2] >> (half % 2) & 1)
      return true;
  return false;
}
