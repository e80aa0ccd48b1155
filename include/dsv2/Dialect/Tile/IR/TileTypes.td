//===- TileTypes.td - types of tiles -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_TILE_IR_TILETYPES_TD
#define DSV2_DIALECT_TILE_IR_TILETYPES_TD

include "mlir/IR/AttrTypeBase.td"
include "dsv2/Dialect/Tile/IR/TileDialect.td"

class Tile_Type<string name, string typeMnemonic> : TypeDef<Tile_Dialect, name> {
  let mnemonic = typeMnemonic;
  let genVerifyDecl = 1;
}

def Tile_GlobalType : Tile_Type<"Global", "global"> {
  let summary = "Elements in global memory";
  let description = [{
    The address of elements of one type in global memory. Ops that take one
    name an element by its number, or a row and a column with the row's stride;
    all in elements.

    Constraints:
    - global_c1: elements are f32, bf16, i32 or i8

    Example:

    ```mlir
    !dsv2_tile.global<bf16>
    ```
  }];
  let parameters = (ins "::mlir::Type":$elementType);
  let assemblyFormat = "`<` $elementType `>`";
}

def Tile_TensorMapType : Tile_Type<"TensorMap", "tensor_map"> {
  let summary = "A tensor in global memory, as the copy engine sees it";
  let description = [{
    A descriptor (PTX ISA, "Tensors") of a tensor of which copies take boxes of
    `shape`; dimensions outermost first, as everywhere in MLIR. Its sizes and
    strides are facts of the launch. A box lies in shared memory with `swizzle`.

    Constraints:
    - tensor_map_c1: there are 1 to 5 dimensions, of 1 to 256 each
    - tensor_map_c2: elements are f32, bf16 or i8
    - tensor_map_c3: `swizzle` is 0, 32, 64 or 128
    - tensor_map_c4: the innermost dimension of the box has a multiple of 16
      bytes, and with a swizzle `swizzle` bytes at most

    Example:

    ```mlir
    !dsv2_tile.tensor_map<128x64xbf16, swizzle = 128>
    ```
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$shape,
                        "::mlir::Type":$elementType, "int64_t":$swizzle);
  let hasCustomAssemblyFormat = 1;
}

def Tile_SharedType : Tile_Type<"Shared", "shared"> {
  let summary = "A tile in shared memory";
  let description = [{
    `rows` x `columns` elements in shared memory, the columns contiguous. With
    a swizzle the tile is stored as *panels*: panel p has `swizzle` bytes of each
    row, from byte p * swizzle on, row behind row, and panels follow each other.
    In a panel the 16-byte piece number c of row r is at place c xor (r mod 8)
    (128 bytes; r / 2 mod 4 for 64, r / 4 mod 2 for 32): the layout of a box that
    the copy engine writes and the matrix units read (PTX ISA, "Shared memory
    matrix layout"). Without swizzle rows follow each other.

    A view of some rows of a tile has the panels of the whole tile, `of_rows`
    rows high. A leading third dimension counts stages, copies of the tile one
    behind the other.

    Constraints:
    - shared_c1: there are two dimensions, or three with stages, all positive
    - shared_c2: elements are f32, bf16 or i8
    - shared_c3: `swizzle` is 0, 32, 64 or 128
    - shared_c4: with a swizzle rows are whole panels, and there are a multiple
      of 8 rows
    - shared_c5: rows have a multiple of 16 bytes
    - shared_c6: `of_rows` is not less than the rows, and a multiple of 8

    Example:

    ```mlir
    !dsv2_tile.shared<64x512xbf16, swizzle = 128>
    ```
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$shape,
                        "::mlir::Type":$elementType, "int64_t":$swizzle,
                        "int64_t":$ofRows);
  let builders = [
    TypeBuilderWithInferredContext<(ins "::llvm::ArrayRef<int64_t>":$shape,
      "::mlir::Type":$elementType, "int64_t":$swizzle), [{
      return $_get(elementType.getContext(), shape, elementType, swizzle,
                   shape[shape.size() - 2]);
    }]>
  ];
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = [{
    bool hasStages() const { return getShape().size() == 3; }
    int64_t getStages() const { return hasStages() ? getShape().front() : 1; }
    int64_t getRows() const { return getShape()[getShape().size() - 2]; }
    int64_t getColumns() const { return getShape().back(); }
    /// Bytes of an element.
    int64_t getElementBytes() const {
      return getElementType().getIntOrFloatBitWidth() / 8;
    }
    /// Columns in a panel: all without swizzle.
    int64_t getPanelColumns() const {
      return getSwizzle() ? getSwizzle() / getElementBytes() : getColumns();
    }
    int64_t getPanels() const { return getColumns() / getPanelColumns(); }
    /// Bytes from a panel to the next.
    int64_t getPanelBytes() const {
      return getOfRows() * getPanelColumns() * getElementBytes();
    }
    /// Bytes from a row to the next within a panel.
    int64_t getRowBytes() const { return getPanelColumns() * getElementBytes(); }
    /// Bytes of one stage.
    int64_t getTileBytes() const { return getPanels() * getPanelBytes(); }
    /// The type of one stage.
    SharedType getStage() const {
      return get(getContext(), getShape().take_back(2), getElementType(),
                 getSwizzle(), getOfRows());
    }
  }];
}

def Tile_RingType : Tile_Type<"Ring", "ring"> {
  let summary = "A ring of stages between a producer and consumers";
  let description = [{
    `stages` sets of the tiles named. Each stage has two barriers in shared
    memory (PTX ISA, "mbarrier"): *full*, which completes when the bytes that
    the producer asked for have come, and *empty*, which completes when every
    consumer has released the stage.

    Constraints:
    - ring_c1: there are 1 to 16 stages
    - ring_c2: there is a tile, and tiles have no stages of their own

    Example:

    ```mlir
    !dsv2_tile.ring<4, !dsv2_tile.shared<128x64xbf16, swizzle = 128>,
                       !dsv2_tile.shared<256x64xbf16, swizzle = 128>>
    ```
  }];
  let parameters = (ins "int64_t":$stages,
                        ArrayRefParameter<"::mlir::dsv2::tile::SharedType">:$tiles);
  let assemblyFormat = "`<` $stages `,` $tiles `>`";
  let extraClassDeclaration = [{
    /// Bytes of one stage.
    int64_t getStageBytes() const {
      int64_t bytes = 0;
      for (SharedType tile : getTiles())
        bytes += tile.getTileBytes();
      return bytes;
    }
    /// Bytes from the start of a stage to tile `index`.
    int64_t getTileOffset(int64_t index) const {
      int64_t bytes = 0;
      for (SharedType tile : getTiles().take_front(index))
        bytes += tile.getTileBytes();
      return bytes;
    }
  }];
}

def Tile_RingStateType : TypeDef<Tile_Dialect, "RingState"> {
  let mnemonic = "ring_state";
  let summary = "A role's place in a ring: stage and parity of the round";
  let description = [{
    Example:

    ```mlir
    !dsv2_tile.ring_state
    ```
  }];
}

class Tile_RegisterType<string name, string typeMnemonic>
    : Tile_Type<name, typeMnemonic> {
  let parameters = (ins ArrayRefParameter<"int64_t">:$shape,
                        "::mlir::Type":$elementType, "int64_t":$warps);
  let hasCustomAssemblyFormat = 1;
}

class Tile_MatrixType<string name, string typeMnemonic>
    : Tile_RegisterType<name, typeMnemonic> {
  let extraClassDeclaration = [{
    int64_t getRows() const { return getShape()[0]; }
    int64_t getColumns() const { return getShape()[1]; }
    /// Slabs of 16 rows that each warp holds.
    int64_t getSlabs() const { return getRows() / (16 * getWarps()); }
    /// 32-bit registers of each thread.
    int64_t getRegisters() const {
      return getSlabs() * getColumns() / 8 *
             (getElementType().isF32() ? 4 : 2);
    }
  }];
}

def Tile_FragmentType : Tile_MatrixType<"Fragment", "frag"> {
  let summary = "A tile in the registers of an instance";
  let description = [{
    A matrix of f32 spread over `warps` warps (4, a warpgroup, if not said) as the
    matrix units leave it (PTX ISA, "Register fragments for wgmma.mma_async",
    "Matrix fragments for mma.m16n8k16"). Slab s of 16 rows of warp w are rows
    16 (s warps + w) and on. Of a slab, the thread with lane 4 g + t has of each 8
    columns the columns 2t and 2t + 1 of rows g and g + 8; registers are ordered
    by slab, then eight columns, then row, then column.

    Constraints:
    - frag_c1: two dimensions; rows are a multiple of 16 for each warp
    - frag_c2: columns are a multiple of 8, up to 512
    - frag_c3: elements are f32
    - frag_c4: `warps` is 1 or 4

    Example:

    ```mlir
    !dsv2_tile.frag<64x128xf32>
    ```
  }];
}

def Tile_AsyncType : Tile_MatrixType<"Async", "async"> {
  let summary = "A tile in registers that matrix units are writing";
  let description = [{
    A `frag` that may be the accumulator of a product in flight. Only
    `wgmma` and `wgmma_wait` take it: a kernel that reads it too early is not
    valid IR.

    Constraints:
    - async_c1: it is a fragment of a warpgroup, with 64 rows and at most 256
      columns

    Example:

    ```mlir
    !dsv2_tile.async<64x128xf32>
    ```
  }];
}

def Tile_OperandType : Tile_MatrixType<"Operand", "operand"> {
  let summary = "The left operand of a product, in registers";
  let description = [{
    A matrix of bf16 as products take their left operand from registers: what
    `pack` makes of a fragment of the same shape. Two neighbours of a row share a
    register.

    Constraints:
    - operand_c1: two dimensions; rows are a multiple of 16 for each warp
    - operand_c2: columns are a multiple of 16, up to 256
    - operand_c3: elements are bf16
    - operand_c4: `warps` is 1 or 4

    Example:

    ```mlir
    !dsv2_tile.operand<64x64xbf16>
    ```
  }];
}

def Tile_RowsType : Tile_RegisterType<"Rows", "rows"> {
  let summary = "One value a row of a fragment";
  let description = [{
    A vector of f32 beside the rows of a fragment: the four threads that share a
    row all have its value.

    Constraints:
    - rows_c1: one dimension, a multiple of 16 for each warp
    - rows_c2: elements are f32
    - rows_c3: `warps` is 1 or 4

    Example:

    ```mlir
    !dsv2_tile.rows<64xf32>
    ```
  }];
  let extraClassDeclaration = [{
    int64_t getRows() const { return getShape()[0]; }
    int64_t getSlabs() const { return getRows() / (16 * getWarps()); }
    /// 32-bit registers of each thread.
    int64_t getRegisters() const { return 2 * getSlabs(); }
  }];
}

#endif // DSV2_DIALECT_TILE_IR_TILETYPES_TD
