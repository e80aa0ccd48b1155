//===- TileFragmentOps.td - tiles in registers -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_TILE_IR_TILEFRAGMENTOPS_TD
#define DSV2_DIALECT_TILE_IR_TILEFRAGMENTOPS_TD

include "mlir/IR/EnumAttr.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "dsv2/Dialect/Tile/IR/TileKernelOps.td"

def Tile_FragmentOrRows : AnyTypeOf<[Tile_FragmentType, Tile_RowsType]>;

def Tile_SplatOp : Tile_Op<"splat", [Pure]> {
  let summary = "A tile of equal elements";
  let description = [{
    Example:

    ```mlir
    %z = dsv2_tile.splat %x : !dsv2_tile.frag<64x128xf32>
    ```
  }];
  let arguments = (ins F32:$value);
  let results = (outs Tile_FragmentOrRows:$result);
  let assemblyFormat = "$value attr-dict `:` type($result)";
}

def Tile_MapOp : Tile_Op<"map", [
    SingleBlock, RecursivelySpeculatable, RecursiveMemoryEffects]> {
  let summary = "Compute elements from elements";
  let description = [{
    Runs the body for each element of the results, on the elements of the inputs
    at the same place; `rows` give all of a row the same. If all results are
    `rows`, for each row. The body may have two more arguments, i32: the
    element's row and column.

    Constraints:
    - map_c1: inputs and results agree in rows, columns (but for `rows`) and warps
    - map_c2: if all results are `rows`, so are the inputs
    - map_c3: the body has an f32 argument for each input, then none or two i32
    - map_c4: the body yields an f32 for each result
    - map_c5: the body computes by ops of `arith` and `math` alone

    Example:

    ```mlir
    %s = dsv2_tile.map ins(%f, %r : !dsv2_tile.frag<64x64xf32>, !dsv2_tile.rows<64xf32>) -> !dsv2_tile.frag<64x64xf32> {
    ^bb0(%x: f32, %m: f32):
      %d = arith.subf %x, %m : f32
      %e = math.exp2 %d : f32
      dsv2_tile.yield %e : f32
    }
    ```
  }];
  let arguments = (ins Variadic<Tile_FragmentOrRows>:$inputs);
  let results = (outs Variadic<Tile_FragmentOrRows>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    `ins` `(` ($inputs^ `:` type($inputs))? `)` attr-dict `->` type($results) $body
  }];
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    /// Whether the body wants the element's row and column.
    bool hasIndices() {
      return getBody().front().getNumArguments() > getInputs().size();
    }
  }];
}

def Tile_YieldOp : Tile_Op<"yield", [
    Pure, ReturnLike, Terminator, ParentOneOf<["MapOp", "SearchSumsOp"]>]> {
  let summary = "End of a body";
  let description = [{
    Example: see `map`.
  }];
  let arguments = (ins Variadic<AnyTypeOf<[F32, I32]>>:$values);
  let assemblyFormat = "$values attr-dict `:` type($values)";
}

def Tile_ReduceKind : I32EnumAttr<"ReduceKind", "how a row is reduced", [
    I32EnumAttrCase<"add", 0>, I32EnumAttrCase<"max", 1>]> {
  let cppNamespace = "::mlir::dsv2::tile";
  let genSpecializedAttr = 0;
}
def Tile_ReduceKindAttr : EnumAttr<Tile_Dialect, Tile_ReduceKind, "reduce_kind">;

def Tile_ReduceRowsOp : Tile_Op<"reduce_rows", [Pure]> {
  let summary = "Sum or largest element of each row";
  let description = [{
    Constraints:
    - reduce_rows_c1: source and result agree in rows and warps

    Example:

    ```mlir
    %m = dsv2_tile.reduce_rows max %f : !dsv2_tile.frag<64x64xf32> -> !dsv2_tile.rows<64xf32>
    ```
  }];
  let arguments = (ins Tile_ReduceKindAttr:$kind, Tile_FragmentType:$source);
  let results = (outs Tile_RowsType:$result);
  let assemblyFormat = "$kind $source attr-dict `:` type($source) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_PackOp : Tile_Op<"pack", [Pure]> {
  let summary = "Make a left operand of a fragment";
  let description = [{
    Rounds to bf16, to nearest even. No data moves between threads.

    Constraints:
    - pack_c1: source and result agree in shape and warps

    Example:

    ```mlir
    %p = dsv2_tile.pack %f : !dsv2_tile.frag<64x64xf32> -> !dsv2_tile.operand<64x64xbf16>
    ```
  }];
  let arguments = (ins Tile_FragmentType:$source);
  let results = (outs Tile_OperandType:$result);
  let assemblyFormat = "$source attr-dict `:` type($source) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_BlockKind : I32EnumAttr<"BlockKind", "a format of weights in blocks", [
    I32EnumAttrCase<"q8", 0>, I32EnumAttrCase<"q4", 1>,
    I32EnumAttrCase<"fp8", 2>]> {
  let cppNamespace = "::mlir::dsv2::tile";
  let genSpecializedAttr = 0;
}
def Tile_BlockKindAttr : EnumAttr<Tile_Dialect, Tile_BlockKind, "block_kind">;

def Tile_UnpackBlocksOp : Tile_Op<"unpack_blocks"> {
  let summary = "Make a left operand of weights in blocks";
  let description = [{
    Row r of the result has the elements of a group of blocks
    (`dsv2/Support/BlockFormat.h`), 64 of q8 or fp8, 128 of q4: elements times the
    scales of their blocks, rounded to bf16, to nearest even. The group is row r of
    `data`, the scales are the four bytes number `word` of row r of `scales`.

    With `part` the rows of `data` and `scales` are those of gate and up in turn,
    eight of each: row 8 i + j of the result is row 16 i + 8 `part` + j of them.

    Constraints:
    - unpack_blocks_c1: `data` has rows of 64 bytes with a swizzle of 64, `scales`
      rows of 16 bytes without swizzle; both have i8 elements and no stages
    - unpack_blocks_c2: `data` and `scales` have the rows of the result, with
      `part` twice as many, and the result has the columns of a group
    - unpack_blocks_c3: `part` is 0 or 1

    Example:

    ```mlir
    %w = dsv2_tile.unpack_blocks q8 %d, %s[%i] : !dsv2_tile.shared<64x64xi8, swizzle = 64>, !dsv2_tile.shared<64x16xi8> -> !dsv2_tile.operand<64x64xbf16>
    ```
  }];
  let arguments = (ins Tile_BlockKindAttr:$format, Tile_SharedType:$data,
    Tile_SharedType:$scales, I32:$word, OptionalAttr<I32Attr>:$part);
  let results = (outs Tile_OperandType:$result);
  let assemblyFormat = [{
    $format $data `,` $scales `[` $word `]` (`part` $part^)? attr-dict
    `:` type($data) `,` type($scales) `->` type($result)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The blocks of the format.
    const BlockFormat &getBlocks() {
      switch (getFormat()) {
      case BlockKind::q8:
        return kQ8Format;
      case BlockKind::q4:
        return kQ4Format;
      case BlockKind::fp8:
        return kFP8Format;
      }
      llvm_unreachable("unknown format of blocks");
    }
  }];
}

def Tile_SplitOp : Tile_Op<"split", [
    Pure, TypesMatchWith<"both halves have one type", "even", "odd", "$_self">]> {
  let summary = "Take a fragment's even and odd groups of eight columns apart";
  let description = [{
    Columns 16 j + i, i < 8, go to column 8 j + i of the first result, columns
    16 j + 8 + i to that of the second: two matrices whose columns a product has
    interleaved by eight. No data moves between threads.

    Constraints:
    - split_c1: the results have the source's rows and warps, and half its columns

    Example:

    ```mlir
    %gate, %up = dsv2_tile.split %f : !dsv2_tile.frag<64x128xf32> -> !dsv2_tile.frag<64x64xf32>
    ```
  }];
  let arguments = (ins Tile_FragmentType:$source);
  let results = (outs Tile_FragmentType:$even, Tile_FragmentType:$odd);
  let assemblyFormat = "$source attr-dict `:` type($source) `->` type($even)";
  let hasVerifier = 1;
}

def Tile_ColumnsOp : Tile_Op<"columns", [Pure]> {
  let summary = "Some columns of a fragment";
  let description = [{
    The columns from `from` on, as many as the result has. No data moves.

    Constraints:
    - columns_c1: the result has the source's rows and warps, and its columns lie
      within the source
    - columns_c2: `from` is a multiple of 8

    Example:

    ```mlir
    %h = dsv2_tile.columns %f from 64 : !dsv2_tile.frag<64x128xf32> -> !dsv2_tile.frag<64x64xf32>
    ```
  }];
  let arguments = (ins Tile_FragmentType:$source, I32Attr:$from);
  let results = (outs Tile_FragmentType:$result);
  let assemblyFormat = [{
    $source `from` $from attr-dict `:` type($source) `->` type($result)
  }];
  let hasVerifier = 1;
}

class Tile_GlobalAccessOp<string mnemonic> : Tile_Op<mnemonic> {
  let hasVerifier = 1;
}

def Tile_LoadOp : Tile_GlobalAccessOp<"load"> {
  let summary = "Read a fragment from global memory";
  let description = [{
    Rows `row` and on, columns `column` and on of the matrix at `source` whose rows
    are `stride` elements apart, widened to f32. Rows from `rows` and columns from
    `columns` on, counted from the fragment's first, are not read and are 0.
    Address and `stride` are multiples of two elements.

    `transposed`: element (r, c) of the fragment is element (`row` + c, `column` +
    r) of the matrix; `rows` and `columns` are those of the matrix, `stride` is
    any.

    Constraints:
    - load_c1: elements are f32 or bf16

    Example:

    ```mlir
    %f = dsv2_tile.load %p[%r, %c] stride %n valid %v, %w : !dsv2_tile.global<bf16> -> !dsv2_tile.frag<64x128xf32>
    ```
  }];
  let arguments = (ins Tile_GlobalType:$source, I32:$row, I32:$column,
    I32:$stride, I32:$rows, I32:$columns, UnitAttr:$transposed);
  let results = (outs Tile_FragmentType:$result);
  let assemblyFormat = [{
    $source `[` $row `,` $column `]` `stride` $stride `valid` $rows `,` $columns
    (`transposed` $transposed^)? attr-dict `:` type($source) `->` type($result)
  }];
}

def Tile_StoreOp : Tile_GlobalAccessOp<"store"> {
  let summary = "Write a fragment to global memory";
  let description = [{
    The counterpart of `load`: elements are rounded to those of the target, to
    nearest even. Rows before `first`, if it is given, are not written either.

    Constraints:
    - store_c1: elements are f32 or bf16
    - store_c2: there is no `first` with `transposed`

    Example:

    ```mlir
    dsv2_tile.store %f to %p[%r, %c] stride %n valid %v, %w : !dsv2_tile.frag<64x128xf32>, !dsv2_tile.global<bf16>
    ```
  }];
  let arguments = (ins Tile_FragmentType:$value, Tile_GlobalType:$target,
    I32:$row, I32:$column, I32:$stride, I32:$rows, I32:$columns,
    Optional<I32>:$first, UnitAttr:$transposed);
  let assemblyFormat = [{
    $value `to` $target `[` $row `,` $column `]` `stride` $stride
    `valid` $rows `,` $columns (`first` $first^)? (`transposed` $transposed^)?
    attr-dict
    `:` type($value) `,` type($target)
  }];
  let builders = [OpBuilder<(ins "::mlir::Value":$value,
    "::mlir::Value":$target, "::mlir::Value":$row, "::mlir::Value":$column,
    "::mlir::Value":$stride, "::mlir::Value":$rows, "::mlir::Value":$columns), [{
      build($_builder, $_state, value, target, row, column, stride, rows, columns,
            ::mlir::Value(), /*transposed=*/false);
    }]>];
}

def Tile_LoadRowsOp : Tile_GlobalAccessOp<"load_rows"> {
  let summary = "Read one value a row from global memory";
  let description = [{
    Row r has element `index` + r * `stride`; rows from `valid` on are not read
    and are 0.

    Constraints:
    - load_rows_c1: elements are f32

    Example:

    ```mlir
    %m = dsv2_tile.load_rows %p[%i] stride %n valid %v : !dsv2_tile.global<f32> -> !dsv2_tile.rows<64xf32>
    ```
  }];
  let arguments = (ins Tile_GlobalType:$source, I32:$index, I32:$stride,
                       I32:$valid);
  let results = (outs Tile_RowsType:$result);
  let assemblyFormat = [{
    $source `[` $index `]` `stride` $stride `valid` $valid attr-dict
    `:` type($source) `->` type($result)
  }];
}

def Tile_StoreRowsOp : Tile_GlobalAccessOp<"store_rows"> {
  let summary = "Write one value a row to global memory";
  let description = [{
    The counterpart of `load_rows`.

    Constraints:
    - store_rows_c1: elements are f32

    Example:

    ```mlir
    dsv2_tile.store_rows %m to %p[%i] stride %n valid %v : !dsv2_tile.rows<64xf32>, !dsv2_tile.global<f32>
    ```
  }];
  let arguments = (ins Tile_RowsType:$value, Tile_GlobalType:$target,
                       I32:$index, I32:$stride, I32:$valid);
  let assemblyFormat = [{
    $value `to` $target `[` $index `]` `stride` $stride `valid` $valid attr-dict
    `:` type($value) `,` type($target)
  }];
}

def Tile_PutOp : Tile_Op<"put"> {
  let summary = "Write a fragment to shared memory";
  let description = [{
    Rounds to the tile's elements, to nearest even.

    Constraints:
    - put_c1: fragment and tile agree in rows and columns; the tile has no stages

    Example:

    ```mlir
    dsv2_tile.put %f to %t : !dsv2_tile.frag<64x64xf32>, !dsv2_tile.shared<64x64xbf16, swizzle = 128>
    ```
  }];
  let arguments = (ins Tile_FragmentType:$value, Tile_SharedType:$tile);
  let assemblyFormat = "$value `to` $tile attr-dict `:` type($value) `,` type($tile)";
  let hasVerifier = 1;
}

class Tile_SharedRowsOp<string mnemonic> : Tile_Op<mnemonic> {
  let hasVerifier = 1;
}

def Tile_PutRowsOp : Tile_SharedRowsOp<"put_rows"> {
  let summary = "Write one value a row to shared memory";
  let description = [{
    Row r of the fragment becomes column r of the tile's only row.

    Constraints:
    - put_rows_c1: the tile has f32 elements, no swizzle, no stages, one row and
      as many columns as there are values

    Example:

    ```mlir
    dsv2_tile.put_rows %m to %t : !dsv2_tile.rows<64xf32>, !dsv2_tile.shared<1x64xf32, swizzle = 0>
    ```
  }];
  let arguments = (ins Tile_RowsType:$value, Tile_SharedType:$tile);
  let assemblyFormat = "$value `to` $tile attr-dict `:` type($value) `,` type($tile)";
}

def Tile_GetRowsOp : Tile_SharedRowsOp<"get_rows"> {
  let summary = "Read one value a row from shared memory";
  let description = [{
    The counterpart of `put_rows`.

    Constraints:
    - get_rows_c1: the tile has f32 elements, no swizzle, no stages, one row and
      as many columns as there are values

    Example:

    ```mlir
    %m = dsv2_tile.get_rows %t : !dsv2_tile.shared<1x64xf32, swizzle = 0> -> !dsv2_tile.rows<64xf32>
    ```
  }];
  let arguments = (ins Tile_SharedType:$tile);
  let results = (outs Tile_RowsType:$result);
  let assemblyFormat = "$tile attr-dict `:` type($tile) `->` type($result)";
}

def Tile_ClearRowsOp : Tile_Op<"clear_rows"> {
  let summary = "Set the last rows of a tile to zero";
  let description = [{
    All threads of the role set the rows from `from` on to zero.

    Constraints:
    - clear_rows_c1: the tile has no stages
    - clear_rows_c2: it is not in a role of a single thread

    Example:

    ```mlir
    dsv2_tile.clear_rows %t from %n : !dsv2_tile.shared<64x64xbf16, swizzle = 128>
    ```
  }];
  let arguments = (ins Tile_SharedType:$tile, I32:$from);
  let assemblyFormat = "$tile `from` $from attr-dict `:` type($tile)";
  let hasVerifier = 1;
}

#endif // DSV2_DIALECT_TILE_IR_TILEFRAGMENTOPS_TD
