//===- DSV2Enums.td - enumerations -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_DSV2ENUMS_TD
#define DSV2_DIALECT_DSV2_IR_DSV2ENUMS_TD

include "mlir/IR/EnumAttr.td"
include "dsv2/Dialect/DSV2/IR/DSV2Dialect.td"

def DSV2_AttentionForm : I32EnumAttr<"AttentionForm",
    "Way to compute latent attention", [
      I32EnumAttrCase<"Undecided", 0, "undecided">,
      I32EnumAttrCase<"Expanded", 1, "expanded">,
      I32EnumAttrCase<"Absorbed", 2, "absorbed">
    ]> {
  let cppNamespace = "::mlir::dsv2";
  let genSpecializedAttr = 0;
}
def DSV2_AttentionFormAttr
    : EnumAttr<DSV2_Dialect, DSV2_AttentionForm, "form"> {
  let assemblyFormat = "$value";
}

def DSV2_PackOrder : I32EnumAttr<"PackOrder",
    "Order of a packed weight's elements", [
      I32EnumAttrCase<"Dense", 0, "dense">,
      I32EnumAttrCase<"Panels", 1, "panels">,
      I32EnumAttrCase<"GatedPanels", 2, "gated_panels">,
      I32EnumAttrCase<"TransposedPanels", 3, "transposed_panels">,
      I32EnumAttrCase<"GatedRows", 4, "gated_rows">,
      I32EnumAttrCase<"Rows", 5, "rows">,
      I32EnumAttrCase<"TransposedRows", 6, "transposed_rows">
    ]> {
  let cppNamespace = "::mlir::dsv2";
  let genSpecializedAttr = 0;
}

def DSV2_PackFormat : I32EnumAttr<"PackFormat",
    "How a packed weight's elements are stored", [
      I32EnumAttrCase<"Plain", 0, "plain">,
      I32EnumAttrCase<"Q8", 1, "q8">,
      I32EnumAttrCase<"Q4", 2, "q4">,
      I32EnumAttrCase<"FP8", 3, "fp8">
    ]> {
  let cppNamespace = "::mlir::dsv2";
  let genSpecializedAttr = 0;
}

def DSV2_ParameterKind : I32EnumAttr<"ParameterKind",
    "What a kernel's parameter is", [
  I32EnumAttrCase<"Pointer", 0, "pointer">,
  I32EnumAttrCase<"Size", 1, "size">,
  I32EnumAttrCase<"Stride", 2, "stride">,
  I32EnumAttrCase<"Value", 3, "value">,
  I32EnumAttrCase<"TensorMap", 4, "tensor_map">
]> {
  let cppNamespace = "::mlir::dsv2";
  let genSpecializedAttr = 0;
}

def DSV2_DeviceProperty : I32EnumAttr<"DeviceProperty",
    "What a step can ask about the device", [
  I32EnumAttrCase<"Multiprocessors", 0, "multiprocessors">,
  I32EnumAttrCase<"Chip", 1, "chip">
]> {
  let cppNamespace = "::mlir::dsv2";
  let genSpecializedAttr = 0;
}
def DSV2_DevicePropertyAttr
    : EnumAttr<DSV2_Dialect, DSV2_DeviceProperty, "device_property"> {
  let assemblyFormat = "$value";
}

def DSV2_MeshAxis : I32EnumAttr<"MeshAxis", "An axis of a mesh of ranks", [
  I32EnumAttrCase<"TP", 0, "tp">,
  I32EnumAttrCase<"EP", 1, "ep">
]> {
  let cppNamespace = "::mlir::dsv2";
  let genSpecializedAttr = 0;
}
def DSV2_MeshAxisAttr : EnumAttr<DSV2_Dialect, DSV2_MeshAxis, "axis"> {
  let assemblyFormat = "$value";
}

#endif // DSV2_DIALECT_DSV2_IR_DSV2ENUMS_TD
