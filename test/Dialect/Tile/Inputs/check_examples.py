#!/usr/bin/env python3
# ===- check_examples.py - parse the examples of the documentation ----------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: check_examples.py TD_DIR -- TOOL [FLAG...]
#
# Takes every ```mlir example out of the TableGen files and runs TOOL on it. A
# kernel is taken as it is. Of a single op the values it uses become arguments
# of a function: i32 at first, then of the type that the parser says it expects.
#
# ===------------------------------------------------------------------------===#

import pathlib
import re
import subprocess
import sys

EXPECTS = re.compile(r"use of value '(%\w+)' expects different type than prior "
                     r"uses: '(.*?)' vs")


def parse(tool, module):
    run = subprocess.run([*tool, "--allow-unregistered-dialect", "-"],
                         input=module, capture_output=True, text=True)
    return run.returncode == 0, run.stderr


def is_valid(tool, body):
    if body.startswith("!"):
        return parse(tool, f'"test.example"() : () -> ({body})\n')
    if body.startswith("dsv2_tile.kernel"):
        return parse(tool, body)
    defined = set()
    for results in re.findall(r"^ *(%\w+(?:, %\w+)*) = ", body, re.M):
        defined.update(results.split(", "))
    defined.update(re.findall(r"(%\w+): ", body))
    types = {value: "i32" for value in re.findall(r"%\w+", body)
             if value not in defined}
    while True:
        arguments = ", ".join(f"{v}: {t}" for v, t in types.items())
        ok, errors = parse(tool,
                           f"func.func @f({arguments}) {{\n{body}\nreturn\n}}\n")
        wanted = EXPECTS.search(errors)
        if not wanted or types.get(wanted.group(1)) == wanted.group(2):
            return ok, errors
        types[wanted.group(1)] = wanted.group(2)


def main():
    split = sys.argv.index("--")
    folder, tool = pathlib.Path(sys.argv[1]), sys.argv[split + 1:]
    count, failures, missing = 0, 0, 0
    for path in sorted(folder.glob("*.td")):
        text = path.read_text(encoding="utf-8")
        starts = [m.start() for m in re.finditer(r"^def ", text, re.M)]
        for start, end in zip(starts, starts[1:] + [len(text)]):
            definition = text[start:end]
            name = re.match(r"def (\w+)", definition).group(1)
            found = False
            for match in re.finditer(r"^( *)```mlir\n(.*?)^ *```$", definition,
                                     re.M | re.S):
                indent = len(match.group(1))
                body = "\n".join(row[indent:]
                                 for row in match.group(2).splitlines())
                found = True
                count += 1
                ok, errors = is_valid(tool, body)
                if not ok:
                    failures += 1
                    print(f"{path.name}: {name} is not valid\n{errors}{body}")
            described = ("description" in definition and
                         not name.endswith("_Dialect"))
            if described and not found and "Example: see `" not in definition:
                missing += 1
                print(f"{path.name}: no example of {name}")
    print(f"{count} examples, {failures} not valid, {missing} missing")
    return 1 if failures or missing or not count else 0


if __name__ == "__main__":
    sys.exit(main())
