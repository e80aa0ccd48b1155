// RUN: cat %s %S/Inputs/compare.mlir | dsv2-opt --dsv2-convert-to-linalg \
// RUN:   | mlir-opt %lower_to_llvm \
// RUN:   | mlir-runner -e main --entry-point-result=void \
// RUN:       -shared-libs=%mlir_runner_utils \
// RUN:   | FileCheck %s --implicit-check-not=FAIL
//
// Copies and reads of the latent cache.
// Written by test/Oracle/op_reference.py.

// Sequence 1 shares the page of sequence 0, gets its
// own copy, in every layer, and then writes to it: copy on write.
func.func private @copy_pages() -> (tensor<?x6xf32>, tensor<?x6xf32>,
    tensor<?x6xf32>, tensor<?x6xf32>) {
%layers = arith.constant 2 : index
%pages = arith.constant 6 : index
%memory = memref.alloc(%layers, %pages) : memref<?x?x3x6xf32>
%full = arith.constant 77.0 : f32
linalg.fill ins(%full : f32) outs(%memory : memref<?x?x3x6xf32>)
%cache = builtin.unrealized_conversion_cast %memory : memref<?x?x3x6xf32> to
      !dsv2.latent_cache<latent = 4, rope = 2, format = f32, page = 3>
%shared_s = arith.constant dense<[[4, 1], [4, 3]]> : tensor<2x2xi32>
%shared = tensor.cast %shared_s : tensor<2x2xi32> to tensor<?x?xi32>
%own_s = arith.constant dense<[[4, 1], [2, 3]]> : tensor<2x2xi32>
%own = tensor.cast %own_s : tensor<2x2xi32> to tensor<?x?xi32>
%a_latent_s = arith.constant dense<[[-0.8125, 1.125, -0.4375, 0.4375], [-0.625,
      -1.6875, -0.8125, 0.5], [-1.0625, -0.3125, 1.8125, -1.5625]]> :
      tensor<3x4xf32>
%a_latent = tensor.cast %a_latent_s : tensor<3x4xf32> to tensor<?x4xf32>
%a_key_s = arith.constant dense<[[-0.125, 0.875], [0.5, 1.9375], [0.8125,
      1.875]]> : tensor<3x2xf32>
%a_key = tensor.cast %a_key_s : tensor<3x2xf32> to tensor<?x2xf32>
%a_positions_s = arith.constant dense<[0, 1, 2]> : tensor<3xi32>
%a_positions = tensor.cast %a_positions_s : tensor<3xi32> to tensor<?xi32>
%a_ids_s = arith.constant dense<[0, 0, 0]> : tensor<3xi32>
%a_ids = tensor.cast %a_ids_s : tensor<3xi32> to tensor<?xi32>
%a_layer = arith.constant 0 : index
dsv2.latent_append %a_latent, %a_key, %cache[%a_layer], %a_positions, %a_ids,
      %shared : tensor<?x4xf32>, tensor<?x2xf32>, !dsv2.latent_cache<latent = 4,
      rope = 2, format = f32, page = 3>, tensor<?xi32>, tensor<?xi32>,
      tensor<?x?xi32>
%b_latent_s = arith.constant dense<[[1.6875, 0.6875, 1.5625, -1.25], [0.0, 2.0,
      1.375, -1.1875], [-0.5, 0.8125, 1.125, -1.125]]> : tensor<3x4xf32>
%b_latent = tensor.cast %b_latent_s : tensor<3x4xf32> to tensor<?x4xf32>
%b_key_s = arith.constant dense<[[1.0625, 0.6875], [1.9375, 1.4375], [-0.9375,
      -1.25]]> : tensor<3x2xf32>
%b_key = tensor.cast %b_key_s : tensor<3x2xf32> to tensor<?x2xf32>
%b_positions_s = arith.constant dense<[0, 1, 2]> : tensor<3xi32>
%b_positions = tensor.cast %b_positions_s : tensor<3xi32> to tensor<?xi32>
%b_ids_s = arith.constant dense<[0, 0, 0]> : tensor<3xi32>
%b_ids = tensor.cast %b_ids_s : tensor<3xi32> to tensor<?xi32>
%b_layer = arith.constant 1 : index
dsv2.latent_append %b_latent, %b_key, %cache[%b_layer], %b_positions, %b_ids,
      %shared : tensor<?x4xf32>, tensor<?x2xf32>, !dsv2.latent_cache<latent = 4,
      rope = 2, format = f32, page = 3>, tensor<?xi32>, tensor<?xi32>,
      tensor<?x?xi32>
%from_s = arith.constant dense<[4]> : tensor<1xi32>
%from = tensor.cast %from_s : tensor<1xi32> to tensor<?xi32>
%to_s = arith.constant dense<[2]> : tensor<1xi32>
%to = tensor.cast %to_s : tensor<1xi32> to tensor<?xi32>
dsv2.copy_pages %cache, %from, %to : !dsv2.latent_cache<latent = 4, rope = 2,
      format = f32, page = 3>, tensor<?xi32>, tensor<?xi32>
%c_latent_s = arith.constant dense<[[-0.125, 1.875, -0.4375, -0.625]]> :
      tensor<1x4xf32>
%c_latent = tensor.cast %c_latent_s : tensor<1x4xf32> to tensor<?x4xf32>
%c_key_s = arith.constant dense<[[1.6875, -0.25]]> : tensor<1x2xf32>
%c_key = tensor.cast %c_key_s : tensor<1x2xf32> to tensor<?x2xf32>
%c_positions_s = arith.constant dense<[2]> : tensor<1xi32>
%c_positions = tensor.cast %c_positions_s : tensor<1xi32> to tensor<?xi32>
%c_ids_s = arith.constant dense<[1]> : tensor<1xi32>
%c_ids = tensor.cast %c_ids_s : tensor<1xi32> to tensor<?xi32>
%c_layer = arith.constant 1 : index
dsv2.latent_append %c_latent, %c_key, %cache[%c_layer], %c_positions, %c_ids,
      %own : tensor<?x4xf32>, tensor<?x2xf32>, !dsv2.latent_cache<latent = 4,
      rope = 2, format = f32, page = 3>, tensor<?xi32>, tensor<?xi32>,
      tensor<?x?xi32>
%layer0_layer = arith.constant 0 : index
%layer0_sequence = arith.constant 1 : index
%layer0_length = arith.constant 3 : index
%layer0 = dsv2.latent_gather %cache[%layer0_layer], %layer0_sequence,
      %layer0_length, %own : !dsv2.latent_cache<latent = 4, rope = 2, format =
      f32, page = 3>, tensor<?x?xi32> -> tensor<?x6xf32>
%layer1_layer = arith.constant 1 : index
%layer1_sequence = arith.constant 1 : index
%layer1_length = arith.constant 3 : index
%layer1 = dsv2.latent_gather %cache[%layer1_layer], %layer1_sequence,
      %layer1_length, %own : !dsv2.latent_cache<latent = 4, rope = 2, format =
      f32, page = 3>, tensor<?x?xi32> -> tensor<?x6xf32>
%original_layer = arith.constant 1 : index
%original_sequence = arith.constant 0 : index
%original_length = arith.constant 3 : index
%original = dsv2.latent_gather %cache[%original_layer], %original_sequence,
      %original_length, %own : !dsv2.latent_cache<latent = 4, rope = 2, format =
      f32, page = 3>, tensor<?x?xi32> -> tensor<?x6xf32>
%untouched_layer = arith.constant 1 : index
%untouched_sequence = arith.constant 1 : index
%untouched_length = arith.constant 6 : index
%untouched = dsv2.latent_gather %cache[%untouched_layer], %untouched_sequence,
      %untouched_length, %own : !dsv2.latent_cache<latent = 4, rope = 2, format
      = f32, page = 3>, tensor<?x?xi32> -> tensor<?x6xf32>
return %layer0, %layer1, %original, %untouched : tensor<?x6xf32>,
      tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>
}
func.func private @copy_pages_expected() -> (tensor<3x6xf32>, tensor<3x6xf32>,
    tensor<3x6xf32>, tensor<6x6xf32>) {
%0 = arith.constant dense<[[-0.8125, 1.125, -0.4375, 0.4375, -0.125, 0.875],
      [-0.625, -1.6875, -0.8125, 0.5, 0.5, 1.9375], [-1.0625, -0.3125, 1.8125,
      -1.5625, 0.8125, 1.875]]> : tensor<3x6xf32>
%1 = arith.constant dense<[[1.6875, 0.6875, 1.5625, -1.25, 1.0625, 0.6875],
      [0.0, 2.0, 1.375, -1.1875, 1.9375, 1.4375], [-0.125, 1.875, -0.4375,
      -0.625, 1.6875, -0.25]]> : tensor<3x6xf32>
%2 = arith.constant dense<[[1.6875, 0.6875, 1.5625, -1.25, 1.0625, 0.6875],
      [0.0, 2.0, 1.375, -1.1875, 1.9375, 1.4375], [-0.5, 0.8125, 1.125, -1.125,
      -0.9375, -1.25]]> : tensor<3x6xf32>
%3 = arith.constant dense<[[1.6875, 0.6875, 1.5625, -1.25, 1.0625, 0.6875],
      [0.0, 2.0, 1.375, -1.1875, 1.9375, 1.4375], [-0.125, 1.875, -0.4375,
      -0.625, 1.6875, -0.25], [77.0, 77.0, 77.0, 77.0, 77.0, 77.0], [77.0, 77.0,
      77.0, 77.0, 77.0, 77.0], [77.0, 77.0, 77.0, 77.0, 77.0, 77.0]]> :
      tensor<6x6xf32>
return %0, %1, %2, %3 : tensor<3x6xf32>, tensor<3x6xf32>, tensor<3x6xf32>,
      tensor<6x6xf32>
}
func.func private @copy_pages_check() {
%got:4 = call @copy_pages() : () -> (tensor<?x6xf32>, tensor<?x6xf32>,
      tensor<?x6xf32>, tensor<?x6xf32>)
%want:4 = call @copy_pages_expected() : () -> (tensor<3x6xf32>, tensor<3x6xf32>,
      tensor<3x6xf32>, tensor<6x6xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<3x6xf32> into
      tensor<18xf32>
  %wd0 = tensor.cast %w0 : tensor<18xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "copy_pages layer0: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<3x6xf32> into
      tensor<18xf32>
  %wd1 = tensor.cast %w1 : tensor<18xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 0.0 : f32
  vector.print str "copy_pages layer1: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
%g2 = tensor.collapse_shape %got#2 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w2 = tensor.collapse_shape %want#2 [[0, 1]] : tensor<3x6xf32> into
      tensor<18xf32>
  %wd2 = tensor.cast %w2 : tensor<18xf32> to tensor<?xf32>
%d2 = call @difference_f32(%g2, %wd2) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t2 = arith.constant 0.0 : f32
  vector.print str "copy_pages original: "
  call @verdict(%d2, %t2) : (f32, f32) -> ()
%g3 = tensor.collapse_shape %got#3 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w3 = tensor.collapse_shape %want#3 [[0, 1]] : tensor<6x6xf32> into
      tensor<36xf32>
  %wd3 = tensor.cast %w3 : tensor<36xf32> to tensor<?xf32>
%d3 = call @difference_f32(%g3, %wd3) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t3 = arith.constant 0.0 : f32
  vector.print str "copy_pages untouched: "
  call @verdict(%d3, %t3) : (f32, f32) -> ()
  return
}
// CHECK: copy_pages layer0: ok
// CHECK: copy_pages layer1: ok
// CHECK: copy_pages original: ok
// CHECK: copy_pages untouched: ok

// A gather of no rows, and one widened to f32.
func.func private @gather_bf16() -> (tensor<?x6xf32>, tensor<?x6xf32>,
    tensor<?x6xbf16>) {
%layers = arith.constant 2 : index
%pages = arith.constant 6 : index
%memory = memref.alloc(%layers, %pages) : memref<?x?x3x6xbf16>
%full = arith.constant 77.0 : bf16
linalg.fill ins(%full : bf16) outs(%memory : memref<?x?x3x6xbf16>)
%cache = builtin.unrealized_conversion_cast %memory : memref<?x?x3x6xbf16> to
      !dsv2.latent_cache<latent = 4, rope = 2, format = bf16, page = 3>
%tables_s = arith.constant dense<[[5, 0]]> : tensor<1x2xi32>
%tables = tensor.cast %tables_s : tensor<1x2xi32> to tensor<?x?xi32>
%a_latent_s = arith.constant dense<[[-2.3562498, 0.8125, 1.3812499, -0.325],
      [1.9499999, -1.3, 1.5437499, -0.1625], [2.1125, 0.56874996, 0.73125,
      -0.40625], [-2.03125, 1.5437499, -2.03125, -1.625]]> : tensor<4x4xf32>
%a_latent = tensor.cast %a_latent_s : tensor<4x4xf32> to tensor<?x4xf32>
%a_key_s = arith.constant dense<[[2.3562498, -2.6], [0.8125, 1.3812499],
      [-2.3562498, -1.625], [-1.4625, 1.21875]]> : tensor<4x2xf32>
%a_key = tensor.cast %a_key_s : tensor<4x2xf32> to tensor<?x2xf32>
%a_positions_s = arith.constant dense<[0, 1, 2, 3]> : tensor<4xi32>
%a_positions = tensor.cast %a_positions_s : tensor<4xi32> to tensor<?xi32>
%a_ids_s = arith.constant dense<[0, 0, 0, 0]> : tensor<4xi32>
%a_ids = tensor.cast %a_ids_s : tensor<4xi32> to tensor<?xi32>
%a_layer = arith.constant 0 : index
dsv2.latent_append %a_latent, %a_key, %cache[%a_layer], %a_positions, %a_ids,
      %tables : tensor<?x4xf32>, tensor<?x2xf32>, !dsv2.latent_cache<latent = 4,
      rope = 2, format = bf16, page = 3>, tensor<?xi32>, tensor<?xi32>,
      tensor<?x?xi32>
%none_layer = arith.constant 0 : index
%none_sequence = arith.constant 0 : index
%none_length = arith.constant 0 : index
%none = dsv2.latent_gather %cache[%none_layer], %none_sequence, %none_length,
      %tables : !dsv2.latent_cache<latent = 4, rope = 2, format = bf16, page =
      3>, tensor<?x?xi32> -> tensor<?x6xf32>
%wide_layer = arith.constant 0 : index
%wide_sequence = arith.constant 0 : index
%wide_length = arith.constant 4 : index
%wide = dsv2.latent_gather %cache[%wide_layer], %wide_sequence, %wide_length,
      %tables : !dsv2.latent_cache<latent = 4, rope = 2, format = bf16, page =
      3>, tensor<?x?xi32> -> tensor<?x6xf32>
%narrow_layer = arith.constant 0 : index
%narrow_sequence = arith.constant 0 : index
%narrow_length = arith.constant 4 : index
%narrow = dsv2.latent_gather %cache[%narrow_layer], %narrow_sequence,
      %narrow_length, %tables : !dsv2.latent_cache<latent = 4, rope = 2, format
      = bf16, page = 3>, tensor<?x?xi32> -> tensor<?x6xbf16>
return %none, %wide, %narrow : tensor<?x6xf32>, tensor<?x6xf32>,
      tensor<?x6xbf16>
}
func.func private @gather_bf16_expected() -> (tensor<0x6xf32>, tensor<4x6xf32>,
    tensor<4x6xbf16>) {
%0 = arith.constant dense<> : tensor<0x6xf32>
%1 = arith.constant dense<[[-2.359375, 0.8125, 1.3828125, -0.32421875, 2.359375,
      -2.59375], [1.953125, -1.296875, 1.546875, -0.16210938, 0.8125,
      1.3828125], [2.109375, 0.5703125, 0.73046875, -0.40625, -2.359375,
      -1.625], [-2.03125, 1.546875, -2.03125, -1.625, -1.4609375, 1.21875]]> :
      tensor<4x6xf32>
%2 = arith.constant dense<[[-2.359375, 0.8125, 1.3828125, -0.32421875, 2.359375,
      -2.59375], [1.953125, -1.296875, 1.546875, -0.16210938, 0.8125,
      1.3828125], [2.109375, 0.5703125, 0.73046875, -0.40625, -2.359375,
      -1.625], [-2.03125, 1.546875, -2.03125, -1.625, -1.4609375, 1.21875]]> :
      tensor<4x6xbf16>
return %0, %1, %2 : tensor<0x6xf32>, tensor<4x6xf32>, tensor<4x6xbf16>
}
func.func private @gather_bf16_check() {
%got:3 = call @gather_bf16() : () -> (tensor<?x6xf32>, tensor<?x6xf32>,
      tensor<?x6xbf16>)
%want:3 = call @gather_bf16_expected() : () -> (tensor<0x6xf32>,
      tensor<4x6xf32>, tensor<4x6xbf16>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<0x6xf32> into
      tensor<0xf32>
  %wd0 = tensor.cast %w0 : tensor<0xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "gather_bf16 none: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<4x6xf32> into
      tensor<24xf32>
  %wd1 = tensor.cast %w1 : tensor<24xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 0.0 : f32
  vector.print str "gather_bf16 wide: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
%g2 = tensor.collapse_shape %got#2 [[0, 1]] : tensor<?x6xbf16> into
      tensor<?xbf16>
%w2 = tensor.collapse_shape %want#2 [[0, 1]] : tensor<4x6xbf16> into
      tensor<24xbf16>
  %wd2 = tensor.cast %w2 : tensor<24xbf16> to tensor<?xbf16>
%d2 = call @difference_bf16(%g2, %wd2) : (tensor<?xbf16>, tensor<?xbf16>) -> f32
  %t2 = arith.constant 0.0 : f32
  vector.print str "gather_bf16 narrow: "
  call @verdict(%d2, %t2) : (f32, f32) -> ()
  return
}
// CHECK: gather_bf16 none: ok
// CHECK: gather_bf16 wide: ok
// CHECK: gather_bf16 narrow: ok

func.func @main() {
  call @copy_pages_check() : () -> ()
  call @gather_bf16_check() : () -> ()
  return
}
