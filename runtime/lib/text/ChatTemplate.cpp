//===- ChatTemplate.cpp - conversations as prompts ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/text/ChatTemplate.h"
#include "Json.h"

#include <algorithm>

using namespace dsv2rt;
using namespace dsv2rt::text;

static constexpr std::string_view userToken = "<\uFF5CUser\uFF5C>";
static constexpr std::string_view assistantToken = "<\uFF5CAssistant\uFF5C>";

//===----------------------------------------------------------------------===//
// Messages
//===----------------------------------------------------------------------===//

[[noreturn]] static void failMessage(size_t index, const std::string &what) {
  fail(StatusCode::InvalidArgument,
       "messages[" + std::to_string(index) + "]: " + what);
}

/// Returns the string member `key`. Throws StatusError.
static const std::string &getText(const nlohmann::json &message, size_t index,
                                  const char *key) {
  auto it = message.find(key);
  std::string expected = std::string("expected a string '") + key + "', found ";
  if (it == message.end())
    failMessage(index, expected + "nothing");
  if (!it->is_string())
    failMessage(index, expected + it->type_name());
  return it->get_ref<const std::string &>();
}

static ChatMessage parseMessage(const nlohmann::json &message, size_t index) {
  if (!message.is_object())
    failMessage(index, std::string("expected an object, found ") +
                           message.type_name());
  for (auto it = message.begin(); it != message.end(); ++it)
    if (it.key() != "role" && it.key() != "content" && !it->is_null())
      failMessage(index, "the member " + inQuotes(it.key()) +
                             " is not supported, expected 'role' and "
                             "'content'");
  ChatMessage result;
  const std::string &role = getText(message, index, "role");
  if (role == "system")
    result.role = ChatRole::System;
  else if (role == "user")
    result.role = ChatRole::User;
  else if (role == "assistant")
    result.role = ChatRole::Assistant;
  else
    failMessage(index, "the role " + inQuotes(role) +
                           " is not supported, expected system, user or "
                           "assistant");
  result.content = getText(message, index, "content");
  return result;
}

Expected<std::vector<ChatMessage>>
dsv2rt::parseChatMessages(std::string_view json) {
  return guarded([&]() -> Expected<std::vector<ChatMessage>> {
    nlohmann::json list =
        parseJson(json, "the messages are", StatusCode::InvalidArgument);
    if (!list.is_array())
      fail(StatusCode::InvalidArgument,
           std::string("expected a list of messages, found ") +
               list.type_name());
    if (list.empty())
      fail(StatusCode::InvalidArgument, "the list of messages is empty");
    std::vector<ChatMessage> messages;
    for (size_t i = 0; i < list.size(); ++i)
      messages.push_back(parseMessage(list[i], i));
    return messages;
  });
}

//===----------------------------------------------------------------------===//
// Formats
//===----------------------------------------------------------------------===//

std::string_view dsv2rt::chatFormatName(ChatFormat format) {
  return format == ChatFormat::V2 ? "v2" : "v2.5";
}

Expected<ChatFormat> dsv2rt::parseChatFormat(std::string_view name) {
  for (ChatFormat format : {ChatFormat::V2, ChatFormat::V2_5})
    if (name == chatFormatName(format))
      return format;
  return Status::error(StatusCode::InvalidArgument,
                       "unknown chat format " + inQuotes(name) +
                           ", expected v2 or v2.5");
}

ChatFormat dsv2rt::detectChatFormat(const Tokenizer &tokenizer) {
  bool used = tokenizer.chatTemplate().find(userToken) != std::string::npos;
  return used && tokenizer.tokenToId(userToken) ? ChatFormat::V2_5
                                                : ChatFormat::V2;
}

namespace {
/// Collects segments. Neighbouring text becomes one segment: the prompt has to
/// be split into tokens as if it had been written in one go.
class Writer {
public:
  void control(int32_t id) { segments.push_back({id, std::string()}); }
  void text(std::string_view text) {
    if (text.empty())
      return;
    if (segments.empty() || segments.back().controlId)
      segments.push_back({std::nullopt, std::string()});
    segments.back().text += text;
  }
  std::vector<ChatSegment> segments;
};
} // namespace

static int32_t require(std::optional<int32_t> id, const char *what) {
  if (!id)
    fail(StatusCode::NotFound, std::string("the chat format needs ") + what +
                                   ", which the tokenizer does not have");
  return *id;
}

static void renderV2(const Tokenizer &tokenizer,
                     const std::vector<ChatMessage> &messages,
                     bool addGenerationPrompt, Writer &writer) {
  int32_t eos = require(tokenizer.eosId(), "an end-of-sequence token");
  for (const ChatMessage &message : messages) {
    switch (message.role) {
    case ChatRole::System:
      writer.text(message.content);
      writer.text("\n\n");
      break;
    case ChatRole::User:
      writer.text("User: ");
      writer.text(message.content);
      writer.text("\n\n");
      break;
    case ChatRole::Assistant:
      writer.text("Assistant: ");
      writer.text(message.content);
      writer.control(eos);
      break;
    }
  }
  // A space here would be a token of its own, which the models were not
  // trained to continue.
  if (addGenerationPrompt)
    writer.text("Assistant:");
}

static void renderV25(const Tokenizer &tokenizer,
                      const std::vector<ChatMessage> &messages,
                      bool addGenerationPrompt, Writer &writer) {
  int32_t eos = require(tokenizer.eosId(), "an end-of-sequence token");
  int32_t user = require(tokenizer.tokenToId(userToken), "a user token");
  int32_t assistant =
      require(tokenizer.tokenToId(assistantToken), "an assistant token");
  auto isSystem = [](const ChatMessage &message) {
    return message.role == ChatRole::System;
  };
  if (std::count_if(messages.begin(), messages.end(), isSystem) > 1)
    fail(StatusCode::InvalidArgument,
         "the chat format v2.5 has one system message, found more");
  auto system = std::find_if(messages.begin(), messages.end(), isSystem);
  if (system != messages.end())
    writer.text(system->content);
  for (const ChatMessage &message : messages) {
    if (isSystem(message))
      continue;
    bool isUser = message.role == ChatRole::User;
    writer.control(isUser ? user : assistant);
    writer.text(message.content);
    if (!isUser)
      writer.control(eos);
  }
  if (addGenerationPrompt)
    writer.control(assistant);
}

Expected<std::vector<ChatSegment>>
dsv2rt::renderChat(const Tokenizer &tokenizer, ChatFormat format,
                   const std::vector<ChatMessage> &messages,
                   bool addGenerationPrompt) {
  return guarded([&]() -> Expected<std::vector<ChatSegment>> {
    if (messages.empty())
      fail(StatusCode::InvalidArgument, "the conversation has no messages");
    Writer writer;
    writer.control(require(tokenizer.bosId(), "a beginning-of-sequence token"));
    auto *render = format == ChatFormat::V2 ? renderV2 : renderV25;
    render(tokenizer, messages, addGenerationPrompt, writer);
    return std::move(writer.segments);
  });
}

Expected<std::vector<int32_t>>
dsv2rt::encodeChat(const Tokenizer &tokenizer,
                   const std::vector<ChatSegment> &segments) {
  return guarded([&]() -> Expected<std::vector<int32_t>> {
    EncodeOptions plain;
    plain.addBos = false;
    plain.parseSpecial = false;
    std::vector<int32_t> ids;
    for (const ChatSegment &segment : segments) {
      if (segment.controlId) {
        ids.push_back(*segment.controlId);
        continue;
      }
      Expected<std::vector<int32_t>> part =
          tokenizer.encode(segment.text, plain);
      if (!part.ok())
        return part.status();
      ids.insert(ids.end(), part.value().begin(), part.value().end());
    }
    return ids;
  });
}

Expected<std::vector<int32_t>>
dsv2rt::encodeChat(const Tokenizer &tokenizer, ChatFormat format,
                   const std::vector<ChatMessage> &messages,
                   bool addGenerationPrompt) {
  Expected<std::vector<ChatSegment>> segments =
      renderChat(tokenizer, format, messages, addGenerationPrompt);
  if (!segments.ok())
    return segments.status();
  return encodeChat(tokenizer, segments.value());
}
