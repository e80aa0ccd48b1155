//===- DeviceToolTest.cpp - the programs on the stub driver ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceTestUtils.h"

#include "dsv2rt/dsv2rt.h"

#include <nlohmann/json.hpp>

#include <set>

using namespace dsv2rt;
using namespace dsv2test;
using nlohmann::json;

namespace {

/// The environment names the stub as the driver.
using DeviceToolTest = DeviceTest;

ProgramResult run(const std::string &flags,
                  const std::string &artifact = DSV2_FAKE_DEVICE_ARTIFACT,
                  const std::string &environment = "") {
  return runShell(environment + " " DSV2_RUN " " + artifact +
                  " --weights random:1 --packed memory --token-ids "
                  "--prompt '1 2 3 4 5' --max-tokens 20 --threads 1 " +
                  flags);
}

void expectError(const ProgramResult &result, int code,
                 const std::vector<std::string> &parts) {
  EXPECT_EQ(result.code, code) << result.err;
  EXPECT_EQ(result.out, "");
  for (const std::string &part : parts)
    expectHolds(result.err, part);
}

} // namespace

TEST_F(DeviceToolTest, GeneratesWhatTheCpuGenerates) {
  ProgramResult expected = run("", fakeArtifactPath());
  ASSERT_EQ(expected.code, 0) << expected.err;
  ASSERT_NE(expected.out, "");
  for (const char *flags :
       {"", "--device cuda", "--device=cuda:0", "--device=emulator",
        "--no-graphs", "--check-finite", "--compare-reference", "--chunk 2"}) {
    SCOPED_TRACE(flags);
    ProgramResult result = run(flags);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.out, expected.out);
    EXPECT_EQ(result.err.find("warning"), std::string::npos) << result.err;
  }
  EXPECT_EQ(run("--device cpu", fakeArtifactPath()).out, expected.out);
  json root = json::parse(run("--json").out);
  EXPECT_EQ(root["device"], "cuda:0");
  EXPECT_EQ(json::parse(run("--json", fakeArtifactPath()).out)["device"],
            "cpu");
}

// What came after CUDA 12.0 is done without.
TEST_F(DeviceToolTest, OldDriversGenerateToo) {
  ProgramResult expected = run("");
  ASSERT_NE(expected.out, "");
  ProgramResult result = run("", DSV2_FAKE_DEVICE_ARTIFACT,
                             "DSV2_CUDA_LIBRARY=" DSV2_OLD_STUB_DRIVER);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, expected.out);
}

TEST_F(DeviceToolTest, WhatCannotRun) {
  expectError(run("--device cuda", fakeArtifactPath()), 2,
              {"was compiled for the CPU, and cannot run on 'cuda'"});
  expectError(run("--device emulator", fakeArtifactPath()), 2,
              {"was compiled for the CPU, and cannot run on 'emulator'"});
  expectError(run("--device cpu"), 2,
              {"was compiled for a CUDA device: sm_90a (cubin), sm_80 (ptx)",
               "cannot run on the CPU"});
  expectError(run("--device rocm"), 2,
              {"expected 'cpu', 'cuda', 'cuda:N' or 'emulator', found 'rocm'"});
  auto with = [](const char *environment, const char *flags = "") {
    return run(flags, DSV2_FAKE_DEVICE_ARTIFACT, environment);
  };
  expectError(with("DSV2_CUDA_LIBRARY=/none/libcuda.so"), 1,
              {"cannot load the CUDA driver, '/none/libcuda.so'"});
  expectError(with("DSV2_EMULATOR_LIBRARY=/none/e.so", "--device emulator"), 1,
              {"cannot load the emulator, '/none/e.so'"});
  expectError(with("DSV2_STUB_DEVICES=0"), 1, {"finds no device"});
  expectError(with("DSV2_STUB_DEVICES=2", "--device cuda:2"), 1,
              {"no device 'cuda:2'", "2 devices"});
  expectError(with("DSV2_STUB_VERSION=11040"), 1, {"CUDA 11.4"});
  expectError(with("DSV2_STUB_CAPABILITY=75"), 1,
              {"sm_90a (cubin), sm_80 (ptx)", "compute capability 7.5"});
  expectError(with("DSV2_STUB_MEMORY=20000"), 1,
              {"does not fit", "required", "available", "on cuda:0 'Stub GPU'",
               "weights 16384 bytes"});
  // This one has begun to print.
  ProgramResult result = with("DSV2_STUB_FAIL=cuLaunchKernelEx:3:719");
  EXPECT_EQ(result.code, 1);
  expectHolds(result.err,
              "cuLaunchKernelEx failed on cuda:0 while launching kernel "
              "'attend' with a grid of 5 x 1 x 1 blocks, for 'self_attn' of "
              "layer 0 in entry 'prefill': "
              "CUDA_ERROR_LAUNCH_FAILED (719)");
}

// Ranks are processes, which have the fakes before they are forked.
TEST_F(DeviceToolTest, RanksExchangeByNcclOrTheHost) {
  std::string expected = run("", fakeArtifactPath()).out;
  ASSERT_NE(expected, "");
  auto ranks = [](int devices, const std::string &flags) {
    return run(flags, fakeDeviceMeshPath(2, 2),
               "LD_PRELOAD=" DSV2_STUB_DRIVER ":" DSV2_FAKE_NCCL
               " DSV2_NCCL_LIBRARY=" DSV2_FAKE_NCCL " DSV2_STUB_DEVICES=" +
                   std::to_string(devices));
  };
  const std::string note = "note: the ranks exchange by way of the host";
  for (const char *flags : {"", "--device-comm=auto", "--device-comm=nccl",
                            "--device-comm=nccl --comm-check"}) {
    SCOPED_TRACE(flags);
    ProgramResult result = ranks(4, flags);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.out, expected);
    EXPECT_EQ(result.err.find(note), std::string::npos) << result.err;
  }
  EXPECT_EQ(json::parse(ranks(4, "--json").out)["device_comm"], "nccl");
  ProgramResult host = ranks(4, "--json --device-comm=host");
  EXPECT_EQ(json::parse(host.out)["device_comm"], "host");
  EXPECT_EQ(host.err.find(note), std::string::npos) << host.err;

  ProgramResult fallback = ranks(3, "");
  EXPECT_EQ(fallback.out, expected);
  expectHolds(fallback.err, note);
  expectHolds(fallback.err,
              "rank 3: it is on the device of rank 0, cuda:0 'Stub GPU'");
  expectError(ranks(3, "--device-comm=nccl"), 1,
              {"the ranks cannot exchange by NCCL: rank 3: it is on the device "
               "of rank 0"});
  expectError(ranks(4, "--device-comm=nccl --nccl-library=/none/libnccl.so"), 1,
              {"rank 0: cannot load NCCL, '/none/libnccl.so'"});
  expectError(ranks(4, "--device-comm=mpi"), 2,
              {"--device-comm", "mpi not in {auto,host,nccl}"});
}

// The first failure of any call ends the run with its name, and nothing that
// was computed behind it is printed as if it were right.
TEST_F(DeviceToolTest, F109_TheFirstFailureEndsTheRun) {
  std::string expected = run("").out;
  ASSERT_NE(expected, "");
  // What gives something back can only be warned of.
  const std::set<std::string> releases = {
      "cuDevicePrimaryCtxRelease_v2", "cuMemFree_v2",      "cuMemFreeHost",
      "cuStreamDestroy_v2",           "cuEventDestroy_v2", "cuGraphDestroy",
      "cuGraphExecDestroy",           "cuModuleUnload",
  };
  // Not needed to generate: for the texts of failures, for pages that sequences
  // share, for exchanges of ranks.
  const std::set<std::string> unused = {
      "cuGetErrorName",     "cuGetErrorString", "cuMemcpyDtoDAsync_v2",
      "cuMemcpy2DAsync_v2", "cuStreamQuery",    "cuEventQuery",
      "cuStreamWaitEvent",
  };
  for (std::string function : {
#define DSV2_CUDA_FUNCTION(NAME, PARAMETERS) #NAME,
#include "dsv2rt/cuda/DriverApi.def"
       }) {
    SCOPED_TRACE(function);
    ProgramResult result = run("", DSV2_FAKE_DEVICE_ARTIFACT,
                               "DSV2_STUB_FAIL=" + function + ":1:719");
    // Tokens up to the failure, and an end of the line.
    std::string printed = result.out.substr(0, result.out.find('\n'));
    EXPECT_EQ(expected.rfind(printed, 0), 0u) << result.out;
    if (unused.count(function)) {
      EXPECT_EQ(result.code, 0) << result.err;
      EXPECT_EQ(result.out, expected);
      continue;
    }
    if (releases.count(function)) {
      EXPECT_EQ(result.code, 0) << result.err;
      EXPECT_EQ(result.out, expected);
      if (function != "cuDevicePrimaryCtxRelease_v2")
        expectHolds(result.err, "warning: " + function + " failed");
      continue;
    }
    EXPECT_EQ(result.code, 1) << result.err;
    EXPECT_NE(result.out, expected);
    expectHolds(result.err, function + " failed");
    expectHolds(result.err, " while ");
    expectHolds(result.err,
                "CUDA_ERROR_LAUNCH_FAILED (719), as the test wants");
  }
}

// An image that was damaged, one that is for another chip, and too little
// memory: the run ends before anything is computed.
TEST_F(DeviceToolTest, F109_WhatCannotStart) {
  auto with = [](const std::string &artifact, const char *environment) {
    return run("", artifact, environment);
  };
  std::string bytes = readFile(DSV2_FAKE_DEVICE_ARTIFACT);
  std::string magic(reinterpret_cast<const char *>(&stub::imageMagic),
                    sizeof(stub::imageMagic));
  for (size_t at = bytes.find(magic); at != std::string::npos;
       at = bytes.find(magic, at))
    bytes[at] ^= 1;
  TempDir folder;
  std::string damaged = folder.file("damaged");
  writeFile(damaged, bytes);
  expectError(with(damaged, ""), 1,
              {"cuModuleLoadDataEx failed on cuda:0 while loading the cubin "
               "for sm_90a of artifact",
               "(200)"});
  expectError(with(DSV2_FAKE_DEVICE_ARTIFACT, "DSV2_STUB_CAPABILITY=75"), 1,
              {"sm_90a (cubin), sm_80 (ptx)", "compute capability 7.5"});
  expectError(with(DSV2_FAKE_DEVICE_ARTIFACT, "DSV2_STUB_MEMORY=20000"), 1,
              {"does not fit", "required", "available"});
}

TEST_F(DeviceToolTest, WhatTheDriverDoesNotTakeBackIsAWarning) {
  ProgramResult result =
      run("", DSV2_FAKE_DEVICE_ARTIFACT, "DSV2_STUB_FAIL=cuMemFree_v2:1:719");
  EXPECT_EQ(result.code, 0);
  expectHolds(result.err, "warning: cuMemFree_v2 failed");
}

TEST_F(DeviceToolTest, Info) {
  std::string line = DSV2_RUN " --info " DSV2_FAKE_DEVICE_ARTIFACT;
  ProgramResult result = runShell(line);
  EXPECT_EQ(result.code, 0) << result.err;
  expectHolds(result.out, "device code: 7 kernels for sm_90a (cubin), "
                          "sm_80 (ptx), sm_90a (bitcode)\n");
  EXPECT_EQ(result.out.find("Stub GPU"), std::string::npos);
  result = runShell("DSV2_STUB_CAPABILITY=100 " + line + " --device cuda");
  expectHolds(result.out, "device cuda:0: Stub GPU, compute capability 10.0");
  expectHolds(result.out, "for CUDA 12.4");
  expectHolds(result.out, "runs the code for sm_80, ptx");
  result = runShell("DSV2_STUB_CAPABILITY=75 " + line + " --device cuda");
  expectHolds(result.out, "runs no code of the artifact");
  json root = json::parse(runShell(line + " --json").out);
  EXPECT_EQ(root["device"]["kernels"], 7);
  EXPECT_EQ(root["device"]["images"][1],
            (json{{"chip", "sm_80"}, {"kind", "ptx"}, {"bytes", 656}}));
  root = json::parse(runShell(line + " --json --device emulator").out);
  EXPECT_EQ(root["device"]["found"]["name"], "emulator");
  EXPECT_EQ(root["device"]["found"]["image"], "bitcode");
  line = DSV2_RUN " --info " + fakeArtifactPath();
  expectHolds(runShell(line).out, "device code: none\n");
  EXPECT_TRUE(json::parse(runShell(line + " --json").out)["device"].is_null());
}

TEST_F(DeviceToolTest, Bench) {
  std::string line = DSV2_BENCH " " DSV2_FAKE_DEVICE_ARTIFACT
                                " --weights random:1 --packed memory -p 8 -n 4 "
                                "-d 0,4 -b 1,2 -t 1 -r 2";
  ProgramResult result = runShell(line);
  EXPECT_EQ(result.code, 0) << result.err;
  expectHolds(result.out, "target cuda:0 Stub GPU");
  expectHolds(result.out, "limits of cuda:0: copying in its memory");
  EXPECT_EQ(result.out.find("parallel region"), std::string::npos);
  json root = json::parse(runShell(line + " -o json").out);
  EXPECT_EQ(root["device"], "cuda:0");
  ASSERT_EQ(root["rows"].size(), 8u);
  EXPECT_EQ(root["rows"][0]["backends"], "CUDA");
  EXPECT_EQ(root["rows"][0]["gpu_info"], "Stub GPU");
  EXPECT_EQ(root["rows"][0].count("percent_of_arithmetic_peak"), 0u);
  EXPECT_GT(root["rows"][1]["percent_of_read_bandwidth"], 0);
  // Steps are larger on a device, unless they are given.
  for (auto [flags, chunk] : {std::pair("", 4096), {" --chunk 7", 7}}) {
    json root = json::parse(
        runShell(DSV2_BENCH " " DSV2_FAKE_DEVICE_ARTIFACT
                            " --weights random:1 --packed memory -p 2 -n 1 "
                            "-r 1 -o json" +
                 std::string(flags))
            .out);
    EXPECT_EQ(root["rows"][0]["n_batch"], chunk);
  }
  expectError(runShell(DSV2_BENCH " " + fakeArtifactPath() +
                       " --weights random:1 --packed memory --device cuda"),
              2, {"compiled for the CPU"});
}

TEST_F(DeviceToolTest, CLibrary) {
  dsv2rt_artifact *artifact = nullptr;
  ASSERT_EQ(dsv2rt_artifact_load(DSV2_FAKE_DEVICE_ARTIFACT, &artifact),
            DSV2RT_OK);
  dsv2rt_weights_options packing = {};
  packing.in_memory = 1;
  dsv2rt_weights *weights = nullptr;
  ASSERT_EQ(dsv2rt_weights_open(artifact, "random:1", &packing, &weights),
            DSV2RT_OK);
  for (const char *device : {(const char *)nullptr, "cuda:0", "emulator"}) {
    dsv2rt_session_options options = {};
    options.device = device;
    dsv2rt_session *session = nullptr;
    ASSERT_EQ(dsv2rt_session_create(artifact, weights, &options, &session),
              DSV2RT_OK)
        << dsv2rt_last_error();
    int64_t sequence = 0;
    ASSERT_EQ(dsv2rt_sequence_add(session, &sequence), DSV2RT_OK);
    auto tokens = someTokens(7);
    dsv2rt_step_input input = {sequence, tokens.data(), 7, DSV2RT_LOGITS_ALL};
    dsv2rt_step_output output;
    ASSERT_EQ(dsv2rt_session_step(session, &input, 1, &output), DSV2RT_OK);
    EXPECT_EQ(std::vector<float>(output.logits, output.logits + 7 * 64),
              logitsOf(*fakeSession(), tokens, 7));
    dsv2rt_session_release(session);
  }
  dsv2rt_session *session = nullptr;
  dsv2rt_session_options options = {};
  options.device = "cpu";
  EXPECT_EQ(dsv2rt_session_create(artifact, weights, &options, &session),
            DSV2RT_INVALID_ARGUMENT);
  expectHolds(dsv2rt_last_error(), "cannot run on the CPU");
  options.device = "cuda";
  stub::fail("cuStreamCreate", 1, CUDA_ERROR_UNKNOWN);
  EXPECT_EQ(dsv2rt_session_create(artifact, weights, &options, &session),
            DSV2RT_DEVICE_ERROR);
  expectHolds(dsv2rt_last_error(), "cuStreamCreate failed");
  EXPECT_STREQ(dsv2rt_status_name(DSV2RT_DEVICE_ERROR), "device error");
  dsv2rt_weights_release(weights);
  dsv2rt_artifact_release(artifact);
}
