//===- Session.h - sequences, their cache, and steps ------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_SESSION_H
#define DSV2RT_SESSION_H

#include "dsv2rt/Artifact.h"
#include "dsv2rt/PackedWeights.h"
#include "dsv2rt/Status.h"
#include "dsv2rt/sampling.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace dsv2rt {

class Communicator;
class Device;
class Trace;

/// Names a sequence of one session; never used again after its removal.
using SequenceId = int64_t;

/// Prompt tokens that one step should take: a processor is busy with 512, and
/// finds their activations in its caches; a device reads the weights of all
/// experts in each step, which thousands of tokens should share. Null: the CPU.
inline int64_t suggestedChunk(const Device *device) {
  return device ? 4096 : 512;
}

/// What carries the exchanges of ranks on devices.
enum class DeviceComm {
  /// NCCL, if every rank can, or else the host.
  Auto,
  /// The memory of the host, and whatever connects the hosts' ranks.
  Host,
  /// NCCL, between the memories of the devices.
  Nccl
};

/// "auto", "host" or "nccl".
const char *deviceCommName(DeviceComm comm);

/// What a session is for. In a mesh the numbers of sequences, positions and
/// tokens are those of all ranks together, bytes and threads those of one rank.
struct SessionOptions {
  /// Positions one sequence may have. 0: the artifact's limit, or as many as
  /// fit in the budget.
  int64_t maxContext = 0;
  /// Sequences of one step. 0: the artifact's limit.
  int64_t maxSequences = 0;
  /// Positions that all sequences together may have, rounded up to pages. 0:
  /// maxContext for each of maxSequences, or as many as fit in the budget.
  int64_t cachePositions = 0;
  /// Tokens of the largest step planned for; larger steps make the workspace
  /// grow.
  int64_t stepTokens = 512;
  /// Bytes for weights, cache, workspace and logits. 0: what the device has
  /// available, or what the system has available for the last three, in equal
  /// parts for the ranks of one host.
  int64_t memoryBudget = 0;
  /// Threads that compiled code runs on; 0: the default.
  int threads = 0;
  /// 0: only logits are checked for finiteness; 1: the output of every layer
  /// too; 2: the output of every kernel. -1: 1 on the CPU, where it costs
  /// nothing, and 0 on a device, where every checked value has to be copied to
  /// the host.
  int checkLevel = -1;
  /// Where to compute; null: on the CPU. The artifact has to be for it.
  std::shared_ptr<Device> device;
  /// Called now and then with the bytes of weights copied to the device so far
  /// and in total.
  std::function<void(int64_t done, int64_t total)> uploadProgress;
  /// Whether a device repeats the launches of a step of the same sizes as one
  /// graph.
  bool graphs = true;
  /// Whether tokens are chosen on the host even where the device can do it
  /// (decodesAlone()).
  bool hostSampling = false;
  /// Receives a timeline of all steps; must outlive the session.
  Trace *trace = nullptr;
  /// Weights of the artifact's reference(). When set, every step runs a second
  /// time through the reference lowering and all values are compared.
  std::shared_ptr<const PackedWeights> referenceWeights;
  /// The ranks of the artifact's mesh, all of them; null for a rank alone.
  std::shared_ptr<Communicator> world;
  /// How they exchange in steps; the same on all of them. A rank alone, and
  /// ranks on the CPU that were not asked for Nccl, need no choice.
  DeviceComm deviceComm = DeviceComm::Auto;
  /// The library of NCCL; empty: see NcclCommunicator.
  std::string ncclLibrary;
};

/// What comparing with the reference lowering has shown so far.
struct ReferenceReport {
  int64_t steps = 0;
  /// Values compared, and the sites of one step they came from, each layer's
  /// counted.
  int64_t values = 0;
  int64_t sites = 0;
  /// Experts that were chosen otherwise because their scores are equal but for
  /// rounding.
  int64_t ties = 0;
  /// Largest error as a part of the largest magnitude in its row, and where.
  float largestError = 0;
  std::string largestErrorAt;
};

/// Where the memory of one rank's session goes, in bytes.
struct MemoryPlan {
  int64_t weights = 0;
  int64_t cache = 0;
  int64_t workspace = 0;
  int64_t logits = 0;
  /// Positions of one sequence and of this rank's cache.
  int64_t maxContext = 0;
  int64_t cachePositions = 0;
  /// Rows of keys that the workspace has room for, beside a chunk's tokens, if
  /// expanded attention takes any: a step with more has the absorbed form.
  int64_t keyRows = 0;

  int64_t total() const { return weights + cache + workspace + logits; }
};

/// What a rank has sent at one site.
struct CommSiteCounters {
  std::string name;
  /// As collectiveName() calls it.
  std::string kind;
  int64_t calls = 0;
  int64_t bytesSent = 0;
};

/// Which tokens of a StepInput get logits.
enum class LogitRows { None, Last, All };

/// Tokens to append to one sequence.
struct StepInput {
  SequenceId sequence = 0;
  const int32_t *tokens = nullptr;
  int64_t count = 0;
  LogitRows logits = LogitRows::Last;
};

/// What a step did to one sequence.
struct StepOutput {
  /// NonFinite when this sequence's values were not finite: it names step,
  /// layer and op, the sequence's cache is gone, and the sequence can only be
  /// removed. Other sequences of the step are not affected. Mismatch, for all
  /// sequences of the step, names the first op and layer whose values are not
  /// those of the reference lowering.
  Status status;
  /// f32 [rows, vocabulary], row-major; valid until the next step.
  const float *logits = nullptr;
  int64_t rows = 0;
  /// Of the first row, if compiled code found them. Valid as long as the
  /// logits.
  LargestOf largest = {};
};

/// A sequence that is to go on by tokens of its own choice.
struct DecodeInput {
  SequenceId sequence = 0;
  /// The token to append first.
  int32_t token = 0;
  /// How the tokens after it are chosen. The random number of a token is that
  /// of its position.
  SamplingParams sampling = {};
  /// Ids from here on are never chosen; 0: the whole vocabulary.
  int64_t vocabularySize = 0;
  /// Ids for the repetition penalty, `token` among them; those chosen are
  /// added.
  const int32_t *history = nullptr;
  size_t historySize = 0;
};

/// What one step of Session::decode() gave for a sequence.
struct DecodeOutput {
  /// NonFinite: there is nothing to choose from, and the sequence can only be
  /// removed.
  Status status;
  /// What was chosen, and is appended by the next step.
  int32_t token = 0;
};

/// Gets an output for every input; returns whether to go on.
using OnDecode = std::function<bool(const DecodeOutput *)>;

/// Sequences that share one artifact, one set of weights and one cache. To be
/// used by one thread at a time.
///
/// In a mesh every rank has a session, and all of them get the same calls in
/// the same order. Each sequence belongs to one index of the ep axis, whose
/// ranks compute it; all ranks keep account of all sequences and return the
/// same outputs. A failure that only one rank meets ends the job: every rank's
/// step() returns an error, and so does every later one.
class Session {
public:
  ~Session();
  Session(const Session &) = delete;
  Session &operator=(const Session &) = delete;

  /// Plans and reserves memory, and copies the weights to the device unless
  /// they are there. Errors: InvalidArgument for options outside the artifact's
  /// limits, a device that the artifact is not for, another number of ranks
  /// than it was compiled for, or options that differ between ranks;
  /// Unsupported for a reference in a mesh, and for DeviceComm::Nccl with the
  /// rank that cannot and why; OutOfMemory with the
  /// bytes required and available and the largest context that fits; those of
  /// Device and Communicator.
  static Expected<std::unique_ptr<Session>>
  create(std::shared_ptr<const Artifact> artifact,
         std::shared_ptr<const PackedWeights> weights,
         const SessionOptions &options = {});

  const Artifact &artifact() const;
  const MemoryPlan &plan() const;

  /// A new, empty sequence, which belongs to nextOwner().
  Expected<SequenceId> addSequence();

  /// A new sequence whose first `length` positions are those of `parent`. It
  /// shares the parent's pages; whoever writes to a shared page first gets a
  /// copy of it. It belongs to whom the parent belongs.
  Expected<SequenceId> fork(SequenceId parent, int64_t length);

  /// Takes positions from `length` on away.
  Status truncate(SequenceId sequence, int64_t length);

  /// Gives the sequence's pages back.
  Status removeSequence(SequenceId sequence);

  /// Positions the sequence has, or -1 when there is no such sequence.
  int64_t length(SequenceId sequence) const;

  /// Pages nobody uses, and all pages, of all owners together.
  int64_t availablePages() const;
  int64_t pages() const;

  /// How many indices the ep axis has among which sequences and pages are
  /// divided, the latter equally.
  int64_t owners() const;
  /// The owner with the fewest sequences, the first of several.
  int64_t nextOwner() const;
  /// The owner of a sequence, or -1 when there is no such sequence.
  int64_t ownerOf(SequenceId sequence) const;

  /// Appends tokens to `count` different sequences in one pass through the
  /// model. Any mix of chunks and single tokens will do. `outputs` is as long
  /// as `inputs`. A returned error (InvalidArgument for an unknown sequence or
  /// token id, ContextLengthExceeded, OutOfMemory for pages or workspace)
  /// means that nothing was computed and nothing has changed. After a
  /// DeviceError the sequences are as they were before, but the session takes
  /// no further step.
  Status step(const StepInput *inputs, size_t count, StepOutput *outputs);

  /// Whether decode() works: on a device whose artifact can choose tokens, by
  /// one rank, if nothing is looked at between steps (checkLevel 0, no trace
  /// and no reference).
  bool decodesAlone() const;

  /// Takes up to `steps` steps, each of which appends one token to every
  /// sequence: the given one, and then what the step before has chosen. Gives
  /// the tokens that step() and a Sampler give, but that the device compares
  /// and weighs logits in f32: where two or the random number are that close,
  /// another token may be chosen. The next step is under way while `onStep`
  /// looks at the tokens of one; what it returns false after is undone.
  /// `onStep` must not use the session but for lastStep(). Fewer steps are
  /// taken where positions or pages end. Errors: those of step(); Unsupported
  /// if decodesAlone() is not so.
  Status decode(const DecodeInput *inputs, size_t count, int64_t steps,
                const OnDecode &onStep);

  /// How the last step went.
  struct StepStats {
    int64_t step = 0;
    int64_t tokens = 0;
    std::string entry;
    double seconds = 0;
    int64_t copiedPages = 0;
    /// What of it a device spent on kernels; 0 on the CPU.
    double deviceSeconds = 0;
    /// Whether the launches were those of an earlier step, as one graph.
    bool replayed = false;
    /// Whether exchanges of fixed size were too small, and the step was run a
    /// second time.
    bool repeated = false;
  };
  const StepStats &lastStep() const;

  /// What this rank has sent so far in steps: at the manifest's commSites, and
  /// then what the session itself exchanges.
  std::vector<CommSiteCounters> commCounters() const;

  /// What carries the exchanges of steps: Nccl or Host; and, where that is the
  /// host although NCCL might have been, why: which rank cannot, or "".
  DeviceComm deviceComm() const;
  const std::string &whyNotNccl() const;

  /// What the comparison asked for by SessionOptions::referenceWeights found.
  ReferenceReport referenceReport() const;

private:
  struct Impl;
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl;
};

} // namespace dsv2rt

#endif // DSV2RT_SESSION_H
