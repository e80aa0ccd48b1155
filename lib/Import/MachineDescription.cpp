//===- MachineDescription.cpp - what ranks run on -------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/MachineDescription.h"

#include "ConfigMessages.h"
#include "JsonText.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/Twine.h"

#include <vector>

using namespace dsv2;
using namespace llvm;

namespace {
/// Far from any machine; what is computed with sizes of models stays finite.
constexpr double kLeastPerSecond = 1;
constexpr double kMostPerSecond = 1e22;
constexpr double kMostSeconds = 3600;
constexpr int64_t kMostMemory = int64_t(1) << 60;
constexpr int64_t kMostRanks = 65536;

/// Reads one object and collects what is wrong with it.
class DescriptionReader {
public:
  DescriptionReader(const json::Object &object, std::string prefix,
                    std::vector<std::string> &problems)
      : object(object), prefix(std::move(prefix)), problems(problems) {}

  const json::Value *find(StringRef key, StringRef what, bool isRequired) {
    known.insert(key);
    const json::Value *value = object.get(key);
    if (!value && isRequired)
      fail(key, what, "nothing");
    return value;
  }

  void read(StringRef key, int64_t &result, int64_t most,
            bool isRequired = true) {
    std::string what = ("an integer from 1 to " + Twine(most)).str();
    const json::Value *value = find(key, what, isRequired);
    if (!value)
      return;
    std::optional<int64_t> integer = value->getAsInteger();
    if (!integer || *integer < 1 || *integer > most)
      return fail(key, what, describe(*value));
    result = *integer;
  }

  void read(StringRef key, double &result, double least, double most) {
    std::string what =
        "a number from " + toJsonText(least) + " to " + toJsonText(most);
    const json::Value *value = find(key, what, /*isRequired=*/true);
    if (!value)
      return;
    std::optional<double> number = value->getAsNumber();
    if (!number || !(*number >= least && *number <= most))
      return fail(key, what, describe(*value));
    result = *number;
  }

  void read(StringRef key, std::string &result) {
    const json::Value *value = find(key, "a string", /*isRequired=*/false);
    if (!value)
      return;
    if (std::optional<StringRef> text = value->getAsString())
      result = text->str();
    else
      fail(key, "a string", describe(*value));
  }

  void read(StringRef key, LinkDescription &result) {
    const json::Value *value = find(key, "an object", /*isRequired=*/true);
    if (!value)
      return;
    const json::Object *nested = value->getAsObject();
    if (!nested)
      return fail(key, "an object", describe(*value));
    DescriptionReader reader(*nested, prefix + key.str() + ".", problems);
    reader.read("bytes_per_second", result.bytesPerSecond, kLeastPerSecond,
                kMostPerSecond);
    reader.read("latency_seconds", result.latencySeconds, 0, kMostSeconds);
    reader.refuseOthers();
  }

  /// To be called last.
  void refuseOthers() {
    std::vector<std::string> names, unknown;
    for (const auto &entry : known)
      names.push_back(entry.first().str());
    llvm::sort(names);
    for (const auto &entry : object)
      if (!known.contains(entry.first))
        unknown.push_back(entry.first.str());
    llvm::sort(unknown);
    for (const std::string &key : unknown)
      problems.push_back("expected the keys " + join(names, ", ") +
                         (prefix.empty() ? "" : " in '" + parent() + "'") +
                         ", got " + quote(prefix + key));
  }

private:
  void fail(StringRef key, const Twine &expected, const Twine &found) {
    problems.push_back(("expected " + quote(prefix + key.str()) + " to be " +
                        expected + ", got " + found)
                           .str());
  }

  std::string parent() const { return prefix.substr(0, prefix.size() - 1); }

  const json::Object &object;
  std::string prefix;
  std::vector<std::string> &problems;
  StringSet<> known;
};
} // namespace

Expected<MachineDescription> dsv2::parseMachineDescription(StringRef text,
                                                           StringRef fileName) {
  Expected<json::Object> object =
      parseJsonObject(text, fileName, MachineDescription::maxFileSize);
  if (!object)
    return object.takeError();
  std::vector<std::string> problems;
  DescriptionReader reader(*object, "", problems);
  MachineDescription machine;
  reader.read("name", machine.name);
  reader.read("memory_bytes", machine.memoryBytes, kMostMemory);
  reader.read("memory_bytes_per_second", machine.memoryBytesPerSecond,
              kLeastPerSecond, kMostPerSecond);
  reader.read("flops_per_second", machine.flopsPerSecond, kLeastPerSecond,
              kMostPerSecond);
  reader.read("tp", machine.tp);
  reader.read("ep", machine.ep);
  int64_t ranksPerHost = 0;
  reader.read("ranks_per_host", ranksPerHost, kMostRanks, /*isRequired=*/false);
  if (ranksPerHost)
    machine.ranksPerHost = ranksPerHost;
  reader.refuseOthers();
  if (problems.empty())
    return machine;
  // Each is a sentence about the same file.
  constexpr size_t mostShown = 20;
  size_t count = problems.size();
  if (count > mostShown) {
    problems.resize(mostShown);
    problems.push_back("and " + std::to_string(count - mostShown) + " more");
  }
  return makeError(fileName, join(problems, "; "));
}

Expected<MachineDescription> MachineDescription::fromFile(StringRef file) {
  Expected<std::unique_ptr<MemoryBuffer>> buffer =
      readRegularFile(file, "machine description", maxFileSize);
  if (!buffer)
    return buffer.takeError();
  return parseMachineDescription((*buffer)->getBuffer(), file);
}
