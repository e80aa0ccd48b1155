//===- ExpectedInstructions.h - what kernels must become --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Whoever emits a kernel knows which instructions it is about, and says so on
// it (kExpectAttr): a lowering or an optimisation that loses them is then found
// by the static gate, where results may be right all the same.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TARGET_EXPECTEDINSTRUCTIONS_H
#define DSV2_TARGET_EXPECTEDINSTRUCTIONS_H

#include "dsv2/Target/KernelAttributes.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/STLFunctionalExtras.h"

#include <map>
#include <string>

namespace mlir::dsv2 {

/// The least number of each of some instructions, by the names of
/// InstructionCounts.def.
class ExpectedInstructions {
public:
  /// Counts the ops of `region` and of those in it: `countOp` adds what one op
  /// becomes at least. Ops of a loop count once, none if it never runs. What is
  /// under a condition may turn out never to happen, or to be the same as
  /// elsewhere: of all such parts the one with most counts, if it is more than
  /// what happens always.
  static ExpectedInstructions
  of(Region &region,
     llvm::function_ref<void(Operation &, ExpectedInstructions &)> countOp) {
    ExpectedInstructions always, perhaps;
    for (Operation &op : region.getOps()) {
      countOp(op, always);
      auto loop = dyn_cast<scf::ForOp>(op);
      if (loop && neverRuns(loop))
        continue;
      for (Region &nested : op.getRegions()) {
        ExpectedInstructions inner = of(nested, countOp);
        for (const auto &[name, count] : inner.counts)
          if (isa<scf::IfOp>(op))
            perhaps.counts[name] = std::max(perhaps.counts[name], count);
          else
            always.counts[name] += count;
      }
    }
    for (const auto &[name, count] : perhaps.counts)
      always.counts[name] = std::max(always.counts[name], count);
    return always;
  }

  void add(const std::string &name, int64_t count) { counts[name] += count; }

  /// Says it on `kernel`, unless there is nothing to say or the kernel says
  /// something else itself.
  void setOn(Operation *kernel) const {
    Builder b(kernel->getContext());
    SmallVector<NamedAttribute> entries;
    for (const auto &[name, count] : counts)
      if (count > 0)
        entries.push_back(b.getNamedAttr(name, b.getI64IntegerAttr(count)));
    if (!entries.empty() && !kernel->hasAttr(kExpectAttr))
      kernel->setAttr(kExpectAttr, b.getDictionaryAttr(entries));
  }

private:
  static bool neverRuns(scf::ForOp loop) {
    APInt from, to;
    return matchPattern(loop.getLowerBound(), m_ConstantInt(&from)) &&
           matchPattern(loop.getUpperBound(), m_ConstantInt(&to)) &&
           from.sge(to);
  }

  std::map<std::string, int64_t> counts;
};

} // namespace mlir::dsv2

#endif // DSV2_TARGET_EXPECTEDINSTRUCTIONS_H
