//===- GPUTargetInfo.cpp - Facts about the GPU compiled for ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Support/GPUTargetInfo.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"

using namespace mlir::dsv2;

/// Versions of the PTX ISA that LLVM 22 writes, from the first that a chip of
/// ours can have.
static constexpr unsigned kPTXVersions[] = {
    70, 71, 72, 73, 74, 75, 76, 77, 78, 80, 81, 82, 83, 84, 85, 86, 87, 88, 90};

static std::vector<GPUTargetInfo> makeTable() {
  GPUTargetInfo sm90a;
  sm90a.chip = "sm_90a";
  sm90a.number = 90;
  // wgmma and setmaxnreg are of PTX ISA 8.0.
  sm90a.ptxVersion = 80;
  sm90a.sharedBytesPerBlock = 227 * 1024;
  sm90a.sharedBytesPerMultiprocessor = 228 * 1024;
  sm90a.blocksPerCluster = 8;
  sm90a.hasCpAsync = true;
  sm90a.hasTMA = true;
  sm90a.hasWgmma = true;
  sm90a.peak.card = "H100 SXM";
  sm90a.peak.bytesPerSecond = 3.35e12;
  sm90a.peak.bf16OpsPerSecond = 989e12;
  sm90a.peak.multiprocessors = 132;
  sm90a.peak.bf16OpsPerCycle = 4096;
  sm90a.peak.lanesPerCycle = 128;
  // Nominally 64 bytes a cycle each; about this much arrives (DeepGEMM's
  // heuristics for sm_90).
  sm90a.peak.l2BytesPerSecond = 8e12;
  sm90a.peak.source = "NVIDIA H100 data sheet";

  GPUTargetInfo sm80;
  sm80.chip = "sm_80";
  sm80.number = 80;
  // mma.sync of bf16 and cp.async are of PTX ISA 7.0; cache hints of loads
  // (.L1::no_allocate, .L2::128B) of 7.4, which CUDA 11.4 brought.
  sm80.ptxVersion = 74;
  sm80.sharedBytesPerBlock = 163 * 1024;
  sm80.sharedBytesPerMultiprocessor = 164 * 1024;
  sm80.hasCpAsync = true;
  sm80.peak.card = "A100 SXM 80 GB";
  sm80.peak.bytesPerSecond = 2.04e12;
  sm80.peak.bf16OpsPerSecond = 312e12;
  sm80.peak.multiprocessors = 108;
  sm80.peak.bf16OpsPerCycle = 2048;
  sm80.peak.lanesPerCycle = 64;
  // 5120 bytes a cycle (NVIDIA A100 architecture white paper).
  sm80.peak.l2BytesPerSecond = 7.2e12;
  sm80.peak.source = "NVIDIA A100 data sheet";
  return {sm90a, sm80};
}

llvm::ArrayRef<GPUTargetInfo> GPUTargetInfo::getAll() {
  static const std::vector<GPUTargetInfo> table = makeTable();
  return table;
}

llvm::Expected<GPUTargetInfo> GPUTargetInfo::parse(llvm::StringRef spec) {
  llvm::StringRef name = spec.split('+').first;
  llvm::StringRef option = spec.split('+').second;
  const auto *found = llvm::find_if(
      getAll(), [&](const GPUTargetInfo &info) { return info.chip == name; });
  if (found == getAll().end()) {
    auto names = llvm::map_range(
        getAll(), [](const GPUTargetInfo &info) { return info.chip; });
    return llvm::createStringError("unknown GPU chip '" + name +
                                   "': expected one of " +
                                   llvm::join(names, ", "));
  }
  GPUTargetInfo info = *found;
  if (name.size() == spec.size())
    return info;
  unsigned version = 0;
  if (!option.consume_front("ptx") || option.getAsInteger(10, version) ||
      !llvm::is_contained(kPTXVersions, version))
    return llvm::createStringError(
        "GPU chip '" + spec +
        "': expected '+ptxNN' after the name, with NN of " +
        llvm::join(
            llvm::map_range(kPTXVersions,
                            [](unsigned v) { return std::to_string(v); }),
            ", "));
  if (version < info.ptxVersion)
    return llvm::createStringError(
        "GPU chip '" + spec + "': expected at least ptx" +
        llvm::Twine(info.ptxVersion) + ", which has the chip's instructions");
  info.ptxVersion = version;
  return info;
}

llvm::Expected<std::vector<GPUTargetInfo>>
GPUTargetInfo::parseList(llvm::StringRef specs) {
  std::vector<GPUTargetInfo> targets;
  for (llvm::StringRef spec : llvm::split(specs, ',')) {
    auto target = parse(spec.trim());
    if (!target)
      return target.takeError();
    for (const GPUTargetInfo &other : targets)
      if (other.chip == target->chip)
        return llvm::createStringError("GPU chip '" + other.chip +
                                       "' is given twice");
    targets.push_back(*target);
  }
  return targets;
}

std::string GPUTargetInfo::getFeatures() const {
  return "+ptx" + std::to_string(ptxVersion);
}

std::string GPUTargetInfo::getPTXVersion() const {
  return std::to_string(ptxVersion / 10) + "." +
         std::to_string(ptxVersion % 10);
}
