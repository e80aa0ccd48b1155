//===- StaticGate.cpp - what a kernel must be before it runs --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/StaticGate.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"

#include <set>
#include <tuple>

using namespace mlir::dsv2;
using Kind = InstructionKind;

namespace {
/// The checks of one kernel.
class Checker {
public:
  Checker(const KernelReport &kernel, const GPUTargetInfo &target)
      : kernel(kernel), target(target) {}

  std::vector<std::string> run() {
    checkLimits();
    checkPlaces();
    checkAtomics();
    if (!kernel.registerHazard.empty())
      report(kernel.registerHazard);
    checkExpectations();
    if (kernel.resources)
      checkResources();
    if (kernel.sass)
      checkInstructions();
    return std::move(findings);
  }

private:
  void report(const llvm::Twine &what) {
    findings.push_back(
        ("kernel '" + kernel.info.name + "' for " + target.chip + ": " + what)
            .str());
  }
  void checkAtMost(llvm::StringRef what, int64_t limit, int64_t found) {
    if (found > limit)
      report(what + ": expected at most " + llvm::Twine(limit) + ", found " +
             llvm::Twine(found));
  }

  void checkLimits();
  void checkPlaces();
  void checkAtomics();
  void checkIntention();
  void checkExpectations();
  void checkResources();
  void checkInstructions();

  const KernelReport &kernel;
  const GPUTargetInfo &target;
  std::vector<std::string> findings;
};
} // namespace

/// What the kernel asks for at launch.
void Checker::checkLimits() {
  const KernelInfo &info = kernel.info;
  checkAtMost("threads of a block", target.threadsPerBlock, info.getThreads());
  checkAtMost("blocks of a cluster", target.blocksPerCluster,
              info.getClusterSize());
  checkAtMost("bytes of shared memory", target.sharedBytesPerBlock,
              kernel.getSharedBytes());
  // What the driver is told and what the code was made for.
  if (kernel.ptx.block[0] > 0 && kernel.ptx.block != info.block)
    report("block: the PTX is for another number of threads than the kernel's "
           "attribute");
}

/// Instructions that no kernel has a reason for.
void Checker::checkPlaces() {
  auto check = [&](llvm::ArrayRef<PTXPlace> places, const llvm::Twine &why) {
    if (!places.empty())
      report(llvm::Twine(places.front().opcode) + " in line " +
             llvm::Twine(places.front().line) + " of the PTX" +
             (places.size() == 1
                  ? llvm::Twine("")
                  : " and " + llvm::Twine(places.size() - 1) + " more") +
             ": " + why);
  };
  check(kernel.ptx.genericAccesses,
        "expected the address space to be known, found a generic address");
  check(kernel.ptx.localAccesses,
        "expected everything in registers, found memory of the thread's own");
  check(kernel.ptx.calls,
        "expected every function to be inlined, found a call");
}

/// LLVM 22.1 drops order and scope of atomicrmw without a word: acq_rel at any
/// scope becomes a relaxed atom of scope gpu. So what the PTX has is compared
/// with what the IR says.
void Checker::checkIntention() {
  using Key = std::tuple<std::string, std::string, std::string>;
  std::set<Key> found, expanded;
  for (const AtomicAccess &access : kernel.ptx.atomics) {
    found.insert({access.operation, access.order, access.scope});
    // An operation without an instruction is a loop of this.
    if (access.operation == "cas")
      expanded.insert({"", access.order, access.scope});
  }
  std::set<Key> reported;
  for (const AtomicAccess &access : *kernel.intended) {
    if (found.count({access.operation, access.order, access.scope}) ||
        expanded.count({"", access.order, access.scope}) ||
        !reported.insert({access.opcode, access.order, access.scope}).second)
      continue;
    std::string others;
    for (const auto &[operation, order, scope] : found)
      if (operation == access.operation || operation == "cas")
        others += (others.empty() ? "" : ", ") + operation + " " + order +
                  " of scope " + scope;
    report(access.opcode + ": expected " + access.order + " of scope " +
           access.scope + " in the PTX, found " +
           (others.empty() ? "no such operation" : others) +
           "; write a monotonic one of scope device, with fences around it");
  }
}

void Checker::checkAtomics() {
  if (kernel.intended)
    checkIntention();
  if (kernel.info.relaxedAtomics)
    return;
  // Who looks at the result of an atomic in global memory wants to know what
  // other blocks have done, and that needs their writes to be visible.
  for (const AtomicAccess &access : kernel.ptx.atomics) {
    if (!access.isResultUsed || access.space == "shared" ||
        access.order == "acq_rel")
      continue;
    const auto &fences = kernel.ptx.deviceFences;
    bool before = llvm::any_of(
        fences, [&](auto &fence) { return fence.line < access.line; });
    bool after = llvm::any_of(
        fences, [&](auto &fence) { return fence.line > access.line; });
    if (before && after)
      continue;
    report(access.opcode + " in line " + llvm::Twine(access.line) +
           " of the PTX: expected a fence of scope gpu before and after it, "
           "as its result is used, found none " +
           (before  ? "after"
            : after ? "before"
                    : "at all") +
           "; '" + kRelaxedAtomicsAttr +
           "' says that nothing is read because of the result");
  }
}

void Checker::checkExpectations() {
  for (const auto &[name, least] : kernel.info.expect) {
    auto kind = findInstructionKind(name);
    if (!kind)
      report("'" + kExpectAttr + "' names '" + name +
             "', which is not the name of a count");
    else if (kernel.ptx.counts[*kind] < least)
      report(name + " in the PTX: expected at least " + llvm::Twine(least) +
             ", found " + llvm::Twine(kernel.ptx.counts[*kind]));
  }
}

/// What ptxas says.
void Checker::checkResources() {
  const KernelResources &resources = *kernel.resources;
  if (resources.spillStoreBytes != 0 || resources.spillLoadBytes != 0)
    report("spills: expected none, found " +
           llvm::Twine(resources.spillStoreBytes) + " bytes stored and " +
           llvm::Twine(resources.spillLoadBytes) + " loaded");
  if (resources.stackBytes != 0)
    report("stack: expected none, found " + llvm::Twine(resources.stackBytes) +
           " bytes");
  for (const std::string &note : resources.notes)
    report("expected no note of ptxas, found " + note);
  checkAtMost("registers of a thread", target.registersPerThread,
              resources.registers);
  checkAtMost("registers of a block", target.registersPerBlock,
              resources.registers * kernel.info.getThreads());
  checkAtMost("named barriers", target.namedBarriers, resources.barriers);
  checkAtMost("bytes of static shared memory", target.staticSharedBytes,
              resources.sharedBytes);
  int64_t blocks = getBlocksPerMultiprocessor(kernel, target);
  if (blocks < kernel.info.blocksPerMultiprocessor)
    report("blocks on a multiprocessor: expected at least " +
           llvm::Twine(kernel.info.blocksPerMultiprocessor) +
           ", found room "
           "for " +
           llvm::Twine(blocks) + " of " +
           llvm::Twine(kernel.info.getThreads()) + " threads, " +
           llvm::Twine(resources.registers) + " registers and " +
           llvm::Twine(kernel.getSharedBytes()) + " bytes of shared memory");
}

/// What ptxas made.
void Checker::checkInstructions() {
  const SassCensus &sass = *kernel.sass;
  for (llvm::StringRef mnemonic : {"LDL", "STL"})
    if (int64_t count = sass.getCount(mnemonic))
      report(mnemonic + " in the cubin: expected none, found " +
             llvm::Twine(count));
  for (size_t i = 0; i < kInstructionKinds; ++i) {
    auto kind = static_cast<Kind>(i);
    llvm::StringRef mnemonics = getSassMnemonics(kind);
    if (mnemonics.empty() || kernel.ptx.counts[kind] == 0)
      continue;
    if (llvm::none_of(llvm::split(mnemonics, '|'), [&](llvm::StringRef name) {
          return sass.getCount(name) != 0;
        }))
      report(mnemonics + " in the cubin: expected some for " +
             llvm::Twine(kernel.ptx.counts[kind]) + " of " + getName(kind) +
             " in the PTX, found none");
  }
}

std::vector<std::string> mlir::dsv2::checkKernel(const KernelReport &kernel,
                                                 const GPUTargetInfo &target) {
  return Checker(kernel, target).run();
}

std::vector<std::string> mlir::dsv2::checkImage(const ImageReport &report) {
  std::vector<std::string> findings;
  for (const KernelReport &kernel : report.kernels)
    llvm::append_range(findings, checkKernel(kernel, report.target));
  for (const std::string &note : report.notes)
    findings.push_back(("kernels for " + report.target.chip +
                        ": expected no note of ptxas, found " + note)
                           .str());
  return findings;
}
