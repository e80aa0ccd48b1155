#!/usr/bin/env python3
# ===- fake-bench.py - stands for the benchmarks that are compared ------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===--------------------------------------------------------------------------===#
"""Prints what the program it is called as would print; see links in table.test.

Appends its name and arguments to $FAKE_LOG. The rates of a round are that of
the round before and one more, so that a median is that of the middle round.
"""

import json
import os
import pathlib
import sys

name = pathlib.Path(sys.argv[0]).name
log = pathlib.Path(os.environ["FAKE_LOG"])
round_number = sum(
    line.startswith(name + " ")
    for line in (log.read_text().splitlines() if log.exists() else [])
)
with log.open("a") as file:
    print(
        name, *sys.argv[1:], "OMP=" + os.environ.get("OMP_NUM_THREADS", ""), file=file
    )

if os.environ.get("FAKE_BREAK") == name:
    mode = os.environ["FAKE_MODE"]
    if mode == "fail":
        print("loading\ncannot open the model", file=sys.stderr)
        sys.exit(3)
    print({"text": "usage: something", "number": '[{"n_prompt": "x"}]'}.get(mode, ""))
    sys.exit(0)


def flag(key):
    return sys.argv[sys.argv.index(key) + 1] if key in sys.argv else ""


def row(prompt, generated, rate, **more):
    rate += round_number
    return {"n_prompt": prompt, "n_gen": generated, "samples_ts": [rate, rate]} | more


if name == "ours":
    print(
        json.dumps(
            {
                "rows": [
                    row(64, 0, 1000, operations_per_token=2e6),
                    row(0, 8, 100, operations_per_token=2e6, bytes_per_step=1.1e6),
                ],
                "read_bandwidth": {"2": 1e9},
                "arithmetic_peak": {"2": 1e10},
                "arithmetic_instruction": "fake FMA",
                "active_weight_bytes": 1000000,
                "memory": {"weights": 4000000, "peak_resident": 7 << 20},
            }
        )
    )
elif name == "llama":
    rows = [row(64, 0, 500, model_size=8000000), row(0, 8, 50, model_size=8000000)]
    print("\n".join(json.dumps(r) for r in rows))
elif name == "ik":
    print("| a line that is no JSON |")
    if "-gp" in sys.argv:
        depth, generated = flag("-gp").split(",")
        print(json.dumps([row(int(depth), int(generated), 40)]))
    else:
        print(json.dumps([row(64, 0, 400), {"n_prompt": 0, "n_gen": 8, "avg_ts": 40}]))
elif name == "main":
    print(
        "Generation stats:\n  72 tokens\n  throughput: 1tok/s\n  hydrate: 2.000s\n"
        "  total: 4.000s"
    )
