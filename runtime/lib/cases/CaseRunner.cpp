//===- CaseRunner.cpp - runs cases on a device ----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/CaseRunner.h"
#include "CaseMemory.h"
#include "DeviceImpl.h"
#include "Launcher.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

using namespace dsv2rt;
using namespace dsv2rt::cuda;

namespace {

/// Kernels show nothing.
struct NoTaps : public TapSink {
  void tap(int32_t, int64_t, void *, int64_t, int64_t, int64_t,
           int32_t) override {}
};

/// Puts the launches of a case on a stream, with the buffers of `memory`.
Status launchAll(const KernelCase &item, const CaseMemory &memory,
                 Launcher &launcher) {
  for (const CaseLaunch &launch : item.launches) {
    // Values live until the call returns, which copies them.
    std::vector<uint64_t> words(launch.arguments.size());
    std::vector<dsv2rt_tensor> tensors(launch.arguments.size());
    std::vector<void *> parameters;
    for (size_t i = 0; i < launch.arguments.size(); ++i) {
      const CaseArgument &argument = launch.arguments[i];
      void *value = &words[i];
      auto address = [&] {
        return memory.address(argument.buffer) + CUdeviceptr(argument.offset);
      };
      switch (argument.kind) {
      case CaseArgument::Kind::Pointer:
        words[i] = address();
        break;
      case CaseArgument::Kind::I32:
      case CaseArgument::Kind::I64:
        // Little-endian: the lower half comes first.
        words[i] = uint64_t(argument.integer);
        break;
      case CaseArgument::Kind::F32:
        std::memcpy(&words[i], &argument.number, sizeof(float));
        break;
      case CaseArgument::Kind::Tensor:
        tensors[i].address = reinterpret_cast<void *>(address());
        std::copy(argument.dims.begin(), argument.dims.end(), tensors[i].dims);
        std::copy(argument.strides.begin(), argument.strides.end(),
                  tensors[i].strides);
        value = &tensors[i];
        break;
      }
      parameters.push_back(value);
    }
    launcher.launch(int32_t(launch.kernel), int32_t(launch.grid[0]),
                    int32_t(launch.grid[1]), int32_t(launch.grid[2]),
                    parameters.data(), /*site=*/{});
  }
  return launcher.failure();
}

float elementAt(const std::vector<uint8_t> &bytes, CaseElement element,
                int64_t index) {
  const uint8_t *place = bytes.data() + index * elementBytes(element);
  if (element == CaseElement::BF16) {
    uint16_t half;
    std::memcpy(&half, place, sizeof(half));
    return fromBFloat16(half);
  }
  if (element == CaseElement::I32) {
    int32_t number;
    std::memcpy(&number, place, sizeof(number));
    return float(number);
  }
  float number;
  std::memcpy(&number, place, sizeof(number));
  return number;
}

/// Adds what one check finds to `result`.
void compare(const CaseCheck &check, const std::vector<uint8_t> &bytes,
             CaseDeviation &result) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  auto note = [&](double excess, int64_t index, const auto &...expected) {
    if (excess > 1)
      ++result.wrong;
    // The first of several infinite ones.
    if (excess > result.worst || result.worstText.empty()) {
      result.worst = excess;
      result.worstText = strCat(check.what, ", element ", index, ": ",
                                elementAt(bytes, check.element, index),
                                " instead of ", expected...);
    }
  };
  // FNV-1a.
  auto hash = [&](int64_t index) {
    int64_t size = elementBytes(check.element);
    for (int64_t i = index * size; i < (index + 1) * size; ++i)
      result.digest = (result.digest ^ bytes[size_t(i)]) * 0x100000001b3;
  };
  size_t next = 0;
  for (auto [first, count] : check.spans)
    for (int64_t i = first; i < first + count; ++i) {
      float expected = check.expected[next++];
      double difference = std::fabs(double(elementAt(bytes, check.element, i)) -
                                    double(expected));
      double allowed =
          check.absolute + check.relative * std::fabs(double(expected));
      // What is no number is no small difference either.
      double excess = difference == 0         ? 0
                      : difference <= allowed ? difference / allowed
                      : allowed > 0           ? difference / allowed
                                              : infinity;
      ++result.elements;
      hash(i);
      note(std::isnan(excess) ? infinity : excess, i, expected);
    }
  if (!check.finite || check.element == CaseElement::I32)
    return;
  int64_t elements = int64_t(bytes.size()) / elementBytes(check.element);
  for (int64_t i = 0; i < elements; ++i)
    if (!std::isfinite(elementAt(bytes, check.element, i)))
      note(infinity, i, "a finite number");
}

} // namespace

struct CaseRunner::Impl {
  std::shared_ptr<Device> device;
  std::shared_ptr<Context> context;
  std::shared_ptr<const KernelCases> cases;
  std::unique_ptr<Program> program;
  StreamHandle stream;
  NoTaps taps;

  Status synchronize(const char *what) const {
    return context->call(context->driver().cuStreamSynchronize, what,
                         stream.get());
  }
  Expected<std::vector<CaseMemory>> makeSets(const KernelCase &item);
};

CaseRunner::CaseRunner(std::unique_ptr<Impl> impl) : impl(std::move(impl)) {}
CaseRunner::~CaseRunner() = default;

Expected<std::unique_ptr<CaseRunner>>
CaseRunner::create(std::shared_ptr<Device> device,
                   std::shared_ptr<const KernelCases> cases,
                   const std::string &name) {
  return guarded([&]() -> Expected<std::unique_ptr<CaseRunner>> {
    auto impl = std::make_unique<Impl>();
    impl->context = device->implementation().context;
    impl->device = std::move(device);
    impl->cases = std::move(cases);
    Status status = impl->context->makeCurrent();
    if (!status.ok())
      return status;
    ProgramSource source;
    source.name = name;
    source.code = &impl->cases->code;
    for (const std::vector<uint8_t> &image : impl->cases->images)
      source.images.push_back(image.data());
    source.owner = impl->cases;
    Expected<std::unique_ptr<Program>> program =
        Program::load(impl->context, std::move(source));
    if (!program.ok())
      return program.status();
    impl->program = std::move(program.value());
    Expected<StreamHandle> stream = makeStream(impl->context);
    if (!stream.ok())
      return stream.status();
    impl->stream = std::move(stream.value());
    return std::unique_ptr<CaseRunner>(new CaseRunner(std::move(impl)));
  });
}

Expected<CaseDeviation> CaseRunner::check(const KernelCase &item) {
  return guarded([&]() -> Expected<CaseDeviation> {
    Status status = impl->context->makeCurrent();
    CaseMemory memory(impl->context, impl->stream.get());
    if (status.ok())
      status = memory.fill(item);
    if (!status.ok())
      return status;
    StepStream steps(impl->context, impl->stream.get());
    Launcher launcher(*impl->program, steps);
    launcher.begin(impl->taps, /*waitForEach=*/true);
    status = launchAll(item, memory, launcher);
    if (!status.ok())
      return status;
    CaseDeviation result;
    std::vector<uint8_t> bytes;
    for (const CaseCheck &check : item.checks) {
      status = memory.download(item, check.buffer, bytes);
      if (!status.ok())
        return status;
      compare(check, bytes, result);
    }
    return result;
  });
}

//===----------------------------------------------------------------------===//
// Times
//===----------------------------------------------------------------------===//

/// As many sets of buffers as make the L2 cache forget each between its turns,
/// and as fit.
Expected<std::vector<CaseMemory>>
CaseRunner::Impl::makeSets(const KernelCase &item) {
  constexpr int64_t mostSets = 256;
  Expected<int64_t> available = device->availableMemory();
  if (!available.ok())
    return available.status();
  int64_t bytes = std::max<int64_t>(item.memory(), 1);
  int64_t wanted = 3 * device->info().cacheBytes / bytes + 1;
  wanted = std::min({wanted, mostSets, available.value() / 2 / bytes});
  std::vector<CaseMemory> sets;
  for (int64_t i = 0; i < std::max<int64_t>(wanted, 1); ++i) {
    CaseMemory set(context, stream.get());
    Status status = i ? set.copy(item, sets.front()) : set.fill(item);
    if (!status.ok())
      return status;
    sets.push_back(std::move(set));
  }
  return sets;
}

Expected<CaseTimes> CaseRunner::time(const KernelCase &item,
                                     const CaseTiming &timing) {
  return guarded([&]() -> Expected<CaseTimes> {
    const std::shared_ptr<Context> &context = impl->context;
    const Driver &driver = context->driver();
    CUstream stream = impl->stream.get();
    Status status = context->makeCurrent();
    if (!status.ok())
      return status;
    Expected<std::vector<CaseMemory>> sets = impl->makeSets(item);
    if (!sets.ok())
      return sets.status();
    StepStream steps(context, stream);
    Launcher launcher(*impl->program, steps);
    launcher.begin(impl->taps, /*waitForEach=*/false);

    // Work that keeps the device busy while the runs behind it are queued: the
    // time between events is then the device's alone. Nothing would be faster
    // on the emulator, whose launches have no cost but their own.
    DeviceMemory plug;
    constexpr size_t plugBytes = size_t(128) << 20;
    int plugs = context->info().emulated ? 0 : 12;
    if (plugs)
      status = plug.reserve(context, plugBytes, "the time before the runs");
    auto queueAhead = [&] {
      for (int i = 0; status.ok() && i < plugs; ++i)
        status = context->call(driver.cuMemsetD8Async, "delaying the runs",
                               plug.address(), 0, plugBytes, stream);
    };

    // Runs of one batch are all queued before the first begins.
    constexpr int64_t batch = 16;
    std::vector<EventHandle> events;
    for (int64_t i = 0; status.ok() && i < 2 * batch; ++i) {
      Expected<EventHandle> event = makeEvent(context, /*timing=*/true);
      status = event.status();
      if (status.ok())
        events.push_back(std::move(event.value()));
    }
    CaseTimes result;
    result.sets = int64_t(sets.value().size());
    std::vector<double> times;
    int64_t turn = 0;
    double sum = 0;
    auto runBatch = [&](int64_t runs, bool keep) {
      queueAhead();
      for (int64_t i = 0; status.ok() && i < runs; ++i) {
        status = context->call(driver.cuEventRecord, "timing",
                               events[2 * i].get(), stream);
        if (status.ok())
          status = launchAll(item, sets.value()[size_t(turn++ % result.sets)],
                             launcher);
        if (status.ok())
          status = context->call(driver.cuEventRecord, "timing",
                                 events[2 * i + 1].get(), stream);
      }
      if (status.ok())
        status = impl->synchronize("waiting for the runs");
      for (int64_t i = 0; status.ok() && keep && i < runs; ++i) {
        float milliseconds = 0;
        status =
            context->call(driver.cuEventElapsedTime, "timing", &milliseconds,
                          events[2 * i].get(), events[2 * i + 1].get());
        times.push_back(double(milliseconds) * 1e-3);
        sum += times.back();
      }
    };
    // The first runs load code and wake the clocks.
    runBatch(std::min<int64_t>(3, timing.maxRuns), /*keep=*/false);
    while (status.ok() && int64_t(times.size()) < timing.maxRuns &&
           (sum < timing.seconds || int64_t(times.size()) < timing.minRuns)) {
      int64_t left = timing.maxRuns - int64_t(times.size());
      double each = times.empty() ? 0 : sum / double(times.size());
      int64_t fits = each > 0 ? int64_t((timing.seconds - sum) / each) + 1 : 4;
      fits = std::max<int64_t>(fits, timing.minRuns - int64_t(times.size()));
      runBatch(std::clamp<int64_t>(fits, 1, std::min(batch, left)),
               /*keep=*/true);
    }
    if (!status.ok())
      return status;
    std::sort(times.begin(), times.end());
    result.runs = int64_t(times.size());
    result.fastest = times.front();
    result.median = times[times.size() / 2];
    return result;
  });
}
