//===- tokenizer_json_fuzzer.cpp - Fuzzes the reader of tokenizer.json ----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The input is tokenizer.json, tokenizer_config.json and a text, with a NUL
// between each; the last two may be missing. Whatever loads has to encode the
// text or say why not, and what it encodes has to decode.
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/text/ChatTemplate.h"
#include "tokenizer_fuzz_support.h"

using namespace dsv2rt;
using namespace dsv2rt::fuzz;

/// Removes and returns what stands before the first NUL.
static std::string_view takePart(std::string_view &rest) {
  size_t end = std::min(rest.find('\0'), rest.size());
  std::string_view part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string_view rest(reinterpret_cast<const char *>(data), size);
  std::string_view file = takePart(rest);
  std::string_view config = takePart(rest);
  Expected<Tokenizer> loaded = Tokenizer::fromJson(file, config);
  if (!loaded.ok()) {
    expectGoodMessage(loaded.status());
    return 0;
  }
  const Tokenizer &tokenizer = loaded.value();
  expect(tokenizer.vocabularySize() > 0, "a tokenizer has tokens");
  expect(!tokenizer.addsBos() || tokenizer.bosId(), "a token to add exists");
  for (std::optional<int32_t> id : {tokenizer.bosId(), tokenizer.eosId()})
    expect(!id || tokenizer.idToToken(*id), "bos and eos are tokens");
  (void)detectChatFormat(tokenizer);

  std::string text = "hello \u4E16\u754C  a1\n<\uFF5CUser\uFF5C> \U0001F600 ";
  text += rest.substr(0, 200);
  for (bool parseSpecial : {false, true}) {
    EncodeOptions options;
    options.parseSpecial = parseSpecial;
    Expected<std::vector<int32_t>> ids = tokenizer.encode(text, options);
    if (ids.ok())
      expectStreamEqualsDecode(tokenizer, ids.value());
    else
      expectGoodMessage(ids.status());
  }
  return 0;
}
