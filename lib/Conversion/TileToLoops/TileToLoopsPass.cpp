//===- TileToLoopsPass.cpp - Reference lowering of tile kernels ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LoopEmitter.h"

#include "dsv2/Conversion/Passes.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_CONVERTTILETOLOOPSPASS
#include "dsv2/Conversion/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::tile;

/// What a kernel's argument is to the function.
static Type getArgumentType(Type type) {
  MLIRContext *context = type.getContext();
  int64_t dynamic = ShapedType::kDynamic;
  if (auto global = dyn_cast<GlobalType>(type))
    return MemRefType::get({dynamic}, global.getElementType(),
                           StridedLayoutAttr::get(context, dynamic, {1}));
  if (auto map = dyn_cast<TensorMapType>(type)) {
    SmallVector<int64_t> sizes(map.getShape().size(), dynamic);
    return MemRefType::get(sizes, map.getElementType(),
                           StridedLayoutAttr::get(context, dynamic, sizes));
  }
  return type;
}

namespace {
class ConvertTileToLoopsPass
    : public dsv2::impl::ConvertTileToLoopsPassBase<ConvertTileToLoopsPass> {
public:
  void runOnOperation() override {
    SmallVector<KernelOp> kernels(getOperation().getOps<KernelOp>());
    for (KernelOp kernel : kernels) {
      OpBuilder builder(kernel);
      SmallVector<Type> types;
      for (Type type : kernel.getArgumentTypes())
        types.push_back(getArgumentType(type));
      types.append(3, builder.getI32Type());
      StringAttr name = kernel.getSymNameAttr();
      auto function = func::FuncOp::create(builder, kernel.getLoc(), "",
                                           builder.getFunctionType(types, {}));
      if (failed(LoopEmitter(kernel, function).emit()))
        return signalPassFailure();
      kernel.erase();
      function.setSymNameAttr(name);
    }
  }
};
} // namespace
