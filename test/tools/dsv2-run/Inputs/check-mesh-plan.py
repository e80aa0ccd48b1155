#!/usr/bin/env python3
# ===- check-mesh-plan.py - does a run send what was planned? --------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: check-mesh-plan.py RUN.json EXPLAIN.json TOKENS ROWS STEPS
#
# TOKENS and ROWS (of logits) are those of rank 0 in the STEPS of the run, and of
# every other index on `ep` as well.
#
# ===------------------------------------------------------------------------===#

import json
import sys

with open(sys.argv[1]) as run, open(sys.argv[2]) as explain:
    sites = {(s["name"], s["kind"]): s for s in json.load(run)["comm"]["sites"]}
    model = json.load(explain)
plan = model["mesh"]
# A token with numbers and weights of its slots on the way there, alone on the
# way back.
width, slots = model["model"]["hidden_size"], model["router"]["num_experts_per_tok"]
row_bytes = {"mlp.dispatch": 4 * (width + 2 * slots), "mlp.combine": 4 * width}
tokens, rows, steps = map(int, sys.argv[3:])
units = {"token": tokens, "logit_row": rows, "step": steps}

for exchange in plan["exchanges"]:
    key = (exchange["site"], exchange["kind"])
    found = sites.pop(key)
    calls, sent = found["calls"], found["bytes_sent"]
    expected = exchange["times"] * steps
    assert calls == expected, (key, calls, expected)
    mean, most = (
        exchange[name] * exchange["times"] * units[exchange["unit"]]
        for name in ("bytes_per_unit", "most_bytes_per_unit")
    )
    if exchange["kind"] != "all_to_all_v":
        # Nothing that depends on routing.
        assert sent == mean == most, (key, sent, mean, most)
        continue
    # Of whole rows, some and not too many; few tokens are no average.
    row = row_bytes[exchange["site"]]
    assert 0.5 * mean < sent <= most and sent % row == 0, (key, sent, mean, most, row)

# What the runtime has beside the model.
assert set(sites) <= {("session.findings", "all_gather")}, sites
print("as planned")
