//===- CApi.cpp - the runtime as a C library ------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"
#include "dsv2rt/Device.h"
#include "dsv2rt/Session.h"
#include "dsv2rt/Threads.h"
#include "dsv2rt/dsv2rt.h"
#include "dsv2rt/sampling.h"

#include <cstring>

using namespace dsv2rt;

struct dsv2rt_artifact {
  std::shared_ptr<const Artifact> held;
};

struct dsv2rt_weights {
  std::shared_ptr<const PackedWeights> held;
};

struct dsv2rt_session {
  std::unique_ptr<Session> held;
  std::vector<StepInput> inputs;
  std::vector<StepOutput> outputs;
};

/// Fixed memory, so that reporting a failed allocation allocates nothing.
static thread_local char lastError[4096];

static dsv2rt_status report(const Status &status) {
  if (status.ok())
    return DSV2RT_OK;
  size_t size = std::min(status.message().size(), sizeof(lastError) - 1);
  std::memcpy(lastError, status.message().data(), size);
  lastError[size] = 0;
  return dsv2rt_status(status.code());
}

static_assert(int(StatusCode::InvalidArgument) == DSV2RT_INVALID_ARGUMENT &&
                  int(StatusCode::NotFound) == DSV2RT_NOT_FOUND &&
                  int(StatusCode::IoError) == DSV2RT_IO_ERROR &&
                  int(StatusCode::CorruptData) == DSV2RT_CORRUPT_DATA &&
                  int(StatusCode::Unsupported) == DSV2RT_UNSUPPORTED &&
                  int(StatusCode::OutOfMemory) == DSV2RT_OUT_OF_MEMORY &&
                  int(StatusCode::ContextLengthExceeded) ==
                      DSV2RT_CONTEXT_LENGTH_EXCEEDED &&
                  int(StatusCode::NonFinite) == DSV2RT_NON_FINITE &&
                  int(StatusCode::Internal) == DSV2RT_INTERNAL &&
                  int(StatusCode::Mismatch) == DSV2RT_MISMATCH &&
                  int(StatusCode::DeviceError) == DSV2RT_DEVICE_ERROR &&
                  int(StatusCode::RankFailed) == DSV2RT_RANK_FAILED,
              "the C codes are those of StatusCode");

/// Refuses null pointers by name.
static Status requireArgument(const void *pointer, const char *name) {
  if (pointer)
    return Status();
  return makeError(StatusCode::InvalidArgument, "argument '", name,
                   "' is a null pointer");
}

/// The first of several checks that failed.
static Status firstOf(std::initializer_list<Status> checks) {
  for (const Status &status : checks)
    if (!status.ok())
      return status;
  return Status();
}

/// Runs `body`, which returns a Status, and reports what became of it.
template <class F> static dsv2rt_status call(F &&body) {
  return report(guarded([&]() -> Status { return body(); }));
}

const char *dsv2rt_last_error(void) { return lastError; }

const char *dsv2rt_status_name(dsv2rt_status status) {
  switch (status) {
  case DSV2RT_OK:
    return "ok";
  case DSV2RT_INVALID_ARGUMENT:
    return "invalid argument";
  case DSV2RT_NOT_FOUND:
    return "not found";
  case DSV2RT_IO_ERROR:
    return "input/output error";
  case DSV2RT_CORRUPT_DATA:
    return "corrupt data";
  case DSV2RT_UNSUPPORTED:
    return "unsupported";
  case DSV2RT_OUT_OF_MEMORY:
    return "out of memory";
  case DSV2RT_CONTEXT_LENGTH_EXCEEDED:
    return "context length exceeded";
  case DSV2RT_NON_FINITE:
    return "not finite";
  case DSV2RT_INTERNAL:
    return "internal error";
  case DSV2RT_MISMATCH:
    return "differs from the reference";
  case DSV2RT_DEVICE_ERROR:
    return "device error";
  case DSV2RT_RANK_FAILED:
    return "rank failed";
  }
  return "unknown status";
}

dsv2rt_status dsv2rt_artifact_load(const char *path,
                                   dsv2rt_artifact **artifact) {
  return call([&]() -> Status {
    Status status = requireArgument(artifact, "artifact");
    if (!status.ok())
      return status;
    *artifact = nullptr;
    Expected<std::shared_ptr<const Artifact>> loaded =
        path ? Artifact::load(path) : Artifact::fromProcess();
    if (loaded.ok())
      *artifact = new dsv2rt_artifact{std::move(loaded.value())};
    return loaded.status();
  });
}

void dsv2rt_artifact_release(dsv2rt_artifact *artifact) { delete artifact; }

dsv2rt_status dsv2rt_artifact_info(const dsv2rt_artifact *artifact,
                                   dsv2rt_model_info *info) {
  return call([&]() -> Status {
    Status status = firstOf(
        {requireArgument(artifact, "artifact"), requireArgument(info, "info")});
    if (!status.ok())
      return status;
    const Manifest &manifest = artifact->held->manifest();
    *info = {
        manifest.model.name.c_str(),       manifest.model.vocabSize,
        manifest.model.hiddenSize,         manifest.model.numLayers,
        manifest.limits.maxContext,        manifest.limits.maxBatch,
        manifest.model.bosTokenId,         manifest.model.eosTokenIds.data(),
        manifest.model.eosTokenIds.size(), manifest.cache.bytesPerToken()};
    return Status();
  });
}

dsv2rt_status dsv2rt_weights_open(const dsv2rt_artifact *artifact,
                                  const char *source,
                                  const dsv2rt_weights_options *options,
                                  dsv2rt_weights **weights) {
  return call([&]() -> Status {
    Status status = firstOf({requireArgument(artifact, "artifact"),
                             requireArgument(source, "source"),
                             requireArgument(weights, "weights")});
    if (!status.ok())
      return status;
    *weights = nullptr;
    PackOptions pack;
    if (options) {
      pack.path = options->packed_path ? options->packed_path : "";
      pack.inMemory = options->in_memory != 0;
      pack.threads = options->threads;
    }
    Expected<std::unique_ptr<WeightSource>> opened = openWeightSource(
        source, pack.threads > 0 ? pack.threads : defaultThreadCount());
    if (!opened.ok())
      return opened.status();
    Expected<std::shared_ptr<const PackedWeights>> packed =
        PackedWeights::open(artifact->held, *opened.value(), pack);
    if (packed.ok())
      *weights = new dsv2rt_weights{std::move(packed.value())};
    return packed.status();
  });
}

void dsv2rt_weights_release(dsv2rt_weights *weights) { delete weights; }

dsv2rt_status dsv2rt_session_create(const dsv2rt_artifact *artifact,
                                    const dsv2rt_weights *weights,
                                    const dsv2rt_session_options *options,
                                    dsv2rt_session **session) {
  return call([&]() -> Status {
    Status status = firstOf({requireArgument(artifact, "artifact"),
                             requireArgument(weights, "weights"),
                             requireArgument(session, "session")});
    if (!status.ok())
      return status;
    *session = nullptr;
    SessionOptions given;
    if (options) {
      given.maxContext = options->max_context;
      given.maxSequences = options->max_sequences;
      given.cachePositions = options->cache_positions;
      if (options->step_tokens)
        given.stepTokens = options->step_tokens;
      given.memoryBudget = options->memory_budget;
      given.threads = options->threads;
      given.checkLevel = options->check_level;
    }
    Expected<std::shared_ptr<Device>> device = openDeviceFor(
        *artifact->held, options && options->device ? options->device : "");
    if (!device.ok())
      return device.status();
    given.device = std::move(device.value());
    Expected<std::unique_ptr<Session>> created =
        Session::create(artifact->held, weights->held, given);
    if (created.ok())
      *session = new dsv2rt_session{std::move(created.value()), {}, {}};
    return created.status();
  });
}

void dsv2rt_session_release(dsv2rt_session *session) { delete session; }

/// Stores a sequence number, or returns why there is none.
static Status store(Expected<SequenceId> id, int64_t *sequence) {
  if (id.ok())
    *sequence = id.value();
  return id.status();
}

dsv2rt_status dsv2rt_sequence_add(dsv2rt_session *session, int64_t *sequence) {
  return call([&]() -> Status {
    Status status = firstOf({requireArgument(session, "session"),
                             requireArgument(sequence, "sequence")});
    return status.ok() ? store(session->held->addSequence(), sequence) : status;
  });
}

dsv2rt_status dsv2rt_sequence_fork(dsv2rt_session *session, int64_t parent,
                                   int64_t length, int64_t *sequence) {
  return call([&]() -> Status {
    Status status = firstOf({requireArgument(session, "session"),
                             requireArgument(sequence, "sequence")});
    return status.ok() ? store(session->held->fork(parent, length), sequence)
                       : status;
  });
}

dsv2rt_status dsv2rt_sequence_truncate(dsv2rt_session *session,
                                       int64_t sequence, int64_t length) {
  return call([&]() -> Status {
    Status status = requireArgument(session, "session");
    return status.ok() ? session->held->truncate(sequence, length) : status;
  });
}

dsv2rt_status dsv2rt_sequence_remove(dsv2rt_session *session,
                                     int64_t sequence) {
  return call([&]() -> Status {
    Status status = requireArgument(session, "session");
    return status.ok() ? session->held->removeSequence(sequence) : status;
  });
}

int64_t dsv2rt_sequence_length(const dsv2rt_session *session,
                               int64_t sequence) {
  return session ? session->held->length(sequence) : -1;
}

dsv2rt_status dsv2rt_session_step(dsv2rt_session *session,
                                  const dsv2rt_step_input *inputs, size_t count,
                                  dsv2rt_step_output *outputs) {
  return call([&]() -> Status {
    Status status = firstOf({requireArgument(session, "session"),
                             requireArgument(inputs, "inputs"),
                             requireArgument(outputs, "outputs")});
    if (!status.ok())
      return status;
    session->inputs.clear();
    for (size_t i = 0; i < count; ++i) {
      LogitRows rows = inputs[i].logits == DSV2RT_LOGITS_ALL ? LogitRows::All
                       : inputs[i].logits == DSV2RT_LOGITS_NONE
                           ? LogitRows::None
                           : LogitRows::Last;
      session->inputs.push_back(
          {inputs[i].sequence, inputs[i].tokens, inputs[i].count, rows});
    }
    session->outputs.resize(count);
    status = session->held->step(session->inputs.data(), count,
                                 session->outputs.data());
    if (!status.ok())
      return status;
    for (size_t i = 0; i < count; ++i) {
      const StepOutput &output = session->outputs[i];
      outputs[i] = {dsv2rt_status(output.status.code()),
                    output.status.message().c_str(), output.logits,
                    output.rows};
    }
    return Status();
  });
}

dsv2rt_sampling dsv2rt_sampling_default(void) {
  SamplingParams params;
  return {params.temperature,       params.topK, params.topP, params.minP,
          params.repetitionPenalty, params.seed};
}

dsv2rt_status dsv2rt_sample(const float *logits, size_t count,
                            const int32_t *history, size_t history_size,
                            const dsv2rt_sampling *sampling, uint64_t position,
                            int32_t *token) {
  return call([&]() -> Status {
    Status status = firstOf({requireArgument(logits, "logits"),
                             requireArgument(sampling, "sampling"),
                             requireArgument(token, "token")});
    if (!status.ok())
      return status;
    SamplingParams params;
    params.temperature = sampling->temperature;
    params.topK = sampling->top_k;
    params.topP = sampling->top_p;
    params.minP = sampling->min_p;
    params.repetitionPenalty = sampling->repetition_penalty;
    params.seed = sampling->seed;
    Expected<Sampler> sampler = Sampler::create(params);
    if (!sampler.ok())
      return sampler.status();
    Expected<int32_t> chosen =
        sampler.value().sample(logits, count, history, history_size, position);
    if (chosen.ok())
      *token = chosen.value();
    return chosen.status();
  });
}
