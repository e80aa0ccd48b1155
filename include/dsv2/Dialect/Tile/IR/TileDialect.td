//===- TileDialect.td - the dsv2_tile dialect -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_TILE_IR_TILEDIALECT_TD
#define DSV2_DIALECT_TILE_IR_TILEDIALECT_TD

include "mlir/IR/OpBase.td"

def Tile_Dialect : Dialect {
  let name = "dsv2_tile";
  let cppNamespace = "::mlir::dsv2::tile";
  let summary = "Programs of one block of threads on tiles";
  let description = [{
    A kernel is what one block of threads (CTA) does, written on tiles: pieces
    of matrices in shared memory, or spread over the registers of a warpgroup
    or a warp. The schedule is explicit: which warps copy and which compute
    (*roles*), through which ring of buffers, and where products in flight are
    waited for. What an op becomes in each thread is the lowering's business;
    that a kernel obeys the rules of the hardware is the verifiers'.

    Values that are no tiles are uniform: every thread of an instance of a role
    has the same, so that loops and branches on them never diverge. They are
    i32, f32 and i1 and are computed by `arith`; control flow is `scf.for`,
    `scf.if` and `scf.while`.

    `--dsv2-convert-tile-to-nvvm` makes code for NVIDIA GPUs of a kernel. See
    docs/TileDialect.md.
  }];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::scf::SCFDialect"];
  let extraClassDeclaration = [{
  private:
    void registerAttributes();
    void registerTypes();
  }];
}

#endif // DSV2_DIALECT_TILE_IR_TILEDIALECT_TD
