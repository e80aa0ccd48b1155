//===- Emulator.h - own interface of the GPU emulator -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// libdsv2-emulator.so is a CUDA driver without a GPU: it exports the functions
// of dsv2rt/cuda/DriverApi.def, takes modules that are LLVM bitcode for NVPTX,
// and runs their kernels on the CPU in seeded random order with checks
// (docs/Emulator.md). What the driver's interface has no room for is here.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_EMULATOR_EMULATOR_H
#define DSV2_EMULATOR_EMULATOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// What the emulator counted since it was loaded or since
/// dsv2_emulator_reset_counters.
typedef struct dsv2_emulator_counters {
  /// Kernel launches that ran, each schedule counted once.
  uint64_t launches;
  /// Threads that ran.
  uint64_t threads;
  /// Times a thread gave up the processor to wait.
  uint64_t fiber_switches;
  /// Bytes that loads, stores and copies moved from and to global memory.
  /// Counted only with checks on; the copies of the tensor memory accelerator
  /// and cp.async are always counted.
  uint64_t global_bytes_read;
  uint64_t global_bytes_written;
  /// Operations of the tensor cores, a multiply and an add each two.
  uint64_t tensor_operations;
  /// Accesses of warps to shared memory, and the further passes over the banks
  /// that conflicts cost. Counted only with `banks=1`.
  uint64_t shared_accesses;
  uint64_t bank_conflicts;
} dsv2_emulator_counters;

/// Sets options, a comma-separated list of NAME=NUMBER, over those in force.
/// DSV2_EMULATOR in the environment has the same form and is read at the first
/// call of any function of the library.
///
///   seed=N       order of everything that is concurrent (default 1)
///   schedules=N  runs of every launch, with seeds seed, seed+1, ...; memory is
///                put back before each but the first (default 1)
///   checks=0|1   all checks that cost time on each access (default 1)
///   sms=N        multiprocessors; as many blocks are live at a time (default
///   4) cc=N         compute capability times ten, 80 or 90 (default 90)
///   memory=N     device memory in MiB (default 16384)
///   banks=0|1    count bank conflicts of shared memory; needs checks (default
///   0) pdl=0|1      report accesses of a launch with programmatic
///   serialization
///                before griddepcontrol.wait to what the launch before wrote;
///                needs checks (default 0)
///
/// Returns 0, or -1 with nothing changed and the reason in
/// dsv2_emulator_report. Changes take effect at the next module load or launch.
int dsv2_emulator_set_options(const char *options);

/// The report of the last failed launch, module load or option list; "" when
/// there was none. The first line is "KIND: ..." with KIND one of race, proxy,
/// lifetime, deadlock, livelock, bounds, poison, protocol, trap, unsupported,
/// option. Valid until the next call of a function of the library.
const char *dsv2_emulator_report(void);

/// Forgets a failed launch, so that the context can be used again, which a
/// real driver never allows, and clears the report. Memory stays as it is.
void dsv2_emulator_clear_error(void);

/// Copies the counters to `counters`.
void dsv2_emulator_get_counters(dsv2_emulator_counters *counters);

/// Sets every counter to zero.
void dsv2_emulator_reset_counters(void);

#ifdef __cplusplus
}
#endif

#endif // DSV2_EMULATOR_EMULATOR_H
