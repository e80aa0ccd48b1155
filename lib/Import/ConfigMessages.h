//===- ConfigMessages.h - how values of a file are shown --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_IMPORT_CONFIGMESSAGES_H
#define DSV2_LIB_IMPORT_CONFIGMESSAGES_H

#include "llvm/ADT/Twine.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"

#include <string>

namespace dsv2 {

/// An error about `fileName`, which may be empty.
llvm::Error makeError(llvm::StringRef fileName, const llvm::Twine &message);

/// Returns `value` in words or as JSON text, short enough for a message.
std::string describe(const llvm::json::Value &value);

/// Returns `text`, a key or a value, quoted for a message.
std::string quote(llvm::StringRef text);

/// Returns a number as JSON text.
std::string toJsonText(double value);

} // namespace dsv2

#endif // DSV2_LIB_IMPORT_CONFIGMESSAGES_H
