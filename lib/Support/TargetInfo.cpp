//===- TargetInfo.cpp - Facts about the processor compiled for ------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Support/TargetInfo.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"
#include "llvm/TargetParser/X86TargetParser.h"

using namespace llvm;
using namespace mlir::dsv2;

/// Names of 64-bit processors, sorted.
static SmallVector<StringRef> validCPUNames() {
  SmallVector<StringRef> names;
  X86::fillValidCPUArchList(names, /*Only64Bit=*/true);
  llvm::sort(names);
  names.erase(llvm::unique(names), names.end());
  return names;
}

/// The features of a processor, with those they imply: LLVM lists only what
/// implies the rest.
static StringMap<bool> featuresOf(StringRef cpu) {
  SmallVector<StringRef> listed;
  X86::getFeaturesForCPU(cpu, listed);
  StringMap<bool> features;
  for (StringRef feature : listed) {
    features[feature] = true;
    X86::updateImpliedFeatures(feature, /*Enabled=*/true, features);
  }
  return features;
}

/// Names of instruction set features, sorted. LLVM keeps no public list, but
/// every feature that matters belongs to some processor or is one the host is
/// probed for. Tuning hints are neither, and are no business of an artifact.
static std::vector<std::string> validFeatureNames() {
  StringSet<> names;
  for (StringRef cpu : validCPUNames())
    for (const auto &entry : featuresOf(cpu))
      names.insert(entry.getKey());
  for (const auto &entry : sys::getHostCPUFeatures())
    names.insert(entry.getKey());
  std::vector<std::string> sorted;
  for (const auto &entry : names)
    sorted.push_back(entry.getKey().str());
  llvm::sort(sorted);
  return sorted;
}

/// Modes of the processor, and instructions that LLVM emits only where a
/// program asks for them by name, which no kernel does. Hosts do not report the
/// former, and systems on virtual machines hide many of the latter: an artifact
/// that demanded them would not run on the very processor it was compiled for.
static constexpr StringLiteral neverUsed[] = {
    "64bit",   "64bit-mode", "cldemote",  "clwb",      "clzero",  "enqcmd",
    "hreset",  "invpcid",    "kl",        "movdir64b", "movdiri", "mwaitx",
    "pconfig", "pku",        "prefetchi", "ptwrite",   "rdpid",   "rdpru",
    "rdrnd",   "rdseed",     "serialize", "sgx",       "shstk",   "tsxldtrk",
    "uintr",   "waitpkg",    "wbnoinvd",  "widekl"};

/// Fills in what follows from `features`.
static void deriveFacts(CPUTargetInfo &info) {
  auto has = [&](StringRef feature) { return info.hasFeature(feature); };
  // The kernels mix f32 arithmetic with byte and word conversions, so a vector
  // width counts only when integers have it too.
  if (has("avx512f") && has("avx512bw") && has("avx512dq") && has("avx512vl"))
    info.vectorBits = 512;
  else if (has("avx2"))
    info.vectorBits = 256;
  else
    info.vectorBits = 128;
  info.vectorRegisters = info.vectorBits == 512 ? 32 : 16;
  info.hasFMA = has("fma");
  info.hasF16C = has("f16c");
  info.hasAVX512BF16 = info.vectorBits == 512 && has("avx512bf16");
  info.hasVNNI = info.vectorBits == 512
                     ? has("avx512vnni")
                     : info.vectorBits == 256 && has("avxvnni");
  info.hasAMXBF16 = has("amx-tile") && has("amx-bf16");
  info.hasAMXInt8 = has("amx-tile") && has("amx-int8");
}

Expected<CPUTargetInfo> CPUTargetInfo::parse(StringRef spec) {
  SmallVector<StringRef> parts;
  spec.split(parts, ',');
  StringRef name = parts.front().trim();

  CPUTargetInfo info;
  StringMap<bool> enabled;
  if (name == "native") {
    if (!Triple(sys::getProcessTriple()).isX86())
      return createStringError(
          "target CPU 'native': expected an x86-64 host, got " +
          sys::getProcessTriple());
    StringRef host = sys::getHostCPUName();
    // An unknown host still reports its features; the name only tunes.
    info.cpu = is_contained(validCPUNames(), host) ? host.str() : "x86-64";
    enabled = sys::getHostCPUFeatures();
  } else {
    if (X86::parseArchX86(name, /*Only64Bit=*/true) == X86::CK_None)
      return createStringError("unknown target CPU '" + name +
                               "'; expected native or one of " +
                               join(validCPUNames(), ", "));
    info.cpu = name.str();
    enabled = featuresOf(name);
  }

  bool asksForTiles = false;
  for (StringRef part : ArrayRef(parts).drop_front()) {
    StringRef feature = part.trim();
    bool on = feature.consume_front("+");
    if (!on && !feature.consume_front("-"))
      return createStringError("target CPU '" + spec +
                               "': expected +feature or -feature, got '" +
                               feature + "'");
    std::vector<std::string> valid = validFeatureNames();
    if (!is_contained(valid, feature))
      return createStringError("target CPU '" + spec + "': unknown feature '" +
                               feature + "'; expected one of " +
                               join(valid, ", "));
    enabled[feature] = on;
    asksForTiles |= on && feature.starts_with("amx-");
    X86::updateImpliedFeatures(feature, on, enabled);
  }

  for (StringRef feature : neverUsed)
    enabled.erase(feature);
  // Slower than vectors where it was measured (docs/Performance.md).
  for (StringRef feature : validFeatureNames())
    if (feature.starts_with("amx-") && !asksForTiles)
      enabled.erase(feature);
  for (const auto &entry : enabled)
    (entry.getValue() ? info.features : info.disabledFeatures)
        .push_back(entry.getKey().str());
  llvm::sort(info.features);
  llvm::sort(info.disabledFeatures);
  deriveFacts(info);
  return info;
}

Expected<CPUTargetInfo> CPUTargetInfo::host() { return parse("native"); }

bool CPUTargetInfo::hasFeature(StringRef feature) const {
  return std::binary_search(features.begin(), features.end(), feature.str());
}

std::string CPUTargetInfo::featureString() const {
  SmallVector<std::string> flags;
  for (const std::string &feature : features)
    flags.push_back("+" + feature);
  for (const std::string &feature : disabledFeatures)
    flags.push_back("-" + feature);
  return join(flags, ",");
}

std::vector<std::string> CPUTargetInfo::missingOnHost() const {
  // What every 64-bit processor has is partly not probed for.
  StringMap<bool> baseline = featuresOf("x86-64");
  StringMap<bool> host = sys::getHostCPUFeatures();
  std::vector<std::string> missing;
  for (const std::string &feature : features)
    if (!host.lookup(feature) && !baseline.lookup(feature))
      missing.push_back(feature);
  return missing;
}
