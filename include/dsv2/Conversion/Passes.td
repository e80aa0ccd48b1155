//===- Passes.td - conversions between dialects ------------*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CONVERSION_PASSES_TD
#define DSV2_CONVERSION_PASSES_TD

include "mlir/Pass/PassBase.td"

def ConvertDSV2ToLinalgPass
    : Pass<"dsv2-convert-to-linalg", "::mlir::ModuleOp"> {
  let summary = "Reference lowering of model-level ops to linalg";
  let description = [{
    One plain lowering for each model-level op, the one that every fast lowering
    is tested against. It is written to be read, not to be quick: each formula
    of the op's definition becomes a `linalg.generic` or a loop, in f32, with
    sums in index order. Operands of type bf16 or f16 are widened first; results
    are rounded once, to nearest even, at the end of the op.

    Enters: functions with ops of the model, attention, moe and cache families:
    of the import and plan stages, or reference kernels, which hold one op each. The token dimension may be dynamic
    and may be 0. Leaves: `linalg`, `tensor`, `scf`, `arith`, `math` and
    `memref` ops, ready for one-shot bufferisation with function boundaries.

    - `!dsv2.latent_cache<latent = L, rope = R, format = F, page = P>` becomes
      `memref<?x?xPx(L+R)xF>` (layer, page, row, element), or of the bytes of a
      row in q8 and q6 (`Support/CacheFormat.h`), in function
      signatures, calls, branches and `scf` ops too. A cast between a cache and
      memory of that type (`builtin.unrealized_conversion_cast`) disappears.
    - `dsv2.pack` becomes a conversion of element type, or a stack of two
      tensors. A `#dsv2.packed` encoding disappears from every type: values
      keep their logical shape and order.
    - `latent_attention` is computed as its form says, sequence by sequence;
      `undecided` as its definition, which is the expanded form.
    - `dsv2.weight` and `dsv2.packed_weight` stay, since only the driver knows
      where their contents are. With `weights-as-arguments`, each distinct
      `dsv2.weight` of a function becomes a trailing argument instead, in order
      of first use. A weight with `layers` becomes one argument with the layers
      stacked along a new leading dimension, of which the ordinal takes a slice;
      a call hands the weights of its callee on.

    - `dsv2.launch`, `dsv2.weight_view` and `dsv2.tap` stay too: they are about
      kernels and memory, not about the model.

    Refused, with an error that names the op: any other op on a cache or a
    packed tensor. `weights-as-arguments` also refuses recursion, and
    a function with weights that is used other than by a call.

    ```mlir
    %y = dsv2.linear %x, %w
           : tensor<?x64xf32>, tensor<32x64xbf16> -> tensor<?x32xf32>
    ```

    becomes

    ```mlir
    %t = tensor.dim %x, %c0 : tensor<?x64xf32>
    %e = tensor.empty(%t) : tensor<?x32xf32>
    %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x32xf32>)
           -> tensor<?x32xf32>
    %y = linalg.generic {
           indexing_maps = [affine_map<(t, n, k) -> (t, k)>,
                            affine_map<(t, n, k) -> (n, k)>,
                            affine_map<(t, n, k) -> (t, n)>],
           iterator_types = ["parallel", "parallel", "reduction"]}
           ins(%x, %w : tensor<?x64xf32>, tensor<32x64xbf16>)
           outs(%z : tensor<?x32xf32>) {
    ^bb0(%a: f32, %b: bf16, %sum: f32):
      %c = arith.extf %b : bf16 to f32
      %p = arith.mulf %a, %c : f32
      %s = arith.addf %sum, %p : f32
      linalg.yield %s : f32
    } -> tensor<?x32xf32>
    ```
  }];
  let options = [
    Option<"weightsAsArguments", "weights-as-arguments", "bool",
           /*default=*/"false",
           "Turn the weights of each function into trailing arguments">
  ];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
    "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
    "::mlir::tensor::TensorDialect"];
}

def ConvertTileToLoopsPass
    : Pass<"dsv2-convert-tile-to-loops", "::mlir::ModuleOp"> {
  let summary = "Reference lowering of tile kernels";
  let description = [{
    Writes each `dsv2_tile.kernel` as a function on memory references that does
    what the kernel's ops say, tile by tile, without threads of a GPU, layouts or
    swizzles: fragments are row-major arrays, products are loops in f32, copies
    are done at once. Instances of roles are threads of an `omp.parallel`; rings
    and barriers are counters, and who has to wait yields the processor. Blocks
    run one after another. Shared memory starts as NaN.

    A `global` becomes `memref<?xT, strided<[1], offset: ?>>`, a tensor map a
    memory reference of its rank with any strides, whose sizes are those of the
    tensor; three i32, the sizes of the grid, follow the kernel's arguments. The
    function calls `sched_yield` and `abort` of the C library and
    `omp_get_thread_num` and `omp_get_num_threads` of OpenMP's. It ends the
    program if a wait does not end, or there are too few threads.

    Refused, with an error: what `dsv2-convert-tile-to-nvvm` refuses.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::func::FuncDialect", "::mlir::memref::MemRefDialect",
    "::mlir::omp::OpenMPDialect", "::mlir::scf::SCFDialect"];
}

def ConvertTileToNVVMPass
    : Pass<"dsv2-convert-tile-to-nvvm", "::mlir::ModuleOp"> {
  let summary = "Tile kernels to the NVVM dialect";
  let description = [{
    Writes each `dsv2_tile.kernel` of the module as an `llvm.func` in the GPU
    module `@dsv2_kernels` and erases it. What a tile op is for one thread follows
    from the layouts that the dialect's types define; a role is a branch on the
    number of the warp. There are no predicated `nvvm` ops, and inline assembly
    is only what `Target/NVPTX/InlineAsm.h` lists.

    Leaves: ops of `llvm`, `nvvm`, `scf`, `arith` and `math`, on scalars.
    Refused, with an error: other ops in a kernel than those of `dsv2_tile`,
    `scf.for`, `scf.if`, `scf.while` and scalar ones of `arith` and `math`;
    kernels for different chips.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect",
    "::mlir::NVVM::NVVMDialect", "::mlir::arith::ArithDialect",
    "::mlir::gpu::GPUDialect", "::mlir::scf::SCFDialect"];
}

#endif // DSV2_CONVERSION_PASSES_TD
