//===- ManifestReader.cpp - reading and checking a manifest -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceManifestReader.h"
#include "Json.h"
#include "Support.h"
#include "dsv2rt/Manifest.h"

#include <set>

using namespace dsv2rt;
using nlohmann::json;

/// Bounds that no model of the family comes near; beyond them a product of
/// sizes could overflow.
static constexpr int64_t maxSmall = 1 << 20;
static constexpr int64_t maxSize = int64_t(1) << 40;
static constexpr int64_t maxRanks = 1 << 16;
static constexpr int64_t maxAnything = std::numeric_limits<int64_t>::max();

namespace {

/// Reads a manifest; the first failure stays in `status`.
class ManifestReader {
public:
  Status status;
  Manifest m;

  void read(const json &root);
  void readReference(const json &root);

private:
  void readModel(ObjectReader reader);
  void readCache(ObjectReader reader);
  void readEntries(const json &list);
  void readConvert(const json &object);
  void readMesh(ObjectReader reader);
  void readSources(const json &list);
  void readShards(const json &list, const std::string &path,
                  Manifest::Source &source);
  void readExpertShare(ObjectReader &reader, Manifest::Source &source);
  void readSlots(const json &list);
  void readPrepare(const json &list);
  void checkPrepare(const Manifest::Prepare &prepare, const std::string &path);
  void readSites(const json &list);
  void readCommSites(const json &list);

  void fail(const std::string &path, const std::string &expected,
            const std::string &found) {
    if (status.ok())
      status = makeError(StatusCode::CorruptData, path, ": expected ", expected,
                         ", found ", found);
  }
  /// The required name of a function.
  std::string symbol(ObjectReader &reader, const char *key) {
    std::string name = reader.string(key);
    if (name.empty() || name.find('\0') != std::string::npos)
      reader.fail(key, "the name of a symbol", quote(name));
    return name;
  }
};

} // namespace

void ManifestReader::readModel(ObjectReader reader) {
  Manifest::Model &model = m.model;
  model.name = reader.string("name");
  model.vocabSize = reader.integer("vocab_size", 1, maxSmall * 16);
  model.hiddenSize = reader.integer("hidden_size", 1, maxSmall);
  model.numLayers = reader.integer("num_layers", 1, maxSmall);
  model.maxPositionEmbeddings =
      reader.integer("max_position_embeddings", 1, maxSize);
  model.parameters = reader.integer("parameters", 0, maxAnything);
  model.activeParameters = reader.integer("active_parameters", 0, maxAnything);
  model.expertsPerToken = reader.integerOr("experts_per_token", 0, maxSmall, 0);
  const json *bos = reader.find("bos_token_id");
  if (bos && !bos->is_null())
    model.bosTokenId = reader.integer("bos_token_id", 0, model.vocabSize - 1);
  const json *eos = reader.find("eos_token_id");
  if (eos && eos->is_array())
    model.eosTokenIds = reader.integers("eos_token_id", 0, model.vocabSize - 1);
  else if (eos && !eos->is_null())
    model.eosTokenIds = {
        reader.integer("eos_token_id", 0, model.vocabSize - 1)};
}

void ManifestReader::readCache(ObjectReader reader) {
  Manifest::Cache &cache = m.cache;
  cache.layers = reader.integer("layers", 1, maxSmall);
  cache.latent = reader.integer("latent", 1, maxSmall);
  cache.rope = reader.integer("rope", 0, maxSmall);
  cache.page = reader.integer("page", 1, 4096);
  cache.format = reader.string("format");
  if (cache.format == "q8" || cache.format == "q6") {
    cache.rowBytes = reader.integer("row_bytes", 1, 8 * maxSmall);
    return;
  }
  if (cache.format == "f32")
    cache.elementBytes = 4;
  else if (cache.format == "bf16")
    cache.elementBytes = 2;
  else
    return reader.fail("format", "'f32', 'bf16', 'q8' or 'q6'",
                       quote(cache.format));
  int64_t bytes = (cache.latent + cache.rope) * cache.elementBytes;
  cache.rowBytes = reader.integerOr("row_bytes", bytes, bytes, bytes);
}

void ManifestReader::readEntries(const json &list) {
  for (size_t i = 0; i < list.size(); ++i) {
    ObjectReader reader(list[i], strCat("manifest.entries[", i, "]"), status);
    Manifest::Entry entry;
    entry.name = reader.string("name");
    bool isFixed = entry.name == "decode_fixed";
    if (entry.name != "prefill" && entry.name != "decode" && !isFixed)
      reader.fail("name", "'prefill', 'decode' or 'decode_fixed'",
                  quote(entry.name));
    if (isFixed)
      entry.capacity = reader.integer("capacity", 1, int64_t(1) << 31);
    for (const Manifest::Entry &other : m.entries)
      if (other.name == entry.name)
        reader.fail("name", "a name of its own", quote(entry.name) + " again");
    entry.symbol = symbol(reader, "symbol");
    entry.workspace = symbol(reader, "workspace");
    entry.form = reader.stringOr("form", "");
    m.entries.push_back(std::move(entry));
  }
  // A step that does not fit its exchanges needs another entry.
  bool hasExact = false;
  for (const Manifest::Entry &entry : m.entries)
    hasExact |= !entry.capacity;
  if (!hasExact)
    fail("manifest.entries", "at least one entry 'prefill' or 'decode'",
         "none");
}

void ManifestReader::readConvert(const json &object) {
  ObjectReader reader(object, "manifest.convert", status);
  for (const auto &[dtype, unused] : object.items()) {
    std::string *place = dtype == "F32"    ? &m.convertF32
                         : dtype == "BF16" ? &m.convertBF16
                         : dtype == "F16"  ? &m.convertF16
                                           : nullptr;
    if (!place) {
      fail("manifest.convert", "keys F32, BF16 and F16", quote(dtype));
      return;
    }
    *place = symbol(reader, dtype.c_str());
  }
}

void ManifestReader::readMesh(ObjectReader reader) {
  m.mesh.tp = reader.integer("tp", 1, maxRanks);
  m.mesh.ep = reader.integer("ep", 1, maxRanks);
  if (status.ok() && m.mesh.size() > maxRanks)
    reader.fail("ep", strCat("at most ", maxRanks, " ranks"), m.mesh.text());
}

static bool holds(const std::string &text, const char *hole) {
  return text.find(hole) != std::string::npos;
}

/// Which dimension the ranks of the tp axis share.
void ManifestReader::readShards(const json &list, const std::string &path,
                                Manifest::Source &source) {
  for (size_t i = 0; i < list.size() && status.ok(); ++i) {
    ObjectReader reader(list[i], strCat(path, "[", i, "]"), status);
    int64_t dim = reader.integer("dim", 0, int64_t(source.shape.size()) - 1);
    std::string axis = reader.string("axis");
    if (!status.ok())
      return;
    if (axis != "tp")
      return reader.fail("axis", "'tp'", quote(axis));
    if (source.shardDim >= 0)
      return reader.fail("axis", "one part of a tensor for each axis",
                         quote(axis) + " again");
    if (source.shape[dim] % m.mesh.tp)
      return reader.fail(
          "dim", strCat("a dimension that ", m.mesh.tp, " ranks can share"),
          strCat(dim, " of ", shapeText(source.shape)));
    source.shardDim = dim;
  }
}

/// Whether the ranks of the ep axis share the experts.
void ManifestReader::readExpertShare(ObjectReader &reader,
                                     Manifest::Source &source) {
  if (!reader.find("experts_total") && !reader.find("expert_axis"))
    return;
  std::string axis = reader.string("expert_axis");
  source.expertsTotal = reader.integer("experts_total", 1, maxSmall);
  if (!status.ok())
    return;
  int64_t ranks = m.mesh.ep, total = source.expertsTotal;
  if (axis != "ep")
    reader.fail("expert_axis", "'ep'", quote(axis));
  else if (source.experts != (total + ranks - 1) / ranks)
    reader.fail("experts",
                strCat((total + ranks - 1) / ranks, ", the share of ", ranks,
                       " ranks in ", total),
                std::to_string(source.experts));
}

void ManifestReader::readSources(const json &list) {
  int64_t total = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    ObjectReader reader(list[i], strCat("manifest.sources[", i, "]"), status);
    Manifest::Source source;
    source.name = reader.string("name");
    source.shape = reader.integers("shape", 1, maxSize);
    source.layers = reader.integers("layers", 0, maxSmall);
    source.experts = reader.integer("experts", 0, maxSmall);
    if (source.name.empty())
      reader.fail("name", "a tensor name", "''");
    if (elementCount(source.shape) < 0 || elementCount(source.shape) > maxSize)
      reader.fail("shape", "at most 2^40 elements", shapeText(source.shape));
    if (std::set<int64_t>(source.layers.begin(), source.layers.end()).size() !=
        source.layers.size())
      reader.fail("layers", "different layers", shapeText(source.layers));
    if (holds(source.name, "{layer}") != !source.layers.empty())
      reader.fail("layers", "layer numbers exactly when the name holds {layer}",
                  strCat(source.layers.size(), " for ", quote(source.name)));
    if (holds(source.name, "{expert}") != (source.experts > 0))
      reader.fail("experts",
                  "a positive count exactly when the name holds {expert}",
                  strCat(source.experts, " for ", quote(source.name)));
    if (status.ok() && reader.find("shards"))
      readShards(reader.array("shards"),
                 strCat("manifest.sources[", i, "].shards"), source);
    if (status.ok())
      readExpertShare(reader, source);
    total += source.tensors();
    if (total > maxSmall * 16)
      fail("manifest.sources", "at most 2^24 tensors", std::to_string(total));
    if (!status.ok())
      return;
    m.sources.push_back(std::move(source));
  }
}

void ManifestReader::readSlots(const json &list) {
  int64_t end = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    ObjectReader reader(list[i], strCat("manifest.slots[", i, "]"), status);
    Manifest::Slot slot;
    slot.name = reader.string("name");
    slot.layout = reader.stringOr("layout", "");
    slot.dtype = reader.stringOr("dtype", "");
    slot.shape = reader.integers("shape", 0, maxSize);
    slot.instances = reader.integer("instances", 1, maxSmall);
    slot.bytes = reader.integer("bytes", 1, maxAnything);
    slot.experts = reader.integer("experts", 0, maxSmall);
    slot.gather = reader.find("gather") && reader.boolean("gather");
    if (slot.experts && slot.bytes % slot.experts)
      reader.fail("bytes", strCat("a multiple of ", slot.experts, " experts"),
                  std::to_string(slot.bytes));
    int64_t total = 0;
    // Of all ranks together, each of which has slots of its own.
    if (!mulFits(slot.instances, slot.bytes, total) ||
        !addFits(end, total, end) ||
        end > maxAnything / m.mesh.size() - Manifest::slotAlignment)
      reader.fail("bytes", "slots that fit in 2^63 bytes",
                  strCat(slot.instances, " times ", slot.bytes));
    else
      end = roundUp(end, Manifest::slotAlignment);
    if (!status.ok())
      return;
    m.slots.push_back(std::move(slot));
  }
}

/// Sources of one prepare function have to agree on layers and experts, and
/// its outputs have to have as many instances and parts.
void ManifestReader::checkPrepare(const Manifest::Prepare &prepare,
                                  const std::string &path) {
  const Manifest::Source &first = m.sources[prepare.sources.front()];
  for (int64_t index : prepare.sources) {
    const Manifest::Source &source = m.sources[index];
    if (source.layers != first.layers || source.experts != first.experts ||
        source.expertsTotal != first.expertsTotal)
      return fail(path + ".sources", "sources with the same layers and experts",
                  quote(first.name) + " and " + quote(source.name));
  }
  int64_t instances = std::max<int64_t>(first.layers.size(), 1);
  for (int64_t index : prepare.outputs) {
    const Manifest::Slot &slot = m.slots[index];
    if (slot.instances != instances || slot.experts != first.experts)
      return fail(path + ".outputs",
                  strCat("slots of ", instances, " instances and ",
                         first.experts, " experts, as the sources have"),
                  strCat(quote(slot.name), " with ", slot.instances, " and ",
                         slot.experts));
  }
}

void ManifestReader::readPrepare(const json &list) {
  std::vector<int> written(m.slots.size(), 0);
  for (size_t i = 0; i < list.size(); ++i) {
    std::string path = strCat("manifest.prepare[", i, "]");
    ObjectReader reader(list[i], path, status);
    Manifest::Prepare prepare;
    prepare.symbol = symbol(reader, "symbol");
    prepare.sources =
        reader.integers("sources", 0, int64_t(m.sources.size()) - 1);
    prepare.outputs =
        reader.integers("outputs", 0, int64_t(m.slots.size()) - 1);
    if (prepare.sources.empty())
      reader.fail("sources", "at least one source", "none");
    if (prepare.outputs.empty())
      reader.fail("outputs", "at least one slot", "none");
    if (status.ok())
      checkPrepare(prepare, path);
    if (!status.ok())
      return;
    for (int64_t index : prepare.outputs)
      if (written[index]++)
        return fail(path + ".outputs", "slots that nothing else prepares",
                    quote(m.slots[index].name));
    m.prepare.push_back(std::move(prepare));
  }
  for (size_t i = 0; i < written.size(); ++i)
    if (!written[i])
      return fail("manifest.prepare", "a function for every slot",
                  "none for " + quote(m.slots[i].name));
}

void ManifestReader::readSites(const json &list) {
  for (size_t i = 0; i < list.size(); ++i) {
    ObjectReader reader(list[i], strCat("manifest.sites[", i, "]"), status);
    Manifest::Site site;
    site.name = reader.string("name");
    site.op = reader.stringOr("op", "");
    site.exchanged = reader.find("exchanged") && reader.boolean("exchanged");
    if (reader.find("largest"))
      site.largest = reader.integer("largest", 1, m.model.vocabSize);
    site.level = site.largest ? reader.integer("level", 0, 0)
                              : reader.integer("level", 1, 2);
    m.sites.push_back(std::move(site));
  }
}

void ManifestReader::readCommSites(const json &list) {
  static const char *const kinds[] = {"all_reduce", "all_gather", "all_to_all",
                                      "all_to_all_v"};
  for (size_t i = 0; i < list.size(); ++i) {
    ObjectReader reader(list[i], strCat("manifest.comm_sites[", i, "]"),
                        status);
    Manifest::CommSite site;
    site.name = reader.string("name");
    site.kind = reader.string("kind");
    if (std::find(std::begin(kinds), std::end(kinds), site.kind) ==
        std::end(kinds))
      reader.fail("kind",
                  "'all_reduce', 'all_gather', 'all_to_all' or 'all_to_all_v'",
                  quote(site.kind));
    if (!status.ok())
      return;
    m.commSites.push_back(std::move(site));
  }
}

void ManifestReader::read(const json &root) {
  ObjectReader reader(root, "manifest", status);
  std::string format = reader.string("format");
  if (status.ok() && format != "dsv2-artifact")
    reader.fail("format", "'dsv2-artifact'", quote(format));
  int64_t version = reader.integer("version", 0, maxAnything);
  if (!status.ok())
    return;
  if (version != 1) {
    status = makeError(StatusCode::Unsupported,
                       "manifest.version: this runtime reads version 1, found ",
                       version);
    return;
  }
  m.compiler = reader.stringOr("compiler", "");
  m.pipeline = reader.stringOr("pipeline", "");
  m.identity = reader.string("identity");
  if (m.identity.empty() ||
      m.identity.find_first_not_of("0123456789abcdef") != std::string::npos)
    reader.fail("identity", "hexadecimal digits", quote(m.identity));

  readModel({reader.object("model"), "manifest.model", status});
  if (reader.find("flops")) {
    ObjectReader flops(reader.object("flops"), "manifest.flops", status);
    m.flops.token = flops.integer("token", 0, maxAnything);
    m.flops.logits = flops.integer("logits", 0, maxAnything);
    m.flops.absorbedPair = flops.integer("absorbed_pair", 0, maxAnything);
    m.flops.expandedPair = flops.integer("expanded_pair", 0, maxAnything);
  }

  if (reader.find("mesh"))
    readMesh({reader.object("mesh"), "manifest.mesh", status});

  ObjectReader target(reader.object("target"), "manifest.target", status);
  m.target.kind = target.string("kind");
  m.target.cpu = target.stringOr("cpu", "");
  m.target.features = target.strings("features");
  if (status.ok() && m.target.kind != "cpu")
    status = makeError(StatusCode::Unsupported,
                       "manifest.target.kind: this runtime runs 'cpu', found ",
                       quote(m.target.kind));

  ObjectReader numerics(reader.object("numerics"), "manifest.numerics", status);
  m.numerics.weightFormat = numerics.string("weight_format");
  m.numerics.kvFormat = numerics.string("kv_format");
  m.numerics.deterministic = numerics.boolean("deterministic");

  ObjectReader limits(reader.object("limits"), "manifest.limits", status);
  m.limits.maxContext = limits.integer("max_context", 1, maxSize);
  m.limits.maxBatch = limits.integer("max_batch", 1, maxSmall);
  if (m.limits.maxContext > std::numeric_limits<int32_t>::max())
    limits.fail("max_context", "at most 2147483647",
                std::to_string(m.limits.maxContext));

  readCache({reader.object("cache"), "manifest.cache", status});
  readEntries(reader.array("entries"));
  m.prefillMinTokens = reader.integerOr("prefill_min_tokens", 1, maxSize, 1);
  m.prefillKeyRows =
      reader.find("prefill_key_rows") && reader.boolean("prefill_key_rows");
  if (reader.find("device"))
    m.device =
        readDeviceManifest(reader.object("device"), "manifest.device", status);
  // Pages of a device are copied by its driver.
  if (!m.device || reader.find("copy_pages"))
    m.copyPages = symbol(reader, "copy_pages");
  if (m.device && reader.find("sample"))
    m.sample = symbol(reader, "sample");
  readConvert(reader.object("convert"));
  if (status.ok())
    readSources(reader.array("sources"));
  if (status.ok())
    readSlots(reader.array("slots"));
  if (status.ok())
    readPrepare(reader.array("prepare"));
  if (status.ok())
    readSites(reader.array("sites"));
  if (status.ok() && reader.find("comm_sites"))
    readCommSites(reader.array("comm_sites"));
}

/// The manifest of the reference is one like any other, but shares the identity
/// of the artifact and holds no reference of its own.
void ManifestReader::readReference(const json &root) {
  auto entry = root.find("reference");
  if (!status.ok() || entry == root.end())
    return;
  if (!entry->is_object())
    return fail("manifest.reference", "an object", entry->type_name());
  json own = *entry;
  own["identity"] = m.identity;
  ManifestReader reader;
  reader.read(own);
  if (!reader.status.ok())
    status =
        makeError(reader.status.code(), "reference: ", reader.status.message());
  else if (reader.m.device)
    fail("manifest.reference.device", "code for the host", "code for a device");
  else
    m.reference = std::make_shared<const Manifest>(std::move(reader.m));
}

Expected<Manifest> dsv2rt::parseManifest(std::string_view text) {
  return guarded([&]() -> Expected<Manifest> {
    Expected<json> parsed = parseStrictJson(text, "the manifest");
    if (!parsed.ok())
      return parsed.status();
    ManifestReader reader;
    reader.read(parsed.value());
    reader.readReference(parsed.value());
    if (!reader.status.ok())
      return reader.status;
    return std::move(reader.m);
  });
}
