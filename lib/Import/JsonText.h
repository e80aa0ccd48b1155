//===- JsonText.h - JSON objects of files nobody vouches for ----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_IMPORT_JSONTEXT_H
#define DSV2_LIB_IMPORT_JSONTEXT_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cstdint>
#include <memory>

namespace dsv2 {

/// Parses the text of a JSON object. `fileName` is for messages. Errors: more
/// than `maxSize` bytes, bytes that are not UTF-8, deep nesting, a key that
/// occurs twice in an object, NaN and Infinity, anything that is not one JSON
/// object.
llvm::Expected<llvm::json::Object> parseJsonObject(llvm::StringRef text,
                                                   llvm::StringRef fileName,
                                                   int64_t maxSize);

/// Reads a file of at most `maxSize` bytes. Errors name the file: it cannot be
/// read, it is no regular file, it is larger than a `what` may be.
llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>>
readRegularFile(llvm::StringRef file, llvm::StringRef what, int64_t maxSize);

} // namespace dsv2

#endif // DSV2_LIB_IMPORT_JSONTEXT_H
