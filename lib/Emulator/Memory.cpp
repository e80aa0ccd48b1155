//===- Memory.cpp - global memory of the emulated device ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Memory.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

using namespace dsv2::emulator;

/// Bytes that are mapped without access before and behind an allocation.
static constexpr size_t guardBytes = 64 << 10;

static size_t mappedBytes(size_t bytes) {
  return llvm::alignTo(bytes, 4096) + 2 * guardBytes;
}

/// From so many bytes on an allocation is mapped from a file of 0xFF, which
/// takes memory where it is written alone: kernels are tested at the end of
/// buffers that are larger than the machine.
static constexpr size_t sparseBytes = size_t(256) << 20;
/// Bytes of that file.
static constexpr size_t fillBytes = size_t(16) << 20;

/// Makes the file; -1 when the system cannot.
static int makeFill() {
  int file = memfd_create("dsv2-emulator-fill", MFD_CLOEXEC);
  if (file < 0)
    return -1;
  void *bytes = MAP_FAILED;
  if (ftruncate(file, fillBytes) == 0)
    bytes = mmap(nullptr, fillBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file,
                 /*offset=*/0);
  if (bytes == MAP_FAILED) {
    close(file);
    return -1;
  }
  std::memset(bytes, 0xFF, fillBytes);
  munmap(bytes, fillBytes);
  return file;
}

/// Fills `bytes` at `base`, which are reserved, with 0xFF; false when the
/// system has no memory.
static bool fill(char *base, size_t bytes) {
  if (bytes < sparseBytes) {
    if (mprotect(base, bytes, PROT_READ | PROT_WRITE) != 0)
      return false;
    std::memset(base, 0xFF, bytes);
    return true;
  }
  static const int file = makeFill();
  if (file < 0)
    return false;
  for (size_t done = 0; done < bytes; done += fillBytes)
    if (mmap(base + done, std::min(fillBytes, bytes - done),
             PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
             file, /*offset=*/0) == MAP_FAILED)
      return false;
  return true;
}

Memory::~Memory() { releaseAll(); }

void *Memory::allocate(size_t bytes, Use use) {
  void *mapping = mmap(nullptr, mappedBytes(bytes), PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED)
    return nullptr;
  char *base = static_cast<char *>(mapping) + guardBytes;
  if (!fill(base, llvm::alignTo(bytes, 4096))) {
    munmap(mapping, mappedBytes(bytes));
    return nullptr;
  }
  add({reinterpret_cast<uintptr_t>(base), bytes, use, /*writable=*/true, {}});
  if (use == Use::Device)
    allocated += bytes;
  return base;
}

bool Memory::release(void *address, Use use) {
  auto it = regions.find(reinterpret_cast<uintptr_t>(address));
  if (it == regions.end() || it->second.use != use)
    return false;
  size_t bytes = it->second.bytes;
  munmap(static_cast<char *>(address) - guardBytes, mappedBytes(bytes));
  if (use == Use::Device)
    allocated -= bytes;
  remove(address);
  return true;
}

void Memory::releaseAll() {
  for (auto it = regions.begin(); it != regions.end();) {
    Region region = (it++)->second;
    if (region.use == Use::Device || region.use == Use::Host)
      release(reinterpret_cast<void *>(region.base), region.use);
  }
}

void Memory::add(Region region) {
  last = nullptr;
  uintptr_t base = region.base;
  regions[base] = std::move(region);
}

void Memory::remove(const void *address) {
  last = nullptr;
  regions.erase(reinterpret_cast<uintptr_t>(address));
}

const Memory::Region *Memory::findSlow(uintptr_t address, size_t bytes) {
  auto it = regions.upper_bound(address);
  if (it == regions.begin())
    return nullptr;
  const Region &region = std::prev(it)->second;
  if (address - region.base >= region.bytes ||
      bytes > region.bytes - (address - region.base))
    return nullptr;
  return last = &region;
}

std::string Memory::describe(uintptr_t address) const {
  auto above = regions.upper_bound(address);
  auto label = [](const Region &region) {
    switch (region.use) {
    case Use::ModuleGlobal:
      return llvm::formatv("global '{0}' of {1} bytes", region.name,
                           region.bytes)
          .str();
    case Use::Parameters:
      return std::string("parameters");
    default:
      return llvm::formatv("allocation of {0} bytes at {1:x}", region.bytes,
                           region.base)
          .str();
    }
  };
  std::string text;
  if (above != regions.begin()) {
    const Region &below = std::prev(above)->second;
    uintptr_t offset = address - below.base;
    if (offset < below.bytes)
      return llvm::formatv("byte {0} of the {1}", offset, label(below)).str();
    if (offset - below.bytes < (1 << 20))
      return llvm::formatv("{0} bytes past the end of the {1}",
                           offset - below.bytes, label(below))
          .str();
  }
  if (above != regions.end() && above->first - address < (1 << 20))
    return llvm::formatv("{0} bytes before the {1}", above->first - address,
                         label(above->second))
        .str();
  return "far from every allocation";
}

std::vector<std::vector<unsigned char>> Memory::snapshot() const {
  std::vector<std::vector<unsigned char>> saved;
  for (const auto &[base, region] : regions) {
    const auto *bytes = reinterpret_cast<const unsigned char *>(base);
    if (region.writable)
      saved.emplace_back(bytes, bytes + region.bytes);
  }
  return saved;
}

void Memory::restore(const std::vector<std::vector<unsigned char>> &saved) {
  size_t next = 0;
  for (const auto &[base, region] : regions)
    if (region.writable)
      std::memcpy(reinterpret_cast<void *>(base), saved[next++].data(),
                  region.bytes);
}
