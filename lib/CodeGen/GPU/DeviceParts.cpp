//===- DeviceParts.cpp - Parts of device code -----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/GPU/DeviceParts.h"

#include "dsv2/Target/KernelAttributes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::dsv2;

SmallVector<Value> dsv2::gpu::emitAsm(ImplicitLocOpBuilder &b,
                                      const nvptx::AsmStatement &statement,
                                      ArrayRef<Value> operands,
                                      TypeRange results) {
  nvptx::AsmText text = nvptx::printAsm(statement);
  Type result;
  if (results.size() == 1)
    result = results.front();
  else if (!results.empty())
    result = LLVM::LLVMStructType::getLiteral(b.getContext(),
                                              llvm::to_vector(results));
  auto op = LLVM::InlineAsmOp::create(
      b, result ? TypeRange(result) : TypeRange(), operands, text.text,
      text.constraints, /*has_side_effects=*/true, /*is_align_stack=*/false,
      LLVM::TailCallKind::None,
      LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT),
      /*operand_attrs=*/ArrayAttr());
  if (results.empty())
    return {};
  if (results.size() == 1)
    return {op.getResult(0)};
  SmallVector<Value> values;
  for (size_t i = 0; i < results.size(); ++i)
    values.push_back(LLVM::ExtractValueOp::create(
        b, op.getResult(0), ArrayRef<int64_t>(static_cast<int64_t>(i))));
  return values;
}

Value dsv2::gpu::hide(ImplicitLocOpBuilder &b, Value value) {
  nvptx::AsmStatement statement;
  statement.kind = nvptx::AsmKind::OpaqueMove;
  Type narrow = value.getType(), wide = b.getI64Type();
  if (narrow == wide)
    return emitAsm(b, statement, value, wide).front();
  value = arith::ExtUIOp::create(b, wide, value);
  return arith::TruncIOp::create(b, narrow,
                                 emitAsm(b, statement, value, wide).front());
}

LLVM::GlobalOp
dsv2::gpu::getOrCreateDynamicShared(mlir::gpu::GPUModuleOp module) {
  if (auto global = module.lookupSymbol<LLVM::GlobalOp>(kSharedMemorySymbol))
    return global;
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  // A multiple of what the widest swizzle wants.
  constexpr unsigned alignment = 1024, sharedSpace = 3;
  return LLVM::GlobalOp::create(
      b, module.getLoc(), LLVM::LLVMArrayType::get(b.getI8Type(), 0),
      /*isConstant=*/false, LLVM::Linkage::External, kSharedMemorySymbol,
      Attribute(), alignment, sharedSpace);
}
