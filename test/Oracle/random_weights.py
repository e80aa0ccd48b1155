#!/usr/bin/env python3
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The weight source `random:SEED`, in numpy, and the family's tensor list.

Every tensor has a generator of its own, keyed by the seed and the tensor's
checkpoint name, so a program can make any tensor, or any part of one, without
the others. All integer arithmetic is modulo 2^64.

  mix(z)     = z ^= z >> 30; z *= 0xBF58476D1CE4E5B9;
               z ^= z >> 27; z *= 0x94D049BB133111EB; z ^= z >> 31
  key        = mix(seed XOR fnv1a64(name in UTF-8))
  raw(i)     = mix(key + (i + 1) * 0x9E3779B97F4A7C15), i in row-major order
  u(i)       = float32(raw(i) >> 40) * 2^-23 - 1       exact, in [-1, 1)
  1-D tensor : v = 1 + 0.25 * u                        float32
  2-D tensor : v = u * s, s = float32(sqrt(3 / columns)), or 1 for the embedding

and v is rounded to bfloat16, to nearest with ties to even.
"""

import argparse
import json
import pathlib
import struct

import numpy as np

EMBEDDING = "model.embed_tokens.weight"


def fnv1a64(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) % 2**64
    return h


def mix(z):
    """The output function of splitmix64, on a uint64 array (a copy)."""
    z = np.array(z, dtype=np.uint64)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def to_bfloat16_bits(values):
    """Rounds finite float32 values to bfloat16; returns uint16 bits."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32)
    bits = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (bits >> np.uint32(16)).astype(np.uint16)


def from_bfloat16_bits(bits):
    return (np.asarray(bits).astype(np.uint32) << np.uint32(16)).view(
        np.float32)


def random_bits(name, shape, seed):
    """Returns the tensor as bfloat16 bits."""
    with np.errstate(over="ignore"):
        key = mix(np.uint64((seed % 2**64) ^ fnv1a64(name.encode("utf-8"))))
        index = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64)
        raw = mix(key + index * np.uint64(0x9E3779B97F4A7C15))
    u = (raw >> np.uint64(40)).astype(np.float32)
    u = u * np.float32(2.0**-23) - np.float32(1)
    if len(shape) == 1:
        v = np.float32(1) + np.float32(0.25) * u
    elif name == EMBEDDING:
        v = u
    else:
        v = u * np.float32(np.sqrt(3.0 / shape[1]))
    return to_bfloat16_bits(v).reshape(shape)


def random_tensor(name, shape, seed):
    """Returns the tensor as float32 values that are bfloat16 numbers."""
    return from_bfloat16_bits(random_bits(name, shape, seed))


def is_sparse(c, layer):
    """Whether a layer has routed experts; `c` is as load_config returns it."""
    return (c["n_routed_experts"] is not None and
            layer >= c["first_k_dense_replace"] and
            layer % c["moe_layer_freq"] == 0)


def tensor_shapes(c):
    """Returns {checkpoint name: shape} of a normalised configuration."""
    hidden, heads = c["hidden_size"], c["num_attention_heads"]
    query = heads * (c["qk_nope_head_dim"] + c["qk_rope_head_dim"])
    shapes = {EMBEDDING: (c["vocab_size"], hidden)}

    def mlp(prefix, width):
        shapes[prefix + "gate_proj.weight"] = (width, hidden)
        shapes[prefix + "up_proj.weight"] = (width, hidden)
        shapes[prefix + "down_proj.weight"] = (hidden, width)

    for l in range(c["num_hidden_layers"]):
        p = f"model.layers.{l}."
        a = p + "self_attn."
        shapes[p + "input_layernorm.weight"] = (hidden,)
        if c["q_lora_rank"] is None:
            shapes[a + "q_proj.weight"] = (query, hidden)
        else:
            shapes[a + "q_a_proj.weight"] = (c["q_lora_rank"], hidden)
            shapes[a + "q_a_layernorm.weight"] = (c["q_lora_rank"],)
            shapes[a + "q_b_proj.weight"] = (query, c["q_lora_rank"])
        shapes[a + "kv_a_proj_with_mqa.weight"] = (
            c["kv_lora_rank"] + c["qk_rope_head_dim"], hidden)
        shapes[a + "kv_a_layernorm.weight"] = (c["kv_lora_rank"],)
        shapes[a + "kv_b_proj.weight"] = (
            heads * (c["qk_nope_head_dim"] + c["v_head_dim"]),
            c["kv_lora_rank"])
        shapes[a + "o_proj.weight"] = (hidden, heads * c["v_head_dim"])
        shapes[p + "post_attention_layernorm.weight"] = (hidden,)
        if is_sparse(c, l):
            width = c["moe_intermediate_size"]
            shapes[p + "mlp.gate.weight"] = (c["n_routed_experts"], hidden)
            for e in range(c["n_routed_experts"]):
                mlp(f"{p}mlp.experts.{e}.", width)
            if c["n_shared_experts"]:
                mlp(p + "mlp.shared_experts.", c["n_shared_experts"] * width)
        else:
            mlp(p + "mlp.", c["intermediate_size"])
    shapes["model.norm.weight"] = (hidden,)
    shapes["lm_head.weight"] = (c["vocab_size"], hidden)
    return shapes


def load_config(path):
    """Reads config.json and gives every field the meaning dsv2 gives it.

    Both spellings of the position settings are accepted. The result always
    has `rope_theta`, and `rope_scaling` is None or a dictionary with `factor`,
    `original_max_position_embeddings`, `beta_fast`, `beta_slow`, `mscale` and
    `mscale_all_dim`.
    """
    c = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    scaling = c.pop("rope_scaling", None)
    nested = c.pop("rope_parameters", None)
    if nested is not None:
        assert scaling is None, "rope_scaling and rope_parameters both set"
        c["rope_theta"] = nested.get("rope_theta", c.get("rope_theta", 10000))
        scaling = nested
    if scaling is not None:
        kinds = {scaling[k] for k in ("type", "rope_type") if k in scaling}
        assert len(kinds) == 1, kinds
        kind = kinds.pop()
        assert kind in ("yarn", "default"), kind
        scaling = None if kind == "default" else {
            "factor": scaling["factor"],
            "original_max_position_embeddings":
                scaling["original_max_position_embeddings"],
            "beta_fast": scaling.get("beta_fast", 32),
            "beta_slow": scaling.get("beta_slow", 1),
            "mscale": scaling.get("mscale", 1),
            "mscale_all_dim": scaling.get("mscale_all_dim", 0),
        }
    c["rope_scaling"] = scaling
    c.setdefault("rope_theta", 10000)
    c.setdefault("rms_norm_eps", 1e-6)
    c.setdefault("q_lora_rank", None)
    c.setdefault("n_routed_experts", None)
    c.setdefault("n_shared_experts", None)
    c.setdefault("first_k_dense_replace", 0)
    c.setdefault("moe_layer_freq", 1)
    c.setdefault("norm_topk_prob", False)
    if c.get("topk_method") == "gready":
        c["topk_method"] = "greedy"
    return c


def write_checkpoint(config_path, seed, folder):
    """Writes a checkpoint folder with these weights, without libraries."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    header, offset, parts = {"__metadata__": {"format": "pt"}}, 0, []
    for name, shape in tensor_shapes(load_config(config_path)).items():
        data = random_bits(name, shape, seed).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": list(shape),
                        "data_offsets": [offset, offset + len(data)]}
        parts.append(data)
        offset += len(data)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with open(folder / "model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + b"".join(parts))
    (folder / "config.json").write_bytes(
        pathlib.Path(config_path).read_bytes())


def samples():
    """Some tensors' leading values, for tests of other implementations."""
    out = {"fnv1a64": {n: f"{fnv1a64(n.encode()):#018x}"
                       for n in ("", "a", EMBEDDING)},
           "mix": {f"{z:#x}": f"{int(mix(np.uint64(z))):#018x}"
                   for z in (0, 1, 0x9E3779B97F4A7C15, 2**64 - 1)},
           "tensors": []}
    for name, shape in (
            (EMBEDDING, (256, 64)), ("lm_head.weight", (256, 64)),
            ("model.norm.weight", (64,)),
            ("model.layers.0.mlp.down_proj.weight", (64, 128)),
            ("model.layers.2.mlp.experts.7.down_proj.weight", (64, 32)),
            ("model.layers.1.self_attn.kv_b_proj.weight", (128, 32)),
            ("model.layers.1.self_attn.kv_a_proj_with_mqa.weight", (40, 64))):
        for seed in (0, 1, 2**63 + 5):
            bits = random_bits(name, shape, seed).ravel()
            out["tensors"].append({
                "name": name, "shape": shape, "seed": str(seed),
                "first_bf16_bits": [f"{b:#06x}" for b in bits[:8]],
                "last_bf16_bits": f"{bits[-1]:#06x}",
                "first_values": [float(v)
                                 for v in from_bfloat16_bits(bits[:8])],
                "fnv1a64_of_bytes":
                    f"{fnv1a64(bits.astype('<u2').tobytes()):#018x}"})
    return out


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=pathlib.Path,
                        help="write sample values to this JSON file "
                        "(the committed one is Fixtures/random_weights.json)")
    parser.add_argument("--checkpoint", type=pathlib.Path,
                        help="write a checkpoint folder here")
    parser.add_argument("--config", type=pathlib.Path,
                        default=root / "Fixtures/T0/config.json",
                        help="configuration of that checkpoint")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.samples:
        arguments.samples.write_text(json.dumps(samples(), indent=1) + "\n")
    if arguments.checkpoint:
        write_checkpoint(arguments.config, arguments.seed,
                         arguments.checkpoint)


if __name__ == "__main__":
    main()
