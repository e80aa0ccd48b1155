//===- IncrementalDecoder.cpp - streaming token ids to text ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/text/IncrementalDecoder.h"
#include "Internal.h"

using namespace dsv2rt;
using namespace dsv2rt::text;

IncrementalDecoder::IncrementalDecoder(Tokenizer tokenizer, bool skipSpecial)
    : tokenizer(std::move(tokenizer)), skipSpecial(skipSpecial) {}

Expected<std::string> IncrementalDecoder::push(int32_t id) {
  return guarded([&]() -> Expected<std::string> {
    Expected<std::string_view> bytes = tokenizer.tokenBytes(id);
    if (!bytes.ok())
      return bytes.status();
    std::string text;
    if (!(skipSpecial && tokenizer.isSpecial(id)))
      stream.append(bytes.value(), text);
    return text;
  });
}

std::string IncrementalDecoder::finish() {
  std::string text;
  stream.finish(text);
  return text;
}
