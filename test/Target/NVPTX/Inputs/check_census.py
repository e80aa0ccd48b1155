# ===- check_census.py - does the table of opcodes fit this ptxas? -----------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Usage: check_census.py FILE      what `dsv2-kernel probes-CHIP.ptx --json` wrote
#
# A kernel `p__A_B__what` has to have instructions A and B. What is missing is
# printed with the forms that this kernel has and the empty one does not have:
# candidates for lib/Target/NVPTX/SassForms.def.
#
# ===------------------------------------------------------------------------===#

import json
import sys

# Everywhere, or without an entry of its own in the table.
COMMON = {"EXIT"}
# Instructions that others bring along.
COMPANIONS = {"LDG", "STG", "LDS", "STS", "BAR", "NOP", "SHFL", "MEMBAR", "WARPGROUP", "SYNCS"}

with open(sys.argv[1]) as file:
    (image,) = json.load(file)["images"]
kernels = {kernel["name"]: kernel for kernel in image["kernels"]}
empty = kernels["p__EXIT__empty"]
failures = 0
for name, kernel in kernels.items():
    expected = set(name.split("__")[1].split("_")) - COMMON
    found = set(kernel["sass"])
    missing = expected - found
    surplus = found - expected - COMPANIONS
    if missing or surplus:
        failures += 1
        forms = sorted(set(kernel["sass_forms"]) - set(empty["sass_forms"]))
        print(f"{image['chip']} {name}: missing {sorted(missing)}, surplus {sorted(surplus)}, forms {forms}")
print(f"{image['chip']}: {len(kernels) - failures} of {len(kernels)} probes fit")
sys.exit(failures != 0)
