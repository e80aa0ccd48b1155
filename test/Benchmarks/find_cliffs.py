#!/usr/bin/env python3
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Finds sizes at which a compiled model suddenly gets slower (F053, F054).

  batches   tokens/s of 1, 2, ... sequences that generate
  prompts   tokens/s of prompts of 1, 2, ... tokens
  forms     tokens/s of one sequence at several depths, in absorbed and in
            expanded attention (two artifacts, absorbed first)

A cliff is a size whose rate is more than --limit percent below that of the size
before it (forms: absorbed below expanded). Other work on the machine makes some
too: what looks like one is measured again, and counts if it stays. Exit code 1
if one does.

  dsv2-compile models/deepseek_v2_lite --max-batch=128 -o m.dsv2
  test/Benchmarks/find_cliffs.py batches m.dsv2 --weights random:1
"""

import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
AGAIN = 4  # measurements of a suspect before it counts


def bench(a, artifact, *flags):
    """The rows of one run of dsv2-bench."""
    command = [a.bench, artifact, "--weights", a.weights, "-o", "json",
               "-r", str(a.repetitions), *flags]
    if a.threads:
        command += ["-t", str(a.threads)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        sys.exit(result.returncode)
    return json.loads(result.stdout)["rows"]


def measure_batches(a, sizes):
    rows = bench(a, a.artifact[0], "-p", "0", "-n", str(a.tokens), "-b",
                 ",".join(map(str, sizes)), "-d", str(a.depth))
    return {row["batch"]: row["tokens_per_second"] for row in rows}


def measure_prompts(a, sizes):
    rows = bench(a, a.artifact[0], "-n", "0", "-p", ",".join(map(str, sizes)),
                 "-d", str(a.depth), "--chunk", str(max(sizes)))
    return {row["tokens"]: row["tokens_per_second"] for row in rows}


def sweep(a, measure):
    """Rates by size, and the cliffs that stayed."""
    sizes = range(a.first, a.last + 1)
    rates, cliffs = measure(a, sizes), []
    for before, size in zip(sizes, sizes[1:]):
        pair = (rates[before], rates[size])
        for _ in range(AGAIN):
            if pair[1] >= pair[0] * (1 - a.limit / 100):
                break
            # The best of the later one: what slows it now and then is noise.
            again = measure(a, [before, size])
            pair = (again[before], max(pair[1], again[size]))
        else:
            cliffs.append((before, size, *pair))
        rates[size] = pair[1]
    for size in sizes:
        print(f"{size:5} {rates[size]:10.1f} tokens/s")
    return [f"from {before} to {size}: {old:.1f} to {new:.1f} tokens/s, "
            f"{100 * (1 - new / old):.0f} % less"
            for before, size, old, new in cliffs]


def forms(a):
    def measure(artifact, depth):
        return bench(a, artifact, "-p", "0", "-n", str(a.tokens), "-d",
                     str(depth))[0]["tokens_per_second"]

    cliffs = []
    for depth in a.depths:
        pair = [measure(artifact, depth) for artifact in a.artifact]
        for _ in range(AGAIN):
            if depth > 512 or pair[0] >= pair[1] * (1 - a.limit / 100):
                break
            pair = [max(pair[0], measure(a.artifact[0], depth)),
                    measure(a.artifact[1], depth)]
        else:
            cliffs.append(f"at depth {depth}: {pair[0]:.1f} tokens/s absorbed, "
                          f"{pair[1]:.1f} expanded")
        print(f"depth {depth:5}: {pair[0]:8.1f} tokens/s absorbed, "
              f"{pair[1]:8.1f} expanded")
    return cliffs


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sweep", choices=["batches", "prompts", "forms"])
    parser.add_argument("artifact", nargs="+")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--bench", default=str(ROOT / "build/bin/dsv2-bench"))
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--last", type=int, default=128)
    parser.add_argument("--depth", type=int, default=0)
    parser.add_argument("--depths", type=int, nargs="+",
                        default=[1, 128, 512, 4096])
    parser.add_argument("--tokens", type=int, default=4,
                        help="tokens that each sequence generates")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--limit", type=float, help="percent (15; forms: 10)")
    a = parser.parse_args()
    if len(a.artifact) != (2 if a.sweep == "forms" else 1):
        parser.error(f"{a.sweep} takes "
                     f"{'two artifacts' if a.sweep == 'forms' else 'one'}")
    if a.limit is None:
        a.limit = 10 if a.sweep == "forms" else 15
    if a.first < 1 or a.last <= a.first:
        parser.error("expected 1 <= first < last")
    cliffs = forms(a) if a.sweep == "forms" else sweep(
        a, measure_batches if a.sweep == "batches" else measure_prompts)
    for cliff in cliffs:
        print("cliff " + cliff)
    print(f"{len(cliffs)} cliffs of more than {a.limit:g} %")
    return bool(cliffs)


if __name__ == "__main__":
    sys.exit(main())
