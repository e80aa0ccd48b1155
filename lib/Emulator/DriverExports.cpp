//===- DriverExports.cpp - the functions of the CUDA driver ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each does what the CUDA Driver API reference says, for one device whose
// memory is the host's. Work of a stream is done before the call returns, so
// that waiting for it is no work.
//
//===----------------------------------------------------------------------===//

#include "DriverCall.h"
#include "TensorMap.h"

#include <cstring>

using namespace dsv2::emulator;

//===----------------------------------------------------------------------===//
// Initialisation, versions, errors
//===----------------------------------------------------------------------===//

DSV2_EXPORT CUresult cuInit(unsigned flags) {
  Call call;
  if (flags != 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (!call.device.environmentError.empty())
    return CUDA_ERROR_INVALID_VALUE;
  call.device.initialised = true;
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuDriverGetVersion(int *version) {
  if (!version)
    return CUDA_ERROR_INVALID_VALUE;
  *version = 13000;
  return CUDA_SUCCESS;
}

namespace {
struct ErrorText {
  CUresult error;
  const char *name, *text;
};
} // namespace

#define DSV2_ERROR(name, text) {name, #name, text}
static const ErrorText errorTexts[] = {
    DSV2_ERROR(CUDA_SUCCESS, "no error"),
    DSV2_ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    DSV2_ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    DSV2_ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    DSV2_ERROR(CUDA_ERROR_DEINITIALIZED, "driver shutting down"),
    DSV2_ERROR(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    DSV2_ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    DSV2_ERROR(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
    DSV2_ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    DSV2_ERROR(CUDA_ERROR_NO_BINARY_FOR_GPU,
               "no kernel image is available for execution on the device"),
    DSV2_ERROR(CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed"),
    DSV2_ERROR(CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
               "the provided PTX was compiled with an unsupported toolchain"),
    DSV2_ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    DSV2_ERROR(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    DSV2_ERROR(CUDA_ERROR_NOT_READY, "device not ready"),
    DSV2_ERROR(CUDA_ERROR_ILLEGAL_ADDRESS,
               "an illegal memory access was encountered"),
    DSV2_ERROR(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
               "too many resources requested for launch"),
    DSV2_ERROR(CUDA_ERROR_LAUNCH_TIMEOUT,
               "the launch timed out and was terminated"),
    DSV2_ERROR(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
    DSV2_ERROR(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
    DSV2_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
               "operation not permitted when stream is capturing"),
    DSV2_ERROR(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED,
               "operation failed due to a previous error during capture"),
    DSV2_ERROR(CUDA_ERROR_UNKNOWN, "unknown error"),
};

static const ErrorText *findError(CUresult error) {
  for (const ErrorText &entry : errorTexts)
    if (entry.error == error)
      return &entry;
  return nullptr;
}

DSV2_EXPORT CUresult cuGetErrorName(CUresult error, const char **name) {
  const ErrorText *entry = findError(error);
  *name = entry ? entry->name : nullptr;
  return entry ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

DSV2_EXPORT CUresult cuGetErrorString(CUresult error, const char **text) {
  const ErrorText *entry = findError(error);
  *text = entry ? entry->text : nullptr;
  // What a GPU cannot say about a failed launch.
  Call call;
  if (error == CUDA_ERROR_LAUNCH_FAILED && !call.device.report.empty())
    *text = call.device.report.c_str();
  return entry ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

//===----------------------------------------------------------------------===//
// Devices and contexts
//===----------------------------------------------------------------------===//

DSV2_EXPORT CUresult cuDeviceGetCount(int *count) {
  DSV2_BEGIN(false);
  *count = 1;
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuDeviceGet(CUdevice *result, int ordinal) {
  DSV2_BEGIN(false);
  if (ordinal != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  *result = 0;
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuDeviceGetName(char *name, int length, CUdevice which) {
  DSV2_BEGIN(false);
  if (which != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  if (length < 1)
    return CUDA_ERROR_INVALID_VALUE;
  std::strncpy(name, "dsv2 emulator", length);
  name[length - 1] = 0;
  return CUDA_SUCCESS;
}

/// The same for every process: there is no device to tell from others.
DSV2_EXPORT CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice which) {
  DSV2_BEGIN(false);
  if (which != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  *uuid = {{'d', 's', 'v', '2', ' ', 'e', 'm', 'u', 'l', 'a', 't', 'o', 'r'}};
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuDeviceGetAttribute(int *value,
                                          CUdevice_attribute attribute,
                                          CUdevice which) {
  DSV2_BEGIN(false);
  if (which != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  bool hopper = device.options.cc >= 90;
  switch (attribute) {
  case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
    *value = 1024;
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
    *value = int(device.options.sms);
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
    *value = int(device.options.cc / 10);
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
    *value = int(device.options.cc % 10);
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
    *value = (hopper ? 227 : 163) << 10;
    return CUDA_SUCCESS;
  // Of an H100 SXM and an A100, for arithmetic on limits; the emulator has no
  // clock.
  case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
    *value = hopper ? 1980000 : 1410000;
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:
    *value = hopper ? 2619000 : 1512000;
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:
    *value = 5120;
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
    *value = (hopper ? 50 : 40) << 20;
    return CUDA_SUCCESS;
  // On no bus.
  case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID:
  case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID:
  case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID:
    *value = 0;
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}

DSV2_EXPORT CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice which) {
  DSV2_BEGIN(false);
  if (which != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  *bytes = device.options.memory << 20;
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *context,
                                              CUdevice which) {
  DSV2_BEGIN(false);
  if (which != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  ++device.contextUses;
  *context = reinterpret_cast<CUcontext>(&device);
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice which) {
  Call call;
  if (which != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  if (call.device.contextUses == 0)
    return CUDA_ERROR_INVALID_CONTEXT;
  if (--call.device.contextUses == 0)
    call.device.reset();
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuCtxSetCurrent(CUcontext context) {
  DSV2_BEGIN(false);
  if (context && context != reinterpret_cast<CUcontext>(&device))
    return CUDA_ERROR_INVALID_CONTEXT;
  return CUDA_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Modules and kernels
//===----------------------------------------------------------------------===//

DSV2_EXPORT CUresult cuModuleLoadDataEx(CUmodule *module, const void *image,
                                        unsigned numOptions,
                                        CUjit_option *options,
                                        void **optionValues) {
  DSV2_BEGIN();
  if (!image)
    return CUDA_ERROR_INVALID_VALUE;
  std::string problem;
  auto loaded = dsv2::emulator::Module::load(image, device.options,
                                             device.memory(), problem);
  if (loaded) {
    *module = reinterpret_cast<CUmodule>(loaded.get());
    auto *key = loaded.get();
    device.modules[key] = std::move(loaded);
    return CUDA_SUCCESS;
  }
  device.report = problem;
  char *log = nullptr;
  size_t logBytes = 0;
  for (unsigned i = 0; i < numOptions; ++i) {
    if (options[i] == CU_JIT_ERROR_LOG_BUFFER)
      log = static_cast<char *>(optionValues[i]);
    else if (options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
      logBytes = reinterpret_cast<size_t>(optionValues[i]);
  }
  if (log && logBytes) {
    std::strncpy(log, problem.c_str(), logBytes);
    log[logBytes - 1] = 0;
  }
  return CUDA_ERROR_INVALID_IMAGE;
}

static dsv2::emulator::Module *findModule(Device &device, CUmodule handle) {
  auto *module = reinterpret_cast<dsv2::emulator::Module *>(handle);
  return device.modules.count(module) ? module : nullptr;
}

DSV2_EXPORT CUresult cuModuleUnload(CUmodule handle) {
  DSV2_BEGIN();
  dsv2::emulator::Module *module = findModule(device, handle);
  if (!module)
    return CUDA_ERROR_INVALID_HANDLE;
  device.modules.erase(module);
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuModuleGetFunction(CUfunction *function, CUmodule handle,
                                         const char *name) {
  DSV2_BEGIN();
  dsv2::emulator::Module *module = findModule(device, handle);
  if (!module)
    return CUDA_ERROR_INVALID_HANDLE;
  Kernel *kernel = module->find(name);
  if (!kernel)
    return CUDA_ERROR_NOT_FOUND;
  *function = reinterpret_cast<CUfunction>(kernel);
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuFuncGetAttribute(int *value,
                                        CUfunction_attribute attribute,
                                        CUfunction function) {
  DSV2_BEGIN();
  if (!function)
    return CUDA_ERROR_INVALID_HANDLE;
  auto *kernel = reinterpret_cast<Kernel *>(function);
  switch (attribute) {
  case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
    *value = kernel->maxThreads ? int(kernel->maxThreads) : 1024;
    return CUDA_SUCCESS;
  case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
    *value = int(kernel->staticShared);
    return CUDA_SUCCESS;
  // Neither registers nor spilled ones exist here.
  case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
  case CU_FUNC_ATTRIBUTE_NUM_REGS:
    *value = 0;
    return CUDA_SUCCESS;
  case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
    *value = int(device.options.cc);
    return CUDA_SUCCESS;
  case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
    *value = int(kernel->maxDynamicShared);
    return CUDA_SUCCESS;
  default:
    return CUDA_ERROR_INVALID_VALUE;
  }
}

DSV2_EXPORT CUresult cuFuncSetAttribute(CUfunction function,
                                        CUfunction_attribute attribute,
                                        int value) {
  DSV2_BEGIN();
  if (!function)
    return CUDA_ERROR_INVALID_HANDLE;
  auto *kernel = reinterpret_cast<Kernel *>(function);
  switch (attribute) {
  case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: {
    int most = (device.options.cc >= 90 ? 227 : 163) << 10;
    if (value < 0 || value + int(kernel->staticShared) > most)
      return CUDA_ERROR_INVALID_VALUE;
    kernel->maxDynamicShared = value;
    return CUDA_SUCCESS;
  }
  case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
    return CUDA_SUCCESS;
  default:
    return CUDA_ERROR_INVALID_VALUE;
  }
}

DSV2_EXPORT CUresult cuFuncGetParamInfo(CUfunction function, size_t index,
                                        size_t *offset, size_t *bytes) {
  DSV2_BEGIN();
  if (!function)
    return CUDA_ERROR_INVALID_HANDLE;
  const auto &parameters = reinterpret_cast<Kernel *>(function)->parameters;
  if (!offset || index >= parameters.size())
    return CUDA_ERROR_INVALID_VALUE;
  *offset = 0;
  for (size_t i = 0; i <= index; ++i) {
    uint64_t alignment = parameters[i].alignment;
    *offset = (*offset + alignment - 1) / alignment * alignment;
    if (i < index)
      *offset += parameters[i].bytes;
  }
  if (bytes)
    *bytes = parameters[index].bytes;
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuLaunchKernelEx(const CUlaunchConfig *config,
                                      CUfunction function, void **parameters,
                                      void **extra) {
  DSV2_BEGIN();
  if (!config || !function)
    return CUDA_ERROR_INVALID_VALUE;
  if (extra)
    return CUDA_ERROR_NOT_SUPPORTED;
  return device.launch(*config, *reinterpret_cast<Kernel *>(function),
                       parameters);
}

//===----------------------------------------------------------------------===//
// Tensor maps
//===----------------------------------------------------------------------===//

DSV2_EXPORT CUresult cuTensorMapEncodeTiled(
    CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *address,
    const cuuint64_t *dims, const cuuint64_t *strides, const cuuint32_t *box,
    const cuuint32_t *elementStrides, CUtensorMapInterleave interleave,
    CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
    CUtensorMapFloatOOBfill fill) {
  Call call;
  std::string problem =
      encodeTensorMap(*map, type, rank, address, dims, strides, box,
                      elementStrides, interleave, swizzle, promotion, fill);
  if (problem.empty())
    return CUDA_SUCCESS;
  call.device.report = reportLine(Kind::Protocol, "tensor map: " + problem);
  return CUDA_ERROR_INVALID_VALUE;
}
