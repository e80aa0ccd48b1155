// RUN: cat %s %S/Inputs/compare.mlir | dsv2-opt --dsv2-convert-to-linalg \
// RUN:   | mlir-opt %lower_to_llvm \
// RUN:   | mlir-runner -e main --entry-point-result=void \
// RUN:       -shared-libs=%mlir_runner_utils \
// RUN:   | FileCheck %s --implicit-check-not=FAIL
//
// Rotary embedding.
// Written by test/Oracle/op_reference.py.

// Position 0 changes nothing.
func.func private @rope_positions() -> tensor<?x8xf32> {
%x_s = arith.constant dense<[[1.375, -0.9375, -1.5625, -0.8125, -0.375, 1.25,
      -0.1875, -1.6875], [-0.6875, 0.4375, 1.25, 0.9375, 2.0, -1.25, 1.5625,
      -1.8125], [0.25, -0.9375, -1.1875, 0.625, -0.8125, 0.25, -1.0, -1.4375],
      [1.0, -0.25, 0.75, 0.6875, 1.8125, -0.3125, -1.125, 0.5625], [1.75, 1.875,
      1.5, 0.75, -0.5, -0.4375, -1.875, -1.25]]> : tensor<5x8xf32>
%x = tensor.cast %x_s : tensor<5x8xf32> to tensor<?x8xf32>
%positions_s = arith.constant dense<[0, 1, 2, 100, 4095]> : tensor<5xi32>
%positions = tensor.cast %positions_s : tensor<5xi32> to tensor<?xi32>
%y = dsv2.rope %x, %positions <dim = 8, theta = 10000.0> : tensor<?x8xf32>,
      tensor<?xi32>
return %y : tensor<?x8xf32>
}
func.func private @rope_positions_expected() -> tensor<5x8xf32> {
%0 = arith.constant dense<[[1.375, -0.9375, -1.5625, -0.8125, -0.375, 1.25,
      -0.1875, -1.6875], [-0.7396014, -0.34212905, 1.1501614, 1.0576081,
      2.0123997, -1.2299378, 1.5643117, -1.8109366], [0.74842966, 0.61746204,
      -1.2879974, 0.37662178, -0.81733716, 0.23370108, -0.997123, -1.4394971],
      [0.7357275, -0.72194535, -0.25528914, -0.9848775, 1.2422576, 1.3563217,
      -1.175536, 0.44737723], [1.7554568, -1.8698921, 0.023802733, 1.676882,
      0.44929457, 0.48942888, 0.06621117, 2.2524967]]> : tensor<5x8xf32>
return %0 : tensor<5x8xf32>
}
func.func private @rope_positions_check() {
%got = call @rope_positions() : () -> tensor<?x8xf32>
%want = call @rope_positions_expected() : () -> tensor<5x8xf32>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<?x8xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<5x8xf32> into tensor<40xf32>
  %wd0 = tensor.cast %w0 : tensor<40xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 1.0e-06 : f32
  vector.print str "rope_positions y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: rope_positions y: ok

// One angle for all heads of a token.
func.func private @rope_heads() -> tensor<?x2x4xf32> {
%x_s = arith.constant dense<[[[-0.6875, -0.625, 0.3125, 0.0625], [0.8125,
      1.5625, 1.5625, 1.125]], [[1.9375, -0.75, 1.625, 1.75], [-1.125, -0.125,
      0.3125, 0.8125]], [[0.8125, -1.625, -0.0625, -1.625], [1.875, -1.1875,
      -0.1875, 1.5625]]]> : tensor<3x2x4xf32>
%x = tensor.cast %x_s : tensor<3x2x4xf32> to tensor<?x2x4xf32>
%positions_s = arith.constant dense<[7, 8, 0]> : tensor<3xi32>
%positions = tensor.cast %positions_s : tensor<3xi32> to tensor<?xi32>
%y = dsv2.rope %x, %positions <dim = 4, theta = 10000.0> : tensor<?x2x4xf32>,
      tensor<?xi32>
return %y : tensor<?x2x4xf32>
}
func.func private @rope_heads_expected() -> tensor<3x2x4xf32> {
%0 = arith.constant dense<[[[-0.107691176, -0.9228672, 0.30736327, 0.08420408],
      [-0.41399598, 1.7117739, 1.4799877, 1.2315305]], [[0.46011236, 2.0260067,
      1.4799521, 1.8742644], [0.28735733, -1.0948405, 0.24656984, 0.83487475]],
      [[0.8125, -1.625, -0.0625, -1.625], [1.875, -1.1875, -0.1875, 1.5625]]]> :
      tensor<3x2x4xf32>
return %0 : tensor<3x2x4xf32>
}
func.func private @rope_heads_check() {
%got = call @rope_heads() : () -> tensor<?x2x4xf32>
%want = call @rope_heads_expected() : () -> tensor<3x2x4xf32>
%g0 = tensor.collapse_shape %got [[0, 1, 2]] : tensor<?x2x4xf32> into
      tensor<?xf32>
%w0 = tensor.collapse_shape %want [[0, 1, 2]] : tensor<3x2x4xf32> into
      tensor<24xf32>
  %wd0 = tensor.cast %w0 : tensor<24xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 1.0e-06 : f32
  vector.print str "rope_heads y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: rope_heads y: ok

func.func private @rope_static() -> tensor<2x4xf32> {
%x = arith.constant dense<[[0.0625, 0.75, 0.0, 1.4375], [0.375, 0.5625, -0.1875,
      -0.375]]> : tensor<2x4xf32>
%positions = arith.constant dense<[3, 2]> : tensor<2xi32>
%y = dsv2.rope %x, %positions <dim = 4, theta = 100.0> : tensor<2x4xf32>,
      tensor<2xi32>
return %y : tensor<2x4xf32>
}
func.func private @rope_static_expected() -> tensor<2x4xf32> {
%0 = arith.constant dense<[[-0.16771454, -0.73367435, -0.42481032, 1.3732961],
      [-0.6675349, 0.10690394, -0.10926148, -0.40477547]]> : tensor<2x4xf32>
return %0 : tensor<2x4xf32>
}
func.func private @rope_static_check() {
%got = call @rope_static() : () -> tensor<2x4xf32>
%want = call @rope_static_expected() : () -> tensor<2x4xf32>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<2x4xf32> into tensor<8xf32>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<2x4xf32> into tensor<8xf32>
  %gd0 = tensor.cast %g0 : tensor<8xf32> to tensor<?xf32>
  %wd0 = tensor.cast %w0 : tensor<8xf32> to tensor<?xf32>
%d0 = call @difference_f32(%gd0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 1.0e-06 : f32
  vector.print str "rope_static y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: rope_static y: ok

// Angles stay f32; the result is rounded once.
func.func private @rope_bf16() -> tensor<?x8xbf16> {
%x_s = arith.constant dense<[[0.375, 0.0625, 1.1875, 0.375, -0.125, 1.5,
      -1.1875, -0.25], [-0.0625, 1.5625, -0.25, 0.4375, -1.75, 1.3125, -0.25,
      0.0], [-1.625, 0.8125, 0.5625, -0.625, 1.0625, 0.0625, -1.8125, -1.125]]>
      : tensor<3x8xbf16>
%x = tensor.cast %x_s : tensor<3x8xbf16> to tensor<?x8xbf16>
%positions_s = arith.constant dense<[1, 17, 4095]> : tensor<3xi32>
%positions = tensor.cast %positions_s : tensor<3xi32> to tensor<?xi32>
%y = dsv2.rope %x, %positions <dim = 8, theta = 10000.0> : tensor<?x8xbf16>,
      tensor<?xi32>
return %y : tensor<?x8xbf16>
}
func.func private @rope_bf16_expected() -> tensor<3x8xbf16> {
%0 = arith.constant dense<[[0.15039062, 0.34960938, 1.140625, 0.4921875,
      -0.13964844, 1.5, -1.1875, -0.25195312], [1.515625, -0.36914062,
      -0.40234375, -0.3046875, -1.9453125, 0.99609375, -0.25, -0.0042419434],
      [0.91796875, 1.5703125, 0.8125, 0.21191406, -1.046875, -0.17773438,
      0.13183594, 2.125]]> : tensor<3x8xbf16>
return %0 : tensor<3x8xbf16>
}
func.func private @rope_bf16_check() {
%got = call @rope_bf16() : () -> tensor<?x8xbf16>
%want = call @rope_bf16_expected() : () -> tensor<3x8xbf16>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<?x8xbf16> into tensor<?xbf16>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<3x8xbf16> into
      tensor<24xbf16>
  %wd0 = tensor.cast %w0 : tensor<24xbf16> to tensor<?xbf16>
%d0 = call @difference_bf16(%g0, %wd0) : (tensor<?xbf16>, tensor<?xbf16>) -> f32
  %t0 = arith.constant 0.0078125 : f32
  vector.print str "rope_bf16 y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: rope_bf16 y: ok

// The constants of the published models, up to the last
// position they allow. At long context the angles of the fast pairs are
// right only if the product is rounded to f32 as everyone rounds it.
func.func private @rope_yarn() -> tensor<?x64xf32> {
%x_s = arith.constant dense<[[-1.0, -1.625, 0.0, -1.875, 0.0625, 0.8125, 0.3125,
      -0.1875, -0.9375, 1.625, -0.75, 1.375, -0.25, -0.4375, 0.8125, 1.9375,
      1.1875, 0.375, -1.625, 1.0625, 1.1875, -0.375, -0.5625, -1.25, 1.9375,
      -1.3125, 0.0, -1.3125, 1.1875, 0.4375, -1.375, -1.5625, -1.625, -1.9375,
      1.4375, 1.375, -0.5, -1.625, -0.875, -0.1875, 0.125, -0.0625, 0.5, 0.5,
      0.5, 0.0, -0.25, 1.75, 1.3125, 1.0, -1.8125, 0.3125, 1.5625, 0.5, -1.25,
      0.0, 0.1875, 1.875, 0.1875, -1.125, -1.5625, 0.75, 1.9375, 0.25], [-1.625,
      -1.875, 1.125, -0.8125, -0.0625, 1.75, -1.0, 1.125, -1.6875, -2.0, -1.875,
      -0.8125, -0.0625, -2.0, 0.4375, 1.3125, 0.0, -1.5625, 1.3125, -1.8125,
      0.0625, 1.9375, -0.5625, -0.25, -1.0, -0.75, -1.0625, -1.8125, 1.0,
      -0.4375, 2.0, -0.5625, 1.125, 0.125, 0.5, -2.0, 1.5, -1.4375, 1.875,
      -1.1875, 1.0625, -0.25, 1.125, -0.8125, -1.0, 0.4375, -2.0, -0.875,
      0.6875, 1.6875, -0.125, 1.875, -0.875, -1.8125, 0.75, -1.1875, 1.9375,
      0.25, 1.875, 1.125, 0.75, -1.75, 1.375, -1.25], [-1.6875, -0.1875,
      -1.5625, 0.6875, 1.9375, 1.625, 1.75, 1.5, -1.0625, 1.1875, -1.0, -1.8125,
      1.125, 1.9375, 1.25, 0.4375, 1.875, -1.6875, -1.5625, -1.0, -1.75, 0.5,
      -1.875, -0.4375, 0.0625, -0.1875, 0.375, 1.25, 1.5625, 1.3125, 1.0,
      0.1875, 0.375, 1.1875, -0.125, -0.375, 1.3125, 1.9375, -0.5, 0.4375,
      -1.875, 1.875, 1.25, -1.875, -0.5, 1.5625, 0.5625, 0.25, -1.5625, 0.875,
      0.5, -1.25, -0.0625, 0.1875, 0.25, -0.875, 0.0625, -1.625, 0.375, -2.0,
      -1.9375, 1.625, 1.3125, 0.6875], [-0.0625, -1.1875, -0.3125, -1.0, -1.25,
      -0.125, 0.125, 1.3125, 0.125, -1.5625, -1.5625, 1.875, -1.4375, 1.8125,
      0.5625, -1.0625, -0.25, 0.5625, 0.4375, -0.5625, -0.4375, 0.8125, 0.5,
      -1.6875, 0.875, -0.125, 1.375, 0.375, 0.125, 0.5, -0.5, 0.8125, -0.8125,
      1.5625, 0.8125, -1.0625, 1.5625, -1.4375, 1.6875, -0.4375, -0.5625, 0.25,
      -1.9375, 1.875, 1.4375, 0.875, -1.625, 0.9375, -0.5, 1.9375, 1.125,
      -0.9375, -1.1875, -1.0, 0.3125, -0.3125, -0.1875, -0.8125, 1.5, 0.625,
      -1.75, 1.8125, -2.0, -1.4375]]> : tensor<4x64xf32>
%x = tensor.cast %x_s : tensor<4x64xf32> to tensor<?x64xf32>
%positions_s = arith.constant dense<[1, 4096, 32767, 163839]> : tensor<4xi32>
%positions = tensor.cast %positions_s : tensor<4xi32> to tensor<?xi32>
%y = dsv2.rope %x, %positions <dim = 64, theta = 10000.0, yarn =
      #dsv2.yarn<factor = 40.0, original_max = 4096, beta_fast = 32.0, beta_slow
      = 1.0, mscale = 0.707, mscale_all_dim = 0.707>> : tensor<?x64xf32>,
      tensor<?xi32>
return %y : tensor<?x64xf32>
}
func.func private @rope_yarn_expected() -> tensor<4x64xf32> {
%0 = arith.constant dense<[[0.82708806, -1.7194623, 1.2779275, -1.3720518,
      -0.3803238, 0.72070545, 0.36186913, -0.04316518, -1.3963627, 1.2528777,
      -1.0520273, 1.1603291, -0.16866723, -0.47482377, 0.54768175, 2.0283263,
      1.1441299, 0.49167874, -1.7000347, 0.93777037, 1.2066996, -0.3076644,
      -0.5133258, -1.270985, 1.972075, -1.2599534, 0.024119956, -1.3122784,
      1.1819621, 0.45224768, -1.3619298, -1.5739056, -1.6143192, -1.9464082,
      1.4325931, 1.3801117, -0.49634352, -1.6261206, -0.8747422, -0.18869902,
      0.12504937, -0.06240116, 0.49979246, 0.5002074, 0.5, 8.891397e-05,
      -0.25005835, 1.7499917, 1.312475, 1.0000328, -1.8125058, 0.31246603,
      1.562493, 0.500022, -1.25, -1.3178015e-05, 0.18748517, 1.8750014,
      0.18750668, -1.1249989, -1.5625033, 0.749993, 1.9374992, 0.25000647],
      [-2.4214385, -0.5411892, 0.047654085, -1.3869067, 0.98641413, -1.4468564,
      -0.1795986, 1.4944462, 0.60139483, -2.546759, 1.1527895, 1.6872634,
      -0.95491856, -1.7584188, 0.9415092, 1.0137174, 1.4522897, -0.57642066,
      -0.20712706, -2.228208, 1.5951811, -1.1014581, 0.61526483, -0.018852456,
      0.88368696, 0.88407993, -1.2740861, -1.6705589, 1.0398409, 0.33186895,
      -1.5976498, 1.328127, -0.9028083, -0.682779, 1.5797431, 1.324542,
      -1.1650158, 1.7202164, 0.73316205, -2.0948162, -1.081656, 0.14637853,
      0.66102076, 1.2201774, -1.0374796, -0.33917892, -1.8622698, -1.139112,
      0.5114005, 1.7489374, -0.26846987, 1.8598855, -0.7692368, -1.8598537,
      0.8005632, -1.1540169, 1.9283903, 0.31259757, 1.8471317, 1.1701943,
      0.78174067, -1.7360535, 1.3919404, -1.2311081], [-1.622412, -0.5005917,
      0.9614042, 1.41059, -0.19080307, -2.5215323, -0.32809246, 2.2814152,
      -1.5930756, -0.034244817, -1.1976968, 1.6883953, -2.1540794, -0.6160138,
      -1.3212088, 0.091177784, -1.906414, 1.6519282, -0.9676064, -1.5827647,
      -0.3593247, -1.7842045, 1.8611056, -0.4932722, 0.19573757, -0.027373396,
      1.2504684, 0.37343535, 2.009866, 0.35284692, -1.0167542, 0.036975425,
      0.9288521, -0.82946676, -0.061135996, 0.39052835, 1.7626339, -1.5393779,
      -0.6502705, -0.13621487, -2.651407, 0.0359306, 2.250784, 0.10998566,
      0.23963489, 1.6229545, 0.037024535, 0.61443913, -1.7061727, -0.5440644,
      1.1290679, -0.73328424, -0.13933553, 0.14017172, 0.5315184, -0.73865634,
      0.47667208, -1.5547717, 0.7540219, -1.8899937, -2.1528602, 1.3265462,
      1.2297243, 0.82649297], [-1.1703247, -0.21071924, 0.213974, -1.0256078,
      1.2541778, 0.07185421, -0.4338954, 1.2449964, -0.91688967, -1.2713554,
      2.007832, -1.3876749, -1.4771563, 1.7803291, 1.0172751, 0.6406746,
      0.4870854, -0.37636957, -0.05879796, 0.71017975, -0.40434372, -0.829499,
      1.6025407, -0.72768086, 0.6363298, -0.61346096, -0.15126413, 1.4171695,
      0.16314235, -0.48888606, -0.47698778, -0.8262197, -0.07572142, -1.7594967,
      -0.11932759, -1.332225, -2.0702794, -0.4709095, -0.571494, -1.6469539,
      0.58758867, 0.18342786, 0.85231465, 2.5579467, -0.27340686, -1.6605059,
      -0.4211215, 1.8281652, 1.8699727, -0.71211535, -1.0566279, 1.0139372,
      1.5376308, -0.21412073, 0.25998762, 0.35737786, 0.7308406, -0.4014779,
      0.33031365, 1.5910745, -2.5124555, 0.18768024, -0.9622927, -2.2672448]]> :
      tensor<4x64xf32>
return %0 : tensor<4x64xf32>
}
func.func private @rope_yarn_check() {
%got = call @rope_yarn() : () -> tensor<?x64xf32>
%want = call @rope_yarn_expected() : () -> tensor<4x64xf32>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<?x64xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<4x64xf32> into
      tensor<256xf32>
  %wd0 = tensor.cast %w0 : tensor<256xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 1.0e-06 : f32
  vector.print str "rope_yarn y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: rope_yarn y: ok

// F040: cos and sin carry 0.1 ln 40 + 1 = 1.368888.
func.func private @rope_multiplier() -> tensor<?x8xf32> {
%x_s = arith.constant dense<[[-1.3125, 0.0625, 1.3125, 0.75, -1.6875, 0.0, 0.25,
      1.6875], [-1.125, 0.9375, -0.25, 1.5625, 1.25, -1.5625, -0.9375, -1.25]]>
      : tensor<2x8xf32>
%x = tensor.cast %x_s : tensor<2x8xf32> to tensor<?x8xf32>
%positions_s = arith.constant dense<[0, 5]> : tensor<2xi32>
%positions = tensor.cast %positions_s : tensor<2xi32> to tensor<?xi32>
%y = dsv2.rope %x, %positions <dim = 8, theta = 10000.0, yarn =
      #dsv2.yarn<factor = 40.0, original_max = 4096, beta_fast = 32.0, beta_slow
      = 1.0, mscale = 1.0, mscale_all_dim = 0.0>> : tensor<?x8xf32>,
      tensor<?xi32>
return %y : tensor<?x8xf32>
}
func.func private @rope_multiplier_expected() -> tensor<2x8xf32> {
%0 = arith.constant dense<[[-1.7966654, 0.085555494, 1.7966654, 1.0266659,
      -2.3099985, 0.0, 0.34222198, 2.3099985], [0.7937792, 1.8407753,
      -1.3257653, 1.7129804, 1.7653512, -2.0943427, -1.2831186, -1.7112703]]> :
      tensor<2x8xf32>
return %0 : tensor<2x8xf32>
}
func.func private @rope_multiplier_check() {
%got = call @rope_multiplier() : () -> tensor<?x8xf32>
%want = call @rope_multiplier_expected() : () -> tensor<2x8xf32>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<?x8xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<2x8xf32> into tensor<16xf32>
  %wd0 = tensor.cast %w0 : tensor<16xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 1.0e-06 : f32
  vector.print str "rope_multiplier y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: rope_multiplier y: ok

// F040: with a factor of 1 everything is as without.
func.func private @rope_factor_1() -> tensor<?x8xf32> {
%x_s = arith.constant dense<[[-1.3125, -1.75, 1.375, 1.3125, -0.25, 1.875,
      1.0625, -2.0], [0.75, 1.1875, 0.75, 0.9375, 0.1875, 1.6875, 1.875,
      -0.9375]]> : tensor<2x8xf32>
%x = tensor.cast %x_s : tensor<2x8xf32> to tensor<?x8xf32>
%positions_s = arith.constant dense<[3, 500]> : tensor<2xi32>
%positions = tensor.cast %positions_s : tensor<2xi32> to tensor<?xi32>
%y = dsv2.rope %x, %positions <dim = 8, theta = 10000.0, yarn =
      #dsv2.yarn<factor = 1.0, original_max = 4096, beta_fast = 32.0, beta_slow
      = 1.0, mscale = 1.0, mscale_all_dim = 0.0>> : tensor<?x8xf32>,
      tensor<?xi32>
return %y : tensor<?x8xf32>
}
func.func private @rope_factor_1_expected() -> tensor<2x8xf32> {
%0 = arith.constant dense<[[1.5463252, 1.5472668, 0.92571735, 1.6602194,
      -0.30612907, 1.8666575, 1.0684952, -1.9968035], [-0.107407935, -1.4003999,
      0.96970093, 0.70787454, 1.6713713, 0.29888165, 2.0949287, 0.076189235]]> :
      tensor<2x8xf32>
return %0 : tensor<2x8xf32>
}
func.func private @rope_factor_1_check() {
%got = call @rope_factor_1() : () -> tensor<?x8xf32>
%want = call @rope_factor_1_expected() : () -> tensor<2x8xf32>
%g0 = tensor.collapse_shape %got [[0, 1]] : tensor<?x8xf32> into tensor<?xf32>
%w0 = tensor.collapse_shape %want [[0, 1]] : tensor<2x8xf32> into tensor<16xf32>
  %wd0 = tensor.cast %w0 : tensor<16xf32> to tensor<?xf32>
%d0 = call @difference_f32(%g0, %wd0) : (tensor<?xf32>, tensor<?xf32>) -> f32
  %t0 = arith.constant 1.0e-06 : f32
  vector.print str "rope_factor_1 y: "
  call @verdict(%d0, %t0) : (f32, f32) -> ()
  return
}
// CHECK: rope_factor_1 y: ok

func.func @main() {
  call @rope_positions_check() : () -> ()
  call @rope_heads_check() : () -> ()
  call @rope_static_check() : () -> ()
  call @rope_bf16_check() : () -> ()
  call @rope_yarn_check() : () -> ()
  call @rope_multiplier_check() : () -> ()
  call @rope_factor_1_check() : () -> ()
  return
}
