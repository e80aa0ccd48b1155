//===- Artifact.h - from the target stage to a file -------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TARGET_ARTIFACT_H
#define DSV2_TARGET_ARTIFACT_H

#include "dsv2/Support/TargetInfo.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace mlir::dsv2 {

/// Passed through to functions of the reference lowering: it is there to be
/// compared with, and most runs do not, so that little time is to be spent on
/// its code.
inline constexpr llvm::StringLiteral kReferenceCodeAttr = "dsv2-reference";

/// What comes out of a compilation.
enum class EmitKind { Artifact, Executable, Object, Assembly, LLVMIR };

/// Machine code or text.
using CodeBuffer = llvm::SmallVector<char, 0>;

/// A module of the target stage and the processor it was made for.
struct CodeVariant {
  /// What the user called the processor.
  std::string name;
  ModuleOp module;
  CPUTargetInfo target;
};

/// Translates each variant to machine code, on all of the host's processors.
/// `Assembly` and `LLVMIR` give text, `Object` an ELF object, what is to be
/// linked several of them for each variant. With several variants the names
/// that variant i defines end in variantSuffix(i), and one object more defines
/// the manifest that lists them.
llvm::Expected<std::vector<CodeBuffer>>
emitCode(llvm::ArrayRef<CodeVariant> variants, EmitKind kind);

/// What the symbols of the variant number `index` end in.
std::string variantSuffix(size_t index);

/// Where the linker and, for executables, the compiler driver and the runtime
/// library are.
struct LinkerPaths {
  /// ld.lld.
  std::string linker;
  /// clang, used as a linker driver for executables.
  std::string driver;
  /// Directory of the runtime's static libraries, for executables.
  std::string runtimeDirectory;
  /// LLVM's OpenMP runtime, a shared library, for executables.
  std::string openmp;
  /// What the driver has to be told of the sanitizers that the runtime's
  /// libraries are built with, for executables.
  std::vector<std::string> sanitizerFlags;
};

/// Links `objects` into a shared object or a stand-alone program at `output`.
/// The file appears complete or not at all.
llvm::Error linkArtifact(llvm::ArrayRef<CodeBuffer> objects, EmitKind kind,
                         const LinkerPaths &paths, llvm::StringRef output);

/// Writes `data` to `output` through a temporary file in the same directory;
/// "-" is standard output.
llvm::Error writeFileAtomically(llvm::StringRef output,
                                llvm::ArrayRef<char> data);

} // namespace mlir::dsv2

#endif // DSV2_TARGET_ARTIFACT_H
