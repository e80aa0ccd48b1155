//===- VariantsTest.cpp - artifacts for several processors ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Variants.h"
#include "TestUtils.h"

#include "dsv2rt/CpuFeatures.h"

#include <dlfcn.h>

using namespace dsv2rt;
using namespace dsv2test;

namespace {

/// The fake artifact under two names, with a table of variants before it.
class VariantsTest : public testing::Test {
protected:
  void SetUp() override {
    handle = dlopen(fakeArtifactPath().c_str(), RTLD_NOW | RTLD_LOCAL);
    ASSERT_TRUE(handle);
  }
  void TearDown() override { dlclose(handle); }

  void *find(const std::string &name) {
    for (const std::string suffix : {".v0", ".v1"})
      if (name.size() > suffix.size() &&
          name.compare(name.size() - 3, 3, suffix) == 0)
        return dlsym(handle, name.substr(0, name.size() - 3).c_str());
    size = table.size();
    if (name == DSV2RT_SYMBOL_MANIFEST)
      return table.data();
    if (name == DSV2RT_SYMBOL_MANIFEST_SIZE)
      return &size;
    return name == DSV2RT_SYMBOL_ABI_VERSION ? dlsym(handle, name.c_str())
                                             : nullptr;
  }

  Expected<std::shared_ptr<const Artifact>>
  load(const std::string &variant = "") {
    return Artifact::fromSymbols(
        "a", [&](const char *name) { return find(name); }, variant);
  }

  /// A table with `entry` in the place of the first variant.
  void expectBadTable(const std::string &entry,
                      const std::vector<std::string> &parts) {
    table = R"({"format": "dsv2-artifact", "version": 1, "variants": [)" +
            entry + R"(, {"name": "old", "suffix": ".v1"}]})";
    expectFailure(load().status(), StatusCode::CorruptData, parts);
  }

  void *handle = nullptr;
  uint64_t size = 0;
  std::string table =
      R"({"format": "dsv2-artifact", "version": 1, "variants": [)"
      R"({"name": "new", "suffix": ".v0"}, {"name": "old", "suffix": ".v1"}]})";
};

/// A variant that needs `features`, on a processor that has those of `host`.
ArtifactVariant makeVariant(const std::string &name,
                            const std::vector<std::string> &features,
                            const std::vector<std::string> &host) {
  return {name, "", Manifest(),
          checkCpuFeatures(features, "CPU variant '" + name + "'", host)};
}

std::vector<ArtifactVariant> onHost(const std::vector<std::string> &host) {
  return {makeVariant("wide", {"sse2", "avx2", "avx512f"}, host),
          makeVariant("middle", {"sse2", "avx2"}, host),
          makeVariant("narrow", {"sse2"}, host)};
}

} // namespace

TEST_F(VariantsTest, FirstThatRuns) {
  auto choose = [](const std::vector<std::string> &host) {
    return take(chooseVariant(onHost(host), "", "a"));
  };
  EXPECT_EQ(choose({"sse2", "avx2", "avx512f", "more"}), 0u);
  EXPECT_EQ(choose({"sse2", "avx2"}), 1u);
  // A feature of the widest alone does not make it run.
  EXPECT_EQ(choose({"sse2", "avx512f"}), 2u);
}

TEST_F(VariantsTest, NoneRuns) {
  expectFailure(chooseVariant(onHost({"mmx"}), "", "a").status(),
                StatusCode::Unsupported,
                {"artifact 'a' has no CPU variant for this host",
                 "'wide' needs sse2, avx2, avx512f",
                 "'middle' needs sse2, avx2", "'narrow' needs sse2"});
}

TEST_F(VariantsTest, ForcedVariant) {
  auto variants = onHost({"sse2", "avx2"});
  EXPECT_EQ(take(chooseVariant(variants, "narrow", "a")), 2u);
  expectFailure(chooseVariant(variants, "wide", "a").status(),
                StatusCode::Unsupported,
                {"artifact 'a', CPU variant 'wide' needs avx512f"});
  expectFailure(chooseVariant(variants, "wid", "a").status(),
                StatusCode::InvalidArgument,
                {"'wide', 'middle', 'narrow'", "found 'wid'"});
}

TEST_F(VariantsTest, BindsTheSymbolsOfTheVariant) {
  auto artifact = take(load());
  EXPECT_EQ(artifact->variant(), "new");
  EXPECT_EQ(artifact->weightsPath(), "a.new.weights");
  EXPECT_EQ(artifact->manifest().model.name, "fake");
  EXPECT_EQ(take(load("old"))->weightsPath(), "a.old.weights");
  // One processor: nothing is added to names.
  auto single = take(Artifact::load(fakeArtifactPath()));
  EXPECT_EQ(single->variant(), "x86-64");
  EXPECT_EQ(single->weightsPath(), fakeArtifactPath() + ".weights");
}

TEST_F(VariantsTest, RefusesBadTables) {
  expectBadTable("1", {"manifest.variants[0]"});
  expectBadTable(R"({"name": "a/b", "suffix": ".v0"})", {"name", "'a/b'"});
  expectBadTable(R"({"name": "new", "suffix": ""})", {"suffix", "''"});
  expectBadTable(R"({"name": "old", "suffix": ".v0"})", {"'old' again"});
  expectBadTable(R"({"name": "new", "suffix": ".v7"})",
                 {"does not export the symbol 'dsv2_manifest_size.v7'"});
  table = R"({"format": "dsv2-artifact", "version": 1, "variants": []})";
  expectFailure(load().status(), StatusCode::CorruptData,
                {"expected 1 to 64 variants, found 0"});
  table = R"({"format": "dsv2-artifact", "version": 2, "variants": []})";
  expectFailure(load().status(), StatusCode::Unsupported, {"found 2"});
}
