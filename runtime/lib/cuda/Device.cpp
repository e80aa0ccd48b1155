//===- Device.cpp - a GPU, or what stands in for one ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Device.h"
#include "DeviceImpl.h"
#include "ImageChoice.h"

#include <algorithm>
#include <map>
#include <unistd.h>

using namespace dsv2rt;
using namespace dsv2rt::cuda;

Device::Device(std::unique_ptr<Impl> impl) : impl(std::move(impl)) {}
Device::~Device() = default;

/// Reads "cuda", "cuda:N" or "emulator".
static Status parseName(const std::string &name, bool &emulator, int &ordinal) {
  emulator = name == "emulator";
  ordinal = 0;
  if (emulator || name == "cuda")
    return Status();
  std::string number = name.rfind("cuda:", 0) == 0 ? name.substr(5) : "";
  if (number.empty() || number.size() > 4 ||
      number.find_first_not_of("0123456789") != std::string::npos)
    return makeError(StatusCode::InvalidArgument,
                     "device: expected 'cpu', 'cuda', 'cuda:N' or 'emulator', "
                     "found ",
                     quote(name));
  ordinal = std::stoi(number);
  return Status();
}

/// The number of the device that "cuda" is for a rank.
static Expected<int> ordinalOf(const Driver &driver, int rank) {
  int count = 0;
  Status status =
      driver.call(driver.cuDeviceGetCount, "", "counting the devices", &count);
  if (!status.ok())
    return status;
  // Without devices opening the first one says so.
  return count > 0 ? rank % count : 0;
}

Expected<std::shared_ptr<Device>> Device::open(const std::string &name,
                                               int rank) {
  using Result = Expected<std::shared_ptr<Device>>;
  return guarded([&]() -> Result {
    bool emulator = false;
    int ordinal = 0;
    Status status = parseName(name, emulator, ordinal);
    if (!status.ok())
      return status;
    // Sessions of one process share a device, so that weights are there once.
    if (name == "cuda" && rank > 0) {
      Expected<std::shared_ptr<const Driver>> driver = Driver::open(emulator);
      if (!driver.ok())
        return driver.status();
      Expected<int> found = ordinalOf(*driver.value(), rank);
      if (!found.ok())
        return found.status();
      ordinal = found.value();
    }
    static std::mutex mutex;
    static std::map<std::pair<std::string, int>, std::weak_ptr<Device>> open;
    std::lock_guard<std::mutex> lock(mutex);
    std::weak_ptr<Device> &place =
        open[{Driver::libraryFor(emulator), emulator ? -1 : ordinal}];
    if (std::shared_ptr<Device> device = place.lock())
      return device;
    Expected<std::shared_ptr<const Driver>> driver = Driver::open(emulator);
    if (!driver.ok())
      return driver.status();
    Expected<std::shared_ptr<Context>> context =
        Context::open(std::move(driver.value()), ordinal,
                      emulator ? "emulator" : strCat("cuda:", ordinal));
    if (!context.ok())
      return context.status();
    auto impl = std::make_unique<Impl>();
    impl->context = std::move(context.value());
    std::shared_ptr<Device> device(new Device(std::move(impl)));
    place = device;
    return device;
  });
}

const Device::Info &Device::info() const { return impl->context->info(); }
std::string Device::text() const { return impl->context->text(); }
std::string Device::refusedImages() const { return impl->context->refusals(); }

Status Device::releaseFailure() const {
  return impl->context->releaseFailure();
}

uint64_t Device::memoryNumber() const {
  const Info &facts = info();
  if (facts.emulated)
    return uint64_t(1) << 63 | uint64_t(getpid());
  return uint64_t(facts.pciDomain) << 32 | uint64_t(facts.pciBus) << 16 |
         uint64_t(facts.pciDevice);
}

void Device::forgetWeights() { impl->forgetWeights(); }

Expected<int64_t> Device::availableMemory() const {
  size_t available = 0, total = 0;
  Status status = impl->context->makeCurrent();
  if (status.ok())
    status = impl->context->memory(available, total);
  if (!status.ok())
    return status;
  return int64_t(available);
}

Expected<double> Device::measureCopyRate(int64_t bytes) const {
  constexpr int copies = 9;
  const std::shared_ptr<Context> &context = impl->context;
  const Driver &driver = context->driver();
  Status status = context->makeCurrent();
  DeviceMemory memory[2];
  for (DeviceMemory &part : memory)
    if (status.ok())
      status =
          part.reserve(context, uint64_t(bytes), "measuring its bandwidth");
  if (!status.ok())
    return status;
  Expected<StreamHandle> stream = makeStream(context);
  Expected<EventHandle> begin = makeEvent(context, /*timing=*/true);
  Expected<EventHandle> end = makeEvent(context, /*timing=*/true);
  for (const Status &made : {stream.status(), begin.status(), end.status()})
    if (!made.ok())
      return made;
  const char *what = "measuring the bandwidth of its memory";
  std::vector<double> rates;
  for (int i = 0; status.ok() && i < copies; ++i) {
    float milliseconds = 0;
    CUstream on = stream.value().get();
    status = context->call(driver.cuEventRecord, what, begin.value().get(), on);
    if (status.ok())
      status =
          context->call(driver.cuMemcpyDtoDAsync_v2, what, memory[0].address(),
                        memory[1].address(), size_t(bytes), on);
    if (status.ok())
      status = context->call(driver.cuEventRecord, what, end.value().get(), on);
    if (status.ok())
      status = context->call(driver.cuStreamSynchronize, what, on);
    if (status.ok())
      status = context->call(driver.cuEventElapsedTime, what, &milliseconds,
                             begin.value().get(), end.value().get());
    rates.push_back(milliseconds > 0 ? double(bytes) / milliseconds * 1e3 : 0);
  }
  if (!status.ok())
    return status;
  std::nth_element(rates.begin(), rates.begin() + copies / 2, rates.end());
  return rates[copies / 2];
}

bool Device::Impl::holds(const PackedWeights &weights) {
  std::lock_guard<std::mutex> lock(mutex);
  if (resident && resident->key() != weights.key())
    resident.reset();
  return resident != nullptr;
}

Expected<std::shared_ptr<const ResidentWeights>> Device::Impl::weightsFor(
    const Manifest &manifest, const PackedWeights &weights,
    const std::function<void(int64_t, int64_t)> &progress) {
  std::lock_guard<std::mutex> lock(mutex);
  if (resident && resident->key() == weights.key())
    return resident;
  resident.reset();
  Expected<std::shared_ptr<const ResidentWeights>> copied =
      ResidentWeights::upload(context, manifest, weights, progress);
  if (copied.ok())
    resident = copied.value();
  return copied;
}

static Status wrongTarget(const Artifact &artifact, const std::string &asked) {
  return makeError(StatusCode::InvalidArgument, "artifact ",
                   quote(artifact.path()), " was compiled for ",
                   artifact.targetText(), ", and cannot run on ", asked);
}

Status dsv2rt::checkTarget(const Artifact &artifact, const Device *device) {
  if (artifact.manifest().device.has_value() != (device != nullptr))
    return wrongTarget(artifact, device ? device->text() : "the CPU");
  return device ? chooseImages(*artifact.manifest().device,
                               "artifact " + quote(artifact.path()),
                               device->info())
                      .status()
                : Status();
}

Expected<std::shared_ptr<Device>>
dsv2rt::openDeviceFor(const Artifact &artifact, const std::string &name,
                      int rank) {
  bool forDevice = artifact.manifest().device.has_value();
  if (name == "cpu" || (name.empty() && !forDevice)) {
    Status status = checkTarget(artifact, nullptr);
    if (!status.ok())
      return status;
    return std::shared_ptr<Device>();
  }
  std::string wanted = name.empty() ? "cuda" : name;
  bool emulator = false;
  int ordinal = 0;
  Status status = parseName(wanted, emulator, ordinal);
  if (status.ok() && !forDevice)
    status = wrongTarget(artifact, quote(wanted));
  if (!status.ok())
    return status;
  Expected<std::shared_ptr<Device>> device = Device::open(wanted, rank);
  if (device.ok())
    status = checkTarget(artifact, device.value().get());
  if (!status.ok())
    return status;
  return device;
}
