//===- Report.cpp - what a failed check says ------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Report.h"

using namespace dsv2::emulator;

const char *dsv2::emulator::kindName(Kind kind) {
  switch (kind) {
  case Kind::Race:
    return "race";
  case Kind::Proxy:
    return "proxy";
  case Kind::Lifetime:
    return "lifetime";
  case Kind::Deadlock:
    return "deadlock";
  case Kind::Livelock:
    return "livelock";
  case Kind::Bounds:
    return "bounds";
  case Kind::Poison:
    return "poison";
  case Kind::Protocol:
    return "protocol";
  case Kind::Trap:
    return "trap";
  case Kind::Unsupported:
    return "unsupported";
  case Kind::Option:
    return "option";
  }
  return "unknown";
}

std::string dsv2::emulator::reportLine(Kind kind, const std::string &message) {
  return std::string(kindName(kind)) + ": " + message;
}
