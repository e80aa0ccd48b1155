//===- CostReport.cpp - tables of what kernels cost -----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CostReport.h"

#include "Report.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

using namespace mlir;
using namespace mlir::dsv2;

static std::string micros(double seconds) {
  return llvm::formatv("{0:F1}", seconds * 1e6).str();
}
/// A number that may be large, with three digits.
static std::string thousands(double value) {
  for (auto [unit, name] : {std::pair(1e12, "T"), std::pair(1e9, "G"),
                            std::pair(1e6, "M"), std::pair(1e3, "k")})
    if (value >= unit)
      return llvm::formatv("{0:F2} {1}", value / unit, name).str();
  return llvm::formatv("{0:F0}", value).str();
}
static std::string orDash(double value) {
  return value > 0 ? thousands(value) : "-";
}
static llvm::StringRef limitName(const mlir::dsv2::gpu::KernelCost &cost) {
  return cost.memorySeconds >= cost.arithmeticSeconds ? "memory" : "tensor";
}
static double share(const mlir::dsv2::gpu::KernelCost &cost) {
  return cost.limitSeconds() / cost.predictedSeconds;
}
static double inFlight(const mlir::dsv2::gpu::KernelCost &cost,
                       const GPUTargetInfo &target) {
  return cost.bytesInFlight / target.peak.multiprocessors;
}

void mlir::dsv2::printCosts(llvm::raw_ostream &os,
                            llvm::ArrayRef<NamedKernel> kernels,
                            const mlir::dsv2::gpu::StepSize &step,
                            const GPUTargetInfo &target,
                            const ImageReport *image) {
  os << "costs of a step of " << step.tokens << " tokens of " << step.sequences
     << " sequences at " << step.context << " positions on " << target.peak.card
     << ", " << target.chip << '\n';
  std::vector<TableRow> rows = {
      {"kernel", "registers", "shared", "bytes", "FLOP", "limit us", "by",
       "L2 bytes", "tensor cycles", "shared cycles", "serial cycles", "stages",
       "in flight/SM", "predicted us", "share", "bound by"}};
  for (const NamedKernel &kernel : kernels) {
    auto cost = mlir::dsv2::gpu::getKernelCost(*kernel.facts, step, target);
    if (!cost)
      continue;
    const KernelReport *report = nullptr;
    if (image)
      for (const KernelReport &candidate : image->kernels)
        if (candidate.info.name == kernel.name)
          report = &candidate;
    rows.push_back(
        {kernel.name,
         report && report->resources
             ? std::to_string(report->resources->registers)
             : "-",
         report ? std::to_string(report->getSharedBytes()) : "-",
         thousands(cost->work.bytes), orDash(cost->work.operations),
         micros(cost->limitSeconds()), limitName(*cost).str(),
         thousands(cost->copiedBytes), orDash(cost->tensorCycles),
         orDash(cost->sharedCycles), orDash(cost->serialCycles),
         cost->stages ? std::to_string(cost->stages) : "-",
         orDash(inFlight(*cost, target)), micros(cost->predictedSeconds),
         llvm::formatv("{0:P0}", share(*cost)).str(), cost->bound.str()});
  }
  printRows(os, rows);
}

void mlir::dsv2::printCostsJSON(llvm::raw_ostream &os,
                                llvm::ArrayRef<NamedKernel> kernels,
                                const mlir::dsv2::gpu::StepSize &step,
                                llvm::ArrayRef<GPUTargetInfo> targets) {
  llvm::json::OStream json(os, /*IndentSize=*/2);
  json.object([&] {
    json.attribute("tokens", step.tokens);
    json.attribute("sequences", step.sequences);
    json.attribute("context", step.context);
    json.attributeArray("costs", [&] {
      for (const GPUTargetInfo &target : targets)
        for (const NamedKernel &kernel : kernels) {
          auto cost =
              mlir::dsv2::gpu::getKernelCost(*kernel.facts, step, target);
          if (!cost)
            continue;
          json.object([&] {
            json.attribute("name", kernel.name);
            json.attribute("chip", target.chip);
            json.attribute("bytes", cost->work.bytes);
            json.attribute("operations", cost->work.operations);
            json.attribute("l2_bytes", cost->copiedBytes);
            json.attribute("tensor_operations", cost->tensorOperations);
            json.attribute("tensor_cycles", cost->tensorCycles);
            json.attribute("shared_cycles", cost->sharedCycles);
            json.attribute("serial_cycles", cost->serialCycles);
            json.attribute("stages", cost->stages);
            json.attribute("bytes_in_flight", cost->bytesInFlight);
            json.attribute("limit_seconds", cost->limitSeconds());
            json.attribute("limit", limitName(*cost));
            json.attribute("predicted_seconds", cost->predictedSeconds);
            json.attribute("bound", cost->bound);
          });
        }
    });
  });
  os << '\n';
}
