#!/usr/bin/env python3
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes the model goldens under test/Fixtures.

The oracle is DeepseekV2ForCausalLM of `transformers`, run in float32 on
random:SEED weights. Where it ignores or misreads a field, `Oracle` puts that
right, each time with a comment that says what and why. Before a golden is
written, the oracle's softmax scale, frequencies and cos/sin multiplier are
checked against own formulas, and its logits against reference_numpy.py in
float64.

A fixture is a folder with config.json; its golden/ gets golden.json (prompts
as token ids, greedy continuations, constants, see README.md) and .npy files.
The variations of T0 and T1 are listed in `VARIATIONS`, and their config.json
files are written by this script too.

Needs torch and transformers; building and testing dsv2 does not.
"""

import argparse
import json
import pathlib

import numpy as np
import torch
import transformers
from torch import nn
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM
from transformers.models.deepseek_v2 import modeling_deepseek_v2 as hf

import random_weights as rw
import reference_numpy as reference

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FIXTURES = ROOT / "test/Fixtures"
# A seed is taken only if no decision on the way is closer than this: the
# scores at the border of a routing choice, and the two best logits of a greedy
# step. So a correct float32 implementation cannot decide otherwise.
LEAST_ROUTING_GAP, LEAST_TOKEN_GAP = 3e-5, 1e-3
REMOVE = object()  # the value of a key to take out of a config


def scaling(**changes):
    """T0's rope_scaling with changes."""
    value = {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707,
             "mscale_all_dim": 0.707,
             "original_max_position_embeddings": 64, "type": "yarn"}
    value.update(changes)
    return {k: v for k, v in value.items() if v is not REMOVE}


# Name of the fixture -> (base fixture, changes to its config.json).
VARIATIONS = {
    "F017_q_lora_rank_removed": ("T0", {"q_lora_rank": REMOVE}),
    "F018_rope_scaling_null": ("T0", {"rope_scaling": None}),
    "F018_rope_scaling_removed": ("T0", {"rope_scaling": REMOVE}),
    "F019_rope_type": ("T0", {"rope_scaling": scaling(
        type=REMOVE, rope_type="yarn")}),
    "F019_type_and_rope_type": ("T0", {"rope_scaling": scaling(
        rope_type="yarn")}),
    "F019_rope_parameters": ("T0", {
        "rope_scaling": REMOVE, "rope_theta": REMOVE, "torch_dtype": REMOVE,
        "dtype": "bfloat16", "head_dim": 8, "mlp_bias": False,
        "rope_parameters": scaling(type=REMOVE, rope_type="yarn",
                                   rope_theta=10000)}),
    "F019_rope_parameters_default": ("T0", {
        "rope_scaling": REMOVE, "rope_theta": REMOVE,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000}}),
    "F019_mscale_absent": ("T0", {"rope_scaling": scaling(
        mscale=REMOVE, mscale_all_dim=REMOVE)}),
    "F019_mscale_all_dim_absent": ("T0", {"rope_scaling": scaling(
        mscale_all_dim=REMOVE)}),
    "F022_groups_of_one": ("T1", {"n_group": 8, "topk_group": 2,
                                  "num_experts_per_tok": 2}),
    "F024_moe_layer_freq_2": ("T0", {"num_hidden_layers": 6,
                                     "moe_layer_freq": 2}),
    "F026_first_k_removed": ("T0", {"first_k_dense_replace": REMOVE}),
    "F027_shared_null": ("T0", {"n_shared_experts": None}),
    "F027_shared_zero": ("T0", {"n_shared_experts": 0}),
    "F027_routed_null": ("T0", {"n_routed_experts": None}),
    "F028_gready": ("T0", {"topk_method": "gready"}),
    "F030_heads_1": ("T0", {"num_attention_heads": 1,
                            "num_key_value_heads": 1}),
    "F030_heads_3": ("T0", {"num_attention_heads": 3,
                            "num_key_value_heads": 3}),
    "F030_heads_5": ("T0", {"num_attention_heads": 5,
                            "num_key_value_heads": 5}),
    "F030_heads_16": ("T0", {"num_attention_heads": 16,
                             "num_key_value_heads": 16}),
    "F040_mscale_0707_0707": ("T0", {}),
    "F040_mscale_1_0": ("T0", {"rope_scaling": scaling(
        mscale=1.0, mscale_all_dim=0.0)}),
    "F040_mscale_1_1": ("T0", {"rope_scaling": scaling(
        mscale=1.0, mscale_all_dim=1.0)}),
    "F040_factor_1": ("T0", {"rope_scaling": scaling(factor=1)}),
    "norm_topk_prob": ("T0", {"norm_topk_prob": True}),
    "norm_topk_prob_scaled": ("T1", {"norm_topk_prob": True,
                                     "routed_scaling_factor": 2.5}),
    "q_lora_rank_24": ("T0", {"q_lora_rank": 24}),
    "q_lora_rank_null": ("T1", {"q_lora_rank": None}),
    "v2_5": ("T1", {"rope_scaling": scaling(mscale=1.0, mscale_all_dim=1.0)}),
    "two_dense_two_shared": ("T1", {"first_k_dense_replace": 2,
                                    "num_hidden_layers": 4,
                                    "n_shared_experts": 2}),
}

FULL = {1: None, 7: None, 64: [0, 31, 62, 63], 100: None,
        300: [0, 63, 64, 65, 128, 255, 299]}
SHORT = {100: [0, 1, 63, 64, 99]}


class NoSharedExperts(nn.Module):

    def forward(self, x):
        return torch.zeros_like(x)


class NormalisingRouter(hf.DeepseekV2TopkRouter):
    """The router with norm_topk_prob, which `transformers` does not apply.

    The chosen weights are divided by their sum, then scaled.
    """

    def forward(self, hidden_states):
        logits, weights, ids = super().forward(hidden_states)
        weights = weights / self.routed_scaling_factor
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        return logits, weights * self.routed_scaling_factor, ids


class Oracle:
    """The `transformers` model for a configuration, put right and checked.

    `c` is a configuration as rw.load_config returns it, which has settled
    spellings and defaults: `transformers` gets every field set, since its own
    defaults differ (q_lora_rank 1536, n_routed_experts 64).
    """

    def __init__(self, c, weights):
        self.c, self.notes = c, []
        layers = c["num_hidden_layers"]
        dense = c["n_routed_experts"] is None
        heads = c["num_attention_heads"]
        odd_heads = c["hidden_size"] % heads != 0
        rope = {"rope_theta": c["rope_theta"], "rope_type": "default"}
        if c["rope_scaling"]:
            rope.update(c["rope_scaling"], rope_type="yarn")
        fields = {k: c[k] for k in (
            "vocab_size", "hidden_size", "intermediate_size",
            "num_hidden_layers", "q_lora_rank", "kv_lora_rank",
            "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
            "moe_intermediate_size", "num_experts_per_tok", "topk_method",
            "n_group", "topk_group", "routed_scaling_factor",
            "max_position_embeddings", "rms_norm_eps", "hidden_act",
            "bos_token_id", "eos_token_id")}
        config = DeepseekV2Config(
            **fields, rope_parameters=rope, tie_word_embeddings=False,
            num_attention_heads=1 if odd_heads else heads,
            num_key_value_heads=1 if odd_heads else heads,
            # A model without routed experts is one whose layers are all dense.
            n_routed_experts=1 if dense else c["n_routed_experts"],
            first_k_dense_replace=layers if dense
            else c["first_k_dense_replace"],
            # Without shared experts the module is built, then replaced below.
            n_shared_experts=c["n_shared_experts"] or 1)
        if odd_heads:
            # `transformers` refuses head counts that do not divide the hidden
            # size, although latent attention does not need it; the check runs
            # in the constructor only.
            self.notes.append("head count set after construction")
            object.__setattr__(config, "num_attention_heads", heads)
            object.__setattr__(config, "num_key_value_heads", heads)
        config._attn_implementation = "eager"
        config._experts_implementation = "eager"
        with torch.device("meta"):
            model = DeepseekV2ForCausalLM(config)
        model = model.to_empty(device="cpu").float().eval()
        model.model.rotary_emb = hf.DeepseekV2RotaryEmbedding(config)
        self.model = model

        for l, layer in enumerate(model.model.layers):
            sparse = isinstance(layer.mlp, hf.DeepseekV2Moe)
            if sparse and not rw.is_sparse(c, l):
                # moe_layer_freq is ignored: give the layer its dense FFN.
                self.notes.append(f"layer {l} made dense (moe_layer_freq)")
                layer.mlp = hf.DeepseekV2MLP(config).eval()
                sparse = False
            assert sparse == rw.is_sparse(c, l)
            if sparse and not c["n_shared_experts"]:
                # A null n_shared_experts is used unconditionally, and 0 makes
                # a module of width 0: no shared experts means no such term.
                self.notes.append(f"layer {l} without shared experts")
                layer.mlp.shared_experts = NoSharedExperts()
            if sparse and c["norm_topk_prob"]:
                self.notes.append(f"layer {l} normalises routing weights")
                layer.mlp.gate.__class__ = NormalisingRouter
        self.load(weights)
        self.check_constants()

    def load(self, weights):
        """Loads tensors by checkpoint name; stacks those of the experts."""
        shapes = rw.tensor_shapes(self.c)
        used, state = set(), {}

        def get(name):
            used.add(name)
            return torch.from_numpy(np.array(weights(name, shapes[name])))

        for name in self.model.state_dict():
            head, _, tail = name.rpartition(".experts.")
            if not head:
                state[name] = get(name)
                continue
            experts = range(self.c["n_routed_experts"])
            parts = {"gate_up_proj": ("gate_proj", "up_proj"),
                     "down_proj": ("down_proj",)}[tail]
            state[name] = torch.stack([
                torch.cat([get(f"{head}.experts.{e}.{p}.weight")
                           for p in parts]) for e in experts])
        assert used == set(shapes), used ^ set(shapes)
        self.model.load_state_dict(state, strict=True, assign=True)

    def check_constants(self):
        own = reference.rope_constants(self.c)
        for layer in self.model.model.layers:
            scale = layer.self_attn.scaling
            assert abs(scale - own["softmax_scale"]) < 1e-7 * scale, (
                "the softmax scale of this `transformers` is "
                f"{scale}, not {own['softmax_scale']}: it lacks the YaRN "
                "factor; use a newer one")
        rotary = self.model.model.rotary_emb
        np.testing.assert_allclose(rotary.inv_freq.numpy(), own["inv_freq"],
                                   rtol=3e-7)
        if abs(rotary.attention_scaling - own["cos_sin_multiplier"]) > 1e-7:
            # With mscale set and mscale_all_dim 0 or absent, mscale is
            # ignored (taken as 1) in the cos/sin multiplier.
            self.notes.append(
                f"cos/sin multiplier {rotary.attention_scaling} replaced")
            rotary.attention_scaling = own["cos_sin_multiplier"]

    @torch.no_grad()
    def logits(self, ids):
        out = self.model(torch.tensor([list(ids)]), use_cache=False)
        return out.logits[0].numpy()

    def greedy(self, ids, count):
        """Returns (continuation, least gap between the two best logits).

        Every step computes the whole sequence anew. The end token is not
        special, and all rows of the head take part.
        """
        ids, gap = list(ids), np.inf
        first = len(ids)
        for _ in range(count):
            last = self.logits(ids)[-1]
            best = np.sort(last)[-2:]
            gap = min(gap, float(best[1] - best[0]))
            ids.append(int(last.argmax()))
        return ids[first:], gap


def prompt(length, vocabulary, seed):
    """A prompt: BOS (0), then ids from the same generator as the weights."""
    key = rw.mix(np.uint64(seed ^ rw.fnv1a64(f"prompt {length}".encode())))
    with np.errstate(over="ignore"):
        index = np.arange(1, length + 1, dtype=np.uint64)
        raw = rw.mix(key + index * np.uint64(0x9E3779B97F4A7C15))
    ids = (raw >> np.uint64(40)) % np.uint64(vocabulary)
    return [0] + [int(i) for i in ids[1:]]


def write_npy(path, array):
    """Writes version 1.0 of the format, float32, row-major."""
    with open(path, "wb") as f:
        np.lib.format.write_array(
            f, np.ascontiguousarray(array, dtype=np.float32), version=(1, 0))


def compact(value, indent=0):
    """JSON with lists of plain values on one line."""
    pad = " " * (indent + 1)
    if isinstance(value, dict) and value:
        return "{\n" + ",\n".join(
            f"{pad}{json.dumps(k)}: {compact(v, indent + 1)}"
            for k, v in value.items()) + "\n" + " " * indent + "}"
    if isinstance(value, list) and any(isinstance(v, dict) for v in value):
        return "[\n" + ",\n".join(
            pad + compact(v, indent + 1) for v in value) + "\n" + (
                " " * indent + "]")
    return json.dumps(value)


def constants(c):
    own = reference.rope_constants(c)
    own["inv_freq"] = [float(np.float32(v)) for v in own["inv_freq"]]
    return own


def make(name, full, seed):
    """Writes a fixture's goldens; returns whether the seed is a good one."""
    folder = FIXTURES / name
    c = rw.load_config(folder / "config.json")
    weights = reference.random_weights(seed)
    oracle = Oracle(c, weights)
    own64 = reference.Reference(c, weights, np.float64)
    own32 = reference.Reference(c, weights, np.float32)
    golden = folder / "golden"
    golden.mkdir(exist_ok=True)
    for old in golden.iterdir():
        old.unlink()
    token_gap = np.inf
    prompts, worst, worst32, gap = [], 0.0, 0.0, np.inf
    for length, rows in (FULL if full else SHORT).items():
        ids = prompt(length, c["vocab_size"], seed)
        logits = oracle.logits(ids)
        residual = []
        expected = own64.forward(ids, residual)
        routes = own64.routes
        span = float(expected.max() - expected.min())
        worst = max(worst, float(abs(logits - expected).max()) / span)
        error = own32.forward(ids) - expected
        worst32 = max(worst32, float(abs(error).max()) / span)
        gap = min(gap, own64.route_gap)
        entry = {"ids": ids, "logits": f"logits.{length}.npy",
                 "rows": rows or "all"}
        write_npy(golden / entry["logits"], logits[rows] if rows else logits)
        count = 0
        if full and length in (7, 64):
            count = 64
        elif not full:
            count = 16
        if count:
            entry["greedy"], least = oracle.greedy(ids, count)
            entry["greedy_least_gap"] = least
            token_gap = min(token_gap, least)
        if full and length == 7:
            entry["hidden"] = "hidden.7.npy"
            write_npy(golden / entry["hidden"], np.stack(residual))
            entry["routes"] = [
                {"expert_ids": i.tolist(),
                 "weights": np.float32(w).astype(float).round(8).tolist()}
                for i, w in routes]
        prompts.append(entry)
    assert worst < 1e-5 and worst32 < 1e-5, (name, worst, worst32)
    (golden / "golden.json").write_text(compact({
        "weights": f"random:{seed}", "seed": seed,
        "made_with": f"transformers {transformers.__version__}, "
                     f"torch {torch.__version__.split('+')[0]}, float32",
        "oracle_changes": oracle.notes,
        "difference_to_float64_reference": float(f"{worst:.2g}"),
        "least_routing_gap": None if np.isinf(gap) else gap,
        "rope": constants(c), "prompts": prompts}) + "\n")
    print(f"{name}: oracle {worst:.1e}, numpy float32 {worst32:.1e} of the "
          f"logit range, routing gap {gap:.1e}, token gap {token_gap:.1e}, "
          f"seed {seed}", flush=True)
    return gap >= LEAST_ROUTING_GAP and token_gap >= LEAST_TOKEN_GAP


def write_variation(name):
    base, changes = VARIATIONS[name]
    c = json.loads((FIXTURES / base / "config.json").read_text())
    for key, value in changes.items():
        if value is REMOVE:
            del c[key]
        else:
            c[key] = value
    (FIXTURES / name).mkdir(exist_ok=True)
    (FIXTURES / name / "config.json").write_text(
        json.dumps(dict(sorted(c.items())), indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("fixtures", nargs="*",
                        default=["T0", "T1", *VARIATIONS],
                        help="names of fixtures (default: all)")
    parser.add_argument("--first-seed", type=int, default=1,
                        help="seeds are tried from here on")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in arguments.fixtures:
        full = name not in VARIATIONS
        if not full:
            write_variation(name)
        seed = arguments.first_seed
        while not make(name, full, seed):
            seed += 1


if __name__ == "__main__":
    main()
