//===- DSV2DeviceOps.td - launches on a device -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_DSV2DEVICEOPS_TD
#define DSV2_DIALECT_DSV2_IR_DSV2DEVICEOPS_TD

include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "dsv2/Dialect/DSV2/IR/DSV2OpBase.td"

def DSV2_DeviceLaunchOp : DSV2_Op<"device_launch", [
    AttrSizedOperandSegments, DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Run a kernel on the device";
  let description = [{
    Puts `kernel` into the device's queue with the given grid. The kernel is an
    `llvm.func` of a `gpu.module`, or a `dsv2_tile.kernel` that will become one;
    its attribute `dsv2.parameters` says how each
    of its parameters comes from the operands, which are numbered inputs first
    (`#dsv2.parameter`). Inputs and outputs are tensors before bufferisation and
    memory references, to memory of the device, after it.

    A kernel writes the part of an output that is its own and leaves the rest:
    an output can be handed from one launch to the next, each filling some of
    its columns. A launch without outputs is run for what it does to its inputs.

    `site` and `layer` say for messages which op of the model it is of; they are
    those of `dsv2.tap`.

    Constraints:
    - device_launch_c1: `kernel` names a kernel with one `dsv2.parameters` entry
      for each argument
    - device_launch_c2: a parameter names an operand that exists and, for
      pointer, size, stride and tensor_map, is shaped; for value, is an index
    - device_launch_c3: sizes and strides name a dimension that exists; a tensor
      map has a box of the operand's rank
    - device_launch_c4: tensor outputs have one result each, of the same type;
      memory references have none
    - device_launch_c5: the grid has one to three extents
    - device_launch_c6: there is no layer without a site

    Example:

    ```mlir
    %y = dsv2.device_launch @dsv2_kernels::@add grid(%n)
           ins(%a, %b : tensor<?x64xf32>, tensor<?x64xf32>)
           outs(%e : tensor<?x64xf32>) site "mlp.shared_experts" -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins SymbolRefAttr:$kernel, Variadic<Index>:$grid,
    Variadic<AnyType>:$inputs,
    Variadic<AnyTypeOf<[AnyRankedTensor, AnyMemRef]>>:$outputs,
    OptionalAttr<StrAttr>:$site, Optional<Index>:$layer);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    $kernel `grid` `(` $grid `)`
    (`ins` `(` $inputs^ `:` type($inputs) `)`)?
    (`outs` `(` $outputs^ `:` type($outputs) `)`)?
    (`site` $site^)? (`layer` $layer^)? attr-dict
    (`->` type($results)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() {
      return getOutputsMutable();
    }
    /// Operand `index` as parameters number them.
    ::mlir::Value getNumbered(int64_t index) {
      int64_t inputs = getInputs().size();
      return index < inputs ? getInputs()[index] : getOutputs()[index - inputs];
    }
  }];
}

def DSV2_DeviceInfoOp : DSV2_Op<"device_info", [Pure]> {
  let summary = "A fact about the device that the step runs on";
  let description = [{
    - `multiprocessors`: how many the device has; one or more
    - `chip`: number of the chip that the loaded kernels were made for, 90 for
      `sm_90a`. Kernels with the attribute `dsv2.chip` can be launched on no
      other.

    Example:

    ```mlir
    %sms = dsv2.device_info multiprocessors
    ```
  }];
  let arguments = (ins DSV2_DevicePropertyAttr:$property);
  let results = (outs Index:$result);
  let assemblyFormat = "$property attr-dict";
}

def DSV2_KeyRowsOp : DSV2_Op<"key_rows", [Pure]> {
  let summary = "Rows of keys that a step's expanded attention has";
  let description = [{
    As many as the step has tokens if these are all that their sequences have;
    otherwise more: one for each position of each sequence, those of earlier
    steps included.

    Example:

    ```mlir
    %n = dsv2.key_rows
    ```
  }];
  let results = (outs Index:$result);
  let assemblyFormat = "attr-dict";
}

#endif // DSV2_DIALECT_DSV2_IR_DSV2DEVICEOPS_TD
