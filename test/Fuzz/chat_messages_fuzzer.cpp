//===- chat_messages_fuzzer.cpp - Fuzzes conversations --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Any bytes are a conversation or an error that says what is wrong. In either
// chat format the prompt has the control tokens of the format, whatever the
// messages say, and the messages are in it as they are.
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/text/ChatTemplate.h"
#include "tokenizer_fuzz_support.h"

#include <algorithm>

using namespace dsv2rt;
using namespace dsv2rt::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const Tokenizer &tokenizer = familyTokenizer();
  std::string_view json(reinterpret_cast<const char *>(data), size);
  Expected<std::vector<ChatMessage>> parsed = parseChatMessages(json);
  if (!parsed.ok()) {
    expectGoodMessage(parsed.status());
    return 0;
  }
  const std::vector<ChatMessage> &messages = parsed.value();
  expect(!messages.empty(), "a conversation has messages");
  auto count = [&](ChatRole role) {
    return std::count_if(
        messages.begin(), messages.end(),
        [role](const ChatMessage &message) { return message.role == role; });
  };
  for (ChatFormat format : {ChatFormat::V2, ChatFormat::V2_5}) {
    Expected<std::vector<int32_t>> ids =
        encodeChat(tokenizer, format, messages);
    if (format == ChatFormat::V2_5 && count(ChatRole::System) > 1) {
      expect(!ids.ok(), "the format has one system message");
      expectGoodMessage(ids.status());
      continue;
    }
    expect(ids.ok(), "conversations encode");
    long controls =
        std::count_if(ids.value().begin(), ids.value().end(),
                      [&](int32_t id) { return tokenizer.isControl(id); });
    long expected = 1 + count(ChatRole::Assistant);
    if (format == ChatFormat::V2_5)
      expected += count(ChatRole::User) + count(ChatRole::Assistant) + 1;
    expect(controls == expected, "control tokens are those of the format");
    std::string text = tokenizer.decode(ids.value()).value();
    for (const ChatMessage &message : messages)
      expect(text.find(message.content) != std::string::npos,
             "messages are in the prompt as they are");
  }
  return 0;
}
