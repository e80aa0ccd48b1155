//===- Memory.h - global memory of the emulated device ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_MEMORY_H
#define DSV2_LIB_EMULATOR_MEMORY_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace dsv2::emulator {

/// Everything a kernel may touch outside of shared and local memory: what
/// cuMemAlloc and cuMemHostAlloc gave out, globals of modules, parameters of
/// the running launch. Device memory is host memory, so a device address is a
/// host address.
class Memory {
public:
  /// What a region is.
  enum class Use { Device, Host, ModuleGlobal, Parameters };

  struct Region {
    uintptr_t base = 0;
    size_t bytes = 0;
    Use use = Use::Device;
    bool writable = true;
    /// Of a global: its name.
    std::string name;
  };

  ~Memory();

  /// Pages with inaccessible guard zones on both sides, filled with 0xFF, which
  /// is NaN in every floating-point format: what a kernel forgets to write
  /// shows. Returns null when the system has no memory.
  void *allocate(size_t bytes, Use use);

  /// Gives back what `allocate` returned for the same use; false when
  /// `address` is no such thing.
  bool release(void *address, Use use);

  /// Gives back everything.
  void releaseAll();

  /// Makes `bytes` at `address` known without owning them.
  void add(Region region);
  void remove(const void *address);

  /// The region that holds all of [address, address + bytes), or null.
  const Region *find(uintptr_t address, size_t bytes) {
    if (last && address - last->base < last->bytes &&
        bytes <= last->bytes - (address - last->base))
      return last;
    return findSlow(address, bytes);
  }

  /// "16 bytes past the end of the allocation of 400 bytes at 0x..." and the
  /// like: where a bad address lies.
  std::string describe(uintptr_t address) const;

  /// Bytes that are allocated with Use::Device.
  size_t deviceBytes() const { return allocated; }

  /// Copies of all writable regions, and back.
  std::vector<std::vector<unsigned char>> snapshot() const;
  void restore(const std::vector<std::vector<unsigned char>> &saved);

private:
  const Region *findSlow(uintptr_t address, size_t bytes);

  std::map<uintptr_t, Region> regions;
  const Region *last = nullptr;
  size_t allocated = 0;
};

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_MEMORY_H
