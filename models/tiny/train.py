#!/usr/bin/env python3
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Trains the tiny model of the DeepSeek-V2 family from config.json.

The model is written out here instead of taken from `transformers`, to have
residual dropout and a fast path over the experts. It computes the same
function; test/Oracle/make_tiny_goldens.py checks that on the written file.

Method: AdamW with a cosine schedule, dropout on the embedding and on both
branches of every layer, an exponential moving average of the weights, and
random BPE merges dropped (BPE dropout) in the first part of the run. Every
evaluation rounds the averaged weights to bfloat16, computes in float32, and
writes the checkpoint if the validation loss is the best so far. So the best
file is on disk at any moment, and the loss in the log is that of the file.

Needs torch, tokenizers, numpy and safetensors; none is needed to build, test
or run dsv2.
"""

import argparse
import json
import math
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn

FOLDER = pathlib.Path(__file__).resolve().parent


def yarn(config):
    """Returns (inverse frequencies, cos/sin multiplier, softmax scale)."""
    dim = config["qk_rope_head_dim"]
    base = config["rope_theta"]
    theta = [base ** (-2.0 * i / dim) for i in range(dim // 2)]
    scale = (config["qk_nope_head_dim"] + dim) ** -0.5
    scaling = config.get("rope_scaling")
    if not scaling:
        return theta, 1.0, scale
    factor = scaling["factor"]
    original = scaling["original_max_position_embeddings"]

    def correction(rotations):
        return (dim * math.log(original / (rotations * 2 * math.pi)) /
                (2 * math.log(base)))

    def magnitude(m):
        return 1.0 if factor <= 1 else 0.1 * m * math.log(factor) + 1.0

    low = max(math.floor(correction(scaling["beta_fast"])), 0)
    high = min(math.ceil(correction(scaling["beta_slow"])), dim - 1)
    if low == high:
        high += 0.001
    ramp = [min(max((i - low) / (high - low), 0.0), 1.0)
            for i in range(dim // 2)]
    inverse = [t * (1 - r) + t / factor * r for t, r in zip(theta, ramp)]
    all_dim = scaling.get("mscale_all_dim", 0)
    multiplier = magnitude(scaling.get("mscale", 1)) / magnitude(all_dim)
    return inverse, multiplier, scale * magnitude(all_dim) ** 2


class RMSNorm(nn.Module):

    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


class Attention(nn.Module):
    """Multi-head latent attention in its expanded form."""

    def __init__(self, c):
        super().__init__()
        self.heads = c["num_attention_heads"]
        self.nope, self.rope = c["qk_nope_head_dim"], c["qk_rope_head_dim"]
        self.value, self.latent = c["v_head_dim"], c["kv_lora_rank"]
        hidden, eps = c["hidden_size"], c["rms_norm_eps"]
        query = self.heads * (self.nope + self.rope)
        self.q_a_proj = linear(hidden, c["q_lora_rank"])
        self.q_a_layernorm = RMSNorm(c["q_lora_rank"], eps)
        self.q_b_proj = linear(c["q_lora_rank"], query)
        self.kv_a_proj_with_mqa = linear(hidden, self.latent + self.rope)
        self.kv_a_layernorm = RMSNorm(self.latent, eps)
        self.kv_b_proj = linear(self.latent,
                                self.heads * (self.nope + self.value))
        self.o_proj = linear(self.heads * self.value, hidden)
        self.scale = yarn(c)[2]

    @staticmethod
    def rotate(x, cos, sin):
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((even * cos - odd * sin, odd * cos + even * sin),
                           -1).flatten(-2)

    def forward(self, x, cos, sin):
        batch, length, _ = x.shape
        q = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x)))
        q = q.view(batch, length, self.heads, -1).transpose(1, 2)
        latent, k_rope = self.kv_a_proj_with_mqa(x).split(
            [self.latent, self.rope], -1)
        kv = self.kv_b_proj(self.kv_a_layernorm(latent))
        kv = kv.view(batch, length, self.heads, -1).transpose(1, 2)
        k_nope, v = kv.split([self.nope, self.value], -1)
        k_rope = self.rotate(k_rope, cos, sin).unsqueeze(1)
        q = torch.cat((q[..., :self.nope],
                       self.rotate(q[..., self.nope:], cos, sin)), -1)
        k = torch.cat((k_nope, k_rope.expand(-1, self.heads, -1, -1)), -1)
        # Equal head sizes let torch choose its blocked kernel.
        v = F.pad(v, (0, k.shape[-1] - self.value))
        y = F.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=self.scale)[..., :self.value]
        return self.o_proj(y.transpose(1, 2).flatten(2))


class MLP(nn.Module):

    def __init__(self, hidden, width):
        super().__init__()
        self.gate_proj = linear(hidden, width)
        self.up_proj = linear(hidden, width)
        self.down_proj = linear(width, hidden)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class MoE(nn.Module):
    """Group-limited routed experts plus the shared experts."""

    def __init__(self, c):
        super().__init__()
        hidden, width = c["hidden_size"], c["moe_intermediate_size"]
        self.experts, self.k = c["n_routed_experts"], c["num_experts_per_tok"]
        self.groups, self.kept = c["n_group"], c["topk_group"]
        self.factor = c["routed_scaling_factor"]
        assert c["topk_method"] == "group_limited_greedy"
        assert not c["norm_topk_prob"]
        self.gate = linear(hidden, self.experts)
        self.gate_proj = nn.Parameter(torch.empty(self.experts, width, hidden))
        self.up_proj = nn.Parameter(torch.empty(self.experts, width, hidden))
        self.down_proj = nn.Parameter(torch.empty(self.experts, hidden, width))
        self.shared_experts = MLP(hidden, c["n_shared_experts"] * width)
        self.balance = None  # loss term of the last forward pass
        self.load = None     # share of the slots per expert

    def forward(self, x):
        shape = x.shape
        x = x.reshape(-1, shape[-1])
        with torch.autocast("cpu", enabled=False):
            scores = self.gate(x.float()).softmax(-1)
        group = scores.detach().view(-1, self.groups,
                                     self.experts // self.groups)
        kept = group.amax(-1).topk(self.kept, -1).indices
        mask = torch.ones(group.shape[:2], dtype=torch.bool)
        mask.scatter_(1, kept, False)
        limited = group.masked_fill(mask.unsqueeze(-1), -1.0).flatten(1)
        chosen = limited.topk(self.k, -1).indices
        weights = scores.gather(1, chosen) * self.factor

        slots = chosen.flatten()
        order = slots.argsort(stable=True)
        counts = torch.bincount(slots, minlength=self.experts)
        tokens = order // self.k
        pieces = []
        routed = x[tokens]
        if torch.is_autocast_enabled("cpu"):
            routed = routed.to(torch.bfloat16)
        for e, rows in enumerate(routed.split(counts.tolist())):
            if len(rows):
                h = F.silu(rows @ self.gate_proj[e].T)
                h = h * (rows @ self.up_proj[e].T)
                pieces.append(h @ self.down_proj[e].T)
        y = torch.cat(pieces).float() * weights.flatten()[order].unsqueeze(-1)
        y = torch.zeros_like(x).index_add(0, tokens, y)

        self.load = counts / slots.numel()
        self.balance = self.experts * (self.load * scores.mean(0)).sum()
        return (y + self.shared_experts(x)).view(shape)


class Layer(nn.Module):

    def __init__(self, c, index, dropout):
        super().__init__()
        hidden, eps = c["hidden_size"], c["rms_norm_eps"]
        self.input_layernorm = RMSNorm(hidden, eps)
        self.self_attn = Attention(c)
        self.post_attention_layernorm = RMSNorm(hidden, eps)
        sparse = (index >= c["first_k_dense_replace"] and
                  index % c["moe_layer_freq"] == 0)
        self.mlp = MoE(c) if sparse else MLP(hidden, c["intermediate_size"])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, cos, sin):
        x = x + self.dropout(self.self_attn(self.input_layernorm(x), cos, sin))
        return x + self.dropout(self.mlp(self.post_attention_layernorm(x)))


class Model(nn.Module):

    def __init__(self, c, dropout=0.0):
        super().__init__()
        self.config = c
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Layer(c, i, dropout)
                                    for i in range(c["num_hidden_layers"]))
        self.norm = RMSNorm(c["hidden_size"], c["rms_norm_eps"])
        self.lm_head = linear(c["hidden_size"], c["vocab_size"])
        self.dropout = nn.Dropout(dropout)
        inverse, multiplier, _ = yarn(c)
        positions = torch.arange(c["max_position_embeddings"]).float()
        angles = torch.outer(positions, torch.tensor(inverse))
        self.register_buffer("cos", angles.cos() * multiplier, False)
        self.register_buffer("sin", angles.sin() * multiplier, False)
        for name, p in self.named_parameters():
            if p.dim() > 1:
                std = 0.02
                if name.endswith(("o_proj.weight", "down_proj.weight",
                                  "down_proj")):
                    std /= math.sqrt(2 * c["num_hidden_layers"])
                nn.init.normal_(p, std=std)

    def forward(self, ids):
        cos, sin = self.cos[:ids.shape[1]], self.sin[:ids.shape[1]]
        x = self.dropout(self.embed_tokens(ids))
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.lm_head(self.norm(x))

    def moe_layers(self):
        return [l.mlp for l in self.layers if isinstance(l.mlp, MoE)]


def to_checkpoint(state):
    """Renames a state to published tensor names, in bfloat16."""
    tensors = {}
    for name, tensor in state.items():
        if name != "lm_head.weight":
            name = "model." + name
        if tensor.dim() == 3:  # stacked experts: one tensor for each
            prefix, _, projection = name.rpartition(".")
            for e in range(len(tensor)):
                key = f"{prefix}.experts.{e}.{projection}.weight"
                tensors[key] = tensor[e].to(torch.bfloat16).contiguous()
        else:
            tensors[name] = tensor.to(torch.bfloat16).contiguous()
    return tensors


def from_checkpoint(tensors, model):
    """Loads published tensors, as float32, into a Model."""
    state = {}
    for name, tensor in model.state_dict().items():
        key = name if name == "lm_head.weight" else "model." + name
        if tensor.dim() == 3:
            prefix, _, projection = key.rpartition(".")
            state[name] = torch.stack([
                tensors[f"{prefix}.experts.{e}.{projection}.weight"].float()
                for e in range(len(tensor))])
        else:
            state[name] = tensors[key].float()
    model.load_state_dict(state)


@torch.no_grad()
def evaluate(model, ids, size_in_bytes, bos, window=512, report_load=False):
    """Returns the loss in nats per byte of a token stream.

    Windows of `window` tokens start with BOS and overlap by half; only the
    second half of each is scored (all of the first), so that every token has
    at least half a window of context.
    """
    model.eval()
    half, total, start = window // 2, 0.0, 0
    loads = [0.0] * len(model.moe_layers())
    passes = 0
    while start == 0 or start + half < len(ids):
        piece = ids[start:start + window]
        inputs = torch.cat((torch.tensor([bos]), piece[:-1])).unsqueeze(0)
        loss = F.cross_entropy(model(inputs)[0], piece, reduction="none")
        total += loss[half if start else 0:].sum().item()
        loads = [l + m.load for l, m in zip(loads, model.moe_layers())]
        passes += 1
        start += half
    nats = total / size_in_bytes
    return (nats, [l / passes for l in loads]) if report_load else nats


@torch.no_grad()
def sample(model, ids, count, temperature=0.0, seed=0, real_vocabulary=None):
    """Returns a continuation; greedy when the temperature is 0."""
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    ids = list(ids)
    first = len(ids)
    for _ in range(count):
        logits = model(torch.tensor([ids]))[0, -1, :real_vocabulary]
        if temperature == 0:
            ids.append(int(logits.argmax()))
        else:
            p = (logits / temperature).softmax(-1)
            ids.append(int(torch.multinomial(p, 1, generator=generator)))
    return ids[first:]


class Data:
    """Random training windows of a text, with BPE dropout on demand."""

    def __init__(self, tokenizer_path, text, bos, seed):
        self.tokenizer = Tokenizer.from_file(str(tokenizer_path))
        self.text, self.bos = text, bos
        self.random = np.random.default_rng(seed)
        self.newline = self.encode("\n")[0]

    def encode(self, text, dropout=None):
        self.tokenizer.model.dropout = dropout
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        self.tokenizer.model.dropout = None
        return ids

    def load(self, dropout):
        self.ids = np.array(self.encode(self.text, dropout or None))
        blank = (self.ids[:-1] == self.newline) & (self.ids[1:] ==
                                                   self.newline)
        self.speeches = np.flatnonzero(blank) + 2

    def batch(self, rows, length):
        """Half of the windows begin with a speech, half anywhere."""
        limit = len(self.ids) - length
        starts = self.random.integers(0, limit, rows)
        speeches = self.speeches[self.speeches < limit]
        starts[::2] = self.random.choice(speeches, len(starts[::2]))
        targets = np.stack([self.ids[s:s + length] for s in starts])
        inputs = np.concatenate((np.full((rows, 1), self.bos),
                                 targets[:, :-1]), 1)
        return torch.from_numpy(inputs), torch.from_numpy(targets)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--text", default=FOLDER / "tinyshakespeare.txt",
                        type=pathlib.Path, help="the text")
    parser.add_argument("--train-fraction", type=float, default=0.9)
    parser.add_argument("--config", default=FOLDER / "config.json",
                        type=pathlib.Path)
    parser.add_argument("--tokenizer", default=FOLDER / "tokenizer.json",
                        type=pathlib.Path)
    parser.add_argument("--output", default=FOLDER / "model.safetensors",
                        type=pathlib.Path)
    parser.add_argument("--evaluate", action="store_true",
                        help="only evaluate the checkpoint at --output")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--tokens-per-step", type=int, default=4096)
    parser.add_argument("--lengths", type=int, nargs="+",
                        default=[256, 256, 256, 256, 512, 1024],
                        help="window lengths, one drawn per step")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--dropout", type=float, default=0.15)
    parser.add_argument("--bpe-dropout", type=float, default=0.1)
    parser.add_argument("--bpe-dropout-until", type=float, default=0.7,
                        help="fraction of the run that uses BPE dropout")
    parser.add_argument("--balance", type=float, default=0.01,
                        help="weight of the expert balance loss")
    parser.add_argument("--average", type=float, default=0.998,
                        help="decay of the moving average of the weights")
    parser.add_argument("--evaluate-every", type=int, default=200)
    parser.add_argument("--patience", type=int, default=8,
                        help="stop after this many evaluations in a row "
                        "without a better loss")
    parser.add_argument("--float32", action="store_true",
                        help="train in float32 instead of bfloat16 products")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()

    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    config = json.loads(a.config.read_text())
    bos = config["bos_token_id"]
    raw = a.text.read_bytes()
    split = int(len(raw) * a.train_fraction)
    data = Data(a.tokenizer, raw[:split].decode("utf-8"), bos, a.seed)
    real = data.tokenizer.get_vocab_size()
    held = torch.tensor(data.encode(raw[split:].decode("utf-8")))
    held_bytes = len(raw) - split

    checked = Model(config)
    if a.evaluate:
        from_checkpoint(load_file(a.output), checked)
        for window in (128, 256, 512, 1024):
            nats, loads = evaluate(checked, held, held_bytes, bos, window,
                                   True)
            print(f"window {window}: {nats:.4f} nats/byte, "
                  f"{nats / math.log(2):.4f} bits/byte")
        for i, load in enumerate(loads):
            print(f"expert load, sparse layer {i}: least {load.min():.4f}, "
                  f"most {load.max():.4f}, even {1 / len(load):.4f}")
        return

    model = Model(config, a.dropout)
    count = sum(p.numel() for p in model.parameters())
    print("arguments:", json.dumps(vars(a), default=lambda p: p.name))
    print(f"torch {torch.__version__}, {count} parameters, "
          f"{len(held)} validation tokens in {held_bytes} bytes")
    decay = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": a.weight_decay},
         {"params": plain, "weight_decay": 0.0}],
        lr=a.learning_rate, betas=(0.9, 0.95), fused=True)
    average = {n: p.detach().clone() for n, p in model.named_parameters()}
    best, waited, running, seen = math.inf, 0, 0.0, 0
    began = time.time()
    for step in range(1, a.steps + 1):
        progress = step / a.steps
        if (step - 1) % 100 == 0:
            dropping = progress <= a.bpe_dropout_until
            data.load(a.bpe_dropout if dropping else 0.0)
        rate = a.learning_rate * min(
            step / a.warmup, 0.02 + 0.98 * 0.5 *
            (1 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        length = int(data.random.choice(a.lengths))
        inputs, targets = data.batch(a.tokens_per_step // length, length)
        model.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=not a.float32):
            logits = model(inputs)
        loss = F.cross_entropy(logits.float().flatten(0, 1),
                               targets.flatten())
        balance = sum(m.balance for m in model.moe_layers())
        optimizer.zero_grad(set_to_none=True)
        (loss + a.balance * balance).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seen += targets.numel()
        running += loss.item()
        with torch.no_grad():
            blend = min(a.average, (1 + step) / (10 + step))
            names, values = zip(*model.named_parameters())
            torch._foreach_lerp_([average[n] for n in names], list(values),
                                 1 - blend)
        if step % a.evaluate_every and step != a.steps:
            continue
        tensors = to_checkpoint(average)
        from_checkpoint(tensors, checked)
        nats, loads = evaluate(checked, held, held_bytes, bos,
                               report_load=True)
        elapsed = time.time() - began
        print(f"step {step} rate {rate:.2e} train "
              f"{running / a.evaluate_every:.4f} nats/token, "
              f"validation {nats:.4f} nats/byte, expert load "
              f"{min(float(l.min()) for l in loads):.3f}.."
              f"{max(float(l.max()) for l in loads):.3f}, {elapsed:.0f} s, "
              f"{seen / elapsed:.0f} tokens/s", flush=True)
        running = 0.0
        if nats < best:
            best, waited = nats, 0
            scratch = a.output.with_suffix(".part")
            save_file(tensors, scratch, metadata={"format": "pt"})
            scratch.rename(a.output)
        else:
            waited += 1
            if waited >= a.patience:
                print("stopped: no better validation loss")
                break
    from_checkpoint(load_file(a.output), checked)
    print(f"best validation loss {best:.4f} nats/byte, "
          f"{best / math.log(2):.4f} bits/byte")
    prompt = [bos] + data.encode("ROMEO:")
    for temperature in (0.0, 0.7):
        ids = sample(checked, prompt, 200, temperature, 1, real)
        print(f"--- sample at temperature {temperature}\nROMEO:" +
              data.tokenizer.decode(ids))


if __name__ == "__main__":
    main()
