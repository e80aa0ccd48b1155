// RUN: cat %s %S/Inputs/compare.mlir | dsv2-opt --dsv2-convert-to-linalg \
// RUN:   | mlir-opt %lower_to_llvm \
// RUN:   | mlir-runner -e main --entry-point-result=void \
// RUN:       -shared-libs=%mlir_runner_utils \
// RUN:   | FileCheck %s --implicit-check-not=FAIL
//
// Embedding, products, norms, feed-forward networks.
// Written by test/Oracle/op_reference.py.

func.func private @embed() -> tensor<?x6xf32> {
%tokens_s = arith.constant dense<[3, 0, 3, 4]> : tensor<4xi32>
%tokens = tensor.cast %tokens_s : tensor<4xi32> to tensor<?xi32>
%table = arith.constant dense<[[-0.125, 0.0625, 1.0625, 1.8125, -1.875,
      -1.4375], [1.3125, 1.8125, -1.0, -0.75, 1.5, -0.3125], [-0.9375, 1.3125,
      -1.0, -0.375, 0.5625, 0.1875], [-1.6875, -1.9375, 1.5, 1.0, 1.375, 0.125],
      [1.3125, -0.6875, -0.1875, 1.1875, -1.5, -0.8125]]> : tensor<5x6xbf16>
%y = dsv2.embed %tokens, %table : tensor<?xi32>, tensor<5x6xbf16> ->
      tensor<?x6xf32>
return %y : tensor<?x6xf32>
}
func.func private @embed_expected() -> tensor<4x6xf32> {
%0 = arith.constant dense<[[-1.6875, -1.9375, 1.5, 1.0, 1.375, 0.125], [-0.125,
      0.0625, 1.0625, 1.8125, -1.875, -1.4375], [-1.6875, -1.9375, 1.5, 1.0,
      1.375, 0.125], [1.3125, -0.6875, -0.1875, 1.1875, -1.5, -0.8125]]> :
      tensor<4x6xf32>
return %0 : tensor<4x6xf32>
}
func.func private @embed_check() {
%got = call @embed() : () -> tensor<?x6xf32>
%want = call @embed_expected() : () -> tensor<4x6xf32>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<4x6xf32> into tensor<24xf32>
  %wd0 = tensor.cast %w0 : tensor<24xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "embed y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: embed y: ok

func.func private @linear() -> tensor<?x5xf32> {
%x_s = arith.constant dense<[[-1.5, -0.1875, 1.9375, -1.5, -0.5, -0.375, 1.625,
      -1.1875], [0.0, -0.9375, -1.9375, 1.0, -1.75, -0.875, 0.0, -0.0625],
      [-1.5625, 1.9375, 1.0, 1.875, -1.6875, 0.9375, -0.8125, 0.1875]]> :
      tensor<3x8xf32>
%x = tensor.cast %x_s : tensor<3x8xf32> to tensor<?x8xf32>
%w = arith.constant dense<[[1.75, -0.9375, 0.9375, -1.375, -0.75, 1.9375,
      -0.3125, 0.0625], [-0.8125, -1.5625, -0.3125, 0.5, -0.1875, 1.125,
      -0.5625, 0.4375], [1.125, 1.6875, -0.3125, -1.875, 0.875, 0.125, 1.5,
      -0.1875], [-0.5625, -1.75, -0.1875, 0.5625, 1.125, 1.4375, -1.1875,
      0.375], [1.25, -1.0, -0.625, 1.375, 0.3125, 0.0625, 0.6875, 0.0625]]> :
      tensor<5x8xbf16>
%y = dsv2.linear %x, %w : tensor<?x8xf32>, tensor<5x8xbf16> -> tensor<?x5xf32>
return %y : tensor<?x5xf32>
}
func.func private @linear_expected() -> tensor<3x5xf32> {
%0 = arith.constant dense<[[0.49609375, -1.6054688, 2.3789062, -3.5117188,
      -4.0976562], [-2.6992188, 1.8867188, -4.4804688, -0.68359375, 2.9179688],
      [-2.84375, 0.77734375, -4.9296875, -1.1601562, -2.953125]]> :
      tensor<3x5xf32>
return %0 : tensor<3x5xf32>
}
func.func private @linear_check() {
%got = call @linear() : () -> tensor<?x5xf32>
%want = call @linear_expected() : () -> tensor<3x5xf32>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<?x5xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<3x5xf32> into tensor<15xf32>
  %wd0 = tensor.cast %w0 : tensor<15xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 1.0e-06 : f32
  vector.print str "linear y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: linear y: ok

// Nothing needs the token dimension to be dynamic.
func.func private @linear_static() -> tensor<3x5xf32> {
%x = arith.constant dense<[[-1.5, -0.1875, 1.9375, -1.5, -0.5, -0.375, 1.625,
      -1.1875], [0.0, -0.9375, -1.9375, 1.0, -1.75, -0.875, 0.0, -0.0625],
      [-1.5625, 1.9375, 1.0, 1.875, -1.6875, 0.9375, -0.8125, 0.1875]]> :
      tensor<3x8xf32>
%w = arith.constant dense<[[1.75, -0.9375, 0.9375, -1.375, -0.75, 1.9375,
      -0.3125, 0.0625], [-0.8125, -1.5625, -0.3125, 0.5, -0.1875, 1.125,
      -0.5625, 0.4375], [1.125, 1.6875, -0.3125, -1.875, 0.875, 0.125, 1.5,
      -0.1875], [-0.5625, -1.75, -0.1875, 0.5625, 1.125, 1.4375, -1.1875,
      0.375], [1.25, -1.0, -0.625, 1.375, 0.3125, 0.0625, 0.6875, 0.0625]]> :
      tensor<5x8xf16>
%y = dsv2.linear %x, %w : tensor<3x8xf32>, tensor<5x8xf16> -> tensor<3x5xf32>
return %y : tensor<3x5xf32>
}
func.func private @linear_static_expected() -> tensor<3x5xf32> {
%0 = arith.constant dense<[[0.49609375, -1.6054688, 2.3789062, -3.5117188,
      -4.0976562], [-2.6992188, 1.8867188, -4.4804688, -0.68359375, 2.9179688],
      [-2.84375, 0.77734375, -4.9296875, -1.1601562, -2.953125]]> :
      tensor<3x5xf32>
return %0 : tensor<3x5xf32>
}
func.func private @linear_static_check() {
%got = call @linear_static() : () -> tensor<3x5xf32>
%want = call @linear_static_expected() : () -> tensor<3x5xf32>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<3x5xf32> into tensor<15xf32>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<3x5xf32> into tensor<15xf32>
  %gd0 = tensor.cast %g0 : tensor<15xf32> to tensor<?xf32>
  %wd0 = tensor.cast %w0 : tensor<15xf32> to tensor<?xf32>
%d0 = call @difference_f32(%gd0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 1.0e-06 : f32
  vector.print str "linear_static y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: linear_static y: ok

// The sum is kept in f32 and rounded once: in bf16,
// 256 + 1 + 1 + 1 + 1 would be 256.
func.func private @linear_bf16() -> tensor<?x1xbf16> {
%x_s = arith.constant dense<[[256.0, 1.0, 1.0, 1.0, 1.0]]> : tensor<1x5xbf16>
%x = tensor.cast %x_s : tensor<1x5xbf16> to tensor<?x5xbf16>
%w = arith.constant dense<[[1.0, 1.0, 1.0, 1.0, 1.0]]> : tensor<1x5xbf16>
%y = dsv2.linear %x, %w : tensor<?x5xbf16>, tensor<1x5xbf16> -> tensor<?x1xbf16>
return %y : tensor<?x1xbf16>
}
func.func private @linear_bf16_expected() -> tensor<1x1xbf16> {
%0 = arith.constant dense<[[260.0]]> : tensor<1x1xbf16>
return %0 : tensor<1x1xbf16>
}
func.func private @linear_bf16_check() {
%got = call @linear_bf16() : () -> tensor<?x1xbf16>
%want = call @linear_bf16_expected() : () -> tensor<1x1xbf16>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<?x1xbf16> into tensor<?xbf16>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<1x1xbf16> into
      tensor<1xbf16>
  %wd0 = tensor.cast %w0 : tensor<1xbf16> to tensor<?xbf16>
%d0 = call @difference_bf16(%g0, %wd0) : (tensor<?xbf16>, tensor<?xbf16>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "linear_bf16 y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: linear_bf16 y: ok

// An ordinary row, a row of zeros, for which eps is
// all there is, and one whose squares are far from 1.
func.func private @rms_norm() -> tensor<?x6xf32> {
%x_s = arith.constant dense<[[1.9375, 1.0, -1.8125, -1.4375, 0.1875, 1.3125],
      [0.0, 0.0, 0.0, 0.0, 0.0, 0.0], [-7168.0, 3072.0, 4352.0, 4864.0, 6144.0,
      -5120.0]]> : tensor<3x6xf32>
%x = tensor.cast %x_s : tensor<3x6xf32> to tensor<?x6xf32>
%w = arith.constant dense<[0.25, 1.25, -0.5625, -1.25, -0.0625, -1.6875]> :
      tensor<6xbf16>
%y = dsv2.rms_norm %x, %w eps 1.0e-6 : tensor<?x6xf32>, tensor<6xbf16>
return %y : tensor<?x6xf32>
}
func.func private @rms_norm_expected() -> tensor<3x6xf32> {
%0 = arith.constant dense<[[0.3444727, 0.88896185, 0.7250595, 1.2778826,
      -0.008334017, -1.5751293], [0.0, 0.0, -0.0, -0.0, -0.0, -0.0],
      [-0.33928388, 0.7270369, -0.46348602, -1.1511418, -0.07270369, 1.635833]]>
      : tensor<3x6xf32>
return %0 : tensor<3x6xf32>
}
func.func private @rms_norm_check() {
%got = call @rms_norm() : () -> tensor<?x6xf32>
%want = call @rms_norm_expected() : () -> tensor<3x6xf32>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<?x6xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<3x6xf32> into tensor<18xf32>
  %wd0 = tensor.cast %w0 : tensor<18xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 1.0e-06 : f32
  vector.print str "rms_norm y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: rms_norm y: ok

func.func private @gated_ffn() -> tensor<?x4xf32> {
%x_s = arith.constant dense<[[-1.125, 1.4375, 0.6875, 1.4375], [1.375, 1.5,
      -0.75, -0.125], [50.0, -93.75, 168.75, -200.0]]> : tensor<3x4xf32>
%x = tensor.cast %x_s : tensor<3x4xf32> to tensor<?x4xf32>
%gate = arith.constant dense<[[1.375, 0.5625, -1.0, 0.875], [-0.375, 1.375, 2.0,
      -0.875], [-0.125, -1.1875, 0.8125, 0.5625], [1.375, 1.25, 1.9375, 1.875],
      [1.625, -1.4375, -1.875, -0.0625], [-0.625, 1.625, 1.1875, -0.3125]]> :
      tensor<6x4xbf16>
%up = arith.constant dense<[[0.3125, 0.375, 1.5625, -1.9375], [-0.0625, 0.6875,
      -0.1875, 1.6875], [1.8125, 1.3125, -0.125, 1.5625], [-1.75, 0.625,
      -0.9375, -1.0625], [0.75, 1.0625, 1.5625, -1.1875], [1.5, 1.375, -0.75,
      -1.75]]> : tensor<6x4xbf16>
%down = arith.constant dense<[[1.125, 1.3125, -0.1875, -1.375, -1.4375, -0.5],
      [1.0625, -0.75, -1.875, 0.75, 1.0, -1.3125], [0.25, -0.4375, 0.0, -2.0,
      0.5625, -0.9375], [0.25, -0.3125, 0.4375, -1.625, -0.5625, 0.5625]]> :
      tensor<4x6xbf16>
%y = dsv2.gated_ffn %x, %gate, %down up %up : tensor<?x4xf32>, tensor<6x4xbf16>,
      tensor<4x6xbf16>, tensor<6x4xbf16>
return %y : tensor<?x4xf32>
}
func.func private @gated_ffn_expected() -> tensor<3x4xf32> {
%0 = arith.constant dense<[[10.905165, 8.66948, -0.779382, -12.341501],
      [-1.9285204, -0.47466266, 1.2011663, 1.8445935], [-206947.48, 190858.1,
      57105.58, 36586.668]]> : tensor<3x4xf32>
return %0 : tensor<3x4xf32>
}
func.func private @gated_ffn_check() {
%got = call @gated_ffn() : () -> tensor<?x4xf32>
%want = call @gated_ffn_expected() : () -> tensor<3x4xf32>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<?x4xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<3x4xf32> into tensor<12xf32>
  %wd0 = tensor.cast %w0 : tensor<12xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 0.20694748 : f32
  vector.print str "gated_ffn y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: gated_ffn y: ok

// Gate and up as one operand: the same result.
func.func private @gated_ffn_stacked() -> tensor<?x4xf32> {
%x_s = arith.constant dense<[[-1.125, 1.4375, 0.6875, 1.4375], [1.375, 1.5,
      -0.75, -0.125], [50.0, -93.75, 168.75, -200.0]]> : tensor<3x4xf32>
%x = tensor.cast %x_s : tensor<3x4xf32> to tensor<?x4xf32>
%gate = arith.constant dense<[[[1.375, 0.5625, -1.0, 0.875], [-0.375, 1.375,
      2.0, -0.875], [-0.125, -1.1875, 0.8125, 0.5625], [1.375, 1.25, 1.9375,
      1.875], [1.625, -1.4375, -1.875, -0.0625], [-0.625, 1.625, 1.1875,
      -0.3125]], [[0.3125, 0.375, 1.5625, -1.9375], [-0.0625, 0.6875, -0.1875,
      1.6875], [1.8125, 1.3125, -0.125, 1.5625], [-1.75, 0.625, -0.9375,
      -1.0625], [0.75, 1.0625, 1.5625, -1.1875], [1.5, 1.375, -0.75, -1.75]]]> :
      tensor<2x6x4xbf16>
%down = arith.constant dense<[[1.125, 1.3125, -0.1875, -1.375, -1.4375, -0.5],
      [1.0625, -0.75, -1.875, 0.75, 1.0, -1.3125], [0.25, -0.4375, 0.0, -2.0,
      0.5625, -0.9375], [0.25, -0.3125, 0.4375, -1.625, -0.5625, 0.5625]]> :
      tensor<4x6xbf16>
%y = dsv2.gated_ffn %x, %gate, %down : tensor<?x4xf32>, tensor<2x6x4xbf16>,
      tensor<4x6xbf16>
return %y : tensor<?x4xf32>
}
func.func private @gated_ffn_stacked_expected() -> tensor<3x4xf32> {
%0 = arith.constant dense<[[10.905165, 8.66948, -0.779382, -12.341501],
      [-1.9285204, -0.47466266, 1.2011663, 1.8445935], [-206947.48, 190858.1,
      57105.58, 36586.668]]> : tensor<3x4xf32>
return %0 : tensor<3x4xf32>
}
func.func private @gated_ffn_stacked_check() {
%got = call @gated_ffn_stacked() : () -> tensor<?x4xf32>
%want = call @gated_ffn_stacked_expected() : () -> tensor<3x4xf32>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<?x4xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<3x4xf32> into tensor<12xf32>
  %wd0 = tensor.cast %w0 : tensor<12xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 0.20694748 : f32
  vector.print str "gated_ffn_stacked y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: gated_ffn_stacked y: ok

func.func private @logits() -> tensor<?x5xf32> {
%h_s = arith.constant dense<[[1.0625, -0.5, -1.9375, 0.9375, 0.0, 0.625],
      [-1.375, -0.25, 1.5625, 1.5, -0.75, 0.5625], [-1.6875, 1.25, -0.9375,
      -0.625, 1.875, 0.1875], [1.5, -1.25, 1.0625, 2.0, -1.6875, -1.0625]]> :
      tensor<4x6xf32>
%h = tensor.cast %h_s : tensor<4x6xf32> to tensor<?x6xf32>
%rows_s = arith.constant dense<[3, 1, 3]> : tensor<3xi32>
%rows = tensor.cast %rows_s : tensor<3xi32> to tensor<?xi32>
%w = arith.constant dense<[[-1.4375, -1.0, -0.75, -1.75, 1.625, -1.0], [1.6875,
      1.0625, -1.3125, 0.8125, 1.125, -1.5], [-1.5, -0.5, -1.75, -0.3125,
      -0.0625, 0.6875], [0.3125, -0.1875, -1.125, 0.375, -0.1875, 1.375],
      [0.8125, 0.9375, 0.3125, -0.5625, -0.875, -0.1875]]> : tensor<5x6xbf16>
%y = dsv2.logits %h, %rows, %w : tensor<?x6xf32>, tensor<?xi32>,
      tensor<5x6xbf16> -> tensor<?x5xf32>
return %y : tensor<?x5xf32>
}
func.func private @logits_expected() -> tensor<3x5xf32> {
%0 = arith.constant dense<[[-6.8828125, 1.1289062, -4.734375, -0.88671875,
      0.9296875], [-3.3515625, -5.1054688, -0.58203125, -0.6640625, -1.15625],
      [-6.8828125, 1.1289062, -4.734375, -0.88671875, 0.9296875]]> :
      tensor<3x5xf32>
return %0 : tensor<3x5xf32>
}
func.func private @logits_check() {
%got = call @logits() : () -> tensor<?x5xf32>
%want = call @logits_expected() : () -> tensor<3x5xf32>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<?x5xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<3x5xf32> into tensor<15xf32>
  %wd0 = tensor.cast %w0 : tensor<15xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 1.0e-06 : f32
  vector.print str "logits y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: logits y: ok

// Packing changes the element type, rounding to nearest
// even, and stacks, but values keep their logical places.
func.func private @pack() -> (tensor<?x2xf32>, tensor<?x2xf32>) {
%a = arith.constant dense<[[1.0039062, 1.0117188], [-3.0, 0.1]]> :
      tensor<2x2xf32>
%b = arith.constant dense<[[0.3125, -0.5625], [-1.4375, -1.5625]]> :
      tensor<2x2xf32>
%x_s = arith.constant dense<[[1.0, 0.0], [0.0, 1.0]]> : tensor<2x2xf32>
%x = tensor.cast %x_s : tensor<2x2xf32> to tensor<?x2xf32>
%p = dsv2.pack %a : tensor<2x2xf32> -> tensor<2x2xbf16, #dsv2.packed<panels,
      16>>
%y = dsv2.linear %x, %p : tensor<?x2xf32>, tensor<2x2xbf16, #dsv2.packed<panels,
      16>> -> tensor<?x2xf32>
%g = dsv2.pack %a with %b : tensor<2x2xf32>, tensor<2x2xf32> ->
      tensor<2x2x2xf32, #dsv2.packed<gated_panels, 16>>
%z = dsv2.gated_ffn %x, %g, %a : tensor<?x2xf32>, tensor<2x2x2xf32,
      #dsv2.packed<gated_panels, 16>>, tensor<2x2xf32>
return %y, %z : tensor<?x2xf32>, tensor<?x2xf32>
}
func.func private @pack_expected() -> (tensor<2x2xf32>, tensor<2x2xf32>) {
%0 = arith.constant dense<[[1.0, -3.0], [1.015625, 0.100097656]]> :
      tensor<2x2xf32>
%1 = arith.constant dense<[[0.4374066, -0.6683144], [-0.5019666, 1.2438385]]> :
      tensor<2x2xf32>
return %0, %1 : tensor<2x2xf32>, tensor<2x2xf32>
}
func.func private @pack_check() {
%got:2 = call @pack() : () -> (tensor<?x2xf32>, tensor<?x2xf32>)
%want:2 = call @pack_expected() : () -> (tensor<2x2xf32>, tensor<2x2xf32>)
%g0 = tensor.collapse_shape %got#0 [[0, 1]] : tensor<?x2xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want#0 [[0, 1]] : tensor<2x2xf32> into
      tensor<4xf32>
  %wd0 = tensor.cast %w0 : tensor<4xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 0.0 : f32
  vector.print str "pack y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
%g1 = tensor.collapse_shape %got#1 [[0, 1]] : tensor<?x2xf32> into tensor<?xf32>
%w1 = tensor.collapse_shape %want#1 [[0, 1]] : tensor<2x2xf32> into
      tensor<4xf32>
  %wd1 = tensor.cast %w1 : tensor<4xf32> to tensor<?xf32>
%d1 = call @difference_f32(%g1, %wd1) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t1 = arith.constant 1.0e-06 : f32
  vector.print str "pack z: "
  call @verdict(%d1, %t1) : (f32, f32) -> ()
  return
}
// CHECK: pack y: ok
// CHECK: pack z: ok

func.func @main() {
  call @embed_check() : () -> ()
  call @linear_check() : () -> ()
  call @linear_static_check() : () -> ()
  call @linear_bf16_check() : () -> ()
  call @rms_norm_check() : () -> ()
  call @gated_ffn_check() : () -> ()
  call @gated_ffn_stacked_check() : () -> ()
  call @logits_check() : () -> ()
  call @pack_check() : () -> ()
  return
}
