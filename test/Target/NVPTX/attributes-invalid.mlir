// Attributes and names of kernels.

// RUN: split-file %s %t
// RUN: not dsv2-kernel %t/block.mlir --list 2>&1 | FileCheck %s --check-prefix=BLOCK
// RUN: not dsv2-kernel %t/zero.mlir --list 2>&1 | FileCheck %s --check-prefix=BLOCK
// RUN: not dsv2-kernel %t/shared.mlir --list 2>&1 | FileCheck %s --check-prefix=SHARED
// RUN: not dsv2-kernel %t/expect.mlir --list 2>&1 | FileCheck %s --check-prefix=EXPECT
// RUN: not dsv2-kernel %t/name.mlir --ptx 2>&1 | FileCheck %s --check-prefix=NAME

// BLOCK: dsv2-kernel: error: kernel 'k': attribute 'nvvm.maxntid': expected 1 to 3 positive i32 numbers
// SHARED: dsv2-kernel: error: kernel 'k': attribute 'dsv2.shared_bytes': expected an integer of 32 bits, at least 0
// EXPECT: dsv2-kernel: error: kernel 'k': attribute 'dsv2.expect': expected a dictionary of integers
// NAME: dsv2-kernel: error: gpu.module 'm' for sm_90a: 'k.64+16' is no name in PTX: expected letters, digits, _ and $

//--- block.mlir
gpu.module @m {
  llvm.func @k() attributes {nvvm.kernel} {
    llvm.return
  }
}
//--- zero.mlir
gpu.module @m {
  llvm.func @k() attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128, 0>} {
    llvm.return
  }
}
//--- shared.mlir
gpu.module @m {
  llvm.func @k() attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128>, dsv2.shared_bytes = -1 : i64} {
    llvm.return
  }
}
//--- expect.mlir
gpu.module @m {
  llvm.func @k() attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128>, dsv2.expect = {mma = "all"}} {
    llvm.return
  }
}
//--- name.mlir
gpu.module @m {
  llvm.func @"k.64+16"() attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128>} {
    llvm.return
  }
}
