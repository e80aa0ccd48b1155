// RUN: dsv2-opt %s -split-input-file -verify-diagnostics --dsv2-convert-tile-to-nvvm

dsv2_tile.kernel @other_op(%n: i32) attributes {chip = "sm_80", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 1 (%i) {
    // expected-error @below {{cannot be lowered in a tile kernel: expected ops of dsv2_tile, scf, or arith and math on scalars}}
    %m = memref.alloc() : memref<4xf32>
  }
}

// -----

dsv2_tile.kernel @vector(%n: i32) attributes {chip = "sm_80", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 1 (%i) {
    // expected-error @below {{cannot be lowered in a tile kernel}}
    %v = arith.constant dense<0.0> : vector<4xf32>
  }
}

// -----

dsv2_tile.kernel @while(%n: i32) attributes {chip = "sm_80", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 1 (%i) {
    // expected-error @below {{expected loops that pass on what they take}}
    %r = scf.while (%x = %n) : (i32) -> f32 {
      %z = arith.constant 0.0 : f32
      %c = arith.constant true
      scf.condition(%c) %z : f32
    } do {
    ^bb0(%y: f32):
      scf.yield %n : i32
    }
  }
}

// -----

gpu.module @dsv2_kernels [#nvvm.target<chip = "sm_90a">] {
}

// expected-error @below {{expected a GPU module for sm_80, got one for [#nvvm.target<chip = "sm_90a">]}}
dsv2_tile.kernel @other_chip() attributes {chip = "sm_80", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 1 (%i) {
  }
}

// -----

gpu.module @dsv2_kernels {
  llvm.func @taken() {
    llvm.return
  }
}

// expected-error @below {{expected a name that no other kernel has}}
dsv2_tile.kernel @taken() attributes {chip = "sm_80", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 1 (%i) {
  }
}
