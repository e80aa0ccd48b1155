// RUN: dsv2-opt %s -split-input-file -verify-diagnostics

// map_c1
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !frag) {
  // expected-error @below {{expected inputs and results to agree in shape and warps, got '!dsv2_tile.frag<64x64xf32>' and '!dsv2_tile.frag<64x32xf32>'}}
  %r = dsv2_tile.map ins(%a : !frag) -> !dsv2_tile.frag<64x32xf32> {
  ^bb0(%x: f32):
      dsv2_tile.yield %x : f32
  }
  return
}

// -----

// map_c2
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !frag) {
  // expected-error @below {{expected results to be all fragments, or inputs and results all rows}}
  %r = dsv2_tile.map ins(%a : !frag) -> !dsv2_tile.rows<64xf32> {
  ^bb0(%x: f32):
      dsv2_tile.yield %x : f32
  }
  return
}

// -----

// map_c3
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !frag) {
  // expected-error @below {{expected a body with 1 or 3 arguments, got 4}}
  %r = dsv2_tile.map ins(%a : !frag) -> !frag {
  ^bb0(%x: f32, %y: f32, %z: f32, %w: f32):
      dsv2_tile.yield %x : f32
  }
  return
}

// -----

// map_c3
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !frag) {
  // expected-error @below {{expected arguments of type f32, then two of type i32}}
  %r = dsv2_tile.map ins(%a : !frag) -> !frag {
  ^bb0(%x: f32, %y: f32, %z: i32):
      dsv2_tile.yield %x : f32
  }
  return
}

// -----

// map_c4
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !frag) {
  // expected-error @below {{expected the body to yield 1 values}}
  %r = dsv2_tile.map ins(%a : !frag) -> !frag {
  ^bb0(%x: f32):
      dsv2_tile.yield %x, %x : f32, f32
  }
  return
}

// -----

// map_c5
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !frag, %p: !dsv2_tile.global<f32>, %i: i32) {
  %r = dsv2_tile.map ins(%a : !frag) -> !frag {
  ^bb0(%x: f32):
      // expected-error @below {{expected ops of arith and math in a map's body}}
      %y = dsv2_tile.load_scalar %p[%i] : !dsv2_tile.global<f32> -> f32
      dsv2_tile.yield %y : f32
  }
  return
}

// -----

// reduce_rows_c1
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !frag) {
  // expected-error @below {{expected the source's rows and warps, got '!dsv2_tile.rows<128xf32>'}}
  %r = dsv2_tile.reduce_rows add %a : !frag -> !dsv2_tile.rows<128xf32>
  return
}

// -----

// pack_c1
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !frag) {
  // expected-error @below {{expected the source's shape and warps, got '!dsv2_tile.operand<64x32xbf16>'}}
  %r = dsv2_tile.pack %a : !frag -> !dsv2_tile.operand<64x32xbf16>
  return
}

// -----

// split_c1
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !frag) {
  // expected-error @below {{expected halves of the source's columns, got '!dsv2_tile.frag<64x64xf32>'}}
  %r, %q = dsv2_tile.split %a : !frag -> !frag
  return
}

// -----

// columns_c1
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !frag) {
  // expected-error @below {{expected columns of '!dsv2_tile.frag<64x64xf32>', got '!dsv2_tile.frag<64x32xf32>' from 48}}
  %r = dsv2_tile.columns %a from 48 : !frag -> !dsv2_tile.frag<64x32xf32>
  return
}

// -----

// columns_c2
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !frag) {
  // expected-error @below {{expected 'from' to be a multiple of 8, got 4}}
  %r = dsv2_tile.columns %a from 4 : !frag -> !dsv2_tile.frag<64x32xf32>
  return
}

// -----

// load_c1
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%p: !dsv2_tile.global<i32>, %i: i32) {
  // expected-error @below {{expected elements of type f32 or bf16, got '!dsv2_tile.global<i32>'}}
  %r = dsv2_tile.load %p[%i, %i] stride %i valid %i, %i : !dsv2_tile.global<i32> -> !frag
  return
}

// -----

// store_c1
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%p: !dsv2_tile.global<i32>, %i: i32, %f: !frag) {
  // expected-error @below {{expected elements of type f32 or bf16, got '!dsv2_tile.global<i32>'}}
  dsv2_tile.store %f to %p[%i, %i] stride %i valid %i, %i : !frag, !dsv2_tile.global<i32>
  return
}

// -----

// store_c2
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%p: !dsv2_tile.global<f32>, %i: i32, %f: !frag) {
  // expected-error @below {{expected no 'first' with 'transposed'}}
  dsv2_tile.store %f to %p[%i, %i] stride %i valid %i, %i first %i transposed : !frag, !dsv2_tile.global<f32>
  return
}

// -----

// unpack_blocks_c1
func.func @f(%d: !dsv2_tile.shared<64x64xi8>, %s: !dsv2_tile.shared<64x16xi8>, %i: i32) {
  // expected-error @below {{expected 64 bytes a row with a swizzle of 64 and 16 bytes a row of scales without, got '!dsv2_tile.shared<64x64xi8>' and '!dsv2_tile.shared<64x16xi8>'}}
  %w = dsv2_tile.unpack_blocks q8 %d, %s[%i] : !dsv2_tile.shared<64x64xi8>, !dsv2_tile.shared<64x16xi8> -> !dsv2_tile.operand<64x64xbf16>
  return
}

// -----

// unpack_blocks_c2
!data = !dsv2_tile.shared<64x64xi8, swizzle = 64>
!scales = !dsv2_tile.shared<64x16xi8>

func.func @f(%d: !data, %s: !scales, %i: i32) {
  // expected-error @below {{expected 64 rows of data and of scales for a result of 128 columns}}
  %w = dsv2_tile.unpack_blocks q4 %d, %s[%i] : !data, !scales -> !dsv2_tile.operand<64x64xbf16>
  return
}

// -----

// unpack_blocks_c2
!data = !dsv2_tile.shared<64x64xi8, swizzle = 64>
!scales = !dsv2_tile.shared<64x16xi8>

func.func @f(%d: !data, %s: !scales, %i: i32) {
  // expected-error @below {{expected 128 rows of data and of scales for a result of 64 columns}}
  %w = dsv2_tile.unpack_blocks q8 %d, %s[%i] part 0 : !data, !scales -> !dsv2_tile.operand<64x64xbf16>
  return
}

// -----

// unpack_blocks_c3
!data = !dsv2_tile.shared<128x64xi8, swizzle = 64>
!scales = !dsv2_tile.shared<128x16xi8>

func.func @f(%d: !data, %s: !scales, %i: i32) {
  // expected-error @below {{expected 'part' to be 0 or 1, got 2}}
  %w = dsv2_tile.unpack_blocks q8 %d, %s[%i] part 2 : !data, !scales -> !dsv2_tile.operand<64x64xbf16>
  return
}

// -----

// load_rows_c1
func.func @f(%p: !dsv2_tile.global<bf16>, %i: i32) {
  // expected-error @below {{expected elements of type f32, got '!dsv2_tile.global<bf16>'}}
  %r = dsv2_tile.load_rows %p[%i] stride %i valid %i : !dsv2_tile.global<bf16> -> !dsv2_tile.rows<64xf32>
  return
}

// -----

// store_rows_c1
func.func @f(%p: !dsv2_tile.global<bf16>, %i: i32, %f: !dsv2_tile.rows<64xf32>) {
  // expected-error @below {{expected elements of type f32, got '!dsv2_tile.global<bf16>'}}
  dsv2_tile.store_rows %f to %p[%i] stride %i valid %i : !dsv2_tile.rows<64xf32>, !dsv2_tile.global<bf16>
  return
}

// -----

// put_c1
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%f: !frag, %t: !dsv2_tile.shared<64x128xbf16, swizzle = 128>) {
  // expected-error @below {{expected a tile of the fragment's shape, got '!dsv2_tile.frag<64x64xf32>' and '!dsv2_tile.shared<64x128xbf16, swizzle = 128>'}}
  dsv2_tile.put %f to %t : !frag, !dsv2_tile.shared<64x128xbf16, swizzle = 128>
  return
}

// -----

// clear_rows_c1
func.func @f(%i: i32, %t: !dsv2_tile.shared<2x64x64xbf16>) {
  // expected-error @below {{expected a tile without stages, got '!dsv2_tile.shared<2x64x64xbf16>'}}
  dsv2_tile.clear_rows %t from %i : !dsv2_tile.shared<2x64x64xbf16>
  return
}

// -----

// clear_rows_c2
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>

dsv2_tile.kernel @k() attributes {chip = "sm_90a", threads = 128 : i32} {
  %t = dsv2_tile.shared : !tile
  dsv2_tile.role "all" warps 0 to 4 by 4 single (%i) {
    // expected-error @below {{expected a role of whole warps, got one of a single thread}}
    dsv2_tile.clear_rows %t from %i : !tile
  }
}

// -----

// put_rows_c1
!rows = !dsv2_tile.rows<64xf32>

func.func @f(%r: !rows, %t: !dsv2_tile.shared<1x32xf32, swizzle = 0>) {
  // expected-error @below {{expected a tile of one row of 64 f32 elements without swizzle, got '!dsv2_tile.shared<1x32xf32}}
  dsv2_tile.put_rows %r to %t : !rows, !dsv2_tile.shared<1x32xf32, swizzle = 0>
  return
}

// -----

// get_rows_c1
func.func @f(%t: !dsv2_tile.shared<2x64xf32, swizzle = 0>) {
  // expected-error @below {{expected a tile of one row of 64 f32 elements without swizzle, got '!dsv2_tile.shared<2x64xf32}}
  %r = dsv2_tile.get_rows %t : !dsv2_tile.shared<2x64xf32, swizzle = 0> -> !dsv2_tile.rows<64xf32>
  return
}
