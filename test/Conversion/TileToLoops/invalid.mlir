// RUN: dsv2-opt %s -split-input-file -verify-diagnostics --dsv2-convert-tile-to-loops

dsv2_tile.kernel @other_op(%n: i32) attributes {chip = "sm_80", threads = 128 : i32} {
  dsv2_tile.role "all" warps 0 to 4 by 1 (%i) {
    // expected-error @below {{cannot be lowered in a tile kernel: expected ops of dsv2_tile, scf, or arith and math on scalars}}
    %m = memref.alloc() : memref<4xf32>
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
