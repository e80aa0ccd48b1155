//===- PTXText.cpp - PTX as statements ------------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PTXText.h"

#include "llvm/ADT/StringExtras.h"

#include <algorithm>
#include <memory>

using namespace mlir::dsv2;

llvm::SmallVector<llvm::StringRef, 12> PTXStatement::getParts() const {
  llvm::SmallVector<llvm::StringRef, 12> parts;
  opcode.split(parts, '.', /*MaxSplit=*/-1, /*KeepEmpty=*/false);
  return parts;
}

/// Overwrites text[from, to) with spaces, but keeps the lines.
static void blank(std::string &text, size_t from, size_t to) {
  for (size_t i = from; i < std::min(to, text.size()); ++i)
    if (text[i] != '\n')
      text[i] = ' ';
}

/// Blanks comments, strings, and directives that end with their line.
static void removeNoise(std::string &text) {
  for (size_t i = 0; i < text.size(); ++i) {
    llvm::StringRef rest = llvm::StringRef(text).substr(i);
    size_t end = llvm::StringRef::npos;
    if (rest.starts_with("//"))
      end = text.find('\n', i);
    else if (rest.starts_with("/*"))
      end = (end = text.find("*/", i + 2)) == std::string::npos ? end : end + 2;
    else if (rest.starts_with("\""))
      end = (end = text.find('"', i + 1)) == std::string::npos ? end : end + 1;
    else if (rest.starts_with(".loc") || rest.starts_with(".file")) {
      // Not `.local`.
      if (llvm::isAlnum(rest.substr(rest.starts_with(".loc") ? 4 : 5)
                            .take_front(1)
                            .str()[0]))
        continue;
      end = text.find('\n', i);
    } else
      continue;
    end = std::min(end, text.size());
    blank(text, i, end);
    i = end - 1;
  }
}

/// Whether `name` could be a register, a label or a variable.
static bool isIdentifier(llvm::StringRef name) {
  return !name.empty() && !llvm::isDigit(name.front()) &&
         llvm::all_of(name, [](char c) {
           return llvm::isAlnum(c) || c == '_' || c == '$' || c == '%';
         });
}

/// Cuts `body`, whose first character is on line `line`, at its semicolons.
static std::vector<PTXStatement> getStatements(llvm::StringRef body,
                                               unsigned line) {
  std::vector<PTXStatement> statements;
  while (!body.empty()) {
    size_t length = std::min(body.find(';'), body.size());
    llvm::StringRef statement = body.take_front(length);
    unsigned statementLine = line;
    line += statement.count('\n');
    body = body.drop_front(std::min(length + 1, body.size()));

    // Braces that open and close a scope, and labels, in front of it.
    while (true) {
      llvm::StringRef rest = statement.ltrim();
      statementLine +=
          statement.take_front(statement.size() - rest.size()).count('\n');
      statement = rest;
      size_t colon = statement.find(':');
      if (statement.consume_front("{") || statement.consume_front("}"))
        continue;
      if (colon != llvm::StringRef::npos &&
          isIdentifier(statement.take_front(colon)) &&
          !statement.substr(colon).starts_with("::")) {
        statement = statement.drop_front(colon + 1);
        continue;
      }
      break;
    }
    if (statement.starts_with("@"))
      statement = statement.drop_until(llvm::isSpace).ltrim();
    statement = statement.rtrim();
    if (statement.empty())
      continue;
    llvm::StringRef opcode = statement.take_until(llvm::isSpace);
    statements.push_back(
        {opcode, statement.drop_front(opcode.size()).ltrim(), statementLine});
  }
  return statements;
}

/// The position after the brace that closes the one at `open`.
static size_t findEnd(llvm::StringRef text, size_t open) {
  unsigned depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '{')
      ++depth;
    else if (text[i] == '}' && --depth == 0)
      return i + 1;
  }
  return llvm::StringRef::npos;
}

llvm::Expected<PTXText> PTXText::parse(llvm::StringRef source) {
  PTXText result;
  result.clean = std::make_unique<std::string>(source);
  removeNoise(*result.clean);
  llvm::StringRef text = *result.clean;
  llvm::StringRef keyword = ".entry";
  for (size_t at = text.find(keyword); at != llvm::StringRef::npos;
       at = text.find(keyword, at)) {
    at += keyword.size();
    PTXEntry entry;
    llvm::StringRef rest = text.substr(at).ltrim();
    entry.name = rest.take_until([](char c) {
      return llvm::isSpace(c) || c == '(' || c == '{' || c == ';';
    });
    size_t open = text.find_first_of("{;", at);
    // A declaration has no body.
    if (open != llvm::StringRef::npos && text[open] == ';')
      continue;
    size_t end = open == llvm::StringRef::npos ? open : findEnd(text, open);
    if (end == llvm::StringRef::npos)
      return llvm::createStringError("PTX: the body of '" + entry.name +
                                     "' does not end");
    llvm::StringRef head = text.slice(at, open);
    entry.directives = head.substr(std::min(head.rfind(')'), head.size()));
    entry.body = text.slice(open + 1, end - 1);
    entry.statements =
        getStatements(entry.body, text.take_front(open).count('\n') + 1);
    result.entries.push_back(std::move(entry));
    at = end;
  }
  return result;
}
