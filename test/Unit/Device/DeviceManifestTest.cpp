//===- DeviceManifestTest.cpp - what a manifest may say of a device -------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "dsv2rt/Manifest.h"

#include <nlohmann/json.hpp>

using namespace dsv2rt;
using namespace dsv2test;
using nlohmann::json;

namespace {

json deviceManifest() {
  std::string bytes = readFile(DSV2_FAKE_DEVICE_ARTIFACT);
  size_t begin = bytes.find("{\n  \"format\": \"dsv2-artifact\"");
  size_t end = bytes.find('\0', begin);
  return json::parse(bytes.substr(begin, end - begin));
}

/// The manifest with the member at `pointer`, in "/device", replaced, or with a
/// discarded value removed.
std::string changed(const std::string &pointer, const json &value) {
  json manifest = deviceManifest();
  json::json_pointer place("/device" + pointer);
  if (value.is_discarded())
    manifest[place.parent_pointer()].erase(place.back());
  else
    manifest[place] = value;
  return manifest.dump();
}

const json removed(json::value_t::discarded);

void expectRefused(const std::string &pointer, const json &value,
                   std::vector<std::string> parts,
                   StatusCode code = StatusCode::CorruptData) {
  SCOPED_TRACE(pointer + " = " + (value.is_discarded() ? "" : value.dump()));
  parts.push_back("manifest.device");
  expectFailure(parseManifest(changed(pointer, value)).status(), code, parts);
}

} // namespace

TEST(DeviceManifestTest, ReadsEverything) {
  Manifest m = take(parseManifest(deviceManifest().dump()));
  ASSERT_TRUE(m.device);
  const DeviceManifest &device = *m.device;
  EXPECT_EQ(device.kind, "cuda");
  EXPECT_EQ(m.copyPages, "");
  ASSERT_EQ(device.kernels.size(), 7u);
  EXPECT_EQ(device.kernels[4].chip, "");
  EXPECT_EQ(device.kernels[5].chip, "sm_70");
  const DeviceManifest::Kernel &append = device.kernels[1];
  EXPECT_EQ(append.name, "append");
  EXPECT_EQ(append.block, (DeviceManifest::Extent{32, 2, 1}));
  EXPECT_EQ(append.cluster, (DeviceManifest::Extent{1, 1, 1}));
  EXPECT_EQ(append.sharedBytes, 65536);
  EXPECT_FALSE(append.programmaticLaunch);
  ASSERT_EQ(append.parameters.size(), 9u);
  EXPECT_EQ(int(append.parameters[4].kind),
            int(DeviceManifest::ParameterKind::Pointer));
  EXPECT_EQ(int(append.parameters[5].kind),
            int(DeviceManifest::ParameterKind::I64));
  EXPECT_EQ(int(append.parameters[8].kind),
            int(DeviceManifest::ParameterKind::I32));
  EXPECT_TRUE(device.kernels[2].programmaticLaunch);
  EXPECT_EQ(device.kernels[3].cluster, (DeviceManifest::Extent{2, 1, 1}));
  EXPECT_EQ(int(device.kernels[3].parameters[7].kind),
            int(DeviceManifest::ParameterKind::F32));
  const DeviceManifest::Parameter &head = device.kernels[4].parameters[0];
  EXPECT_EQ(int(head.kind), int(DeviceManifest::ParameterKind::TensorMap));
  EXPECT_EQ(int(head.map.element), int(DeviceManifest::Element::F32));
  EXPECT_EQ(head.map.rank, 2);
  EXPECT_EQ(head.map.box, (std::vector<int64_t>{32, 8}));
  EXPECT_EQ(head.map.swizzle, 128);
  ASSERT_EQ(device.images.size(), 3u);
  EXPECT_EQ(device.images[1].chip, "sm_80");
  EXPECT_EQ(device.images[1].symbol, "fake_image_1");
  EXPECT_EQ(device.images[1].bytes, 656);
  EXPECT_EQ(device.imagesText(),
            "sm_90a (cubin), sm_80 (ptx), sm_90a (bitcode)");
  ASSERT_TRUE(m.reference);
  EXPECT_FALSE(m.reference->device);
}

TEST(DeviceManifestTest, ReadsEveryElement) {
  const struct {
    const char *name;
    int64_t bytes;
  } elements[] = {{"u8", 1},  {"u16", 2}, {"u32", 4}, {"i32", 4},
                  {"f16", 2}, {"f32", 4}, {"bf16", 2}};
  for (const auto &element : elements) {
    json map = {{"kind", "tensor_map"},
                {"dtype", element.name},
                {"rank", 1},
                {"box", {16}},
                {"swizzle", 0}};
    Manifest m = take(parseManifest(changed("/kernels/0/parameters/0", map)));
    EXPECT_EQ(elementBytes(m.device->kernels[0].parameters[0].map.element),
              element.bytes);
  }
}

TEST(DeviceManifestTest, RefusesEveryMissingMember) {
  for (const char *pointer :
       {"/kind", "/kernels", "/kernels/0/name", "/kernels/0/block",
        "/kernels/0/shared_bytes", "/kernels/0/parameters",
        "/kernels/0/parameters/0/kind", "/kernels/4/parameters/0/dtype",
        "/kernels/4/parameters/0/rank", "/kernels/4/parameters/0/box",
        "/kernels/4/parameters/0/swizzle", "/images", "/images/0/chip",
        "/images/0/kind", "/images/0/symbol", "/images/0/size"}) {
    std::string key =
        std::string(pointer).substr(std::string(pointer).rfind('/') + 1);
    expectRefused(pointer, removed, {key, "no such key"});
    expectRefused(pointer, nullptr, {key, "found null"});
  }
  // These may be left out, but not be something else.
  EXPECT_TRUE(parseManifest(changed("/kernels/3/cluster", removed)).ok());
  EXPECT_TRUE(parseManifest(changed("/kernels/3/pdl", removed)).ok());
  expectRefused("/kernels/3/cluster", nullptr, {"cluster"});
  expectRefused("/kernels/3/chip", "hopper", {"chip", "sm_90"});
  expectRefused("/kernels/3/chip", 90, {"chip"});
  expectRefused("/kernels/3/pdl", 1, {"pdl", "true or false"});
}

TEST(DeviceManifestTest, RefusesWrongValues) {
  expectRefused("", 3, {"an object"});
  expectRefused("/kind", "rocm", {"'cuda'", "'rocm'"}, StatusCode::Unsupported);
  expectRefused("/kernels/0/name", "", {"kernels[0].name"});
  expectRefused("/kernels/0/name", "a b", {"'a b'"});
  expectRefused("/kernels/0/name", "append", {"'append' again"});
  expectRefused("/kernels/0/block", json::array({32, 1}), {"three sizes"});
  expectRefused("/kernels/0/block", json::array({0, 1, 1}), {"block[0]"});
  expectRefused("/kernels/0/block", json::array({1025, 1, 1}), {"1025"});
  expectRefused("/kernels/0/block", json::array({1024, 2, 1}),
                {"at most 1024"});
  expectRefused("/kernels/0/block", json::array({1, 1, 65}), {"at most 64"});
  expectRefused("/kernels/0/cluster", json::array({5, 4, 1}), {"at most 16"});
  expectRefused("/kernels/0/shared_bytes", -1, {"shared_bytes"});
  expectRefused("/kernels/0/shared_bytes", 1 << 30, {"shared_bytes"});
  expectRefused("/kernels/0/parameters/0/kind", "i16",
                {"parameters[0].kind",
                 "'pointer', 'i32', 'i64', 'f32' or 'tensor_map'", "'i16'"});
  json many = json::array();
  for (int i = 0; i < 4096; ++i)
    many.push_back({{"kind", "i64"}});
  expectRefused("/kernels/0/parameters", many, {"at most 32764 bytes"});

  std::string map = "/kernels/4/parameters/0";
  expectRefused(map + "/dtype", "f64", {"'f64'"});
  expectRefused(map + "/rank", 6, {"1 to 5", "6"});
  expectRefused(map + "/rank", 3, {"3 sizes", "[32, 8]"});
  expectRefused(map + "/box", json::array({32, 0}), {"box[1]"});
  expectRefused(map + "/box", json::array({32, 257}), {"257"});
  expectRefused(map + "/box", json::array({6, 8}), {"multiple of 16"});
  expectRefused(map + "/box", json::array({64, 8}), {"at most 128"});
  expectRefused(map + "/swizzle", 16, {"0, 32, 64 or 128"});
  expectRefused(map + "/swizzle", 256, {"swizzle"});
  json large = {{"kind", "tensor_map"},
                {"dtype", "f32"},
                {"rank", 3},
                {"box", {256, 256, 2}},
                {"swizzle", 0}};
  expectRefused(map, large, {"at most 262144 bytes"});

  expectRefused("/images", json::array(), {"1 to 64 images"});
  for (const char *chip : {"", "sm_", "sm_9", "sm_90b", "sm_9000", "sm_090",
                           "90", "SM_90", "sm_90aa", "sm_90a "})
    expectRefused("/images/0/chip", chip, {"'sm_90' or 'sm_90a'"});
  expectRefused("/images/0/kind", "fatbin", {"'cubin', 'ptx' or 'bitcode'"});
  expectRefused("/images/0/symbol", "", {"symbol"});
  expectRefused("/images/0/size", 0, {"size"});
  expectRefused("/images/0/size", int64_t(1) << 40, {"size"});
  json same = deviceManifest()["device"]["images"][1];
  same["kind"] = "cubin", same["chip"] = "sm_90a";
  expectRefused("/images/1", same, {"one image of a kind", "'sm_90a' again"});
}

TEST(DeviceManifestTest, PagesAreTheDriversToCopy) {
  json manifest = deviceManifest();
  manifest["copy_pages"] = "fake_copy_pages";
  EXPECT_EQ(take(parseManifest(manifest.dump())).copyPages, "fake_copy_pages");
  manifest.erase("copy_pages");
  manifest.erase("device");
  expectFailure(parseManifest(manifest.dump()).status(),
                StatusCode::CorruptData, {"copy_pages", "no such key"});
}

TEST(DeviceManifestTest, TheReferenceIsForTheHost) {
  json manifest = deviceManifest();
  manifest["reference"]["device"] = manifest["device"];
  expectFailure(parseManifest(manifest.dump()).status(),
                StatusCode::CorruptData,
                {"manifest.reference.device", "code for the host"});
}
