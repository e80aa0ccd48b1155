//===- SassCensusTest.cpp - cubins, whole and broken
//-----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/SassCensus.h"

#include "llvm/BinaryFormat/ELF.h"
#include "llvm/Support/Endian.h"
#include "gtest/gtest.h"

#include <cstring>
#include <random>

using namespace mlir::dsv2;

/// An ELF file such as ptxas writes, of one kernel "k" with instructions of
/// these forms.
static std::vector<char> makeCubin(llvm::ArrayRef<unsigned> forms) {
  using namespace llvm::ELF;
  std::string names("\0.shstrtab\0.text.k\0", 19);
  std::vector<char> file(sizeof(Elf64_Ehdr));
  size_t namesAt = file.size();
  file.insert(file.end(), names.begin(), names.end());
  file.resize((file.size() + 15) / 16 * 16);
  size_t codeAt = file.size();
  for (unsigned form : forms) {
    // The bits above the form are operands.
    char instruction[16] = {};
    llvm::support::endian::write16le(instruction, 0x7000 | form);
    file.insert(file.end(), instruction, instruction + 16);
  }
  size_t sectionsAt = file.size();
  Elf64_Shdr sections[3] = {};
  sections[1].sh_name = 1;
  sections[1].sh_type = SHT_STRTAB;
  sections[1].sh_offset = namesAt;
  sections[1].sh_size = names.size();
  sections[2].sh_name = 11;
  sections[2].sh_type = SHT_PROGBITS;
  sections[2].sh_offset = codeAt;
  sections[2].sh_size = forms.size() * 16;
  auto *bytes = reinterpret_cast<const char *>(sections);
  file.insert(file.end(), bytes, bytes + sizeof(sections));
  Elf64_Ehdr header = {};
  memcpy(header.e_ident, ElfMagic, 4);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_machine = EM_CUDA;
  header.e_shoff = sectionsAt;
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = 3;
  header.e_shstrndx = 1;
  memcpy(file.data(), &header, sizeof(header));
  return file;
}

TEST(SassCensus, CountsForms) {
  // HGMMA in both forms, one that the table does not know, and NOPs.
  auto kernels =
      countInstructions(makeCubin({0x9f0, 0xdf0, 0x777, 0x918, 0x918}));
  ASSERT_TRUE(bool(kernels)) << llvm::toString(kernels.takeError());
  ASSERT_EQ(kernels->size(), 1u);
  const SassCensus &census = kernels->front();
  EXPECT_EQ(census.kernel, "k");
  EXPECT_EQ(census.instructions, 3);
  EXPECT_EQ(census.getCount("HGMMA"), 2);
  EXPECT_EQ(census.getCount("NOP"), 2);
  EXPECT_EQ(census.getCount("HMMA"), 0);
  EXPECT_EQ(census.forms.at(0x777), 1);
}

static std::string getError(llvm::ArrayRef<char> cubin) {
  auto kernels = countInstructions(cubin);
  return kernels ? "" : llvm::toString(kernels.takeError());
}

TEST(SassCensus, RefusesOtherFiles) {
  EXPECT_EQ(getError({}), "the cubin cannot be read: expected an ELF file of "
                          "64 bits");
  std::vector<char> cubin = makeCubin({0x918});
  cubin[offsetof(llvm::ELF::Elf64_Ehdr, e_machine)] = llvm::ELF::EM_X86_64;
  EXPECT_EQ(getError(cubin),
            "the cubin cannot be read: expected machine 190, got 62");
  cubin = makeCubin({0x918});
  cubin[cubin.size() - sizeof(llvm::ELF::Elf64_Shdr) +
        offsetof(llvm::ELF::Elf64_Shdr, sh_size)] = 15;
  EXPECT_EQ(
      getError(cubin),
      "the cubin cannot be read: section '.text.k' has 15 bytes, expected "
      "a multiple of 16");
}

TEST(SassCensus, SurvivesBrokenFiles) {
  const std::vector<char> whole = makeCubin({0x9f0, 0xfae, 0x981, 0x918});
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(getError(llvm::ArrayRef(whole).take_front(size)), "");
  std::mt19937 random(1);
  int refused = 0;
  for (int i = 0; i < 20000; ++i) {
    std::vector<char> broken = whole;
    for (unsigned n = 1 + random() % 4; n-- > 0;)
      broken[random() % broken.size()] = static_cast<char>(random());
    refused += !getError(broken).empty();
  }
  EXPECT_GT(refused, 1000);
}
