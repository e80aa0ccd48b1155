#!/usr/bin/env python3
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A plain numpy implementation of the model family, in its expanded form.

It is written from the description of the model and shares no code with
`transformers`, so that the two check each other, and it covers configurations
that `transformers` does not. It is slow and has no cache. `Reference` computes
in float32 or float64; position angles are float32 products in both, as in
every published implementation, since they decide what the model is.
"""

import argparse
import json
import math
import pathlib
import struct

import numpy as np

import random_weights as rw


def yarn_magnitude(factor, mscale):
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def rope_constants(c):
    """Returns what the position settings mean, as a dictionary.

    inv_freq (float64 values), low and high of the ramp (None without YaRN),
    cos_sin_multiplier and softmax_scale.
    """
    dim, base = c["qk_rope_head_dim"], float(c["rope_theta"])
    theta = np.array([base ** (-2.0 * i / dim) for i in range(dim // 2)])
    scale = (c["qk_nope_head_dim"] + dim) ** -0.5
    s = c["rope_scaling"]
    if s is None:
        return {"inv_freq": theta, "low": None, "high": None,
                "cos_sin_multiplier": 1.0, "softmax_scale": scale}
    factor, original = s["factor"], s["original_max_position_embeddings"]

    def correction(rotations):
        return (dim * math.log(original / (2 * math.pi * rotations)) /
                (2 * math.log(base)))

    low = max(math.floor(correction(s["beta_fast"])), 0)
    high = min(math.ceil(correction(s["beta_slow"])), dim - 1)
    width = (high - low) or 0.001
    ramp = np.clip((np.arange(dim // 2) - low) / width, 0, 1)
    if s["mscale_all_dim"]:
        scale *= yarn_magnitude(factor, s["mscale_all_dim"]) ** 2
    return {"inv_freq": theta * (1 - ramp) + theta / factor * ramp,
            "low": low, "high": high,
            "cos_sin_multiplier":
                yarn_magnitude(factor, s["mscale"]) /
                yarn_magnitude(factor, s["mscale_all_dim"]),
            "softmax_scale": scale}


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def top(scores, k):
    """Indices of the k largest of each row, ties to the lower index."""
    return np.argsort(-scores, axis=-1, kind="stable")[:, :k]


class Reference:
    """A model: configuration (as rw.load_config gives it) and weights.

    `weights` is a function from (name, shape) to a float32 array.
    """

    def __init__(self, config, weights, dtype=np.float64):
        self.c, self.dtype = config, dtype
        self.w = {n: weights(n, s).astype(dtype)
                  for n, s in rw.tensor_shapes(config).items()}
        self.rope = rope_constants(config)
        # Smallest distance of a routing decision, and the routes, of the
        # last forward pass.
        self.route_gap, self.routes = math.inf, []

    def norm(self, x, name):
        eps = self.dtype(self.c["rms_norm_eps"])
        mean = (x * x).mean(-1, keepdims=True, dtype=self.dtype)
        return self.w[name] * (x / np.sqrt(mean + eps))

    def linear(self, x, name):
        return x @ self.w[name].T

    def mlp(self, x, prefix):
        gate = self.linear(x, prefix + "gate_proj.weight")
        up = self.linear(x, prefix + "up_proj.weight")
        silu = gate / (1 + np.exp(-gate))
        return self.linear(silu * up, prefix + "down_proj.weight")

    def rotate(self, x, positions):
        """Rotates the adjacent pairs of the last axis of [tokens, ..., R]."""
        angles = (positions.astype(np.float32)[:, None] *
                  self.rope["inv_freq"].astype(np.float32)[None])
        angles = angles.astype(np.float64)
        g = self.rope["cos_sin_multiplier"]
        shape = (len(positions),) + (1,) * (x.ndim - 2) + (-1,)
        cos = (np.cos(angles) * g).astype(self.dtype).reshape(shape)
        sin = (np.sin(angles) * g).astype(self.dtype).reshape(shape)
        even, odd = x[..., 0::2], x[..., 1::2]
        out = np.empty_like(x)
        out[..., 0::2] = even * cos - odd * sin
        out[..., 1::2] = odd * cos + even * sin
        return out

    def attention(self, x, p):
        c, tokens = self.c, len(x)
        heads, nope = c["num_attention_heads"], c["qk_nope_head_dim"]
        latent_size = c["kv_lora_rank"]
        positions = np.arange(tokens)
        if c["q_lora_rank"] is None:
            q = self.linear(x, p + "q_proj.weight")
        else:
            q = self.linear(x, p + "q_a_proj.weight")
            q = self.norm(q, p + "q_a_layernorm.weight")
            q = self.linear(q, p + "q_b_proj.weight")
        q = q.reshape(tokens, heads, -1)
        q_rope = self.rotate(q[..., nope:], positions)
        y = self.linear(x, p + "kv_a_proj_with_mqa.weight")
        latent = self.norm(y[:, :latent_size], p + "kv_a_layernorm.weight")
        k_rope = self.rotate(y[:, latent_size:], positions)
        kv = self.linear(latent, p + "kv_b_proj.weight")
        kv = kv.reshape(tokens, heads, -1)
        scores = np.einsum("qhd,khd->hqk", q[..., :nope], kv[..., :nope])
        scores = scores + np.einsum("qhd,kd->hqk", q_rope, k_rope)
        scores = scores * self.dtype(self.rope["softmax_scale"])
        future = np.triu(np.ones((tokens, tokens), dtype=bool), 1)
        scores = np.where(future, -np.inf, scores)
        out = np.einsum("hqk,khd->qhd", softmax(scores), kv[..., nope:])
        return self.linear(out.reshape(tokens, -1), p + "o_proj.weight")

    def route(self, x, p):
        """Returns (expert ids, weights), each [tokens, k]."""
        c, experts = self.c, self.c["n_routed_experts"]
        k = c["num_experts_per_tok"]
        scores = softmax(self.linear(x, p + "gate.weight"))
        allowed = scores
        if c["topk_method"] == "group_limited_greedy":
            groups, kept = c["n_group"], c["topk_group"]
            best = scores.reshape(-1, groups, experts // groups).max(-1)
            self.note_gap(best, kept)
            keep = np.zeros_like(best, dtype=bool)
            np.put_along_axis(keep, top(best, kept), True, -1)
            keep = np.repeat(keep, experts // groups, -1)
            allowed = np.where(keep, scores, -np.inf)
        else:
            assert c["topk_method"] == "greedy", c["topk_method"]
        self.note_gap(allowed, k)
        ids = top(allowed, k)
        weights = np.take_along_axis(scores, ids, -1)
        if c["norm_topk_prob"]:
            weights = weights / (weights.sum(-1, keepdims=True) +
                                 self.dtype(1e-20))
        return ids, weights * self.dtype(c["routed_scaling_factor"])

    def note_gap(self, scores, k):
        """Keeps the least distance between the last taken and first left."""
        ordered = -np.sort(-scores, -1)
        if k < ordered.shape[1]:
            gap = ordered[:, k - 1] - ordered[:, k]
            self.route_gap = min(self.route_gap, float(gap.min()))

    def sparse(self, x, p):
        ids, weights = self.route(x, p)
        self.routes.append((ids, weights))
        y = np.zeros_like(x)
        for e in range(self.c["n_routed_experts"]):
            rows, slots = np.nonzero(ids == e)
            if len(rows):
                out = self.mlp(x[rows], f"{p}experts.{e}.")
                y[rows] += out * weights[rows, slots][:, None]
        if self.c["n_shared_experts"]:
            y = y + self.mlp(x, p + "shared_experts.")
        return y

    def forward(self, ids, hidden=None):
        """Returns logits [tokens, vocabulary] of one sequence.

        If `hidden` is a list, the residual stream is appended to it: after
        the embedding, then after each layer.
        """
        self.route_gap, self.routes = math.inf, []
        h = self.w[rw.EMBEDDING][np.asarray(ids)]
        if hidden is not None:
            hidden.append(h)
        for l in range(self.c["num_hidden_layers"]):
            p = f"model.layers.{l}."
            x = self.norm(h, p + "input_layernorm.weight")
            h = h + self.attention(x, p + "self_attn.")
            x = self.norm(h, p + "post_attention_layernorm.weight")
            if rw.is_sparse(self.c, l):
                h = h + self.sparse(x, p + "mlp.")
            else:
                h = h + self.mlp(x, p + "mlp.")
            if hidden is not None:
                hidden.append(h)
        return self.linear(self.norm(h, "model.norm.weight"),
                           "lm_head.weight")


def read_checkpoint(folder):
    """Returns a weight function over a folder's model.safetensors (bf16)."""
    data = (pathlib.Path(folder) / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])

    def weights(name, shape):
        entry = header[name]
        assert entry["dtype"] == "BF16" and entry["shape"] == list(shape), name
        first, last = (8 + size + o for o in entry["data_offsets"])
        bits = np.frombuffer(data[first:last], dtype="<u2")
        return rw.from_bfloat16_bits(bits).reshape(shape)

    return weights


def random_weights(seed):
    return lambda name, shape: rw.random_tensor(name, shape, seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=pathlib.Path,
                        help="a config.json, or a checkpoint folder")
    parser.add_argument("--seed", type=int,
                        help="use random weights with this seed")
    parser.add_argument("--token-ids", type=int, nargs="+", required=True)
    parser.add_argument("--dtype", choices=("float32", "float64"),
                        default="float64")
    parser.add_argument("--output", type=pathlib.Path,
                        help="write the logits to this .npy file")
    a = parser.parse_args()
    folder = a.config if a.config.is_dir() else a.config.parent
    config = rw.load_config(folder / "config.json" if a.config.is_dir()
                            else a.config)
    weights = (read_checkpoint(folder) if a.seed is None
               else random_weights(a.seed))
    model = Reference(config, weights, np.dtype(a.dtype).type)
    logits = model.forward(a.token_ids).astype(np.float32)
    print("next token after each position:", logits.argmax(-1).tolist())
    if a.output:
        np.save(a.output, logits)


if __name__ == "__main__":
    main()
