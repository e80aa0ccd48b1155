//===- manifest_fuzzer.cpp - Fuzzes the reader of manifests ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The input is a manifest. What is accepted can be used without another check:
// indices are in range, and sizes do not overflow.
//
//===----------------------------------------------------------------------===//

#include "runtime_fuzz_support.h"

#include "dsv2rt/Manifest.h"

using namespace dsv2rt;
using namespace dsv2rt::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  auto parsed = parseManifest({reinterpret_cast<const char *>(data), size});
  if (!parsed.ok()) {
    expect(parsed.status().code() == StatusCode::CorruptData ||
               parsed.status().code() == StatusCode::Unsupported,
           "the kinds of failure of a manifest");
    expectPlainMessage(parsed.status(), parsed.status().code());
    return 0;
  }
  const Manifest &m = parsed.value();
  expect(!m.entries.empty(), "there is an entry");
  expect(m.cache.bytesPerPage() > 0, "pages have a size");
  int64_t end = 0;
  std::vector<int64_t> offsets = m.slotOffsets();
  for (size_t i = 0; i < m.slots.size(); ++i) {
    expect(offsets[i] >= end && offsets[i] % 4096 == 0, "slots are in order");
    end = offsets[i] + m.slots[i].totalBytes();
    expect(end > offsets[i], "slots have a size");
  }
  expect(m.packedBytes() >= end, "slots are in the file");
  std::vector<int> written(m.slots.size(), 0);
  for (const Manifest::Prepare &prepare : m.prepare) {
    for (int64_t source : prepare.sources)
      expect(source < int64_t(m.sources.size()), "sources are in range");
    for (int64_t output : prepare.outputs)
      ++written[output];
  }
  for (int count : written)
    expect(count == 1, "every slot is prepared once");
  if (m.device) {
    expect(!m.device->images.empty(), "there is code for the device");
    for (const DeviceManifest::Image &image : m.device->images)
      expect(image.bytes > 0 && !image.symbol.empty(), "images have bytes");
    for (const DeviceManifest::Kernel &kernel : m.device->kernels) {
      expect(kernel.block[0] * kernel.block[1] * kernel.block[2] <= 1024,
             "blocks have a size");
      expect(kernel.cluster[0] * kernel.cluster[1] * kernel.cluster[2] <= 16,
             "clusters have a size");
      for (const DeviceManifest::Parameter &parameter : kernel.parameters)
        expect(parameter.kind != DeviceManifest::ParameterKind::TensorMap ||
                   int64_t(parameter.map.box.size()) == parameter.map.rank,
               "boxes have a size for every dimension");
    }
  }
  expect(m.device || !m.copyPages.empty(), "somebody copies pages");
  expect(!m.reference || !m.reference->device, "the reference is the host's");
  expect(m.activeWeightBytes(1) <= m.packedBytes() * m.mesh.size(),
         "active is a part of all ranks'");
  // The first and the last rank, which may have fewer experts.
  for (int64_t rank : {int64_t(0), m.mesh.size() - 1}) {
    int64_t most = 0, tensors = 0;
    for (const Manifest::Source &source : m.sources) {
      auto range = source.expertsOf(m.mesh, rank);
      expect(range.first >= 0 && range.count >= 0 &&
                 range.count <= source.experts,
             "experts are in range");
      TensorSlice slice = source.sliceOf(m.mesh, rank);
      expect(slice.dim < int64_t(source.shape.size()) &&
                 (slice.dim < 0 ||
                  slice.begin + slice.size <= source.shape[slice.dim]),
             "slices are in the tensor");
      most += source.tensors();
      tensors += std::max<int64_t>(source.layers.size(), 1) *
                 (source.experts ? range.count : 1);
    }
    if (most < 10000)
      expect(int64_t(m.tensors(rank).size()) == tensors,
             "every tensor is listed");
  }
  for (const Manifest::CommSite &site : m.commSites)
    expect(site.kind.rfind("all_", 0) == 0, "collectives have a kind");
  return 0;
}
