// Comparison of results with expected values, shared by the tests next to this
// folder. A difference is the largest absolute one, infinite if the numbers of
// elements differ and NaN if one is.

func.func private @difference_f32(%got: tensor<?xf32>, %want: tensor<?xf32>)
    -> f32 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %infinity = arith.constant 0x7F800000 : f32
  %n = tensor.dim %got, %c0 : tensor<?xf32>
  %m = tensor.dim %want, %c0 : tensor<?xf32>
  %same = arith.cmpi eq, %n, %m : index
  %result = scf.if %same -> f32 {
    %largest = scf.for %i = %c0 to %n step %c1 iter_args(%sofar = %zero)
        -> f32 {
      %a = tensor.extract %got[%i] : tensor<?xf32>
      %b = tensor.extract %want[%i] : tensor<?xf32>
      %d = arith.subf %a, %b : f32
      %abs = math.absf %d : f32
      %max = arith.maximumf %sofar, %abs : f32
      scf.yield %max : f32
    }
    scf.yield %largest : f32
  } else {
    scf.yield %infinity : f32
  }
  return %result : f32
}

func.func private @difference_bf16(%got: tensor<?xbf16>, %want: tensor<?xbf16>)
    -> f32 {
  %g = arith.extf %got : tensor<?xbf16> to tensor<?xf32>
  %w = arith.extf %want : tensor<?xbf16> to tensor<?xf32>
  %d = call @difference_f32(%g, %w)
         : (tensor<?xf32>, tensor<?xf32>) -> f32
  return %d : f32
}

// Integers of the tests are small enough to be exact as f32.
func.func private @difference_i32(%got: tensor<?xi32>, %want: tensor<?xi32>)
    -> f32 {
  %g = arith.sitofp %got : tensor<?xi32> to tensor<?xf32>
  %w = arith.sitofp %want : tensor<?xi32> to tensor<?xf32>
  %d = call @difference_f32(%g, %w)
         : (tensor<?xf32>, tensor<?xf32>) -> f32
  return %d : f32
}

// Prints "ok", or "FAIL" and the difference, which NaN never passes.
func.func private @verdict(%difference: f32, %tolerance: f32) {
  %ok = arith.cmpf ole, %difference, %tolerance : f32
  scf.if %ok {
    vector.print str "ok\n"
  } else {
    vector.print str "FAIL, off by "
    vector.print %difference : f32
  }
  return
}
