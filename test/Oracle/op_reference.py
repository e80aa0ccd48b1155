#!/usr/bin/env python3
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes the executable tests of the reference lowering.

Each op is computed here in numpy from its definition (the descriptions in the
dialect's .td files), in float64 except where the definition asks for float32,
and shares no code with the lowering. Inputs and expected values go into
test/Integration/CPU/Reference/*.mlir as constants, so that the tests need no
Python.

    op_reference.py            write the files
    op_reference.py --check    fail if a file differs from what would be written
"""

import argparse
import math
import pathlib
import sys

import numpy as np

FOLDER = (pathlib.Path(__file__).resolve().parents[1] /
          "Integration" / "CPU" / "Reference")
HEAD = """\
// RUN: cat %s %S/Inputs/compare.mlir | dsv2-opt --dsv2-convert-to-linalg \\
// RUN:   | mlir-opt %lower_to_llvm \\
// RUN:   | mlir-runner -e main --entry-point-result=void \\
// RUN:       -shared-libs=%mlir_runner_utils \\
// RUN:   | FileCheck %s --implicit-check-not=FAIL
//
"""

# ===----------------------------------------------------------------------===#
# Numbers
# ===----------------------------------------------------------------------===#


def bf16(x):
    """float32 values rounded to bf16, to nearest even, kept as float32."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return bits.astype(np.uint32).view(np.float32)


class Random:
    """Multiples of 1/16 of magnitude at most 2: exact in every float type."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def __call__(self, *shape):
        return self.rng.integers(-32, 33, shape).astype(np.float32) / 16


def number(value, kind):
    if kind == "i32":
        return str(int(value))
    # Enough digits for f32, in a form that the MLIR parser takes.
    text = np.format_float_scientific(np.float32(value), trim="0")
    mantissa, exponent = text.split("e")
    if int(exponent) in range(-4, 7):
        return np.format_float_positional(np.float32(value), trim="0")
    return f"{mantissa}e{exponent}"


def constant(array, kind):
    def nested(a):
        if a.ndim == 0:
            return number(a, kind)
        return "[" + ", ".join(nested(x) for x in a) + "]"

    array = np.asarray(array)
    if array.size == 0:
        return "dense<>"
    return f"dense<{nested(array)}>"


def static(shape, kind):
    return "tensor<" + "".join(f"{n}x" for n in shape) + kind + ">"


def wrap(text, indent):
    """Breaks a long line at spaces."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > 80:
            lines.append(line)
            line = indent + word
        else:
            line = f"{line} {word}" if line else word
    return lines + [line]


# ===----------------------------------------------------------------------===#
# Test files
# ===----------------------------------------------------------------------===#


class Case:
    """One function that computes, one that holds what is expected."""

    def __init__(self, name, why=""):
        self.name = name
        self.why = why
        self.body = []
        self.results = []

    def const(self, name, array, kind, dynamic=()):
        """A constant; dimensions in `dynamic` are hidden behind a cast."""
        array = np.asarray(array)
        shape = list(array.shape)
        if not dynamic:
            self.line(f"%{name} = arith.constant {constant(array, kind)} : "
                      f"{static(shape, kind)}")
            return
        self.line(f"%{name}_s = arith.constant {constant(array, kind)} : "
                  f"{static(shape, kind)}")
        wide = ["?" if d in dynamic else n for d, n in enumerate(shape)]
        self.line(f"%{name} = tensor.cast %{name}_s : {static(shape, kind)} "
                  f"to {static(wide, kind)}")

    def line(self, text):
        self.body.append(text)

    def result(self, name, type_, expected, kind, tolerance):
        """`%name` of `type_` must be `expected` up to `tolerance`."""
        self.results.append((name, type_, np.asarray(expected), kind,
                             tolerance))

    def text(self):
        out = []
        for line in self.why.strip().splitlines():
            out.append(f"// {line.strip()}".rstrip())
        types = ", ".join(r[1] for r in self.results)
        many = f"({types})" if len(self.results) > 1 else types
        out += wrap(f"func.func private @{self.name}() -> {many} {{", "    ")
        for line in self.body:
            out += wrap("  " + line, "      ")
        names = ", ".join(f"%{r[0]}" for r in self.results)
        out += wrap(f"  return {names} : {types}", "      ")
        out.append("}")

        wanted = [static(r[2].shape, r[3]) for r in self.results]
        many = f"({', '.join(wanted)})" if len(wanted) > 1 else wanted[0]
        out += wrap(
            f"func.func private @{self.name}_expected() -> {many} {{", "    ")
        for i, (_, _, expected, kind, _) in enumerate(self.results):
            out += wrap(f"  %{i} = arith.constant {constant(expected, kind)} "
                        f": {wanted[i]}", "      ")
        names = ", ".join(f"%{i}" for i in range(len(wanted)))
        out += wrap(f"  return {names} : {', '.join(wanted)}", "      ")
        out.append("}")

        # Results are compared as vectors; the label gives the result's name.
        out.append(f"func.func private @{self.name}_check() {{")
        count = len(self.results)
        colon = f":{count}" if count > 1 else ""
        got_types = ", ".join(r[1] for r in self.results)
        got_types = f"({got_types})" if count > 1 else got_types
        out += wrap(f"  %got{colon} = call @{self.name}() : () -> {got_types}",
                    "      ")
        out += wrap(f"  %want{colon} = call @{self.name}_expected() : () -> "
                    f"{many}", "      ")
        for i, (name, type_, expected, kind, tolerance) in enumerate(
                self.results):
            suffix = f"#{i}" if count > 1 else ""
            rank = expected.ndim
            flat_g, flat_w = f"%got{suffix}", f"%want{suffix}"
            size = expected.size
            want_type = f"tensor<{size}x{kind}>"
            got_flat = type_
            if rank > 1:
                group = "[[" + ", ".join(str(d) for d in range(rank)) + "]]"
                dims = type_[len("tensor<"):].split("x")[:rank]
                flat = "?" if "?" in dims else str(size)
                got_flat = f"tensor<{flat}x{kind}>"
                out += wrap(f"  %g{i} = tensor.collapse_shape {flat_g} {group} "
                            f": {type_} into {got_flat}", "      ")
                out += wrap(f"  %w{i} = tensor.collapse_shape {flat_w} {group} "
                            f": {wanted[i]} into {want_type}", "      ")
                flat_g, flat_w = f"%g{i}", f"%w{i}"
            vector = f"tensor<?x{kind}>"
            if got_flat != vector:
                out.append(f"  %gd{i} = tensor.cast {flat_g} : {got_flat} to "
                           f"{vector}")
                flat_g = f"%gd{i}"
            out.append(f"  %wd{i} = tensor.cast {flat_w} : {want_type} to "
                       f"{vector}")
            out += wrap(f"  %d{i} = call @difference_{kind}({flat_g}, %wd{i}) "
                        f": ({vector}, {vector}) -> f32", "      ")
            out.append(f"  %t{i} = arith.constant {number(tolerance, 'f32')} "
                       ": f32")
            out.append(f"  vector.print str \"{self.name} {name}: \"")
            out.append(f"  call @verdict(%d{i}, %t{i}) : (f32, f32) -> ()")
        out.append("  return")
        out.append("}")
        for name, *_ in self.results:
            out.append(f"// CHECK: {self.name} {name}: ok")
        return out


def write(name, what, cases):
    lines = HEAD.splitlines()
    lines += [f"// {line}".rstrip() for line in what.strip().splitlines()]
    lines += ["// Written by test/Oracle/op_reference.py.", ""]
    for case in cases:
        lines += case.text() + [""]
    lines.append("func.func @main() {")
    for case in cases:
        lines.append(f"  call @{case.name}_check() : () -> ()")
    lines += ["  return", "}"]
    return FOLDER / f"{name}.mlir", "\n".join(lines) + "\n"


# ===----------------------------------------------------------------------===#
# Model ops
# ===----------------------------------------------------------------------===#


def f64(x):
    return np.asarray(x, np.float64)


def rms_norm(x, w, eps):
    x = f64(x)
    return f64(w) * (x / np.sqrt((x * x).mean(-1, keepdims=True) + eps))


def gated_ffn(x, gate, up, down):
    g, u = f64(x) @ f64(gate).T, f64(x) @ f64(up).T
    with np.errstate(over="ignore"):
        return (g / (1 + np.exp(-g)) * u) @ f64(down).T


def model_cases():
    r = Random(1)
    cases = []

    c = Case("embed")
    tokens, table = [3, 0, 3, 4], r(5, 6)
    c.const("tokens", tokens, "i32", [0])
    c.const("table", table, "bf16")
    c.line("%y = dsv2.embed %tokens, %table : tensor<?xi32>, tensor<5x6xbf16> "
           "-> tensor<?x6xf32>")
    c.result("y", "tensor<?x6xf32>", table[tokens], "f32", 0)
    cases.append(c)

    x, w = r(3, 8), r(5, 8)
    c = Case("linear")
    c.const("x", x, "f32", [0])
    c.const("w", w, "bf16")
    c.line("%y = dsv2.linear %x, %w : tensor<?x8xf32>, tensor<5x8xbf16> "
           "-> tensor<?x5xf32>")
    c.result("y", "tensor<?x5xf32>", f64(x) @ f64(w).T, "f32", 1e-6)
    cases.append(c)

    c = Case("linear_static", "Nothing needs the token dimension to be dynamic.")
    c.const("x", x, "f32")
    c.const("w", w, "f16")
    c.line("%y = dsv2.linear %x, %w : tensor<3x8xf32>, tensor<5x8xf16> "
           "-> tensor<3x5xf32>")
    c.result("y", "tensor<3x5xf32>", f64(x) @ f64(w).T, "f32", 1e-6)
    cases.append(c)

    # 256 + 1 is not a bf16 number, so a bf16 accumulator would stay at 256.
    c = Case("linear_bf16", """The sum is kept in f32 and rounded once: in bf16,
        256 + 1 + 1 + 1 + 1 would be 256.""")
    c.const("x", [[256, 1, 1, 1, 1]], "bf16", [0])
    c.const("w", [[1, 1, 1, 1, 1]], "bf16")
    c.line("%y = dsv2.linear %x, %w : tensor<?x5xbf16>, tensor<1x5xbf16> "
           "-> tensor<?x1xbf16>")
    c.result("y", "tensor<?x1xbf16>", [[260]], "bf16", 0)
    cases.append(c)

    c = Case("rms_norm", """An ordinary row, a row of zeros, for which eps is
        all there is, and one whose squares are far from 1.""")
    x, w = np.concatenate([r(1, 6), np.zeros((1, 6), np.float32),
                           r(1, 6) * 4096]), r(6)
    c.const("x", x, "f32", [0])
    c.const("w", w, "bf16")
    c.line("%y = dsv2.rms_norm %x, %w eps 1.0e-6 : tensor<?x6xf32>, "
           "tensor<6xbf16>")
    c.result("y", "tensor<?x6xf32>", rms_norm(x, w, 1e-6), "f32", 1e-6)
    cases.append(c)

    x, gate, up, down = r(3, 4), r(6, 4), r(6, 4), r(4, 6)
    x[2] *= 100  # exp overflows for the large negative gates
    expected = gated_ffn(x, gate, up, down)
    tolerance = 1e-6 * np.abs(expected).max()
    c = Case("gated_ffn")
    c.const("x", x, "f32", [0])
    c.const("gate", gate, "bf16")
    c.const("up", up, "bf16")
    c.const("down", down, "bf16")
    c.line("%y = dsv2.gated_ffn %x, %gate, %down up %up : tensor<?x4xf32>, "
           "tensor<6x4xbf16>, tensor<4x6xbf16>, tensor<6x4xbf16>")
    c.result("y", "tensor<?x4xf32>", expected, "f32", tolerance)
    cases.append(c)

    c = Case("gated_ffn_stacked", "Gate and up as one operand: the same result.")
    c.const("x", x, "f32", [0])
    c.const("gate", np.stack([gate, up]), "bf16")
    c.const("down", down, "bf16")
    c.line("%y = dsv2.gated_ffn %x, %gate, %down : tensor<?x4xf32>, "
           "tensor<2x6x4xbf16>, tensor<4x6xbf16>")
    c.result("y", "tensor<?x4xf32>", expected, "f32", tolerance)
    cases.append(c)

    c = Case("logits")
    h, rows, w = r(4, 6), [3, 1, 3], r(5, 6)
    c.const("h", h, "f32", [0])
    c.const("rows", rows, "i32", [0])
    c.const("w", w, "bf16")
    c.line("%y = dsv2.logits %h, %rows, %w : tensor<?x6xf32>, tensor<?xi32>, "
           "tensor<5x6xbf16> -> tensor<?x5xf32>")
    c.result("y", "tensor<?x5xf32>", f64(h[rows]) @ f64(w).T, "f32", 1e-6)
    cases.append(c)

    c = Case("pack", """Packing changes the element type, rounding to nearest
        even, and stacks, but values keep their logical places.""")
    a = np.float32([[1.00390625, 1.01171875], [-3.0, 0.1]])
    b = r(2, 2)
    c.const("a", a, "f32")
    c.const("b", b, "f32")
    c.const("x", np.eye(2), "f32", [0])
    c.line("%p = dsv2.pack %a : tensor<2x2xf32> -> "
           "tensor<2x2xbf16, #dsv2.packed<panels, 16>>")
    c.line("%y = dsv2.linear %x, %p : tensor<?x2xf32>, "
           "tensor<2x2xbf16, #dsv2.packed<panels, 16>> -> tensor<?x2xf32>")
    c.line("%g = dsv2.pack %a with %b : tensor<2x2xf32>, tensor<2x2xf32> -> "
           "tensor<2x2x2xf32, #dsv2.packed<gated_panels, 16>>")
    c.line("%z = dsv2.gated_ffn %x, %g, %a : tensor<?x2xf32>, "
           "tensor<2x2x2xf32, #dsv2.packed<gated_panels, 16>>, tensor<2x2xf32>")
    c.result("y", "tensor<?x2xf32>", bf16(a).T, "f32", 0)
    c.result("z", "tensor<?x2xf32>", gated_ffn(np.eye(2), a, b, a), "f32", 1e-6)
    cases.append(c)
    return cases


# ===----------------------------------------------------------------------===#
# Rotary embedding
# ===----------------------------------------------------------------------===#


def frequencies(dim, theta, yarn=None):
    """Inverse frequencies in float32, rounded after each step as the published
    implementations round them: at position 163839 one unit in the last place of
    a frequency near 1 is 0.01 of an angle."""
    one = np.float32(1)
    exponents = np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)
    powers = (theta ** exponents.astype(np.float64)).astype(np.float32)
    kept = one / powers
    if yarn is None:
        return kept

    def correction(rotations):
        return dim * math.log(yarn["original_max"] /
                              (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(correction(yarn["beta_fast"])), 0)
    high = min(math.ceil(correction(yarn["beta_slow"])), dim - 1)
    width = high - low if high != low else 0.001
    pairs = np.arange(dim // 2, dtype=np.float32)
    ramp = np.clip((pairs - np.float32(low)) / np.float32(width), 0, 1)
    keep = one - ramp
    slowed = one / (np.float32(yarn["factor"]) * powers)
    return slowed * (one - keep) + kept * keep


def magnitude(factor, mscale):
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1


def rope(x, positions, dim, theta, yarn=None):
    f = frequencies(dim, theta, yarn)
    assert f.dtype == np.float32
    angles = f64(np.asarray(positions, np.float32)[:, None] * f[None, :])
    g = 1.0
    if yarn:
        g = (magnitude(yarn["factor"], yarn["mscale"]) /
             magnitude(yarn["factor"], yarn["mscale_all_dim"]))
    cos, sin = np.cos(angles), np.sin(angles)
    if x.ndim == 3:
        cos, sin = cos[:, None, :], sin[:, None, :]
    y = np.zeros(x.shape)
    even, odd = f64(x[..., 0::2]), f64(x[..., 1::2])
    y[..., 0::2] = g * (even * cos - odd * sin)
    y[..., 1::2] = g * (odd * cos + even * sin)
    return y


def yarn_text(y):
    return ("#dsv2.yarn<factor = {factor:.1f}, original_max = {original_max}, "
            "beta_fast = {beta_fast:.1f}, beta_slow = {beta_slow:.1f}, "
            "mscale = {mscale}, mscale_all_dim = {mscale_all_dim}>".format(**y))


def rope_cases():
    r = Random(2)
    cases = []

    def case(name, why, x, positions, dim, theta, kind="f32", yarn=None,
             tolerance=1e-6, dynamic=True):
        c = Case(name, why)
        first = "?" if dynamic else x.shape[0]
        type_ = static([first, *x.shape[1:]], kind)
        c.const("x", x, kind, [0] if dynamic else [])
        c.const("positions", positions, "i32", [0] if dynamic else [])
        attr = f"dim = {dim}, theta = {theta:.1f}"
        if yarn:
            attr += f", yarn = {yarn_text(yarn)}"
        c.line(f"%y = dsv2.rope %x, %positions <{attr}> : {type_}, "
               f"tensor<{first}xi32>")
        expected = rope(x, positions, dim, theta, yarn)
        if kind == "bf16":
            expected = bf16(expected)
        c.result("y", type_, expected, kind, tolerance)
        cases.append(c)

    case("rope_positions", "Position 0 changes nothing.", r(5, 8),
         [0, 1, 2, 100, 4095], 8, 10000.0, tolerance=1e-6)
    case("rope_heads", "One angle for all heads of a token.", r(3, 2, 4),
         [7, 8, 0], 4, 10000.0)
    case("rope_static", "", r(2, 4), [3, 2], 4, 100.0, dynamic=False)
    # Up to one rounding of bf16, should the f32 value lie next to a tie.
    case("rope_bf16", "Angles stay f32; the result is rounded once.", r(3, 8),
         [1, 17, 4095], 8, 10000.0, kind="bf16", tolerance=2.0 ** -7)
    published = dict(factor=40.0, original_max=4096, beta_fast=32.0,
                     beta_slow=1.0, mscale=0.707, mscale_all_dim=0.707)
    case("rope_yarn", """The constants of the published models, up to the last
        position they allow. At long context the angles of the fast pairs are
        right only if the product is rounded to f32 as everyone rounds it.""",
         r(4, 64), [1, 4096, 32767, 163839], 64, 10000.0, yarn=published,
         tolerance=1e-6)
    case("rope_multiplier", "F040: cos and sin carry 0.1 ln 40 + 1 = 1.368888.",
         r(2, 8), [0, 5], 8, 10000.0,
         yarn=dict(published, mscale=1.0, mscale_all_dim=0.0))
    case("rope_factor_1", "F040: with a factor of 1 everything is as without.",
         r(2, 8), [3, 500], 8, 10000.0,
         yarn=dict(published, factor=1.0, mscale=1.0, mscale_all_dim=0.0))
    return cases


# ===----------------------------------------------------------------------===#
# Mixture of experts
# ===----------------------------------------------------------------------===#


def route(logits, top_k, top_groups, num_groups, scale, normalize):
    """Scores of one token as python floats, each choice a plain search."""
    logits = np.asarray(logits, np.float64)
    p = np.exp(logits - logits.max())
    # Underflow to zero happens in f32.
    s = [float(v) for v in
         (np.exp((logits - logits.max()).astype(np.float32)) /
          np.float32(p.sum()))]
    size = len(s) // num_groups
    allowed = range(len(s))
    if num_groups > 1:
        groups = sorted(range(num_groups),
                        key=lambda g: (-max(s[g * size:(g + 1) * size]), g))
        allowed = [e for g in groups[:top_groups]
                   for e in range(g * size, (g + 1) * size)]
    ids = sorted(allowed, key=lambda e: (-s[e], e))[:top_k]
    weights = [s[e] for e in ids]
    if normalize:
        total = sum(weights) + 1e-20
        weights = [w / total for w in weights]
    return ids, [w * scale for w in weights]


def dispatch(ids, experts):
    ids = np.asarray(ids)
    pairs = sorted((int(ids[t, s]), t, s) for t in range(ids.shape[0])
                   for s in range(ids.shape[1]))
    rows = np.zeros(ids.shape, int)
    for row, (_, t, s) in enumerate(pairs):
        rows[t, s] = row
    offsets = [sum(e < bound for e, _, _ in pairs)
               for bound in range(experts + 1)]
    return [t for _, t, _ in pairs], offsets, rows


def moe_cases():
    r = Random(3)
    cases = []

    def route_case(name, why, x, gate, top_k, groups=(1, 1), scale=1.0,
                   normalize=False, x_kind="f32", gate_kind="f32"):
        c = Case(name, why)
        tokens, d = x.shape
        experts = gate.shape[0]
        c.const("x", x, x_kind, [0])
        c.const("gate", gate, gate_kind)
        c.line(f"%ids, %w = dsv2.route %x, %gate top_k {top_k} groups "
               f"{groups[0]} of {groups[1]} scale {scale:.1f}"
               f"{' normalize' if normalize else ''} : tensor<?x{d}x{x_kind}>, "
               f"tensor<{experts}x{d}x{gate_kind}> -> tensor<?x{top_k}xi32>, "
               f"tensor<?x{top_k}xf32>")
        chosen = [route(row, top_k, *groups, scale, normalize)
                  for row in f64(x) @ f64(gate).T]
        c.result("ids", f"tensor<?x{top_k}xi32>", [i for i, _ in chosen], "i32",
                 0)
        c.result("w", f"tensor<?x{top_k}xf32>", [w for _, w in chosen], "f32",
                 1e-6 * max(scale, 1))
        cases.append(c)

    route_case("route_greedy", "", r(4, 5), r(8, 5), 3)
    route_case("route_groups", """F037: the softmax covers all experts, then
        groups are ruled out. 16 is the factor of the published models.""",
               r(4, 5), r(8, 5), 2, groups=(2, 4), scale=16.0)
    route_case("route_normalize", "", r(3, 5), r(6, 5), 3, groups=(1, 2),
               scale=2.5, normalize=True)
    route_case("route_bf16", "F036: f32 from the product on, whatever the types.",
               r(3, 5), r(6, 5), 2, x_kind="bf16", gate_kind="bf16")
    one = np.ones((1, 1), np.float32)
    column = lambda *values: np.array(values, np.float32)[:, None]
    route_case("route_ties", "F038: equal scores go to the lower index.",
               np.concatenate([one, 0 * one]), column(1, 3, 2, 3, 3, 1), 4)
    route_case("route_group_ties", "The same between groups.",
               one, column(1, 5, 0, 5, 5, 2, 5, 5), 2, groups=(2, 4))
    route_case("route_groups_of_one", """F022: one expert in each group, so that
        the choice of groups is the choice of experts.""",
               r(3, 5), r(8, 5), 2, groups=(2, 8))
    # Group 0 is kept for expert 0, whose score is 1; its other scores are 0, as
    # are all of group 1.
    route_case("route_zero_scores", """F038: experts of a kept group whose score
        is exactly 0 still beat every expert that was ruled out, of which some
        have a lower index.""",
               one, column(-200, -200, -200, 0, -200, -200, -200, -200), 3,
               groups=(1, 2))
    route_case("route_masked_lower_index", "",
               one, column(-200, -200, -200, -200, -200, 0, -200, -200), 3,
               groups=(1, 2))

    c = Case("route_nan", """NaN reaches the weights, and ids stay in range, so
        that the layer ends in NaN instead of a wild read.""")
    c.const("x", one, "f32", [0])
    c.line("%gate = arith.constant dense<[[0.0], [0x7FC00000], [1.0]]> : "
           "tensor<3x1xf32>")
    c.line("%ids, %w = dsv2.route %x, %gate top_k 2 groups 1 of 1 scale 1.0 : "
           "tensor<?x1xf32>, tensor<3x1xf32> -> tensor<?x2xi32>, "
           "tensor<?x2xf32>")
    c.line("%first = tensor.extract_slice %w[0, 0] [1, 1] [1, 1] : "
           "tensor<?x2xf32> to tensor<1x1xf32>")
    c.line("%nan = arith.cmpf une, %first, %first : tensor<1x1xf32>")
    c.line("%isnan = arith.extui %nan : tensor<1x1xi1> to tensor<1x1xi32>")
    c.result("ids", "tensor<?x2xi32>", [[2, 0]], "i32", 0)
    c.result("isnan", "tensor<1x1xi32>", [[1]], "i32", 0)
    cases.append(c)

    def dispatch_case(name, why, ids, experts, kind="f32"):
        c = Case(name, why)
        x = r(len(ids), 3)
        k = len(ids[0])
        c.const("x", x, kind, [0])
        c.const("ids", ids, "i32", [0])
        c.line(f"%y, %offsets, %rows = dsv2.dispatch %x, %ids : "
               f"tensor<?x3x{kind}>, tensor<?x{k}xi32> -> tensor<?x3x{kind}>, "
               f"tensor<{experts + 1}xi32>, tensor<?x{k}xi32>")
        sources, offsets, rows = dispatch(ids, experts)
        c.result("y", f"tensor<?x3x{kind}>", x[sources], kind, 0)
        c.result("offsets", f"tensor<{experts + 1}xi32>", offsets, "i32", 0)
        c.result("rows", f"tensor<?x{k}xi32>", rows, "i32", 0)
        cases.append(c)

    dispatch_case("dispatch", "Experts 0, 3 and 5 get nothing.",
                  [[4, 1], [2, 4], [1, 2], [4, 2]], 6)
    dispatch_case("dispatch_one_expert", "Everything goes to one expert.",
                  [[2], [2], [2]], 4, "bf16")

    c = Case("expert_ffn", "Experts with no rows, with one and with several.")
    x, offsets = r(5, 3), [0, 0, 3, 3, 4, 5]
    gate, up, down = r(5, 4, 3), r(5, 4, 3), r(5, 3, 4)
    expected = np.concatenate(
        [gated_ffn(x[a:b], gate[e], up[e], down[e])
         for e, (a, b) in enumerate(zip(offsets, offsets[1:]))])
    tolerance = 1e-6 * np.abs(expected).max()
    c.const("x", x, "f32", [0])
    c.const("offsets", offsets, "i32")
    c.const("gate", gate, "bf16")
    c.const("up", up, "bf16")
    c.const("down", down, "bf16")
    c.line("%y = dsv2.expert_ffn %x, %offsets, %gate, %down up %up : "
           "tensor<?x3xf32>, tensor<6xi32>, tensor<5x4x3xbf16>, "
           "tensor<5x3x4xbf16>, tensor<5x4x3xbf16>")
    c.const("stacked", np.stack([gate, up], 1), "bf16")
    c.line("%z = dsv2.expert_ffn %x, %offsets, %stacked, %down : "
           "tensor<?x3xf32>, tensor<6xi32>, tensor<5x2x4x3xbf16>, "
           "tensor<5x3x4xbf16>")
    c.result("y", "tensor<?x3xf32>", expected, "f32", tolerance)
    c.result("z", "tensor<?x3xf32>", expected, "f32", tolerance)
    cases.append(c)

    c = Case("combine")
    x, rows, w = r(6, 3), np.array([[5, 0], [2, 2], [1, 4]]), r(3, 2)
    c.const("x", x, "f32", [0])
    c.const("rows", rows, "i32", [0])
    c.const("w", w, "f32", [0])
    c.line("%y = dsv2.combine %x, %rows, %w : tensor<?x3xf32>, "
           "tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x3xf32>")
    c.result("y", "tensor<?x3xf32>",
             np.einsum("ts,tsd->td", f64(w), f64(x)[rows]), "f32", 1e-6)
    cases.append(c)

    c = Case("combine_order", """The sum is in the order of the slots: 1e8 takes
        the 1 before it is gone again, or does not.""")
    c.const("x", [[1], [1e8], [-1e8]], "f32", [0])
    c.const("rows", [[0, 1, 2], [1, 2, 0]], "i32", [0])
    c.const("w", np.ones((2, 3)), "f32", [0])
    c.line("%y = dsv2.combine %x, %rows, %w : tensor<?x1xf32>, "
           "tensor<?x3xi32>, tensor<?x3xf32> -> tensor<?x1xf32>")
    c.result("y", "tensor<?x1xf32>", [[0], [1]], "f32", 0)
    cases.append(c)

    # F035: 6e4 * 16 is far beyond f16.
    c = Case("combine_large", "F035: the factor 16 must not overflow.")
    c.const("x", [[60000.0]], "f32", [0])
    c.const("rows", [[0, 0]], "i32", [0])
    c.const("w", [[16, 16]], "f32", [0])
    c.line("%y = dsv2.combine %x, %rows, %w : tensor<?x1xf32>, "
           "tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x1xf32>")
    c.result("y", "tensor<?x1xf32>", [[1.92e6]], "f32", 0)
    cases.append(c)

    c = Case("moe_layer", """The four together, against a plain loop over
        tokens and experts.""")
    x, gate_w = r(5, 3), r(6, 3)
    gate, up, down = r(6, 4, 3), r(6, 4, 3), r(6, 3, 4)
    expected = np.zeros((5, 3))
    for t in range(5):
        ids, w = route(f64(gate_w) @ f64(x[t]), 2, 2, 3, 2.0, False)
        for e, weight in zip(ids, w):
            expected[t] += weight * gated_ffn(x[t:t + 1], gate[e], up[e],
                                              down[e])[0]
    c.const("x", x, "f32", [0])
    c.const("gate_w", gate_w, "f32")
    c.const("gate", gate, "f32")
    c.const("up", up, "f32")
    c.const("down", down, "f32")
    c.line("%ids, %w = dsv2.route %x, %gate_w top_k 2 groups 2 of 3 scale 2.0 "
           ": tensor<?x3xf32>, tensor<6x3xf32> -> tensor<?x2xi32>, "
           "tensor<?x2xf32>")
    c.line("%xs, %offsets, %rows = dsv2.dispatch %x, %ids : tensor<?x3xf32>, "
           "tensor<?x2xi32> -> tensor<?x3xf32>, tensor<7xi32>, tensor<?x2xi32>")
    c.line("%ys = dsv2.expert_ffn %xs, %offsets, %gate, %down up %up : "
           "tensor<?x3xf32>, tensor<7xi32>, tensor<6x4x3xf32>, "
           "tensor<6x3x4xf32>, tensor<6x4x3xf32>")
    c.line("%y = dsv2.combine %ys, %rows, %w : tensor<?x3xf32>, "
           "tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?x3xf32>")
    c.result("y", "tensor<?x3xf32>", expected, "f32",
             2e-6 * np.abs(expected).max())
    cases.append(c)
    return cases


# ===----------------------------------------------------------------------===#
# Latent attention and cache
# ===----------------------------------------------------------------------===#

LATENT, ROPE, PAGE, PAGES, LAYERS = 4, 2, 3, 6, 2
ROW = LATENT + ROPE


def cache_type(kind):
    return (f"!dsv2.latent_cache<latent = {LATENT}, rope = {ROPE}, "
            f"format = {kind}, page = {PAGE}>")


def new_cache(c, kind):
    """A cache full of 77, so that a read of a wrong row shows."""
    memory = f"memref<?x?x{PAGE}x{ROW}x{kind}>"
    c.line(f"%layers = arith.constant {LAYERS} : index")
    c.line(f"%pages = arith.constant {PAGES} : index")
    c.line(f"%memory = memref.alloc(%layers, %pages) : {memory}")
    c.line(f"%full = arith.constant 77.0 : {kind}")
    c.line(f"linalg.fill ins(%full : {kind}) outs(%memory : {memory})")
    c.line(f"%cache = builtin.unrealized_conversion_cast %memory : {memory} to "
           f"{cache_type(kind)}")


def attention(qn, qr, wuk, wuv, rows, scale):
    """One token against the rows it sees, expanded, as the paper writes it."""
    latents, keys = f64(rows[:, :LATENT]), f64(rows[:, LATENT:])
    k = np.einsum("hnl,jl->hjn", f64(wuk), latents)
    v = np.einsum("hvl,jl->hjv", f64(wuv), latents)
    a = scale * (np.einsum("hn,hjn->hj", f64(qn), k) +
                 np.einsum("hr,jr->hj", f64(qr), keys))
    p = np.exp(a - a.max(-1, keepdims=True))
    return np.einsum("hj,hjv->hv", p / p.sum(-1, keepdims=True), v)


class Steps:
    """Two sequences that grow by ragged steps through a paged cache."""

    tables = np.array([[4, 1, 2], [0, 5, 3]])
    heads, nope, value, scale = 2, 3, 5, 0.6875

    def __init__(self, seed):
        self.r = Random(seed)
        self.wuk = self.r(self.heads, self.nope, LATENT)
        self.wuv = self.r(self.heads, self.value, LATENT)
        self.lengths = [0, 0]
        self.rows = [np.zeros((0, ROW), np.float32) for _ in self.lengths]

    def constants(self, c, weight_kind):
        c.const("uk", self.wuk, weight_kind)
        c.const("uv", self.wuv, weight_kind)
        c.const("tables", self.tables, "i32", [0, 1])
        c.line("%layer = arith.constant 1 : index")

    def step(self, c, name, counts, kind, cache_kind, weight_kind, forms,
             tolerance, inexact=False):
        """Appends `counts` tokens of each sequence and attends in each form."""
        tokens = sum(counts)
        positions, ids = [], []
        for s, n in enumerate(counts):
            positions += range(self.lengths[s], self.lengths[s] + n)
            ids += [s] * n
        latent, key = self.r(tokens, LATENT), self.r(tokens, ROPE)
        if inexact:
            latent = (latent * np.float32(1.1)).astype(np.float32)
        qn = self.r(tokens, self.heads, self.nope)
        qr = self.r(tokens, self.heads, ROPE)
        starts = np.concatenate([[0], np.cumsum(counts)])
        n = name
        c.const(f"latent{n}", latent, kind, [0])
        c.const(f"key{n}", key, kind, [0])
        c.const(f"qn{n}", qn, kind, [0])
        c.const(f"qr{n}", qr, kind, [0])
        c.const(f"positions{n}", positions, "i32", [0])
        c.const(f"ids{n}", ids, "i32", [0])
        c.const(f"starts{n}", starts, "i32", [0])
        c.line(f"dsv2.latent_append %latent{n}, %key{n}, %cache[%layer], "
               f"%positions{n}, %ids{n}, %tables : tensor<?x{LATENT}x{kind}>, "
               f"tensor<?x{ROPE}x{kind}>, {cache_type(cache_kind)}, "
               "tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>")
        stored = np.concatenate([latent, key], 1)
        if cache_kind == "bf16":
            stored = bf16(stored)
        for row, s in zip(stored, ids):
            self.rows[s] = np.concatenate([self.rows[s], row[None]])
        self.lengths = [old + new for old, new in zip(self.lengths, counts)]

        expected = np.stack([
            attention(qn[t], qr[t], self.wuk, self.wuv,
                      self.rows[ids[t]][:positions[t] + 1], self.scale)
            for t in range(tokens)])
        if kind == "bf16":
            expected = bf16(expected)
        type_ = f"tensor<?x{self.heads}x{self.value}x{kind}>"
        for form in forms:
            c.line(f"%{form}{n} = dsv2.latent_attention %qn{n}, %qr{n}, %uk, "
                   f"%uv, %cache[%layer], %positions{n}, %ids{n}, %starts{n}, "
                   f"%tables form {form} scale {self.scale} : "
                   f"tensor<?x{self.heads}x{self.nope}x{kind}>, "
                   f"tensor<?x{self.heads}x{ROPE}x{kind}>, "
                   f"tensor<{self.heads}x{self.nope}x{LATENT}x{weight_kind}>, "
                   f"tensor<{self.heads}x{self.value}x{LATENT}x{weight_kind}>, "
                   f"{cache_type(cache_kind)}, tensor<?xi32>, tensor<?xi32>, "
                   f"tensor<?xi32>, tensor<?x?xi32> -> {type_}")
            c.result(f"{form}{n}", type_, expected, kind, tolerance)


def gather(c, name, layer, sequence, length, tables, cache_kind, expected,
           kind="f32"):
    c.line(f"%{name}_layer = arith.constant {layer} : index")
    c.line(f"%{name}_sequence = arith.constant {sequence} : index")
    c.line(f"%{name}_length = arith.constant {length} : index")
    c.line(f"%{name} = dsv2.latent_gather %cache[%{name}_layer], "
           f"%{name}_sequence, %{name}_length, %{tables} : "
           f"{cache_type(cache_kind)}, tensor<?x?xi32> -> "
           f"tensor<?x{ROW}x{kind}>")
    c.result(name, f"tensor<?x{ROW}x{kind}>", expected, kind, 0)


def attention_cases():
    cases = []
    both = ["expanded", "absorbed"]

    def history(name, why, seed, counts, kind="f32", cache_kind="f32",
                weight_kind="f32", forms=both, tolerance=2e-6, inexact=False):
        c = Case(name, why)
        new_cache(c, cache_kind)
        steps = Steps(seed)
        steps.constants(c, weight_kind)
        for i, count in enumerate(counts):
            steps.step(c, str(i), count, kind, cache_kind, weight_kind, forms,
                       tolerance, inexact)
        for s in range(2):
            if steps.lengths[s]:
                gather(c, f"rows{s}", 1, s, steps.lengths[s], "tables",
                       cache_kind, steps.rows[s])
        gather(c, "other_layer", 0, 0, PAGE, "tables", cache_kind,
               np.full((PAGE, ROW), 77.0))
        cases.append(c)

    history("attention_ragged", """Two sequences of different length in permuted
        pages: a chunk of each, then one token of each, then one of the second
        only. Both forms, against the same expected values; what the cache
        holds; and another layer, which stays as it was.""",
            11, [[5, 2], [1, 1], [0, 1]])
    history("attention_chunks", """F048: three tokens one by one are three
        tokens at once (next).""", 12, [[1, 0], [1, 0], [1, 0]],
            forms=["absorbed"])
    history("attention_whole", "", 12, [[3, 0]], forms=["expanded"])
    history("attention_undecided", "The definition's form, the expanded one.",
            13, [[2, 3]], forms=["undecided"])
    history("attention_bf16_cache", """Rows are rounded to the cache's format,
        to nearest even, and attention sees the rounded ones.""",
            14, [[4, 3], [1, 1]], cache_kind="bf16", weight_kind="bf16",
            inexact=True)
    # Up to one rounding of the result.
    history("attention_bf16", "Activations of type bf16.", 15, [[2, 2]],
            kind="bf16", cache_kind="bf16", weight_kind="bf16",
            tolerance=2.0 ** -6)
    return cases


def cache_cases():
    cases = []
    r = Random(21)

    def append(c, name, layer, rows, positions, ids, tables, cache_kind):
        c.const(f"{name}_latent", rows[:, :LATENT], "f32", [0])
        c.const(f"{name}_key", rows[:, LATENT:], "f32", [0])
        c.const(f"{name}_positions", positions, "i32", [0])
        c.const(f"{name}_ids", ids, "i32", [0])
        c.line(f"%{name}_layer = arith.constant {layer} : index")
        c.line(f"dsv2.latent_append %{name}_latent, %{name}_key, "
               f"%cache[%{name}_layer], %{name}_positions, %{name}_ids, "
               f"%{tables} : tensor<?x{LATENT}xf32>, tensor<?x{ROPE}xf32>, "
               f"{cache_type(cache_kind)}, tensor<?xi32>, tensor<?xi32>, "
               "tensor<?x?xi32>")

    c = Case("copy_pages", """Sequence 1 shares the page of sequence 0, gets its
        own copy, in every layer, and then writes to it: copy on write.""")
    new_cache(c, "f32")
    c.const("shared", [[4, 1], [4, 3]], "i32", [0, 1])
    c.const("own", [[4, 1], [2, 3]], "i32", [0, 1])
    first, second, third = r(3, ROW), r(3, ROW), r(1, ROW)
    append(c, "a", 0, first, [0, 1, 2], [0, 0, 0], "shared", "f32")
    append(c, "b", 1, second, [0, 1, 2], [0, 0, 0], "shared", "f32")
    c.const("from", [4], "i32", [0])
    c.const("to", [2], "i32", [0])
    c.line(f"dsv2.copy_pages %cache, %from, %to : {cache_type('f32')}, "
           "tensor<?xi32>, tensor<?xi32>")
    append(c, "c", 1, third, [2], [1], "own", "f32")
    gather(c, "layer0", 0, 1, 3, "own", "f32", first)
    gather(c, "layer1", 1, 1, 3, "own", "f32",
           np.concatenate([second[:2], third]))
    gather(c, "original", 1, 0, 3, "own", "f32", second)
    gather(c, "untouched", 1, 1, 6, "own", "f32",
           np.concatenate([second[:2], third, np.full((3, ROW), 77.0)]))
    cases.append(c)

    c = Case("gather_bf16", "A gather of no rows, and one widened to f32.")
    new_cache(c, "bf16")
    c.const("tables", [[5, 0]], "i32", [0, 1])
    rows = (r(4, ROW) * np.float32(1.3)).astype(np.float32)
    append(c, "a", 0, rows, [0, 1, 2, 3], [0, 0, 0, 0], "tables", "bf16")
    gather(c, "none", 0, 0, 0, "tables", "bf16", np.zeros((0, ROW)))
    gather(c, "wide", 0, 0, 4, "tables", "bf16", bf16(rows))
    gather(c, "narrow", 0, 0, 4, "tables", "bf16", bf16(rows), kind="bf16")
    cases.append(c)
    return cases


# ===----------------------------------------------------------------------===#
# Latent cache in blocks
# ===----------------------------------------------------------------------===#


def scale_table():
    """What the scales of 8 bits stand for; the last code is NaN."""
    codes = np.arange(255)
    return np.ldexp(1 + codes % 8 / 8, codes // 8 - 20).astype(np.float32)


class Blocks:
    """A part of a row, as include/dsv2/Support/CacheFormat.h defines it."""

    UNIT = 32

    def __init__(self, bits, block, divisor):
        self.bits, self.block = bits, block
        self.inverse = np.float32(1) / np.float32(divisor)

    def scale(self, x):
        """The bytes of a block's scale, and its value."""
        wanted = np.float32(np.abs(x).max() * self.inverse)
        if self.bits == 8:
            scale = bf16(wanted)
            return list(scale.reshape(1).view(np.uint8)[2:]), scale
        table = scale_table()
        reached = np.nonzero(table >= wanted)[0]
        if not reached.size:
            return [255], np.float32(np.nan)
        return [reached[0]], table[reached[0]]

    def __call__(self, x):
        """Bytes of elements, bytes of scales, and what they read as."""
        half = 1 << (self.bits - 1)
        codes, scales, values = [], [], []
        size = len(x)
        x = np.append(x, np.zeros(-size % self.UNIT, np.float32))
        for first in range(0, len(x), self.block):
            block = x[first:first + self.block]
            stored, scale = self.scale(block)
            inverse = np.float32(0) if scale == 0 else np.float32(1) / scale
            # Where the scale is NaN every element is the least one.
            q = np.rint(np.nan_to_num(block * inverse, nan=-np.inf))
            q = np.clip(q, 1 - half if self.bits == 8 else -half, half - 1)
            codes += list(q.astype(int))
            scales += stored
            values += list(q.astype(np.float32) * scale)
        stored = []
        for first in range(0, len(codes), self.UNIT):
            unit = np.array(codes[first:first + self.UNIT])
            if self.bits == 8:
                stored += list(unit % 256)
                continue
            low, high = unit + half & 15, unit + half >> 4
            stored += list(low[:16] | low[16:] << 4)
            stored += list((high.reshape(4, 8) << np.arange(8)).sum(axis=1))
        return stored, scales, np.array(values[:size], np.float32)


CACHE_FORMATS = {
    "q8": (Blocks(8, 32, 127), Blocks(8, 32, 127)),
    "q6": (Blocks(5, 16, 15.5), Blocks(8, 32, 127)),
}


def quantized_cache_cases():
    cases = []
    # The last block and the last unit of each part are short.
    latent, rope = 130, 20
    for kind, (first, second) in CACHE_FORMATS.items():
        r = Random(41)
        x = r(3, latent) * np.float32(1.3), r(3, rope) * np.float32(0.7)
        # Blocks of zeros, of less than all scales of q6, of more.
        x[0][1, :32] = 0
        x[0][1, 32:64] *= np.float32(2.0 ** -30)
        x[0][1, 64:80] *= np.float32(2.0 ** 20)
        stored, expected = [], []
        for a, b in zip(*x):
            one, other = first(a), second(b)
            stored.append(one[0] + other[0] + one[1] + other[1])
            expected.append(np.concatenate([one[2], other[2]]))
        # NaN differs from all, itself included.
        unreached = np.isnan(expected[1])
        size, row = len(stored[0]), latent + rope

        c = Case(f"cache_{kind}", """Rows as they are stored and as they read,
            and a page that was copied.""")
        memory = f"memref<?x?x2x{size}xi8>"
        cache = (f"!dsv2.latent_cache<latent = {latent}, rope = {rope}, "
                 f"format = {kind}, page = 2>")
        c.line("%c0 = arith.constant 0 : index")
        c.line("%c1 = arith.constant 1 : index")
        c.line("%c3 = arith.constant 3 : index")
        c.line("%pages = arith.constant 4 : index")
        c.line(f"%memory = memref.alloc(%c1, %pages) : {memory}")
        c.line(f"%cache = builtin.unrealized_conversion_cast %memory : {memory}"
               f" to {cache}")
        c.const("latent", x[0], "f32", [0])
        c.const("key", x[1], "f32", [0])
        c.const("positions", [0, 1, 2], "i32", [0])
        c.const("ids", [0, 0, 0], "i32", [0])
        c.const("tables", [[3, 0], [2, 0]], "i32", [0, 1])
        c.const("from", [3], "i32", [0])
        c.const("to", [2], "i32", [0])
        c.line("dsv2.latent_append %latent, %key, %cache[%c0], %positions, "
               f"%ids, %tables : tensor<?x{latent}xf32>, tensor<?x{rope}xf32>, "
               f"{cache}, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>")
        c.line(f"dsv2.copy_pages %cache, %from, %to : {cache}, tensor<?xi32>, "
               "tensor<?xi32>")
        wide = f"tensor<{size}xi32>"
        for name, page, index, bytes_ in [("first", 3, 0, stored[0]),
                                          ("second", 3, 1, stored[1]),
                                          ("third", 0, 0, stored[2]),
                                          ("copied", 2, 1, stored[1])]:
            c.line(f"%{name}_page = arith.constant {page} : index")
            c.line(f"%{name}_row = arith.constant {index} : index")
            c.line(f"%{name} = tensor.generate {{ ^bb0(%i: index): %byte = "
                   f"memref.load %memory[%c0, %{name}_page, %{name}_row, %i] : "
                   f"{memory} %number = arith.extui %byte : i8 to i32 "
                   f"tensor.yield %number : i32 }} : {wide}")
            c.result(name, wide, np.array(bytes_), "i32", 0)
        rows = f"tensor<?x{row}xf32>"
        for name, sequence in [("rows", "%c0"), ("shared", "%c1")]:
            c.line(f"%{name}_all = dsv2.latent_gather %cache[%c0], {sequence}, "
                   f"%c3, %tables : {cache}, tensor<?x?xi32> -> {rows}")
            # Which elements are NaN, as 1; and the others, those as 0.
            for result, yes, no in [("is_nan", "%one", "%zero"),
                                    ("value", "%zero", "%x")]:
                c.line(f"%{name}_{result} = linalg.map ins(%{name}_all : {rows})"
                       f" outs(%{name}_all : {rows}) (%x: f32, %init: f32) {{ "
                       "%zero = arith.constant 0.0 : f32 "
                       "%one = arith.constant 1.0 : f32 "
                       "%nan = arith.cmpf uno, %x, %x : f32 "
                       f"%y = arith.select %nan, {yes}, {no} : f32 "
                       "linalg.yield %y : f32 }")
            flags = np.zeros((3, row), np.float32)
            flags[1] = unreached
            c.result(f"{name}_is_nan", rows, flags, "f32", 0)
            c.result(f"{name}_value", rows, np.nan_to_num(expected), "f32", 0)
        cases.append(c)
    return cases


# ===----------------------------------------------------------------------===#
# No tokens
# ===----------------------------------------------------------------------===#


def empty_cases():
    c = Case("no_tokens", """A step without tokens: every result has no rows,
        and the cache stays as it was.""")
    none = lambda *shape: np.zeros(shape, np.float32)
    r = Random(31)
    c.const("tokens", none(0), "i32", [0])
    c.const("x", none(0, 4), "f32", [0])
    c.const("w4", r(4), "f32")
    c.const("w34", r(3, 4), "f32")
    c.const("w43", r(4, 3), "f32")
    c.line("%embed = dsv2.embed %tokens, %w34 : tensor<?xi32>, tensor<3x4xf32> "
           "-> tensor<?x4xf32>")
    c.result("embed", "tensor<?x4xf32>", none(0, 4), "f32", 0)
    c.line("%linear = dsv2.linear %x, %w34 : tensor<?x4xf32>, tensor<3x4xf32> "
           "-> tensor<?x3xf32>")
    c.result("linear", "tensor<?x3xf32>", none(0, 3), "f32", 0)
    c.line("%norm = dsv2.rms_norm %x, %w4 eps 1.0e-6 : tensor<?x4xf32>, "
           "tensor<4xf32>")
    c.result("norm", "tensor<?x4xf32>", none(0, 4), "f32", 0)
    c.line("%ffn = dsv2.gated_ffn %x, %w34, %w43 up %w34 : tensor<?x4xf32>, "
           "tensor<3x4xf32>, tensor<4x3xf32>, tensor<3x4xf32>")
    c.result("ffn", "tensor<?x4xf32>", none(0, 4), "f32", 0)
    c.line("%logits = dsv2.logits %x, %tokens, %w34 : tensor<?x4xf32>, "
           "tensor<?xi32>, tensor<3x4xf32> -> tensor<?x3xf32>")
    c.result("logits", "tensor<?x3xf32>", none(0, 3), "f32", 0)
    c.line("%rope = dsv2.rope %x, %tokens <dim = 4, theta = 10000.0> : "
           "tensor<?x4xf32>, tensor<?xi32>")
    c.result("rope", "tensor<?x4xf32>", none(0, 4), "f32", 0)
    c.const("gate", r(4, 4), "f32")
    c.line("%ids, %weights = dsv2.route %x, %gate top_k 2 groups 1 of 2 scale "
           "1.0 : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x2xi32>, "
           "tensor<?x2xf32>")
    c.result("ids", "tensor<?x2xi32>", none(0, 2), "i32", 0)
    c.result("weights", "tensor<?x2xf32>", none(0, 2), "f32", 0)
    c.line("%sorted, %offsets, %rows = dsv2.dispatch %x, %ids : "
           "tensor<?x4xf32>, tensor<?x2xi32> -> tensor<?x4xf32>, "
           "tensor<5xi32>, tensor<?x2xi32>")
    c.result("sorted", "tensor<?x4xf32>", none(0, 4), "f32", 0)
    c.result("offsets", "tensor<5xi32>", none(5), "i32", 0)
    c.result("rows", "tensor<?x2xi32>", none(0, 2), "i32", 0)
    c.const("eg", r(4, 3, 4), "f32")
    c.const("ed", r(4, 4, 3), "f32")
    c.line("%experts = dsv2.expert_ffn %sorted, %offsets, %eg, %ed up %eg : "
           "tensor<?x4xf32>, tensor<5xi32>, tensor<4x3x4xf32>, "
           "tensor<4x4x3xf32>, tensor<4x3x4xf32>")
    c.result("experts", "tensor<?x4xf32>", none(0, 4), "f32", 0)
    c.line("%combined = dsv2.combine %experts, %rows, %weights : "
           "tensor<?x4xf32>, tensor<?x2xi32>, tensor<?x2xf32> -> "
           "tensor<?x4xf32>")
    c.result("combined", "tensor<?x4xf32>", none(0, 4), "f32", 0)
    new_cache(c, "f32")
    steps = Steps(32)
    steps.constants(c, "f32")
    n, h = steps.nope, steps.heads
    c.const("key", none(0, ROPE), "f32", [0])
    c.const("latent", none(0, LATENT), "f32", [0])
    c.const("qn", none(0, h, n), "f32", [0])
    c.const("qr", none(0, h, ROPE), "f32", [0])
    c.const("starts", [0, 0, 0], "i32", [0])
    c.line(f"dsv2.latent_append %latent, %key, %cache[%layer], %tokens, "
           f"%tokens, %tables : tensor<?x{LATENT}xf32>, tensor<?x{ROPE}xf32>, "
           f"{cache_type('f32')}, tensor<?xi32>, tensor<?xi32>, "
           "tensor<?x?xi32>")
    for form in ("expanded", "absorbed"):
        c.line(f"%{form} = dsv2.latent_attention %qn, %qr, %uk, %uv, "
               f"%cache[%layer], %tokens, %tokens, %starts, %tables form {form} "
               f"scale 1.0 : tensor<?x{h}x{n}xf32>, tensor<?x{h}x{ROPE}xf32>, "
               f"tensor<{h}x{n}x{LATENT}xf32>, "
               f"tensor<{h}x{steps.value}x{LATENT}xf32>, {cache_type('f32')}, "
               "tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32> "
               f"-> tensor<?x{h}x{steps.value}xf32>")
        c.result(form, f"tensor<?x{h}x{steps.value}xf32>",
                 none(0, h, steps.value), "f32", 0)
    c.line(f"dsv2.copy_pages %cache, %tokens, %tokens : {cache_type('f32')}, "
           "tensor<?xi32>, tensor<?xi32>")
    gather(c, "untouched", 1, 0, 2 * PAGE, "tables", "f32",
           np.full((2 * PAGE, ROW), 77.0))
    return [c]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true",
                        help="compare with the files instead of writing them")
    args = parser.parse_args()
    files = [
        write("attention", "Latent attention over the paged cache.",
              attention_cases()),
        write("cache", "Copies and reads of the latent cache.", cache_cases()),
        write("cache-quantized", "Rows of the latent cache in blocks.",
              quantized_cache_cases()),
        write("empty", "Steps without tokens.", empty_cases()),
        write("model", "Embedding, products, norms, feed-forward networks.",
              model_cases()),
        write("moe", "Routing, dispatch, experts, combination.", moe_cases()),
        write("rope", "Rotary embedding.", rope_cases()),
    ]
    stale = []
    for path, text in files:
        if not args.check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(str(path))
    if stale:
        sys.exit("differ from what this script writes: " + ", ".join(stale))


if __name__ == "__main__":
    main()
