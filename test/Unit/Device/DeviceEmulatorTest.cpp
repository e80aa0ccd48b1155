//===- DeviceEmulatorTest.cpp - sessions on the emulator ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The fake artifact for a device with bitcode that was compiled for NVPTX: from
// the runtime to the kernels everything is real but the GPU.
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "dsv2rt/Checkpoint.h"
#include "dsv2rt/Device.h"

#include <nlohmann/json.hpp>

#include <cstring>

#include <dlfcn.h>

using namespace dsv2rt;
using namespace dsv2test;
using nlohmann::json;

namespace {

/// The fake artifact with this one image.
class Artifacts {
public:
  explicit Artifacts(std::string image) : image(std::move(image)) {
    handle = dlopen(DSV2_FAKE_DEVICE_ARTIFACT, RTLD_NOW | RTLD_LOCAL);
    json facts = json::parse(
        std::string(static_cast<const char *>(dlsym(handle, "dsv2_manifest"))));
    facts["device"]["images"] = {{{"chip", "sm_90a"},
                                  {"kind", "bitcode"},
                                  {"symbol", "bitcode"},
                                  {"size", this->image.size()}}};
    manifest = facts.dump();
    manifestSize = manifest.size();
    artifact =
        take(Artifact::fromSymbols("fake", [this](const char *name) -> void * {
          std::string symbol = name;
          if (symbol == "bitcode")
            return this->image.data();
          if (symbol == "dsv2_manifest")
            return manifest.data();
          if (symbol == "dsv2_manifest_size")
            return &manifestSize;
          return dlsym(handle, name);
        }));
    auto source = take(openWeightSource("random:1"));
    PackOptions options;
    options.inMemory = true;
    weights = take(PackedWeights::open(artifact, *source, options));
  }

  Expected<std::unique_ptr<Session>> open(SessionOptions options = {}) {
    ScopedEnv library("DSV2_EMULATOR_LIBRARY", DSV2_EMULATOR);
    options.device = take(openDeviceFor(*artifact, "emulator"));
    return Session::create(artifact, weights, options);
  }

  std::shared_ptr<const Artifact> artifact;
  std::shared_ptr<const PackedWeights> weights;

private:
  std::string image, manifest;
  uint64_t manifestSize = 0;
  void *handle = nullptr;
};

} // namespace

TEST(DeviceEmulatorTest, ComputesWhatTheCpuComputes) {
  Artifacts artifacts(readFile(DSV2_FAKE_KERNELS));
  auto session = take(artifacts.open());
  auto tokens = someTokens(20, 1);
  for (int64_t chunk : {1, 3, 20})
    EXPECT_EQ(logitsOf(*session, tokens, chunk),
              logitsOf(*fakeSession(), tokens, chunk))
        << "chunk " << chunk;
}

TEST(DeviceEmulatorTest, BatchesForksAndGraphs) {
  Artifacts artifacts(readFile(DSV2_FAKE_KERNELS));
  auto device = take(artifacts.open());
  auto cpu = fakeSession();
  auto prefix = someTokens(6, 2), more = someTokens(24, 3);
  for (Session *session : {device.get(), cpu.get()}) {
    SequenceId parent = take(session->addSequence());
    StepInput input{parent, prefix.data(), 6, LogitRows::None};
    StepOutput output;
    ASSERT_TRUE(session->step(&input, 1, &output).ok());
    take(session->fork(parent, 6));
  }
  int replayed = 0;
  for (int step = 0; step < 8; ++step) {
    StepInput inputs[] = {{1, &more[step], 1, LogitRows::Last},
                          {2, &more[step + 9], 1, LogitRows::Last}};
    StepOutput expected[2], found[2];
    ASSERT_TRUE(cpu->step(inputs, 2, expected).ok());
    Status status = device->step(inputs, 2, found);
    ASSERT_TRUE(status.ok()) << status.message();
    for (int i = 0; i < 2; ++i)
      EXPECT_EQ(std::memcmp(found[i].logits, expected[i].logits, 64 * 4), 0);
    replayed += device->lastStep().replayed;
  }
  EXPECT_GT(replayed, 2);
}

TEST(DeviceEmulatorTest, EveryKernelIsTheReferences) {
  Artifacts artifacts(readFile(DSV2_FAKE_KERNELS));
  auto reference = Artifact::referenceOf(artifacts.artifact);
  auto source = take(openWeightSource("random:1"));
  PackOptions packing;
  packing.inMemory = true;
  SessionOptions options;
  options.checkLevel = 2;
  options.referenceWeights =
      take(PackedWeights::open(reference, *source, packing));
  auto session = take(artifacts.open(options));
  logitsOf(*session, someTokens(9, 4), 4);
  ReferenceReport report = session->referenceReport();
  EXPECT_EQ(report.steps, 3);
  EXPECT_EQ(report.sites, 5);
  EXPECT_EQ(report.largestError, 0);
}

TEST(DeviceEmulatorTest, ImagesThatAreNone) {
  Artifacts artifacts("BC\xC0\xDE and no more than this, of any sense");
  Status status = artifacts.open().status();
  EXPECT_FALSE(status.ok());
  expectHolds(status.message(),
              "while loading the bitcode for sm_90a of artifact 'fake'");
}
