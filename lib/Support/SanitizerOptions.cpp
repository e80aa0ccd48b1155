//===- SanitizerOptions.cpp - defaults of a build with sanitizers ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Part of every program that links libMLIR, when DSV2_SANITIZERS is set. It is
// no library: the sanitizers have defaults of their own, so that no linker
// would fetch these from an archive.
//
//===----------------------------------------------------------------------===//

/// Options below those of the environment. AddressSanitizer calls this before
/// it is ready, so it must not be instrumented itself.
///
/// llvm::BumpPtrAllocator, a template in a header, poisons what it has not
/// given out where it is compiled with AddressSanitizer, as it is here, and
/// unpoisons nothing where it is not, as in the packaged libMLIR. An allocator
/// that both of them use, like the one behind every MLIRContext, would make
/// valid accesses into errors.
extern "C" __attribute__((no_sanitize("all"), used, visibility("default")))
const char *
// The name is the sanitizer's choice.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
__asan_default_options() {
  return "allow_user_poisoning=0";
}
