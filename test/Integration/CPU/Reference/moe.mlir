// RUN: cat %s %S/Inputs/compare.mlir | dsv2-opt --dsv2-convert-to-linalg \
// RUN:   | mlir-opt %lower_to_llvm \
// RUN:   | mlir-runner -e main --entry-point-result=void \
// RUN:       -shared-libs=%mlir_runner_utils \
// RUN:   | FileCheck %s --implicit-check-not=FAIL
//
// Routing, dispatch, experts, combination.
// Written by test/Oracle/op_reference.py.

func.func private @route_greedy() -> (tensor<?x3xi32>, tensor<?x3xf32>) {
%x_s = arith.constant dense<[[1.25, -1.6875, -1.3125, -1.0625, -1.3125], [1.25,
      1.5, 0.3125, -1.875, -1.625], [-0.6875, -0.25, 0.5, -0.0625, -0.9375],
      [-1.375, 0.75, 0.9375, -1.875, -1.5625]]> : tensor<4x5xf32>
%x = tensor.cast %x_s : tensor<4x5xf32> to tensor<?x5xf32>
%gate = arith.constant dense<[[-0.1875, -0.4375, 1.5625, 0.0625, -0.3125],
      [-0.3125, 0.6875, 0.375, -1.3125, 0.9375], [1.0625, 1.875, 1.1875, -0.875,
      -0.75], [0.625, 0.625, 0.8125, 1.5, -0.8125], [1.8125, -2.0, -1.75,
      1.9375, 1.8125], [-0.8125, -1.4375, -0.75, -1.875, 1.5625], [0.6875,
      0.375, -1.0625, -0.125, -1.25], [1.125, -0.125, -1.9375, -1.0, 0.8125]]> :
      tensor<8x5xf32>
%ids, %w = dsv2.route %x, %gate top_k 3 groups 1 of 1 scale 1.0 :
      tensor<?x5xf32>, tensor<8x5xf32> -> tensor<?x3xi32>, tensor<?x3xf32>
return %ids, %w : tensor<?x3xi32>, tensor<?x3xf32>
}
func.func private @route_greedy_expected() -> (tensor<4x3xi32>, tensor<4x3xf32>)
    {
%0 = arith.constant dense<[[7, 4, 6], [2, 6, 1], [0, 3, 2], [2, 1, 0]]> :
      tensor<4x3xi32>
%1 = arith.constant dense<[[0.4628099, 0.2401026, 0.21606897], [0.97544074,
      0.017588839, 0.003343801], [0.42456195, 0.1869321, 0.13359435],
      [0.7130059, 0.14713708, 0.08683597]]> : tensor<4x3xf32>
return %0, %1 : tensor<4x3xi32>, tensor<4x3xf32>
}
func.func private @route_greedy_check() {
%got:2 = call @route_greedy() : () -> (tensor<?x3xi32>, tensor<?x3xf32>)
%want:2 = call @route_greedy_expected() : () -> (tensor<4x3xi32>,
      tensor<4x3xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x3xi32> into tensor<?xi32>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<4x3xi32> into
      tensor<12xi32>
  %wd0 = tensor.cast %w0 : tensor<12xi32> to tensor<?xi32>
%d0 = call @difference_i32(%g0, %wd0) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "route_greedy ids: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<?x3xf32> into tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<4x3xf32> into
      tensor<12xf32>
  %wd1 = tensor.cast %w1 : tensor<12xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 1.0e-06 : f32
  vector.print str "route_greedy w: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
  return
}
// CHECK: route_greedy ids: ok
// CHECK: route_greedy w: ok

// F037: the softmax covers all experts, then
// groups are ruled out. 16 is the factor of the published models.
func.func private @route_groups() -> (tensor<?x2xi32>, tensor<?x2xf32>) {
%x_s = arith.constant dense<[[0.0625, -0.5, -1.0, -1.6875, 0.4375], [0.625,
      0.0625, 1.75, 1.75, -1.1875], [0.4375, 0.5, -1.0, -0.8125, -0.0625], [1.0,
      -0.8125, 0.875, 0.625, -1.125]]> : tensor<4x5xf32>
%x = tensor.cast %x_s : tensor<4x5xf32> to tensor<?x5xf32>
%gate = arith.constant dense<[[-0.4375, 1.3125, 1.375, 0.625, -2.0], [0.75,
      -1.125, 1.3125, 1.6875, -0.3125], [1.875, 1.0625, -0.6875, 1.5625, -0.5],
      [-1.625, 0.375, 1.4375, 0.625, -0.4375], [1.625, -0.0625, -0.4375,
      -1.4375, -1.1875], [0.8125, 1.1875, -0.875, 0.5, 1.5], [-1.4375, -0.9375,
      0.125, 0.25, -0.4375], [-0.4375, -1.5, 0.4375, 1.75, -1.25]]> :
      tensor<8x5xf32>
%ids, %w = dsv2.route %x, %gate top_k 2 groups 2 of 4 scale 16.0 :
      tensor<?x5xf32>, tensor<8x5xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
return %ids, %w : tensor<?x2xi32>, tensor<?x2xf32>
}
func.func private @route_groups_expected() -> (tensor<4x2xi32>, tensor<4x2xf32>)
    {
%0 = arith.constant dense<[[4, 5], [1, 0], [4, 5], [1, 7]]> : tensor<4x2xi32>
%1 = arith.constant dense<[[13.634987, 1.3239343], [7.316443, 5.2288256],
      [9.788897, 3.476731], [8.209102, 4.7140903]]> : tensor<4x2xf32>
return %0, %1 : tensor<4x2xi32>, tensor<4x2xf32>
}
func.func private @route_groups_check() {
%got:2 = call @route_groups() : () -> (tensor<?x2xi32>, tensor<?x2xf32>)
%want:2 = call @route_groups_expected() : () -> (tensor<4x2xi32>,
      tensor<4x2xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x2xi32> into tensor<?xi32>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<4x2xi32> into
      tensor<8xi32>
  %wd0 = tensor.cast %w0 : tensor<8xi32> to tensor<?xi32>
%d0 = call @difference_i32(%g0, %wd0) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "route_groups ids: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<?x2xf32> into tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<4x2xf32> into
      tensor<8xf32>
  %wd1 = tensor.cast %w1 : tensor<8xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 1.6e-05 : f32
  vector.print str "route_groups w: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
  return
}
// CHECK: route_groups ids: ok
// CHECK: route_groups w: ok

func.func private @route_normalize() -> (tensor<?x3xi32>, tensor<?x3xf32>) {
%x_s = arith.constant dense<[[1.1875, -1.3125, -1.875, 1.0, -1.3125], [1.0,
      -0.6875, 0.25, 1.8125, 1.6875], [-0.125, -1.1875, -1.0, 1.4375, 0.375]]> :
      tensor<3x5xf32>
%x = tensor.cast %x_s : tensor<3x5xf32> to tensor<?x5xf32>
%gate = arith.constant dense<[[-1.375, 1.5625, 1.875, 1.875, 0.5], [1.9375,
      0.4375, 0.0, 1.9375, 0.4375], [1.1875, -0.625, 1.1875, 1.9375, -1.8125],
      [0.125, -0.5, -1.8125, -1.6875, -0.9375], [-1.25, 0.875, -1.1875, 0.5,
      1.4375], [0.0, -1.5, -1.75, -0.8125, -0.375]]> : tensor<6x5xf32>
%ids, %w = dsv2.route %x, %gate top_k 3 groups 1 of 2 scale 2.5 normalize :
      tensor<?x5xf32>, tensor<6x5xf32> -> tensor<?x3xi32>, tensor<?x3xf32>
return %ids, %w : tensor<?x3xi32>, tensor<?x3xf32>
}
func.func private @route_normalize_expected() -> (tensor<3x3xi32>,
    tensor<3x3xf32>) {
%0 = arith.constant dense<[[5, 3, 4], [1, 2, 0], [5, 4, 3]]> : tensor<3x3xi32>
%1 = arith.constant dense<[[1.9122217, 0.58547723, 0.0023010483], [2.366836,
      0.07008986, 0.063074045], [1.5719799, 0.81235296, 0.1156671]]> :
      tensor<3x3xf32>
return %0, %1 : tensor<3x3xi32>, tensor<3x3xf32>
}
func.func private @route_normalize_check() {
%got:2 = call @route_normalize() : () -> (tensor<?x3xi32>, tensor<?x3xf32>)
%want:2 = call @route_normalize_expected() : () -> (tensor<3x3xi32>,
      tensor<3x3xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x3xi32> into tensor<?xi32>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<3x3xi32> into
      tensor<9xi32>
  %wd0 = tensor.cast %w0 : tensor<9xi32> to tensor<?xi32>
%d0 = call @difference_i32(%g0, %wd0) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "route_normalize ids: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<?x3xf32> into tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<3x3xf32> into
      tensor<9xf32>
  %wd1 = tensor.cast %w1 : tensor<9xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 2.5e-06 : f32
  vector.print str "route_normalize w: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
  return
}
// CHECK: route_normalize ids: ok
// CHECK: route_normalize w: ok

// F036: f32 from the product on, whatever the types.
func.func private @route_bf16() -> (tensor<?x2xi32>, tensor<?x2xf32>) {
%x_s = arith.constant dense<[[0.0, -0.8125, 1.4375, 0.25, 1.875], [1.75, 0.875,
      -1.9375, -1.1875, 1.0], [0.1875, 1.8125, 0.8125, 1.3125, -1.8125]]> :
      tensor<3x5xbf16>
%x = tensor.cast %x_s : tensor<3x5xbf16> to tensor<?x5xbf16>
%gate = arith.constant dense<[[-0.8125, 0.75, 0.5625, -0.5625, -1.375], [0.375,
      -1.6875, 0.6875, 1.25, 0.6875], [-1.75, 0.0625, -0.8125, 0.25, 0.75],
      [-1.25, -1.875, 0.0, 0.5, -1.5], [1.6875, -0.0625, 1.875, 0.125, 0.9375],
      [1.125, 0.0, -0.4375, 0.6875, -1.9375]]> : tensor<6x5xbf16>
%ids, %w = dsv2.route %x, %gate top_k 2 groups 1 of 1 scale 1.0 :
      tensor<?x5xbf16>, tensor<6x5xbf16> -> tensor<?x2xi32>, tensor<?x2xf32>
return %ids, %w : tensor<?x2xi32>, tensor<?x2xf32>
}
func.func private @route_bf16_expected() -> (tensor<3x2xi32>, tensor<3x2xf32>) {
%0 = arith.constant dense<[[4, 1], [5, 4], [5, 0]]> : tensor<3x2xi32>
%1 = arith.constant dense<[[0.632388, 0.35612595], [0.40505683, 0.40190467],
      [0.68568146, 0.2926129]]> : tensor<3x2xf32>
return %0, %1 : tensor<3x2xi32>, tensor<3x2xf32>
}
func.func private @route_bf16_check() {
%got:2 = call @route_bf16() : () -> (tensor<?x2xi32>, tensor<?x2xf32>)
%want:2 = call @route_bf16_expected() : () -> (tensor<3x2xi32>, tensor<3x2xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x2xi32> into tensor<?xi32>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<3x2xi32> into
      tensor<6xi32>
  %wd0 = tensor.cast %w0 : tensor<6xi32> to tensor<?xi32>
%d0 = call @difference_i32(%g0, %wd0) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "route_bf16 ids: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<?x2xf32> into tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<3x2xf32> into
      tensor<6xf32>
  %wd1 = tensor.cast %w1 : tensor<6xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 1.0e-06 : f32
  vector.print str "route_bf16 w: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
  return
}
// CHECK: route_bf16 ids: ok
// CHECK: route_bf16 w: ok

// F038: equal scores go to the lower index.
func.func private @route_ties() -> (tensor<?x4xi32>, tensor<?x4xf32>) {
%x_s = arith.constant dense<[[1.0], [0.0]]> : tensor<2x1xf32>
%x = tensor.cast %x_s : tensor<2x1xf32> to tensor<?x1xf32>
%gate = arith.constant dense<[[1.0], [3.0], [2.0], [3.0], [3.0], [1.0]]> :
      tensor<6x1xf32>
%ids, %w = dsv2.route %x, %gate top_k 4 groups 1 of 1 scale 1.0 :
      tensor<?x1xf32>, tensor<6x1xf32> -> tensor<?x4xi32>, tensor<?x4xf32>
return %ids, %w : tensor<?x4xi32>, tensor<?x4xf32>
}
func.func private @route_ties_expected() -> (tensor<2x4xi32>, tensor<2x4xf32>) {
%0 = arith.constant dense<[[1, 3, 4, 2], [0, 1, 2, 3]]> : tensor<2x4xi32>
%1 = arith.constant dense<[[0.27483475, 0.27483475, 0.27483475, 0.10110605],
      [0.16666667, 0.16666667, 0.16666667, 0.16666667]]> : tensor<2x4xf32>
return %0, %1 : tensor<2x4xi32>, tensor<2x4xf32>
}
func.func private @route_ties_check() {
%got:2 = call @route_ties() : () -> (tensor<?x4xi32>, tensor<?x4xf32>)
%want:2 = call @route_ties_expected() : () -> (tensor<2x4xi32>, tensor<2x4xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x4xi32> into tensor<?xi32>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<2x4xi32> into
      tensor<8xi32>
  %wd0 = tensor.cast %w0 : tensor<8xi32> to tensor<?xi32>
%d0 = call @difference_i32(%g0, %wd0) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "route_ties ids: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<?x4xf32> into tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<2x4xf32> into
      tensor<8xf32>
  %wd1 = tensor.cast %w1 : tensor<8xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 1.0e-06 : f32
  vector.print str "route_ties w: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
  return
}
// CHECK: route_ties ids: ok
// CHECK: route_ties w: ok

// The same between groups.
func.func private @route_group_ties() -> (tensor<?x2xi32>, tensor<?x2xf32>) {
%x_s = arith.constant dense<[[1.0]]> : tensor<1x1xf32>
%x = tensor.cast %x_s : tensor<1x1xf32> to tensor<?x1xf32>
%gate = arith.constant dense<[[1.0], [5.0], [0.0], [5.0], [5.0], [2.0], [5.0],
      [5.0]]> : tensor<8x1xf32>
%ids, %w = dsv2.route %x, %gate top_k 2 groups 2 of 4 scale 1.0 :
      tensor<?x1xf32>, tensor<8x1xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
return %ids, %w : tensor<?x2xi32>, tensor<?x2xf32>
}
func.func private @route_group_ties_expected() -> (tensor<1x2xi32>,
    tensor<1x2xf32>) {
%0 = arith.constant dense<[[1, 3]]> : tensor<1x2xi32>
%1 = arith.constant dense<[[0.19705053, 0.19705053]]> : tensor<1x2xf32>
return %0, %1 : tensor<1x2xi32>, tensor<1x2xf32>
}
func.func private @route_group_ties_check() {
%got:2 = call @route_group_ties() : () -> (tensor<?x2xi32>, tensor<?x2xf32>)
%want:2 = call @route_group_ties_expected() : () -> (tensor<1x2xi32>,
      tensor<1x2xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x2xi32> into tensor<?xi32>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<1x2xi32> into
      tensor<2xi32>
  %wd0 = tensor.cast %w0 : tensor<2xi32> to tensor<?xi32>
%d0 = call @difference_i32(%g0, %wd0) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "route_group_ties ids: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<?x2xf32> into tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<1x2xf32> into
      tensor<2xf32>
  %wd1 = tensor.cast %w1 : tensor<2xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 1.0e-06 : f32
  vector.print str "route_group_ties w: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
  return
}
// CHECK: route_group_ties ids: ok
// CHECK: route_group_ties w: ok

// F022: one expert in each group, so that
// the choice of groups is the choice of experts.
func.func private @route_groups_of_one() -> (tensor<?x2xi32>, tensor<?x2xf32>) {
%x_s = arith.constant dense<[[0.5, 0.125, -1.4375, -1.1875, -1.875], [1.0, 0.75,
      -0.4375, 1.875, -0.5], [-0.8125, 1.6875, -1.6875, -0.4375, -1.9375]]> :
      tensor<3x5xf32>
%x = tensor.cast %x_s : tensor<3x5xf32> to tensor<?x5xf32>
%gate = arith.constant dense<[[-0.625, 0.9375, -0.625, 0.0, -0.0625], [-1.75,
      -1.625, -0.8125, 0.1875, -1.75], [1.6875, 1.4375, 0.25, 0.9375, 1.0],
      [-2.0, 1.8125, -1.8125, 1.375, 1.375], [1.0, -1.5, 1.25, 1.875, 1.3125],
      [0.8125, -1.0, 0.25, -0.0625, 1.5], [-0.625, -0.375, -0.9375, -0.0625,
      0.3125], [-0.1875, -0.75, 0.1875, 0.5, -1.375]]> : tensor<8x5xf32>
%ids, %w = dsv2.route %x, %gate top_k 2 groups 2 of 8 scale 1.0 :
      tensor<?x5xf32>, tensor<8x5xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
return %ids, %w : tensor<?x2xi32>, tensor<?x2xf32>
}
func.func private @route_groups_of_one_expected() -> (tensor<3x2xi32>,
    tensor<3x2xf32>) {
%0 = arith.constant dense<[[1, 7], [2, 4], [3, 1]]> : tensor<3x2xi32>
%1 = arith.constant dense<[[0.72721094, 0.14375678], [0.70054394, 0.124623165],
      [0.5931221, 0.19406883]]> : tensor<3x2xf32>
return %0, %1 : tensor<3x2xi32>, tensor<3x2xf32>
}
func.func private @route_groups_of_one_check() {
%got:2 = call @route_groups_of_one() : () -> (tensor<?x2xi32>, tensor<?x2xf32>)
%want:2 = call @route_groups_of_one_expected() : () -> (tensor<3x2xi32>,
      tensor<3x2xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x2xi32> into tensor<?xi32>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<3x2xi32> into
      tensor<6xi32>
  %wd0 = tensor.cast %w0 : tensor<6xi32> to tensor<?xi32>
%d0 = call @difference_i32(%g0, %wd0) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "route_groups_of_one ids: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<?x2xf32> into tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<3x2xf32> into
      tensor<6xf32>
  %wd1 = tensor.cast %w1 : tensor<6xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 1.0e-06 : f32
  vector.print str "route_groups_of_one w: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
  return
}
// CHECK: route_groups_of_one ids: ok
// CHECK: route_groups_of_one w: ok

// F038: experts of a kept group whose score
// is exactly 0 still beat every expert that was ruled out, of which some
// have a lower index.
func.func private @route_zero_scores() -> (tensor<?x3xi32>, tensor<?x3xf32>) {
%x_s = arith.constant dense<[[1.0]]> : tensor<1x1xf32>
%x = tensor.cast %x_s : tensor<1x1xf32> to tensor<?x1xf32>
%gate = arith.constant dense<[[-200.0], [-200.0], [-200.0], [0.0], [-200.0],
      [-200.0], [-200.0], [-200.0]]> : tensor<8x1xf32>
%ids, %w = dsv2.route %x, %gate top_k 3 groups 1 of 2 scale 1.0 :
      tensor<?x1xf32>, tensor<8x1xf32> -> tensor<?x3xi32>, tensor<?x3xf32>
return %ids, %w : tensor<?x3xi32>, tensor<?x3xf32>
}
func.func private @route_zero_scores_expected() -> (tensor<1x3xi32>,
    tensor<1x3xf32>) {
%0 = arith.constant dense<[[3, 0, 1]]> : tensor<1x3xi32>
%1 = arith.constant dense<[[1.0, 0.0, 0.0]]> : tensor<1x3xf32>
return %0, %1 : tensor<1x3xi32>, tensor<1x3xf32>
}
func.func private @route_zero_scores_check() {
%got:2 = call @route_zero_scores() : () -> (tensor<?x3xi32>, tensor<?x3xf32>)
%want:2 = call @route_zero_scores_expected() : () -> (tensor<1x3xi32>,
      tensor<1x3xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x3xi32> into tensor<?xi32>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<1x3xi32> into
      tensor<3xi32>
  %wd0 = tensor.cast %w0 : tensor<3xi32> to tensor<?xi32>
%d0 = call @difference_i32(%g0, %wd0) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "route_zero_scores ids: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<?x3xf32> into tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<1x3xf32> into
      tensor<3xf32>
  %wd1 = tensor.cast %w1 : tensor<3xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 1.0e-06 : f32
  vector.print str "route_zero_scores w: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
  return
}
// CHECK: route_zero_scores ids: ok
// CHECK: route_zero_scores w: ok

func.func private @route_masked_lower_index() -> (tensor<?x3xi32>,
    tensor<?x3xf32>) {
%x_s = arith.constant dense<[[1.0]]> : tensor<1x1xf32>
%x = tensor.cast %x_s : tensor<1x1xf32> to tensor<?x1xf32>
%gate = arith.constant dense<[[-200.0], [-200.0], [-200.0], [-200.0], [-200.0],
      [0.0], [-200.0], [-200.0]]> : tensor<8x1xf32>
%ids, %w = dsv2.route %x, %gate top_k 3 groups 1 of 2 scale 1.0 :
      tensor<?x1xf32>, tensor<8x1xf32> -> tensor<?x3xi32>, tensor<?x3xf32>
return %ids, %w : tensor<?x3xi32>, tensor<?x3xf32>
}
func.func private @route_masked_lower_index_expected() -> (tensor<1x3xi32>,
    tensor<1x3xf32>) {
%0 = arith.constant dense<[[5, 4, 6]]> : tensor<1x3xi32>
%1 = arith.constant dense<[[1.0, 0.0, 0.0]]> : tensor<1x3xf32>
return %0, %1 : tensor<1x3xi32>, tensor<1x3xf32>
}
func.func private @route_masked_lower_index_check() {
%got:2 = call @route_masked_lower_index() : () -> (tensor<?x3xi32>,
      tensor<?x3xf32>)
%want:2 = call @route_masked_lower_index_expected() : () -> (tensor<1x3xi32>,
      tensor<1x3xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x3xi32> into tensor<?xi32>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<1x3xi32> into
      tensor<3xi32>
  %wd0 = tensor.cast %w0 : tensor<3xi32> to tensor<?xi32>
%d0 = call @difference_i32(%g0, %wd0) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "route_masked_lower_index ids: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<?x3xf32> into tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<1x3xf32> into
      tensor<3xf32>
  %wd1 = tensor.cast %w1 : tensor<3xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 1.0e-06 : f32
  vector.print str "route_masked_lower_index w: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
  return
}
// CHECK: route_masked_lower_index ids: ok
// CHECK: route_masked_lower_index w: ok

// NaN reaches the weights, and ids stay in range, so
// that the layer ends in NaN instead of a wild read.
func.func private @route_nan() -> (tensor<?x2xi32>, tensor<1x1xi32>) {
%x_s = arith.constant dense<[[1.0]]> : tensor<1x1xf32>
%x = tensor.cast %x_s : tensor<1x1xf32> to tensor<?x1xf32>
%gate = arith.constant dense<[[0.0], [0x7FC00000], [1.0]]> : tensor<3x1xf32>
%ids, %w = dsv2.route %x, %gate top_k 2 groups 1 of 1 scale 1.0 :
      tensor<?x1xf32>, tensor<3x1xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
%first = tensor.extract_slice %w[0, 0] [1, 1] [1, 1] : tensor<?x2xf32> to
      tensor<1x1xf32>
%nan = arith.cmpf une, %first, %first : tensor<1x1xf32>
%isnan = arith.extui %nan : tensor<1x1xi1> to tensor<1x1xi32>
return %ids, %isnan : tensor<?x2xi32>, tensor<1x1xi32>
}
func.func private @route_nan_expected() -> (tensor<1x2xi32>, tensor<1x1xi32>) {
%0 = arith.constant dense<[[2, 0]]> : tensor<1x2xi32>
%1 = arith.constant dense<[[1]]> : tensor<1x1xi32>
return %0, %1 : tensor<1x2xi32>, tensor<1x1xi32>
}
func.func private @route_nan_check() {
%got:2 = call @route_nan() : () -> (tensor<?x2xi32>, tensor<1x1xi32>)
%want:2 = call @route_nan_expected() : () -> (tensor<1x2xi32>, tensor<1x1xi32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x2xi32> into tensor<?xi32>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<1x2xi32> into
      tensor<2xi32>
  %wd0 = tensor.cast %w0 : tensor<2xi32> to tensor<?xi32>
%d0 = call @difference_i32(%g0, %wd0) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "route_nan ids: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<1x1xi32> into tensor<1xi32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<1x1xi32> into
      tensor<1xi32>
  %gd1 = tensor.cast %g1 : tensor<1xi32> to tensor<?xi32>
  %wd1 = tensor.cast %w1 : tensor<1xi32> to tensor<?xi32>
%d1 = call @difference_i32(%gd1, %wd1) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t1 = arith.constant 0.0 : f32
  vector.print str "route_nan isnan: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
  return
}
// CHECK: route_nan ids: ok
// CHECK: route_nan isnan: ok

// Experts 0, 3 and 5 get nothing.
func.func private @dispatch() -> (tensor<?x3xf32>, tensor<7xi32>,
    tensor<?x2xi32>) {
%x_s = arith.constant dense<[[0.3125, 0.8125, -1.625], [0.5, -0.25, 1.75],
      [-0.4375, -0.75, 0.8125], [1.5, -1.6875, -1.625]]> : tensor<4x3xf32>
%x = tensor.cast %x_s : tensor<4x3xf32> to tensor<?x3xf32>
%ids_s = arith.constant dense<[[4, 1], [2, 4], [1, 2], [4, 2]]> :
      tensor<4x2xi32>
%ids = tensor.cast %ids_s : tensor<4x2xi32> to tensor<?x2xi32>
%y, %offsets, %rows = dsv2.dispatch %x, %ids : tensor<?x3xf32>, tensor<?x2xi32>
      -> tensor<?x3xf32>, tensor<7xi32>, tensor<?x2xi32>
return %y, %offsets, %rows : tensor<?x3xf32>, tensor<7xi32>, tensor<?x2xi32>
}
func.func private @dispatch_expected() -> (tensor<8x3xf32>, tensor<7xi32>,
    tensor<4x2xi32>) {
%0 = arith.constant dense<[[0.3125, 0.8125, -1.625], [-0.4375, -0.75, 0.8125],
      [0.5, -0.25, 1.75], [-0.4375, -0.75, 0.8125], [1.5, -1.6875, -1.625],
      [0.3125, 0.8125, -1.625], [0.5, -0.25, 1.75], [1.5, -1.6875, -1.625]]> :
      tensor<8x3xf32>
%1 = arith.constant dense<[0, 0, 2, 5, 5, 8, 8]> : tensor<7xi32>
%2 = arith.constant dense<[[5, 0], [2, 6], [1, 3], [7, 4]]> : tensor<4x2xi32>
return %0, %1, %2 : tensor<8x3xf32>, tensor<7xi32>, tensor<4x2xi32>
}
func.func private @dispatch_check() {
%got:3 = call @dispatch() : () -> (tensor<?x3xf32>, tensor<7xi32>,
      tensor<?x2xi32>)
%want:3 = call @dispatch_expected() : () -> (tensor<8x3xf32>, tensor<7xi32>,
      tensor<4x2xi32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x3xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<8x3xf32> into
      tensor<24xf32>
  %wd0 = tensor.cast %w0 : tensor<24xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "dispatch y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  %gd1 = tensor.cast %got#1 : tensor<7xi32> to tensor<?xi32>
  %wd1 = tensor.cast %want#1 : tensor<7xi32> to tensor<?xi32>
%d1 = call @difference_i32(%gd1, %wd1) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t1 = arith.constant 0.0 : f32
  vector.print str "dispatch offsets: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
%g2 = tensor.collapse_shape %got#2 [[0, 1]] : tensor<?x2xi32> into tensor<?xi32>
%w2 = tensor.collapse_shape %want#2 [[0, 1]] : tensor<4x2xi32> into
      tensor<8xi32>
  %wd2 = tensor.cast %w2 : tensor<8xi32> to tensor<?xi32>
%d2 = call @difference_i32(%g2, %wd2) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t2 = arith.constant 0.0 : f32
  vector.print str "dispatch rows: "
  call @verdict(%d2, %t2) : (f32, f32) -> ()
  return
}
// CHECK: dispatch y: ok
// CHECK: dispatch offsets: ok
// CHECK: dispatch rows: ok

// Everything goes to one expert.
func.func private @dispatch_one_expert() -> (tensor<?x3xbf16>, tensor<5xi32>,
    tensor<?x1xi32>) {
%x_s = arith.constant dense<[[-1.375, -0.625, 0.0625], [0.25, -0.375, 1.5625],
      [0.6875, -1.375, -0.6875]]> : tensor<3x3xbf16>
%x = tensor.cast %x_s : tensor<3x3xbf16> to tensor<?x3xbf16>
%ids_s = arith.constant dense<[[2], [2], [2]]> : tensor<3x1xi32>
%ids = tensor.cast %ids_s : tensor<3x1xi32> to tensor<?x1xi32>
%y, %offsets, %rows = dsv2.dispatch %x, %ids : tensor<?x3xbf16>, tensor<?x1xi32>
      -> tensor<?x3xbf16>, tensor<5xi32>, tensor<?x1xi32>
return %y, %offsets, %rows : tensor<?x3xbf16>, tensor<5xi32>, tensor<?x1xi32>
}
func.func private @dispatch_one_expert_expected() -> (tensor<3x3xbf16>,
    tensor<5xi32>, tensor<3x1xi32>) {
%0 = arith.constant dense<[[-1.375, -0.625, 0.0625], [0.25, -0.375, 1.5625],
      [0.6875, -1.375, -0.6875]]> : tensor<3x3xbf16>
%1 = arith.constant dense<[0, 0, 0, 3, 3]> : tensor<5xi32>
%2 = arith.constant dense<[[0], [1], [2]]> : tensor<3x1xi32>
return %0, %1, %2 : tensor<3x3xbf16>, tensor<5xi32>, tensor<3x1xi32>
}
func.func private @dispatch_one_expert_check() {
%got:3 = call @dispatch_one_expert() : () -> (tensor<?x3xbf16>, tensor<5xi32>,
      tensor<?x1xi32>)
%want:3 = call @dispatch_one_expert_expected() : () -> (tensor<3x3xbf16>,
      tensor<5xi32>, tensor<3x1xi32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x3xbf16> into
      tensor<?xbf16>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<3x3xbf16> into
      tensor<9xbf16>
  %wd0 = tensor.cast %w0 : tensor<9xbf16> to tensor<?xbf16>
%d0 = call @difference_bf16(%g0, %wd0) : (tensor<?xbf16>, tensor<?xbf16>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "dispatch_one_expert y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  %gd1 = tensor.cast %got#1 : tensor<5xi32> to tensor<?xi32>
  %wd1 = tensor.cast %want#1 : tensor<5xi32> to tensor<?xi32>
%d1 = call @difference_i32(%gd1, %wd1) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t1 = arith.constant 0.0 : f32
  vector.print str "dispatch_one_expert offsets: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
%g2 = tensor.collapse_shape %got#2 [[0, 1]] : tensor<?x1xi32> into tensor<?xi32>
%w2 = tensor.collapse_shape %want#2 [[0, 1]] : tensor<3x1xi32> into
      tensor<3xi32>
  %wd2 = tensor.cast %w2 : tensor<3xi32> to tensor<?xi32>
%d2 = call @difference_i32(%g2, %wd2) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t2 = arith.constant 0.0 : f32
  vector.print str "dispatch_one_expert rows: "
  call @verdict(%d2, %t2) : (f32, f32) -> ()
  return
}
// CHECK: dispatch_one_expert y: ok
// CHECK: dispatch_one_expert offsets: ok
// CHECK: dispatch_one_expert rows: ok

// Experts with no rows, with one and with several.
func.func private @expert_ffn() -> (tensor<?x3xf32>, tensor<?x3xf32>) {
%x_s = arith.constant dense<[[-1.25, -1.25, 1.4375], [1.75, -0.25, -1.0625],
      [1.375, -1.4375, -1.5], [-0.875, -0.5625, -0.625], [-0.875, -1.125, 0.5]]>
      : tensor<5x3xf32>
%x = tensor.cast %x_s : tensor<5x3xf32> to tensor<?x3xf32>
%offsets = arith.constant dense<[0, 0, 3, 3, 4, 5]> : tensor<6xi32>
%gate = arith.constant dense<[[[0.125, 0.625, 1.75], [1.75, -1.5, 1.1875],
      [-0.375, 1.3125, 0.6875], [-1.8125, 1.5625, 1.75]], [[2.0, -1.8125,
      -1.4375], [0.5, 0.125, -1.625], [1.5625, -1.0625, -1.8125], [1.4375,
      0.375, -1.9375]], [[-1.3125, 1.5625, 1.0625], [1.5, 1.75, -0.8125],
      [0.125, -0.5, -2.0], [-1.0625, -1.75, -1.5625]], [[-0.3125, 1.6875,
      1.4375], [0.5625, -1.0625, -1.5], [0.6875, 0.9375, -0.375], [-1.5,
      -0.9375, 2.0]], [[0.8125, 0.25, -0.75], [1.4375, -0.5, -0.1875], [1.0625,
      -0.375, 0.0], [-1.9375, 1.125, -0.875]]]> : tensor<5x4x3xbf16>
%up = arith.constant dense<[[[0.0625, 0.1875, -1.375], [-1.0625, -0.25, -1.625],
      [1.5, -0.625, 0.25], [-1.4375, 1.875, -0.125]], [[-2.0, -0.625, -0.625],
      [-1.0625, 1.0625, 1.9375], [0.75, -1.25, 0.25], [-0.125, 0.6875, 1.375]],
      [[1.5, 1.25, 0.75], [-0.1875, 0.1875, -1.3125], [0.25, 0.0625, 0.6875],
      [-0.125, -0.6875, 0.0625]], [[0.6875, -1.25, 0.4375], [-0.625, 1.1875,
      0.375], [-0.0625, -1.875, -1.9375], [-1.0625, 0.125, -0.125]], [[1.4375,
      -1.5, 0.5625], [-0.4375, 0.5625, -1.625], [-0.4375, -1.4375, -0.5625],
      [-1.25, 0.875, 0.75]]]> : tensor<5x4x3xbf16>
%down = arith.constant dense<[[[-1.6875, -0.8125, 1.5, 1.625], [1.5, -1.5625,
      1.875, -0.375], [-1.5, 0.875, -1.5625, -1.875]], [[1.625, -1.5625, -0.375,
      1.5625], [-0.9375, -0.875, -0.5, 1.0625], [0.625, -0.8125, -1.375,
      -0.25]], [[-0.0625, -0.3125, 0.625, -1.625], [0.875, 0.1875, -2.0,
      0.6875], [1.25, -0.5625, -0.25, 0.3125]], [[-0.25, 0.0625, 0.25, 0.375],
      [-0.875, -1.625, 1.5625, -0.1875], [-1.1875, 2.0, 0.1875, -0.6875]],
      [[-1.375, -2.0, 0.5, 0.5], [1.625, 1.9375, 1.5625, -1.8125], [-1.5, 0.375,
      0.5, -1.1875]]]> : tensor<5x3x4xbf16>
%y = dsv2.expert_ffn %x, %offsets, %gate, %down up %up : tensor<?x3xf32>,
      tensor<6xi32>, tensor<5x4x3xbf16>, tensor<5x3x4xbf16>, tensor<5x4x3xbf16>
%stacked = arith.constant dense<[[[[0.125, 0.625, 1.75], [1.75, -1.5, 1.1875],
      [-0.375, 1.3125, 0.6875], [-1.8125, 1.5625, 1.75]], [[0.0625, 0.1875,
      -1.375], [-1.0625, -0.25, -1.625], [1.5, -0.625, 0.25], [-1.4375, 1.875,
      -0.125]]], [[[2.0, -1.8125, -1.4375], [0.5, 0.125, -1.625], [1.5625,
      -1.0625, -1.8125], [1.4375, 0.375, -1.9375]], [[-2.0, -0.625, -0.625],
      [-1.0625, 1.0625, 1.9375], [0.75, -1.25, 0.25], [-0.125, 0.6875, 1.375]]],
      [[[-1.3125, 1.5625, 1.0625], [1.5, 1.75, -0.8125], [0.125, -0.5, -2.0],
      [-1.0625, -1.75, -1.5625]], [[1.5, 1.25, 0.75], [-0.1875, 0.1875,
      -1.3125], [0.25, 0.0625, 0.6875], [-0.125, -0.6875, 0.0625]]], [[[-0.3125,
      1.6875, 1.4375], [0.5625, -1.0625, -1.5], [0.6875, 0.9375, -0.375], [-1.5,
      -0.9375, 2.0]], [[0.6875, -1.25, 0.4375], [-0.625, 1.1875, 0.375],
      [-0.0625, -1.875, -1.9375], [-1.0625, 0.125, -0.125]]], [[[0.8125, 0.25,
      -0.75], [1.4375, -0.5, -0.1875], [1.0625, -0.375, 0.0], [-1.9375, 1.125,
      -0.875]], [[1.4375, -1.5, 0.5625], [-0.4375, 0.5625, -1.625], [-0.4375,
      -1.4375, -0.5625], [-1.25, 0.875, 0.75]]]]> : tensor<5x2x4x3xbf16>
%z = dsv2.expert_ffn %x, %offsets, %stacked, %down : tensor<?x3xf32>,
      tensor<6xi32>, tensor<5x2x4x3xbf16>, tensor<5x3x4xbf16>
return %y, %z : tensor<?x3xf32>, tensor<?x3xf32>
}
func.func private @expert_ffn_expected() -> (tensor<5x3xf32>, tensor<5x3xf32>) {
%0 = arith.constant dense<[[-0.25458974, 0.8071247, 0.16365011], [-23.467999,
      10.411703, -8.114567], [-12.844482, -1.6471453, -8.966074], [-0.04590827,
      -0.60293424, -0.9609162], [-0.417265, -0.3223056, 0.23256412]]> :
      tensor<5x3xf32>
%1 = arith.constant dense<[[-0.25458974, 0.8071247, 0.16365011], [-23.467999,
      10.411703, -8.114567], [-12.844482, -1.6471453, -8.966074], [-0.04590827,
      -0.60293424, -0.9609162], [-0.417265, -0.3223056, 0.23256412]]> :
      tensor<5x3xf32>
return %0, %1 : tensor<5x3xf32>, tensor<5x3xf32>
}
func.func private @expert_ffn_check() {
%got:2 = call @expert_ffn() : () -> (tensor<?x3xf32>, tensor<?x3xf32>)
%want:2 = call @expert_ffn_expected() : () -> (tensor<5x3xf32>, tensor<5x3xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x3xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<5x3xf32> into
      tensor<15xf32>
  %wd0 = tensor.cast %w0 : tensor<15xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 2.3468e-05 : f32
  vector.print str "expert_ffn y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<?x3xf32> into tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<5x3xf32> into
      tensor<15xf32>
  %wd1 = tensor.cast %w1 : tensor<15xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 2.3468e-05 : f32
  vector.print str "expert_ffn z: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
  return
}
// CHECK: expert_ffn y: ok
// CHECK: expert_ffn z: ok

func.func private @combine() -> tensor<?x3xf32> {
%x_s = arith.constant dense<[[1.625, 1.8125, -1.1875], [0.5625, -0.375, 0.25],
      [0.875, 0.0, 0.9375], [-0.9375, -0.1875, -1.4375], [0.5625, -0.4375,
      0.6875], [1.9375, -0.625, 1.125]]> : tensor<6x3xf32>
%x = tensor.cast %x_s : tensor<6x3xf32> to tensor<?x3xf32>
%rows_s = arith.constant dense<[[5, 0], [2, 2], [1, 4]]> : tensor<3x2xi32>
%rows = tensor.cast %rows_s : tensor<3x2xi32> to tensor<?x2xi32>
%w_s = arith.constant dense<[[0.625, 1.0], [0.3125, -0.9375], [0.8125,
      -0.5625]]> : tensor<3x2xf32>
%w = tensor.cast %w_s : tensor<3x2xf32> to tensor<?x2xf32>
%y = dsv2.combine %x, %rows, %w : tensor<?x3xf32>, tensor<?x2xi32>,
      tensor<?x2xf32> -> tensor<?x3xf32>
return %y : tensor<?x3xf32>
}
func.func private @combine_expected() -> tensor<3x3xf32> {
%0 = arith.constant dense<[[2.8359375, 1.421875, -0.484375], [-0.546875, 0.0,
      -0.5859375], [0.140625, -0.05859375, -0.18359375]]> : tensor<3x3xf32>
return %0 : tensor<3x3xf32>
}
func.func private @combine_check() {
%got = call @combine() : () -> tensor<?x3xf32>
%want = call @combine_expected() : () -> tensor<3x3xf32>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<?x3xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<3x3xf32> into tensor<9xf32>
  %wd0 = tensor.cast %w0 : tensor<9xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 1.0e-06 : f32
  vector.print str "combine y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: combine y: ok

// The sum is in the order of the slots: 1e8 takes
// the 1 before it is gone again, or does not.
func.func private @combine_order() -> tensor<?x1xf32> {
%x_s = arith.constant dense<[[1.0], [1.0e+08], [-1.0e+08]]> : tensor<3x1xf32>
%x = tensor.cast %x_s : tensor<3x1xf32> to tensor<?x1xf32>
%rows_s = arith.constant dense<[[0, 1, 2], [1, 2, 0]]> : tensor<2x3xi32>
%rows = tensor.cast %rows_s : tensor<2x3xi32> to tensor<?x3xi32>
%w_s = arith.constant dense<[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]> :
      tensor<2x3xf32>
%w = tensor.cast %w_s : tensor<2x3xf32> to tensor<?x3xf32>
%y = dsv2.combine %x, %rows, %w : tensor<?x1xf32>, tensor<?x3xi32>,
      tensor<?x3xf32> -> tensor<?x1xf32>
return %y : tensor<?x1xf32>
}
func.func private @combine_order_expected() -> tensor<2x1xf32> {
%0 = arith.constant dense<[[0.0], [1.0]]> : tensor<2x1xf32>
return %0 : tensor<2x1xf32>
}
func.func private @combine_order_check() {
%got = call @combine_order() : () -> tensor<?x1xf32>
%want = call @combine_order_expected() : () -> tensor<2x1xf32>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<?x1xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<2x1xf32> into tensor<2xf32>
  %wd0 = tensor.cast %w0 : tensor<2xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "combine_order y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: combine_order y: ok

// F035: the factor 16 must not overflow.
func.func private @combine_large() -> tensor<?x1xf32> {
%x_s = arith.constant dense<[[60000.0]]> : tensor<1x1xf32>
%x = tensor.cast %x_s : tensor<1x1xf32> to tensor<?x1xf32>
%rows_s = arith.constant dense<[[0, 0]]> : tensor<1x2xi32>
%rows = tensor.cast %rows_s : tensor<1x2xi32> to tensor<?x2xi32>
%w_s = arith.constant dense<[[16.0, 16.0]]> : tensor<1x2xf32>
%w = tensor.cast %w_s : tensor<1x2xf32> to tensor<?x2xf32>
%y = dsv2.combine %x, %rows, %w : tensor<?x1xf32>, tensor<?x2xi32>,
      tensor<?x2xf32> -> tensor<?x1xf32>
return %y : tensor<?x1xf32>
}
func.func private @combine_large_expected() -> tensor<1x1xf32> {
%0 = arith.constant dense<[[1920000.0]]> : tensor<1x1xf32>
return %0 : tensor<1x1xf32>
}
func.func private @combine_large_check() {
%got = call @combine_large() : () -> tensor<?x1xf32>
%want = call @combine_large_expected() : () -> tensor<1x1xf32>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<?x1xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<1x1xf32> into tensor<1xf32>
  %wd0 = tensor.cast %w0 : tensor<1xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "combine_large y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: combine_large y: ok

// The four together, against a plain loop over
// tokens and experts.
func.func private @moe_layer() -> tensor<?x3xf32> {
%x_s = arith.constant dense<[[0.0625, 0.1875, -0.6875], [-0.0625, -0.25,
      -0.9375], [1.6875, 1.75, -1.25], [-0.625, -1.4375, -1.3125], [-2.0, -0.5,
      1.4375]]> : tensor<5x3xf32>
%x = tensor.cast %x_s : tensor<5x3xf32> to tensor<?x3xf32>
%gate_w = arith.constant dense<[[-1.1875, 2.0, 1.375], [-1.0625, -2.0, -0.9375],
      [-0.3125, -1.25, 0.6875], [0.4375, 1.0, -0.0625], [0.25, 1.3125, 0.375],
      [-1.1875, 1.5, 1.5625]]> : tensor<6x3xf32>
%gate = arith.constant dense<[[[0.25, -0.125, 0.5625], [1.25, 1.125, 1.25],
      [-0.875, 1.6875, -1.9375], [0.0, -0.3125, 0.4375]], [[0.5625, 0.25,
      -1.8125], [-1.25, 0.125, 0.0], [-1.1875, 1.75, -1.4375], [1.6875, 0.5625,
      -1.9375]], [[-0.5, 0.6875, -1.375], [-0.6875, 1.5, -1.5], [1.8125,
      -1.4375, -0.3125], [1.1875, -1.8125, 1.875]], [[0.4375, 0.0625, 0.8125],
      [-0.5, 1.125, 0.0625], [-1.625, 1.3125, 1.4375], [1.0, 0.875, -1.75]],
      [[-1.6875, -1.1875, -0.625], [1.5, -1.6875, 0.0], [1.875, 0.625, 0.9375],
      [1.125, -0.4375, 0.5625]], [[-1.5, 0.9375, -1.0625], [0.1875, 0.8125,
      -1.125], [1.4375, -1.25, 0.75], [2.0, 0.875, -2.0]]]> : tensor<6x4x3xf32>
%up = arith.constant dense<[[[0.75, 0.75, -1.375], [1.5625, 1.8125, -1.0625],
      [1.1875, -1.8125, 0.9375], [-0.4375, -1.4375, -0.6875]], [[1.4375, -0.125,
      0.625], [-0.3125, -1.3125, 1.8125], [-1.5625, -1.5625, -0.375], [1.8125,
      0.0625, -1.875]], [[1.75, 1.75, 0.0625], [-0.6875, -1.3125, 0.9375],
      [-1.8125, -2.0, 1.9375], [-0.1875, -0.5, 0.75]], [[-1.875, 0.5, -0.8125],
      [1.25, -0.5, -1.4375], [-0.1875, -0.375, 0.5], [0.4375, -1.9375,
      -1.9375]], [[-0.1875, 1.375, 0.75], [-0.3125, 0.75, -1.0625], [-0.625,
      -1.125, -0.5625], [0.625, -1.375, -1.8125]], [[0.75, -1.0625, -0.5],
      [-0.8125, -1.0, -1.0], [-1.0625, 0.9375, -0.3125], [0.375, -0.25,
      1.625]]]> : tensor<6x4x3xf32>
%down = arith.constant dense<[[[0.375, 0.8125, 1.9375, -0.8125], [-0.1875,
      -0.6875, -1.0625, -1.5], [-0.0625, -1.0625, -1.8125, 0.4375]], [[0.125,
      0.9375, -0.9375, -0.8125], [0.5625, -0.625, -1.3125, 1.25], [-1.25, 1.875,
      1.25, -1.6875]], [[1.125, -1.75, -0.1875, 1.0625], [-0.5625, 0.0, -1.75,
      -0.3125], [0.0625, 0.5625, 0.375, 1.0625]], [[0.125, -1.75, 1.4375,
      1.875], [0.9375, 1.875, 1.1875, -0.3125], [1.0, -0.125, 1.875, -0.9375]],
      [[-0.125, 0.375, 0.9375, -1.1875], [-0.875, 0.125, 1.5, 1.625], [-0.125,
      0.0, -1.3125, 1.3125]], [[-0.9375, -1.3125, 0.6875, 1.5625], [0.4375,
      -1.5, 1.25, -1.1875], [0.875, 0.875, 1.125, -0.8125]]]> :
      tensor<6x3x4xf32>
%ids, %w = dsv2.route %x, %gate_w top_k 2 groups 2 of 3 scale 2.0 :
      tensor<?x3xf32>, tensor<6x3xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
%xs, %offsets, %rows = dsv2.dispatch %x, %ids : tensor<?x3xf32>, tensor<?x2xi32>
      -> tensor<?x3xf32>, tensor<7xi32>, tensor<?x2xi32>
%ys = dsv2.expert_ffn %xs, %offsets, %gate, %down up %up : tensor<?x3xf32>,
      tensor<7xi32>, tensor<6x4x3xf32>, tensor<6x3x4xf32>, tensor<6x4x3xf32>
%y = dsv2.combine %ys, %rows, %w : tensor<?x3xf32>, tensor<?x2xi32>,
      tensor<?x2xf32> -> tensor<?x3xf32>
return %y : tensor<?x3xf32>
}
func.func private @moe_layer_expected() -> tensor<5x3xf32> {
%0 = arith.constant dense<[[0.46718544, 0.9746732, -1.8230771], [-1.8778535,
      1.5012534, -2.8689399], [-12.021958, -2.090682, 9.257603], [-2.2233815,
      -1.4801531, 3.5629897], [1.5919861, -1.6518857, -2.5590887]]> :
      tensor<5x3xf32>
return %0 : tensor<5x3xf32>
}
func.func private @moe_layer_check() {
%got = call @moe_layer() : () -> tensor<?x3xf32>
%want = call @moe_layer_expected() : () -> tensor<5x3xf32>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<?x3xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<5x3xf32> into tensor<15xf32>
  %wd0 = tensor.cast %w0 : tensor<15xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 2.4043917e-05 : f32
  vector.print str "moe_layer y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: moe_layer y: ok

func.func @main() {
  call @route_greedy_check() : () -> ()
  call @route_groups_check() : () -> ()
  call @route_normalize_check() : () -> ()
  call @route_bf16_check() : () -> ()
  call @route_ties_check() : () -> ()
  call @route_group_ties_check() : () -> ()
  call @route_groups_of_one_check() : () -> ()
  call @route_zero_scores_check() : () -> ()
  call @route_masked_lower_index_check() : () -> ()
  call @route_nan_check() : () -> ()
  call @dispatch_check() : () -> ()
  call @dispatch_one_expert_check() : () -> ()
  call @expert_ffn_check() : () -> ()
  call @combine_check() : () -> ()
  call @combine_order_check() : () -> ()
  call @combine_large_check() : () -> ()
  call @moe_layer_check() : () -> ()
  return
}
