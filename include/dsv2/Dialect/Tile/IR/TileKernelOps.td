//===- TileKernelOps.td - kernels, roles and what they share -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_TILE_IR_TILEKERNELOPS_TD
#define DSV2_DIALECT_TILE_IR_TILEKERNELOPS_TD

include "mlir/IR/OpAsmInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/FunctionInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "dsv2/Dialect/Tile/IR/TileTypes.td"

class Tile_Op<string mnemonic, list<Trait> traits = []>
    : Op<Tile_Dialect, mnemonic, traits>;

def Tile_KernelOp : Tile_Op<"kernel", [
    FunctionOpInterface, IsolatedFromAbove, SingleBlock, NoTerminator]> {
  let summary = "What one block of threads does";
  let description = [{
    A kernel of `threads` threads a block for the processor `chip`. Its
    arguments are what a launch passes: addresses, tensor maps and numbers.
    First come declarations and uniform values, then the roles, which run side
    by side; the kernel ends when all have.

    Constraints:
    - kernel_c1: `chip` is sm_80 or sm_90a
    - kernel_c2: `threads` is a positive multiple of 32, 1024 at most
    - kernel_c3: arguments are `global`, `tensor_map`, i32 or f32; there are no
      results
    - kernel_c4: there is a role, and behind the first nothing but roles
    - kernel_c5: roles lie within the block's warps and have no warp in common
    - kernel_c6: shared memory of all declarations fits the chip: 232448 bytes on
      sm_90a, 166912 on sm_80
    - kernel_c7: if one role has `registers`, all have and they cover the block;
      together they are no more than 65536
    - kernel_c8: tensor maps, rings and `wgmma` are for sm_90a
    - kernel_c9: a named barrier is met by as many threads as it waits for
    - kernel_c10: a value of type `async` has one use: its registers are written
      in place

    Example:

    ```mlir
    dsv2_tile.kernel @nothing(%n: i32)
        attributes {chip = "sm_90a", threads = 128 : i32} {
      dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
      }
    }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name,
    TypeAttrOf<FunctionType>:$function_type, StrAttr:$chip, I32Attr:$threads,
    OptionalAttr<StrAttr>:$sym_visibility, OptionalAttr<DictArrayAttr>:$arg_attrs,
    OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasRegionVerifier = 1;
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name,
    "::mlir::FunctionType":$type, "::llvm::StringRef":$chip,
    "int64_t":$threads)>];
  let skipDefaultBuilders = 1;
  let extraClassDeclaration = [{
    ::llvm::ArrayRef<::mlir::Type> getArgumentTypes() {
      return getFunctionType().getInputs();
    }
    ::llvm::ArrayRef<::mlir::Type> getResultTypes() {
      return getFunctionType().getResults();
    }
    ::mlir::Region *getCallableRegion() { return &getBody(); }
    bool isHopper() { return getChip() == "sm_90a"; }
    /// Verifies what concerns all of the kernel.
    ::llvm::LogicalResult verifyKernel();
  }];
}

def Tile_RoleOp : Tile_Op<"role", [
    HasParent<"KernelOp">, SingleBlock, NoTerminator]> {
  let summary = "What some warps of a kernel do";
  let description = [{
    Warps `first` up to, not including, `last`, in groups of `by`: each group is an
    *instance*, which runs the body with its number. Fragments belong to an
    instance. `single`: one thread runs the body, for roles that only start
    copies. `registers` is how many registers each thread gets (PTX ISA,
    "setmaxnreg").

    Constraints:
    - role_c1: `first` is less than `last`, and `by` divides their difference
    - role_c2: `by` is 4 (a warpgroup, then `first` is a multiple of 4) or 1;
      with `single` it is the whole role
    - role_c3: `registers` is a multiple of 8 from 24 to 256, and the role is
      then made of warpgroups
    - role_c4: the body has one argument, i32
    - role_c5: fragments have the number of warps of an instance; a single
      thread has none
    - role_c6: with `registers`, the registers of tiles alive at one time are
      no more
    - role_c7: in each block of the body a ring is waited for as often as it is
      released

    Example:

    ```mlir
    dsv2_tile.kernel @copy()
        attributes {chip = "sm_90a", threads = 256 : i32} {
      dsv2_tile.role "producer" warps 0 to 4 by 4 registers 40 single (%i) {
      }
      dsv2_tile.role "consumer" warps 4 to 8 by 4 registers 232 (%i) {
      }
    }
    ```
  }];
  let arguments = (ins StrAttr:$name, I32Attr:$first, I32Attr:$last, I32Attr:$by,
    OptionalAttr<I32Attr>:$registers, UnitAttr:$single);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasRegionVerifier = 1;
  let skipDefaultBuilders = 1;
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name, "int64_t":$first,
    "int64_t":$last, "int64_t":$by, "int64_t":$registers, "bool":$single)>];
  let extraClassDeclaration = [{
    int64_t getWarps() { return getLast() - getFirst(); }
    int64_t getInstances() { return getWarps() / getBy(); }
    /// Threads that run the body.
    int64_t getActiveThreads() { return getSingle() ? 1 : 32 * getWarps(); }
  }];
}

def Tile_BlockIdOp : Tile_Op<"block_id", [Pure]> {
  let summary = "Number of the block in the grid";
  let description = [{
    Constraints:
    - block_id_c1: `dimension` is 0, 1 or 2

    Example:

    ```mlir
    %b = dsv2_tile.block_id 0
    ```
  }];
  let arguments = (ins I32Attr:$dimension);
  let results = (outs I32:$result);
  let assemblyFormat = "$dimension attr-dict";
  let hasVerifier = 1;
}

def Tile_GridSizeOp : Tile_Op<"grid_size", [Pure]> {
  let summary = "Number of blocks in the grid";
  let description = [{
    Constraints:
    - grid_size_c1: `dimension` is 0, 1 or 2

    Example:

    ```mlir
    %n = dsv2_tile.grid_size 0
    ```
  }];
  let arguments = (ins I32Attr:$dimension);
  let results = (outs I32:$result);
  let assemblyFormat = "$dimension attr-dict";
  let hasVerifier = 1;
}

def Tile_SharedOp : Tile_Op<"shared", [HasParent<"KernelOp">]> {
  let summary = "Declare a tile in shared memory";
  let description = [{
    Constraints:
    - declare_c1: the tile is no view: `of_rows` is its rows

    Example:

    ```mlir
    dsv2_tile.kernel @buffers()
        attributes {chip = "sm_80", threads = 128 : i32} {
      %t = dsv2_tile.shared : !dsv2_tile.shared<3x64x64xbf16, swizzle = 128>
      dsv2_tile.role "all" warps 0 to 4 by 1 (%i) {
      }
    }
    ```
  }];
  let results = (outs Tile_SharedType:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Tile_SharedStageOp : Tile_Op<"shared_stage", [Pure]> {
  let summary = "One stage of a tile";
  let description = [{
    Constraints:
    - shared_stage_c1: the result is a stage of the source

    Example:

    ```mlir
    %s = dsv2_tile.shared_stage %t[%i] : !dsv2_tile.shared<3x64x64xbf16, swizzle = 128> -> !dsv2_tile.shared<64x64xbf16, swizzle = 128>
    ```
  }];
  let arguments = (ins Tile_SharedType:$source, I32:$stage);
  let results = (outs Tile_SharedType:$result);
  let assemblyFormat = [{
    $source `[` $stage `]` attr-dict `:` type($source) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_SharedViewOp : Tile_Op<"shared_view", [Pure]> {
  let summary = "Part of a tile";
  let description = [{
    The rows from `row` on, a multiple of 8, and the columns from `column` on,
    the first of a panel; as many as the result has.

    Constraints:
    - shared_view_c1: source and result have no stages, and agree in elements,
      swizzle and height of panels
    - shared_view_c2: without swizzle the result has all columns
    - shared_view_c3: there are no more rows and columns than the source has
    - shared_view_c4: a constant `row` is a multiple of 8 and the rows lie within
      the source
    - shared_view_c5: a constant `column` is one of a panel's first and the columns
      lie within the source

    Example:

    ```mlir
    %v = dsv2_tile.shared_view %t[%r, %c] : !dsv2_tile.shared<128x128xbf16, swizzle = 128> -> !dsv2_tile.shared<64x64xbf16, swizzle = 128, of_rows = 128>
    ```
  }];
  let arguments = (ins Tile_SharedType:$source, I32:$row, I32:$column);
  let results = (outs Tile_SharedType:$result);
  let assemblyFormat = [{
    $source `[` $row `,` $column `]` attr-dict `:` type($source) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_AwaitPredecessorsOp : Tile_Op<"await_predecessors",
                                       [HasParent<"KernelOp">]> {
  let summary = "Wait for the launches before";
  let description = [{
    Where a kernel that may start before the launches before it are over waits
    for them (PTX ISA, "griddepcontrol.wait"). Numbers loaded before it must be
    those that no launch of a step writes, such as positions. A kernel without
    it waits first of all.

    Constraints:
    - await_predecessors_c1: there is no more than one in a kernel

    Example:

    ```mlir
    dsv2_tile.kernel @late(%positions: !dsv2_tile.global<i32>, %token: i32)
        attributes {chip = "sm_90a", threads = 128 : i32} {
      %position = dsv2_tile.load_scalar %positions[%token]
          : !dsv2_tile.global<i32> -> i32
      dsv2_tile.await_predecessors
      dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
      }
    }
    ```
  }];
  let assemblyFormat = "attr-dict";
  let hasVerifier = 1;
}

def Tile_BarrierOp : Tile_Op<"barrier"> {
  let summary = "Wait at a named barrier";
  let description = [{
    Each thread arrives at barrier `id` and waits until `threads` threads have,
    and sees what they wrote before (PTX ISA, "bar, barrier"). `arrive`: arrives
    without waiting.

    Constraints:
    - barrier_c1: `id` is 1 to 15; 0 is the lowering's own
    - barrier_c2: `threads` is a positive multiple of 32
    - barrier_c3: it is not in a role of a single thread

    Example:

    ```mlir
    dsv2_tile.kernel @meet()
        attributes {chip = "sm_80", threads = 128 : i32} {
      dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
        dsv2_tile.barrier 1 threads 128
      }
    }
    ```
  }];
  let arguments = (ins I32Attr:$id, I32Attr:$threads, UnitAttr:$arrive);
  let assemblyFormat = "$id `threads` $threads (`arrive` $arrive^)? attr-dict";
  let hasVerifier = 1;
}

#endif // DSV2_DIALECT_TILE_IR_TILEKERNELOPS_TD
