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

/// Its elements lie in row-major order: anything but a packed weight.
def DSV2_IsPlain
    : CPred<"!::llvm::cast<::mlir::RankedTensorType>($_self).getEncoding()">;
/// Dimensions from `first` on are static and positive. Those before it count
/// tokens, sequences or rows.
class DSV2_HasStaticSizes<int first>
    : CPred<"::mlir::dsv2::hasStaticSizes($_self, " # first # ")">;

/// "2D/3D tensor of 32-bit float or bfloat16 type".
class DSV2_TensorSummary<list<Type> elements, list<int> ranks> {
  string text = !interleave(!foreach(rank, ranks, rank # "D"), "/") #
      " tensor of " #
      !interleave(!foreach(element, elements, element.summary), " or ");
}

/// A tensor without encoding, of any sizes.
class DSV2_PlainTensor<list<Type> elements, list<int> ranks>
    : ConfinedType<TensorRankOf<elements, ranks>, [DSV2_IsPlain],
        DSV2_TensorSummary<elements, ranks>.text # " without encoding",
        "::mlir::RankedTensorType">;
/// The same with one dimension for tokens or rows.
class DSV2_RowsTensor<list<Type> elements, list<int> ranks>
    : ConfinedType<TensorRankOf<elements, ranks>,
        [DSV2_IsPlain, DSV2_HasStaticSizes<1>],
        DSV2_TensorSummary<elements, ranks>.text #
          " without encoding, static and positive behind the first size",
        "::mlir::RankedTensorType">;
/// A weight operand, packed or not.
class DSV2_WeightTensor<list<int> ranks>
    : ConfinedType<TensorRankOf<[F32, BF16, F16], ranks>,
        [DSV2_HasStaticSizes<0>],
        DSV2_TensorSummary<[F32, BF16, F16], ranks>.text #
          " of static and positive sizes",
        "::mlir::RankedTensorType">;

/// Activations [T, D] and [T, H, D].
def DSV2_Activation : DSV2_RowsTensor<[F32, BF16], [2]>;
def DSV2_HeadActivation : DSV2_RowsTensor<[F32, BF16], [3]>;
def DSV2_AnyActivation : DSV2_RowsTensor<[F32, BF16], [2, 3]>;
/// A vector of step facts, one i32 a token, sequence or row.
def DSV2_Indices : DSV2_PlainTensor<[I32], [1]>;
/// Pages of each sequence, both of any number.
def DSV2_BlockTable : DSV2_PlainTensor<[I32], [2]>;
/// What each slot of each token has.
def DSV2_Slots : DSV2_RowsTensor<[I32], [2]>;

/// A checkpoint tensor or what shape changes make of it.
def DSV2_PlainWeight
    : ConfinedType<RankedTensorOf<[F32, BF16, F16]>, [DSV2_IsPlain],
        "ranked tensor of 32-bit float or bfloat16 type or 16-bit float "
        "without encoding", "::mlir::RankedTensorType">;
def DSV2_Vector : DSV2_WeightTensor<[1]>;
def DSV2_Matrix : DSV2_WeightTensor<[2]>;
def DSV2_MatrixStack : DSV2_WeightTensor<[3]>;

#endif // DSV2_DIALECT_DSV2_IR_DSV2OPBASE_TD
