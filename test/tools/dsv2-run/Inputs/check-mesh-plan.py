#!/usr/bin/env python3
# ===- check-mesh-plan.py - does a run send what was planned? --------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: check-mesh-plan.py RUN.json EXPLAIN.json TOKENS ROWS STEPS
#                            [EXACT_TOKENS EXACT_STEPS]
#
# TOKENS and ROWS (of logits) are those of rank 0 in the STEPS of the run, and of
# every other index on `ep` as well; with exchanges of fixed size, EXACT_TOKENS
# and EXACT_STEPS say how many of them had exact ones.
#
# ===------------------------------------------------------------------------===#

import json
import sys

with open(sys.argv[1]) as run, open(sys.argv[2]) as explain:
    sites = {(s["name"], s["kind"]): s for s in json.load(run)["comm"]["sites"]}
    model = json.load(explain)
plan = model["mesh"]
# A token with numbers and weights of its slots on the way there, alone on the
# way back. GPUs send it in bf16, and 16 bytes at a time.
width, slots = model["model"]["hidden_size"], model["router"]["num_experts_per_tok"]
there = 4 * width + 8 * slots
if plan["target"] == "cuda":
    there = (2 * width + 8 * slots + 15) // 16 * 16
row_bytes = {"mlp.dispatch": there, "mlp.combine": 4 * width}
tokens, rows, steps = map(int, sys.argv[3:6])
exact_tokens, exact_steps = map(int, sys.argv[6:8] or sys.argv[3:6:2])
units = {
    "all": {"token": tokens, "logit_row": rows, "step": steps},
    "exact": {"token": exact_tokens, "step": exact_steps},
    "fixed": {"token": tokens - exact_tokens, "step": steps - exact_steps},
}

# Counts and rows of fixed size are of one site and kind.
expected = {}
for exchange in plan["exchanges"]:
    found = units[exchange["steps"]]
    mean, most = (
        exchange[name] * exchange["times"] * found[exchange["unit"]]
        for name in ("bytes_per_unit", "most_bytes_per_unit")
    )
    calls = exchange["times"] * found["step"]
    key = (exchange["site"], exchange["kind"])
    before = expected.get(key, (0, 0, 0))
    expected[key] = tuple(a + b for a, b in zip(before, (calls, mean, most)))

for key, (calls, mean, most) in expected.items():
    found = sites.pop(key)
    sent = found["bytes_sent"]
    assert found["calls"] == calls, (key, found["calls"], calls)
    if key[1] != "all_to_all_v":
        # Nothing that depends on routing.
        assert sent == mean == most, (key, sent, mean, most)
        continue
    # Of whole rows, some and not too many; few tokens are no average.
    row = row_bytes[key[0]]
    assert 0.5 * mean < sent <= most and sent % row == 0, (key, sent, mean, most, row)

# What the runtime has beside the model.
assert set(sites) <= {("session.findings", "all_gather")}, sites
print("as planned")
