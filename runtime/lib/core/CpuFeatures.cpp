//===- CpuFeatures.cpp - what the host processor can do -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/CpuFeatures.h"
#include "Support.h"

#include <algorithm>
#include <cstdlib>
#include <set>

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace dsv2rt;

namespace {

enum Register { EAX, EBX, ECX, EDX };

/// Register state the operating system has to save for an extension to work.
enum class State { None, AVX, AVX512, AMX };

/// Where CPUID tells about one extension.
struct Feature {
  const char *name;
  unsigned leaf, subleaf;
  Register reg;
  int bit;
  State state;
};

} // namespace

// From the processor manuals' CPUID tables.
static const Feature featureTable[] = {
    {"x87", 1, 0, EDX, 0, State::None},
    {"cx8", 1, 0, EDX, 8, State::None},
    {"cmov", 1, 0, EDX, 15, State::None},
    {"mmx", 1, 0, EDX, 23, State::None},
    {"fxsr", 1, 0, EDX, 24, State::None},
    {"sse", 1, 0, EDX, 25, State::None},
    {"sse2", 1, 0, EDX, 26, State::None},
    {"sse3", 1, 0, ECX, 0, State::None},
    {"pclmul", 1, 0, ECX, 1, State::None},
    {"ssse3", 1, 0, ECX, 9, State::None},
    {"cx16", 1, 0, ECX, 13, State::None},
    {"sse4.1", 1, 0, ECX, 19, State::None},
    {"sse4.2", 1, 0, ECX, 20, State::None},
    {"crc32", 1, 0, ECX, 20, State::None},
    {"movbe", 1, 0, ECX, 22, State::None},
    {"popcnt", 1, 0, ECX, 23, State::None},
    {"aes", 1, 0, ECX, 25, State::None},
    {"xsave", 1, 0, ECX, 26, State::None},
    {"rdrnd", 1, 0, ECX, 30, State::None},
    {"sahf", 0x80000001, 0, ECX, 0, State::None},
    {"lzcnt", 0x80000001, 0, ECX, 5, State::None},
    {"sse4a", 0x80000001, 0, ECX, 6, State::None},
    {"prfchw", 0x80000001, 0, ECX, 8, State::None},
    {"mwaitx", 0x80000001, 0, ECX, 29, State::None},
    {"64bit", 0x80000001, 0, EDX, 29, State::None},
    {"clzero", 0x80000008, 0, EBX, 0, State::None},
    {"wbnoinvd", 0x80000008, 0, EBX, 9, State::None},
    {"fsgsbase", 7, 0, EBX, 0, State::None},
    {"bmi", 7, 0, EBX, 3, State::None},
    {"bmi2", 7, 0, EBX, 8, State::None},
    {"invpcid", 7, 0, EBX, 10, State::None},
    {"rdseed", 7, 0, EBX, 18, State::None},
    {"adx", 7, 0, EBX, 19, State::None},
    {"clflushopt", 7, 0, EBX, 23, State::None},
    {"clwb", 7, 0, EBX, 24, State::None},
    {"sha", 7, 0, EBX, 29, State::None},
    {"pku", 7, 0, ECX, 3, State::None},
    {"waitpkg", 7, 0, ECX, 5, State::None},
    {"gfni", 7, 0, ECX, 8, State::None},
    {"rdpid", 7, 0, ECX, 22, State::None},
    {"cldemote", 7, 0, ECX, 25, State::None},
    {"movdiri", 7, 0, ECX, 27, State::None},
    {"movdir64b", 7, 0, ECX, 28, State::None},
    {"serialize", 7, 0, EDX, 14, State::None},
    {"shstk", 7, 0, ECX, 7, State::None},
    {"cmpccxadd", 7, 1, EAX, 7, State::None},
    {"xsaveopt", 13, 1, EAX, 0, State::None},
    {"xsavec", 13, 1, EAX, 1, State::None},
    {"xsaves", 13, 1, EAX, 3, State::None},
    {"avx", 1, 0, ECX, 28, State::AVX},
    {"fma", 1, 0, ECX, 12, State::AVX},
    {"f16c", 1, 0, ECX, 29, State::AVX},
    {"xop", 0x80000001, 0, ECX, 11, State::AVX},
    {"fma4", 0x80000001, 0, ECX, 16, State::AVX},
    {"avx2", 7, 0, EBX, 5, State::AVX},
    {"vaes", 7, 0, ECX, 9, State::AVX},
    {"vpclmulqdq", 7, 0, ECX, 10, State::AVX},
    {"avxvnni", 7, 1, EAX, 4, State::AVX},
    {"avxifma", 7, 1, EAX, 23, State::AVX},
    {"avxvnniint8", 7, 1, EDX, 4, State::AVX},
    {"avxneconvert", 7, 1, EDX, 5, State::AVX},
    {"avxvnniint16", 7, 1, EDX, 10, State::AVX},
    {"avx512f", 7, 0, EBX, 16, State::AVX512},
    {"avx512dq", 7, 0, EBX, 17, State::AVX512},
    {"avx512ifma", 7, 0, EBX, 21, State::AVX512},
    {"avx512cd", 7, 0, EBX, 28, State::AVX512},
    {"avx512bw", 7, 0, EBX, 30, State::AVX512},
    {"avx512vl", 7, 0, EBX, 31, State::AVX512},
    {"avx512vbmi", 7, 0, ECX, 1, State::AVX512},
    {"avx512vbmi2", 7, 0, ECX, 6, State::AVX512},
    {"avx512vnni", 7, 0, ECX, 11, State::AVX512},
    {"avx512bitalg", 7, 0, ECX, 12, State::AVX512},
    {"avx512vpopcntdq", 7, 0, ECX, 14, State::AVX512},
    {"avx512vp2intersect", 7, 0, EDX, 8, State::AVX512},
    {"avx512fp16", 7, 0, EDX, 23, State::AVX512},
    {"avx512bf16", 7, 1, EAX, 5, State::AVX512},
    {"amx-bf16", 7, 0, EDX, 22, State::AMX},
    {"amx-tile", 7, 0, EDX, 24, State::AMX},
    {"amx-int8", 7, 0, EDX, 25, State::AMX},
    {"amx-fp16", 7, 1, EAX, 21, State::AMX},
    {"amx-complex", 7, 1, EDX, 8, State::AMX},
};

/// The extensions a host is called by, weakest first.
static const char *const landmarks[] = {"sse2", "sse4.2",  "avx",
                                        "avx2", "avx512f", "avx512bw"};

/// The register states that the system saves (XCR0).
static uint64_t enabledStates() {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1))
    return 0;
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
}

static bool stateEnabled(State state, uint64_t xcr0) {
  auto all = [&](uint64_t mask) { return (xcr0 & mask) == mask; };
  switch (state) {
  case State::None:
    return true;
  case State::AVX:
    return all(0x6);
  case State::AVX512:
    return all(0xe6);
  case State::AMX:
    return all(0x60000);
  }
  return false;
}

/// True when the mask variable hides `name`.
static bool isMasked(const std::string &name) {
  const char *mask = std::getenv(cpuFeaturesMaskVariable);
  if (!mask)
    return false;
  std::istringstream list(mask);
  std::string item;
  while (std::getline(list, item, ',')) {
    if (item == name)
      return true;
    if (!item.empty() && item.back() == '*' &&
        name.compare(0, item.size() - 1, item, 0, item.size() - 1) == 0)
      return true;
  }
  return false;
}

std::vector<std::string> dsv2rt::hostCpuFeatures() {
  uint64_t xcr0 = enabledStates();
  std::vector<std::string> features;
  for (const Feature &feature : featureTable) {
    unsigned regs[4];
    if (!__get_cpuid_count(feature.leaf, feature.subleaf, &regs[EAX],
                           &regs[EBX], &regs[ECX], &regs[EDX]))
      continue;
    // Subleaf 0 of leaf 7 says how many subleaves there are.
    if (feature.leaf == 7 && feature.subleaf) {
      unsigned count, unused;
      __get_cpuid_count(7, 0, &count, &unused, &unused, &unused);
      if (feature.subleaf > count)
        continue;
    }
    if ((regs[feature.reg] >> feature.bit & 1) &&
        stateEnabled(feature.state, xcr0) && !isMasked(feature.name))
      features.push_back(feature.name);
  }
  return features;
}

/// Asks the system for the AMX tile registers, which a process has to do once.
static bool requestTileRegisters() {
  constexpr long requestPermission = 0x1023, tileData = 18;
  return syscall(SYS_arch_prctl, requestPermission, tileData) == 0;
}

Status dsv2rt::checkCpuFeatures(const std::vector<std::string> &required,
                                const std::string &what) {
  return guarded([&]() -> Status {
    Status status = checkCpuFeatures(required, what, hostCpuFeatures());
    bool tiles = false;
    for (const std::string &name : required)
      tiles |= name.compare(0, 4, "amx-") == 0;
    if (status.ok() && tiles && !requestTileRegisters())
      return makeError(StatusCode::Unsupported, what,
                       " needs the AMX tile registers, which the operating "
                       "system does not grant");
    return status;
  });
}

Status dsv2rt::checkCpuFeatures(const std::vector<std::string> &required,
                                const std::string &what,
                                const std::vector<std::string> &list) {
  return guarded([&]() -> Status {
    std::set<std::string> host(list.begin(), list.end());
    std::string missing;
    for (const std::string &name : required)
      if (!host.count(name))
        missing += (missing.empty() ? "" : ", ") + name;
    if (missing.empty())
      return Status();
    std::string best = "no vector extension";
    for (const char *landmark : landmarks)
      if (host.count(landmark))
        best = landmark;
    return makeError(StatusCode::Unsupported, what, " needs ", missing,
                     ", host has ", best,
                     std::getenv(cpuFeaturesMaskVariable)
                         ? strCat(" (with ", cpuFeaturesMaskVariable, "=",
                                  std::getenv(cpuFeaturesMaskVariable), ")")
                         : "");
  });
}
