//===- TileProductOps.td - products of matrix units -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_TILE_IR_TILEPRODUCTOPS_TD
#define DSV2_DIALECT_TILE_IR_TILEPRODUCTOPS_TD

include "dsv2/Dialect/Tile/IR/TileKernelOps.td"

def Tile_LeftOperand : AnyTypeOf<[Tile_SharedType, Tile_OperandType]>;

def Tile_WgmmaFenceOp : Tile_Op<"wgmma_fence"> {
  let summary = "Hand registers over to the matrix units";
  let description = [{
    Has to be between computing registers and a `wgmma` that uses them, as
    accumulator or as left operand (PTX ISA, "wgmma.fence").

    Constraints:
    - wgmma_fence_c1: the result of a fragment is `async` of its shape, that of an
      operand has the operand's type

    Example:

    ```mlir
    %a = dsv2_tile.wgmma_fence %f : !dsv2_tile.frag<64x128xf32> -> !dsv2_tile.async<64x128xf32>
    ```
  }];
  let arguments = (ins
    Variadic<AnyTypeOf<[Tile_FragmentType, Tile_OperandType]>>:$values);
  let results = (outs
    Variadic<AnyTypeOf<[Tile_AsyncType, Tile_OperandType]>>:$results);
  let assemblyFormat = "$values attr-dict `:` type($values) `->` type($results)";
  let hasVerifier = 1;
  let builders = [OpBuilder<(ins "::mlir::ValueRange":$values)>];
}

def Tile_WgmmaOp : Tile_Op<"wgmma"> {
  let summary = "Start a product of a warpgroup";
  let description = [{
    `a` [64, k] times `b` [n, k] transposed, or `b` [k, n] with `transposed_b`, in
    steps of k = 16, added to `acc` if there is one, as one group of its own (PTX
    ISA, "wgmma.mma_async", "wgmma.commit_group"). Products are f32; the sums of
    one step are formed in an order the hardware chooses.

    Constraints:
    - wgmma_c1: `a` and `b` have bf16 elements and agree in k, a multiple of 16
    - wgmma_c2: `a` has 64 rows, the result 64 rows and n columns, a multiple of
      8 up to 256
    - wgmma_c3: tiles in shared memory have a swizzle and no stages
    - wgmma_c4: `acc` has the result's type
    - wgmma_c5: with `transposed_b` `b` has a multiple of 16 rows, and so have its
      panels
    - wgmma_c6: an operand in registers comes from `wgmma_fence`

    Example:

    ```mlir
    %r = dsv2_tile.wgmma %a, %b acc %c : !dsv2_tile.shared<64x64xbf16, swizzle = 128>, !dsv2_tile.shared<128x64xbf16, swizzle = 128> -> !dsv2_tile.async<64x128xf32>
    ```
  }];
  let arguments = (ins Tile_LeftOperand:$a, Tile_SharedType:$b,
                       Optional<Tile_AsyncType>:$acc, UnitAttr:$transposed_b);
  let results = (outs Tile_AsyncType:$result);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
}

def Tile_WgmmaWaitOp : Tile_Op<"wgmma_wait", [AttrSizedOperandSegments]> {
  let summary = "Wait for products";
  let description = [{
    Waits until at most `pending` of the groups started last are under way
    (PTX ISA, "wgmma.wait_group"). The results are those of `done` as fragments,
    then those of `keep`, which stay in the matrix units' hands.

    Constraints:
    - wgmma_wait_c1: the results are fragments of the shapes of `done`, then the
      types of `keep`
    - wgmma_wait_c2: `pending` is not negative, and with 0 nothing is kept
    - wgmma_wait_c3: with `pending`, each value of `done` is a product of the same
      block behind which `pending` others were started

    Example:

    ```mlir
    %f = dsv2_tile.wgmma_wait 0 done(%a : !dsv2_tile.async<64x128xf32>) keep() -> !dsv2_tile.frag<64x128xf32>
    ```
  }];
  let arguments = (ins I32Attr:$pending, Variadic<Tile_AsyncType>:$done,
                       Variadic<Tile_AsyncType>:$keep);
  let results = (outs
    Variadic<AnyTypeOf<[Tile_FragmentType, Tile_AsyncType]>>:$results);
  let assemblyFormat = [{
    $pending `done` `(` ($done^ `:` type($done))? `)` `keep` `(` ($keep^ `:` type($keep))? `)`
    attr-dict `->` type($results)
  }];
  let hasVerifier = 1;
  let builders = [OpBuilder<(ins "int64_t":$pending, "::mlir::ValueRange":$done,
                                 "::mlir::ValueRange":$keep)>];
}

def Tile_MmaOp : Tile_Op<"mma", [
    TypesMatchWith<"the accumulator has the result's type", "result", "acc",
                   "$_self">]> {
  let summary = "Multiply tiles, warp by warp";
  let description = [{
    As `wgmma`, but done when it returns: each warp multiplies its rows by all of
    `b` (PTX ISA, "mma", "ldmatrix").

    Constraints:
    - mma_c1: `a` and `b` have bf16 elements and agree in k, a multiple of 16
    - mma_c2: the result has the rows of `a` and n columns, a multiple of 16
    - mma_c3: tiles in shared memory have no stages
    - mma_c4: an operand in registers has the result's warps

    Example:

    ```mlir
    %r = dsv2_tile.mma %a, %b acc %c : !dsv2_tile.shared<64x64xbf16, swizzle = 128>, !dsv2_tile.shared<128x64xbf16, swizzle = 128> -> !dsv2_tile.frag<64x128xf32>
    ```
  }];
  let arguments = (ins Tile_LeftOperand:$a, Tile_SharedType:$b,
                       Tile_FragmentType:$acc, UnitAttr:$transposed_b);
  let results = (outs Tile_FragmentType:$result);
  let assemblyFormat = [{
    $a `,` $b (`transposed` $transposed_b^)? `acc` $acc attr-dict
    `:` type($a) `,` type($b) `->` type($result)
  }];
  let hasVerifier = 1;
}

#endif // DSV2_DIALECT_TILE_IR_TILEPRODUCTOPS_TD
