//===- StubDriver.cpp - a CUDA driver for tests ---------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StubState.h"
#include "dsv2rt/cuda/TensorMapRules.h"

#include <cstdlib>
#include <cstring>

using namespace stub;

// Every function is declared as DriverApi.def says, so that one that differs
// does not compile, and one that is missing does not link.
extern "C" {
#define DSV2_CUDA_FUNCTION(NAME, PARAMETERS)                                   \
  __attribute__((visibility("default"))) CUresult NAME PARAMETERS;
#include "dsv2rt/cuda/DriverApi.def"
}

/// Begins a function of the driver. Those that give something back do so even
/// when they have to fail, and begin by themselves.
#define ENTER(NEEDS_CONTEXT)                                                   \
  State &s = state();                                                          \
  std::lock_guard<std::recursive_mutex> lock(s.mutex);                         \
  if (CUresult failure = enter(__func__, NEEDS_CONTEXT))                       \
  return failure

#define REQUIRE(CONDITION, ERROR)                                              \
  if (!(CONDITION))                                                            \
  return ERROR

//===----------------------------------------------------------------------===//
// Initialisation, devices, contexts
//===----------------------------------------------------------------------===//

CUresult cuInit(unsigned flags) {
  ENTER(false);
  REQUIRE(flags == 0, CUDA_ERROR_INVALID_VALUE);
  s.initialised = true;
  return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int *version) {
  ENTER(false);
  *version = s.config.version;
  return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char **name) {
  ENTER(false);
  switch (error) {
  case CUDA_ERROR_OUT_OF_MEMORY:
    *name = "CUDA_ERROR_OUT_OF_MEMORY";
    return CUDA_SUCCESS;
  case CUDA_ERROR_INVALID_CONTEXT:
    *name = "CUDA_ERROR_INVALID_CONTEXT";
    return CUDA_SUCCESS;
  case CUDA_ERROR_INVALID_VALUE:
    *name = "CUDA_ERROR_INVALID_VALUE";
    return CUDA_SUCCESS;
  case CUDA_ERROR_LAUNCH_FAILED:
    *name = "CUDA_ERROR_LAUNCH_FAILED";
    return CUDA_SUCCESS;
  default:
    *name = "CUDA_ERROR_OF_THE_STUB";
    return CUDA_SUCCESS;
  }
}

CUresult cuGetErrorString(CUresult, const char **text) {
  ENTER(false);
  *text = "as the test wants";
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count) {
  ENTER(false);
  REQUIRE(s.initialised, CUDA_ERROR_NOT_INITIALIZED);
  *count = s.config.devices;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  ENTER(false);
  REQUIRE(ordinal >= 0 && ordinal < s.config.devices,
          CUDA_ERROR_INVALID_DEVICE);
  *device = ordinal;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int length, CUdevice) {
  ENTER(false);
  std::strncpy(name, s.config.name.c_str(), size_t(length));
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device) {
  ENTER(false);
  std::memset(uuid->bytes, s.config.oneUuid ? 0 : device + 1,
              sizeof(uuid->bytes));
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute,
                              CUdevice device) {
  ENTER(false);
  switch (attribute) {
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
    *value = s.config.major;
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
    *value = s.config.minor;
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
    *value = 132;
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
    *value = s.config.sharedBytes;
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
    *value = 50 << 20;
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID:
  case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID:
    *value = 0;
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID:
    *value = device;
    return CUDA_SUCCESS;
  default:
    return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice) {
  ENTER(false);
  *bytes = s.config.memory;
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice) {
  ENTER(false);
  ++s.context.retained;
  *context = &s.context;
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  CUresult failure = enter(__func__, false);
  REQUIRE(s.context.retained > 0, CUDA_ERROR_INVALID_CONTEXT);
  --s.context.retained;
  return failure;
}

CUresult cuCtxSetCurrent(CUcontext context) {
  ENTER(false);
  REQUIRE(!context || (context == &s.context && s.context.retained),
          CUDA_ERROR_INVALID_CONTEXT);
  current() = context;
  return CUDA_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

CUresult cuMemGetInfo_v2(size_t *available, size_t *total) {
  ENTER(true);
  *total = s.config.memory;
  *available = s.config.memory - std::min(s.allocated, s.config.memory);
  return CUDA_SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
  ENTER(true);
  REQUIRE(bytes > 0, CUDA_ERROR_INVALID_VALUE);
  REQUIRE(bytes <= s.config.memory - std::min(s.allocated, s.config.memory),
          CUDA_ERROR_OUT_OF_MEMORY);
  size_t padded = (bytes + 2 * guard - 1) / guard * guard;
  void *memory = std::aligned_alloc(guard, padded);
  REQUIRE(memory, CUDA_ERROR_OUT_OF_MEMORY);
  // A NaN in every format of floats.
  std::memset(memory, 0xff, padded);
  *address = reinterpret_cast<uint64_t>(memory) + addressOffset;
  s.memory[*address] = bytes;
  s.allocated += bytes;
  return CUDA_SUCCESS;
}

CUresult cuMemFree_v2(CUdeviceptr address) {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  CUresult failure = enter(__func__, true);
  auto it = s.memory.find(address);
  REQUIRE(it != s.memory.end(), CUDA_ERROR_INVALID_VALUE);
  s.drain();
  s.allocated -= it->second;
  s.memory.erase(it);
  std::free(host<void>(address));
  return failure;
}

CUresult cuMemHostAlloc(void **address, size_t bytes, unsigned) {
  ENTER(true);
  REQUIRE(bytes > 0, CUDA_ERROR_INVALID_VALUE);
  *address = std::malloc(bytes);
  REQUIRE(*address, CUDA_ERROR_OUT_OF_MEMORY);
  std::memset(*address, 0xff, bytes);
  s.pinned[*address] = bytes;
  return CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void *address) {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  CUresult failure = enter(__func__, true);
  REQUIRE(s.pinned.count(address), CUDA_ERROR_INVALID_VALUE);
  s.drain();
  s.pinned.erase(address);
  std::free(address);
  return failure;
}

/// Puts work on a stream that takes it.
static CUresult enqueue(CUstream stream, std::function<void()> work) {
  State &s = state();
  REQUIRE(s.streams.count(stream), CUDA_ERROR_INVALID_HANDLE);
  REQUIRE(!stream->captured, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  stream->pending.push_back([work = std::move(work)] {
    work();
    return true;
  });
  return CUDA_SUCCESS;
}

extern "C" int dsv2StubPut(void *stream, int (*work)(void *), void *data) {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  auto *on = static_cast<CUstream>(stream);
  if (!s.streams.count(on) || on->captured)
    return 0;
  on->shared = true;
  on->pending.push_back([work, data] { return work(data) != 0; });
  return 1;
}

extern "C" void *dsv2StubMemory(const void *address, size_t bytes) {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  auto at = reinterpret_cast<uint64_t>(address);
  return s.owns(at, bytes) ? host<void>(at) : nullptr;
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes,
                              CUstream stream) {
  ENTER(true);
  REQUIRE(s.owns(to, bytes), CUDA_ERROR_INVALID_VALUE);
  return enqueue(stream, [=] { std::memcpy(host<void>(to), from, bytes); });
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes,
                              CUstream stream) {
  ENTER(true);
  REQUIRE(s.owns(from, bytes), CUDA_ERROR_INVALID_VALUE);
  return enqueue(stream, [=] { std::memcpy(to, host<void>(from), bytes); });
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes,
                              CUstream stream) {
  ENTER(true);
  REQUIRE(s.owns(to, bytes) && s.owns(from, bytes), CUDA_ERROR_INVALID_VALUE);
  return enqueue(stream,
                 [=] { std::memcpy(host<void>(to), host<void>(from), bytes); });
}

CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *copy, CUstream stream) {
  ENTER(true);
  CUDA_MEMCPY2D c = *copy;
  REQUIRE(c.srcMemoryType == CU_MEMORYTYPE_DEVICE &&
              c.dstMemoryType == CU_MEMORYTYPE_DEVICE,
          CUDA_ERROR_NOT_SUPPORTED);
  REQUIRE(
      c.WidthInBytes && c.Height && !c.srcXInBytes && !c.srcY &&
          !c.dstXInBytes && !c.dstY && c.srcPitch >= c.WidthInBytes &&
          c.dstPitch >= c.WidthInBytes &&
          s.owns(c.srcDevice, (c.Height - 1) * c.srcPitch + c.WidthInBytes) &&
          s.owns(c.dstDevice, (c.Height - 1) * c.dstPitch + c.WidthInBytes),
      CUDA_ERROR_INVALID_VALUE);
  return enqueue(stream, [c] {
    for (size_t row = 0; row < c.Height; ++row)
      std::memcpy(host<void>(c.dstDevice + row * c.dstPitch),
                  host<void>(c.srcDevice + row * c.srcPitch), c.WidthInBytes);
  });
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes,
                         CUstream stream) {
  ENTER(true);
  REQUIRE(s.owns(to, bytes), CUDA_ERROR_INVALID_VALUE);
  return enqueue(stream, [=] { std::memset(host<void>(to), value, bytes); });
}

//===----------------------------------------------------------------------===//
// Streams and events
//===----------------------------------------------------------------------===//

CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
  ENTER(true);
  REQUIRE(flags <= CU_STREAM_NON_BLOCKING, CUDA_ERROR_INVALID_VALUE);
  *stream = new CUstream_st();
  s.streams.insert(*stream);
  return CUDA_SUCCESS;
}

CUresult cuStreamDestroy_v2(CUstream stream) {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  CUresult failure = enter(__func__, true);
  REQUIRE(s.streams.count(stream), CUDA_ERROR_INVALID_HANDLE);
  if (stream->captured)
    s.misuse.push_back("a stream was destroyed while it was captured");
  s.drain();
  s.streams.erase(stream);
  delete stream;
  return failure;
}

CUresult cuStreamSynchronize(CUstream stream) {
  ENTER(true);
  REQUIRE(s.streams.count(stream), CUDA_ERROR_INVALID_HANDLE);
  REQUIRE(!stream->captured, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  s.drain();
  return CUDA_SUCCESS;
}

CUresult cuStreamQuery(CUstream stream) {
  ENTER(true);
  REQUIRE(s.streams.count(stream), CUDA_ERROR_INVALID_HANDLE);
  REQUIRE(!stream->captured, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  return s.advance(stream) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult cuEventCreate(CUevent *event, unsigned flags) {
  ENTER(true);
  *event = new CUevent_st();
  (*event)->timing = flags == CU_EVENT_DEFAULT;
  s.events.insert(*event);
  return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event) {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  CUresult failure = enter(__func__, true);
  REQUIRE(s.events.count(event), CUDA_ERROR_INVALID_HANDLE);
  s.drain();
  s.events.erase(event);
  delete event;
  return failure;
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
  ENTER(true);
  REQUIRE(s.events.count(event), CUDA_ERROR_INVALID_HANDLE);
  event->recorded = std::make_shared<bool>(false);
  event->stream = stream;
  return enqueue(stream, [event, recorded = event->recorded] {
    *recorded = true;
    event->time = ++state().clock;
  });
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  ENTER(true);
  REQUIRE(s.streams.count(stream) && s.events.count(event),
          CUDA_ERROR_INVALID_HANDLE);
  REQUIRE(!stream->captured, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  REQUIRE(flags == 0, CUDA_ERROR_INVALID_VALUE);
  // The last record counts, whatever comes later; without one it is no wait.
  if (std::shared_ptr<bool> recorded = event->recorded) {
    stream->shared = true;
    stream->pending.push_back([recorded] { return *recorded; });
  }
  return CUDA_SUCCESS;
}

CUresult cuEventSynchronize(CUevent event) {
  ENTER(true);
  REQUIRE(s.events.count(event), CUDA_ERROR_INVALID_HANDLE);
  s.drain();
  return CUDA_SUCCESS;
}

CUresult cuEventQuery(CUevent event) {
  ENTER(true);
  REQUIRE(s.events.count(event), CUDA_ERROR_INVALID_HANDLE);
  if (s.streams.count(event->stream))
    s.advance(event->stream);
  return !event->recorded || *event->recorded ? CUDA_SUCCESS
                                              : CUDA_ERROR_NOT_READY;
}

CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
  ENTER(true);
  REQUIRE(s.events.count(start) && s.events.count(end) && start->timing &&
              end->timing,
          CUDA_ERROR_INVALID_HANDLE);
  REQUIRE(start->recorded && end->recorded, CUDA_ERROR_INVALID_HANDLE);
  REQUIRE(*start->recorded && *end->recorded, CUDA_ERROR_NOT_READY);
  *milliseconds = float(end->time - start->time);
  return CUDA_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Graphs
//===----------------------------------------------------------------------===//

CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode) {
  ENTER(true);
  REQUIRE(s.streams.count(stream), CUDA_ERROR_INVALID_HANDLE);
  REQUIRE(!stream->captured, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  stream->captured = std::make_unique<CUgraph_st>();
  return CUDA_SUCCESS;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  CUresult failure = enter(__func__, true);
  REQUIRE(s.streams.count(stream) && stream->captured,
          CUDA_ERROR_INVALID_HANDLE);
  // A capture that fails has ended too.
  std::unique_ptr<CUgraph_st> captured = std::move(stream->captured);
  REQUIRE(!failure, failure);
  *graph = captured.release();
  s.graphs.insert(*graph);
  return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph,
                                     unsigned long long) {
  ENTER(true);
  REQUIRE(s.graphs.count(graph), CUDA_ERROR_INVALID_HANDLE);
  *executable = new CUgraphExec_st{*graph};
  s.executables.insert(*executable);
  return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph graph) {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  CUresult failure = enter(__func__, true);
  REQUIRE(s.graphs.erase(graph), CUDA_ERROR_INVALID_HANDLE);
  delete graph;
  return failure;
}

CUresult cuGraphExecDestroy(CUgraphExec executable) {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  CUresult failure = enter(__func__, true);
  REQUIRE(s.executables.count(executable), CUDA_ERROR_INVALID_HANDLE);
  s.drain();
  s.executables.erase(executable);
  delete executable;
  return failure;
}

CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
  ENTER(true);
  REQUIRE(s.executables.count(executable), CUDA_ERROR_INVALID_HANDLE);
  return enqueue(stream, [executable] {
    for (const auto &launch : executable->graph.launches)
      launch(/*replayed=*/true);
  });
}

//===----------------------------------------------------------------------===//
// Modules and kernels
//===----------------------------------------------------------------------===//

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image,
                            unsigned numOptions, CUjit_option *options,
                            void **optionValues) {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  CUresult failure = enter(__func__, true);
  auto *bytes = static_cast<const char *>(image);
  // Bitcode comes in a wrapper that says where it begins.
  uint32_t wrapper[5];
  std::memcpy(wrapper, bytes, sizeof(wrapper));
  if (wrapper[0] == 0x0B17C0DE)
    bytes += wrapper[2];
  Image table;
  std::memcpy(&table, bytes, sizeof(table.magic) + sizeof(table.count));
  if (!failure && (table.magic != imageMagic || table.count > maxKernels))
    failure = CUDA_ERROR_INVALID_IMAGE;
  if (failure) {
    for (unsigned i = 0; i < numOptions; ++i)
      if (options[i] == CU_JIT_ERROR_LOG_BUFFER && !s.config.log.empty())
        std::strcpy(static_cast<char *>(optionValues[i]), s.config.log.c_str());
    return failure;
  }
  std::memcpy(&table, bytes, sizeof(table));
  *module = new CUmod_st{table, {}};
  s.modules.insert(*module);
  return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule module) {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  CUresult failure = enter(__func__, true);
  REQUIRE(s.modules.count(module), CUDA_ERROR_INVALID_HANDLE);
  s.drain();
  s.modules.erase(module);
  delete module;
  return failure;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module,
                             const char *name) {
  ENTER(true);
  REQUIRE(s.modules.count(module), CUDA_ERROR_INVALID_HANDLE);
  for (uint64_t i = 0; i < module->image.count; ++i) {
    const KernelEntry &entry = module->image.kernels[i];
    if (std::strcmp(entry.name, name) != 0)
      continue;
    module->functions.push_back({&entry});
    *function = &module->functions.back();
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_NOT_FOUND;
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute,
                            CUfunction) {
  ENTER(true);
  *value = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK
               ? s.config.kernelThreads
               : 0;
  return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute,
                            int value) {
  ENTER(true);
  if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) {
    REQUIRE(value <= s.config.sharedBytes, CUDA_ERROR_INVALID_VALUE);
    function->dynamicShared = value;
  } else if (attribute == CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED) {
    function->largeClusters = value;
  }
  return CUDA_SUCCESS;
}

CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t *offset,
                            size_t *bytes) {
  ENTER(true);
  std::vector<size_t> sizes;
  for (const uint32_t *size = function->entry->parameterBytes; *size; ++size)
    sizes.push_back(*size);
  if (s.config.moreParameterBytes)
    sizes.push_back(s.config.moreParameterBytes);
  REQUIRE(index < sizes.size(), CUDA_ERROR_INVALID_VALUE);
  *offset = 0;
  *bytes = sizes[index];
  return CUDA_SUCCESS;
}

/// Notes a launch and calls the function that stands for the kernel.
static void runKernel(const KernelEntry &entry, CUlaunchConfig config,
                      Launch launch, bool replayed) {
  launch.replayed = replayed;
  std::vector<void *> pointers;
  for (std::string &value : launch.parameters)
    pointers.push_back(value.data());
  state().launches.push_back(launch);
  entry.function(config, pointers.data());
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function,
                          void **parameters, void **extra) {
  ENTER(true);
  REQUIRE(s.streams.count(config->hStream), CUDA_ERROR_INVALID_HANDLE);
  REQUIRE(!extra && config->gridDimX && config->gridDimY && config->gridDimZ,
          CUDA_ERROR_INVALID_VALUE);
  REQUIRE(int(config->sharedMemBytes) <= function->dynamicShared,
          CUDA_ERROR_INVALID_VALUE);
  Launch launch = {function->entry->name,
                   {config->gridDimX, config->gridDimY, config->gridDimZ},
                   {config->blockDimX, config->blockDimY, config->blockDimZ},
                   {1, 1, 1},
                   config->sharedMemBytes,
                   false,
                   false,
                   {}};
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const CUlaunchAttribute &attribute = config->attrs[i];
    if (attribute.id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) {
      launch.cluster[0] = attribute.value.clusterDim.x;
      launch.cluster[1] = attribute.value.clusterDim.y;
      launch.cluster[2] = attribute.value.clusterDim.z;
    } else if (attribute.id ==
               CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION) {
      REQUIRE(s.config.major >= 9, CUDA_ERROR_NOT_SUPPORTED);
      launch.programmatic =
          attribute.value.programmaticStreamSerializationAllowed;
    } else {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  unsigned cluster = launch.cluster[0] * launch.cluster[1] * launch.cluster[2];
  REQUIRE(cluster <= (function->largeClusters ? 16u : 8u),
          CUDA_ERROR_INVALID_VALUE);
  // Values are read now, whenever the kernel runs.
  for (int i = 0; function->entry->parameterBytes[i]; ++i)
    launch.parameters.emplace_back(static_cast<char *>(parameters[i]),
                                   function->entry->parameterBytes[i]);
  CUlaunchConfig kept = *config;
  kept.attrs = nullptr, kept.numAttrs = 0;
  auto work = [entry = *function->entry, kept, launch](bool replayed) {
    runKernel(entry, kept, launch, replayed);
  };
  if (config->hStream->captured) {
    config->hStream->captured->launches.push_back(std::move(work));
    return CUDA_SUCCESS;
  }
  return enqueue(config->hStream, [work] { work(/*replayed=*/false); });
}

CUresult cuTensorMapEncodeTiled(
    CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *address,
    const cuuint64_t *dims, const cuuint64_t *strides, const cuuint32_t *box,
    const cuuint32_t *elementStrides, CUtensorMapInterleave interleave,
    CUtensorMapSwizzle swizzle, CUtensorMapL2promotion,
    CUtensorMapFloatOOBfill fill) {
  ENTER(false);
  REQUIRE(dsv2rt::cuda::tensorMapProblem(type, rank, address, dims, strides,
                                         box, swizzle)
              .empty(),
          CUDA_ERROR_INVALID_VALUE);
  REQUIRE(interleave == CU_TENSOR_MAP_INTERLEAVE_NONE &&
              fill == CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
          CUDA_ERROR_INVALID_VALUE);
  TensorMapContents contents = {};
  contents.address = reinterpret_cast<uint64_t>(address);
  contents.type = type, contents.rank = rank, contents.swizzle = swizzle;
  for (cuuint32_t i = 0; i < rank; ++i) {
    REQUIRE(elementStrides[i] == 1, CUDA_ERROR_INVALID_VALUE);
    contents.dims[i] = dims[i];
    contents.box[i] = box[i];
  }
  std::memset(map, 0, sizeof(*map));
  std::memcpy(map, &contents, sizeof(contents));
  return CUDA_SUCCESS;
}
