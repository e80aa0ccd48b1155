//===- FakeArtifact.cpp - a hand-written artifact for tests ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Implements the runtime ABI with a toy model (FakeSteps.cpp), so that the
// runtime can be tested without the compiler.
//
//===----------------------------------------------------------------------===//

#include "FakeManifest.h"
#include "FakeModel.h"

EXPORT const uint32_t dsv2_abi_version;
EXPORT const uint64_t dsv2_manifest_size;
EXPORT const char dsv2_manifest[];

const uint32_t dsv2_abi_version = DSV2RT_ABI_VERSION;

const char dsv2_manifest[] = R"({
  "format": "dsv2-artifact", "version": 1,
  "compiler": "by hand", "pipeline": "none", "identity": "0123456789abcdef",
)" FAKE_MANIFEST_FACTS R"(  "entries": [
    {"name": "prefill", "symbol": "fake_prefill",
     "workspace": "fake_workspace", "form": "expanded"},
    {"name": "decode", "symbol": "fake_decode",
     "workspace": "fake_workspace", "form": "absorbed"}],
  "prefill_min_tokens": 4,
  "copy_pages": "fake_copy_pages",
)" FAKE_MANIFEST_WEIGHTS R"(})";

const uint64_t dsv2_manifest_size = sizeof(dsv2_manifest) - 1;
