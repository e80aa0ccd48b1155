//===- Image.cpp - bitcode behind a pointer without a size ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Image.h"

#include "llvm/Bitcode/LLVMBitCodes.h"
#include "llvm/Support/Endian.h"

using namespace dsv2::emulator;

bool dsv2::emulator::readBitcodeImage(const void *image, std::string &bitcode) {
  const char *bytes = static_cast<const char *>(image);
  auto word = [&](size_t offset) {
    return llvm::support::endian::read32le(bytes + offset);
  };
  if (word(0) == 0x0B17C0DE) {
    uint32_t offset = word(8), size = word(12);
    bitcode.assign(bytes + offset, size);
    return true;
  }
  if (word(0) != 0xDEC04342) // "BC" 0xC0DE
    return false;
  // Each block: abbreviation 1 in 2 bits, the number of the block in a VBR of 8
  // bits, the width of its abbreviations in a VBR of 4 bits, then, at the next
  // word, its length in words.
  size_t offset = 4;
  while (true) {
    uint32_t head = word(offset);
    if ((head & 3) != 1 || (head >> 2 & 0x80))
      return false;
    uint32_t block = head >> 2 & 0x7F;
    offset += 8 + size_t(word(offset + 4)) * 4;
    if (block == llvm::bitc::STRTAB_BLOCK_ID)
      break;
    if (block != llvm::bitc::IDENTIFICATION_BLOCK_ID &&
        block != llvm::bitc::MODULE_BLOCK_ID &&
        block != llvm::bitc::SYMTAB_BLOCK_ID)
      return false;
  }
  bitcode.assign(bytes, offset);
  return true;
}
