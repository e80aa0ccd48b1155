//===- ConfigReader.h - config.json to ModelConfig --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_IMPORT_CONFIGREADER_H
#define DSV2_LIB_IMPORT_CONFIGREADER_H

#include "ConfigFields.h"
#include "dsv2/Import/ModelConfig.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/JSON.h"

#include <optional>
#include <string>
#include <vector>

namespace dsv2 {

/// One JSON object under reading. Remembers which keys have been looked at, so
/// that the rest can be reported.
class Section {
public:
  Section(const llvm::json::Object &object, std::string prefix)
      : object(object), prefix(std::move(prefix)) {}

  /// Returns the value of `key`, or null if it is absent or JSON null.
  const llvm::json::Value *find(llvm::StringRef key) {
    const llvm::json::Value *value = findOrNull(key);
    return value && value->kind() != llvm::json::Value::Null ? value : nullptr;
  }

  /// Returns the value of `key`, JSON null included, or null if it is absent.
  const llvm::json::Value *findOrNull(llvm::StringRef key) {
    seen.insert(key);
    return object.get(key);
  }

  /// Returns the dotted path of `key`.
  std::string path(llvm::StringRef key) const { return prefix + key.str(); }

  /// Returns the keys never asked for, sorted.
  std::vector<std::string> unseenKeys() const {
    std::vector<std::string> keys;
    for (const auto &entry : object)
      if (!seen.contains(entry.first))
        keys.push_back(entry.first.str());
    llvm::sort(keys);
    return keys;
  }

private:
  const llvm::json::Object &object;
  std::string prefix;
  llvm::StringSet<> seen;
};

/// What one of `rope_scaling` and `rope_parameters` says.
struct RopeSection {
  std::string key;
  std::optional<double> theta;
  std::optional<YarnConfig> yarn;
};

/// Reads the object into a ModelConfig. Problems are collected; a field with a
/// problem keeps a harmless value and the checks across fields do not run.
class ConfigReader {
public:
  ConfigReader(const llvm::json::Object &object, llvm::StringRef fileName,
               llvm::SmallVectorImpl<std::string> *warnings)
      : root(object, ""), fileName(fileName), warnings(warnings) {
    config.fileName = fileName.str();
  }

  llvm::Expected<ModelConfig> read();

private:
  //===--------------------------------------------------------------------===//
  // Typed access
  //===--------------------------------------------------------------------===//

  void fail(const llvm::Twine &message) { problems.push_back(message.str()); }
  void warn(const llvm::Twine &message) {
    if (warnings)
      warnings->push_back((fileName + ": " + message).str());
  }
  void setDefault(const std::string &path, std::string value) {
    config.defaultedKeys.push_back({path, std::move(value)});
  }
  void ignore(const std::string &path, IgnoredReason reason) {
    config.ignoredKeys.push_back({path, reason});
  }

  std::optional<int64_t> toInt(const llvm::json::Value &value,
                               const std::string &path, int64_t min,
                               int64_t max);
  std::optional<double> toNumber(const llvm::json::Value &value,
                                 const std::string &path);
  std::optional<bool> toBool(const llvm::json::Value &value,
                             const std::string &path);
  std::optional<llvm::StringRef> toString(const llvm::json::Value &value,
                                          const std::string &path);

  /// Reads an optional number of `section` in (or from) `min` to `max`.
  double readNumber(Section &section, llvm::StringRef key, double defaultValue,
                    double min, bool minIsAllowed, double max);
  bool readBool(llvm::StringRef key, bool defaultValue);
  /// Refuses the boolean `key` when it is not `wanted`.
  void requireBool(llvm::StringRef key, bool wanted, llvm::StringRef feature);
  void readRequiredInt(const IntField &field);
  void missing(Section &section, llvm::StringRef key, llvm::StringRef what);

  //===--------------------------------------------------------------------===//
  // Parts of the file
  //===--------------------------------------------------------------------===//

  llvm::Error checkArchitecture();
  void readAttention();
  void readRope();
  RopeSection readRopeSection(llvm::StringRef key,
                              const llvm::json::Object &object);
  std::optional<YarnConfig> readYarn(Section &section);
  void checkRopeExtras(Section &section, const std::optional<YarnConfig> &yarn);
  void readLayers();
  void readRouter();
  void readTokens();
  void readDType();
  void checkUnsupported();
  void recordIgnored();

  Section root;
  llvm::StringRef fileName;
  llvm::SmallVectorImpl<std::string> *warnings;
  ModelConfig config;
  std::vector<std::string> problems;
};

} // namespace dsv2

#endif // DSV2_LIB_IMPORT_CONFIGREADER_H
