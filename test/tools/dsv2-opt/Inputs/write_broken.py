#!/usr/bin/env python3
# ===- write_broken.py - inputs that are no IR ------------------------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: write_broken.py DIRECTORY
#        write_broken.py --truncate FILE TOOL...
#
# Writes broken inputs into DIRECTORY; or runs TOOL on beginnings of FILE, each
# of which it has to refuse with an error that has a location.
#
# ===------------------------------------------------------------------------===#

import pathlib
import random
import re
import subprocess
import sys

FUNCTION = b"func.func @f(%x: tensor<?x64xf32>, %w: tensor<64xf32>) {\n"


def write(directory):
    rng = random.Random(1)
    files = {
        "empty.mlir": b"",
        "misspelt-dialect.mlir": b'"dsv3.linear"() : () -> ()\n',
        "misspelt-dialect-short.mlir": FUNCTION + b"  %y = dsv3.linear %x, %w\n",
        "misspelt-op.mlir": FUNCTION + b"  %y = dsv2.linaer %x, %w\n",
        "misspelt-op-generic.mlir": b'"dsv2.linaer"() : () -> ()\n',
        "dialect-as-op.mlir": b'"dsv2"() : () -> ()\n',
        "misspelt-type.mlir":
            b"func.func private @f(!dsv2.latent_cahce<latent = 32>)\n",
        "misspelt-attribute.mlir":
            b"func.func private @f() attributes {a = #dsv2.yran<factor = 1.0>}\n",
        "star.mlir": b'"builtin"() : () -> *(',
        "truncated.mlir": FUNCTION + b"  %y = dsv2.rms_norm %x, %w ep",
        "bytes.mlir": bytes(rng.randrange(1, 256) for _ in range(4000)),
        # The magic number of bytecode, then noise.
        "bytecode.mlirbc": b"ML\xefR\x0d" +
            bytes(rng.randrange(256) for _ in range(4000)),
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)


def truncate(path, tool):
    content = path.read_bytes()
    sizes = sorted({len(content) * i // 64 for i in range(1, 64)} |
                   set(range(4, 40, 4)))
    bad = 0
    for size in sizes:
        beginning = path.with_suffix(".part.mlirbc")
        beginning.write_bytes(content[:size])
        run = subprocess.run([*tool, str(beginning)], capture_output=True,
                             timeout=60)
        log = run.stderr.decode(errors="replace")
        if (run.returncode != 1 or "PLEASE submit a bug report" in log or
                not re.search(r"^\S+:\d+:\d+: error: ", log, re.M)):
            bad += 1
            print(f"{size} of {len(content)} bytes: {run.returncode}\n{log}")
    print(f"{len(sizes)} truncations, {bad} not refused")


if __name__ == "__main__":
    if sys.argv[1] == "--truncate":
        truncate(pathlib.Path(sys.argv[2]), sys.argv[3:])
    else:
        write(pathlib.Path(sys.argv[1]))
