#!/usr/bin/env python3
# ===- check_docs.py - the generated reference names everything -------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: check_docs.py SOURCE_DIR DOCS_DIR
#
# Reads the TableGen files in SOURCE_DIR/include and looks in DOCS_DIR, where
# the build wrote the generated pages, for each op, attribute, type and enum
# with its summary, each constraint label and each pass with its options.
# SOURCE_DIR/docs/Dialects/DSV2.md has to name each generated page, and every
# op it names has to exist.
#
# ===------------------------------------------------------------------------===#

import pathlib
import re
import sys

PAGES = {
    "DSV2Passes.md": "Dialect/DSV2/Transforms/Passes.td",
    "DSV2ConversionPasses.md": "Conversion/Passes.td",
    "DSV2CodeGenPasses.md": "CodeGen/Passes.td",
}


def definitions(text):
    """Yields the head and the body of each `def`."""
    starts = [m.start() for m in re.finditer(r"^def ", text, re.M)] + [len(text)]
    for start, end in zip(starts, starts[1:]):
        head, _, body = text[start:end].partition("{")
        yield re.sub(r"\s+", " ", head), body


def main():
    source, docs = map(pathlib.Path, sys.argv[1:])
    include = source / "include" / "dsv2"
    count, problems = 0, []

    def expect(what, needle, page, name):
        nonlocal count
        count += 1
        if needle not in page:
            problems.append(f"{name}: no {what}: {needle}")

    dialect = (docs / "DSV2Dialect.md").read_text(encoding="utf-8")
    ops = set()
    for path in sorted((include / "Dialect/DSV2/IR").glob("*.td")):
        text = path.read_text(encoding="utf-8")
        for head, body in definitions(text):
            summary = re.search(r'let summary = "(.*?)";', body)
            op = re.match(r'def DSV2_\w+ ?: DSV2_(?:Pure|Collective)?Op<"(\w+)"', head)
            attribute = re.match(r'def DSV2_\w+ ?: DSV2_Attr<"(\w+)"', head)
            type_ = re.match(r'def DSV2_\w+ ?: TypeDef<DSV2_Dialect, "(\w+)"',
                             head)
            enum = re.match(r'def DSV2_\w+ ?: I32EnumAttr<"(\w+)"', head)
            if op:
                ops.add(op.group(1))
                heading = f"### `dsv2.{op.group(1)}` "
            elif attribute:
                heading = f"### {attribute.group(1)}Attr\n"
            elif type_:
                heading = f"### {type_.group(1)}Type\n"
            elif enum:
                heading = f"### {enum.group(1)}\n"
            else:
                continue
            expect("section", heading, dialect, path.name)
            if not enum:
                expect("summary", f"_{summary.group(1)}_" if summary else
                       f"a summary of {heading.strip()}", dialect, path.name)
        for label in re.findall(r"^ +- (\w+_c\d+):", text, re.M):
            expect("constraint", f"- {label}:", dialect, path.name)

    for page_name, path in PAGES.items():
        page = (docs / page_name).read_text(encoding="utf-8")
        for head, body in definitions((include / path).read_text("utf-8")):
            flag = re.search(r': Pass<"([\w-]+)"', head)
            if not flag:
                continue
            expect("pass", f"### `-{flag.group(1)}`", page, page_name)
            for option in re.findall(r'Option<"\w+", "([\w-]+)"', body):
                expect("option", f"-{option} ", page, page_name)

    rationale = (source / "docs/Dialects/DSV2.md").read_text(encoding="utf-8")
    for page_name in ("DSV2Dialect.md", *PAGES):
        expect("mention", page_name, rationale, "docs/Dialects/DSV2.md")
    for op in sorted(set(re.findall(r"`dsv2\.(\w+)`", rationale))):
        if op not in ops | {"entry", "form", "prepare", "experts", "manifest"}:
            problems.append(f"docs/Dialects/DSV2.md: no such op: dsv2.{op}")

    print("\n".join(problems + [f"{count} facts, {len(problems)} missing"]))
    return 1 if problems or not ops else 0


if __name__ == "__main__":
    sys.exit(main())
