//===- DeviceTestUtils.cpp - what the tests of devices share --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceTestUtils.h"

#include <stdexcept>

using namespace dsv2rt;
using namespace dsv2test;

DeviceTest::DeviceTest()
    : driver("DSV2_CUDA_LIBRARY", DSV2_STUB_DRIVER),
      emulator("DSV2_EMULATOR_LIBRARY", DSV2_STUB_DRIVER) {
  stub::reset();
}

// Here and not in TearDown, so that what a test has as members is gone.
DeviceTest::~DeviceTest() {
  EXPECT_EQ(stub::leaks(), "");
  EXPECT_EQ(stub::misuse(), std::vector<std::string>());
}

std::shared_ptr<const Artifact> dsv2test::deviceArtifact() {
  static std::shared_ptr<const Artifact> artifact =
      take(Artifact::load(DSV2_FAKE_DEVICE_ARTIFACT));
  return artifact;
}

void dsv2test::patchDeviceArtifact(const std::string &path,
                                   const std::string &from, std::string to) {
  std::string bytes = readFile(DSV2_FAKE_DEVICE_ARTIFACT);
  size_t at = bytes.find(from);
  if (at == std::string::npos || to.size() > from.size())
    throw std::runtime_error("cannot patch '" + from + "'");
  to.resize(from.size(), ' ');
  bytes.replace(at, from.size(), to);
  writeFile(path, bytes);
}

std::shared_ptr<const PackedWeights>
dsv2test::deviceWeights(const std::shared_ptr<const Artifact> &artifact) {
  auto source = take(openWeightSource("random:1"));
  PackOptions options;
  options.inMemory = true;
  return take(PackedWeights::open(artifact, *source, options));
}

Expected<std::unique_ptr<Session>>
dsv2test::openDeviceSession(SessionOptions options,
                            std::shared_ptr<const Artifact> artifact) {
  if (!options.device) {
    Expected<std::shared_ptr<Device>> device = Device::open("cuda");
    if (!device.ok())
      return device.status();
    options.device = std::move(device.value());
  }
  if (artifact)
    return Session::create(artifact, deviceWeights(artifact), options);
  static std::shared_ptr<const PackedWeights> weights = deviceWeights();
  return Session::create(deviceArtifact(), weights, options);
}
