// RUN: cat %s %S/Inputs/compare.mlir | dsv2-opt --dsv2-convert-to-linalg \
// RUN:   | mlir-opt %lower_to_llvm \
// RUN:   | mlir-runner -e main --entry-point-result=void \
// RUN:       -shared-libs=%mlir_runner_utils \
// RUN:   | FileCheck %s --implicit-check-not=FAIL
//
// Latent attention over the paged cache.
// Written by test/Oracle/op_reference.py.

// Two sequences of different length in permuted
// pages: a chunk of each, then one token of each, then one of the second
// only. Both forms, against the same expected values; what the cache
// holds; and another layer, which stays as it was.
func.func private @attention_ragged() -> (tensor<?x2x5xf32>, tensor<?x2x5xf32>,
    tensor<?x2x5xf32>, tensor<?x2x5xf32>, tensor<?x2x5xf32>, tensor<?x2x5xf32>,
    tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>) {
%layers = arith.constant 2 : index
%pages = arith.constant 6 : index
%memory = memref.alloc(%layers, %pages) : memref<?x?x3x6xf32>
%full = arith.constant 77.0 : f32
linalg.fill ins(%full : f32) outs(%memory : memref<?x?x3x6xf32>)
%cache = builtin.unrealized_conversion_cast %memory : memref<?x?x3x6xf32> to
      !dsv2.latent_cache<latent = 4, rope = 2, format = f32, page = 3>
%uk = arith.constant dense<[[[-1.5, -1.5, 1.1875, 0.0], [0.375, 0.4375, 0.875,
      -1.9375], [-0.0625, -1.4375, -0.375, 1.75]], [[0.1875, -1.75, 0.1875,
      -1.5], [1.0625, 1.8125, 1.9375, 0.5], [1.5, -0.5625, -1.4375, 0.0625]]]> :
      tensor<2x3x4xf32>
%uv = arith.constant dense<[[[-0.25, 0.6875, 2.0, -0.9375], [1.4375, -1.5,
      -0.625, 1.1875], [-1.0, 0.6875, -0.1875, 0.0625], [1.8125, 1.3125, 1.375,
      0.1875], [1.9375, 1.9375, -1.5, -1.1875]], [[-0.75, 0.1875, 1.3125,
      -0.0625], [1.9375, -0.625, 1.75, 0.375], [0.875, -1.0625, 0.375, 1.25],
      [1.5625, 1.5, 1.875, -1.5], [1.125, -0.125, 0.75, -0.875]]]> :
      tensor<2x5x4xf32>
%tables_s = arith.constant dense<[[4, 1, 2], [0, 5, 3]]> : tensor<2x3xi32>
%tables = tensor.cast %tables_s : tensor<2x3xi32> to tensor<?x?xi32>
%layer = arith.constant 1 : index
%latent0_s = arith.constant dense<[[-2.0, -1.6875, 1.9375, 1.625], [-0.8125,
      -0.3125, -1.0625, -1.4375], [1.4375, 0.6875, -1.75, -1.1875], [0.25,
      1.625, 2.0, -1.125], [0.4375, -1.875, -1.3125, -1.1875], [-0.25, -0.625,
      0.9375, -0.125], [-0.625, 1.625, 0.5, 0.8125]]> : tensor<7x4xf32>
%latent0 = tensor.cast %latent0_s : tensor<7x4xf32> to tensor<?x4xf32>
%key0_s = arith.constant dense<[[1.0, -0.625], [1.5625, -1.9375], [-0.8125,
      -1.375], [-2.0, 2.0], [-1.6875, -0.1875], [1.3125, 0.75], [1.4375,
      -1.8125]]> : tensor<7x2xf32>
%key0 = tensor.cast %key0_s : tensor<7x2xf32> to tensor<?x2xf32>
%qn0_s = arith.constant dense<[[[0.0, -1.875, -1.25], [1.375, -1.75, 0.375]],
      [[-1.9375, -0.75, 1.75], [-0.75, -0.75, -1.6875]], [[1.125, -1.3125, 0.0],
      [-1.9375, -1.9375, 1.375]], [[-2.0, -0.125, -0.3125], [-1.5, 0.5625,
      1.0]], [[2.0, -1.25, 1.75], [-1.75, -1.4375, 0.375]], [[1.5, 1.625, 1.0],
      [-1.9375, -0.3125, 1.25]], [[0.125, -1.25, 0.75], [-1.625, 0.8125,
      -1.9375]]]> : tensor<7x2x3xf32>
%qn0 = tensor.cast %qn0_s : tensor<7x2x3xf32> to tensor<?x2x3xf32>
%qr0_s = arith.constant dense<[[[-0.5625, -0.8125], [1.8125, 0.9375]], [[0.625,
      0.0], [-0.875, 1.4375]], [[1.8125, -1.125], [-1.0625, -0.75]], [[-0.0625,
      -1.0], [-0.375, 1.9375]], [[-0.5625, 1.8125], [0.0, -0.625]], [[1.75,
      -0.25], [1.125, -0.75]], [[2.0, 1.0], [1.5625, -1.875]]]> :
      tensor<7x2x2xf32>
%qr0 = tensor.cast %qr0_s : tensor<7x2x2xf32> to tensor<?x2x2xf32>
%positions0_s = arith.constant dense<[0, 1, 2, 3, 4, 0, 1]> : tensor<7xi32>
%positions0 = tensor.cast %positions0_s : tensor<7xi32> to tensor<?xi32>
%ids0_s = arith.constant dense<[0, 0, 0, 0, 0, 1, 1]> : tensor<7xi32>
%ids0 = tensor.cast %ids0_s : tensor<7xi32> to tensor<?xi32>
%starts0_s = arith.constant dense<[0, 5, 7]> : tensor<3xi32>
%starts0 = tensor.cast %starts0_s : tensor<3xi32> to tensor<?xi32>
dsv2.latent_append %latent0, %key0, %cache[%layer], %positions0, %ids0, %tables
      : tensor<?x4xf32>, tensor<?x2xf32>, !dsv2.latent_cache<latent = 4, rope =
      2, format = f32, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
%expanded0 = dsv2.latent_attention %qn0, %qr0, %uk, %uv, %cache[%layer],
      %positions0, %ids0, %starts0, %tables form expanded scale 0.6875 :
      tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xf32>,
      tensor<2x5x4xf32>, !dsv2.latent_cache<latent = 4, rope = 2, format = f32,
      page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> ->
      tensor<?x2x5xf32>
%absorbed0 = dsv2.latent_attention %qn0, %qr0, %uk, %uv, %cache[%layer],
      %positions0, %ids0, %starts0, %tables form absorbed scale 0.6875 :
      tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xf32>,
      tensor<2x5x4xf32>, !dsv2.latent_cache<latent = 4, rope = 2, format = f32,
      page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> ->
      tensor<?x2x5xf32>
%latent1_s = arith.constant dense<[[-1.625, -1.75, 0.125, -0.375], [1.9375,
      -1.0625, -1.375, 1.375]]> : tensor<2x4xf32>
%latent1 = tensor.cast %latent1_s : tensor<2x4xf32> to tensor<?x4xf32>
%key1_s = arith.constant dense<[[-0.8125, 1.0], [-0.875, 0.1875]]> :
      tensor<2x2xf32>
%key1 = tensor.cast %key1_s : tensor<2x2xf32> to tensor<?x2xf32>
%qn1_s = arith.constant dense<[[[-1.6875, 0.625, 1.6875], [0.75, 1.5625,
      1.125]], [[0.25, 1.75, -0.0625], [-1.4375, 0.25, 0.5]]]> :
      tensor<2x2x3xf32>
%qn1 = tensor.cast %qn1_s : tensor<2x2x3xf32> to tensor<?x2x3xf32>
%qr1_s = arith.constant dense<[[[-1.3125, -1.4375], [0.6875, -0.25]], [[-0.0625,
      1.1875], [0.75, 1.625]]]> : tensor<2x2x2xf32>
%qr1 = tensor.cast %qr1_s : tensor<2x2x2xf32> to tensor<?x2x2xf32>
%positions1_s = arith.constant dense<[5, 2]> : tensor<2xi32>
%positions1 = tensor.cast %positions1_s : tensor<2xi32> to tensor<?xi32>
%ids1_s = arith.constant dense<[0, 1]> : tensor<2xi32>
%ids1 = tensor.cast %ids1_s : tensor<2xi32> to tensor<?xi32>
%starts1_s = arith.constant dense<[0, 1, 2]> : tensor<3xi32>
%starts1 = tensor.cast %starts1_s : tensor<3xi32> to tensor<?xi32>
dsv2.latent_append %latent1, %key1, %cache[%layer], %positions1, %ids1, %tables
      : tensor<?x4xf32>, tensor<?x2xf32>, !dsv2.latent_cache<latent = 4, rope =
      2, format = f32, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
%expanded1 = dsv2.latent_attention %qn1, %qr1, %uk, %uv, %cache[%layer],
      %positions1, %ids1, %starts1, %tables form expanded scale 0.6875 :
      tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xf32>,
      tensor<2x5x4xf32>, !dsv2.latent_cache<latent = 4, rope = 2, format = f32,
      page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> ->
      tensor<?x2x5xf32>
%absorbed1 = dsv2.latent_attention %qn1, %qr1, %uk, %uv, %cache[%layer],
      %positions1, %ids1, %starts1, %tables form absorbed scale 0.6875 :
      tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xf32>,
      tensor<2x5x4xf32>, !dsv2.latent_cache<latent = 4, rope = 2, format = f32,
      page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> ->
      tensor<?x2x5xf32>
%latent2_s = arith.constant dense<[[-1.375, 1.0625, 0.1875, -1.875]]> :
      tensor<1x4xf32>
%latent2 = tensor.cast %latent2_s : tensor<1x4xf32> to tensor<?x4xf32>
%key2_s = arith.constant dense<[[-1.75, -0.5625]]> : tensor<1x2xf32>
%key2 = tensor.cast %key2_s : tensor<1x2xf32> to tensor<?x2xf32>
%qn2_s = arith.constant dense<[[[0.5625, -1.375, 0.1875], [2.0, -1.4375,
      -1.4375]]]> : tensor<1x2x3xf32>
%qn2 = tensor.cast %qn2_s : tensor<1x2x3xf32> to tensor<?x2x3xf32>
%qr2_s = arith.constant dense<[[[1.875, -1.0625], [1.5, -0.5625]]]> :
      tensor<1x2x2xf32>
%qr2 = tensor.cast %qr2_s : tensor<1x2x2xf32> to tensor<?x2x2xf32>
%positions2_s = arith.constant dense<[3]> : tensor<1xi32>
%positions2 = tensor.cast %positions2_s : tensor<1xi32> to tensor<?xi32>
%ids2_s = arith.constant dense<[1]> : tensor<1xi32>
%ids2 = tensor.cast %ids2_s : tensor<1xi32> to tensor<?xi32>
%starts2_s = arith.constant dense<[0, 0, 1]> : tensor<3xi32>
%starts2 = tensor.cast %starts2_s : tensor<3xi32> to tensor<?xi32>
dsv2.latent_append %latent2, %key2, %cache[%layer], %positions2, %ids2, %tables
      : tensor<?x4xf32>, tensor<?x2xf32>, !dsv2.latent_cache<latent = 4, rope =
      2, format = f32, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
%expanded2 = dsv2.latent_attention %qn2, %qr2, %uk, %uv, %cache[%layer],
      %positions2, %ids2, %starts2, %tables form expanded scale 0.6875 :
      tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xf32>,
      tensor<2x5x4xf32>, !dsv2.latent_cache<latent = 4, rope = 2, format = f32,
      page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> ->
      tensor<?x2x5xf32>
%absorbed2 = dsv2.latent_attention %qn2, %qr2, %uk, %uv, %cache[%layer],
      %positions2, %ids2, %starts2, %tables form absorbed scale 0.6875 :
      tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xf32>,
      tensor<2x5x4xf32>, !dsv2.latent_cache<latent = 4, rope = 2, format = f32,
      page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> ->
      tensor<?x2x5xf32>
%rows0_layer = arith.constant 1 : index
%rows0_sequence = arith.constant 0 : index
%rows0_length = arith.constant 6 : index
%rows0 = dsv2.latent_gather %cache[%rows0_layer], %rows0_sequence,
      %rows0_length, %tables : !dsv2.latent_cache<latent = 4, rope = 2, format =
      f32, page = 3>, tensor<?x?xi32> -> tensor<?x6xf32>
%rows1_layer = arith.constant 1 : index
%rows1_sequence = arith.constant 1 : index
%rows1_length = arith.constant 4 : index
%rows1 = dsv2.latent_gather %cache[%rows1_layer], %rows1_sequence,
      %rows1_length, %tables : !dsv2.latent_cache<latent = 4, rope = 2, format =
      f32, page = 3>, tensor<?x?xi32> -> tensor<?x6xf32>
%other_layer_layer = arith.constant 0 : index
%other_layer_sequence = arith.constant 0 : index
%other_layer_length = arith.constant 3 : index
%other_layer = dsv2.latent_gather %cache[%other_layer_layer],
      %other_layer_sequence, %other_layer_length, %tables :
      !dsv2.latent_cache<latent = 4, rope = 2, format = f32, page = 3>,
      tensor<?x?xi32> -> tensor<?x6xf32>
return %expanded0, %absorbed0, %expanded1, %absorbed1, %expanded2, %absorbed2,
      %rows0, %rows1, %other_layer : tensor<?x2x5xf32>, tensor<?x2x5xf32>,
      tensor<?x2x5xf32>, tensor<?x2x5xf32>, tensor<?x2x5xf32>,
      tensor<?x2x5xf32>, tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>
}
func.func private @attention_ragged_expected() -> (tensor<7x2x5xf32>,
    tensor<7x2x5xf32>, tensor<2x2x5xf32>, tensor<2x2x5xf32>, tensor<1x2x5xf32>,
    tensor<1x2x5xf32>, tensor<6x6xf32>, tensor<4x6xf32>, tensor<3x6xf32>) {
%0 = arith.constant dense<[[[1.6914062, 0.375, 0.578125, -2.8710938,
      -11.980469], [3.625, 1.1796875, 2.8007812, -4.4609375, -2.0078125]],
      [[0.26686004, -0.84091187, 0.65215653, -3.2973359, -4.456173], [3.619549,
      1.1735169, 2.7940903, -4.457344, -2.0058286]], [[1.6905246, 0.3742479,
      0.57817066, -2.871357, -11.975812], [-3.101017, -1.2291011, -1.6413184,
      1.679182, 1.2088434]], [[-2.2712698, 0.71668506, -0.71010125, 0.87766385,
      8.148095], [2.680987, 2.46531, -2.1514585, 8.121533, 2.533301]],
      [[1.6914055, 0.37500042, 0.57812464, -2.871094, -11.980467], [-1.9074563,
      -2.178127, -1.6806526, -0.3745654, 0.42266104]], [[1.625, -0.15625,
      -0.36328125, -0.0078125, -2.953125], [1.3085938, 1.5, 0.640625, 0.6171875,
      0.609375]], [[1.6032388, -0.64174896, 0.032921907, 0.34711948,
      -2.3430622], [1.3789061, -1.0468689, -1.0703084, 1.1796862, -1.2421831]]]>
      : tensor<7x2x5xf32>
%1 = arith.constant dense<[[[1.6914062, 0.375, 0.578125, -2.8710938,
      -11.980469], [3.625, 1.1796875, 2.8007812, -4.4609375, -2.0078125]],
      [[0.26686004, -0.84091187, 0.65215653, -3.2973359, -4.456173], [3.619549,
      1.1735169, 2.7940903, -4.457344, -2.0058286]], [[1.6905246, 0.3742479,
      0.57817066, -2.871357, -11.975812], [-3.101017, -1.2291011, -1.6413184,
      1.679182, 1.2088434]], [[-2.2712698, 0.71668506, -0.71010125, 0.87766385,
      8.148095], [2.680987, 2.46531, -2.1514585, 8.121533, 2.533301]],
      [[1.6914055, 0.37500042, 0.57812464, -2.871094, -11.980467], [-1.9074563,
      -2.178127, -1.6806526, -0.3745654, 0.42266104]], [[1.625, -0.15625,
      -0.36328125, -0.0078125, -2.953125], [1.3085938, 1.5, 0.640625, 0.6171875,
      0.609375]], [[1.6032388, -0.64174896, 0.032921907, 0.34711948,
      -2.3430622], [1.3789061, -1.0468689, -1.0703084, 1.1796862, -1.2421831]]]>
      : tensor<7x2x5xf32>
%2 = arith.constant dense<[[[-2.2901754, 0.77855295, -0.73432344, 0.7430662,
      7.926864], [0.6265635, 1.1650593, -1.9481137, 5.803729, 2.060558]],
      [[1.6144886, -0.1829849, -0.33657795, 0.019020535, -2.901525],
      [0.16857801, -0.060839973, 0.25354028, 0.07950847, -0.838863]]]> :
      tensor<2x2x5xf32>
%3 = arith.constant dense<[[[-2.2901754, 0.77855295, -0.73432344, 0.7430662,
      7.926864], [0.6265635, 1.1650593, -1.9481137, 5.803729, 2.060558]],
      [[1.6144886, -0.1829849, -0.33657795, 0.019020535, -2.901525],
      [0.16857801, -0.060839973, 0.25354028, 0.07950847, -0.838863]]]> :
      tensor<2x2x5xf32>
%4 = arith.constant dense<[[[0.6436746, -1.1387385, 0.9300765, 1.443587,
      0.09362077], [1.3609843, 0.533143, -0.33379668, 0.9868968, 0.5146877]]]> :
      tensor<1x2x5xf32>
%5 = arith.constant dense<[[[0.6436746, -1.1387385, 0.9300765, 1.443587,
      0.09362077], [1.3609843, 0.533143, -0.33379668, 0.9868968, 0.5146877]]]> :
      tensor<1x2x5xf32>
%6 = arith.constant dense<[[-2.0, -1.6875, 1.9375, 1.625, 1.0, -0.625],
      [-0.8125, -0.3125, -1.0625, -1.4375, 1.5625, -1.9375], [1.4375, 0.6875,
      -1.75, -1.1875, -0.8125, -1.375], [0.25, 1.625, 2.0, -1.125, -2.0, 2.0],
      [0.4375, -1.875, -1.3125, -1.1875, -1.6875, -0.1875], [-1.625, -1.75,
      0.125, -0.375, -0.8125, 1.0]]> : tensor<6x6xf32>
%7 = arith.constant dense<[[-0.25, -0.625, 0.9375, -0.125, 1.3125, 0.75],
      [-0.625, 1.625, 0.5, 0.8125, 1.4375, -1.8125], [1.9375, -1.0625, -1.375,
      1.375, -0.875, 0.1875], [-1.375, 1.0625, 0.1875, -1.875, -1.75, -0.5625]]>
      : tensor<4x6xf32>
%8 = arith.constant dense<[[77.0, 77.0, 77.0, 77.0, 77.0, 77.0], [77.0, 77.0,
      77.0, 77.0, 77.0, 77.0], [77.0, 77.0, 77.0, 77.0, 77.0, 77.0]]> :
      tensor<3x6xf32>
return %0, %1, %2, %3, %4, %5, %6, %7, %8 : tensor<7x2x5xf32>,
      tensor<7x2x5xf32>, tensor<2x2x5xf32>, tensor<2x2x5xf32>,
      tensor<1x2x5xf32>, tensor<1x2x5xf32>, tensor<6x6xf32>, tensor<4x6xf32>,
      tensor<3x6xf32>
}
func.func private @attention_ragged_check() {
%got:9 = call @attention_ragged() : () -> (tensor<?x2x5xf32>, tensor<?x2x5xf32>,
      tensor<?x2x5xf32>, tensor<?x2x5xf32>, tensor<?x2x5xf32>,
      tensor<?x2x5xf32>, tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>)
%want:9 = call @attention_ragged_expected() : () -> (tensor<7x2x5xf32>,
      tensor<7x2x5xf32>, tensor<2x2x5xf32>, tensor<2x2x5xf32>,
      tensor<1x2x5xf32>, tensor<1x2x5xf32>, tensor<6x6xf32>, tensor<4x6xf32>,
      tensor<3x6xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w0 = tensor.collapse_shape %want#0 [[0, 1, 2]] : tensor<7x2x5xf32> into
      tensor<70xf32>
  %wd0 = tensor.cast %w0 : tensor<70xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 2.0e-06 : f32
  vector.print str "attention_ragged expanded0: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1, 2]] : tensor<7x2x5xf32> into
      tensor<70xf32>
  %wd1 = tensor.cast %w1 : tensor<70xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 2.0e-06 : f32
  vector.print str "attention_ragged absorbed0: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
%g2 = tensor.collapse_shape %got#2 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w2 = tensor.collapse_shape %want#2 [[0, 1, 2]] : tensor<2x2x5xf32> into
      tensor<20xf32>
  %wd2 = tensor.cast %w2 : tensor<20xf32> to tensor<?xf32>
%d2 = call @difference_f32(%g2, %wd2) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t2 = arith.constant 2.0e-06 : f32
  vector.print str "attention_ragged expanded1: "
  call @verdict(%d2, %t2) : (f32, f32) -> ()
%g3 = tensor.collapse_shape %got#3 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w3 = tensor.collapse_shape %want#3 [[0, 1, 2]] : tensor<2x2x5xf32> into
      tensor<20xf32>
  %wd3 = tensor.cast %w3 : tensor<20xf32> to tensor<?xf32>
%d3 = call @difference_f32(%g3, %wd3) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t3 = arith.constant 2.0e-06 : f32
  vector.print str "attention_ragged absorbed1: "
  call @verdict(%d3, %t3) : (f32, f32) -> ()
%g4 = tensor.collapse_shape %got#4 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w4 = tensor.collapse_shape %want#4 [[0, 1, 2]] : tensor<1x2x5xf32> into
      tensor<10xf32>
  %wd4 = tensor.cast %w4 : tensor<10xf32> to tensor<?xf32>
%d4 = call @difference_f32(%g4, %wd4) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t4 = arith.constant 2.0e-06 : f32
  vector.print str "attention_ragged expanded2: "
  call @verdict(%d4, %t4) : (f32, f32) -> ()
%g5 = tensor.collapse_shape %got#5 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w5 = tensor.collapse_shape %want#5 [[0, 1, 2]] : tensor<1x2x5xf32> into
      tensor<10xf32>
  %wd5 = tensor.cast %w5 : tensor<10xf32> to tensor<?xf32>
%d5 = call @difference_f32(%g5, %wd5) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t5 = arith.constant 2.0e-06 : f32
  vector.print str "attention_ragged absorbed2: "
  call @verdict(%d5, %t5) : (f32, f32) -> ()
%g6 = tensor.collapse_shape %got#6 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w6 = tensor.collapse_shape %want#6 [[0, 1]] : tensor<6x6xf32> into
      tensor<36xf32>
  %wd6 = tensor.cast %w6 : tensor<36xf32> to tensor<?xf32>
%d6 = call @difference_f32(%g6, %wd6) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t6 = arith.constant 0.0 : f32
  vector.print str "attention_ragged rows0: "
  call @verdict(%d6, %t6) : (f32, f32) -> ()
%g7 = tensor.collapse_shape %got#7 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w7 = tensor.collapse_shape %want#7 [[0, 1]] : tensor<4x6xf32> into
      tensor<24xf32>
  %wd7 = tensor.cast %w7 : tensor<24xf32> to tensor<?xf32>
%d7 = call @difference_f32(%g7, %wd7) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t7 = arith.constant 0.0 : f32
  vector.print str "attention_ragged rows1: "
  call @verdict(%d7, %t7) : (f32, f32) -> ()
%g8 = tensor.collapse_shape %got#8 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w8 = tensor.collapse_shape %want#8 [[0, 1]] : tensor<3x6xf32> into
      tensor<18xf32>
  %wd8 = tensor.cast %w8 : tensor<18xf32> to tensor<?xf32>
%d8 = call @difference_f32(%g8, %wd8) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t8 = arith.constant 0.0 : f32
  vector.print str "attention_ragged other_layer: "
  call @verdict(%d8, %t8) : (f32, f32) -> ()
  return
}
// CHECK: attention_ragged expanded0: ok
// CHECK: attention_ragged absorbed0: ok
// CHECK: attention_ragged expanded1: ok
// CHECK: attention_ragged absorbed1: ok
// CHECK: attention_ragged expanded2: ok
// CHECK: attention_ragged absorbed2: ok
// CHECK: attention_ragged rows0: ok
// CHECK: attention_ragged rows1: ok
// CHECK: attention_ragged other_layer: ok

// F048: three tokens one by one are three
// tokens at once (next).
func.func private @attention_chunks() -> (tensor<?x2x5xf32>, tensor<?x2x5xf32>,
    tensor<?x2x5xf32>, tensor<?x6xf32>, tensor<?x6xf32>) {
%layers = arith.constant 2 : index
%pages = arith.constant 6 : index
%memory = memref.alloc(%layers, %pages) : memref<?x?x3x6xf32>
%full = arith.constant 77.0 : f32
linalg.fill ins(%full : f32) outs(%memory : memref<?x?x3x6xf32>)
%cache = builtin.unrealized_conversion_cast %memory : memref<?x?x3x6xf32> to
      !dsv2.latent_cache<latent = 4, rope = 2, format = f32, page = 3>
%uk = arith.constant dense<[[[0.4375, -1.0, 1.9375, 1.8125], [-1.75, -1.25,
      -1.25, -1.3125], [0.3125, -0.625, -0.0625, -1.125]], [[1.8125, 0.6875,
      0.6875, -1.5625], [-1.375, 1.625, -0.75, 1.4375], [1.1875, -2.0, -0.125,
      0.1875]]]> : tensor<2x3x4xf32>
%uv = arith.constant dense<[[[-0.125, -1.625, 0.875, -1.0], [-0.625, -0.3125,
      -0.8125, -0.1875], [1.375, -0.125, 1.0, 1.75], [-1.125, -1.0, 0.25,
      -1.25], [0.75, 0.6875, 0.75, 1.8125]], [[-0.3125, 1.6875, 1.9375, 1.5625],
      [-0.8125, -1.75, 1.4375, 1.75], [-0.6875, 0.625, -1.375, 1.5], [1.4375,
      -0.375, 1.1875, -1.125], [1.9375, 1.1875, 1.3125, 0.6875]]]> :
      tensor<2x5x4xf32>
%tables_s = arith.constant dense<[[4, 1, 2], [0, 5, 3]]> : tensor<2x3xi32>
%tables = tensor.cast %tables_s : tensor<2x3xi32> to tensor<?x?xi32>
%layer = arith.constant 1 : index
%latent0_s = arith.constant dense<[[-1.8125, 1.125, 0.875, -1.1875]]> :
      tensor<1x4xf32>
%latent0 = tensor.cast %latent0_s : tensor<1x4xf32> to tensor<?x4xf32>
%key0_s = arith.constant dense<[[1.4375, -1.5]]> : tensor<1x2xf32>
%key0 = tensor.cast %key0_s : tensor<1x2xf32> to tensor<?x2xf32>
%qn0_s = arith.constant dense<[[[-0.4375, 1.0625, 1.125], [-1.9375, -1.0,
      1.8125]]]> : tensor<1x2x3xf32>
%qn0 = tensor.cast %qn0_s : tensor<1x2x3xf32> to tensor<?x2x3xf32>
%qr0_s = arith.constant dense<[[[0.25, -1.5], [-0.625, 0.4375]]]> :
      tensor<1x2x2xf32>
%qr0 = tensor.cast %qr0_s : tensor<1x2x2xf32> to tensor<?x2x2xf32>
%positions0_s = arith.constant dense<[0]> : tensor<1xi32>
%positions0 = tensor.cast %positions0_s : tensor<1xi32> to tensor<?xi32>
%ids0_s = arith.constant dense<[0]> : tensor<1xi32>
%ids0 = tensor.cast %ids0_s : tensor<1xi32> to tensor<?xi32>
%starts0_s = arith.constant dense<[0, 1, 1]> : tensor<3xi32>
%starts0 = tensor.cast %starts0_s : tensor<3xi32> to tensor<?xi32>
dsv2.latent_append %latent0, %key0, %cache[%layer], %positions0, %ids0, %tables
      : tensor<?x4xf32>, tensor<?x2xf32>, !dsv2.latent_cache<latent = 4, rope =
      2, format = f32, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
%absorbed0 = dsv2.latent_attention %qn0, %qr0, %uk, %uv, %cache[%layer],
      %positions0, %ids0, %starts0, %tables form absorbed scale 0.6875 :
      tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xf32>,
      tensor<2x5x4xf32>, !dsv2.latent_cache<latent = 4, rope = 2, format = f32,
      page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> ->
      tensor<?x2x5xf32>
%latent1_s = arith.constant dense<[[-2.0, -0.3125, -1.0, -0.6875]]> :
      tensor<1x4xf32>
%latent1 = tensor.cast %latent1_s : tensor<1x4xf32> to tensor<?x4xf32>
%key1_s = arith.constant dense<[[0.5625, -1.3125]]> : tensor<1x2xf32>
%key1 = tensor.cast %key1_s : tensor<1x2xf32> to tensor<?x2xf32>
%qn1_s = arith.constant dense<[[[1.6875, 1.125, 0.625], [1.6875, -1.6875,
      0.9375]]]> : tensor<1x2x3xf32>
%qn1 = tensor.cast %qn1_s : tensor<1x2x3xf32> to tensor<?x2x3xf32>
%qr1_s = arith.constant dense<[[[1.5625, 0.4375], [0.1875, 0.875]]]> :
      tensor<1x2x2xf32>
%qr1 = tensor.cast %qr1_s : tensor<1x2x2xf32> to tensor<?x2x2xf32>
%positions1_s = arith.constant dense<[1]> : tensor<1xi32>
%positions1 = tensor.cast %positions1_s : tensor<1xi32> to tensor<?xi32>
%ids1_s = arith.constant dense<[0]> : tensor<1xi32>
%ids1 = tensor.cast %ids1_s : tensor<1xi32> to tensor<?xi32>
%starts1_s = arith.constant dense<[0, 1, 1]> : tensor<3xi32>
%starts1 = tensor.cast %starts1_s : tensor<3xi32> to tensor<?xi32>
dsv2.latent_append %latent1, %key1, %cache[%layer], %positions1, %ids1, %tables
      : tensor<?x4xf32>, tensor<?x2xf32>, !dsv2.latent_cache<latent = 4, rope =
      2, format = f32, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
%absorbed1 = dsv2.latent_attention %qn1, %qr1, %uk, %uv, %cache[%layer],
      %positions1, %ids1, %starts1, %tables form absorbed scale 0.6875 :
      tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xf32>,
      tensor<2x5x4xf32>, !dsv2.latent_cache<latent = 4, rope = 2, format = f32,
      page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> ->
      tensor<?x2x5xf32>
%latent2_s = arith.constant dense<[[0.9375, 0.125, 0.125, 0.25]]> :
      tensor<1x4xf32>
%latent2 = tensor.cast %latent2_s : tensor<1x4xf32> to tensor<?x4xf32>
%key2_s = arith.constant dense<[[0.9375, 1.625]]> : tensor<1x2xf32>
%key2 = tensor.cast %key2_s : tensor<1x2xf32> to tensor<?x2xf32>
%qn2_s = arith.constant dense<[[[1.3125, -0.875, 1.5], [-1.125, 0.625,
      1.8125]]]> : tensor<1x2x3xf32>
%qn2 = tensor.cast %qn2_s : tensor<1x2x3xf32> to tensor<?x2x3xf32>
%qr2_s = arith.constant dense<[[[1.9375, 1.8125], [1.1875, -0.125]]]> :
      tensor<1x2x2xf32>
%qr2 = tensor.cast %qr2_s : tensor<1x2x2xf32> to tensor<?x2x2xf32>
%positions2_s = arith.constant dense<[2]> : tensor<1xi32>
%positions2 = tensor.cast %positions2_s : tensor<1xi32> to tensor<?xi32>
%ids2_s = arith.constant dense<[0]> : tensor<1xi32>
%ids2 = tensor.cast %ids2_s : tensor<1xi32> to tensor<?xi32>
%starts2_s = arith.constant dense<[0, 1, 1]> : tensor<3xi32>
%starts2 = tensor.cast %starts2_s : tensor<3xi32> to tensor<?xi32>
dsv2.latent_append %latent2, %key2, %cache[%layer], %positions2, %ids2, %tables
      : tensor<?x4xf32>, tensor<?x2xf32>, !dsv2.latent_cache<latent = 4, rope =
      2, format = f32, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
%absorbed2 = dsv2.latent_attention %qn2, %qr2, %uk, %uv, %cache[%layer],
      %positions2, %ids2, %starts2, %tables form absorbed scale 0.6875 :
      tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xf32>,
      tensor<2x5x4xf32>, !dsv2.latent_cache<latent = 4, rope = 2, format = f32,
      page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> ->
      tensor<?x2x5xf32>
%rows0_layer = arith.constant 1 : index
%rows0_sequence = arith.constant 0 : index
%rows0_length = arith.constant 3 : index
%rows0 = dsv2.latent_gather %cache[%rows0_layer], %rows0_sequence,
      %rows0_length, %tables : !dsv2.latent_cache<latent = 4, rope = 2, format =
      f32, page = 3>, tensor<?x?xi32> -> tensor<?x6xf32>
%other_layer_layer = arith.constant 0 : index
%other_layer_sequence = arith.constant 0 : index
%other_layer_length = arith.constant 3 : index
%other_layer = dsv2.latent_gather %cache[%other_layer_layer],
      %other_layer_sequence, %other_layer_length, %tables :
      !dsv2.latent_cache<latent = 4, rope = 2, format = f32, page = 3>,
      tensor<?x?xi32> -> tensor<?x6xf32>
return %absorbed0, %absorbed1, %absorbed2, %rows0, %other_layer :
      tensor<?x2x5xf32>, tensor<?x2x5xf32>, tensor<?x2x5xf32>, tensor<?x6xf32>,
      tensor<?x6xf32>
}
func.func private @attention_chunks_expected() -> (tensor<1x2x5xf32>,
    tensor<1x2x5xf32>, tensor<1x2x5xf32>, tensor<3x6xf32>, tensor<3x6xf32>) {
%0 = arith.constant dense<[[[0.3515625, 0.29296875, -3.8359375, 2.6171875,
      -2.0820312], [2.3046875, -1.3164062, -1.0351562, -0.65234375, -1.84375]]]>
      : tensor<1x2x5xf32>
%1 = arith.constant dense<[[[0.49498886, 1.6017343, -4.5428247, 2.9808757,
      -3.1500454], [1.7230995, -1.2219417, -0.75002146, -0.9331254,
      -2.3104134]]]> : tensor<1x2x5xf32>
%2 = arith.constant dense<[[[-0.46082214, -0.77328193, 1.8351332, -1.4603597,
      1.3354504], [-2.3536074, -0.45471677, 1.2191033, -2.481965, -4.7086515]]]>
      : tensor<1x2x5xf32>
%3 = arith.constant dense<[[-1.8125, 1.125, 0.875, -1.1875, 1.4375, -1.5],
      [-2.0, -0.3125, -1.0, -0.6875, 0.5625, -1.3125], [0.9375, 0.125, 0.125,
      0.25, 0.9375, 1.625]]> : tensor<3x6xf32>
%4 = arith.constant dense<[[77.0, 77.0, 77.0, 77.0, 77.0, 77.0], [77.0, 77.0,
      77.0, 77.0, 77.0, 77.0], [77.0, 77.0, 77.0, 77.0, 77.0, 77.0]]> :
      tensor<3x6xf32>
return %0, %1, %2, %3, %4 : tensor<1x2x5xf32>, tensor<1x2x5xf32>,
      tensor<1x2x5xf32>, tensor<3x6xf32>, tensor<3x6xf32>
}
func.func private @attention_chunks_check() {
%got:5 = call @attention_chunks() : () -> (tensor<?x2x5xf32>, tensor<?x2x5xf32>,
      tensor<?x2x5xf32>, tensor<?x6xf32>, tensor<?x6xf32>)
%want:5 = call @attention_chunks_expected() : () -> (tensor<1x2x5xf32>,
      tensor<1x2x5xf32>, tensor<1x2x5xf32>, tensor<3x6xf32>, tensor<3x6xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w0 = tensor.collapse_shape %want#0 [[0, 1, 2]] : tensor<1x2x5xf32> into
      tensor<10xf32>
  %wd0 = tensor.cast %w0 : tensor<10xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 2.0e-06 : f32
  vector.print str "attention_chunks absorbed0: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1, 2]] : tensor<1x2x5xf32> into
      tensor<10xf32>
  %wd1 = tensor.cast %w1 : tensor<10xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 2.0e-06 : f32
  vector.print str "attention_chunks absorbed1: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
%g2 = tensor.collapse_shape %got#2 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w2 = tensor.collapse_shape %want#2 [[0, 1, 2]] : tensor<1x2x5xf32> into
      tensor<10xf32>
  %wd2 = tensor.cast %w2 : tensor<10xf32> to tensor<?xf32>
%d2 = call @difference_f32(%g2, %wd2) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t2 = arith.constant 2.0e-06 : f32
  vector.print str "attention_chunks absorbed2: "
  call @verdict(%d2, %t2) : (f32, f32) -> ()
%g3 = tensor.collapse_shape %got#3 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w3 = tensor.collapse_shape %want#3 [[0, 1]] : tensor<3x6xf32> into
      tensor<18xf32>
  %wd3 = tensor.cast %w3 : tensor<18xf32> to tensor<?xf32>
%d3 = call @difference_f32(%g3, %wd3) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t3 = arith.constant 0.0 : f32
  vector.print str "attention_chunks rows0: "
  call @verdict(%d3, %t3) : (f32, f32) -> ()
%g4 = tensor.collapse_shape %got#4 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w4 = tensor.collapse_shape %want#4 [[0, 1]] : tensor<3x6xf32> into
      tensor<18xf32>
  %wd4 = tensor.cast %w4 : tensor<18xf32> to tensor<?xf32>
%d4 = call @difference_f32(%g4, %wd4) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t4 = arith.constant 0.0 : f32
  vector.print str "attention_chunks other_layer: "
  call @verdict(%d4, %t4) : (f32, f32) -> ()
  return
}
// CHECK: attention_chunks absorbed0: ok
// CHECK: attention_chunks absorbed1: ok
// CHECK: attention_chunks absorbed2: ok
// CHECK: attention_chunks rows0: ok
// CHECK: attention_chunks other_layer: ok

func.func private @attention_whole() -> (tensor<?x2x5xf32>, tensor<?x6xf32>,
    tensor<?x6xf32>) {
%layers = arith.constant 2 : index
%pages = arith.constant 6 : index
%memory = memref.alloc(%layers, %pages) : memref<?x?x3x6xf32>
%full = arith.constant 77.0 : f32
linalg.fill ins(%full : f32) outs(%memory : memref<?x?x3x6xf32>)
%cache = builtin.unrealized_conversion_cast %memory : memref<?x?x3x6xf32> to
      !dsv2.latent_cache<latent = 4, rope = 2, format = f32, page = 3>
%uk = arith.constant dense<[[[0.4375, -1.0, 1.9375, 1.8125], [-1.75, -1.25,
      -1.25, -1.3125], [0.3125, -0.625, -0.0625, -1.125]], [[1.8125, 0.6875,
      0.6875, -1.5625], [-1.375, 1.625, -0.75, 1.4375], [1.1875, -2.0, -0.125,
      0.1875]]]> : tensor<2x3x4xf32>
%uv = arith.constant dense<[[[-0.125, -1.625, 0.875, -1.0], [-0.625, -0.3125,
      -0.8125, -0.1875], [1.375, -0.125, 1.0, 1.75], [-1.125, -1.0, 0.25,
      -1.25], [0.75, 0.6875, 0.75, 1.8125]], [[-0.3125, 1.6875, 1.9375, 1.5625],
      [-0.8125, -1.75, 1.4375, 1.75], [-0.6875, 0.625, -1.375, 1.5], [1.4375,
      -0.375, 1.1875, -1.125], [1.9375, 1.1875, 1.3125, 0.6875]]]> :
      tensor<2x5x4xf32>
%tables_s = arith.constant dense<[[4, 1, 2], [0, 5, 3]]> : tensor<2x3xi32>
%tables = tensor.cast %tables_s : tensor<2x3xi32> to tensor<?x?xi32>
%layer = arith.constant 1 : index
%latent0_s = arith.constant dense<[[-1.8125, 1.125, 0.875, -1.1875], [1.4375,
      -1.5, -0.4375, 1.0625], [1.125, -1.9375, -1.0, 1.8125]]> : tensor<3x4xf32>
%latent0 = tensor.cast %latent0_s : tensor<3x4xf32> to tensor<?x4xf32>
%key0_s = arith.constant dense<[[0.25, -1.5], [-0.625, 0.4375], [-2.0,
      -0.3125]]> : tensor<3x2xf32>
%key0 = tensor.cast %key0_s : tensor<3x2xf32> to tensor<?x2xf32>
%qn0_s = arith.constant dense<[[[-1.0, -0.6875, 0.5625], [-1.3125, 1.6875,
      1.125]], [[0.625, 1.6875, -1.6875], [0.9375, 1.5625, 0.4375]], [[0.1875,
      0.875, 0.9375], [0.125, 0.125, 0.25]]]> : tensor<3x2x3xf32>
%qn0 = tensor.cast %qn0_s : tensor<3x2x3xf32> to tensor<?x2x3xf32>
%qr0_s = arith.constant dense<[[[0.9375, 1.625], [1.3125, -0.875]], [[1.5,
      -1.125], [0.625, 1.8125]], [[1.9375, 1.8125], [1.1875, -0.125]]]> :
      tensor<3x2x2xf32>
%qr0 = tensor.cast %qr0_s : tensor<3x2x2xf32> to tensor<?x2x2xf32>
%positions0_s = arith.constant dense<[0, 1, 2]> : tensor<3xi32>
%positions0 = tensor.cast %positions0_s : tensor<3xi32> to tensor<?xi32>
%ids0_s = arith.constant dense<[0, 0, 0]> : tensor<3xi32>
%ids0 = tensor.cast %ids0_s : tensor<3xi32> to tensor<?xi32>
%starts0_s = arith.constant dense<[0, 3, 3]> : tensor<3xi32>
%starts0 = tensor.cast %starts0_s : tensor<3xi32> to tensor<?xi32>
dsv2.latent_append %latent0, %key0, %cache[%layer], %positions0, %ids0, %tables
      : tensor<?x4xf32>, tensor<?x2xf32>, !dsv2.latent_cache<latent = 4, rope =
      2, format = f32, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
%expanded0 = dsv2.latent_attention %qn0, %qr0, %uk, %uv, %cache[%layer],
      %positions0, %ids0, %starts0, %tables form expanded scale 0.6875 :
      tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xf32>,
      tensor<2x5x4xf32>, !dsv2.latent_cache<latent = 4, rope = 2, format = f32,
      page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> ->
      tensor<?x2x5xf32>
%rows0_layer = arith.constant 1 : index
%rows0_sequence = arith.constant 0 : index
%rows0_length = arith.constant 3 : index
%rows0 = dsv2.latent_gather %cache[%rows0_layer], %rows0_sequence,
      %rows0_length, %tables : !dsv2.latent_cache<latent = 4, rope = 2, format =
      f32, page = 3>, tensor<?x?xi32> -> tensor<?x6xf32>
%other_layer_layer = arith.constant 0 : index
%other_layer_sequence = arith.constant 0 : index
%other_layer_length = arith.constant 3 : index
%other_layer = dsv2.latent_gather %cache[%other_layer_layer],
      %other_layer_sequence, %other_layer_length, %tables :
      !dsv2.latent_cache<latent = 4, rope = 2, format = f32, page = 3>,
      tensor<?x?xi32> -> tensor<?x6xf32>
return %expanded0, %rows0, %other_layer : tensor<?x2x5xf32>, tensor<?x6xf32>,
      tensor<?x6xf32>
}
func.func private @attention_whole_expected() -> (tensor<3x2x5xf32>,
    tensor<3x6xf32>, tensor<3x6xf32>) {
%0 = arith.constant dense<[[[0.3515625, 0.29296875, -3.8359375, 2.6171875,
      -2.0820312], [2.3046875, -1.3164062, -1.0351562, -0.65234375, -1.84375]],
      [[0.35634974, 0.28708613, -3.7588549, 2.573859, -2.0433276], [0.19154042,
      0.57527566, -0.41874477, 0.08771912, -0.4245272]], [[0.5583195,
      0.040346786, -0.23212223, 0.5888736, -0.26545286], [-0.75247914,
      1.5973958, 0.14671811, 0.07364566, -0.08854148]]]> : tensor<3x2x5xf32>
%1 = arith.constant dense<[[-1.8125, 1.125, 0.875, -1.1875, 0.25, -1.5],
      [1.4375, -1.5, -0.4375, 1.0625, -0.625, 0.4375], [1.125, -1.9375, -1.0,
      1.8125, -2.0, -0.3125]]> : tensor<3x6xf32>
%2 = arith.constant dense<[[77.0, 77.0, 77.0, 77.0, 77.0, 77.0], [77.0, 77.0,
      77.0, 77.0, 77.0, 77.0], [77.0, 77.0, 77.0, 77.0, 77.0, 77.0]]> :
      tensor<3x6xf32>
return %0, %1, %2 : tensor<3x2x5xf32>, tensor<3x6xf32>, tensor<3x6xf32>
}
func.func private @attention_whole_check() {
%got:3 = call @attention_whole() : () -> (tensor<?x2x5xf32>, tensor<?x6xf32>,
      tensor<?x6xf32>)
%want:3 = call @attention_whole_expected() : () -> (tensor<3x2x5xf32>,
      tensor<3x6xf32>, tensor<3x6xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w0 = tensor.collapse_shape %want#0 [[0, 1, 2]] : tensor<3x2x5xf32> into
      tensor<30xf32>
  %wd0 = tensor.cast %w0 : tensor<30xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 2.0e-06 : f32
  vector.print str "attention_whole expanded0: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<3x6xf32> into
      tensor<18xf32>
  %wd1 = tensor.cast %w1 : tensor<18xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 0.0 : f32
  vector.print str "attention_whole rows0: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
%g2 = tensor.collapse_shape %got#2 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w2 = tensor.collapse_shape %want#2 [[0, 1]] : tensor<3x6xf32> into
      tensor<18xf32>
  %wd2 = tensor.cast %w2 : tensor<18xf32> to tensor<?xf32>
%d2 = call @difference_f32(%g2, %wd2) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t2 = arith.constant 0.0 : f32
  vector.print str "attention_whole other_layer: "
  call @verdict(%d2, %t2) : (f32, f32) -> ()
  return
}
// CHECK: attention_whole expanded0: ok
// CHECK: attention_whole rows0: ok
// CHECK: attention_whole other_layer: ok

// The definition's form, the expanded one.
func.func private @attention_undecided() -> (tensor<?x2x5xf32>, tensor<?x6xf32>,
    tensor<?x6xf32>, tensor<?x6xf32>) {
%layers = arith.constant 2 : index
%pages = arith.constant 6 : index
%memory = memref.alloc(%layers, %pages) : memref<?x?x3x6xf32>
%full = arith.constant 77.0 : f32
linalg.fill ins(%full : f32) outs(%memory : memref<?x?x3x6xf32>)
%cache = builtin.unrealized_conversion_cast %memory : memref<?x?x3x6xf32> to
      !dsv2.latent_cache<latent = 4, rope = 2, format = f32, page = 3>
%uk = arith.constant dense<[[[1.625, 1.5, 1.3125, 1.4375], [-1.75, 1.25, 1.8125,
      -1.0], [-1.3125, -1.6875, 1.1875, 1.8125]], [[0.4375, 0.4375, 1.1875,
      -2.0], [1.375, 1.6875, -1.5, 2.0], [1.4375, -0.875, -0.0625, 1.25]]]> :
      tensor<2x3x4xf32>
%uv = arith.constant dense<[[[1.625, -1.6875, 0.625, -0.25], [-0.625, 1.3125,
      0.75, -0.375], [1.5625, 0.0625, 1.4375, -1.5625], [1.6875, 1.25, 0.125,
      0.0], [-0.75, -1.0, -0.875, 1.125]], [[-0.4375, 1.9375, -0.5, 0.125],
      [-0.4375, 0.9375, -0.5625, 2.0], [0.5625, -1.9375, 1.8125, 0.375], [0.75,
      1.875, -0.875, -1.5625], [0.75, -1.125, -2.0, 0.1875]]]> :
      tensor<2x5x4xf32>
%tables_s = arith.constant dense<[[4, 1, 2], [0, 5, 3]]> : tensor<2x3xi32>
%tables = tensor.cast %tables_s : tensor<2x3xi32> to tensor<?x?xi32>
%layer = arith.constant 1 : index
%latent0_s = arith.constant dense<[[0.1875, 0.875, 1.625, 0.1875], [-1.0625,
      0.1875, -1.75, -1.8125], [-1.5625, 1.0, 1.625, -0.75], [-1.6875, -1.75,
      -1.5, 1.875], [-1.375, 0.625, 0.4375, -0.1875]]> : tensor<5x4xf32>
%latent0 = tensor.cast %latent0_s : tensor<5x4xf32> to tensor<?x4xf32>
%key0_s = arith.constant dense<[[-0.125, 0.9375], [1.25, -0.0625], [0.6875,
      -1.5], [1.8125, 0.4375], [0.75, 1.0]]> : tensor<5x2xf32>
%key0 = tensor.cast %key0_s : tensor<5x2xf32> to tensor<?x2xf32>
%qn0_s = arith.constant dense<[[[-1.0, 1.0, 1.875], [0.1875, -0.75, 1.75]],
      [[1.125, 1.8125, 0.875], [1.5, 1.125, -0.5]], [[1.1875, -0.9375, 1.8125],
      [0.125, 0.0625, 0.625]], [[-0.75, -1.375, 0.875], [0.25, 0.875, -0.25]],
      [[-0.25, -2.0, 0.75], [-0.3125, -1.6875, -0.4375]]]> : tensor<5x2x3xf32>
%qn0 = tensor.cast %qn0_s : tensor<5x2x3xf32> to tensor<?x2x3xf32>
%qr0_s = arith.constant dense<[[[-1.8125, 1.875], [-1.1875, -1.8125]], [[0.9375,
      1.75], [-0.9375, 1.6875]], [[-1.1875, 0.375], [0.75, -1.25]], [[-1.375,
      1.1875], [0.0, -1.375]], [[1.3125, -0.75], [-0.75, 0.6875]]]> :
      tensor<5x2x2xf32>
%qr0 = tensor.cast %qr0_s : tensor<5x2x2xf32> to tensor<?x2x2xf32>
%positions0_s = arith.constant dense<[0, 1, 0, 1, 2]> : tensor<5xi32>
%positions0 = tensor.cast %positions0_s : tensor<5xi32> to tensor<?xi32>
%ids0_s = arith.constant dense<[0, 0, 1, 1, 1]> : tensor<5xi32>
%ids0 = tensor.cast %ids0_s : tensor<5xi32> to tensor<?xi32>
%starts0_s = arith.constant dense<[0, 2, 5]> : tensor<3xi32>
%starts0 = tensor.cast %starts0_s : tensor<3xi32> to tensor<?xi32>
dsv2.latent_append %latent0, %key0, %cache[%layer], %positions0, %ids0, %tables
      : tensor<?x4xf32>, tensor<?x2xf32>, !dsv2.latent_cache<latent = 4, rope =
      2, format = f32, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
%undecided0 = dsv2.latent_attention %qn0, %qr0, %uk, %uv, %cache[%layer],
      %positions0, %ids0, %starts0, %tables form undecided scale 0.6875 :
      tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xf32>,
      tensor<2x5x4xf32>, !dsv2.latent_cache<latent = 4, rope = 2, format = f32,
      page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> ->
      tensor<?x2x5xf32>
%rows0_layer = arith.constant 1 : index
%rows0_sequence = arith.constant 0 : index
%rows0_length = arith.constant 2 : index
%rows0 = dsv2.latent_gather %cache[%rows0_layer], %rows0_sequence,
      %rows0_length, %tables : !dsv2.latent_cache<latent = 4, rope = 2, format =
      f32, page = 3>, tensor<?x?xi32> -> tensor<?x6xf32>
%rows1_layer = arith.constant 1 : index
%rows1_sequence = arith.constant 1 : index
%rows1_length = arith.constant 3 : index
%rows1 = dsv2.latent_gather %cache[%rows1_layer], %rows1_sequence,
      %rows1_length, %tables : !dsv2.latent_cache<latent = 4, rope = 2, format =
      f32, page = 3>, tensor<?x?xi32> -> tensor<?x6xf32>
%other_layer_layer = arith.constant 0 : index
%other_layer_sequence = arith.constant 0 : index
%other_layer_length = arith.constant 3 : index
%other_layer = dsv2.latent_gather %cache[%other_layer_layer],
      %other_layer_sequence, %other_layer_length, %tables :
      !dsv2.latent_cache<latent = 4, rope = 2, format = f32, page = 3>,
      tensor<?x?xi32> -> tensor<?x6xf32>
return %undecided0, %rows0, %rows1, %other_layer : tensor<?x2x5xf32>,
      tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>
}
func.func private @attention_undecided_expected() -> (tensor<5x2x5xf32>,
    tensor<2x6xf32>, tensor<3x6xf32>, tensor<3x6xf32>) {
%0 = arith.constant dense<[[[-0.203125, 2.1796875, 2.390625, 1.6132812,
      -2.2265625], [0.82421875, 0.19921875, 1.4257812, 0.06640625, -4.0585938]],
      [[-0.20312601, 2.1796868, 2.3906236, 1.6132798, -2.2265615], [0.85139406,
      0.10760373, 1.165907, 0.22685458, -3.7998586]], [[-3.0234375, 3.7890625,
      1.1289062, -1.1835938, -2.09375], [1.7148438, -0.79296875, -0.15234375,
      0.453125, -5.6875]], [[-1.1953125, -3.0703123, -7.832031, -5.2226562,
      6.4374995], [1.090183, 0.035103437, -0.0455888, -0.7687864, -3.8885348]],
      [[-1.1953127, -3.0703118, -7.8320303, -5.222656, 6.437499], [1.674774,
      -0.5508286, -0.3290627, 0.35538104, -5.1469274]]]> : tensor<5x2x5xf32>
%1 = arith.constant dense<[[0.1875, 0.875, 1.625, 0.1875, -0.125, 0.9375],
      [-1.0625, 0.1875, -1.75, -1.8125, 1.25, -0.0625]]> : tensor<2x6xf32>
%2 = arith.constant dense<[[-1.5625, 1.0, 1.625, -0.75, 0.6875, -1.5], [-1.6875,
      -1.75, -1.5, 1.875, 1.8125, 0.4375], [-1.375, 0.625, 0.4375, -0.1875,
      0.75, 1.0]]> : tensor<3x6xf32>
%3 = arith.constant dense<[[77.0, 77.0, 77.0, 77.0, 77.0, 77.0], [77.0, 77.0,
      77.0, 77.0, 77.0, 77.0], [77.0, 77.0, 77.0, 77.0, 77.0, 77.0]]> :
      tensor<3x6xf32>
return %0, %1, %2, %3 : tensor<5x2x5xf32>, tensor<2x6xf32>, tensor<3x6xf32>,
      tensor<3x6xf32>
}
func.func private @attention_undecided_check() {
%got:4 = call @attention_undecided() : () -> (tensor<?x2x5xf32>,
      tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>)
%want:4 = call @attention_undecided_expected() : () -> (tensor<5x2x5xf32>,
      tensor<2x6xf32>, tensor<3x6xf32>, tensor<3x6xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w0 = tensor.collapse_shape %want#0 [[0, 1, 2]] : tensor<5x2x5xf32> into
      tensor<50xf32>
  %wd0 = tensor.cast %w0 : tensor<50xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 2.0e-06 : f32
  vector.print str "attention_undecided undecided0: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<2x6xf32> into
      tensor<12xf32>
  %wd1 = tensor.cast %w1 : tensor<12xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 0.0 : f32
  vector.print str "attention_undecided rows0: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
%g2 = tensor.collapse_shape %got#2 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w2 = tensor.collapse_shape %want#2 [[0, 1]] : tensor<3x6xf32> into
      tensor<18xf32>
  %wd2 = tensor.cast %w2 : tensor<18xf32> to tensor<?xf32>
%d2 = call @difference_f32(%g2, %wd2) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t2 = arith.constant 0.0 : f32
  vector.print str "attention_undecided rows1: "
  call @verdict(%d2, %t2) : (f32, f32) -> ()
%g3 = tensor.collapse_shape %got#3 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w3 = tensor.collapse_shape %want#3 [[0, 1]] : tensor<3x6xf32> into
      tensor<18xf32>
  %wd3 = tensor.cast %w3 : tensor<18xf32> to tensor<?xf32>
%d3 = call @difference_f32(%g3, %wd3) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t3 = arith.constant 0.0 : f32
  vector.print str "attention_undecided other_layer: "
  call @verdict(%d3, %t3) : (f32, f32) -> ()
  return
}
// CHECK: attention_undecided undecided0: ok
// CHECK: attention_undecided rows0: ok
// CHECK: attention_undecided rows1: ok
// CHECK: attention_undecided other_layer: ok

// Rows are rounded to the cache's format,
// to nearest even, and attention sees the rounded ones.
func.func private @attention_bf16_cache() -> (tensor<?x2x5xf32>,
    tensor<?x2x5xf32>, tensor<?x2x5xf32>, tensor<?x2x5xf32>, tensor<?x6xf32>,
    tensor<?x6xf32>, tensor<?x6xf32>) {
%layers = arith.constant 2 : index
%pages = arith.constant 6 : index
%memory = memref.alloc(%layers, %pages) : memref<?x?x3x6xbf16>
%full = arith.constant 77.0 : bf16
linalg.fill ins(%full : bf16) outs(%memory : memref<?x?x3x6xbf16>)
%cache = builtin.unrealized_conversion_cast %memory : memref<?x?x3x6xbf16> to
      !dsv2.latent_cache<latent = 4, rope = 2, format = bf16, page = 3>
%uk = arith.constant dense<[[[-1.4375, 1.375, 0.625, -0.5625], [-1.6875, 0.8125,
      -0.625, 1.4375], [-0.6875, 0.5625, -1.3125, 0.1875]], [[-1.75, 1.0625,
      -1.625, 0.875], [1.0625, -0.125, 1.1875, 0.3125], [1.5, 1.0, 1.6875,
      -1.75]]]> : tensor<2x3x4xbf16>
%uv = arith.constant dense<[[[-2.0, 0.625, 0.9375, 0.9375], [1.25, -0.4375,
      1.375, 0.0], [-1.375, -1.125, 1.1875, 0.625], [1.4375, 1.9375, 1.125,
      -0.8125], [0.25, -0.125, -1.0, 1.5625]], [[1.9375, 0.1875, -1.1875,
      -0.3125], [-0.25, 0.6875, 1.75, -1.875], [-1.75, -1.4375, -1.9375, 1.5],
      [-0.6875, -1.375, -1.8125, -1.9375], [1.5, 1.75, -1.5625, 1.0]]]> :
      tensor<2x5x4xbf16>
%tables_s = arith.constant dense<[[4, 1, 2], [0, 5, 3]]> : tensor<2x3xi32>
%tables = tensor.cast %tables_s : tensor<2x3xi32> to tensor<?x?xi32>
%layer = arith.constant 1 : index
%latent0_s = arith.constant dense<[[1.375, 2.1312501, 1.9937501, 1.16875],
      [1.85625, 1.85625, -1.1, -0.6875], [0.48125002, 1.16875, 0.20625001,
      -1.5125], [-1.71875, 1.44375, -0.20625001, 1.03125], [-0.96250004, -1.375,
      1.375, -1.44375], [1.6500001, -1.5125, -1.6500001, 1.44375], [-1.7875,
      0.75625, 1.2375001, -0.96250004]]> : tensor<7x4xf32>
%latent0 = tensor.cast %latent0_s : tensor<7x4xf32> to tensor<?x4xf32>
%key0_s = arith.constant dense<[[-1.5, 0.625], [1.0, 0.75], [1.25, 0.75],
      [-0.5625, 2.0], [0.4375, 1.375], [-1.6875, -0.3125], [0.875, -1.8125]]> :
      tensor<7x2xf32>
%key0 = tensor.cast %key0_s : tensor<7x2xf32> to tensor<?x2xf32>
%qn0_s = arith.constant dense<[[[0.8125, -1.125, -0.5625], [-1.75, 1.5, 1.125]],
      [[1.8125, 1.1875, -1.625], [-1.1875, -0.5, 1.8125]], [[2.0, -0.6875,
      1.4375], [-0.125, 1.0, 0.3125]], [[1.6875, 2.0, -0.1875], [1.625, -1.9375,
      -1.4375]], [[-1.875, 1.625, 1.25], [-1.1875, -0.0625, 1.25]], [[0.4375,
      0.6875, -1.25], [-1.4375, -0.5, -1.8125]], [[1.375, 1.75, -0.5625], [-2.0,
      1.6875, -1.4375]]]> : tensor<7x2x3xf32>
%qn0 = tensor.cast %qn0_s : tensor<7x2x3xf32> to tensor<?x2x3xf32>
%qr0_s = arith.constant dense<[[[1.9375, 1.9375], [-1.75, 0.8125]], [[1.625,
      0.25], [1.6875, -0.1875]], [[-0.5, 0.3125], [-1.1875, -0.125]], [[-0.3125,
      -1.75], [-0.125, -1.125]], [[0.875, -0.75], [-1.0625, 0.0]], [[-1.3125,
      -0.4375], [-1.0, 0.875]], [[-1.125, 1.25], [1.875, 1.0625]]]> :
      tensor<7x2x2xf32>
%qr0 = tensor.cast %qr0_s : tensor<7x2x2xf32> to tensor<?x2x2xf32>
%positions0_s = arith.constant dense<[0, 1, 2, 3, 0, 1, 2]> : tensor<7xi32>
%positions0 = tensor.cast %positions0_s : tensor<7xi32> to tensor<?xi32>
%ids0_s = arith.constant dense<[0, 0, 0, 0, 1, 1, 1]> : tensor<7xi32>
%ids0 = tensor.cast %ids0_s : tensor<7xi32> to tensor<?xi32>
%starts0_s = arith.constant dense<[0, 4, 7]> : tensor<3xi32>
%starts0 = tensor.cast %starts0_s : tensor<3xi32> to tensor<?xi32>
dsv2.latent_append %latent0, %key0, %cache[%layer], %positions0, %ids0, %tables
      : tensor<?x4xf32>, tensor<?x2xf32>, !dsv2.latent_cache<latent = 4, rope =
      2, format = bf16, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
%expanded0 = dsv2.latent_attention %qn0, %qr0, %uk, %uv, %cache[%layer],
      %positions0, %ids0, %starts0, %tables form expanded scale 0.6875 :
      tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xbf16>,
      tensor<2x5x4xbf16>, !dsv2.latent_cache<latent = 4, rope = 2, format =
      bf16, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>,
      tensor<?x?xi32> -> tensor<?x2x5xf32>
%absorbed0 = dsv2.latent_attention %qn0, %qr0, %uk, %uv, %cache[%layer],
      %positions0, %ids0, %starts0, %tables form absorbed scale 0.6875 :
      tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xbf16>,
      tensor<2x5x4xbf16>, !dsv2.latent_cache<latent = 4, rope = 2, format =
      bf16, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>,
      tensor<?x?xi32> -> tensor<?x2x5xf32>
%latent1_s = arith.constant dense<[[1.85625, -0.20625001, -1.2375001,
      -0.48125002], [-1.375, -2.1312501, -0.75625, -0.6875]]> : tensor<2x4xf32>
%latent1 = tensor.cast %latent1_s : tensor<2x4xf32> to tensor<?x4xf32>
%key1_s = arith.constant dense<[[-1.125, 1.1875], [-0.5625, -0.625]]> :
      tensor<2x2xf32>
%key1 = tensor.cast %key1_s : tensor<2x2xf32> to tensor<?x2xf32>
%qn1_s = arith.constant dense<[[[-0.8125, -0.875, -1.3125], [-1.375, -1.375,
      0.5625]], [[-1.6875, 0.0, -1.25], [-1.875, 0.1875, -1.0625]]]> :
      tensor<2x2x3xf32>
%qn1 = tensor.cast %qn1_s : tensor<2x2x3xf32> to tensor<?x2x3xf32>
%qr1_s = arith.constant dense<[[[-0.3125, -1.75], [-0.125, -1.4375]], [[1.4375,
      -1.0], [-0.375, -1.75]]]> : tensor<2x2x2xf32>
%qr1 = tensor.cast %qr1_s : tensor<2x2x2xf32> to tensor<?x2x2xf32>
%positions1_s = arith.constant dense<[4, 3]> : tensor<2xi32>
%positions1 = tensor.cast %positions1_s : tensor<2xi32> to tensor<?xi32>
%ids1_s = arith.constant dense<[0, 1]> : tensor<2xi32>
%ids1 = tensor.cast %ids1_s : tensor<2xi32> to tensor<?xi32>
%starts1_s = arith.constant dense<[0, 1, 2]> : tensor<3xi32>
%starts1 = tensor.cast %starts1_s : tensor<3xi32> to tensor<?xi32>
dsv2.latent_append %latent1, %key1, %cache[%layer], %positions1, %ids1, %tables
      : tensor<?x4xf32>, tensor<?x2xf32>, !dsv2.latent_cache<latent = 4, rope =
      2, format = bf16, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
%expanded1 = dsv2.latent_attention %qn1, %qr1, %uk, %uv, %cache[%layer],
      %positions1, %ids1, %starts1, %tables form expanded scale 0.6875 :
      tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xbf16>,
      tensor<2x5x4xbf16>, !dsv2.latent_cache<latent = 4, rope = 2, format =
      bf16, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>,
      tensor<?x?xi32> -> tensor<?x2x5xf32>
%absorbed1 = dsv2.latent_attention %qn1, %qr1, %uk, %uv, %cache[%layer],
      %positions1, %ids1, %starts1, %tables form absorbed scale 0.6875 :
      tensor<?x2x3xf32>, tensor<?x2x2xf32>, tensor<2x3x4xbf16>,
      tensor<2x5x4xbf16>, !dsv2.latent_cache<latent = 4, rope = 2, format =
      bf16, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>,
      tensor<?x?xi32> -> tensor<?x2x5xf32>
%rows0_layer = arith.constant 1 : index
%rows0_sequence = arith.constant 0 : index
%rows0_length = arith.constant 5 : index
%rows0 = dsv2.latent_gather %cache[%rows0_layer], %rows0_sequence,
      %rows0_length, %tables : !dsv2.latent_cache<latent = 4, rope = 2, format =
      bf16, page = 3>, tensor<?x?xi32> -> tensor<?x6xf32>
%rows1_layer = arith.constant 1 : index
%rows1_sequence = arith.constant 1 : index
%rows1_length = arith.constant 4 : index
%rows1 = dsv2.latent_gather %cache[%rows1_layer], %rows1_sequence,
      %rows1_length, %tables : !dsv2.latent_cache<latent = 4, rope = 2, format =
      bf16, page = 3>, tensor<?x?xi32> -> tensor<?x6xf32>
%other_layer_layer = arith.constant 0 : index
%other_layer_sequence = arith.constant 0 : index
%other_layer_length = arith.constant 3 : index
%other_layer = dsv2.latent_gather %cache[%other_layer_layer],
      %other_layer_sequence, %other_layer_length, %tables :
      !dsv2.latent_cache<latent = 4, rope = 2, format = bf16, page = 3>,
      tensor<?x?xi32> -> tensor<?x6xf32>
return %expanded0, %absorbed0, %expanded1, %absorbed1, %rows0, %rows1,
      %other_layer : tensor<?x2x5xf32>, tensor<?x2x5xf32>, tensor<?x2x5xf32>,
      tensor<?x2x5xf32>, tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>
}
func.func private @attention_bf16_cache_expected() -> (tensor<7x2x5xf32>,
    tensor<7x2x5xf32>, tensor<2x2x5xf32>, tensor<2x2x5xf32>, tensor<5x6xf32>,
    tensor<4x6xf32>, tensor<3x6xf32>) {
%0 = arith.constant dense<[[[1.5444336, 3.5283203, -1.1831055, 7.3828125,
      -0.08300781], [0.3305664, 2.40625, -7.5629883, -9.748535, 3.840332]],
      [[1.4907514, 3.4955049, -1.231444, 7.3662004, -0.07982335], [3.4450321,
      1.0550911, -5.9043446, -4.1523128, 5.799956]], [[-1.5733784, 0.5500438,
      -3.0149038, 4.772472, -2.083315], [0.36736116, 2.4020944, -7.5323815,
      -9.630693, 3.841741]], [[5.113339, -3.062154, 1.1364331, -0.7377187,
      1.2066202], [-3.1366565, -0.8708494, 2.8762805, -2.4302366, 1.3043832]],
      [[0.99658203, 1.2910156, 3.5976562, -1.3242188, -3.7016602], [-3.3007812,
      4.411133, -1.1738281, 2.859375, -7.4414062]], [[-0.109848455, 1.1211169,
      2.5355904, -1.7869639, -2.0291328], [4.3891416, -7.0096407, 4.6358275,
      1.1440692, 3.8027272]], [[4.2676253, -0.84430826, 2.4862044, 1.0367484,
      -3.2827556], [-1.6342671, 1.935961, 0.08523502, 2.4872992, -5.004131]]]> :
      tensor<7x2x5xf32>
%1 = arith.constant dense<[[[1.5444336, 3.5283203, -1.1831055, 7.3828125,
      -0.08300781], [0.3305664, 2.40625, -7.5629883, -9.748535, 3.840332]],
      [[1.4907514, 3.4955049, -1.231444, 7.3662004, -0.07982335], [3.4450321,
      1.0550911, -5.9043446, -4.1523128, 5.799956]], [[-1.5733784, 0.5500438,
      -3.0149038, 4.772472, -2.083315], [0.36736116, 2.4020944, -7.5323815,
      -9.630693, 3.841741]], [[5.113339, -3.062154, 1.1364331, -0.7377187,
      1.2066202], [-3.1366565, -0.8708494, 2.8762805, -2.4302366, 1.3043832]],
      [[0.99658203, 1.2910156, 3.5976562, -1.3242188, -3.7016602], [-3.3007812,
      4.411133, -1.1738281, 2.859375, -7.4414062]], [[-0.109848455, 1.1211169,
      2.5355904, -1.7869639, -2.0291328], [4.3891416, -7.0096407, 4.6358275,
      1.1440692, 3.8027272]], [[4.2676253, -0.84430826, 2.4862044, 1.0367484,
      -3.2827556], [-1.6342671, 1.935961, 0.08523502, 2.4872992, -5.004131]]]> :
      tensor<7x2x5xf32>
%2 = arith.constant dense<[[[-4.3788834, 1.0530874, -3.7379236, 2.3046155,
      0.7057224], [2.500048, 2.2579126, -4.6681185, -0.15368812, 2.5202022]],
      [[-4.37802, 0.44397655, -1.5602236, -3.6054919, 4.437172], [3.5210567,
      -6.1206, 4.655293, 1.775348, 2.5681918]]]> : tensor<2x2x5xf32>
%3 = arith.constant dense<[[[-4.3788834, 1.0530874, -3.7379236, 2.3046155,
      0.7057224], [2.500048, 2.2579126, -4.6681185, -0.15368812, 2.5202022]],
      [[-4.37802, 0.44397655, -1.5602236, -3.6054919, 4.437172], [3.5210567,
      -6.1206, 4.655293, 1.775348, 2.5681918]]]> : tensor<2x2x5xf32>
%4 = arith.constant dense<[[1.375, 2.125, 1.9921875, 1.171875, -1.5, 0.625],
      [1.859375, 1.859375, -1.1015625, -0.6875, 1.0, 0.75], [0.48046875,
      1.171875, 0.20605469, -1.515625, 1.25, 0.75], [-1.71875, 1.4453125,
      -0.20605469, 1.03125, -0.5625, 2.0], [1.859375, -0.20605469, -1.234375,
      -0.48046875, -1.125, 1.1875]]> : tensor<5x6xf32>
%5 = arith.constant dense<[[-0.9609375, -1.375, 1.375, -1.4453125, 0.4375,
      1.375], [1.6484375, -1.515625, -1.6484375, 1.4453125, -1.6875, -0.3125],
      [-1.7890625, 0.7578125, 1.234375, -0.9609375, 0.875, -1.8125], [-1.375,
      -2.125, -0.7578125, -0.6875, -0.5625, -0.625]]> : tensor<4x6xf32>
%6 = arith.constant dense<[[77.0, 77.0, 77.0, 77.0, 77.0, 77.0], [77.0, 77.0,
      77.0, 77.0, 77.0, 77.0], [77.0, 77.0, 77.0, 77.0, 77.0, 77.0]]> :
      tensor<3x6xf32>
return %0, %1, %2, %3, %4, %5, %6 : tensor<7x2x5xf32>, tensor<7x2x5xf32>,
      tensor<2x2x5xf32>, tensor<2x2x5xf32>, tensor<5x6xf32>, tensor<4x6xf32>,
      tensor<3x6xf32>
}
func.func private @attention_bf16_cache_check() {
%got:7 = call @attention_bf16_cache() : () -> (tensor<?x2x5xf32>,
      tensor<?x2x5xf32>, tensor<?x2x5xf32>, tensor<?x2x5xf32>, tensor<?x6xf32>,
      tensor<?x6xf32>, tensor<?x6xf32>)
%want:7 = call @attention_bf16_cache_expected() : () -> (tensor<7x2x5xf32>,
      tensor<7x2x5xf32>, tensor<2x2x5xf32>, tensor<2x2x5xf32>, tensor<5x6xf32>,
      tensor<4x6xf32>, tensor<3x6xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w0 = tensor.collapse_shape %want#0 [[0, 1, 2]] : tensor<7x2x5xf32> into
      tensor<70xf32>
  %wd0 = tensor.cast %w0 : tensor<70xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 2.0e-06 : f32
  vector.print str "attention_bf16_cache expanded0: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1, 2]] : tensor<7x2x5xf32> into
      tensor<70xf32>
  %wd1 = tensor.cast %w1 : tensor<70xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 2.0e-06 : f32
  vector.print str "attention_bf16_cache absorbed0: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
%g2 = tensor.collapse_shape %got#2 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w2 = tensor.collapse_shape %want#2 [[0, 1, 2]] : tensor<2x2x5xf32> into
      tensor<20xf32>
  %wd2 = tensor.cast %w2 : tensor<20xf32> to tensor<?xf32>
%d2 = call @difference_f32(%g2, %wd2) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t2 = arith.constant 2.0e-06 : f32
  vector.print str "attention_bf16_cache expanded1: "
  call @verdict(%d2, %t2) : (f32, f32) -> ()
%g3 = tensor.collapse_shape %got#3 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w3 = tensor.collapse_shape %want#3 [[0, 1, 2]] : tensor<2x2x5xf32> into
      tensor<20xf32>
  %wd3 = tensor.cast %w3 : tensor<20xf32> to tensor<?xf32>
%d3 = call @difference_f32(%g3, %wd3) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t3 = arith.constant 2.0e-06 : f32
  vector.print str "attention_bf16_cache absorbed1: "
  call @verdict(%d3, %t3) : (f32, f32) -> ()
%g4 = tensor.collapse_shape %got#4 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w4 = tensor.collapse_shape %want#4 [[0, 1]] : tensor<5x6xf32> into
      tensor<30xf32>
  %wd4 = tensor.cast %w4 : tensor<30xf32> to tensor<?xf32>
%d4 = call @difference_f32(%g4, %wd4) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t4 = arith.constant 0.0 : f32
  vector.print str "attention_bf16_cache rows0: "
  call @verdict(%d4, %t4) : (f32, f32) -> ()
%g5 = tensor.collapse_shape %got#5 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w5 = tensor.collapse_shape %want#5 [[0, 1]] : tensor<4x6xf32> into
      tensor<24xf32>
  %wd5 = tensor.cast %w5 : tensor<24xf32> to tensor<?xf32>
%d5 = call @difference_f32(%g5, %wd5) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t5 = arith.constant 0.0 : f32
  vector.print str "attention_bf16_cache rows1: "
  call @verdict(%d5, %t5) : (f32, f32) -> ()
%g6 = tensor.collapse_shape %got#6 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w6 = tensor.collapse_shape %want#6 [[0, 1]] : tensor<3x6xf32> into
      tensor<18xf32>
  %wd6 = tensor.cast %w6 : tensor<18xf32> to tensor<?xf32>
%d6 = call @difference_f32(%g6, %wd6) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t6 = arith.constant 0.0 : f32
  vector.print str "attention_bf16_cache other_layer: "
  call @verdict(%d6, %t6) : (f32, f32) -> ()
  return
}
// CHECK: attention_bf16_cache expanded0: ok
// CHECK: attention_bf16_cache absorbed0: ok
// CHECK: attention_bf16_cache expanded1: ok
// CHECK: attention_bf16_cache absorbed1: ok
// CHECK: attention_bf16_cache rows0: ok
// CHECK: attention_bf16_cache rows1: ok
// CHECK: attention_bf16_cache other_layer: ok

// Activations of type bf16.
func.func private @attention_bf16() -> (tensor<?x2x5xbf16>, tensor<?x2x5xbf16>,
    tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>) {
%layers = arith.constant 2 : index
%pages = arith.constant 6 : index
%memory = memref.alloc(%layers, %pages) : memref<?x?x3x6xbf16>
%full = arith.constant 77.0 : bf16
linalg.fill ins(%full : bf16) outs(%memory : memref<?x?x3x6xbf16>)
%cache = builtin.unrealized_conversion_cast %memory : memref<?x?x3x6xbf16> to
      !dsv2.latent_cache<latent = 4, rope = 2, format = bf16, page = 3>
%uk = arith.constant dense<[[[1.75, 0.8125, 0.8125, 1.3125], [-1.0625, -0.625,
      -1.1875, -1.875], [-0.25, 0.3125, 1.875, -1.4375]], [[1.9375, 0.875,
      -0.125, -0.625], [0.8125, -0.1875, -0.9375, 1.9375], [-1.125, 1.125,
      -1.625, 1.375]]]> : tensor<2x3x4xbf16>
%uv = arith.constant dense<[[[-1.4375, 0.25, 0.0625, 1.8125], [1.5625, -1.9375,
      1.75, 1.5625], [-0.6875, -0.4375, -0.25, -1.0625], [-1.125, 0.125, 0.6875,
      1.8125], [1.75, -0.6875, -1.125, 1.6875]], [[-1.625, -0.125, 0.375,
      1.875], [-0.3125, 1.0625, 1.6875, 1.125], [1.1875, -0.5625, 1.8125,
      0.375], [-0.125, -1.0, -1.75, 1.25], [-1.6875, -1.0, -1.5625, 0.6875]]]> :
      tensor<2x5x4xbf16>
%tables_s = arith.constant dense<[[4, 1, 2], [0, 5, 3]]> : tensor<2x3xi32>
%tables = tensor.cast %tables_s : tensor<2x3xi32> to tensor<?x?xi32>
%layer = arith.constant 1 : index
%latent0_s = arith.constant dense<[[1.1875, -1.75, -1.0, -1.0], [1.1875,
      -0.5625, 0.5, -1.3125], [-1.25, -1.0, -2.0, -1.1875], [0.6875, -1.875,
      0.625, -0.625]]> : tensor<4x4xbf16>
%latent0 = tensor.cast %latent0_s : tensor<4x4xbf16> to tensor<?x4xbf16>
%key0_s = arith.constant dense<[[-1.75, -0.125], [-1.625, -0.3125], [1.375,
      1.625], [-0.5, -1.6875]]> : tensor<4x2xbf16>
%key0 = tensor.cast %key0_s : tensor<4x2xbf16> to tensor<?x2xbf16>
%qn0_s = arith.constant dense<[[[1.125, 0.5, 0.5], [-0.625, 0.25, -1.9375]],
      [[1.375, 1.125, 1.75], [-0.3125, -1.8125, 1.9375]], [[1.6875, 1.125,
      -1.375], [1.5, 0.1875, 0.25]], [[0.4375, -0.625, -0.0625], [1.4375, -1.5,
      -0.375]]]> : tensor<4x2x3xbf16>
%qn0 = tensor.cast %qn0_s : tensor<4x2x3xbf16> to tensor<?x2x3xbf16>
%qr0_s = arith.constant dense<[[[-0.125, 1.5], [0.375, 1.6875]], [[1.8125,
      -0.5625], [-1.8125, 0.9375]], [[0.9375, 1.25], [-1.5, 2.0]], [[0.0625,
      -0.1875], [-0.6875, -1.1875]]]> : tensor<4x2x2xbf16>
%qr0 = tensor.cast %qr0_s : tensor<4x2x2xbf16> to tensor<?x2x2xbf16>
%positions0_s = arith.constant dense<[0, 1, 0, 1]> : tensor<4xi32>
%positions0 = tensor.cast %positions0_s : tensor<4xi32> to tensor<?xi32>
%ids0_s = arith.constant dense<[0, 0, 1, 1]> : tensor<4xi32>
%ids0 = tensor.cast %ids0_s : tensor<4xi32> to tensor<?xi32>
%starts0_s = arith.constant dense<[0, 2, 4]> : tensor<3xi32>
%starts0 = tensor.cast %starts0_s : tensor<3xi32> to tensor<?xi32>
dsv2.latent_append %latent0, %key0, %cache[%layer], %positions0, %ids0, %tables
      : tensor<?x4xbf16>, tensor<?x2xbf16>, !dsv2.latent_cache<latent = 4, rope
      = 2, format = bf16, page = 3>, tensor<?xi32>, tensor<?xi32>,
      tensor<?x?xi32>
%expanded0 = dsv2.latent_attention %qn0, %qr0, %uk, %uv, %cache[%layer],
      %positions0, %ids0, %starts0, %tables form expanded scale 0.6875 :
      tensor<?x2x3xbf16>, tensor<?x2x2xbf16>, tensor<2x3x4xbf16>,
      tensor<2x5x4xbf16>, !dsv2.latent_cache<latent = 4, rope = 2, format =
      bf16, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>,
      tensor<?x?xi32> -> tensor<?x2x5xbf16>
%absorbed0 = dsv2.latent_attention %qn0, %qr0, %uk, %uv, %cache[%layer],
      %positions0, %ids0, %starts0, %tables form absorbed scale 0.6875 :
      tensor<?x2x3xbf16>, tensor<?x2x2xbf16>, tensor<2x3x4xbf16>,
      tensor<2x5x4xbf16>, !dsv2.latent_cache<latent = 4, rope = 2, format =
      bf16, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>,
      tensor<?x?xi32> -> tensor<?x2x5xbf16>
%rows0_layer = arith.constant 1 : index
%rows0_sequence = arith.constant 0 : index
%rows0_length = arith.constant 2 : index
%rows0 = dsv2.latent_gather %cache[%rows0_layer], %rows0_sequence,
      %rows0_length, %tables : !dsv2.latent_cache<latent = 4, rope = 2, format =
      bf16, page = 3>, tensor<?x?xi32> -> tensor<?x6xf32>
%rows1_layer = arith.constant 1 : index
%rows1_sequence = arith.constant 1 : index
%rows1_length = arith.constant 2 : index
%rows1 = dsv2.latent_gather %cache[%rows1_layer], %rows1_sequence,
      %rows1_length, %tables : !dsv2.latent_cache<latent = 4, rope = 2, format =
      bf16, page = 3>, tensor<?x?xi32> -> tensor<?x6xf32>
%other_layer_layer = arith.constant 0 : index
%other_layer_sequence = arith.constant 0 : index
%other_layer_length = arith.constant 3 : index
%other_layer = dsv2.latent_gather %cache[%other_layer_layer],
      %other_layer_sequence, %other_layer_length, %tables :
      !dsv2.latent_cache<latent = 4, rope = 2, format = bf16, page = 3>,
      tensor<?x?xi32> -> tensor<?x6xf32>
return %expanded0, %absorbed0, %rows0, %rows1, %other_layer :
      tensor<?x2x5xbf16>, tensor<?x2x5xbf16>, tensor<?x6xf32>, tensor<?x6xf32>,
      tensor<?x6xf32>
}
func.func private @attention_bf16_expected() -> (tensor<4x2x5xbf16>,
    tensor<4x2x5xbf16>, tensor<2x6xf32>, tensor<2x6xf32>, tensor<3x6xf32>) {
%0 = arith.constant dense<[[[-4.03125, 1.9375, 1.265625, -4.0625, 2.71875],
      [-3.96875, -5.03125, 0.20703125, 2.09375, 0.62109375]], [[-4.1875,
      1.7734375, 0.703125, -3.453125, -0.28710938], [-4.0625, -3.109375,
      1.2890625, -0.25390625, -1.4765625]], [[-0.73046875, -5.375, 3.0625,
      -2.25, -1.25], [-0.8203125, -5.375, -5.0, 3.171875, 5.40625]], [[-2.53125,
      4.6875, 0.8828125, -1.71875, 0.70703125], [-1.8203125, -1.859375,
      2.765625, -0.083496094, -0.6875]]]> : tensor<4x2x5xbf16>
%1 = arith.constant dense<[[[-4.03125, 1.9375, 1.265625, -4.0625, 2.71875],
      [-3.96875, -5.03125, 0.20703125, 2.09375, 0.62109375]], [[-4.1875,
      1.7734375, 0.703125, -3.453125, -0.28710938], [-4.0625, -3.109375,
      1.2890625, -0.25390625, -1.4765625]], [[-0.73046875, -5.375, 3.0625,
      -2.25, -1.25], [-0.8203125, -5.375, -5.0, 3.171875, 5.40625]], [[-2.53125,
      4.6875, 0.8828125, -1.71875, 0.70703125], [-1.8203125, -1.859375,
      2.765625, -0.083496094, -0.6875]]]> : tensor<4x2x5xbf16>
%2 = arith.constant dense<[[1.1875, -1.75, -1.0, -1.0, -1.75, -0.125], [1.1875,
      -0.5625, 0.5, -1.3125, -1.625, -0.3125]]> : tensor<2x6xf32>
%3 = arith.constant dense<[[-1.25, -1.0, -2.0, -1.1875, 1.375, 1.625], [0.6875,
      -1.875, 0.625, -0.625, -0.5, -1.6875]]> : tensor<2x6xf32>
%4 = arith.constant dense<[[77.0, 77.0, 77.0, 77.0, 77.0, 77.0], [77.0, 77.0,
      77.0, 77.0, 77.0, 77.0], [77.0, 77.0, 77.0, 77.0, 77.0, 77.0]]> :
      tensor<3x6xf32>
return %0, %1, %2, %3, %4 : tensor<4x2x5xbf16>, tensor<4x2x5xbf16>,
      tensor<2x6xf32>, tensor<2x6xf32>, tensor<3x6xf32>
}
func.func private @attention_bf16_check() {
%got:5 = call @attention_bf16() : () -> (tensor<?x2x5xbf16>, tensor<?x2x5xbf16>,
      tensor<?x6xf32>, tensor<?x6xf32>, tensor<?x6xf32>)
%want:5 = call @attention_bf16_expected() : () -> (tensor<4x2x5xbf16>,
      tensor<4x2x5xbf16>, tensor<2x6xf32>, tensor<2x6xf32>, tensor<3x6xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1, 2]] : tensor<?x2x5xbf16> into
      tensor<?xbf16>
%w0 = tensor.collapse_shape %want#0 [[0, 1, 2]] : tensor<4x2x5xbf16> into
      tensor<40xbf16>
  %wd0 = tensor.cast %w0 : tensor<40xbf16> to tensor<?xbf16>
%d0 = call @difference_bf16(%g0, %wd0) : (tensor<?xbf16>, tensor<?xbf16>) -> f32
  %t0 = arith.constant 0.015625 : f32
  vector.print str "attention_bf16 expanded0: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1, 2]] : tensor<?x2x5xbf16> into
      tensor<?xbf16>
%w1 = tensor.collapse_shape %want#1 [[0, 1, 2]] : tensor<4x2x5xbf16> into
      tensor<40xbf16>
  %wd1 = tensor.cast %w1 : tensor<40xbf16> to tensor<?xbf16>
%d1 = call @difference_bf16(%g1, %wd1) : (tensor<?xbf16>, tensor<?xbf16>) -> f32
  %t1 = arith.constant 0.015625 : f32
  vector.print str "attention_bf16 absorbed0: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
%g2 = tensor.collapse_shape %got#2 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w2 = tensor.collapse_shape %want#2 [[0, 1]] : tensor<2x6xf32> into
      tensor<12xf32>
  %wd2 = tensor.cast %w2 : tensor<12xf32> to tensor<?xf32>
%d2 = call @difference_f32(%g2, %wd2) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t2 = arith.constant 0.0 : f32
  vector.print str "attention_bf16 rows0: "
  call @verdict(%d2, %t2) : (f32, f32) -> ()
%g3 = tensor.collapse_shape %got#3 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w3 = tensor.collapse_shape %want#3 [[0, 1]] : tensor<2x6xf32> into
      tensor<12xf32>
  %wd3 = tensor.cast %w3 : tensor<12xf32> to tensor<?xf32>
%d3 = call @difference_f32(%g3, %wd3) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t3 = arith.constant 0.0 : f32
  vector.print str "attention_bf16 rows1: "
  call @verdict(%d3, %t3) : (f32, f32) -> ()
%g4 = tensor.collapse_shape %got#4 [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w4 = tensor.collapse_shape %want#4 [[0, 1]] : tensor<3x6xf32> into
      tensor<18xf32>
  %wd4 = tensor.cast %w4 : tensor<18xf32> to tensor<?xf32>
%d4 = call @difference_f32(%g4, %wd4) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t4 = arith.constant 0.0 : f32
  vector.print str "attention_bf16 other_layer: "
  call @verdict(%d4, %t4) : (f32, f32) -> ()
  return
}
// CHECK: attention_bf16 expanded0: ok
// CHECK: attention_bf16 absorbed0: ok
// CHECK: attention_bf16 rows0: ok
// CHECK: attention_bf16 rows1: ok
// CHECK: attention_bf16 other_layer: ok

func.func @main() {
  call @attention_ragged_check() : () -> ()
  call @attention_chunks_check() : () -> ()
  call @attention_whole_check() : () -> ()
  call @attention_undecided_check() : () -> ()
  call @attention_bf16_cache_check() : () -> ()
  call @attention_bf16_check() : () -> ()
  return
}
