#!/usr/bin/env python3
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks the tiny model and writes its goldens, test/Fixtures/tiny/golden.

The checkpoint folder is loaded by `transformers` as any published one, with
the weights widened to float32. Before anything is written, its logits are
compared with reference_numpy.py in float64 and with the model of
models/tiny/train.py, its greedy continuation with that of `generate`, and the
constants with own formulas. Needs torch, transformers and tokenizers.
"""

import argparse
import pathlib
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoTokenizer, DeepseekV2ForCausalLM

import make_goldens as goldens
import random_weights as rw
import reference_numpy as reference

FOLDER = goldens.ROOT / "models/tiny"
sys.path.insert(0, str(FOLDER))
import train  # noqa: E402  (models/tiny/train.py)

EXCERPT_TOKENS = 300
EXCERPT_ROWS = [0, 1, 63, 127, 128, 129, 200, 255, 256, 299]


@torch.no_grad()
def logits_of(model, ids):
    return model(torch.tensor([ids]), use_cache=False).logits[0].numpy()


def greedy(model, ids, count):
    ids, gap, first = list(ids), np.inf, len(ids)
    for _ in range(count):
        last = logits_of(model, ids)[-1]
        best = np.sort(last)[-2:]
        gap = min(gap, float(best[1] - best[0]))
        ids.append(int(last.argmax()))
    return ids[first:], gap


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, default=FOLDER,
                        help="checkpoint folder (default: models/tiny)")
    parser.add_argument("--output", type=pathlib.Path,
                        default=goldens.FIXTURES / "tiny/golden")
    parser.add_argument("--tokens", type=int, default=200,
                        help="length of the greedy continuation")
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)

    c = rw.load_config(a.model / "config.json")
    model = DeepseekV2ForCausalLM.from_pretrained(
        a.model, dtype=torch.float32, attn_implementation="eager").eval()
    weights = reference.read_checkpoint(a.model)
    own = reference.Reference(c, weights, np.float64)
    trained = train.Model(c)
    train.from_checkpoint(load_file(a.model / "model.safetensors"), trained)
    trained.eval()
    for layer in model.model.layers:
        scale = layer.self_attn.scaling
        assert abs(scale - own.rope["softmax_scale"]) < 1e-7, scale
    np.testing.assert_allclose(model.model.rotary_emb.inv_freq.numpy(),
                               own.rope["inv_freq"], rtol=3e-7)
    assert model.model.rotary_emb.attention_scaling == 1.0

    tokenizer = Tokenizer.from_file(str(a.model / "tokenizer.json"))
    wrapped = AutoTokenizer.from_pretrained(a.model)
    chat = wrapped.apply_chat_template(
        [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"},
         {"role": "assistant", "content": "A"},
         {"role": "user", "content": "R"}],
        tokenize=False, add_generation_prompt=True)
    assert chat == ("<｜begin▁of▁sentence｜>S\n\nUser: Q\n\nAssistant: A"
                    "<｜end▁of▁sentence｜>User: R\n\nAssistant:"), chat
    text = (a.model / "tinyshakespeare.txt").read_bytes()
    held = text[int(len(text) * 0.9):].decode("utf-8")
    excerpt = tokenizer.encode(held[:4000]).ids[:EXCERPT_TOKENS]

    a.output.mkdir(parents=True, exist_ok=True)
    for old in a.output.iterdir():
        old.unlink()
    prompts, worst, gap = [], 0.0, np.inf
    for name, ids, rows, count in (
            ("romeo", tokenizer.encode("ROMEO:").ids, None, a.tokens),
            ("excerpt", excerpt, EXCERPT_ROWS, 0)):
        assert ids[0] == c["bos_token_id"] and c["bos_token_id"] not in ids[1:]
        logits = logits_of(model, ids)
        expected = own.forward(ids)
        gap = min(gap, own.route_gap)
        span = float(expected.max() - expected.min())
        worst = max(worst, float(abs(logits - expected).max()) / span)
        with torch.no_grad():
            mine = trained(torch.tensor([ids]))[0].numpy()
        assert abs(mine - expected).max() / span < 1e-5
        entry = {"name": name,
                 "text": tokenizer.decode(ids, skip_special_tokens=True),
                 "ids": ids, "logits": f"logits.{name}.npy",
                 "rows": rows or "all"}
        goldens.write_npy(a.output / entry["logits"],
                          logits[rows] if rows else logits)
        loss = -np.log(np.take_along_axis(
            reference.softmax(expected[:-1]), np.array(ids)[1:, None], 1))
        entry["nats_per_token"] = float(f"{loss.mean():.6g}")
        if count:
            entry["greedy"], least = greedy(model, ids, count)
            entry["greedy_least_gap"] = least
            entry["greedy_text"] = tokenizer.decode(entry["greedy"])
            whole = model.generate(torch.tensor([ids]), do_sample=False,
                                   max_new_tokens=count, eos_token_id=None,
                                   temperature=None, top_p=None)
            assert whole[0, len(ids):].tolist() == entry["greedy"]
            assert train.sample(trained, ids, count) == entry["greedy"]
            assert max(entry["greedy"]) < tokenizer.get_vocab_size()
            print(entry["text"] + entry["greedy_text"])
        prompts.append(entry)
    assert worst < 1e-5, worst
    (a.output / "golden.json").write_text(goldens.compact({
        "weights": "models/tiny",
        "weights_fnv1a64":
            f"{rw.fnv1a64((a.model / 'model.safetensors').read_bytes()):#018x}",
        "made_with": f"transformers {transformers.__version__}, "
                     f"torch {torch.__version__.split('+')[0]}, float32",
        "difference_to_float64_reference": float(f"{worst:.2g}"),
        "least_routing_gap": gap, "rope": goldens.constants(c),
        "prompts": prompts}) + "\n")
    print(f"--- difference {worst:.1e} of the logit range, routing gap "
          f"{gap:.1e}, token gap {prompts[0]['greedy_least_gap']:.1e}")


if __name__ == "__main__":
    main()
