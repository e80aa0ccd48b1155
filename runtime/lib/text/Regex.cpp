//===- Regex.cpp - split expressions on PCRE2 -----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Regex.h"
#include "Internal.h"
#include "dsv2rt/text/Utf8.h"

#include <algorithm>
#include <cstdint>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

using namespace dsv2rt;
using namespace dsv2rt::text;

//===----------------------------------------------------------------------===//
// Scratch memory
//===----------------------------------------------------------------------===//

struct RegexScratch::Data {
  pcre2_match_data *match = nullptr;
  pcre2_match_context *context = nullptr;
  pcre2_jit_stack *stack = nullptr;
  uint32_t options = PCRE2_NO_UTF_CHECK;

  ~Data() {
    pcre2_match_data_free(match);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
};

RegexScratch::RegexScratch(bool justInTime) : data(new Data) {
  if (!justInTime)
    data->options |= PCRE2_NO_JIT;
  data->match = pcre2_match_data_create(/*ovecsize=*/1, nullptr);
  data->context = pcre2_match_context_create(nullptr);
  if (!data->match || !data->context)
    throw std::bad_alloc();
  // Interpreter memory, in KiB. Expressions of tokenizers need next to none.
  pcre2_set_heap_limit(data->context, 256 * 1024);
  // Null without the just-in-time compiler, which is fine.
  data->stack = pcre2_jit_stack_create(32 * 1024, 8 * 1024 * 1024, nullptr);
  if (data->stack)
    pcre2_jit_stack_assign(data->context, nullptr, data->stack);
}

RegexScratch::~RegexScratch() = default;

//===----------------------------------------------------------------------===//
// Expressions
//===----------------------------------------------------------------------===//

struct Regex::Code {
  pcre2_code *code = nullptr;
  ~Code() { pcre2_code_free(code); }
};

static std::string errorText(int number) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(number, buffer, sizeof(buffer));
  return reinterpret_cast<const char *>(buffer);
}

Regex::Regex(std::string_view pattern) : source(pattern) {
  std::string translated = translatePattern(pattern);
  std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)>
      context(pcre2_compile_context_create(nullptr),
              &pcre2_compile_context_free);
  if (!context)
    throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  auto holder = std::make_shared<Code>();
  int error = 0;
  PCRE2_SIZE offset = 0;
  holder->code = pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
      &offset, context.get());
  if (!holder->code)
    fail(StatusCode::Unsupported, "regular expression: " + errorText(error));
  // Without the just-in-time compiler searches are slower, not different.
  (void)pcre2_jit_compile(holder->code, PCRE2_JIT_COMPLETE);
  code = std::move(holder);
}

Regex Regex::literal(std::string_view text) {
  std::string pattern;
  for (char c : text) {
    bool special =
        std::string_view("\\^$.[]|()?*+{}").find(c) != std::string_view::npos;
    if (special)
      pattern += '\\';
    pattern += c;
  }
  return Regex(pattern);
}

bool Regex::find(std::string_view subject, size_t from, RegexScratch &scratch,
                 ByteRange &match) const {
  // A search that is linear in the subject stays below this by far.
  uint64_t limit = 100000 + 64 * static_cast<uint64_t>(subject.size());
  pcre2_set_match_limit(
      scratch.data->context,
      static_cast<uint32_t>(std::min<uint64_t>(limit, UINT32_MAX)));
  auto search = [&](uint32_t options) {
    return pcre2_match(code->code, reinterpret_cast<PCRE2_SPTR>(subject.data()),
                       subject.size(), from, scratch.data->options | options,
                       scratch.data->match, scratch.data->context);
  };
  int result = search(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT)
    result = search(PCRE2_NO_JIT);
  if (result == PCRE2_ERROR_NOMATCH)
    return false;
  if (result == PCRE2_ERROR_NOMEMORY)
    throw std::bad_alloc();
  if (result < 0)
    fail(StatusCode::Unsupported, "the regular expression " + inQuotes(source) +
                                      " cannot split a text of " +
                                      std::to_string(subject.size()) +
                                      " bytes: " + errorText(result));
  const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(scratch.data->match);
  match = {offsets[0], offsets[1]};
  return true;
}

size_t Regex::nextBoundary(std::string_view subject, size_t position) {
  if (position >= subject.size())
    return position + 1;
  (void)nextCodePoint(subject, position);
  return position;
}
