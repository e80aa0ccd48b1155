//===- Module.h - a loaded module and its kernels ---------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_MODULE_H
#define DSV2_LIB_EMULATOR_MODULE_H

#include "InlineAsm.h"
#include "Memory.h"
#include "Options.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace llvm {
class LLVMContext;
class Module;
namespace orc {
class LLJIT;
class ThreadSafeModule;
} // namespace orc
} // namespace llvm

namespace dsv2::emulator {

class Module;

/// A parameter of a kernel: bytes that a launch copies.
struct Parameter {
  uint32_t bytes = 0;
  uint32_t alignment = 1;
  /// The kernel takes a pointer to the value: `byval`, a tensor map.
  bool byReference = false;
};

/// An entry of a module.
struct Kernel {
  std::string name;
  Module *module = nullptr;
  /// Runs one thread; takes pointers to the parameters' values. Null before
  /// Module::compile.
  void (*entry)(void **parameters) = nullptr;
  std::vector<Parameter> parameters;
  /// Bytes of shared memory known when compiling, and where the dynamic part
  /// starts.
  uint32_t staticShared = 0;
  /// nvvm.maxntid as a product, nvvm.reqntid and nvvm.cluster_dim; 0 if absent.
  uint32_t maxThreads = 0;
  uint32_t requiredBlock[3] = {0, 0, 0};
  uint32_t requiredCluster[3] = {0, 0, 0};
  /// The module has cp.async, or bulk copies.
  bool hasCopies = false, hasBulk = false;
  /// What getRegisterHazards says of it; a kernel with one does not run.
  std::string registerHazard;
  /// CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES.
  uint32_t maxDynamicShared = 48 << 10;
};

/// Code of one image. The image is LLVM bitcode for NVPTX, plain or in the
/// bitcode wrapper; its functions are rewritten for the CPU (Transform.h) when
/// it is loaded, and each kernel is compiled by ORC when it is needed first: a
/// model has a hundred, of which a prompt takes some.
class Module {
public:
  /// Loads the image. Returns null with the reason in `error`, which starts
  /// with the name of a Kind.
  static std::unique_ptr<Module> load(const void *image, const Options &options,
                                      Memory &memory, std::string &error);
  ~Module();

  /// The kernel `name`, or null.
  Kernel *find(const std::string &name);

  /// Compiles `kernel`, one of this module, if that was not done before.
  /// Returns false with the reason in `error`, as `load` has it.
  bool compile(Kernel &kernel, std::string &error);

  /// Function, debug location and text of instruction `site`, a number that
  /// counts the instructions of the image.
  std::string describeSite(uint32_t site) const;

private:
  Module(Memory &memory);

  Memory &memory;
  /// A copy of the bitcode: parsed again when a report needs its text.
  std::string bitcode;
  std::unique_ptr<llvm::orc::LLJIT> jit;
  /// The rewritten functions.
  std::unique_ptr<llvm::orc::ThreadSafeModule> code;
  std::map<std::string, std::unique_ptr<Kernel>> kernels;
  std::vector<const void *> globals;
  /// What compiled code refers to by address.
  AsmTable asmTable;
};

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_MODULE_H
