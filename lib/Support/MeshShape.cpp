//===- MeshShape.cpp - how many ranks a model is split over ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Support/MeshShape.h"

#include "llvm/ADT/SmallVector.h"

using namespace mlir::dsv2;

static constexpr int64_t kMostRanks = 65536;

template <typename... Parts>
static llvm::Error makeError(const Parts &...parts) {
  std::string text;
  llvm::raw_string_ostream os(text);
  (os << ... << parts);
  return llvm::createStringError(text);
}

llvm::Expected<MeshShape> MeshShape::parse(llvm::StringRef text) {
  MeshShape mesh;
  if (text.empty())
    return mesh;
  bool hasTP = false, hasEP = false;
  llvm::SmallVector<llvm::StringRef> parts;
  text.split(parts, ',');
  for (llvm::StringRef part : parts) {
    auto [name, number] = part.split('=');
    bool isTP = name == "tp";
    if (!isTP && name != "ep")
      return makeError("expected tp=N and ep=N, separated by a comma, got '",
                       part, "'");
    bool &seen = isTP ? hasTP : hasEP;
    if (seen)
      return makeError("expected '", name, "' once, got '", text, "'");
    seen = true;
    int64_t &size = isTP ? mesh.tp : mesh.ep;
    if (number.getAsInteger(10, size) || size < 1 || size > kMostRanks)
      return makeError("expected a number of ranks from 1 to ", kMostRanks,
                       " for '", name, "', got '", number, "'");
  }
  if (mesh.ranks() > kMostRanks)
    return makeError("expected at most ", kMostRanks, " ranks, got ",
                     mesh.ranks(), " of '", text, "'");
  return mesh;
}

std::string MeshShape::str() const {
  return "tp=" + std::to_string(tp) + ",ep=" + std::to_string(ep);
}

std::string mlir::dsv2::listDivisors(int64_t extent) {
  llvm::SmallVector<int64_t> divisors;
  for (int64_t i = 1; i <= extent; ++i)
    if (extent % i == 0)
      divisors.push_back(i);
  std::string text;
  for (size_t i = 0; i < divisors.size(); ++i) {
    if (i)
      text += i + 1 == divisors.size() ? " and " : ", ";
    text += std::to_string(divisors[i]);
  }
  return text;
}
