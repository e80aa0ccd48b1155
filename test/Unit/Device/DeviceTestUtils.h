//===- DeviceTestUtils.h - what the tests of devices share ------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_DEVICE_DEVICETESTUTILS_H
#define DSV2_TEST_UNIT_DEVICE_DEVICETESTUTILS_H

#include "StubDriver.h"
#include "TestUtils.h"

#include "dsv2rt/Device.h"

namespace dsv2test {

/// A test whose CUDA driver and emulator are the stub, freshly set up. Nothing
/// may be left in it at the end.
class DeviceTest : public ::testing::Test {
protected:
  DeviceTest();
  ~DeviceTest() override;

private:
  ScopedEnv driver, emulator;
};

/// The artifact for a device that the stub can run.
std::shared_ptr<const dsv2rt::Artifact> deviceArtifact();

/// A copy of its file at `path` with the first occurrence of `from` replaced,
/// and `to` padded with spaces to the same length.
void patchDeviceArtifact(const std::string &path, const std::string &from,
                         std::string to);

/// Its weights, the same as those of the artifact for the CPU.
std::shared_ptr<const dsv2rt::PackedWeights> deviceWeights(
    const std::shared_ptr<const dsv2rt::Artifact> &artifact = deviceArtifact());

/// Opens "cuda" and makes a session on it, of another artifact if there is one.
/// `options.device` may be set.
dsv2rt::Expected<std::unique_ptr<dsv2rt::Session>>
openDeviceSession(dsv2rt::SessionOptions options = {},
                  std::shared_ptr<const dsv2rt::Artifact> artifact = nullptr);

} // namespace dsv2test

#endif // DSV2_TEST_UNIT_DEVICE_DEVICETESTUTILS_H
