//===- SassCensus.cpp - which instructions a cubin has --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/SassCensus.h"

#include "RunProgram.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Object/ELF.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/Regex.h"

using namespace mlir::dsv2;

/// Bytes of one instruction on sm_70 and later.
static constexpr size_t kInstructionBytes = 16;
/// The machine of a cubin, which LLVM calls EM_CUDA.
static constexpr unsigned kMachine = llvm::ELF::EM_CUDA;
static constexpr llvm::StringLiteral kTextPrefix = ".text.";

/// The mnemonic of a form in the table, or empty.
static llvm::StringRef getMnemonic(unsigned form) {
  switch (form) {
#define DSV2_SASS_FORM(Form, Mnemonic)                                         \
  case Form:                                                                   \
    return #Mnemonic;
#include "SassForms.def"
  default:
    return {};
  }
}

int64_t SassCensus::getCount(llvm::StringRef mnemonic) const {
  auto found = mnemonics.find(mnemonic.str());
  return found == mnemonics.end() ? 0 : found->second;
}

static void countCode(llvm::ArrayRef<uint8_t> code, SassCensus &census) {
  for (; code.size() >= kInstructionBytes;
       code = code.drop_front(kInstructionBytes)) {
    unsigned form = llvm::support::endian::read16le(code.data()) & 0xfff;
    ++census.forms[form];
    llvm::StringRef mnemonic = getMnemonic(form);
    if (!mnemonic.empty())
      ++census.mnemonics[mnemonic.str()];
    census.instructions += mnemonic != "NOP";
  }
}

llvm::Expected<std::vector<SassCensus>>
mlir::dsv2::countInstructions(llvm::ArrayRef<char> cubin) {
  auto fail = [](llvm::Error error) {
    return llvm::createStringError("the cubin cannot be read: " +
                                   llvm::toString(std::move(error)));
  };
  using ELFFile = llvm::object::ELF64LEFile;
  llvm::StringRef data(cubin.data(), cubin.size());
  // The reader trusts the first bytes to be there.
  if (!data.starts_with("\177ELF\2\1"))
    return llvm::createStringError(
        "the cubin cannot be read: expected an ELF file of 64 bits");
  auto file = ELFFile::create(data);
  if (!file)
    return fail(file.takeError());
  if (file->getHeader().e_machine != kMachine)
    return llvm::createStringError(
        "the cubin cannot be read: expected machine " + llvm::Twine(kMachine) +
        ", got " + llvm::Twine(file->getHeader().e_machine));
  auto sections = file->sections();
  if (!sections)
    return fail(sections.takeError());
  std::vector<SassCensus> kernels;
  for (const ELFFile::Elf_Shdr &section : *sections) {
    auto name = file->getSectionName(section);
    if (!name)
      return fail(name.takeError());
    if (!name->starts_with(kTextPrefix) ||
        section.sh_type != llvm::ELF::SHT_PROGBITS)
      continue;
    auto code = file->getSectionContents(section);
    if (!code)
      return fail(code.takeError());
    if (code->size() % kInstructionBytes != 0)
      return llvm::createStringError(
          "the cubin cannot be read: section '" + *name + "' has " +
          llvm::Twine(code->size()) + " bytes, expected a multiple of " +
          llvm::Twine(kInstructionBytes));
    SassCensus census;
    census.kernel = name->drop_front(kTextPrefix.size()).str();
    countCode(*code, census);
    kernels.push_back(std::move(census));
  }
  return kernels;
}

llvm::Expected<std::vector<SassCensus>>
mlir::dsv2::disassemble(llvm::ArrayRef<char> cubin, llvm::StringRef nvdisasm) {
  auto file = TemporaryFile::create(
      "cubin", llvm::StringRef(cubin.data(), cubin.size()));
  if (!file)
    return file.takeError();
  auto run = runProgram(nvdisasm, {"-c", file->getPath()});
  if (!run)
    return run.takeError();
  if (run->status != 0)
    return llvm::createStringError("'" + nvdisasm + "' failed with status " +
                                   llvm::Twine(run->status) + ": " +
                                   run->output);
  // "        /*0130*/              @!P1 BRA `(.L_x_2) ;"
  llvm::Regex instruction(
      "^ +/\\*[0-9a-f]+\\*/ +(@!?U?P[0-9T]+ +)?([A-Z][A-Z0-9_]*)");
  llvm::SmallVector<llvm::StringRef> matches;
  std::vector<SassCensus> kernels;
  for (llvm::StringRef line : llvm::split(run->output, '\n')) {
    llvm::StringRef label = line;
    if (label.consume_front(kTextPrefix) && label.consume_back(":")) {
      kernels.emplace_back().kernel = label.str();
    } else if (!kernels.empty() && instruction.match(line, &matches)) {
      // One name for what the table has under one name.
      std::string mnemonic = matches[2] == "REDG" ? "RED" : matches[2].str();
      ++kernels.back().mnemonics[mnemonic];
      kernels.back().instructions += mnemonic != "NOP";
    }
  }
  return kernels;
}
