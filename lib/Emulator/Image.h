//===- Image.h - bitcode behind a pointer without a size --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_IMAGE_H
#define DSV2_LIB_EMULATOR_IMAGE_H

#include <string>

namespace dsv2::emulator {

/// Copies the LLVM bitcode at `image` to `bitcode`. The driver's interface
/// passes no size, so it comes from the bitcode itself: from its wrapper
/// (LLVM Bitcode File Format, "Bitcode Wrapper Format"), or from the lengths of
/// its blocks, of which the string table is the last. Returns false when this
/// is no bitcode.
bool readBitcodeImage(const void *image, std::string &bitcode);

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_IMAGE_H
