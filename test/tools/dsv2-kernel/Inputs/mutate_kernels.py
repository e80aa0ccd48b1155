#!/usr/bin/env python3
# ===- mutate_kernels.py - broken kernels must not break the tool -----------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: mutate_kernels.py COUNT FILE... -- TOOL [FLAG...]
#
# Damages each FILE, MLIR or PTX, in COUNT ways that depend on nothing but the
# file, and runs TOOL on each. It ends by itself with 0, 1 or 2 (a verdict of the
# gate), and says what is wrong if it is not 0.
#
# ===------------------------------------------------------------------------===#

import pathlib
import random
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "dsv2-opt" / "Inputs"))
from mutate import mutate  # noqa: E402


def main():
    split = sys.argv.index("--")
    count, tool = int(sys.argv[1]), sys.argv[split + 1:]
    files = [pathlib.Path(name) for name in sys.argv[2:split]]
    mutants = failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            text = file.read_bytes()
            words = sorted(set(re.findall(rb"[\w.]+", text)))
            words += [b"9223372036854775807", b"-1", b"4294967296", b"0"]
            rng = random.Random(20241126)
            for _ in range(count):
                path = pathlib.Path(folder, "mutant" + file.suffix)
                path.write_bytes(mutate(rng, text, words))
                done = subprocess.run([*tool, str(path)], capture_output=True,
                                      timeout=300)
                log = (done.stdout + done.stderr).decode(errors="replace")
                mutants += 1
                if (done.returncode in (0, 1, 2)
                        and "PLEASE submit" not in log and "Stack dump" not in log
                        and (done.returncode == 0 or re.search("error: |gate: ", log))):
                    continue
                failures += 1
                print(f"{file.name} ended with {done.returncode}:\n{log[:2000]}\n"
                      + path.read_bytes().decode(errors="backslashreplace"))
    print(f"{mutants} mutants, {failures} failures")


if __name__ == "__main__":
    main()
