//===- Fiber.h - stacks and the switch between them -------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_FIBER_H
#define DSV2_LIB_EMULATOR_FIBER_H

#include <boost/context/detail/fcontext.hpp>

#include <cstddef>
#include <vector>

namespace dsv2::emulator {

/// A flow of control with a stack of its own. Fibers are abandoned, not ended,
/// when a launch fails, so nothing that needs a destructor may live on one
/// across a switch. Boost.Context's plain switch is used, since its classes
/// unwind abandoned stacks by exceptions, which neither this library nor
/// compiled kernels have.
struct Fiber {
  boost::context::detail::fcontext_t context = nullptr;
  /// Lowest address of the stack; null for the fiber of the calling thread.
  char *stack = nullptr;
  /// AddressSanitizer's data of the stack while another one runs.
  void *shadowStack = nullptr;
  const void *bottom = nullptr;
  size_t bytes = 0;
  /// What the fiber runs.
  void (*body)() = nullptr;
};

/// Stacks of one size, kept for reuse: 256 KiB of address space, committed as
/// it is touched, with a guard page below.
class StackPool {
public:
  static constexpr size_t stackBytes = 256 << 10;

  ~StackPool();
  /// Gives `fiber` a stack, and takes it back.
  void lend(Fiber &fiber);
  void takeBack(Fiber &fiber);

private:
  /// What AddressSanitizer keeps of a fiber that was abandoned cannot be freed;
  /// it goes with the stack to the next one.
  struct Stack {
    char *memory;
    void *shadowStack;
  };
  std::vector<Stack> unused;
  std::vector<char *> all;
};

/// Makes `fiber`, which has a stack, ready to run `body`, which must never
/// return.
void prepareFiber(Fiber &fiber, void (*body)());

/// Goes on with `to` until something switches back to `from`.
void switchFiber(Fiber &from, Fiber &to);

/// Goes on with `to` for good. What AddressSanitizer keeps of `from` goes.
[[noreturn]] void leaveFiber(Fiber &from, Fiber &to);

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_FIBER_H
