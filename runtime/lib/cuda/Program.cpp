//===- Program.cpp - an artifact's kernels on a device --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Program.h"
#include "ImageChoice.h"

#include <cstdio>
#include <cstring>

using namespace dsv2rt;
using namespace dsv2rt::cuda;

using ImageKind = DeviceManifest::ImageKind;

/// Clusters of more blocks have to be asked for (CUDA C++ Programming Guide,
/// "Thread Block Clusters").
static constexpr int64_t portableCluster = 8;

/// Code for chips before this one has no way to wait for its predecessor, on
/// whatever device it runs (PTX ISA, "griddepcontrol").
static constexpr int firstWithEarlyStarts = 90;

/// The image as the driver takes it, which gets no size: machine code is ELF
/// and tells its own, text ends in a zero, and bitcode is put into LLVM's
/// wrapper (LLVM Bitcode File Format, "Bitcode Wrapper Format"), which tells
/// the size of what follows, unless it is in one already. `storage` holds the
/// copy, if there is one.
static const void *loadable(const DeviceManifest::Image &image,
                            const void *data, std::string &storage) {
  auto *bytes = static_cast<const char *>(data);
  if (image.kind == ImageKind::Ptx) {
    storage.assign(bytes, size_t(image.bytes));
    return storage.c_str();
  }
  constexpr uint32_t wrapperMagic = 0x0B17C0DE;
  uint32_t magic = 0;
  if (image.bytes >= int64_t(sizeof(magic)))
    std::memcpy(&magic, data, sizeof(magic));
  if (image.kind == ImageKind::Bitcode && magic != wrapperMagic) {
    const uint32_t header[5] = {wrapperMagic, 0, sizeof(header),
                                uint32_t(image.bytes), 0};
    storage.assign(reinterpret_cast<const char *>(header), sizeof(header));
    storage.append(bytes, size_t(image.bytes));
    return storage.data();
  }
  return data;
}

/// What may keep a driver from compiling `ptx`: its version (PTX ISA,
/// ".version") and the driver's.
static std::string describeVersions(const std::string &ptx,
                                    const Device::Info &info) {
  size_t at = ptx.find(".version");
  unsigned major = 0, minor = 0;
  if (at == std::string::npos ||
      std::sscanf(ptx.c_str() + at, ".version %u.%u", &major, &minor) != 2)
    return "";
  return strCat("; the text is of version ", major, ".", minor,
                " of the PTX ISA, the driver is for CUDA ",
                info.driverVersion / 1000, ".", info.driverVersion % 1000 / 10);
}

ProgramSource cuda::sourceOf(std::shared_ptr<const Artifact> artifact) {
  ProgramSource source;
  source.name = "artifact " + quote(artifact->path());
  source.code = &*artifact->manifest().device;
  source.images.assign(artifact->images().begin(), artifact->images().end());
  source.owner = std::move(artifact);
  return source;
}

Status Program::loadModule(const std::shared_ptr<Context> &context,
                           size_t index) {
  const DeviceManifest::Image &image = source.code->images[index];
  imageName = strCat("the ", imageKindName(image.kind), " for ", image.chip,
                     " of ", source.name);
  std::string storage;
  const void *data = loadable(image, source.images[index], storage);
  // What the driver's compiler says of text, or the emulator's of bitcode.
  char log[8192] = "";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER,
                            CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, reinterpret_cast<void *>(sizeof(log) - 1)};
  CUmodule loaded = nullptr;
  Status status = context->call(
      context->driver().cuModuleLoadDataEx,
      [&] { return "loading " + imageName; }, &loaded, data, 2u, options,
      values);
  if (status.ok()) {
    module = ModuleHandle(context, loaded);
    return status;
  }
  log[sizeof(log) - 1] = 0;
  std::string more;
  if (image.kind == ImageKind::Ptx)
    more = describeVersions(storage, context->info());
  if (*log)
    more += strCat("; it says ", quote(log));
  return makeError(status.code(), status.message(), more);
}

/// "2 parameters, of 8, 4 bytes".
static std::string describeParameters(const std::vector<size_t> &bytes) {
  std::string text = strCat(bytes.size(), " parameter");
  text += bytes.size() == 1 ? "" : "s";
  for (size_t i = 0; i < bytes.size(); ++i)
    text += strCat(i ? ", " : ", of ", bytes[i]);
  return bytes.empty() ? text : text + " bytes";
}

Status Program::checkParameters(Context &context, const Kernel &kernel) const {
  const Driver &driver = context.driver();
  if (!driver.cuFuncGetParamInfo)
    return Status();
  std::vector<size_t> expected, found;
  for (const DeviceManifest::Parameter &parameter : kernel.facts->parameters)
    expected.push_back(size_t(parameterBytes(parameter.kind)));
  for (;;) {
    size_t offset = 0, bytes = 0;
    Expected<bool> exists = context.query(
        driver.cuFuncGetParamInfo, CUDA_ERROR_INVALID_VALUE,
        [&] {
          return strCat("asking for parameter ", found.size(), " of kernel ",
                        quote(kernel.facts->name), " of ", imageName);
        },
        kernel.function, found.size(), &offset, &bytes);
    if (!exists.ok())
      return exists.status();
    if (!exists.value())
      break;
    found.push_back(bytes);
  }
  if (found == expected)
    return Status();
  return makeError(StatusCode::CorruptData, "kernel ",
                   quote(kernel.facts->name), " of ", imageName, " has ",
                   describeParameters(found), "; it is launched with ",
                   describeParameters(expected));
}

Status Program::loadKernel(Context &context,
                           const DeviceManifest::Kernel &facts) {
  const Driver &driver = context.driver();
  auto what = [&](const char *doing) {
    return [this, &facts, doing] {
      return strCat(doing, " kernel ", quote(facts.name), " of ", imageName);
    };
  };
  Kernel kernel;
  kernel.facts = &facts;
  kernel.startsEarly =
      facts.programmaticLaunch && imageChip >= firstWithEarlyStarts;
  Status status =
      context.call(driver.cuModuleGetFunction, what("looking for"),
                   &kernel.function, module.get(), facts.name.c_str());
  if (status.ok())
    status = checkParameters(context, kernel);
  if (!status.ok())
    return status;
  auto require = [&](const char *expected, int64_t needs, int64_t has) {
    if (needs > has && status.ok())
      status = makeError(StatusCode::Unsupported, "kernel ", quote(facts.name),
                         " of ", imageName, " needs ", needs, " ", expected,
                         ", ", context.text(), " has ", has);
  };
  int threads = 0, fixedShared = 0;
  status = context.call(
      driver.cuFuncGetAttribute, what("asking for the largest block of"),
      &threads, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, kernel.function);
  if (status.ok())
    status = context.call(driver.cuFuncGetAttribute,
                          what("asking for the shared memory of"), &fixedShared,
                          CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, kernel.function);
  require("threads in a block (registers may limit them)",
          facts.block[0] * facts.block[1] * facts.block[2], threads);
  require("bytes of shared memory in a block", facts.sharedBytes + fixedShared,
          context.info().sharedBytes);
  if (status.ok() && facts.sharedBytes)
    status = context.call(driver.cuFuncSetAttribute,
                          what("setting the shared memory of"), kernel.function,
                          CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                          int(facts.sharedBytes));
  int64_t cluster = facts.cluster[0] * facts.cluster[1] * facts.cluster[2];
  if (status.ok() && cluster > portableCluster)
    status =
        context.call(driver.cuFuncSetAttribute,
                     what("allowing the clusters of"), kernel.function,
                     CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1);
  functions.push_back(kernel);
  return status;
}

Status Program::loadKernels(Context &context, const std::string &chip) {
  Status status;
  for (const DeviceManifest::Kernel &kernel : source.code->kernels) {
    if (!status.ok())
      break;
    if (kernel.chip.empty() || kernel.chip == chip)
      status = loadKernel(context, kernel);
    else
      functions.push_back({nullptr, &kernel});
  }
  return status;
}

/// Whether the driver has looked at an image and does not want it; after other
/// failures it would not take another either. What the emulator refuses it does
/// not know: nothing stands in for that.
static bool isRefusal(const Status &status, const Device::Info &device) {
  return !device.emulated && (status.code() == StatusCode::CorruptData ||
                              status.code() == StatusCode::Unsupported);
}

Expected<std::unique_ptr<Program>>
Program::load(const std::shared_ptr<Context> &context, ProgramSource source) {
  Expected<std::vector<size_t>> suitable =
      chooseImages(*source.code, source.name, context->info());
  if (!suitable.ok())
    return suitable.status();
  std::unique_ptr<Program> program(new Program());
  program->source = std::move(source);
  const DeviceManifest &device = *program->source.code;
  Status refused;
  for (size_t index : suitable.value()) {
    const DeviceManifest::Image &image = device.images[index];
    program->imageChip = chipNumber(image.chip);
    Status status = program->loadModule(context, index);
    if (status.ok()) {
      if (!refused.ok())
        context->noteRefusal(strCat(refused.message(), "; ", program->imageName,
                                    " runs instead"));
      status = program->loadKernels(*context, image.chip);
      if (!status.ok())
        return status;
      return program;
    }
    if (!isRefusal(status, context->info()))
      return status;
    refused =
        refused.ok()
            ? status
            : makeError(refused.code(), refused.message(),
                        "; the next image is refused too: ", status.message());
  }
  if (suitable.value().size() == 1 &&
      device.images[suitable.value().front()].kind == ImageKind::Cubin)
    refused = makeError(refused.code(), refused.message(),
                        "; there is no PTX beside it, as dsv2-compile "
                        "--gpu-code=cubin,ptx adds it");
  return refused;
}
