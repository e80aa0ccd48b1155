//===- DSV2CommOps.td - collectives and expert exchange ----*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every rank runs the same program, so collectives of one communicator are in
// one order on all ranks as long as none stands under control flow that may
// differ between them: the verifiers allow loops with counted trips and nothing
// else around them.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_DSV2COMMOPS_TD
#define DSV2_DIALECT_DSV2_IR_DSV2COMMOPS_TD

include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "dsv2/Dialect/DSV2/IR/DSV2OpBase.td"

def DSV2_MeshOp : DSV2_Op<"mesh", [Symbol]> {
  let summary = "The ranks a model is split over";
  let description = [{
    `tp * ep` ranks; rank `r` has index `r % tp` on the axis `tp` and `r / tp`
    on `ep`. A communicator of an axis holds the ranks that differ in their
    index on it alone. `tp` splits heads, vocabulary and the width of
    feed-forward networks; `ep` splits sequences and routed experts.

    Constraints:
    - mesh_c1: `tp` and `ep` are positive, their product is at most 65536

    Example:

    ```mlir
    dsv2.mesh @mesh tp 2 ep 4
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, I64Attr:$tp, I64Attr:$ep);
  let assemblyFormat = "$sym_name `tp` $tp `ep` $ep attr-dict";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Number of ranks along `axis`.
    int64_t getSize(::mlir::dsv2::MeshAxis axis) {
      return axis == ::mlir::dsv2::MeshAxis::TP ? getTp() : getEp();
    }
  }];
}

def DSV2_MeshIndexOp : DSV2_Op<"mesh_index", [Pure,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "This rank's index on an axis of the mesh";
  let description = [{
    Constraints:
    - mesh_index_c1: `mesh` names a `dsv2.mesh`

    Example:

    ```mlir
    %i = dsv2.mesh_index @mesh tp
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$mesh, DSV2_MeshAxisAttr:$axis);
  let results = (outs Index:$result);
  let assemblyFormat = "$mesh $axis attr-dict";
}

def DSV2_ArrivalsOp : DSV2_Op<"arrivals", [Pure,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "How many tokens may arrive at a rank";
  let description = [{
    The tokens of this step on all ranks of the axis `ep` together: no rank
    can receive more, as a token is sent once to a rank.

    Constraints:
    - arrivals_c1: `mesh` names a `dsv2.mesh`

    Example:

    ```mlir
    %n = dsv2.arrivals @mesh
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$mesh);
  let results = (outs Index:$result);
  let assemblyFormat = "$mesh attr-dict";
}

/// A collective on one axis of a mesh. It is an effect of its own, so that
/// collectives keep their order and stay even when nobody reads the result.
class DSV2_CollectiveOp<string mnemonic, list<Trait> traits = []>
    : DSV2_Op<mnemonic, traits # [DestinationStyleOpInterface,
        DeclareOpInterfaceMethods<DSV2_CollectiveOpInterface>,
        DeclareOpInterfaceMethods<DSV2_CostOpInterface>,
        DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
        DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() {
      return getOutputMutable();
    }
  }];
  let hasVerifier = 1;
}

/// A tensor before bufferisation and memory after it.
def DSV2_Shaped : AnyTypeOf<[AnyRankedTensor, AnyMemRef]>;

def DSV2_AllReduceOp : DSV2_CollectiveOp<"all_reduce"> {
  let summary = "Sum over the ranks of an axis";
  let description = [{
    Replaces the destination by the sum of the destinations of all ranks of the
    axis, in f32 and in the order of the ranks: every rank gets the same bits.

    Constraints:
    - all_reduce_c1: `mesh` names a `dsv2.mesh`
    - all_reduce_c2: the destination has f32 elements
    - all_reduce_c3: a tensor destination has one result of its type, memory
      has none
    - all_reduce_c4: nothing but `scf.for` stands between it and its function

    Example:

    ```mlir
    %y = dsv2.all_reduce outs(%x : tensor<?x64xf32>) on @mesh tp layer %l
           -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins DSV2_Shaped:$output, FlatSymbolRefAttr:$mesh,
    DSV2_MeshAxisAttr:$axis, Optional<Index>:$layer);
  let results = (outs Optional<AnyRankedTensor>:$result);
  let assemblyFormat = [{
    `outs` `(` $output `:` type($output) `)` `on` $mesh $axis
    (`layer` $layer^)? attr-dict (`->` type($result)^)?
  }];
}

def DSV2_AllGatherOp : DSV2_CollectiveOp<"all_gather"> {
  let summary = "Columns of all ranks of an axis beside each other";
  let description = [{
    `output[r, i * N + n] = input of rank i [r, n]` for ranks with `N` columns
    each.

    Constraints:
    - all_gather_c1: `mesh` names a `dsv2.mesh`
    - all_gather_c2: `input` [R, N] and the destination [R, N * ranks] have the
      same element type
    - all_gather_c3: a tensor destination has one result of its type, memory
      has none
    - all_gather_c4: nothing but `scf.for` stands between it and its function

    Example:

    ```mlir
    %y = dsv2.all_gather ins(%x : tensor<?x32xf32>)
           outs(%e : tensor<?x64xf32>) on @mesh tp -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins DSV2_Shaped:$input, DSV2_Shaped:$output,
    FlatSymbolRefAttr:$mesh, DSV2_MeshAxisAttr:$axis, Optional<Index>:$layer);
  let results = (outs Optional<AnyRankedTensor>:$result);
  let assemblyFormat = [{
    `ins` `(` $input `:` type($input) `)` `outs` `(` $output `:`
    type($output) `)` `on` $mesh $axis (`layer` $layer^)? attr-dict
    (`->` type($result)^)?
  }];
}

def DSV2_AllToAllOp : DSV2_CollectiveOp<"all_to_all"> {
  let summary = "Exchange of equal parts";
  let description = [{
    Part `i` of `input` goes to rank `i` of the axis, which puts it at the place
    of the sender. Parts are equal numbers of adjacent rows.

    Constraints:
    - all_to_all_c1: `mesh` names a `dsv2.mesh`
    - all_to_all_c2: `input` and the destination have the same type, but for
      strides in memory, and a static number of rows that the number of ranks
      divides
    - all_to_all_c3: a tensor destination has one result of its type, memory
      has none
    - all_to_all_c4: nothing but `scf.for` stands between it and its function

    Example:

    ```mlir
    %y = dsv2.all_to_all ins(%x : tensor<4xi32>) outs(%e : tensor<4xi32>)
           on @mesh ep -> tensor<4xi32>
    ```
  }];
  let arguments = (ins DSV2_Shaped:$input, DSV2_Shaped:$output,
    FlatSymbolRefAttr:$mesh, DSV2_MeshAxisAttr:$axis, Optional<Index>:$layer);
  let results = (outs Optional<AnyRankedTensor>:$result);
  let assemblyFormat = [{
    `ins` `(` $input `:` type($input) `)` `outs` `(` $output `:`
    type($output) `)` `on` $mesh $axis (`layer` $layer^)? attr-dict
    (`->` type($result)^)?
  }];
}

def DSV2_AllToAllVOp : DSV2_CollectiveOp<"all_to_all_v"> {
  let summary = "Exchange of rows, as many as the counts say";
  let description = [{
    The first `send_counts[0]` rows of `input` go to rank 0 of the axis, the
    next `send_counts[1]` to rank 1, and so on; the destination gets
    `receive_counts[0]` rows of rank 0 first. What one rank sends to another has
    to be what that one receives; 0 is allowed. `count` is the number of rows
    received, which is at most the number of rows of the destination: more, or
    counts that disagree, end the job. Rows behind are left as they are.

    With `async` the exchange is only started: the destination, and the input
    too, belong to it until the `dsv2.comm_wait` that finishes it.

    Constraints:
    - all_to_all_v_c1: `mesh` names a `dsv2.mesh`
    - all_to_all_v_c2: `input` [N, D] and the destination [M, D] have the same
      element type
    - all_to_all_v_c3: the counts are i32, one for each rank of the axis
    - all_to_all_v_c4: a tensor destination has one result of its type, memory
      has none
    - all_to_all_v_c5: nothing but `scf.for` stands between it and its function
    - all_to_all_v_c6: on tensors, the result of one with `async` is read by one
      `dsv2.comm_wait` and nothing else

    Example:

    ```mlir
    %y, %n = dsv2.all_to_all_v ins(%x : tensor<?x64xf32>)
               send(%s : tensor<4xi32>) receive(%r : tensor<4xi32>)
               outs(%e : tensor<?x64xf32>) on @mesh ep
               -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins DSV2_Shaped:$input, DSV2_Shaped:$send_counts,
    DSV2_Shaped:$receive_counts, DSV2_Shaped:$output,
    FlatSymbolRefAttr:$mesh, DSV2_MeshAxisAttr:$axis, Optional<Index>:$layer,
    UnitAttr:$async);
  let results = (outs Optional<AnyRankedTensor>:$result, Index:$count);
  let assemblyFormat = [{
    `ins` `(` $input `:` type($input) `)`
    `send` `(` $send_counts `:` type($send_counts) `)`
    `receive` `(` $receive_counts `:` type($receive_counts) `)`
    `outs` `(` $output `:` type($output) `)` `on` $mesh $axis
    (`layer` $layer^)? (`async` $async^)? attr-dict (`->` type($result)^)?
  }];
}

def DSV2_CommWaitOp : DSV2_CollectiveOp<"comm_wait"> {
  let summary = "Finish an exchange that was started";
  let description = [{
    The destination, and result, is what the last `async` exchange on this axis
    received; `input` is what it sent, which stays untouched until here.

    Constraints:
    - comm_wait_c1: `mesh` names a `dsv2.mesh`
    - comm_wait_c2: a tensor destination has one result of its type, memory
      has none
    - comm_wait_c3: nothing but `scf.for` stands between it and its function
    - comm_wait_c4: an `async` exchange on the same axis stands before it in its
      block, and no other collective on that axis between the two

    Example:

    ```mlir
    %y, %n = dsv2.all_to_all_v ins(%x : tensor<?x64xf32>)
               send(%s : tensor<4xi32>) receive(%r : tensor<4xi32>)
               outs(%e : tensor<?x64xf32>) on @mesh ep async
               -> tensor<?x64xf32>
    %z = dsv2.comm_wait ins(%x : tensor<?x64xf32>)
           outs(%y : tensor<?x64xf32>) on @mesh ep -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins DSV2_Shaped:$input, DSV2_Shaped:$output,
    FlatSymbolRefAttr:$mesh, DSV2_MeshAxisAttr:$axis, Optional<Index>:$layer);
  let results = (outs Optional<AnyRankedTensor>:$result);
  let assemblyFormat = [{
    `ins` `(` $input `:` type($input) `)` `outs` `(` $output `:`
    type($output) `)` `on` $mesh $axis (`layer` $layer^)? attr-dict
    (`->` type($result)^)?
  }];
}

//===----------------------------------------------------------------------===//
// Tokens on their way to experts and back
//===----------------------------------------------------------------------===//

def DSV2_ExchangePackOp : DSV2_PureOp<"exchange_pack"> {
  let summary = "Order tokens by the ranks of their experts";
  let description = [{
    Expert `e` lives on rank `e / experts` as that rank's expert `e % experts`.
    Each token gets one row for each rank that has any of its experts, ordered
    by rank, then token. A row holds the token's input, the rank's own numbers
    of its experts slot by slot (-1 for slots of other ranks; the bits of an
    i32), and the weights of all slots. `counts[r]` is the number of rows for
    rank `r`, `places[t, r]` the row of token `t` for it, or -1. Rows behind
    the last are undefined.

    With `capacity` every rank has that many rows, whether used or not, rank r
    from row `r * capacity` on: parts of equal size, which need no counts to be
    exchanged. Rows that are not used have no experts (-1 in all slots). `counts`
    still says how many rows were wanted; what is beyond the capacity has no
    place, which `dsv2.check_capacity` finds.

    Constraints:
    - exchange_pack_c1: `input` [T, D] f32, `ids` [T, k] (i32), `weights`
      [T, k] (f32)
    - exchange_pack_c2: `rows` [N, D + 2 k], `counts` [ranks] (i32), `places`
      [T, ranks] (i32)
    - exchange_pack_c3: `experts` and `ranks` are positive
    - exchange_pack_c4: `capacity` is positive, and `rows` then has `ranks *
      capacity` rows

    Example:

    ```mlir
    %rows, %counts, %places = dsv2.exchange_pack %x, %ids, %w experts 2 ranks 4
      : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32>
        -> tensor<?x68xf32>, tensor<4xi32>, tensor<?x4xi32>
    ```
  }];
  let arguments = (ins DSV2_RowsTensor<[F32], [2]>:$input, DSV2_Slots:$ids,
    DSV2_RowsTensor<[F32], [2]>:$weights, I64Attr:$experts, I64Attr:$ranks,
    OptionalAttr<I64Attr>:$capacity);
  let results = (outs DSV2_RowsTensor<[F32], [2]>:$rows, DSV2_Indices:$counts,
                      DSV2_Slots:$places);
  let assemblyFormat = [{
    $input `,` $ids `,` $weights `experts` $experts `ranks` $ranks
    (`capacity` $capacity^)? attr-dict
    `:` type($input) `,` type($ids) `,` type($weights) `->` type($rows) `,`
    type($counts) `,` type($places)
  }];
  let hasVerifier = 1;
}

def DSV2_CheckCapacityOp : DSV2_Op<"check_capacity", [
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Notice that an exchange of fixed size was too small";
  let description = [{
    If any of `counts` is above `capacity`, tells the runtime, which runs the
    step again through an entry of exact exchanges as soon as all ranks have
    ended it. The step's results do not count then.

    Constraints:
    - check_capacity_c1: `counts` are i32, of static number
    - check_capacity_c2: `capacity` is positive

    Example:

    ```mlir
    dsv2.check_capacity %counts capacity 8 layer %l : tensor<4xi32>
    ```
  }];
  let arguments = (ins DSV2_Shaped:$counts, I64Attr:$capacity,
                       Optional<Index>:$layer);
  let assemblyFormat = [{
    $counts `capacity` $capacity (`layer` $layer^)? attr-dict `:` type($counts)
  }];
  let hasVerifier = 1;
}

def DSV2_ExchangeUnpackOp : DSV2_PureOp<"exchange_unpack"> {
  let summary = "Take received rows apart";
  let description = [{
    The three parts of rows that `dsv2.exchange_pack` made.

    Constraints:
    - exchange_unpack_c1: `rows` [N, D + 2 k], `result` [N, D], `ids` [N, k]
      (i32), `weights` [N, k] (f32)

    Example:

    ```mlir
    %x, %ids, %w = dsv2.exchange_unpack %rows
      : tensor<?x68xf32>
        -> tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32>
    ```
  }];
  let arguments = (ins DSV2_RowsTensor<[F32], [2]>:$rows);
  let results = (outs DSV2_RowsTensor<[F32], [2]>:$result, DSV2_Slots:$ids,
                      DSV2_RowsTensor<[F32], [2]>:$weights);
  let assemblyFormat = [{
    $rows attr-dict `:` type($rows) `->` type($result) `,` type($ids) `,`
    type($weights)
  }];
  let hasVerifier = 1;
}

def DSV2_ExchangeCombineOp : DSV2_PureOp<"exchange_combine"> {
  let summary = "Sum of what the ranks return for each token";
  let description = [{
    `result[t] = sum_r input[places[t, r]]` over the ranks with a place, in f32
    and in the order of the ranks.

    Constraints:
    - exchange_combine_c1: `input` [N, D], `places` [T, ranks] (i32), result
      [T, D]

    Example:

    ```mlir
    %y = dsv2.exchange_combine %rows, %places
           : tensor<?x64xf32>, tensor<?x4xi32> -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins DSV2_RowsTensor<[F32], [2]>:$input, DSV2_Slots:$places);
  let results = (outs DSV2_RowsTensor<[F32], [2]>:$result);
  let assemblyFormat = [{
    $input `,` $places attr-dict `:` type($input) `,` type($places) `->`
    type($result)
  }];
  let hasVerifier = 1;
}

#endif // DSV2_DIALECT_DSV2_IR_DSV2COMMOPS_TD
