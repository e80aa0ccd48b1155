// RUN: cat %s %S/Inputs/compare.mlir | dsv2-opt --dsv2-convert-to-linalg \
// RUN:   | mlir-opt %lower_to_llvm \
// RUN:   | mlir-runner -e main --entry-point-result=void \
// RUN:       -shared-libs=%mlir_runner_utils \
// RUN:   | FileCheck %s --implicit-check-not=FAIL
//
// Steps without tokens.
// Written by test/Oracle/op_reference.py.

// A step without tokens: every result has no rows,
// and the cache stays as it was.
func.func private @no_tokens() -> (tensor<?x4xf32>, tensor<?x3xf32>,
    tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x3xf32>, tensor<?x4xf32>,
    tensor<?x2xi32>, tensor<?x2xf32>, tensor<?x4xf32>, tensor<5xi32>,
    tensor<?x2xi32>, tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x2x5xf32>,
    tensor<?x2x5xf32>, tensor<?x6xf32>) {
%tokens_s = arith.constant dense<> : tensor<0xi32>
%tokens = tensor.cast %tokens_s : tensor<0xi32> to tensor<?xi32>
%x_s = arith.constant dense<> : tensor<0x4xf32>
%x = tensor.cast %x_s : tensor<0x4xf32> to tensor<?x4xf32>
%w4 = arith.constant dense<[0.1875, 1.625, 0.0, -1.75]> : tensor<4xf32>
%w34 = arith.constant dense<[[0.3125, 0.6875, -1.6875, -0.125], [-0.5625, 0.75,
      0.8125, -1.875], [-1.25, -1.8125, 1.0625, -1.3125]]> : tensor<3x4xf32>
%w43 = arith.constant dense<[[1.5625, 1.9375, 0.4375], [-0.8125, -0.8125,
      0.375], [1.3125, 1.9375, -1.75], [0.8125, -1.5625, -1.1875]]> :
      tensor<4x3xf32>
%embed = dsv2.embed %tokens, %w34 : tensor<?xi32>, tensor<3x4xf32> ->
      tensor<?x4xf32>
%linear = dsv2.linear %x, %w34 : tensor<?x4xf32>, tensor<3x4xf32> ->
      tensor<?x3xf32>
%norm = dsv2.rms_norm %x, %w4 eps 1.0e-6 : tensor<?x4xf32>, tensor<4xf32>
%ffn = dsv2.gated_ffn %x, %w34, %w43 up %w34 : tensor<?x4xf32>, tensor<3x4xf32>,
      tensor<4x3xf32>, tensor<3x4xf32>
%logits = dsv2.logits %x, %tokens, %w34 : tensor<?x4xf32>, tensor<?xi32>,
      tensor<3x4xf32> -> tensor<?x3xf32>
%rope = dsv2.rope %x, %tokens <dim = 4, theta = 10000.0> : tensor<?x4xf32>,
      tensor<?xi32>
%gate = arith.constant dense<[[-0.9375, -0.3125, 0.625, -1.625], [0.1875,
      -0.875, -2.0, -0.8125], [-0.125, -1.9375, 0.875, 1.375], [1.8125, 1.625,
      1.4375, 0.0625]]> : tensor<4x4xf32>
%ids, %weights = dsv2.route %x, %gate top_k 2 groups 1 of 2 scale 1.0 :
      tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
%sorted, %offsets, %rows = dsv2.dispatch %x, %ids : tensor<?x4xf32>,
      tensor<?x2xi32> -> tensor<?x4xf32>, tensor<5xi32>, tensor<?x2xi32>
%eg = arith.constant dense<[[[-0.75, 0.5625, -1.875, 0.375], [0.375, 0.625,
      -1.1875, 2.0], [0.5, 0.3125, -0.5, -1.4375]], [[1.1875, 0.8125, 0.3125,
      0.75], [1.6875, 1.4375, 0.6875, 0.75], [-1.4375, -0.6875, -0.5625,
      -1.875]], [[-0.4375, -0.1875, 1.3125, 0.5], [2.0, 0.9375, 1.0, 0.6875],
      [-1.25, 0.375, -0.0625, 0.4375]], [[-0.125, -1.0625, -0.625, -0.4375],
      [0.625, -0.3125, -0.6875, -1.875], [-0.875, 1.8125, -1.125, -1.6875]]]> :
      tensor<4x3x4xf32>
%ed = arith.constant dense<[[[1.0, 1.9375, -1.1875], [1.1875, 1.0, -1.125],
      [1.4375, -0.5625, -0.0625], [-1.0, 0.1875, 0.5]], [[-1.6875, -1.875,
      0.6875], [-0.3125, 0.375, 1.0], [-1.625, -0.1875, 0.0], [0.5, 1.1875,
      -0.3125]], [[1.9375, 0.5, 1.0], [1.5, 0.4375, 0.6875], [1.1875, 1.625,
      -0.5], [1.375, -0.875, 0.0]], [[0.125, -0.3125, -0.0625], [0.8125, -2.0,
      0.75], [-0.8125, -0.75, 0.125], [0.5, 0.3125, -0.4375]]]> :
      tensor<4x4x3xf32>
%experts = dsv2.expert_ffn %sorted, %offsets, %eg, %ed up %eg : tensor<?x4xf32>,
      tensor<5xi32>, tensor<4x3x4xf32>, tensor<4x4x3xf32>, tensor<4x3x4xf32>
%combined = dsv2.combine %experts, %rows, %weights : tensor<?x4xf32>,
      tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x4xf32>
%layers = arith.constant 2 : index
%pages = arith.constant 6 : index
%memory = memref.alloc(%layers, %pages) : memref<?x?x3x6xf32>
%full = arith.constant 77.0 : f32
linalg.fill ins(%full : f32) outs(%memory : memref<?x?x3x6xf32>)
%cache = builtin.unrealized_conversion_cast %memory : memref<?x?x3x6xf32> to
      !dsv2.latent_cache<latent = 4, rope = 2, format = f32, page = 3>
%uk = arith.constant dense<[[[1.5625, -1.375, 1.4375, 0.3125], [-0.3125, -0.5,
      -0.875, -0.75], [0.625, 0.75, -0.5625, 1.9375]], [[1.1875, 1.875, 0.8125,
      0.6875], [0.25, 1.3125, 1.75, -0.1875], [0.4375, -0.75, 1.5, 0.1875]]]> :
      tensor<2x3x4xf32>
%uv = arith.constant dense<[[[0.1875, 0.4375, -0.875, 1.6875], [-0.375, -0.375,
      -1.75, 0.1875], [0.4375, -0.375, 0.5, -1.4375], [0.875, -1.875, 1.75,
      -1.0625], [-1.0625, 0.4375, -0.8125, 1.625]], [[0.9375, -2.0, -1.25,
      -0.1875], [0.5625, 1.25, 0.375, 1.875], [-0.5625, -1.375, -0.3125, -1.75],
      [-1.625, -1.4375, -1.625, -0.6875], [0.125, -0.5625, -1.4375, 0.375]]]> :
      tensor<2x5x4xf32>
%tables_s = arith.constant dense<[[4, 1, 2], [0, 5, 3]]> : tensor<2x3xi32>
%tables = tensor.cast %tables_s : tensor<2x3xi32> to tensor<?x?xi32>
%layer = arith.constant 1 : index
%key_s = arith.constant dense<> : tensor<0x2xf32>
%key = tensor.cast %key_s : tensor<0x2xf32> to tensor<?x2xf32>
%latent_s = arith.constant dense<> : tensor<0x4xf32>
%latent = tensor.cast %latent_s : tensor<0x4xf32> to tensor<?x4xf32>
%qn_s = arith.constant dense<> : tensor<0x2x3xf32>
%qn = tensor.cast %qn_s : tensor<0x2x3xf32> to tensor<?x2x3xf32>
%qr_s = arith.constant dense<> : tensor<0x2x2xf32>
%qr = tensor.cast %qr_s : tensor<0x2x2xf32> to tensor<?x2x2xf32>
%starts_s = arith.constant dense<[0, 0, 0]> : tensor<3xi32>
%starts = tensor.cast %starts_s : tensor<3xi32> to tensor<?xi32>
dsv2.latent_append %latent, %key, %cache[%layer], %tokens, %tokens, %tables :
      tensor<?x4xf32>, tensor<?x2xf32>, !dsv2.latent_cache<latent = 4, rope = 2,
      format = f32, page = 3>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>
%expanded = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%layer], %tokens,
      %tokens, %starts, %tables form expanded scale 1.0 : tensor<?x2x3xf32>,
      tensor<?x2x2xf32>, tensor<2x3x4xf32>, tensor<2x5x4xf32>,
      !dsv2.latent_cache<latent = 4, rope = 2, format = f32, page = 3>,
      tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> ->
      tensor<?x2x5xf32>
%absorbed = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%layer], %tokens,
      %tokens, %starts, %tables form absorbed scale 1.0 : tensor<?x2x3xf32>,
      tensor<?x2x2xf32>, tensor<2x3x4xf32>, tensor<2x5x4xf32>,
      !dsv2.latent_cache<latent = 4, rope = 2, format = f32, page = 3>,
      tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> ->
      tensor<?x2x5xf32>
dsv2.copy_pages %cache, %tokens, %tokens : !dsv2.latent_cache<latent = 4, rope =
      2, format = f32, page = 3>, tensor<?xi32>, tensor<?xi32>
%untouched_layer = arith.constant 1 : index
%untouched_sequence = arith.constant 0 : index
%untouched_length = arith.constant 6 : index
%untouched = dsv2.latent_gather %cache[%untouched_layer], %untouched_sequence,
      %untouched_length, %tables : !dsv2.latent_cache<latent = 4, rope = 2,
      format = f32, page = 3>, tensor<?x?xi32> -> tensor<?x6xf32>
return %embed, %linear, %norm, %ffn, %logits, %rope, %ids, %weights, %sorted,
      %offsets, %rows, %experts, %combined, %expanded, %absorbed, %untouched :
      tensor<?x4xf32>, tensor<?x3xf32>, tensor<?x4xf32>, tensor<?x4xf32>,
      tensor<?x3xf32>, tensor<?x4xf32>, tensor<?x2xi32>, tensor<?x2xf32>,
      tensor<?x4xf32>, tensor<5xi32>, tensor<?x2xi32>, tensor<?x4xf32>,
      tensor<?x4xf32>, tensor<?x2x5xf32>, tensor<?x2x5xf32>, tensor<?x6xf32>
}
func.func private @no_tokens_expected() -> (tensor<0x4xf32>, tensor<0x3xf32>,
    tensor<0x4xf32>, tensor<0x4xf32>, tensor<0x3xf32>, tensor<0x4xf32>,
    tensor<0x2xi32>, tensor<0x2xf32>, tensor<0x4xf32>, tensor<5xi32>,
    tensor<0x2xi32>, tensor<0x4xf32>, tensor<0x4xf32>, tensor<0x2x5xf32>,
    tensor<0x2x5xf32>, tensor<6x6xf32>) {
%0 = arith.constant dense<> : tensor<0x4xf32>
%1 = arith.constant dense<> : tensor<0x3xf32>
%2 = arith.constant dense<> : tensor<0x4xf32>
%3 = arith.constant dense<> : tensor<0x4xf32>
%4 = arith.constant dense<> : tensor<0x3xf32>
%5 = arith.constant dense<> : tensor<0x4xf32>
%6 = arith.constant dense<> : tensor<0x2xi32>
%7 = arith.constant dense<> : tensor<0x2xf32>
%8 = arith.constant dense<> : tensor<0x4xf32>
%9 = arith.constant dense<[0, 0, 0, 0, 0]> : tensor<5xi32>
%10 = arith.constant dense<> : tensor<0x2xi32>
%11 = arith.constant dense<> : tensor<0x4xf32>
%12 = arith.constant dense<> : tensor<0x4xf32>
%13 = arith.constant dense<> : tensor<0x2x5xf32>
%14 = arith.constant dense<> : tensor<0x2x5xf32>
%15 = arith.constant dense<[[77.0, 77.0, 77.0, 77.0, 77.0, 77.0], [77.0, 77.0,
      77.0, 77.0, 77.0, 77.0], [77.0, 77.0, 77.0, 77.0, 77.0, 77.0], [77.0,
      77.0, 77.0, 77.0, 77.0, 77.0], [77.0, 77.0, 77.0, 77.0, 77.0, 77.0],
      [77.0, 77.0, 77.0, 77.0, 77.0, 77.0]]> : tensor<6x6xf32>
return %0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15 :
      tensor<0x4xf32>, tensor<0x3xf32>, tensor<0x4xf32>, tensor<0x4xf32>,
      tensor<0x3xf32>, tensor<0x4xf32>, tensor<0x2xi32>, tensor<0x2xf32>,
      tensor<0x4xf32>, tensor<5xi32>, tensor<0x2xi32>, tensor<0x4xf32>,
      tensor<0x4xf32>, tensor<0x2x5xf32>, tensor<0x2x5xf32>, tensor<6x6xf32>
}
func.func private @no_tokens_check() {
%got:16 = call @no_tokens() : () -> (tensor<?x4xf32>, tensor<?x3xf32>,
      tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x3xf32>, tensor<?x4xf32>,
      tensor<?x2xi32>, tensor<?x2xf32>, tensor<?x4xf32>, tensor<5xi32>,
      tensor<?x2xi32>, tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x2x5xf32>,
      tensor<?x2x5xf32>, tensor<?x6xf32>)
%want:16 = call @no_tokens_expected() : () -> (tensor<0x4xf32>, tensor<0x3xf32>,
      tensor<0x4xf32>, tensor<0x4xf32>, tensor<0x3xf32>, tensor<0x4xf32>,
      tensor<0x2xi32>, tensor<0x2xf32>, tensor<0x4xf32>, tensor<5xi32>,
      tensor<0x2xi32>, tensor<0x4xf32>, tensor<0x4xf32>, tensor<0x2x5xf32>,
      tensor<0x2x5xf32>, tensor<6x6xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x4xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<0x4xf32> into
      tensor<0xf32>
  %wd0 = tensor.cast %w0 : tensor<0xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "no_tokens embed: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<?x3xf32> into tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<0x3xf32> into
      tensor<0xf32>
  %wd1 = tensor.cast %w1 : tensor<0xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 0.0 : f32
  vector.print str "no_tokens linear: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
%g2 = tensor.collapse_shape %got#2 [[0, 1]] : tensor<?x4xf32> into tensor<?xf32>
%w2 = tensor.collapse_shape %want#2 [[0, 1]] : tensor<0x4xf32> into
      tensor<0xf32>
  %wd2 = tensor.cast %w2 : tensor<0xf32> to tensor<?xf32>
%d2 = call @difference_f32(%g2, %wd2) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t2 = arith.constant 0.0 : f32
  vector.print str "no_tokens norm: "
  call @verdict(%d2, %t2) : (f32, f32) -> ()
%g3 = tensor.collapse_shape %got#3 [[0, 1]] : tensor<?x4xf32> into tensor<?xf32>
%w3 = tensor.collapse_shape %want#3 [[0, 1]] : tensor<0x4xf32> into
      tensor<0xf32>
  %wd3 = tensor.cast %w3 : tensor<0xf32> to tensor<?xf32>
%d3 = call @difference_f32(%g3, %wd3) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t3 = arith.constant 0.0 : f32
  vector.print str "no_tokens ffn: "
  call @verdict(%d3, %t3) : (f32, f32) -> ()
%g4 = tensor.collapse_shape %got#4 [[0, 1]] : tensor<?x3xf32> into tensor<?xf32>
%w4 = tensor.collapse_shape %want#4 [[0, 1]] : tensor<0x3xf32> into
      tensor<0xf32>
  %wd4 = tensor.cast %w4 : tensor<0xf32> to tensor<?xf32>
%d4 = call @difference_f32(%g4, %wd4) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t4 = arith.constant 0.0 : f32
  vector.print str "no_tokens logits: "
  call @verdict(%d4, %t4) : (f32, f32) -> ()
%g5 = tensor.collapse_shape %got#5 [[0, 1]] : tensor<?x4xf32> into tensor<?xf32>
%w5 = tensor.collapse_shape %want#5 [[0, 1]] : tensor<0x4xf32> into
      tensor<0xf32>
  %wd5 = tensor.cast %w5 : tensor<0xf32> to tensor<?xf32>
%d5 = call @difference_f32(%g5, %wd5) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t5 = arith.constant 0.0 : f32
  vector.print str "no_tokens rope: "
  call @verdict(%d5, %t5) : (f32, f32) -> ()
%g6 = tensor.collapse_shape %got#6 [[0, 1]] : tensor<?x2xi32> into tensor<?xi32>
%w6 = tensor.collapse_shape %want#6 [[0, 1]] : tensor<0x2xi32> into
      tensor<0xi32>
  %wd6 = tensor.cast %w6 : tensor<0xi32> to tensor<?xi32>
%d6 = call @difference_i32(%g6, %wd6) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t6 = arith.constant 0.0 : f32
  vector.print str "no_tokens ids: "
  call @verdict(%d6, %t6) : (f32, f32) -> ()
%g7 = tensor.collapse_shape %got#7 [[0, 1]] : tensor<?x2xf32> into tensor<?xf32>
%w7 = tensor.collapse_shape %want#7 [[0, 1]] : tensor<0x2xf32> into
      tensor<0xf32>
  %wd7 = tensor.cast %w7 : tensor<0xf32> to tensor<?xf32>
%d7 = call @difference_f32(%g7, %wd7) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t7 = arith.constant 0.0 : f32
  vector.print str "no_tokens weights: "
  call @verdict(%d7, %t7) : (f32, f32) -> ()
%g8 = tensor.collapse_shape %got#8 [[0, 1]] : tensor<?x4xf32> into tensor<?xf32>
%w8 = tensor.collapse_shape %want#8 [[0, 1]] : tensor<0x4xf32> into
      tensor<0xf32>
  %wd8 = tensor.cast %w8 : tensor<0xf32> to tensor<?xf32>
%d8 = call @difference_f32(%g8, %wd8) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t8 = arith.constant 0.0 : f32
  vector.print str "no_tokens sorted: "
  call @verdict(%d8, %t8) : (f32, f32) -> ()
  %gd9 = tensor.cast %got#9 : tensor<5xi32> to tensor<?xi32>
  %wd9 = tensor.cast %want#9 : tensor<5xi32> to tensor<?xi32>
%d9 = call @difference_i32(%gd9, %wd9) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t9 = arith.constant 0.0 : f32
  vector.print str "no_tokens offsets: "
  call @verdict(%d9, %t9) : (f32, f32) -> ()
%g10 = tensor.collapse_shape %got#10 [[0, 1]] : tensor<?x2xi32> into
      tensor<?xi32>
%w10 = tensor.collapse_shape %want#10 [[0, 1]] : tensor<0x2xi32> into
      tensor<0xi32>
  %wd10 = tensor.cast %w10 : tensor<0xi32> to tensor<?xi32>
%d10 = call @difference_i32(%g10, %wd10) : (tensor<?xi32>, tensor<?xi32>) -> f32
  %t10 = arith.constant 0.0 : f32
  vector.print str "no_tokens rows: "
  call @verdict(%d10, %t10) : (f32, f32) -> ()
%g11 = tensor.collapse_shape %got#11 [[0, 1]] : tensor<?x4xf32> into
      tensor<?xf32>
%w11 = tensor.collapse_shape %want#11 [[0, 1]] : tensor<0x4xf32> into
      tensor<0xf32>
  %wd11 = tensor.cast %w11 : tensor<0xf32> to tensor<?xf32>
%d11 = call @difference_f32(%g11, %wd11) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t11 = arith.constant 0.0 : f32
  vector.print str "no_tokens experts: "
  call @verdict(%d11, %t11) : (f32, f32) -> ()
%g12 = tensor.collapse_shape %got#12 [[0, 1]] : tensor<?x4xf32> into
      tensor<?xf32>
%w12 = tensor.collapse_shape %want#12 [[0, 1]] : tensor<0x4xf32> into
      tensor<0xf32>
  %wd12 = tensor.cast %w12 : tensor<0xf32> to tensor<?xf32>
%d12 = call @difference_f32(%g12, %wd12) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t12 = arith.constant 0.0 : f32
  vector.print str "no_tokens combined: "
  call @verdict(%d12, %t12) : (f32, f32) -> ()
%g13 = tensor.collapse_shape %got#13 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w13 = tensor.collapse_shape %want#13 [[0, 1, 2]] : tensor<0x2x5xf32> into
      tensor<0xf32>
  %wd13 = tensor.cast %w13 : tensor<0xf32> to tensor<?xf32>
%d13 = call @difference_f32(%g13, %wd13) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t13 = arith.constant 0.0 : f32
  vector.print str "no_tokens expanded: "
  call @verdict(%d13, %t13) : (f32, f32) -> ()
%g14 = tensor.collapse_shape %got#14 [[0, 1, 2]] : tensor<?x2x5xf32> into
      tensor<?xf32>
%w14 = tensor.collapse_shape %want#14 [[0, 1, 2]] : tensor<0x2x5xf32> into
      tensor<0xf32>
  %wd14 = tensor.cast %w14 : tensor<0xf32> to tensor<?xf32>
%d14 = call @difference_f32(%g14, %wd14) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t14 = arith.constant 0.0 : f32
  vector.print str "no_tokens absorbed: "
  call @verdict(%d14, %t14) : (f32, f32) -> ()
%g15 = tensor.collapse_shape %got#15 [[0, 1]] : tensor<?x6xf32> into
      tensor<?xf32>
%w15 = tensor.collapse_shape %want#15 [[0, 1]] : tensor<6x6xf32> into
      tensor<36xf32>
  %wd15 = tensor.cast %w15 : tensor<36xf32> to tensor<?xf32>
%d15 = call @difference_f32(%g15, %wd15) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t15 = arith.constant 0.0 : f32
  vector.print str "no_tokens untouched: "
  call @verdict(%d15, %t15) : (f32, f32) -> ()
  return
}
// CHECK: no_tokens embed: ok
// CHECK: no_tokens linear: ok
// CHECK: no_tokens norm: ok
// CHECK: no_tokens ffn: ok
// CHECK: no_tokens logits: ok
// CHECK: no_tokens rope: ok
// CHECK: no_tokens ids: ok
// CHECK: no_tokens weights: ok
// CHECK: no_tokens sorted: ok
// CHECK: no_tokens offsets: ok
// CHECK: no_tokens rows: ok
// CHECK: no_tokens experts: ok
// CHECK: no_tokens combined: ok
// CHECK: no_tokens expanded: ok
// CHECK: no_tokens absorbed: ok
// CHECK: no_tokens untouched: ok

func.func @main() {
  call @no_tokens_check() : () -> ()
  return
}
