//===- DSV2Attrs.td - attributes -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_DSV2ATTRS_TD
#define DSV2_DIALECT_DSV2_IR_DSV2ATTRS_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/TensorEncoding.td"
include "dsv2/Dialect/DSV2/IR/DSV2Enums.td"

class DSV2_Attr<string name, string attrMnemonic, list<Trait> traits = []>
    : AttrDef<DSV2_Dialect, name, traits> {
  let mnemonic = attrMnemonic;
}

/// A double that attribute storage can compare and hash.
def DSV2_Double : AttrParameter<"::mlir::dsv2::ExactDouble", "", "double">;

def DSV2_YarnAttr : DSV2_Attr<"Yarn", "yarn"> {
  let summary = "YaRN context extension";
  let description = [{
    The parameters of YaRN as the family's configurations give them: rotary
    frequencies below a correction range are kept, those above are divided by
    `factor`, and those between are blended. `mscale` and `mscale_all_dim`
    scale cos/sin and the softmax (paper section 3.1.4).

    Constraints:
    - yarn_c1: `factor` is finite and at least 1
    - yarn_c2: `original_max` is positive
    - yarn_c3: `beta_fast` >= `beta_slow` > 0, both finite
    - yarn_c4: `mscale` and `mscale_all_dim` are finite and not negative

    Example:

    ```mlir
    #dsv2.yarn<factor = 4.0e+01, original_max = 4096, beta_fast = 3.2e+01,
               beta_slow = 1.0, mscale = 0.707, mscale_all_dim = 0.707>
    ```
  }];
  let parameters = (ins
    DSV2_Double:$factor, "int64_t":$original_max, DSV2_Double:$beta_fast,
    DSV2_Double:$beta_slow, DSV2_Double:$mscale, DSV2_Double:$mscale_all_dim);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def DSV2_RopeAttr : DSV2_Attr<"Rope", "rope"> {
  let summary = "Rotary embedding: frequencies and scales";
  let description = [{
    Rotary embedding of `dim` elements in adjacent pairs (2i, 2i+1), base
    `theta`, optionally extended by YaRN. The attribute computes everything
    that depends on these numbers: inverse frequencies, the cos/sin multiplier
    and the softmax scale.

    Constraints:
    - rope_attr_c1: `dim` is positive and even
    - rope_attr_c2: `theta` is finite and above 1

    Examples:

    ```mlir
    #dsv2.rope<dim = 64, theta = 1.0e+04>
    #dsv2.rope<dim = 64, theta = 1.0e+04,
               yarn = #dsv2.yarn<factor = 4.0e+01, original_max = 4096,
                                 beta_fast = 3.2e+01, beta_slow = 1.0,
                                 mscale = 0.707, mscale_all_dim = 0.707>>
    ```
  }];
  let parameters = (ins "int64_t":$dim, DSV2_Double:$theta,
                        OptionalParameter<"::mlir::dsv2::YarnAttr">:$yarn);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// The `dim / 2` inverse frequencies in f32, rounded as the reference
    /// implementations round them.
    ::llvm::SmallVector<float> getInverseFrequencies() const;
    /// Factor on cos and sin; exactly 1 when both mscale values agree.
    double getCosSinMultiplier() const;
    /// `qkHeadDim ** -0.5`, times the YaRN magnitude squared when
    /// `mscale_all_dim` is non-zero.
    double getSoftmaxScale(int64_t qkHeadDim) const;
  }];
}

def DSV2_PackedAttr : DSV2_Attr<"Packed", "packed", [
    DeclareAttrInterfaceMethods<VerifiableTensorEncoding>]> {
  let summary = "Encoding of a packed weight";
  let description = [{
    Tensor encoding of a weight whose elements were reordered for a kernel. The
    tensor type keeps the logical shape; the encoding says where an element
    lies. For the trailing matrix `[N, K]` and panel width `w`:

    - `dense`: row-major, only the element type may differ from the checkpoint;
    - `panels`: element (n, k) at `[n / w][k][n % w]`, zero padded to whole
      panels;
    - `gated_panels`: the trailing dimensions are `[2, N, K]` (gate, up) and
      element (g, n, k) lies at `[n / w][g][k][n % w]`;
    - `transposed_panels`: as `panels` of the transposed matrix, element (n, k)
      at `[k / w][n][k % w]`;
    - `gated_rows`: `[2, N, K]` as `gated_panels`, element (g, n, k) at
      `[n / w][g][n % w][k]`: rows as they are, `w` of gate and `w` of up in
      turn, zero padded to whole groups of rows;
    - `rows`: rows of blocks, each row one run of bytes that GPUs read; without
      blocks, panels of one column are rows;
    - `transposed_rows`: as `rows` of the transposed matrix.

    Leading dimensions (heads, experts) are outermost.

    With the format `q8` the elements are what blocks of 32 along K (along N if
    transposed) can hold: multiples, from -127 to 127, of a scale that is max|x| / 127 of the block
    rounded to bfloat16. With `q4` they are multiples from -8 to 7 of a scale of
    8 bits that is chosen for the least squared error. With `fp8`, which GPUs
    read, they are floats of 8 bits (e4m3) times a power of two. BlockFormat.h
    describes the bytes of each block of 32 k in panels, and of each row in
    `rows` and `gated_rows`; a `dense` weight keeps the rounded values as they are, for the
    reference.

    Constraints:
    - packed_c1: the panel width is positive
    - packed_c2: `dense`, which has no panels, has width 1
    - packed_c3: the tensor has rank 2 or more for panels, 3 or more for
      `gated_panels` and `gated_rows`
    - packed_c4: the tensor has a static shape
    - packed_c5: for `gated_panels` and `gated_rows` the third-last dimension is 2
    - packed_c6: the elements are f32 or bf16
    - packed_c7: the number of elements, padding included, fits 63 bits
    - packed_c8: with `q8`, `q4` or `fp8` it has f32 elements and rank 2 or more
    - packed_c9: `rows` and `transposed_rows` have width 1 and a format in
      blocks
    - packed_c10: with `fp8` it has no panels: it is `dense` or of rows

    Examples:

    ```mlir
    tensor<3072x2048xf32, #dsv2.packed<panels, 32, q8>>
    ```

    ```mlir
    tensor<3072x2048xf32, #dsv2.packed<rows, 1, q4>>
    ```
  }];
  let parameters = (ins EnumParameter<DSV2_PackOrder>:$order,
                        "int64_t":$width,
    DefaultValuedParameter<"::mlir::dsv2::PackFormat",
                           "::mlir::dsv2::PackFormat::Plain">:$format);
  let assemblyFormat = "`<` $order `,` $width (`,` $format^)? `>`";
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Shape of the memory that holds a tensor of logical `shape` in this
    /// encoding: leading dimensions, then the panel dimensions.
    ::llvm::SmallVector<int64_t>
    getStorageShape(::llvm::ArrayRef<int64_t> shape) const;

    /// Element type of that memory, for tensors of type `element`.
    ::mlir::Type getStorageElementType(::mlir::Type element) const;

    /// The blocks that the memory holds, or null.
    const BlockFormat *getBlocks() const;
  }];
}

def DSV2_ParameterAttr : DSV2_Attr<"Parameter", "parameter"> {
  let summary = "Where a parameter of a device kernel comes from";
  let description = [{
    - `pointer of N`: address of operand N's first element, in global memory
    - `size of N at D`: extent of dimension D, i32
    - `stride of N at D`: elements from one index of dimension D to the next, i32
    - `value of N`: operand N itself, an index, as i32
    - `tensor_map of N box [...] swizzle S`: a tensor map of the operand whose
      copies are `box` elements large (innermost dimension last, as in the
      operand's shape) and swizzled over S bytes (0, 32, 64 or 128)

    Constraints:
    - parameter_c1: the operand and the dimension are not negative
    - parameter_c2: a tensor map has a box of 1 to 5 extents from 1 to 256 and a
      swizzle of 0, 32, 64 or 128; others have neither
    - parameter_c3: only sizes and strides have a dimension

    Example: `#dsv2.parameter<tensor_map of 1 box [64, 64] swizzle 128>`
  }];
  let parameters = (ins EnumParameter<DSV2_ParameterKind>:$kind,
    "int64_t":$operand, DefaultValuedParameter<"int64_t", "0">:$dim,
    OptionalArrayRefParameter<"int64_t">:$box,
    DefaultValuedParameter<"int64_t", "0">:$swizzle);
  let assemblyFormat = [{
    `<` $kind `of` $operand (`at` $dim^)? (`box` `[` $box^ `]`)?
    (`swizzle` $swizzle^)? `>`
  }];
  let genVerifyDecl = 1;
}

def DSV2_ShardAttr : DSV2_Attr<"Shard", "shard"> {
  let summary = "Which part of a tensor a rank holds";
  let description = [{
    Dimension `dim`, of extent `extent` in all, is cut into `parts` parts of
    `ceil(extent / parts)`, the last of which may be shorter or empty; a rank
    holds the one of its index on `axis`. A tensor that is a part has the
    extent of a whole part on every rank.

    Constraints:
    - shard_c1: `dim` is not negative
    - shard_c2: `extent` and `parts` are positive

    Example: `#dsv2.shard<0 of 64 on tp in 2>`
  }];
  let parameters = (ins "int64_t":$dim, "int64_t":$extent,
    EnumParameter<DSV2_MeshAxis>:$axis, "int64_t":$parts);
  let assemblyFormat = "`<` $dim `of` $extent `on` $axis `in` $parts `>`";
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Extent of a part.
    int64_t getPart() const {
      return (getExtent() + getParts() - 1) / getParts();
    }
  }];
}

#endif // DSV2_DIALECT_DSV2_IR_DSV2ATTRS_TD
