#!/usr/bin/env python3
# ===- mutate.py - broken input must not break the tool ---------------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: mutate.py COUNT DIRECTORY TOOL [FLAG...]
#
# Damages the dialect's tests in COUNT ways that depend on nothing but the
# files, and runs TOOL on each. Whatever it makes of them, it ends by itself,
# with 0 or 1, and errors have a location.
#
# ===------------------------------------------------------------------------===#

import pathlib
import random
import re
import subprocess
import sys

FLAGS = ["--verify-each", "--canonicalize", "--mlir-disable-threading"]
BATCH = 20
SEPARATOR = b"\n// -----\n"


def mutate(rng, text, words):
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(text) + 1)
        kind = rng.randrange(6)
        if kind == 0:  # truncate
            text = text[:at]
        elif kind == 1:  # delete
            text = text[:at] + text[at + rng.randint(1, 12):]
        elif kind == 2:  # another byte
            text = text[:at] + bytes([rng.randrange(1, 256)]) + text[at + 1:]
        elif kind == 3:  # repeat
            text = text[:at] + text[max(0, at - rng.randint(1, 30)):]
        else:  # another word
            found = list(re.finditer(rb"[\w.]+", text))
            if found:
                word = rng.choice(found)
                text = text[: word.start()] + rng.choice(words) + text[word.end():]
    return text


def run(tool, source):
    done = subprocess.run([*tool, "-", "--split-input-file", *FLAGS],
                          input=source, capture_output=True, timeout=300)
    log = done.stderr.decode(errors="replace")
    rows = log.splitlines()
    # Not what is quoted of the input, with a caret below.
    errors = [row for row, below in zip(rows, rows[1:] + [""])
              if re.search(r"\berror: ", row)
              and not re.fullmatch(r" *\^~*", below)]
    # In the text, or by the name of a layer.
    placed = [row for row in errors
              if re.match(r"\S+:\d+:\d+: error: |<unknown>:0: error: loc\(\"", row)]
    if done.returncode not in (0, 1):
        return f"ended with {done.returncode}", log
    if "PLEASE submit a bug report" in log:
        return "asked for a bug report", log
    if (done.returncode == 1 and not placed) or len(placed) < len(errors):
        return "made an error without a location", log
    return None, log


def main():
    count, directory = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    tool = sys.argv[3:]
    files = sorted(directory.glob("*.mlir"))
    parts = [part for file in files
             for part in file.read_bytes().split(b"// -----")]
    words = sorted({word for part in parts for word in re.findall(rb"[\w.]+", part)})
    words += [b"9223372036854775807", b"-1", b"0x7FF0000000000000", b"?"]
    rng = random.Random(20240507)
    mutants = [mutate(rng, rng.choice(parts), words) for _ in range(count)]
    failures = 0
    for first in range(0, count, BATCH):
        batch = mutants[first: first + BATCH]
        problem, _ = run(tool, SEPARATOR.join(batch))
        if not problem:
            continue
        for number, mutant in enumerate(batch, first):
            problem, log = run(tool, mutant)
            if problem:
                failures += 1
                print(f"mutant {number} {problem}:\n{log[:2000]}\n"
                      f"{mutant.decode(errors='backslashreplace')}")
    print(f"{count} mutants, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
