//===- ProductOps.cpp - products of matrix units -------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyUtils.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace mlir::dsv2::tile;

namespace {
/// Sizes of a product.
struct Sizes {
  int64_t m, n, k, kOfB;
  bool bf16;
};
} // namespace

static Sizes getSizes(Type a, SharedType b, bool transposed) {
  Sizes sizes;
  if (auto tile = dyn_cast<SharedType>(a)) {
    sizes.m = tile.getRows();
    sizes.k = tile.getColumns();
    sizes.bf16 = tile.getElementType().isBF16();
  } else {
    auto operand = cast<OperandType>(a);
    sizes.m = operand.getRows();
    sizes.k = operand.getColumns();
    sizes.bf16 = true;
  }
  sizes.n = transposed ? b.getColumns() : b.getRows();
  sizes.kOfB = transposed ? b.getRows() : b.getColumns();
  sizes.bf16 &= b.getElementType().isBF16();
  return sizes;
}

/// wgmma_c1, mma_c1
static LogicalResult verifyDepth(Operation *op, const Sizes &sizes) {
  if (!sizes.bf16)
    return op->emitOpError("expected operands of bf16");
  if (sizes.k != sizes.kOfB || sizes.k % 16 != 0)
    return op->emitOpError("expected operands that agree in k, a multiple of "
                           "16, got ")
           << sizes.k << " and " << sizes.kOfB;
  return success();
}

static bool hasStages(Type type) {
  auto tile = dyn_cast<SharedType>(type);
  return tile && tile.hasStages();
}

//===----------------------------------------------------------------------===//
// WgmmaFenceOp
//===----------------------------------------------------------------------===//

/// What a value is behind a fence.
static Type getFenced(Type type) {
  if (auto fragment = dyn_cast<FragmentType>(type))
    return AsyncType::get(type.getContext(), fragment.getShape(),
                          fragment.getElementType(), fragment.getWarps());
  return type;
}

void WgmmaFenceOp::build(OpBuilder &builder, OperationState &state,
                         ValueRange values) {
  state.addOperands(values);
  for (Value value : values)
    state.addTypes(getFenced(value.getType()));
}

LogicalResult WgmmaFenceOp::verify() {
  // wgmma_fence_c1
  if (getNumResults() != getValues().size())
    return emitOpError("expected a result for each value");
  for (auto [value, result] : llvm::zip(getValues(), getResults())) {
    auto fragment = dyn_cast<FragmentType>(value.getType());
    auto async = dyn_cast<AsyncType>(result.getType());
    if (fragment ? !async || async.getShape() != fragment.getShape()
                 : value.getType() != result.getType())
      return emitOpError("expected ")
             << value.getType() << " to stay in its registers, got "
             << result.getType();
  }
  return success();
}

//===----------------------------------------------------------------------===//
// WgmmaOp
//===----------------------------------------------------------------------===//

ParseResult WgmmaOp::parse(OpAsmParser &parser, OperationState &result) {
  OpAsmParser::UnresolvedOperand a, b, acc;
  Type aType, bType, resultType;
  if (parser.parseOperand(a) || parser.parseComma() || parser.parseOperand(b))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("transposed")))
    result.getOrAddProperties<Properties>().transposed_b =
        parser.getBuilder().getUnitAttr();
  bool accumulate = succeeded(parser.parseOptionalKeyword("acc"));
  if ((accumulate && parser.parseOperand(acc)) ||
      parser.parseOptionalAttrDict(result.attributes) || parser.parseColon() ||
      parser.parseType(aType) || parser.parseComma() ||
      parser.parseType(bType) || parser.parseArrow() ||
      parser.parseType(resultType) ||
      parser.resolveOperand(a, aType, result.operands) ||
      parser.resolveOperand(b, bType, result.operands) ||
      (accumulate && parser.resolveOperand(acc, resultType, result.operands)))
    return failure();
  result.addTypes(resultType);
  return success();
}

void WgmmaOp::print(OpAsmPrinter &printer) {
  printer << " " << getA() << ", " << getB();
  if (getTransposedB())
    printer << " transposed";
  if (getAcc())
    printer << " acc " << getAcc();
  printer.printOptionalAttrDict((*this)->getAttrs(), {"transposed_b"});
  printer << " : " << getA().getType() << ", " << getB().getType() << " -> "
          << getType();
}

LogicalResult WgmmaOp::verify() {
  SharedType b = getB().getType();
  Sizes sizes = getSizes(getA().getType(), b, getTransposedB());
  // wgmma_c1
  if (failed(verifyDepth(*this, sizes)))
    return failure();
  // wgmma_c2
  if (sizes.m != 64 || getType().getColumns() != sizes.n || sizes.n > 256)
    return emitOpError(
               "expected 64 rows and a result of up to 256 columns, got "
               "a product of ")
           << sizes.m << " by " << sizes.n << " in " << getType();
  // wgmma_c3
  for (Type type : {getA().getType(), Type(b)}) {
    auto tile = dyn_cast<SharedType>(type);
    if (tile && (tile.hasStages() || !tile.getSwizzle()))
      return emitOpError("expected a swizzle and no stages, got ") << tile;
  }
  // wgmma_c5
  if (getTransposedB() && (b.getOfRows() % 16 != 0 || b.getRows() % 16 != 0))
    return emitOpError("expected a multiple of 16 rows of 'b', got ") << b;
  // wgmma_c4
  if (getAcc() && getAcc().getType() != getType())
    return emitOpError("expected 'acc' of the result's type, got ")
           << getAcc().getType();
  // wgmma_c6
  if (isa<OperandType>(getA().getType()) &&
      !getA().getDefiningOp<WgmmaFenceOp>())
    return emitOpError("expected an operand in registers to come from a "
                       "wgmma_fence");
  return success();
}

//===----------------------------------------------------------------------===//
// WgmmaWaitOp
//===----------------------------------------------------------------------===//

void WgmmaWaitOp::build(OpBuilder &builder, OperationState &state,
                        int64_t pending, ValueRange done, ValueRange keep) {
  Properties &properties = state.getOrAddProperties<Properties>();
  properties.pending = builder.getI32IntegerAttr(pending);
  properties.operandSegmentSizes = {static_cast<int32_t>(done.size()),
                                    static_cast<int32_t>(keep.size())};
  state.addOperands(done);
  state.addOperands(keep);
  for (Value value : done) {
    auto type = cast<AsyncType>(value.getType());
    state.addTypes(FragmentType::get(type.getContext(), type.getShape(),
                                     type.getElementType(), type.getWarps()));
  }
  state.addTypes(keep.getTypes());
}

/// The product whose result `value` is, through waits that kept it.
static WgmmaOp getProduct(Value value) {
  while (auto wait = value.getDefiningOp<WgmmaWaitOp>()) {
    unsigned number = cast<OpResult>(value).getResultNumber();
    value = wait.getOperand(number);
  }
  return value.getDefiningOp<WgmmaOp>();
}

LogicalResult WgmmaWaitOp::verify() {
  // wgmma_wait_c1
  if (getNumResults() != getNumOperands())
    return emitOpError("expected a result for each operand");
  for (auto [index, operand] : llvm::enumerate(getOperands())) {
    Type result = getResult(index).getType();
    auto async = cast<AsyncType>(operand.getType());
    if (index < getDone().size()) {
      auto fragment = dyn_cast<FragmentType>(result);
      if (!fragment || fragment.getShape() != async.getShape())
        return emitOpError("expected a fragment of the shape of ")
               << async << ", got " << result;
    } else if (result != async) {
      return emitOpError("expected ")
             << async << " to stay in flight, got " << result;
    }
  }
  // wgmma_wait_c2
  int64_t pending = static_cast<int32_t>(getPending());
  if (pending < 0 || (pending == 0 && !getKeep().empty()))
    return emitOpError("expected 'pending' not to be negative, and nothing to "
                       "keep with 0");
  // wgmma_wait_c3
  if (pending == 0)
    return success();
  for (Value done : getDone()) {
    WgmmaOp product = getProduct(done);
    int64_t behind = 0;
    if (product && product->getBlock() == (*this)->getBlock()) {
      for (Operation *op = product->getNextNode(); op && op != getOperation();
           op = op->getNextNode())
        behind += isa<WgmmaOp>(op);
      if (behind >= pending)
        continue;
    }
    return emitOpError("expected each product that is done to be of this block "
                       "with ")
           << pending << " others behind it, got " << behind;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// MmaOp
//===----------------------------------------------------------------------===//

LogicalResult MmaOp::verify() {
  SharedType b = getB().getType();
  Sizes sizes = getSizes(getA().getType(), b, getTransposedB());
  // mma_c1
  if (failed(verifyDepth(*this, sizes)))
    return failure();
  // mma_c2
  if (getType().getRows() != sizes.m || getType().getColumns() != sizes.n ||
      sizes.n % 16 != 0)
    return emitOpError("expected a result of ")
           << sizes.m << " by " << sizes.n << ", a multiple of 16 columns, got "
           << getType();
  // mma_c3
  if (hasStages(getA().getType()) || hasStages(b))
    return emitOpError("expected tiles without stages");
  // mma_c4
  auto operand = dyn_cast<OperandType>(getA().getType());
  if (operand && operand.getWarps() != getType().getWarps())
    return emitOpError("expected an operand of the result's warps, got ")
           << operand;
  return success();
}
