//===- Report.cpp - tables of kernels -------------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Report.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::dsv2;

static InstructionKind getKind(size_t i) {
  return static_cast<InstructionKind>(i);
}

/// "128", "32x4", ...: the dimensions that are not 1.
static std::string printSize(const std::array<int64_t, 3> &size) {
  std::string text = std::to_string(size[0]);
  if (size[1] != 1 || size[2] != 1)
    text += "x" + std::to_string(size[1]);
  if (size[2] != 1)
    text += "x" + std::to_string(size[2]);
  return text;
}

void mlir::dsv2::printRows(llvm::raw_ostream &os,
                           llvm::ArrayRef<TableRow> rows) {
  std::vector<size_t> widths;
  for (const TableRow &row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (auto [i, cell] : llvm::enumerate(row))
      widths[i] = std::max(widths[i], cell.size());
  }
  for (const TableRow &row : rows) {
    os << llvm::left_justify(row.front(), widths.front());
    for (size_t i = 1; i + 1 < row.size(); ++i)
      os << "  " << llvm::right_justify(row[i], widths[i]);
    if (!row.back().empty())
      os << "  " << row.back();
    os << '\n';
  }
}

/// The counts that are not 0: "4 wgmma, 2 tma_load".
static std::string printCounts(const InstructionCounts &counts) {
  std::string text;
  for (size_t i = 0; i < kInstructionKinds; ++i)
    if (int64_t count = counts[getKind(i)])
      text += (text.empty() ? "" : ", ") + std::to_string(count) + " " +
              getName(getKind(i)).str();
  return text;
}

static void printImage(llvm::raw_ostream &os, const ImageReport &image) {
  os << image.target.chip << ", PTX " << image.target.getPTXVersion() << '\n';
  std::vector<TableRow> rows = {{"kernel", "block", "cluster", "registers",
                                 "shared", "spills", "stack", "blocks/SM",
                                 "instructions", "in the PTX"}};
  for (const KernelReport &kernel : image.kernels) {
    TableRow &row = rows.emplace_back();
    row.push_back(kernel.info.name);
    row.push_back(printSize(kernel.info.block));
    row.push_back(printSize(kernel.info.cluster));
    const auto &resources = kernel.resources;
    // What only ptxas can tell stays open without it.
    auto add = [&](bool isKnown, auto &&number) {
      row.push_back(isKnown ? std::to_string(number()) : "-");
    };
    add(resources.has_value(), [&] { return resources->registers; });
    add(true, [&] { return kernel.getSharedBytes(); });
    add(resources.has_value(),
        [&] { return resources->spillStoreBytes + resources->spillLoadBytes; });
    add(resources.has_value(), [&] { return resources->stackBytes; });
    add(resources.has_value(),
        [&] { return getBlocksPerMultiprocessor(kernel, image.target); });
    add(kernel.sass.has_value(), [&] { return kernel.sass->instructions; });
    row.push_back(printCounts(kernel.ptx.counts));
  }
  printRows(os, rows);
}

void mlir::dsv2::printText(llvm::raw_ostream &os,
                           llvm::ArrayRef<ImageReport> images) {
  for (auto [i, image] : llvm::enumerate(images)) {
    if (i != 0)
      os << '\n';
    printImage(os, image);
  }
}

bool mlir::dsv2::printVerdict(llvm::raw_ostream &os,
                              llvm::ArrayRef<ImageReport> images) {
  bool passed = true;
  size_t kernels = 0, clean = 0;
  for (const ImageReport &image : images) {
    for (const std::string &finding : checkImage(image)) {
      os << "gate: " << finding << '\n';
      passed = false;
    }
    for (const KernelReport &kernel : image.kernels) {
      ++kernels;
      clean += checkKernel(kernel, image.target).empty();
    }
  }
  os << "gate: " << clean << " of " << kernels << " kernels are as they should "
     << "be\n";
  return passed;
}

/// Integers as a JSON array.
static void printArray(llvm::json::OStream &json, llvm::StringRef key,
                       const std::array<int64_t, 3> &numbers) {
  json.attributeArray(key, [&] {
    for (int64_t number : numbers)
      json.value(number);
  });
}

static void printKernel(llvm::json::OStream &json, const KernelReport &kernel,
                        const GPUTargetInfo &target) {
  json.attribute("name", kernel.info.name);
  printArray(json, "block", kernel.info.block);
  printArray(json, "cluster", kernel.info.cluster);
  json.attribute("dynamic_shared_bytes", kernel.info.dynamicSharedBytes);
  json.attributeObject("ptx", [&] {
    for (size_t i = 0; i < kInstructionKinds; ++i)
      json.attribute(getName(getKind(i)), kernel.ptx.counts[getKind(i)]);
  });
  if (const auto &resources = kernel.resources) {
    json.attribute("registers", resources->registers);
    json.attribute("static_shared_bytes", resources->sharedBytes);
    json.attribute("stack_bytes", resources->stackBytes);
    json.attribute("spill_store_bytes", resources->spillStoreBytes);
    json.attribute("spill_load_bytes", resources->spillLoadBytes);
    json.attribute("named_barriers", resources->barriers);
    json.attribute("blocks_per_multiprocessor",
                   getBlocksPerMultiprocessor(kernel, target));
    json.attributeArray("notes", [&] {
      for (const std::string &note : resources->notes)
        json.value(note);
    });
  }
  if (const auto &sass = kernel.sass) {
    json.attribute("instructions", sass->instructions);
    json.attributeObject("sass", [&] {
      for (const auto &[mnemonic, count] : sass->mnemonics)
        json.attribute(mnemonic, count);
    });
    json.attributeObject("sass_forms", [&] {
      for (auto [form, count] : sass->forms)
        json.attribute(llvm::formatv("{0:x3}", form).str(), count);
    });
  }
}

bool mlir::dsv2::printJSON(llvm::raw_ostream &os,
                           llvm::ArrayRef<ImageReport> images, bool isGate) {
  bool passed = true;
  llvm::json::OStream json(os, /*IndentSize=*/2);
  json.object([&] {
    json.attributeArray("images", [&] {
      for (const ImageReport &image : images)
        json.object([&] {
          json.attribute("chip", image.target.chip);
          json.attribute("ptx_version", image.target.getPTXVersion());
          json.attributeArray("kernels", [&] {
            for (const KernelReport &kernel : image.kernels)
              json.object([&] { printKernel(json, kernel, image.target); });
          });
          json.attributeArray("notes", [&] {
            for (const std::string &note : image.notes)
              json.value(note);
          });
          if (!isGate)
            return;
          json.attributeArray("findings", [&] {
            for (const std::string &finding : checkImage(image)) {
              json.value(finding);
              passed = false;
            }
          });
        });
    });
  });
  os << '\n';
  return passed;
}
