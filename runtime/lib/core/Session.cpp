//===- Session.cpp - sequences and their cache ----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Session.h"
#include "DeviceEngine.h"
#include "DeviceImpl.h"
#include "SessionImpl.h"
#include "dsv2rt/Buffer.h"
#include "dsv2rt/Device.h"

using namespace dsv2rt;

//===----------------------------------------------------------------------===//
// Creation
//===----------------------------------------------------------------------===//

/// What this session may take of its device. Ranks of the same device share
/// what is free, and all plan with the least that one has.
Expected<MemoryLimits> Session::Impl::findDeviceLimits() {
  Expected<MemoryLimits> found = deviceLimits(*artifact, *weights, options);
  if (!found.ok() || mesh->alone())
    return found;
  MemoryLimits limits = found.value();
  // Weights of this rank that are there already are none of the others'.
  int64_t available = limits.budget + limits.weights - limits.chargedWeights;
  limits.chargedWeights = limits.weights;
  Expected<int64_t> agreed = mesh->agreeOnBudget(*artifact, options, available,
                                                 options.memoryBudget != 0);
  if (!agreed.ok())
    return agreed.status();
  limits.budget = agreed.value();
  return limits;
}

/// What this session may take of the host or the device.
Expected<MemoryLimits> Session::Impl::findLimits() {
  if (options.device)
    return findDeviceLimits();
  // Weights that are mapped are there already or can be paged in; they count
  // only against a budget that the caller gave for everything.
  MemoryLimits limits;
  limits.weights = weights->bytes();
  limits.chargedWeights = options.memoryBudget ? limits.weights : 0;
  int64_t available = options.memoryBudget ? options.memoryBudget
                                           : int64_t(availableMemory() / 8 * 7);
  Expected<int64_t> budget = mesh->agreeOnBudget(*artifact, options, available,
                                                 options.memoryBudget != 0);
  if (!budget.ok())
    return budget.status();
  limits.budget = budget.value();
  return limits;
}

/// Makes the stream of a device, and brings its exchanges with other ranks
/// there if NCCL carries them.
Status Session::Impl::openStream() {
  if (!mesh->alone()) {
    Expected<CommChoice> chosen = chooseComm(*options.world, options);
    if (!chosen.ok())
      return chosen.status();
    comm = chosen.value();
  }
  if (!options.device)
    return Status();
  Expected<std::unique_ptr<cuda::StepStream>> made =
      cuda::StepStream::make(options.device->implementation().context);
  if (!made.ok())
    return made.status();
  stream = std::move(made.value());
  return comm.comm == DeviceComm::Nccl
             ? mesh->useNccl(*stream, options.ncclLibrary)
             : Status();
}

Status Session::Impl::create() {
  Expected<std::unique_ptr<SessionMesh>> joined =
      SessionMesh::create(*artifact, *weights, options);
  if (!joined.ok())
    return joined.status();
  mesh = std::move(joined.value());
  mesh->collectives().setTrace(options.trace);
  Status status = checkTarget(*artifact, options.device.get());
  if (status.ok())
    status = completeOptions(*artifact, options);
  // Before memory is planned, of which NCCL takes its own.
  if (status.ok())
    status = openStream();
  if (!status.ok())
    return status;
  Expected<MemoryLimits> limits = findLimits();
  if (!limits.ok())
    return limits.status();
  Expected<MemoryPlan> planned = planMemory(*artifact, options, limits.value());
  if (!planned.ok())
    return planned.status();
  plan = planned.value();
  if (options.device) {
    Expected<std::unique_ptr<Engine>> made = makeDeviceEngine(
        artifact, weights, options, *stream, mesh->collectives());
    if (!made.ok())
      return made.status();
    engine = std::move(made.value());
  } else {
    engine = makeHostEngine(artifact, weights, options.threads, "",
                            &mesh->collectives());
  }
  // The engine has its own rows, the mesh those of all owners.
  MemoryPlan own = plan;
  if (mesh->owners() > 1) {
    int64_t all = options.maxSequences * manifest().model.vocabSize * 4;
    own.logits -= all;
    status = mesh->reserveLogits(all);
  }
  if (status.ok())
    status = engine->reserve(own);
  if (status.ok())
    allocators.assign(mesh->owners(),
                      PageAllocator(int32_t(plannedPages(plan, manifest()))));
  if (status.ok() && options.referenceWeights)
    status = createReference();
  return status;
}

/// The reference gets a cache of its own, with the same pages. It runs on the
/// host wherever the artifact does.
Status Session::Impl::createReference() {
  reference = Artifact::referenceOf(artifact);
  if (!reference)
    return makeError(StatusCode::Unsupported, "artifact ",
                     quote(artifact->path()),
                     " carries no reference lowering to compare with");
  const Manifest &own = manifest(), &other = reference->manifest();
  if (other.cache.bytesPerPage() != own.cache.bytesPerPage() ||
      other.cache.page != own.cache.page ||
      other.cache.layers != own.cache.layers ||
      other.model.vocabSize != own.model.vocabSize)
    return makeError(StatusCode::CorruptData, "artifact ",
                     quote(artifact->path()),
                     ": expected a reference of the same model, found another "
                     "cache or vocabulary");
  check = std::make_unique<ReferenceCheck>(other, own);
  referenceEngine = makeHostEngine(reference, options.referenceWeights,
                                   options.threads, " of the reference");
  // It asks for workspace when it knows how much.
  MemoryPlan cacheAlone = plan;
  cacheAlone.workspace = cacheAlone.logits = 0;
  return referenceEngine->reserve(cacheAlone);
}

Session::Session(std::unique_ptr<Impl> impl) : impl(std::move(impl)) {}
Session::~Session() = default;

Expected<std::unique_ptr<Session>>
Session::create(std::shared_ptr<const Artifact> artifact,
                std::shared_ptr<const PackedWeights> weights,
                const SessionOptions &options) {
  return guarded([&]() -> Expected<std::unique_ptr<Session>> {
    auto impl = std::make_unique<Impl>();
    impl->artifact = std::move(artifact);
    impl->weights = std::move(weights);
    impl->options = options;
    Status status = guarded([&] { return impl->create(); });
    if (!status.ok()) {
      // The other ranks may be further, and wait.
      if (impl->mesh)
        return impl->mesh->fail(status);
      if (options.world)
        options.world->abort(status);
      return status;
    }
    return std::unique_ptr<Session>(new Session(std::move(impl)));
  });
}

const Artifact &Session::artifact() const { return *impl->artifact; }
const MemoryPlan &Session::plan() const { return impl->plan; }
const Session::StepStats &Session::lastStep() const { return impl->stats; }
ReferenceReport Session::referenceReport() const {
  return impl->check ? impl->check->report() : ReferenceReport();
}

int64_t Session::availablePages() const {
  int64_t total = 0;
  for (const PageAllocator &pages : impl->allocators)
    total += pages.available();
  return total;
}

int64_t Session::pages() const {
  int64_t total = 0;
  for (const PageAllocator &pages : impl->allocators)
    total += pages.pages();
  return total;
}

DeviceComm Session::deviceComm() const { return impl->comm.comm; }
const std::string &Session::whyNotNccl() const { return impl->comm.reason; }

std::vector<CommSiteCounters> Session::commCounters() const {
  return impl->mesh->counters();
}

//===----------------------------------------------------------------------===//
// Sequences
//===----------------------------------------------------------------------===//

int64_t Session::owners() const { return impl->mesh->owners(); }
int64_t Session::nextOwner() const { return impl->nextOwner(); }

int64_t Session::ownerOf(SequenceId id) const {
  auto it = impl->sequences.find(id);
  return it == impl->sequences.end() ? -1 : it->second.owner;
}

int64_t Session::Impl::nextOwner() const {
  std::vector<int64_t> counts(mesh->owners(), 0);
  for (const auto &[id, sequence] : sequences)
    ++counts[sequence.owner];
  return std::min_element(counts.begin(), counts.end()) - counts.begin();
}

Expected<SequenceId> Session::addSequence() {
  Expected<SequenceId> added = guarded([&]() -> Expected<SequenceId> {
    int64_t owner = impl->nextOwner();
    SequenceId id = impl->nextId++;
    impl->sequences[id].owner = owner;
    return id;
  });
  return added.ok() ? added : impl->failStep(added.status());
}

Expected<SequenceId> Session::fork(SequenceId parent, int64_t length) {
  auto it = impl->sequences.find(parent);
  if (it == impl->sequences.end())
    return unknownSequence(parent);
  if (length < 0 || length > it->second.length)
    return makeError(StatusCode::InvalidArgument, "sequence ", parent, " has ",
                     it->second.length, " positions, cannot share the first ",
                     length);
  Expected<SequenceId> forked = guarded([&]() -> Expected<SequenceId> {
    Sequence child;
    child.length = length;
    child.owner = it->second.owner;
    child.pages.assign(it->second.pages.begin(),
                       it->second.pages.begin() + impl->blocks(length));
    SequenceId id = impl->nextId++;
    Sequence &added = impl->sequences[id];
    for (int32_t page : child.pages)
      impl->pagesOf(child).retain(page);
    added = std::move(child);
    return id;
  });
  return forked.ok() ? forked : impl->failStep(forked.status());
}

/// Gives back all pages but the first `keep`. With `clear`, pages that nobody
/// else uses are zeroed: what follows a sequence's end in its last page is
/// whatever was there before, and must not be a NaN.
void Session::Impl::releasePages(Sequence &sequence, size_t keep, bool clear) {
  while (sequence.pages.size() > keep) {
    int32_t page = sequence.pages.back();
    sequence.pages.pop_back();
    if (!pagesOf(sequence).release(page) || !clear || !isOwn(sequence))
      continue;
    Status status = engine->clearPage(page);
    if (broken.ok())
      broken = status;
  }
}

Status Session::truncate(SequenceId id, int64_t length) {
  auto it = impl->sequences.find(id);
  if (it == impl->sequences.end())
    return unknownSequence(id);
  if (length < 0 || length > it->second.length)
    return makeError(StatusCode::InvalidArgument, "sequence ", id, " has ",
                     it->second.length, " positions, cannot keep ", length);
  it->second.length = length;
  impl->releasePages(it->second, impl->blocks(length), /*clear=*/false);
  return Status();
}

Status Session::removeSequence(SequenceId id) {
  auto it = impl->sequences.find(id);
  if (it == impl->sequences.end())
    return unknownSequence(id);
  impl->releasePages(it->second, 0, /*clear=*/false);
  impl->sequences.erase(it);
  return Status();
}

int64_t Session::length(SequenceId id) const {
  auto it = impl->sequences.find(id);
  return it == impl->sequences.end() ? -1 : it->second.length;
}
