// RUN: dsv2-opt %s --dsv2-plan-workspace -split-input-file -verify-diagnostics

func.func @loop(%tokens: memref<?xi32> {dsv2.size = "tokens"}, %workspace: memref<?xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %t = memref.dim %tokens, %c0 : memref<?xi32>
  scf.for %i = %c0 to %t step %c1 {
    // expected-error @below {{in a loop cannot be placed in the workspace}}
    %a = memref.alloc(%t) : memref<?x32xf32>
  }
  return
}

// -----

func.func @size(%n: index, %workspace: memref<?xi8>) {
  // expected-error @below {{expected a size that is linear in the step's tokens, sequences, rows, arrivals or rows of keys}}
  %a = memref.alloc(%n) : memref<?x32xf32>
  return
}

// -----

func.func @none() {
  // expected-error @below {{in a function without a workspace argument}}
  %a = memref.alloc() : memref<32xf32>
  return
}

// -----

func.func @negative(%tokens: memref<?xi32> {dsv2.size = "tokens"}, %workspace: memref<?xi8>) {
  %c0 = arith.constant 0 : index
  %less = arith.constant -64 : index
  %t = memref.dim %tokens, %c0 : memref<?xi32>
  %n = arith.addi %t, %less : index
  // expected-error @below {{expected a size that is linear in the step's tokens}}
  %a = memref.alloc(%n) : memref<?x32xf32>
  return
}

// -----

func.func @huge(%tokens: memref<?xi32> {dsv2.size = "tokens"}, %workspace: memref<?xi8>) {
  %c0 = arith.constant 0 : index
  %many = arith.constant 2147483647 : index
  %t = memref.dim %tokens, %c0 : memref<?xi32>
  %a = arith.muli %t, %many : index
  %b = arith.muli %a, %many : index
  // expected-error @below {{expected a size that is linear in the step's tokens}}
  %c = memref.alloc(%b) : memref<?xi8>
  return
}
