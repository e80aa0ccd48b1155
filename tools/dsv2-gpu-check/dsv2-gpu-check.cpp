//===- dsv2-gpu-check.cpp - kernels on a device, checked and timed --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Exchange.h"
#include "Report.h"
#include "Support.h"
#include "ToolSupport.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

using namespace dsv2rt;
using namespace dsv2check;
namespace fs = std::filesystem;

static const char tool[] = "dsv2-gpu-check";

namespace {
struct Flags {
  Plan plan;
  std::vector<std::string> paths;
  std::string filter, json, ncclLibrary;
  bool noCheck = false, list = false, quiet = false, nccl = false;
};
} // namespace

/// The files that the command line names; of folders those that end in .cases,
/// by name.
static Expected<std::vector<std::string>>
findFiles(const std::vector<std::string> &paths) {
  std::vector<std::string> files;
  for (const std::string &path : paths) {
    std::error_code error;
    if (!fs::is_directory(path, error)) {
      files.push_back(path);
      continue;
    }
    std::vector<std::string> found;
    for (const fs::directory_entry &entry : fs::directory_iterator(path, error))
      if (entry.path().extension() == ".cases")
        found.push_back(entry.path().string());
    if (error)
      return makeError(StatusCode::IoError, "cannot read the folder ",
                       quote(path), ": ", error.message());
    std::sort(found.begin(), found.end());
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

/// Reads all files and chooses cases.
static Status choose(Flags &flags) {
  Expected<std::vector<std::string>> files = findFiles(flags.paths);
  if (!files.ok())
    return files.status();
  for (const std::string &path : files.value()) {
    Expected<KernelCases> cases = readKernelCases(path);
    if (!cases.ok())
      return cases.status();
    size_t file = flags.plan.files.size(), before = flags.plan.items.size();
    for (size_t i = 0; i < cases.value().cases.size(); ++i) {
      const KernelCase &item = cases.value().cases[i];
      if (item.name.find(flags.filter) != std::string::npos &&
          (flags.plan.check || item.timed()))
        flags.plan.items.push_back({file, i});
    }
    if (flags.plan.items.size() > before)
      flags.plan.files.push_back(
          {path, std::make_shared<KernelCases>(std::move(cases.value()))});
  }
  if (flags.plan.items.empty())
    return makeError(StatusCode::InvalidArgument, "there is no such case in ",
                     files.value().size(), " files");
  return Status();
}

/// Exchanges of one rank with itself.
static int runExchange(const Flags &flags) {
  if (!flags.ncclLibrary.empty())
    setenv("DSV2_NCCL_LIBRARY", flags.ncclLibrary.c_str(), /*overwrite=*/1);
  Expected<std::shared_ptr<Device>> device = Device::open(flags.plan.device);
  if (!device.ok())
    return reportFailure(tool, device.status());
  Expected<ExchangeReport> report = checkExchange(*device.value());
  if (!report.ok())
    return reportFailure(tool, report.status());
  std::printf("%lld exchanges of one rank with itself by NCCL, %lld bytes, all "
              "right\n",
              static_cast<long long>(report.value().operations),
              static_cast<long long>(report.value().bytes));
  return ExitSuccess;
}

static int run(Flags &flags) {
  if (flags.nccl)
    return runExchange(flags);
  if (flags.paths.empty()) {
    printError(tool, "cases: expected files of cases, or folders of them");
    return ExitUsage;
  }
  flags.plan.check = !flags.noCheck;
  flags.plan.ceilings = flags.plan.bench;
  if (flags.noCheck && !flags.plan.bench)
    return reportFailure(tool, makeError(StatusCode::InvalidArgument,
                                         "--no-check leaves nothing to do "
                                         "without --bench"));
  Status status = choose(flags);
  if (!status.ok())
    return reportFailure(tool, status);
  if (flags.list) {
    for (const Plan::Item &item : flags.plan.items)
      std::printf("%s\n", flags.plan.at(item).name.c_str());
    return ExitSuccess;
  }
  FILE *json = nullptr;
  if (!flags.json.empty() && !(json = std::fopen(flags.json.c_str(), "w")))
    return reportFailure(tool, makeError(StatusCode::IoError, "cannot write ",
                                         quote(flags.json)));
  Report report(flags.plan, json, flags.quiet);
  status = runPlan(flags.plan, report);
  if (!status.ok())
    return reportFailure(tool, status);
  bool good = report.finish();
  if (json && std::fclose(json) != 0)
    return reportFailure(tool, makeError(StatusCode::IoError, "cannot write ",
                                         quote(flags.json)));
  return good ? ExitSuccess : ExitFailure;
}

static const char footer[] = R"(
Cases are files that dsv2-kernel-cases and the compiler's tests write. Each runs
its kernels on the device and compares what they computed with plain loops; 1.0
of what is allowed is the limit. With --bench those that are worth it are timed:
the median of many runs on cold caches, the bytes that have to be moved and the
operations in that time, and the share of the ceilings that the same run has
measured: a copy within the device's memory, and a large product of cuBLAS.

Exit codes: 0 every case passed or has no code for the device; 1 one failed or
did not run; 2 a wrong command line.)";

static void declare(CLI::App &app, Flags &flags) {
  app.add_option("cases", flags.paths, "Files of cases, or folders of them");
  app.add_option("--device", flags.plan.device,
                 "cuda, cuda:N or emulator, which needs bitcode")
      ->capture_default_str();
  app.add_option("--filter", flags.filter,
                 "Only cases whose name holds this text");
  app.add_flag("--bench", flags.plan.bench, "Time what is worth timing");
  app.add_flag("--no-check", flags.noCheck, "Time only");
  app.add_option("--cublas", flags.plan.cublas,
                 "The library that gives the ceiling of products (default: "
                 "libcublas.so.13 or .12, where the loader finds it)");
  app.add_flag("--nccl", flags.nccl,
               "No cases: one rank exchanges with itself by NCCL");
  app.add_option(
      "--nccl-library", flags.ncclLibrary,
      "NCCL (default: what DSV2_NCCL_LIBRARY names, or libnccl.so.2, "
      "where the loader finds it)");
  app.add_option("--limit", flags.plan.caseLimit, "Seconds for one case")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--budget", flags.plan.budget, "Seconds for all cases")
      ->check(CLI::PositiveNumber);
  app.add_option("--json", flags.json,
                 "Write a line of JSON for every case to this file");
  app.add_flag("--in-process", flags.plan.inProcess,
               "No process for the cases, for debuggers and sanitizers");
  app.add_flag("--list", flags.list, "List the cases and stop");
  app.add_flag("--quiet", flags.quiet, "No lines for cases that pass");
  app.footer(footer);
}

int main(int argc, char **argv) {
  try {
    Flags flags;
    CLI::App app("Checks and times kernels on a device.", tool);
    app.set_version_flag("--version", std::string(tool) + " " + DSV2_VERSION);
    declare(app, flags);
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
      if (error.get_exit_code() == 0)
        return app.exit(error);
      printError(tool, error.what());
      return ExitUsage;
    }
    return run(flags);
  } catch (const std::bad_alloc &) {
    printError(tool, "memory allocation failed");
  } catch (const std::exception &error) {
    printError(tool, std::string("unexpected exception: ") + error.what());
  }
  return ExitFailure;
}
