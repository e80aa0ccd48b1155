#!/usr/bin/env python3
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The perplexity of `dsv2-run --perplexity`, computed by transformers.

Windows that do not overlap, each begun with the beginning-of-sequence token in
the place of its first; the second half is scored. In float32.

  perplexity.py models/tiny text.txt --windows 20

Needs torch, transformers and tokenizers.
"""

import argparse
import pathlib

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import DeepseekV2ForCausalLM


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--windows", type=int, help="score so many only")
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)

    model = DeepseekV2ForCausalLM.from_pretrained(
        a.model, dtype=torch.float32, attn_implementation="eager").eval()
    bos = model.config.bos_token_id
    tokenizer = Tokenizer.from_file(str(a.model / "tokenizer.json"))
    text = a.text.read_bytes().decode("utf-8")
    ids = [bos]
    ids += tokenizer.encode(text, add_special_tokens=False).ids

    losses = []
    for window in range(len(ids) // a.window)[:a.windows]:
        piece = torch.tensor(ids[window * a.window:(window + 1) * a.window])
        piece[0] = bos
        logits = model(piece[None], use_cache=False).logits[0]
        half = a.window // 2
        losses.append(F.cross_entropy(logits[half:-1], piece[half + 1:],
                                      reduction="none"))
    losses = torch.cat(losses).double()
    perplexity = losses.mean().exp().item()
    error = perplexity * (losses.var() / len(losses)).sqrt().item()
    print(f"perplexity {perplexity:.4f} +/- {error:.4f}: {len(losses)} tokens")


if __name__ == "__main__":
    main()
