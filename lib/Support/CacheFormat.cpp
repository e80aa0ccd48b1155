//===- CacheFormat.cpp - how a row of the latent cache is stored ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Support/CacheFormat.h"

#include "llvm/Support/ErrorHandling.h"

using namespace mlir::dsv2;

llvm::ArrayRef<CacheFormat> mlir::dsv2::cacheFormats() {
  static constexpr CacheFormat formats[] = {CacheFormat::F32, CacheFormat::BF16,
                                            CacheFormat::Q8, CacheFormat::Q6};
  return formats;
}

llvm::StringRef mlir::dsv2::stringifyCacheFormat(CacheFormat format) {
  switch (format) {
  case CacheFormat::F32:
    return "f32";
  case CacheFormat::BF16:
    return "bf16";
  case CacheFormat::Q8:
    return "q8";
  case CacheFormat::Q6:
    return "q6";
  }
  llvm_unreachable("unknown cache format");
}

std::optional<CacheFormat>
mlir::dsv2::symbolizeCacheFormat(llvm::StringRef name) {
  for (CacheFormat format : cacheFormats())
    if (name == stringifyCacheFormat(format))
      return format;
  return std::nullopt;
}

CacheRow::CacheRow(CacheFormat format, int64_t latentWidth, int64_t ropeWidth) {
  elements = latentWidth + ropeWidth;
  if (!isQuantized(format)) {
    bytes = elements * (format == CacheFormat::F32 ? 4 : 2);
    return;
  }
  latent = rope = {0,
                   /*bits=*/8,
                   /*block=*/32,
                   /*unit=*/32,
                   /*scaleBytes=*/2,
                   /*divisor=*/127.0f};
  if (format == CacheFormat::Q6)
    latent = {0,
              /*bits=*/5,
              /*block=*/16,
              /*unit=*/32,
              /*scaleBytes=*/1,
              /*divisor=*/15.5f};
  latent.width = latentWidth;
  rope.width = ropeWidth;
  bytes = 0;
  for (CachePart *part : {&latent, &rope}) {
    part->firstByte = bytes;
    bytes += part->units() * part->unitBytes();
  }
  for (CachePart *part : {&latent, &rope}) {
    part->firstScale = bytes;
    bytes += part->blocks() * part->scaleBytes;
  }
  elements = bytes;
}
