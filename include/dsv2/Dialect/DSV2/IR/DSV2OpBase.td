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

/// A tensor whose elements lie in row-major order: anything but a packed
/// weight.
class DSV2_PlainTensor<list<Type> elements, list<int> ranks>
    : ConfinedType<TensorRankOf<elements, ranks>,
        [CPred<"!::llvm::cast<::mlir::RankedTensorType>($_self).getEncoding()">],
        !interleave(!foreach(rank, ranks, rank # "D"), "/") #
          " tensor without encoding of " #
          !interleave(!foreach(element, elements, element.summary), " or "),
        "::mlir::RankedTensorType">;

/// Activations [T, D] and [T, H, D].
def DSV2_Activation : DSV2_PlainTensor<[F32, BF16], [2]>;
def DSV2_HeadActivation : DSV2_PlainTensor<[F32, BF16], [3]>;
def DSV2_AnyActivation : DSV2_PlainTensor<[F32, BF16], [2, 3]>;
/// A vector of step facts, one i32 a token, sequence or row.
def DSV2_Indices : DSV2_PlainTensor<[I32], [1]>;
/// An i32 table: pages of a sequence, slots of a token.
def DSV2_Table : DSV2_PlainTensor<[I32], [2]>;

/// A checkpoint tensor or what shape changes make of it.
def DSV2_PlainWeight
    : ConfinedType<RankedTensorOf<[F32, BF16, F16]>,
        [CPred<"!::llvm::cast<::mlir::RankedTensorType>($_self).getEncoding()">],
        "ranked tensor without encoding of 32-bit float or bfloat16 type or "
        "16-bit float", "::mlir::RankedTensorType">;
/// Weight operands, packed or not.
def DSV2_Vector : TensorRankOf<[F32, BF16, F16], [1]>;
def DSV2_Matrix : TensorRankOf<[F32, BF16, F16], [2]>;
def DSV2_MatrixStack : TensorRankOf<[F32, BF16, F16], [3]>;

#endif // DSV2_DIALECT_DSV2_IR_DSV2OPBASE_TD
