//===- MachineDescription.h - what ranks run on -----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_IMPORT_MACHINEDESCRIPTION_H
#define DSV2_IMPORT_MACHINEDESCRIPTION_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <optional>
#include <string>

namespace dsv2 {

/// What carries the exchanges of one axis.
struct LinkDescription {
  /// What one rank can send in a second, whatever the number of receivers.
  double bytesPerSecond = 0;
  /// What an exchange takes beside its bytes.
  double latencySeconds = 0;
};

/// The share of a machine that one rank has. The file is described in
/// docs/Distributed.md.
struct MachineDescription {
  /// Longest file, in bytes.
  static constexpr int64_t maxFileSize = int64_t(1) << 20;

  /// For people; may be empty.
  std::string name;
  int64_t memoryBytes = 0;
  double memoryBytesPerSecond = 0;
  /// Of products of matrices; a multiply-add is two.
  double flopsPerSecond = 0;
  LinkDescription tp, ep;
  /// Neighbouring ranks that share a host, if that is known.
  std::optional<int64_t> ranksPerHost;

  /// Reads a file. Errors name it and what is wrong in it: see
  /// parseMachineDescription.
  static llvm::Expected<MachineDescription> fromFile(llvm::StringRef file);
};

/// Parses the text of a description; `fileName` is for messages. All problems
/// of keys are in one error: unknown and missing ones, and values out of range
/// or of another type, with the expected and the found.
llvm::Expected<MachineDescription>
parseMachineDescription(llvm::StringRef json, llvm::StringRef fileName);

} // namespace dsv2

#endif // DSV2_IMPORT_MACHINEDESCRIPTION_H
