/*===- dsv2rt.h - the runtime as a C library ---------------------*- C -*-===*\
|*                                                                            *|
|* Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.          *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
|*===----------------------------------------------------------------------===*|
|*                                                                            *|
|* Load an artifact, open weights for it, create a session, add sequences,    *|
|* step, read logits, sample. Every function that can fail returns a status;  *|
|* dsv2rt_last_error() then has the sentence that explains it. No function    *|
|* throws, and none ends the process.                                         *|
|*                                                                            *|
|* Threads: artifacts and weights never change after creation and may be used *|
|* by any number of threads and sessions. A session is to be used by one      *|
|* thread at a time. The last error belongs to the calling thread. Releasing  *|
|* an object while another thread uses it is an error of the caller; the      *|
|* order in which objects are released does not matter.                       *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef DSV2RT_DSV2RT_H
#define DSV2RT_DSV2RT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What went wrong, for programs; see dsv2rt_last_error() for people. */
typedef enum dsv2rt_status {
  DSV2RT_OK = 0,
  DSV2RT_INVALID_ARGUMENT = 1,
  DSV2RT_NOT_FOUND = 2,
  DSV2RT_IO_ERROR = 3,
  DSV2RT_CORRUPT_DATA = 4,
  DSV2RT_UNSUPPORTED = 5,
  DSV2RT_OUT_OF_MEMORY = 6,
  DSV2RT_CONTEXT_LENGTH_EXCEEDED = 7,
  DSV2RT_NON_FINITE = 8,
  DSV2RT_INTERNAL = 9,
  DSV2RT_MISMATCH = 10,
  DSV2RT_DEVICE_ERROR = 11,
  DSV2RT_RANK_FAILED = 12
} dsv2rt_status;

typedef struct dsv2rt_artifact dsv2rt_artifact;
typedef struct dsv2rt_weights dsv2rt_weights;
typedef struct dsv2rt_session dsv2rt_session;

/* The calling thread's last failure as one sentence; "" when there was none.
 * Valid until the thread's next failing call. */
const char *dsv2rt_last_error(void);

/* A constant name such as "out of memory". */
const char *dsv2rt_status_name(dsv2rt_status status);

/* Artifacts ---------------------------------------------------------------*/

/* Loads the shared object at `path`; NULL: the artifact that is linked into
 * this program. */
dsv2rt_status dsv2rt_artifact_load(const char *path,
                                   dsv2rt_artifact **artifact);
void dsv2rt_artifact_release(dsv2rt_artifact *artifact);

/* Facts about a model. Strings live as long as the artifact. */
typedef struct dsv2rt_model_info {
  const char *name;
  int64_t vocab_size;
  int64_t hidden_size;
  int64_t num_layers;
  int64_t max_context;  /* positions of one sequence */
  int64_t max_batch;    /* sequences of one step */
  int64_t bos_token_id; /* -1: none */
  const int64_t *eos_token_ids;
  size_t num_eos_token_ids;
  int64_t cache_bytes_per_token;
} dsv2rt_model_info;
dsv2rt_status dsv2rt_artifact_info(const dsv2rt_artifact *artifact,
                                   dsv2rt_model_info *info);

/* Weights -----------------------------------------------------------------*/

/* Zero is the default of every member. */
typedef struct dsv2rt_weights_options {
  const char *packed_path; /* NULL: beside the artifact, or the user's cache */
  int32_t in_memory;       /* not 0: leave no packed file */
  int32_t threads;
} dsv2rt_weights_options;

/* Opens `source`, a checkpoint folder or "random:SEED", and packs it for
 * `artifact` unless that was done before. `options` may be NULL. */
dsv2rt_status dsv2rt_weights_open(const dsv2rt_artifact *artifact,
                                  const char *source,
                                  const dsv2rt_weights_options *options,
                                  dsv2rt_weights **weights);
void dsv2rt_weights_release(dsv2rt_weights *weights);

/* Sessions ----------------------------------------------------------------*/

/* Zero is the default of every member but check_level. */
typedef struct dsv2rt_session_options {
  int64_t max_context;     /* positions of one sequence */
  int64_t max_sequences;   /* sequences of one step */
  int64_t cache_positions; /* positions of all sequences together */
  int64_t step_tokens;     /* tokens of the largest step planned for */
  int64_t memory_budget;   /* bytes for everything */
  int32_t threads;
  /* Finiteness: 0 logits, 1 layers, 2 every kernel; -1: 1 on the CPU, and 0 on
   * a device, where checking costs copies. */
  int32_t check_level;
  /* "cpu", "cuda", "cuda:N" or "emulator"; NULL: what the artifact was compiled
   * for. Sessions on one device share its copy of the weights. */
  const char *device;
} dsv2rt_session_options;

/* `options` may be NULL: all defaults, and check_level -1. */
dsv2rt_status dsv2rt_session_create(const dsv2rt_artifact *artifact,
                                    const dsv2rt_weights *weights,
                                    const dsv2rt_session_options *options,
                                    dsv2rt_session **session);
void dsv2rt_session_release(dsv2rt_session *session);

/* A new, empty sequence. */
dsv2rt_status dsv2rt_sequence_add(dsv2rt_session *session, int64_t *sequence);

/* A new sequence that shares the first `length` positions of `parent`. */
dsv2rt_status dsv2rt_sequence_fork(dsv2rt_session *session, int64_t parent,
                                   int64_t length, int64_t *sequence);

/* Takes positions from `length` on away. */
dsv2rt_status dsv2rt_sequence_truncate(dsv2rt_session *session,
                                       int64_t sequence, int64_t length);

dsv2rt_status dsv2rt_sequence_remove(dsv2rt_session *session, int64_t sequence);

/* Positions of the sequence, -1 when there is none of that number. */
int64_t dsv2rt_sequence_length(const dsv2rt_session *session, int64_t sequence);

/* Which tokens get logits. */
typedef enum dsv2rt_logit_rows {
  DSV2RT_LOGITS_LAST = 0,
  DSV2RT_LOGITS_ALL = 1,
  DSV2RT_LOGITS_NONE = 2
} dsv2rt_logit_rows;

/* Tokens to append to one sequence. */
typedef struct dsv2rt_step_input {
  int64_t sequence;
  const int32_t *tokens;
  int64_t count;
  dsv2rt_logit_rows logits;
} dsv2rt_step_input;

/* What a step did to one sequence. With DSV2RT_NON_FINITE the sequence can
 * only be removed; the others are not affected. Valid until the session's next
 * step. */
typedef struct dsv2rt_step_output {
  dsv2rt_status status;
  const char *message; /* "" on success */
  const float *logits; /* [rows, vocab_size] */
  int64_t rows;
} dsv2rt_step_output;

/* Appends tokens to `count` different sequences in one pass. A returned error
 * means that nothing has changed. `outputs` has `count` elements. */
dsv2rt_status dsv2rt_session_step(dsv2rt_session *session,
                                  const dsv2rt_step_input *inputs, size_t count,
                                  dsv2rt_step_output *outputs);

/* Sampling ----------------------------------------------------------------*/

/* See sampling.h for the meaning. */
typedef struct dsv2rt_sampling {
  double temperature;        /* 0: greedy */
  int64_t top_k;             /* 0: all */
  double top_p;              /* 1: all */
  double min_p;              /* 0: all */
  double repetition_penalty; /* 1: none */
  uint64_t seed;
} dsv2rt_sampling;

/* The parameters that choose greedily. */
dsv2rt_sampling dsv2rt_sampling_default(void);

/* Chooses the token at `position` from one row of `count` logits. */
dsv2rt_status dsv2rt_sample(const float *logits, size_t count,
                            const int32_t *history, size_t history_size,
                            const dsv2rt_sampling *sampling, uint64_t position,
                            int32_t *token);

#ifdef __cplusplus
}
#endif

#endif /* DSV2RT_DSV2RT_H */
