//===- ConfigFixtures.h - Small configurations for the importer tests -----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_IMPORT_CONFIGFIXTURES_H
#define DSV2_TEST_UNIT_IMPORT_CONFIGFIXTURES_H

#include "dsv2/Import/ModelConfig.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "gtest/gtest.h"

#include <string>

namespace dsv2::test {

/// Result of reading a configuration: either `config`, or `error`.
struct Outcome {
  std::optional<ModelConfig> config;
  std::string error;
  llvm::SmallVector<std::string> warnings;

  bool hasWarning(llvm::StringRef part) const {
    return llvm::any_of(warnings, [&](const std::string &warning) {
      return llvm::StringRef(warning).contains(part);
    });
  }
  bool isDefaulted(llvm::StringRef key, llvm::StringRef value) const {
    return config &&
           llvm::any_of(config->defaultedKeys, [&](const DefaultedKey &entry) {
             return entry.key == key && entry.value == value;
           });
  }
  bool isIgnored(llvm::StringRef key, IgnoredReason reason) const {
    return config &&
           llvm::any_of(config->ignoredKeys, [&](const IgnoredKey &entry) {
             return entry.key == key && entry.reason == reason;
           });
  }
};

inline Outcome readText(llvm::StringRef text) {
  Outcome outcome;
  llvm::Expected<ModelConfig> config =
      parseModelConfig(text, "config.json", &outcome.warnings);
  if (config)
    outcome.config = std::move(*config);
  else
    outcome.error = llvm::toString(config.takeError());
  return outcome;
}

/// A configuration as a JSON object to be varied.
class Fixture {
public:
  /// Loads `test/Fixtures/NAME/config.json`, or with a path that has a slash,
  /// that file below the source directory.
  explicit Fixture(llvm::StringRef name) {
    std::string path = std::string(DSV2_TEST_SOURCE_DIR) +
                       (name.contains('/') ? "/" : "/test/Fixtures/") +
                       name.str() + "/config.json";
    auto buffer = llvm::MemoryBuffer::getFile(path);
    if (!buffer) {
      ADD_FAILURE() << "cannot read " << path;
      return;
    }
    llvm::Expected<llvm::json::Value> value =
        llvm::json::parse((*buffer)->getBuffer());
    if (!value) {
      ADD_FAILURE() << path << ": " << llvm::toString(value.takeError());
      return;
    }
    object = std::move(*value->getAsObject());
  }

  /// Sets `key` (one dot reaches into an object) to JSON text.
  Fixture &set(llvm::StringRef key, llvm::StringRef json) {
    llvm::Expected<llvm::json::Value> value = llvm::json::parse(json);
    if (!value) {
      ADD_FAILURE() << json.str() << ": " << llvm::toString(value.takeError());
      return *this;
    }
    auto [outer, inner] = key.split('.');
    if (inner.empty())
      object[outer] = std::move(*value);
    else
      (*object.getObject(outer))[inner] = std::move(*value);
    return *this;
  }

  Fixture &remove(llvm::StringRef key) {
    auto [outer, inner] = key.split('.');
    bool isErased = inner.empty() ? object.erase(outer)
                                  : object.getObject(outer)->erase(inner);
    EXPECT_TRUE(isErased) << key.str();
    return *this;
  }

  std::string text() const {
    return llvm::formatv("{0}", llvm::json::Value(llvm::json::Object(object)))
        .str();
  }

  Outcome read() const { return readText(text()); }

private:
  llvm::json::Object object;
};

/// Succeeds if `outcome` is an error that contains every one of `parts`.
inline void expectError(const Outcome &outcome,
                        std::initializer_list<llvm::StringRef> parts,
                        llvm::StringRef what = "") {
  if (outcome.config) {
    ADD_FAILURE() << what.str() << ": accepted, expected an error";
    return;
  }
  for (llvm::StringRef part : parts)
    EXPECT_TRUE(llvm::StringRef(outcome.error).contains(part))
        << what.str() << ": expected '" << part.str()
        << "' in: " << outcome.error;
  // The form every message has.
  EXPECT_TRUE(llvm::StringRef(outcome.error).starts_with("config.json: "))
      << outcome.error;
  EXPECT_FALSE(llvm::StringRef(outcome.error).ends_with(".")) << outcome.error;
}

inline void expectAccepted(const Outcome &outcome, llvm::StringRef what = "") {
  EXPECT_TRUE(outcome.config.has_value()) << what.str() << outcome.error;
}

} // namespace dsv2::test

#endif // DSV2_TEST_UNIT_IMPORT_CONFIGFIXTURES_H
