//===- tokenizer_encode_fuzzer.cpp - Fuzzes encoding and decoding ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Any valid UTF-8 comes back from decode(encode(text)), any other bytes are
// refused, and any ids stream as they decode.
//
//===----------------------------------------------------------------------===//

#include "tokenizer_fuzz_support.h"

using namespace dsv2rt;
using namespace dsv2rt::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const Tokenizer &tokenizer = familyTokenizer();
  std::string_view text(reinterpret_cast<const char *>(data), size);

  // The bytes as ids, some of them control tokens.
  std::vector<int32_t> bytes;
  for (size_t i = 0; i < size; ++i)
    bytes.push_back(data[i] < 4 ? 256 + data[i] : data[i]);
  expectStreamEqualsDecode(tokenizer, bytes);

  for (bool parseSpecial : {false, true}) {
    EncodeOptions options;
    options.addBos = false;
    options.parseSpecial = parseSpecial;
    Expected<std::vector<int32_t>> ids = tokenizer.encode(text, options);
    if (findInvalidUtf8(text)) {
      expect(!ids.ok(), "invalid UTF-8 is refused");
      expectGoodMessage(ids.status());
      continue;
    }
    expect(ids.ok(), "valid UTF-8 encodes");
    expect(tokenizer.decode(ids.value()).value() == text, "text comes back");
    expectStreamEqualsDecode(tokenizer, ids.value());
    for (int32_t id : ids.value())
      expect(parseSpecial || !tokenizer.isControl(id),
             "text yields no control tokens");
    options.addBos = true;
    std::vector<int32_t> withBos = tokenizer.encode(text, options).value();
    expect(!withBos.empty() && withBos[0] == *tokenizer.bosId(),
           "the first id begins the sequence");
    bool brings = !ids.value().empty() && ids.value()[0] == withBos[0];
    expect(withBos.size() == ids.value().size() + (brings ? 0 : 1),
           "no second token begins the sequence");
  }
  return 0;
}
