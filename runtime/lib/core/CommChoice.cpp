//===- CommChoice.cpp - what carries the exchanges of steps ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CommChoice.h"
#include "Support.h"
#include "dsv2rt/Device.h"
#include "dsv2rt/Threads.h"
#include "dsv2rt/comm/Nccl.h"

#include <cstring>
#include <vector>

using namespace dsv2rt;

static const CollectiveSite choiceSite = {"session.device_comm", -1};

const char *dsv2rt::deviceCommName(DeviceComm comm) {
  switch (comm) {
  case DeviceComm::Auto:
    return "auto";
  case DeviceComm::Host:
    return "host";
  case DeviceComm::Nccl:
    return "nccl";
  }
  return "";
}

namespace {

/// What a rank tells the others. Exchanged as it lies in memory.
struct Card {
  DeviceComm asked = DeviceComm::Auto;
  /// Of NCCL; 0: this rank cannot, for `reason`.
  int32_t version = 0;
  /// The device, by itself and by its place.
  char uuid[16] = {};
  uint64_t host = 0, place = 0;
  char device[64] = {};
  char reason[512] = {};

  /// NCCL has one rank on a device, and parts of one are one device to it.
  bool sameDevice(const Card &other) const {
    return std::memcmp(uuid, other.uuid, sizeof(uuid)) == 0 ||
           (host == other.host && place == other.place);
  }
};

} // namespace

/// Copies as much as there is room for.
template <size_t size> static void put(char (&to)[size], const std::string &s) {
  std::memcpy(to, s.data(), std::min(s.size(), size - 1));
}

static Card makeCard(const SessionOptions &options) {
  const Device &device = *options.device;
  Card card;
  card.asked = options.deviceComm;
  std::memcpy(card.uuid, device.info().uuid.data(), sizeof(card.uuid));
  card.host = hostNumber();
  card.place = device.memoryNumber();
  put(card.device, device.text());
  // A library that nobody wants is not loaded.
  if (options.deviceComm == DeviceComm::Host)
    return card;
  if (device.info().emulated) {
    put(card.reason, "its device is the emulator, which NCCL does not know");
    return card;
  }
  Expected<int> version = NcclCommunicator::libraryVersion(options.ncclLibrary);
  if (version.ok())
    card.version = version.value();
  else
    put(card.reason, version.status().message());
  return card;
}

/// Which rank keeps the others from using NCCL, and why; "": none.
static std::string obstacle(const std::vector<Card> &cards) {
  for (size_t r = 0; r < cards.size(); ++r)
    if (!cards[r].version)
      return strCat("rank ", r, ": ", cards[r].reason);
  for (size_t r = 1; r < cards.size(); ++r) {
    for (size_t other = 0; other < r; ++other)
      if (cards[r].sameDevice(cards[other]))
        return strCat("rank ", r, ": it is on the device of rank ", other, ", ",
                      cards[r].device,
                      "; NCCL needs one of its own for every rank");
    if (cards[r].version != cards[0].version)
      return strCat("rank ", r, ": its NCCL is of version ", cards[r].version,
                    ", that of rank 0 of ", cards[0].version);
  }
  return "";
}

Expected<CommChoice> dsv2rt::chooseComm(Communicator &world,
                                        const SessionOptions &options) {
  if (!options.device) {
    if (options.deviceComm == DeviceComm::Nccl)
      return makeError(StatusCode::InvalidArgument,
                       "ranks on the CPU cannot exchange by NCCL");
    return CommChoice();
  }
  Card own = makeCard(options);
  std::vector<Card> cards(size_t(world.size()));
  Status status = world.allGather(&own, sizeof(own), cards.data(), choiceSite);
  if (!status.ok())
    return status;
  for (size_t r = 1; r < cards.size(); ++r)
    if (cards[r].asked != cards[0].asked)
      return makeError(StatusCode::InvalidArgument, "rank ", r,
                       " was asked to exchange by '",
                       deviceCommName(cards[r].asked), "', rank 0 by '",
                       deviceCommName(cards[0].asked), "'");
  if (options.deviceComm == DeviceComm::Host)
    return CommChoice();
  std::string reason = obstacle(cards);
  if (reason.empty())
    return CommChoice{DeviceComm::Nccl, ""};
  if (options.deviceComm == DeviceComm::Nccl)
    return makeError(StatusCode::Unsupported,
                     "the ranks cannot exchange by NCCL: ", reason);
  return CommChoice{DeviceComm::Host, reason};
}
