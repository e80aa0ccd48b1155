//===- RunReport.cpp - kernels run on the emulator ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RunReport.h"

#include "FactsCase.h"
#include "dsv2rt/Device.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

#include <algorithm>
#include <dlfcn.h>

using namespace mlir;
using namespace mlir::dsv2;
using namespace dsv2rt;

llvm::Expected<std::vector<uint64_t>> mlir::dsv2::parseSeeds(StringRef text) {
  std::vector<uint64_t> seeds;
  for (StringRef part : llvm::split(text, ',')) {
    uint32_t seed;
    if (part.getAsInteger(10, seed))
      return llvm::createStringError(
          "--seed: expected numbers from 0 to " + Twine(UINT32_MAX) +
          ", separated by commas, got '" + text + "'");
    seeds.push_back(seed);
  }
  return seeds;
}

llvm::Expected<KernelRunner> KernelRunner::open() {
  KernelRunner runner;
  ::dsv2rt::Expected<std::shared_ptr<Device>> device = Device::open("emulator");
  if (!device.ok())
    return llvm::createStringError(device.status().message());
  runner.device = std::move(device.value());
  // The driver's interface has no room for these (Emulator.h).
  const std::string &path = runner.device->info().library;
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD);
  auto bind = [&](auto &function, const char *name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(
        library ? dlsym(library, name) : nullptr);
    return function != nullptr;
  };
  if (!bind(runner.setOptions, "dsv2_emulator_set_options") ||
      !bind(runner.clearError, "dsv2_emulator_clear_error"))
    return llvm::createStringError("the emulator, '" + path +
                                   "', lacks functions of its own");
  return runner;
}

llvm::Error KernelRunner::run(MLIRContext &context, const NamedKernel &kernel,
                              const GPUTargetInfo &target,
                              const KernelCode &code,
                              const mlir::dsv2::gpu::StepSize &step,
                              llvm::ArrayRef<uint64_t> seeds,
                              std::vector<RunOutcome> &outcomes) {
  std::vector<std::string> names = {kernel.name};
  llvm::append_range(names, cases::listPartners(*kernel.facts, kernel.name));
  auto made = code(names);
  if (!made)
    return made.takeError();
  std::shared_ptr<KernelCases> content = std::move(*made);
  for (const std::string &name : names)
    if (llvm::none_of(content->code.kernels,
                      [&](const auto &k) { return k.name == name; }))
      return llvm::createStringError("kernel '" + kernel.name +
                                     "' runs together with '" + name +
                                     "', which is not there");
  auto fail = [&](const llvm::Twine &why) {
    return llvm::createStringError("kernel '" + kernel.name + "': " + why);
  };
  for (uint64_t seed : seeds)
    if (llvm::Error error =
            cases::addCaseOf(context, *content, *kernel.facts, target, step,
                             device->info().multiprocessors, seed))
      return fail(llvm::toString(std::move(error)));
  Status valid = checkKernelCases(*content, "the case");
  if (!valid.ok())
    return fail(valid.message());
  auto runner = CaseRunner::create(device, content, "the input");
  if (!runner.ok())
    return fail(runner.status().message());
  for (auto [seed, item] : llvm::zip_equal(seeds, content->cases)) {
    std::string options = "seed=" + std::to_string(seed);
    if (setOptions(options.c_str()) != 0)
      return fail("the emulator refuses " + options);
    RunOutcome &outcome = outcomes.emplace_back();
    outcome.kernel = kernel.name;
    outcome.chip = target.chip.str();
    outcome.seed = seed;
    auto result = runner.value()->check(item);
    if (result.ok()) {
      outcome.deviation = result.value();
      continue;
    }
    if (result.status().code() != StatusCode::DeviceError)
      return fail(result.status().message());
    outcome.failure = result.status().message();
    clearError();
  }
  return llvm::Error::success();
}

/// Kernels of `outcomes`, and those with an outcome that is not right.
static std::pair<size_t, size_t> countKernels(ArrayRef<RunOutcome> outcomes) {
  llvm::StringMap<bool> right;
  for (const RunOutcome &outcome : outcomes)
    right.try_emplace(outcome.kernel + " " + outcome.chip, true)
        .first->second &= outcome.isRight();
  size_t wrong =
      llvm::count_if(right, [](const auto &entry) { return !entry.second; });
  return {right.size(), wrong};
}

bool mlir::dsv2::printRuns(llvm::raw_ostream &os, ArrayRef<RunOutcome> outcomes,
                           ArrayRef<std::string> skipped) {
  for (const RunOutcome &outcome : outcomes) {
    const CaseDeviation &deviation = outcome.deviation;
    std::string name = llvm::formatv("{0} for {1}, seed {2}: ", outcome.kernel,
                                     outcome.chip, outcome.seed);
    if (!outcome.failure.empty())
      os << "FAILED  " << name << outcome.failure << '\n';
    else if (deviation.wrong)
      os << "WRONG   " << name << deviation.wrong << " of "
         << deviation.elements << " elements; the worst, "
         << llvm::formatv("{0:F2}", deviation.worst)
         << " times what is allowed: " << deviation.worstText << '\n';
    else
      os << "ok      " << name << deviation.elements
         << " elements compared; the worst, "
         << llvm::formatv("{0:F3}", deviation.worst)
         << " of what is allowed: " << deviation.worstText << '\n';
  }
  if (!skipped.empty())
    os << "run: nothing to compare " << skipped.size()
       << " kernels with: " << llvm::join(skipped, ", ") << '\n';
  auto [kernels, wrong] = countKernels(outcomes);
  os << "run: " << kernels - wrong << " of " << kernels
     << " kernels compute what they should\n";
  return wrong == 0;
}

bool mlir::dsv2::printRunsJSON(llvm::raw_ostream &os,
                               ArrayRef<RunOutcome> outcomes,
                               ArrayRef<std::string> skipped) {
  llvm::json::OStream json(os, /*IndentSize=*/2);
  json.object([&] {
    json.attributeArray("runs", [&] {
      for (const RunOutcome &outcome : outcomes)
        json.object([&] {
          json.attribute("kernel", outcome.kernel);
          json.attribute("chip", outcome.chip);
          json.attribute("seed", int64_t(outcome.seed));
          json.attribute("right", outcome.isRight());
          if (!outcome.failure.empty()) {
            json.attribute("failure", llvm::json::fixUTF8(outcome.failure));
            return;
          }
          json.attribute("elements", outcome.deviation.elements);
          json.attribute("wrong", outcome.deviation.wrong);
          // There is no infinity in JSON.
          json.attribute("worst", std::min(outcome.deviation.worst, 1e300));
          json.attribute("where", outcome.deviation.worstText);
        });
    });
    json.attributeArray("without_reference", [&] {
      for (const std::string &name : skipped)
        json.value(name);
    });
  });
  os << '\n';
  return countKernels(outcomes).second == 0;
}
