//===- DeviceCode.cpp - LLVM dialect to LLVM IR and PTX -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/DeviceCode.h"

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "dsv2/Target/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/LLVMIR/Transforms/Passes.h"
#include "mlir/Interfaces/DataLayoutInterfaces.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/DebugInfo.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/DiagnosticPrinter.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/CrashRecoveryContext.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"
#include "llvm/Transforms/Utils/Cloning.h"

#include <mutex>

using namespace mlir;
using namespace mlir::dsv2;

/// Address space of shared memory on NVPTX.
static constexpr unsigned kSharedSpace = 3;

static llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
createTargetMachine(const GPUTargetInfo &target) {
  static std::once_flag initialized;
  std::call_once(initialized, [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
  });
  // Shared memory keeps 64-bit pointers (no --nvptx-short-ptr): the emulator
  // runs the same module, and its shared memory is host memory.
  llvm::Triple triple("nvptx64-nvidia-cuda");
  std::string error;
  const llvm::Target *llvmTarget =
      llvm::TargetRegistry::lookupTarget(triple, error);
  if (!llvmTarget)
    return llvm::createStringError("this LLVM cannot make GPU code: " + error);
  return std::unique_ptr<llvm::TargetMachine>(llvmTarget->createTargetMachine(
      triple, target.chip, target.getFeatures(), llvm::TargetOptions(),
      std::nullopt, std::nullopt, llvm::CodeGenOptLevel::Aggressive));
}

/// Whether the chip has every op, with a diagnostic for each it does not have:
/// LLVM would stop the program at the first.
static bool hasAllOps(mlir::gpu::GPUModuleOp module,
                      const GPUTargetInfo &target) {
  auto chip = NVVM::NVVMCheckSMVersion::getTargetSMVersionFromStr(target.chip);
  bool valid = true;
  module->walk([&](NVVM::RequiresSMInterface op) {
    if (op.getRequiredMinSMVersion().isCompatibleWith(chip))
      return;
    op->emitOpError("is not supported on ") << target.chip;
    valid = false;
  });
  return valid;
}

/// Removes the kernels that are for another chip alone.
static void eraseOtherChips(mlir::gpu::GPUModuleOp module, StringRef chip) {
  for (auto function :
       llvm::make_early_inc_range(module.getOps<LLVM::LLVMFuncOp>()))
    if (auto only = function->getAttrOfType<StringAttr>(kChipAttr))
      if (only.getValue() != chip)
        function.erase();
}

/// Removes what kernels say about launches that overlap from code for a chip on
/// which none do.
static void dropEarlyStarts(mlir::gpu::GPUModuleOp module,
                            const GPUTargetInfo &target) {
  // PTX ISA, "griddepcontrol".
  const NVVM::NVVMCheckSMVersion first(/*archAccelerated=*/false, 90);
  if (first.isCompatibleWith(
          NVVM::NVVMCheckSMVersion::getTargetSMVersionFromStr(target.chip)))
    return;
  SmallVector<Operation *> ops;
  module->walk([&](NVVM::GriddepcontrolOp op) { ops.push_back(op); });
  for (Operation *op : ops)
    op->erase();
}

/// The first symbol of `module` that PTX has no way to spell ("Identifiers" in
/// the PTX ISA), or nothing.
static std::optional<StringRef> findBadName(mlir::gpu::GPUModuleOp module) {
  auto isGood = [](StringRef name) {
    return !name.empty() && !llvm::isDigit(name.front()) &&
           llvm::all_of(name, [](char c) {
             return llvm::isAlnum(c) || c == '_' || c == '$';
           });
  };
  for (auto symbol : module.getOps<SymbolOpInterface>())
    if (!isGood(symbol.getName()))
      return symbol.getName();
  return std::nullopt;
}

/// Marks everything that threads of a warp may have to do together. A compiler
/// of device code says `convergent` of every call until it knows better, as
/// LLVM then finds out for itself; the translation from MLIR does not.
static void markConvergent(llvm::Module &module) {
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr(llvm::Attribute::Convergent);
    function.addFnAttr(llvm::Attribute::NoUnwind);
    for (llvm::Instruction &instruction : llvm::instructions(function)) {
      auto *call = dyn_cast<llvm::CallInst>(&instruction);
      if (!call)
        continue;
      bool isEffectfulAsm =
          call->isInlineAsm() &&
          cast<llvm::InlineAsm>(call->getCalledOperand())->hasSideEffects();
      llvm::Function *callee = call->getCalledFunction();
      if (isEffectfulAsm || (callee && !callee->isIntrinsic()))
        call->setConvergent();
    }
  }
}

static void optimize(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager lam;
  llvm::FunctionAnalysisManager fam;
  llvm::CGSCCAnalysisManager cgam;
  llvm::ModuleAnalysisManager mam;
  // Kernels say themselves what is a vector.
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false;
  llvm::PassBuilder passes(&machine, tuning);
  passes.registerModuleAnalyses(mam);
  passes.registerCGSCCAnalyses(cgam);
  passes.registerFunctionAnalyses(fam);
  passes.registerLoopAnalyses(lam);
  passes.crossRegisterProxies(lam, fam, cgam, mam);
  passes.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3)
      .run(module, mam);
}

/// Why a block of one of `kernels`, whose functions are in `module`, cannot
/// have the shared memory that it asks for, or nothing. ptxas would refuse some
/// of these, but only where there is one.
static std::optional<std::string>
findSharedOverflow(mlir::gpu::GPUModuleOp module, ArrayRef<KernelInfo> kernels,
                   const GPUTargetInfo &target) {
  for (const KernelInfo &kernel : kernels) {
    auto function = module.lookupSymbol<LLVM::LLVMFuncOp>(kernel.name);
    int64_t fixed = 0;
    llvm::SmallPtrSet<Operation *, 4> counted;
    function.walk([&](LLVM::AddressOfOp use) {
      auto global = module.lookupSymbol<LLVM::GlobalOp>(use.getGlobalName());
      if (global && global.getAddrSpace() == kSharedSpace &&
          counted.insert(global).second)
        fixed += DataLayout::closest(global).getTypeSize(global.getType());
    });
    auto explain = [&](int64_t needed, int64_t available, StringRef what) {
      return ("kernel '" + kernel.name + "' needs " + Twine(needed) +
              " bytes of " + what + " in a block, " + target.chip + " has " +
              Twine(available))
          .str();
    };
    if (fixed > target.staticSharedBytes)
      return explain(fixed, target.staticSharedBytes,
                     "shared memory of fixed size");
    if (int64_t all = fixed + kernel.dynamicSharedBytes;
        all > target.sharedBytesPerBlock)
      return explain(all, target.sharedBytesPerBlock, "shared memory");
  }
  return std::nullopt;
}

/// Takes what kernels compute along, for those who get nothing but bitcode.
static void keepFacts(mlir::gpu::GPUModuleOp source, llvm::Module &module) {
  for (auto kernel : source.getOps<LLVM::LLVMFuncOp>()) {
    Attribute facts = kernel->getAttr(kCostFactsAttr);
    llvm::Function *function = module.getFunction(kernel.getName());
    if (!facts || !function)
      continue;
    std::string text;
    llvm::raw_string_ostream(text) << facts;
    function->addFnAttr(kCostFactsAttr, text);
  }
}

DeviceCode::DeviceCode(DeviceCode &&) = default;
DeviceCode &DeviceCode::operator=(DeviceCode &&other) {
  target = std::move(other.target);
  kernels = std::move(other.kernels);
  // What was there goes before its context does.
  module = std::move(other.module);
  context = std::move(other.context);
  return *this;
}
DeviceCode::~DeviceCode() = default;

llvm::Expected<DeviceCode> DeviceCode::create(mlir::gpu::GPUModuleOp source,
                                              const GPUTargetInfo &target) {
  auto fail = [&](const Twine &why) {
    return llvm::createStringError("gpu.module '" + source.getName() +
                                   "' for " + target.chip + ": " + why);
  };
  // The pass that gives functions their place in debug information wants a
  // builtin.module, and the source stays as it is.
  OwningOpRef<ModuleOp> holder = ModuleOp::create(source.getLoc());
  auto copy = cast<mlir::gpu::GPUModuleOp>(source->clone());
  holder->push_back(copy);
  eraseOtherChips(copy, target.chip);
  dropEarlyStarts(copy, target);

  DeviceCode code;
  code.target = target;
  auto kernels = dsv2::getKernels(copy);
  if (!kernels)
    return kernels.takeError();
  code.kernels = std::move(*kernels);
  if (auto name = findBadName(source))
    return fail("'" + *name +
                "' is no name in PTX: expected letters, digits, _ and $");
  if (auto why = findSharedOverflow(copy, code.kernels, target))
    return fail(*why);
  if (!hasAllOps(copy, target))
    return fail("it has ops that the chip does not have");

  PassManager passes(source.getContext());
  passes.addNestedPass<mlir::gpu::GPUModuleOp>(createVerifyDeviceCodePass());
  // Lines alone: PTX with more is for debuggers, and ptxas then optimises less.
  passes.addPass(LLVM::createDIScopeForLLVMFuncOpPass(
      {LLVM::DIEmissionKind::DebugDirectivesOnly}));
  if (failed(passes.run(*holder)))
    return fail("it cannot be made into device code");

  code.context = std::make_unique<llvm::LLVMContext>();
  code.module = translateModuleToLLVMIR(copy, *code.context, source.getName());
  if (!code.module)
    return fail("the translation to LLVM IR failed");
  auto machine = createTargetMachine(target);
  if (!machine)
    return machine.takeError();
  keepFacts(copy, *code.module);
  code.module->setTargetTriple((*machine)->getTargetTriple());
  code.module->setDataLayout((*machine)->createDataLayout());
  markConvergent(*code.module);
  optimize(*code.module, **machine);
  std::string text;
  llvm::raw_string_ostream stream(text);
  if (llvm::verifyModule(*code.module, &stream))
    return fail("LLVM IR is not valid: " + text);
  return code;
}

llvm::SmallVector<char, 0> DeviceCode::getBitcode() const {
  llvm::SmallVector<char, 0> bitcode;
  llvm::raw_svector_ostream stream(bitcode);
  llvm::WriteBitcodeToFile(*module, stream);
  return bitcode;
}

namespace {
/// What LLVM says is wrong with the module. LLVM's way to report an instruction
/// that it cannot select is to end the program; this turns it into an error.
struct CodegenFailure {
  std::string text;

  static void handleFatal(void *data, const char *reason, bool) {
    static_cast<CodegenFailure *>(data)->text = reason;
    llvm::CrashRecoveryContext::GetCurrent()->HandleExit(1);
  }
  static void handleDiagnostic(const llvm::DiagnosticInfo *info, void *data) {
    if (info->getSeverity() != llvm::DS_Error)
      return;
    llvm::raw_string_ostream stream(static_cast<CodegenFailure *>(data)->text);
    llvm::DiagnosticPrinterRawOStream printer(stream);
    info->print(printer);
  }
};
} // namespace

/// Writes `module`, which is used up, as PTX.
static bool emitPTX(llvm::Module &module, llvm::TargetMachine &machine,
                    llvm::raw_pwrite_stream &stream) {
  llvm::legacy::PassManager codegen;
  if (machine.addPassesToEmitFile(codegen, stream, nullptr,
                                  llvm::CodeGenFileType::AssemblyFile))
    return false;
  codegen.run(module);
  return true;
}

llvm::Expected<std::string> DeviceCode::getPTX(bool withLines) const {
  auto machine = createTargetMachine(target);
  if (!machine)
    return machine.takeError();
  std::unique_ptr<llvm::Module> copy = llvm::CloneModule(*module);
  if (!withLines)
    llvm::StripDebugInfo(*copy);

  llvm::SmallString<0> ptx;
  CodegenFailure failure;
  bool supported = true, finished;
  {
    // The handlers belong to the process.
    static std::mutex mutex;
    std::lock_guard lock(mutex);
    llvm::CrashRecoveryContext::Enable();
    llvm::ScopedFatalErrorHandler handler(CodegenFailure::handleFatal,
                                          &failure);
    context->setDiagnosticHandlerCallBack(CodegenFailure::handleDiagnostic,
                                          &failure);
    finished = llvm::CrashRecoveryContext().RunSafely([&] {
      llvm::raw_svector_ostream stream(ptx);
      supported = emitPTX(*copy, **machine, stream);
    });
    context->setDiagnosticHandlerCallBack(nullptr);
    llvm::CrashRecoveryContext::Disable();
  }
  if (!finished) {
    // LLVM was left in the middle of its work: what it held stays where it is.
    (void)copy.release();
    (void)machine->release();
  }
  if (!finished || !supported || !failure.text.empty())
    return llvm::createStringError(
        "LLVM cannot make PTX " + target.getPTXVersion() + " for " +
        target.chip + ": " +
        (failure.text.empty() ? "unknown reason" : failure.text));
  return ptx.str().str();
}
