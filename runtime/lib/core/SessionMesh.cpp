//===- SessionMesh.cpp - a session's place among the ranks ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SessionMesh.h"
#include "StepStream.h"
#include "Support.h"
#include "dsv2rt/Device.h"
#include "dsv2rt/Threads.h"

#include <cstring>

using namespace dsv2rt;

static const CollectiveSite agreementSite = {"session.agreement", -1};
static const CollectiveSite findingSite = {"session.findings", -1};
static const CollectiveSite overflowSite = {"session.overflow", -1};
static const CollectiveSite logitSite = {"session.logits", -1};

/// Adds what `group` has sent since `before`.
static void count(CommCounters &total, const Communicator &group,
                  const CommCounters &before) {
  ++total.calls;
  total.bytesSent += group.counters().bytesSent - before.bytesSent;
}

Expected<std::unique_ptr<SessionMesh>>
SessionMesh::create(const Artifact &artifact, const PackedWeights &weights,
                    const SessionOptions &options) {
  const Manifest &manifest = artifact.manifest();
  int64_t ranks = manifest.mesh.size();
  int64_t found = options.world ? options.world->size() : 1;
  if (ranks != found)
    return makeError(
        StatusCode::InvalidArgument, "artifact ", quote(artifact.path()),
        " was compiled for ", manifest.mesh.ranksText(), ", found ", found,
        "; start it with --ranks ", ranks, ", or by mpirun -n ", ranks);
  int64_t rank = options.world ? options.world->rank() : 0;
  if (weights.rank() != rank)
    return makeError(StatusCode::InvalidArgument,
                     "expected the packed weights of rank ", rank,
                     ", found those of rank ", weights.rank());
  if (ranks > 1 && options.referenceWeights)
    return makeError(StatusCode::Unsupported, "artifact ",
                     quote(artifact.path()), " was compiled for ",
                     manifest.mesh.ranksText(),
                     "; the comparison with the reference runs on one");

  std::unique_ptr<SessionMesh> mesh(new SessionMesh());
  mesh->manifest = &manifest;
  if (ranks == 1) {
    mesh->exchange = std::make_unique<StepCollectives>(manifest);
    return mesh;
  }
  mesh->world = options.world;
  Status status = mesh->connect(manifest);
  if (!status.ok())
    return status;
  mesh->exchange = std::make_unique<StepCollectives>(manifest, *mesh->world,
                                                     mesh->tp, mesh->ep);
  return mesh;
}

/// Forms the groups of the axes.
Status SessionMesh::connect(const Manifest &manifest) {
  const Manifest::Mesh &shape = manifest.mesh;
  int rank = world->rank();
  auto form = [&](MeshAxis &axis, std::unique_ptr<Communicator> &own,
                  int64_t index, int64_t size, int64_t others) -> Status {
    axis = {nullptr, index, size};
    if (size == 1)
      return Status();
    axis.group = world.get();
    if (size == shape.size())
      return Status();
    Expected<std::unique_ptr<Communicator>> group =
        world->split(int(others), int(index));
    if (!group.ok())
      return group.status();
    own = std::move(group.value());
    axis.group = own.get();
    return Status();
  };
  Status status =
      form(tp, tpGroup, shape.tpIndex(rank), shape.tp, shape.epIndex(rank));
  if (status.ok())
    status =
        form(ep, epGroup, shape.epIndex(rank), shape.ep, shape.tpIndex(rank));
  return status;
}

Status SessionMesh::useNccl(cuda::StepStream &stream,
                            const std::string &library) {
  Status status = stream.join(tp.group, ep.group, library);
  if (status.ok())
    exchange->useGroups(stream.tp(), stream.ep());
  return status;
}

Expected<int64_t> SessionMesh::agreeOnBudget(const Artifact &artifact,
                                             const SessionOptions &options,
                                             int64_t available, bool own) {
  if (alone())
    return available;
  struct Facts {
    uint64_t agreement;
    /// The same for ranks with the same memory.
    uint64_t place;
    int64_t bytes;
    int64_t own;
  };
  Agreement agreement;
  const std::string &identity = artifact.manifest().identity;
  agreement.add(identity.data(), identity.size());
  for (int64_t option :
       {options.maxContext, options.maxSequences, options.cachePositions,
        options.stepTokens, int64_t(options.checkLevel)})
    agreement.add(option);
  Agreement place;
  place.add(int64_t(hostNumber()));
  if (options.device)
    place.add(int64_t(options.device->memoryNumber()));
  Facts mine = {agreement.value(), place.value(), available, own};
  std::vector<Facts> all(world->size());
  Status status =
      world->allGather(&mine, sizeof(mine), all.data(), agreementSite);
  if (!status.ok())
    return status;
  int64_t least = available;
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const Facts &facts = all[rank];
    if (facts.agreement != all[0].agreement)
      return makeError(StatusCode::InvalidArgument, "rank ", rank,
                       " was given another artifact or other options than "
                       "rank 0: context, sequences, cache positions, tokens of "
                       "a step and check level have to be the same");
    int64_t sharers = 0;
    for (const Facts &other : all)
      sharers += other.place == facts.place;
    least = std::min(least, facts.own ? facts.bytes : facts.bytes / sharers);
  }
  return least;
}

Expected<bool> SessionMesh::anyOverflow() {
  char own = exchange->overflowed();
  if (alone())
    return bool(own);
  received.resize(size_t(world->size()));
  CommCounters before = world->counters();
  Status status = world->allGather(&own, 1, received.data(), overflowSite);
  ::count(findingCounts, *world, before);
  if (!status.ok())
    return status;
  return std::any_of(received.begin(), received.end(),
                     [](char overflowed) { return overflowed != 0; });
}

Status SessionMesh::mergeFindings(uint64_t agreement, int64_t step,
                                  std::vector<Finding> &findings,
                                  Finding &unattributed) {
  if (alone())
    return Status();
  // What the ranks have to agree on, then the findings.
  size_t count = findings.size(), bytes = 8 + (count + 1) * sizeof(Finding);
  sent.resize(bytes), received.resize(bytes * world->size());
  std::memcpy(sent.data(), &agreement, 8);
  std::memcpy(sent.data() + 8, &unattributed, sizeof(Finding));
  std::memcpy(sent.data() + 8 + sizeof(Finding), findings.data(),
              count * sizeof(Finding));
  CommCounters before = world->counters();
  Status status = world->allGather(sent.data(), int64_t(bytes), received.data(),
                                   findingSite);
  ::count(findingCounts, *world, before);
  if (!status.ok())
    return status;
  for (int rank = 0; rank < world->size(); ++rank) {
    const char *from = received.data() + rank * bytes;
    if (std::memcmp(from, received.data(), 8) != 0)
      return makeError(StatusCode::InvalidArgument, "step ", step, ": rank ",
                       rank,
                       " was given other sequences or tokens than rank 0");
    Finding found;
    for (size_t i = 0; i <= count; ++i) {
      std::memcpy(&found, from + 8 + i * sizeof(Finding), sizeof(Finding));
      (i ? findings[i - 1] : unattributed).merge(found);
    }
  }
  return Status();
}

Status SessionMesh::reserveLogits(int64_t bytes) {
  return logits.reserve(bytes, "the logits of all ranks");
}

Expected<const float *>
SessionMesh::gatherLogits(const float *own, const std::vector<int64_t> &rows,
                          int64_t rowBytes) {
  if (!ep.group)
    return own;
  std::vector<int64_t> bytes;
  int64_t total = 0;
  for (int64_t count : rows)
    total += bytes.emplace_back(count * rowBytes);
  if (!total)
    return own;
  Status status = reserveLogits(total);
  if (!status.ok())
    return status;
  CommCounters before = ep.group->counters();
  status = ep.group->allGatherV(own, bytes.data(), logits.data(), logitSite);
  ::count(logitCounts, *ep.group, before);
  if (!status.ok())
    return status;
  return static_cast<const float *>(logits.data());
}

Status SessionMesh::fail(const Status &reason) {
  if (!world)
    return reason;
  world->abort(reason);
  Status why = world->status();
  return why.ok() ? reason : why;
}

std::vector<CommSiteCounters> SessionMesh::counters() const {
  std::vector<CommSiteCounters> list;
  const std::vector<CommCounters> &counts = exchange->counters();
  for (size_t i = 0; i < counts.size(); ++i)
    list.push_back({manifest->commSites[i].name, manifest->commSites[i].kind,
                    counts[i].calls, counts[i].bytesSent});
  if (alone())
    return list;
  list.push_back({findingSite.name, "all_gather", findingCounts.calls,
                  findingCounts.bytesSent});
  list.push_back(
      {logitSite.name, "all_gather", logitCounts.calls, logitCounts.bytesSent});
  return list;
}
