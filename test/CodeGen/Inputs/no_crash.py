# ===- no_crash.py - run passes over every .mlir file of the suite -----------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: no_crash.py TEST_DIR PASS... -- DSV2_OPT [FLAG...]
#
# A pass may refuse an input (exit code 1) but not end by a signal.
#
# ===------------------------------------------------------------------------===#

import pathlib
import subprocess
import sys

split = sys.argv.index("--")
root, passes, tool = sys.argv[1], sys.argv[2:split], sys.argv[split + 1 :]
runs = crashes = 0
for path in sorted(pathlib.Path(root).rglob("*.mlir")):
    for name in passes:
        command = tool + [
            str(path),
            "--allow-unregistered-dialect",
            "--split-input-file",
            "--" + name,
            "-o",
            "-",
        ]
        status = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode
        runs += 1
        if status not in (0, 1):
            crashes += 1
            print(f"CRASH: --{name} on {path} ended with {status}")
print(f"{runs} runs, {crashes} crashes")
sys.exit(crashes > 0 or runs == 0)
