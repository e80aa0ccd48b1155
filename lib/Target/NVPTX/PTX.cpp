//===- PTX.cpp - what a PTX text says of its kernels ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/PTX.h"

#include "PTXText.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir::dsv2;
using Kind = InstructionKind;
using Parts = llvm::ArrayRef<llvm::StringRef>;

namespace {
struct KindFacts {
  llvm::StringRef name;
  llvm::StringRef sass;
};
constexpr KindFacts kFacts[] = {
#define DSV2_COUNT(Enumerator, Name, Sass) {Name, Sass},
#include "dsv2/Target/InstructionCounts.def"
};
} // namespace

llvm::StringRef mlir::dsv2::getName(InstructionKind kind) {
  return kFacts[static_cast<size_t>(kind)].name;
}

llvm::StringRef mlir::dsv2::getSassMnemonics(InstructionKind kind) {
  return kFacts[static_cast<size_t>(kind)].sass;
}

std::optional<InstructionKind>
mlir::dsv2::findInstructionKind(llvm::StringRef name) {
  for (size_t i = 0; i < kInstructionKinds; ++i)
    if (kFacts[i].name == name)
      return static_cast<InstructionKind>(i);
  return std::nullopt;
}

static bool has(Parts parts, llvm::StringRef part) {
  return llvm::is_contained(parts, part);
}

/// The state space that an instruction names, empty for generic addresses.
static llvm::StringRef getSpace(Parts parts) {
  for (llvm::StringRef part : parts)
    for (llvm::StringRef space :
         {"global", "shared", "local", "param", "const"})
      if (part == space || (part.starts_with(space) &&
                            part.drop_front(space.size()).starts_with("::")))
        return space;
  return {};
}

/// Bytes that one thread loads or stores: "v4" times "b32".
static int64_t getBytes(Parts parts) {
  int64_t count = 1, bits = 0;
  for (llvm::StringRef part : parts) {
    int64_t number = 0;
    if (part.size() < 2 || part.drop_front().getAsInteger(10, number))
      continue;
    if (part.front() == 'v')
      count = number;
    else if (llvm::StringRef("busf").contains(part.front()))
      bits = number;
  }
  return count * bits / 8;
}

/// The kind for an access of so many bytes, `first` being that of 16.
static Kind getKindForBytes(Kind first, int64_t bytes) {
  int step = bytes >= 16  ? 0
             : bytes >= 8 ? 1
             : bytes >= 4 ? 2
             : bytes >= 2 ? 3
                          : 4;
  return static_cast<Kind>(static_cast<int>(first) + step);
}

/// Copies without registers: cp.async and its relatives.
static std::optional<Kind> classifyCopy(Parts parts) {
  if (has(parts, "commit_group") || has(parts, "wait_group") ||
      has(parts, "wait_all") || has(parts, "prefetch"))
    return std::nullopt;
  if (has(parts, "arrive"))
    return Kind::MBarrier;
  if (!has(parts, "bulk"))
    return Kind::CpAsync;
  if (!has(parts, "tensor"))
    return Kind::BulkCopy;
  // The destination is named first.
  return getSpace(parts) == "global" ? Kind::TmaStore : Kind::TmaLoad;
}

/// The kind of a statement, if it is one that is counted.
static std::optional<Kind> classify(Parts parts) {
  llvm::StringRef base = parts.front();
  llvm::StringRef space = getSpace(parts);
  if (base == "ld" || base == "ldu" || base == "st") {
    bool isLoad = base != "st";
    if (space.empty())
      return Kind::Generic;
    if (space == "local")
      return Kind::Local;
    if (space == "shared")
      return isLoad ? Kind::SharedLoad : Kind::SharedStore;
    if (space == "global")
      return getKindForBytes(isLoad ? Kind::GlobalLoad16 : Kind::GlobalStore16,
                             getBytes(parts));
    return std::nullopt;
  }
  if (base == "cp")
    return classifyCopy(parts);
  if (base == "wgmma")
    return has(parts, "mma_async") ? std::optional(Kind::Wgmma) : std::nullopt;
  if (base == "bar" || base == "barrier") {
    if (has(parts, "warp"))
      return std::nullopt;
    return has(parts, "cluster") && parts[1] == "cluster" ? Kind::ClusterBarrier
                                                          : Kind::Barrier;
  }
  if (base == "fence") {
    if (has(parts, "proxy"))
      return Kind::FenceProxy;
    return has(parts, "mbarrier_init") ? std::nullopt
                                       : std::optional(Kind::Fence);
  }
  return llvm::StringSwitch<std::optional<Kind>>(base)
      .Case("mma", Kind::Mma)
      .Case("ldmatrix", Kind::LdMatrix)
      .Case("stmatrix", Kind::StMatrix)
      .Case("mbarrier", Kind::MBarrier)
      .Case("setmaxnreg", Kind::SetMaxRegister)
      .Case("membar", Kind::Fence)
      .Case("atom", Kind::Atomic)
      .Case("red", Kind::Reduction)
      .Case("shfl", Kind::Shuffle)
      .Cases({"ex2", "lg2", "rcp", "rsqrt", "sqrt", "tanh", "sin", "cos"},
             Kind::Special)
      .Case("call", Kind::Call)
      .Default(std::nullopt);
}

/// Whether the register `name` occurs in `body` more than the once that an
/// atomic writes it.
static bool isUsed(llvm::StringRef body, llvm::StringRef name) {
  auto isPart = [](char c) {
    return llvm::isAlnum(c) || c == '_' || c == '$' || c == '%';
  };
  unsigned found = 0;
  for (size_t at = body.find(name); at != llvm::StringRef::npos;
       at = body.find(name, at + 1)) {
    bool isWhole =
        (at == 0 || !isPart(body[at - 1])) &&
        (at + name.size() == body.size() || !isPart(body[at + name.size()]));
    found += isWhole;
  }
  return found > 1;
}

static AtomicAccess readAtomic(const PTXStatement &statement, Parts parts,
                               llvm::StringRef body) {
  AtomicAccess access;
  access.opcode = statement.opcode.str();
  access.line = statement.line;
  access.space = getSpace(parts).str();
  for (llvm::StringRef part : parts.drop_front()) {
    if (llvm::StringSwitch<bool>(part)
            .Cases({"relaxed", "acquire", "release", "acq_rel"}, true)
            .Default(false))
      access.order = part.str();
    else if (llvm::StringSwitch<bool>(part)
                 .Cases({"cta", "cluster", "gpu", "sys"}, true)
                 .Default(false))
      access.scope = part.str();
    else if (access.operation.empty() &&
             llvm::StringSwitch<bool>(part)
                 .Cases({"add", "and", "or", "xor", "exch", "cas", "min", "max",
                         "inc", "dec"},
                        true)
                 .Default(false))
      access.operation = part.str();
  }
  if (parts.front() == "atom") {
    llvm::StringRef result = statement.operands.split(',').first.trim(" \t{}");
    access.isResultUsed = result != "_" && isUsed(body, result);
  }
  return access;
}

/// Reads up to three numbers after `directive` in `text`.
static bool readSize(llvm::StringRef text, llvm::StringRef directive,
                     std::array<int64_t, 3> &size) {
  size_t at = text.find(directive);
  if (at == llvm::StringRef::npos)
    return false;
  text = text.substr(at + directive.size());
  size = {1, 1, 1};
  for (int64_t &number : size) {
    text = text.ltrim();
    if (text.consumeInteger(10, number))
      break;
    text = text.ltrim();
    if (!text.consume_front(","))
      break;
  }
  return true;
}

static PTXKernel readKernel(const PTXEntry &entry) {
  PTXKernel kernel;
  kernel.name = entry.name.str();
  if (!readSize(entry.directives, ".reqntid", kernel.block))
    readSize(entry.directives, ".maxntid", kernel.block);
  readSize(entry.directives, ".reqnctapercluster", kernel.cluster);
  std::array<int64_t, 3> blocks;
  if (readSize(entry.directives, ".minnctapersm", blocks))
    kernel.blocksPerMultiprocessor = blocks[0];

  for (const PTXStatement &statement : entry.statements) {
    PTXPlace place = {statement.opcode.str(), statement.line};
    if (statement.opcode == ".local")
      kernel.localAccesses.push_back(place);
    if (statement.opcode.starts_with("."))
      continue;
    auto parts = statement.getParts();
    std::optional<Kind> kind;
    if (parts.empty() || !(kind = classify(parts)))
      continue;
    ++kernel.counts[*kind];
    bool isDevice = has(parts, "gpu") || has(parts, "sys") ||
                    has(parts, "gl"); // membar.gl is of scope gpu
    if (*kind == Kind::Generic)
      kernel.genericAccesses.push_back(place);
    else if ((*kind == Kind::MBarrier || *kind == Kind::LdMatrix ||
              *kind == Kind::StMatrix) &&
             getSpace(parts).empty() && !has(parts, "pending_count")) {
      kernel.genericAccesses.push_back(place);
      ++kernel.counts[Kind::Generic];
    } else if (*kind == Kind::Local)
      kernel.localAccesses.push_back(place);
    else if (*kind == Kind::Call)
      kernel.calls.push_back(place);
    else if (*kind == Kind::Fence && isDevice)
      kernel.deviceFences.push_back(place);
    else if (*kind == Kind::Atomic || *kind == Kind::Reduction) {
      kernel.atomics.push_back(readAtomic(statement, parts, entry.body));
      if (kernel.atomics.back().space.empty()) {
        kernel.genericAccesses.push_back(place);
        ++kernel.counts[Kind::Generic];
      }
    }
  }
  return kernel;
}

llvm::Expected<std::vector<PTXKernel>>
mlir::dsv2::parsePTX(llvm::StringRef source) {
  auto text = PTXText::parse(source);
  if (!text)
    return text.takeError();
  std::vector<PTXKernel> kernels;
  for (const PTXEntry &entry : text->getEntries())
    kernels.push_back(readKernel(entry));
  return kernels;
}
