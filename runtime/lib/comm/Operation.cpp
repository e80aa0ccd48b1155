//===- Operation.cpp - what a rank calls ----------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Operation.h"

#include "Support.h"

#include <cstring>
#include <string_view>

using namespace dsv2rt;
using namespace dsv2rt::comm;

Operation::Operation(CollectiveKind kind, const CollectiveSite &site,
                     int64_t bytes, int64_t sequence)
    : kind(int64_t(kind)), layer(site.layer), bytes(bytes), sequence(sequence) {
  std::string_view text = site.name ? site.name : "";
  nameHash = 0xCBF29CE484222325u;
  for (char c : text)
    nameHash = (nameHash ^ uint8_t(c)) * 0x100000001B3u;
  std::memcpy(name, text.data(), std::min(text.size(), sizeof(name) - 1));
}

bool Operation::matches(const Operation &other) const {
  return kind == other.kind && layer == other.layer &&
         sequence == other.sequence && nameHash == other.nameHash &&
         (bytes == other.bytes || kind == int64_t(CollectiveKind::AllToAllV));
}

std::string Operation::text() const {
  std::string text = collectiveName(CollectiveKind(kind));
  if (name[0])
    text += " '" + std::string(name, strnlen(name, sizeof(name))) + "'";
  if (layer >= 0)
    text += " of layer " + std::to_string(layer);
  return text + " (" + std::to_string(bytes) + " bytes)";
}

std::string comm::disagreement(int rank, const Operation &operation,
                               int otherRank, const Operation &other) {
  return strCat("the ranks disagree: rank ", rank, " called ", operation.text(),
                " while rank ", otherRank, " called ", other.text(),
                ", both as operation ", operation.sequence, " of their group");
}

std::string comm::sizeError(int rank, const Operation &operation) {
  // More than any machine has: a size that was computed wrongly.
  constexpr int64_t limit = int64_t(1) << 47;
  if (operation.bytes >= 0 && operation.bytes < limit)
    return "";
  return strCat("rank ", rank, " called ", operation.text(),
                ", which is no size of a buffer");
}

std::string comm::sizeDisagreement(const Operation &operation, int from,
                                   int64_t sends, int to, int64_t expects) {
  return strCat("the ranks disagree in ", operation.text(), ": rank ", from,
                " sends ", sends, " bytes to rank ", to, ", which expects ",
                expects);
}

std::string comm::keptSizeError(int rank, const Operation &operation,
                                int64_t kept, int64_t expected) {
  return strCat("rank ", rank, " keeps ", kept, " bytes in ", operation.text(),
                ", but expects ", expected, " of itself");
}

int64_t comm::sumOfSizes(const int64_t *sizes, int count) {
  int64_t sum = 0;
  for (int i = 0; i < count; ++i)
    if (sizes[i] < 0 || !addFits(sum, sizes[i], sum))
      return -1;
  return sum;
}
