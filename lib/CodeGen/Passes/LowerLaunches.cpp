//===- LowerLaunches.cpp - launches, views and taps to the ABI ------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/Passes.h"

#include "RuntimeEntries.h"
#include "dsv2/CodeGen/CPU/KernelBuilder.h"
#include "dsv2rt/abi.h"
#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/ADT/TypeSwitch.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_LOWERLAUNCHESPASS
#include "dsv2/CodeGen/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

namespace {

struct LowerLaunches
    : public mlir::dsv2::impl::LowerLaunchesPassBase<LowerLaunches> {
  void runOnOperation() override;

  void lower(LaunchOp op);
  Value getShareCounter(LaunchOp op);
  void lower(WeightViewOp op);
  void lower(TapOp op);
  int64_t getSite(TapOp op);

  /// The variable from which the threads of a function's launches take shares.
  DenseMap<Operation *, Value> shareCounters;
  /// Sites seen so far, by name, level and what they show.
  llvm::StringMap<int64_t> siteNumbers;
  SmallVector<Attribute> sites;
};
} // namespace

/// Calls the kernel of `op` with `part` of `parts`.
static void callKernel(ImplicitLocOpBuilder &b, LaunchOp op,
                       func::FuncOp kernel, Value part, Value parts) {
  SmallVector<Value> operands(op.getInputs());
  llvm::append_range(operands, op.getOutputs());
  llvm::append_values(operands, part, parts);
  func::CallOp::create(b, kernel, operands);
}

/// One for each function: launches do not overlap.
Value LowerLaunches::getShareCounter(LaunchOp op) {
  auto function = op->getParentOfType<func::FuncOp>();
  Value &counter = shareCounters[function];
  if (!counter) {
    auto b = ImplicitLocOpBuilder::atBlockBegin(function.getLoc(),
                                                &function.getBody().front());
    counter = memref::AllocaOp::create(b, MemRefType::get({1}, b.getI64Type()));
  }
  return counter;
}

/// Calls the kernel of `op` on shares `part`, then others, as long as there are
/// some that no thread has taken.
static void callOnShares(ImplicitLocOpBuilder &b, LaunchOp op,
                         func::FuncOp kernel, Value counter, int64_t perThread,
                         Value thread, Value threads) {
  // A thread alone has nobody to share with.
  Value one = arith::ConstantIndexOp::create(b, 1);
  Value many = arith::MulIOp::create(
      b, threads, arith::ConstantIndexOp::create(b, perThread));
  Value isAlone =
      arith::CmpIOp::create(b, arith::CmpIPredicate::eq, threads, one);
  Value shares = arith::SelectOp::create(b, isAlone, one, many);
  auto loop = scf::WhileOp::create(b, b.getIndexType(), thread);
  OpBuilder::InsertionGuard guard(b);
  Block *before =
      b.createBlock(&loop.getBefore(), {}, b.getIndexType(), {b.getLoc()});
  Value isLeft = arith::CmpIOp::create(b, arith::CmpIPredicate::slt,
                                       before->getArgument(0), shares);
  scf::ConditionOp::create(b, isLeft, before->getArguments());
  Block *after =
      b.createBlock(&loop.getAfter(), {}, b.getIndexType(), {b.getLoc()});
  callKernel(b, op, kernel, after->getArgument(0), shares);
  Value taken = memref::AtomicRMWOp::create(
      b, arith::AtomicRMWKind::addi,
      arith::ConstantIntOp::create(b, b.getI64Type(), 1), counter,
      ValueRange{arith::ConstantIndexOp::create(b, 0)});
  Value next = arith::AddIOp::create(
      b, threads, arith::IndexCastOp::create(b, b.getIndexType(), taken));
  scf::YieldOp::create(b, next);
}

void LowerLaunches::lower(LaunchOp op) {
  ImplicitLocOpBuilder b(op.getLoc(), op);
  auto kernel = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(
      op, op.getKernelAttr());
  // Kernels take any strides; what a value's type knows more is forgotten.
  for (auto [operand, type] :
       llvm::zip(op->getOpOperands(), kernel.getArgumentTypes()))
    if (operand.get().getType() != type)
      operand.set(memref::CastOp::create(b, type, operand.get()));

  auto serial = [&](OpBuilder &, Location) {
    callKernel(b, op, kernel, arith::ConstantIndexOp::create(b, 0),
               arith::ConstantIndexOp::create(b, 1));
  };
  auto perThread = kernel->getAttrOfType<IntegerAttr>(cpu::kSharesAttr);
  auto parallel = [&]() {
    Value counter;
    if (perThread) {
      // The first share of each thread needs no counting.
      counter = getShareCounter(op);
      memref::StoreOp::create(
          b, arith::ConstantIntOp::create(b, b.getI64Type(), 0), counter,
          ValueRange{arith::ConstantIndexOp::create(b, 0)});
    }
    auto region = omp::ParallelOp::create(b, TypeRange(), ValueRange());
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(&region.getRegion());
    auto getNumber = [&](StringRef name) -> Value {
      func::FuncOp function =
          declareFunction(getOperation(), name, {}, b.getI32Type());
      Value number =
          func::CallOp::create(b, function, ValueRange()).getResult(0);
      return arith::IndexCastOp::create(b, b.getIndexType(), number);
    };
    Value part = getNumber("omp_get_thread_num");
    Value parts = getNumber("omp_get_num_threads");
    if (perThread)
      callOnShares(b, op, kernel, counter, perThread.getInt(), part, parts);
    else
      callKernel(b, op, kernel, part, parts);
    omp::TerminatorOp::create(b);
  };

  std::optional<uint64_t> below = op.getSerialBelow();
  Value measured = op.getOutputs().empty() ? op.getInputs().front()
                                           : op.getOutputs().front();
  if (below && *below >= std::numeric_limits<int64_t>::max()) {
    serial(b, op.getLoc());
  } else if (below) {
    Value rows = memref::DimOp::create(b, measured, 0);
    Value few = arith::CmpIOp::create(
        b, arith::CmpIPredicate::slt, rows,
        arith::ConstantIndexOp::create(b, static_cast<int64_t>(*below)));
    auto choice = scf::IfOp::create(b, few, /*withElseRegion=*/true);
    b.setInsertionPointToStart(choice.thenBlock());
    serial(b, op.getLoc());
    b.setInsertionPointToStart(choice.elseBlock());
    parallel();
  } else {
    parallel();
  }
  op.erase();
}

void LowerLaunches::lower(WeightViewOp op) {
  ImplicitLocOpBuilder b(op.getLoc(), op);
  auto type = cast<MemRefType>(op.getType());
  Value slot =
      arith::ConstantIndexOp::create(b, static_cast<int64_t>(op.getSlot()));
  Value number = memref::LoadOp::create(b, op.getTable(), slot);
  Value address = LLVM::IntToPtrOp::create(
      b, LLVM::LLVMPointerType::get(b.getContext()), number);
  if (Value ordinal = op.getOrdinal()) {
    int64_t stride =
        type.getNumElements() * (type.getElementTypeBitWidth() / 8);
    Value bytes = arith::MulIOp::create(
        b, ordinal, arith::ConstantIndexOp::create(b, stride));
    Value offset = arith::IndexCastOp::create(b, b.getI64Type(), bytes);
    address = LLVM::GEPOp::create(b, address.getType(), b.getI8Type(), address,
                                  ArrayRef<LLVM::GEPArg>{offset});
  }
  LowerToLLVMOptions options(b.getContext());
  LLVMTypeConverter converter(b.getContext(), options);
  Value descriptor = MemRefDescriptor::fromStaticShape(
      b, op.getLoc(), converter, type, address);
  auto cast = UnrealizedConversionCastOp::create(b, type, descriptor);
  op.getResult().replaceAllUsesWith(cast.getResult(0));
  op.erase();
}

int64_t LowerLaunches::getSite(TapOp op) {
  std::string key = (op.getSite() + "/" + Twine(op.getLevel()) +
                     (op.getExchanged() ? "/exchanged" : "") + "/" +
                     Twine(op.getLargest().value_or(0)))
                        .str();
  auto [it, isNew] = siteNumbers.try_emplace(key, sites.size());
  if (isNew) {
    Builder b(&getContext());
    SmallVector<NamedAttribute> site = {
        b.getNamedAttr("name", op.getSiteAttr()),
        b.getNamedAttr("op", b.getStringAttr(op.getSite())),
        b.getNamedAttr("level", b.getI64IntegerAttr(op.getLevel())),
    };
    if (op.getExchanged())
      site.push_back(b.getNamedAttr("exchanged", b.getBoolAttr(true)));
    if (IntegerAttr largest = op.getLargestAttr())
      site.push_back(b.getNamedAttr("largest", largest));
    sites.push_back(b.getDictionaryAttr(site));
  }
  return it->second;
}

void LowerLaunches::lower(TapOp op) {
  ImplicitLocOpBuilder b(op.getLoc(), op);
  Value context = getStepContext(op);
  Value level = op->getParentOfType<func::FuncOp>().getArguments().back();
  Value wanted = arith::CmpIOp::create(
      b, arith::CmpIPredicate::sge, level,
      arith::ConstantIntOp::create(b, b.getI32Type(), op.getLevel()));
  int64_t site = getSite(op);
  auto guarded = scf::IfOp::create(b, wanted, /*withElseRegion=*/false);
  b.setInsertionPointToStart(guarded.thenBlock());

  Value matrix = op.getValue();
  auto type = cast<MemRefType>(matrix.getType());
  Type i64 = b.getI64Type();
  auto toI64 = [&](Value value) -> Value {
    return arith::IndexCastOp::create(b, i64, value);
  };
  auto metadata = memref::ExtractStridedMetadataOp::create(b, matrix);
  Value pointer = getAddress(b, matrix, metadata.getOffset());
  // Heads of a token are adjacent, so [T, H, D] is seen as [T, H * D].
  Value columns = metadata.getSizes().back();
  if (type.getRank() == 3)
    columns = arith::MulIOp::create(b, columns, metadata.getSizes()[1]);
  int32_t dtype = llvm::TypeSwitch<Type, int32_t>(type.getElementType())
                      .Case([](Float32Type) { return DSV2RT_F32; })
                      .Case([](BFloat16Type) { return DSV2RT_BF16; })
                      .Default([](Type) { return DSV2RT_I32; });
  Value layer = op.getLayer() ? toI64(op.getLayer())
                              : Value(arith::ConstantIntOp::create(b, i64, -1));
  func::FuncOp callee = declareRuntimeEntry(getOperation(), "dsv2rt_tap");
  func::CallOp::create(
      b, callee,
      ValueRange{context, arith::ConstantIntOp::create(b, b.getI32Type(), site),
                 layer, pointer, toI64(metadata.getSizes().front()),
                 toI64(columns), toI64(metadata.getStrides().front()),
                 arith::ConstantIntOp::create(b, b.getI32Type(), dtype)});
  op.erase();
}

/// Refuses what the verifier allows but this pass cannot lower.
static LogicalResult checkLowerable(Operation *op) {
  for (Value operand : op->getOperands())
    if (isa<TensorType>(operand.getType()))
      return op->emitOpError("expected buffers, got an operand of type ")
             << operand.getType();
  auto function = op->getParentOfType<func::FuncOp>();
  if (!function)
    return op->emitOpError("expected to be inside a function");
  if (isa<TapOp>(op) && !getStepContext(op))
    return op->emitOpError("expected a function whose last arguments are the "
                           "context and the tap level");
  if (auto launch = dyn_cast<LaunchOp>(op)) {
    auto kernel = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(
        op, launch.getKernelAttr());
    if (!kernel)
      return op->emitOpError("expected 'kernel' to name a func.func, got @")
             << launch.getKernel();
    if (Attribute shares = kernel->getAttr(cpu::kSharesAttr)) {
      auto number = dyn_cast<IntegerAttr>(shares);
      if (!number || !number.getType().isSignlessInteger(64) ||
          number.getInt() < 1 || number.getInt() > 1024)
        return kernel.emitOpError("expected '")
               << cpu::kSharesAttr << "' to be an i64 from 1 to 1024, got "
               << shares;
    }
    for (auto [operand, type] :
         llvm::zip(op->getOperands(), kernel.getArgumentTypes()))
      if (operand.getType() != type &&
          !memref::CastOp::areCastCompatible(operand.getType(), type))
        return op->emitOpError("expected an operand that can be seen as ")
               << type << ", got " << operand.getType();
  }
  return success();
}

void LowerLaunches::runOnOperation() {
  shareCounters.clear();
  ModuleOp module = getOperation();
  SmallVector<Operation *> ops;
  module.walk([&](Operation *op) {
    if (isa<LaunchOp, WeightViewOp, TapOp>(op))
      ops.push_back(op);
  });
  for (Operation *op : ops)
    if (failed(checkLowerable(op)))
      return signalPassFailure();
  for (Operation *op : ops)
    llvm::TypeSwitch<Operation *>(op).Case<LaunchOp, WeightViewOp, TapOp>(
        [&](auto op) { lower(op); });

  Builder b(&getContext());
  for (auto function : module.getOps<func::FuncOp>()) {
    if (!function->hasAttr(kEntryAttr) && !function->hasAttr(kPrepareAttr))
      continue;
    function.setPublic();
    function->setAttr(LLVM::LLVMDialect::getEmitCWrapperAttrName(),
                      b.getUnitAttr());
  }
  setManifestEntry(module, "sites", b.getArrayAttr(sites));
}
