/*===- abi.h - the contract between generated code and runtime ---*- C -*-===*\
|*                                                                            *|
|* Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.          *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
|*===----------------------------------------------------------------------===*|
|*                                                                            *|
|* An artifact is an ELF shared object. It exports                            *|
|*                                                                            *|
|*   uint32_t dsv2_abi_version      DSV2RT_ABI_VERSION it was built for       *|
|*   uint64_t dsv2_manifest_size    length of the manifest in bytes           *|
|*   char     dsv2_manifest[]       the manifest, JSON (docs/RuntimeABI.md)   *|
|*                                                                            *|
|* and the functions the manifest names: step entries (dsv2rt_step_fn), their *|
|* workspace sizes (dsv2rt_workspace_fn), weight preparation                  *|
|* (dsv2rt_prepare_fn), dtype conversion (dsv2rt_convert_fn), page copies     *|
|* (dsv2rt_copy_pages_fn) and the choice of tokens (dsv2rt_sample_fn).        *|
|* Buffers are passed as strided memory references, the layout MLIR's C       *|
|* interface uses.                                                            *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef DSV2RT_ABI_H
#define DSV2RT_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised whenever anything in this file or in abi.def changes meaning. */
#define DSV2RT_ABI_VERSION 6

/* Names of the three data symbols every artifact exports. */
#define DSV2RT_SYMBOL_ABI_VERSION "dsv2_abi_version"
#define DSV2RT_SYMBOL_MANIFEST "dsv2_manifest"
#define DSV2RT_SYMBOL_MANIFEST_SIZE "dsv2_manifest_size"

/* Element types that cross the boundary. */
typedef enum dsv2rt_dtype {
  DSV2RT_F32 = 0,
  DSV2RT_BF16 = 1,
  DSV2RT_F16 = 2,
  DSV2RT_I32 = 3
} dsv2rt_dtype;

/* Strided memory references. Element (i, j, ...) lives at
 * aligned[offset + i * strides[0] + j * strides[1] + ...]. */
typedef struct dsv2rt_memref1d {
  void *allocated;
  void *aligned;
  int64_t offset;
  int64_t sizes[1];
  int64_t strides[1];
} dsv2rt_memref1d;

typedef struct dsv2rt_memref2d {
  void *allocated;
  void *aligned;
  int64_t offset;
  int64_t sizes[2];
  int64_t strides[2];
} dsv2rt_memref2d;

typedef struct dsv2rt_memref4d {
  void *allocated;
  void *aligned;
  int64_t offset;
  int64_t sizes[4];
  int64_t strides[4];
} dsv2rt_memref4d;

/* One ragged step of T tokens from S sequences.
 *
 *   tokens       i32[T]      vocabulary ids, those of a sequence adjacent
 *   positions    i32[T]      position of each token in its sequence
 *   seq_ids      i32[T]      index of the token's sequence, 0 <= id < S
 *   seq_starts   i32[S + 1]  first token of each sequence, then T
 *   block_tables i32[S, B]   page of each block of `page` positions
 *   logit_rows   i32[R]      tokens whose logits are wanted
 *   cache        [L, P, page, row]  pages of every layer, in the manifest's
 *                            cache format: rows are latent + rope elements, or
 *                            row_bytes bytes; written in place
 *   weights      ptr[slots]  base address of each packed weight slot
 *   workspace    i8[N]       scratch, 64-byte aligned, N from the entry's
 *                            workspace function
 *   logits       f32[R, V]   result
 *   context      passed back to every abi.def call
 *   tap_level    0: no taps, 1: layer outputs, 2: every kernel's output
 *
 * A step of the reference lowering is one too; there the runtime may change
 * the values it is shown by a tap before it returns.
 *
 * In an artifact for a device (a manifest with `device`) everything but the
 * table `weights` lies in device memory: the memory references and the entries
 * of the table hold device addresses, which the function may compute with but
 * never reads. It runs on the host, launches kernels by dsv2rt_launch, and what
 * it launches may depend on its address and size arguments alone, for the
 * runtime repeats the launches of an earlier step of the same sizes without
 * calling it; in an entry of form `expanded`, which the runtime never repeats,
 * on dsv2rt_key_rows too.
 *
 * In an artifact for several ranks (a manifest with `mesh`) every rank runs the
 * same step on its own sequences. T, S and R may be 0 then: a rank without
 * tokens still enters every collective, in the order of the others.
 */
typedef void (*dsv2rt_step_fn)(
    dsv2rt_memref1d *tokens, dsv2rt_memref1d *positions,
    dsv2rt_memref1d *seq_ids, dsv2rt_memref1d *seq_starts,
    dsv2rt_memref2d *block_tables, dsv2rt_memref1d *logit_rows,
    dsv2rt_memref4d *cache, dsv2rt_memref1d *weights,
    dsv2rt_memref1d *workspace, dsv2rt_memref2d *logits, void *context,
    int32_t tap_level);

/* Bytes of workspace a step of (tokens, sequences, logit rows) needs on a rank,
 * of which the whole step has `arrivals` tokens, as dsv2rt_arrivals says, and
 * which has `key_rows` rows of keys, as dsv2rt_key_rows says. Linear in each.
 */
typedef int64_t (*dsv2rt_workspace_fn)(int64_t tokens, int64_t sequences,
                                       int64_t rows, int64_t arrivals,
                                       int64_t key_rows);

/* Computes packed tensors from checkpoint tensors. `sources` and `outputs` are
 * ptr[n]: dense row-major f32 sources, destinations inside the packed file. */
typedef void (*dsv2rt_prepare_fn)(dsv2rt_memref1d *sources,
                                  dsv2rt_memref1d *outputs);

/* Widens or copies a checkpoint tensor of one dtype to f32. The source's
 * element type is the one the manifest lists the symbol under. */
typedef void (*dsv2rt_convert_fn)(dsv2rt_memref1d *source,
                                  dsv2rt_memref1d *output);

/* Copies whole pages of every layer: pages[to[i]] = pages[from[i]]. */
typedef void (*dsv2rt_copy_pages_fn)(dsv2rt_memref4d *cache,
                                     dsv2rt_memref1d *from,
                                     dsv2rt_memref1d *to);

/* How a token is chosen from one row of logits: dsv2rt/sampling.h, with a few
 * values brought into the form that a kernel needs. */
typedef struct dsv2rt_sampling_row {
  int32_t vocabulary; /* the tokens from 0 on that there are; at least 1 */
  float scale;        /* log2(e) over the temperature; 0: take the largest */
  float penalty;      /* of repetition; 1: none */
  float min_p;
  int32_t top_k; /* 0: all */
  int32_t reserved;
  uint64_t top_p; /* times 2^64; the largest number: all */
  uint64_t seed;
} dsv2rt_sampling_row;

/* The most tokens to choose from; parts of the vocabulary that are looked
 * through side by side, and words that are kept of each; steps of which what
 * was chosen is there, so that one can be looked at while the next is
 * computed. */
#define DSV2RT_SAMPLE_VOCABULARY 131072
#define DSV2RT_SAMPLE_PARTS 32
#define DSV2RT_SAMPLE_PART_WORDS 6
#define DSV2RT_SAMPLE_STEPS 2

/* Chooses a token from each row of logits, in an artifact for a device and on
 * the device, and makes the input of the step just done that of the next one:
 * row r is of token rows[r], whose place takes the new token, at the position
 * after.
 *
 *   logits     f32[R, V]  of a step
 *   rows       i32[R]     as the step had them
 *   sampling   i8[R * sizeof(dsv2rt_sampling_row)]
 *   tokens     i32[T]     } overwritten at rows[r]
 *   positions  i32[T]     }
 *   seen       i32[R, W]  bit i % 32 of word i / 32 is set if token i has
 *                         occurred; read and written if there is a penalty, for
 *                         which W is at least V / 32, rounded up
 *   parts      i32[R * DSV2RT_SAMPLE_PARTS * DSV2RT_SAMPLE_PART_WORDS]  scratch
 *   chosen     i32[DSV2RT_SAMPLE_STEPS * R]  result: the token for position p
 *                         at p % DSV2RT_SAMPLE_STEPS * R + r, which may be the
 *                         host's memory; -1 where a logit is NaN or +inf or all
 *                         are -inf, and the next step then gets token 0
 *   context, tap_level    as a step has them
 */
typedef void (*dsv2rt_sample_fn)(dsv2rt_memref2d *logits, dsv2rt_memref1d *rows,
                                 dsv2rt_memref1d *sampling,
                                 dsv2rt_memref1d *tokens,
                                 dsv2rt_memref1d *positions,
                                 dsv2rt_memref2d *seen, dsv2rt_memref1d *parts,
                                 dsv2rt_memref1d *chosen, void *context,
                                 int32_t tap_level);

/* The entry points of abi.def. */
void dsv2rt_tap(void *context, int32_t site, int64_t layer, void *data,
                int64_t rows, int64_t columns, int64_t row_stride,
                int32_t dtype);

/* The axes of the mesh of ranks. */
typedef enum dsv2rt_axis {
  DSV2RT_AXIS_TP = 0, /* shares heads, vocabulary and FFN width */
  DSV2RT_AXIS_EP = 1  /* shares sequences and routed experts */
} dsv2rt_axis;

/* Where the calling rank is, and how many tokens the step has over all ranks of
 * the ep axis; a rank cannot receive more. Without a mesh 0, and the tokens of
 * the step. */
int64_t dsv2rt_mesh_index(void *context, int32_t axis);
int64_t dsv2rt_arrivals(void *context);

/* The collectives. The ranks of an axis call them in the same order, with the
 * same `site` (an index into the manifest's comm_sites) and `layer` (-1: in no
 * layer). After a failure they do nothing but zero what they would have filled,
 * and the step fails. */
void dsv2rt_all_reduce(void *context, int32_t axis, int32_t site, int64_t layer,
                       void *data, int64_t count);
void dsv2rt_all_gather(void *context, int32_t axis, int32_t site, int64_t layer,
                       void *send, void *receive, int64_t rows,
                       int64_t row_bytes, int64_t receive_row_bytes);
void dsv2rt_all_to_all(void *context, int32_t axis, int32_t site, int64_t layer,
                       void *send, void *receive, int64_t bytes);
int64_t dsv2rt_all_to_all_v(void *context, int32_t axis, int32_t site,
                            int64_t layer, void *send, void *receive,
                            int64_t row_bytes, void *send_rows,
                            void *receive_rows, int64_t capacity_rows);

/* The same in two halves; between them neither buffer may be touched and
 * nothing else be exchanged along the axis. */
int64_t dsv2rt_all_to_all_v_start(void *context, int32_t axis, int32_t site,
                                  int64_t layer, void *send, void *receive,
                                  int64_t row_bytes, void *send_rows,
                                  void *receive_rows, int64_t capacity_rows);
void dsv2rt_comm_wait(void *context, int32_t axis, int32_t site, int64_t layer,
                      void *receive, int64_t row_bytes, int64_t capacity_rows);

/* Notes that an exchange of fixed size was too small if any of the `count` i32
 * at `counts` is above `capacity`. */
void dsv2rt_check_capacity(void *context, int64_t layer, void *counts,
                           int64_t count, int64_t capacity);

/* The most dimensions that a tensor map has. */
#define DSV2RT_MAX_TENSOR_RANK 5

/* What a parameter that is a tensor map points to: a tensor in device memory,
 * innermost dimension first. The rank and the rest of the map are in the
 * manifest; entries from the rank on are ignored. */
typedef struct dsv2rt_tensor {
  void *address;                        /* a multiple of 16 */
  int64_t dims[DSV2RT_MAX_TENSOR_RANK]; /* in elements */
  int64_t
      strides[DSV2RT_MAX_TENSOR_RANK]; /* in bytes; [0]: an element's size */
} dsv2rt_tensor;

void dsv2rt_launch(void *context, int32_t kernel, int32_t grid_x,
                   int32_t grid_y, int32_t grid_z, void **parameters,
                   int32_t site, int64_t layer);

/* What dsv2rt_device_info answers. */
typedef enum {
  DSV2RT_MULTIPROCESSORS = 0, /* how many the device has */
  DSV2RT_CHIP = 1 /* number of the chip of the loaded image: 90 for sm_90a */
} dsv2rt_property;

/* 0 for a property that this runtime does not know, or without a device. */
int64_t dsv2rt_device_info(void *context, int32_t property);

/* Rows of keys of the step, on this rank: its tokens, if all its sequences are
 * new; otherwise the positions of all its sequences, which are more. 0 without
 * a device. */
int64_t dsv2rt_key_rows(void *context);

#ifdef __cplusplus
}
#endif

#endif /* DSV2RT_ABI_H */
