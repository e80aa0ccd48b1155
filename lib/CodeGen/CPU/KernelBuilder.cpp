//===- KernelBuilder.cpp - Write kernels that read like kernels -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/KernelBuilder.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/SymbolTable.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

/// `like` with another element type: a vector stays a vector of its shape.
static Type withElement(Type like, Type element) {
  if (auto vector = dyn_cast<VectorType>(like))
    return VectorType::get(vector.getShape(), element);
  return element;
}

/// An integer constant of `type`, a scalar or a vector of equal lanes.
static Value intConstant(KernelBuilder &b, Type type, int64_t value) {
  TypedAttr attr = b.getIntegerAttr(getElementTypeOrSelf(type), value);
  if (auto vector = dyn_cast<VectorType>(type))
    attr = DenseElementsAttr::get(vector, Attribute(attr));
  return arith::ConstantOp::create(b, attr);
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

Value KernelBuilder::index(int64_t value) {
  return arith::ConstantIndexOp::create(*this, value);
}

Value KernelBuilder::i32(int32_t value) {
  return intConstant(*this, getI32Type(), value);
}

Value KernelBuilder::i64(int64_t value) {
  return intConstant(*this, getI64Type(), value);
}

Value KernelBuilder::f32(float value) {
  return arith::ConstantOp::create(*this, getF32FloatAttr(value));
}

Value KernelBuilder::boolean(bool value) {
  return intConstant(*this, getI1Type(), value);
}

Value KernelBuilder::splat(float value) {
  return arith::ConstantOp::create(*this,
                                   DenseElementsAttr::get(f32VecType(), value));
}

Value KernelBuilder::splatI32(int32_t value) {
  return intConstant(*this, vecType(getI32Type()), value);
}

Value KernelBuilder::broadcast(Value scalar) {
  return vector::BroadcastOp::create(*this, vecType(scalar.getType()), scalar);
}

//===----------------------------------------------------------------------===//
// Integer and index arithmetic
//===----------------------------------------------------------------------===//

Value KernelBuilder::add(Value a, Value b) {
  return createOrFold<arith::AddIOp>(a, b);
}

Value KernelBuilder::sub(Value a, Value b) {
  return createOrFold<arith::SubIOp>(a, b);
}

Value KernelBuilder::mul(Value a, Value b) {
  return createOrFold<arith::MulIOp>(a, b);
}

Value KernelBuilder::min(Value a, Value b) {
  return createOrFold<arith::MinSIOp>(a, b);
}

Value KernelBuilder::max(Value a, Value b) {
  return createOrFold<arith::MaxSIOp>(a, b);
}

// Unsigned division: the operands are sizes, and a divisor that is a power of
// two becomes a plain shift.
Value KernelBuilder::div(Value a, Value b) {
  return createOrFold<arith::DivUIOp>(a, b);
}

Value KernelBuilder::ceilDiv(Value a, Value b) {
  Value one = intConstant(*this, b.getType(), 1);
  return div(add(a, sub(b, one)), b);
}

Value KernelBuilder::rem(Value a, Value b) {
  return createOrFold<arith::RemUIOp>(a, b);
}

Value KernelBuilder::cmp(arith::CmpIPredicate predicate, Value a, Value b) {
  return createOrFold<arith::CmpIOp>(predicate, a, b);
}

Value KernelBuilder::logicalAnd(Value a, Value b) {
  return createOrFold<arith::AndIOp>(a, b);
}

Value KernelBuilder::logicalOr(Value a, Value b) {
  return createOrFold<arith::OrIOp>(a, b);
}

Value KernelBuilder::select(Value condition, Value a, Value b) {
  return createOrFold<arith::SelectOp>(condition, a, b);
}

Value KernelBuilder::toIndex(Value value) {
  return createOrFold<arith::IndexCastOp>(getIndexType(), value);
}

Value KernelBuilder::fromIndex(Value value, Type type) {
  return createOrFold<arith::IndexCastOp>(type, value);
}

//===----------------------------------------------------------------------===//
// Floating point
//===----------------------------------------------------------------------===//

Value KernelBuilder::fadd(Value a, Value b) {
  return arith::AddFOp::create(*this, a, b);
}

Value KernelBuilder::fsub(Value a, Value b) {
  return arith::SubFOp::create(*this, a, b);
}

Value KernelBuilder::fmul(Value a, Value b) {
  return arith::MulFOp::create(*this, a, b);
}

Value KernelBuilder::fdiv(Value a, Value b) {
  return arith::DivFOp::create(*this, a, b);
}

Value KernelBuilder::fneg(Value a) { return arith::NegFOp::create(*this, a); }

Value KernelBuilder::fmax(Value a, Value b) {
  return arith::MaximumFOp::create(*this, a, b);
}

Value KernelBuilder::fmin(Value a, Value b) {
  return arith::MinimumFOp::create(*this, a, b);
}

Value KernelBuilder::fma(Value a, Value b, Value c) {
  // math.fma is always one rounding; vector.fma would leave the choice to the
  // code generator, and results would depend on it.
  if (target.hasFMA)
    return math::FmaOp::create(*this, a, b, c);
  return fadd(fmul(a, b), c);
}

Value KernelBuilder::fcmp(arith::CmpFPredicate predicate, Value a, Value b) {
  return arith::CmpFOp::create(*this, predicate, a, b);
}

/// Folds the upper half of `vector` onto the lower one until one lane is left.
static Value reduceByHalves(KernelBuilder &b, Value vector,
                            llvm::function_ref<Value(Value, Value)> combine) {
  int64_t size = cast<VectorType>(vector.getType()).getNumElements();
  while (size > 1) {
    int64_t half = size / 2;
    SmallVector<int64_t> low, high;
    for (int64_t i = 0; i < half; ++i) {
      low.push_back(i);
      high.push_back(half + i);
    }
    Value a = vector::ShuffleOp::create(b, vector, vector, low);
    Value c = vector::ShuffleOp::create(b, vector, vector, high);
    vector = combine(a, c);
    size = half;
  }
  return vector::ExtractOp::create(b, vector, ArrayRef<int64_t>{0});
}

Value KernelBuilder::reduceAdd(Value vector) {
  return reduceByHalves(*this, vector,
                        [&](Value a, Value b) { return fadd(a, b); });
}

Value KernelBuilder::reduceMax(Value vector) {
  return reduceByHalves(*this, vector,
                        [&](Value a, Value b) { return fmax(a, b); });
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

SmallVector<Value> KernelBuilder::forCarry(
    Value lo, Value hi, Value step, ValueRange init,
    llvm::function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  auto loop = scf::ForOp::create(*this, lo, hi, step, init);
  InsertionGuard guard(*this);
  // Without carried values the op comes with its terminator.
  if (init.empty())
    setInsertionPoint(loop.getBody()->getTerminator());
  else
    setInsertionPointToEnd(loop.getBody());
  SmallVector<Value> next =
      body(loop.getInductionVar(), loop.getRegionIterArgs());
  assert(next.size() == init.size() && "one next value per carried value");
  if (!init.empty())
    scf::YieldOp::create(*this, next);
  return SmallVector<Value>(loop.getResults());
}

void KernelBuilder::forEach(Value lo, Value hi, Value step,
                            llvm::function_ref<void(Value)> body) {
  forCarry(lo, hi, step, {}, [&](Value iv, ValueRange) -> SmallVector<Value> {
    body(iv);
    return {};
  });
}

SmallVector<Value> KernelBuilder::forVectorsCarry(
    Value n, ValueRange init,
    llvm::function_ref<SmallVector<Value>(Value, Value, ValueRange)> body) {
  Value whole = roundDown(n, lanes());
  SmallVector<Value> state = forCarry(
      index(0), whole, index(lanes()), init,
      [&](Value i, ValueRange carried) { return body(i, {}, carried); });
  Value rest = sub(n, whole);
  if (init.empty()) {
    ifThen(gt(rest, index(0)), [&] { body(whole, rest, {}); });
    return {};
  }
  return ifYield(
      gt(rest, index(0)), [&] { return body(whole, rest, state); },
      [&] { return state; });
}

void KernelBuilder::forVectors(Value n,
                               llvm::function_ref<void(Value, Value)> body) {
  forVectorsCarry(n, {},
                  [&](Value i, Value count, ValueRange) -> SmallVector<Value> {
                    body(i, count);
                    return {};
                  });
}

void KernelBuilder::ifThen(Value condition, llvm::function_ref<void()> thenBody,
                           llvm::function_ref<void()> elseBody) {
  auto op = scf::IfOp::create(*this, condition,
                              /*withElseRegion=*/static_cast<bool>(elseBody));
  InsertionGuard guard(*this);
  setInsertionPoint(op.thenBlock()->getTerminator());
  thenBody();
  if (elseBody) {
    setInsertionPoint(op.elseBlock()->getTerminator());
    elseBody();
  }
}

SmallVector<Value>
KernelBuilder::ifYield(Value condition,
                       llvm::function_ref<SmallVector<Value>()> thenBody,
                       llvm::function_ref<SmallVector<Value>()> elseBody) {
  // The op's builder runs the bodies with this very builder as its insertion
  // point and takes the result types from the first yield.
  auto op = scf::IfOp::create(
      *this, condition,
      [&](OpBuilder &, Location) { scf::YieldOp::create(*this, thenBody()); },
      [&](OpBuilder &, Location) { scf::YieldOp::create(*this, elseBody()); });
  return SmallVector<Value>(op.getResults());
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Value KernelBuilder::dim(Value memref, int64_t d) {
  return createOrFold<memref::DimOp>(memref, d);
}

Value KernelBuilder::loadScalar(Value memref, ValueRange indices) {
  return memref::LoadOp::create(*this, memref, indices);
}

void KernelBuilder::storeScalar(Value value, Value memref, ValueRange indices) {
  memref::StoreOp::create(*this, value, memref, indices);
}

Value KernelBuilder::tailMask(Value count) {
  // Lane numbers are compared in 32 bits, so bring the count into range first.
  return vector::CreateMaskOp::create(*this, vecType(getI1Type()),
                                      ValueRange{min(count, lanes())});
}

/// A memref of 16-bit floats as a memref of their bits, other ones unchanged.
///
/// Vectors of bf16 and f16 are not used for memory accesses: where LLVM has to
/// take them apart (masked accesses on most processors) it converts the
/// elements to f32 and back, with library calls that also change NaN. The
/// descriptors of both types are the same, so the cast disappears when memrefs
/// are lowered.
static Value asBits(KernelBuilder &b, Value memref) {
  auto type = cast<MemRefType>(memref.getType());
  Type element = type.getElementType();
  if (!element.isBF16() && !element.isF16())
    return memref;
  MemRefType bits = MemRefType::Builder(type).setElementType(b.getI16Type());
  return UnrealizedConversionCastOp::create(b, bits, memref).getResult(0);
}

Value KernelBuilder::loadF32(Value memref, ValueRange indices) {
  Type element = cast<MemRefType>(memref.getType()).getElementType();
  Value source = asBits(*this, memref);
  Value loaded = loadScalar(source, indices);
  if (source != memref)
    loaded = arith::BitcastOp::create(*this, element, loaded);
  return widen(loaded);
}

void KernelBuilder::storeF32(Value value, Value memref, ValueRange indices) {
  Value target = asBits(*this, memref);
  if (target != memref)
    value = arith::BitcastOp::create(*this, getI16Type(), narrowToBF16(value));
  storeScalar(value, target, indices);
}

Value KernelBuilder::loadRaw(Value memref, ValueRange indices, Value count) {
  Type element = cast<MemRefType>(memref.getType()).getElementType();
  Value source = asBits(*this, memref);
  VectorType type =
      vecType(cast<MemRefType>(source.getType()).getElementType());
  Value loaded;
  if (count) {
    Value zeros = arith::ConstantOp::create(*this, getZeroAttr(type));
    loaded = vector::MaskedLoadOp::create(*this, type, source, indices,
                                          tailMask(count), zeros);
  } else {
    loaded = vector::LoadOp::create(*this, type, source, indices);
  }
  if (source == memref)
    return loaded;
  return arith::BitcastOp::create(*this, vecType(element), loaded);
}

void KernelBuilder::storeRaw(Value vector, Value memref, ValueRange indices,
                             Value count) {
  Value target = asBits(*this, memref);
  if (target != memref)
    vector = arith::BitcastOp::create(*this, vecType(getI16Type()), vector);
  if (count)
    vector::MaskedStoreOp::create(*this, target, indices, tailMask(count),
                                  vector);
  else
    vector::StoreOp::create(*this, vector, target, indices);
}

Value KernelBuilder::load(Value memref, ValueRange indices, Value count) {
  return widen(loadRaw(memref, indices, count));
}

void KernelBuilder::store(Value vector, Value memref, ValueRange indices,
                          Value count) {
  Type element = cast<MemRefType>(memref.getType()).getElementType();
  storeRaw(element.isBF16() ? narrowToBF16(vector) : vector, memref, indices,
           count);
}

Value KernelBuilder::widen(Value value) {
  Type type = value.getType(), element = getElementTypeOrSelf(type);
  Type i16 = withElement(type, getI16Type());
  Type i32 = withElement(type, getI32Type());
  Type f32 = withElement(type, getF32Type());
  auto constant = [&](int64_t v) { return intConstant(*this, i32, v); };

  if (element.isBF16()) {
    // bf16 is the upper half of f32: one extension and one shift.
    Value bits = arith::BitcastOp::create(*this, i16, value);
    Value wide = arith::ExtUIOp::create(*this, i32, bits);
    wide = arith::ShLIOp::create(*this, wide, constant(16));
    return arith::BitcastOp::create(*this, f32, wide);
  }
  if (element.isF16()) {
    if (target.hasF16C)
      return arith::ExtFOp::create(*this, f32, value);
    // Without the instruction LLVM calls a helper per lane. Move exponent and
    // mantissa into place, correct the exponent's bias with one exact product
    // (which also normalises subnormal values), and restore an all-ones
    // exponent for infinity and NaN.
    Value bits = arith::BitcastOp::create(*this, i16, value);
    Value wide = arith::ExtUIOp::create(*this, i32, bits);
    Value sign = arith::ShLIOp::create(
        *this, arith::AndIOp::create(*this, wide, constant(0x8000)),
        constant(16));
    Value magnitude = arith::ShLIOp::create(
        *this, arith::AndIOp::create(*this, wide, constant(0x7fff)),
        constant(13));
    Value bias = arith::BitcastOp::create(*this, f32, constant(0x77800000));
    Value scaled = arith::MulFOp::create(
        *this, arith::BitcastOp::create(*this, f32, magnitude), bias);
    Value result = arith::BitcastOp::create(*this, i32, scaled);
    Value special =
        cmp(arith::CmpIPredicate::uge, magnitude, constant(0x0f800000));
    Value allOnes =
        arith::OrIOp::create(*this, magnitude, constant(0x7f800000));
    result = select(special, allOnes, result);
    result = arith::OrIOp::create(*this, result, sign);
    return arith::BitcastOp::create(*this, f32, result);
  }
  assert(element.isF32() && "expected bf16, f16 or f32");
  return value;
}

Value KernelBuilder::narrowToBF16(Value value) {
  Type type = value.getType();
  Type i16 = withElement(type, getI16Type());
  Type i32 = withElement(type, getI32Type());
  auto constant = [&](int64_t v) { return intConstant(*this, i32, v); };

  Value bits = arith::BitcastOp::create(*this, i32, value);
  Value odd = arith::AndIOp::create(
      *this, arith::ShRUIOp::create(*this, bits, constant(16)), constant(1));
  Value rounded = arith::AddIOp::create(
      *this, arith::AddIOp::create(*this, bits, constant(0x7fff)), odd);
  // Rounding could carry a NaN's mantissa into its sign.
  Value isNaN = cmp(arith::CmpIPredicate::ugt,
                    arith::AndIOp::create(*this, bits, constant(0x7fffffff)),
                    constant(0x7f800000));
  Value quiet = arith::OrIOp::create(*this, bits, constant(0x00400000));
  Value upper = arith::ShRUIOp::create(*this, select(isNaN, quiet, rounded),
                                       constant(16));
  Value half = arith::TruncIOp::create(*this, i16, upper);
  return arith::BitcastOp::create(*this, withElement(type, getBF16Type()),
                                  half);
}

Value KernelBuilder::scratch(ArrayRef<int64_t> shape, Type element) {
  InsertionGuard guard(*this);
  auto func = getInsertionBlock()->getParent()->getParentOfType<func::FuncOp>();
  assert(func && "scratch memory belongs to a kernel");
  setInsertionPointToStart(&func.getBody().front());
  return memref::AllocaOp::create(*this, MemRefType::get(shape, element),
                                  getI64IntegerAttr(64));
}

//===----------------------------------------------------------------------===//
// Work sharing
//===----------------------------------------------------------------------===//

std::pair<Value, Value> KernelBuilder::share(Value total, Value part,
                                             Value parts) {
  return {div(mul(total, part), parts), div(mul(total, add(part, 1)), parts)};
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

MemRefType dsv2::cpu::getStridedType(Type element, int64_t rank) {
  SmallVector<int64_t> shape(rank, ShapedType::kDynamic);
  SmallVector<int64_t> strides(rank, ShapedType::kDynamic);
  if (rank)
    strides.back() = 1;
  return MemRefType::get(shape, element,
                         StridedLayoutAttr::get(element.getContext(),
                                                ShapedType::kDynamic, strides));
}

MemRefType dsv2::cpu::getActivationType(MLIRContext *context, int64_t rank) {
  return getStridedType(Float32Type::get(context), rank);
}

MemRefType dsv2::cpu::getIndexListType(MLIRContext *context) {
  return getStridedType(IntegerType::get(context, 32), 1);
}

func::FuncOp dsv2::cpu::getOrCreateKernel(
    ModuleOp module, StringRef name, const CPUTargetInfo &target,
    TypeRange argTypes,
    llvm::function_ref<void(KernelBuilder &, ValueRange, Value, Value)> emit) {
  if (auto existing = module.lookupSymbol<func::FuncOp>(name))
    return existing;

  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  Location loc = NameLoc::get(builder.getStringAttr(name));
  SmallVector<Type> types = llvm::to_vector(argTypes);
  types.append(2, builder.getIndexType());
  auto func = func::FuncOp::create(builder, loc, name,
                                   builder.getFunctionType(types, {}));
  func.setPrivate();
  Block *entry = func.addEntryBlock();
  builder.setInsertionPointToStart(entry);

  KernelBuilder b(loc, builder, target);
  ValueRange args = entry->getArguments();
  emit(b, args.drop_back(2), args[args.size() - 2], args.back());
  func::ReturnOp::create(b);
  return func;
}

func::FuncOp dsv2::cpu::getOrCreateRowKernel(
    ModuleOp module, StringRef name, const CPUTargetInfo &target,
    TypeRange argTypes,
    llvm::function_ref<void(KernelBuilder &, ValueRange, Value, Value)> emit) {
  func::FuncOp kernel = getOrCreateKernel(module, name, target, argTypes, emit);
  kernel->setAttr(kRowsAttr, UnitAttr::get(module.getContext()));
  return kernel;
}

StringRef dsv2::cpu::elementName(Type element) {
  if (element.isBF16())
    return "bf16";
  if (element.isF16())
    return "f16";
  assert(element.isF32() && "no name for this element type");
  return "f32";
}
