//===- Checkpoint.cpp - reading a checkpoint folder -----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Checkpoint.h"
#include "Sha256.h"
#include "SliceBlocks.h"
#include "Support.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <unordered_map>

using namespace dsv2rt;
namespace fs = std::filesystem;

WeightSource::~WeightSource() = default;
void WeightSource::release(const TensorSpec &, const TensorSlice &) {}
std::vector<std::string> WeightSource::notes() const { return {}; }

const char *dsv2rt::dtypeName(DType dtype) {
  switch (dtype) {
  case DType::F32:
    return "F32";
  case DType::BF16:
    return "BF16";
  case DType::F16:
    return "F16";
  }
  return "?";
}

int64_t dsv2rt::dtypeBytes(DType dtype) { return dtype == DType::F32 ? 4 : 2; }

static constexpr const char *indexName = "model.safetensors.index.json";

/// An index larger than this is refused before it is read.
static constexpr uint64_t maxIndexBytes = 256'000'000;

namespace {

/// One mapped .safetensors file.
struct Shard {
  std::string fileName;
  MappedFile file;
  std::vector<SafetensorsEntry> entries;
};

class Checkpoint : public WeightSource {
public:
  explicit Checkpoint(std::string folder) : folder(std::move(folder)) {}

  Status openFolder(uint64_t maxHeaderBytes);
  Status openFile(const std::string &path, uint64_t maxHeaderBytes);

  Status require(const std::vector<TensorSpec> &specs) override;
  using WeightSource::read, WeightSource::release;
  Expected<TensorView> read(const TensorSpec &spec, const TensorSlice &slice,
                            Buffer &scratch) override;
  void release(const TensorSpec &spec, const TensorSlice &slice) override;
  Expected<std::string> identity(const std::vector<TensorSpec> &specs) override;
  std::string describe() const override { return quote(folder); }
  std::vector<std::string> notes() const override;

private:
  /// Where a tensor is.
  struct Place {
    const Shard *shard;
    const SafetensorsEntry *entry;
  };

  Expected<std::string> resolve(const std::string &fileName) const;
  Status addShard(const std::string &fileName, const std::string &path,
                  uint64_t maxHeaderBytes);
  Expected<Place> find(const TensorSpec &spec) const;

  std::string folder;
  std::vector<std::unique_ptr<Shard>> shards;
  std::unordered_map<std::string, Place> tensors;
  std::map<std::string, int64_t> dtypesUsed;
};

} // namespace

static std::string inFolder(const std::string &folder,
                            const std::string &fileName) {
  return (fs::path(folder) / fileName).string();
}

/// The real path of a file of the folder; refuses links that lead out of it.
Expected<std::string> Checkpoint::resolve(const std::string &fileName) const {
  std::error_code code;
  fs::path root = fs::canonical(folder, code);
  fs::path target =
      code ? fs::path() : fs::canonical(fs::path(folder) / fileName, code);
  if (code)
    return makeError(StatusCode::IoError, "cannot resolve ",
                     quote(inFolder(folder, fileName)), ": ", code.message());
  if (target.parent_path() == root)
    return target.string();
  // The hub's cache keeps one copy of each file: models--X/snapshots/REVISION
  // holds links to models--X/blobs.
  if (root.parent_path().filename() == "snapshots" &&
      target.parent_path() == root.parent_path().parent_path() / "blobs")
    return target.string();
  return makeError(StatusCode::IoError, quote(inFolder(folder, fileName)),
                   " is a symbolic link out of the checkpoint folder, to ",
                   quote(target.string()),
                   "; only the hub cache layout (snapshots/ and blobs/) may "
                   "have such links");
}

Status Checkpoint::addShard(const std::string &fileName,
                            const std::string &path, uint64_t maxHeaderBytes) {
  Expected<MappedFile> file = MappedFile::open(path);
  if (!file.ok())
    return file.status();
  auto shard = std::make_unique<Shard>();
  shard->fileName = fileName;
  shard->file = std::move(file.value());
  Expected<std::vector<SafetensorsEntry>> entries = parseSafetensors(
      shard->file.data(), shard->file.size(), quote(path), maxHeaderBytes);
  if (!entries.ok())
    return entries.status();
  shard->entries = std::move(entries.value());
  shards.push_back(std::move(shard));
  return Status();
}

Status Checkpoint::openFile(const std::string &path, uint64_t maxHeaderBytes) {
  Status status =
      addShard(fs::path(path).filename().string(), path, maxHeaderBytes);
  if (!status.ok())
    return status;
  for (const SafetensorsEntry &entry : shards.back()->entries)
    tensors.emplace(entry.name, Place{shards.back().get(), &entry});
  return Status();
}

Status Checkpoint::openFolder(uint64_t maxHeaderBytes) {
  std::error_code code;
  if (!fs::exists(fs::path(folder) / indexName, code)) {
    std::vector<std::string> candidates;
    for (fs::directory_iterator it(folder, code), end; !code && it != end;
         it.increment(code))
      if (it->path().extension() == ".safetensors")
        candidates.push_back(it->path().filename().string());
    if (code)
      return makeError(StatusCode::IoError, "cannot list ", quote(folder), ": ",
                       code.message());
    std::sort(candidates.begin(), candidates.end());
    if (candidates.empty())
      return makeError(StatusCode::NotFound, quote(folder),
                       " holds no checkpoint: expected ", indexName,
                       " or one .safetensors file");
    if (candidates.size() > 1) {
      std::string list;
      for (size_t i = 0; i < candidates.size() && i < 20; ++i)
        list += (i ? ", " : "") + quote(candidates[i]);
      return makeError(StatusCode::CorruptData, quote(folder), " has no ",
                       indexName, " and ", candidates.size(),
                       " .safetensors files, expected exactly one: ", list,
                       candidates.size() > 20 ? ", ..." : "");
    }
    Expected<std::string> path = resolve(candidates.front());
    if (!path.ok())
      return path.status();
    return openFile(path.value(), maxHeaderBytes);
  }

  Expected<std::string> indexPath = resolve(indexName);
  if (!indexPath.ok())
    return indexPath.status();
  Expected<MappedFile> index = MappedFile::open(indexPath.value());
  if (!index.ok())
    return index.status();
  if (index.value().size() > maxIndexBytes)
    return makeError(StatusCode::CorruptData, quote(indexPath.value()), " has ",
                     bytesText(index.value().size()), ", the cap is ",
                     bytesText(maxIndexBytes));
  std::string text(reinterpret_cast<const char *>(index.value().data()),
                   index.value().size());
  auto map = parseSafetensorsIndex(text, quote(inFolder(folder, indexName)));
  if (!map.ok())
    return map.status();

  // All shards have to be there before any is opened.
  std::set<std::string> files;
  for (const auto &[name, file] : map.value())
    files.insert(file);
  std::vector<std::string> missing;
  for (const std::string &file : files)
    if (!fs::exists(fs::path(folder) / file, code))
      missing.push_back(file);
  if (!missing.empty()) {
    std::string list;
    for (const std::string &file : missing)
      list += (list.empty() ? "" : ", ") + quote(file);
    return makeError(StatusCode::NotFound, missing.size(), " of ", files.size(),
                     " files named by ", indexName, " are missing from ",
                     quote(folder), " (incomplete download?): ", list);
  }

  std::unordered_map<std::string, const Shard *> byName;
  for (const std::string &file : files) {
    Expected<std::string> path = resolve(file);
    if (!path.ok())
      return path.status();
    Status status = addShard(file, path.value(), maxHeaderBytes);
    if (!status.ok())
      return status;
    byName[file] = shards.back().get();
  }
  for (const auto &[name, file] : map.value()) {
    const Shard *shard = byName[file];
    auto entry =
        std::lower_bound(shard->entries.begin(), shard->entries.end(), name,
                         [](const SafetensorsEntry &e, const std::string &n) {
                           return e.name < n;
                         });
    if (entry == shard->entries.end() || entry->name != name)
      return makeError(StatusCode::CorruptData, indexName, " places tensor ",
                       quote(name), " in ", quote(file),
                       ", which does not hold it");
    tensors.emplace(name, Place{shard, &*entry});
  }
  return Status();
}

Expected<Checkpoint::Place> Checkpoint::find(const TensorSpec &spec) const {
  auto it = tensors.find(spec.name);
  if (it == tensors.end())
    return makeError(StatusCode::NotFound, "tensor ", quote(spec.name),
                     " is missing from ", quote(folder));
  const SafetensorsEntry &entry = *it->second.entry;
  std::string where = strCat("tensor ", quote(spec.name), " in ",
                             quote(it->second.shard->fileName));
  if (entry.shape != spec.shape)
    return makeError(StatusCode::CorruptData, where, ": expected shape ",
                     shapeText(spec.shape), ", found ", shapeText(entry.shape));
  if (entry.dtype != "F32" && entry.dtype != "BF16" && entry.dtype != "F16")
    return makeError(StatusCode::Unsupported, where, " has dtype ",
                     quote(entry.dtype), ", supported are F32, BF16 and F16");
  return it->second;
}

Status Checkpoint::require(const std::vector<TensorSpec> &specs) {
  return guarded([&]() -> Status {
    std::string list;
    size_t missing = 0;
    for (const TensorSpec &spec : specs) {
      if (tensors.count(spec.name))
        continue;
      if (missing++ < 20)
        list += (list.empty() ? "" : ", ") + quote(spec.name);
    }
    if (missing)
      return makeError(StatusCode::NotFound, missing, " of ", specs.size(),
                       " tensors that the program needs are missing from ",
                       quote(folder), ": ", list, missing > 20 ? ", ..." : "");
    dtypesUsed.clear();
    for (const TensorSpec &spec : specs) {
      Expected<Place> place = find(spec);
      if (!place.ok())
        return place.status();
      ++dtypesUsed[place.value().entry->dtype];
    }
    return Status();
  });
}

Expected<TensorView> Checkpoint::read(const TensorSpec &spec,
                                      const TensorSlice &slice,
                                      Buffer &scratch) {
  return guarded([&]() -> Expected<TensorView> {
    Expected<Place> place = find(spec);
    if (!place.ok())
      return place.status();
    const SafetensorsEntry &entry = *place.value().entry;
    Expected<SliceBlocks> found = sliceBlocks(spec, slice);
    if (!found.ok())
      return found.status();
    const SliceBlocks &blocks = found.value();
    TensorView view;
    view.dtype = entry.dtype == "F32"    ? DType::F32
                 : entry.dtype == "BF16" ? DType::BF16
                                         : DType::F16;
    view.elements = blocks.count * blocks.size;
    int64_t bytes = dtypeBytes(view.dtype);
    const uint8_t *data =
        place.value().shard->file.data() + entry.begin + blocks.begin * bytes;
    // Nothing makes a writer align its data; compiled code needs it.
    if (blocks.count > 1 || entry.begin % bytes) {
      Status status = scratch.reserve(view.elements * bytes,
                                      "a copy of tensor " + quote(spec.name));
      if (!status.ok())
        return status;
      auto *copy = static_cast<uint8_t *>(scratch.data());
      for (int64_t i = 0; i < blocks.count; ++i)
        std::memcpy(copy + i * blocks.size * bytes,
                    data + i * blocks.stride * bytes, blocks.size * bytes);
      data = copy;
    }
    view.data = data;
    readBytes += view.elements * bytes;
    return view;
  });
}

void Checkpoint::release(const TensorSpec &spec, const TensorSlice &slice) {
  auto it = tensors.find(spec.name);
  Expected<SliceBlocks> blocks = sliceBlocks(spec, slice);
  if (it == tensors.end() || !blocks.ok() || !blocks.value().count)
    return;
  const Place &place = it->second;
  int64_t elements = elementCount(place.entry->shape);
  if (!elements)
    return;
  uint64_t bytes = (place.entry->end - place.entry->begin) / elements;
  const SliceBlocks &b = blocks.value();
  place.shard->file.forget(place.entry->begin + b.begin * bytes,
                           ((b.count - 1) * b.stride + b.size) * bytes);
}

Expected<std::string>
Checkpoint::identity(const std::vector<TensorSpec> &specs) {
  return guarded([&]() -> Expected<std::string> {
    Sha256 digest;
    digest.field("dsv2-checkpoint-1");
    std::set<const Shard *> used;
    for (const TensorSpec &spec : specs) {
      Expected<Place> place = find(spec);
      if (!place.ok())
        return place.status();
      digest.field(spec.name);
      digest.field(place.value().entry->dtype);
      digest.field(uint64_t(spec.shape.size()));
      for (int64_t size : spec.shape)
        digest.field(uint64_t(size));
      digest.field(place.value().shard->fileName);
      used.insert(place.value().shard);
    }
    // In the order in which they were opened, not that of their addresses.
    for (const auto &shard : shards) {
      if (!used.count(shard.get()))
        continue;
      const MappedFile &file = shard->file;
      digest.field(shard->fileName);
      digest.field(file.size());
      digest.field(uint64_t(file.modified()));
      constexpr uint64_t sampleBytes = 4096, samples = 64;
      uint64_t headerEnd = file.size();
      for (const SafetensorsEntry &entry : shard->entries)
        headerEnd = std::min(headerEnd, entry.begin);
      digest.update(file.data(), headerEnd);
      uint64_t data = file.size() - headerEnd;
      if (data <= samples * sampleBytes) {
        digest.update(file.data() + headerEnd, data);
        continue;
      }
      for (uint64_t i = 0; i < samples; ++i) {
        uint64_t offset = (data - sampleBytes) / (samples - 1) * i;
        digest.update(file.data() + headerEnd + offset, sampleBytes);
        file.forget(headerEnd + offset - 4096, 3 * sampleBytes);
      }
    }
    return digest.hex();
  });
}

std::vector<std::string> Checkpoint::notes() const {
  if (dtypesUsed.size() < 2)
    return {};
  std::string list;
  for (const auto &[dtype, count] : dtypesUsed)
    list += strCat(list.empty() ? "" : ", ", count, " ", dtype);
  return {"the checkpoint mixes dtypes (" + list +
          " tensors); all are converted"};
}

Expected<std::unique_ptr<WeightSource>>
dsv2rt::openCheckpoint(const std::string &path,
                       const CheckpointOptions &options) {
  return guarded([&]() -> Expected<std::unique_ptr<WeightSource>> {
    uint64_t maxHeaderBytes = options.maxHeaderBytes;
    if (!maxHeaderBytes) {
      maxHeaderBytes = defaultMaxHeaderBytes;
      if (const char *text = std::getenv(maxHeaderBytesVariable)) {
        char *end = nullptr;
        errno = 0;
        maxHeaderBytes = std::strtoull(text, &end, 10);
        if (errno || *end || end == text || *text == '-' || !maxHeaderBytes)
          return makeError(StatusCode::InvalidArgument, maxHeaderBytesVariable,
                           ": expected a positive number of bytes, found ",
                           quote(text));
      }
    }
    std::error_code code;
    fs::file_status kind = fs::status(path, code);
    if (kind.type() == fs::file_type::not_found)
      return makeError(StatusCode::NotFound, "checkpoint ", quote(path),
                       " does not exist");
    auto checkpoint = std::make_unique<Checkpoint>(path);
    Status status = fs::is_directory(kind)
                        ? checkpoint->openFolder(maxHeaderBytes)
                        : checkpoint->openFile(path, maxHeaderBytes);
    if (!status.ok())
      return status;
    return std::unique_ptr<WeightSource>(std::move(checkpoint));
  });
}

Expected<std::unique_ptr<WeightSource>>
dsv2rt::openWeightSource(const std::string &text, int threads,
                         const CheckpointOptions &options) {
  const std::string prefix = "random:";
  if (text.compare(0, prefix.size(), prefix) != 0)
    return openCheckpoint(text, options);
  std::string seedText = text.substr(prefix.size());
  bool digits = !seedText.empty() &&
                seedText.find_first_not_of("0123456789") == std::string::npos;
  char *end = nullptr;
  errno = 0;
  uint64_t seed = std::strtoull(seedText.c_str(), &end, 10);
  if (!digits || errno)
    return makeError(StatusCode::InvalidArgument, "weights ", quote(text),
                     ": expected random:SEED with a seed from 0 to ",
                     std::numeric_limits<uint64_t>::max());
  return makeRandomWeights(seed, threads);
}
