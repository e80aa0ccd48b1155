//===- Module.cpp - a loaded module and its kernels -----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Module.h"

#include "Image.h"
#include "Report.h"
#include "SoftFloat.h"
#include "Transform.h"
#include "dsv2/Target/NVPTX/RegisterHazards.h"

#include "llvm/ADT/SetVector.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/ExecutionEngine/Orc/ExecutionUtils.h"
#include "llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/DebugInfo.h"
#include "llvm/IR/DebugInfoMetadata.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/ModuleSlotTracker.h"
#include "llvm/IR/Verifier.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Transforms/Utils/Cloning.h"

using namespace dsv2::emulator;

dsv2::emulator::Module::Module(Memory &memory) : memory(memory) {}

dsv2::emulator::Module::~Module() {
  for (const void *global : globals)
    memory.remove(global);
}

Kernel *dsv2::emulator::Module::find(const std::string &name) {
  auto it = kernels.find(name);
  return it == kernels.end() ? nullptr : it->second.get();
}

static llvm::Expected<std::unique_ptr<llvm::Module>>
parse(const std::string &bitcode, llvm::LLVMContext &context) {
  return llvm::parseBitcodeFile(llvm::MemoryBufferRef(bitcode, "image"),
                                context);
}

//===----------------------------------------------------------------------===//
// Sites
//===----------------------------------------------------------------------===//

std::string dsv2::emulator::Module::describeSite(uint32_t site) const {
  llvm::LLVMContext context;
  auto module = parse(bitcode, context);
  if (!module) {
    llvm::consumeError(module.takeError());
    return "unknown place";
  }
  uint32_t number = 0;
  for (const llvm::Function &function : **module)
    for (const llvm::Instruction &instruction : llvm::instructions(function)) {
      if (number++ != site)
        continue;
      std::string text;
      llvm::raw_string_ostream os(text);
      os << '@' << function.getName();
      if (const llvm::DebugLoc &location = instruction.getDebugLoc()) {
        os << ", ";
        if (auto *scope = llvm::dyn_cast<llvm::DIScope>(location.getScope()))
          os << scope->getFilename() << ':';
        os << location.getLine() << ':' << location.getCol();
      }
      llvm::ModuleSlotTracker slots(module->get());
      slots.incorporateFunction(function);
      std::string printed;
      llvm::raw_string_ostream printedStream(printed);
      instruction.print(printedStream, slots);
      llvm::StringRef line = llvm::StringRef(printed).trim();
      os << ": " << line.substr(0, 160);
      if (line.size() > 160)
        os << "...";
      return text;
    }
  return "unknown place";
}

//===----------------------------------------------------------------------===//
// Loading
//===----------------------------------------------------------------------===//

/// Up to three comma-separated numbers of attribute `name`, 0 where absent.
static void readDims(const llvm::Function &function, llvm::StringRef name,
                     uint32_t (&dims)[3]) {
  llvm::SmallVector<llvm::StringRef> parts;
  function.getFnAttribute(name).getValueAsString().split(parts, ',', -1, false);
  for (size_t i = 0; i < 3; ++i)
    if (i >= parts.size() || parts[i].trim().getAsInteger(10, dims[i]))
      dims[i] = parts.empty() ? 0 : 1;
}

static bool isKernel(const llvm::Function &function) {
  return !function.isDeclaration() &&
         (function.getCallingConv() == llvm::CallingConv::PTX_Kernel ||
          function.hasFnAttribute("nvvm.kernel"));
}

static std::unique_ptr<Kernel> describeKernel(const llvm::Function &function) {
  auto kernel = std::make_unique<Kernel>();
  kernel->name = function.getName().str();
  const llvm::DataLayout &layout = function.getDataLayout();
  for (const llvm::Argument &argument : function.args()) {
    Parameter parameter;
    parameter.byReference = argument.hasByValAttr();
    llvm::Type *type = parameter.byReference ? argument.getParamByValType()
                                             : argument.getType();
    parameter.bytes = layout.getTypeAllocSize(type);
    parameter.alignment = std::max(layout.getABITypeAlign(type),
                                   argument.getParamAlign().valueOrOne())
                              .value();
    kernel->parameters.push_back(parameter);
  }
  uint32_t limit[3];
  readDims(function, "nvvm.maxntid", limit);
  kernel->maxThreads = limit[0] * limit[1] * limit[2];
  readDims(function, "nvvm.reqntid", kernel->requiredBlock);
  readDims(function, "nvvm.cluster_dim", kernel->requiredCluster);
  return kernel;
}

/// What only has a meaning on the GPU goes: conventions, attributes.
static void stripTarget(llvm::Module &module) {
  for (llvm::Function &function : module) {
    function.setCallingConv(llvm::CallingConv::C);
    function.setComdat(nullptr);
    for (llvm::StringRef name :
         {"target-cpu", "target-features", "tune-cpu", "frame-pointer"})
      function.removeFnAttr(name);
    if (function.isDeclaration())
      continue;
    for (llvm::Argument &argument : function.args())
      argument.removeAttr(llvm::Attribute::ByVal);
    function.addFnAttr(llvm::Attribute::NoUnwind);
    function.setLinkage(llvm::GlobalValue::InternalLinkage);
  }
}

static llvm::Expected<std::unique_ptr<llvm::orc::LLJIT>> createJit() {
  static bool initialised = [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    return true;
  }();
  (void)initialised;
  auto target = llvm::orc::JITTargetMachineBuilder::detectHost();
  if (!target)
    return target.takeError();
  // Kernels run mostly in handlers, and compiling them takes longer.
  target->setCodeGenOptLevel(llvm::CodeGenOptLevel::None);
  auto jit = llvm::orc::LLJITBuilder()
                 .setJITTargetMachineBuilder(std::move(*target))
                 .setPlatformSetUp(llvm::orc::setUpInactivePlatform)
                 .create();
  if (!jit)
    return jit.takeError();
  llvm::orc::JITDylib &library = (*jit)->getMainJITDylib();
  if (auto error = library.define(llvm::orc::absoluteSymbols(
          softFloatSymbols((*jit)->getExecutionSession()))))
    return std::move(error);
  // The C library's mathematics, which LLVM's code generator may call.
  auto process = llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
      (*jit)->getDataLayout().getGlobalPrefix());
  if (!process)
    return process.takeError();
  library.addGenerator(std::move(*process));
  return jit;
}

/// A copy of the module that has those definitions which `isPart` wants, and
/// declares the others.
static llvm::orc::ThreadSafeModule
copyPart(llvm::orc::ThreadSafeModule &code,
         llvm::function_ref<bool(const llvm::GlobalValue &)> isPart) {
  std::unique_ptr<llvm::Module> part;
  code.withModuleDo([&](llvm::Module &module) {
    llvm::ValueToValueMapTy values;
    part =
        llvm::CloneModule(module, values, [&](const llvm::GlobalValue *value) {
          return isPart(*value);
        });
  });
  return {std::move(part), code.getContext()};
}

std::unique_ptr<dsv2::emulator::Module>
dsv2::emulator::Module::load(const void *image, const Options &options,
                             Memory &memory, std::string &error) {
  auto fail = [&](const std::string &message) {
    error = reportLine(Kind::Unsupported, message);
    return nullptr;
  };
  std::unique_ptr<Module> result(new Module(memory));
  if (!readBitcodeImage(image, result->bitcode))
    return fail("the image is not LLVM bitcode");
  auto context = std::make_unique<llvm::LLVMContext>();
  auto parsed = parse(result->bitcode, *context);
  if (!parsed)
    return fail("the bitcode does not parse: " +
                llvm::toString(parsed.takeError()));
  llvm::Module &module = **parsed;
  if (!module.getTargetTriple().isNVPTX())
    return fail("the module is for '" + module.getTargetTriple().str() +
                "', not for nvptx64");
  std::string problem;
  llvm::raw_string_ostream problemStream(problem);
  if (llvm::verifyModule(module, &problemStream))
    return fail("the module is invalid: " + problem);

  auto jit = createJit();
  if (!jit)
    return fail("no code generator for this CPU: " +
                llvm::toString(jit.takeError()));
  SiteMap sites = numberInstructions(module);
  for (const llvm::Function &function : module)
    if (isKernel(function))
      result->kernels[function.getName().str()] = describeKernel(function);
  // Registers of the host are not those that products read behind a thread's
  // back: what goes wrong there has to be seen in the code.
  if (options.checks)
    for (auto &[name, hazard] : mlir::dsv2::getRegisterHazards(module))
      if (Kernel *kernel = result->find(name))
        kernel->registerHazard = hazard;

  for (const llvm::Function &function : module) {
    bool copies = function.getName().starts_with("llvm.nvvm.cp.async.");
    bool bulk = function.getName().starts_with("llvm.nvvm.cp.async.bulk.");
    for (auto &[name, kernel] : result->kernels) {
      kernel->hasCopies |= copies && !bulk;
      kernel->hasBulk |= bulk;
    }
  }

  module.setTargetTriple((*jit)->getTargetTriple());
  module.setDataLayout((*jit)->getDataLayout());
  // Reports find places in the image.
  llvm::StripDebugInfo(module);
  SharedLayout shared = replaceSharedGlobals(module);
  instrumentAccesses(module, sites, options.checks);
  if (!replaceIntrinsics(module, sites, result->asmTable, problem))
    return fail("the emulator does not know: " + problem);
  stripTarget(module);
  std::vector<std::string> globals;
  std::vector<Memory::Region> regions;
  for (llvm::GlobalVariable &global : module.globals()) {
    if (global.isDeclaration())
      return fail("global '" + global.getName().str() + "' is not defined");
    if (global.getName().starts_with("llvm."))
      continue;
    global.setLinkage(llvm::GlobalValue::ExternalLinkage);
    if (!global.hasName())
      global.setName("dsv2.global");
    globals.push_back(global.getName().str());
    regions.push_back(
        {0, module.getDataLayout().getTypeAllocSize(global.getValueType()),
         Memory::Use::ModuleGlobal, !global.isConstant(), globals.back()});
  }
  for (auto &[name, kernel] : result->kernels) {
    std::vector<bool> byReference;
    for (const Parameter &parameter : kernel->parameters)
      byReference.push_back(parameter.byReference);
    addEntry(*module.getFunction(name), byReference);
  }
  if (llvm::verifyModule(module, &problemStream))
    return fail("rewriting made the module invalid: " + problem);

  for (auto &[name, kernel] : result->kernels) {
    kernel->module = result.get();
    kernel->staticShared = shared.staticBytes.lookup(name);
  }
  result->code = std::make_unique<llvm::orc::ThreadSafeModule>(
      std::move(*parsed), std::move(context));
  auto isVariable = [](const llvm::GlobalValue &value) {
    return llvm::isa<llvm::GlobalVariable>(value);
  };
  if (auto jitError = (*jit)->addIRModule(copyPart(*result->code, isVariable)))
    return fail(llvm::toString(std::move(jitError)));
  for (size_t i = 0; i < globals.size(); ++i) {
    auto symbol = (*jit)->lookup(globals[i]);
    if (!symbol)
      return fail(llvm::toString(symbol.takeError()));
    regions[i].base = symbol->getValue();
    memory.add(regions[i]);
    result->globals.push_back(symbol->toPtr<const void *>());
  }
  result->jit = std::move(*jit);
  return result;
}

//===----------------------------------------------------------------------===//
// Compiling
//===----------------------------------------------------------------------===//

bool dsv2::emulator::Module::compile(Kernel &kernel, std::string &error) {
  if (kernel.entry)
    return true;
  if (!kernel.registerHazard.empty()) {
    error = reportLine(Kind::Race, "kernel '" + kernel.name +
                                       "': " + kernel.registerHazard);
    return false;
  }
  std::string entryName = entryPrefix + kernel.name;
  // The entry, and what it calls.
  llvm::SetVector<const llvm::GlobalValue *> needed;
  code->withModuleDo([&](llvm::Module &module) {
    needed.insert(module.getFunction(entryName));
    for (size_t i = 0; i < needed.size(); ++i)
      for (const llvm::Instruction &instruction :
           llvm::instructions(llvm::cast<llvm::Function>(*needed[i])))
        for (const llvm::Value *operand : instruction.operands())
          if (auto *callee = llvm::dyn_cast<llvm::Function>(operand);
              callee && !callee->isDeclaration())
            needed.insert(callee);
  });
  auto fail = [&](llvm::Error reason) {
    error = reportLine(Kind::Unsupported,
                       "kernel '" + kernel.name +
                           "': " + llvm::toString(std::move(reason)));
    return false;
  };
  if (auto jitError =
          jit->addIRModule(copyPart(*code, [&](const llvm::GlobalValue &value) {
            return needed.contains(&value);
          })))
    return fail(std::move(jitError));
  auto symbol = jit->lookup(entryName);
  if (!symbol)
    return fail(symbol.takeError());
  kernel.entry = symbol->toPtr<void (*)(void **)>();
  return true;
}
