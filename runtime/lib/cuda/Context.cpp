//===- Context.cpp - one device of a driver -------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Context.h"

#include <algorithm>
#include <iterator>

using namespace dsv2rt;
using namespace dsv2rt::cuda;

Expected<std::shared_ptr<Context>>
Context::open(std::shared_ptr<const Driver> driver, int ordinal,
              const std::string &name) {
  std::shared_ptr<Context> context(new Context());
  context->functions = std::move(driver);
  context->facts.name = name;
  context->where = " on " + name;
  const Driver &d = context->driver();
  int count = 0;
  Status status =
      context->call(d.cuDeviceGetCount, "counting the devices", &count);
  if (!status.ok())
    return status;
  if (ordinal >= count)
    return makeError(StatusCode::NotFound, "there is no device ", quote(name),
                     ": ", quote(d.library()), " finds ",
                     count ? strCat(count, count > 1 ? " devices" : " device",
                                    ", numbered from 0")
                           : "no device");
  status = context->call(d.cuDeviceGet, "opening the device", &context->device,
                         ordinal);
  if (status.ok())
    status = context->readInfo();
  if (!status.ok())
    return status;
  CUcontext made = nullptr;
  status = context->call(d.cuDevicePrimaryCtxRetain, "creating a context",
                         &made, context->device);
  if (!status.ok())
    return status;
  context->context = made;
  status = context->makeCurrent();
  if (!status.ok())
    return status;
  return context;
}

Context::~Context() {
  if (context)
    (void)call(functions->cuDevicePrimaryCtxRelease_v2,
               "giving the context back", device);
}

Status Context::readInfo() {
  const Driver &d = driver();
  facts.library = d.library();
  facts.driverVersion = d.version();
  facts.emulated = d.emulated();
  char model[256] = "";
  Status status = call(d.cuDeviceGetName, "asking for the device's name", model,
                       int(sizeof(model)), device);
  model[sizeof(model) - 1] = 0;
  facts.model = model;
  CUuuid uuid = {};
  if (status.ok())
    status = call(d.cuDeviceGetUuid_v2, "asking for the device's UUID", &uuid,
                  device);
  std::copy(std::begin(uuid.bytes), std::end(uuid.bytes), facts.uuid.begin());
  size_t total = 0;
  if (status.ok())
    status = call(d.cuDeviceTotalMem_v2, "asking for the device's memory",
                  &total, device);
  facts.memoryBytes = int64_t(total);
  auto attribute = [&](const char *what, CUdevice_attribute key) {
    int value = 0;
    if (status.ok())
      status = call(
          d.cuDeviceGetAttribute, [&] { return strCat("asking for ", what); },
          &value, key, device);
    return value;
  };
  facts.major = attribute("the compute capability",
                          CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  facts.minor = attribute("the compute capability",
                          CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  facts.multiprocessors = attribute("the number of multiprocessors",
                                    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  facts.sharedBytes =
      attribute("the shared memory of a block",
                CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
  facts.cacheBytes =
      attribute("the size of the L2 cache", CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
  facts.pciDomain = attribute("the number of the bus's domain",
                              CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID);
  facts.pciBus =
      attribute("the number of the bus", CU_DEVICE_ATTRIBUTE_PCI_BUS_ID);
  facts.pciDevice =
      attribute("the number on the bus", CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID);
  return status;
}

Status Context::makeCurrent() const {
  return call(functions->cuCtxSetCurrent, "choosing the context", context);
}

Status Context::memory(size_t &available, size_t &total) const {
  return call(functions->cuMemGetInfo_v2, "asking for the free memory",
              &available, &total);
}

void Context::noteReleaseFailure(const Status &status) {
  if (status.ok())
    return;
  std::lock_guard<std::mutex> lock(mutex);
  if (firstReleaseFailure.ok())
    firstReleaseFailure = status;
}

Status Context::releaseFailure() const {
  std::lock_guard<std::mutex> lock(mutex);
  return firstReleaseFailure;
}

void Context::noteRefusal(const std::string &sentence) {
  std::lock_guard<std::mutex> lock(mutex);
  // Programs of one artifact are refused alike.
  if (refusedImages.find(sentence) == std::string::npos)
    refusedImages += (refusedImages.empty() ? "" : "\n") + sentence;
}

std::string Context::refusals() const {
  std::lock_guard<std::mutex> lock(mutex);
  return refusedImages;
}
