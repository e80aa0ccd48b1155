//===- LowerDeviceLaunches.cpp - launches on a device to the ABI ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/Passes.h"

#include "RuntimeEntries.h"
#include "dsv2/Target/KernelInfo.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_LOWERDEVICELAUNCHESPASS
#include "dsv2/CodeGen/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

/// Dimensions that a tensor map can have (PTX ISA, "Tensors").
static constexpr int64_t kMaxTensorRank = 5;

namespace {

/// Lowers one launch.
class LaunchLowering {
public:
  LaunchLowering(DeviceLaunchOp op, LLVM::LLVMFuncOp kernel, int64_t number,
                 int64_t site)
      : op(op), kernel(kernel), number(number), site(site), b(op.getLoc(), op),
        entry(&op->getParentOfType<func::FuncOp>().front()) {}

  void run(func::FuncOp callee);

private:
  Value toI64(Value value) {
    return b.createOrFold<arith::IndexCastOp>(b.getI64Type(), value);
  }
  Value toI32(Value value) {
    return b.createOrFold<arith::IndexCastOp>(b.getI32Type(), value);
  }
  Value i64(int64_t value) {
    return arith::ConstantIntOp::create(b, b.getI64Type(), value);
  }
  /// Memory on the stack of the whole function: a launch may be in a loop.
  Value allocate(Type type, int64_t count);
  /// Address of element `index` of an array of `type`.
  Value at(Value base, Type type, int64_t index) {
    return LLVM::GEPOp::create(b, base.getType(), type, base,
                               ArrayRef<LLVM::GEPArg>{index});
  }
  /// Address of the operand's first element.
  Value getAddress(Value memref);
  /// Stores the parameter's value and returns where.
  Value storeParameter(ParameterAttr parameter);
  Value storeTensor(Value memref);

  DeviceLaunchOp op;
  LLVM::LLVMFuncOp kernel;
  int64_t number;
  /// The number of the site, -1 for none.
  int64_t site;
  ImplicitLocOpBuilder b;
  Block *entry;
};

} // namespace

Value LaunchLowering::allocate(Type type, int64_t count) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(entry);
  Value size = arith::ConstantIntOp::create(b, b.getI32Type(), count);
  return LLVM::AllocaOp::create(b, LLVM::LLVMPointerType::get(b.getContext()),
                                type, size);
}

Value LaunchLowering::getAddress(Value memref) {
  auto type = cast<MemRefType>(memref.getType());
  auto metadata = memref::ExtractStridedMetadataOp::create(b, memref);
  Value base = memref::ExtractAlignedPointerAsIndexOp::create(b, memref);
  Value offset = arith::MulIOp::create(
      b, metadata.getOffset(),
      arith::ConstantIndexOp::create(b, type.getElementTypeBitWidth() / 8));
  return toI64(arith::AddIOp::create(b, base, offset));
}

/// A dsv2rt_tensor (abi.h): address, extents innermost first, strides in bytes.
Value LaunchLowering::storeTensor(Value memref) {
  auto type = cast<MemRefType>(memref.getType());
  int64_t rank = type.getRank();
  int64_t bytes = type.getElementTypeBitWidth() / 8;
  Type i64Type = b.getI64Type();
  Value tensor = allocate(i64Type, 1 + 2 * kMaxTensorRank);
  auto put = [&](Value value, int64_t index) {
    LLVM::StoreOp::create(b, value, at(tensor, i64Type, index));
  };
  put(getAddress(memref), 0);
  auto metadata = memref::ExtractStridedMetadataOp::create(b, memref);
  for (int64_t i = 0; i < kMaxTensorRank; ++i) {
    int64_t dim = rank - 1 - i;
    bool exists = dim >= 0;
    put(exists ? toI64(metadata.getSizes()[dim]) : i64(1), 1 + i);
    Value stride = i64(0);
    if (exists)
      stride = arith::MulIOp::create(b, toI64(metadata.getStrides()[dim]),
                                     i64(bytes));
    put(stride, 1 + kMaxTensorRank + i);
  }
  return tensor;
}

Value LaunchLowering::storeParameter(ParameterAttr parameter) {
  Value operand = op.getNumbered(parameter.getOperand());
  auto keep = [&](Value value) {
    Value place = allocate(value.getType(), 1);
    LLVM::StoreOp::create(b, value, place);
    return place;
  };
  switch (parameter.getKind()) {
  case ParameterKind::Pointer:
    return keep(getAddress(operand));
  case ParameterKind::Size:
    return keep(toI32(memref::DimOp::create(b, operand, parameter.getDim())));
  case ParameterKind::Stride: {
    auto metadata = memref::ExtractStridedMetadataOp::create(b, operand);
    return keep(toI32(metadata.getStrides()[parameter.getDim()]));
  }
  case ParameterKind::Value:
    return keep(toI32(operand));
  case ParameterKind::TensorMap:
    return storeTensor(operand);
  }
  llvm_unreachable("unknown parameter kind");
}

void LaunchLowering::run(func::FuncOp callee) {
  auto parameters = kernel->getAttrOfType<ArrayAttr>(kParametersAttr);
  Type pointer = LLVM::LLVMPointerType::get(b.getContext());
  Value array = allocate(pointer, std::max<size_t>(parameters.size(), 1));
  for (auto [index, parameter] :
       llvm::enumerate(parameters.getAsRange<ParameterAttr>()))
    LLVM::StoreOp::create(b, storeParameter(parameter),
                          at(array, pointer, index));
  // A step or layer function ends with the context and the tap level.
  ArrayRef<BlockArgument> arguments = entry->getArguments();
  SmallVector<Value> operands = {
      arguments[arguments.size() - 2],
      arith::ConstantIntOp::create(b, b.getI32Type(), number)};
  for (Value extent : op.getGrid())
    operands.push_back(toI32(extent));
  while (operands.size() < 5)
    operands.push_back(arith::ConstantIntOp::create(b, b.getI32Type(), 1));
  operands.push_back(array);
  operands.push_back(arith::ConstantIntOp::create(b, b.getI32Type(), site));
  operands.push_back(op.getLayer() ? toI64(op.getLayer()) : i64(-1));
  func::CallOp::create(b, callee, operands);
  op.erase();
}

//===----------------------------------------------------------------------===//
// Manifest
//===----------------------------------------------------------------------===//

static StringRef getKindName(ParameterAttr parameter) {
  switch (parameter.getKind()) {
  case ParameterKind::Pointer:
    return "pointer";
  case ParameterKind::TensorMap:
    return "tensor_map";
  case ParameterKind::Size:
  case ParameterKind::Stride:
  case ParameterKind::Value:
    return "i32";
  }
  llvm_unreachable("unknown parameter kind");
}

/// The manifest's description of a kernel.
static Attribute describe(LLVM::LLVMFuncOp kernel,
                          ArrayRef<Type> tensorElements) {
  Builder b(kernel.getContext());
  auto extents = [&](StringRef attr) {
    SmallVector<int64_t> values(3, 1);
    if (auto array = kernel->getAttrOfType<DenseI32ArrayAttr>(attr))
      llvm::copy(array.asArrayRef(), values.begin());
    return b.getDenseI64ArrayAttr(values);
  };
  SmallVector<Attribute> parameters;
  for (auto [parameter, element] :
       llvm::zip_equal(kernel->getAttrOfType<ArrayAttr>(kParametersAttr)
                           .getAsRange<ParameterAttr>(),
                       tensorElements)) {
    SmallVector<NamedAttribute> facts = {
        b.getNamedAttr("kind", b.getStringAttr(getKindName(parameter)))};
    if (parameter.getKind() == ParameterKind::TensorMap) {
      SmallVector<int64_t> box(llvm::reverse(parameter.getBox()));
      StringRef dtype = element.isF32()    ? "f32"
                        : element.isBF16() ? "bf16"
                        : element.isF16()  ? "f16"
                                           : "u8";
      facts.append({
          b.getNamedAttr("dtype", b.getStringAttr(dtype)),
          b.getNamedAttr("rank", b.getI64IntegerAttr(box.size())),
          b.getNamedAttr("box", b.getDenseI64ArrayAttr(box)),
          b.getNamedAttr("swizzle",
                         b.getI64IntegerAttr(parameter.getSwizzle())),
      });
    }
    parameters.push_back(b.getDictionaryAttr(facts));
  }
  auto shared = kernel->getAttrOfType<IntegerAttr>(kSharedBytesAttr);
  SmallVector<NamedAttribute> facts = {
      b.getNamedAttr("name", b.getStringAttr(kernel.getName())),
      b.getNamedAttr("block", extents(NVVM::NVVMDialect::getMaxntidAttrName())),
      b.getNamedAttr("cluster",
                     extents(NVVM::NVVMDialect::getClusterDimAttrName())),
      b.getNamedAttr("shared_bytes",
                     b.getI64IntegerAttr(shared ? shared.getInt() : 0)),
      b.getNamedAttr("parameters", b.getArrayAttr(parameters)),
      b.getNamedAttr("pdl", b.getBoolAttr(kernel->hasAttr(kEarlyStartAttr))),
  };
  if (auto chip = kernel->getAttrOfType<StringAttr>(kChipAttr))
    facts.push_back(b.getNamedAttr("chip", chip));
  return b.getDictionaryAttr(facts);
}

/// Whether `function` ends as steps and layers do: with the context and the tap
/// level.
static bool isStep(func::FuncOp function) {
  ArrayRef<Type> arguments = function.getArgumentTypes();
  return arguments.size() >= 2 &&
         isa<LLVM::LLVMPointerType>(arguments[arguments.size() - 2]) &&
         arguments.back().isInteger(32);
}

static LogicalResult checkFunction(Operation *op) {
  auto function = op->getParentOfType<func::FuncOp>();
  if (function && isStep(function))
    return success();
  return op->emitOpError("expected a function whose last arguments are the "
                         "context and the tap level");
}

/// Asks the runtime what `op`, a dsv2.device_info or dsv2.key_rows, wants to
/// know.
static void lowerQuestion(Operation *op, func::FuncOp callee) {
  ImplicitLocOpBuilder b(op->getLoc(), op);
  auto function = op->getParentOfType<func::FuncOp>();
  SmallVector<Value> arguments = {
      function.getArgument(function.getNumArguments() - 2)};
  if (auto info = dyn_cast<DeviceInfoOp>(op))
    arguments.push_back(arith::ConstantIntOp::create(
        b, b.getI32Type(), static_cast<int64_t>(info.getProperty())));
  Value answer = func::CallOp::create(b, callee, arguments).getResult(0);
  op->replaceAllUsesWith(
      arith::IndexCastOp::create(b, b.getIndexType(), answer));
  op->erase();
}

namespace {
struct LowerDeviceLaunches
    : public mlir::dsv2::impl::LowerDeviceLaunchesPassBase<
          LowerDeviceLaunches> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto device = module.lookupSymbol<mlir::gpu::GPUModuleOp>(kDeviceModule);
    if (!device)
      return;
    SmallVector<DeviceLaunchOp> launches;
    module.walk([&](DeviceLaunchOp op) { launches.push_back(op); });
    for (DeviceLaunchOp op : launches)
      if (failed(check(op)))
        return signalPassFailure();

    if (failed(checkCopies(module)) || failed(lowerQuestions(module)))
      return signalPassFailure();

    SmallVector<LLVM::LLVMFuncOp> kernels;
    DenseMap<Operation *, int64_t> numbers;
    for (auto kernel : device.getOps<LLVM::LLVMFuncOp>())
      if (kernel->hasAttr(kParametersAttr)) {
        numbers[kernel] = kernels.size();
        kernels.push_back(kernel);
      }
    // Element types of what tensor maps are made of, by kernel; every launch
    // of a kernel has the same.
    SmallVector<SmallVector<Type>> elements(kernels.size());
    for (auto [kernel, types] : llvm::zip_equal(kernels, elements))
      types.resize(kernel->getAttrOfType<ArrayAttr>(kParametersAttr).size());
    SmallVector<Attribute> sites;
    DenseMap<Attribute, int64_t> siteNumbers;
    auto numberOf = [&](StringAttr site) -> int64_t {
      if (!site)
        return -1;
      auto [place, isNew] = siteNumbers.try_emplace(site, sites.size());
      if (isNew)
        sites.push_back(site);
      return place->second;
    };
    func::FuncOp callee = declareRuntimeEntry(module, "dsv2rt_launch");
    for (DeviceLaunchOp op : launches) {
      auto kernel = SymbolTable::lookupNearestSymbolFrom<LLVM::LLVMFuncOp>(
          op, op.getKernelAttr());
      int64_t number = numbers.lookup(kernel);
      for (auto [index, parameter] :
           llvm::enumerate(kernel->getAttrOfType<ArrayAttr>(kParametersAttr)
                               .getAsRange<ParameterAttr>()))
        if (auto type = dyn_cast<MemRefType>(
                op.getNumbered(parameter.getOperand()).getType()))
          elements[number][index] = type.getElementType();
      LaunchLowering(op, kernel, number, numberOf(op.getSiteAttr()))
          .run(callee);
    }

    Builder b(&getContext());
    SmallVector<Attribute> descriptions;
    for (auto [kernel, types] : llvm::zip_equal(kernels, elements))
      descriptions.push_back(describe(kernel, types));
    setManifestEntry(
        module, "device",
        b.getDictionaryAttr({
            b.getNamedAttr("kind", b.getStringAttr("cuda")),
            b.getNamedAttr("kernels", b.getArrayAttr(descriptions)),
            b.getNamedAttr("images", b.getArrayAttr({})),
            b.getNamedAttr("sites", b.getArrayAttr(sites)),
        }));
  }

  /// Refuses what would make the host read and write memory of the device:
  /// copies that bufferisation had to add.
  static LogicalResult checkCopies(ModuleOp module) {
    WalkResult result = module.walk([](memref::CopyOp copy) {
      auto function = copy->getParentOfType<func::FuncOp>();
      if (!function || !isStep(function))
        return WalkResult::advance();
      copy.emitOpError("expected no copy in a function that works on memory of "
                       "the device");
      return WalkResult::interrupt();
    });
    return failure(result.wasInterrupted());
  }

  static LogicalResult lowerQuestions(ModuleOp module) {
    SmallVector<Operation *> questions;
    module.walk([&](Operation *op) {
      if (isa<DeviceInfoOp, KeyRowsOp>(op))
        questions.push_back(op);
    });
    for (Operation *op : questions) {
      if (failed(checkFunction(op)))
        return failure();
      StringRef entry =
          isa<KeyRowsOp>(op) ? "dsv2rt_key_rows" : "dsv2rt_device_info";
      lowerQuestion(op, declareRuntimeEntry(module, entry));
    }
    return success();
  }

  /// Refuses what the verifier allows but this pass cannot lower.
  static LogicalResult check(DeviceLaunchOp op) {
    for (Value operand : op->getOperands())
      if (isa<TensorType>(operand.getType()))
        return op->emitOpError("expected buffers, got an operand of type ")
               << operand.getType();
    if (failed(checkFunction(op)))
      return failure();
    if (!SymbolTable::lookupNearestSymbolFrom<LLVM::LLVMFuncOp>(
            op, op.getKernelAttr()))
      return op->emitOpError("expected 'kernel' to name an llvm.func, got ")
             << op.getKernelAttr();
    return success();
  }
};
} // namespace
