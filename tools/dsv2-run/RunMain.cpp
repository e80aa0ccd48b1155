//===- RunMain.cpp - dsv2-run as a function -----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RunMain.h"
#include "Run.h"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <random>

using namespace dsv2rt;

int dsv2rt::runMain(int argc, char **argv) {
  try {
    RunFlags flags;
    CLI::App app("Runs a compiled DeepSeek-V2 family model.", runTool);
    app.set_version_flag("--version",
                         std::string(runTool) + " " + DSV2_VERSION);
    declareRunFlags(app, flags, Artifact::inProcess());
    // What an artifact holds can be told without weights; the parser has no
    // way to say that one flag makes another needless.
    app.get_option("--weights")->required(false);
    app.callback([&] {
      if (!flags.info && flags.model.weights.empty())
        throw CLI::RequiredError("--weights");
    });
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
      if (error.get_exit_code() == 0)
        return app.exit(error);
      printError(runTool, error.what());
      return ExitUsage;
    }
    if (flags.info) {
      Status status = printInfo(flags.model, flags.json);
      return status.ok() ? int(ExitSuccess) : reportFailure(runTool, status);
    }
    flags.sampling.seed = flags.seed ? *flags.seed
                                     : uint64_t(std::random_device()()) << 32 |
                                           std::random_device()();
    // Before ranks are started, so that what is wrong is said once.
    Expected<std::shared_ptr<const Artifact>> artifact =
        loadArtifact(flags.model);
    Status status = artifact.status();
    if (status.ok())
      status = checkFlags(flags, *artifact.value());
    if (!status.ok())
      return reportFailure(runTool, status);
    return runOnTeam(runTool, flags.ranks, *artifact.value(), [&](Team &team) {
      Run run(flags, artifact.value(), team);
      int code = run.run();
      run.finishDevice();
      return code;
    });
  } catch (const std::bad_alloc &) {
    printError(runTool, "memory allocation failed");
  } catch (const std::exception &error) {
    printError(runTool, std::string("unexpected exception: ") + error.what());
  }
  return ExitFailure;
}
