//===- Options.cpp - options of the emulator ------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Options.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"

using namespace dsv2::emulator;

namespace {
/// One option: where it is kept and what it may be.
struct Entry {
  const char *name;
  uint64_t Options::*field;
  uint64_t least, most;
};
} // namespace

static const Entry entries[] = {
    {"seed", &Options::seed, 0, UINT64_MAX},
    {"schedules", &Options::schedules, 1, 10000},
    {"checks", &Options::checks, 0, 1},
    {"sms", &Options::sms, 1, 256},
    {"cc", &Options::cc, 80, 90},
    {"memory", &Options::memory, 1, 1 << 20},
    {"banks", &Options::banks, 0, 1},
    {"pdl", &Options::pdl, 0, 1},
};

std::string dsv2::emulator::parseOptions(const char *text, Options &options) {
  Options result = options;
  llvm::SmallVector<llvm::StringRef> items;
  llvm::StringRef(text).split(items, ',', -1, /*KeepEmpty=*/false);
  for (llvm::StringRef item : items) {
    auto [name, value] = item.trim().split('=');
    const Entry *entry = nullptr;
    for (const Entry &candidate : entries)
      if (name == candidate.name)
        entry = &candidate;
    if (!entry) {
      std::string known;
      for (const Entry &candidate : entries)
        known += std::string(known.empty() ? "" : ", ") + candidate.name;
      return "unknown option '" + name.str() + "'; the options are " + known;
    }
    uint64_t number = 0;
    if (value.getAsInteger(10, number) || number < entry->least ||
        number > entry->most)
      return "option '" + name.str() + "': expected a number from " +
             std::to_string(entry->least) + " to " +
             std::to_string(entry->most) + ", found '" + value.str() + "'";
    result.*(entry->field) = number;
  }
  if (result.cc != 80 && result.cc != 90)
    return "option 'cc': expected 80 or 90, found '" +
           std::to_string(result.cc) + "'";
  options = result;
  return {};
}
