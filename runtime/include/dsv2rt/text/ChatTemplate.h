//===- ChatTemplate.h - conversations as prompts ----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The family has two chat formats. Both are written here as code that yields
// segments, each either one control token or plain text, so that the content
// of a message can never become a control token.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_TEXT_CHATTEMPLATE_H
#define DSV2RT_TEXT_CHATTEMPLATE_H

#include "dsv2rt/Status.h"
#include "dsv2rt/text/Tokenizer.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dsv2rt {

/// Who speaks.
enum class ChatRole { System, User, Assistant };

/// One message of a conversation.
struct ChatMessage {
  ChatRole role;
  /// UTF-8; may be empty.
  std::string content;
};

/// The chat formats of the family.
enum class ChatFormat {
  /// DeepSeek-V2-Chat, DeepSeek-V2-Lite-Chat, DeepSeek-Coder-V2-Instruct: the
  /// roles are written out as text. Content can imitate them ("\n\nUser: "),
  /// which is a property of the format; it cannot end a turn.
  V2,
  /// DeepSeek-V2.5: the roles are tokens.
  V2_5,
};

/// A part of a prompt: a control token, or text.
struct ChatSegment {
  /// The control token, or unset for text.
  std::optional<int32_t> controlId;
  /// The text, empty for a control token.
  std::string text;
};

/// Reads a conversation: a JSON list, not empty, of objects with `role` (one of
/// system, user, assistant) and `content` (a string). Members that are null are
/// ignored, other members are refused.
///
/// Errors: InvalidArgument, naming the message by its place in the list.
Expected<std::vector<ChatMessage>> parseChatMessages(std::string_view json);

/// Returns the format called "v2" or "v2.5". Errors: InvalidArgument.
Expected<ChatFormat> parseChatFormat(std::string_view name);

/// Returns the name that parseChatFormat() knows the format by.
std::string_view chatFormatName(ChatFormat format);

/// Returns V2_5 if the tokenizer has the token `<｜User｜>` and its chat
/// template mentions it, else V2. The token alone says nothing: files of
/// several releases have it without using it.
ChatFormat detectChatFormat(const Tokenizer &tokenizer);

/// Writes a conversation in `format`, beginning-of-sequence token included.
/// With `addGenerationPrompt` the prompt ends where the assistant's next
/// message starts; there is no space behind `Assistant:`.
///
/// V2 writes a system message where it stands. V2.5 has one place for it,
/// before the first turn, wherever it stands in the list.
///
/// Errors: InvalidArgument for an empty conversation, and for V2.5 with more
/// than one system message; NotFound if the tokenizer lacks a token that the
/// format needs.
Expected<std::vector<ChatSegment>>
renderChat(const Tokenizer &tokenizer, ChatFormat format,
           const std::vector<ChatMessage> &messages,
           bool addGenerationPrompt = true);

/// Turns segments into ids: control tokens as they are, text as text, with no
/// beginning-of-sequence token beyond what the segments hold. Errors: those of
/// Tokenizer::encode().
Expected<std::vector<int32_t>>
encodeChat(const Tokenizer &tokenizer,
           const std::vector<ChatSegment> &segments);

/// Renders and encodes in one go. Errors: those of both.
Expected<std::vector<int32_t>>
encodeChat(const Tokenizer &tokenizer, ChatFormat format,
           const std::vector<ChatMessage> &messages,
           bool addGenerationPrompt = true);

} // namespace dsv2rt

#endif // DSV2RT_TEXT_CHATTEMPLATE_H
