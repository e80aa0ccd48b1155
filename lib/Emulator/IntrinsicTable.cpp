//===- IntrinsicTable.cpp - functions that stand for NVVM's intrinsics ----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "IntrinsicTable.h"

#include "llvm/ADT/StringMap.h"

using namespace dsv2::emulator;

Handler dsv2::emulator::findIntrinsic(llvm::StringRef name) {
  static const llvm::StringMap<Handler> table = [] {
    llvm::StringMap<Handler> all;
    for (llvm::ArrayRef<IntrinsicEntry> part :
         {registerIntrinsics(), syncIntrinsics(), warpIntrinsics(),
          mathIntrinsics(), clusterIntrinsics(), mbarrierIntrinsics(),
          copyIntrinsics(), bulkIntrinsics(), matrixIntrinsics(),
          wgmmaIntrinsics()})
      for (const IntrinsicEntry &intrinsic : part)
        all[intrinsic.name] = intrinsic.handler;
    return all;
  }();
  return table.lookup(name);
}
