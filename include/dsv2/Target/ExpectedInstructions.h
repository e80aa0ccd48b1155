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
#include "llvm/ADT/STLFunctionalExtras.h"

#include <map>
#include <string>

namespace mlir::dsv2 {

/// The least number of each of some instructions, by the names of
/// InstructionCounts.def.
class ExpectedInstructions {
public:
  /// Counts the ops of `region` and of those in it: `countOp` adds what one op
  /// becomes at least. Ops of a loop count once. Of two branches the larger
  /// number counts, as what they have in common may become one.
  static ExpectedInstructions
  of(Region &region,
     llvm::function_ref<void(Operation &, ExpectedInstructions &)> countOp) {
    ExpectedInstructions result;
    for (Operation &op : region.getOps()) {
      countOp(op, result);
      bool isBranch = isa<scf::IfOp>(op);
      ExpectedInstructions inner;
      for (Region &nested : op.getRegions()) {
        ExpectedInstructions one = of(nested, countOp);
        for (const auto &[name, count] : one.counts)
          inner.counts[name] = isBranch ? std::max(inner.counts[name], count)
                                        : inner.counts[name] + count;
      }
      for (const auto &[name, count] : inner.counts)
        result.add(name, count);
    }
    return result;
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
  std::map<std::string, int64_t> counts;
};

} // namespace mlir::dsv2

#endif // DSV2_TARGET_EXPECTEDINSTRUCTIONS_H
