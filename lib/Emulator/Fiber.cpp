//===- Fiber.cpp - stacks and the switch between them ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Fiber.h"

#include "llvm/Support/ErrorHandling.h"

#include <sys/mman.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/common_interface_defs.h>
#define DSV2_FIBER_ASAN 1
#endif
#endif

using namespace dsv2::emulator;
namespace detail = boost::context::detail;

static constexpr size_t guardBytes = 4096;

/// The two ends of the switch under way. One thread of the system runs all
/// fibers.
static Fiber *switchFrom;
static Fiber *switchTo;

StackPool::~StackPool() {
  for (char *stack : all)
    munmap(stack - guardBytes, stackBytes + guardBytes);
}

void StackPool::lend(Fiber &fiber) {
  if (!unused.empty()) {
    fiber.stack = unused.back().memory;
    fiber.shadowStack = unused.back().shadowStack;
    unused.pop_back();
    return;
  }
  void *mapping =
      mmap(nullptr, stackBytes + guardBytes, PROT_NONE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  char *stack = static_cast<char *>(mapping) + guardBytes;
  if (mapping == MAP_FAILED ||
      mprotect(stack, stackBytes, PROT_READ | PROT_WRITE) != 0)
    llvm::report_fatal_error("emulator: no memory for the stack of a thread");
  all.push_back(stack);
  fiber.stack = stack;
  fiber.shadowStack = nullptr;
}

void StackPool::takeBack(Fiber &fiber) {
  unused.push_back({fiber.stack, fiber.shadowStack});
  fiber.stack = nullptr;
  fiber.shadowStack = nullptr;
}

/// After a switch, on the new side: remembers where the old side stopped.
static void arrive(detail::transfer_t transfer) {
  switchFrom->context = transfer.fctx;
#ifdef DSV2_FIBER_ASAN
  const void *bottom;
  size_t bytes;
  __sanitizer_finish_switch_fiber(switchTo->shadowStack, &bottom, &bytes);
  if (!switchFrom->stack) {
    switchFrom->bottom = bottom;
    switchFrom->bytes = bytes;
  }
#endif
}

static void enter(detail::transfer_t transfer) {
  arrive(transfer);
  switchTo->body();
  llvm_unreachable("the body of a fiber returned");
}

void dsv2::emulator::prepareFiber(Fiber &fiber, void (*body)()) {
  fiber.body = body;
  fiber.bottom = fiber.stack;
  fiber.bytes = StackPool::stackBytes;
  fiber.context = detail::make_fcontext(fiber.stack + StackPool::stackBytes,
                                        StackPool::stackBytes, enter);
}

/// `shadowStack` is where AddressSanitizer leaves its data of `from`, or null
/// if they are of no more use: they are a megabyte and more for each fiber.
static void jump(Fiber &from, Fiber &to, void **shadowStack) {
  switchFrom = &from;
  switchTo = &to;
#ifdef DSV2_FIBER_ASAN
  __sanitizer_start_switch_fiber(shadowStack, to.bottom, to.bytes);
#endif
  arrive(detail::jump_fcontext(to.context, nullptr));
}

void dsv2::emulator::switchFiber(Fiber &from, Fiber &to) {
  jump(from, to, &from.shadowStack);
}

void dsv2::emulator::leaveFiber(Fiber &from, Fiber &to) {
  from.shadowStack = nullptr;
  jump(from, to, nullptr);
  llvm_unreachable("a fiber went on that had been left");
}
