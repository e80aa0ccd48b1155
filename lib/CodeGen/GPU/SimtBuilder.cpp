//===- SimtBuilder.cpp - kernels written for one thread -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/GPU/SimtBuilder.h"

#include "dsv2/CodeGen/GPU/DeviceParts.h"
#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "dsv2/Target/KernelInfo.h"
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
Value SimtBuilder::gridSize(int dim) {
  if (dim == 0)
    return NVVM::GridDimXOp::create(*this, getI32Type());
  if (dim == 1)
    return NVVM::GridDimYOp::create(*this, getI32Type());
  return NVVM::GridDimZOp::create(*this, getI32Type());
}
void SimtBuilder::barrier() { NVVM::BarrierOp::create(*this); }
void SimtBuilder::awaitPredecessors() {
  NVVM::GriddepcontrolOp::create(*this, NVVM::GridDepActionKind::wait);
}

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

Value SimtBuilder::shuffleUp(Value value, int32_t delta) {
  return NVVM::ShflOp::create(*this, value.getType(), i32(kFullMask), value,
                              i32(delta), i32(0), NVVM::ShflKind::up,
                              UnitAttr());
}
Value SimtBuilder::shuffleFrom(Value value, Value lane) {
  return NVVM::ShflOp::create(*this, value.getType(), i32(kFullMask), value,
                              lane, i32(kWarpSize - 1), NVVM::ShflKind::idx,
                              UnitAttr());
}
Value SimtBuilder::matchAny(Value value) {
  return NVVM::MatchSyncOp::create(*this, getI32Type(), i32(kFullMask), value,
                                   NVVM::MatchSyncKind::any);
}
Value SimtBuilder::lowerLanes() {
  Value bit = arith::ShLIOp::create(*this, i32(1), lane());
  return sub(bit, i32(1));
}
void SimtBuilder::warpBarrier() {
  NVVM::SyncWarpOp::create(*this, i32(kFullMask));
}
Value SimtBuilder::ballot(Value condition) {
  return NVVM::VoteSyncOp::create(*this, getI32Type(), i32(kFullMask),
                                  condition, NVVM::VoteSyncKind::ballot);
}
Value SimtBuilder::countBits(Value value) {
  return LLVM::CtPopOp::create(*this, value.getType(), value);
}
Value SimtBuilder::lowestBit(Value value) {
  return LLVM::CountTrailingZerosOp::create(*this, value.getType(), value,
                                            /*is_zero_poison=*/true);
}

SmallVector<Value> SimtBuilder::multiplyTile(ValueRange a, ValueRange b,
                                             ValueRange sums) {
  auto type = LLVM::LLVMStructType::getLiteral(
      getContext(), SmallVector<Type>(4, getF32Type()));
  auto product = NVVM::MmaOp::create(
      *this, type, a, b, sums, ArrayRef<int64_t>{16, 8, 16}, std::nullopt,
      std::nullopt, std::array{NVVM::MMATypes::bf16, NVVM::MMATypes::bf16},
      std::array{NVVM::MMALayout::row, NVVM::MMALayout::col});
  SmallVector<Value> results;
  for (int64_t i = 0; i < 4; ++i)
    results.push_back(LLVM::ExtractValueOp::create(*this, product, i));
  return results;
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

/// Words that one instruction moves, of `left` that are to be moved.
static int64_t instructionWords(int64_t left) {
  return left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

SmallVector<Value> SimtBuilder::loadWords(int64_t words, Value address,
                                          bool invariant) {
  SmallVector<Value> result;
  for (int64_t at = 0; at < words;) {
    int64_t count = instructionWords(words - at);
    auto type = VectorType::get(count, getI32Type());
    Value from = LLVM::GEPOp::create(*this, address.getType(), getI32Type(),
                                     address, ArrayRef<LLVM::GEPArg>{at});
    auto vector = LLVM::LoadOp::create(*this, type, from,
                                       /*alignment=*/4 * count);
    vector.setInvariant(invariant);
    for (int64_t i = 0; i < count; ++i)
      result.push_back(LLVM::ExtractElementOp::create(*this, vector, i32(i)));
    at += count;
  }
  return result;
}

void SimtBuilder::storeWords(ValueRange words, Value address) {
  for (int64_t at = 0; at < static_cast<int64_t>(words.size());) {
    int64_t count = instructionWords(words.size() - at);
    auto type = VectorType::get(count, getI32Type());
    Value to = LLVM::GEPOp::create(*this, address.getType(), getI32Type(),
                                   address, ArrayRef<LLVM::GEPArg>{at});
    Value vector = LLVM::PoisonOp::create(*this, type);
    for (int64_t i = 0; i < count; ++i)
      vector =
          LLVM::InsertElementOp::create(*this, vector, words[at + i], i32(i));
    LLVM::StoreOp::create(*this, vector, to, /*alignment=*/4 * count);
    at += count;
  }
}

Value SimtBuilder::areMultiplesOf16(ValueRange pointers,
                                    ArrayRef<std::pair<Value, Type>> strides) {
  Value bits = i32(0);
  auto join = [&](Value more) {
    bits = createOrFold<arith::OrIOp>(bits, more);
  };
  for (Value pointer : pointers)
    join(arith::TruncIOp::create(
        *this, getI32Type(),
        LLVM::PtrToIntOp::create(*this, getI64Type(), pointer)));
  for (auto [stride, element] : strides)
    join(mul(stride, element.getIntOrFloatBitWidth() / 8));
  return equal(arith::AndIOp::create(*this, bits, i32(15)), i32(0));
}

SmallVector<Value> SimtBuilder::loadFloats(Type element, int64_t count,
                                           Value address, bool invariant) {
  if (count == 1)
    return {loadFloat(element, address)};
  int64_t words = count * element.getIntOrFloatBitWidth() / 32;
  return unpack(element, loadWords(words, address, invariant));
}

void SimtBuilder::storeFloats(ValueRange values, Type element, Value address) {
  if (values.size() == 1)
    return storeFloat(values[0], element, address);
  storeWords(pack(element, values), address);
}

SmallVector<Value> SimtBuilder::unpack(Type element, ValueRange words) {
  auto asFloat = [&](Value word) -> Value {
    return arith::BitcastOp::create(*this, getF32Type(), word);
  };
  SmallVector<Value> values;
  for (Value word : words) {
    if (element.isF32()) {
      values.push_back(asFloat(word));
      continue;
    }
    // Two plain instructions; conversions have a quarter of their rate.
    assert(element.isBF16() && "expected f32 or bf16");
    values.push_back(asFloat(arith::ShLIOp::create(*this, word, i32(16))));
    values.push_back(
        asFloat(arith::AndIOp::create(*this, word, i32(0xFFFF0000))));
  }
  return values;
}

SmallVector<Value> SimtBuilder::pack(Type element, ValueRange values) {
  SmallVector<Value> words;
  if (element.isF32()) {
    for (Value value : values)
      words.push_back(arith::BitcastOp::create(*this, getI32Type(), value));
    return words;
  }
  assert(element.isBF16() && values.size() % 2 == 0 && "expected pairs");
  for (size_t i = 0; i < values.size(); i += 2) {
    Value pair =
        LLVM::PoisonOp::create(*this, VectorType::get(2, getF32Type()));
    for (int64_t j = 0; j < 2; ++j)
      pair = LLVM::InsertElementOp::create(*this, pair, values[i + j], i32(j));
    pair = arith::TruncFOp::create(*this, VectorType::get(2, element), pair);
    words.push_back(LLVM::BitcastOp::create(*this, getI32Type(), pair));
  }
  return words;
}

LLVM::LLVMFuncOp SimtBuilder::getKernel() {
  Operation *parent = getInsertionBlock()->getParentOp();
  if (auto kernel = dyn_cast<LLVM::LLVMFuncOp>(parent))
    return kernel;
  return parent->getParentOfType<LLVM::LLVMFuncOp>();
}

Value SimtBuilder::dynamicShared(int64_t bytes) {
  LLVM::LLVMFuncOp kernel = getKernel();
  kernel->setAttr(kSharedBytesAttr, getI64IntegerAttr(bytes));
  return LLVM::AddressOfOp::create(
      *this, getOrCreateDynamicShared(
                 kernel->getParentOfType<mlir::gpu::GPUModuleOp>()));
}

Value SimtBuilder::sharedArray(StringRef name, Type element, int64_t count) {
  LLVM::LLVMFuncOp kernel = getKernel();
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

void SimtBuilder::ifElse(Value condition, llvm::function_ref<void()> thenBody,
                         llvm::function_ref<void()> elseBody) {
  auto branch = scf::IfOp::create(*this, condition, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPoint(branch.thenYield());
  thenBody();
  setInsertionPoint(branch.elseYield());
  elseBody();
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
    llvm::function_ref<void(SimtBuilder &, ValueRange)> body, Waiting waiting) {
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
  if (waiting != Waiting::Never) {
    kernel->setAttr(kEarlyStartAttr, UnitAttr::get(context));
    // Successors start once all blocks of this kernel have: they then fill what
    // multiprocessors have left, and load weights, while the last of these run.
    NVVM::GriddepcontrolOp::create(b,
                                   NVVM::GridDepActionKind::launch_dependents);
  }
  if (waiting == Waiting::First)
    b.awaitPredecessors();
  body(b, entry->getArguments());
  LLVM::ReturnOp::create(b, ValueRange());
  return kernel;
}
