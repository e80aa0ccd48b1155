//===- ArtifactTest.cpp - loading shared objects --------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "dsv2rt/CpuFeatures.h"

#include <algorithm>
#include <filesystem>

#include <dlfcn.h>

using namespace dsv2rt;
using namespace dsv2test;

TEST(ArtifactTest, LoadsAndChoosesEntries) {
  auto artifact = take(Artifact::load(fakeArtifactPath()));
  EXPECT_EQ(artifact->manifest().model.name, "fake");
  EXPECT_EQ(artifact->path(), fakeArtifactPath());
  EXPECT_EQ(artifact->entryFor(1).name, "decode");
  EXPECT_EQ(artifact->entryFor(3).name, "decode");
  EXPECT_EQ(artifact->entryFor(4).name, "prefill");
  EXPECT_EQ(artifact->entryFor(4).form, "expanded");
  EXPECT_EQ(artifact->prepare().size(), 4u);
  EXPECT_EQ(artifact->convert(DType::F16), nullptr);
  EXPECT_NE(artifact->convert(DType::F32), nullptr);
}

TEST(ArtifactTest, RelativeNameIsAFile) {
  // The dynamic linker would look a plain name up in the library path.
  TempDir folder;
  std::filesystem::copy_file(fakeArtifactPath(), folder.file("a.dsv2"));
  auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  Status status = Artifact::load("a.dsv2").status();
  std::filesystem::current_path(before);
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST(ArtifactTest, RefusesOtherFiles) {
  TempDir folder;
  auto refuse = [&](const std::string &bytes, const std::string &part) {
    writeFile(folder.file("x"), bytes);
    expectFailure(Artifact::load(folder.file("x")).status(),
                  StatusCode::CorruptData,
                  {"'" + folder.file("x") + "'",
                   "expected an x86-64 ELF shared object", part});
  };
  std::string good = readFile(fakeArtifactPath());
  refuse("", "an empty file");
  refuse("hello", "a file of 5 bytes");
  refuse(std::string(1000, 'x'), "another kind of file");
  std::string arm = good;
  arm[18] = char(183);
  refuse(arm, "machine 183");
  std::string object = good;
  object[16] = 1;
  refuse(object, "type 1");
  refuse(good.substr(0, good.size() - 100), "truncated");
  expectFailure(Artifact::load(folder.file("none")).status(),
                StatusCode::NotFound, {"none"});
  expectFailure(Artifact::load(folder.path()).status(), StatusCode::IoError,
                {"not a regular file"});
}

TEST(ArtifactTest, RefusesOtherSharedObjects) {
  Dl_info info;
  void *symbol = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
  ASSERT_TRUE(symbol && dladdr(symbol, &info));
  expectFailure(Artifact::load(info.dli_fname).status(),
                StatusCode::CorruptData,
                {"is not a dsv2 artifact", "dsv2_abi_version"});
}

TEST(ArtifactTest, RefusesMissingSymbols) {
  TempDir folder;
  for (const char *symbol :
       {"\"fake_prefill\"", "\"fake_workspace\"", "\"fake_copy_pages\"",
        "\"fake_convert_bf16\"", "\"fake_prepare_head\""}) {
    std::string other = symbol;
    other[1] = 'F';
    patchArtifact(folder.file("x"), symbol, other);
    expectFailure(Artifact::load(folder.file("x")).status(),
                  StatusCode::CorruptData,
                  {"does not export", other.substr(1, other.size() - 2)});
  }
}

TEST(ArtifactTest, RefusesBadManifests) {
  TempDir folder;
  patchArtifact(folder.file("x"), "\"version\": 1", "\"version\": 9");
  expectFailure(Artifact::load(folder.file("x")).status(),
                StatusCode::Unsupported, {folder.file("x"), "version"});
}

TEST(ArtifactTest, SymbolsFromATable) {
  // What a program with an artifact linked in has: no file, only symbols.
  void *handle = dlopen(fakeArtifactPath().c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_TRUE(handle);
  auto artifact = take(Artifact::fromSymbols(
      "(table)", [&](const char *name) { return dlsym(handle, name); }));
  EXPECT_EQ(artifact->manifest().model.name, "fake");
  artifact.reset();
  expectFailure(Artifact::fromSymbols(
                    "(empty)", [](const char *) -> void * { return nullptr; })
                    .status(),
                StatusCode::CorruptData, {"'(empty)'", "dsv2_abi_version"});
  uint32_t version = DSV2RT_ABI_VERSION + 1;
  expectFailure(Artifact::fromSymbols("(newer)",
                                      [&](const char *name) -> void * {
                                        return name == std::string(
                                                           "dsv2_abi_version")
                                                   ? &version
                                                   : dlsym(handle, name);
                                      })
                    .status(),
                StatusCode::Unsupported,
                {"ABI version " + std::to_string(version), "compile it again"});
  dlclose(handle);
  EXPECT_FALSE(Artifact::inProcess());
  expectFailure(Artifact::fromProcess().status(), StatusCode::NotFound,
                {"no artifact is linked"});
}

TEST(ArtifactTest, F108_MissingCpuFeatures) {
  TempDir folder;
  patchArtifact(folder.file("x"), "\"sse2\"          ", "\"avx512nope\"");
  expectFailure(Artifact::load(folder.file("x")).status(),
                StatusCode::Unsupported, {"needs avx512nope, host has "});
  // A host that lacks what the artifact needs, by the mask for tests.
  ScopedEnv mask("DSV2_CPU_FEATURES_MASK", "avx512*,sse2,amx*");
  expectFailure(Artifact::load(fakeArtifactPath()).status(),
                StatusCode::Unsupported,
                {fakeArtifactPath(), "needs sse2, host has ",
                 "DSV2_CPU_FEATURES_MASK=avx512*,sse2,amx*"});
}

TEST(ArtifactTest, F108_Wording) {
  ScopedEnv mask("DSV2_CPU_FEATURES_MASK", "avx*,sse4.1");
  expectFailure(checkCpuFeatures({"sse2", "avx512f", "avx2"}, "it"),
                StatusCode::Unsupported,
                {"it needs avx512f, avx2, host has sse4.2"});
  EXPECT_TRUE(checkCpuFeatures({}, "it").ok());
  auto features = hostCpuFeatures();
  EXPECT_EQ(std::count(features.begin(), features.end(), "sse4.1"), 0);
  EXPECT_EQ(std::count(features.begin(), features.end(), "sse2"), 1);
}

TEST(ArtifactTest, CpuFeaturesAgreeWithTheCompiler) {
  ScopedEnv mask("DSV2_CPU_FEATURES_MASK", nullptr);
  auto features = hostCpuFeatures();
  auto has = [&](const char *name) {
    return std::count(features.begin(), features.end(), name) == 1;
  };
  __builtin_cpu_init();
  EXPECT_EQ(has("sse4.2"), bool(__builtin_cpu_supports("sse4.2")));
  EXPECT_EQ(has("avx"), bool(__builtin_cpu_supports("avx")));
  EXPECT_EQ(has("avx2"), bool(__builtin_cpu_supports("avx2")));
  EXPECT_EQ(has("fma"), bool(__builtin_cpu_supports("fma")));
  EXPECT_EQ(has("bmi2"), bool(__builtin_cpu_supports("bmi2")));
  EXPECT_EQ(has("avx512f"), bool(__builtin_cpu_supports("avx512f")));
  EXPECT_EQ(has("avx512bw"), bool(__builtin_cpu_supports("avx512bw")));
  EXPECT_EQ(has("avx512vnni"), bool(__builtin_cpu_supports("avx512vnni")));
  EXPECT_EQ(has("avx512bf16"), bool(__builtin_cpu_supports("avx512bf16")));
}
