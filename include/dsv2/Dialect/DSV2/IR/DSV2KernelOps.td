//===- DSV2KernelOps.td - kernel launches and what they read -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_DSV2KERNELOPS_TD
#define DSV2_DIALECT_DSV2_IR_DSV2KERNELOPS_TD

include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "dsv2/Dialect/DSV2/IR/DSV2OpBase.td"

def DSV2_LaunchOp : DSV2_Op<"launch", [
    AttrSizedOperandSegments, DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Run a kernel on all threads";
  let description = [{
    Calls `kernel` once on each thread of the team, with the thread's number
    and the team's size behind the operands; the kernel computes its share of
    the outputs. Inputs and outputs are tensors before bufferisation and
    memory references after it; weights and cache are memory references
    throughout. Outputs are overwritten completely. With `serial_below` a
    launch whose first output (first input, if it has no output) has fewer
    rows runs on the calling thread alone, because the work would not pay for
    waking the team.

    Constraints:
    - launch_c1: `kernel` names a function without results whose arguments
      are the inputs, the outputs and two `index` values
    - launch_c2: an operand and its argument agree in rank and element type;
      those without elements in type
    - launch_c3: tensor outputs have one result each, of the same type;
      memory references have none
    - launch_c4: `serial_below` is not negative, and the operand it measures
      has rank 1 or more
    - launch_c5: there is an input or an output

    Effects: on tensors there are none. Memory among the inputs is read,
    outputs in memory are written. A launch without outputs is run for what it
    does to its inputs (append to the cache, copy its pages), so it also writes
    them.

    Example:

    ```mlir
    %y = dsv2.launch @add ins(%a, %b : tensor<?x64xf32>, tensor<?x64xf32>)
           outs(%e : tensor<?x64xf32>) -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<AnyType>:$inputs,
    Variadic<AnyTypeOf<[AnyRankedTensor, AnyMemRef]>>:$outputs, OptionalAttr<I64Attr>:$serial_below);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    $kernel (`serial_below` $serial_below^)?
    (`ins` `(` $inputs^ `:` type($inputs) `)`)?
    (`outs` `(` $outputs^ `:` type($outputs) `)`)? attr-dict
    (`->` type($results)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() {
      return getOutputsMutable();
    }
  }];
}

def DSV2_WeightViewOp : DSV2_Op<"weight_view", [Pure]> {
  let summary = "Memory of a packed weight slot";
  let description = [{
    The memory at `table[slot] + ordinal * stride` bytes, where `stride` is the
    size of the result: how generated code finds what preparation stored. The
    same op views a source or an output inside a prepare function.

    Constraints:
    - weight_view_c1: `table` is a rank 1 memory reference of i64 addresses
    - weight_view_c2: the result has a static shape and identity layout
    - weight_view_c3: `slot` is not negative
    - weight_view_c4: elements are integers or floats of whole bytes

    Example:

    ```mlir
    %w = dsv2.weight_view %table[3] at %i
           : memref<?xi64> -> memref<2x64x32xbf16>
    ```
  }];
  let arguments = (ins MemRefRankOf<[I64], [1]>:$table, I64Attr:$slot,
                       Optional<Index>:$ordinal);
  let results = (outs StaticShapeMemRefOf<[AnyInteger, AnyFloat]>:$result);
  let assemblyFormat = [{
    $table `[` $slot `]` (`at` $ordinal^)? attr-dict `:` type($table)
    `->` type($result)
  }];
  let hasVerifier = 1;
}

def DSV2_TapOp : DSV2_Op<"tap", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Let the runtime look at a value";
  let description = [{
    If the step's tap level is at least `level`, hands the matrix to the
    runtime together with the site's number and the layer. Level 1 sites are
    layer outputs and logits, which the runtime checks for non-finite values
    in every step; level 2 sites are the results of all ops.

    A tap with a result lets the runtime replace the values: the result is what
    they are afterwards. The reference lowering is tapped so, which makes each
    of its ops start from the inputs that the compiled one had. On memory the
    values are replaced in place and there is no result.

    With `exchanged` the rows are what other ranks have sent, and no token's or
    logit row's of this rank, even if they are as many.

    With `largest N` the rows are those of the step's logits, and element i is
    the largest of the logits [N * i, N * (i + 1)), or NaN if one of them is not
    finite. It is shown at every level, 0, and before the logits: the runtime
    checks those by it, and chooses a row's largest, without reading them all.

    Constraints:
    - tap_c1: `value` has rank 2 or 3 and elements of type f32, bf16 or i32
    - tap_c2: `level` is 1 or 2, with `largest` 0
    - tap_c3: a result is a tensor and has the type of `value`
    - tap_c4: with `largest`, which is at least 1, `value` has rank 2 and elements
      of type f32, and there is no layer, no result and no `exchanged`

    Example:

    ```mlir
    dsv2.tap %h site "layer" layer %l level 1 : tensor<?x64xf32>
    %y = dsv2.tap %h site "mlp" layer %l level 2 : tensor<?x64xf32>
           -> tensor<?x64xf32>
    dsv2.tap %m site "lm_head" level 0 largest 16 : tensor<?x6400xf32>
    ```
  }];
  let arguments = (ins AnyShaped:$value, StrAttr:$site, Optional<Index>:$layer,
                       I64Attr:$level, UnitAttr:$exchanged,
                       OptionalAttr<I64Attr>:$largest);
  let results = (outs Optional<AnyRankedTensor>:$replaced);
  let builders = [OpBuilder<(ins "Type":$replaced, "Value":$value,
    "StringRef":$site, "Value":$layer, "int64_t":$level,
    CArg<"bool", "false">:$exchanged), [{
      build($_builder, $_state, replaced, value, site, layer, level, exchanged,
            /*largest=*/IntegerAttr());
    }]>];
  let assemblyFormat = [{
    $value `site` $site (`layer` $layer^)? `level` $level
    (`exchanged` $exchanged^)? (`largest` $largest^)? attr-dict
    `:` type($value) (`->` type($replaced)^)?
  }];
  let hasVerifier = 1;
}

#endif // DSV2_DIALECT_DSV2_IR_DSV2KERNELOPS_TD
