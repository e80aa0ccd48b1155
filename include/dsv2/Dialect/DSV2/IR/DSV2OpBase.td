//===- DSV2OpBase.td - what all ops share -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_DSV2OPBASE_TD
#define DSV2_DIALECT_DSV2_IR_DSV2OPBASE_TD

include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "dsv2/Dialect/DSV2/IR/DSV2Attrs.td"
include "dsv2/Dialect/DSV2/IR/DSV2Interfaces.td"
include "dsv2/Dialect/DSV2/IR/DSV2Types.td"

class DSV2_Op<string mnemonic, list<Trait> traits = []>
    : Op<DSV2_Dialect, mnemonic, traits>;

/// An op on tensors without side effects whose result type follows from its
/// operands and whose cost is known.
class DSV2_PureOp<string mnemonic, list<Trait> traits = []>
    : DSV2_Op<mnemonic, traits # [Pure,
        DeclareOpInterfaceMethods<DSV2_CostOpInterface>]>;

def DSV2_Float : AnyTypeOf<[F32, BF16]>;
def DSV2_WeightFloat : AnyTypeOf<[F32, BF16, F16]>;

/// Activations [T, D] and [T, H, D].
def DSV2_Activation : TensorRankOf<[F32, BF16], [2]>;
def DSV2_HeadActivation : TensorRankOf<[F32, BF16], [3]>;
/// A vector of step facts, one i32 a token, sequence or row.
def DSV2_Indices : TensorRankOf<[I32], [1]>;
def DSV2_BlockTable : TensorRankOf<[I32], [2]>;
def DSV2_Vector : TensorRankOf<[F32, BF16, F16], [1]>;
def DSV2_Matrix : TensorRankOf<[F32, BF16, F16], [2]>;
def DSV2_MatrixStack : TensorRankOf<[F32, BF16, F16], [3]>;

#endif // DSV2_DIALECT_DSV2_IR_DSV2OPBASE_TD
