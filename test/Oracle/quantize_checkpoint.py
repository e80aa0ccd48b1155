#!/usr/bin/env python3
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Copies a checkpoint with its matrices rounded to a block format.

The copy holds what the blocks stand for, as float32, so that an artifact of
`--weight-format=f32` shows what the format alone costs: activations are not
quantised. `q4_0` and `q8_0` are ggml's rules (quantize_row_q4_0_ref and
quantize_row_q8_0_ref), `q4` and `q8` those of this project (BlockFormat.h).

  quantize_checkpoint.py models/tiny copy --format q4_0
  dsv2-compile copy --weight-format=f32 -o copy.dsv2

Norms and the router are kept, and by default the embedding.
A model with one file of weights only. Needs torch and safetensors.
"""

import argparse
import fnmatch
import json
import pathlib
import shutil

import numpy as np
import torch
from safetensors.torch import load_file, save_file

BLOCK = 32
ALWAYS_KEPT = ["*norm.weight", "*.mlp.gate.weight"]
KEPT = ["model.embed_tokens.weight"]


def inverse(scale):
    with np.errstate(divide="ignore"):
        return np.where(scale == 0, np.float32(0), np.float32(1) / scale)


def largest(x):
    """The element of largest magnitude of each block, the first of several."""
    return np.take_along_axis(x, np.abs(x).argmax(1)[:, None], 1)


def q4_0(x):
    # The quotient uses the scale as it is, the product the one stored.
    scale = largest(x) / np.float32(-8)
    q = np.minimum(15, np.trunc(x * inverse(scale) + np.float32(8.5)))
    return (q - 8) * scale.astype(np.float16).astype(np.float32)


def q8_0(x):
    scale = np.abs(x).max(1, keepdims=True) / np.float32(127)
    y = x * inverse(scale)
    q = np.trunc(y + np.copysign(np.float32(0.5), y))  # roundf
    return q * scale.astype(np.float16).astype(np.float32)


def q8(x):
    scale = np.abs(x).max(1, keepdims=True) * np.float32(1 / 127)
    scale = torch.from_numpy(scale).bfloat16().float().numpy()
    return np.clip(np.rint(x * inverse(scale)), -127, 127) * scale


def q4(x):
    top = largest(x)
    bits = (np.abs(top) * np.float32(1 / 9)).view(np.int32)
    base = np.clip((bits >> 20) - ((127 - 13) << 3), 0, 0x77 - 4)
    sign = np.where(np.abs(x).max(1, keepdims=True) == x.max(1, keepdims=True),
                    np.float32(-1), np.float32(1))
    best, best_error = None, None
    for candidate in range(5):
        code = base + candidate
        scale = sign * ((code << 20) + ((127 - 13) << 23)).astype(
            np.int32).view(np.float32)
        y = np.clip(np.rint(x * (np.float32(1) / scale)), -8, 7) * scale
        error = ((x - y) ** 2).sum(1, keepdims=True)
        if best is None:
            best, best_error = y, error
        else:
            better = error < best_error
            best = np.where(better, y, best)
            best_error = np.minimum(error, best_error)
    return best


FORMATS = {"q4_0": q4_0, "q8_0": q8_0, "q8": q8, "q4": q4}
BITS = {"q4_0": 4.5, "q8_0": 8.5, "q8": 8.5, "q4": 4.25}


def quantize(matrix, rule):
    """Each row in blocks, the last one padded with zeros."""
    rows, columns = matrix.shape
    padded = np.zeros((rows, -(-columns // BLOCK) * BLOCK), np.float32)
    padded[:, :columns] = matrix
    return rule(padded.reshape(-1, BLOCK)).reshape(rows, -1)[:, :columns]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument("--keep", action="append", metavar="GLOB",
                        help="tensors to keep (default: %s)" % ", ".join(KEPT))
    parser.add_argument("--only", action="append", metavar="GLOB",
                        help="tensors to quantise (default: all others)")
    a = parser.parse_args()

    def matches(name, globs):
        return any(fnmatch.fnmatchcase(name, g) for g in globs)

    kept = ALWAYS_KEPT + (KEPT if a.keep is None else a.keep)
    tensors = {n: t.float() for n, t in
               load_file(a.model / "model.safetensors").items()}
    count, bits, total = 0, 0, 0
    for name, tensor in tensors.items():
        total += tensor.numel()
        if (tensor.dim() != 2 or matches(name, kept)
                or (a.only and not matches(name, a.only))):
            bits += 16 * tensor.numel()
            continue
        rounded = quantize(tensor.numpy(), FORMATS[a.format])
        assert np.isfinite(rounded).all(), name
        tensors[name] = torch.from_numpy(np.ascontiguousarray(rounded))
        count += 1
        bits += BITS[a.format] * tensor.numel()
    a.output.mkdir(parents=True, exist_ok=True)
    for file in a.model.glob("*.json"):
        shutil.copy(file, a.output)
    config = json.loads((a.model / "config.json").read_text())
    config["torch_dtype"] = "float32"
    (a.output / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(tensors, a.output / "model.safetensors")
    print(f"{count} of {len(tensors)} tensors in {a.format}, "
          f"{bits / total:.2f} bits a weight with the rest in 16")


if __name__ == "__main__":
    main()
