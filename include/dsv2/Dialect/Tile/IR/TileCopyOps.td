//===- TileCopyOps.td - rings and copies -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_TILE_IR_TILECOPYOPS_TD
#define DSV2_DIALECT_TILE_IR_TILECOPYOPS_TD

include "dsv2/Dialect/Tile/IR/TileKernelOps.td"

//===----------------------------------------------------------------------===//
// Rings
//===----------------------------------------------------------------------===//

def Tile_RingOp : Tile_Op<"make_ring", [HasParent<"KernelOp">]> {
  let summary = "Declare a ring";
  let description = [{
    A ring whose stages `releases` warps release.

    Constraints:
    - make_ring_c1: `releases` is the number of warps of the roles that release
      the ring
    - make_ring_c2: one role acquires it, and that runs in a single thread

    Example:

    ```mlir
    dsv2_tile.kernel @consume(%m: !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>)
        attributes {chip = "sm_90a", threads = 256 : i32} {
      %zero = arith.constant 0 : i32
      %r = dsv2_tile.make_ring releases 4 : !dsv2_tile.ring<2, !dsv2_tile.shared<64x64xbf16, swizzle = 128>>
      %s = dsv2_tile.ring_start
      dsv2_tile.role "producer" warps 0 to 4 by 4 single (%i) {
        dsv2_tile.ring_acquire %r[%s] expect 8192 : !dsv2_tile.ring<2, !dsv2_tile.shared<64x64xbf16, swizzle = 128>>
        %t = dsv2_tile.ring_tile %r[%s] 0 : !dsv2_tile.ring<2, !dsv2_tile.shared<64x64xbf16, swizzle = 128>> -> !dsv2_tile.shared<64x64xbf16, swizzle = 128>
        dsv2_tile.tma_load %m[%zero, %zero] to %t signals %r[%s] : !dsv2_tile.tensor_map<64x64xbf16, swizzle = 128>, !dsv2_tile.shared<64x64xbf16, swizzle = 128>, !dsv2_tile.ring<2, !dsv2_tile.shared<64x64xbf16, swizzle = 128>>
        %n = dsv2_tile.ring_next %r, %s : !dsv2_tile.ring<2, !dsv2_tile.shared<64x64xbf16, swizzle = 128>>
      }
      dsv2_tile.role "consumer" warps 4 to 8 by 4 (%i) {
        dsv2_tile.ring_wait %r[%s] : !dsv2_tile.ring<2, !dsv2_tile.shared<64x64xbf16, swizzle = 128>>
        dsv2_tile.ring_release %r[%s] : !dsv2_tile.ring<2, !dsv2_tile.shared<64x64xbf16, swizzle = 128>>
      }
    }
    ```
  }];
  let arguments = (ins I32Attr:$releases);
  let results = (outs Tile_RingType:$result);
  let assemblyFormat = "`releases` $releases attr-dict `:` type($result)";
}

def Tile_RingStartOp : Tile_Op<"ring_start", [Pure]> {
  let summary = "The first stage of the first round";
  let description = [{
    Example:

    ```mlir
    %s = dsv2_tile.ring_start
    ```
  }];
  let results = (outs Tile_RingStateType:$result);
  let assemblyFormat = "attr-dict";
}

def Tile_RingNextOp : Tile_Op<"ring_next", [
    Pure, TypesMatchWith<"the state stays a state", "state", "result", "$_self">]> {
  let summary = "The stage behind this one";
  let description = [{
    Constraints:
    - ring_next_c1: `ring` is a `make_ring`

    Example: see `make_ring`.
  }];
  let arguments = (ins Tile_RingType:$ring, Tile_RingStateType:$state);
  let results = (outs Tile_RingStateType:$result);
  let assemblyFormat = "$ring `,` $state attr-dict `:` type($ring)";
  let hasVerifier = 1;
}

def Tile_RingAcquireOp : Tile_Op<"ring_acquire"> {
  let summary = "Wait until a stage is empty, and expect bytes";
  let description = [{
    The producer's step: waits until all consumers have released what the stage
    held the round before, and says that `bytes` bytes will come (PTX ISA,
    "mbarrier.arrive.expect_tx").

    Constraints:
    - ring_acquire_c1: `bytes` are those of the copies behind it in its block
      that signal the same stage
    - ring_acquire_c2: `ring` is a `make_ring`

    Example: see `make_ring`.
  }];
  let arguments = (ins Tile_RingType:$ring, Tile_RingStateType:$state,
                       I64Attr:$bytes);
  let assemblyFormat = [{
    $ring `[` $state `]` `expect` $bytes attr-dict `:` type($ring)
  }];
  let hasVerifier = 1;
}

def Tile_RingWaitOp : Tile_Op<"ring_wait"> {
  let summary = "Wait until a stage is full";
  let description = [{
    Constraints:
    - ring_wait_c1: `ring` is a `make_ring`
    - ring_wait_c2: it is not in a role of a single thread

    Example: see `make_ring`.
  }];
  let arguments = (ins Tile_RingType:$ring, Tile_RingStateType:$state);
  let assemblyFormat = "$ring `[` $state `]` attr-dict `:` type($ring)";
  let hasVerifier = 1;
}

def Tile_RingReleaseOp : Tile_Op<"ring_release"> {
  let summary = "Give a stage back";
  let description = [{
    Each warp arrives once at the stage's empty barrier, when all its threads
    have come here: what they read of the stage they have read.

    Constraints:
    - ring_release_c1: `ring` is a `make_ring`
    - ring_release_c2: it is not in a role of a single thread
    - ring_release_c3: no product in flight reads the stage: in its block, a
      `wgmma_wait` follows each `wgmma` on the stage, and leaves fewer groups
      pending than were started from that product on

    Example: see `make_ring`.
  }];
  let arguments = (ins Tile_RingType:$ring, Tile_RingStateType:$state);
  let assemblyFormat = "$ring `[` $state `]` attr-dict `:` type($ring)";
  let hasVerifier = 1;
}

def Tile_RingTileOp : Tile_Op<"ring_tile", [Pure]> {
  let summary = "A tile of a stage";
  let description = [{
    Constraints:
    - ring_tile_c1: `ring` is a `make_ring`
    - ring_tile_c2: the result is tile `index` of the ring's

    Example: see `make_ring`.
  }];
  let arguments = (ins Tile_RingType:$ring, Tile_RingStateType:$state,
                       I32Attr:$index);
  let results = (outs Tile_SharedType:$result);
  let assemblyFormat = [{
    $ring `[` $state `]` $index attr-dict `:` type($ring) `->` type($result)
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

def Tile_TmaLoadOp : Tile_Op<"tma_load"> {
  let summary = "Start copying boxes of a tensor to a tile";
  let description = [{
    Copies the tile at `coordinates` (outermost first) of the tensor, panel by
    panel, and signals the bytes to the stage's full barrier (PTX ISA,
    "cp.async.bulk.tensor"). What lies outside of the tensor arrives as zeros.

    Constraints:
    - tma_load_c1: there is a coordinate for each dimension of the map
    - tma_load_c2: map and tile agree in elements and swizzle; the box's innermost
      dimension is a panel's columns, and the product of the others the tile's
      rows
    - tma_load_c3: the tile is whole, no view of some rows, and belongs to the
      stage signalled
    - tma_load_c4: it is in a role of a single thread
    - tma_load_c5: `map` is an argument of the kernel

    Example: see `make_ring`.
  }];
  let arguments = (ins Tile_TensorMapType:$map, Variadic<I32>:$coordinates,
    Tile_SharedType:$tile, Tile_RingType:$ring, Tile_RingStateType:$state);
  let assemblyFormat = [{
    $map `[` $coordinates `]` `to` $tile `signals` $ring `[` $state `]` attr-dict
    `:` type($map) `,` type($tile) `,` type($ring)
  }];
  let hasVerifier = 1;
}

def Tile_CpAsyncOp : Tile_Op<"cp_async"> {
  let summary = "Start copying rows to a tile";
  let description = [{
    All threads of the role copy, in pieces of 16 bytes, rows `row` and on from
    column `column` on of the matrix at `source` whose rows are `stride` elements
    apart. Rows from `valid` on, counted from `row`, and pieces that start at
    `columns` or behind it, counted from `column`, become zeros and are not read
    (PTX ISA, "cp.async"). The copy belongs to the group that the next
    `cp_async_commit` closes.

    Constraints:
    - cp_async_c1: source and tile have the same elements
    - cp_async_c2: the tile has no stages, and its pieces are a multiple of the
      role's threads, or fewer
    - cp_async_c3: it is not in a role of a single thread

    Example:

    ```mlir
    dsv2_tile.cp_async %p[%r, %c] stride %n valid %v to %t : !dsv2_tile.global<bf16>, !dsv2_tile.shared<64x64xbf16, swizzle = 128>
    ```
  }];
  let arguments = (ins Tile_GlobalType:$source, I32:$row, I32:$column,
    I32:$stride, I32:$valid, Optional<I32>:$columns, Tile_SharedType:$tile);
  let assemblyFormat = [{
    $source `[` $row `,` $column `]` `stride` $stride `valid` $valid
    (`,` $columns^)? `to` $tile attr-dict `:` type($source) `,` type($tile)
  }];
  let hasVerifier = 1;
}

def Tile_CpAsyncCommitOp : Tile_Op<"cp_async_commit"> {
  let summary = "Close a group of copies";
  let description = [{
    Example:

    ```mlir
    dsv2_tile.cp_async_commit
    ```
  }];
  let assemblyFormat = "attr-dict";
}

def Tile_CpAsyncWaitOp : Tile_Op<"cp_async_wait"> {
  let summary = "Wait for groups of copies";
  let description = [{
    Waits until at most `pending` of the groups closed last are under way. Each
    thread waits for its own pieces: a `barrier` has to follow before others
    read them.

    Constraints:
    - cp_async_wait_c1: `pending` is not negative
    - cp_async_wait_c2: a `barrier` follows in the same block

    Example:

    ```mlir
    dsv2_tile.kernel @copies()
        attributes {chip = "sm_80", threads = 128 : i32} {
      dsv2_tile.role "all" warps 0 to 4 by 1 (%i) {
        dsv2_tile.cp_async_wait 1
        dsv2_tile.barrier 1 threads 128
      }
    }
    ```
  }];
  let arguments = (ins I32Attr:$pending);
  let assemblyFormat = "$pending attr-dict";
  let hasVerifier = 1;
}

def Tile_LoadScalarOp : Tile_Op<"load_scalar"> {
  let summary = "Read one element";
  let description = [{
    The element number `index`, the same in all threads.

    Constraints:
    - load_scalar_c1: the result has the type of the elements, i32 or f32

    Example:

    ```mlir
    %n = dsv2_tile.load_scalar %p[%i] : !dsv2_tile.global<i32> -> i32
    ```
  }];
  let arguments = (ins Tile_GlobalType:$source, I32:$index);
  let results = (outs AnyTypeOf<[I32, F32]>:$result);
  let assemblyFormat = [{
    $source `[` $index `]` attr-dict `:` type($source) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_SearchSumsOp : Tile_Op<"search_sums", [
    SingleBlock, RecursiveMemoryEffects]> {
  let summary = "Find where a running sum passes a number";
  let description = [{
    The body computes summand i, not negative; its argument is i. `index` is the
    first i below `count` for which the summands 0 to i are more than `target`,
    `before` the sum of those before it. If there is none, they are `count` and
    the sum of all. The lanes of a warp compute summands side by side.

    Constraints:
    - search_sums_c1: the body has an argument of type i32 and yields an i32
    - search_sums_c2: the body is made of ops of `arith` and of `load_scalar`
    - search_sums_c3: it is not in a role of a single thread

    Example:

    ```mlir
    %index, %before = dsv2_tile.search_sums %n past %x {
    ^bb0(%i: i32):
      %s = dsv2_tile.load_scalar %p[%i] : !dsv2_tile.global<i32> -> i32
      dsv2_tile.yield %s : i32
    }
    ```
  }];
  let arguments = (ins I32:$count, I32:$target);
  let results = (outs I32:$index, I32:$before);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$count `past` $target attr-dict-with-keyword $body";
  let hasRegionVerifier = 1;
}

def Tile_FenceAsyncOp : Tile_Op<"fence_async"> {
  let summary = "Show stores to the matrix units and the copy engine";
  let description = [{
    Orders this thread's stores to shared memory before reads by `wgmma` that a
    barrier places later (PTX ISA, "fence.proxy.async").

    Example:

    ```mlir
    dsv2_tile.fence_async
    ```
  }];
  let assemblyFormat = "attr-dict";
}

#endif // DSV2_DIALECT_TILE_IR_TILECOPYOPS_TD
