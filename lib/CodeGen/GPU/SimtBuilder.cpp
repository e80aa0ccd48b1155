//===- SimtBuilder.cpp - kernels written for one thread -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/GPU/SimtBuilder.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

static constexpr int32_t kFullMask = -1;

//===----------------------------------------------------------------------===//
// Constants and arithmetic
//===----------------------------------------------------------------------===//

Value SimtBuilder::f64(double value) {
  return arith::ConstantFloatOp::create(*this, getF64Type(),
                                        llvm::APFloat(value));
}
Value SimtBuilder::fdiv(Value a, Value b) {
  return arith::DivFOp::create(*this, a, b);
}
Value SimtBuilder::fma(Value a, Value b, Value c) {
  return LLVM::FMAOp::create(*this, a, b, c);
}
/// Calls an intrinsic of one f32 to f32.
static Value callFloatIntrinsic(SimtBuilder &b, StringRef name, Value x) {
  return LLVM::CallIntrinsicOp::create(b, b.getF32Type(), b.getStringAttr(name),
                                       ValueRange{x})
      .getResult(0);
}

Value SimtBuilder::exp2(Value x) {
  // llvm.exp2 becomes the same instruction, but with a range check for
  // denormal arguments that nothing here needs.
  return callFloatIntrinsic(*this, "llvm.nvvm.ex2.approx.ftz.f", x);
}
Value SimtBuilder::exp(Value x) {
  constexpr float log2e = 1.44269504088896340736f;
  return exp2(fmul(x, f32(log2e)));
}
Value SimtBuilder::rsqrt(Value x) {
  return callFloatIntrinsic(*this, "llvm.nvvm.rsqrt.approx.f", x);
}

//===----------------------------------------------------------------------===//
// Threads
//===----------------------------------------------------------------------===//

Value SimtBuilder::threadId() {
  return NVVM::ThreadIdXOp::create(*this, getI32Type());
}
Value SimtBuilder::lane() { return rem(threadId(), kWarpSize); }
Value SimtBuilder::warp() { return div(threadId(), kWarpSize); }
Value SimtBuilder::blockId(int dim) {
  if (dim == 0)
    return NVVM::BlockIdXOp::create(*this, getI32Type());
  if (dim == 1)
    return NVVM::BlockIdYOp::create(*this, getI32Type());
  return NVVM::BlockIdZOp::create(*this, getI32Type());
}
void SimtBuilder::barrier() { NVVM::BarrierOp::create(*this); }

Value SimtBuilder::shuffleXor(Value value, int32_t mask) {
  return NVVM::ShflOp::create(*this, value.getType(), i32(kFullMask), value,
                              i32(mask), i32(kWarpSize - 1),
                              NVVM::ShflKind::bfly, UnitAttr());
}

Value SimtBuilder::warpReduce(Value value,
                              llvm::function_ref<Value(Value, Value)> combine) {
  for (int32_t mask = kWarpSize / 2; mask > 0; mask /= 2)
    value = combine(value, shuffleXor(value, mask));
  return value;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Value SimtBuilder::at(Value base, Type element, Value index) {
  Value wide = createOrFold<arith::ExtUIOp>(getI64Type(), index);
  return LLVM::GEPOp::create(*this, base.getType(), element, base,
                             ArrayRef<LLVM::GEPArg>{wide});
}

Value SimtBuilder::at(Value base, Type element, Value row, Value stride,
                      Value column) {
  auto widen = [&](Value value) {
    return createOrFold<arith::ExtUIOp>(getI64Type(), value);
  };
  Value offset = add(mul(widen(row), widen(stride)), widen(column));
  return LLVM::GEPOp::create(*this, base.getType(), element, base,
                             ArrayRef<LLVM::GEPArg>{offset});
}

Value SimtBuilder::load(Type type, Value address) {
  return LLVM::LoadOp::create(*this, type, address);
}
void SimtBuilder::store(Value value, Value address) {
  LLVM::StoreOp::create(*this, value, address);
}

Value SimtBuilder::loadFloat(Type element, Value address) {
  Value value = load(element, address);
  if (element.isF32())
    return value;
  return arith::ExtFOp::create(*this, getF32Type(), value);
}

void SimtBuilder::storeFloat(Value value, Type element, Value address) {
  if (!element.isF32())
    value = arith::TruncFOp::create(*this, element, value);
  store(value, address);
}

Value SimtBuilder::sharedArray(StringRef name, Type element, int64_t count) {
  auto kernel =
      getInsertionBlock()->getParentOp()->getParentOfType<LLVM::LLVMFuncOp>();
  if (!kernel)
    kernel = cast<LLVM::LLVMFuncOp>(getInsertionBlock()->getParentOp());
  std::string symbol = (kernel.getName() + "_" + name).str();
  auto type = LLVM::LLVMArrayType::get(element, count);
  {
    OpBuilder::InsertionGuard guard(*this);
    setInsertionPoint(kernel);
    LLVM::GlobalOp::create(*this, type, /*isConstant=*/false,
                           LLVM::Linkage::Internal, symbol, Attribute(),
                           /*alignment=*/16, kSharedSpace);
  }
  return LLVM::AddressOfOp::create(
      *this, LLVM::LLVMPointerType::get(getContext(), kSharedSpace), symbol);
}

//===----------------------------------------------------------------------===//
// Control
//===----------------------------------------------------------------------===//

void SimtBuilder::forEach(Value begin, Value end, Value step,
                          llvm::function_ref<void(Value)> body) {
  auto loop = scf::ForOp::create(*this, begin, end, step);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}

SmallVector<Value> SimtBuilder::forCarry(
    Value begin, Value end, Value step, ValueRange inits,
    llvm::function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  auto loop = scf::ForOp::create(*this, begin, end, step, inits);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(loop.getBody());
  SmallVector<Value> carried =
      body(loop.getInductionVar(), loop.getRegionIterArgs());
  scf::YieldOp::create(*this, carried);
  return SmallVector<Value>(loop.getResults());
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

/// The module of the device's kernels, made if there is none.
static mlir::gpu::GPUModuleOp getOrCreateDeviceModule(ModuleOp module) {
  if (auto device = module.lookupSymbol<mlir::gpu::GPUModuleOp>(kDeviceModule))
    return device;
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  return mlir::gpu::GPUModuleOp::create(b, module.getLoc(), kDeviceModule);
}

LLVM::LLVMFuncOp dsv2::gpu::getOrCreateKernel(
    ModuleOp module, StringRef name, int64_t threads,
    ArrayRef<KernelParameter> parameters,
    llvm::function_ref<void(SimtBuilder &, ValueRange)> body) {
  mlir::gpu::GPUModuleOp device = getOrCreateDeviceModule(module);
  if (auto kernel = device.lookupSymbol<LLVM::LLVMFuncOp>(name))
    return kernel;
  MLIRContext *context = module.getContext();
  SmallVector<Type> types;
  SmallVector<Attribute> sources;
  for (const KernelParameter &parameter : parameters) {
    types.push_back(parameter.type);
    sources.push_back(parameter.source);
  }
  Location loc = NameLoc::get(StringAttr::get(context, name));
  OpBuilder outer = OpBuilder::atBlockEnd(device.getBody());
  auto kernel = LLVM::LLVMFuncOp::create(
      outer, loc, name,
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), types));
  kernel->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(),
                  UnitAttr::get(context));
  kernel->setAttr(
      NVVM::NVVMDialect::getMaxntidAttrName(),
      DenseI32ArrayAttr::get(context, {static_cast<int32_t>(threads)}));
  kernel->setAttr(kParametersAttr, ArrayAttr::get(context, sources));
  Block *entry = kernel.addEntryBlock(outer);
  SimtBuilder b(loc, OpBuilder::atBlockBegin(entry));
  body(b, entry->getArguments());
  LLVM::ReturnOp::create(b, ValueRange());
  return kernel;
}
