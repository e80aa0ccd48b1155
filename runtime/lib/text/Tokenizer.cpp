//===- Tokenizer.cpp - text to token ids and back -------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/text/Tokenizer.h"
#include "AddedTokens.h"
#include "BytePairEncoder.h"
#include "Json.h"
#include "PreTokenizer.h"
#include "dsv2rt/text/Utf8.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sys/stat.h>

using namespace dsv2rt;
using namespace dsv2rt::text;

/// Names of the family's tokens, for files that do not say which are which.
static constexpr const char *familyBos =
    "<\uFF5Cbegin\u2581of\u2581sentence\uFF5C>";
static constexpr const char *familyEos =
    "<\uFF5Cend\u2581of\u2581sentence\uFF5C>";

struct Tokenizer::Impl {
  /// What is known of one id. An id without a token has an empty spelling.
  struct Entry {
    std::string spelling;
    std::string bytes;
    bool present = false;
    bool special = false;
    bool control = false;
  };

  std::vector<AddedToken> addedTokens;
  std::optional<AddedTokenMatcher> matcher;
  PreTokenizer preTokenizer;
  BytePairEncoder model;
  std::vector<Entry> entries;
  std::unordered_map<std::string, int32_t> ids;
  std::optional<int32_t> bos;
  std::optional<int32_t> eos;
  bool addBos = false;
  std::string chatTemplate;

  void read(const nlohmann::json &file);
  void readConfig(const nlohmann::json &config,
                  std::optional<std::string> &bosName,
                  std::optional<std::string> &eosName,
                  std::optional<bool> &addBosFlag);
  void resolveBosEos(const nlohmann::json &file, std::string_view configJson);

  const Entry *find(int32_t id) const {
    if (id < 0 || static_cast<size_t>(id) >= entries.size() ||
        !entries[static_cast<size_t>(id)].present)
      return nullptr;
    return &entries[static_cast<size_t>(id)];
  }

  /// Throws StatusError for an id without a token.
  const Entry &get(int32_t id) const {
    const Entry *entry = find(id);
    if (!entry)
      fail(StatusCode::InvalidArgument,
           "token id " + std::to_string(id) +
               " has no token, expected an id below " +
               std::to_string(entries.size()));
    return *entry;
  }

private:
  void readAddedTokens(const nlohmann::json &file);
  void buildEntries();
};

//===----------------------------------------------------------------------===//
// Reading tokenizer.json
//===----------------------------------------------------------------------===//

static void checkNormalizer(const nlohmann::json &normalizer) {
  expectObject(normalizer, "normalizer");
  const std::string &type = getString(normalizer, "type");
  const nlohmann::json *list = findMember(normalizer, "normalizers");
  if (type != "Sequence")
    fail(StatusCode::Unsupported, "normalizer: type " + inQuotes(type) +
                                      " is not supported, expected none");
  if (!list || !list->is_array())
    fail(StatusCode::CorruptData,
         "normalizer: expected a Sequence with a list 'normalizers'");
  if (list->empty())
    return;
  expectObject(list->front(), "normalizers[0]");
  fail(StatusCode::Unsupported, "normalizer: type " +
                                    inQuotes(getString(list->front(), "type")) +
                                    " is not supported, expected none");
}

static void checkDecoder(const nlohmann::json &file) {
  const nlohmann::json *decoder = findNonNull(file, "decoder");
  if (!decoder)
    fail(StatusCode::Unsupported,
         "decoder: expected type 'ByteLevel', found none");
  expectObject(*decoder, "decoder");
  if (getString(*decoder, "type") == "Sequence") {
    const nlohmann::json *list = findMember(*decoder, "decoders");
    if (!list || !list->is_array() || list->size() != 1)
      fail(StatusCode::Unsupported,
           "decoder: expected a Sequence of one decoder, 'ByteLevel'");
    decoder = &list->front();
    expectObject(*decoder, "decoders[0]");
  }
  const std::string &type = getString(*decoder, "type");
  if (type != "ByteLevel")
    fail(StatusCode::Unsupported, "decoder: type " + inQuotes(type) +
                                      " is not supported, expected "
                                      "'ByteLevel'");
}

void Tokenizer::Impl::readAddedTokens(const nlohmann::json &file) {
  const nlohmann::json *list = findNonNull(file, "added_tokens");
  if (!list)
    return;
  if (!list->is_array())
    failType("added_tokens", "a list", *list);
  for (const nlohmann::json &entry : *list)
    addedTokens.push_back(AddedToken::fromJson(entry));
}

void Tokenizer::Impl::buildEntries() {
  ids = model.takeVocabulary();
  size_t count = ids.size() + addedTokens.size();
  int64_t largest = -1;
  for (const auto &[token, id] : ids)
    largest = std::max<int64_t>(largest, id);
  for (const AddedToken &token : addedTokens)
    largest = std::max<int64_t>(largest, token.id);
  if (largest < 0)
    fail(StatusCode::CorruptData, "the tokenizer has no tokens");
  // Gaps are legal; a gap like this is a damaged file, and a table of this
  // size must not be paid for.
  if (static_cast<uint64_t>(largest) > 4 * static_cast<uint64_t>(count) + 65536)
    fail(StatusCode::CorruptData, "token id " + std::to_string(largest) +
                                      " is out of proportion to " +
                                      std::to_string(count) + " tokens");
  entries.resize(static_cast<size_t>(largest) + 1);

  auto claim = [&](int32_t id, const std::string &spelling) -> Entry & {
    Entry &entry = entries[static_cast<size_t>(id)];
    if (entry.present && entry.spelling != spelling)
      fail(StatusCode::CorruptData,
           "token id " + std::to_string(id) + " belongs to both " +
               inQuotes(std::min(entry.spelling, spelling)) + " and " +
               inQuotes(std::max(entry.spelling, spelling)));
    return entry;
  };
  for (const auto &[token, id] : ids) {
    Entry &entry = claim(id, token);
    entry.present = true;
    entry.spelling = token;
    entry.bytes = byteLevelDecode(token);
  }
  for (const AddedToken &token : addedTokens) {
    auto [it, inserted] = ids.emplace(token.content, token.id);
    if (it->second != token.id)
      fail(StatusCode::CorruptData, "token " + inQuotes(token.content) +
                                        " has both id " +
                                        std::to_string(it->second) +
                                        " and id " + std::to_string(token.id));
    Entry &entry = claim(token.id, token.content);
    // In the vocabulary it is a token like others, to be decoded like them.
    if (inserted)
      entry.bytes = token.content;
    entry.present = true;
    entry.spelling = token.content;
    entry.special |= token.special;
    entry.control |= token.isControl();
  }
}

void Tokenizer::Impl::read(const nlohmann::json &file) {
  expectObject(file, "tokenizer.json");
  if (const nlohmann::json *normalizer = findNonNull(file, "normalizer"))
    checkNormalizer(*normalizer);
  checkDecoder(file);
  const nlohmann::json *pre = findNonNull(file, "pre_tokenizer");
  if (!pre)
    fail(StatusCode::Unsupported,
         "pre_tokenizer: expected exactly one ByteLevel step, found none");
  preTokenizer = PreTokenizer::fromJson(*pre);
  readAddedTokens(file);
  matcher.emplace(addedTokens);

  std::vector<int32_t> controls;
  for (const AddedToken &token : addedTokens)
    if (token.isControl())
      controls.push_back(token.id);
  std::sort(controls.begin(), controls.end());
  const nlohmann::json *modelMember = findNonNull(file, "model");
  if (!modelMember)
    fail(StatusCode::CorruptData, "tokenizer.json: expected a member 'model'");
  model = BytePairEncoder::fromJson(*modelMember, [&](int32_t id) {
    return std::binary_search(controls.begin(), controls.end(), id);
  });
  buildEntries();
}

//===----------------------------------------------------------------------===//
// Which tokens begin and end a sequence
//===----------------------------------------------------------------------===//

/// What the post-processor does to a single text.
namespace {
struct PostProcessing {
  std::optional<std::string> bos;
};
} // namespace

static void readTemplate(const nlohmann::json &processor,
                         PostProcessing &result) {
  const nlohmann::json *single = findMember(processor, "single");
  if (!single || !single->is_array())
    fail(StatusCode::CorruptData,
         "post_processor: expected TemplateProcessing with a list 'single'");
  bool seenText = false;
  for (const nlohmann::json &part : *single) {
    expectObject(part, "single");
    if (const nlohmann::json *special = findMember(part, "SpecialToken")) {
      expectObject(*special, "SpecialToken");
      if (seenText || result.bos)
        fail(StatusCode::Unsupported,
             "post_processor: a template with more than one token before the "
             "text, or with a token after it, is not supported");
      result.bos = getString(*special, "id");
    } else if (findMember(part, "Sequence")) {
      if (seenText)
        fail(StatusCode::Unsupported,
             "post_processor: a template that repeats the text is not "
             "supported");
      seenText = true;
    } else {
      fail(StatusCode::CorruptData,
           "post_processor: expected 'SpecialToken' or 'Sequence'");
    }
  }
  if (!seenText)
    fail(StatusCode::Unsupported,
         "post_processor: a template without the text is not supported");
}

static void readPostProcessor(const nlohmann::json &processor, unsigned depth,
                              PostProcessing &result) {
  expectObject(processor, "post_processor");
  const std::string &type = getString(processor, "type");
  if (type == "ByteLevel")
    return; // changes offsets into the text only
  if (type == "TemplateProcessing")
    return readTemplate(processor, result);
  if (type != "Sequence")
    fail(StatusCode::Unsupported,
         "post_processor: type " + inQuotes(type) + " is not supported");
  const nlohmann::json *list = findMember(processor, "processors");
  if (!list || !list->is_array() || depth >= 8)
    fail(StatusCode::CorruptData,
         "post_processor: expected a Sequence with a list 'processors'");
  for (const nlohmann::json &step : *list)
    readPostProcessor(step, depth + 1, result);
}

/// Reads a token that is given by its text or as an object with its text.
static std::optional<std::string> readTokenName(const nlohmann::json &config,
                                                const char *key) {
  const nlohmann::json *member = findNonNull(config, key);
  if (!member)
    return std::nullopt;
  if (member->is_object())
    return getString(*member, "content");
  return asString(*member, key);
}

static std::string readChatTemplate(const nlohmann::json &config) {
  const nlohmann::json *member = findNonNull(config, "chat_template");
  if (!member)
    return {};
  if (!member->is_array())
    return asString(*member, "chat_template");
  // Several named templates: the one called default, else the first.
  const nlohmann::json *chosen = nullptr;
  for (const nlohmann::json &item : *member) {
    expectObject(item, "chat_template");
    if (!chosen || getString(item, "name") == "default")
      chosen = &item;
  }
  return chosen ? getString(*chosen, "template") : std::string();
}

void Tokenizer::Impl::readConfig(const nlohmann::json &config,
                                 std::optional<std::string> &bosName,
                                 std::optional<std::string> &eosName,
                                 std::optional<bool> &addBosFlag) {
  expectObject(config, "tokenizer_config.json");
  bosName = readTokenName(config, "bos_token");
  eosName = readTokenName(config, "eos_token");
  if (findNonNull(config, "add_bos_token"))
    addBosFlag = getBool(config, "add_bos_token", false);
  if (getBool(config, "add_eos_token", false))
    fail(StatusCode::Unsupported,
         "tokenizer_config.json: 'add_eos_token' is not supported");
  chatTemplate = readChatTemplate(config);
}

void Tokenizer::Impl::resolveBosEos(const nlohmann::json &file,
                                    std::string_view configJson) {
  PostProcessing post;
  if (const nlohmann::json *processor = findNonNull(file, "post_processor"))
    readPostProcessor(*processor, /*depth=*/0, post);
  std::optional<std::string> bosName, eosName;
  std::optional<bool> addBosFlag;
  if (!configJson.empty())
    readConfig(parseJson(configJson, "tokenizer_config.json is"), bosName,
               eosName, addBosFlag);

  auto resolve = [&](const std::optional<std::string> &name,
                     const char *where) -> std::optional<int32_t> {
    if (!name)
      return std::nullopt;
    auto it = ids.find(*name);
    if (it == ids.end())
      fail(StatusCode::CorruptData, std::string(where) + ": token " +
                                        inQuotes(*name) +
                                        " is not in tokenizer.json");
    return it->second;
  };
  auto family = [&](const char *name) -> std::optional<int32_t> {
    auto it = ids.find(name);
    if (it == ids.end())
      return std::nullopt;
    return it->second;
  };
  std::optional<int32_t> postBos = resolve(post.bos, "post_processor");
  bos = resolve(bosName, "bos_token");
  if (!bos)
    bos = postBos ? postBos : family(familyBos);
  eos = resolve(eosName, "eos_token");
  if (!eos)
    eos = family(familyEos);
  if (postBos && *postBos != *bos)
    fail(StatusCode::Unsupported,
         "post_processor: a token before the text that is not bos_token is "
         "not supported");
  addBos = addBosFlag.value_or(bos.has_value());
  if (addBos && !bos)
    fail(StatusCode::CorruptData,
         "tokenizer_config.json: add_bos_token is set, and there is no "
         "bos_token");
}

//===----------------------------------------------------------------------===//
// Construction
//===----------------------------------------------------------------------===//

Tokenizer::Tokenizer(std::shared_ptr<const Impl> impl)
    : impl(std::move(impl)) {}

Tokenizer Tokenizer::parse(std::string_view tokenizerJson,
                           std::string_view configJson,
                           std::string_view templateText) {
  auto created = std::make_shared<Impl>();
  nlohmann::json file = parseJson(tokenizerJson, "tokenizer.json is");
  created->read(file);
  created->resolveBosEos(file, configJson);
  if (!templateText.empty())
    created->chatTemplate = templateText;
  return Tokenizer(std::move(created));
}

Expected<Tokenizer> Tokenizer::fromJson(std::string_view tokenizerJson,
                                        std::string_view configJson) {
  return guarded([&]() -> Expected<Tokenizer> {
    return parse(tokenizerJson, configJson, /*templateText=*/{});
  });
}

/// Larger files than this are no tokenizers; the family's have 5 MB.
static constexpr uint64_t maxFileSize = uint64_t{256} << 20;

static bool fileExists(const std::string &path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0;
}

/// Reads a whole file. Throws StatusError.
static std::string readFile(const std::string &path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0)
    fail(errno == ENOENT || errno == ENOTDIR ? StatusCode::NotFound
                                             : StatusCode::IoError,
         "cannot read '" + path + "': " + std::strerror(errno));
  if (!S_ISREG(info.st_mode))
    fail(StatusCode::IoError, "cannot read '" + path + "': not a file");
  if (static_cast<uint64_t>(info.st_size) > maxFileSize)
    fail(StatusCode::Unsupported,
         "'" + path + "' has " + std::to_string(info.st_size) +
             " bytes, expected at most " + std::to_string(maxFileSize));
  std::ifstream stream(path, std::ios::binary);
  std::string text(static_cast<size_t>(info.st_size), '\0');
  if (!stream || !stream.read(&text[0], info.st_size))
    fail(StatusCode::IoError, "cannot read '" + path + "'");
  return text;
}

Tokenizer Tokenizer::read(const std::string &tokenizerPath,
                          const std::string &configPath,
                          const std::string &templatePath) {
  std::string file = readFile(tokenizerPath);
  std::string config = configPath.empty() ? "" : readFile(configPath);
  std::string chat = templatePath.empty() ? "" : readFile(templatePath);
  try {
    return parse(file, config, chat);
  } catch (const StatusError &error) {
    fail(error.status.code(), tokenizerPath + ": " + error.status.message());
  }
}

Expected<Tokenizer> Tokenizer::fromFile(const std::string &tokenizerPath,
                                        const std::string &configPath) {
  return guarded([&]() -> Expected<Tokenizer> {
    return read(tokenizerPath, configPath, /*templatePath=*/{});
  });
}

Expected<Tokenizer> Tokenizer::fromDirectory(const std::string &path) {
  return guarded([&]() -> Expected<Tokenizer> {
    auto optional = [&](const char *name) {
      std::string file = path + "/" + name;
      return fileExists(file) ? file : std::string();
    };
    return read(path + "/tokenizer.json", optional("tokenizer_config.json"),
                optional("chat_template.jinja"));
  });
}

//===----------------------------------------------------------------------===//
// Encoding and decoding
//===----------------------------------------------------------------------===//

Expected<std::vector<int32_t>>
Tokenizer::encode(std::string_view text, const EncodeOptions &options) const {
  return guarded([&]() -> Expected<std::vector<int32_t>> {
    if (Status valid = checkUtf8(text, "the text"); !valid.ok())
      return valid;
    std::vector<int32_t> ids;
    bool addBos = options.addBos.value_or(impl->addBos);
    if (addBos && !impl->bos)
      fail(StatusCode::InvalidArgument,
           "the tokenizer has no beginning-of-sequence token to add");
    if (addBos)
      ids.push_back(*impl->bos);

    RegexScratch regexScratch;
    BytePairEncoder::Scratch modelScratch;
    for (const AddedTokenMatcher::Part &part :
         impl->matcher->split(text, options.parseSpecial, regexScratch)) {
      if (part.id) {
        // The one place that knows about the second one: a text that brings
        // its own beginning-of-sequence token.
        bool second = addBos && ids.size() == 1 && *part.id == *impl->bos &&
                      part.range.begin == 0;
        if (!second)
          ids.push_back(*part.id);
        continue;
      }
      Pieces pieces = impl->preTokenizer.run(
          text.substr(part.range.begin, part.range.end - part.range.begin),
          regexScratch);
      for (ByteRange range : pieces.ranges)
        impl->model.encode(std::string_view(pieces.text.data() + range.begin,
                                            range.end - range.begin),
                           modelScratch, ids);
    }
    return ids;
  });
}

Expected<std::string> Tokenizer::decode(const std::vector<int32_t> &ids,
                                        bool skipSpecial) const {
  return guarded([&]() -> Expected<std::string> {
    std::string text;
    Utf8Stream stream;
    for (int32_t id : ids) {
      const Impl::Entry &entry = impl->get(id);
      if (!(skipSpecial && entry.special))
        stream.append(entry.bytes, text);
    }
    stream.finish(text);
    return text;
  });
}

Expected<std::string_view> Tokenizer::tokenBytes(int32_t id) const {
  return guarded([&]() -> Expected<std::string_view> {
    return std::string_view(impl->get(id).bytes);
  });
}

std::optional<int32_t> Tokenizer::tokenToId(std::string_view token) const {
  auto it = impl->ids.find(std::string(token));
  if (it == impl->ids.end())
    return std::nullopt;
  return it->second;
}

std::optional<std::string> Tokenizer::idToToken(int32_t id) const {
  const Impl::Entry *entry = impl->find(id);
  if (!entry)
    return std::nullopt;
  return entry->spelling;
}

int32_t Tokenizer::vocabularySize() const {
  return static_cast<int32_t>(impl->entries.size());
}

bool Tokenizer::isSpecial(int32_t id) const {
  const Impl::Entry *entry = impl->find(id);
  return entry && entry->special;
}

bool Tokenizer::isControl(int32_t id) const {
  const Impl::Entry *entry = impl->find(id);
  return entry && entry->control;
}

std::optional<int32_t> Tokenizer::bosId() const { return impl->bos; }
std::optional<int32_t> Tokenizer::eosId() const { return impl->eos; }
bool Tokenizer::addsBos() const { return impl->addBos; }
const std::string &Tokenizer::chatTemplate() const {
  return impl->chatTemplate;
}
