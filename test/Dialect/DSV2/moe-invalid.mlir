// RUN: dsv2-opt %s -split-input-file -verify-diagnostics

// route_c1
func.func @gate(%x: tensor<?x64xf32>, %g: tensor<8x32xf32>) {
  // expected-error @below {{expected 'gate' of shape [8, 64], got [8, 32]}}
  %i, %w = dsv2.route %x, %g top_k 2 groups 1 of 1 scale 1.0
         : tensor<?x64xf32>, tensor<8x32xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  return
}

// -----

// route_c2, F055: a kernel that expects other types computes nonsense.
func.func @i64_ids(%x: tensor<?x64xf32>, %g: tensor<8x64xf32>) {
  // expected-error @below {{result #0 must be 2D tensor of 32-bit signless integer without encoding, static and positive behind the first size, but got 'tensor<?x2xi64>'}}
  %i, %w = dsv2.route %x, %g top_k 2 groups 1 of 1 scale 1.0
         : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x2xi64>, tensor<?x2xf32>
  return
}

// -----

// route_c2, F055
func.func @f16_weights(%x: tensor<?x64xf32>, %g: tensor<8x64xf32>) {
  // expected-error @below {{result #1 must be 2D tensor of 32-bit float without encoding, static and positive behind the first size, but got 'tensor<?x2xf16>'}}
  %i, %w = dsv2.route %x, %g top_k 2 groups 1 of 1 scale 1.0
         : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x2xi32>, tensor<?x2xf16>
  return
}

// -----

// route_c2
func.func @slots(%x: tensor<?x64xf32>, %g: tensor<8x64xf32>) {
  // expected-error @below {{expected 'ids' of shape [?, 2], got [?, 3]}}
  %i, %w = dsv2.route %x, %g top_k 2 groups 1 of 1 scale 1.0
         : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x3xi32>, tensor<?x2xf32>
  return
}

// -----

// route_c2
func.func @slots_of_weights(%x: tensor<?x64xf32>, %g: tensor<8x64xf32>) {
  // expected-error @below {{expected 'weights' of shape [?, 2], got [?, 3]}}
  %i, %w = dsv2.route %x, %g top_k 2 groups 1 of 1 scale 1.0
         : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x2xi32>, tensor<?x3xf32>
  return
}

// -----

// route_c3
func.func @too_many(%x: tensor<?x64xf32>, %g: tensor<8x64xf32>) {
  // expected-error @below {{expected 'top_k' from 1 to the 8 experts, got 9}}
  %i, %w = dsv2.route %x, %g top_k 9 groups 1 of 1 scale 1.0
         : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  return
}

// -----

// route_c3
func.func @none(%x: tensor<?x64xf32>, %g: tensor<8x64xf32>) {
  // expected-error @below {{expected 'top_k' from 1 to the 8 experts, got 0}}
  %i, %w = dsv2.route %x, %g top_k 0 groups 1 of 1 scale 1.0
         : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  return
}

// -----

// route_c4
func.func @uneven_groups(%x: tensor<?x64xf32>, %g: tensor<8x64xf32>) {
  // expected-error @below {{expected 'num_groups' to divide the 8 experts, got 3}}
  %i, %w = dsv2.route %x, %g top_k 2 groups 1 of 3 scale 1.0
         : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  return
}

// -----

// route_c4
func.func @no_groups(%x: tensor<?x64xf32>, %g: tensor<8x64xf32>) {
  // expected-error @below {{expected 'num_groups' to divide the 8 experts, got 0}}
  %i, %w = dsv2.route %x, %g top_k 2 groups 1 of 0 scale 1.0
         : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  return
}

// -----

// route_c5
func.func @more_groups_than_there_are(%x: tensor<?x64xf32>, %g: tensor<8x64xf32>) {
  // expected-error @below {{expected 'top_groups' from 1 to the 4 groups, got 5}}
  %i, %w = dsv2.route %x, %g top_k 2 groups 5 of 4 scale 1.0
         : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  return
}

// -----

// route_c5
func.func @no_top_groups(%x: tensor<?x64xf32>, %g: tensor<8x64xf32>) {
  // expected-error @below {{expected 'top_groups' from 1 to the 4 groups, got 0}}
  %i, %w = dsv2.route %x, %g top_k 2 groups 0 of 4 scale 1.0
         : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  return
}

// -----

// route_c6
func.func @too_few_candidates(%x: tensor<?x64xf32>, %g: tensor<8x64xf32>) {
  // expected-error @below {{expected 'top_k' of at most the 2 experts of 1 groups, got 3}}
  %i, %w = dsv2.route %x, %g top_k 3 groups 1 of 4 scale 1.0
         : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x3xi32>, tensor<?x3xf32>
  return
}

// -----

// route_c7
func.func @zero_scale(%x: tensor<?x64xf32>, %g: tensor<8x64xf32>) {
  // expected-error @below {{expected 'scale' to be finite and positive, got 0.000000e+00}}
  %i, %w = dsv2.route %x, %g top_k 2 groups 1 of 1 scale 0.0
         : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  return
}

// -----

// dispatch_c1
func.func @dispatch_tokens(%x: tensor<3x64xf32>, %ids: tensor<2x2xi32>) {
  // expected-error @below {{expected 'ids' of shape [3, 2], got [2, 2]}}
  %r, %o, %p = dsv2.dispatch %x, %ids
         : tensor<3x64xf32>, tensor<2x2xi32> -> tensor<?x64xf32>, tensor<9xi32>, tensor<?x2xi32>
  return
}

// -----

// dispatch_c2
func.func @dispatch_width(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>) {
  // expected-error @below {{expected 'result' of shape [?, 64], got [?, 32]}}
  %r, %o, %p = dsv2.dispatch %x, %ids
         : tensor<?x64xf32>, tensor<?x2xi32> -> tensor<?x32xf32>, tensor<9xi32>, tensor<?x2xi32>
  return
}

// -----

// dispatch_c2
func.func @dispatch_experts(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>) {
  // expected-error @below {{expected 'offsets' of static size, one more than the number of experts, got 'tensor<?xi32>'}}
  %r, %o, %p = dsv2.dispatch %x, %ids
         : tensor<?x64xf32>, tensor<?x2xi32> -> tensor<?x64xf32>, tensor<?xi32>, tensor<?x2xi32>
  return
}

// -----

// dispatch_c2
func.func @dispatch_no_experts(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>) {
  // expected-error @below {{expected 'offsets' for at least one expert, got 1 elements}}
  %r, %o, %p = dsv2.dispatch %x, %ids
         : tensor<?x64xf32>, tensor<?x2xi32> -> tensor<?x64xf32>, tensor<1xi32>, tensor<?x2xi32>
  return
}

// -----

// dispatch_c2
func.func @dispatch_slots(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>) {
  // expected-error @below {{expected 'rows' of shape [?, 2], got [?, 3]}}
  %r, %o, %p = dsv2.dispatch %x, %ids
         : tensor<?x64xf32>, tensor<?x2xi32> -> tensor<?x64xf32>, tensor<9xi32>, tensor<?x3xi32>
  return
}

// -----

// dispatch_c3
func.func @dispatch_rows(%x: tensor<?x64xf32>, %ids: tensor<3x2xi32>) {
  // expected-error @below {{expected 'result' to have 3 * 2 rows, got 5}}
  %r, %o, %p = dsv2.dispatch %x, %ids
         : tensor<?x64xf32>, tensor<3x2xi32> -> tensor<5x64xf32>, tensor<9xi32>, tensor<?x2xi32>
  return
}

// -----

// dispatch_c4
func.func @dispatch_elements(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>) {
  // expected-error @below {{failed to verify that all of {input, result} have same element type}}
  %r, %o, %p = dsv2.dispatch %x, %ids
         : tensor<?x64xf32>, tensor<?x2xi32> -> tensor<?x64xbf16>, tensor<9xi32>, tensor<?x2xi32>
  return
}

// -----

// expert_ffn_c1
func.func @experts_down(%x: tensor<?x64xf32>, %o: tensor<9xi32>, %g: tensor<8x32x64xf32>, %d: tensor<4x64x32xf32>) {
  // expected-error @below {{expected 'offsets' to have one element more than the 4 experts, got 'tensor<9xi32>'}}
  %0 = dsv2.expert_ffn %x, %o, %g, %d up %g
         : tensor<?x64xf32>, tensor<9xi32>, tensor<8x32x64xf32>,
           tensor<4x64x32xf32>, tensor<8x32x64xf32>
  return
}

// -----

// expert_ffn_c2
func.func @experts_up(%x: tensor<?x64xf32>, %o: tensor<9xi32>, %g: tensor<8x32x64xf32>, %u: tensor<8x16x64xf32>, %d: tensor<8x64x32xf32>) {
  // expected-error @below {{expected 'up' of shape [8, 32, 64], got [8, 16, 64]}}
  %0 = dsv2.expert_ffn %x, %o, %g, %d up %u
         : tensor<?x64xf32>, tensor<9xi32>, tensor<8x32x64xf32>,
           tensor<8x64x32xf32>, tensor<8x16x64xf32>
  return
}

// -----

// expert_ffn_c3
func.func @experts_both(%x: tensor<?x64xf32>, %o: tensor<9xi32>, %g: tensor<8x3x32x64xf32>, %d: tensor<8x64x32xf32>) {
  // expected-error @below {{expected 'gate' of shape [8, 2, 32, 64], got [8, 3, 32, 64]}}
  %0 = dsv2.expert_ffn %x, %o, %g, %d
         : tensor<?x64xf32>, tensor<9xi32>, tensor<8x3x32x64xf32>,
           tensor<8x64x32xf32>
  return
}

// -----

// combine_c1
func.func @combine_slots(%x: tensor<?x64xf32>, %r: tensor<?x2xi32>, %w: tensor<?x3xf32>) {
  // expected-error @below {{expected 'weights' of shape [?, 2], got [?, 3]}}
  %0 = dsv2.combine %x, %r, %w
         : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x3xf32>
           -> tensor<?x64xf32>
  return
}

// -----

// combine_c1
func.func @combine_width(%x: tensor<?x64xf32>, %r: tensor<?x2xi32>, %w: tensor<?x2xf32>) {
  // expected-error @below {{expected 'result' of shape [?, 64], got [?, 32]}}
  %0 = dsv2.combine %x, %r, %w
         : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32>
           -> tensor<?x32xf32>
  return
}

// -----

// combine_c1
func.func @combine_f16_weights(%x: tensor<?x64xf32>, %r: tensor<?x2xi32>, %w: tensor<?x2xf16>) {
  // expected-error @below {{operand #2 must be 2D tensor of 32-bit float without encoding, static and positive behind the first size, but got 'tensor<?x2xf16>'}}
  %0 = dsv2.combine %x, %r, %w
         : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf16>
           -> tensor<?x64xf32>
  return
}
