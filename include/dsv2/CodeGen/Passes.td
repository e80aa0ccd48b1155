//===- Passes.td - from dsv2 ops to code ------------------*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_PASSES_TD
#define DSV2_CODEGEN_PASSES_TD

include "mlir/Pass/PassBase.td"

def EmbedManifestPass : Pass<"dsv2-embed-manifest", "::mlir::ModuleOp"> {
  let summary = "Turn the collected facts into the artifact's data";
  let description = [{
    Enters: the module of the target stage, entries marked `dsv2.entry`.
    Completes the manifest with the entry points and the artifact's identity, a
    digest over everything else in it, and stores it as JSON in the global
    `dsv2_manifest` beside `dsv2_manifest_size` and `dsv2_abi_version`. Leaves:
    no attribute of the dsv2 dialect, so that upstream tools accept the module.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

def AddDeviceSamplingPass
    : Pass<"dsv2-add-device-sampling", "::mlir::ModuleOp"> {
  let summary = "Add the entry by which a device chooses tokens";
  let description = [{
    Enters: a module for a device. Adds the function `sample`, an entry as
    `dsv2rt_sample_fn` of the ABI says, and its kernels: tokens are chosen where
    the logits are, and the next step finds them as its input, so that steps
    follow each other without the host.
  }];
  let dependentDialects = [
    "::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect",
    "::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
    "::mlir::gpu::GPUDialect", "::mlir::memref::MemRefDialect",
    "::mlir::scf::SCFDialect"];
}

def EmitDeviceCodePass : Pass<"dsv2-emit-device-code", "::mlir::ModuleOp"> {
  let summary = "Turn the kernels of the device into images of the artifact";
  let description = [{
    Enters: the module of the target stage with the `gpu.module` of its kernels
    in the LLVM and NVVM dialects. For each chip and kind of `gpu-code` it
    becomes an image: machine code (`cubin`, made by ptxas), text for the
    driver (`ptx`), or what the emulator runs (`bitcode`). `auto` is PTX, and
    before it a cubin if ptxas is found. Images become globals `dsv2_image_N`, listed
    in the manifest under `device`. Leaves: no `gpu.module`.
  }];
  let options = [
    Option<"gpuChips", "gpu-chip", "std::string", /*default=*/"\"\"",
           "Chips, separated by commas">,
    Option<"gpuCode", "gpu-code", "std::string", /*default=*/"\"auto\"",
           "auto, or cubin, ptx and bitcode, separated by commas">,
    Option<"ptxas", "ptxas", "std::string", /*default=*/"\"\"",
           "The program ptxas; empty: look for it">
  ];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

def LinkReferencePass : Pass<"dsv2-link-reference", "::mlir::ModuleOp"> {
  let summary = "Merge the reference lowering into the artifact's module";
  let description = [{
    Enters: the module of the target stage with, if the artifact is to carry its
    reference, a nested `module @reference`: the same model through the same
    stages with the option `reference`. Its functions move into the outer module
    and its manifest becomes the entry `reference` of the outer one's. Without
    such a module nothing happens. Refused: a function that both define.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

def ExpandCopiesPass : Pass<"dsv2-expand-copies"> {
  let summary = "Copies of memory become linalg.copy";
  let description = [{
    Enters: buffered IR. The lowering of `memref.copy` to LLVM calls a function
    of MLIR's own runner library unless both sides are contiguous; as
    `linalg.copy` a copy becomes loops like everything else.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect"];
}

def LowerLaunchesPass : Pass<"dsv2-lower-launches", "::mlir::ModuleOp"> {
  let summary = "Launches to parallel regions, views and taps to the ABI";
  let description = [{
    Enters: buffered IR. `dsv2.launch` becomes an `omp.parallel` region whose
    threads call the kernel with their number and the team's size, or a plain
    call when there are fewer rows than `serial_below`; `dsv2.weight_view`
    becomes a load from the table of addresses; `dsv2.tap` a guarded call of
    `dsv2rt_tap` (abi.def). Sites are numbered in the module's manifest.
    Entry, prepare, conversion and page-copy functions get their C interface.
    Leaves: no dsv2 op.
  }];
  let dependentDialects = [
    "::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect",
    "::mlir::func::FuncDialect", "::mlir::memref::MemRefDialect",
    "::mlir::omp::OpenMPDialect", "::mlir::scf::SCFDialect"];
}

def LowerCollectivesPass : Pass<"dsv2-lower-collectives", "::mlir::ModuleOp"> {
  let summary = "Exchanges between ranks to calls of the runtime";
  let description = [{
    Enters: buffered IR. Each collective becomes a call of the runtime (abi.def)
    with its axis, its site, which the module's manifest lists under
    `comm_sites`, and the layer. The mesh becomes the manifest's `mesh`. Leaves:
    no op about ranks. Refused: memory with gaps between rows.
  }];
  let dependentDialects = [
    "::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect",
    "::mlir::func::FuncDialect", "::mlir::memref::MemRefDialect"];
}

def LowerDeviceLaunchesPass
    : Pass<"dsv2-lower-device-launches", "::mlir::ModuleOp"> {
  let summary = "Launches on a device to calls of the runtime";
  let description = [{
    Enters: buffered IR. `dsv2.device_launch` becomes a call of `dsv2rt_launch`
    (abi.def) with the number of the kernel and an array of pointers to the
    values of its parameters. Kernels are numbered in the order of the
    `gpu.module` and described in the module's manifest under `device`.
  }];
  let dependentDialects = [
    "::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect",
    "::mlir::func::FuncDialect", "::mlir::memref::MemRefDialect"];
}

def DecideDeviceFormsPass
    : Pass<"dsv2-decide-device-forms", "::mlir::ModuleOp"> {
  let summary = "Decide attention for GPUs whose kernels leave no choice";
  let description = [{
    Enters: the import stage. Attention whose expanded form has no kernel on one
    of the chips, or not for this cache, becomes absorbed.
  }];
  let options = [
    Option<"gpuChips", "gpu-chip", "std::string", /*default=*/"\"\"",
           "Chips, separated by commas">
  ];
  let dependentDialects = ["::mlir::dsv2::DSV2Dialect"];
}

def OutlineKernelsPass : Pass<"dsv2-outline-kernels", "::mlir::ModuleOp"> {
  let summary = "Turn model ops into launches of generated kernels";
  let description = [{
    Enters: the plan stage. Each model op becomes one or a few `dsv2.launch`es
    on tensors, and the kernels they name are generated for `target-cpu`, one
    function per distinct configuration. Fused: residual additions into the
    product, expert combination or norm before them, gate, up and SwiGLU,
    gathering of an expert's rows into the product that reads them. Packed
    weights become views of the weight table, cache handles become memory
    references, and step functions get the arguments of the runtime ABI
    (weights, workspace, logits, context, tap level). Prepare functions become
    launches of packing kernels. Tables of slots, sources and prepare jobs go
    into the module attribute `dsv2.manifest`.

    With `reference` nothing is fused and every op becomes a launch of a kernel
    that holds the op itself between buffers, marked `dsv2.reference`, for
    `dsv2-convert-to-linalg` to lower. Its result is tapped so that the runtime
    can replace it. Weights are expected in row-major order.
  }];
  let options = [
    Option<"targetCPU", "target-cpu", "std::string", /*default=*/"\"native\"",
           "Processor to generate for: native, x86-64-v2, x86-64-v3, "
           "x86-64-v4 or an LLVM name, then ,+feature or ,-feature">,
    Option<"reference", "reference", "bool", /*default=*/"false",
           "Build kernels of the reference lowering">,
    Option<"gpuChips", "gpu-chip", "std::string", /*default=*/"\"\"",
           "Generate for these GPUs, separated by commas, instead">
  ];
  let statistics = [
    Statistic<"numLaunches", "num-launches", "Number of launches emitted">,
    Statistic<"numKernels", "num-kernels", "Number of kernels generated">
  ];
  let dependentDialects = [
    "::mlir::LLVM::LLVMDialect", "::mlir::amx::AMXDialect",
    "::mlir::arith::ArithDialect",
    "::mlir::bufferization::BufferizationDialect", "::mlir::func::FuncDialect",
    "::mlir::gpu::GPUDialect", "::mlir::NVVM::NVVMDialect",
    "::mlir::math::MathDialect", "::mlir::memref::MemRefDialect",
    "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect",
    "::mlir::vector::VectorDialect", "::mlir::dsv2::DSV2Dialect"];
}

def FuseLaunchesPass : Pass<"dsv2-fuse-launches", "::mlir::ModuleOp"> {
  let summary = "Launch kernels that work row by row together";
  let description = [{
    Enters: the structure stage, tensors. Launches of one block whose kernels
    work row by row (`dsv2.rows`), on as many rows, become one launch of a kernel
    that calls theirs on a few rows at a time: the norm and the quantisation of
    the rows that a product takes, the norm and the rotation of what goes into the
    cache. What one of them computes for the next is still in the first level of
    the cache then, and the threads meet once.

    A launch can move back to where the first result of the group is used, or
    forward if it reads such a result; nothing moves over what writes memory.
  }];
  let statistics = [
    Statistic<"numFused", "num-fused", "Number of launches saved">
  ];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
    "::mlir::tensor::TensorDialect"];
}

def PlanWorkspacePass : Pass<"dsv2-plan-workspace", "::mlir::ModuleOp"> {
  let summary = "Place every temporary in one workspace";
  let description = [{
    Enters: buffered IR in which temporaries are `memref.alloc`s whose dynamic
    sizes are linear in the step's tokens, sequences, logit rows, arrivals or
    rows of keys. Buffers
    whose lifetimes do not overlap share memory; the sizes of the shared slots
    are linear in the step's sizes, so offsets are a few multiplications. Each
    allocation becomes a view of the function's workspace argument; callees use
    the space behind their caller's. For each entry a function `<entry>_workspace`
    is added that returns the bytes needed. Refused: an allocation in a loop,
    or of a size that is not of this form. Kernels of the reference lowering
    (`dsv2.reference`) keep their allocations.
  }];
  let statistics = [
    Statistic<"numBuffers", "num-buffers", "Number of buffers placed">,
    Statistic<"numSlots", "num-slots", "Number of slots they share">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::func::FuncDialect",
                           "::mlir::memref::MemRefDialect"];
}

def VerifyStagePass : Pass<"dsv2-verify-stage", "::mlir::ModuleOp"> {
  let summary = "Check the contract between two stages";
  let description = [{
    Fails, naming the first op that breaks it, unless the module keeps the
    contract of the given stage (docs/Architecture.md): `import`, `plan`,
    `structure`, `buffer` or `target`. In every stage no constant is larger
    than 64 KiB, since weights never enter the IR. Kernels of the reference
    lowering (`dsv2.reference`) may allocate.
  }];
  let options = [
    Option<"stage", "stage", "std::string", /*default=*/"",
           "Stage whose contract is checked">
  ];
}

#endif // DSV2_CODEGEN_PASSES_TD
