//===- PackedWeights.cpp - weights in the form kernels read ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/PackedWeights.h"
#include "AtomicFile.h"
#include "Sha256.h"
#include "Support.h"
#include "dsv2rt/Threads.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace dsv2rt;
namespace fs = std::filesystem;

namespace {

/// The first bytes of a packed file; slots start at byte 4096.
struct PackedHeader {
  char magic[8];
  uint32_t version;
  uint32_t headerBytes;
  uint64_t payloadBytes;
  char key[64];
};

constexpr char packedMagic[8] = {'D', 'S', 'V', '2', 'P', 'A', 'C', 'K'};
constexpr uint32_t packedVersion = 1;
constexpr uint64_t headerBytes = 4096;

} // namespace

namespace dsv2rt {

/// Makes or finds one packed file.
class Packer {
public:
  Packer(const std::shared_ptr<const Artifact> &artifact, WeightSource &source,
         const PackOptions &options)
      : artifact(*artifact), manifest(artifact->manifest()), source(source),
        options(options), packed(new PackedWeights()) {}

  Expected<std::shared_ptr<const PackedWeights>> run();

private:
  std::string makeKey(const std::string &sourceIdentity) const;
  std::vector<std::string> candidates() const;
  Expected<bool> reuse(const std::string &path);
  Status create(const std::string &path);
  Status createInMemory();
  Status prepareAll(char *payload);
  Status stage(const TensorSpec &spec, const TensorSlice &slice,
               Buffer &output);
  void setBases(char *payload);

  const Artifact &artifact;
  const Manifest &manifest;
  WeightSource &source;
  const PackOptions &options;
  std::shared_ptr<PackedWeights> packed;
  Buffer raw;
  int64_t done = 0;
};

} // namespace dsv2rt

PackedWeights::~PackedWeights() {
  if (base)
    munmap(base, mapped);
}

/// What tells a rank's file from those of the others.
static std::string rankSuffix(const Manifest::Mesh &mesh, int64_t rank) {
  return mesh.size() > 1 ? strCat(".rank", rank, "of", mesh.size()) : "";
}

std::string Packer::makeKey(const std::string &sourceIdentity) const {
  Sha256 digest;
  digest.field("dsv2-packed-1");
  digest.field(uint64_t(DSV2RT_ABI_VERSION));
  digest.field(manifest.identity);
  for (const Manifest::Slot &slot : manifest.slots) {
    digest.field(slot.name);
    digest.field(slot.layout);
    digest.field(slot.dtype);
    digest.field(uint64_t(slot.instances));
    digest.field(uint64_t(slot.bytes));
    digest.field(uint64_t(slot.experts));
  }
  if (manifest.mesh.size() > 1) {
    digest.field(uint64_t(manifest.mesh.tp));
    digest.field(uint64_t(manifest.mesh.ep));
    digest.field(uint64_t(options.rank));
  }
  digest.field(sourceIdentity);
  return digest.hex();
}

/// Where the packed file may be, best place first.
std::vector<std::string> Packer::candidates() const {
  std::string suffix = rankSuffix(manifest.mesh, options.rank);
  if (!options.path.empty())
    return {options.path + suffix};
  std::vector<std::string> places;
  std::error_code code;
  if (fs::is_regular_file(artifact.path(), code))
    places.push_back(artifact.weightsPath(suffix));
  std::string cache;
  if (const char *xdg = std::getenv("XDG_CACHE_HOME"))
    cache = xdg;
  if (cache.empty())
    if (const char *home = std::getenv("HOME"))
      cache = home[0] ? std::string(home) + "/.cache" : "";
  if (!cache.empty())
    places.push_back(cache + "/dsv2/" + packed->digest + ".weights");
  return places;
}

/// Maps the file at `path` when it is complete and has the right key. False
/// when there is none or it has another key; an error when something else
/// stands there.
Expected<bool> Packer::reuse(const std::string &path) {
  std::error_code code;
  if (!fs::exists(path, code))
    return false;
  Expected<MappedFile> opened = MappedFile::open(path);
  if (!opened.ok())
    return opened.status();
  PackedHeader header;
  bool readable = opened.value().size() >= sizeof(header);
  if (readable)
    std::memcpy(&header, opened.value().data(), sizeof(header));
  if (!readable ||
      std::memcmp(header.magic, packedMagic, sizeof(packedMagic)) != 0)
    return makeError(StatusCode::InvalidArgument, quote(path),
                     " exists and is not a packed weights file; it is left "
                     "alone, choose another place");
  uint64_t payload = uint64_t(manifest.packedBytes());
  if (header.version != packedVersion || header.headerBytes != headerBytes ||
      header.payloadBytes != payload ||
      opened.value().size() != headerBytes + payload ||
      std::string(header.key, sizeof(header.key)) != packed->digest)
    return false;

  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info;
  // Another process may have replaced the file in the meantime.
  if (fd < 0 || fstat(fd, &info) != 0 ||
      uint64_t(info.st_size) != headerBytes + payload) {
    if (fd >= 0)
      close(fd);
    return false;
  }
  void *base =
      mmap(nullptr, headerBytes + payload, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (base == MAP_FAILED)
    return makeError(StatusCode::OutOfMemory, "cannot map ", quote(path),
                     ": required ", bytesText(headerBytes + payload),
                     " of address space, available ",
                     bytesText(availableMemory()));
  packed->base = base;
  packed->mapped = headerBytes + payload;
  if (std::memcmp(base, &header, sizeof(header)) != 0)
    return false;
  packed->file = path;
  packed->wasReused = true;
  setBases(static_cast<char *>(base) + headerBytes);
  return true;
}

void Packer::setBases(char *payload) {
  packed->bases.clear();
  for (int64_t offset : manifest.slotOffsets())
    packed->bases.push_back(payload + offset);
  packed->totalBytes = 0;
  for (const Manifest::Slot &slot : manifest.slots)
    packed->totalBytes += slot.totalBytes();
}

Status Packer::create(const std::string &path) {
  AtomicFile file;
  Status status = file.create(path);
  if (!status.ok())
    return status;
  uint64_t size = headerBytes + uint64_t(manifest.packedBytes());
  status = file.allocate(size);
  if (!status.ok())
    return status;
  if (packed->base)
    munmap(packed->base, packed->mapped);
  packed->base = nullptr;
  void *base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED,
                    file.descriptor(), 0);
  if (base == MAP_FAILED)
    return makeError(StatusCode::OutOfMemory, "cannot map ", quote(path),
                     ": required ", bytesText(size),
                     " of address space, available ",
                     bytesText(availableMemory()));
  packed->base = base;
  packed->mapped = size;
  status = prepareAll(static_cast<char *>(base) + headerBytes);
  if (!status.ok())
    return status;
  PackedHeader header = {};
  std::memcpy(header.magic, packedMagic, sizeof(packedMagic));
  header.version = packedVersion;
  header.headerBytes = headerBytes;
  header.payloadBytes = size - headerBytes;
  std::memcpy(header.key, packed->digest.data(), sizeof(header.key));
  std::memcpy(base, &header, sizeof(header));
  // In pieces, as the disk may need minutes for all of it.
  constexpr uint64_t piece = 64 << 20;
  for (uint64_t at = 0; at < size; at += piece) {
    if (msync(static_cast<char *>(base) + at, std::min(piece, size - at),
              MS_SYNC) != 0)
      return makeError(StatusCode::IoError, "cannot write ", quote(path), ": ",
                       std::strerror(errno));
    if (options.alive)
      options.alive();
  }
  status = file.commit();
  if (!status.ok())
    return status;
  mprotect(base, size, PROT_READ);
  packed->file = path;
  return Status();
}

Status Packer::createInMemory() {
  Status status = packed->memory.reserve(
      std::max<int64_t>(manifest.packedBytes(), 1), "packed weights");
  if (!status.ok())
    return status;
  return prepareAll(static_cast<char *>(packed->memory.data()));
}

/// Brings this rank's part of one checkpoint tensor as f32 into `output`.
Status Packer::stage(const TensorSpec &spec, const TensorSlice &slice,
                     Buffer &output) {
  Expected<TensorView> read = source.read(spec, slice, raw);
  if (!read.ok())
    return read.status();
  const TensorView &view = read.value();
  Status status = output.reserve(std::max<int64_t>(view.elements, 1) * 4,
                                 "tensor " + quote(spec.name) + " as f32");
  if (!status.ok())
    return status;
  dsv2rt_convert_fn convert = artifact.convert(view.dtype);
  if (convert) {
    void *data = const_cast<void *>(view.data);
    dsv2rt_memref1d from = {data, data, 0, {view.elements}, {1}};
    dsv2rt_memref1d to = {
        output.data(), output.data(), 0, {view.elements}, {1}};
    convert(&from, &to);
  } else if (view.dtype == DType::F32) {
    std::memcpy(output.data(), view.data, size_t(view.elements) * 4);
  } else {
    return makeError(StatusCode::Unsupported, "tensor ", quote(spec.name),
                     " has dtype ", dtypeName(view.dtype),
                     ", which the artifact has no conversion for");
  }
  source.release(spec, slice);
  return Status();
}

Status Packer::prepareAll(char *payload) {
  setBases(payload);
  if (options.threads)
    setThreadCount(options.threads);
  std::vector<Buffer> staged;
  std::vector<void *> inputs, outputs;
  for (size_t p = 0; p < manifest.prepare.size(); ++p) {
    const Manifest::Prepare &prepare = manifest.prepare[p];
    const Manifest::Source &first = manifest.sources[prepare.sources.front()];
    int64_t instances = std::max<int64_t>(first.layers.size(), 1);
    int64_t parts = std::max<int64_t>(first.experts, 1);
    Manifest::Source::ExpertRange range =
        first.expertsOf(manifest.mesh, options.rank);
    if (staged.size() < prepare.sources.size())
      staged.resize(prepare.sources.size());
    for (int64_t i = 0; i < instances * parts; ++i) {
      if (options.cancel && *options.cancel)
        return makeError(StatusCode::Internal,
                         "weight preparation was interrupted");
      if (options.alive)
        options.alive();
      int64_t instance = i / parts, part = i % parts;
      // Experts that a rank has room for but does not have stay zero.
      if (first.experts && part >= range.count) {
        for (int64_t index : prepare.outputs)
          done += manifest.slots[index].bytes / parts;
        continue;
      }
      inputs.clear();
      for (size_t s = 0; s < prepare.sources.size(); ++s) {
        const Manifest::Source &from = manifest.sources[prepare.sources[s]];
        Status status =
            stage(from.tensor(instance, range.first + part),
                  from.sliceOf(manifest.mesh, options.rank), staged[s]);
        if (!status.ok())
          return status;
        inputs.push_back(staged[s].data());
      }
      outputs.clear();
      for (int64_t index : prepare.outputs) {
        const Manifest::Slot &slot = manifest.slots[index];
        outputs.push_back(static_cast<char *>(packed->bases[index]) +
                          instance * slot.bytes + part * (slot.bytes / parts));
        done += slot.bytes / parts;
      }
      dsv2rt_memref1d sources = {
          inputs.data(), inputs.data(), 0, {int64_t(inputs.size())}, {1}};
      dsv2rt_memref1d results = {
          outputs.data(), outputs.data(), 0, {int64_t(outputs.size())}, {1}};
      artifact.prepare()[p](&sources, &results);
      if (options.progress)
        options.progress(done, packed->totalBytes);
    }
    // The next function's tensors may be much smaller.
    staged.clear();
    raw.reset();
  }
  return Status();
}

Expected<std::shared_ptr<const PackedWeights>> Packer::run() {
  if (options.rank < 0 || options.rank >= manifest.mesh.size())
    return makeError(StatusCode::InvalidArgument,
                     "rank of the weights: expected 0 to ",
                     manifest.mesh.size() - 1, ", found ", options.rank);
  packed->ownRank = options.rank;
  std::vector<TensorSpec> specs = manifest.tensors(options.rank);
  Status status = source.require(specs);
  if (!status.ok())
    return status;
  Expected<std::string> identity = source.identity(specs);
  if (!identity.ok())
    return identity.status();
  packed->digest = makeKey(identity.value());
  if (options.inMemory) {
    status = createInMemory();
    if (!status.ok())
      return status;
    return std::shared_ptr<const PackedWeights>(packed);
  }
  std::vector<std::string> places = candidates();
  if (places.empty())
    return makeError(StatusCode::InvalidArgument,
                     "no place for the packed weights: name a file");
  // Something else in the first place is an error only when the caller named
  // it.
  std::vector<std::string> usable;
  for (const std::string &place : places) {
    Expected<bool> reused = reuse(place);
    if (!reused.ok() && places.size() == 1)
      return reused.status();
    if (reused.ok() && reused.value())
      return std::shared_ptr<const PackedWeights>(packed);
    if (reused.ok())
      usable.push_back(place);
    status = reused.status();
  }
  for (const std::string &place : usable) {
    std::error_code code;
    fs::path folder = fs::path(place).parent_path();
    bool last = &place == &usable.back();
    if (options.path.empty() && last && !folder.empty())
      fs::create_directories(folder, code);
    if (!last && access(folder.empty() ? "." : folder.c_str(), W_OK) != 0)
      continue;
    status = create(place);
    if (!status.ok())
      return status;
    return std::shared_ptr<const PackedWeights>(packed);
  }
  return status;
}

Expected<std::shared_ptr<const PackedWeights>>
PackedWeights::open(const std::shared_ptr<const Artifact> &artifact,
                    WeightSource &source, const PackOptions &options) {
  return guarded([&]() -> Expected<std::shared_ptr<const PackedWeights>> {
    return Packer(artifact, source, options).run();
  });
}
