// RUN: dsv2-opt %s -split-input-file -verify-diagnostics

// wgmma_fence_c1
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%f: !frag) {
  // expected-error @below {{expected '!dsv2_tile.frag<64x64xf32>' to stay in its registers, got '!dsv2_tile.async<64x32xf32>'}}
  %a = dsv2_tile.wgmma_fence %f : !frag -> !dsv2_tile.async<64x32xf32>
  return
}

// -----

// wgmma_c1
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!acc = !dsv2_tile.async<64x64xf32>

func.func @f(%a: !dsv2_tile.shared<64x32xf32, swizzle = 128>, %b: !tile) {
  // expected-error @below {{expected operands of bf16}}
  %p = dsv2_tile.wgmma %a, %b : !dsv2_tile.shared<64x32xf32, swizzle = 128>, !tile -> !acc
  return
}

// -----

// wgmma_c1
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!acc = !dsv2_tile.async<64x64xf32>

func.func @f(%a: !tile, %b: !dsv2_tile.shared<64x128xbf16, swizzle = 128>) {
  // expected-error @below {{expected operands that agree in k, a multiple of 16, got 64 and 128}}
  %p = dsv2_tile.wgmma %a, %b : !tile, !dsv2_tile.shared<64x128xbf16, swizzle = 128> -> !acc
  return
}

// -----

// wgmma_c2
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!acc = !dsv2_tile.async<64x64xf32>

func.func @f(%a: !dsv2_tile.shared<128x64xbf16, swizzle = 128>, %b: !tile) {
  // expected-error @below {{expected 64 rows and a result of up to 256 columns, got a product of 128 by 64 in '!dsv2_tile.async<64x64xf32>'}}
  %p = dsv2_tile.wgmma %a, %b : !dsv2_tile.shared<128x64xbf16, swizzle = 128>, !tile -> !acc
  return
}

// -----

// wgmma_c2
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>

func.func @f(%a: !tile, %b: !tile) {
  // expected-error @below {{expected 64 rows and a result of up to 256 columns, got a product of 64 by 64 in '!dsv2_tile.async<64x32xf32>'}}
  %p = dsv2_tile.wgmma %a, %b : !tile, !tile -> !dsv2_tile.async<64x32xf32>
  return
}

// -----

// wgmma_c3
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!acc = !dsv2_tile.async<64x64xf32>

func.func @f(%a: !tile, %b: !dsv2_tile.shared<64x64xbf16>) {
  // expected-error @below {{expected a swizzle and no stages, got '!dsv2_tile.shared<64x64xbf16>'}}
  %p = dsv2_tile.wgmma %a, %b : !tile, !dsv2_tile.shared<64x64xbf16> -> !acc
  return
}

// -----

// wgmma_c4
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!acc = !dsv2_tile.async<64x64xf32>

func.func @f(%a: !tile, %b: !tile, %c: !dsv2_tile.async<64x32xf32>) {
  // expected-error @below {{expected 'acc' of the result's type, got '!dsv2_tile.async<64x32xf32>'}}
  %p = "dsv2_tile.wgmma"(%a, %b, %c) : (!tile, !tile, !dsv2_tile.async<64x32xf32>) -> !acc
  return
}

// -----

// wgmma_c5
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!acc = !dsv2_tile.async<64x64xf32>

func.func @f(%a: !dsv2_tile.shared<64x64xbf16, swizzle = 128>, %b: !dsv2_tile.shared<64x64xbf16, swizzle = 128, of_rows = 72>) {
  // expected-error @below {{expected a multiple of 16 rows of 'b', got '!dsv2_tile.shared<64x64xbf16, swizzle = 128, of_rows = 72>'}}
  %p = dsv2_tile.wgmma %a, %b transposed : !tile, !dsv2_tile.shared<64x64xbf16, swizzle = 128, of_rows = 72> -> !acc
  return
}

// -----

// wgmma_c6
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!acc = !dsv2_tile.async<64x64xf32>
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%f: !frag, %b: !tile) {
  %a = dsv2_tile.pack %f : !frag -> !dsv2_tile.operand<64x64xbf16>
  // expected-error @below {{expected an operand in registers to come from a wgmma_fence}}
  %p = dsv2_tile.wgmma %a, %b : !dsv2_tile.operand<64x64xbf16>, !tile -> !acc
  return
}

// -----

// wgmma_wait_c1
!acc = !dsv2_tile.async<64x64xf32>

func.func @f(%a: !acc) {
  // expected-error @below {{expected a fragment of the shape of '!dsv2_tile.async<64x64xf32>', got '!dsv2_tile.frag<64x32xf32>'}}
  %f = dsv2_tile.wgmma_wait 0 done(%a : !acc) keep() -> !dsv2_tile.frag<64x32xf32>
  return
}

// -----

// wgmma_wait_c1
!acc = !dsv2_tile.async<64x64xf32>
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !acc) {
  // expected-error @below {{expected '!dsv2_tile.async<64x64xf32>' to stay in flight, got '!dsv2_tile.frag<64x64xf32>'}}
  %f = dsv2_tile.wgmma_wait 1 done() keep(%a : !acc) -> !frag
  return
}

// -----

// wgmma_wait_c2
!acc = !dsv2_tile.async<64x64xf32>

func.func @f(%a: !acc) {
  // expected-error @below {{expected 'pending' not to be negative, and nothing to keep with 0}}
  %f = dsv2_tile.wgmma_wait 0 done() keep(%a : !acc) -> !acc
  return
}

// -----

// wgmma_wait_c3
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!acc = !dsv2_tile.async<64x64xf32>
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !tile, %b: !tile) {
  %p = dsv2_tile.wgmma %a, %b : !tile, !tile -> !acc
  // expected-error @below {{expected each product that is done to be of this block with 1 others behind it, got 0}}
  %f = dsv2_tile.wgmma_wait 1 done(%p : !acc) keep() -> !frag
  return
}

// -----

// mma_c1
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !tile, %b: !dsv2_tile.shared<64x128xbf16>, %c: !frag) {
  // expected-error @below {{expected operands that agree in k, a multiple of 16, got 64 and 128}}
  %p = dsv2_tile.mma %a, %b acc %c : !tile, !dsv2_tile.shared<64x128xbf16> -> !frag
  return
}

// -----

// mma_c2
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !tile, %b: !dsv2_tile.shared<32x64xbf16>, %c: !frag) {
  // expected-error @below {{expected a result of 64 by 32, a multiple of 16 columns, got '!dsv2_tile.frag<64x64xf32>'}}
  %p = dsv2_tile.mma %a, %b acc %c : !tile, !dsv2_tile.shared<32x64xbf16> -> !frag
  return
}

// -----

// mma_c3
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !tile, %b: !dsv2_tile.shared<2x64x64xbf16>, %c: !frag) {
  // expected-error @below {{expected tiles without stages}}
  %p = dsv2_tile.mma %a, %b acc %c : !tile, !dsv2_tile.shared<2x64x64xbf16> -> !frag
  return
}

// -----

// mma_c4
!tile = !dsv2_tile.shared<64x64xbf16, swizzle = 128>
!frag = !dsv2_tile.frag<64x64xf32>

func.func @f(%a: !dsv2_tile.operand<64x64xbf16, warps = 1>, %b: !tile, %c: !frag) {
  // expected-error @below {{expected an operand of the result's warps, got '!dsv2_tile.operand<64x64xbf16, warps = 1>'}}
  %p = dsv2_tile.mma %a, %b acc %c : !dsv2_tile.operand<64x64xbf16, warps = 1>, !tile -> !frag
  return
}
