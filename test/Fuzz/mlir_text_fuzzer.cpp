//===- mlir_text_fuzzer.cpp - Fuzzes the reader of MLIR text --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Any text is a module that verifies or is refused with an error. What is
// accepted prints, in the pretty and in the generic form, as text that reads
// back as the same module.
//
//===----------------------------------------------------------------------===//

#include "dsv2/InitAll.h"
#include "mlir/Bytecode/BytecodeReader.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MemoryBufferRef.h"
#include "llvm/Support/Regex.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

using namespace mlir;

/// Stops the fuzzer with the broken promise and the texts on stderr.
static void expect(bool condition, StringRef promise, StringRef text = "",
                   StringRef again = "") {
  if (condition)
    return;
  llvm::errs() << "broken promise: " << promise << "\n"
               << text << "\n"
               << again << "\n";
  std::abort();
}

static const DialectRegistry &everything() {
  static const DialectRegistry registry = [] {
    DialectRegistry all;
    dsv2::registerAllDialects(all);
    dsv2::registerAllExtensions(all);
    return all;
  }();
  return registry;
}

namespace {
/// A context without threads that keeps the first error to itself.
struct QuietContext {
  QuietContext() : context(everything(), MLIRContext::Threading::DISABLED) {
    context.allowUnregisteredDialects();
    context.getDiagEngine().registerHandler([this](Diagnostic &diagnostic) {
      if (error.empty() &&
          diagnostic.getSeverity() == DiagnosticSeverity::Error)
        error = diagnostic.str();
      return success();
    });
  }

  MLIRContext context;
  std::string error;
};
} // namespace

static std::string print(ModuleOp module, bool generic) {
  OpPrintingFlags flags;
  flags.printGenericOpForm(generic).enableDebugInfo();
  std::string text;
  llvm::raw_string_ostream os(text);
  module->print(os, flags);
  return text;
}

/// Whether MLIR's own parser is known to crash on `input`. Of LLVM 22.1.8,
/// mlir-opt as well ends with a signal on
///   func.func private @f() attributes {a = array<index: 1>}
/// as Parser::parseDenseArrayAttr asks the index type for its width. An alias
/// may stand for that type, and blanks and comments between the tokens.
static bool crashesUpstream(StringRef input) {
  constexpr const char *gap = "([ [:cntrl:]]|//[^\n]*\n)*";
  static const llvm::Regex denseIndexArray(std::string("array") + gap + "<" +
                                           gap + "(index|!)");
  return denseIndexArray.match(input);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  // The lexer of MLIR reads up to a NUL, which a string ends with.
  std::string input(reinterpret_cast<const char *>(data), size);
  // The reader takes bytecode as well, which is not text.
  if (isBytecode(llvm::MemoryBufferRef(input, "fuzz")) ||
      crashesUpstream(input))
    return 0;

  QuietContext quiet;
  ParserConfig config(&quiet.context);
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(input, config);
  if (!module) {
    expect(!quiet.error.empty(), "a refusal has an error");
    return 0;
  }
  for (bool generic : {false, true}) {
    std::string text = print(*module, generic);
    quiet.error.clear();
    OwningOpRef<ModuleOp> again = parseSourceString<ModuleOp>(text, config);
    expect(bool(again), "printed IR reads back", text, quiet.error);
    std::string textAgain = print(*again, generic);
    expect(text == textAgain, "IR that was read back is the same", text,
           textAgain);
  }
  return 0;
}

/// libFuzzer's own mutations. The replay of a corpus is without them.
extern "C" __attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data,
                                                         size_t size,
                                                         size_t maxSize);

/// Every other time puts a word in the place of another one: text that still
/// parses gets as far as the verifiers, which changed bytes seldom do.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size,
                                          size_t maxSize, unsigned seed) {
  std::minstd_rand random(seed);
  auto isWord = [](char c) { return llvm::isAlnum(c) || c == '_' || c == '.'; };
  SmallVector<StringRef> words;
  StringRef rest(reinterpret_cast<const char *>(data), size);
  while (!(rest = rest.drop_until(isWord)).empty()) {
    words.push_back(rest.take_while(isWord));
    rest = rest.drop_front(words.back().size());
  }
  if (words.empty() || random() % 2 == 0)
    return LLVMFuzzerMutate(data, size, maxSize);

  StringRef victim = words[random() % words.size()];
  words.append({"0", "1", "2", "3", "-1", "0.0", "9223372036854775807",
                "0x7FF0000000000000", "?", "f32", "bf16", "i64", "index"});
  std::string word = words[random() % words.size()].str();
  size_t begin = victim.data() - reinterpret_cast<const char *>(data);
  size_t end = begin + victim.size();
  size_t newSize = size - victim.size() + word.size();
  if (newSize > maxSize)
    return LLVMFuzzerMutate(data, size, maxSize);
  std::memmove(data + begin + word.size(), data + end, size - end);
  std::copy(word.begin(), word.end(), data + begin);
  return newSize;
}
