//===- CheckKernels.cpp - kernels that are right, wrong, and never end ----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Compiled for NVPTX, into bitcode, without any header. One block of 32
// threads.
//
//===----------------------------------------------------------------------===//

#define KERNEL extern "C" __attribute__((device_kernel)) void

template <class T> using Global = __attribute__((address_space(1))) T;

static int thread() { return __nvvm_read_ptx_sreg_tid_x(); }

/// out[i] = factor * in[i] + i.
KERNEL scale(Global<float> *out, const Global<float> *in, float factor) {
  out[thread()] = factor * in[thread()] + float(thread());
}

KERNEL endless(volatile Global<float> *out) {
  while (true)
    out[0] = 1;
}

KERNEL trapped(Global<float> *out) {
  out[thread()] = 0;
  __builtin_trap();
}

/// With the emulator's checks off this takes the process with it.
KERNEL wild(Global<float> *out) { *(Global<float> *)(long)(8 + thread()) = 1; }
