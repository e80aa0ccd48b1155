#!/usr/bin/env python3
# ===- check_labels.py - every constraint is checked and tested -------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: check_labels.py INCLUDE_DIR LIB_DIR TEST_DIR
#
# Constraints are listed in the TableGen files as `- name_cN: text`. Each needs
# a case in a *-invalid.mlir, named in a comment in front of it, and, unless the
# generated code checks it, a comment in the verifier. No other label may occur.
#
# ===------------------------------------------------------------------------===#

import pathlib
import re
import sys

# Checked by ODS: types of operands and traits.
GENERATED = {"dispatch_c4", "weight_view_c1"}


def labels(paths, pattern):
    found = {}
    for path in sorted(paths):
        for match in re.finditer(pattern, path.read_text(encoding="utf-8"), re.M):
            for label in re.findall(r"[a-z_]+_c\d+", match.group(0)):
                found.setdefault(label, path.name)
    return found


def main():
    include, lib, test = map(pathlib.Path, sys.argv[1:])
    documented = labels(include.glob("*.td"), r"^ +- \w+_c\d+:")
    checked = labels(lib.glob("*.cpp"), r"// .*_c\d+.*$")
    tested = labels(test.glob("*-invalid.mlir"), r"^// \w+_c\d+")
    problems = []
    for label, where in documented.items():
        if label not in tested:
            problems.append(f"{label} ({where}): no negative test")
        if label not in checked and label not in GENERATED:
            problems.append(f"{label} ({where}): no check in the verifiers")
    for label, where in (*checked.items(), *tested.items()):
        if label not in documented:
            problems.append(f"{label} ({where}): not in the documentation")
    print("\n".join(problems + [f"{len(documented)} constraints, "
                                f"{len(problems)} problems"]))
    return 1 if problems or not documented else 0


if __name__ == "__main__":
    sys.exit(main())
