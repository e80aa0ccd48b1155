#!/usr/bin/env python3
# ===- check_examples.py - parse the examples of the documentation ----------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: check_examples.py TD... -- TOOL [FLAG...]
#
# Takes every ```mlir example out of the TableGen files, makes a module of each
# and runs TOOL on it. Values and symbols that an example uses without defining
# them are added, with the types the example itself states.
#
# ===------------------------------------------------------------------------===#

import re
import subprocess
import sys


def examples(path):
    """Yields (line number, name of the definition, text)."""
    text = open(path, encoding="utf-8").read()
    for match in re.finditer(r"^( *)```mlir\n(.*?)^ *```$", text, re.M | re.S):
        line = text.count("\n", 0, match.start()) + 2
        name = re.findall(r"^def (\w+)", text[: match.start()], re.M)[-1]
        indent = len(match.group(1))
        body = "\n".join(row[indent:] for row in match.group(2).splitlines())
        yield line, name, body


def split_top_level(text):
    """Splits at the commas that are in no bracket."""
    parts, depth, part = [], 0, ""
    for char in text:
        depth += {"<": 1, "(": 1, "[": 1, ">": -1, ")": -1, "]": -1}.get(char, 0)
        if char == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += char
    return parts + [part.strip()]


def operand_types(op):
    """Pairs the operands of one op with the types behind its last colon,
    or inside the groups of an op in destination style.

    Values in brackets, of a grid and behind `at`, `layer` are of type index.
    """
    types = {}
    head, _, tail = op.rpartition(" : ")
    if " outs(" in op or " ins(" in op:
        for group in re.findall(
                r"(?:ins|outs|send|receive)\((.*?) : (.*?)\)(?= |$)", op):
            values, group_types = group[0].split(", "), split_top_level(group[1])
            types.update(zip(values, group_types))
        for grid in re.findall(r" grid\((.*?)\)", op):
            types.update((value, "index") for value in grid.split(", "))
        for layer in re.findall(r" layer (%\w+)", op):
            types[layer] = "index"
        return types
    if " : " not in op:
        return types
    tail = tail.split(" -> ")[0]
    if "=" in head.split("dsv2.")[0]:
        head = head.split("=", 1)[1]
    values = re.findall(r"%\w+", re.sub(r"\[%\w+\]|(?:at|layer) %\w+", "", head))
    index = re.findall(r"\[(%\w+)\]|(?:at|layer) (%\w+)", head)
    for a, b in index:
        types[a or b] = "index"
    listed = split_top_level(tail) if values else []
    # Fewer types than values: the op's own index operands are not listed.
    missing = len(values) - len(listed)
    for value in values:
        if missing > 0 and value in ("%s", "%n"):
            types[value] = "index"
            missing -= 1
        else:
            types[value] = listed.pop(0)
    assert missing == 0 and not listed, f"types do not match operands: {op}"
    return types


def make_module(body):
    if body.lstrip().startswith("#"):
        attributes = re.split(r"\n(?=#)", body)
        entries = ", ".join(f"a{i} = {a}" for i, a in enumerate(attributes))
        return f'"test.example"() {{{entries}}} : () -> ()\n'
    if body.startswith("dsv2.mesh "):
        return body + "\n"
    if body.lstrip().startswith(("!", "tensor")):
        return f'"test.example"() : () -> ({body})\n'

    ops = [re.sub(r"\s+", " ", op).strip()
           for op in re.split(r"\n(?=%|dsv2)", body)]
    defined, arguments, symbols = set(), {}, ""
    for op in ops:
        results = op.split(" = ")[0] if op.startswith("%") else ""
        for value, type_ in operand_types(op).items():
            if value not in defined:
                arguments.setdefault(value, type_)
        defined.update(re.findall(r"%\w+", results))
        kernel = re.match(r".*dsv2\.launch (@\w+)", op)
        if kernel:
            types = [t.replace("tensor", "memref")
                     for t in operand_types(op).values()]
            symbols += (f"func.func private {kernel.group(1)}"
                        f"({', '.join(types)}, index, index)\n")
        device = re.match(r".*dsv2\.device_launch @(\w+)::(@\w+)", op)
        if device:
            symbols += (f"gpu.module @{device.group(1)} {{\nllvm.func "
                        f"{device.group(2)}() attributes "
                        "{dsv2.parameters = []}\n}\n")
        prepare = re.match(r".*dsv2\.packed_weight (@\w+)\[0\].* : (.*)", op)
        if prepare:
            symbols += (f"func.func private {prepare.group(1)}() -> "
                        f"{prepare.group(2)} attributes {{dsv2.prepare}}\n")
    if " @mesh" in body:
        symbols += "dsv2.mesh @mesh tp 2 ep 4\n"
    signature = ", ".join(f"{v}: {t}" for v, t in arguments.items())
    return f"{symbols}func.func @example({signature}) {{\n{body}\nreturn\n}}\n"


def main():
    split = sys.argv.index("--")
    paths, tool = sys.argv[1:split], sys.argv[split + 1:]
    count, failures = 0, 0
    undocumented = []
    for path in paths:
        found = {}
        for line, name, body in examples(path):
            count += 1
            found[name] = True
            module = make_module(body)
            run = subprocess.run([*tool, "--allow-unregistered-dialect", "-"],
                                 input=module, capture_output=True, text=True)
            if run.returncode:
                failures += 1
                print(f"{path}:{line}: example of {name} is not valid\n"
                      f"{run.stderr}{module}")
        # Ops, attributes with syntax of their own and types need an example.
        for name in re.findall(r"^def (DSV2_\w+?)\s*:\s*DSV2_(?:Pure|Collective)?Op<",
                               open(path, encoding="utf-8").read(), re.M):
            if name not in found:
                undocumented.append(name)
    for name in undocumented:
        print(f"{name}: no example")
    print(f"{count} examples, {failures} not valid, "
          f"{len(undocumented)} missing")
    return 1 if failures or undocumented or not count else 0


if __name__ == "__main__":
    sys.exit(main())
