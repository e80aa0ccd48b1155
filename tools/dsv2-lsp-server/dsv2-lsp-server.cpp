//===- dsv2-lsp-server.cpp - language server for editors ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "HoverDocs.h"
#include "dsv2/InitAll.h"
#include "dsv2/Support/Version.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/Support/LogicalResult.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/PrettyStackTrace.h"
#include "llvm/Support/raw_ostream.h"

#include <optional>

int main(int argc, char **argv) {
  llvm::setBugReportMsg("please report this, with the file that was open, to "
                        "the dsv2 project\n");
  llvm::cl::SetVersionPrinter([](llvm::raw_ostream &os) {
    os << "dsv2-lsp-server " << mlir::dsv2::getVersion() << " (LLVM "
       << LLVM_VERSION_STRING << ")\n";
  });
  // Those print and end the process; the others start a session.
  bool isSession = llvm::none_of(
      llvm::ArrayRef(argv, argc).drop_front(), [](llvm::StringRef argument) {
        return argument.contains("help") || argument.contains("version") ||
               argument == "-h";
      });
  std::optional<mlir::dsv2::HoverFilter> filter;
  if (isSession)
    filter.emplace();

  mlir::DialectRegistry registry;
  mlir::dsv2::registerAllDialects(registry);
  mlir::dsv2::registerAllExtensions(registry);
  return failed(mlir::MlirLspServerMain(argc, argv, registry)) ? EXIT_FAILURE
                                                               : EXIT_SUCCESS;
}
