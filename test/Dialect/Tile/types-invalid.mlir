// RUN: dsv2-opt %s -split-input-file -verify-diagnostics

// global_c1
// expected-error @below {{expected elements of type f32, bf16, i32 or i8, got 'f16'}}
func.func private @f(!dsv2_tile.global<f16>)

// -----

// tensor_map_c1
// expected-error @below {{expected 1 to 5 dimensions of 1 to 256 each}}
func.func private @f(!dsv2_tile.tensor_map<512x64xbf16>)

// -----

// tensor_map_c2
// expected-error @below {{expected elements of type f32, bf16 or i8, got 'f16'}}
func.func private @f(!dsv2_tile.tensor_map<64x64xf16>)

// -----

// tensor_map_c3
// expected-error @below {{expected 'swizzle' to be 0, 32, 64 or 128, got 48}}
func.func private @f(!dsv2_tile.tensor_map<64x64xbf16, swizzle = 48>)

// -----

// tensor_map_c4
// expected-error @below {{expected the innermost dimension to have a multiple of 16 bytes and no more than 'swizzle', got 256}}
func.func private @f(!dsv2_tile.tensor_map<64x128xbf16, swizzle = 128>)

// -----

// tensor_map_c4
// expected-error @below {{expected the innermost dimension to have a multiple of 16 bytes, got 8}}
func.func private @f(!dsv2_tile.tensor_map<64x4xbf16>)

// -----

// shared_c1
// expected-error @below {{expected two or three positive dimensions}}
func.func private @f(!dsv2_tile.shared<64xbf16>)

// -----

// shared_c2
// expected-error @below {{expected elements of type f32, bf16 or i8, got 'f16'}}
func.func private @f(!dsv2_tile.shared<64x64xf16>)

// -----

// shared_c3
// expected-error @below {{expected 'swizzle' to be 0, 32, 64 or 128, got 100}}
func.func private @f(!dsv2_tile.shared<64x64xbf16, swizzle = 100>)

// -----

// shared_c4
// expected-error @below {{expected rows of whole panels of 128 bytes and a multiple of 8 rows, got 60 rows of 128 bytes}}
func.func private @f(!dsv2_tile.shared<60x64xbf16, swizzle = 128>)

// -----

// shared_c4
// expected-error @below {{expected rows of whole panels of 128 bytes and a multiple of 8 rows, got 64 rows of 160 bytes}}
func.func private @f(!dsv2_tile.shared<64x80xbf16, swizzle = 128>)

// -----

// shared_c5
// expected-error @below {{expected rows of a multiple of 16 bytes, got 8}}
func.func private @f(!dsv2_tile.shared<64x4xbf16>)

// -----

// shared_c6
// expected-error @below {{expected 'of_rows' to be a multiple of 8 and not less than the rows, got 32}}
func.func private @f(!dsv2_tile.shared<64x64xbf16, swizzle = 128, of_rows = 32>)

// -----

// ring_c1
// expected-error @below {{expected 1 to 16 stages, got 17}}
func.func private @f(!dsv2_tile.ring<17, !dsv2_tile.shared<64x64xbf16>>)

// -----

// ring_c2
// expected-error @below {{expected tiles without stages of their own}}
func.func private @f(!dsv2_tile.ring<2, !dsv2_tile.shared<2x64x64xbf16>>)

// -----

// frag_c1
// expected-error @below {{expected two dimensions and a multiple of 64 rows}}
func.func private @f(!dsv2_tile.frag<32x64xf32>)

// -----

// frag_c2
// expected-error @below {{expected a multiple of 8 up to 512 columns, got 60}}
func.func private @f(!dsv2_tile.frag<64x60xf32>)

// -----

// frag_c3
// expected-error @below {{expected elements of type f32, got 'bf16'}}
func.func private @f(!dsv2_tile.frag<64x64xbf16>)

// -----

// frag_c4
// expected-error @below {{expected 'warps' to be 1 or 4, got 2}}
func.func private @f(!dsv2_tile.frag<64x64xf32, warps = 2>)

// -----

// async_c1
// expected-error @below {{expected a fragment of f32 of a warpgroup with 64 rows}}
func.func private @f(!dsv2_tile.async<128x64xf32>)

// -----

// operand_c1
// expected-error @below {{expected two dimensions and a multiple of 64 rows}}
func.func private @f(!dsv2_tile.operand<32x64xbf16>)

// -----

// operand_c2
// expected-error @below {{expected a multiple of 16 up to 256 columns, got 8}}
func.func private @f(!dsv2_tile.operand<64x8xbf16>)

// -----

// operand_c3
// expected-error @below {{expected elements of type bf16, got 'f32'}}
func.func private @f(!dsv2_tile.operand<64x64xf32>)

// -----

// operand_c4
// expected-error @below {{expected 'warps' to be 1 or 4, got 8}}
func.func private @f(!dsv2_tile.operand<64x64xbf16, warps = 8>)

// -----

// rows_c1
// expected-error @below {{expected one dimension, a multiple of 64}}
func.func private @f(!dsv2_tile.rows<32xf32>)

// -----

// rows_c2
// expected-error @below {{expected elements of type f32, got 'i32'}}
func.func private @f(!dsv2_tile.rows<64xi32>)

// -----

// rows_c3
// expected-error @below {{expected 'warps' to be 1 or 4, got 2}}
func.func private @f(!dsv2_tile.rows<64xf32, warps = 2>)

// -----

// Unknown parameter.
// expected-error @below {{unknown parameter 'wraps'}}
func.func private @f(!dsv2_tile.frag<64x64xf32, wraps = 4>)
