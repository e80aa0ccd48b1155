//===- DSV2Interfaces.td - interfaces -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_DSV2INTERFACES_TD
#define DSV2_DIALECT_DSV2_IR_DSV2INTERFACES_TD

include "mlir/IR/OpBase.td"

def DSV2_CostOpInterface : OpInterface<"CostOpInterface"> {
  let cppNamespace = "::mlir::dsv2";
  let description = [{
    What an op costs, as functions of the step: floating-point operations and
    the bytes of weights, activations and cache it must move at least once.
  }];
  let methods = [
    InterfaceMethod<
      "Cost of the op for a step of the given sizes.",
      "::mlir::dsv2::OpCost", "getCost",
      (ins "const ::mlir::dsv2::StepShape &":$step)>
  ];
}

def DSV2_CollectiveOpInterface : OpInterface<"CollectiveOpInterface"> {
  let cppNamespace = "::mlir::dsv2";
  let description = [{
    An exchange between the ranks along one axis of a mesh, which all of them
    enter in the same order.
  }];
  let methods = [
    InterfaceMethod<"Symbol of the mesh.", "::llvm::StringRef", "getMesh">,
    InterfaceMethod<"The axis along which ranks exchange.",
      "::mlir::dsv2::MeshAxis", "getAxis">,
    InterfaceMethod<"The layer number, or null outside of layers.",
      "::mlir::Value", "getLayer">
  ];
}

#endif // DSV2_DIALECT_DSV2_IR_DSV2INTERFACES_TD
