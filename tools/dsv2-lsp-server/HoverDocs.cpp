//===- HoverDocs.cpp - op descriptions in hover replies -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "HoverDocs.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"
#include <unistd.h>

using llvm::StringRef;

/// The generated pages of the dialects.
static constexpr char kReference[] =
#include "DSV2Reference.inc"
    ;

std::string mlir::dsv2::getOpDocs(StringRef name) {
  // ### `dsv2.route` (dsv2::RouteOp)
  std::string heading = ("\n### `" + name + "` (").str();
  StringRef section(kReference);
  size_t start = section.find(heading);
  if (start == StringRef::npos)
    return {};
  section = section.drop_front(start + heading.size());
  section = section.drop_front(section.find('\n') + 1);
  // Traits and tables of operands follow the description.
  for (StringRef end :
       {"\n## ", "\n### ", "\n#### ", "\nTraits: ", "\nInterfaces: "})
    section = section.take_front(section.find(end));
  return section.trim().str();
}

std::string mlir::dsv2::addHoverDocs(StringRef message) {
  llvm::Expected<llvm::json::Value> reply = llvm::json::parse(message);
  if (!reply) {
    llvm::consumeError(reply.takeError());
    return message.str();
  }
  llvm::json::Object *object = reply->getAsObject();
  llvm::json::Object *result = object ? object->getObject("result") : nullptr;
  llvm::json::Object *contents =
      result ? result->getObject("contents") : nullptr;
  std::optional<StringRef> text =
      contents ? contents->getString("value") : std::nullopt;
  // A hover over an op begins with its name in quotes.
  StringRef rest = text.value_or("");
  if (!rest.consume_front("\""))
    return message.str();
  auto [name, tail] = rest.split('"');
  std::string docs = getOpDocs(name);
  if (docs.empty())
    return message.str();
  (*contents)["value"] = ("`" + name + "`\n\n" + docs + tail).str();
  return llvm::formatv("{0}", *reply).str();
}

mlir::dsv2::HoverFilter::HoverFilter() {
  int ends[2];
  llvm::outs().flush();
  if (pipe(ends) != 0)
    return;
  output = dup(STDOUT_FILENO);
  if (output < 0 || dup2(ends[1], STDOUT_FILENO) < 0) {
    close(ends[0]);
    close(ends[1]);
    output = -1;
    return;
  }
  close(ends[1]);
  thread = std::thread(run, ends[0], output);
}

mlir::dsv2::HoverFilter::~HoverFilter() {
  if (output < 0)
    return;
  // The last writer of the pipe goes, which ends the thread.
  llvm::outs().flush();
  dup2(output, STDOUT_FILENO);
  thread.join();
  close(output);
}

void mlir::dsv2::HoverFilter::run(int input, int output) {
  constexpr StringRef kHeader = "Content-Length: ", kEnd = "\r\n\r\n";
  llvm::raw_fd_ostream os(output, /*shouldClose=*/false, /*unbuffered=*/true);
  std::string pending;
  char buffer[4096];
  while (true) {
    ssize_t count = read(input, buffer, sizeof(buffer));
    if (count <= 0)
      break;
    pending.append(buffer, count);
    // Every whole message in what has arrived.
    while (true) {
      StringRef text = pending;
      size_t headerEnd = text.find(kEnd);
      size_t length;
      if (headerEnd == StringRef::npos || !text.consume_front(kHeader) ||
          text.consumeInteger(10, length))
        break;
      StringRef body = StringRef(pending).substr(headerEnd + kEnd.size());
      if (body.size() < length)
        break;
      std::string message = addHoverDocs(body.take_front(length));
      os << kHeader << message.size() << kEnd << message;
      pending.erase(0, headerEnd + kEnd.size() + length);
    }
  }
  os << pending;
  close(input);
}
