#!/usr/bin/env python3
# ===- distributed_tables.py - the tables of docs/Distributed.md -----------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: distributed_tables.py DSV2_COMPILE SOURCE_DIR [--check]
#
# Prints the tables from what dsv2-compile says. With --check it fails unless
# the document has these very lines.
#
# ===------------------------------------------------------------------------===#

import json
import pathlib
import subprocess
import sys

MESHES = ["tp=8,ep=1", "tp=4,ep=2", "tp=2,ep=4", "tp=1,ep=8"]


def plan(mesh, weights="bf16", target="cuda"):
    compiler, source = sys.argv[1:3]
    command = [compiler, f"{source}/models/deepseek_v2", "--explain", "--json"]
    command += [f"--mesh={mesh}", f"--weight-format={weights}", "--max-batch=64"]
    command += [f"--target={target}"]
    command += [f"--machine={source}/docs/machines/gpu-80gb.json"]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(run.stdout)["mesh"]


def table(head, alignment, rows):
    lines = [head.split("|"), alignment.split("|"), *rows]
    return "\n".join("|" + "|".join(cells) + "|" for cells in lines)


def memory():
    rows = []
    for mesh in MESHES:
        for weights in ["bf16", "q8", "q4"]:
            found = plan(mesh, weights)
            rank, machine = found["rank"], found["machine"]
            sizes = ["weight_bytes", "cache_bytes", "workspace_bytes_estimate", "total_bytes"]
            row = [f" `{mesh}` ", f" {weights} "]
            row += [f" {rank[size] / 1e9:.2f} " for size in sizes]
            row += [" yes " if machine["fits"] else " no "]
            row += [f" {machine['cache_tokens_per_rank'] * found['ep']:,} "]
            rows.append(row)
    head = " mesh | format | weights, GB | cache, GB | workspace, GB | total, GB | fits | room for cache, tokens "
    return table(head, "---|---|---:|---:|---:|---:|---|---:", rows)


def ranks():
    rows = []
    for ep in [2, 4, 8, 16, 40]:
        found = plan(f"ep={ep}")
        row = [f" {ep} ", f" {found['rank']['experts']} "]
        for key in ["device_limited", "without_limit"]:
            spread = found["dispatch"][key]
            row += [f" {spread['most_ranks']} ", f" {spread['mean_ranks']:.2f} "]
        for target in ["cpu", "cuda"]:
            exchanges = plan(f"ep={ep}", target=target)["exchanges"]
            there = [e for e in exchanges if (e["site"], e["unit"]) == ("mlp.dispatch", "token")]
            row += [f" {there[0]['bytes_per_unit'] / 1e3:.1f} "]
        rows.append(row)
    head = " ep | experts of a rank | most ranks | mean | most without the limit | mean | KB sent, mean | on GPUs "
    return table(head, "---:|---:|---:|---:|---:|---:|---:|---:", rows)


def times():
    rows = []
    for mesh in MESHES:
        found = plan(mesh)
        row = [f" `{mesh}` "]
        for step in ["decode", "prefill"]:
            step = found[step]
            keys = ["compute_seconds", "exchange_seconds", "overlapped_seconds"]
            row += [f" {1e3 * step[key]:.1f} " for key in keys]
            row += [f" {step['tokens_per_second']:.0f} "]
        rows.append(row)
    head = " mesh | decode: computing, ms | exchanging, ms | both, ms | tokens/s "
    head += "| prefill: computing, ms | exchanging, ms | both, ms | tokens/s "
    return table(head, "---|---:|---:|---:|---:|---:|---:|---:|---:", rows)


def main():
    tables = [memory(), ranks(), times()]
    if "--check" not in sys.argv:
        print("\n\n".join(tables))
        return
    document = pathlib.Path(sys.argv[2], "docs/Distributed.md").read_text()
    for expected in tables:
        if expected not in document:
            sys.exit("docs/Distributed.md: expected this table:\n" + expected)


main()
