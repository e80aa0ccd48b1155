//===- ScheduleReport.cpp - the schedules of tile kernels -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ScheduleReport.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/SmallBitVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::tile;

namespace {

/// "128x64 bf16".
template <typename T> std::string textOf(T type) {
  std::string text;
  for (int64_t size : type.getShape())
    text += (text.empty() ? "" : "x") + std::to_string(size);
  llvm::raw_string_ostream(text) << ' ' << type.getElementType();
  return text;
}

/// Prints one kernel.
class Printer {
public:
  Printer(llvm::raw_ostream &os, KernelOp kernel) : os(os), kernel(kernel) {}

  void print();

private:
  void printGrid();
  void printShared();
  void printBarriers();
  void printRole(RoleOp role);
  void printLines(ArrayRef<std::string> lines);
  /// The lines of what a block of ops does, those of loops indented.
  std::vector<std::string> listLines(Block &block);
  /// A line for an op that copies, waits, multiplies or stores; empty for
  /// others.
  std::string describe(Operation &op);

  llvm::raw_ostream &indent(unsigned depth) { return os.indent(2 * depth); }
  /// "ring 0": declarations are numbered.
  std::string nameOf(Value declared);
  /// The name of the memory that a view, stage or ring tile is of.
  std::string memoryOf(Value tile);
  /// That, or registers.
  std::string operandOf(Value value);

  llvm::raw_ostream &os;
  KernelOp kernel;
  llvm::DenseMap<Value, std::string> names;
};

} // namespace

std::string Printer::nameOf(Value declared) {
  auto found = names.find(declared);
  return found == names.end() ? "memory" : found->second;
}

std::string Printer::memoryOf(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (auto view = dyn_cast<SharedViewOp>(op)) {
      value = view.getSource();
    } else if (auto stage = dyn_cast<SharedStageOp>(op)) {
      value = stage.getSource();
    } else if (auto tile = dyn_cast<RingTileOp>(op)) {
      auto ring = cast<RingType>(tile.getRing().getType());
      std::string name = nameOf(tile.getRing());
      return ring.getTiles().size() == 1
                 ? name
                 : name + " tile " + std::to_string(tile.getIndex());
    } else {
      break;
    }
  }
  return nameOf(value);
}

/// How blocks come to their work: by what the kernel does with its number and
/// the number of blocks.
void Printer::printGrid() {
  llvm::SmallBitVector blockIds(3), gridSizes(3);
  bool isLoop = false;
  kernel.walk([&](Operation *op) {
    if (auto id = dyn_cast<BlockIdOp>(op))
      blockIds.set(id.getDimension());
    if (auto size = dyn_cast<GridSizeOp>(op))
      gridSizes.set(size.getDimension());
    if (auto loop = dyn_cast<scf::ForOp>(op))
      isLoop |= isa_and_nonnull<GridSizeOp>(loop.getStep().getDefiningOp());
  });
  auto list = [](const llvm::SmallBitVector &dimensions) {
    std::string text;
    for (unsigned dimension : dimensions.set_bits())
      text += (text.empty() ? "" : ", ") + std::string(1, "xyz"[dimension]);
    return text;
  };
  indent(1) << "grid: ";
  if (isLoop)
    os << "persistent, a block takes every tile whose number is its own modulo "
          "the blocks in "
       << list(gridSizes);
  else if (gridSizes.any())
    os << "persistent, the blocks in " << list(gridSizes)
       << " share the work evenly";
  else if (blockIds.any())
    os << "a block for each tile, by its numbers in " << list(blockIds);
  else
    os << "every block does the same";
  os << '\n';
}

void Printer::printShared() {
  SharedLayout layout = getSharedLayout(kernel);
  indent(1) << "shared memory: " << layout.size << " of "
            << getSharedLimit(kernel.getChip()) << " bytes\n";
  unsigned rings = 0, tiles = 0;
  for (Operation &op : kernel.getBody().front()) {
    if (auto ring = dyn_cast<RingOp>(op)) {
      RingType type = ring.getType();
      std::string name = names[ring.getResult()] =
          "ring " + std::to_string(rings++);
      std::string each;
      for (SharedType tile : type.getTiles())
        each += (each.empty() ? "" : " and ") + textOf(tile);
      indent(2) << name << " at " << layout.offsets[ring] << ": "
                << type.getStages() << " stages of " << type.getStageBytes()
                << " bytes, " << each
                << "; a stage is full when its bytes have "
                << "come, empty when " << ring.getReleases()
                << " warps have released it\n";
    } else if (auto shared = dyn_cast<SharedOp>(op)) {
      SharedType type = shared.getType();
      std::string name = names[shared.getResult()] =
          "tile " + std::to_string(tiles++);
      indent(2) << name << " at " << layout.offsets[shared] << ": ";
      if (type.hasStages())
        os << type.getStages() << " stages of " << type.getTileBytes()
           << " bytes, " << textOf(type.getStage()) << '\n';
      else
        os << type.getTileBytes() << " bytes, " << textOf(type) << '\n';
    }
  }
}

void Printer::printBarriers() {
  // The threads that each waits for, and who comes to it.
  llvm::MapVector<int64_t, std::pair<int64_t, llvm::SetVector<StringRef>>> all;
  for (auto role : kernel.getBody().front().getOps<RoleOp>())
    role.walk([&](BarrierOp barrier) {
      auto &[threads, roles] = all[barrier.getId()];
      threads = barrier.getThreads();
      roles.insert(role.getName());
    });
  for (const auto &[id, barrier] : all)
    indent(1) << "barrier " << id << ": " << barrier.first << " threads, of "
              << llvm::join(barrier.second, ", ") << '\n';
}

/// "64x128x64": rows, columns and depth of a product.
template <typename Op> static std::string sizesOf(Op product) {
  auto columns = [](Value value) {
    if (auto shared = dyn_cast<SharedType>(value.getType()))
      return shared.getColumns();
    return cast<OperandType>(value.getType()).getColumns();
  };
  auto result = product.getResult().getType();
  return std::to_string(result.getRows()) + "x" +
         std::to_string(result.getColumns()) + "x" +
         std::to_string(columns(product.getA()));
}

std::string Printer::operandOf(Value value) {
  return isa<SharedType>(value.getType()) ? memoryOf(value) : "registers";
}

std::string Printer::describe(Operation &op) {
  std::string text;
  llvm::raw_string_ostream out(text);
  llvm::TypeSwitch<Operation *>(&op)
      .Case([&](RingAcquireOp acquire) {
        out << "wait until a stage of " << nameOf(acquire.getRing())
            << " is empty, expect " << acquire.getBytes() << " bytes";
      })
      .Case([&](RingWaitOp wait) {
        out << "wait until a stage of " << nameOf(wait.getRing()) << " is full";
      })
      .Case([&](RingReleaseOp release) {
        out << "release a stage of " << nameOf(release.getRing());
      })
      .Case([&](TmaLoadOp load) {
        SharedType type = load.getTile().getType();
        out << "copy " << textOf(type) << " to " << memoryOf(load.getTile())
            << " by tensor map, boxes of " << textOf(load.getMap().getType());
      })
      .Case([&](CpAsyncOp copy) {
        out << "copy " << textOf(copy.getTile().getType()) << " to "
            << memoryOf(copy.getTile()) << " by cp.async";
      })
      .Case([&](CpAsyncCommitOp) { out << "close a group of copies"; })
      .Case([&](CpAsyncWaitOp wait) {
        out << "wait for all but " << wait.getPending() << " groups of copies";
      })
      .Case([&](BarrierOp barrier) {
        out << (barrier.getArrive() ? "arrive" : "meet") << " at barrier "
            << barrier.getId();
      })
      .Case([&](WgmmaOp product) {
        out << "start product " << sizesOf(product) << ", "
            << operandOf(product.getA()) << " by " << operandOf(product.getB());
      })
      .Case([&](MmaOp product) {
        out << "product " << sizesOf(product) << ", "
            << operandOf(product.getA()) << " by " << operandOf(product.getB());
      })
      .Case([&](WgmmaWaitOp wait) {
        out << "wait for all but " << wait.getPending() << " products";
      })
      .Case([&](PutOp put) {
        out << "write " << textOf(put.getValue().getType()) << " to "
            << memoryOf(put.getTile());
      })
      .Case([&](PutRowsOp put) {
        out << "write " << textOf(put.getValue().getType()) << " to "
            << memoryOf(put.getTile());
      })
      .Case([&](GetRowsOp get) {
        out << "read " << textOf(get.getResult().getType()) << " of "
            << memoryOf(get.getTile());
      })
      .Case([&](ClearRowsOp clear) {
        out << "clear rows of " << memoryOf(clear.getTile());
      })
      .Case([&](FenceAsyncOp) { out << "show stores to the matrix units"; })
      .Case([&](LoadOp load) {
        out << "load " << textOf(load.getResult().getType());
      })
      .Case([&](StoreOp store) {
        out << "store " << textOf(store.getValue().getType()) << " as "
            << store.getTarget().getType().getElementType();
      })
      .Case([&](LoadRowsOp) { out << "load a value a row"; })
      .Case([&](StoreRowsOp) { out << "store a value a row"; })
      .Case([&](ReduceRowsOp) { out << "reduce rows"; })
      .Case([&](SearchSumsOp) { out << "search where a share begins"; });
  return text;
}

/// What a loop does, as the head of its lines.
static std::string describeLoop(Operation *op) {
  auto loop = dyn_cast<scf::ForOp>(op);
  if (!loop)
    return "repeat while there is more:";
  if (isa_and_nonnull<GridSizeOp>(loop.getStep().getDefiningOp()))
    return "for each tile of the block:";
  APInt from, to, step;
  if (matchPattern(loop.getLowerBound(), m_ConstantInt(&from)) &&
      matchPattern(loop.getUpperBound(), m_ConstantInt(&to)) &&
      matchPattern(loop.getStep(), m_ConstantInt(&step)) &&
      step.isStrictlyPositive())
    return "repeat " +
           std::to_string(std::max<int64_t>(
               llvm::divideCeilSigned(to.getSExtValue() - from.getSExtValue(),
                                      step.getSExtValue()),
               0)) +
           " times:";
  return "repeat:";
}

std::vector<std::string> Printer::listLines(Block &block) {
  std::vector<std::string> lines;
  auto add = [&](const std::string &head, Region &region) {
    std::vector<std::string> inner;
    for (Block &nested : region)
      llvm::append_range(inner, listLines(nested));
    if (inner.empty())
      return;
    lines.push_back(head);
    for (std::string &line : inner)
      lines.push_back("  " + std::move(line));
  };
  for (Operation &op : block) {
    if (std::string line = describe(op); !line.empty()) {
      lines.push_back(line);
    } else if (auto branch = dyn_cast<scf::IfOp>(op)) {
      add("if it is so:", branch.getThenRegion());
      add("if not:", branch.getElseRegion());
    } else if (isa<scf::ForOp, scf::WhileOp>(op)) {
      for (Region &region : op.getRegions())
        add(describeLoop(&op), region);
    }
  }
  return lines;
}

void Printer::printLines(ArrayRef<std::string> lines) {
  // What comes several times in a row is said once.
  for (size_t i = 0; i < lines.size();) {
    size_t end = i + 1;
    while (end < lines.size() && lines[end] == lines[i])
      ++end;
    indent(2) << lines[i];
    if (end - i > 1)
      os << ", " << end - i << " times";
    os << '\n';
    i = end;
  }
}

void Printer::printRole(RoleOp role) {
  indent(1) << "role " << role.getName() << ": warps " << role.getFirst()
            << " to " << role.getLast() - 1 << ", ";
  int64_t instances = role.getInstances();
  if (role.getSingle())
    os << "one thread";
  else if (role.getBy() != 4)
    os << instances << (instances == 1 ? " warp" : " warps side by side");
  else
    os << instances << (instances == 1 ? " warpgroup" : " warpgroups")
       << " of 128 threads";
  if (auto registers = role.getRegisters())
    os << ", " << *registers << " registers a thread";
  if (!role.getSingle())
    os << "; tiles take " << estimateRegisters(role)
       << " registers of a thread at most";
  os << '\n';
  printLines(listLines(role.getBody().front()));
}

void Printer::print() {
  os << kernel.getSymName() << " for " << kernel.getChip() << ": blocks of "
     << kernel.getThreads() << " threads\n";
  printGrid();
  printShared();
  printBarriers();
  // Roles are no lines.
  std::vector<std::string> before = listLines(kernel.getBody().front());
  if (!before.empty())
    indent(1) << "before the roles:\n";
  printLines(before);
  for (auto role : kernel.getBody().front().getOps<RoleOp>())
    printRole(role);
}

void mlir::dsv2::printSchedule(llvm::raw_ostream &os, KernelOp kernel) {
  Printer(os, kernel).print();
}
