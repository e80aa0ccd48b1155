//===- dsv2-compile.cpp - checkpoint or IR to artifact --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/LowerToLLVM.h"
#include "dsv2/Driver/Driver.h"
#include "dsv2/Import/CheckMesh.h"
#include "dsv2/Import/Explain.h"
#include "dsv2/InitAll.h"
#include "dsv2/Support/MeshShape.h"
#include "dsv2/Support/Version.h"
#include "dsv2/Support/WeightPolicy.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/WithColor.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::dsv2;
namespace cl = llvm::cl;

static cl::OptionCategory category("dsv2-compile options");

static cl::opt<std::string>
    inputFlag(cl::Positional, cl::Required, cl::cat(category),
              cl::desc("<checkpoint folder, config.json or .mlir>"));
static cl::opt<std::string> outputFlag("o", cl::cat(category),
                                       cl::value_desc("file"),
                                       cl::desc("File to write"));
static cl::opt<std::string> targetFlag("target", cl::cat(category),
                                       cl::init("cpu"),
                                       cl::desc("Kind of target: cpu or cuda"));
static cl::opt<std::string> gpuChipFlag(
    "gpu-chip", cl::cat(category), cl::init("sm_90a"),
    cl::value_desc("chip[,...]"),
    cl::desc("GPUs to generate for with --target=cuda: sm_90a (the default) "
             "and sm_80"));
static cl::opt<std::string> gpuCodeFlag(
    "gpu-code", cl::cat(category), cl::init("auto"),
    cl::value_desc("kind[,...]"),
    cl::desc(
        "What the artifact holds for each chip: cubin (by ptxas), ptx, "
        "bitcode (for the emulator), or auto: ptx, and a cubin if ptxas is "
        "found"));
static cl::opt<std::string>
    ptxasFlag("ptxas", cl::cat(category), cl::value_desc("program"),
              cl::desc("The assembler of the CUDA toolkit, if it is not where "
                       "toolkits are"));
static cl::list<std::string> targetCPUFlag(
    "target-cpu", cl::cat(category), cl::value_desc("processor[;...]"),
    cl::desc("native (the default), x86-64-v2, x86-64-v3, x86-64-v4 or an LLVM "
             "processor name, then any number of ,+feature or ,-feature. "
             "Several, separated by ';' or in flags of their own, go into one "
             "artifact, which uses the best that its host can run"));
static cl::opt<std::string> weightFormatFlag(
    "weight-format", cl::cat(category), cl::init("bf16"),
    cl::desc("How weights are stored: f32, bf16, q8, q4 or, for "
             "--target=cuda, fp8"));
static cl::opt<std::string> weightRulesFlag(
    "weight-rules", cl::cat(category), cl::value_desc("file"),
    cl::desc("Formats of single weights: lines of a glob for checkpoint names "
             "and a format; the first that matches counts"));
static cl::opt<std::string> kvFormatFlag(
    "kv-format", cl::cat(category), cl::init("auto"),
    cl::desc("How the latent cache is stored: f32, bf16, q8, q6, or auto: f32 "
             "for f32 weights, else bf16"));
static cl::opt<std::string> attentionFormFlag(
    "attention-form", cl::cat(category), cl::init("auto"),
    cl::desc("auto (absorbed for decoding, expanded for long chunks), "
             "expanded or absorbed"));
static cl::opt<int64_t> prefillMinTokensFlag(
    "prefill-min-tokens", cl::cat(category), cl::init(0),
    cl::desc("Tokens of a sequence from which on auto uses the expanded form; "
             "0 computes the crossover from the model's shapes"));
static cl::opt<bool>
    noReferenceFlag("no-reference", cl::cat(category),
                    cl::desc("Leave out the reference lowering that dsv2-run "
                             "--compare-reference runs"));
static cl::opt<bool> deterministicFlag(
    "deterministic", cl::cat(category),
    cl::desc("Make results independent of batch, chunking and threads"));
static cl::opt<std::string> meshFlag(
    "mesh", cl::cat(category), cl::value_desc("tp=N,ep=N"),
    cl::desc("Split the model over tp times ep ranks: tp splits heads, "
             "vocabulary and widths of feed-forward networks, ep sequences and "
             "routed experts"));
static cl::opt<int64_t> dispatchCapacityFlag(
    "dispatch-capacity", cl::cat(category), cl::init(0), cl::value_desc("rows"),
    cl::desc("With --mesh: rows that one rank has for another while decoding, "
             "so that one exchange is enough; a step that needs more is "
             "repeated exactly (0, the default: exchanges are as large as they "
             "have to be)"));
static cl::opt<int64_t>
    maxContextFlag("max-context", cl::cat(category), cl::init(0),
                   cl::desc("Longest sequence, in tokens (0: the model's)"));
static cl::opt<int64_t>
    maxBatchFlag("max-batch", cl::cat(category), cl::init(0),
                 cl::desc("Most sequences in one step (0: 64)"));
static cl::opt<std::string> compileToFlag(
    "compile-to", cl::cat(category), cl::init("artifact"),
    cl::desc("Stop after a stage and write its IR: import, plan, structure, "
             "buffer, target; or artifact"));
static cl::opt<EmitKind> emitFlag(
    "emit", cl::cat(category), cl::init(EmitKind::Artifact),
    cl::desc("What to write:"),
    cl::values(clEnumValN(EmitKind::Artifact, "artifact",
                          "a file for dsv2-run and the runtime library"),
               clEnumValN(EmitKind::Executable, "exe", "a stand-alone program"),
               clEnumValN(EmitKind::Object, "obj", "an object file"),
               clEnumValN(EmitKind::Assembly, "asm", "assembly text"),
               clEnumValN(EmitKind::LLVMIR, "llvm", "LLVM IR text")));
static cl::opt<std::string>
    dumpDirFlag("dump-dir", cl::cat(category), cl::value_desc("folder"),
                cl::desc("Write the IR of every stage into this folder"));
static cl::opt<bool>
    explainFlag("explain", cl::cat(category),
                cl::desc("Print what the configuration means and costs, and "
                         "compile nothing"));
static cl::opt<bool> jsonFlag("json", cl::cat(category),
                              cl::desc("With --explain: print JSON"));
static cl::opt<std::string> machineFlag(
    "machine", cl::cat(category), cl::value_desc("file"),
    cl::desc("With --explain: describes what each rank runs on; the plan then "
             "says what fits and how long steps take"));

static int fail(llvm::Error error) {
  llvm::handleAllErrors(std::move(error), [](const llvm::ErrorInfoBase &info) {
    llvm::WithColor::error(llvm::errs(), "dsv2-compile")
        << info.message() << '\n';
  });
  return 1;
}

static int fail(const Twine &message) {
  return fail(llvm::createStringError(message));
}

static void warn(StringRef message) {
  llvm::WithColor::warning(llvm::errs(), "dsv2-compile") << message << '\n';
}

/// The format that `--kv-format` comes to.
static std::string getKVFormat() {
  if (kvFormatFlag != "auto")
    return kvFormatFlag;
  return weightFormatFlag == "f32" ? "f32" : "bf16";
}

static int explain(::dsv2::WeightPolicy &policy) {
  auto config = loadConfig(inputFlag, warn);
  if (!config)
    return fail(config.takeError());
  ::dsv2::ExplainOptions options;
  options.weightFormat = ::dsv2::findWeightFormat(weightFormatFlag);
  options.kvFormat = ::dsv2::findKVFormat(getKVFormat());
  auto weights = ::dsv2::planWeights(*config, policy);
  if (!weights)
    return fail(weights.takeError());
  options.weights = std::move(*weights);
  if (meshFlag.getNumOccurrences()) {
    auto mesh = MeshShape::parse(meshFlag);
    if (!mesh)
      return fail("mesh: " + llvm::toString(mesh.takeError()));
    if (llvm::Error error = ::dsv2::checkMesh(*config, *mesh))
      return fail(std::move(error));
    options.mesh = *mesh;
  }
  if (machineFlag.getNumOccurrences()) {
    auto machine = ::dsv2::MachineDescription::fromFile(machineFlag);
    if (!machine)
      return fail(machine.takeError());
    options.machine = std::move(*machine);
  }
  options.dispatchCapacity = dispatchCapacityFlag;
  options.forDevice = targetFlag == "cuda";
  if (maxContextFlag > 0)
    options.context = maxContextFlag;
  if (maxBatchFlag > 0)
    options.batch = maxBatchFlag;
  if (jsonFlag)
    llvm::outs() << llvm::formatv("{0:2}\n",
                                  ::dsv2::explainJson(*config, options));
  else
    ::dsv2::printExplainText(llvm::outs(), *config, options);
  return 0;
}

/// Programs beside this one come first, then those found at configuration.
static LinkerPaths getLinkerPaths(const char *argv0) {
  LinkerPaths paths;
  paths.linker = DSV2_LLD;
  paths.driver = DSV2_CLANG;
  paths.openmp = DSV2_OPENMP;
  // The driver is that of C, the runtime is C++.
  if (!StringRef(DSV2_SANITIZE).empty())
    paths.sanitizerFlags = {"-fsanitize=" DSV2_SANITIZE,
                            "-fsanitize-link-c++-runtime"};
  std::string self = llvm::sys::fs::getMainExecutable(
      argv0, reinterpret_cast<void *>(&getLinkerPaths));
  llvm::SmallString<128> lib(llvm::sys::path::parent_path(self));
  llvm::sys::path::append(lib, "..", "lib");
  llvm::sys::path::remove_dots(lib, /*remove_dot_dot=*/true);
  paths.runtimeDirectory = lib.str().str();
  return paths;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  llvm::setBugReportMsg("please report this, with the command line and the "
                        "input, to the dsv2 project\n");
  registerPassManagerCLOptions();
  registerDefaultTimingManagerCLOptions();
  registerMLIRContextCLOptions();
  registerAsmPrinterCLOptions();
  cl::SetVersionPrinter([](llvm::raw_ostream &os) {
    os << "dsv2-compile " << getVersion() << " (LLVM " << LLVM_VERSION_STRING
       << ")\n";
  });
  // Only our own options and the pass manager's; LLVM's stay usable, hidden.
  for (auto &entry : cl::getRegisteredOptions()) {
    cl::Option *option = entry.second;
    StringRef name = entry.first;
    if (!llvm::is_contained(option->Categories, &category) &&
        !name.starts_with("mlir-") && name != "help" && name != "version")
      option->setHiddenFlag(cl::ReallyHidden);
  }
  cl::ParseCommandLineOptions(
      argc, argv,
      "compiles a DeepSeek-V2 family model\n\n"
      "  dsv2-compile DIR -o model.dsv2        checkpoint to artifact\n"
      "  dsv2-compile DIR --explain            what the model is and costs\n"
      "  dsv2-compile DIR --compile-to=plan    IR of a stage\n");

  bool forGPU = targetFlag == "cuda";
  if (!forGPU && targetFlag != "cpu")
    return fail("target: expected cpu or cuda, got '" + targetFlag + "'");
  for (const cl::Option *flag : std::initializer_list<const cl::Option *>{
           &gpuChipFlag, &gpuCodeFlag, &ptxasFlag})
    if (!forGPU && flag->getNumOccurrences())
      return fail(flag->ArgStr + ": expected --target=cuda, got --target=cpu");
  // The passes check these too; here the message names the flag.
  if (!::dsv2::symbolizeWeightFormat(weightFormatFlag))
    return fail("weight-format: expected f32, bf16, q8, q4 or fp8, got '" +
                weightFormatFlag + "'");
  if (!forGPU && !explainFlag && weightFormatFlag == "fp8")
    return fail("weight-format: fp8 is for --target=cuda: expected f32, bf16, "
                "q8 or q4, got 'fp8'");
  auto policy = ::dsv2::WeightPolicy::create(weightFormatFlag, weightRulesFlag);
  if (!policy)
    return fail(policy.takeError());
  if (kvFormatFlag != "auto" && !mlir::dsv2::symbolizeCacheFormat(kvFormatFlag))
    return fail("kv-format: expected f32, bf16, q8, q6 or auto, got '" +
                kvFormatFlag + "'");
  if (jsonFlag && !explainFlag)
    return fail("--json needs --explain");
  if (machineFlag.getNumOccurrences() && !explainFlag)
    return fail("--machine needs --explain");
  if (maxContextFlag < 0 || maxBatchFlag < 0)
    return fail("max-context and max-batch: expected a positive number");
  if (dispatchCapacityFlag < 0 || dispatchCapacityFlag > (int64_t(1) << 20))
    return fail("dispatch-capacity: expected a number of rows from 0 to "
                "1048576, got " +
                Twine(dispatchCapacityFlag));
  if (dispatchCapacityFlag > 0 && meshFlag.empty())
    return fail("dispatch-capacity: expected --mesh, which says between how "
                "many ranks tokens are exchanged");
  if (explainFlag)
    return explain(*policy);

  CompileOptions options;
  options.input = inputFlag;
  auto stage = symbolizeStage(compileToFlag);
  if (!stage)
    return fail("compile-to: expected import, plan, structure, buffer, target "
                "or artifact, got '" +
                compileToFlag + "'");
  options.lastStage = *stage;
  options.emit = emitFlag;
  options.output = outputFlag;
  if (options.output.empty()) {
    bool linked =
        *stage == Stage::Artifact &&
        (emitFlag == EmitKind::Artifact || emitFlag == EmitKind::Executable);
    if (linked)
      return fail("no output file: add -o FILE");
    options.output = "-";
  }
  if (emitFlag == EmitKind::Object && options.output == "-" &&
      *stage == Stage::Artifact && llvm::sys::Process::StandardOutIsDisplayed())
    return fail("an object file is not for the terminal: add -o FILE");
  options.pipeline.weightFormat = weightFormatFlag;
  options.pipeline.weightRules = weightRulesFlag;
  options.pipeline.kvFormat = getKVFormat();
  options.pipeline.attentionForm = attentionFormFlag;
  options.pipeline.prefillMinTokens = prefillMinTokensFlag;
  options.pipeline.deterministic = deterministicFlag;
  options.pipeline.mesh = meshFlag;
  options.pipeline.dispatchCapacity = dispatchCapacityFlag;
  if (forGPU)
    options.pipeline.gpuChips = gpuChipFlag;
  options.pipeline.gpuCode = gpuCodeFlag;
  options.pipeline.ptxas = ptxasFlag;
  options.withReference = !noReferenceFlag;
  for (StringRef flag : targetCPUFlag)
    for (StringRef name : llvm::split(flag, ';'))
      options.targetCPUs.push_back(name.trim().str());
  options.maxContext = maxContextFlag;
  options.maxBatch = maxBatchFlag;
  options.dumpDir = dumpDirFlag;
  options.linker = getLinkerPaths(argv[0]);
  options.warn = warn;

  DefaultTimingManager timing;
  applyDefaultTimingManagerCLOptions(timing);
  TimingScope scope = timing.getRootScope();
  options.configurePasses = [&](PassManager &passes) {
    passes.enableTiming(scope);
    return applyPassManagerCLOptions(passes);
  };

  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  cpu::registerCPUCodeGenDialects(registry);
  MLIRContext context(registry);
  if (llvm::Error error = compile(context, options))
    return fail(std::move(error));
  return 0;
}
