# ===- lit.cfg.py - configuration of the lit suite ---------------------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# DSV2_VERIFY_ROUNDTRIP=1 in the environment adds --verify-roundtrip to every
# dsv2-opt, so that the whole suite doubles as a round-trip test.
#
# ===------------------------------------------------------------------------===#

import os
import sys

import lit.formats

config.name = "dsv2"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs", "Fixtures", "Unit", "Fuzz", "Oracle", "Models"]
config.test_source_root = os.path.join(config.dsv2_source_dir, "test")
config.test_exec_root = os.path.join(config.dsv2_binary_dir, "test")

tools = config.dsv2_tools_dir
opt = os.path.join(tools, "dsv2-opt")
if os.environ.get("DSV2_VERIFY_ROUNDTRIP"):
    config.available_features.add("roundtrip")
    opt += " --verify-roundtrip"

config.substitutions += [
    ("%models", os.path.join(config.dsv2_source_dir, "models")),
    ("%fixtures", os.path.join(config.test_source_root, "Fixtures")),
    ("%omp", config.omp_library),
    ("%python", sys.executable),
    (r"\bdsv2-opt\b", opt),
]
for name in ("dsv2-compile", "dsv2-kernel", "dsv2-run", "dsv2-bench", "dsv2-lsp-server"):
    config.substitutions.append((r"(?<![\w/%-])" + name + r"\b", os.path.join(tools, name)))
for name in ("FileCheck", "not", "mlir-opt", "mlir-runner", "count"):
    config.substitutions.append(
        (r"(?<![\w/%-])" + name + r"(?=\s)", os.path.join(config.llvm_tools_dir, name))
    )
# What the host runs beside the baseline, by the names of the x86-64 levels.
with open("/proc/cpuinfo") as cpuinfo:
    flags = next((line for line in cpuinfo if line.startswith("flags")), "").split()
if "avx512bw" in flags and "avx512vl" in flags:
    config.available_features.add("host-x86-64-v4")
# The tools look for ptxas themselves; whether they will find one was found out
# at configuration.
if config.ptxas:
    config.available_features.add("ptxas")
if config.dsv2_sanitizers:
    config.available_features.add("sanitizers")
if config.dsv2_runtime:
    config.available_features.add("runtime")
config.environment["PATH"] = os.pathsep.join([tools, config.llvm_tools_dir, os.environ["PATH"]])
config.environment["DSV2_TEST_OUTPUT"] = config.test_exec_root
